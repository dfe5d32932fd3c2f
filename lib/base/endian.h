/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Unaligned little- and big-endian loads and stores. */
#ifndef PLT_BASE_ENDIAN_H
#define PLT_BASE_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define PLT_ENDIAN(bits, order)						\
static inline uint##bits##_t plt_##order##bits(const void *p)		\
{									\
	uint##bits##_t v;						\
									\
	memcpy(&v, p, sizeof(v));					\
	return order##bits##toh(v);					\
}									\
static inline void plt_put_##order##bits(void *p, uint##bits##_t v)	\
{									\
	v = hto##order##bits(v);					\
	memcpy(p, &v, sizeof(v));					\
}

PLT_ENDIAN(16, le)
PLT_ENDIAN(32, le)
PLT_ENDIAN(64, le)
PLT_ENDIAN(16, be)
PLT_ENDIAN(32, be)
PLT_ENDIAN(64, be)

#endif
