/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which states a walk makes, against brute force: on logs so small that every
 * subset of what is pending can be tried, unit by unit as the model has it.
 *
 * Each sector of a log is filled with one of four bytes, so that writes often
 * change nothing and different writes leave the same; a content of the disk is
 * then a byte for each sector.
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
#include "crash/units.h"
#include "scratch-dir.h"

#define SECTOR	512u
#define DEVICE	12u		/* sectors */
#define BASE	8u		/* of them in the base */
#define ENTRIES	14u
#define BYTES	4u		/* that sectors are filled with */
#define LOGS	80u
#define BITS	10u		/* of exhaustive */
#define SETS	(1u << 18)	/* states in all */

#define assert_ok(rc, e)						\
	do {								\
		int rc_ = (rc);						\
									\
		if (rc_)						\
			print_error("%s\n", (e)->msg);			\
		assert_int_equal(rc_, 0);				\
	} while (0)

struct op {
	uint32_t sector, nr, flags;
};

struct model {
	struct op op[ENTRIES];
	uint8_t byte[ENTRIES][DEVICE], base[DEVICE];
	struct plt_hash128 hash[256][DEVICE];
	char log[40], image[40];
	bool has_base;
	struct platter_context *ctx;
	struct platter_crash *crash;
};

/* What a state is known by. */
struct key {
	struct plt_hash128 hash;
	uint64_t mark;
};

struct keys {
	struct key *at;
	size_t nr;
};

static uint32_t rnd(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* ---- logs ---- */

static void fill(struct model *m, uint32_t *seed)
{
	for (uint32_t i = 0; i < ENTRIES; i++) {
		struct op *op = &m->op[i];
		const uint32_t kind = rnd(seed) % 24;

		*op = (struct op){ .sector = rnd(seed) % DEVICE };
		op->nr = 1 + rnd(seed) % (kind < 2 ? DEVICE : 4);
		if (kind == 2 || kind == 3)
			op->flags = PLATTER_LOG_DISCARD;
		if (kind == 4)
			op->flags = PLATTER_LOG_DISCARD | PLATTER_LOG_FUA;
		if (kind == 5 || kind == 6)
			op->flags = PLATTER_LOG_FLUSH, op->nr = 0;
		if (kind == 7)
			op->flags = PLATTER_LOG_FLUSH;
		if (kind == 8)
			op->flags = PLATTER_LOG_FLUSH | PLATTER_LOG_FUA;
		if (kind == 9 || kind == 10)
			op->flags = PLATTER_LOG_FUA;
		if (kind == 11)
			op->flags = PLATTER_LOG_MARK, op->nr = op->sector = 0;
		if (op->sector + op->nr > DEVICE)
			op->nr = DEVICE - op->sector;
		for (uint32_t s = 0; s < op->nr; s++)
			m->byte[i][op->sector + s] =
				op->flags & PLATTER_LOG_DISCARD ? 0 :
				rnd(seed) % BYTES;
	}
	for (uint32_t s = 0; s < DEVICE; s++)
		m->base[s] = m->has_base && s < BASE ? rnd(seed) % BYTES : 0;
}

static FILE *new_file(char *path, const char *name)
{
	int fd;

	strcpy(path, name);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	return fdopen(fd, "w");
}

static void put_sector(FILE *f, uint8_t byte)
{
	uint8_t sector[SECTOR];

	memset(sector, byte, SECTOR);
	assert_int_equal(fwrite(sector, SECTOR, 1, f), 1);
}

static void write_files(struct model *m, uint32_t *seed)
{
	FILE *f = new_file(m->log, "crash-walk.XXXXXX");
	uint8_t h[SECTOR] = { 0 };

	plt_put_le64(h, PLT_WLOG_MAGIC);
	plt_put_le64(h + 8, 1);
	plt_put_le64(h + 16, ENTRIES);
	plt_put_le32(h + 24, SECTOR);
	assert_int_equal(fwrite(h, SECTOR, 1, f), 1);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		const struct op *op = &m->op[i];

		memset(h, 0, SECTOR);
		plt_put_le64(h, op->sector);
		plt_put_le64(h + 8, op->nr);
		plt_put_le64(h + 16, op->flags);
		if (op->flags & PLATTER_LOG_MARK) {
			plt_put_le64(h + 24, sprintf((char *)h + 32, "m%u",
						     i));
		} else {
			/* Issued a little before or after its neighbours. */
			memcpy(h + PLT_WLOG_EXT_OFFSET, PLT_WLOG_EXT_TAG, 8);
			plt_put_le64(h + PLT_WLOG_EXT_OFFSET + 8,
				     8 + i * 2 + rnd(seed) % 8);
		}
		assert_int_equal(fwrite(h, SECTOR, 1, f), 1);
		for (uint32_t s = 0; s < op->nr; s++)
			if (!(op->flags & PLATTER_LOG_DISCARD))
				put_sector(f, m->byte[i][op->sector + s]);
	}
	assert_int_equal(fclose(f), 0);
	f = new_file(m->image, "crash-walk.XXXXXX");
	for (uint32_t s = 0; s < BASE; s++)
		put_sector(f, m->base[s]);
	assert_int_equal(fclose(f), 0);
}

