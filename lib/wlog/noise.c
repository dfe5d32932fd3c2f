/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes nobody wrote: what a torn write or a discard may leave.
 *
 * They depend on the kind, the place on the device and a fixed key, and on
 * nothing else, so that a state has the same bytes on every machine. Each
 * eight of them are the number of their place, scrambled by the finalizer of
 * splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
 * Generators, 2014).
 */
#include <string.h>

#include "base/endian.h"
#include "base/mem.h"
#include "wlog/wlog.h"

#define KEY_PATTERN	UINT64_C(0x9e3779b97f4a7c15)
#define KEY_GARBAGE	UINT64_C(0xd1b54a32d192ed03)

static uint64_t scramble(uint64_t v)
{
	v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
	return v ^ v >> 31;
}

void plt_wlog_noise(enum plt_wlog_segment_kind kind, uint64_t offset,
		    void *buf, size_t len)
{
	const uint64_t key = kind == PLT_WLOG_PATTERN ? KEY_PATTERN :
			     KEY_GARBAGE;
	unsigned char *p = buf, word[8];
	size_t in, n;

	while (len) {
		plt_put_le64(word, scramble(key * (offset / 8 + 1)));
		in = offset % 8;
		n = PLT_MIN(len, 8 - in);
		memcpy(p, word + in, n);
		p += n;
		offset += n;
		len -= n;
	}
}
