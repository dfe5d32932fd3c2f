/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The core's own view of nodes and contexts.
 *
 * Only lib/core and the layers above it inside the library include this;
 * drivers use <platter/sys/driver.h>.
 */
#ifndef PLT_CORE_CORE_H
#define PLT_CORE_CORE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <platter/image.h>
#include <platter/sys/driver.h>

struct platter_progress;

/* What an image is when no magic matches; the table must have it. */
#define PLT_FORMAT_FALLBACK	"raw"

/* Limits; each is checked before anything is allocated. */
#define PLT_MAX_DEPTH		64	/* nodes below one another */
#define PLT_MAX_CHILDREN	64	/* of one node */

struct plt_child {
	char role[32];
	struct platter_image *img;
};

/*
 * A node. Immutable once open except `size`, which is atomic so that a resize
 * does not race with readers; drivers guard their own state.
 *
 * `io` is held for reading by each I/O call on a format node from looking up
 * where bytes are until they have been moved, and for writing by what changes
 * the image as a whole, or gives places back that a call may have looked up.
 */
struct platter_image {
	struct platter_context *ctx;
	const struct platter_driver *drv;
	void *state;			/* drv->state_size bytes */
	char *name;			/* for messages */
	_Atomic uint64_t size;		/* bytes */
	unsigned int flags;		/* PLATTER_O_* */
	enum platter_cache cache;
	bool probed;			/* the format was guessed */
	unsigned int depth;		/* below how many nodes */
	struct plt_child *children;
	size_t nr_children, room;
	bool opened;			/* drv->open succeeded */
	pthread_rwlock_t io;
	_Atomic bool want_flush;	/* the driver asked for one */
	/* While opening only. */
	int fd;				/* opened by the gate, or -1 */
	struct platter_image *inner;	/* probed; becomes the primary child */
	bool child_failed;		/* a child's error is named already */
};

struct platter_context {
	const struct platter_driver *const *drivers;
	size_t nr_drivers;
	const char **names;		/* of `drivers`, NULL-terminated */
	enum platter_follow follow;
	_Atomic uint64_t issued;	/* platter_context_next_issue() */
};

const struct platter_driver *plt_driver_find(const struct platter_context *ctx,
					     const char *name);
/* The protocol driver that opens this plain file name. */
const struct platter_driver *plt_driver_claiming(
	const struct platter_context *ctx, const char *filename);

/* The O_DIRECT and O_DSYNC bits a cache mode asks for. */
int plt_cache_open_flags(enum platter_cache cache);

/* The role a file name stands for with this driver. */
const char *plt_driver_primary(const struct platter_driver *drv);

/*
 * Put the node's name in front of a message, unless it is there already
 * because a lower call into the same node did. Returns `code`.
 */
int plt_image_prefix(const struct platter_image *img, int code,
		     struct platter_error *err);

void plt_image_init_locks(struct platter_image *img);

