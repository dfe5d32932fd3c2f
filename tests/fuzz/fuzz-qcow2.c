/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: everything that reads a qcow2 image, and what mends it, on
 * arbitrary bytes.
 *
 * The input is the image, served from memory by a protocol driver that refuses
 * any access outside it; a repair may let it grow a little.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platter/platter.h>

#include "memory.h"

#define READ_BYTES	(UINT64_C(1) << 20)	/* of guest data, at most */
#define MAPS		64			/* calls for the map, at most */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct platter_driver *const drivers[] = {
	&plt_raw_driver, &plt_qcow2_driver, &memory_driver,
};

static struct platter_image *open_image(struct platter_context *ctx,
					unsigned int flags)
{
	const struct platter_open_options opts = {
		.format = "qcow2", .flags = flags,
	};
	struct platter_image *img;

	return platter_image_open(&img, ctx, "input", &opts, NULL) ? NULL :
								      img;
}

static void describe(struct platter_context *ctx)
{
	struct platter_image *img = open_image(ctx, PLATTER_O_NO_IO |
					       PLATTER_O_NO_BACKING);
	const struct platter_snapshot *snapshots;
	struct platter_image_facts facts;
	struct platter_printer *out;
	FILE *stream;
	size_t count;

	if (!img)
		return;
	stream = fopen("/dev/null", "w");
	if (!stream || platter_printer_new(&out, PLATTER_OUTPUT_JSON, stream,
					   "x", NULL))
		abort();
	platter_out_map(out, NULL);
	if (!platter_image_describe(img, out, NULL))
		platter_out_end(out);
	(void)!platter_printer_close(out, NULL);
	fclose(stream);
	(void)!platter_image_facts(img, &facts, NULL);
	(void)!platter_image_snapshots(img, &snapshots, &count, NULL);
	platter_image_close(img, NULL);
}

static void map_and_read(struct platter_context *ctx)
{
	struct platter_image *img = open_image(ctx, PLATTER_O_NO_BACKING);
	struct platter_extent extents[16];
	uint64_t offset = 0, size;
	uint8_t *buf;

	if (!img)
		return;
	size = platter_image_size(img);
	for (int i = 0; i < MAPS && offset < size; i++) {
		size_t count = 16;

		if (platter_image_map(img, offset, size - offset, extents,
				      &count, NULL) || !count)
			break;
		offset = extents[count - 1].offset + extents[count - 1].length;
	}
	buf = malloc(4096);
	for (offset = 0; offset < size && offset < READ_BYTES; offset += 4096) {
		size_t n = size - offset < 4096 ? size - offset : 4096;

		(void)!platter_image_pread(img, buf, n, offset, NULL);
	}
	free(buf);
	platter_image_close(img, NULL);
}

static void check(struct platter_context *ctx, enum platter_repair repair)
{
	const struct platter_check_options opts = { .repair = repair };
	struct platter_check_result result;
	struct platter_image *img;

	img = open_image(ctx, PLATTER_O_CHECK | PLATTER_O_NO_BACKING |
			 (repair ? PLATTER_O_RDWR : 0));
	if (!img)
		return;
	(void)!platter_image_check(img, &opts, &result, NULL);
	platter_image_close(img, NULL);
}

static void write_some(struct platter_context *ctx)
{
	struct platter_image *img = open_image(ctx, PLATTER_O_RDWR |
					       PLATTER_O_NO_BACKING);
	static const char data[3000] = "data";
	uint64_t size;

	if (!img)
		return;
	size = platter_image_size(img);
	if (size >= sizeof(data)) {
		(void)!platter_image_pwrite(img, data, sizeof(data), 0, NULL);
		(void)!platter_image_pwrite(img, data, sizeof(data),
					    size / 2 - sizeof(data) / 2, NULL);
		(void)!platter_image_discard(img, 0, size < READ_BYTES ? size :
					     READ_BYTES, NULL);
	}
	platter_image_close(img, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct platter_context *ctx;

	if (size > MEMORY_ROOM / 2)
		return 0;
	if (platter_context_new_with(&ctx, drivers, PLT_ARRAY_SIZE(drivers),
				     NULL))
		abort();
	platter_context_set_follow(ctx, PLATTER_FOLLOW_NONE);
	memory_set(data, size);
	describe(ctx);
	map_and_read(ctx);
	check(ctx, PLATTER_REPAIR_NONE);
	if (memory_size != size || memcmp(memory_data, data, size))
		abort();	/* written to without a reason */
	check(ctx, PLATTER_REPAIR_ALL);
	check(ctx, PLATTER_REPAIR_NONE);
	memory_set(data, size);
	write_some(ctx);
	platter_context_free(ctx);
	return 0;
}
