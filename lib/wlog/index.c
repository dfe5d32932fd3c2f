/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The index of a write log: who wrote each part of the device, and when.
 *
 * One pass over the headers gives a 16-byte record for every write and
 * discard. A stable radix sort by (start, length) brings the entries that
 * wrote one and the same extent together, in log order: that list of versions
 * is what "last writer before N" is searched in. A sector rewritten a million
 * times is one extent, so it costs a binary search and not a walk.
 *
 * Extents may overlap others. Which of them lie over a sector is answered from
 * `reach`, a tree of the largest ends kept beside the ascending starts, 32 to
 * a node: one whole-device discard does not make every search walk them all.
 *
 * 16 + 16 bytes an entry while sorting; 8 to 33 bytes an entry afterwards.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "wlog/wlog.h"

/* Lengths of 2^31 - 1 sectors and more, of which there are few, in `big`. */
#define LENGTH_BIG	0x7fffffffu
#define LENGTH_DISCARD	0x80000000u

struct record {
	uint64_t start;		/* log sectors */
	uint32_t length;	/* log sectors, with LENGTH_DISCARD */
	uint32_t entry;
};

struct big_length {
	uint32_t entry;
	uint64_t length;
};

struct build {
	uint64_t *entries;
	size_t nr_entries, room_entries;
	struct record *records;
	size_t nr_records, room_records;
	struct big_length *big;		/* by entry, ascending */
	size_t nr_big, room_big;
	uint32_t *marks;
	size_t nr_marks, room_marks;
	uint64_t end;
	uint64_t device_sectors;
};

static void build_clear(struct build *b)
{
	free(b->entries);
	free(b->records);
	free(b->big);
	free(b->marks);
}

static int add_record(struct build *b, const struct platter_log_entry *e,
		      struct platter_error *err)
{
	const uint32_t kind = e->flags & PLATTER_LOG_DISCARD ?
			      LENGTH_DISCARD : 0;
	struct record *r;
	int rc;

	rc = plt_grow(&b->records, &b->room_records, b->nr_records + 1,
		      sizeof(*b->records), err);
	if (rc)
		return rc;
	r = &b->records[b->nr_records++];
	r->start = e->sector;
	r->entry = e->number;
	r->length = PLT_MIN(e->nr_sectors, (uint64_t)LENGTH_BIG) | kind;
	b->device_sectors = PLT_MAX(b->device_sectors,
				    e->sector + e->nr_sectors);
	if (e->nr_sectors < LENGTH_BIG)
		return 0;
	rc = plt_grow(&b->big, &b->room_big, b->nr_big + 1, sizeof(*b->big),
		      err);
	if (!rc)
		b->big[b->nr_big++] = (struct big_length){
			.entry = e->number, .length = e->nr_sectors };
	return rc;
}

static int add_entry(struct build *b, const struct platter_log_entry *e,
		     struct platter_error *err)
{
	int rc;

	rc = plt_grow(&b->entries, &b->room_entries, b->nr_entries + 1,
		      sizeof(*b->entries), err);
	if (rc)
		return rc;
	b->entries[b->nr_entries++] = e->offset | e->flags;
	if (e->nr_sectors)
		return add_record(b, e, err);
	if (!(e->flags & PLATTER_LOG_MARK))
		return 0;
	rc = plt_grow(&b->marks, &b->room_marks, b->nr_marks + 1,
		      sizeof(*b->marks), err);
	if (!rc)
		b->marks[b->nr_marks++] = e->number;
	return rc;
}

static int collect(struct platter_log *log, struct build *b,
		   struct platter_progress *progress,
		   struct platter_error *err)
{
	struct platter_log_cursor *c;
	struct platter_log_entry e;
	int rc;

	rc = platter_log_cursor_new(&c, log, 0, err);
	if (rc)
		return rc;
	while ((rc = platter_log_next(c, &e, err)) == 0) {
		rc = add_entry(b, &e, err);
		if (!rc && (e.number & 0xfff) == 0)
			rc = plt_progress(progress, e.offset, log->size, err);
		if (rc)
			break;
	}
	b->end = c->offset;
	platter_log_cursor_free(c);
	return rc < 0 ? rc : 0;
}

/* ---- sorting ---- */

static inline unsigned int digit(const struct record *r, unsigned int byte)
{
	return byte < 4 ? r->length >> (8 * byte) & 0xff :
	       r->start >> (8 * (byte - 4)) & 0xff;
}

/* One stable pass by the given byte; false when all agree in it. */
static bool sort_pass(const struct record *in, struct record *out, size_t n,
		      unsigned int byte)
{
	size_t place[256] = { 0 }, sum = 0, count;

	for (size_t i = 0; i < n; i++)
		place[digit(&in[i], byte)]++;
	if (place[digit(&in[0], byte)] == n)
		return false;
	for (unsigned int d = 0; d < 256; d++) {
		count = place[d];
		place[d] = sum;
		sum += count;
	}
	for (size_t i = 0; i < n; i++)
		out[place[digit(&in[i], byte)]++] = in[i];
	return true;
}

