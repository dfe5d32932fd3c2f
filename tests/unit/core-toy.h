/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Drivers made for testing the core.
 *
 * toy: a format of 4 KiB clusters whose table is the option "layout", one
 *	letter a cluster: D data at the same place of `file`, Z zero, '.' not
 *	allocated (the `backing` image or zeros), S special (reads as 'S').
 *	Writing makes a D of it. With "solid" it cannot.
 * pass: a filter with nothing of its own.
 * upper: a filter that changes what is read and counts what is written.
 * mem: a protocol in memory that can only read and write.
 */
#ifndef CORE_TOY_H
#define CORE_TOY_H

#include "core-test.h"

#include "base/error.h"

#define CLUSTER 4096u

struct toy {
	pthread_mutex_t lock;
	char layout[64];
	bool solid;
};

static int toy_open(struct platter_image *img, struct platter_options *opts,
		    struct platter_error *err)
{
	const char *layout = platter_options_string(opts, "layout");
	struct toy *s = platter_image_state(img);
	unsigned int flags = platter_image_flags(img);
	int rc;

	rc = platter_image_open_child(img, "file", opts, NULL, flags, err);
	if (rc < 0)
		return rc;
	rc = platter_image_open_child(img, "backing", opts, NULL,
				      flags & ~PLATTER_O_RDWR, err);
	if (rc < 0 && rc != -ENODATA)
		return rc;
	snprintf(s->layout, sizeof(s->layout), "%s", layout ? layout : "");
	platter_image_set_size(img, strlen(s->layout) * CLUSTER);
	pthread_mutex_init(&s->lock, NULL);
	return platter_options_bool(opts, "solid", &s->solid, err);
}

static int toy_map(struct platter_image *img, uint64_t offset, uint64_t len,
		   struct platter_map *maps, size_t *count,
		   struct platter_error *err)
{
	struct toy *s = platter_image_state(img);
	size_t n = 0;

	(void)err;
	PLT_LOCK_SCOPE(&s->lock);
	for (; n < *count && len; n++) {
		struct platter_map *m = &maps[n];
		uint64_t in = offset % CLUSTER;

		*m = (struct platter_map) {
			.length = PLT_MIN(len, CLUSTER - in),
			.kind = PLATTER_MAP_ZERO,
		};
		switch (s->layout[offset / CLUSTER]) {
		case 'D':
			m->kind = PLATTER_MAP_DATA;
			m->flags = PLATTER_MAP_WRITABLE;
			m->child = platter_image_child(img, "file");
			m->offset = offset;
			break;
		case 'S':
			m->kind = PLATTER_MAP_SPECIAL;
			break;
		case '.':
			m->kind = PLATTER_MAP_BACKING;
			m->child = platter_image_child(img, "backing");
			break;
		case '!':	/* a broken driver */
			m->length = len + 1;
			break;
		}
		offset += m->length;
		len -= PLT_MIN(len, m->length);
	}
	*count = n;
	return 0;
}

static int toy_read_special(struct platter_image *img, void *buf, size_t len,
			    uint64_t offset, struct platter_error *err)
{
	(void)img;
	(void)offset;
	(void)err;
	memset(buf, 'S', len);
	return 0;
}

/* Copy-on-write of one cluster. */
static int toy_alloc(struct platter_image *img, uint64_t offset, uint64_t len,
		     struct platter_error *err)
{
	struct platter_image *file = platter_image_child(img, "file");
	struct toy *s = platter_image_state(img);
	uint64_t start = offset - offset % CLUSTER;
	char buf[CLUSTER];
	int rc;

	(void)len;
	if (s->solid)
		return plt_err_set(err, -ENOSPC, "the toy is solid");
	rc = platter_image_pread(img, buf, CLUSTER, start, err);
	if (rc == 0 && platter_image_size(file) < start + CLUSTER)
		rc = platter_image_resize(file, start + CLUSTER, err);
	if (rc == 0)
		rc = platter_image_pwrite(file, buf, CLUSTER, start, err);
	if (rc < 0)
		return rc;
	PLT_LOCK_SCOPE(&s->lock);
	s->layout[start / CLUSTER] = 'D';
	return 0;
}

