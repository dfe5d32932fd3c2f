/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * States that need not be run.
 *
 * A checker that gives the same answer to the same bytes cannot tell two states
 * apart that agree in all it reads: it reads the first range whatever the state
 * is, the next by what it found there, and so on. So for each set of ranges
 * that some run has read, the hash of what a state holds there says whether
 * that run had the same before it. The mark is part of what a checker sees.
 *
 * Watching costs: what is watched has to be read anew by each run. So states
 * are compared only with those of the same span of points, and watched is only
 * what may differ within the span; that is why the left of durable discards,
 * which reaches back to the beginning, has to be the same. A span is longer
 * the less the runs of the last one have read of what was watched.
 *
 * What a run reads is known when it has ended. Which runs a state is compared
 * with must not depend on how fast they were: the caller learns in the order
 * of the walk, and pulls states in batches. Of a batch only those are run at
 * once that differ in what the last run has read, as the next one will read
 * much the same; the others wait for their turn in that order, and most are
 * then found to agree.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/explore.h"

#define BUCKETS_MIN	256u
#define RECENT		4u	/* sets a state that has waited is tried with */
#define SPAN_FIRST	64u	/* points */
#define SPAN_MIN	16u
#define SPAN_MAX	65536u
#define AHEAD		65536u	/* bytes behind what a run has read */
#define RANGES_MAX	1024u	/* watched; for more the span is shorter */
/* Bytes of a span that a run reads: over and under them it is halved, doubled. */
#define READS_HIGH	(UINT64_C(1) << 19)
#define READS_LOW	(UINT64_C(1) << 17)

/* What has to be the same, and what a state holds in a set. */
struct key {
	uint64_t mark;
	enum platter_crash_discard discard;
	uint8_t hash[16];
};

struct seen {
	struct seen *next;
	unsigned int set;
	struct key key;
	char *name;		/* the state that was run */
	struct platter_crash_result result;	/* without output */
};

struct set {
	bool used;
	struct plt_crash_ranges reads;
};

struct plt_explore_reads {
	struct plt_crash_span span;
	struct plt_crash_ranges watched;	/* of the span */
	uint64_t points;	/* the length of the next one */
	uint64_t runs, bytes;	/* of this one, and what they read of it */
	struct set set[PLT_CRASH_READ_SETS];
	struct seen **bucket;	/* a power of two of them */
	size_t nr_buckets, nr;
	unsigned int recent[RECENT];	/* sets learned last, the last first */
	unsigned int nr_recent;
	/*
	 * What the next run will likely read, and what the states of the batch
	 * hold there.
	 */
	unsigned int next;
	struct plt_crash_ranges ahead;
	struct key *guess;
	size_t nr_guesses, room_guesses;
};

int plt_explore_reads_new(struct plt_explore_reads **out, bool early,
			  struct platter_error *err)
{
	struct plt_explore_reads *r = plt_calloc(1, sizeof(*r), err);

	if (!r)
		return -ENOMEM;
	r->bucket = plt_calloc(BUCKETS_MIN, sizeof(*r->bucket), err);
	if (!r->bucket) {
		free(r);
		return -ENOMEM;
	}
	r->nr_buckets = BUCKETS_MIN;
	r->span.early = early;
	r->points = SPAN_FIRST;
	*out = r;
	return 0;
}

static void free_seen(struct seen *s)
{
	free(s->name);
	free(s);
}

/* Those of one set, or all. */
static void drop(struct plt_explore_reads *r, unsigned int set, bool all)
{
	for (size_t i = 0; i < r->nr_buckets; i++) {
		struct seen **at = &r->bucket[i];

		while (*at) {
			struct seen *s = *at;

			if (!all && s->set != set) {
				at = &s->next;
				continue;
			}
			*at = s->next;
			free_seen(s);
			r->nr--;
		}
	}
}

void plt_explore_reads_free(struct plt_explore_reads *r)
{
	if (!r)
		return;
	drop(r, 0, true);
	for (size_t i = 0; i < PLT_CRASH_READ_SETS; i++)
		plt_crash_ranges_free(&r->set[i].reads);
	plt_crash_ranges_free(&r->watched);
	plt_crash_ranges_free(&r->ahead);
	free(r->bucket);
	free(r->guess);
	free(r);
}

static struct seen **bucket_of(const struct plt_explore_reads *r,
			       const uint8_t hash[16])
{
	uint64_t h;

	memcpy(&h, hash, sizeof(h));
	return &r->bucket[h & (r->nr_buckets - 1)];
}

/* ---- spans ---- */

const struct plt_crash_span *
plt_explore_reads_span(const struct plt_explore_reads *r, uint64_t point)
{
	return point >= r->span.from && point < r->span.to ? &r->span : NULL;
}

