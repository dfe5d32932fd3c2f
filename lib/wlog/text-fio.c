/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fio's iolog, versions 2 and 3: "FILE ACTION" and "FILE ACTION OFFSET
 * LENGTH", in version 3 with microseconds in front. It tells neither FUA nor
 * what a sync covers: sync and datasync are flushes. Source: fio(1).
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "wlog/text.h"

struct fio {
	unsigned int version;	/* 0: the first line is to come */
};

enum kind { NOTHING, MANAGE, WRITE, TRIM, FLUSH };

static const struct {
	const char *name;
	enum kind kind;
} actions[] = {
	{ "add", MANAGE },
	{ "open", MANAGE },
	{ "close", MANAGE },
	{ "wait", NOTHING },
	{ "read", NOTHING },
	{ "sync_file_range", NOTHING },
	{ "write", WRITE },
	{ "trim", TRIM },
	{ "sync", FLUSH },
	{ "datasync", FLUSH },
};

static int first_line(struct fio *s, const char *line,
		      struct platter_error *err)
{
	size_t len = strcspn(line, "\r");

	for (unsigned int v = 2; v <= 3; v++) {
		static const char *const lines[] = {
			"fio version 2 iolog", "fio version 3 iolog",
		};

		if (len == strlen(lines[v - 2]) &&
		    !strncmp(line, lines[v - 2], len))
			s->version = v;
	}
	if (!s->version)
		return plt_err_set(err, -EINVAL, "'%.40s' is not 'fio version "
				   "2 iolog' or 'fio version 3 iolog'", line);
	return 1;
}

static int parse_action(const char *name, enum kind *kind,
			struct platter_error *err)
{
	for (size_t i = 0; i < PLT_ARRAY_SIZE(actions); i++) {
		if (strcmp(actions[i].name, name))
			continue;
		*kind = actions[i].kind;
		return 0;
	}
	return plt_err_set(err, -EINVAL, "'%.40s' is no action of an iolog",
			   name);
}

static int parse_range(char *line, struct plt_wlog_request *req,
		       struct platter_error *err)
{
	const char *offset = plt_wlog_word(&line);
	const char *length = plt_wlog_word(&line);

	if (!offset || !length || plt_wlog_word(&line) ||
	    !plt_wlog_number(offset, 10, &req->start) ||
	    !plt_wlog_number(length, 10, &req->length))
		return plt_err_set(err, -EINVAL, "'%.40s %.40s' is not an "
				   "offset and a length", offset ? offset : "",
				   length ? length : "");
	return 0;
}

/* Without what leads it in version 3. */
static int action(struct plt_wlog_parser *p, char *line,
		  struct plt_wlog_request *req, struct platter_error *err)
{
	const char *name = plt_wlog_word(&line);
	const char *what = plt_wlog_word(&line);
	enum kind kind = NOTHING;
	int rc;

	if (!what)
		return plt_err_set(err, -EINVAL, "the line has no action");
	rc = parse_action(what, &kind, err);
	if (rc || kind == MANAGE)
		return rc ? rc : 1;
	rc = parse_range(line, req, err);
	if (rc || kind == NOTHING)
		return rc ? rc : 1;
	rc = plt_wlog_parser_device(p, name, err);
	if (rc)
		return rc;
	if (kind == FLUSH) {
		req->flags = PLATTER_LOG_FLUSH;
		req->start = req->length = 0;
	} else if (kind == TRIM) {
		req->flags = PLATTER_LOG_DISCARD;
	}
	return kind == FLUSH || req->length ? 0 : 1;
}

static int fio_line(struct plt_wlog_parser *p, char *line,
		    struct plt_wlog_request *req, struct platter_error *err)
{
	struct fio *s = p->state;
	const char *time;
	uint64_t us;

	if (!s->version)
		return first_line(s, line, err);
	if (!line[strspn(line, " \t\r")])
		return 1;
	if (s->version == 3) {
		time = plt_wlog_word(&line);
		if (!plt_wlog_number(time, 10, &us) ||
		    !plt_mul_u64(&req->time_ns, us, 1000))
			return plt_err_set(err, -EINVAL, "'%.40s' is no time "
					   "in microseconds", time);
	}
	return action(p, line, req, err);
}

static void fio_rewind(struct plt_wlog_parser *p)
{
	struct fio *s = p->state;

	s->version = 0;
}

const struct plt_wlog_text_ops plt_wlog_text_fio = {
	.state_size = sizeof(struct fio),
	.line = fio_line,
	.rewind = fio_rewind,
};
