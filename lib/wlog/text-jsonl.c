/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Our own JSON lines, as platter_log_entry_print() makes them: an object a
 * line, of which flags, offset, length, mark, issue and time-ns count.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include <platter/out.h>

#include "base/error.h"
#include "base/mem.h"
#include "wlog/text.h"

struct jsonl {
	json_t *object;		/* of the last line, which a mark is part of */
	char *mark;
};

static int get_number(json_t *object, const char *key, uint64_t *out,
		      struct platter_error *err)
{
	json_t *v = json_object_get(object, key);

	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return plt_err_set(err, -EINVAL, "\"%s\" is no number from 0 "
				   "to %" PRId64, key, INT64_MAX);
	*out = (uint64_t)json_integer_value(v);
	return 0;
}

static int get_mark(struct jsonl *s, struct plt_wlog_request *req,
		    struct platter_error *err)
{
	json_t *v = json_object_get(s->object, "mark");

	if (!v != !(req->flags & PLATTER_LOG_MARK) ||
	    (v && (!json_is_string(v) || !json_string_length(v))))
		return plt_err_set(err, -EINVAL, "\"mark\" is a text, where "
				   "\"flags\" are MARK, and only there");
	if (!v)
		return 0;
	s->mark = plt_strdup(json_string_value(v), err);
	if (!s->mark)
		return -ENOMEM;
	req->mark = s->mark;
	req->mark_len = platter_bytes_unescape(s->mark);
	return 0;
}

static int get_flags(json_t *object, struct plt_wlog_request *req,
		     struct platter_error *err)
{
	json_t *v = json_object_get(object, "flags");

	if (!json_is_string(v))
		return plt_err_set(err, -EINVAL, "the object has no text "
				   "\"flags\"");
	if (!json_string_length(v))
		return 0;
	return platter_log_flags_parse(&req->flags, json_string_value(v), err);
}

static void drop_last(struct jsonl *s)
{
	json_decref(s->object);
	free(s->mark);
	s->object = NULL;
	s->mark = NULL;
}

static int jsonl_line(struct plt_wlog_parser *p, char *line,
		      struct plt_wlog_request *req, struct platter_error *err)
{
	struct jsonl *s = p->state;
	json_error_t e;
	int rc;

	if (!line[strspn(line, " \t\r")])
		return 1;
	drop_last(s);
	s->object = json_loads(line, JSON_REJECT_DUPLICATES, &e);
	if (!json_is_object(s->object))
		return plt_err_set(err, -EINVAL, "no JSON object: %s",
				   s->object ? "another value" : e.text);
	rc = get_flags(s->object, req, err);
	if (!rc)
		rc = get_number(s->object, "offset", &req->start, err);
	if (!rc)
		rc = get_number(s->object, "length", &req->length, err);
	if (!rc)
		rc = get_number(s->object, "issue", &req->issue, err);
	if (!rc)
		rc = get_number(s->object, "time-ns", &req->time_ns, err);
	return rc ? rc : get_mark(s, req, err);
}

static void jsonl_free(struct plt_wlog_parser *p)
{
	drop_last(p->state);
}

const struct plt_wlog_text_ops plt_wlog_text_jsonl = {
	.state_size = sizeof(struct jsonl),
	.line = jsonl_line,
	.free = jsonl_free,
};