/* By what the runs of the last one have read. */
static void choose_length(struct plt_explore_reads *r)
{
	const uint64_t each = r->runs ? r->bytes / r->runs : READS_LOW;

	if (each > READS_HIGH)
		r->points = PLT_MAX(r->points / 2, SPAN_MIN);
	else if (each < READS_LOW)
		r->points = PLT_MIN(r->points * 2, SPAN_MAX);
}

int plt_explore_reads_enter(struct plt_explore_reads *r,
			    struct platter_crash_walk *walk,
			    const struct platter_crash_state *state,
			    struct platter_error *err)
{
	bool fits = false;
	int rc = 0;

	choose_length(r);
	r->span.from = state->point;
	while (!rc && !fits) {
		r->span.to = r->span.from +
			     PLT_MIN(r->points,
				     state->crash->nr + 1 - r->span.from);
		rc = plt_crash_span_ranges(state->crash, &r->span,
					   &r->watched, err);
		fits = r->watched.nr <= RANGES_MAX || r->points <= SPAN_MIN;
		if (!fits)
			r->points /= 2;
	}
	plt_crash_walk_drop_reads(walk);
	drop(r, 0, true);
	for (size_t i = 0; i < PLT_CRASH_READ_SETS; i++)
		r->set[i].used = false;
	r->nr_recent = 0;
	r->runs = r->bytes = 0;
	return rc;
}

/* ---- finding ---- */

static struct key key_of(const struct plt_explore_task *task)
{
	return (struct key){
		.mark = task->record.mark_entry,
		.discard = task->state->discard,
	};
}

static bool same_key(const struct key *a, const struct key *b)
{
	return a->mark == b->mark && a->discard == b->discard &&
	       !memcmp(a->hash, b->hash, sizeof(a->hash));
}

static const struct seen *lookup(const struct plt_explore_reads *r,
				 unsigned int set, const struct key *key)
{
	const struct seen *s = *bucket_of(r, key->hash);

	while (s && (s->set != set || !same_key(&s->key, key)))
		s = s->next;
	return s;
}

static int take_over(struct plt_explore_task *task, const struct seen *s,
		     struct platter_error *err)
{
	task->same_as = plt_strdup(s->name, err);
	if (!task->same_as)
		return -ENOMEM;
	task->record.result = s->result;
	task->record.same_as = task->same_as;
	return 1;
}

void plt_explore_reads_begin(struct plt_explore_reads *r)
{
	r->nr_guesses = 0;
}

/* 2 = one like it, as far as can be told, is in this batch. */
static int guess(struct plt_explore_reads *r,
		 const struct platter_crash_walk *walk, struct key *key,
		 struct platter_error *err)
{
	int rc;

	if (!r->nr_recent)
		return 0;
	plt_crash_walk_read_hash(walk, r->next, key->hash);
	for (size_t i = 0; i < r->nr_guesses; i++)
		if (same_key(&r->guess[i], key))
			return 2;
	rc = plt_grow(&r->guess, &r->room_guesses, r->nr_guesses + 1,
		      sizeof(*key), err);
	if (rc)
		return rc;
	r->guess[r->nr_guesses++] = *key;
	return 0;
}

int plt_explore_reads_find(struct plt_explore_reads *r,
			   const struct platter_crash_walk *walk,
			   struct plt_explore_task *task,
			   struct platter_error *err)
{
	struct key key = key_of(task);

	for (unsigned int i = 0; i < PLT_CRASH_READ_SETS; i++) {
		const struct seen *s;

		if (!r->set[i].used)
			continue;
		plt_crash_walk_read_hash(walk, i, key.hash);
		s = lookup(r, i, &key);
		if (s)
			return take_over(task, s, err);
	}
	return guess(r, walk, &key, err);
}

int plt_explore_reads_find_again(struct plt_explore_reads *r,
				 struct platter_crash_walk *walk,
				 struct plt_explore_task *task,
				 struct platter_error *err)
{
	struct key key = key_of(task);

	for (unsigned int i = 0; i < r->nr_recent; i++) {
		const struct seen *s;
		int rc;

		rc = plt_crash_walk_read_hash_of(walk, task->state,
						 r->recent[i], key.hash, err);
		if (rc)
			return rc;
		s = lookup(r, r->recent[i], &key);
		if (s)
			return take_over(task, s, err);
	}
	return 0;
}

/* ---- learning ---- */

