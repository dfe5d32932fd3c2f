/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: names of crash states.
 *
 * The input is two names, a line each, of states of one small log; its first
 * byte chooses what a flush covers there. A name that is taken has a shortest
 * form, which is that of the same state; and where two states do not differ by
 * plt_crash_state_diff(), their images do not.
 */
#include <stdlib.h>
#include <string.h>

#include <platter/platter.h>

#include "memory.h"

#include "base/endian.h"
#include "crash/crash.h"

#define SECTOR		512u
#define ROOM		(128u * SECTOR)	/* of the log */
#define DISK_MAX	(64u * SECTOR)
#define RANGES_MAX	1024u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct platter_driver *const drivers[] = {
	&plt_raw_driver, &plt_writelog_driver, &memory_driver,
};

/* ---- the log ---- */

#define FLUSH	PLATTER_LOG_FLUSH
#define FUA	PLATTER_LOG_FUA
#define DISCARD	PLATTER_LOG_DISCARD
#define MARK	PLATTER_LOG_MARK

static const struct {
	uint8_t sector, count, flags, issue;
} log_entries[] = {
	{ 0, 4, 0, 1 },
	{ 2, 4, 0, 2 },
	{ 0, 0, FLUSH, 3 },
	{ 0, 2, DISCARD, 4 },	/* durable from the next flush on */
	{ 8, 2, 0, 7 },		/* under way when that was issued */
	{ 0, 0, MARK, 0 },
	{ 20, 1, FUA, 5 },
	{ 0, 0, FLUSH, 6 },
	{ 1, 3, 0, 8 },
	{ 8, 6, 0, 9 },
	{ 9, 4, 0, 10 },
	{ 10, 1, FUA, 11 },
	{ 4, 8, DISCARD, 12 },
	{ 0, 0, MARK, 0 },
	{ 6, 2, 0, 13 },
	{ 16, 5, 0, 14 },
	{ 3, 1, FLUSH, 15 },	/* its own data waits for the next one */
	{ 0, 8, 0, 16 },
	{ 18, 6, DISCARD, 18 },
	{ 19, 2, 0, 19 },
	{ 0, 0, FLUSH, 17 },
	{ 21, 2, 0, 20 },
	{ 5, 1, FLUSH | FUA, 21 },
	{ 12, 3, 0, 22 },
};

static size_t put_entry(uint8_t *at, size_t i)
{
	const uint8_t flags = log_entries[i].flags;
	const size_t length = flags & DISCARD ? 0 :
			      log_entries[i].count * SECTOR;

	plt_put_le64(at, log_entries[i].sector);
	plt_put_le64(at + 8, log_entries[i].count);
	plt_put_le64(at + 16, flags);
	plt_put_le64(at + 24, flags & MARK ? 1 : 0);
	if (flags & MARK) {
		at[32] = 'a';
	} else {
		memcpy(at + 40, "pltrext1", 8);
		plt_put_le64(at + 48, log_entries[i].issue);
	}
	for (size_t n = 0; n < length; n++)
		at[SECTOR + n] = (uint8_t)(16 * i + n / SECTOR + n % 251);
	return SECTOR + length;
}

static void make_log(void)
{
	static uint8_t bytes[ROOM];
	size_t size = SECTOR;

	plt_put_le64(bytes, UINT64_C(0x6a736677736872));
	plt_put_le64(bytes + 8, 1);
	plt_put_le64(bytes + 16, PLT_ARRAY_SIZE(log_entries));
	plt_put_le32(bytes + 24, SECTOR);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(log_entries); i++)
		size += put_entry(bytes + size, i);
	memory_set(bytes, size);
}

static struct platter_crash *open_log(enum platter_crash_cover cover)
{
	const struct platter_crash_options opts = {
		.log = { .format = "memory", .index = "" },
		.cover = cover,
	};
	static struct platter_context *ctx;
	struct platter_crash *crash;

	make_log();
	if (!ctx && platter_context_new_with(&ctx, drivers,
					     PLT_ARRAY_SIZE(drivers), NULL))
		abort();
	if (platter_crash_open(&crash, ctx, "input", &opts, NULL) ||
	    platter_crash_entries(crash) != PLT_ARRAY_SIZE(log_entries) ||
	    platter_crash_size(crash) > DISK_MAX)
		abort();
	return crash;
}

