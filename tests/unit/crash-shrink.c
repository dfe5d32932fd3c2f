/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shrinking and bisecting, with a checker that looks at sectors: what is found
 * is 1-minimal by brute force, it is what was planted, and it is the same
 * however many states are tried at once.
 */
#include <errno.h>
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
#include "wlog/wlog.h"
#include "scratch-dir.h"

#define SECTOR		512u
#define DEVICE		64u		/* sectors */
#define MAX_ENTRIES	80u
#define MAX_LOOKS	6u
#define UNWRITTEN	UINT32_MAX

struct op {
	uint32_t sector, nr;
	uint64_t flags;
};

/* A sector is looked at; as part of a failure it holds that, or does not. */
struct look {
	uint32_t sector, entry;
	bool holds;
};

struct bench {
	struct platter_crash_checker checker, *list;
	struct look look[MAX_LOOKS];
	size_t nr_looks;
	uint64_t skip_from, skip_to;	/* points that are not told of */
	struct platter_context *ctx;
	struct platter_crash *crash;
	struct platter_crash_harness *harness;
	char path[32];
	char told[1u << 16];		/* states tried, in order */
};

/* ---- a log ---- */

static void put(FILE *f, uint64_t a, uint64_t b, uint64_t c)
{
	uint8_t h[SECTOR] = { 0 };

	plt_put_le64(h, a);
	plt_put_le64(h + 8, b);
	plt_put_le64(h + 16, c);
	assert_int_equal(fwrite(h, SECTOR, 1, f), 1);
}

/* Each sector says which entry it is of, counted from 1. */
static void write_log(struct bench *b, const struct op *op, uint32_t nr)
{
	uint8_t sector[SECTOR] = { 0 };
	FILE *f;
	int fd;

	strcpy(b->path, "crash-shrink.XXXXXX");
	fd = mkstemp(b->path);
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	plt_put_le64(sector, PLT_WLOG_MAGIC);
	plt_put_le64(sector + 8, 1);
	plt_put_le64(sector + 16, nr);
	plt_put_le32(sector + 24, SECTOR);
	assert_int_equal(fwrite(sector, SECTOR, 1, f), 1);
	memset(sector, 0, sizeof(sector));
	for (uint32_t i = 0; i < nr; i++) {
		put(f, op[i].sector, op[i].nr, op[i].flags);
		plt_put_le32(sector, i + 1);
		for (uint32_t s = 0; s < op[i].nr &&
				     !(op[i].flags & PLATTER_LOG_DISCARD); s++)
			assert_int_equal(fwrite(sector, SECTOR, 1, f), 1);
	}
	assert_int_equal(fclose(f), 0);
}

/* ---- the checker ---- */

static bool sees(struct platter_image *img, const struct look *l)
{
	uint8_t sector[SECTOR];

	assert_int_equal(platter_image_pread(img, sector, SECTOR,
					     (uint64_t)l->sector * SECTOR,
					     NULL), 0);
	return (plt_le32(sector) == l->entry + 1) == l->holds;
}

static int check(struct platter_crash_checker *checker,
		 const struct platter_crash_task *task,
		 struct platter_crash_result *result,
		 struct platter_error *err)
{
	const struct bench *b = (struct bench *)checker;
	const uint64_t point = platter_crash_state_point(task->state);
	bool all = true;

	(void)err;
	for (size_t i = 0; i < b->nr_looks; i++)
		all &= sees(task->img, &b->look[i]);
	result->verdict = all ? PLATTER_CRASH_FAIL : PLATTER_CRASH_PASS;
	if (point >= b->skip_from && point < b->skip_to)
		result->verdict = PLATTER_CRASH_SKIP;
	return 0;
}

