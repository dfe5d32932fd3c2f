/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Damaged logs: cut off at every byte, and with single bits flipped. What lies
 * before the damage must be read, and be right; nothing may crash, hang, read
 * outside the file (the driver in memory.h aborts) or ask for more memory than
 * the file's size and 64 MiB.
 */
#include <errno.h>
#include <setjmp.h>
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

#include "base/endian.h"
#include "base/mem.h"
#include "wlog/wlog.h"

#include "../fuzz/memory.h"

#define ENTRIES		64u
#define DEVICE		256u		/* sectors */
#define SECTOR_MAX	512u
#define LOG_MAX		(ENTRIES * 9u * SECTOR_MAX)
#define MEMORY_MAX	(64u << 20)
#define HANG_SECONDS	600u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED
/* Stands in for the limit on address space, which sanitizers cannot bear. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "max_allocation_size_mb=64:allocator_may_return_null=1";
}
#endif

/* A sound log, what is in it, and the device at each of its points. */
struct sample {
	uint32_t sector;
	uint8_t bytes[LOG_MAX];
	size_t size;
	uint32_t nr;
	size_t end[ENTRIES];		/* of each entry, header and data */
	struct platter_log_entry entry[ENTRIES];
	uint8_t state[ENTRIES + 1][DEVICE * SECTOR_MAX];
};

static uint32_t rnd(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* ---- making a sample ---- */

static void begin(struct sample *s, uint32_t sector)
{
	memset(s, 0, sizeof(*s));
	s->sector = sector;
	s->size = sector;
}

static void put_super(struct sample *s)
{
	plt_put_le64(s->bytes, PLT_WLOG_MAGIC);
	plt_put_le64(s->bytes + 8, PLT_WLOG_VERSION);
	plt_put_le64(s->bytes + 16, s->nr);
	plt_put_le32(s->bytes + 24, s->sector);
}

static void put_data(struct sample *s, uint32_t seed, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		s->bytes[s->size + i] = rnd(&seed);
	s->size += bytes;
}

static void add(struct sample *s, uint64_t sector, uint64_t nr, uint32_t flags,
		const char *mark)
{
	struct platter_log_entry *e = &s->entry[s->nr];
	uint8_t *hdr = s->bytes + s->size;
	uint8_t *now = s->state[s->nr + 1];

	*e = (struct platter_log_entry){
		.number = s->nr, .offset = s->size, .flags = flags,
		.sector = sector, .nr_sectors = nr,
		.start = sector * s->sector, .length = nr * s->sector,
		.mark = mark, .mark_len = mark ? strlen(mark) : 0,
	};
	e->data_len = e->mark_len;
	plt_put_le64(hdr, sector);
	plt_put_le64(hdr + 8, nr);
	plt_put_le64(hdr + 16, flags);
	plt_put_le64(hdr + 24, e->data_len);
	if (mark)
		memcpy(hdr + 32, mark, e->mark_len);
	s->size += s->sector;
	memcpy(now, s->state[s->nr], sizeof(s->state[0]));
	if (flags & PLATTER_LOG_DISCARD) {
		memset(now + e->start, 0, e->length);
	} else if (nr) {
		e->data_offset = s->size;
		put_data(s, s->nr + 1, e->length);
		memcpy(now + e->start, s->bytes + e->data_offset, e->length);
	}
	s->end[s->nr++] = s->size;
}

/* One entry of each kind. */
static struct sample *small_sample(uint32_t sector)
{
	struct sample *s = malloc(sizeof(*s));

	begin(s, sector);
	add(s, 3, 2, 0, NULL);
	add(s, 0, 0, PLATTER_LOG_MARK, "a");
	add(s, 4, 1, PLATTER_LOG_FUA, NULL);
	add(s, 0, 0, PLATTER_LOG_FLUSH, NULL);
	add(s, 2, 2, PLATTER_LOG_DISCARD, NULL);
	add(s, 5, 0, PLATTER_LOG_FLUSH | PLATTER_LOG_FUA |
	    PLATTER_LOG_METADATA, NULL);
	add(s, 0, 1, PLATTER_LOG_METADATA, NULL);
	put_super(s);
	return s;
}

static struct sample *large_sample(void)
{
	struct sample *s = malloc(sizeof(*s));
	uint32_t seed = 4711;

	begin(s, SECTOR_MAX);
	while (s->nr < ENTRIES) {
		uint32_t kind = rnd(&seed) % 10;
		uint64_t nr = 1 + rnd(&seed) % 8;
		uint64_t sector = rnd(&seed) % (DEVICE - nr);

		if (kind == 0)
			add(s, 0, 0, PLATTER_LOG_MARK, "a");
		else if (kind == 1)
			add(s, 0, 0, PLATTER_LOG_FLUSH, NULL);
		else if (kind == 2)
			add(s, sector, nr, PLATTER_LOG_DISCARD, NULL);
		else
			add(s, sector, nr, kind == 3 ? PLATTER_LOG_FUA : 0,
			    NULL);
	}
	put_super(s);
	return s;
}

/* ---- reading it ---- */

static const struct platter_driver *const drivers[] = {
	&plt_raw_driver, &plt_writelog_driver, &memory_driver,
};

/* What must be true of a damaged log. */
struct claim {
	const struct sample *s;
	uint32_t sure;		/* entries before the damage */
	bool exact;		/* and there are no more */
	bool open;		/* it must open */
};

static void check_error(int rc, const struct platter_error *err)
{
	assert_true(rc < 0);
	assert_int_equal(rc, err->code);
	assert_int_not_equal(rc, -ENOMEM);
	assert_int_not_equal(err->msg[0], 0);
	assert_null(strchr(err->msg, '\n'));
}

static void check_entry(const struct sample *s,
			const struct platter_log_entry *got)
{
	const struct platter_log_entry *want = &s->entry[got->number];

	assert_int_equal(got->offset, want->offset);
	assert_int_equal(got->data_offset, want->data_offset);
	assert_int_equal(got->start, want->start);
	assert_int_equal(got->length, want->length);
	assert_int_equal(got->sector, want->sector);
	assert_int_equal(got->nr_sectors, want->nr_sectors);
	assert_int_equal(got->flags, want->flags);
	assert_int_equal(got->mark_len, want->mark_len);
	if (want->mark_len)
		assert_memory_equal(got->mark, want->mark, want->mark_len);
}

static void check_bounds(const struct platter_log_entry *e)
{
	assert_true(e->offset < memory_size);
	if (!e->data_offset)
		return;
	assert_true(e->data_offset < memory_size);
	assert_true(e->length <= memory_size - e->data_offset);
}

/* Data must never pass for a header, nor zeros between the real ones. */
static void check_place(const struct sample *s,
			const struct platter_log_entry *e)
{
	for (uint32_t i = 0; i < s->nr; i++)
		if (s->entry[i].offset == e->offset)
			return;
	fail_msg("an entry at %u, where none is", (unsigned int)e->offset);
}

static uint64_t walk(const struct claim *c, struct platter_log *log)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_log_cursor *cursor;
	struct platter_log_entry e;
	uint64_t nr = 0;

	assert_int_equal(platter_log_cursor_new(&cursor, log, 0, &err), 0);
	while (platter_log_next(cursor, &e, &err) == 0) {
		assert_int_equal(e.number, nr);
		check_bounds(&e);
		check_place(c->s, &e);
		if (nr < c->sure)
			check_entry(c->s, &e);
		nr++;
	}
	assert_int_equal(err.code, 0);
	platter_log_cursor_free(cursor);
	assert_true(nr >= c->sure);
	if (c->exact)
		assert_int_equal(nr, c->sure);
	return nr;
}

