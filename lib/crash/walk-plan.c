/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a walk is to make: names of models and strategies, regions.
 *
 * A region is "MARK..MARK=STRATEGIES", and a mark's text may have dots and
 * equals signs. So every way to read it is tried, from the left, and the first
 * that names marks of the log is meant.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/walk.h"

#define SUBSETS_LARGEST	8u	/* places of a cursor */
#define BITS_LARGEST	30u

const char *const plt_crash_strategy_names[PLT_CRASH_NR_STRATEGIES] = {
	[PLT_CRASH_PREFIXES] = "prefixes",
	[PLT_CRASH_BOUNDARIES] = "boundaries",
	[PLT_CRASH_2CP] = "2cp",
	[PLT_CRASH_SUBSETS] = "subsets",
	[PLT_CRASH_TEARS] = "tears",
	[PLT_CRASH_EXHAUSTIVE] = "exhaustive",
	[PLT_CRASH_RANDOM] = "random",
	[PLT_CRASH_EARLY] = "early-writes",
	[PLT_CRASH_DISCARDS] = "discards",
	[PLT_CRASH_SHORN] = "shorn",
	[PLT_CRASH_GARBAGE] = "garbage",
};

static const char *const models[] = {
	[PLATTER_CRASH_MODEL_PREFIX] = "prefix",
	[PLATTER_CRASH_MODEL_EPOCH] = "epoch",
	[PLATTER_CRASH_MODEL_SECTOR] = "sector",
	[PLATTER_CRASH_MODEL_SHORN] = "shorn",
	[PLATTER_CRASH_MODEL_GARBAGE] = "garbage",
};

int platter_crash_model_parse(enum platter_crash_model *out, const char *name,
			      struct platter_error *err)
{
	for (size_t i = 0; i < PLT_ARRAY_SIZE(models); i++) {
		if (!strcmp(models[i], name)) {
			*out = i;
			return 0;
		}
	}
	return plt_err_set(err, -EINVAL, "model \"%s\" is none of prefix, "
			   "epoch, sector, shorn and garbage", name);
}

const char *platter_crash_model_name(enum platter_crash_model model)
{
	return models[model];
}

/* ---- strategies ---- */

static int parse_number(const char *word, const char *value, uint64_t min,
			uint64_t max, uint64_t *out, struct platter_error *err)
{
	char *end;

	errno = 0;
	*out = strtoull(value, &end, 10);
	if (errno || end == value || *end || *value < '0' || *value > '9' ||
	    *out < min || *out > max)
		return plt_err_set(err, -EINVAL, "strategy \"%s\" needs a "
				   "number from %" PRIu64 " to %" PRIu64, word,
				   min, max);
	return 0;
}

static int parse_valued(struct plt_crash_effort *e, const char *word,
			const char *value, struct platter_error *err)
{
	const size_t len = value - word;
	uint64_t n;
	int rc;

	value++;
	if (len == 7 && !memcmp(word, "subsets", 7)) {
		rc = parse_number(word, value, 1, SUBSETS_LARGEST, &n, err);
		e->use |= 1u << PLT_CRASH_SUBSETS;
		e->subsets = rc ? 0 : n;
		return rc;
	}
	if (len == 10 && !memcmp(word, "exhaustive", 10)) {
		rc = parse_number(word, value, 1, BITS_LARGEST, &n, err);
		e->use |= 1u << PLT_CRASH_EXHAUSTIVE;
		e->bits = rc ? 0 : n;
		return rc;
	}
	if (len == 6 && !memcmp(word, "random", 6)) {
		e->use |= 1u << PLT_CRASH_RANDOM;
		return parse_number(word, value, 1, UINT32_MAX, &e->random,
				    err);
	}
	if (len == 4 && !memcmp(word, "seed", 4))
		return parse_number(word, value, 0, UINT64_MAX, &e->seed, err);
	return plt_err_set(err, -EINVAL, "strategy \"%s\" takes no number or "
			   "is none of boundaries, prefixes, 2cp, subsets=K, "
			   "exhaustive=BITS, tears, random=N (with seed=S)",
			   word);
}

static int parse_word(struct plt_crash_effort *e, const char *word,
		      struct platter_error *err)
{
	static const enum plt_crash_strategy plain[] = {
		PLT_CRASH_PREFIXES, PLT_CRASH_BOUNDARIES, PLT_CRASH_2CP,
		PLT_CRASH_TEARS,
	};
	const char *value = strchr(word, '=');

	if (value)
		return parse_valued(e, word, value, err);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(plain); i++) {
		if (!strcmp(word, plt_crash_strategy_names[plain[i]])) {
			e->use |= 1u << plain[i];
			return 0;
		}
	}
	return plt_err_set(err, -EINVAL, "strategy \"%s\" is none of "
			   "boundaries, prefixes, 2cp, subsets=K, "
			   "exhaustive=BITS, tears, random=N (with seed=S)",
			   word);
}

static int parse_strategies(struct plt_crash_effort *e, const char *text,
			    struct platter_error *err)
{
	char *copy plt_auto_free = plt_strdup(text, err);
	char *next = copy, *word;
	int rc = copy ? 0 : -ENOMEM;

	*e = (struct plt_crash_effort){ .use = 0 };
	while (!rc && (word = strsep(&next, ",")))
		rc = parse_word(e, word, err);
	if (!rc && !e->use)
		rc = plt_err_set(err, -EINVAL, "strategies \"%s\" have a seed "
				 "but no random=N", text);
	return rc;
}

/* ---- regions ---- */