static void begin(struct bench *b, const struct op *op, uint32_t nr)
{
	const struct platter_crash_options opts = {
		.log.index = "", .size = (uint64_t)DEVICE * SECTOR,
	};
	const struct platter_crash_harness_options harness = {
		.slots = 4, .checkers = &b->list, .nr_checkers = 1,
	};

	b->list = &b->checker;
	b->checker.check = check;
	b->checker.name = "looks";
	write_log(b, op, nr);
	assert_int_equal(platter_context_new(&b->ctx, NULL), 0);
	assert_int_equal(platter_crash_open(&b->crash, b->ctx, b->path, &opts,
					    NULL), 0);
	assert_int_equal(platter_crash_harness_new(&b->harness, &harness,
						   NULL), 0);
}

static void end(struct bench *b)
{
	platter_crash_harness_free(b->harness);
	platter_crash_close(b->crash);
	platter_context_free(b->ctx);
	unlink(b->path);
}

static int tell(void *arg, const char *state,
		const struct platter_crash_result *result, uint64_t left)
{
	struct bench *b = arg;
	size_t len = strlen(b->told);

	(void)left;
	snprintf(b->told + len, sizeof(b->told) - len, "%s=%d ", state,
		 result->verdict);
	return 0;
}

static int shrink(struct bench *b, const char *name, unsigned int slots,
		  struct platter_crash_cause *cause, struct platter_error *err)
{
	const struct platter_crash_shrink_options opts = {
		.harness = b->harness, .slots = slots,
		.model = PLATTER_CRASH_MODEL_SECTOR,
		.tried = tell, .arg = b,
	};
	struct platter_crash_state *state;
	int rc;

	b->told[0] = '\0';
	assert_int_equal(platter_crash_state_parse(&state, b->crash, name,
						   NULL), 0);
	rc = platter_crash_shrink(state, &opts, cause, err);
	platter_crash_state_unref(state);
	return rc;
}

static enum platter_crash_verdict
verdict_of(struct bench *b, const struct platter_crash_state *state)
{
	struct platter_crash_result result = { .output = NULL };
	enum platter_crash_verdict verdict;

	assert_int_equal(platter_crash_harness_check(b->harness, 0, state,
						     NULL, &result, NULL), 0);
	verdict = result.verdict;
	platter_crash_result_clear(&result);
	return verdict;
}

/* ---- 1-minimal ---- */

/* The state that fails, with one sector as it is in the one that passes. */
static void give_back(struct bench *b, const struct platter_crash_cause *cause,
		      size_t piece, uint32_t sector)
{
	struct platter_crash_state *state, *failing = cause->failing;
	struct plt_crash_item *items =
		calloc(failing->nr + 2, sizeof(*items));
	size_t n = 0;

	for (size_t i = 0; i < failing->nr; i++) {
		const struct plt_crash_item *it = &failing->item[i];
		const uint32_t last = it->first + it->count;

		items[n] = *it;
		if (it->entry != cause->pieces[piece].entry ||
		    sector < it->first || sector >= last) {
			n++;
			continue;
		}
		items[n].count = sector - it->first;
		n += !!items[n].count;
		items[n] = *it;
		items[n].first = sector + 1;
		items[n].count = last - sector - 1;
		n += !!items[n].count;
	}
	assert_int_equal(plt_crash_state_new(&state, b->crash, failing->point,
					     failing->discard, failing->rest,
					     items, n, NULL), 0);
	assert_int_not_equal(verdict_of(b, state), PLATTER_CRASH_FAIL);
	platter_crash_state_unref(state);
	free(items);
}

