/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file in memory, as a protocol driver, for one program that reads damaged
 * logs: the name is "input", and an access outside it aborts.
 */
#ifndef TESTS_FUZZ_MEMORY_H
#define TESTS_FUZZ_MEMORY_H

#include <stdlib.h>
#include <string.h>

#include <platter/sys/driver.h>

#include "drivers.h"

static const uint8_t *memory_data;
static size_t memory_size;

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

static bool memory_claims(const char *filename)
{
	return !strcmp(filename, "input");
}

static const struct platter_option memory_options[] = {
	{ "filename", "ignored" },
	{ NULL, NULL },
};

static const struct platter_io_ops memory_io = { .pread = memory_pread };

static const struct platter_driver memory_driver = {
	.name = "memory",
	.kind = PLATTER_DRIVER_PROTOCOL,
	.options = memory_options,
	.claims = memory_claims,
	.open = memory_open,
	.io = &memory_io,
};

static const struct platter_driver *const memory_drivers[] = {
	&plt_raw_driver, &plt_writelog_driver, &memory_driver,
};

#define MEMORY_DRIVERS (sizeof(memory_drivers) / sizeof(memory_drivers[0]))

#endif