static void open_model(struct model *m, uint32_t seed)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_crash_options opts = {
		.base_format = "raw", .size = DEVICE * SECTOR,
		.cover = seed % 3 ? PLATTER_CRASH_COVER_LOGGED :
			 PLATTER_CRASH_COVER_STRICT,
	};
	uint8_t sector[SECTOR];

	memset(m, 0, sizeof(*m));
	m->has_base = seed % 2;
	fill(m, &seed);
	write_files(m, &seed);
	opts.base = m->has_base ? m->image : NULL;
	assert_ok(platter_context_new(&m->ctx, &err), &err);
	assert_ok(platter_crash_open(&m->crash, m->ctx, m->log, &opts, &err),
		  &err);
	for (unsigned int b = 0; b < 256; b++) {
		memset(sector, b, SECTOR);
		for (uint32_t s = 0; s < DEVICE; s++)
			m->hash[b][s] = plt_crash_sector_hash(
				plt_xxh3_128(sector, SECTOR), s);
	}
}

static void close_model(struct model *m)
{
	platter_crash_close(m->crash);
	platter_context_free(m->ctx);
	unlink(m->log);
	unlink(m->image);
}

/* ---- contents by brute force ---- */

/* What the entries before `p` leave, without those pending that are not kept
 * and with the early ones that are. */
static void apply(const struct model *m, uint64_t p, uint64_t kept,
		  uint8_t disk[DEVICE])
{
	memcpy(disk, m->base, DEVICE);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		if (m->crash->entry[i].durable > p && !(kept >> i & 1))
			continue;
		for (uint32_t s = 0; s < m->op[i].nr; s++)
			disk[m->op[i].sector + s] =
				m->byte[i][m->op[i].sector + s];
	}
}

static uint64_t pending_at(const struct model *m, uint64_t p)
{
	uint64_t set = 0;

	for (uint32_t i = 0; i < p; i++)
		if (plt_crash_is_pending(&m->crash->entry[i], p))
			set |= UINT64_C(1) << i;
	return set;
}

/* ... and those up to the next flush. */
static uint64_t early_at(const struct model *m, uint64_t p)
{
	uint64_t set = 0;

	for (uint32_t i = p; i < ENTRIES; i++) {
		if (m->op[i].flags & PLATTER_LOG_FLUSH)
			break;
		if (m->op[i].nr)
			set |= UINT64_C(1) << i;
	}
	return set;
}

static struct plt_hash128 hash_bytes(const struct model *m,
				     const uint8_t disk[DEVICE])
{
	struct plt_hash128 h = { 0, 0 };

	for (uint32_t s = 0; s < DEVICE; s++)
		h = plt_hash128_add(h, plt_hash128_sub(m->hash[disk[s]][s],
						m->hash[m->base[s]][s]));
	return h;
}