static int visit(struct platter_log_version_visitor *self,
		 const struct platter_log_version *version,
		 struct platter_error *err)
{
	(void)self;
	(void)err;
	check_bounds(&version->entry);
	return 0;
}

static void ask(const struct claim *c, struct platter_log *log)
{
	struct platter_log_version_visitor visitor = { visit };
	struct platter_error err = PLATTER_ERROR_INIT;
	const struct platter_log_summary *sum;
	const uint64_t nr = walk(c, log);
	struct platter_log_problem problem;
	struct platter_log_stat stat;
	uint64_t point;
	int rc;

	assert_int_equal(platter_log_scan(log, NULL, &sum, &err), 0);
	assert_int_equal(sum->entries, nr);
	assert_true(sum->end <= PLT_MAX(sum->log_size,
					(uint64_t)sum->sector_size));
	assert_int_equal(platter_log_index(log, NULL, &err), 0);
	assert_int_equal(walk(c, log), nr);
	rc = platter_log_end(log, &problem, &err);
	assert_in_range(rc, 0, 1);
	/* What ends too early says so. */
	if (nr < sum->super_entries)
		assert_int_equal(rc, 1);
	rc = platter_log_point(log, "mark:a", &point, &err);
	if (rc)
		check_error(rc, &err);
	else
		assert_true(point <= nr);
	assert_int_equal(platter_log_stat(log, 0, nr, 8, &stat, &err), 0);
	assert_int_equal(platter_log_blame(log, 0, UINT64_C(1) << 62, nr,
					   &visitor, &err), 0);
}

