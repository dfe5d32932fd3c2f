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
struct platter_progress;

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
#define PLATTER_O_NO_BACKING	(1u << 4)	/* leave the backing file shut */
/*
 * For check: open an image even though it is marked corrupt or its snapshot
 * table is damaged, and leave what opening for writing would mend as it is.
 */
#define PLATTER_O_CHECK		(1u << 5)

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
	const char *snapshot;	/* ID or name of an internal one, or NULL */
};

/*
 * Open what `spec` names: a file name, json:{...}, or (image_opts) a key=value
 * list. On success *out is a node the caller closes. `opts` may be NULL.
 */
int platter_image_open(struct platter_image **out, struct platter_context *ctx,
		       const char *spec, const struct platter_open_options *opts,
		       struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * An image for reading of `count` images, each behind the one before. It takes
 * them over; on error they are closed.
 */
int platter_image_concat(struct platter_image **out,
			 struct platter_context *ctx,
			 struct platter_image *const *images, size_t count,
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

/* What `info` tells beyond size and format. Strings are the node's. */
struct platter_image_facts {
	uint64_t cluster_size;		/* bytes; 0 = it has no clusters */
	uint64_t subcluster_size;	/* ... the same where there are none */
	bool dirty;			/* was not closed cleanly */
	bool encrypted;
	const char *backing_filename;	/* as stored, or NULL */
	const char *backing_format;	/* as stored, or NULL */
};
int platter_image_facts(struct platter_image *img,
			struct platter_image_facts *out,
			struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * The path that the stored backing file name stands for, relative names being
 * relative to the image; the caller frees. NULL with err->code 0: has none.
 */
char *platter_image_backing_path(struct platter_image *img,
				 struct platter_error *err);

/* Read or write all of [offset, offset + len); past the end is -EINVAL. */
int platter_image_pread(struct platter_image *img, void *buf, size_t len,
			uint64_t offset, struct platter_error *err)
	PLATTER_MUST_CHECK;
int platter_image_pwrite(struct platter_image *img, const void *buf, size_t len,
			 uint64_t offset, struct platter_error *err)
	PLATTER_MUST_CHECK;
/*
 * As platter_image_pwrite(), and these bytes are durable when it returns (FUA).
 * Writes that came before need not be: that is platter_image_flush().
 */
int platter_image_pwrite_fua(struct platter_image *img, const void *buf,
			     size_t len, uint64_t offset,
			     struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * Write compressed where the format can; -ENOTSUP where it cannot. `offset`
 * and `len` are multiples of the cluster size but at the end of the image.
 * What does not become smaller is stored as it is.
 */
int platter_image_write_compressed(struct platter_image *img, const void *buf,
				   size_t len, uint64_t offset,
				   struct platter_error *err)
	PLATTER_MUST_CHECK;

#define PLATTER_ZERO_UNMAP	(1u << 0)	/* may punch a hole */
/*
 * Only where it costs less than writing zeros (but for the edges); else
 * -ENOTSUP, and what the range holds is any mixture of before and zeros.
 */
#define PLATTER_ZERO_FAST	(1u << 1)
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

enum platter_preallocation {
	PLATTER_PREALLOC_OFF,
	PLATTER_PREALLOC_METADATA,	/* the format's tables only */
	PLATTER_PREALLOC_FALLOC,	/* and room on the storage */
	PLATTER_PREALLOC_FULL,		/* and zeros written there */
	PLATTER_NR_PREALLOC,
};
/* Parse "off", "metadata", "falloc" or "full"; -EINVAL lists them. */
int platter_preallocation_parse(enum platter_preallocation *out,
				const char *name, struct platter_error *err)
	PLATTER_MUST_CHECK;
/*
 * Give a range that reads as zeros its place in the image, so that writing to
 * it later needs no more room. -ENOTSUP for a mode the format has not got.
 */
int platter_image_preallocate(struct platter_image *img, uint64_t offset,
			      uint64_t len, enum platter_preallocation mode,
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
	/* NULL-terminated "key=value", or NULL; backing_file is one of them. */
	const char *const *options;
	/* No size was given: it is that of the backing file. */
	bool backing_size;
	/* Do not open the backing file; `size` must be given then. */
	bool backing_unsafe;
	/* A regular file that exists is made anew, when all went well. */
	bool replace;
	/* Do not wait for the disk: who goes on writing to it will. */
	bool no_flush;
};
/*
 * Make a new image under `filename`. Without `replace`, a regular file that
 * exists is an error (-EEXIST); a block device must be at least as large as
 * the image.
 */
int platter_image_create(struct platter_context *ctx, const char *filename,
			 const struct platter_create_options *opts,
			 struct platter_error *err) PLATTER_MUST_CHECK;

enum platter_option_type {
	PLATTER_OPTION_STRING,
	PLATTER_OPTION_SIZE,
	PLATTER_OPTION_NUMBER,
	PLATTER_OPTION_BOOL,
};

/* For help, completion and the check for unknown names. */
struct platter_option {
	const char *name;
	const char *help;	/* one line, with the unit and the default */
	enum platter_option_type type;
	const char *def;	/* what is taken when it is not given, or NULL */
};
/*
 * What a format (NULL: raw) can be created with, or amended; the last one has
 * no name. NULL when it is unknown or has none.
 */
const struct platter_option *platter_create_option_table(
	struct platter_context *ctx, const char *format);
const struct platter_option *platter_amend_option_table(
	struct platter_context *ctx, const char *format);

/* Drop the image's own data, so that it shows its backing file's again. */
int platter_image_make_empty(struct platter_image *img,
			     struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Change the stored name (NULL: none) and format (NULL: none) of the backing
 * file, and nothing else: the open child "backing" stays.
 */
int platter_image_change_backing(struct platter_image *img,
				 const char *filename, const char *format,
				 struct platter_error *err) PLATTER_MUST_CHECK;
/* Change creation options of an existing image: "key=value", NULL-ended. */
int platter_image_amend(struct platter_image *img,
			const char *const *options, bool force,
			struct platter_progress *progress,
			struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- checking ---- */

enum platter_repair {
	PLATTER_REPAIR_NONE,
	PLATTER_REPAIR_LEAKS,	/* give back what nothing refers to */
	PLATTER_REPAIR_ALL,
};

/* One damaged place. */
struct platter_check_place {
	const char *kind;	/* a short name: "refcount-leak", ... */
	bool leak;		/* else a corruption, or a failed check */
	bool fixed;
	uint64_t offset;	/* in the file, bytes; UINT64_MAX = none */
	uint64_t guest_offset;	/* UINT64_MAX = none */
	const char *text;	/* one line for people */
};

struct platter_check_result {
	uint64_t check_errors;	/* what could not be read, and so not checked */
	uint64_t corruptions, leaks;	/* left */
	uint64_t corruptions_fixed, leaks_fixed;
	uint64_t image_end_offset;	/* bytes in use; 0 = unknown */
	uint64_t total_clusters, allocated_clusters;
	uint64_t fragmented_clusters, compressed_clusters;
};

struct platter_check_options {
	enum platter_repair repair;	/* needs an image open for writing */
	/* Told of every place, or NULL. */
	void (*found)(void *arg, const struct platter_check_place *place);
	void *arg;
	struct platter_progress *progress;	/* or NULL */
};
/*
 * Check an image opened with PLATTER_O_CHECK. Damage is no error: the result
 * counts it. -ENOTSUP when the format has nothing to check.
 */
int platter_image_check(struct platter_image *img,
			const struct platter_check_options *opts,
			struct platter_check_result *result,
			struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- internal snapshots ---- */

struct platter_snapshot {
	const char *id;
	const char *name;
	uint64_t vm_state_size;		/* bytes */
	uint32_t date_sec, date_nsec;	/* since 1970 */
	uint64_t vm_clock_nsec;
	uint64_t icount;		/* UINT64_MAX = none */
	uint64_t disk_size;		/* bytes */
};
/* The node's own table, good until the next change. None is *count = 0. */
int platter_image_snapshots(struct platter_image *img,
			    const struct platter_snapshot **list,
			    size_t *count, struct platter_error *err)
	PLATTER_MUST_CHECK;
/*
 * As qemu-img snapshot -c, -a, -d: create takes a name, which may be taken
 * already (IDs differ); the others take a name or an ID. Where both would fit,
 * apply takes the ID and delete the name.
 * Other I/O on the node waits.
 */
int platter_image_snapshot_create(struct platter_image *img, const char *name,
				  struct platter_error *err)
	PLATTER_MUST_CHECK;
int platter_image_snapshot_apply(struct platter_image *img, const char *name,
				 struct platter_error *err)
	PLATTER_MUST_CHECK;
int platter_image_snapshot_delete(struct platter_image *img, const char *name,
				  struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- persistent bitmaps ---- */

struct platter_bitmap_info {
	const char *name;
	uint64_t granularity;	/* bytes */
	bool in_use;		/* was not stored: cannot be relied on */
	bool enabled;		/* "auto": records writes */
};
/* The node's own, good until the next change. None is *count = 0. */
int platter_image_bitmaps(struct platter_image *img,
			  const struct platter_bitmap_info **list,
			  size_t *count, struct platter_error *err)
	PLATTER_MUST_CHECK;

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