static uint64_t mark_at(const struct model *m, uint64_t p)
{
	for (uint64_t i = p; i-- > 0;)
		if (m->op[i].flags & PLATTER_LOG_MARK)
			return i;
	return UINT64_MAX;
}

static bool is_crash_point(const struct model *m, uint64_t p)
{
	if (p == ENTRIES || m->op[p].flags & PLATTER_LOG_FLUSH)
		return true;
	return p && (m->op[p - 1].flags & PLATTER_LOG_MARK ||
		     (m->op[p - 1].flags & PLATTER_LOG_FUA &&
		      m->op[p - 1].nr));
}

static void add_key(struct keys *k, struct plt_hash128 hash, uint64_t mark)
{
	assert_true(k->nr < SETS);
	k->at[k->nr++] = (struct key){ .hash = hash, .mark = mark };
}

static void add_content(struct keys *k, const struct model *m, uint64_t p,
			uint64_t kept)
{
	uint8_t disk[DEVICE];

	apply(m, p, kept, disk);
	add_key(k, hash_bytes(m, disk), mark_at(m, p));
}

static int by_key(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct key));
}

static void sort_unique(struct keys *k)
{
	size_t n = 0;

	qsort(k->at, k->nr, sizeof(*k->at), by_key);
	for (size_t i = 0; i < k->nr; i++)
		if (!n || by_key(&k->at[n - 1], &k->at[i]))
			k->at[n++] = k->at[i];
	k->nr = n;
}

static struct keys new_keys(void)
{
	struct keys k = { .at = calloc(SETS, sizeof(struct key)) };

	assert_non_null(k.at);
	return k;
}

static void same_keys(struct keys *a, struct keys *b)
{
	sort_unique(a);
	sort_unique(b);
	assert_int_equal(a->nr, b->nr);
	assert_memory_equal(a->at, b->at, a->nr * sizeof(*a->at));
	free(a->at);
	free(b->at);
}

/* The contents a unit may have: bytes of its sectors, each once. */
struct unit {
	uint8_t content[1024][DEVICE];
	size_t nr;
};

static void unit_contents(const struct model *m, uint64_t p, uint64_t choices,
			  uint32_t first, uint32_t count, struct unit *u)
{
	uint64_t set = 0, kept = 0;
	uint8_t disk[DEVICE];
	size_t i;

	for (i = 0; i < ENTRIES; i++)
		if (choices >> i & 1 && m->op[i].sector < first + count &&
		    m->op[i].sector + m->op[i].nr > first)
			set |= UINT64_C(1) << i;
	u->nr = 0;
	do {
		apply(m, p, kept, disk);
		for (i = 0; i < u->nr; i++)
			if (!memcmp(u->content[i] + first, disk + first, count))
				break;
		if (i == u->nr) {
			assert_true(u->nr < 1024);
			memcpy(u->content[u->nr++], disk, DEVICE);
		}
		kept = (kept - set) & set;	/* the next subset */
	} while (kept);
}

/* ---- walking ---- */

static struct plt_hash128 hash_image(const struct model *m,
				     const struct platter_crash_state *state,
				     uint8_t bytes[DEVICE * SECTOR])
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct plt_hash128 h = { 0, 0 };
	struct platter_image *img;

	assert_ok(platter_crash_state_image(&img, state, &err), &err);
	assert_ok(platter_image_pread(img, bytes, DEVICE * SECTOR, 0, &err),
		  &err);
	assert_ok(platter_image_close(img, &err), &err);
	for (uint32_t s = 0; s < DEVICE; s++)
		h = plt_hash128_add(h, plt_hash128_sub(plt_crash_sector_hash(
			plt_xxh3_128(bytes + s * SECTOR, SECTOR), s),
			m->hash[m->base[s]][s]));
	return h;
}

