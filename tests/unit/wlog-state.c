/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The index and the state at a point, against the plainest model there is: an
 * array with one number per sector, the entry that wrote it last.
 */
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
#include "wlog/wlog.h"

#define SECTOR	512u
#define DEVICE	96u		/* sectors */
#define ENTRIES	120u
#define NOBODY	UINT32_MAX

struct op {
	uint32_t sector, nr;
	uint32_t flags;
};

struct model {
	struct op op[ENTRIES];
	char path[32];
	struct platter_context *ctx;
	struct platter_log *log;
};

static uint32_t rnd(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void write_header(FILE *f, uint64_t a, uint64_t b, uint64_t c)
{
	uint8_t h[SECTOR] = { 0 };

	plt_put_le64(h, a);
	plt_put_le64(h + 8, b);
	plt_put_le64(h + 16, c);
	assert_int_equal(fwrite(h, SECTOR, 1, f), 1);
}

static void write_log(struct model *m)
{
	uint8_t sector[SECTOR] = { 0 };
	FILE *f;
	int fd;

	strcpy(m->path, "wlog-state.XXXXXX");
	fd = mkstemp(m->path);
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	plt_put_le64(sector, PLT_WLOG_MAGIC);
	plt_put_le64(sector + 8, 1);
	plt_put_le64(sector + 16, ENTRIES);
	plt_put_le32(sector + 24, SECTOR);
	assert_int_equal(fwrite(sector, SECTOR, 1, f), 1);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		const struct op *op = &m->op[i];

		write_header(f, op->sector, op->nr, op->flags);
		if (op->flags & PLATTER_LOG_DISCARD)
			continue;
		/* Each sector says which entry it is of, and which sector. */
		for (uint32_t s = 0; s < op->nr; s++) {
			plt_put_le32(sector, i);
			plt_put_le32(sector + 4, op->sector + s);
			assert_int_equal(fwrite(sector, SECTOR, 1, f), 1);
		}
	}
	assert_int_equal(fclose(f), 0);
}

static void fill(struct model *m, uint32_t seed)
{
	for (uint32_t i = 0; i < ENTRIES; i++) {
		struct op *op = &m->op[i];
		const uint32_t kind = rnd(&seed) % 16;

		op->flags = 0;
		op->sector = rnd(&seed) % DEVICE;
		op->nr = 1 + rnd(&seed) % (kind < 3 ? DEVICE : 8);
		if (kind == 3)		/* a hot sector */
			op->sector = 7, op->nr = 1;
		if (kind == 4)
			op->flags = PLATTER_LOG_DISCARD;
		if (kind == 5)
			op->flags = PLATTER_LOG_FLUSH, op->nr = 0;
		if (kind == 6)
			op->flags = PLATTER_LOG_FUA;
		if (op->sector + op->nr > DEVICE)
			op->nr = DEVICE - op->sector;
	}
}

static void open_model(struct model *m, uint32_t seed)
{
	struct platter_error err = PLATTER_ERROR_INIT;

	fill(m, seed);
	write_log(m);
	assert_int_equal(platter_context_new(&m->ctx, &err), 0);
	assert_int_equal(platter_log_open(&m->log, m->ctx, m->path, NULL,
					  &err), 0);
	assert_int_equal(platter_log_index(m->log, NULL, &err), 0);
}

static void close_model(struct model *m)
{
	platter_log_close(m->log);
	platter_context_free(m->ctx);
	unlink(m->path);
}

/* Who wrote each sector last among the entries in [from, to). */
static void expect(const struct model *m, const struct plt_wlog_state *st,
		   uint32_t last[DEVICE])
{
	for (uint32_t s = 0; s < DEVICE; s++)
		last[s] = NOBODY;
	for (uint64_t i = st->from; i < st->to; i++) {
		const struct op *op = &m->op[i];

		if (st->no_discard && op->flags & PLATTER_LOG_DISCARD)
			continue;
		for (uint32_t s = 0; s < op->nr; s++)
			last[op->sector + s] = i;
	}
}

