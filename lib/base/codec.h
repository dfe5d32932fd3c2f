/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compression of blocks that are read and written whole, as clusters are.
 *
 * A codec may be used by any number of threads at once. It keeps the working
 * memory it has made, one per thread that was in it at a time, so that
 * compressing a block allocates nothing.
 */
#ifndef PLT_BASE_CODEC_H
#define PLT_BASE_CODEC_H

#include <stddef.h>

#include <platter/error.h>

struct plt_codec;

enum plt_codec_kind {
	/*
	 * Deflate without header or checksum. Written with matches no more
	 * than 4 KiB back; read with any that deflate knows.
	 */
	PLT_CODEC_DEFLATE,
	PLT_CODEC_ZSTD,		/* -ENOTSUP where it was not built in */
};

int plt_codec_new(struct plt_codec **out, enum plt_codec_kind kind,
		  struct platter_error *err) PLATTER_MUST_CHECK;
void plt_codec_free(struct plt_codec *codec);	/* NULL is ok */

/* Compress into at most `room` bytes. 1: it does not become that small. */
int plt_codec_compress(struct plt_codec *codec, const void *in, size_t len,
		       void *out, size_t room, size_t *out_len,
		       struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Decompress into exactly `room` bytes; what is left of the input then may be
 * anything. -EIO when it gives less, or is damaged.
 */
int plt_codec_expand(struct plt_codec *codec, const void *in, size_t len,
		     void *out, size_t room, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- for the codecs ---- */

/* One method. A state is used by one thread at a time. */
struct plt_codec_method {
	void *(*state_new)(struct platter_error *err);
	void (*state_free)(void *state);
	int (*compress)(void *state, const void *in, size_t len, void *out,
			size_t room, size_t *out_len,
			struct platter_error *err);
	int (*expand)(void *state, const void *in, size_t len, void *out,
		      size_t room, struct platter_error *err);
};

extern const struct plt_codec_method plt_deflate_method;
extern const struct plt_codec_method plt_zstd_method;

#endif
