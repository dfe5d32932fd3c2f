/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Zstandard, as qcow2 stores it: one frame when written, any number when read,
 * up to the end of the cluster; what follows is not looked at.
 */
#ifdef HAVE_ZSTD

#include <stdbool.h>
#include <stdint.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"

#define LEVEL		3	/* zstd's default, and QEMU's */
/* The most memory a stream may ask for, 8 MiB; a cluster has at most 2 MiB. */
#define MAX_WINDOW_LOG	23

struct zstd {
	ZSTD_CCtx *packer;
	ZSTD_DCtx *expander;
};

static void *zstd_new(struct platter_error *err)
{
	return plt_calloc(1, sizeof(struct zstd), err);
}

static void zstd_free(void *state)
{
	struct zstd *z = state;

	ZSTD_freeCCtx(z->packer);
	ZSTD_freeDCtx(z->expander);
	free(z);
}

static int zstd_compress(void *state, const void *in, size_t len, void *out,
			 size_t room, size_t *out_len,
			 struct platter_error *err)
{
	struct zstd *z = state;
	size_t n;

	if (!z->packer)
		z->packer = ZSTD_createCCtx();
	if (!z->packer)
		return plt_err_nomem(err, len);
	n = ZSTD_compressCCtx(z->packer, out, room, in, len, LEVEL);
	if (!ZSTD_isError(n)) {
		*out_len = n;
		return 0;
	}
	if (ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall)
		return 1;
	return plt_err_set(err, -EIO, "zstd: %s", ZSTD_getErrorName(n));
}

/* Whole frames need no window; this is how QEMU and platter write. */
static bool expand_frames(struct zstd *z, const uint8_t *in, size_t len,
			  uint8_t *out, size_t room)
{
	while (room) {
		size_t frame = ZSTD_findFrameCompressedSize(in, len);
		size_t n;

		if (ZSTD_isError(frame) || !frame)
			return false;
		n = ZSTD_decompressDCtx(z->expander, out, room, in, frame);
		if (ZSTD_isError(n))
			return false;
		in += frame;
		len -= frame;
		out += n;
		room -= n;
	}
	return true;
}

static int zstd_expand(void *state, const void *in, size_t len, void *out,
		       size_t room, struct platter_error *err)
{
	ZSTD_outBuffer to = { .dst = out, .size = room };
	ZSTD_inBuffer from = { .src = in, .size = len };
	struct zstd *z = state;

	if (!z->expander)
		z->expander = ZSTD_createDCtx();
	if (!z->expander)
		return plt_err_nomem(err, room);
	if (expand_frames(z, in, len, out, room))
		return 0;
	ZSTD_DCtx_reset(z->expander, ZSTD_reset_session_and_parameters);
	ZSTD_DCtx_setParameter(z->expander, ZSTD_d_windowLogMax,
			       MAX_WINDOW_LOG);
	while (to.pos < to.size) {
		size_t in_was = from.pos, out_was = to.pos;
		size_t n = ZSTD_decompressStream(z->expander, &to, &from);

		if (ZSTD_isError(n))
			return plt_err_set(err, -EIO, "zstd: %s",
					   ZSTD_getErrorName(n));
		if (from.pos == in_was && to.pos == out_was)
			return plt_err_set(err, -EIO, "zstd data gives %zu "
					   "bytes of %zu", to.pos, room);
	}
	return 0;
}

const struct plt_codec_method plt_zstd_method = {
	.state_new = zstd_new,
	.state_free = zstd_free,
	.compress = zstd_compress,
	.expand = zstd_expand,
};

#endif
