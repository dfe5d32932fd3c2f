/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The axis of addresses. A file system writes to a few places of a disk, far
 * apart; drawn to scale they would be specks. So ranges nobody writes to are
 * squeezed to a little of the height, and all else is to scale.
 */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/crash.h"
#include "crash/report-picture.h"

#define FULL		4096u	/* height of a part that is written to */
#define GAP		40u	/* a squeezed range takes so little of all */

static void touch(struct plt_axis *a, const struct plt_crash_entry *e)
{
	const uint64_t last = PLT_MIN((e->start + e->length - 1) / a->part,
				      (uint64_t)PLT_AXIS_PARTS - 1);

	for (uint64_t i = e->start / a->part; i <= last; i++)
		a->at[i + 1] = FULL;
}

/* mkfs discards all there is, to where nobody writes. */
static bool counts(const struct plt_crash_entry *e)
{
	return plt_crash_writes(e) && !plt_crash_is_discard(e);
}

static void find_parts(struct plt_axis *a, const struct platter_crash *crash)
{
	for (uint64_t i = 0; i < crash->nr; i++) {
		const struct plt_crash_entry *e = &crash->entry[i];

		if (counts(e))
			a->end = PLT_MAX(a->end, e->start + e->length);
	}
	if (!a->end)
		a->end = PLT_MAX(crash->size, (uint64_t)1);
	a->part = a->end / PLT_AXIS_PARTS + 1;
	for (uint64_t i = 0; i < crash->nr; i++) {
		if (counts(&crash->entry[i]))
			touch(a, &crash->entry[i]);
	}
}

/* The parts from `from` on that nobody writes to. */
static uint32_t run_of(const struct plt_axis *a, uint32_t from)
{
	uint32_t nr = 0;

	while (from + nr < PLT_AXIS_PARTS && !a->at[from + nr + 1])
		nr++;
	return nr;
}

void plt_axis_init(struct plt_axis *a, const struct platter_crash *crash)
{
	uint32_t written = 0, gap;

	*a = (struct plt_axis){ 0 };
	find_parts(a, crash);
	for (uint32_t i = 1; i <= PLT_AXIS_PARTS; i++)
		written += a->at[i];
	if (!written)
		written = FULL;
	gap = written / GAP + 1;
	for (uint32_t i = 0; i < PLT_AXIS_PARTS; i++) {
		uint32_t run = run_of(a, i);
		const uint32_t high = run ? PLT_MIN(FULL, gap / run) : 0;

		/* So many parts that none has any height: the first has. */
		if (run && !high)
			a->at[i + 1] = gap;
		while (run--)
			a->at[++i] += high;
	}
	for (uint32_t i = 0; i < PLT_AXIS_PARTS; i++)
		a->at[i + 1] += a->at[i];
}

uint32_t plt_axis_y(const struct plt_axis *a, uint64_t address,
		    uint32_t height)
{
	const uint64_t i = PLT_MIN(address / a->part,
				   (uint64_t)PLT_AXIS_PARTS - 1);
	const uint64_t in = PLT_MIN(address - i * a->part, a->part);
	const uint64_t high = a->at[i + 1] - a->at[i];

	return (uint32_t)((a->at[i] + (uint64_t)((__uint128_t)high * in /
						 a->part)) *
			  height / a->at[PLT_AXIS_PARTS]);
}

uint64_t plt_axis_address(const struct plt_axis *a, uint32_t y,
			  uint32_t height)
{
	const uint64_t at = (uint64_t)a->at[PLT_AXIS_PARTS] * y / height;
	uint32_t i = 0;

	while (i + 1 < PLT_AXIS_PARTS && a->at[i + 1] < at)
		i++;
	if (a->at[i + 1] == a->at[i])
		return PLT_MIN(i * a->part, a->end);
	return PLT_MIN(i * a->part + (at - a->at[i]) * a->part /
			       (a->at[i + 1] - a->at[i]), a->end);
}
