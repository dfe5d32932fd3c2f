/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a run was: the same log, the same plan and the same checker give the
 * same states in the same order, so results can be joined and resumed.
 *
 * A run may go on or be joined on another machine, where files lie in other
 * folders. So a log is known by what is in its headers, and a base by the last
 * part of its name.
 */
#include <inttypes.h>
#include <string.h>

#include <platter/out.h>

#include "base/endian.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "crash/crash.h"
#include "crash/report.h"

const char *const plt_crash_discard_names[3] = {
	[PLATTER_CRASH_DISCARD_ZERO] = "zero",
	[PLATTER_CRASH_DISCARD_OLD] = "old",
	[PLATTER_CRASH_DISCARD_PATTERN] = "pattern",
};

const char *const plt_crash_end_names[PLATTER_CRASH_END_STOPPED + 1] = {
	[PLATTER_CRASH_END_ALL] = "all",
	[PLATTER_CRASH_END_FIRST] = "first-failure",
	[PLATTER_CRASH_END_STATES] = "max-states",
	[PLATTER_CRASH_END_TIME] = "max-time",
	[PLATTER_CRASH_END_STOPPED] = "stopped",
};

static int hash_log(const struct platter_crash *crash, uint64_t *hash,
		    struct platter_error *err)
{
	struct plt_xxh3 *h;
	const char *text;
	size_t len;
	int rc;

	rc = plt_xxh3_new(&h, err);
	if (rc)
		return rc;
	for (uint64_t i = 0; i < crash->nr; i++) {
		const struct plt_crash_entry *e = &crash->entry[i];
		uint8_t raw[32];

		plt_put_le64(raw, e->start);
		plt_put_le64(raw + 8, e->length);
		plt_put_le64(raw + 16, e->data_offset);
		plt_put_le64(raw + 24, e->flags);
		plt_xxh3_update(h, raw, sizeof(raw));
	}
	for (uint64_t i = 0; i < crash->nr_marks; i++) {
		uint8_t raw[8];

		platter_crash_mark_before(crash, crash->mark[i] + 1, &text,
					  &len);
		plt_put_le64(raw, len);
		plt_xxh3_update(h, raw, sizeof(raw));
		plt_xxh3_update(h, text, len);
	}
	*hash = plt_xxh3_digest(h);
	plt_xxh3_free(h);
	return 0;
}

int platter_crash_run_fill(struct platter_crash_run *run,
			   struct platter_crash *crash,
			   const struct platter_crash_plan *plan,
			   struct platter_error *err)
{
	*run = (struct platter_crash_run){
		.log = platter_log_name(crash->log),
		.base = crash->base ? platter_image_name(crash->base) : NULL,
		.entries = crash->nr,
		.size = crash->size,
		.sector_size = crash->sector,
		.plan = *plan,
		.checker = "",
		.how = "",
	};
	/* What is left to the library is written down as what it is. */
	if (!run->plan.strategies)
		run->plan.strategies = PLATTER_CRASH_STRATEGY;
	if (!run->plan.unit)
		run->plan.unit = crash->sector;
	if (!run->plan.shards)
		run->plan.shards = 1;
	if (!run->plan.discards)
		run->plan.discards = 1u << PLATTER_CRASH_DISCARD_ZERO;
	return hash_log(crash, &run->log_hash, err);
}

/* ---- two of them ---- */

static const char *last_part(const char *name)
{
	const char *slash = name ? strrchr(name, '/') : NULL;

	return slash ? slash + 1 : name;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static int same_number(const char *what, uint64_t a, uint64_t b,
		       struct platter_error *err)
{
	if (a == b)
		return 0;
	return plt_err_set(err, -EINVAL, "%s %" PRIu64 " in one, %" PRIu64
			   " in the other", what, a, b);
}

static int same_string(const char *what, const char *a, const char *b,
		       struct platter_error *err)
{
	if (same_text(a, b))
		return 0;
	return plt_err_set(err, -EINVAL, "%s '%.100s' in one, '%.100s' in "
			   "the other", what, a ? a : "", b ? b : "");
}

static int same_log(const struct platter_crash_run *a,
		    const struct platter_crash_run *b,
		    struct platter_error *err)
{
	const char *base_a = last_part(a->base), *base_b = last_part(b->base);
	int rc;

	rc = same_number("the log has entries,", a->entries, b->entries, err);
	if (!rc)
		rc = same_number("the log has a sector size of",
				 a->sector_size, b->sector_size, err);
	if (!rc && a->log_hash != b->log_hash)
		rc = plt_err_set(err, -EINVAL, "the logs, %.100s and %.100s, "
				 "differ in their entries", a->log, b->log);
	if (!rc)
		rc = same_number("the size of the disk is", a->size, b->size,
				 err);
	if (!rc && !same_text(base_a, base_b))
		rc = plt_err_set(err, -EINVAL, "the base is %.100s in one, "
				 "%.100s in the other",
				 base_a ? base_a : "zeros",
				 base_b ? base_b : "zeros");
	return rc;
}

static int same_regions(const char *const *a, const char *const *b,
			struct platter_error *err)
{
	int rc = 0;

	for (size_t i = 0; !rc; i++) {
		const char *in_a = a ? a[i] : NULL, *in_b = b ? b[i] : NULL;

		rc = same_string("a region is", in_a, in_b, err);
		if (!in_a || !in_b)
			break;
	}
	return rc;
}

static int same_plan(const struct platter_crash_plan *a,
		     const struct platter_crash_plan *b,
		     struct platter_error *err)
{
	int rc;

	rc = same_number("the first point is", a->from, b->from, err);
	if (!rc)
		rc = same_number("the last point is", a->to, b->to, err);
	if (!rc)
		rc = same_string("the model is",
				 platter_crash_model_name(a->model),
				 platter_crash_model_name(b->model), err);
	if (!rc)
		rc = same_number("the atomic unit is", a->unit, b->unit, err);
	if (!rc)
		rc = same_string("strategies are", a->strategies,
				 b->strategies, err);
	if (!rc)
		rc = same_regions(a->regions, b->regions, err);
	if (!rc && a->early_writes != b->early_writes)
		rc = plt_err_set(err, -EINVAL, "early writes are in one and "
				 "not in the other");
	if (!rc && a->discards != b->discards)
		rc = plt_err_set(err, -EINVAL, "what discards leave differs");
	return rc;
}

int platter_crash_run_same(const struct platter_crash_run *a,
			   const struct platter_crash_run *b,
			   struct platter_error *err)
{
	int rc;

	rc = same_log(a, b, err);
	if (!rc)
		rc = same_plan(&a->plan, &b->plan, err);
	if (!rc)
		rc = same_string("the checker is", a->checker, b->checker, err);
	if (!rc && a->read_guided != b->read_guided)
		rc = plt_err_set(err, -EINVAL, "one is guided by what is "
				 "read, the other is not");
	if (!rc)
		rc = same_number("crashes are as many as", a->depth, b->depth,
				 err);
	return rc;
}
