/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: what names an image. The first byte says whether the rest is a
 * file name or json:, or key=value pairs. No driver that opens files is there.
 */
#include <stdlib.h>
#include <string.h>

#include <platter/platter.h>

#include "memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct platter_driver *const drivers[] = {
	&plt_raw_driver, &plt_qcow2_driver, &plt_writelog_driver,
	&plt_null_driver, &memory_driver,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t file[4096];
	struct platter_open_options opts = { 0 };
	struct platter_context *ctx;
	struct platter_image *img;
	char *spec;

	if (!size)
		return 0;
	memory_set(file, sizeof(file));
	opts.image_opts = data[0] & 1;
	opts.flags = PLATTER_O_NO_IO;
	spec = malloc(size);
	if (!spec || platter_context_new_with(&ctx, drivers,
					      PLT_ARRAY_SIZE(drivers), NULL))
		abort();
	memcpy(spec, data + 1, size - 1);
	spec[size - 1] = '\0';
	if (!platter_image_open(&img, ctx, spec, &opts, NULL))
		platter_image_close(img, NULL);
	platter_context_free(ctx);
	free(spec);
	return 0;
}
