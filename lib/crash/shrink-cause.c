/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What else there is to say of a cause.
 *
 * What is missing is half of it; the other half is what has to be present. That
 * is each write without which the state does not fail any more. As most do not
 * matter, they are taken away many at a time: if it still fails, none of them
 * does. But it may fail because they are missing themselves, so that the state
 * with them missing and the cause given back has to pass, or it tells nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/shrink.h"

/* Rounds and sets are bounded by this; what is found until then is told. */
#define MAX_SETS	512u

/* Takes the state over. */
static int fails(struct plt_shrink *s, struct platter_crash_state *state,
		 bool *out, struct platter_error *err)
{
	const struct platter_crash_result *result;
	int rc = plt_shrink_try(s, state, &result, err);

	*out = !rc && result->verdict == PLATTER_CRASH_FAIL;
	platter_crash_state_unref(state);
	return rc;
}

/* ---- pieces ---- */

static int add_piece(const struct platter_crash *c,
		     struct platter_crash_piece **list, size_t *nr,
		     const struct plt_crash_item *it, struct platter_error *err)
{
	const struct plt_crash_entry *e = &c->entry[it->entry];
	const uint64_t length = (uint64_t)it->count * c->sector;
	struct platter_crash_piece *p = *nr ? &(*list)[*nr - 1] : NULL;

	if (p && p->entry == it->entry && p->fate == it->fate &&
	    p->first + p->count == it->first) {
		p->count += it->count;
		p->length += length;
	} else {
		p = realloc(*list, (*nr + 1) * sizeof(*p));
		if (!p)
			return plt_err_nomem(err, (*nr + 1) * sizeof(*p));
		*list = p;
		p += (*nr)++;
		*p = (struct platter_crash_piece){
			.entry = it->entry, .flags = e->flags,
			.first = it->first, .count = it->count,
			.fate = it->fate,
			.offset = e->start + (uint64_t)it->first * c->sector,
			.length = length,
		};
	}
	p->whole = p->length == e->length;
	return 0;
}

/* The parts of some elements; NULL = of all of them. */
static int add_parts(const struct plt_shrink_frame *f, const bool *chosen,
		     struct platter_crash_piece **list, size_t *nr,
		     struct platter_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < f->nr; i++) {
		if (chosen && !chosen[i])
			continue;
		for (size_t j = f->start[i]; !rc && j < f->start[i + 1]; j++) {
			const struct plt_shrink_part *p = &f->part[j];

			rc = add_piece(f->crash, list, nr,
				       &(struct plt_crash_item){
				.entry = p->entry, .first = p->first,
				.count = p->count, .fate = p->fail,
			}, err);
		}
	}
	return rc;
}

/* ---- what has to be present ---- */

/* Elements `begin` to `end` - 1, taken away together. */
struct set {
	size_t begin, end;
};

struct taker {
	struct plt_shrink_search search;
	struct plt_shrink *s;
	/* The kept writes, with the cause as it fails, and as it passes. */
	struct plt_shrink_frame fail, pass;
	struct set *set;
	size_t tried;		/* sets */
	bool *needed;		/* elements */
};

static int make_set(struct plt_shrink_search *search, size_t i,
		    struct plt_shrink_pair *pair, struct platter_error *err)
{
	struct taker *t = (struct taker *)search;
	const struct set *set = &t->set[i];
	bool *chosen plt_auto_free = plt_calloc(t->fail.nr + 1, 1, err);
	int rc;

	if (!chosen)
		return -ENOMEM;
	for (size_t j = 0; j < t->fail.nr; j++)
		chosen[j] = j < set->begin || j >= set->end;
	rc = plt_shrink_frame_state(&t->fail, chosen, &pair->fail, err);
	if (!rc && set->end - set->begin > 1)
		rc = plt_shrink_frame_state(&t->pass, chosen, &pair->pass,
					    err);
	return rc;
}

