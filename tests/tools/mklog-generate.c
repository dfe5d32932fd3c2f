/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mklog: logs of any length, in patterns. */
#include <inttypes.h>
#include <stdio.h>

#include "mklog.h"

static uint64_t random_below(uint64_t *state, uint64_t n)
{
	return n ? next_random(state) % n : 0;
}

struct gen {
	const struct options *opt;
	uint64_t device;	/* log sectors */
	uint64_t unit;		/* log sectors of one write */
	uint64_t state;
	uint64_t next;		/* where `sequential' stands */
};

static void gen_unit(struct gen *g, struct entry *e)
{
	uint64_t slots = g->device / g->unit;

	e->nr = g->unit;
	e->sector = random_below(&g->state, slots) * g->unit;
}

static void gen_sequential(struct gen *g, struct entry *e)
{
	e->nr = g->unit;
	e->sector = g->next;
	g->next += g->unit;
	if (g->next + g->unit > g->device)
		g->next = 0;
}

/* Nine writes in ten go to the first hundredth of the device. */
static void gen_hot(struct gen *g, struct entry *e)
{
	uint64_t slots = g->device / g->unit;
	uint64_t hot = slots / 100 ? slots / 100 : 1;

	e->nr = g->unit;
	if (random_below(&g->state, 10))
		slots = hot;
	e->sector = random_below(&g->state, slots) * g->unit;
}

static void gen_range(struct gen *g, struct entry *e, uint64_t space,
		      uint64_t longest)
{
	if (longest > space)
		longest = space;
	e->nr = 1 + random_below(&g->state, longest);
	e->sector = random_below(&g->state, space - e->nr + 1);
}

/* Every kind of entry, sizes up to 128 sectors, any alignment. */
static void gen_mixed(struct gen *g, struct entry *e)
{
	uint64_t dice = random_below(&g->state, 100);

	gen_range(g, e, g->device, 128);
	if (dice < 70) {
		e->flags = dice < 20 ? FLAG_METADATA : 0;
	} else if (dice < 80) {
		e->flags = FLAG_FUA;
	} else if (dice < 88) {
		gen_range(g, e, g->device, 4096);
		e->flags = FLAG_DISCARD;
	} else if (dice < 94) {
		e->sector = e->nr = 0;
		e->flags = FLAG_FLUSH;
	} else if (dice < 98) {
		e->nr = 0;
		e->flags = FLAG_FLUSH | FLAG_FUA | FLAG_METADATA;
	} else {
		e->flags = FLAG_FLUSH;
	}
}

/*
 * Writes inside writes: each group of eight covers one sector with shorter
 * and shorter ranges, and groups pile up in one small window, so that an
 * interval index has to split and split again.
 */
static void gen_nested(struct gen *g, struct entry *e, uint64_t i)
{
	uint64_t window = g->device < 65536 ? g->device : 65536;
	uint64_t longest = 512 >> (i % 8);
	uint64_t group = g->opt->seed ^ (i / 8);
	uint64_t centre = random_below(&group, window);

	e->nr = 1 + random_below(&g->state, longest);
	e->sector = random_below(&g->state, e->nr);
	e->sector = centre > e->sector ? centre - e->sector : 0;
	if (e->nr > window - e->sector)
		e->nr = window - e->sector;
	if (!random_below(&g->state, 16))
		e->flags = FLAG_DISCARD;
}

static void gen_discard(struct gen *g, struct entry *e)
{
	gen_range(g, e, g->device, 1024);
	e->flags = FLAG_DISCARD;
}

static void gen_entry(struct gen *g, struct entry *e, uint64_t i)
{
	const char *p = g->opt->pattern;

	if (*p == 'r')
		gen_unit(g, e);
	else if (*p == 's')
		gen_sequential(g, e);
	else if (*p == 'h')
		gen_hot(g, e);
	else if (*p == 'm')
		gen_mixed(g, e);
	else if (*p == 'n')
		gen_nested(g, e, i);
	else
		gen_discard(g, e);
}

void run_generator(struct out *o, const struct options *opt)
{
	struct gen g = {
		.opt = opt,
		.device = opt->device_size / o->sector_size,
		.unit = opt->write_size / o->sector_size,
		.state = opt->seed,
	};
	uint64_t i, marks = 0;
	char text[32];

	if (!g.unit || g.device < g.unit)
		die("writes of %" PRIu64 " bytes do not fit sectors of %" PRIu64
		    " on a device of %" PRIu64, opt->write_size,
		    o->sector_size, opt->device_size);
	for (i = 0; i < opt->generate; i++) {
		struct entry e = { .data_len = 0 };
		struct fill f = { FILL_ENTRY, opt->seed * 0x100000001ULL + i };

		if (opt->mark_every && (i + 1) % opt->mark_every == 0) {
			int n = snprintf(text, sizeof(text), "m%" PRIu64,
					 ++marks);

			put_mark(o, text, (size_t)n, (uint64_t)n);
			continue;
		}
		if (opt->flush_every && (i + 1) % opt->flush_every == 0)
			e.flags = FLAG_FLUSH;
		else
			gen_entry(&g, &e, i);
		if (opt->hole_data)
			f.kind = FILL_HOLE;
		put_entry(o, &e, &f);
	}
}
