/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The scratch node against an array of bytes: what is written, zeroed and read,
 * what is told of it, and what is left of it afterwards; in memory, in its
 * file, and with many threads.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include <platter/platter.h>

#include "base/mem.h"
#include "crash/crash.h"
#include "scratch-dir.h"

#define KIB	1024u
#define SIZE	(1501u * KIB)	/* six leaves, and no whole page at the end */
#define SECTOR	512u
#define SECTORS	(SIZE / SECTOR)
#define THREADS	16

struct lower {
	char path[40];
	struct platter_context *ctx;
	struct platter_image *img;
};

static uint32_t rnd(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static uint8_t byte_of(const struct lower *l, uint64_t at)
{
	return (at * 7 + (at >> 9) + l->path[sizeof("crash-scratch")]) | 1;
}

static void open_lower(struct lower *l, uint64_t size)
{
	const struct platter_open_options opts = { .format = "raw" };
	FILE *f;
	int fd;

	strcpy(l->path, "crash-scratch.XXXXXX");
	fd = mkstemp(l->path);
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	for (uint64_t i = 0; i < size; i++)
		putc(byte_of(l, i), f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(platter_context_new(&l->ctx, NULL), 0);
	assert_int_equal(platter_image_open(&l->img, l->ctx, l->path, &opts,
					    NULL), 0);
	/* Open files need no names, and a test that fails leaves none. */
	unlink(l->path);
}

static void close_lower(struct lower *l)
{
	platter_image_close(l->img, NULL);
	platter_context_free(l->ctx);
}

static struct platter_image *scratch_on(const struct lower *l, uint64_t memory)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *img = NULL;

	if (platter_scratch_new(&img, l->img, memory, &err))
		fail_msg("%s", err.msg);
	return img;
}

/* ---- one thread, any order ---- */

struct model {
	struct platter_image *img;
	uint8_t *disk, *buf;
	bool *written;			/* by bytes, */
	bool *own, *read;		/* by sectors: wholly written, read */
};

static void model_clear(struct model *m, const struct lower *l)
{
	for (uint64_t i = 0; i < SIZE; i++)
		m->disk[i] = byte_of(l, i);
	memset(m->written, 0, SIZE);
	memset(m->own, 0, SECTORS);
	memset(m->read, 0, SECTORS);
}

static void model_new(struct model *m, const struct lower *l, uint64_t memory)
{
	m->img = scratch_on(l, memory);
	m->disk = malloc(SIZE);
	m->buf = malloc(SIZE);
	m->written = malloc(SIZE);
	m->own = malloc(SECTORS);
	m->read = malloc(SECTORS);
	model_clear(m, l);
}

static void model_free(struct model *m)
{
	assert_int_equal(platter_image_close(m->img, NULL), 0);
	free(m->disk);
	free(m->buf);
	free(m->written);
	free(m->own);
	free(m->read);
}

static void note_written(struct model *m, uint32_t at, uint32_t len)
{
	for (uint32_t i = at; i < at + len; i++)
		m->written[i] = true;
	for (uint32_t s = at / SECTOR; s <= (at + len - 1) / SECTOR; s++)
		if (s * SECTOR >= at && (s + 1) * SECTOR <= at + len)
			m->own[s] = true;
}

static void do_write(struct model *m, uint32_t at, uint32_t len,
		     uint32_t *seed)
{
	for (uint32_t i = 0; i < len; i++)
		m->buf[i] = m->disk[at + i] = rnd(seed);
	assert_int_equal(platter_image_pwrite(m->img, m->buf, len, at, NULL),
			 0);
	note_written(m, at, len);
}

static void do_zero(struct model *m, uint32_t at, uint32_t len, bool discard)
{
	if (discard)
		assert_int_equal(platter_image_discard(m->img, at, len, NULL),
				 0);
	else
		assert_int_equal(platter_image_zero(m->img, at, len, 0, NULL),
				 0);
	memset(m->disk + at, 0, len);
	note_written(m, at, len);
}

static void do_read(struct model *m, uint32_t at, uint32_t len)
{
	assert_int_equal(platter_image_pread(m->img, m->buf, len, at, NULL),
			 0);
	assert_memory_equal(m->buf, m->disk + at, len);
	for (uint32_t s = at / SECTOR; s <= (at + len - 1) / SECTOR; s++)
		m->read[s] |= !m->own[s];
}

static void do_anything(struct model *m, uint32_t *seed)
{
	const uint32_t kind = rnd(seed) % 16;
	uint32_t at = rnd(seed) % SIZE, len = 1 + rnd(seed) % 9000;

	if (kind > 12)			/* whole leaves */
		len = rnd(seed) % SIZE + 1;
	if (rnd(seed) % 2)
		at -= at % 4096, len += 4096 - len % 4096;
	if (len > SIZE - at)
		len = SIZE - at;
	if (kind < 6)
		do_write(m, at, len, seed);
	else if (kind < 8 || kind == 13)
		do_zero(m, at, len, kind == 7);
	else
		do_read(m, at, len);
}

static bool inside(const struct plt_crash_ranges *r, uint64_t at)
{
	for (size_t i = 0; i < r->nr; i++)
		if (at >= r->range[i].offset &&
		    at - r->range[i].offset < r->range[i].length)
			return true;
	return false;
}

static void check_order(const struct plt_crash_ranges *r)
{
	for (size_t i = 0; i < r->nr; i++) {
		const struct platter_crash_range *x = &r->range[i];

		assert_true(x->length > 0 && x->offset + x->length <= SIZE);
		assert_true(!i || x[-1].offset + x[-1].length < x->offset);
	}
}

static void check_reads(struct model *m)
{
	struct plt_crash_ranges r = { .nr = 0 };

	assert_int_equal(plt_scratch_reads(m->img, &r, NULL), 0);
	check_order(&r);
	for (uint32_t s = 0; s * SECTOR < SIZE; s++)
		assert_int_equal(inside(&r, s * SECTOR), m->read[s]);
	plt_crash_ranges_free(&r);
}

static bool any_written(const struct model *m, uint32_t page)
{
	for (uint32_t i = page; i < page + 4096 && i < SIZE; i++)
		if (m->written[i])
			return true;
	return false;
}

/* Whole pages are told, of which some byte was written. */
static void check_written(const struct model *m,
			  const struct plt_crash_ranges *r)
{
	check_order(r);
	for (uint32_t page = 0; page < SIZE; page += 4096)
		assert_int_equal(inside(r, page), any_written(m, page));
}

static void check_map(struct model *m)
{
	struct platter_extent e[64];
	uint64_t at = 0;

	while (at < SIZE) {
		size_t count = 64;

		assert_int_equal(platter_image_map(m->img, at, SIZE - at, e,
						   &count, NULL), 0);
		for (size_t i = 0; i < count; i++) {
			assert_int_equal(e[i].offset, at);
			for (uint64_t b = 0; b < e[i].length; b++)
				if (e[i].flags & PLATTER_EXTENT_ZERO)
					assert_int_equal(m->disk[at + b], 0);
			at += e[i].length;
		}
	}
	/* Whoever looks at the map has read what it tells of the node below. */
	for (uint32_t page = 0; page < SIZE; page += 4096)
		for (uint32_t s = page; s < page + 4096 && s < SIZE;
		     s += SECTOR)
			m->read[s / SECTOR] |= !any_written(m, page);
}

static void reads_back(uint64_t memory)
{
	struct plt_crash_ranges written = { .nr = 0 };
	struct lower l, other;
	uint32_t seed = 1;
	struct model m;

	open_lower(&l, SIZE);
	open_lower(&other, SIZE);
	model_new(&m, &l, memory);
	for (unsigned int round = 0; round < 8; round++) {
		const struct lower *now = round % 2 ? &other : &l;

		plt_scratch_watch(m.img, round % 4 != 3);
		for (unsigned int i = 0; i < 60; i++)
			do_anything(&m, &seed);
		if (round == 2)
			check_map(&m);
		if (round % 4 != 3)
			check_reads(&m);
		now = round % 2 ? &l : &other;
		assert_int_equal(plt_scratch_reset(m.img, now->img, &written,
						   NULL), 0);
		check_written(&m, &written);
		model_clear(&m, now);
		do_read(&m, 0, SIZE);
		memset(m.read, 0, SECTORS);
	}
	plt_crash_ranges_free(&written);
	model_free(&m);
	close_lower(&l);
	close_lower(&other);
}

static void reads_back_from_memory(void **state)
{
	(void)state;
	reads_back(64 << 20);
}

static void reads_back_from_the_file(void **state)
{
	(void)state;
	reads_back(0);
}

static void reads_back_from_both(void **state)
{
	(void)state;
	reads_back(300 * KIB);
}

/* ---- many threads ---- */

#define BLOCK	1000u			/* shares pages with its neighbours */
#define BLOCKS	(SIZE / BLOCK / THREADS)

struct worker {
	pthread_t thread;
	struct platter_image *img;
	const struct lower *lower;
	unsigned int number, wrong;
};

/* Every sixteenth block is this thread's, and nobody else touches it. */
static void *work(void *arg)
{
	struct worker *w = arg;
	uint32_t seed = w->number + 1;
	uint8_t *mine = malloc(BLOCKS * BLOCK), got[BLOCK];

	for (uint32_t b = 0; b < BLOCKS; b++)
		for (uint32_t i = 0; i < BLOCK; i++)
			mine[b * BLOCK + i] = byte_of(w->lower, i + BLOCK *
					(uint64_t)(b * THREADS + w->number));
	for (unsigned int n = 0; n < 400; n++) {
		const uint32_t b = rnd(&seed) % BLOCKS;
		const uint64_t at = (uint64_t)BLOCK * (b * THREADS + w->number);
		uint8_t *own = mine + b * BLOCK;
		int rc;

		switch (rnd(&seed) % 4) {
		case 0:
			memset(own, 0, BLOCK);
			rc = platter_image_zero(w->img, at, BLOCK, 0, NULL);
			break;
		case 1:
		case 2:
			memset(own, rnd(&seed), BLOCK);
			rc = platter_image_pwrite(w->img, own, BLOCK, at,
						  NULL);
			break;
		default:
			rc = platter_image_pread(w->img, got, BLOCK, at, NULL);
			w->wrong += !!memcmp(got, own, BLOCK);
		}
		w->wrong += !!rc;
	}
	free(mine);
	return NULL;
}

static void threads_see_their_own(uint64_t memory)
{
	struct worker w[THREADS];
	struct platter_image *img;
	struct lower l;

	open_lower(&l, SIZE);
	img = scratch_on(&l, memory);
	for (unsigned int round = 0; round < 3; round++) {
		plt_scratch_watch(img, round == 1);
		for (unsigned int i = 0; i < THREADS; i++) {
			w[i] = (struct worker){ .img = img, .lower = &l,
						.number = i };
			assert_int_equal(pthread_create(&w[i].thread, NULL,
							work, &w[i]), 0);
		}
		for (unsigned int i = 0; i < THREADS; i++) {
			pthread_join(w[i].thread, NULL);
			assert_int_equal(w[i].wrong, 0);
		}
		assert_int_equal(plt_scratch_reset(img, l.img, NULL, NULL), 0);
	}
	assert_int_equal(platter_image_close(img, NULL), 0);
	close_lower(&l);
}

static void threads_share_memory(void **state)
{
	(void)state;
	threads_see_their_own(64 << 20);
}

static void threads_share_the_file(void **state)
{
	(void)state;
	threads_see_their_own(200 * KIB);
}

/* ---- no room ---- */

static void a_full_file_is_the_writers_error(void **state)
{
	struct rlimit old, limit;
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *img;
	unsigned int done = 0;
	uint8_t page[4096], got[4096];
	struct lower l;
	int rc = 0;

	(void)state;
	open_lower(&l, SIZE);
	img = scratch_on(&l, 8 * 4096);
	memset(page, 0xaa, sizeof(page));
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = 10 * 4096;
	setrlimit(RLIMIT_FSIZE, &limit);
	while (!rc && done < 100)
		rc = platter_image_pwrite(img, page, 4096, done++ * 4096, &err);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(rc, -EFBIG);
	assert_non_null(strstr(err.msg, "scratch file"));
	assert_int_equal(done, 8 + 10 + 1);
	for (unsigned int i = 0; i < done; i++) {
		assert_int_equal(platter_image_pread(img, got, 4096, i * 4096,
						     NULL), 0);
		if (i + 1 < done)
			assert_memory_equal(got, page, 4096);
		else
			assert_int_equal(got[5], byte_of(&l, i * 4096 + 5));
	}
	/* And later there is room again. */
	assert_int_equal(platter_image_pwrite(img, page, 4096, 20 * 4096,
					      NULL), 0);
	assert_int_equal(platter_image_close(img, NULL), 0);
	close_lower(&l);
}

static void no_folder_is_the_writers_error(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	const char *tmp = getenv("TMPDIR");
	struct platter_image *img;
	struct lower l;
	char old[256];

	(void)state;
	snprintf(old, sizeof(old), "%s", tmp ? tmp : "");
	open_lower(&l, SIZE);
	img = scratch_on(&l, 0);
	setenv("TMPDIR", "no/such/folder", 1);
	assert_int_equal(platter_image_pwrite(img, "x", 1, 0, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "no/such/folder"));
	if (tmp)
		setenv("TMPDIR", old, 1);
	else
		unsetenv("TMPDIR");
	assert_int_equal(platter_image_pwrite(img, "x", 1, 0, NULL), 0);
	assert_int_equal(platter_image_close(img, NULL), 0);
	close_lower(&l);
}

/* ---- sizes ---- */

static void a_reset_may_change_the_size(void **state)
{
	struct platter_image *img;
	struct lower small, large;
	uint8_t b = 0;

	(void)state;
	open_lower(&small, 4608);
	open_lower(&large, SIZE);
	img = scratch_on(&small, 64 << 20);
	assert_int_equal(platter_image_pwrite(img, "x", 1, 4096, NULL), 0);
	assert_int_equal(plt_scratch_reset(img, large.img, NULL, NULL), 0);
	assert_int_equal(platter_image_size(img), SIZE);
	assert_int_equal(platter_image_pread(img, &b, 1, 4096, NULL), 0);
	assert_int_equal(b, byte_of(&large, 4096));
	assert_int_equal(platter_image_pwrite(img, "y", 1, SIZE - 1, NULL), 0);
	assert_int_equal(plt_scratch_reset(img, small.img, NULL, NULL), 0);
	assert_int_equal(platter_image_size(img), 4608);
	assert_int_equal(platter_image_close(img, NULL), 0);
	close_lower(&small);
	close_lower(&large);
}

/* A discard of a huge disk costs little; so does noting that all is read. */
static void huge_disks_stay_small(void **state)
{
	const struct platter_open_options opts = { .image_opts = true };
	const uint64_t size = UINT64_C(4) << 40;
	struct plt_crash_ranges r = { .nr = 0 };
	struct platter_context *ctx;
	struct platter_image *null, *img;
	struct rusage before, after;
	uint8_t b = 1;

	(void)state;
	assert_int_equal(platter_context_new(&ctx, NULL), 0);
	assert_int_equal(platter_image_open(&null, ctx,
			"driver=null-co,size=4T", &opts, NULL), 0);
	assert_int_equal(platter_image_size(null), size);
	getrusage(RUSAGE_SELF, &before);
	assert_int_equal(platter_scratch_new(&img, null, 1 << 20, NULL), 0);
	plt_scratch_watch(img, true);
	for (uint64_t i = 0; i < size / 4; i += UINT64_C(4) << 20)
		assert_int_equal(platter_image_pread(img, &b, 1, i, NULL), 0);
	assert_int_equal(plt_scratch_reads(img, &r, NULL), 0);
	assert_int_equal(r.nr, 1);
	assert_int_equal(r.range[0].length, size);
	assert_int_equal(platter_image_discard(img, size / 2, size / 8, NULL),
			 0);
	assert_int_equal(platter_image_pread(img, &b, 1, size / 2, NULL), 0);
	assert_int_equal(b, 0);
	getrusage(RUSAGE_SELF, &after);
	/* 1 MiB of table each TiB read, 32 of those discarded, 26 of leaves. */
	if (!getenv("SANITIZERS") || !*getenv("SANITIZERS"))
		assert_true(after.ru_maxrss - before.ru_maxrss < 128 << 10);
	assert_int_equal(platter_image_close(img, NULL), 0);
	platter_image_close(null, NULL);
	platter_context_free(ctx);
	plt_crash_ranges_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_back_from_memory),
		cmocka_unit_test(reads_back_from_the_file),
		cmocka_unit_test(reads_back_from_both),
		cmocka_unit_test(threads_share_memory),
		cmocka_unit_test(threads_share_the_file),
		cmocka_unit_test(a_full_file_is_the_writers_error),
		cmocka_unit_test(no_folder_is_the_writers_error),
		cmocka_unit_test(a_reset_may_change_the_size),
		cmocka_unit_test(huge_disks_stay_small),
	};

	return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