/* What is missing, all of its entries if they may be, and one that is not. */
static void take_away(struct bench *b, const struct platter_crash_cause *cause,
		      const struct platter_crash_piece *present)
{
	struct plt_crash_item items[MAX_ENTRIES * 8];
	struct platter_crash_state *state;
	uint64_t before = UINT64_MAX;
	size_t n = 0;

	for (size_t i = 0; i < cause->nr_pieces; i++) {
		const struct platter_crash_piece *p = &cause->pieces[i];
		const uint64_t length = b->crash->entry[p->entry].length;

		if (cause->whole && p->entry == before)
			continue;
		before = p->entry;
		items[n++] = (struct plt_crash_item){
			.entry = p->entry, .first = cause->whole ? 0 : p->first,
			.count = cause->whole ? (uint32_t)(length / SECTOR) :
						p->count,
			.fate = PLATTER_CRASH_DROPPED,
		};
	}
	for (size_t i = 0; i < cause->nr_present; i++) {
		const struct platter_crash_piece *p = &cause->present[i];

		if (p->entry == present->entry)
			items[n++] = (struct plt_crash_item){
				.entry = p->entry, .first = p->first,
				.count = p->count,
				.fate = PLATTER_CRASH_DROPPED,
			};
	}
	assert_int_equal(plt_crash_state_new(&state, b->crash,
					     cause->failing->point,
					     cause->failing->discard,
					     PLATTER_CRASH_KEPT, items, n,
					     NULL), 0);
	assert_int_not_equal(verdict_of(b, state), PLATTER_CRASH_FAIL);
	platter_crash_state_unref(state);
}

static void is_minimal(struct bench *b, const struct platter_crash_cause *c)
{
	assert_int_equal(verdict_of(b, c->failing), PLATTER_CRASH_FAIL);
	assert_int_equal(verdict_of(b, c->passing), PLATTER_CRASH_PASS);
	for (size_t i = 0; i < c->nr_pieces; i++)
		for (uint32_t j = 0; j < c->pieces[i].count; j++)
			if (c->pieces[i].fate != c->failing->rest)
				give_back(b, c, i, c->pieces[i].first + j);
	for (size_t i = 0; i < c->nr_present; i++)
		if (c->present[i].fate == PLATTER_CRASH_KEPT)
			take_away(b, c, &c->present[i]);
}

