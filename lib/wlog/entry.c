/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Entries of a log as text: their flags, and a row for programs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <platter/out.h>

#include "base/error.h"
#include "base/mem.h"
#include "wlog/wlog.h"

static const struct {
	uint64_t flag;
	const char *name;
} names[] = {
	{ PLATTER_LOG_FLUSH, "FLUSH" },
	{ PLATTER_LOG_FUA, "FUA" },
	{ PLATTER_LOG_DISCARD, "DISCARD" },
	{ PLATTER_LOG_MARK, "MARK" },
	{ PLATTER_LOG_METADATA, "METADATA" },
};

char *platter_log_flags_text(char buf[PLATTER_LOG_FLAGS_TEXT_MAX],
			     uint64_t flags)
{
	char *p = buf;

	*p = 0;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(names); i++)
		if (flags & names[i].flag)
			p += sprintf(p, "%s%s", p == buf ? "" : "|",
				     names[i].name);
	flags &= ~(uint64_t)PLATTER_LOG_FLAGS;
	if (flags)
		sprintf(p, "%s0x%" PRIx64, p == buf ? "" : "|", flags);
	return buf;
}

int platter_log_flags_parse(uint64_t *flags, const char *text,
			    struct platter_error *err)
{
	*flags = 0;
	for (const char *p = text;; p++) {
		size_t len = strcspn(p, ",|");
		size_t i = 0;

		while (i < PLT_ARRAY_SIZE(names) &&
		       (strlen(names[i].name) != len ||
			strncasecmp(names[i].name, p, len)))
			i++;
		if (i == PLT_ARRAY_SIZE(names))
			return plt_err_set(err, -EINVAL,
					   "flag '%.*s' is none of FLUSH, FUA, DISCARD, MARK, METADATA",
					   (int)PLT_MIN(len, (size_t)100), p);
		*flags |= names[i].flag;
		p += len;
		if (!*p)
			return 0;
	}
}

void platter_log_entry_print(struct platter_printer *out,
			     const struct platter_log_entry *e)
{
	char flags[PLATTER_LOG_FLAGS_TEXT_MAX];

	platter_out_row(out, "entry");
	platter_out_u64(out, "entry", e->number);
	platter_out_u64(out, "log-offset", e->offset);
	platter_out_u64(out, "offset", e->start);
	platter_out_u64(out, "length", e->length);
	platter_out_u64(out, "sector", e->sector);
	platter_out_u64(out, "sectors", e->nr_sectors);
	platter_out_string(out, "flags",
			   platter_log_flags_text(flags, e->flags));
	if (e->issue)
		platter_out_u64(out, "issue", e->issue);
	if (e->time_ns)
		platter_out_u64(out, "time-ns", e->time_ns);
	if (e->recovered)
		platter_out_bool(out, "recovered", true);
	if (e->mark)
		platter_out_bytes(out, "mark", e->mark, e->mark_len);
	platter_out_end(out);
}
