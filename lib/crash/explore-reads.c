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

struct seen {
	struct seen *next;
	unsigned int set;
	uint64_t mark;
	uint8_t hash[16];	/* of what it holds in that set */
	char *name;		/* the state that was run */
	struct platter_crash_result result;	/* without output */
};

struct set {
	bool used;
	struct plt_crash_ranges reads;
};

struct plt_explore_reads {
	struct set set[PLT_CRASH_READ_SETS];
	struct seen **bucket;	/* a power of two of them */
	size_t nr_buckets, nr;
	unsigned int recent[RECENT];	/* sets learned last, the last first */
	unsigned int nr_recent;
	/* Of the batch's states that are run: what they hold in recent[0]. */
	struct guess {
		uint64_t mark;
		uint8_t hash[16];
	} *guess;
	size_t nr_guesses, room_guesses;
};

int plt_explore_reads_new(struct plt_explore_reads **out,
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

/* ---- finding ---- */

static const struct seen *lookup(const struct plt_explore_reads *r,
				 unsigned int set, uint64_t mark,
				 const uint8_t hash[16])
{
	const struct seen *s = *bucket_of(r, hash);

	while (s && (s->set != set || s->mark != mark ||
		     memcmp(s->hash, hash, sizeof(s->hash))))
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

/* 2 = one like it, as far as can be told, is run in this batch. */
static int guess(struct plt_explore_reads *r,
		 const struct platter_crash_walk *walk, uint64_t mark,
		 struct platter_error *err)
{
	struct guess g = { .mark = mark };
	int rc;

	if (!r->nr_recent)
		return 0;
	plt_crash_walk_read_hash(walk, r->recent[0], g.hash);
	for (size_t i = 0; i < r->nr_guesses; i++)
		if (r->guess[i].mark == mark &&
		    !memcmp(r->guess[i].hash, g.hash, sizeof(g.hash)))
			return 2;
	rc = plt_grow(&r->guess, &r->room_guesses, r->nr_guesses + 1,
		      sizeof(g), err);
	if (rc < 0)
		return rc;
	r->guess[r->nr_guesses++] = g;
	return 0;
}

int plt_explore_reads_find(struct plt_explore_reads *r,
			   const struct platter_crash_walk *walk,
			   struct plt_explore_task *task,
			   struct platter_error *err)
{
	const uint64_t mark = task->record.mark_entry;

	for (unsigned int i = 0; i < PLT_CRASH_READ_SETS; i++) {
		const struct seen *s;
		uint8_t hash[16];

		if (!r->set[i].used)
			continue;
		plt_crash_walk_read_hash(walk, i, hash);
		s = lookup(r, i, mark, hash);
		if (s)
			return take_over(task, s, err);
	}
	return guess(r, walk, mark, err);
}

int plt_explore_reads_find_again(struct plt_explore_reads *r,
				 struct platter_crash_walk *walk,
				 struct plt_explore_task *task,
				 struct platter_error *err)
{
	for (unsigned int i = 0; i < r->nr_recent; i++) {
		const struct seen *s;
		uint8_t hash[16];
		int rc;

		rc = plt_crash_walk_read_hash_of(walk, task->state,
						 r->recent[i], hash, err);
		if (rc)
			return rc;
		s = lookup(r, r->recent[i], task->record.mark_entry, hash);
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
			to = bucket_of(r, s->hash);
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

/* Another one has taken the place of a set that was little used. */
static int take_set(struct plt_explore_reads *r, unsigned int id,
		    const struct plt_crash_ranges *reads,
		    struct platter_error *err)
{
	struct set *set = &r->set[id];
	int rc;

	if (set->used && same_reads(&set->reads, reads))
		return 0;
	if (set->used)
		drop(r, id, false);
	set->reads.nr = 0;
	rc = plt_crash_ranges_append(&set->reads, reads, err);
	set->used = !rc;
	return rc;
}

static int insert(struct plt_explore_reads *r, unsigned int set,
		  const uint8_t hash[16], const struct plt_explore_task *task,
		  struct platter_error *err)
{
	struct seen *s, **to;

	if (lookup(r, set, task->record.mark_entry, hash))
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
	s->mark = task->record.mark_entry;
	memcpy(s->hash, hash, sizeof(s->hash));
	s->result = task->record.result;
	s->result.output = NULL;
	s->result.output_len = 0;
	s->result.time_ns = 0;
	to = bucket_of(r, hash);
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

int plt_explore_reads_learn(struct plt_explore_reads *r,
			    struct platter_crash_walk *walk,
			    const struct plt_explore_task *task,
			    struct platter_error *err)
{
	enum platter_crash_verdict v = task->record.result.verdict;
	uint8_t hash[16];
	unsigned int id;
	int rc;

	/* What would not be said again says nothing of others. */
	if (v == PLATTER_CRASH_FLAKY || v == PLATTER_CRASH_ERROR)
		return 0;
	rc = plt_crash_walk_add_reads(walk, &task->reads, &id, err);
	if (!rc)
		rc = take_set(r, id, &task->reads, err);
	if (!rc)
		set_recent(r, id);
	if (!rc)
		rc = plt_crash_walk_read_hash_of(walk, task->state, id, hash,
						 err);
	return rc ? rc : insert(r, id, hash, task, err);
}