/* Every unit holds something it may. */
static void check_legal(const struct model *m, const uint8_t *bytes,
			uint64_t p, uint64_t choices, uint32_t sectors)
{
	static struct unit u;
	size_t i;

	for (uint32_t s = 0; s < DEVICE; s += sectors) {
		const uint32_t count = PLT_MIN(sectors, DEVICE - s);

		unit_contents(m, p, choices, s, count, &u);
		for (i = 0; i < u.nr; i++) {
			uint32_t k;

			for (k = s; k < s + count; k++)
				if (u.content[i][k] != bytes[k * SECTOR] ||
				    u.content[i][k] != bytes[(k + 1) * SECTOR -
							     1])
					break;
			if (k == s + count)
				break;
		}
		assert_true(i < u.nr);
	}
}

enum check { CHECK_LEGAL, CHECK_HASH };

static struct platter_crash_plan whole(const char *strategies)
{
	return (struct platter_crash_plan){
		.to = ENTRIES, .model = PLATTER_CRASH_MODEL_SECTOR,
		.strategies = strategies,
	};
}

static void check_found(const struct model *m,
			const struct platter_crash_plan *plan,
			const struct platter_crash_found *f, enum check check)
{
	uint8_t bytes[DEVICE * SECTOR];
	const struct plt_hash128 h = hash_image(m, f->state, bytes);
	const uint64_t p = platter_crash_state_point(f->state);

	if (plt_le64(f->hash) != h.lo || plt_le64(f->hash + 8) != h.hi)
		fail_msg("state %s of %s has another hash than its image",
			 platter_crash_state_name(f->state), f->strategy);
	assert_true(f->mark == mark_at(m, p));
	if (check == CHECK_HASH)
		return;
	check_legal(m, bytes, p, pending_at(m, p) |
		    (plan->early_writes ? early_at(m, p) : 0),
		    plan->model == PLATTER_CRASH_MODEL_EPOCH ? DEVICE :
		    plan->unit ? plan->unit / SECTOR : 1);
}

static struct platter_crash_census walk(const struct model *m,
					const struct platter_crash_plan *plan,
					enum check check, struct keys *keys)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_crash_census census;
	struct platter_crash_walk *w;
	struct platter_crash_found f;
	uint64_t last = 0, nr = 0;
	int rc;

	assert_ok(platter_crash_walk_new(&w, m->crash, plan, &err), &err);
	while ((rc = platter_crash_walk_next(w, &f, &err)) == 0) {
		assert_true(platter_crash_state_point(f.state) >= last);
		last = platter_crash_state_point(f.state);
		if (plan->shards < 2)
			assert_int_equal(f.index, nr);
		nr++;
		check_found(m, plan, &f, check);
		if (keys)
			add_key(keys, (struct plt_hash128){ plt_le64(f.hash),
				plt_le64(f.hash + 8) }, f.mark);
	}
	if (rc != 1)
		fail_msg("%s", err.msg);
	assert_int_equal(platter_crash_walk_next(w, &f, &err), 1);
	platter_crash_walk_census(w, &census);
	platter_crash_walk_free(w);
	if (plan->shards < 2)
		assert_int_equal(census.unique, nr);
	return census;
}

/* ---- strategies make what they are said to make ---- */

static void each_log(void (*check)(struct model *m, uint32_t seed))
{
	struct model m;

	for (uint32_t seed = 1; seed <= LOGS; seed++) {
		open_model(&m, seed);
		check(&m, seed);
		close_model(&m);
	}
}

static void check_prefixes(struct model *m, uint32_t seed)
{
	struct keys made = new_keys(), want = new_keys();
	struct platter_crash_plan plan = whole("prefixes");

	plan.from = seed % ENTRIES;
	if (seed % 2)
		plan.model = PLATTER_CRASH_MODEL_PREFIX;
	walk(m, &plan, CHECK_LEGAL, &made);
	for (uint64_t p = plan.from; p <= ENTRIES; p++)
		add_content(&want, m, p, pending_at(m, p));
	same_keys(&made, &want);
}

