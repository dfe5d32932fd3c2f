/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The null protocol: a disk that forgets, for measuring everything above it.
 *
 * Options and defaults are those of qemu's null-co. Reads give zeros in either
 * mode; `read-zeroes` decides whether the map may say so.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "drivers.h"

#define DEFAULT_SIZE	(1ULL << 30)	/* bytes, as qemu's */

struct null {
	uint64_t latency_ns;
	bool read_zeroes;
};

static const char *const prefixes[] = { "null-co://", "null-aio://" };

static bool null_claims(const char *filename)
{
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		if (!strcmp(filename, prefixes[i]))
			return true;
	}
	return false;
}

static int null_open(struct platter_image *img, struct platter_options *opts,
		     struct platter_error *err)
{
	const char *filename = platter_options_string(opts, "filename");
	struct null *s = platter_image_state(img);
	uint64_t size = DEFAULT_SIZE;
	int rc;

	if (filename && !null_claims(filename))
		return plt_err_set(err, -EINVAL, "the only file name of "
				   "driver null is \"%s\", not \"%s\"",
				   prefixes[0], filename);
	rc = platter_image_set_name(img, filename ? filename : prefixes[0],
				    err);
	if (rc == 0)
		rc = platter_options_size(opts, "size", &size, err);
	if (rc == 0)
		rc = platter_options_size(opts, "latency-ns", &s->latency_ns,
					  err);
	if (rc == 0)
		rc = platter_options_bool(opts, "read-zeroes", &s->read_zeroes,
					  err);
	if (rc < 0)
		return rc;
	if (size > INT64_MAX)
		return plt_err_set(err, -EFBIG, "size %" PRIu64 " is over the "
				   "limit of %" PRId64, size, INT64_MAX);
	platter_image_set_size(img, size);
	return 0;
}

static void wait_latency(const struct platter_image *img)
{
	const struct null *s = platter_image_state(img);
	struct timespec ts = {
		.tv_sec = s->latency_ns / 1000000000,
		.tv_nsec = s->latency_ns % 1000000000,
	};

	if (s->latency_ns)
		nanosleep(&ts, NULL);
}

static int null_pread(struct platter_image *img, void *buf, size_t len,
		      uint64_t offset, struct platter_error *err)
{
	(void)offset;
	(void)err;
	wait_latency(img);
	memset(buf, 0, len);
	return 0;
}

static int null_pwrite(struct platter_image *img, const void *buf, size_t len,
		       uint64_t offset, struct platter_error *err)
{
	(void)buf;
	(void)len;
	(void)offset;
	(void)err;
	wait_latency(img);
	return 0;
}

static int null_zero(struct platter_image *img, uint64_t offset, uint64_t len,
		     unsigned int flags, struct platter_error *err)
{
	(void)offset;
	(void)len;
	(void)flags;
	(void)err;
	wait_latency(img);
	return 0;
}

static int null_flush(struct platter_image *img, struct platter_error *err)
{
	(void)err;
	wait_latency(img);
	return 0;
}

static int null_resize(struct platter_image *img, uint64_t size,
		       struct platter_error *err)
{
	(void)err;
	platter_image_set_size(img, size);
	return 0;
}

static int null_extent(struct platter_image *img, uint64_t offset,
		       uint64_t len, struct platter_extent *extent,
		       struct platter_error *err)
{
	const struct null *s = platter_image_state(img);

	(void)offset;
	(void)len;
	(void)err;
	if (s->read_zeroes)
		extent->flags = (extent->flags & ~PLATTER_EXTENT_DATA) |
				PLATTER_EXTENT_ZERO;
	return 0;
}

static int64_t null_allocated(struct platter_image *img)
{
	(void)img;
	return 0;
}

static const char *const null_aliases[] = { "null-co", "null-aio", NULL };

static const struct platter_option null_options[] = {
	{ "filename", "null-co:// or null-aio://, and nothing else" },
	{ "size", "bytes (default 1G)" },
	{ "read-zeroes", "on: the map says it is all zeros (default off)" },
	{ "latency-ns", "nanoseconds each request takes (default 0)" },
	{ NULL, NULL }
};

static const struct platter_io_ops null_io = {
	.pread = null_pread,
	.pwrite = null_pwrite,
	.zero = null_zero,
	.flush = null_flush,
	.resize = null_resize,
	.extent = null_extent,
	.allocated = null_allocated,
};

const struct platter_driver plt_null_driver = {
	.name = "null",
	.aliases = null_aliases,
	.kind = PLATTER_DRIVER_PROTOCOL,
	.state_size = sizeof(struct null),
	.options = null_options,
	.claims = null_claims,
	.open = null_open,
	.io = &null_io,
};
