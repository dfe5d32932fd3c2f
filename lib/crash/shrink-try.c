/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Trying states.
 *
 * What is wanted is the first of many candidates, in their order, and each
 * takes time. So as many as there are slots are tried at once, which may be
 * more than were needed; what became of each is kept by content, and nobody is
 * told of those that were not, so that the number of slots makes no difference
 * to what is found and reported.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/shrink.h"

#define CHUNK		(256u << 10)	/* bytes read at once */
#define MAX_RANGES	65536u

int plt_shrink_init(struct plt_shrink *s,
		    const struct platter_crash_state *like,
		    const struct platter_crash_shrink_options *opts,
		    struct platter_error *err)
{
	*s = (struct plt_shrink){
		.crash = like->crash, .opts = opts,
		.slots = PLT_MAX(opts->slots, 1u),
		.like = platter_crash_state_ref(like),
	};
	return platter_crash_state_image(&s->image, like, err);
}

void plt_shrink_free(struct plt_shrink *s)
{
	for (size_t i = 0; i < s->nr; i++) {
		platter_crash_result_clear(&s->tried[i]->result);
		free(s->tried[i]);
	}
	free(s->tried);
	platter_image_close(s->image, NULL);
	platter_crash_state_unref(s->like);
}

/* ---- one of each content ---- */

struct hasher {
	struct platter_image *img, *like;
	struct plt_hash *h;
	uint8_t *buf;			/* two chunks */
	uint32_t sector;
};

/* What differs from the state all are compared with, and where it is. */
static int hash_range(struct hasher *w, const struct platter_crash_range *r,
		      struct platter_error *err)
{
	const uint64_t size = platter_image_size(w->img);
	const uint64_t end = PLT_MIN(r->offset + r->length, size);
	uint8_t *a = w->buf, *b = w->buf + CHUNK;
	int rc = 0;

	for (uint64_t at = r->offset; !rc && at < end; at += CHUNK) {
		const size_t n = (size_t)PLT_MIN(end - at, (uint64_t)CHUNK);

		rc = platter_image_pread(w->img, a, n, at, err);
		if (!rc)
			rc = platter_image_pread(w->like, b, n, at, err);
		for (size_t i = 0; !rc && i < n; i += w->sector) {
			const size_t len = PLT_MIN(n - i, (size_t)w->sector);
			const uint64_t where = at + i;

			if (!memcmp(a + i, b + i, len))
				continue;
			rc = plt_hash_update(w->h, &where, sizeof(where), err);
			if (!rc)
				rc = plt_hash_update(w->h, a + i, len, err);
		}
	}
	return rc;
}

static int hash_ranges(struct hasher *w, const struct plt_shrink *s,
		       const struct platter_crash_state *state, char *hex,
		       struct platter_error *err)
{
	struct platter_crash_range whole = {
		.length = platter_image_size(w->img),
	};
	struct plt_crash_ranges ranges = { .nr = 0 };
	int rc;

	rc = plt_crash_state_diff(s->like, state, MAX_RANGES, &ranges, err);
	if (rc > 0)
		rc = hash_range(w, &whole, err);
	else
		for (size_t i = 0; !rc && i < ranges.nr; i++)
			rc = hash_range(w, &ranges.range[i], err);
	plt_crash_ranges_free(&ranges);
	return rc ? rc : plt_hash_final(w->h, hex, err);
}

static int hash_state(const struct plt_shrink *s,
		      const struct platter_crash_state *state, char *hex,
		      struct platter_error *err)
{
	uint8_t *buf plt_auto_free = malloc(2 * CHUNK);
	struct hasher w = {
		.like = s->image, .buf = buf, .sector = s->crash->sector,
	};
	int rc;

	if (!buf)
		return plt_err_nomem(err, 2 * CHUNK);
	rc = plt_hash_new(&w.h, "sha256", err);
	if (!rc)
		rc = platter_crash_state_image(&w.img, state, err);
	if (!rc)
		rc = hash_ranges(&w, s, state, hex, err);
	platter_image_close(w.img, NULL);
	plt_hash_free(w.h);
	return rc;
}

