/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Raw images: the file is the disk, or a window of it.
 *
 * The disk is whole sectors: a file whose size is not a multiple of 512 gets
 * a tail of zeros, as with qemu. Writing to the tail grows the file.
 */
#include <inttypes.h>
#include <pthread.h>

#include <platter/job.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "drivers.h"

#define SECTOR 512u

struct raw {
	struct platter_image *file;
	uint64_t offset;	/* of the window, bytes */
	bool fixed;		/* "size" was given */
	pthread_mutex_t grow;
};

static uint64_t file_sectors(const struct raw *s)
{
	return plt_align_up(platter_image_size(s->file), SECTOR);
}

static int set_window(struct platter_image *img, struct raw *s, uint64_t size,
		      struct platter_error *err)
{
	uint64_t there = file_sectors(s);

	if (s->offset > there)
		return plt_err_set(err, -EINVAL, "offset %" PRIu64 " is beyond "
				   "the file's size of %" PRIu64, s->offset,
				   there);
	if (!s->fixed)
		size = there - s->offset;
	if (size % SECTOR)
		return plt_err_set(err, -EINVAL, "size %" PRIu64 " is not a "
				   "multiple of %u", size, SECTOR);
	if (size > there - s->offset)
		return plt_err_set(err, -EINVAL, "offset %" PRIu64 " and size %"
				   PRIu64 " reach beyond the file's size of %"
				   PRIu64, s->offset, size, there);
	platter_image_set_size(img, size);
	return 0;
}

static int raw_open(struct platter_image *img, struct platter_options *opts,
		    struct platter_error *err)
{
	struct raw *s = platter_image_state(img);
	uint64_t size = UINT64_MAX;
	int rc;

	rc = platter_image_open_child(img, "file", opts, NULL,
				      platter_image_flags(img), err);
	if (rc == 0)
		rc = platter_options_size(opts, "offset", &s->offset, err);
	if (rc == 0)
		rc = platter_options_size(opts, "size", &size, err);
	if (rc < 0)
		return rc;
	s->file = platter_image_child(img, "file");
	s->fixed = platter_options_string(opts, "size");
	rc = set_window(img, s, size, err);
	if (rc == 0)
		pthread_mutex_init(&s->grow, NULL);
	return rc;
}

static void raw_close(struct platter_image *img)
{
	struct raw *s = platter_image_state(img);

	pthread_mutex_destroy(&s->grow);
}

static int raw_map(struct platter_image *img, uint64_t offset, uint64_t len,
		   struct platter_map *maps, size_t *count,
		   struct platter_error *err)
{
	const struct raw *s = platter_image_state(img);
	uint64_t end = platter_image_size(s->file);
	uint64_t at = s->offset + offset;

	(void)err;
	*count = 1;
	/* The tail has no bytes, but says where they would be, as qemu does. */
	maps[0] = (struct platter_map) {
		.length = len,
		.kind = at < end ? PLATTER_MAP_DATA : PLATTER_MAP_ZERO,
		.flags = PLATTER_MAP_WRITABLE | PLATTER_MAP_RECURSE,
		.child = s->file,
		.offset = at,
	};
	if (at < end)
		maps[0].length = PLT_MIN(len, end - at);
	return 0;
}

/* Only the tail is not writable in place. */
static int raw_alloc(struct platter_image *img, uint64_t offset, uint64_t len,
		     struct platter_error *err)
{
	struct raw *s = platter_image_state(img);
	uint64_t size;

	(void)offset;
	(void)len;
	PLT_LOCK_SCOPE(&s->grow);
	size = file_sectors(s);
	if (size == platter_image_size(s->file))
		return 0;
	return platter_image_resize(s->file, size, err);
}

static int raw_resize(struct platter_image *img, uint64_t size,
		      struct platter_error *err)
{
	struct raw *s = platter_image_state(img);
	uint64_t end;
	int rc;

	if (s->fixed)
		return plt_err_set(err, -ENOTSUP, "the size is fixed by the "
				   "option \"size\"");
	if (!plt_add_u64(&end, s->offset, size) || end > PLT_OFFSET_MAX)
		return plt_err_set(err, -EFBIG, "offset %" PRIu64 " and size %"
				   PRIu64 " are over the limit of %" PRIu64,
				   s->offset, size, PLT_OFFSET_MAX);
	PLT_LOCK_SCOPE(&s->grow);
	rc = platter_image_resize(s->file, end, err);
	if (rc == 0)
		platter_image_set_size(img, file_sectors(s) - s->offset);
	return rc;
}

/* Holes count as well: not every storage has them. */
static int raw_measure(struct platter_options *opts, struct platter_image *src,
		       uint64_t size, struct platter_measure *out,
		       struct platter_error *err)
{
	(void)opts;
	(void)err;
	out->required = src ? platter_image_size(src) : size;
	out->fully_allocated = out->required;
	return 0;
}

static const struct platter_option raw_options[] = {
	{ "file", "the file or node to read" },
	{ "offset", "bytes of the file before the disk starts (default 0)" },
	{ "size", "bytes of the disk (default: to the end of the file)" },
	{ NULL, NULL }
};

static const struct platter_option raw_create_options[] = {
	{ "size", "size of the disk, in bytes", PLATTER_OPTION_SIZE },
	{ "preallocation", "off, falloc or full (default off)" },
	{ NULL, NULL }
};

static const struct platter_format_ops raw_format = {
	.map = raw_map,
	.alloc = raw_alloc,
	.resize = raw_resize,
};

const struct platter_driver plt_raw_driver = {
	.name = "raw",
	.kind = PLATTER_DRIVER_FORMAT,
	.state_size = sizeof(struct raw),
	.options = raw_options,
	.create_options = raw_create_options,
	.open = raw_open,
	.close = raw_close,
	.measure = raw_measure,
	.format = &raw_format,
};