static void rehash(struct plt_explore_reads *r)
{
	size_t old = r->nr_buckets;
	struct seen **buckets = r->bucket;
	struct seen **grown = calloc(old * 2, sizeof(*grown));

	if (!grown)
		return;	/* slower, and else the same */
	r->bucket = grown;
	r->nr_buckets = old * 2;
	for (size_t i = 0; i < old; i++) {
		while (buckets[i]) {
			struct seen *s = buckets[i], **to;

			buckets[i] = s->next;
			to = bucket_of(r, s->key.hash);
			s->next = *to;
			*to = s;
		}
	}
	free(buckets);
}

static bool same_reads(const struct plt_crash_ranges *a,
		       const struct plt_crash_ranges *b)
{
	return a->nr == b->nr &&
	       (!a->nr ||
		!memcmp(a->range, b->range, a->nr * sizeof(*a->range)));
}

/* The number of the set with these reads; it may take the place of another. */
static int find_set(struct plt_explore_reads *r,
		    struct platter_crash_walk *walk,
		    const struct plt_crash_ranges *reads, unsigned int *id,
		    struct platter_error *err)
{
	struct set *set;
	int rc;

	for (*id = 0; *id < PLT_CRASH_READ_SETS; ++*id)
		if (r->set[*id].used && same_reads(&r->set[*id].reads, reads))
			return 0;
	rc = plt_crash_walk_add_reads(walk, reads, id, err);
	if (rc)
		return rc;
	set = &r->set[*id];
	if (set->used)
		drop(r, *id, false);
	set->reads.nr = 0;
	rc = plt_crash_ranges_append(&set->reads, reads, err);
	set->used = !rc;
	return rc;
}

static int insert(struct plt_explore_reads *r, unsigned int set,
		  const struct key *key, const struct plt_explore_task *task,
		  struct platter_error *err)
{
	struct seen *s, **to;

	if (lookup(r, set, key))
		return 0;
	if (r->nr > r->nr_buckets)
		rehash(r);
	s = plt_calloc(1, sizeof(*s), err);
	if (!s)
		return -ENOMEM;
	s->name = plt_strdup(task->record.state, err);
	if (!s->name) {
		free(s);
		return -ENOMEM;
	}
	s->set = set;
	s->key = *key;
	s->result = task->record.result;
	s->result.output = NULL;
	s->result.output_len = 0;
	s->result.time_ns = 0;
	to = bucket_of(r, key->hash);
	s->next = *to;
	*to = s;
	r->nr++;
	return 0;
}

/* In front of the others; one that was there moves. */
static void set_recent(struct plt_explore_reads *r, unsigned int id)
{
	unsigned int i = 0;

	while (i < r->nr_recent && r->recent[i] != id)
		i++;
	if (i == r->nr_recent && r->nr_recent < RECENT)
		r->nr_recent++;
	i = PLT_MIN(i, RECENT - 1);
	memmove(&r->recent[1], &r->recent[0], i * sizeof(r->recent[0]));
	r->recent[0] = id;
}

/* A journal that is read to its end is read on where more of it is there. */
static int look_ahead(struct plt_explore_reads *r,
		      struct platter_crash_walk *walk,
		      const struct plt_crash_ranges *reads,
		      struct platter_error *err)
{
	int rc = 0;

	r->ahead.nr = 0;
	for (size_t i = 0; i < reads->nr && !rc; i++)
		if (plt_crash_ranges_add(&r->ahead, reads->range[i].offset,
					 reads->range[i].length + AHEAD))
			rc = plt_err_nomem(err, reads->nr *
					   sizeof(reads->range[0]));
	plt_crash_ranges_sort(&r->ahead);
	if (!rc)
		rc = plt_crash_ranges_clip(&r->ahead, &r->watched, err);
	return rc ? rc : find_set(r, walk, &r->ahead, &r->next, err);
}

int plt_explore_reads_learn(struct plt_explore_reads *r,
			    struct platter_crash_walk *walk,
			    const struct plt_explore_task *task,
			    struct platter_error *err)
{
	enum platter_crash_verdict v = task->record.result.verdict;
	struct key key = key_of(task);
	unsigned int id;
	int rc;

	r->runs++;
	for (size_t i = 0; i < task->reads.nr; i++)
		r->bytes += task->reads.range[i].length;
	/* What would not be said again says nothing of others. */
	if (v == PLATTER_CRASH_FLAKY || v == PLATTER_CRASH_ERROR)
		return 0;
	rc = look_ahead(r, walk, &task->reads, err);
	if (!rc)
		rc = find_set(r, walk, &task->reads, &id, err);
	if (!rc)
		set_recent(r, id);
	if (!rc)
		rc = plt_crash_walk_read_hash_of(walk, task->state, id,
						 key.hash, err);
	return rc ? rc : insert(r, id, &key, task, err);
}
