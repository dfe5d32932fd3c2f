/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of internal snapshots, in qemu-img's columns: programs look for the
 * line that begins with ID and split those below it at blanks.
 */
#include <string.h>
#include <time.h>

#include "snapshot-rows.h"

#define NSEC	UINT64_C(1000000000)
#define COLUMNS	"%-9s %-16s %8s%20s%13s%11s\n"

static void date_text(char *buf, size_t size, time_t when)
{
	struct tm tm;

	if (!localtime_r(&when, &tm) ||
	    !strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(buf, size, "%jd", (intmax_t)when);
}

static void clock_text(char *buf, size_t size, uint64_t nsec)
{
	uint64_t sec = nsec / NSEC;

	snprintf(buf, size, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64
		 ".%03" PRIu64, sec / 3600, sec / 60 % 60, sec % 60,
		 nsec / (NSEC / 1000) % 1000);
}

static void print_row(struct platter_printer *out,
		      const struct platter_snapshot *s)
{
	char size[PLATTER_SIZE_TEXT_MAX], date[64], clock[64], icount[32] = "";
	char *name = platter_bytes_escape(s->name, strlen(s->name));
	char *id = platter_bytes_escape(s->id, strlen(s->id));

	platter_size_text(size, s->vm_state_size);
	date_text(date, sizeof(date), (time_t)s->date_sec);
	clock_text(clock, sizeof(clock), s->vm_clock_nsec);
	if (s->icount != UINT64_MAX)
		snprintf(icount, sizeof(icount), "%" PRIu64, s->icount);
	platter_out_text(out, COLUMNS, id ? id : "", name ? name : "", size,
			 date, clock, icount);
	free(name);
	free(id);
}

void cmd_snapshot_rows(struct platter_printer *out,
		       const struct platter_snapshot *list, size_t count)
{
	platter_out_text(out, "Snapshot list:\n" COLUMNS, "ID", "TAG",
			 "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
	for (size_t i = 0; i < count; i++)
		print_row(out, &list[i]);
}

void cmd_snapshot_members(struct platter_printer *out,
			  const struct platter_snapshot *s)
{
	if (s->icount != UINT64_MAX)
		platter_out_u64(out, "icount", s->icount);
	platter_out_u64(out, "vm-clock-nsec", s->vm_clock_nsec % NSEC);
	platter_out_string(out, "name", s->name);
	platter_out_u64(out, "date-sec", s->date_sec);
	platter_out_u64(out, "date-nsec", s->date_nsec);
	platter_out_u64(out, "vm-clock-sec", s->vm_clock_nsec / NSEC);
	platter_out_string(out, "id", s->id);
	platter_out_u64(out, "vm-state-size", s->vm_state_size);
}
