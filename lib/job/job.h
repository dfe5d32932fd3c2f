/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What jobs share: the target they write, and the comparing engine. */
#ifndef PLT_JOB_JOB_H
#define PLT_JOB_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include <platter/image.h>
#include <platter/job.h>
#include <platter/out.h>

struct plt_newfile;

/* ---- target.c ---- */

enum plt_target_kind {
	PLT_TARGET_ABSENT,
	PLT_TARGET_FILE,	/* a regular file */
	PLT_TARGET_DEVICE,	/* a block device */
};

struct plt_target {
	enum plt_target_kind kind;	/* of what was there before */
	struct platter_image *img;	/* open for writing */
	/* Reads as zeros so far, from that offset on. */
	bool is_zero;
	uint64_t zero_from;		/* bytes: the size of a backing file */
	/* Only where a new file is made. */
	struct plt_newfile *newfile;
	struct platter_image *replaced;	/* kept open for its lock */
};

struct plt_target_options {
	const char *path;
	uint64_t size;			/* bytes, for a new file */
	const char *format;		/* of the new image; NULL = raw */
	const char *const *options;	/* ... "key=value", NULL-ended */
	unsigned int flags;		/* extra PLATTER_O_* */
	enum platter_cache cache;
	/* Refuse to overwrite what looks like an image of another format. */
	bool refuse_magic;
};

/* The path in "path", "file:path" or "host_device:path". */
const char *plt_target_path(const char *name);
/* -EINVAL for anything but a regular file, a block device or nothing. */
int plt_target_look(const char *path, enum plt_target_kind *kind,
		    struct platter_error *err) PLATTER_MUST_CHECK;
/* Make a new image beside the path; an old file is locked until commit. */
int plt_target_make(struct plt_target *t, struct platter_context *ctx,
		    const struct plt_target_options *opts,
		    struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Open what is there, to be written in place as raw; or to hold an image of
 * another format, which is made first.
 */
int plt_target_open(struct plt_target *t, struct platter_context *ctx,
		    const struct plt_target_options *opts,
		    struct platter_error *err) PLATTER_MUST_CHECK;
/* Flush, close and bring a new file under its name; `t` is used up. */
int plt_target_commit(struct plt_target *t, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Close and remove a new file. For error paths; nothing to do is ok. */
void plt_target_abandon(struct plt_target *t);

/* True when `img` or a node below it is stored in the file at `path`. */
bool plt_image_uses_path(struct platter_image *img, const char *path);
/* True when a file that writing to `b` changes is also below `a`. */
bool plt_image_shares_file(struct platter_image *a, struct platter_image *b);

/* ---- bitmaps.c ---- */

/*
 * Copy the persistent bitmaps of `src` itself to `dst`, which is as large:
 * name, granularity, whether it is enabled, and the bits. An inconsistent one
 * is -EUCLEAN, or with `skip_broken` left out.
 */
int plt_bitmaps_copy(struct platter_image *src, struct platter_image *dst,
		     bool skip_broken, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Whether that would be refused for what `src` is; before any data moves. */
int plt_bitmaps_check(struct platter_image *src, bool skip_broken,
		      struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- compare.c ---- */

struct plt_compare_request {
	uint64_t offset;	/* bytes; the range to compare */
	uint64_t length;	/* beyond its end an image reads as zeros */
	bool strict;		/* allocation must match as well */
	/* Look only at what `a` itself holds (depth 0, present). */
	bool only_present;
	unsigned int workers;	/* 0 = one per processor */
	struct platter_progress *progress;
};

/* Fills in all of `result` but size_differs. */
int plt_compare_range(struct platter_image *a, struct platter_image *b,
		      const struct plt_compare_request *req,
		      struct platter_compare_result *result,
		      struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- chain.c: an image and what lies below it ---- */

/* `img` without the filters on top of it. */
struct platter_image *plt_chain_format(struct platter_image *img);
/* The backing file of `img`, through filters, or NULL. */
struct platter_image *plt_chain_backing(struct platter_image *img);
/*
 * The image below `top` that `name` means, as qemu-img finds it: relative to
 * the image above it. *depth is how many backing files down it is. NULL = none.
 */
struct platter_image *plt_chain_find(struct platter_image *top,
				     const char *name, unsigned int *depth);
/* `top` or the node below it that is the same image as `img`, or NULL. */
struct platter_image *plt_chain_same(struct platter_image *top,
				     struct platter_image *img,
				     unsigned int *depth);

/* Whether two extents are the same bytes of the same file. */
struct plt_same_host {
	const struct platter_image *a, *b;	/* files asked about last */
	bool same;
};
bool plt_same_host(struct plt_same_host *memory,
		   const struct platter_extent *a,
		   const struct platter_extent *b);

struct plt_extents;
struct plt_segment;

/* The segment, and those behind it that can be read with it. */
size_t plt_compare_merge(struct plt_segment *seg,
			 const struct plt_segment *segs, size_t nr);
/*
 * As plt_extents_at(). Beyond its end an image is one extent of zeros that
 * nobody allocated.
 */
int plt_compare_extent(struct plt_extents *map, uint64_t offset, uint64_t end,
		       struct platter_extent *ext, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- compare-all.c ---- */

/* platter_compare() with `found`. */
int plt_compare_all(struct platter_image *a, struct platter_image *b,
		    const struct platter_compare_options *opts,
		    struct platter_compare_result *result,
		    struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- in-order.c ---- */

struct platter_log;
struct platter_log_entry;

struct plt_in_order {
	struct platter_log *log;
	struct platter_image *target;
	uint64_t from, to;	/* points */
	uint64_t begin, end;	/* device bytes: the part to replay */
	bool no_discard;
	struct platter_progress *progress;
};

/* One entry after the other, for who brings them. */
struct plt_player {
	const struct plt_in_order *job;	/* `from` and `to` are not looked at */
	struct platter_replay_result *result;
	void *buf;
};

int plt_player_begin(struct plt_player *p, const struct plt_in_order *job,
		     struct platter_replay_result *result,
		     struct platter_error *err) PLATTER_MUST_CHECK;
/* The target must be large enough. Adds to written, zeroed and flushes. */
int plt_player_entry(struct plt_player *p, const struct platter_log_entry *e,
		     struct platter_error *err) PLATTER_MUST_CHECK;
void plt_player_end(struct plt_player *p);

/* Issue every entry as logged; adds to written, zeroed and flushes. */
int plt_replay_in_order(const struct plt_in_order *job,
			struct platter_replay_result *result,
			struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- replay-target.c ---- */

/* By its name; `is_log` is whether that is where the log is. */
int plt_replay_check_target(const struct platter_replay_options *opts,
			    struct platter_image *base, bool is_log,
			    struct platter_error *err) PLATTER_MUST_CHECK;
/* -EIO where the target is not what the view says. */
int plt_replay_verify(struct platter_image *view, struct platter_image *target,
		      const struct plt_compare_request *req,
		      struct platter_error *err) PLATTER_MUST_CHECK;

#endif
