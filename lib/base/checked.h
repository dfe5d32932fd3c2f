/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arithmetic on numbers from disk: false means it does not fit. */
#ifndef PLT_BASE_CHECKED_H
#define PLT_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

/* Largest offset any file can have: off_t is signed. */
#define PLT_OFFSET_MAX ((uint64_t)INT64_MAX)

static inline bool plt_add_u64(uint64_t *out, uint64_t a, uint64_t b)
{
	return !__builtin_add_overflow(a, b, out);
}

static inline bool plt_mul_u64(uint64_t *out, uint64_t a, uint64_t b)
{
	return !__builtin_mul_overflow(a, b, out);
}

static inline bool plt_is_power_of_2(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* `align` is a power of two; the caller has bounded `v`. */
static inline uint64_t plt_align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

static inline uint64_t plt_align_up(uint64_t v, uint64_t align)
{
	return plt_align_down(v + align - 1, align);
}

/* floor(log2(v)); v > 0. */
static inline unsigned int plt_log2(uint64_t v)
{
	return 63 - __builtin_clzll(v);
}

#endif