static int mark_point(struct platter_crash_walk *w, const char *name,
		      size_t len, uint64_t none, uint64_t *point,
		      struct platter_error *err)
{
	char *text plt_auto_free = NULL;

	if (!len) {
		*point = none;
		return 0;
	}
	text = plt_asprintf(err, "mark:%.*s", (int)len, name);
	if (!text)
		return -ENOMEM;
	return platter_log_point(w->crash->log, text, point, err);
}

static int parse_region(struct platter_crash_walk *w, const char *text,
			struct plt_crash_region *r, struct platter_error *err)
{
	struct platter_error first = PLATTER_ERROR_INIT;
	const char *dots, *is;
	int rc = 0;

	for (dots = strstr(text, ".."); dots; dots = strstr(dots + 1, "..")) {
		for (is = strchr(dots, '='); is; is = strchr(is + 1, '=')) {
			rc = mark_point(w, text, dots - text, 0, &r->from, err);
			if (!rc)
				rc = mark_point(w, dots + 2, is - dots - 2,
						UINT64_MAX, &r->to, err);
			if (!rc)
				rc = parse_strategies(&r->effort, is + 1, err);
			if (!rc && r->from >= r->to)
				rc = plt_err_set(err, -EINVAL, "its second "
						 "mark is not behind the "
						 "first");
			if (!rc)
				return 0;
			if (!first.code)
				first = err ? *err : first;
		}
	}
	if (err && rc)
		*err = first;
	if (rc)
		return plt_err_prefix(err, rc, "region \"%s\"", text);
	return plt_err_set(err, -EINVAL, "region \"%s\" is not "
			   "MARK..MARK=STRATEGIES", text);
}

static int parse_regions(struct platter_crash_walk *w,
			 const char *const *regions,
			 struct platter_error *err)
{
	size_t nr = 0;
	int rc = 0;

	while (regions && regions[nr])
		nr++;
	if (!nr)
		return 0;
	w->region = plt_calloc(nr, sizeof(*w->region), err);
	if (!w->region)
		return -ENOMEM;
	for (; w->nr_regions < nr && !rc; w->nr_regions++)
		rc = parse_region(w, regions[w->nr_regions],
				  &w->region[w->nr_regions], err);
	return rc;
}

/* ---- the plan ---- */

static int check_range(const struct platter_crash_plan *plan, uint64_t nr,
		       struct platter_error *err)
{
	if (plan->from > plan->to || plan->to > nr)
		return plt_err_set(err, -EINVAL, "points %" PRIu64 " to %"
				   PRIu64 " are not in order from 0 to %"
				   PRIu64 ", the end of the log", plan->from,
				   plan->to, nr);
	if (plan->shards > 1 && plan->shard >= plan->shards)
		return plt_err_set(err, -EINVAL, "shard %" PRIu32 " of %"
				   PRIu32 ": they are counted from 0",
				   plan->shard, plan->shards);
	return 0;
}

static int set_unit(struct platter_crash_walk *w, uint32_t unit,
		    struct platter_error *err)
{
	const uint32_t sector = w->crash->sector;

	if (unit && (unit < sector || unit & (unit - 1)))
		return plt_err_set(err, -EINVAL, "an atomic unit of %" PRIu32
				   " bytes is no power of two from %" PRIu32
				   ", the sector of the log, on", unit, sector);
	w->unit = unit ? unit / sector : 1;
	return 0;
}

/* What the model and the other choices add or leave out. */
static void adjust(const struct platter_crash_walk *w,
		   struct plt_crash_effort *e)
{
	if (w->model == PLATTER_CRASH_MODEL_PREFIX) {
		e->use &= 1u << PLT_CRASH_PREFIXES | 1u << PLT_CRASH_BOUNDARIES;
		return;
	}
	if (w->model < PLATTER_CRASH_MODEL_SECTOR)
		e->use &= ~(1u << PLT_CRASH_TEARS);
	if (w->model >= PLATTER_CRASH_MODEL_SHORN)
		e->use |= 1u << PLT_CRASH_SHORN;
	if (w->model >= PLATTER_CRASH_MODEL_GARBAGE)
		e->use |= 1u << PLT_CRASH_GARBAGE;
	if (w->early)
		e->use |= 1u << PLT_CRASH_EARLY;
	if (w->pattern)
		e->use |= 1u << PLT_CRASH_DISCARDS;
}

int plt_crash_walk_plan(struct platter_crash_walk *w,
			const struct platter_crash_plan *plan,
			struct platter_error *err)
{
	int rc = check_range(plan, w->crash->nr, err);

	if (!rc)
		rc = set_unit(w, plan->unit, err);
	if (!rc)
		rc = parse_strategies(&w->effort, plan->strategies ?
				      plan->strategies :
				      PLATTER_CRASH_STRATEGY, err);
	if (!rc)
		rc = parse_regions(w, plan->regions, err);
	if (rc)
		return rc;
	w->from = plan->from;
	w->to = plan->to;
	w->model = plan->model;
	w->early = plan->early_writes;
	w->pattern = plan->discards & 1u << PLATTER_CRASH_DISCARD_PATTERN;
	w->shard = plan->shard;
	w->shards = PLT_MAX(plan->shards, 1u);
	adjust(w, &w->effort);
	for (size_t i = 0; i < w->nr_regions; i++)
		adjust(w, &w->region[i].effort);
	return 0;
}

const struct plt_crash_effort *
plt_crash_walk_effort(const struct platter_crash_walk *w, uint64_t point)
{
	for (size_t i = 0; i < w->nr_regions; i++)
		if (point >= w->region[i].from && point < w->region[i].to)
			return &w->region[i].effort;
	return &w->effort;
}
