/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pictures of a run: what was written where and when, and below it, on the
 * same scale, what became of the crashes in between.
 *
 * Column 0 is the crash before all, column N + 1 entry N and the crash right
 * behind it. Where there are more columns than pixels, a pixel is many.
 */
#ifndef PLT_CRASH_REPORT_PICTURE_H
#define PLT_CRASH_REPORT_PICTURE_H

#include "crash/report.h"

enum plt_picture_colour {
	PLT_PICTURE_NOTHING,
	PLT_PICTURE_FLUSHED,	/* a flush, as a line behind the writes */
	PLT_PICTURE_FAILED,	/* a crash that fails, in the same way */
	PLT_PICTURE_DISCARD,
	PLT_PICTURE_WRITE,
	PLT_PICTURE_METADATA,
	PLT_PICTURE_FUA,
	PLT_PICTURE_FLUSH,	/* in the strips */
	PLT_PICTURE_MARK,
	PLT_PICTURE_PASS,
	PLT_PICTURE_SKIP,
	PLT_PICTURE_FLAKY,
	PLT_PICTURE_FAIL,
	PLT_PICTURE_COLOURS,
};
extern const uint8_t plt_picture_palette[PLT_PNG_COLOURS][4];

/* ---- report-axis.c ---- */

#define PLT_AXIS_PARTS	4096u	/* of the addresses, each of one height */

struct plt_axis {
	uint64_t end;		/* of the addresses drawn, bytes */
	uint64_t part;		/* bytes */
	uint32_t at[PLT_AXIS_PARTS + 1];	/* heights below each part */
};

void plt_axis_init(struct plt_axis *a, const struct platter_crash *crash);
/* Counted from the bottom. */
uint32_t plt_axis_y(const struct plt_axis *a, uint64_t address,
		    uint32_t height);
uint64_t plt_axis_address(const struct plt_axis *a, uint32_t y,
			  uint32_t height);

/* ---- report-picture.c ---- */

struct plt_picture {
	uint64_t columns;
	uint32_t width;		/* pixels */
	struct plt_axis axis;
	struct plt_png log;	/* without pixels where there is no log */
	struct plt_png flushes, marks;
	struct plt_png verdicts;
};

/* `crash` may be NULL: then there are only marks and verdicts. */
int plt_picture_draw(struct plt_picture *picture,
		     const struct platter_crash_report *report,
		     const struct platter_crash *crash,
		     struct platter_error *err) PLATTER_MUST_CHECK;
void plt_picture_free(struct plt_picture *picture);

#endif
