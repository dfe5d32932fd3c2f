/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A rate limit: a bucket of bytes that fills at a steady speed.
 *
 * It holds a tenth of a second's worth. Who takes more than is there pays the
 * debt by waiting, so that the long-term rate is exact whatever the sizes.
 */
#ifndef PLT_BASE_RATE_H
#define PLT_BASE_RATE_H

#include <stdint.h>

#include <platter/error.h>

/* The time, and passing it; a test has its own. Nanoseconds. */
struct plt_clock {
	int64_t (*now)(void *arg);
	void (*sleep)(void *arg, int64_t ns);
	void *arg;
};
/* CLOCK_MONOTONIC. */
extern const struct plt_clock plt_clock_real;

struct plt_rate;

/* `bytes_per_second` > 0. `clock` NULL is the real one. */
int plt_rate_new(struct plt_rate **out, uint64_t bytes_per_second,
		 const struct plt_clock *clock, struct platter_error *err)
	PLATTER_MUST_CHECK;
void plt_rate_free(struct plt_rate *rate);	/* NULL is ok */
/* Any thread: before moving so many bytes; sleeps. NULL does not. */
void plt_rate_take(struct plt_rate *rate, uint64_t bytes);

#endif
