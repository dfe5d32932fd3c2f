/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What blkparse prints by default: an event a line,
 *
 *	8,0    3        1     0.000000000   697  C  WS 223490 + 8 [0]
 *	device cpu sequence   seconds       pid action RWBS sector + count
 *
 * in sectors of 512 bytes, and a summary behind. A log has requests as they
 * complete, so completions (C) are taken; in a trace without any, what was
 * queued (Q). Source: blkparse(1).
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <platter/out.h>

#include "base/checked.h"
#include "base/error.h"
#include "wlog/text.h"

#define SECTOR	512u
#define NS	UINT64_C(1000000000)

struct blkparse {
	bool completions;	/* the trace has some */
	bool summary;		/* the events are over */
};

enum field { DEVICE, CPU, SEQUENCE, TIME, PID, ACTION, RWBS, NR_FIELDS };

/* "12.000345678", to nanoseconds. */
static bool parse_time(char *text, uint64_t *ns)
{
	char *dot = strchr(text, '.');
	uint64_t seconds, fraction;

	if (!dot || strlen(dot + 1) != 9)
		return false;
	*dot = '\0';
	return plt_wlog_number(text, 10, &seconds) &&
	       plt_wlog_number(dot + 1, 10, &fraction) &&
	       plt_mul_u64(ns, seconds, NS) && plt_add_u64(ns, *ns, fraction);
}

/* "FWFSM": flush first, then what it does, then how. 1 = nothing for a log. */
static int parse_rwbs(const char *text, struct plt_wlog_request *req)
{
	const char *p = text;

	if (*p == 'F') {
		req->flags |= PLATTER_LOG_FLUSH;
		p++;
	}
	if (*p == 'D' || *p == 'E')
		req->flags |= PLATTER_LOG_DISCARD;
	else if (*p == 'R' || (*p != 'W' && !(req->flags & PLATTER_LOG_FLUSH)))
		return 1;
	if (*p)
		p++;
	for (; *p; p++) {
		if (*p == 'F')
			req->flags |= PLATTER_LOG_FUA;
		if (*p == 'M')
			req->flags |= PLATTER_LOG_METADATA;
		req->zero |= *p == 'Z';
	}
	return 0;
}

static bool to_bytes(uint64_t sectors, uint64_t *bytes)
{
	return plt_mul_u64(bytes, sectors, SECTOR) && *bytes <= PLT_OFFSET_MAX;
}

/* "223490 + 8 [name]", "223490 + 8 (latency) [0]", "0 [0]" or "[name]". */
static int parse_range(char *rest, bool completed,
		       struct plt_wlog_request *req, struct platter_error *err)
{
	const char *bracket = strrchr(rest, '[');
	uint64_t sector, count;
	char *word;

	if (!bracket)
		return plt_err_set(err, -EINVAL, "the event has no [ ] at its "
				   "end");
	/* What failed is not in a log. */
	if (completed && strncmp(bracket, "[0]", 3))
		return 1;
	word = plt_wlog_word(&rest);
	if (!word || *word == '[')
		return 0;
	if (!plt_wlog_number(word, 10, &sector))
		return plt_err_set(err, -EINVAL, "'%.40s' is no sector", word);
	word = plt_wlog_word(&rest);
	if (!word || strcmp(word, "+"))
		return 0;
	word = plt_wlog_word(&rest);
	if (!word || !plt_wlog_number(word, 10, &count))
		return plt_err_set(err, -EINVAL, "'%.40s' is no number of "
				   "sectors", word ? word : "");
	if (!to_bytes(sector, &req->start) || !to_bytes(count, &req->length))
		return plt_err_set(err, -EINVAL, "sector %" PRIu64 " + %" PRIu64
				   " is past what a device can have", sector,
				   count);
	return 0;
}

/* A message. */
static int parse_mark(char *rest, struct plt_wlog_request *req)
{
	rest += strspn(rest, " ");
	if (!*rest)
		return 1;
	req->flags = PLATTER_LOG_MARK;
	req->mark = rest;
	req->mark_len = platter_bytes_unescape(rest);
	return 0;
}

static int split(char **line, char *fields[NR_FIELDS],
		 struct plt_wlog_request *req, struct platter_error *err)
{
	for (int i = 0; i < NR_FIELDS; i++) {
		fields[i] = plt_wlog_word(line);
		if (!fields[i])
			return plt_err_set(err, -EINVAL, "the line has %d "
					   "fields, an event has %d and more",
					   i, NR_FIELDS);
	}
	if (!parse_time(fields[TIME], &req->time_ns))
		return plt_err_set(err, -EINVAL, "'%.40s' is no time in "
				   "seconds with nine decimals", fields[TIME]);
	return 0;
}

static int event(struct plt_wlog_parser *p, char *line,
		 struct plt_wlog_request *req, struct platter_error *err)
{
	struct blkparse *s = p->state;
	char *fields[NR_FIELDS];
	bool completed;
	int rc;

	rc = split(&line, fields, req, err);
	if (rc)
		return rc;
	completed = !strcmp(fields[ACTION], "C");
	if (!strcmp(fields[ACTION], "m")) {
		rc = plt_wlog_parser_device(p, fields[DEVICE], err);
		return rc ? rc : parse_mark(line, req);
	}
	if (!completed && (strcmp(fields[ACTION], "Q") || s->completions))
		return 1;
	if (parse_rwbs(fields[RWBS], req))
		return 1;
	rc = plt_wlog_parser_device(p, fields[DEVICE], err);
	if (rc)
		return rc;
	s->completions |= completed;
	rc = parse_range(line, completed, req, err);
	if (!rc && !req->length && !(req->flags & PLATTER_LOG_FLUSH))
		return 1;
	return rc;
}

static bool is_summary(const char *line)
{
	return !strncmp(line, "CPU", 3) || !strncmp(line, "Total", 5) ||
	       !strncmp(line, "Throughput", 10);
}

static int blkparse_line(struct plt_wlog_parser *p, char *line,
			 struct plt_wlog_request *req,
			 struct platter_error *err)
{
	struct blkparse *s = p->state;
	const char *text = line + strspn(line, " \t\r");

	s->summary |= is_summary(text);
	if (!*text || s->summary)
		return 1;
	if (!strchr("0123456789", *text))
		return plt_err_set(err, -EINVAL, "'%.40s' is no event of "
				   "blkparse", text);
	return event(p, line, req, err);
}

static void blkparse_rewind(struct plt_wlog_parser *p)
{
	struct blkparse *s = p->state;

	s->summary = false;
}

const struct plt_wlog_text_ops plt_wlog_text_blkparse = {
	.state_size = sizeof(struct blkparse),
	.line = blkparse_line,
	.rewind = blkparse_rewind,
};
