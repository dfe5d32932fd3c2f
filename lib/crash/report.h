/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reports inside the library.
 *
 *	report.c		results in memory
 *	report-strings.c	their strings, each kept once
 *	report-run.c		what a run was
 *	report-jsonl.c		JSON lines, written
 *	report-read.c		... and read; report-fields.c: its fields
 *	report-merge.c		shards into one
 *	report-junit.c report-tap.c report-html*.c report-save.c
 *	report-axis.c report-picture.c report-png.c
 */
#ifndef PLT_CRASH_REPORT_H
#define PLT_CRASH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <platter/crash.h>

/* ---- report-strings.c ---- */

struct plt_crash_string {
	const char *text;	/* NUL-terminated, may hold more of them */
	size_t len;
};

struct plt_crash_strings {
	void *blocks;
	size_t left;		/* bytes of the newest block */
	struct plt_crash_string *string;	/* shared ones; 0 is NULL */
	size_t nr, room;
	uint32_t *slot;		/* hash table of numbers, 0 = free */
	size_t slots;
};

/* A copy that lives as long as `s`; NULL with a message: no memory. */
const char *plt_crash_strings_copy(struct plt_crash_strings *s,
				   const char *text, size_t len,
				   struct platter_error *err);
/* The number of that text, the same for the same; 0 for NULL. */
int plt_crash_strings_share(struct plt_crash_strings *s, const char *text,
			    size_t len, uint32_t *id,
			    struct platter_error *err) PLATTER_MUST_CHECK;
void plt_crash_strings_free(struct plt_crash_strings *s);

/* ---- report.c ---- */

/* A record as it is kept; there may be millions. */
struct plt_crash_kept {
	uint64_t index, point, mark_entry, time_ns;
	const char *state;
	uint8_t hash[16];
	uint32_t strategy, mark, same_as, reason, output;	/* strings */
	int32_t status;
	uint8_t verdict, signal, depth;
	bool timed_out;
};

struct platter_crash_report {
	struct platter_crash_run run;
	struct platter_crash_summary summary;
	bool ended;
	struct plt_crash_strings strings;
	struct plt_crash_kept *kept;
	size_t nr, room;
	uint64_t verdicts[PLATTER_CRASH_ERROR + 1];
	uint64_t nested;
	struct platter_crash_record *view;	/* what get() returns */
};

static inline const char *
plt_crash_report_text(const struct platter_crash_report *r, uint32_t id)
{
	return r->strings.string[id].text;
}

/* ---- names in reports ---- */

extern const char *const plt_crash_discard_names[3];
extern const char *const plt_crash_end_names[PLATTER_CRASH_END_STOPPED + 1];

/* ---- report-png.c ---- */

#define PLT_PNG_COLOURS	16u
#define PLT_PNG_MAX	8192u	/* pixels either way */

/* A picture of indexed colours; `pixels` has width * height indices. */
struct plt_png {
	uint32_t width, height;
	uint8_t palette[PLT_PNG_COLOURS][4];	/* red green blue alpha */
	uint8_t *pixels;
};
/* The file; the caller frees. */
int plt_png_encode(const struct plt_png *png, unsigned char **out, size_t *len,
		   struct platter_error *err) PLATTER_MUST_CHECK;

#endif
