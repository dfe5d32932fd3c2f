// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A rate limit: a bucket of bytes that fills at a steady speed.
 *
 * The bucket is kept as a time: the moment at which it is, or was, empty. Each
 * byte taken moves that moment on by what a byte takes to flow in; a moment in
 * the future is the debt to be waited for. A bucket left alone is full, so the
 * moment is never longer ago than it takes to fill.
 */
#include "base/rate.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "base/mem.h"

#define SECOND	INT64_C(1000000000)
#define BURST	(SECOND / 10)	/* how much time's worth it holds */
#define FOREVER	(INT64_MAX / 4)	/* of debt: 73 years */

struct plt_rate {
	struct plt_clock clock;
	uint64_t speed;		/* bytes per second */
	pthread_mutex_t lock;
	int64_t empty_at;	/* guarded by `lock` */
};

static int64_t real_now(void *arg)
{
	struct timespec ts;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * SECOND + ts.tv_nsec;
}

static void real_sleep(void *arg, int64_t ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(ns / SECOND),
		.tv_nsec = (long)(ns % SECOND),
	};

	(void)arg;
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
		;
}

const struct plt_clock plt_clock_real = {
	.now = real_now,
	.sleep = real_sleep,
};

int plt_rate_new(struct plt_rate **out, uint64_t bytes_per_second,
		 const struct plt_clock *clock, struct platter_error *err)
{
	struct plt_rate *rate;

	if (!bytes_per_second)
		return plt_err_set(err, -EINVAL, "a rate of 0 bytes per second "
				   "never ends");
	rate = plt_calloc(1, sizeof(*rate), err);
	if (!rate)
		return -ENOMEM;
	rate->clock = clock ? *clock : plt_clock_real;
	rate->speed = bytes_per_second;
	rate->empty_at = rate->clock.now(rate->clock.arg) - BURST;
	pthread_mutex_init(&rate->lock, NULL);
	*out = rate;
	return 0;
}

void plt_rate_free(struct plt_rate *rate)
{
	if (!rate)
		return;
	pthread_mutex_destroy(&rate->lock);
	free(rate);
}

/* What so many bytes take to flow in. */
static int64_t time_of(const struct plt_rate *rate, uint64_t bytes)
{
	unsigned __int128 ns = (unsigned __int128)bytes * (uint64_t)SECOND;

	/* Rounded up: the limit is kept. */
	ns = (ns + rate->speed - 1) / rate->speed;
	return ns > FOREVER ? FOREVER : (int64_t)ns;
}

/* Takes the bytes and returns how long to wait for them. */
static int64_t take(struct plt_rate *rate, uint64_t bytes)
{
	int64_t now, debt;

	PLT_LOCK_SCOPE(&rate->lock);
	now = rate->clock.now(rate->clock.arg);
	rate->empty_at = PLT_MAX(rate->empty_at, now - BURST);
	rate->empty_at += time_of(rate, bytes);
	debt = rate->empty_at - now;
	if (debt > FOREVER)
		rate->empty_at = now + FOREVER;
	return debt;
}

void plt_rate_take(struct plt_rate *rate, uint64_t bytes)
{
	int64_t debt = rate ? take(rate, bytes) : 0;

	if (debt > 0)
		rate->clock.sleep(rate->clock.arg, debt);
}
