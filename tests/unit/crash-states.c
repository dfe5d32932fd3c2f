/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Crash states against the plainest model there is: an array of bytes, to which
 * the entries are applied one by one as each sector's fate says. And their
 * names: both ways, the same for the same state, and nothing but an error for
 * what is none.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <platter/platter.h>

#include "base/endian.h"
#include "base/mem.h"
#include "crash/crash.h"
#include "scratch-dir.h"

#define SECTOR	512u
#define DEVICE	48u		/* sectors */
#define BYTES	(DEVICE * SECTOR)
#define BASE	(40u * SECTOR)	/* the base is shorter than the disk */
#define ENTRIES	60u

struct op {
	uint32_t sector, nr;
	uint32_t flags;
	uint32_t issue;
};

/* A state as the model sees it: a fate for each sector of each entry. */
struct fates {
	uint64_t point;
	enum platter_crash_discard discard;
	enum platter_crash_fate of[ENTRIES][DEVICE];
};

struct model {
	struct op op[ENTRIES];
	uint64_t durable[ENTRIES];
	char log[40], base[40];
	struct platter_context *ctx;
	struct platter_crash *crash;
};

static uint32_t rnd(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* ---- a log, and what of it is durable ---- */

static void fill(struct model *m, uint32_t *seed)
{
	for (uint32_t i = 0; i < ENTRIES; i++) {
		struct op *op = &m->op[i];
		const uint32_t kind = rnd(seed) % 32;

		*op = (struct op){ .sector = rnd(seed) % DEVICE };
		op->nr = 1 + rnd(seed) % (kind < 3 ? DEVICE : 8);
		if (kind == 3 || kind == 4)	/* a hot sector */
			op->sector = 7, op->nr = 1;
		if (kind == 5 || kind == 6)
			op->flags = PLATTER_LOG_DISCARD;
		if (kind == 7)
			op->flags = PLATTER_LOG_DISCARD | PLATTER_LOG_FUA;
		if (kind == 8)
			op->flags = PLATTER_LOG_FLUSH, op->nr = 0;
		if (kind == 9)
			op->flags = PLATTER_LOG_FLUSH;
		if (kind == 10)
			op->flags = PLATTER_LOG_FLUSH | PLATTER_LOG_FUA;
		if (kind == 11 || kind == 12)
			op->flags = PLATTER_LOG_FUA;
		if (kind == 13)
			op->flags = PLATTER_LOG_MARK, op->nr = op->sector = 0;
		if (op->sector + op->nr > DEVICE)
			op->nr = DEVICE - op->sector;
		/* Issued a little before or after its neighbours, or unknown. */
		op->issue = rnd(seed) % 4 ? 8 + i * 2 + rnd(seed) % 16 : 0;
	}
	m->op[ENTRIES - 1] = (struct op){ .sector = DEVICE - 1, .nr = 1 };
}

static void find_durable(struct model *m, bool strict)
{
	for (uint32_t i = 0; i < ENTRIES; i++) {
		const struct op *op = &m->op[i];

		m->durable[i] = UINT64_MAX;
		if (op->flags & PLATTER_LOG_FUA && op->nr)
			m->durable[i] = i + 1;
		for (uint32_t f = i + 1; f < ENTRIES; f++) {
			if (m->durable[i] != UINT64_MAX ||
			    !(m->op[f].flags & PLATTER_LOG_FLUSH))
				continue;
			if (!strict || !op->issue || !m->op[f].issue ||
			    op->issue <= m->op[f].issue)
				m->durable[i] = f + 1;
		}
	}
}

static void write_header(FILE *f, const struct op *op, uint32_t i)
{
	uint8_t h[SECTOR] = { 0 };

	plt_put_le64(h, op->sector);
	plt_put_le64(h + 8, op->nr);
	plt_put_le64(h + 16, op->flags);
	if (op->flags & PLATTER_LOG_MARK) {
		plt_put_le64(h + 24, sprintf((char *)h + 32, "m%u", i));
	} else if (op->issue) {
		memcpy(h + PLT_WLOG_EXT_OFFSET, PLT_WLOG_EXT_TAG, 8);
		plt_put_le64(h + PLT_WLOG_EXT_OFFSET + 8, op->issue);
	}
	assert_int_equal(fwrite(h, SECTOR, 1, f), 1);
}

/* What an entry, or the base (UINT32_MAX), has in a sector of the disk. */
static void content(uint8_t *out, uint32_t entry, uint32_t sector)
{
	for (uint32_t i = 0; i < SECTOR; i += 8) {
		plt_put_le32(out + i, entry);
		plt_put_le32(out + i + 4, sector << 16 | i);
	}
}

static FILE *new_file(char *path, const char *name)
{
	int fd;

	sprintf(path, "%s.XXXXXX", name);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	return fdopen(fd, "w");
}

static void write_files(struct model *m)
{
	uint8_t sector[SECTOR] = { 0 };
	FILE *f = new_file(m->base, "crash-states-base");

	for (uint32_t s = 0; s < BASE / SECTOR; s++) {
		content(sector, UINT32_MAX, s);
		assert_int_equal(fwrite(sector, SECTOR, 1, f), 1);
	}
	assert_int_equal(fclose(f), 0);
	f = new_file(m->log, "crash-states");
	memset(sector, 0, SECTOR);
	plt_put_le64(sector, PLT_WLOG_MAGIC);
	plt_put_le64(sector + 8, 1);
	plt_put_le64(sector + 16, ENTRIES);
	plt_put_le32(sector + 24, SECTOR);
	assert_int_equal(fwrite(sector, SECTOR, 1, f), 1);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		write_header(f, &m->op[i], i);
		if (m->op[i].flags & PLATTER_LOG_DISCARD)
			continue;
		for (uint32_t s = 0; s < m->op[i].nr; s++) {
			content(sector, i, m->op[i].sector + s);
			assert_int_equal(fwrite(sector, SECTOR, 1, f), 1);
		}
	}
	assert_int_equal(fclose(f), 0);
}

