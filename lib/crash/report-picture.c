/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Drawing the log and the verdicts.
 *
 * A pixel that many entries share shows the one that is rarest and says most;
 * the numbers of the colours are in that order. A failing state is never
 * hidden by those around it.
 */
#include "crash/report-picture.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/crash.h"

#define WIDTH		1440u	/* pixels, where there are as many columns */
#define HEIGHT		360u
#define VERDICTS	24u	/* pixels of the strip's height */
#define COLUMN_MAX	24u	/* pixels of one, where there are few */
#define WRITE_MIN	2u	/* pixels of a write, so that it is seen */
#define FAIL_MIN	3u	/* pixels of a column with a failing state */
/* With more flushes than one in so many pixels lines would cover all. */
#define FLUSH_SPACE	5u

/* On white and on black alike: the page has both. */
const uint8_t plt_picture_palette[PLT_PNG_COLOURS][4] = {
	[PLT_PICTURE_NOTHING] = { 0, 0, 0, 0 },
	[PLT_PICTURE_FLUSHED] = { 128, 134, 144, 76 },
	[PLT_PICTURE_FAILED] = { 229, 57, 53, 64 },
	[PLT_PICTURE_DISCARD] = { 148, 128, 176, 96 },
	[PLT_PICTURE_WRITE] = { 47, 129, 215, 255 },
	[PLT_PICTURE_METADATA] = { 20, 164, 148, 255 },
	[PLT_PICTURE_FUA] = { 240, 140, 0, 255 },
	[PLT_PICTURE_FLUSH] = { 128, 134, 144, 255 },
	[PLT_PICTURE_MARK] = { 156, 90, 220, 255 },
	[PLT_PICTURE_PASS] = { 46, 160, 67, 255 },
	[PLT_PICTURE_SKIP] = { 140, 149, 159, 255 },
	[PLT_PICTURE_FLAKY] = { 227, 179, 16, 255 },
	[PLT_PICTURE_FAIL] = { 229, 57, 53, 255 },
};

static int new_image(struct plt_png *png, uint32_t width, uint32_t height,
		     struct platter_error *err)
{
	png->width = width;
	png->height = height;
	memcpy(png->palette, plt_picture_palette, sizeof(png->palette));
	png->pixels = plt_calloc(height, width, err);
	return png->pixels ? 0 : -ENOMEM;
}

/* The pixels of a column: the first, and the one behind the last. */
static uint32_t left_of(const struct plt_picture *p, uint64_t column)
{
	return (uint32_t)((__uint128_t)column * p->width / p->columns);
}

static uint32_t right_of(const struct plt_picture *p, uint64_t column)
{
	const uint32_t left = left_of(p, column);

	return PLT_MAX(left_of(p, column + 1), left + 1);
}

static void fill(struct plt_png *png, uint32_t x0, uint32_t x1, uint32_t y0,
		 uint32_t y1, enum plt_picture_colour colour)
{
	x1 = PLT_MIN(x1, png->width);
	y1 = PLT_MIN(y1, png->height);
	for (uint32_t y = y0; y < y1; y++) {
		uint8_t *row = png->pixels + (size_t)y * png->width;

		for (uint32_t x = x0; x < x1; x++)
			row[x] = PLT_MAX(row[x], (uint8_t)colour);
	}
}

/* ---- the log ---- */

static enum plt_picture_colour kind(const struct plt_crash_entry *e)
{
	if (e->flags & PLATTER_LOG_DISCARD)
		return PLT_PICTURE_DISCARD;
	if (e->flags & PLATTER_LOG_FUA)
		return PLT_PICTURE_FUA;
	return e->flags & PLATTER_LOG_METADATA ? PLT_PICTURE_METADATA :
						 PLT_PICTURE_WRITE;
}

/* Address 0 is at the bottom. */
static void draw_write(struct plt_picture *p, uint64_t column,
		       const struct plt_crash_entry *e)
{
	const uint32_t h = p->log.height;
	uint32_t low = plt_axis_y(&p->axis, e->start, h);
	uint32_t high = plt_axis_y(&p->axis, e->start + e->length, h);

	/* At the upper edge there is room below only. */
	if (high < low + WRITE_MIN)
		high = low + WRITE_MIN;
	if (high > h) {
		high = h;
		low = PLT_MIN(low, high - WRITE_MIN);
	}
	fill(&p->log, left_of(p, column), right_of(p, column), h - high,
	     h - low, kind(e));
}

static void draw_entries(struct plt_picture *p,
			 const struct platter_crash *crash)
{
	for (uint64_t i = 0; i < crash->nr; i++) {
		const struct plt_crash_entry *e = &crash->entry[i];

		if (e->flags & PLATTER_LOG_FLUSH)
			fill(&p->flushes, left_of(p, i + 1),
			     right_of(p, i + 1), 0, 1, PLT_PICTURE_FLUSH);
		if (plt_crash_writes(e))
			draw_write(p, i + 1, e);
	}
}

static void draw_flush_lines(struct plt_picture *p)
{
	const uint8_t *strip = p->flushes.pixels;
	uint32_t nr = 0;

	for (uint32_t x = 0; x < p->width; x++)
		nr += strip[x] && !(x && strip[x - 1]);
	if (nr > p->width / FLUSH_SPACE)
		return;
	for (uint32_t x = 0; x < p->width; x++) {
		if (strip[x] && !(x && strip[x - 1]))
			fill(&p->log, x, x + 1, 0, HEIGHT,
			     PLT_PICTURE_FLUSHED);
	}
}

