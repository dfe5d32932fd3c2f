/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: everything that reads a write log, on arbitrary bytes.
 *
 * The input is the log, served from memory by a protocol driver of its own
 * that refuses any access outside it. The first byte behind the super block's
 * used part picks a point, so that states in the middle are reached too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platter/platter.h>

#include "memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct platter_driver *const drivers[] = {
	&plt_raw_driver, &plt_writelog_driver, &memory_driver,
};

static int count_version(struct platter_log_version_visitor *self,
			 const struct platter_log_version *version,
			 struct platter_error *err)
{
	(void)self;
	(void)version;
	(void)err;
	return 0;
}

static const char *const points[] = {
	"3", "flush:1", "fua:2", "mark:a", "mark:a#2-1", "end-1",
};

#define POINTS PLT_ARRAY_SIZE(points)

static void read_log(struct platter_context *ctx)
{
	const struct platter_log_options opts = {
		.format = "memory", .index = "",
	};
	struct platter_log_version_visitor visitor = { count_version };
	const struct platter_log_summary *s;
	struct platter_log_stat stat;
	struct platter_log *log;
	uint64_t point[POINTS];
	int found[POINTS], rc;

	if (platter_log_open(&log, ctx, "input", &opts, NULL))
		return;
	/* Once by reading, once through the index: they must agree. */
	for (size_t i = 0; i < POINTS; i++) {
		point[i] = 0;
		found[i] = platter_log_point(log, points[i], &point[i], NULL);
	}
	if (platter_log_index(log, NULL, NULL))
		abort();
	for (size_t i = 0; i < POINTS; i++) {
		uint64_t indexed = 0;

		if (platter_log_point(log, points[i], &indexed, NULL) !=
		    found[i] || indexed != point[i])
			abort();
	}
	if (platter_log_scan(log, NULL, &s, NULL) ||
	    (s->entries && s->end > s->log_size))
		abort();
	rc = platter_log_stat(log, 0, s->entries, 4, &stat, NULL);
	if (rc || stat.distinct > stat.written)
		abort();
	rc = platter_log_blame(log, 0, 65536, s->entries, &visitor, NULL);
	(void)rc;
	platter_log_close(log);
}

static void read_state(struct platter_context *ctx, unsigned int at)
{
	const struct platter_open_options opts = { .image_opts = true };
	struct platter_extent extents[16];
	struct platter_image *img;
	uint64_t offset = 0;
	char spec[128];
	size_t count;
	char *buf;

	snprintf(spec, sizeof(spec),
		 "driver=writelog,log.driver=memory,log.filename=input,index=,at=%u",
		 at);
	if (platter_image_open(&img, ctx, spec, &opts, NULL))
		return;
	for (int i = 0; i < 8 && offset < platter_image_size(img); i++) {
		count = 16;
		if (platter_image_map(img, offset,
				      platter_image_size(img) - offset,
				      extents, &count, NULL))
			abort();
		offset = extents[count - 1].offset + extents[count - 1].length;
	}
	count = platter_image_size(img) < 65536 ? platter_image_size(img) :
	       65536;
	buf = malloc(count + 1);
	if (count && platter_image_pread(img, buf, count, 0, NULL))
		abort();
	free(buf);
	platter_image_close(img, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct platter_context *ctx;

	memory_set(data, size);
	if (platter_context_new_with(&ctx, drivers, PLT_ARRAY_SIZE(drivers),
				     NULL))
		abort();
	read_log(ctx);
	read_state(ctx, size > 32 ? data[32] % 16 : 0);
	platter_context_free(ctx);
	return 0;
}
