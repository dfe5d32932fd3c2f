/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fast writer of raw deflate whose matches lie at most 4 KiB back, so that
 * readers with a small window can read it.
 */
#ifndef PLT_BASE_DEFLATE_WRITE_H
#define PLT_BASE_DEFLATE_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include <platter/error.h>

/* The most it takes at a time, in bytes. */
#define PLT_DEFLATE_WRITE_MAX	(UINT32_C(1) << 28)

struct plt_deflate_writer;

/* For one thread at a time. NULL with a message when there is no memory. */
struct plt_deflate_writer *plt_deflate_writer_new(struct platter_error *err);
void plt_deflate_writer_free(struct plt_deflate_writer *w); /* NULL is ok */
/* 1: it does not become as small as `room` bytes, nearly. */
int plt_deflate_write(struct plt_deflate_writer *w, const void *in, size_t len,
		      void *out, size_t room, size_t *out_len)
	PLATTER_MUST_CHECK;

#endif
