/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the core's unit tests share: files, opening. */
#ifndef CORE_TEST_H
#define CORE_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <platter/platter.h>

#include "base/mem.h"
#include "core/core.h"
#include "scratch-dir.h"

/* Fails the test with the message of the error. */
#define assert_ok(rc, e)						\
	do {								\
		int rc_ = (rc);						\
									\
		if (rc_)						\
			print_error("%s\n", (e)->msg);			\
		assert_int_equal(rc_, 0);				\
	} while (0)

#define assert_has(text, part)						\
	do {								\
		if (!strstr(text, part))				\
			fail_msg("\"%s\" has no \"%s\"", text, part);	\
	} while (0)

static inline uint64_t rnd(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

static inline void make_file(const char *name, const void *data, size_t len)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static inline void make_sparse(const char *name, uint64_t size)
{
	make_file(name, "", 0);
	assert_int_equal(truncate(name, (off_t)size), 0);
}

static inline struct platter_context *new_context(void)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_context *ctx;

	assert_ok(platter_context_new(&ctx, &err), &err);
	return ctx;
}

static inline struct platter_image *
open_with(struct platter_context *ctx, const char *spec,
	  const struct platter_open_options *opts)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *img;

	assert_ok(platter_image_open(&img, ctx, spec, opts, &err), &err);
	return img;
}

static inline struct platter_image *open_raw(struct platter_context *ctx,
					     const char *name,
					     unsigned int flags)
{
	struct platter_open_options opts = { .format = "raw", .flags = flags };

	return open_with(ctx, name, &opts);
}

/* Opening must fail with `rc` and a message that has `part` in it. */
static inline void refuse(struct platter_context *ctx, const char *spec,
			  const struct platter_open_options *opts, int rc,
			  const char *part)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *img = NULL;

	assert_int_equal(platter_image_open(&img, ctx, spec, opts, &err), rc);
	assert_null(img);
	assert_int_equal(err.code, rc);
	assert_has(err.msg, part);
}

static inline void close_image(struct platter_image *img)
{
	struct platter_error err = PLATTER_ERROR_INIT;

	assert_ok(platter_image_close(img, &err), &err);
}

static inline void do_read(struct platter_image *img, void *buf, size_t len,
			   uint64_t offset)
{
	struct platter_error err = PLATTER_ERROR_INIT;

	assert_ok(platter_image_pread(img, buf, len, offset, &err), &err);
}

static inline void do_write(struct platter_image *img, const void *buf,
			    size_t len, uint64_t offset)
{
	struct platter_error err = PLATTER_ERROR_INIT;

	assert_ok(platter_image_pwrite(img, buf, len, offset, &err), &err);
}

#endif
