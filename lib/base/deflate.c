/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deflate, as qcow2 stores it: raw, one block of data at a time.
 *
 * Reading takes any stream, by libdeflate where there is one, which is several
 * times faster; zlib has the last word on what libdeflate does not take, such
 * as a stream that goes on when the output is full. QEMU reads that as well.
 * Writing is in deflate-write.c.
 */
#include <limits.h>
#include <stdbool.h>
#include <zlib.h>

#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#endif

#include "base/codec.h"
#include "base/deflate-write.h"
#include "base/error.h"
#include "base/mem.h"

#define ANY_WINDOW	(-15)	/* and no header */

struct deflate {
	struct plt_deflate_writer *writer;
	z_stream expander;
	bool can_expand;
#ifdef HAVE_LIBDEFLATE
	struct libdeflate_decompressor *fast;
#endif
};

static void *deflate_new(struct platter_error *err)
{
	return plt_calloc(1, sizeof(struct deflate), err);
}

static void deflate_free(void *state)
{
	struct deflate *d = state;

	if (d->can_expand)
		inflateEnd(&d->expander);
	plt_deflate_writer_free(d->writer);
#ifdef HAVE_LIBDEFLATE
	libdeflate_free_decompressor(d->fast);
#endif
	free(d);
}

static int fits(size_t len, size_t max, struct platter_error *err)
{
	if (len <= max)
		return 0;
	return plt_err_set(err, -EFBIG, "a block of %zu bytes is over the "
			   "limit of %zu", len, max);
}

static int deflate_compress(void *state, const void *in, size_t len, void *out,
			    size_t room, size_t *out_len,
			    struct platter_error *err)
{
	struct deflate *d = state;
	int rc = fits(len, PLT_DEFLATE_WRITE_MAX, err);

	if (rc < 0)
		return rc;
	if (!d->writer)
		d->writer = plt_deflate_writer_new(err);
	if (!d->writer)
		return -ENOMEM;
	return plt_deflate_write(d->writer, in, len, out, room, out_len);
}

#ifdef HAVE_LIBDEFLATE
static bool expand_fast(struct deflate *d, const void *in, size_t len,
			void *out, size_t room)
{
	if (!d->fast)
		d->fast = libdeflate_alloc_decompressor();
	return d->fast &&
	       libdeflate_deflate_decompress_ex(d->fast, in, len, out, room,
						NULL, NULL) ==
	       LIBDEFLATE_SUCCESS;
}
#else
static bool expand_fast(struct deflate *d, const void *in, size_t len,
			void *out, size_t room)
{
	return false;
}
#endif

static int deflate_expand(void *state, const void *in, size_t len, void *out,
			  size_t room, struct platter_error *err)
{
	struct deflate *d = state;
	z_stream *z = &d->expander;
	int rc = fits(PLT_MAX(len, room), UINT_MAX, err);

	if (rc < 0 || expand_fast(d, in, len, out, room))
		return rc;
	if (d->can_expand)
		inflateReset(z);
	else if (inflateInit2(z, ANY_WINDOW) != Z_OK)
		return plt_err_nomem(err, sizeof(*z));
	d->can_expand = true;
	z->next_in = (Bytef *)in;
	z->avail_in = (uInt)len;
	z->next_out = out;
	z->avail_out = (uInt)room;
	rc = inflate(z, Z_FINISH);
	if ((rc == Z_STREAM_END || rc == Z_BUF_ERROR) && z->avail_out == 0)
		return 0;
	return plt_err_set(err, -EIO, "deflated data gives %zu bytes of %zu: "
			   "%s", room - z->avail_out, room,
			   z->msg ? z->msg : "it ends early");
}

const struct plt_codec_method plt_deflate_method = {
	.state_new = deflate_new,
	.state_free = deflate_free,
	.compress = deflate_compress,
	.expand = deflate_expand,
};