static void prefixes_are_all_that_was_logged(void **state)
{
	(void)state;
	each_log(check_prefixes);
}

static void check_boundaries(struct model *m, uint32_t seed)
{
	struct keys made = new_keys(), want = new_keys();
	const struct platter_crash_plan plan = whole("boundaries");

	(void)seed;
	walk(m, &plan, CHECK_LEGAL, &made);
	for (uint64_t p = 0; p <= ENTRIES; p++) {
		if (!is_crash_point(m, p))
			continue;
		add_content(&want, m, p, pending_at(m, p));
		add_content(&want, m, p, 0);
	}
	same_keys(&made, &want);
}

static void boundaries_are_all_and_what_is_durable(void **state)
{
	(void)state;
	each_log(check_boundaries);
}

static void check_subsets(struct model *m, const char *strategy, int k)
{
	struct keys made = new_keys(), want = new_keys();
	struct platter_crash_plan plan = whole(strategy);

	plan.model = PLATTER_CRASH_MODEL_EPOCH;
	walk(m, &plan, CHECK_LEGAL, &made);
	for (uint64_t p = 0; p <= ENTRIES; p++) {
		const uint64_t set = pending_at(m, p);
		uint64_t some = 0;

		do {
			if (is_crash_point(m, p) &&
			    __builtin_popcountll(some) <= k) {
				add_content(&want, m, p, some);
				add_content(&want, m, p, set & ~some);
			}
			some = (some - set) & set;
		} while (some);
	}
	same_keys(&made, &want);
}

static void check_all_subsets(struct model *m, uint32_t seed)
{
	(void)seed;
	check_subsets(m, "2cp", 1);
	check_subsets(m, "subsets=1", 1);
	check_subsets(m, "subsets=2", 2);
	check_subsets(m, "subsets=3", 3);
}

static void subsets_are_kept_and_dropped(void **state)
{
	(void)state;
	each_log(check_all_subsets);
}

/* All legal contents at a point, or none if they are too many. */
static void add_legal(const struct model *m, uint64_t p, uint32_t sectors,
		      struct keys *want)
{
	static struct unit u[DEVICE];
	const uint64_t mark = mark_at(m, p);
	uint64_t states = 1;
	uint8_t disk[DEVICE];
	uint32_t nr = 0;

	for (uint32_t s = 0; s < DEVICE; s += sectors, nr++) {
		unit_contents(m, p, pending_at(m, p), s,
			      PLT_MIN(sectors, DEVICE - s), &u[nr]);
		states *= u[nr].nr;
		if (states > 1u << BITS)
			return;
	}
	for (uint64_t i = 0; i < states; i++) {
		uint64_t digits = i;

		for (uint32_t k = 0; k < nr; k++) {
			const uint32_t s = k * sectors;

			memcpy(disk + s, u[k].content[digits % u[k].nr] + s,
			       PLT_MIN(sectors, DEVICE - s));
			digits /= u[k].nr;
		}
		add_key(want, hash_bytes(m, disk), mark);
	}
}

static void check_exhaustive(struct model *m, uint32_t seed)
{
	static const uint32_t units[] = { 1, 2, 4, DEVICE };
	const uint32_t sectors = units[seed % 4];
	struct keys made = new_keys(), want = new_keys();
	struct platter_crash_plan plan = whole("exhaustive=10");

	/* A unit as large as the disk is as good as whole writes. */
	if (sectors == DEVICE)
		plan.model = PLATTER_CRASH_MODEL_EPOCH;
	else
		plan.unit = sectors * SECTOR;
	walk(m, &plan, CHECK_LEGAL, &made);
	for (uint64_t p = 0; p <= ENTRIES; p++)
		if (is_crash_point(m, p))
			add_legal(m, p, sectors, &want);
	same_keys(&made, &want);
}

static void exhaustive_makes_every_legal_state(void **state)
{
	(void)state;
	each_log(check_exhaustive);
}