/* Of the sets that may matter, the single ones do; the others are halved. */
static int halve(struct taker *t, const bool *harmless,
		 struct platter_error *err)
{
	struct set *old plt_auto_free = t->set;
	const size_t nr = t->search.nr;

	t->search.nr = 0;
	t->set = plt_calloc(2 * nr + 1, sizeof(*t->set), err);
	if (!t->set)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		const size_t middle = (old[i].begin + old[i].end) / 2;

		if (harmless[i])
			continue;
		if (old[i].end - old[i].begin == 1) {
			t->needed[old[i].begin] = true;
			continue;
		}
		t->set[t->search.nr++] = (struct set){ old[i].begin, middle };
		t->set[t->search.nr++] = (struct set){ middle, old[i].end };
	}
	return 0;
}

static int take_away(struct taker *t, struct platter_error *err)
{
	size_t which;
	int rc = 0;

	t->set = plt_calloc(1, sizeof(*t->set), err);
	t->needed = plt_calloc(t->fail.nr + 1, sizeof(*t->needed), err);
	if (!t->set || !t->needed)
		return -ENOMEM;
	t->set[0].end = t->fail.nr;
	t->search.nr = t->fail.nr ? 1 : 0;
	while (!rc && t->search.nr && t->tried < MAX_SETS) {
		bool *harmless plt_auto_free =
			plt_calloc(t->search.nr, sizeof(*harmless), err);

		if (!harmless)
			return -ENOMEM;
		t->search.all = harmless;
		t->tried += t->search.nr;
		rc = plt_shrink_first(t->s, &t->search, &which, err);
		if (!rc)
			rc = halve(t, harmless, err);
	}
	return rc;
}

static int find_present(struct plt_shrink *s, const struct plt_shrink_frame *f,
			struct platter_crash_cause *cause,
			struct platter_error *err)
{
	struct taker t = { .search.make = make_set, .s = s };
	struct platter_crash_state *state;
	int rc;

	rc = plt_shrink_frame_state(f, NULL, &state, err);
	if (rc)
		return rc;
	rc = plt_shrink_frame_kept(&t.fail, state, f, true, err);
	if (!rc)
		rc = plt_shrink_frame_kept(&t.pass, state, f, false, err);
	if (!rc)
		rc = take_away(&t, err);
	if (!rc)
		rc = add_parts(&t.fail, t.needed, &cause->present,
			       &cause->nr_present, err);
	platter_crash_state_unref(state);
	plt_shrink_frame_free(&t.fail);
	plt_shrink_frame_free(&t.pass);
	free(t.set);
	free(t.needed);
	return rc;
}

/* The entry that is the last it takes; if it is pending it is known already. */
static int add_last(const struct plt_shrink_frame *f, uint64_t entry,
		    struct platter_crash_cause *cause,
		    struct platter_error *err)
{
	const struct plt_crash_entry *e = &f->crash->entry[entry];

	if (e->flags & PLATTER_LOG_MARK)
		cause->mark = entry;
	if (!plt_crash_writes(e) || plt_crash_is_pending(e, f->point))
		return 0;
	return add_piece(f->crash, &cause->present, &cause->nr_present,
			 &(struct plt_crash_item){
		.entry = entry,
		.count = (uint32_t)(e->length / f->crash->sector),
		.fate = PLATTER_CRASH_DURABLE,
	}, err);
}

/* With the entry in front of the point it fails; without, does it pass? */
static int find_last(struct plt_shrink *s, const struct plt_shrink_frame *f,
		     struct platter_crash_cause *cause,
		     struct platter_error *err)
{
	const struct platter_crash_result *result;
	struct platter_crash_state *state;
	struct plt_shrink_frame before = *f;
	int rc;

	before.point--;
	if (f->fixed || f->part[f->nr_parts - 1].entry >= before.point)
		return 0;
	rc = plt_shrink_frame_state(&before, NULL, &state, err);
	if (rc)
		return rc;
	rc = plt_shrink_try(s, state, &result, err);
	platter_crash_state_unref(state);
	if (rc || result->verdict != PLATTER_CRASH_PASS)
		return rc;
	return add_last(f, before.point, cause, err);
}

