/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file in memory, as a protocol driver, for one program that reads damaged
 * files: the name is "input", and an access outside it aborts.
 */
#ifndef TESTS_FUZZ_MEMORY_H
#define TESTS_FUZZ_MEMORY_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platter/sys/driver.h>

#include "base/mem.h"
#include "drivers.h"

#define MEMORY_ROOM	(UINT64_C(8) << 20)	/* how far it may grow */

static uint8_t *memory_data;
static size_t memory_size;

/* The file is a copy, of its very size, for sanitizers. */
static void memory_set(const uint8_t *data, size_t size)
{
	memory_data = realloc(memory_data, size + !size);
	if (!memory_data)
		abort();
	memcpy(memory_data, data, size);
	memory_size = size;
}

static int memory_open(struct platter_image *img, struct platter_options *opts,
		       struct platter_error *err)
{
	(void)err;
	(void)platter_options_string(opts, "filename");
	platter_image_set_size(img, memory_size);
	return 0;
}

static int memory_pread(struct platter_image *img, void *buf, size_t len,
			uint64_t offset, struct platter_error *err)
{
	(void)img;
	(void)err;
	if (offset > memory_size || len > memory_size - offset)
		abort();	/* a read beyond the file */
	memcpy(buf, memory_data + offset, len);
	return 0;
}

static int memory_pwrite(struct platter_image *img, const void *buf, size_t len,
			 uint64_t offset, struct platter_error *err)
{
	(void)img;
	(void)err;
	if (offset > memory_size || len > memory_size - offset)
		abort();	/* a write beyond the file */
	memcpy(memory_data + offset, buf, len);
	return 0;
}

static int memory_resize(struct platter_image *img, uint64_t size,
			 struct platter_error *err)
{
	if (size > MEMORY_ROOM)
		return platter_error_set(err, -ENOSPC, "no room");
	memory_data = realloc(memory_data, size + !size);
	if (!memory_data)
		abort();
	if (size > memory_size)
		memset(memory_data + memory_size, 0, size - memory_size);
	memory_size = size;
	platter_image_set_size(img, size);
	return 0;
}

static int memory_flush(struct platter_image *img, struct platter_error *err)
{
	(void)img;
	(void)err;
	return 0;
}

static bool memory_claims(const char *filename)
{
	return !strcmp(filename, "input");
}

static const struct platter_option memory_options[] = {
	{ "filename", "ignored" },
	{ NULL, NULL },
};

static const struct platter_io_ops memory_io = {
	.pread = memory_pread,
	.pwrite = memory_pwrite,
	.resize = memory_resize,
	.flush = memory_flush,
};

static const struct platter_driver memory_driver = {
	.name = "memory",
	.kind = PLATTER_DRIVER_PROTOCOL,
	.options = memory_options,
	.claims = memory_claims,
	.open = memory_open,
	.io = &memory_io,
};

#endif
