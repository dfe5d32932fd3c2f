/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Crash states: a log that is ready to crash, and its states by name. */
#ifndef PLATTER_CRASH_STATE_H
#define PLATTER_CRASH_STATE_H

#include <stddef.h>
#include <stdint.h>

#include <platter/error.h>
#include <platter/image.h>
#include <platter/log.h>

#ifdef __cplusplus
extern "C" {
#endif

struct platter_progress;
struct platter_crash;
struct platter_crash_state;

/* ---- a log, ready to crash ---- */

/* What a discard that is durable leaves behind. */
enum platter_crash_discard {
	PLATTER_CRASH_DISCARD_ZERO,
	PLATTER_CRASH_DISCARD_OLD,	/* what was there before */
	PLATTER_CRASH_DISCARD_PATTERN,	/* bytes nobody wrote */
};

/* Which writes a flush covers. */
enum platter_crash_cover {
	PLATTER_CRASH_COVER_LOGGED,	/* all that are logged before it */
	/* Of those, the ones issued before it, where the log knows. */
	PLATTER_CRASH_COVER_STRICT,
};

struct platter_crash_options {
	const char *base;	/* image before entry 0; NULL = zeros */
	const char *base_format;	/* NULL = probe */
	/* Or a node that is open; the caller's, must outlive. */
	struct platter_image *base_image;
	struct platter_log_options log;
	uint64_t size;		/* of the disk, bytes; 0 = as the base, or as
				   far as the log reaches */
	enum platter_crash_cover cover;
	struct platter_progress *progress;	/* or NULL */
};

/* Reads all headers. `opts` may be NULL. */
int platter_crash_open(struct platter_crash **out, struct platter_context *ctx,
		       const char *log,
		       const struct platter_crash_options *opts,
		       struct platter_error *err) PLATTER_MUST_CHECK;
void platter_crash_close(struct platter_crash *crash);	/* NULL is ok */

struct platter_log *platter_crash_log(const struct platter_crash *crash);
uint64_t platter_crash_size(const struct platter_crash *crash);	/* bytes */
uint64_t platter_crash_entries(const struct platter_crash *crash);
/* The node of the base, or NULL for zeros. */
struct platter_image *platter_crash_base(const struct platter_crash *crash);

/* The last mark before a point: its entry, or UINT64_MAX for none. */
uint64_t platter_crash_mark_before(const struct platter_crash *crash,
				   uint64_t point, const char **text,
				   size_t *len);

/* ---- states and their names ---- */

/*
 *	POINT			all of the first POINT entries
 *	POINT-LIST		without the listed writes
 *	POINT+LIST		of the pending writes, only the listed ones;
 *				with nothing listed: only what is durable
 *	... ^LIST		and these from behind the point (early writes)
 *	... ~old, ... ~pattern	what durable discards leave, if not zeros
 *	LIST			ITEM,ITEM,...
 *	ITEM			ENTRY or ENTRY..ENTRY, then [FIRST:END] for
 *				some of its log sectors, counted from 0, END
 *				not with them, or [SECTOR]; then a letter:
 *				s shorn (the first half of each sector is new),
 *				g garbage, p pattern (of a discard)
 *	STATE@STATE		of the log of a recovery from the first one
 *
 * Items of a letter may stand in either list. The same name gives the same
 * bytes on every machine. A name that a point of the log gives ("mark:a") is
 * accepted, too. -EINVAL says what is wrong: a write that is durable there
 * cannot be missing.
 */
int platter_crash_state_parse(struct platter_crash_state **out,
			      struct platter_crash *crash, const char *name,
			      struct platter_error *err) PLATTER_MUST_CHECK;
/* Another hold on it. */
struct platter_crash_state *
platter_crash_state_ref(const struct platter_crash_state *state);
void platter_crash_state_unref(struct platter_crash_state *state);
/* The shortest name; made when first asked for, owned by the state. */
const char *platter_crash_state_name(const struct platter_crash_state *state);
uint64_t platter_crash_state_point(const struct platter_crash_state *state);
struct platter_crash *
platter_crash_state_crash(const struct platter_crash_state *state);

/* What a state consists of, for people and programs. */
enum platter_crash_fate {
	PLATTER_CRASH_DURABLE,	/* present, and must be */
	PLATTER_CRASH_KEPT,	/* pending, and present */
	PLATTER_CRASH_DROPPED,	/* pending, and missing */
	PLATTER_CRASH_SHORN,
	PLATTER_CRASH_GARBAGE,
	PLATTER_CRASH_PATTERN,	/* of a discard */
	PLATTER_CRASH_EARLY,	/* from behind the point, and present */
};
/* "durable", "kept", ... */
const char *platter_crash_fate_name(enum platter_crash_fate fate);
struct platter_crash_part {
	struct platter_log_entry entry;
	enum platter_crash_fate fate;
	uint32_t first, count;	/* log sectors of it */
};
/* A non-zero return stops the walk and is returned. */
struct platter_crash_part_visitor {
	int (*visit)(struct platter_crash_part_visitor *self,
		     const struct platter_crash_part *part,
		     struct platter_error *err);
};
/*
 * In log order, in parts of one fate: each pending write; DURABLE, too, are
 * those among them that are not (FUA); and early writes.
 */
int platter_crash_state_parts(const struct platter_crash_state *state,
			      struct platter_crash_part_visitor *visitor,
			      struct platter_error *err) PLATTER_MUST_CHECK;

/* The state as a node to read. The crash must outlive it. */
int platter_crash_state_image(struct platter_image **out,
			      const struct platter_crash_state *state,
			      struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * A node to write on top of one to read, `lower`, which stays the caller's.
 * What is written is kept in memory, from `memory` bytes on in an unlinked
 * file below TMPDIR, and gone when the node is closed. Any number of threads.
 */
int platter_scratch_new(struct platter_image **out, struct platter_image *lower,
			uint64_t memory, struct platter_error *err)
	PLATTER_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
