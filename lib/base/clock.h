/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long something takes: a clock that nobody sets. */
#ifndef PLT_BASE_CLOCK_H
#define PLT_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t plt_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#endif