static void open_model(struct model *m, uint32_t *seed, bool strict)
{
	struct platter_crash_options opts = { .base_format = "raw" };
	struct platter_error err = PLATTER_ERROR_INIT;

	fill(m, seed);
	find_durable(m, strict);
	write_files(m);
	opts.base = m->base;
	opts.cover = strict ? PLATTER_CRASH_COVER_STRICT :
		     PLATTER_CRASH_COVER_LOGGED;
	assert_int_equal(platter_context_new(&m->ctx, &err), 0);
	if (platter_crash_open(&m->crash, m->ctx, m->log, &opts, &err))
		fail_msg("%s", err.msg);
	/* Open files need no names, and a test that fails leaves none. */
	unlink(m->log);
	unlink(m->base);
}

static void close_model(struct model *m)
{
	platter_crash_close(m->crash);
	platter_context_free(m->ctx);
}

/* ---- states of the model ---- */

static bool is_pending(const struct model *m, uint32_t i, uint64_t point)
{
	return i < point && m->op[i].nr && m->durable[i] > point;
}

static bool may_be_early(const struct model *m, uint32_t i, uint64_t point)
{
	if (i < point || !m->op[i].nr)
		return false;
	for (uint32_t f = point; f <= i; f++)
		if (m->op[f].flags & PLATTER_LOG_FLUSH)
			return false;
	return true;
}

static enum platter_crash_fate any_fate(const struct op *op, uint32_t *seed)
{
	static const enum platter_crash_fate of_write[] = {
		PLATTER_CRASH_KEPT, PLATTER_CRASH_DROPPED, PLATTER_CRASH_SHORN,
		PLATTER_CRASH_GARBAGE,
	}, of_discard[] = {
		PLATTER_CRASH_KEPT, PLATTER_CRASH_DROPPED,
		PLATTER_CRASH_PATTERN,
	};

	return op->flags & PLATTER_LOG_DISCARD ? of_discard[rnd(seed) % 3] :
	       of_write[rnd(seed) % 4];
}

