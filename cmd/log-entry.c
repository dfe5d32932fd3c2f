/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An entry of a write log, as the verbs that list entries print it. */
#include "cmd.h"

void cmd_log_entry_heading(struct platter_printer *out)
{
	platter_out_text(out, "%8s  %14s  %16s  %12s  %s\n", "ENTRY",
			 "LOG OFFSET", "OFFSET", "LENGTH", "FLAGS");
}

static void print_line(struct platter_printer *out,
		       const struct platter_log_entry *e, const char *flags)
{
	char *mark = e->mark ? platter_bytes_escape(e->mark, e->mark_len) :
			       NULL;
	char length[24] = "-";

	if (e->length)
		snprintf(length, sizeof(length), "%" PRIu64, e->length);
	platter_out_text(out, "%8" PRIu64 "  %14" PRIu64 "  %16" PRIu64
			 "  %12s  %s%s%s%s\n", e->number, e->offset, e->start,
			 length, flags[0] ? flags : "-", mark ? "  " : "",
			 mark ? mark : "", e->recovered ? "  (recovered)" : "");
	free(mark);
}

void cmd_log_entry_print(struct platter_printer *out,
			 const struct platter_log_entry *e)
{
	char flags[PLATTER_LOG_FLAGS_TEXT_MAX];

	if (platter_printer_kind(out) == PLATTER_OUTPUT_HUMAN)
		print_line(out, e, platter_log_flags_text(flags, e->flags));
	else
		platter_log_entry_print(out, e);
}