static uint32_t rnd(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Writes in a few epochs, and looks that some state in the last one fails. */
static uint32_t random_log(struct bench *b, struct op *op, uint32_t *seed)
{
	const uint32_t nr = 20 + rnd(seed) % 30;

	for (uint32_t i = 0; i < nr; i++) {
		op[i] = (struct op){ rnd(seed) % (DEVICE - 8),
				     1 + rnd(seed) % 8, 0 };
		if (rnd(seed) % 12 == 0 && i + 12 < nr)
			op[i] = (struct op){ 0, 0, PLATTER_LOG_FLUSH };
		else if (rnd(seed) % 10 == 0)
			op[i].flags = PLATTER_LOG_FUA;
	}
	b->nr_looks = 1 + rnd(seed) % 4;
	for (size_t i = 0; i < b->nr_looks; i++) {
		const uint32_t e = nr - 1 - rnd(seed) % 10;

		b->look[i] = (struct look){
			.sector = op[e].sector +
				  rnd(seed) % (op[e].nr + !op[e].nr),
			.entry = e, .holds = rnd(seed) % 2,
		};
	}
	return nr;
}

/* A state at random; false when it passes. */
static bool random_state(struct bench *b, uint32_t nr, uint32_t *seed,
			 char *name, size_t size)
{
	struct plt_crash_item items[MAX_ENTRIES];
	struct platter_crash_state *state;
	const uint64_t point = nr - rnd(seed) % 4;
	size_t n = 0;
	bool failed;

	for (uint64_t i = b->crash->flushed[point]; i < point; i++) {
		const struct plt_crash_entry *e = &b->crash->entry[i];
		const uint32_t sectors = (uint32_t)(e->length / SECTOR);

		if (!plt_crash_is_pending(e, point) || rnd(seed) % 2)
			continue;
		items[n] = (struct plt_crash_item){
			.entry = i, .first = rnd(seed) % sectors,
			.fate = PLATTER_CRASH_DROPPED,
		};
		items[n].count = 1 + rnd(seed) % (sectors - items[n].first);
		n++;
	}
	assert_int_equal(plt_crash_state_new(&state, b->crash, point,
					     PLATTER_CRASH_DISCARD_ZERO,
					     PLATTER_CRASH_KEPT, items, n,
					     NULL), 0);
	failed = verdict_of(b, state) == PLATTER_CRASH_FAIL;
	snprintf(name, size, "%s", platter_crash_state_name(state));
	platter_crash_state_unref(state);
	return failed;
}

static void one_random(struct bench *b, uint32_t nr, uint32_t *seed,
		       unsigned int *shrunk)
{
	struct platter_crash_cause one, many;
	struct platter_error err = PLATTER_ERROR_INIT;
	char name[2048], *told;
	int rc;

	if (!random_state(b, nr, seed, name, sizeof(name)))
		return;
	rc = shrink(b, name, 1, &one, &err);
	told = strdup(b->told);
	assert_int_equal(shrink(b, name, 4, &many, NULL), rc);
	assert_string_equal(b->told, told);
	free(told);
	if (!rc) {
		is_minimal(b, &one);
		assert_string_equal(platter_crash_state_name(one.failing),
				    platter_crash_state_name(many.failing));
		assert_string_equal(one.sentence, many.sentence);
		assert_int_equal(one.tried, many.tried);
		++*shrunk;
	} else {
		assert_int_equal(rc, -ENOENT);
	}
	platter_crash_cause_clear(&one);
	platter_crash_cause_clear(&many);
}

static void what_is_found_is_1_minimal(void **state)
{
	unsigned int shrunk = 0;
	uint32_t seed = 5;

	(void)state;
	for (unsigned int i = 0; i < 60; i++) {
		struct bench b = { .nr_looks = 0 };
		struct op op[MAX_ENTRIES];
		uint32_t nr = random_log(&b, op, &seed);

		begin(&b, op, nr);
		for (unsigned int j = 0; j < 12; j++)
			one_random(&b, nr, &seed, &shrunk);
		end(&b);
	}
	assert_true(shrunk > 100);
}

/* ---- what was planted ---- */

/* 0-5 and a flush, then 7 (8 sectors), 8, 9 and 10 to themselves. */
static const struct op planted[] = {
	{ 0, 1, 0 }, { 1, 1, 0 }, { 2, 1, 0 }, { 3, 1, 0 }, { 4, 1, 0 },
	{ 5, 1, 0 }, { 0, 0, PLATTER_LOG_FLUSH },
	{ 8, 8, 0 }, { 20, 1, 0 }, { 21, 1, 0 }, { 22, 4, 0 },
	{ 0, 0, PLATTER_LOG_FLUSH },
};

static void finds(const char *name, const struct look *look, size_t nr,
		  const char *failing, const char *sentence)
{
	struct bench b = { .nr_looks = nr };
	struct platter_crash_cause cause;

	memcpy(b.look, look, nr * sizeof(*look));
	begin(&b, planted, PLT_ARRAY_SIZE(planted));
	assert_int_equal(shrink(&b, name, 2, &cause, NULL), 0);
	assert_string_equal(platter_crash_state_name(cause.failing), failing);
	assert_string_equal(cause.sentence, sentence);
	is_minimal(&b, &cause);
	platter_crash_cause_clear(&cause);
	end(&b);
}

#define FINDS(name, failing, sentence, ...)				\
	finds(name, (const struct look[]){ __VA_ARGS__ },		\
	      PLT_ARRAY_SIZE(((const struct look[]){ __VA_ARGS__ })),	\
	      failing, sentence)

static void one_is_missing_while_another_is_present(void **state)
{
	(void)state;
	FINDS("11-7,8", "10-8", "entry 8 (sector 20) missing while 9 (sector "
	      "21) is present", { 20, 8, false }, { 21, 9, true });
	FINDS("11+9", "10-8", "entry 8 (sector 20) missing while 9 (sector "
	      "21) is present", { 20, 8, false }, { 21, 9, true });
}

/* The sectors of entry 7 hold the same, and each of them missing is a state of
 * its own: what is known of one says nothing of the others. */
static void the_same_elsewhere_is_not_the_same(void **state)
{
	(void)state;
	FINDS("11-7", "10-7[2]", "entry 7 (sectors 8-15) missing while 9 "
	      "(sector 21) is present; sector 2 of it is enough",
	      { 10, 7, false }, { 21, 9, true });
}

/* Entry 0 is discarded by entry 2, and entry 3 makes that durable. */
static void what_discards_leave_is_a_cause(void **state)
{
	static const struct op op[] = {
		{ 4, 1, 0 }, { 0, 0, PLATTER_LOG_FLUSH },
		{ 4, 1, PLATTER_LOG_DISCARD }, { 0, 0, PLATTER_LOG_FLUSH },
		{ 5, 1, 0 }, { 6, 1, 0 },
	};
	struct bench b = { .look = { { 4, 0, true } }, .nr_looks = 1 };
	struct platter_crash_cause cause;

	(void)state;
	begin(&b, op, PLT_ARRAY_SIZE(op));
	assert_int_equal(shrink(&b, "6-5~old", 2, &cause, NULL), 0);
	assert_string_equal(cause.sentence, "discards that are durable leave "
			    "what was there");
	assert_int_equal(verdict_of(&b, cause.failing), PLATTER_CRASH_FAIL);
	assert_int_equal(verdict_of(&b, cause.passing), PLATTER_CRASH_PASS);
	platter_crash_cause_clear(&cause);
	/* Of what fails with zeros, too, nothing is said of them. */
	b.look[0] = (struct look){ 6, 5, false };
	assert_int_equal(shrink(&b, "6-5~old", 2, &cause, NULL), 0);
	assert_string_equal(platter_crash_state_name(cause.failing), "6-5");
	platter_crash_cause_clear(&cause);
	end(&b);
}

static void two_are_missing(void **state)
{
	(void)state;
	FINDS("11-7..9", "10+7", "entry 8 (sector 20) and entry 9 (sector "
	      "21) missing", { 20, 8, false }, { 21, 9, false });
}

static void a_write_is_torn(void **state)
{
	(void)state;
	FINDS("11-7[2:6],9", "8-7[3]", "sector 3 of entry 7 (sector 11) "
	      "missing while the rest of it is present",
	      { 11, 7, false }, { 8, 7, true });
}

static void a_prefix_lacks_what_comes_behind_it(void **state)
{
	(void)state;
	FINDS("9", "11-10[0]", "entry 10 (sectors 22-25) missing while 8 "
	      "(sector 20) is present; sector 0 of it is enough",
	      { 22, 10, false }, { 20, 8, true });
}

static void a_write_should_not_be_there(void **state)
{
	(void)state;
	FINDS("11-7", "9-7", "entry 8 (sector 20) present", { 20, 8, true });
}

/* ---- what there is nothing to be done about ---- */

static void a_state_that_passes_is_an_error(void **state)
{
	struct bench b = {
		.look = { { 20, 8, false } }, .nr_looks = 1,
	};
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_crash_cause cause;

	(void)state;
	begin(&b, planted, PLT_ARRAY_SIZE(planted));
	assert_int_equal(shrink(&b, "12", 1, &cause, &err), -EINVAL);
	assert_string_equal(err.msg, "state 12 does not fail: pass; nothing "
			    "to shrink");
	platter_crash_cause_clear(&cause);
	end(&b);
}

static void where_nothing_passes_is_an_error(void **state)
{
	struct bench b = { .nr_looks = 0 };	/* all fails */
	struct platter_crash_cause cause;

	(void)state;
	begin(&b, planted, PLT_ARRAY_SIZE(planted));
	assert_int_equal(shrink(&b, "11-8", 1, &cause, NULL), -ENOENT);
	platter_crash_cause_clear(&cause);
	end(&b);
}

/* ---- bisecting ---- */

struct memory {
	enum platter_crash_verdict verdict[MAX_ENTRIES];
	bool known[MAX_ENTRIES];
	unsigned int asked;
};

static int known(void *arg, uint64_t point,
		 enum platter_crash_verdict *v)
{
	const struct memory *m = arg;

	*v = m->verdict[point];
	return m->known[point];
}

static int remember(void *arg, const struct platter_crash_state *state,
		    const struct platter_crash_result *result, uint64_t left,
		    struct platter_error *err)
{
	struct memory *m = arg;
	const uint64_t point = platter_crash_state_point(state);

	(void)left;
	(void)err;
	m->asked++;
	m->known[point] = true;
	m->verdict[point] = result->verdict;
	return 0;
}

static int bisect(struct bench *b, uint64_t good, uint64_t bad,
		  struct memory *m, struct platter_crash_first *first)
{
	const struct platter_crash_bisect_options opts = {
		.harness = b->harness, .good = good, .bad = bad,
		.known = known, .tried = remember, .arg = m,
	};

	return platter_crash_bisect(b->crash, &opts, first, NULL);
}

static void bisect_finds_each_point(void **state)
{
	(void)state;
	for (uint32_t e = 0; e < 11; e++) {
		struct bench b = {
			.look = { { planted[e].sector, e, true } },
			.nr_looks = 1,
		};
		struct platter_crash_first first;
		struct memory m = { .asked = 0 };

		if (!planted[e].nr)
			continue;
		begin(&b, planted, PLT_ARRAY_SIZE(planted));
		assert_int_equal(bisect(&b, 0, 12, &m, &first), 0);
		assert_int_equal(first.bad, e + 1);
		assert_int_equal(first.good, e);
		assert_true(first.tried <= 6);
		/* And again from memory. */
		assert_int_equal(bisect(&b, 0, 12, &m, &first), 0);
		assert_int_equal(first.bad, e + 1);
		assert_int_equal(first.tried, 0);
		end(&b);
	}
}

static void bisect_steps_around_what_is_skipped(void **state)
{
	(void)state;
	for (uint64_t from = 1; from < 11; from++) {
		for (uint64_t to = from + 1; to < 11; to++) {
			struct bench b = {
				.look = { { 4, 4, true } }, .nr_looks = 1,
				.skip_from = from, .skip_to = to,
			};
			struct platter_crash_first first;
			struct memory m = { .asked = 0 };
			/* Behind the flush it is as in front of it. */
			const uint64_t next = to == 7 ? 8 : to;

			begin(&b, planted, PLT_ARRAY_SIZE(planted));
			assert_int_equal(bisect(&b, 0, 12, &m, &first), 0);
			assert_int_equal(first.bad, from <= 5 && to > 5 ?
					 next : 5);
			assert_int_equal(first.good, from <= 5 && to >= 5 ?
					 PLT_MIN(from - 1, UINT64_C(4)) : 4);
			end(&b);
		}
	}
}

static void bisect_needs_ends_that_differ(void **state)
{
	struct bench b = { .look = { { 4, 4, true } }, .nr_looks = 1 };
	struct platter_crash_first first;
	struct memory m = { .asked = 0 };

	(void)state;
	begin(&b, planted, PLT_ARRAY_SIZE(planted));
	assert_int_equal(bisect(&b, 0, 4, &m, &first), -EINVAL);
	assert_int_equal(bisect(&b, 6, 12, &m, &first), -EINVAL);
	assert_int_equal(bisect(&b, 12, 12, &m, &first), -EINVAL);
	assert_int_equal(bisect(&b, 0, 13, &m, &first), -EINVAL);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_found_is_1_minimal),
		cmocka_unit_test(one_is_missing_while_another_is_present),
		cmocka_unit_test(the_same_elsewhere_is_not_the_same),
		cmocka_unit_test(what_discards_leave_is_a_cause),
		cmocka_unit_test(two_are_missing),
		cmocka_unit_test(a_write_is_torn),
		cmocka_unit_test(a_prefix_lacks_what_comes_behind_it),
		cmocka_unit_test(a_write_should_not_be_there),
		cmocka_unit_test(a_state_that_passes_is_an_error),
		cmocka_unit_test(where_nothing_passes_is_an_error),
		cmocka_unit_test(bisect_finds_each_point),
		cmocka_unit_test(bisect_steps_around_what_is_skipped),
		cmocka_unit_test(bisect_needs_ends_that_differ),
	};

	return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
