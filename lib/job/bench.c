/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bench: many requests of one kind at a time, each by a thread of its own.
 *
 * Threads draw numbers, and the number of a request says where it goes, so the
 * same seed sends the same requests whatever the threads do. Flushes are made
 * by the thread that completes the last request before one; the others wait
 * for it, unless told not to drain.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "job/job.h"

#define ALIGN		4096u
#define BUFFERS_MAX	(UINT64_C(1) << 30)	/* bytes of all together */
#define THREADS_MAX	1024u
#define REPORT_MS	50	/* between two looks at the progress */

struct bench {
	struct platter_image *img;
	const struct platter_bench_options *opts;
	uint64_t size;			/* bytes of the image */
	uint64_t places;		/* where a random request may begin */
	_Atomic uint64_t next;		/* number of the next request */
	_Atomic uint64_t completed;	/* requests */
	_Atomic bool stop;
	pthread_mutex_t lock;		/* guards the rest */
	pthread_cond_t changed;
	unsigned int running;		/* threads */
	uint64_t in_round;		/* completed since the last flush */
	uint64_t rounds;		/* flushes done */
	int rc;
	struct platter_error error;
};

struct sender {
	struct bench *bench;
	pthread_t thread;
	void *buf;
};

/* ---- where requests go ---- */