static void check_others(struct model *m, uint32_t seed)
{
	struct platter_crash_plan plan =
		whole("2cp,tears,random=20,seed=7");

	plan.unit = SECTOR << seed % 3;
	plan.early_writes = seed % 4 == 3;
	walk(m, &plan, CHECK_LEGAL, NULL);
	plan.model = PLATTER_CRASH_MODEL_EPOCH;
	walk(m, &plan, CHECK_LEGAL, NULL);
}

static void tears_random_and_early_states_are_legal(void **state)
{
	(void)state;
	each_log(check_others);
}

static void check_damaged(struct model *m, uint32_t seed)
{
	struct platter_crash_plan plan =
		whole("prefixes,2cp,subsets=2,tears,random=5");

	plan.model = PLATTER_CRASH_MODEL_GARBAGE;
	plan.discards = 1 + seed % 7;
	plan.early_writes = seed & 1;
	walk(m, &plan, CHECK_HASH, NULL);
}

static void damage_and_discards_have_the_hash_of_their_image(void **state)
{
	(void)state;
	each_log(check_damaged);
}

/* ---- the census ---- */

static void check_complete(struct model *m, uint32_t seed)
{
	struct platter_crash_plan plan = whole("exhaustive=30");
	struct platter_crash_census c = walk(m, &plan, CHECK_LEGAL, NULL);
	const struct platter_crash_coverage *s = &c.strategies[0];

	(void)seed;
	assert_int_equal(c.nr, 1);
	assert_string_equal(s->strategy, "exhaustive");
	assert_int_equal(s->points, c.points);
	if (s->complete == s->points) {
		assert_int_equal(s->made, s->possible);
		assert_string_equal(c.text, "all legal states");
	} else {
		assert_true(s->made < s->possible);
	}
}

static void census_says_what_is_complete(void **state)
{
	struct model m;

	(void)state;
	for (uint32_t seed = 1; seed <= LOGS; seed++) {
		uint64_t most = 0;

		open_model(&m, seed);
		for (uint64_t p = 0; p <= ENTRIES; p++)
			most = PLT_MAX(most, (uint64_t)__builtin_popcountll(
						pending_at(&m, p)));
		if (most < 5)
			check_complete(&m, seed);
		close_model(&m);
	}
}

/* ---- shards, and the same again ---- */

static void check_shards(struct model *m, uint32_t seed)
{
	struct keys made = new_keys(), want = new_keys();
	struct platter_crash_plan plan = whole("prefixes,2cp,random=9");
	struct platter_crash_census all, one;
	size_t nr = 0;

	(void)seed;
	all = walk(m, &plan, CHECK_HASH, &want);
	plan.shards = 3;
	for (plan.shard = 0; plan.shard < 3; plan.shard++) {
		one = walk(m, &plan, CHECK_HASH, &made);
		assert_memory_equal(&one, &all, sizeof(one));
		/* Index 0, 3, 6 ... of the whole are the first shard's. */
		for (size_t i = plan.shard; i < want.nr; i += 3, nr++)
			assert_memory_equal(&made.at[nr], &want.at[i],
					    sizeof(*want.at));
		assert_int_equal(made.nr, nr);
	}
	assert_int_equal(nr, want.nr);
	same_keys(&made, &want);
}

static void shards_have_each_state_once_in_order(void **state)
{
	(void)state;
	each_log(check_shards);
}

/* ---- read sets ---- */

static void add_reads(struct platter_crash_walk *w, uint32_t *seed,
		      unsigned int *id)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct plt_crash_ranges reads = { .nr = 0 };

	for (uint32_t i = 0; i < 1 + rnd(seed) % 3; i++)
		assert_int_equal(plt_crash_ranges_add(&reads,
			rnd(seed) % (DEVICE * SECTOR - 600), 600), 0);
	plt_crash_ranges_sort(&reads);
	assert_ok(plt_crash_walk_add_reads(w, &reads, id, &err), &err);
	plt_crash_ranges_free(&reads);
}