/* Mostly whole writes, some in pieces; few or many that are unlike the rest. */
static void any_state(const struct model *m, struct fates *f, uint32_t *seed)
{
	const uint32_t style = rnd(seed) % 4, rare = 1 + rnd(seed) % 12;
	const enum platter_crash_fate rest = rnd(seed) % 2 ?
		PLATTER_CRASH_KEPT : PLATTER_CRASH_DROPPED;

	memset(f, 0, sizeof(*f));	/* DURABLE: nothing to choose */
	f->point = rnd(seed) % (ENTRIES + 1);
	f->discard = rnd(seed) % 6 < 4 ? 0 : 1 + rnd(seed) % 2;
	for (uint32_t i = 0; i < ENTRIES; i++) {
		const struct op *op = &m->op[i];
		enum platter_crash_fate fate = rest;

		if (may_be_early(m, i, f->point) && style == 3)
			fate = PLATTER_CRASH_EARLY;
		else if (!is_pending(m, i, f->point))
			continue;
		else if (rnd(seed) % rare == 0)
			fate = any_fate(op, seed);
		for (uint32_t s = 0; s < op->nr; s++) {
			f->of[i][s] = fate;
			if (style < 2 || rnd(seed) % 3)
				continue;
			f->of[i][s] = fate != PLATTER_CRASH_EARLY ?
				      any_fate(op, seed) :
				      PLATTER_CRASH_DURABLE;
		}
	}
}

/* What one sector of an entry does to the disk. */
static void apply(const struct model *m, const struct fates *f, uint32_t i,
		  uint32_t s, uint8_t *disk)
{
	const struct op *op = &m->op[i];
	const uint64_t at = (uint64_t)(op->sector + s) * SECTOR;
	enum platter_crash_fate fate = f->of[i][s];
	uint8_t new[SECTOR];

	if (i >= f->point ? fate != PLATTER_CRASH_EARLY :
			    fate == PLATTER_CRASH_DROPPED)
		return;
	if (op->flags & PLATTER_LOG_DISCARD) {
		memset(new, 0, SECTOR);
		if (fate == PLATTER_CRASH_DURABLE &&
		    f->discard == PLATTER_CRASH_DISCARD_OLD)
			return;
		if (fate == PLATTER_CRASH_PATTERN ||
		    (fate == PLATTER_CRASH_DURABLE &&
		     f->discard == PLATTER_CRASH_DISCARD_PATTERN))
			plt_wlog_noise(PLT_WLOG_PATTERN, at, new, SECTOR);
	} else {
		content(new, i, op->sector + s);
		if (fate == PLATTER_CRASH_GARBAGE)
			plt_wlog_noise(PLT_WLOG_GARBAGE, at, new, SECTOR);
	}
	memcpy(disk + at, new, fate == PLATTER_CRASH_SHORN ? SECTOR / 2 :
	       SECTOR);
}

static void expect(const struct model *m, const struct fates *f, uint8_t *disk)
{
	memset(disk, 0, BYTES);
	for (uint32_t s = 0; s < BASE / SECTOR; s++)
		content(disk + s * SECTOR, UINT32_MAX, s);
	for (uint32_t i = 0; i < ENTRIES; i++)
		for (uint32_t s = 0; s < m->op[i].nr; s++)
			apply(m, f, i, s, disk);
}

/* ---- the same, by the library ---- */

static struct platter_crash_state *make(const struct model *m,
					const struct fates *f,
					enum platter_crash_fate rest,
					uint32_t *seed)
{
	struct plt_crash_item item[ENTRIES * DEVICE];
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_crash_state *state = NULL;
	size_t nr = 0;

	for (uint32_t i = 0; i < ENTRIES; i++)
		for (uint32_t s = 0; s < m->op[i].nr; s++) {
			if (f->of[i][s] == PLATTER_CRASH_DURABLE ||
			    (f->of[i][s] == rest && rnd(seed) % 8))
				continue;
			item[nr++] = (struct plt_crash_item){
				.entry = i, .first = s, .count = 1,
				.fate = f->of[i][s],
			};
		}
	for (size_t i = 1; i < nr && rnd(seed) % 2; i++) {
		const size_t j = rnd(seed) % i;
		const struct plt_crash_item swap = item[i];

		item[i] = item[j];
		item[j] = swap;
	}
	if (plt_crash_state_new(&state, m->crash, f->point, f->discard, rest,
				item, nr, &err))
		fail_msg("%s", err.msg);
	return state;
}

static void check_reads(struct platter_image *img, const uint8_t *disk,
			uint32_t *seed)
{
	uint8_t got[BYTES];

	assert_int_equal(platter_image_size(img), BYTES);
	assert_int_equal(platter_image_pread(img, got, BYTES, 0, NULL), 0);
	assert_memory_equal(got, disk, BYTES);
	for (unsigned int i = 0; i < 8; i++) {
		const uint32_t at = rnd(seed) % BYTES;
		const uint32_t len = 1 + rnd(seed) % (BYTES - at);

		assert_int_equal(platter_image_pread(img, got, len, at, NULL),
				 0);
		assert_memory_equal(got, disk + at, len);
	}
}