static int draw_log(struct plt_picture *p, const struct platter_crash *crash,
		    struct platter_error *err)
{
	int rc;

	rc = new_image(&p->log, p->width, HEIGHT, err);
	if (!rc)
		rc = new_image(&p->flushes, p->width, 1, err);
	if (rc)
		return rc;
	plt_axis_init(&p->axis, crash);
	draw_entries(p, crash);
	draw_flush_lines(p);
	for (uint64_t i = 0; i < crash->nr_marks; i++)
		fill(&p->marks, left_of(p, crash->mark[i] + 1),
		     right_of(p, crash->mark[i] + 1), 0, 1, PLT_PICTURE_MARK);
	return 0;
}

/* ---- the verdicts ---- */

/* Results that share a pixel. */
struct pixel {
	uint64_t nr, failed, flaky, skipped;
};

static void count_result(struct pixel *pixel, enum platter_crash_verdict v)
{
	pixel->nr++;
	pixel->failed += v == PLATTER_CRASH_FAIL;
	pixel->flaky += v == PLATTER_CRASH_FLAKY || v == PLATTER_CRASH_ERROR;
	pixel->skipped += v == PLATTER_CRASH_SKIP;
}

/* How high a share is drawn: enough to be seen, all only for all. */
static uint32_t height_of(uint64_t part, uint64_t nr)
{
	if (!part)
		return 0;
	return VERDICTS / 3 + (uint32_t)((__uint128_t)(VERDICTS - VERDICTS / 3)
					 * part / nr);
}

/* From the bottom: what failed, what is not sure, the rest. */
static void draw_pixel(struct plt_picture *p, uint32_t x,
		       const struct pixel *pixel)
{
	const uint32_t failed = height_of(pixel->failed, pixel->nr);
	const uint32_t flaky = height_of(pixel->flaky + pixel->failed,
					 pixel->nr);
	struct plt_png *strip = &p->verdicts;

	fill(strip, x, x + 1, 0, VERDICTS, pixel->skipped == pixel->nr ?
	     PLT_PICTURE_SKIP : PLT_PICTURE_PASS);
	fill(strip, x, x + 1, VERDICTS - flaky, VERDICTS, PLT_PICTURE_FLAKY);
	/* A lone one must be seen among a thousand pixels. */
	if (failed)
		fill(strip, x - PLT_MIN(x, FAIL_MIN / 2),
		     x + 1 + FAIL_MIN / 2, VERDICTS - failed, VERDICTS,
		     PLT_PICTURE_FAIL);
	if (failed && p->log.pixels)
		fill(&p->log, x, x + 1, 0, HEIGHT, PLT_PICTURE_FAILED);
}

static int draw_verdicts(struct plt_picture *p,
			 const struct platter_crash_report *r,
			 struct platter_error *err)
{
	struct pixel *pixels plt_auto_free = NULL;
	uint64_t point = 0;

	pixels = plt_calloc(p->width, sizeof(*pixels), err);
	if (!pixels)
		return -ENOMEM;
	for (size_t i = 0; i < r->nr; i++) {
		const struct plt_crash_kept *k = &r->kept[i];
		uint32_t x;

		/* A recovery's points are of a log that is not drawn. */
		if (k->depth < 2)
			point = PLT_MIN(k->point, p->columns - 1);
		for (x = left_of(p, point); x < right_of(p, point); x++)
			count_result(&pixels[x],
				     (enum platter_crash_verdict)k->verdict);
		if (k->mark_entry < p->columns - 1)
			fill(&p->marks, left_of(p, k->mark_entry + 1),
			     right_of(p, k->mark_entry + 1), 0, 1,
			     PLT_PICTURE_MARK);
	}
	for (uint32_t x = 0; x < p->width; x++) {
		if (pixels[x].nr)
			draw_pixel(p, x, &pixels[x]);
	}
	return 0;
}

/* ---- all ---- */

int plt_picture_draw(struct plt_picture *picture,
		     const struct platter_crash_report *report,
		     const struct platter_crash *crash,
		     struct platter_error *err)
{
	struct plt_picture *p = picture;
	int rc;

	*p = (struct plt_picture){ .columns = report->run.entries + 1 };
	p->width = WIDTH;
	if (p->columns <= WIDTH)
		p->width = (uint32_t)(p->columns * PLT_MIN(WIDTH / p->columns,
							   COLUMN_MAX));
	rc = new_image(&p->marks, p->width, 1, err);
	if (!rc)
		rc = new_image(&p->verdicts, p->width, VERDICTS, err);
	if (!rc && crash)
		rc = draw_log(p, crash, err);
	if (!rc)
		rc = draw_verdicts(p, report, err);
	if (rc)
		plt_picture_free(p);
	return rc;
}

void plt_picture_free(struct plt_picture *picture)
{
	free(picture->log.pixels);
	free(picture->flushes.pixels);
	free(picture->marks.pixels);
	free(picture->verdicts.pixels);
	*picture = (struct plt_picture){ 0 };
}