/* ---- a state ---- */

struct parts {
	struct platter_crash_part_visitor visitor;
	uint64_t sum;
};

static int add_part(struct platter_crash_part_visitor *visitor,
		    const struct platter_crash_part *part,
		    struct platter_error *err)
{
	struct parts *p = (struct parts *)visitor;
	const uint64_t of[] = {
		part->entry.number, part->fate, part->first, part->count,
	};

	(void)err;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(of); i++)
		p->sum = (p->sum ^ of[i]) * UINT64_C(0x100000001b3);
	return 0;
}

static uint64_t sum_of_parts(const struct platter_crash_state *state)
{
	struct parts p = { .visitor.visit = add_part };

	if (platter_crash_state_parts(state, &p.visitor, NULL))
		abort();
	return p.sum;
}

static void read_image(const struct platter_crash_state *state,
		       uint8_t buf[DISK_MAX], size_t size)
{
	struct platter_image *img;

	if (platter_crash_state_image(&img, state, NULL) ||
	    platter_image_pread(img, buf, size, 0, NULL) ||
	    platter_image_close(img, NULL))
		abort();
}

static bool same_image(const struct platter_crash_state *a,
		       const struct platter_crash_state *b,
		       const struct plt_crash_ranges *but)
{
	static uint8_t in_a[DISK_MAX], in_b[DISK_MAX];
	const size_t size = platter_crash_size(platter_crash_state_crash(a));

	read_image(a, in_a, size);
	read_image(b, in_b, size);
	for (size_t i = 0; i < but->nr; i++) {
		const struct platter_crash_range *r = &but->range[i];

		if (r->offset > size || r->length > size - r->offset)
			abort();
		memcpy(in_a + r->offset, in_b + r->offset, r->length);
	}
	return !memcmp(in_a, in_b, size);
}

static void check_diff(const struct platter_crash_state *a,
		       const struct platter_crash_state *b)
{
	struct plt_crash_ranges diff = { .nr = 0 };
	const int rc = plt_crash_state_diff(a, b, RANGES_MAX, &diff, NULL);

	if (rc < 0 || (!rc && !same_image(a, b, &diff)))
		abort();
	plt_crash_ranges_free(&diff);
}

static void check_name(struct platter_crash *crash, const char *given,
		       const struct platter_crash_state *state)
{
	const char *name = platter_crash_state_name(state);
	const struct plt_crash_ranges none = { .nr = 0 };
	struct platter_crash_state *again;

	/* But for A..B[FIRST:END], of which it lists the entries. */
	if (*given >= '0' && *given <= '9' && !strchr(given, '[') &&
	    strlen(name) > strlen(given))
		abort();
	if (platter_crash_state_parse(&again, crash, name, NULL) ||
	    strcmp(platter_crash_state_name(again), name) ||
	    platter_crash_state_point(again) !=
	    platter_crash_state_point(state) ||
	    sum_of_parts(again) != sum_of_parts(state) ||
	    !same_image(state, again, &none))
		abort();
	platter_crash_state_unref(again);
}

static struct platter_crash_state *parse(struct platter_crash *crash,
					 const char *name)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_crash_state *state;
	const int rc = platter_crash_state_parse(&state, crash, name, &err);

	if (!rc) {
		check_name(crash, name, state);
		return state;
	}
	/* A point may not be there, or be two. */
	if ((rc != -EINVAL && rc != -ENOENT && rc != -EEXIST) ||
	    strncmp(err.msg, "state ", strlen("state ")))
		abort();
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct platter_crash *crashes[2];
	struct platter_crash **crash = &crashes[size && data[0] & 1];
	struct platter_crash_state *a, *b = NULL;
	char *text, *second;

	if (!size)
		return 0;
	if (!*crash)
		*crash = open_log(data[0] & 1 ? PLATTER_CRASH_COVER_STRICT :
						PLATTER_CRASH_COVER_LOGGED);
	text = malloc(size);
	if (!text)
		abort();
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	second = strchr(text, '\n');
	if (second)
		*second++ = '\0';
	a = parse(*crash, text);
	if (second)
		b = parse(*crash, second);
	if (a && b)
		check_diff(a, b);
	if (a)
		platter_crash_state_unref(a);
	if (b)
		platter_crash_state_unref(b);
	free(text);
	return 0;
}