static void check_map(struct platter_image *img, const uint8_t *disk)
{
	struct platter_extent e[256];
	size_t count = 256;
	uint64_t at = 0;

	assert_int_equal(platter_image_map(img, 0, BYTES, e, &count, NULL), 0);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(e[i].offset, at);
		for (uint64_t b = 0; b < e[i].length; b++)
			if (e[i].flags & PLATTER_EXTENT_ZERO)
				assert_int_equal(disk[at + b], 0);
		at += e[i].length;
	}
}

static void check_image(const struct platter_crash_state *state,
			const uint8_t *disk, uint32_t *seed)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *img;

	if (platter_crash_state_image(&img, state, &err))
		fail_msg("%s", err.msg);
	check_reads(img, disk, seed);
	check_map(img, disk);
	assert_int_equal(platter_image_close(img, NULL), 0);
}

static void reads_as_the_model(bool strict)
{
	for (uint32_t seed = 1, n = 0; n < 12; n++) {
		uint8_t disk[BYTES];
		struct fates f;
		struct model m;

		open_model(&m, &seed, strict);
		for (unsigned int i = 0; i < 150; i++) {
			struct platter_crash_state *a, *b;

			any_state(&m, &f, &seed);
			expect(&m, &f, disk);
			a = make(&m, &f, PLATTER_CRASH_KEPT, &seed);
			b = make(&m, &f, PLATTER_CRASH_DROPPED, &seed);
			check_image(a, disk, &seed);
			check_image(b, disk, &seed);
			assert_string_equal(platter_crash_state_name(a),
					    platter_crash_state_name(b));
			platter_crash_state_unref(a);
			platter_crash_state_unref(b);
		}
		close_model(&m);
	}
}

static void states_read_as_the_model_says(void **state)
{
	(void)state;
	reads_as_the_model(false);
}

static void states_do_so_with_strict_cover(void **state)
{
	(void)state;
	reads_as_the_model(true);
}

static void durable_points_are_those_of_the_model(void **state)
{
	uint32_t seed = 77;

	(void)state;
	for (unsigned int n = 0; n < 20; n++) {
		struct model m;

		open_model(&m, &seed, n % 2);
		assert_int_equal(m.crash->nr, ENTRIES);
		for (uint64_t p = 0; p <= ENTRIES; p++) {
			uint64_t first = 0;

			while (first < p && !is_pending(&m, first, p))
				first++;
			assert_int_equal(m.crash->flushed[p], first);
		}
		for (uint32_t i = 0; i < ENTRIES; i++)
			if (m.op[i].nr)
				assert_int_equal(m.crash->entry[i].durable,
						 m.durable[i]);
		close_model(&m);
	}
}

/* ---- threads ---- */

#define THREADS 8

struct reader {
	pthread_t thread;
	struct platter_crash_state *state;
	struct platter_image *img;	/* shared */
	const uint8_t *disk;
	uint32_t seed;
	unsigned int wrong;
};

/* One node for all, one of its own, the name, and another hold. */
static void *read_along(void *arg)
{
	struct reader *r = arg;
	struct platter_crash_state *mine = platter_crash_state_ref(r->state);
	struct platter_image *img = NULL;
	uint8_t got[BYTES];

	r->wrong += !!platter_crash_state_image(&img, mine, NULL);
	for (unsigned int i = 0; i < 100 && !r->wrong; i++) {
		const uint32_t at = rnd(&r->seed) % BYTES;
		const uint32_t len = 1 + rnd(&r->seed) % (BYTES - at);

		r->wrong += !!platter_image_pread(i % 2 ? img : r->img, got,
						  len, at, NULL);
		r->wrong += !!memcmp(got, r->disk + at, len);
	}
	r->wrong += !strlen(platter_crash_state_name(mine));
	platter_image_close(img, NULL);
	platter_crash_state_unref(mine);
	return NULL;
}