static void check_segment(const struct model *m,
			  const struct plt_wlog_segment *seg,
			  const uint32_t last[DEVICE])
{
	uint8_t sector[SECTOR];
	struct platter_error err;

	assert_true(seg->length > 0);
	for (uint64_t at = seg->start; at < seg->start + seg->length;
	     at += SECTOR - at % SECTOR) {
		const uint32_t s = at / SECTOR, who = last[s];

		if (seg->kind == PLT_WLOG_NONE) {
			assert_int_equal(who, NOBODY);
			continue;
		}
		assert_int_not_equal(who, NOBODY);
		assert_int_equal(seg->kind == PLT_WLOG_ZERO,
				 !!(m->op[who].flags & PLATTER_LOG_DISCARD));
		if (seg->kind == PLT_WLOG_DATA)
			assert_int_equal(who, seg->entry);
		else
			assert_true(who <= seg->entry);
		if (seg->kind == PLT_WLOG_ZERO || at % SECTOR)
			continue;
		assert_int_equal(platter_image_pread(m->log->img, sector,
						     SECTOR, seg->log_offset +
						     (at - seg->start), &err),
				 0);
		assert_int_equal(plt_le32(sector), who);
		assert_int_equal(plt_le32(sector + 4), s);
	}
}

static void check_state(const struct model *m,
			const struct plt_wlog_state *st, uint64_t offset,
			uint64_t end, size_t room)
{
	struct plt_wlog_segment segs[DEVICE];
	uint32_t last[DEVICE];
	struct platter_error err;
	size_t n;

	expect(m, st, last);
	while (offset < end) {
		n = room;
		assert_int_equal(plt_wlog_state_map(st, offset, end - offset,
						    segs, &n, &err), 0);
		assert_in_range(n, 1, room);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(segs[i].start, offset);
			check_segment(m, &segs[i], last);
			offset += segs[i].length;
		}
		assert_true(offset <= end);
	}
	assert_int_equal(offset, end);
}

static void every_prefix_matches_the_model(void **unused)
{
	struct model m;

	(void)unused;
	for (uint32_t seed = 1; seed <= 12; seed++) {
		open_model(&m, seed);
		for (uint64_t n = 0; n <= ENTRIES; n++) {
			struct plt_wlog_state st = { .log = m.log, .to = n };

			check_state(&m, &st, 0, DEVICE * SECTOR, DEVICE);
			st.no_discard = true;
			check_state(&m, &st, 0, DEVICE * SECTOR, 3);
		}
		close_model(&m);
	}
}

/* Walks that go on where they stopped, disturbed by others in between. */
static void a_resumed_walk_matches_the_model(void **unused)
{
	struct plt_wlog_resume *resume;
	struct platter_error err;
	uint32_t seed = 5;
	struct model m;

	(void)unused;
	open_model(&m, 41);
	for (uint64_t n = 0; n <= ENTRIES; n++) {
		struct plt_wlog_state st = { .log = m.log, .to = n };

		assert_int_equal(plt_wlog_resume_new(&resume, &err), 0);
		st.resume = resume;
		for (uint64_t at = 0; at < DEVICE * SECTOR; at += 5 * SECTOR) {
			uint64_t x = rnd(&seed) % (DEVICE * SECTOR);
			uint64_t end = at + 5 * SECTOR;

			if (end > DEVICE * SECTOR)
				end = DEVICE * SECTOR;
			check_state(&m, &st, at, end, 2);
			if (rnd(&seed) % 3 == 0)
				check_state(&m, &st, x, DEVICE * SECTOR, 3);
		}
		plt_wlog_resume_free(resume);
	}
	close_model(&m);
}

static void any_window_between_any_points_matches_the_model(void **unused)
{
	uint32_t seed = 99;
	struct model m;

	(void)unused;
	open_model(&m, 77);
	for (int i = 0; i < 3000; i++) {
		uint64_t a = rnd(&seed) % (ENTRIES + 1);
		uint64_t b = rnd(&seed) % (ENTRIES + 1);
		uint64_t x = rnd(&seed) % (DEVICE * SECTOR);
		uint64_t y = x + 1 + rnd(&seed) % (DEVICE * SECTOR - x);
		const struct plt_wlog_state st = {
			.log = m.log,
			.from = a < b ? a : b,
			.to = a < b ? b : a,
			.no_discard = rnd(&seed) % 2,
		};

		check_state(&m, &st, x, y, 1 + rnd(&seed) % 5);
	}
	close_model(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_prefix_matches_the_model),
		cmocka_unit_test(a_resumed_walk_matches_the_model),
		cmocka_unit_test(
			any_window_between_any_points_matches_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