static int prefix_fails(struct plt_shrink *s, const struct plt_shrink_frame *f,
			uint64_t point, bool *out, struct platter_error *err)
{
	struct platter_crash_state *state;
	int rc;

	rc = plt_crash_state_new(&state, f->crash, point, f->discard,
				 PLATTER_CRASH_KEPT, NULL, 0, err);
	return rc ? rc : fails(s, state, out, err);
}

/*
 * It may have failed even before what is missing was written. Then the first
 * prefix that does, by halving, ends with what it takes.
 */
static int find_first(struct plt_shrink *s, const struct plt_shrink_frame *f,
		      struct platter_crash_cause *cause,
		      struct platter_error *err)
{
	uint64_t good = 0, bad = f->part[0].entry;
	bool is_bad = true, begins_bad = true;
	int rc;

	rc = prefix_fails(s, f, bad, &is_bad, err);
	if (!rc && is_bad)
		rc = prefix_fails(s, f, good, &begins_bad, err);
	if (rc || !is_bad || begins_bad)
		return rc;
	while (!rc && good + 1 < bad) {
		const uint64_t middle = good + (bad - good) / 2;

		rc = prefix_fails(s, f, middle, &is_bad, err);
		if (is_bad)
			bad = middle;
		else
			good = middle;
	}
	return rc ? rc : add_last(f, good, cause, err);
}

/* ---- all of it ---- */

static int look_around(struct plt_shrink *s, const struct plt_shrink_frame *f,
		       struct platter_crash_cause *cause,
		       struct platter_error *err)
{
	int rc = 0;

	if (f->rest == PLATTER_CRASH_KEPT)
		rc = find_present(s, f, cause, err);
	if (!rc)
		rc = find_last(s, f, cause, err);
	if (!rc && f->rest == PLATTER_CRASH_KEPT && !cause->nr_present &&
	    cause->mark == UINT64_MAX)
		rc = find_first(s, f, cause, err);
	return rc;
}

int plt_shrink_take_result(struct plt_shrink *s,
			   struct platter_crash_cause *cause,
			   struct platter_error *err)
{
	const struct platter_crash_result *result;
	int rc;

	rc = plt_shrink_try(s, cause->failing, &result, err);
	if (rc)
		return rc;
	cause->result = *result;
	cause->result.output = NULL;
	cause->result.output_len = 0;
	if (!result->output)
		return 0;
	cause->result.output = plt_calloc(result->output_len + 1, 1, err);
	if (!cause->result.output)
		return -ENOMEM;
	memcpy(cause->result.output, result->output, result->output_len);
	cause->result.output_len = result->output_len;
	return 0;
}

int plt_shrink_conclude(struct plt_shrink *s, const struct plt_shrink_frame *f,
			struct platter_crash_cause *cause,
			struct platter_error *err)
{
	struct platter_crash_state *state = NULL;
	struct plt_shrink_frame wide;
	int rc;

	rc = plt_shrink_frame_ends(f, &cause->failing, &cause->passing, err);
	if (!rc)
		rc = add_parts(f, NULL, &cause->pieces, &cause->nr_pieces,
			       err);
	if (rc)
		return rc;
	/* Does it fail as well when the entries are missing as a whole? */
	rc = plt_shrink_frame_widen(&wide, f, err);
	if (!rc && f->rest == PLATTER_CRASH_KEPT)
		rc = plt_shrink_frame_state(&wide, NULL, &state, err);
	if (!rc && state)
		rc = fails(s, state, &cause->whole, err);
	if (rc >= 0)
		rc = look_around(s, cause->whole ? &wide : f, cause, err);
	plt_shrink_frame_free(&wide);
	return rc ? rc : plt_shrink_take_result(s, cause, err);
}