/* What is known of a state's content at its mark: an old one, or a new one. */
static int look_up(struct plt_shrink *s,
		   const struct platter_crash_state *state,
		   struct plt_shrink_tried **out, struct platter_error *err)
{
	struct plt_shrink_tried *t, key = { .done = false };
	int rc;

	rc = hash_state(s, state, key.hash, err);
	if (rc)
		return rc;
	key.mark = platter_crash_mark_before(s->crash, state->point, NULL,
					     NULL);
	for (size_t i = 0; i < s->nr; i++) {
		t = s->tried[i];
		if (t->mark == key.mark && !strcmp(t->hash, key.hash)) {
			*out = t;
			return 0;
		}
	}
	if (plt_grow(&s->tried, &s->room, s->nr + 1, sizeof(t), err))
		return -ENOMEM;
	t = plt_calloc(1, sizeof(*t), err);
	if (!t)
		return -ENOMEM;
	*t = key;
	s->tried[s->nr++] = t;
	*out = t;
	return 0;
}

/* ---- running the checker ---- */

struct job {
	struct platter_crash_state *state;
	struct plt_shrink_tried *tried;
};

struct jobs {
	struct plt_shrink *s;
	struct job *job;
	size_t nr;
	atomic_size_t next;
	atomic_uint slot;
	pthread_mutex_t lock;
	struct platter_error err;	/* the first */
};

static int check(struct jobs *jobs, struct job *job, unsigned int slot,
		 struct platter_error *err)
{
	const struct platter_crash_state *outer = jobs->s->crash->outer;
	char *name plt_auto_free = NULL;
	int rc;

	if (outer) {
		name = plt_asprintf(err, "%s@%s",
				    platter_crash_state_name(outer),
				    platter_crash_state_name(job->state));
		if (!name)
			return -ENOMEM;
	}
	rc = platter_crash_harness_check(jobs->s->opts->harness, slot,
					 job->state, name, &job->tried->result,
					 err);
	job->tried->done = !rc;
	return rc;
}

static void *work(void *arg)
{
	struct jobs *jobs = arg;
	const unsigned int slot = atomic_fetch_add(&jobs->slot, 1);
	size_t i;

	while ((i = atomic_fetch_add(&jobs->next, 1)) < jobs->nr) {
		struct platter_error err = PLATTER_ERROR_INIT;
		const int rc = check(jobs, &jobs->job[i], slot, &err);

		if (!rc)
			continue;
		PLT_LOCK_SCOPE(&jobs->lock);
		if (!jobs->err.code) {
			jobs->err = err;
			jobs->err.code = rc;
		}
		break;
	}
	return NULL;
}

/* As many threads as jobs, of which there are no more than slots. */
static int run(struct plt_shrink *s, struct job *job, size_t nr,
	       struct platter_error *err)
{
	struct jobs jobs = {
		.s = s, .job = job, .nr = nr,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	pthread_t *threads plt_auto_free =
		plt_calloc(nr, sizeof(*threads), err);
	size_t started = 0;

	if (!threads)
		return -ENOMEM;
	/* One that cannot be started is made up for by the others. */
	while (started + 1 < nr &&
	       !pthread_create(&threads[started], NULL, work, &jobs))
		started++;
	work(&jobs);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	if (jobs.err.code && err)
		*err = jobs.err;
	return jobs.err.code;
}

/* ---- the first of many ---- */

struct candidate {
	struct plt_shrink_pair pair;
	struct plt_shrink_tried *fail, *pass;	/* pass: or NULL */
};

static void forget(struct candidate *c)
{
	platter_crash_state_unref(c->pair.fail);
	platter_crash_state_unref(c->pair.pass);
	*c = (struct candidate){ .fail = NULL };
}

static int make(struct plt_shrink *s, struct plt_shrink_search *search,
		size_t i, struct candidate *c, struct platter_error *err)
{
	int rc;

	if (c->fail)
		return 0;
	rc = search->make(search, i, &c->pair, err);
	if (!rc)
		rc = look_up(s, c->pair.fail, &c->fail, err);
	if (!rc && c->pair.pass)
		rc = look_up(s, c->pair.pass, &c->pass, err);
	return rc;
}

static void add_job(struct job *job, size_t *nr,
		    struct platter_crash_state *state,
		    struct plt_shrink_tried *tried)
{
	for (size_t i = 0; i < *nr; i++)
		if (job[i].tried == tried)
			return;
	job[(*nr)++] = (struct job){ .state = state, .tried = tried };
}

/* What has to be known next, and then what may have to be. */
static int run_from(struct plt_shrink *s, struct plt_shrink_search *search,
		    struct candidate *all, size_t i, struct platter_error *err)
{
	struct job *job plt_auto_free =
		plt_calloc(s->slots, sizeof(*job), err);
	size_t nr = 0;
	int rc;