static void threads_share_states(void **state)
{
	struct reader r[THREADS];
	struct platter_image *img;
	uint32_t seed = 21;
	struct model m;

	(void)state;
	open_model(&m, &seed, false);
	for (unsigned int n = 0; n < 10; n++) {
		struct platter_crash_state *st;
		uint8_t disk[BYTES];
		struct fates f;

		any_state(&m, &f, &seed);
		expect(&m, &f, disk);
		st = make(&m, &f, PLATTER_CRASH_KEPT, &seed);
		assert_int_equal(platter_crash_state_image(&img, st, NULL), 0);
		for (unsigned int i = 0; i < THREADS; i++) {
			r[i] = (struct reader){ .state = st, .img = img,
						.disk = disk, .seed = i };
			assert_int_equal(pthread_create(&r[i].thread, NULL,
							read_along, &r[i]), 0);
		}
		for (unsigned int i = 0; i < THREADS; i++) {
			pthread_join(r[i].thread, NULL);
			assert_int_equal(r[i].wrong, 0);
		}
		platter_image_close(img, NULL);
		platter_crash_state_unref(st);
	}
	close_model(&m);
}

/* ---- parts ---- */

struct tally {
	struct platter_crash_part_visitor visitor;
	const struct model *m;
	const struct fates *f;
	uint64_t entry, sector;		/* of the part before, its end */
	uint32_t seen;
};

static int tally_part(struct platter_crash_part_visitor *self,
		      const struct platter_crash_part *part,
		      struct platter_error *err)
{
	struct tally *t = (struct tally *)self;
	const uint64_t i = part->entry.number;

	(void)err;
	assert_true(i > t->entry || t->entry == UINT64_MAX ||
		    (i == t->entry && part->first >= t->sector));
	assert_int_equal(part->entry.start / SECTOR, t->m->op[i].sector);
	for (uint32_t s = part->first; s < part->first + part->count; s++) {
		assert_true(s < t->m->op[i].nr);
		assert_int_equal(part->fate, t->f->of[i][s]);
		t->seen += part->fate != PLATTER_CRASH_DURABLE;
	}
	t->entry = i;
	t->sector = part->first + part->count;
	return 0;
}

static void parts_tell_every_fate(void **state)
{
	uint32_t seed = 5;
	struct model m;

	(void)state;
	open_model(&m, &seed, false);
	for (unsigned int n = 0; n < 200; n++) {
		struct platter_crash_state *st;
		struct fates f;
		struct tally t = {
			.visitor = { .visit = tally_part }, .m = &m, .f = &f,
			.entry = UINT64_MAX,
		};
		uint32_t wanted = 0;

		any_state(&m, &f, &seed);
		for (uint32_t i = 0; i < ENTRIES; i++)
			for (uint32_t s = 0; s < m.op[i].nr; s++)
				wanted += f.of[i][s] != PLATTER_CRASH_DURABLE;
		st = make(&m, &f, n % 2 ? PLATTER_CRASH_KEPT :
			  PLATTER_CRASH_DROPPED, &seed);
		assert_int_equal(platter_crash_state_parts(st, &t.visitor,
							   NULL), 0);
		assert_int_equal(t.seen, wanted);
		platter_crash_state_unref(st);
	}
	close_model(&m);
}

/* ---- differences ---- */

static bool inside(const struct plt_crash_ranges *r, uint64_t at)
{
	for (size_t i = 0; i < r->nr; i++)
		if (at >= r->range[i].offset &&
		    at - r->range[i].offset < r->range[i].length)
			return true;
	return false;
}

static void differences_are_in_the_ranges(void **state)
{
	struct plt_crash_ranges r = { .nr = 0 };
	uint8_t x[BYTES], y[BYTES];
	unsigned int told = 0;
	uint32_t seed = 9;
	struct model m;

	(void)state;
	open_model(&m, &seed, true);
	for (unsigned int n = 0; n < 300; n++) {
		struct platter_crash_state *a, *b;
		struct fates f, g;
		int rc;

		any_state(&m, &f, &seed);
		any_state(&m, &g, &seed);
		if (n % 2)
			g.discard = f.discard;
		expect(&m, &f, x);
		expect(&m, &g, y);
		a = make(&m, &f, n % 3 ? PLATTER_CRASH_KEPT :
			 PLATTER_CRASH_DROPPED, &seed);
		b = make(&m, &g, n % 5 ? PLATTER_CRASH_KEPT :
			 PLATTER_CRASH_DROPPED, &seed);
		rc = plt_crash_state_diff(a, b, n % 7 ? 1000 : 2, &r, NULL);
		assert_true(rc == 0 || rc == 1);
		for (uint32_t i = 0; i < BYTES && !rc; i++)
			assert_true(x[i] == y[i] || inside(&r, i));
		told += !rc;
		platter_crash_state_unref(a);
		platter_crash_state_unref(b);
	}
	assert_true(told > 100);
	plt_crash_ranges_free(&r);
	close_model(&m);
}