/* By start, then length and kind; log order within. */
static int sort_records(struct build *b, struct platter_error *err)
{
	struct record *other, *swap;

	if (b->nr_records < 2)
		return 0;
	other = plt_calloc(b->nr_records, sizeof(*other), err);
	if (!other)
		return -ENOMEM;
	for (unsigned int byte = 0; byte < 12; byte++) {
		if (sort_pass(b->records, other, b->nr_records, byte)) {
			swap = b->records;
			b->records = other;
			other = swap;
		}
	}
	free(other);
	return 0;
}

static uint64_t record_length(const struct build *b, const struct record *r)
{
	uint64_t length = r->length & LENGTH_BIG;
	size_t low = 0, high = b->nr_big, mid;

	if (length == LENGTH_BIG) {
		while (low + 1 < high) {
			mid = low + (high - low) / 2;
			if (b->big[mid].entry <= r->entry)
				low = mid;
			else
				high = mid;
		}
		length = b->big[low].length;
	}
	return length | (r->length & LENGTH_DISCARD ?
			 PLT_WLOG_EXTENT_DISCARD : 0);
}

/* Do two neighbours in sorted order describe the same extent? */
static bool same_extent(const struct build *b, const struct record *x,
			const struct record *y)
{
	return x->start == y->start && x->length == y->length &&
	       ((x->length & LENGTH_BIG) != LENGTH_BIG ||
		record_length(b, x) == record_length(b, y));
}

/* ---- laying out ---- */

static size_t place(void *memory, size_t *at, size_t bytes, const void *array)
{
	const size_t offset = *at;

	if (memory)
		*(const void **)array = (char *)memory + offset;
	*at = offset + plt_align_up(bytes, 8);
	return offset;
}

size_t plt_wlog_index_layout(struct plt_wlog_index *ix, void *memory,
			     const struct plt_wlog_counts *n)
{
	uint64_t width = n->extents;
	size_t at = 0;

	ix->nr_entries = n->entries;
	ix->nr_extents = n->extents;
	ix->nr_versions = n->versions;
	ix->nr_marks = n->marks;
	ix->levels = 0;
	place(memory, &at, n->entries * 8, &ix->entries);
	place(memory, &at, n->extents * 8, &ix->starts);
	place(memory, &at, n->extents * 8, &ix->lengths);
	place(memory, &at, (n->extents + 1) * 4, &ix->first);
	place(memory, &at, n->versions * 4, &ix->versions);
	place(memory, &at, n->marks * 4, &ix->marks);
	while (width > 1) {
		width = (width + PLT_WLOG_FANOUT - 1) / PLT_WLOG_FANOUT;
		ix->nr_reach[ix->levels] = width;
		place(memory, &at, width * 8, &ix->reach[ix->levels]);
		ix->levels++;
	}
	return at;
}

static void fill_reach(struct plt_wlog_index *ix)
{
	uint64_t *level, width = ix->nr_extents;

	for (unsigned int l = 0; l < ix->levels; l++) {
		level = (uint64_t *)ix->reach[l];
		for (uint64_t i = 0; i < width; i++) {
			uint64_t *cell = &level[i / PLT_WLOG_FANOUT];
			uint64_t end = l ? ix->reach[l - 1][i] :
				       plt_wlog_extent_end(ix, i);

			*cell = i % PLT_WLOG_FANOUT ? PLT_MAX(*cell, end) : end;
		}
		width = ix->nr_reach[l];
	}
}

static void fill(struct plt_wlog_index *ix, const struct build *b)
{
	uint64_t *starts = (uint64_t *)ix->starts;
	uint64_t *lengths = (uint64_t *)ix->lengths;
	uint32_t *first = (uint32_t *)ix->first;
	uint32_t *versions = (uint32_t *)ix->versions;
	const struct record *r = b->records;
	uint64_t extent = 0;

	memcpy((void *)ix->entries, b->entries, b->nr_entries * 8);
	if (b->nr_marks)
		memcpy((void *)ix->marks, b->marks, b->nr_marks * 4);
	for (size_t i = 0; i < b->nr_records; i++) {
		versions[i] = r[i].entry;
		if (i && same_extent(b, &r[i - 1], &r[i]))
			continue;
		starts[extent] = r[i].start;
		lengths[extent] = record_length(b, &r[i]);
		first[extent++] = i;
	}
	first[extent] = b->nr_records;
	fill_reach(ix);
}

static int lay_out(struct build *b, struct plt_wlog_index *ix,
		   struct platter_error *err)
{
	struct plt_wlog_counts n = {
		.entries = b->nr_entries,
		.versions = b->nr_records,
		.marks = b->nr_marks,
	};

	for (size_t i = 0; i < b->nr_records; i++)
		n.extents += !i || !same_extent(b, &b->records[i - 1],
						&b->records[i]);
	ix->memory_size = plt_wlog_index_layout(ix, NULL, &n);
	ix->memory = plt_calloc(1, ix->memory_size, err);
	if (!ix->memory)
		return -ENOMEM;
	plt_wlog_index_layout(ix, ix->memory, &n);
	if (b->nr_entries)
		fill(ix, b);
	ix->end = b->end;
	ix->device_sectors = b->device_sectors;
	return 0;
}

