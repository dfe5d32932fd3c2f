/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random states: so many at each crash point.
 *
 * Each has its own generator, seeded by seed, point and number, so that it is
 * the same whatever was drawn before, and on every machine. Tossing a coin for
 * each unit would always give about the same half of a large epoch; so a state
 * first draws how much of it is there, and how often writes are torn.
 */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/walk.h"

#define PARTS_MAX	256u	/* pieces a write is torn into */

/* splitmix64: any state will do, also those that follow each other. */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static bool chance(uint64_t *state, unsigned int of_256)
{
	return (draw(state) >> 56) < of_256;
}

static int add_torn(struct platter_crash_walk *w, size_t index, uint32_t parts,
		    unsigned int density, uint64_t *rng,
		    struct platter_error *err)
{
	const uint32_t nr = PLT_MIN(parts, PARTS_MAX);
	uint32_t first, count;
	int rc = 0;

	for (uint64_t i = 0; i < nr && !rc; i++) {
		if (!chance(rng, density))
			continue;
		plt_crash_walk_part(w, index, parts * i / nr,
				    parts * (i + 1) / nr, &first, &count);
		rc = plt_crash_candidate_add(w, index, first, count, err);
	}
	return rc;
}

static int next_random(struct platter_crash_walk *w, struct platter_error *err)
{
	static const uint8_t densities[] = { 128, 64, 192, 16, 240, 128, 32,
					     224 };
	static const uint8_t tears[] = { 0, 16, 64, 255 };
	const struct plt_crash_effort *e = plt_crash_walk_effort(w, w->point);
	struct plt_crash_cursor *c = &w->cursor;
	unsigned int density, torn;
	uint64_t rng;
	int rc = 0;

	if (c->i == e->random || !w->nr_choices)
		return 1;
	rng = e->seed;
	rng = draw(&rng) ^ w->point;
	rng = draw(&rng) ^ c->i++;
	density = densities[draw(&rng) % PLT_ARRAY_SIZE(densities)];
	torn = tears[draw(&rng) % PLT_ARRAY_SIZE(tears)];
	plt_crash_candidate_begin(w, PLATTER_CRASH_DROPPED);
	for (size_t i = 0; i < w->nr_choices && !rc; i++) {
		const size_t index = w->choice[i];
		const uint32_t parts = plt_crash_walk_parts(w, index);

		if (parts > 1 && chance(&rng, torn))
			rc = add_torn(w, index, parts, density, &rng, err);
		else if (chance(&rng, density))
			rc = plt_crash_candidate_add(w, index, 0,
				plt_crash_walk_sectors(w, index), err);
	}
	if (!rc)
		plt_crash_candidate_end(w);
	return rc;
}

const struct plt_crash_maker plt_crash_make_random = {
	.begin = plt_crash_walk_choices,
	.next = next_random,
};