	if (!job)
		return -ENOMEM;
	for (; nr < s->slots && i < search->nr; i++) {
		struct candidate *c = &all[i];

		rc = make(s, search, i, c, err);
		if (rc)
			return rc;
		if (!c->fail->done)
			add_job(job, &nr, c->pair.fail, c->fail);
		else if (c->fail->result.verdict != PLATTER_CRASH_FAIL)
			continue;
		if (nr < s->slots && c->pass && !c->pass->done)
			add_job(job, &nr, c->pair.pass, c->pass);
	}
	return run(s, job, nr, err);
}

static int tell(struct plt_shrink *s, struct platter_crash_state *state,
		struct plt_shrink_tried *t, size_t left,
		struct platter_error *err)
{
	const char *name;

	if (t->told)
		return 0;
	t->told = true;
	s->told++;
	name = platter_crash_state_name(state);
	if (!name)
		return plt_err_nomem(err, 1);
	if (s->opts->tried &&
	    s->opts->tried(s->opts->arg, name, &t->result, left))
		return plt_err_set(err, -ECANCELED, "stopped after %" PRIu64
				   " states", s->told);
	return 0;
}

/* 1: it is what is looked for. */
static int judge(struct plt_shrink *s, struct plt_shrink_search *search,
		 struct candidate *all, size_t i, struct platter_error *err)
{
	struct candidate *c = &all[i];
	const size_t left = search->nr - i - 1;
	int rc;

	rc = make(s, search, i, c, err);
	if (!rc && !c->fail->done)
		rc = run_from(s, search, all, i, err);
	if (!rc)
		rc = tell(s, c->pair.fail, c->fail, left, err);
	if (rc || c->fail->result.verdict != PLATTER_CRASH_FAIL)
		return rc;
	if (!c->pass)
		return 1;
	if (!c->pass->done)
		rc = run_from(s, search, all, i, err);
	if (!rc)
		rc = tell(s, c->pair.pass, c->pass, left, err);
	return rc ? rc : c->pass->result.verdict == PLATTER_CRASH_PASS;
}

int plt_shrink_first(struct plt_shrink *s, struct plt_shrink_search *search,
		     size_t *which, struct platter_error *err)
{
	struct candidate *all = plt_calloc(search->nr + 1, sizeof(*all), err);
	int rc = 0;

	if (!all)
		return -ENOMEM;
	*which = search->nr;
	for (size_t i = 0; !rc && i < search->nr; i++) {
		rc = judge(s, search, all, i, err);
		if (rc == 1 && *which == search->nr)
			*which = i;
		if (rc >= 0 && search->all) {
			search->all[i] = rc;
			rc = 0;
		}
		forget(&all[i]);
	}
	for (size_t i = 0; i < search->nr; i++)
		forget(&all[i]);
	free(all);
	return rc < 0 ? rc : 0;
}

struct single {
	struct plt_shrink_search search;
	struct platter_crash_state *state;
};

static int make_single(struct plt_shrink_search *search, size_t i,
		       struct plt_shrink_pair *pair, struct platter_error *err)
{
	struct single *one = (struct single *)search;

	(void)i;
	(void)err;
	pair->fail = platter_crash_state_ref(one->state);
	return 0;
}

int plt_shrink_try(struct plt_shrink *s, struct platter_crash_state *state,
		   const struct platter_crash_result **result,
		   struct platter_error *err)
{
	struct single one = {
		.search = { .make = make_single, .nr = 1 }, .state = state,
	};
	struct plt_shrink_tried *t;
	size_t which;
	int rc;

	rc = plt_shrink_first(s, &one.search, &which, err);
	if (!rc)
		rc = look_up(s, state, &t, err);
	if (!rc)
		*result = &t->result;
	return rc;
}
