// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Convert to a descriptor, which may be a pipe: in one pass, front to back.
 *
 * Workers read ahead; what they read is written in the order of the guest. A
 * format that can be written like that says so by its `stream` operation.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/opts.h"
#include "copy/digest.h"
#include "copy/scan.h"
#include "core/core.h"
#include "job/job.h"

#define ZEROS 65536u	/* bytes written with a call */

static const unsigned char zeros[ZEROS];

struct stream {
	struct platter_sink sink;	/* what the format writes to */
	int fd;
	const char *name;
	struct plt_digest *digest;	/* or NULL */
	const struct platter_convert_options *opts;
	struct platter_image *src;
	uint64_t at;			/* guest bytes sent, raw only */
};

static int send_bytes(struct stream *s, const void *buf, size_t len,
		      struct platter_error *err)
{
	int rc = plt_write(s->fd, buf, len);

	return rc ? plt_err_errno(err, rc, "%s: writing", s->name) : 0;
}

static int send_zeros(struct stream *s, uint64_t len,
		      struct platter_error *err)
{
	int rc = 0;

	while (len && !rc) {
		size_t n = PLT_MIN(len, (uint64_t)ZEROS);

		rc = send_bytes(s, zeros, n, err);
		len -= n;
	}
	return rc;
}

static int sink_write(struct platter_sink *sink, const void *buf, size_t len,
		      struct platter_error *err)
{
	struct stream *s = (struct stream *)sink;

	return buf ? send_bytes(s, buf, len, err) : send_zeros(s, len, err);
}

/* ---- reading the source, for both ---- */

struct reader {
	struct stream *s;
	int (*data)(void *arg, uint64_t offset, const void *buf, size_t len,
		    struct platter_error *err);
	void *arg;
};

static int on_data(void *arg, uint64_t offset, const void *buf, size_t len,
		   struct platter_error *err)
{
	struct reader *r = arg;
	int rc = 0;

	if (r->s->digest)
		rc = plt_digest_at(r->s->digest, offset, buf, len, err);
	return rc ? rc : r->data(r->arg, offset, buf, len, err);
}

static int sink_scan(struct platter_sink *sink,
		     int (*data)(void *arg, uint64_t offset, const void *buf,
				 size_t len, struct platter_error *err),
		     void *arg, struct platter_error *err)
{
	struct stream *s = (struct stream *)sink;
	struct reader r = { .s = s, .data = data, .arg = arg };
	const struct plt_scan_options scan = {
		.length = platter_image_size(s->src),
		.workers = s->opts->workers,
		.progress = s->opts->progress,
		.data = on_data,
		.arg = &r,
	};

	return plt_scan(s->src, &scan, err);
}

/* ---- raw ---- */

static int raw_data(void *arg, uint64_t offset, const void *buf, size_t len,
		    struct platter_error *err)
{
	struct stream *s = arg;
	int rc = send_zeros(s, offset - s->at, err);

	s->at = offset + len;
	return rc ? rc : send_bytes(s, buf, len, err);
}

static int stream_raw(struct stream *s, struct platter_options *tree,
		      struct platter_error *err)
{
	int rc = plt_options_check_used(tree, err);

	if (!rc)
		rc = sink_scan(&s->sink, raw_data, s, err);
	if (!rc)
		rc = send_zeros(s, platter_image_size(s->src) - s->at, err);
	return rc;
}

/* ---- any format ---- */

static int check_request(const struct platter_convert_options *opts,
			 struct platter_error *err)
{
	const char *what = NULL;

	if (opts->compress)
		what = "compressing";
	else if (opts->no_create)
		what = "a target that exists";
	else if (opts->backing_file)
		what = "a backing file";
	else if (opts->bitmaps)
		what = "bitmaps";
	else if (opts->unreadable)
		what = "salvaging";
	else if (opts->target_size)
		what = "a size of its own";
	else if (opts->rate)
		what = "a rate limit";
	else if (opts->copy_range)
		what = "copying in the kernel";
	if (what)
		return plt_err_set(err, -EINVAL, "standard output does not go "
				   "together with %s", what);
	return 0;
}

static int stream_format(struct stream *s, struct platter_context *ctx,
			 struct platter_error *err)
{
	const char *format = s->opts->target_format;
	const struct platter_driver *drv;
	struct platter_options *tree;
	int rc;

	drv = plt_driver_find(ctx, format ? format : PLT_FORMAT_FALLBACK);
	if (!drv)
		return plt_err_set(err, -EINVAL, "unknown format \"%s\"",
				   format);
	rc = plt_options_parse_list(&tree, s->opts->target_options, err);
	if (rc)
		return rc;
	if (!strcmp(drv->name, PLT_FORMAT_FALLBACK))
		rc = stream_raw(s, tree, err);
	else if (drv->stream)
		rc = drv->stream(&s->sink, s->src, tree, err);
	else
		rc = plt_err_set(err, -ENOTSUP, "format %s cannot be written "
				 "from front to back", drv->name);
	plt_options_free(tree);
	return rc;
}

int platter_convert_stream(struct platter_context *ctx,
			   struct platter_image *src, int fd,
			   const struct platter_convert_options *opts,
			   struct platter_error *err)
{
	struct stream s = {
		.sink.write = sink_write,
		.sink.scan = sink_scan,
		.fd = fd,
		.name = !strcmp(opts->target, "-") ? "standard output" :
						     opts->target,
		.opts = opts,
		.src = src,
	};
	int rc;

	rc = check_request(opts, err);
	if (!rc && opts->hash)
		rc = plt_digest_new(&s.digest, opts->hash, err);
	if (!rc)
		rc = stream_format(&s, ctx, err);
	if (!rc && s.digest)
		rc = plt_digest_end(s.digest, platter_image_size(src),
				    opts->hash_hex, err);
	plt_digest_free(s.digest);
	return rc;
}