/* A set's hash is kept along the walk as it is found by reading the state. */
static void check_reads(struct model *m, uint32_t seed)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_crash_plan plan =
		whole("prefixes,2cp,tears,random=3");
	struct platter_crash_walk *w;
	struct platter_crash_found f;
	uint8_t kept[16], read[16];
	unsigned int ids[80], nr = 0;

	plan.model = PLATTER_CRASH_MODEL_GARBAGE;
	plan.early_writes = seed & 1;
	plan.discards = 1 + seed % 7;
	assert_ok(platter_crash_walk_new(&w, m->crash, &plan, &err), &err);
	while (platter_crash_walk_next(w, &f, &err) == 0) {
		if (f.index % 97 == 96) {
			plt_crash_walk_drop_reads(w);
			nr = 0;
		}
		if (f.index % 7 == 3 && nr < 80)
			add_reads(w, &seed, &ids[nr++]);
		for (unsigned int i = nr > 64 ? nr - 64 : 0; i < nr; i++) {
			if (f.index % 3)
				continue;
			plt_crash_walk_read_hash(w, ids[i], kept);
			assert_ok(plt_crash_walk_read_hash_of(w, f.state,
					ids[i], read, &err), &err);
			assert_memory_equal(kept, read, 16);
		}
	}
	platter_crash_walk_free(w);
}

static void read_sets_follow_the_walk(void **state)
{
	struct model m;

	(void)state;
	for (uint32_t seed = 1; seed <= 12; seed++) {
		open_model(&m, seed);
		check_reads(&m, seed);
		close_model(&m);
	}
}

/* ---- where the states of a span may differ ---- */

static bool is_in(const struct plt_crash_ranges *ranges, uint64_t offset)
{
	for (size_t i = 0; i < ranges->nr; i++)
		if (offset >= ranges->range[i].offset &&
		    offset < ranges->range[i].offset + ranges->range[i].length)
			return true;
	return false;
}

/* Outside, a state is as the first one was. */
static void check_outside(const struct platter_crash_state *state,
			  const struct plt_crash_ranges *ranges,
			  uint8_t *first, bool *have_first)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	uint8_t disk[DEVICE * SECTOR];
	struct platter_image *img;

	assert_ok(platter_crash_state_image(&img, state, &err), &err);
	assert_ok(platter_image_pread(img, disk, sizeof(disk), 0, &err), &err);
	platter_image_close(img, NULL);
	if (!*have_first)
		memcpy(first, disk, sizeof(disk));
	*have_first = true;
	for (uint32_t s = 0; s < DEVICE; s++)
		if (!is_in(ranges, s * SECTOR))
			assert_memory_equal(disk + s * SECTOR,
					    first + s * SECTOR, SECTOR);
}

static void check_span(struct model *m, uint32_t seed,
		       const struct plt_crash_span *span)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_crash_plan plan = whole("prefixes,2cp,tears,random=3");
	struct plt_crash_ranges ranges = { .range = NULL };
	uint8_t first[3][DEVICE * SECTOR];
	bool have_first[3] = { false };
	struct platter_crash_found f;
	struct platter_crash_walk *w;

	plan.model = PLATTER_CRASH_MODEL_GARBAGE;
	plan.early_writes = span->early;
	plan.discards = 1 + seed % 7;
	plan.from = span->from;
	plan.to = span->to - 1;
	assert_ok(plt_crash_span_ranges(m->crash, span, &ranges, &err), &err);
	assert_ok(platter_crash_walk_new(&w, m->crash, &plan, &err), &err);
	while (platter_crash_walk_next(w, &f, &err) == 0)
		check_outside(f.state, &ranges, first[f.state->discard],
			      &have_first[f.state->discard]);
	platter_crash_walk_free(w);
	plt_crash_ranges_free(&ranges);
}