int plt_wlog_index_build(struct platter_log *log,
			 struct platter_progress *progress,
			 struct plt_wlog_index **out,
			 struct platter_error *err)
{
	struct plt_wlog_index *ix = plt_calloc(1, sizeof(*ix), err);
	struct build b = { 0 };
	int rc = -ENOMEM;

	if (!ix)
		return rc;
	rc = collect(log, &b, progress, err);
	if (!rc)
		rc = sort_records(&b, err);
	if (!rc)
		rc = lay_out(&b, ix, err);
	build_clear(&b);
	if (rc) {
		plt_wlog_index_free(ix);
		return rc;
	}
	*out = ix;
	return 0;
}

void plt_wlog_index_free(struct plt_wlog_index *ix)
{
	if (!ix)
		return;
	if (ix->mapped)
		munmap(ix->memory, ix->memory_size);
	else
		free(ix->memory);
	free(ix);
}

/* ---- public ---- */

int platter_log_index(struct platter_log *log,
		      struct platter_progress *progress,
		      struct platter_error *err)
{
	int rc, found;

	if (log->index)
		return 0;
	found = plt_wlog_sidecar_load(log, &log->index, NULL);
	if (found == 0)
		return 0;
	rc = plt_wlog_index_build(log, progress, &log->index, err);
	/* A stale sidecar is replaced; one that cannot be is no failure. */
	if (!rc && found < 0 &&
	    plt_wlog_sidecar_save(log, log->index, NULL) < 0)
		return 0;
	return rc;
}

int platter_log_index_save(struct platter_log *log,
			   struct platter_progress *progress,
			   struct platter_error *err)
{
	int rc;

	if (!log->index_path)
		return plt_err_set(err, -EINVAL,
				   "%s: no place for an index beside it; name a file for it",
				   log->name);
	rc = platter_log_index(log, progress, err);
	return rc ? rc : plt_wlog_sidecar_save(log, log->index, err);
}

const char *platter_log_index_name(const struct platter_log *log)
{
	return log->index_path;
}

/* ---- searching ---- */

uint64_t plt_wlog_index_lower_bound(const struct plt_wlog_index *ix,
				    uint64_t sector)
{
	uint64_t low = 0, high = ix->nr_extents, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (ix->starts[mid] < sector)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct stab {
	const struct plt_wlog_index *ix;
	uint64_t sector;
	uint64_t before;	/* extents from here on start too late */
	int (*fn)(void *arg, uint64_t extent);
	void *arg;
};

/*
 * Visit the children of cell `cell` of level `level` (0 = extents below); one
 * child stands for `span` extents.
 */
static int stab_cell(const struct stab *s, unsigned int level, uint64_t cell,
		     uint64_t span)
{
	const struct plt_wlog_index *ix = s->ix;
	const uint64_t first = cell * PLT_WLOG_FANOUT;
	const uint64_t width = (s->before + span - 1) / span;
	uint64_t i = PLT_MIN(first + PLT_WLOG_FANOUT, width);
	int rc = 0;

	while (i-- > first && !rc) {
		if (!level) {
			if (plt_wlog_extent_end(ix, i) > s->sector)
				rc = s->fn(s->arg, i);
		} else if (ix->reach[level - 1][i] > s->sector) {
			rc = stab_cell(s, level - 1, i,
				       span / PLT_WLOG_FANOUT);
		}
	}
	return rc;
}

int plt_wlog_index_stab(const struct plt_wlog_index *ix, uint64_t sector,
			int (*fn)(void *arg, uint64_t extent), void *arg)
{
	struct stab s = {
		.ix = ix, .sector = sector, .fn = fn, .arg = arg,
		.before = plt_wlog_index_lower_bound(ix, sector),
	};
	uint64_t span = 1;

	if (!s.before)
		return 0;
	if (!ix->levels)	/* a single extent */
		return plt_wlog_extent_end(ix, 0) > sector ? fn(arg, 0) : 0;
	for (unsigned int l = 1; l < ix->levels; l++)
		span *= PLT_WLOG_FANOUT;
	return stab_cell(&s, ix->levels - 1, 0, span);
}

/* Where in extent i's versions the first one >= `entry` is. */
static uint64_t version_bound(const struct plt_wlog_index *ix, uint64_t i,
			      uint64_t entry)
{
	uint64_t low = ix->first[i], high = ix->first[i + 1], mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (ix->versions[mid] < entry)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

uint32_t plt_wlog_index_version(const struct plt_wlog_index *ix, uint64_t i,
				uint64_t from, uint64_t to)
{
	const uint64_t at = version_bound(ix, i, to);

	if (at == ix->first[i] || ix->versions[at - 1] < from)
		return UINT32_MAX;
	return ix->versions[at - 1];
}

uint64_t plt_wlog_index_count(const struct plt_wlog_index *ix, uint64_t i,
			      uint64_t from, uint64_t to)
{
	return version_bound(ix, i, to) - version_bound(ix, i, from);
}
