/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The driver interface, for authors of formats, protocols and filters.
 *
 * Three kinds share one description:
 *  - a protocol moves bytes of a file or a server (struct platter_io_ops);
 *  - a format says where guest bytes are, and the core moves them
 *    (struct platter_format_ops);
 *  - a filter sits on one child named "file" and may change any I/O call; a
 *    NULL slot passes through to that child (struct platter_io_ops).
 *
 * Not a stable interface: it may change with every release.
 */
#ifndef PLATTER_SYS_DRIVER_H
#define PLATTER_SYS_DRIVER_H

#include <platter/image.h>

struct platter_driver;
struct platter_options;
struct platter_printer;
struct platter_record_stats;

/* ---- options: the key=value tree a node is opened or created with ---- */

/* A string option, or NULL. Reading an option marks it as known. */
const char *platter_options_string(struct platter_options *opts,
				   const char *key);
/* Return 0 and leave *out alone when the key is absent. */
int platter_options_size(struct platter_options *opts, const char *key,
			 uint64_t *out, struct platter_error *err)
	PLATTER_MUST_CHECK;
int platter_options_bool(struct platter_options *opts, const char *key,
			 bool *out, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- nodes, as a driver sees its own ---- */

/* The driver's state_size bytes, zeroed before open. */
void *platter_image_state(const struct platter_image *img);
struct platter_context *platter_image_context(const struct platter_image *img);
/*
 * Number a request as it is issued, from 1: one order for all the nodes of a
 * context. Never the same twice.
 */
uint64_t platter_context_next_issue(struct platter_context *ctx);
unsigned int platter_image_flags(const struct platter_image *img);
enum platter_cache platter_image_cache(const struct platter_image *img);
/* Set by open and after a resize. */
void platter_image_set_size(struct platter_image *img, uint64_t bytes);
/* What info prints as the file name; copied. */
int platter_image_set_name(struct platter_image *img, const char *name,
			   struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * Open the child `role` from the node's options: a file name, or a nested
 * tree. `format` is used where the options name no driver: NULL probes.
 * `flags` are PLATTER_O_*. The node owns the child. -ENODATA (without a
 * message) when the options have no such child. The primary child of a format
 * is a protocol node unless its options or `format` name another driver.
 */
int platter_image_open_child(struct platter_image *img, const char *role,
			     struct platter_options *opts, const char *format,
			     unsigned int flags, struct platter_error *err)
	PLATTER_MUST_CHECK;
/*
 * Open a file that the image's own metadata names, as child `role`, if the
 * gate allows it. The name is taken literally: no URI, no json:.
 */
int platter_image_open_named(struct platter_image *img, const char *role,
			     const char *filename, const char *format,
			     unsigned int flags, struct platter_error *err)
	PLATTER_MUST_CHECK;

/*
 * Wait until no I/O is under way on the node, and keep new I/O out until
 * leave(). For a flush that gives clusters back: whoever has looked up where
 * they are is done with them then. Not from within an I/O callback.
 */
void platter_image_enter_alone(struct platter_image *img);
void platter_image_leave_alone(struct platter_image *img);
/*
 * As platter_image_pread(), from within an I/O callback of the same node: the
 * plain one would wait for itself. Copy-on-write reads the old bytes with it.
 */
int platter_image_pread_inside(struct platter_image *img, void *buf,
			       size_t len, uint64_t offset,
			       struct platter_error *err) PLATTER_MUST_CHECK;
/* And the same for writing. */
int platter_image_pwrite_inside(struct platter_image *img, const void *buf,
				size_t len, uint64_t offset,
				struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * From within an I/O callback: flush this node as soon as the call is done, for
 * a driver that has gathered as much as it wants to hold.
 */
void platter_image_want_flush(struct platter_image *img);
/*
 * A file opened with PLATTER_O_NO_IO takes no image lock, so that `info` looks
 * at a raw one that is in use. A driver that reads metadata from its file takes
 * the lock with this.
 */
int platter_image_lock(struct platter_image *file, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- where bytes are ---- */

enum platter_map_kind {
	PLATTER_MAP_DATA,	/* at `offset` of `child` */
	PLATTER_MAP_ZERO,	/* reads as zeros */
	PLATTER_MAP_BACKING,	/* same guest offset of `child`; NULL = zeros */
	PLATTER_MAP_SPECIAL,	/* read through read_special (compressed, ...) */
};

#define PLATTER_MAP_WRITABLE	(1u << 0)	/* may be overwritten in place */
/*
 * Ask the child too: it may know that the bytes are a hole. For drivers whose
 * data is the child's (raw); not for ones that only allocate written data.
 */
#define PLATTER_MAP_RECURSE	(1u << 1)
/*
 * Ask the child which of the bytes are a hole: they are allocated, and known
 * to be zeros. For data that may have been allocated and never written.
 */
#define PLATTER_MAP_HOLES	(1u << 2)

struct platter_map {
	uint64_t length;		/* bytes, > 0 */
	enum platter_map_kind kind;
	unsigned int flags;
	struct platter_image *child;
	/*
	 * DATA: bytes into the child. ZERO with a child: where its space is
	 * reserved, for `map`; it is not read.
	 */
	uint64_t offset;
	/*
	 * BACKING: the child with space for it at `offset`, which is shown
	 * where nothing below has the bytes; or NULL.
	 */
	struct platter_image *reserved;
};

/* ---- the operations ---- */

/*
 * Ranges handed to these lie inside the node and are never empty. pread and
 * pwrite move everything or fail.
 */
struct platter_io_ops {
	int (*pread)(struct platter_image *img, void *buf, size_t len,
		     uint64_t offset, struct platter_error *err);
	int (*pwrite)(struct platter_image *img, const void *buf, size_t len,
		      uint64_t offset, struct platter_error *err);
	/*
	 * The same, durable when it returns. NULL: pwrite and flush, or handed
	 * on by a filter that has no pwrite either.
	 */
	int (*pwrite_fua)(struct platter_image *img, const void *buf,
			  size_t len, uint64_t offset,
			  struct platter_error *err);
	/* pwrite makes the file longer where it ends too early. */
	bool pwrite_grows;
	/* -ENOTSUP without a message: the core writes zeros instead. */
	int (*zero)(struct platter_image *img, uint64_t offset, uint64_t len,
		    unsigned int flags, struct platter_error *err);
	/* -ENOTSUP without a message: the core does nothing. */
	int (*discard)(struct platter_image *img, uint64_t offset,
		       uint64_t len, struct platter_error *err);
	int (*flush)(struct platter_image *img, struct platter_error *err);
	int (*resize)(struct platter_image *img, uint64_t size,
		      struct platter_error *err);
	/*
	 * One extent at `offset`: DATA or ZERO, at most `len` long, cut at
	 * the next change. NULL = all data, and of a filter what its child
	 * says; so is -ENOTSUP of a filter, without a message.
	 */
	int (*extent)(struct platter_image *img, uint64_t offset, uint64_t len,
		      struct platter_extent *extent,
		      struct platter_error *err);
	/* Bytes occupied, or -1. NULL = unknown. */
	int64_t (*allocated)(struct platter_image *img);
	/* Make a node that was opened for reading writable, locks and all. */
	int (*reopen_rw)(struct platter_image *img, struct platter_error *err);
	/*
	 * Copy inside the kernel between two nodes of drivers with this same
	 * function. *copied is how far it came, 0 < *copied <= len.
	 * -ENOTSUP without a message: read and write instead.
	 */
	int (*copy_range)(struct platter_image *src, uint64_t src_offset,
			  struct platter_image *dst, uint64_t dst_offset,
			  uint64_t len, uint64_t *copied,
			  struct platter_error *err);
	/* See platter_image_lock(); NULL: there is no such lock. */
	int (*lock)(struct platter_image *img, struct platter_error *err);
};

/* Of a filter that logs what is written through it: <platter/record.h>. */
struct platter_record_ops {
	/* `issue` from platter_context_next_issue(); *entry its number. */
	int (*mark)(struct platter_image *img, const char *text, size_t len,
		    uint64_t issue, uint64_t *entry,
		    struct platter_error *err);
	int (*pause)(struct platter_image *img, struct platter_error *err);
	int (*resume)(struct platter_image *img, struct platter_error *err);
	int (*end)(struct platter_image *img, struct platter_error *err);
	int (*stats)(struct platter_image *img,
		     struct platter_record_stats *out,
		     struct platter_error *err);
};

struct platter_format_ops {
	/*
	 * Fill up to *count maps that follow each other from `offset` on, at
	 * least one; set *count. They may end early, never reach past
	 * offset + len.
	 */
	int (*map)(struct platter_image *img, uint64_t offset, uint64_t len,
		   struct platter_map *maps, size_t *count,
		   struct platter_error *err);
	/* Make a range writable in place; map must then say so. */
	int (*alloc)(struct platter_image *img, uint64_t offset, uint64_t len,
		     struct platter_error *err);
	int (*read_special)(struct platter_image *img, void *buf, size_t len,
			    uint64_t offset, struct platter_error *err);
	/*
	 * Write a range whose map is not writable in place, instead of alloc:
	 * allocate, write the data, then make it known. len > 0; may do
	 * less than len: *done is how much, > 0.
	 */
	int (*write)(struct platter_image *img, const void *buf, size_t len,
		     uint64_t offset, size_t *done, struct platter_error *err);
	/*
	 * Compress one cluster of data (the last may be shorter) into `out`,
	 * which has room for a cluster; *out_len is the result's length. 1:
	 * it does not become smaller. Touches nothing but its arguments, so
	 * many threads may compress at once.
	 */
	int (*compress)(struct platter_image *img, const void *in, size_t len,
			void *out, size_t *out_len, struct platter_error *err);
	/* Store what compress made of the cluster at `offset`. */
	int (*write_compressed)(struct platter_image *img, const void *data,
				size_t len, uint64_t offset,
				struct platter_error *err);
	/* Told of every range that was written, zeroed or discarded. */
	void (*written)(struct platter_image *img, uint64_t offset,
			uint64_t len);
	/* NULL: handed to the primary child where the map is writable. */
	int (*zero)(struct platter_image *img, uint64_t offset, uint64_t len,
		    unsigned int flags, struct platter_error *err);
	int (*discard)(struct platter_image *img, uint64_t offset,
		       uint64_t len, struct platter_error *err);
	/* NULL: flushes every child that is open for writing. */
	int (*flush)(struct platter_image *img, struct platter_error *err);
	int (*resize)(struct platter_image *img, uint64_t size,
		      struct platter_error *err);

	/*
	 * NULL: the range is handed to where the map says it is, and there are
	 * no tables. Runs alone.
	 */
	int (*preallocate)(struct platter_image *img, uint64_t offset,
			   uint64_t len, enum platter_preallocation mode,
			   struct platter_error *err);

	/*
	 * The node is about to be closed, is writable, and has been flushed:
	 * write what is to be written when nothing more will come.
	 */
	int (*finish)(struct platter_image *img, struct platter_error *err);

	/*
	 * Below: see <platter/image.h>. NULL is -ENOTSUP, or none. Those that
	 * change the image run alone: no I/O on the node is under way.
	 */
	int (*facts)(struct platter_image *img,
		     struct platter_image_facts *out,
		     struct platter_error *err);
	/* The node was opened for reading and its file has become writable. */
	int (*reopen_rw)(struct platter_image *img, struct platter_error *err);
	int (*make_empty)(struct platter_image *img,
			  struct platter_error *err);
	int (*change_backing)(struct platter_image *img, const char *filename,
			      const char *format, struct platter_error *err);
	int (*amend)(struct platter_image *img, struct platter_options *opts,
		     bool force, struct platter_progress *progress,
		     struct platter_error *err);
	int (*check)(struct platter_image *img,
		     const struct platter_check_options *opts,
		     struct platter_check_result *result,
		     struct platter_error *err);
	int (*snapshots)(struct platter_image *img,
			 const struct platter_snapshot **list, size_t *count,
			 struct platter_error *err);
	int (*snapshot_create)(struct platter_image *img, const char *name,
			       struct platter_error *err);
	int (*snapshot_apply)(struct platter_image *img, const char *name,
			      struct platter_error *err);
	int (*snapshot_delete)(struct platter_image *img, const char *name,
			       struct platter_error *err);
	int (*bitmaps)(struct platter_image *img,
		       const struct platter_bitmap_info **list, size_t *count,
		       struct platter_error *err);
	/*
	 * The bits of a stored bitmap, one per granularity, least significant
	 * first; the caller frees *bits. A bitmap in use is -EUCLEAN.
	 */
	int (*bitmap_read)(struct platter_image *img, const char *name,
			   uint8_t **bits, size_t *len,
			   struct platter_error *err);
	/* Store a new bitmap with these bits; -EEXIST when the name is taken. */
	int (*bitmap_add)(struct platter_image *img,
			  const struct platter_bitmap_info *info,
			  const uint8_t *bits, size_t len,
			  struct platter_error *err);
};

/* What an image would need; see platter_measure(). */
struct platter_measure;

/* Where a new image goes that is written from front to back. */
struct platter_sink {
	/* The next bytes; zeros when `buf` is NULL. */
	int (*write)(struct platter_sink *sink, const void *buf, size_t len,
		     struct platter_error *err);
	/*
	 * Read the source, many threads at once; `data` gets what is not zeros
	 * by the map, in ascending order and never from two threads at once.
	 */
	int (*scan)(struct platter_sink *sink,
		    int (*data)(void *arg, uint64_t offset, const void *buf,
				size_t len, struct platter_error *err),
		    void *arg, struct platter_error *err);
};

enum platter_driver_kind {
	PLATTER_DRIVER_PROTOCOL,
	PLATTER_DRIVER_FORMAT,
	PLATTER_DRIVER_FILTER,
};

/* `len` bytes at `offset` (negative: from the end) that mark a format. */
struct platter_magic {
	const char *bytes;
	size_t len;
	int64_t offset;
};

struct platter_driver {
	const char *name;
	const char *const *aliases;	/* NULL-terminated, or NULL */
	enum platter_driver_kind kind;
	const char *primary;	/* role a file name stands for; NULL = "file" */
	size_t state_size;
	const struct platter_magic *magics;	/* formats: any one matches */
	size_t nr_magics;
	const struct platter_option *options;	/* for open */
	const struct platter_option *create_options;
	const struct platter_option *amend_options;
	/*
	 * Confirm a magic. 0 = it is this format, 1 = it is not. Only looks
	 * at the child, which is open already. NULL = the magic is enough.
	 */
	int (*verify)(struct platter_image *file);
	/* Protocols: true if this file name is this driver's to open. */
	bool (*claims)(const char *filename);
	/* One that fails frees what it made; close is not called then. */
	int (*open)(struct platter_image *img, struct platter_options *opts,
		    struct platter_error *err);
	void (*close)(struct platter_image *img);
	int (*describe)(struct platter_image *img, struct platter_printer *out,
			struct platter_error *err);
	/* Protocols: make a file. Formats: write metadata into `file`. */
	int (*create)(struct platter_context *ctx, const char *filename,
		      uint64_t size, struct platter_options *opts,
		      struct platter_error *err);
	/*
	 * Formats: the bytes a new image of `size` with these creation options
	 * would take, holding the data of `src` (NULL: empty).
	 */
	int (*measure)(struct platter_options *opts, struct platter_image *src,
		       uint64_t size, struct platter_measure *out,
		       struct platter_error *err);
	/* Formats: write a new image with the content of `src`. */
	int (*stream)(struct platter_sink *sink, struct platter_image *src,
		      struct platter_options *opts, struct platter_error *err);
	const struct platter_io_ops *io;	/* protocols and filters */
	const struct platter_format_ops *format;	/* formats */
	const struct platter_record_ops *record;	/* filters */
};

/* A context with a driver table of one's own, tried in that order. */
int platter_context_new_with(struct platter_context **out,
			     const struct platter_driver *const *drivers,
			     size_t count, struct platter_error *err)
	PLATTER_MUST_CHECK;

#endif