/* Steele, Lea and Flood's SplitMix64, at position `n`. */
static uint64_t random_at(uint64_t seed, uint64_t n)
{
	uint64_t z = seed + (n + 1) * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t place_of(const struct bench *b, uint64_t n)
{
	const struct platter_bench_options *o = b->opts;
	unsigned __int128 at;

	if (o->random)
		return random_at(o->seed, n) % b->places * o->size;
	at = o->offset + (unsigned __int128)n * o->step;
	return b->size && n ? (uint64_t)(at % b->size) : o->offset;
}

/* ---- sending ---- */

static void fail(struct bench *b, int rc, const struct platter_error *error)
{
	PLT_LOCK_SCOPE(&b->lock);

	if (!b->rc) {
		b->rc = rc;
		b->error = *error;
	}
	b->stop = true;
	pthread_cond_broadcast(&b->changed);
}

/* Wait until every flush before request `n` is done. */
static void wait_for_flush(struct bench *b, uint64_t n)
{
	PLT_LOCK_SCOPE(&b->lock);

	while (b->rounds < n / b->opts->flush_interval && !b->stop)
		pthread_cond_wait(&b->changed, &b->lock);
}

static int flush_after(struct bench *b, struct platter_error *err)
{
	bool last;
	int rc;

	pthread_mutex_lock(&b->lock);
	last = ++b->in_round == b->opts->flush_interval;
	if (last)
		b->in_round = 0;
	pthread_mutex_unlock(&b->lock);
	if (!last)
		return 0;
	rc = platter_image_flush(b->img, err);
	pthread_mutex_lock(&b->lock);
	b->rounds++;
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
	return rc;
}

static int send_one(struct bench *b, void *buf, uint64_t n,
		    struct platter_error *err)
{
	const struct platter_bench_options *o = b->opts;
	uint64_t offset = place_of(b, n);
	int rc;

	if (o->flush_interval && !o->no_drain)
		wait_for_flush(b, n);
	if (b->stop)
		return 0;
	rc = o->write ? platter_image_pwrite(b->img, buf, o->size, offset,
					     err) :
			platter_image_pread(b->img, buf, o->size, offset, err);
	if (!rc && o->flush_interval)
		rc = flush_after(b, err);
	b->completed++;
	return rc;
}

static void sender_gone(struct bench *b)
{
	PLT_LOCK_SCOPE(&b->lock);

	b->running--;
	pthread_cond_broadcast(&b->changed);
}

static void *sender_main(void *arg)
{
	struct sender *s = arg;
	struct bench *b = s->bench;
	struct platter_error error = PLATTER_ERROR_INIT;
	int rc = 0;

	while (!rc && !b->stop) {
		uint64_t n = b->next++;

		if (n >= b->opts->count)
			break;
		rc = send_one(b, s->buf, n, &error);
	}
	if (rc)
		fail(b, rc, &error);
	sender_gone(b);
	return NULL;
}

/* ---- the threads ---- */

static void timeout_in(struct timespec *ts, int ms)
{
	clock_gettime(CLOCK_MONOTONIC, ts);
	ts->tv_nsec += ms * 1000000L;
	ts->tv_sec += ts->tv_nsec / 1000000000;
	ts->tv_nsec %= 1000000000;
}

/* Until all are done, with a look at whether the user wants to stop. */
static void watch(struct bench *b)
{
	struct platter_error error = PLATTER_ERROR_INIT;
	struct timespec until;
	unsigned int running;
	int rc = 0;

	do {
		pthread_mutex_lock(&b->lock);
		timeout_in(&until, REPORT_MS);
		while (b->running &&
		       !pthread_cond_timedwait(&b->changed, &b->lock, &until))
			;
		running = b->running;
		pthread_mutex_unlock(&b->lock);
		if (running && !rc)
			rc = plt_progress(b->opts->progress, b->completed,
					  b->opts->count, &error);
		if (rc)
			fail(b, rc, &error);
	} while (running);
}

static int start(struct bench *b, struct sender *senders, unsigned int nr,
		 unsigned int *started, struct platter_error *err)
{
	const struct platter_bench_options *o = b->opts;

	for (*started = 0; *started < nr; ++*started) {
		struct sender *s = &senders[*started];
		int rc;

		s->bench = b;
		s->buf = plt_memalign(ALIGN, PLT_MAX(o->size, 1u), err);
		if (!s->buf)
			return -ENOMEM;
		memset(s->buf, o->pattern, o->size);
		pthread_mutex_lock(&b->lock);
		b->running++;
		pthread_mutex_unlock(&b->lock);
		rc = pthread_create(&s->thread, NULL, sender_main, s);
		if (rc) {
			sender_gone(b);
			free(s->buf);
			return plt_err_errno(err, -rc, "starting thread %u",
					     *started);
		}
	}
	return 0;
}

static void give_up(struct bench *b)
{
	PLT_LOCK_SCOPE(&b->lock);

	b->stop = true;
	pthread_cond_broadcast(&b->changed);
}

static int run(struct bench *b, unsigned int nr, struct platter_error *err)
{
	plt_auto_free struct sender *senders = plt_calloc(nr, sizeof(*senders),
							  err);
	unsigned int started = 0;
	int rc;

	if (!senders)
		return -ENOMEM;
	rc = start(b, senders, nr, &started, err);
	if (rc)
		give_up(b);
	else
		watch(b);
	for (unsigned int i = 0; i < started; i++) {
		pthread_join(senders[i].thread, NULL);
		free(senders[i].buf);
	}
	if (!rc && b->rc)
		rc = plt_err_set(err, b->rc, "%s", b->error.msg);
	return rc;
}

static int check_request(struct bench *b, struct platter_error *err)
{
	const struct platter_bench_options *o = b->opts;

	b->size = platter_image_size(b->img);
	if (!o->threads || o->threads > THREADS_MAX)
		return plt_err_set(err, -EINVAL, "%u threads are not between "
				   "1 and %u", o->threads, THREADS_MAX);
	if (o->size > INT32_MAX)
		return plt_err_set(err, -EINVAL, "requests of %" PRIu32
				   " bytes are over the limit of %d", o->size,
				   INT32_MAX);
	b->places = o->size ? b->size / o->size : 0;
	if (o->random && !b->places)
		return plt_err_set(err, -EINVAL, "%s: of %" PRIu64 " bytes has "
				   "no room for requests of %" PRIu32,
				   platter_image_name(b->img), b->size,
				   o->size);
	if (o->flush_interval && !o->write)
		return plt_err_set(err, -EINVAL, "only writes are flushed");
	return 0;
}

/* No more than there are buffers for, or requests. */
static unsigned int threads_for(const struct platter_bench_options *o)
{
	uint64_t nr = PLT_MIN((uint64_t)o->threads, o->count);

	if (o->size)
		nr = PLT_MIN(nr, BUFFERS_MAX / o->size);
	return (unsigned int)PLT_MAX(nr, UINT64_C(1));
}

int platter_bench(struct platter_image *img,
		  const struct platter_bench_options *opts,
		  struct platter_bench_result *result,
		  struct platter_error *err)
{
	struct bench b = { .img = img, .opts = opts };
	struct timespec from, to;
	pthread_condattr_t attr;
	int rc = check_request(&b, err);

	if (rc)
		return rc;
	pthread_mutex_init(&b.lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b.changed, &attr);
	pthread_condattr_destroy(&attr);
	clock_gettime(CLOCK_MONOTONIC, &from);
	rc = run(&b, threads_for(opts), err);
	clock_gettime(CLOCK_MONOTONIC, &to);
	pthread_cond_destroy(&b.changed);
	pthread_mutex_destroy(&b.lock);
	*result = (struct platter_bench_result){
		.requests = b.completed,
		.flushes = b.rounds,
		.seconds = (double)(to.tv_sec - from.tv_sec) +
			   (double)(to.tv_nsec - from.tv_nsec) / 1e9,
	};
	return rc;
}
