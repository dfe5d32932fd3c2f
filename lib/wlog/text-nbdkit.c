/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What nbdkit's log filter writes: a line when a request begins,
 *
 *	2026-11-21 08:13:11.937557 connection=1 Write id=1 offset=0x0 count=0x1000 fua=1 ...
 *	2026-11-21 08:13:11.937592 connection=1 ...Write id=1 return=0
 *
 * and one when it ends. A log has what completed, when it did, so the first
 * line is kept until the second comes; what failed is left out. Taken from
 * runs of nbdkit 1.32; see nbdkit-log-filter(1).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "wlog/text.h"

#define PENDING_MAX	65536u	/* requests in flight */

struct pending {
	uint64_t connection, id;
	struct plt_wlog_request req;
};

struct nbdkit {
	struct pending *pending;
	size_t nr, room;
};

/* "KEY=VALUE" with that key; NULL = the line has none. */
static const char *value_of(const char *line, const char *key)
{
	size_t len = strlen(key);

	for (const char *p = line; (p = strstr(p, key)); p += len)
		if ((p == line || p[-1] == ' ') && p[len] == '=')
			return p + len + 1;
	return NULL;
}

static int get_number(const char *line, const char *key, uint64_t *out,
		      struct platter_error *err)
{
	const char *value = value_of(line, key);
	char digits[24];
	size_t len;
	int base = 10;

	if (!value)
		return plt_err_set(err, -EINVAL, "the request has no %s=",
				   key);
	if (!strncmp(value, "0x", 2)) {
		value += 2;
		base = 16;
	}
	len = strcspn(value, " \r");
	snprintf(digits, sizeof(digits), "%.*s", (int)PLT_MIN(len,
		 sizeof(digits) - 1), value);
	if (len >= sizeof(digits) || !plt_wlog_number(digits, base, out))
		return plt_err_set(err, -EINVAL, "%s=%.40s is no number", key,
				   value);
	return 0;
}

/* "2026-11-21 08:13:11.937557 ": of the day in UTC, as no zone is told. */
static int parse_time(char **line, uint64_t *ns, struct platter_error *err)
{
	const char *date = plt_wlog_word(line);
	const char *time = plt_wlog_word(line);
	struct tm tm = { .tm_year = 0 };
	unsigned int us;
	int end = 0;
	time_t t;

	if (!date || !time ||
	    sscanf(date, "%4d-%2d-%2d", &tm.tm_year, &tm.tm_mon,
		   &tm.tm_mday) != 3 ||
	    sscanf(time, "%2d:%2d:%2d.%6u%n", &tm.tm_hour, &tm.tm_min,
		   &tm.tm_sec, &us, &end) != 4 || time[end])
		return plt_err_set(err, -EINVAL, "'%.20s %.20s' is no date and "
				   "time", date ? date : "", time ? time : "");
	tm.tm_year -= 1900;
	tm.tm_mon--;
	t = timegm(&tm);
	*ns = t < 0 ? 0 : (uint64_t)t * 1000000000u + us * UINT64_C(1000);
	return 0;
}

static bool is_on(const char *line, const char *key)
{
	const char *value = value_of(line, key);

	return value && *value == '1';
}

/* 1 = nothing a log has. */
static int parse_request(const char *action, const char *line,
			 struct plt_wlog_request *req,
			 struct platter_error *err)
{
	int rc;

	if (!strcmp(action, "Flush")) {
		req->flags = PLATTER_LOG_FLUSH;
		return 0;
	}
	if (!strcmp(action, "Trim"))
		req->flags = PLATTER_LOG_DISCARD;
	else if (!strcmp(action, "Zero"))
		req->zero = true;
	else if (strcmp(action, "Write"))
		return 1;
	if (is_on(line, "fua"))
		req->flags |= PLATTER_LOG_FUA;
	rc = get_number(line, "offset", &req->start, err);
	return rc ? rc : get_number(line, "count", &req->length, err);
}

static int begin(struct plt_wlog_parser *p, const struct pending *request,
		 struct platter_error *err)
{
	struct nbdkit *s = p->state;
	int rc;

	if (s->nr == PENDING_MAX)
		return plt_err_set(err, -EINVAL, "more than %u requests are in "
				   "flight", PENDING_MAX);
	rc = plt_grow(&s->pending, &s->room, s->nr + 1, sizeof(*s->pending),
		      err);
	if (rc)
		return rc;
	s->pending[s->nr++] = *request;
	p->unfinished = s->nr;
	return 1;
}

static int end(struct plt_wlog_parser *p, const struct pending *which,
	       const char *line, struct plt_wlog_request *req,
	       struct platter_error *err)
{
	const uint64_t time_ns = req->time_ns;
	const char *result = value_of(line, "return");
	struct nbdkit *s = p->state;

	for (size_t i = s->nr; i-- > 0;) {
		struct pending *at = &s->pending[i];

		if (at->connection != which->connection || at->id != which->id)
			continue;
		*req = at->req;
		req->time_ns = time_ns;
		*at = s->pending[--s->nr];
		p->unfinished = s->nr;
		if (!result)
			return plt_err_set(err, -EINVAL, "the end of a request "
					   "has no return=");
		return *result == '0' && (req->length ||
			req->flags & PLATTER_LOG_FLUSH) ? 0 : 1;
	}
	/* Of a read, or of one that began before the log did. */
	return 1;
}

/* Of a request, whose line has a connection and an id. */
static int request(struct plt_wlog_parser *p, char *line,
		   const struct pending *id, const char *action,
		   struct plt_wlog_request *req, struct platter_error *err)
{
	struct pending new = *id;
	int rc;

	if (!strncmp(action, "...", 3))
		return end(p, id, line, req, err);
	rc = parse_request(action, line, &new.req, err);
	return rc ? rc : begin(p, &new, err);
}

static int nbdkit_line(struct plt_wlog_parser *p, char *line,
		       struct plt_wlog_request *req, struct platter_error *err)
{
	struct pending id = { .connection = 0 };
	const char *action;
	char *word;
	int rc;

	if (!line[strspn(line, " \t\r")])
		return 1;
	rc = parse_time(&line, &req->time_ns, err);
	if (rc)
		return rc;
	word = plt_wlog_word(&line);
	if (!word || strncmp(word, "connection=", 11))
		return 1;
	if (!plt_wlog_number(word + 11, 10, &id.connection))
		return plt_err_set(err, -EINVAL, "'%.40s' has no number", word);
	action = plt_wlog_word(&line);
	if (!action || !value_of(line, "id"))
		return 1;
	rc = get_number(line, "id", &id.id, err);
	return rc ? rc : request(p, line, &id, action, req, err);
}

static void nbdkit_rewind(struct plt_wlog_parser *p)
{
	struct nbdkit *s = p->state;

	s->nr = 0;
}

static void nbdkit_free(struct plt_wlog_parser *p)
{
	struct nbdkit *s = p->state;

	free(s->pending);
}

const struct plt_wlog_text_ops plt_wlog_text_nbdkit = {
	.state_size = sizeof(struct nbdkit),
	.line = nbdkit_line,
	.rewind = nbdkit_rewind,
	.free = nbdkit_free,
};