/* The device at point `at`; NULL in `want` only reads it. */
static void read_state(struct platter_context *ctx, uint64_t at,
		       const uint8_t *want, size_t len)
{
	static uint8_t got[DEVICE * SECTOR_MAX];
	const struct platter_open_options opts = { .image_opts = true };
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *img;
	uint64_t size;
	char spec[128];

	snprintf(spec, sizeof(spec),
		 "driver=writelog,log.driver=memory,log.filename=input,index=,at=%u",
		 (unsigned int)at);
	assert_int_equal(platter_image_open(&img, ctx, spec, &opts, &err), 0);
	size = platter_image_size(img);
	memset(got, 0, len);
	if (size)
		assert_int_equal(platter_image_pread(img, got,
						     PLT_MIN(size,
							     (uint64_t)len),
						     0, &err), 0);
	if (want)
		assert_memory_equal(got, want, len);
	if (size > len)
		assert_int_equal(platter_image_pread(img, got, len, size - len,
						     &err), 0);
	platter_image_close(img, NULL);
}

/* Everything that reads a log, on `size` bytes at `data`. */
static void inspect(const struct claim *c, const uint8_t *data, size_t size)
{
	const struct platter_log_options opts = {
		.format = "memory", .index = "",
	};
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_context *ctx;
	struct platter_log *log;
	const struct platter_log_summary *sum;
	uint64_t nr;
	int rc;

	memory_set(data, size);
	assert_int_equal(platter_context_new_with(&ctx, drivers,
						  PLT_ARRAY_SIZE(drivers),
						  &err), 0);
	rc = platter_log_open(&log, ctx, "input", &opts, &err);
	if (rc) {
		check_error(rc, &err);
		assert_false(c->open);
		platter_context_free(ctx);
		return;
	}
	ask(c, log);
	assert_int_equal(platter_log_scan(log, NULL, &sum, &err), 0);
	nr = sum->entries;
	platter_log_close(log);
	read_state(ctx, c->sure, c->s->state[c->sure], DEVICE * c->s->sector);
	if (nr != c->sure)
		read_state(ctx, nr, NULL, DEVICE * c->s->sector);
	platter_context_free(ctx);
}

/* ---- cutting off ---- */

static void cut_everywhere(struct sample *s)
{
	for (size_t size = 0; size <= s->size; size++) {
		struct claim c = {
			.s = s, .exact = true,
			.open = size >= sizeof(struct plt_wlog_disk_super),
		};

		while (c.sure < s->nr && s->end[c.sure] <= size)
			c.sure++;
		inspect(&c, s->bytes, size);
	}
	free(s);
}

static void cut_off_at_every_byte(void **unused)
{
	(void)unused;
	cut_everywhere(small_sample(512));
}

static void cut_off_at_every_byte_with_small_sectors(void **unused)
{
	(void)unused;
	cut_everywhere(small_sample(64));
}

/* ---- flipping bits ---- */

/*
 * A bit of the super block costs no entry; one in data none either, only the
 * data is another; one in a header its entry and all behind.
 */
static void flip(struct sample *s, uint64_t bit)
{
	const size_t at = bit / 8;
	struct claim c = { .s = s, .open = true };

	s->bytes[at] ^= 1u << bit % 8;
	while (c.sure < s->nr && s->end[c.sure] <= at)
		c.sure++;
	if (at < s->sector)
		c.sure = s->nr;
	inspect(&c, s->bytes, s->size);
	s->bytes[at] ^= 1u << bit % 8;
}

static void ten_thousand_bits_of_a_large_log(void **unused)
{
	struct sample *s = large_sample();
	uint32_t seed = 1;

	(void)unused;
	for (int i = 0; i < 5000; i++) {
		uint64_t header = s->entry[rnd(&seed) % s->nr].offset;

		flip(s, header * 8 + rnd(&seed) % (48 * 8));
		flip(s, rnd(&seed) % (s->size * 8));
	}
	free(s);
}

static void every_bit_of_a_small_log(void **unused)
{
	struct sample *s = small_sample(64);

	(void)unused;
	for (uint64_t bit = 0; bit < s->size * 8; bit++)
		flip(s, bit);
	free(s);
}

static void every_bit_of_the_super_block(void **unused)
{
	struct sample *s = large_sample();

	(void)unused;
	for (uint64_t bit = 0; bit < 512 * 8; bit++)
		flip(s, bit);
	free(s);
}

/* ---- limits ---- */

static int limit_memory(void **unused)
{
	struct rlimit limit;
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	(void)unused;
	alarm(HANG_SECONDS);
#ifdef SANITIZED
	if (f)
		fclose(f);
	return 0;
#endif
	if (!f || fscanf(f, "%lu", &pages) != 1)
		return -1;
	fclose(f);
	limit.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) +
			 2 * sizeof(struct sample) + MEMORY_MAX;
	limit.rlim_max = limit.rlim_cur;
	return setrlimit(RLIMIT_AS, &limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_off_at_every_byte),
		cmocka_unit_test(cut_off_at_every_byte_with_small_sectors),
		cmocka_unit_test(ten_thousand_bits_of_a_large_log),
		cmocka_unit_test(every_bit_of_a_small_log),
		cmocka_unit_test(every_bit_of_the_super_block),
	};

	return cmocka_run_group_tests(tests, limit_memory, NULL);
}
