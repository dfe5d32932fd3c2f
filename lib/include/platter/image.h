/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images: opening, reading, writing and mapping a disk image of any format.
 *
 * Offsets and lengths are bytes of the guest disk unless a name says sectors.
 * An open image is a node: a driver with named children. Any number of threads
 * may call the I/O functions of one node at once.
 */
#ifndef PLATTER_IMAGE_H
#define PLATTER_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <platter/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct platter_context;
struct platter_image;
struct platter_printer;

/* Make a context that knows every built-in driver. */
int platter_context_new(struct platter_context **out, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Every image and log opened under `ctx` must be closed before. NULL is ok. */
void platter_context_free(struct platter_context *ctx);

/* The names of the built-in drivers, NULL-terminated, owned by the context. */
const char *const *platter_context_formats(struct platter_context *ctx);

/* Which files an image may name and have opened on its behalf. */
enum platter_follow {
	PLATTER_FOLLOW_BENEATH,	/* in or below the image's own directory */
	PLATTER_FOLLOW_NONE,	/* nothing but what the user named */
	PLATTER_FOLLOW_ANY,	/* anything that is a file or block device */
};
void platter_context_set_follow(struct platter_context *ctx,
				enum platter_follow follow);

#define PLATTER_O_RDWR		(1u << 0)	/* open for writing */
#define PLATTER_O_SHARE		(1u << 1)	/* take no image locks (-U) */
#define PLATTER_O_NO_IO		(1u << 2)	/* for `info`: no guest data */
/*
 * Write even though the format was only guessed to be raw. Without it, opening
 * a probed raw image for writing is an error: its first sector belongs to the
 * guest, who could have made it look like another format.
 */
#define PLATTER_O_PROBED_RAW	(1u << 3)

/* qemu's cache modes; they decide O_DIRECT and what a flush does. */
enum platter_cache {
	PLATTER_CACHE_WRITEBACK,	/* page cache, flush is fdatasync */
	PLATTER_CACHE_NONE,		/* O_DIRECT, flush is fdatasync */
	PLATTER_CACHE_WRITETHROUGH,	/* page cache, every write flushed */
	PLATTER_CACHE_DIRECTSYNC,	/* O_DIRECT, every write flushed */
	PLATTER_CACHE_UNSAFE,		/* page cache, flush does nothing */
};
/* Parse "none", "off", "writeback", ...; -EINVAL lists the names. */
int platter_cache_parse(enum platter_cache *out, const char *name,
			struct platter_error *err) PLATTER_MUST_CHECK;

struct platter_open_options {
	const char *format;	/* driver name, NULL = probe */
	bool image_opts;	/* the spec is driver=...,key=value,... */
	unsigned int flags;	/* PLATTER_O_* */
	enum platter_cache cache;
};

/*
 * Open what `spec` names: a file name, json:{...}, or (image_opts) a key=value
 * list. On success *out is a node the caller closes. `opts` may be NULL.
 */
int platter_image_open(struct platter_image **out, struct platter_context *ctx,
		       const char *spec, const struct platter_open_options *opts,
		       struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * Write back what the node holds and free it, whatever happens. The error is
 * that of the write-back; a read-only image always returns 0. NULL is ok.
 */
int platter_image_close(struct platter_image *img, struct platter_error *err);

uint64_t platter_image_size(const struct platter_image *img);	/* bytes */
const char *platter_image_format(const struct platter_image *img);
/* The spec it was opened by, as a person would type it. */
const char *platter_image_name(const struct platter_image *img);
/* Bytes the image occupies on its storage, or -1 where that is unknown. */
int64_t platter_image_allocated(struct platter_image *img);
bool platter_image_writable(const struct platter_image *img);
/* The child of that role ("file", "backing", "log", "base"), or NULL. */
struct platter_image *platter_image_child(struct platter_image *img,
					  const char *role);
/* Print the driver's own facts as the members of an open map. */
int platter_image_describe(struct platter_image *img,
			   struct platter_printer *out,
			   struct platter_error *err) PLATTER_MUST_CHECK;

/* Read or write all of [offset, offset + len); past the end is -EINVAL. */
int platter_image_pread(struct platter_image *img, void *buf, size_t len,
			uint64_t offset, struct platter_error *err)
	PLATTER_MUST_CHECK;
int platter_image_pwrite(struct platter_image *img, const void *buf, size_t len,
			 uint64_t offset, struct platter_error *err)
	PLATTER_MUST_CHECK;

#define PLATTER_ZERO_UNMAP	(1u << 0)	/* may punch a hole */
/* Make the range read as zeros. */
int platter_image_zero(struct platter_image *img, uint64_t offset,
		       uint64_t len, unsigned int flags,
		       struct platter_error *err) PLATTER_MUST_CHECK;
/* Give the range's space back; what it reads as afterwards is undefined. */
int platter_image_discard(struct platter_image *img, uint64_t offset,
			  uint64_t len, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Make every write completed before this call durable. */
int platter_image_flush(struct platter_image *img, struct platter_error *err)
	PLATTER_MUST_CHECK;
int platter_image_resize(struct platter_image *img, uint64_t size,
			 struct platter_error *err) PLATTER_MUST_CHECK;

#define PLATTER_EXTENT_DATA	(1u << 0)	/* has stored bytes */
#define PLATTER_EXTENT_ZERO	(1u << 1)	/* reads as zeros */
#define PLATTER_EXTENT_PRESENT	(1u << 2)	/* some layer allocates it */
#define PLATTER_EXTENT_OFFSET	(1u << 3)	/* host_offset is valid */
#define PLATTER_EXTENT_COMPRESSED (1u << 4)

struct platter_extent {
	uint64_t offset;	/* guest bytes */
	uint64_t length;
	unsigned int flags;	/* PLATTER_EXTENT_* */
	unsigned int depth;	/* 0 = the image itself, 1 = its backing, ... */
	uint64_t host_offset;	/* where in `file` the stored bytes are */
	struct platter_image *file;	/* protocol node, or NULL */
};

/*
 * Describe [offset, offset + len) as consecutive extents. `*count` is the room
 * in `ext` on entry and the number filled on return; at least one is filled,
 * and the last may end before the range does: call again from there.
 * Neighbours of one kind are merged.
 */
int platter_image_map(struct platter_image *img, uint64_t offset, uint64_t len,
		      struct platter_extent *ext, size_t *count,
		      struct platter_error *err) PLATTER_MUST_CHECK;

struct platter_create_options {
	const char *format;		/* driver name; "raw" when NULL */
	uint64_t size;			/* bytes */
	const char *const *options;	/* NULL-terminated "key=value", or NULL */
};
/*
 * Make a new image under `filename`. A regular file that exists is an error
 * (-EEXIST); a block device must be at least as large as the image.
 */
int platter_image_create(struct platter_context *ctx, const char *filename,
			 const struct platter_create_options *opts,
			 struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * "1M", "512", "1.5G", "0x200", suffixes b k M G T P E (powers of 1024), as
 * qemu-img reads a size. -EINVAL or -ERANGE with a message.
 */
int platter_size_parse(uint64_t *out, const char *text,
		       struct platter_error *err) PLATTER_MUST_CHECK;
/* "OFFSET+LENGTH" or "OFFSET" (length is then `unit`), sizes as above. */
int platter_range_parse(uint64_t *offset, uint64_t *length, uint64_t unit,
			const char *text, struct platter_error *err)
	PLATTER_MUST_CHECK;
#define PLATTER_SIZE_TEXT_MAX 32
/* qemu-img's form: "%0.3g" and a unit, e.g. "1.5 GiB". Returns `buf`. */
char *platter_size_text(char buf[PLATTER_SIZE_TEXT_MAX], uint64_t bytes);

#ifdef __cplusplus
}
#endif
#endif