/* Takes `child` over, or closes it on error. */
int plt_image_add_child(struct platter_image *img, const char *role,
			struct platter_image *child, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Close without a word, for error paths. NULL is ok. */
void plt_image_free(struct platter_image *img);

/* spec.c: turn a command-line spec into an option tree. */
int plt_spec_parse(struct platter_options **out, struct platter_context *ctx,
		   const char *spec, const struct platter_open_options *opts,
		   struct platter_error *err) PLATTER_MUST_CHECK;
/* The tree of a plain file name, to be opened by `drv` (NULL: probed). */
int plt_spec_filename(struct platter_options **out, const char *filename,
		      const struct platter_driver *drv,
		      struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * open.c: open the node that `tree` describes, as platter_image_open() does
 * with what it parsed. `flags` are PLATTER_O_*. The tree stays the caller's and
 * is good for one node, as what is read in it gets marked. On success *out is
 * a node the caller closes; it goes by the name of its file. Errors are those
 * of the drivers, -EINVAL for a driver or option that is unknown or missing,
 * and -EPERM for a probed image that would be written as raw; the message
 * names the node it arose in.
 */
int plt_image_open_tree(struct platter_image **out,
			struct platter_context *ctx,
			struct platter_options *tree, unsigned int flags,
			enum platter_cache cache, struct platter_error *err)
	PLATTER_MUST_CHECK;

/*
 * Open an image of `format` that is stored in `file`, a protocol node, which
 * goes to it, or is closed on error.
 */
int plt_image_open_over(struct platter_image **out, struct platter_image *file,
			const char *format, unsigned int flags,
			struct platter_error *err) PLATTER_MUST_CHECK;

/* The error for a file name that no protocol driver claims. */
int plt_spec_unclaimed(const char *filename, struct platter_error *err);
/* Length of the "scheme" in "scheme:rest", as qemu sees it; 0 when none. */
size_t plt_spec_scheme(const char *filename);

/* probe.c: the format of an open protocol node, by magic; raw when none. */
int plt_probe(struct platter_image *file, const struct platter_driver **out,
	      struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * Make a node that was opened for reading writable, down to its file; nothing
 * else may use it meanwhile. On error it is as it was.
 */
int plt_image_reopen_rw(struct platter_image *img, struct platter_error *err)
	PLATTER_MUST_CHECK;

/*
 * The two halves of platter_image_write_compressed(), so that many threads can
 * compress while one stores in order. `out` has room for a cluster. 1: it does
 * not become smaller, write it as it is. -ENOTSUP: the format cannot.
 */
bool plt_image_can_compress(const struct platter_image *img);
int plt_image_compress(struct platter_image *img, const void *in, size_t len,
		       void *out, size_t *out_len, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_image_store_compressed(struct platter_image *img, const void *data,
			       size_t len, uint64_t offset,
			       struct platter_error *err) PLATTER_MUST_CHECK;

/* The local file an image is stored in, or NULL. */
const char *plt_image_local_path(const struct platter_image *img);

/*
 * gate.c: open a file that an image names. `image_path` is the image's own
 * file; the name is resolved relative to its directory. Returns a descriptor.
 */
int plt_gate_open(enum platter_follow follow, const char *image_path,
		  const char *name, int open_flags, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* The path `name` stands for when `image_path` names it; the caller frees. */
char *plt_gate_path(const char *image_path, const char *name,
		    struct platter_error *err);

/*
 * lock.c: the byte-range OFD locks QEMU's file driver takes, so that each
 * refuses an image the other has open. Released when the descriptor closes.
 */
int plt_lock_image(int fd, bool writable, const char *name,
		   struct platter_error *err) PLATTER_MUST_CHECK;
/* Give them up early. */
void plt_unlock_image(int fd);
/* Whether somebody else has the file of `fd` open as an image for writing. */
bool plt_lock_has_writer(int fd);

/* rw.c: drv->format->map with its answer checked and its errors prefixed. */
int plt_image_format_map(struct platter_image *img, uint64_t offset,
			 uint64_t len, struct platter_map *maps, size_t *count,
			 struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * rw.c: as platter_image_pwrite() to a protocol node that may end before the
 * bytes do, which then grows; no gap may be left. -ENOTSUP where it cannot:
 * see plt_image_grows(). Nothing may resize it meanwhile.
 */
int plt_image_pwrite_grow(struct platter_image *img, const void *buf,
			  size_t len, uint64_t offset,
			  struct platter_error *err) PLATTER_MUST_CHECK;
bool plt_image_grows(const struct platter_image *img);

/* map.c: as plt_image_plain(), but any protocol node. */
struct platter_image *plt_image_stored(struct platter_image *img,
				       uint64_t offset, uint64_t len,
				       uint64_t *host_offset);
/*
 * A flag of extents with data: the bytes are those of `file` at `host_offset`,
 * and no filter wants to see them go by. Reading there is reading the image,
 * without asking the drivers between again.
 */
#define PLT_EXTENT_DIRECT	(1u << 31)

/*
 * The `file` or `host_device` node everything in [offset, offset + len) of
 * `img` is stored in contiguously, or NULL: for copy_range.
 */
struct platter_image *plt_image_plain(struct platter_image *img,
				      uint64_t offset, uint64_t len,
				      uint64_t *host_offset);

/*
 * A node of a driver that is in no table, without options or children: `state`
 * is zeroed, the caller fills it and sets the size.
 */
int plt_image_new(struct platter_image **out, struct platter_context *ctx,
		  const struct platter_driver *drv, const char *name,
		  struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * Reserve space for a range (FALLOC), or write zeros to it (FULL), on a node
 * that keeps what is written where it is written.
 */
int plt_image_reserve(struct platter_image *img, uint64_t offset, uint64_t len,
		      enum platter_preallocation mode,
		      struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * The creation option by which a format's create learns where the data file
 * is, while it has not got its name yet.
 */
#define PLT_CREATE_DATA_PATH	"data-file-path"
/* ... and that it need not flush. */
#define PLT_CREATE_NO_FLUSH	"no-flush"

/* Report progress; -ECANCELED with a message when the user stopped it. */
int plt_progress(struct platter_progress *progress, uint64_t done,
		 uint64_t total, struct platter_error *err) PLATTER_MUST_CHECK;

#endif