/* ---- names ---- */

static struct platter_crash_state *parse(const struct model *m,
					 const char *name)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_crash_state *st = NULL;

	if (platter_crash_state_parse(&st, m->crash, name, &err))
		fail_msg("%s", err.msg);
	return st;
}

static void names_come_back(void **state)
{
	uint32_t seed = 3;
	struct model m;

	(void)state;
	open_model(&m, &seed, false);
	for (unsigned int n = 0; n < 400; n++) {
		struct platter_crash_state *a, *b;
		uint8_t disk[BYTES];
		struct fates f;

		any_state(&m, &f, &seed);
		expect(&m, &f, disk);
		a = make(&m, &f, n % 2 ? PLATTER_CRASH_KEPT :
			 PLATTER_CRASH_DROPPED, &seed);
		b = parse(&m, platter_crash_state_name(a));
		assert_string_equal(platter_crash_state_name(a),
				    platter_crash_state_name(b));
		check_image(b, disk, &seed);
		platter_crash_state_unref(a);
		platter_crash_state_unref(b);
	}
	close_model(&m);
}

/*
 * Whatever is typed is a state, whose name then stands for it, or refused in
 * one line that begins with it.
 */
static void meet(const struct model *m, const char *name, unsigned int *legal)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_crash_state *a, *b;
	int rc = platter_crash_state_parse(&a, m->crash, name, &err);

	if (rc) {
		assert_true(rc == -EINVAL || rc == -ENOENT);
		assert_int_equal(strncmp(err.msg, "state ", 6), 0);
		assert_null(strchr(err.msg, '\n'));
		return;
	}
	b = parse(m, platter_crash_state_name(a));
	assert_string_equal(platter_crash_state_name(a),
			    platter_crash_state_name(b));
	assert_true(strlen(platter_crash_state_name(a)) <= strlen(name) ||
		    strstr(name, ".."));
	platter_crash_state_unref(a);
	platter_crash_state_unref(b);
	(*legal)++;
}

static void spoilt_names_are_states_or_refused(void **state)
{
	static const char letters[] = "0123456789,,..--++[]::^~sgpold@ m";
	unsigned int legal = 0;
	uint32_t seed = 11;
	struct model m;

	(void)state;
	open_model(&m, &seed, false);
	for (unsigned int n = 0; n < 20000; n++) {
		struct platter_crash_state *st;
		char name[4096];
		struct fates f;
		size_t len;

		any_state(&m, &f, &seed);
		st = make(&m, &f, PLATTER_CRASH_KEPT, &seed);
		snprintf(name, sizeof(name) - 8, "%s",
			 platter_crash_state_name(st));
		platter_crash_state_unref(st);
		for (unsigned int k = rnd(&seed) % 4; k; k--) {
			const uint32_t at = rnd(&seed) % (strlen(name) + 1);

			len = strlen(name);
			if (rnd(&seed) % 3 == 0)
				memmove(name + at, name + at + !!name[at],
					len - at + !name[at]);
			else if (rnd(&seed) % 2 && name[at])
				name[at] = letters[rnd(&seed) % 33];
			else if (len < 4000) {
				memmove(name + at + 1, name + at,
					len - at + 1);
				name[at] = letters[rnd(&seed) % 33];
			}
		}
		meet(&m, name, &legal);
	}
	assert_true(legal > 4000);
	close_model(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durable_points_are_those_of_the_model),
		cmocka_unit_test(states_read_as_the_model_says),
		cmocka_unit_test(states_do_so_with_strict_cover),
		cmocka_unit_test(threads_share_states),
		cmocka_unit_test(parts_tell_every_fate),
		cmocka_unit_test(differences_are_in_the_ranges),
		cmocka_unit_test(names_come_back),
		cmocka_unit_test(spoilt_names_are_states_or_refused),
	};

	return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