static void states_of_a_span_differ_only_where_it_says(void **state)
{
	struct plt_crash_span span;
	struct model m;

	(void)state;
	for (uint32_t seed = 1; seed <= 12; seed++) {
		open_model(&m, seed);
		for (uint32_t i = 0; i < 8; i++) {
			span.from = (seed * 5 + i * 3) % ENTRIES;
			span.to = span.from + 1 +
				  (seed + i) % (ENTRIES + 1 - span.from);
			span.early = i & 1;
			check_span(&m, seed, &span);
		}
		close_model(&m);
	}
}

static void ranges_are_clipped(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	uint32_t seed = 1;

	(void)state;
	for (int n = 0; n < 300; n++) {
		struct plt_crash_ranges r[2] = { { .range = NULL } };
		bool in[2][64];

		for (int k = 0; k < 2; k++) {
			for (uint32_t i = rnd(&seed) % 6; i-- > 0;)
				assert_int_equal(plt_crash_ranges_add(&r[k],
					rnd(&seed) % 50, rnd(&seed) % 14), 0);
			plt_crash_ranges_sort(&r[k]);
			for (uint32_t i = 0; i < 64; i++)
				in[k][i] = is_in(&r[k], i);
		}
		assert_ok(plt_crash_ranges_clip(&r[0], &r[1], &err), &err);
		for (uint32_t i = 0; i < 64; i++)
			assert_int_equal(is_in(&r[0], i), in[0][i] && in[1][i]);
		for (size_t i = 1; i < r[0].nr; i++)
			assert_true(r[0].range[i - 1].offset +
				    r[0].range[i - 1].length <
				    r[0].range[i].offset);
		plt_crash_ranges_free(&r[0]);
		plt_crash_ranges_free(&r[1]);
	}
}

/* ---- what is refused ---- */

static void wrong_plans_are_refused(void **state)
{
	static const char *const wrong[] = {
		"", "2cp,", "prefix", "subsets", "subsets=0", "subsets=99",
		"exhaustive=31", "random=0", "seed=3", "2cp=1", "random=1x",
	};
	struct platter_error err = PLATTER_ERROR_INIT;
	const char *regions[2] = { NULL, NULL };
	struct platter_crash_plan plan;
	struct platter_crash_walk *w;
	struct model m;

	(void)state;
	open_model(&m, 1);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(wrong); i++) {
		plan = whole(wrong[i]);
		assert_int_equal(platter_crash_walk_new(&w, m.crash, &plan,
							&err), -EINVAL);
		assert_non_null(strstr(err.msg, "strateg"));
	}
	plan = whole(NULL);
	plan.to = ENTRIES + 1;
	assert_int_equal(platter_crash_walk_new(&w, m.crash, &plan, &err),
			 -EINVAL);
	plan = whole(NULL);
	plan.unit = 768;
	assert_int_equal(platter_crash_walk_new(&w, m.crash, &plan, &err),
			 -EINVAL);
	plan = whole(NULL);
	plan.regions = regions;
	regions[0] = "a..b";
	assert_int_equal(platter_crash_walk_new(&w, m.crash, &plan, &err),
			 -EINVAL);
	regions[0] = "nosuch..=2cp";
	assert_int_equal(platter_crash_walk_new(&w, m.crash, &plan, &err),
			 -ENOENT);
	close_model(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefixes_are_all_that_was_logged),
		cmocka_unit_test(boundaries_are_all_and_what_is_durable),
		cmocka_unit_test(subsets_are_kept_and_dropped),
		cmocka_unit_test(exhaustive_makes_every_legal_state),
		cmocka_unit_test(tears_random_and_early_states_are_legal),
		cmocka_unit_test(damage_and_discards_have_the_hash_of_their_image),
		cmocka_unit_test(census_says_what_is_complete),
		cmocka_unit_test(shards_have_each_state_once_in_order),
		cmocka_unit_test(read_sets_follow_the_walk),
		cmocka_unit_test(states_of_a_span_differ_only_where_it_says),
		cmocka_unit_test(ranges_are_clipped),
		cmocka_unit_test(wrong_plans_are_refused),
	};

	return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