static const struct platter_format_ops toy_ops = {
	.map = toy_map,
	.alloc = toy_alloc,
	.read_special = toy_read_special,
};

static const struct platter_driver toy_driver = {
	.name = "toy",
	.kind = PLATTER_DRIVER_FORMAT,
	.state_size = sizeof(struct toy),
	.open = toy_open,
	.format = &toy_ops,
};

static const struct platter_driver pass_driver = {
	.name = "pass",
	.kind = PLATTER_DRIVER_FILTER,
};

struct upper {
	_Atomic uint64_t written;
};

static int upper_pread(struct platter_image *img, void *buf, size_t len,
		       uint64_t offset, struct platter_error *err)
{
	char *p = buf;
	int rc;

	rc = platter_image_pread(platter_image_child(img, "file"), buf, len,
				 offset, err);
	for (size_t i = 0; rc == 0 && i < len; i++)
		p[i] = p[i] >= 'a' && p[i] <= 'z' ? p[i] - 32 : p[i];
	return rc;
}

static int upper_pwrite(struct platter_image *img, const void *buf, size_t len,
			uint64_t offset, struct platter_error *err)
{
	struct upper *s = platter_image_state(img);

	s->written += len;
	return platter_image_pwrite(platter_image_child(img, "file"), buf, len,
				    offset, err);
}

static const struct platter_io_ops upper_ops = {
	.pread = upper_pread,
	.pwrite = upper_pwrite,
};

static const struct platter_driver upper_driver = {
	.name = "upper",
	.kind = PLATTER_DRIVER_FILTER,
	.state_size = sizeof(struct upper),
	.io = &upper_ops,
};

#define MEM_SIZE (1u << 20)

struct mem {
	char data[MEM_SIZE];
	size_t largest;		/* write, in bytes */
	bool broken;
};

static int mem_open(struct platter_image *img, struct platter_options *opts,
		    struct platter_error *err)
{
	struct mem *s = platter_image_state(img);

	platter_image_set_size(img, MEM_SIZE);
	memset(s->data, 'm', MEM_SIZE);
	return platter_options_bool(opts, "broken", &s->broken, err);
}

static int mem_pread(struct platter_image *img, void *buf, size_t len,
		     uint64_t offset, struct platter_error *err)
{
	struct mem *s = platter_image_state(img);

	if (s->broken)
		return plt_err_set(err, -EIO, "the memory is broken");
	memcpy(buf, s->data + offset, len);
	return 0;
}

static int mem_pwrite(struct platter_image *img, const void *buf, size_t len,
		      uint64_t offset, struct platter_error *err)
{
	struct mem *s = platter_image_state(img);

	if (s->broken)
		return plt_err_set(err, -EIO, "the memory is broken");
	s->largest = PLT_MAX(s->largest, len);
	memcpy(s->data + offset, buf, len);
	return 0;
}

static const struct platter_io_ops mem_ops = {
	.pread = mem_pread,
	.pwrite = mem_pwrite,
};

static const struct platter_driver mem_driver = {
	.name = "mem",
	.kind = PLATTER_DRIVER_PROTOCOL,
	.state_size = sizeof(struct mem),
	.open = mem_open,
	.io = &mem_ops,
};

/* The built-in drivers and these. */
static inline struct platter_context *new_toy_context(void)
{
	static const struct platter_driver *const toys[] = {
		&toy_driver, &pass_driver, &upper_driver, &mem_driver,
	};
	static const struct platter_driver *table[64];
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_context *builtin = new_context(), *ctx;
	size_t n = 0;

	for (size_t i = 0; i < builtin->nr_drivers; i++)
		table[n++] = builtin->drivers[i];
	for (size_t i = 0; i < PLT_ARRAY_SIZE(toys); i++)
		table[n++] = toys[i];
	platter_context_free(builtin);
	assert_ok(platter_context_new_with(&ctx, table, n, &err), &err);
	return ctx;
}

static inline struct platter_image *open_toy(struct platter_context *ctx,
					     const char *spec, bool rdwr)
{
	struct platter_open_options opts = {
		.image_opts = true,
		.flags = rdwr ? PLATTER_O_RDWR : 0,
	};

	return open_with(ctx, spec, &opts);
}

#endif
