/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Block write logs in the dm-log-writes format: platter-write-log(5).
 *
 * Written by Linux's dm-log-writes target, QEMU's blklogwrites driver and
 * platter. Entries are numbered from 0; a point is a place between entries, and
 * point N is the state in which the first N entries have been applied.
 *
 * A log is read as far as it can be proven: the super block's entry count is a
 * lower bound, entries beyond it are `recovered`, and a log that breaks off is
 * not an error but an end with a reason (struct platter_log_summary).
 *
 * Threads: an open log is immutable after platter_log_index() or
 * platter_log_scan(); those two and platter_log_close() need the caller to
 * keep other threads out. A cursor belongs to one thread.
 */
#ifndef PLATTER_LOG_H
#define PLATTER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <platter/error.h>
#include <platter/image.h>

#ifdef __cplusplus
extern "C" {
#endif

struct platter_log;
struct platter_log_cursor;
struct platter_printer;
struct platter_progress;

/* Entry flags; source: Linux drivers/md/dm-log-writes.c. */
#define PLATTER_LOG_FLUSH	(1u << 0)
#define PLATTER_LOG_FUA		(1u << 1)
#define PLATTER_LOG_DISCARD	(1u << 2)
#define PLATTER_LOG_MARK	(1u << 3)
#define PLATTER_LOG_METADATA	(1u << 4)
#define PLATTER_LOG_FLAGS	0x1fu		/* all that are known */

struct platter_log_options {
	const char *format;	/* of the log's storage; NULL = raw */
	unsigned int flags;	/* PLATTER_O_SHARE */
	uint32_t sector_size;	/* trust this, not the super block; 0 = read it */
	const char *index;	/* sidecar; NULL = LOG.idx, "" = none */
};

int platter_log_open(struct platter_log **out, struct platter_context *ctx,
		     const char *spec, const struct platter_log_options *opts,
		     struct platter_error *err) PLATTER_MUST_CHECK;
void platter_log_close(struct platter_log *log);	/* NULL is ok */

const char *platter_log_name(const struct platter_log *log);
uint32_t platter_log_sector_size(const struct platter_log *log);  /* bytes */

struct platter_log_entry {
	uint64_t number;	/* from 0 */
	uint64_t offset;	/* bytes into the log: its header */
	uint64_t data_offset;	/* bytes into the log, 0 = carries no data */
	uint64_t start;		/* bytes on the device */
	uint64_t length;	/* bytes on the device; 0 = flush or mark */
	uint64_t sector;	/* the same as stored, in log sectors */
	uint64_t nr_sectors;
	uint64_t flags;		/* PLATTER_LOG_* */
	uint64_t data_len;	/* as stored */
	/*
	 * What platter's recorder keeps behind the header of what is no mark;
	 * 0 = unknown. A recorder that numbers or times from 0 would lose its
	 * first, so it begins with 1.
	 */
	uint64_t issue;		/* number of the request when it was issued */
	uint64_t time_ns;	/* monotonic clock at completion */
	bool recovered;		/* beyond the super block's count */
	const char *mark;	/* MARK text, valid until the next call */
	size_t mark_len;	/* bytes; the text may hold any byte */
};

/*
 * Walk the entries from point `from` on. A point beyond the end is -ERANGE.
 * With an index the start is found at once; without, by reading headers.
 */
int platter_log_cursor_new(struct platter_log_cursor **out,
			   struct platter_log *log, uint64_t from,
			   struct platter_error *err) PLATTER_MUST_CHECK;
/* 0 = *entry filled, 1 = end of what can be proven, negative = I/O error. */
int platter_log_next(struct platter_log_cursor *cursor,
		     struct platter_log_entry *entry,
		     struct platter_error *err) PLATTER_MUST_CHECK;
void platter_log_cursor_free(struct platter_log_cursor *cursor);

/* "FLUSH|FUA", "" for none; unknown bits in hex. Returns `buf`. */
#define PLATTER_LOG_FLAGS_TEXT_MAX 64
char *platter_log_flags_text(char buf[PLATTER_LOG_FLAGS_TEXT_MAX],
			     uint64_t flags);
/* The names in any case, with '|' or ',' between them. */
int platter_log_flags_parse(uint64_t *flags, const char *text,
			    struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * All there is to say of an entry, as a row: entry, log-offset, offset, length
 * (bytes), sector, sectors, flags, and where known issue, time-ns, recovered
 * and mark.
 */
void platter_log_entry_print(struct platter_printer *out,
			     const struct platter_log_entry *e);

/*
 * ---- Following a log that is being written ----
 *
 *	new, while (wait() == 0) while (next() == 0) ..., free
 *
 * Each entry comes once it is certain. One the super block counts is; in a
 * regular file one beyond the count is, too, when header and data lie wholly
 * within the file and it is platter's, a mark, or nobody writes any more: QEMU
 * may have written the end of a file before what lies in front of it.
 *
 * The log is shared: following takes no lock. A recorder holds an image lock
 * (platter and QEMU do), and when nobody does and nothing more is certain,
 * the end is reached. So it is, whoever holds the lock, when the mark
 * "dm-log-writes-end" comes while the log is followed.
 */
struct platter_log_follow;

struct platter_log_follow_options {
	uint32_t sector_size;	/* as in platter_log_options */
	const char *from;	/* point to start at; NULL = 0 */
	const char *until;	/* point to end at; NULL = none */
	bool wait;		/* for a recorder that has not begun */
	/* Nothing new for so long is an error, -ETIMEDOUT; 0 = wait on. */
	unsigned int timeout_ms;
	struct platter_progress *progress;	/* or NULL */
};

enum platter_log_follow_end {
	PLATTER_LOG_FOLLOWING,		/* not at the end */
	PLATTER_LOG_FOLLOW_END_MARK,	/* the recorder closed the log */
	PLATTER_LOG_FOLLOW_GONE,	/* nobody writes to it any more */
	PLATTER_LOG_FOLLOW_UNTIL,	/* the point `until` */
};

/*
 * `path` is a regular file or block device. `until` and `from` may be points
 * that are still to come, but none that count back from one ("mark:a-1").
 * `opts` may be NULL.
 */
int platter_log_follow_new(struct platter_log_follow **out,
			   struct platter_context *ctx, const char *path,
			   const struct platter_log_follow_options *opts,
			   struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Wait for entries: 0 = there are some, 1 = the end. -ESTALE: the log shrank
 * or another was begun in the same file; -ENOENT: it ended before a point.
 */
int platter_log_follow_wait(struct platter_log_follow *f,
			    struct platter_error *err) PLATTER_MUST_CHECK;
/* The next entry: 0 = *entry filled, 1 = none at present. Never waits. */
int platter_log_follow_next(struct platter_log_follow *f,
			    struct platter_log_entry *entry,
			    struct platter_error *err) PLATTER_MUST_CHECK;
/* Which end, once wait() has returned 1; *reason is a static sentence. */
enum platter_log_follow_end
platter_log_follow_ended(const struct platter_log_follow *f,
			 const char **reason);
/* The log; NULL until wait() has returned 0 or 1. It grows between calls. */
struct platter_log *platter_log_follow_log(const struct platter_log_follow *f);
void platter_log_follow_free(struct platter_log_follow *f);	/* NULL is ok */

enum platter_log_writer {
	PLATTER_LOG_WRITER_UNKNOWN,
	PLATTER_LOG_WRITER_KERNEL,	/* Linux dm-log-writes */
	PLATTER_LOG_WRITER_QEMU,	/* QEMU blklogwrites */
	PLATTER_LOG_WRITER_PLATTER,	/* header extension present */
	PLATTER_LOG_WRITER_IMPORT,	/* platter_log_import() */
};

enum platter_log_severity {
	PLATTER_LOG_NOTE,	/* worth knowing, nothing is wrong */
	PLATTER_LOG_DAMAGE,	/* repaired by reading on, or the log ends here */
};

struct platter_log_problem {
	enum platter_log_severity severity;
	uint64_t offset;	/* bytes into the log */
	uint64_t entry;		/* number of the entry it concerns */
	char text[256];
};

/* Everything one pass over the headers can tell. */
struct platter_log_summary {
	uint32_t sector_size;
	bool super_valid;	/* the super block was found and believed */
	uint64_t super_entries;	/* what it counts */
	uint64_t entries;	/* that can be proven */
	uint64_t recovered;	/* of those, beyond the super block's count */
	uint64_t end;		/* bytes of log those entries take */
	uint64_t log_size;	/* bytes of the file or device */
	uint64_t device_size;	/* smallest device that holds every entry */
	uint64_t writes, discards, flushes, fuas, marks, empty, metadata;
	uint64_t data_bytes;	/* logged data */
	uint64_t discard_bytes;
	uint64_t epochs;	/* runs of writes between flushes, not empty */
	uint64_t epoch_median;	/* writes and discards in it */
	uint64_t epoch_largest;
	enum platter_log_writer writer;
	const char *writer_text;	/* and what gave it away; static */
	const char *flush_cover;	/* the rule, in a sentence; static */
	char imported[128];	/* of IMPORT: "fio data=zero"; else "" */
	bool clean_end;		/* closed by an end mark */
	const struct platter_log_problem *problems;
	size_t nr_problems;
	bool damaged;		/* any problem of severity DAMAGE */
};

/* Read every header once. The summary is owned by the log. */
int platter_log_scan(struct platter_log *log,
		     struct platter_progress *progress,
		     const struct platter_log_summary **summary,
		     struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * Whether the log breaks off before its end: 1 with the place and the reason
 * in *problem, 0 when all its entries could be read. Costs nothing once a
 * cursor has reached the end, the reading of two headers when there is an
 * index, and else of all of them.
 */
int platter_log_end(struct platter_log *log,
		    struct platter_log_problem *problem,
		    struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * Make the index ready: take the sidecar when it matches the log, else build
 * it in memory (and write the sidecar again if a stale one was there).
 * 24 to 45 bytes an entry. Called by what needs it.
 */
int platter_log_index(struct platter_log *log,
		      struct platter_progress *progress,
		      struct platter_error *err) PLATTER_MUST_CHECK;
/* Build it if need be and keep it in the sidecar for later processes. */
int platter_log_index_save(struct platter_log *log,
			   struct platter_progress *progress,
			   struct platter_error *err) PLATTER_MUST_CHECK;
const char *platter_log_index_name(const struct platter_log *log);
/* Bytes of device the entries in [from, to) reach; needs no index. */
int platter_log_extent_of(struct platter_log *log, uint64_t from, uint64_t to,
			  uint64_t *device_size, struct platter_error *err)
	PLATTER_MUST_CHECK;

/*
 * Turn a point into a number: "N", "mark:NAME", "mark:NAME#K", "flush:K",
 * "fua:K", "end", each but the first with "+k" or "-k" behind. K counts from
 * 1. A mark's point lies behind it, flush:K and fua:K behind the entry;
 * fua:K counts only entries that carry data. A mark's text may be given raw or
 * with \xNN escapes, and the longest text that is a mark wins, so a mark named
 * "fsync-3" is found before "fsync" less three. -ENOENT when there is no such
 * point, -EEXIST when a repeated mark is given without #K.
 */
int platter_log_point(struct platter_log *log, const char *text,
		      uint64_t *point, struct platter_error *err)
	PLATTER_MUST_CHECK;

struct platter_log_copy_result {
	uint64_t entries;	/* written */
	uint64_t bytes;		/* size of the new log */
	uint64_t dropped_entries;	/* counted, but could not be proven */
	uint64_t dropped_bytes;	/* left out behind the last entry kept */
};

/*
 * Write a clean log of every provable entry to the new file `path`; never in
 * place. platter_log_scan()'s summary has the reasons for what was dropped.
 */
int platter_log_repair(struct platter_log *log, const char *path, bool force,
		       struct platter_progress *progress,
		       struct platter_log_copy_result *result,
		       struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Write the entries between two points to the new log `path`. With
 * `squash_path`, the device's state at `from` goes to that new raw image, on
 * top of `base` (NULL = zeros): replaying the cut on it gives the state at
 * `to`. Existing files are -EEXIST unless `force`.
 */
struct platter_log_cut_options {
	uint64_t from, to;
	const char *squash_path;
	const char *base;
	const char *base_format;
	bool force;
	struct platter_progress *progress;
};
int platter_log_cut(struct platter_context *ctx, struct platter_log *log,
		    const char *path,
		    const struct platter_log_cut_options *opts,
		    struct platter_log_copy_result *result,
		    struct platter_error *err) PLATTER_MUST_CHECK;

/* One write or discard of a range, as platter_log_blame() reports it. */
struct platter_log_version {
	struct platter_log_entry entry;
	uint64_t start;		/* the part inside the range, device bytes */
	uint64_t length;
	bool hashed;		/* false for discards */
	char sha256[65];	/* of that part's content, hex */
	uint64_t mark_entry;	/* last mark before it, UINT64_MAX = none */
	const char *mark;	/* its text, valid during the call */
	size_t mark_len;
};
/* A non-zero return stops the walk and is returned. */
struct platter_log_version_visitor {
	int (*visit)(struct platter_log_version_visitor *self,
		     const struct platter_log_version *version,
		     struct platter_error *err);
};
/* Everything that wrote [offset, offset + length) before `to`, newest first. */
int platter_log_blame(struct platter_log *log, uint64_t offset,
		      uint64_t length, uint64_t to,
		      struct platter_log_version_visitor *visitor,
		      struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * ---- Logs as text, and text as logs ----
 *
 * JSONL and TSV have all there is but the data. BLKPARSE is what blkparse
 * prints by default: a Q and a C event for each entry, marks as messages; it
 * has no place for an empty entry that neither flushes nor is FUA. FIO and
 * FIO3 are fio's iolog, version 2 and 3, which knows neither FUA nor marks: a
 * FUA write is a write and a datasync, marks are left out. NBDKIT, to read
 * only, is what nbdkit's log filter writes.
 */
enum platter_log_text {
	PLATTER_LOG_TEXT_BLKPARSE,
	PLATTER_LOG_TEXT_FIO,
	PLATTER_LOG_TEXT_FIO3,
	PLATTER_LOG_TEXT_TSV,
	PLATTER_LOG_TEXT_JSONL,
	PLATTER_LOG_TEXT_NBDKIT,
};

struct platter_log_export_options {
	enum platter_log_text format;
	uint64_t from, to;	/* points */
	/* Of the disk: a file for fio ("disk"), MAJOR,MINOR ("0,0"). */
	const char *device;
	bool force;		/* replace a file that exists */
	struct platter_progress *progress;	/* or NULL */
};

/*
 * Write the entries to the new file `path`, or to `stream` when it is NULL.
 * Times are those recorded, counted from the first; where there are none the
 * number of the entry is its time: seconds in blkparse, microseconds in fio.
 */
int platter_log_export(struct platter_log *log, const char *path, FILE *stream,
		       const struct platter_log_export_options *opts,
		       struct platter_error *err) PLATTER_MUST_CHECK;

enum platter_log_import_data {
	PLATTER_LOG_IMPORT_ZERO,	/* zeros, as holes */
	PLATTER_LOG_IMPORT_PATTERN,	/* lines with entry, sector and seed */
	PLATTER_LOG_IMPORT_SOURCE,	/* the bytes an image has there now */
};

struct platter_log_import_options {
	enum platter_log_text format;	/* not TSV; FIO reads either version */
	enum platter_log_import_data data;
	uint64_t seed;			/* of the pattern */
	const char *source;		/* image, for SOURCE */
	const char *source_format;	/* NULL = probe */
	const char *device;	/* take only this one; NULL: there is but one */
	uint32_t sector_size;	/* of the new log; 0 = 512 */
	bool force;		/* replace a file that exists */
	struct platter_progress *progress;	/* or NULL */
};

struct platter_log_import_result {
	uint64_t lines;		/* of the text */
	uint64_t entries;	/* of the new log, with the first mark */
	uint64_t bytes;		/* size of the new log */
	uint64_t unfinished;	/* requests without an end: left out */
};

/*
 * Make the log `path` of the requests in the text file `text`. None of these
 * texts has the data, so it is made up, and the log's first entry is a mark
 * that says so. A line that is wrong is -EINVAL with its number.
 */
int platter_log_import(struct platter_context *ctx, const char *text,
		       const char *path,
		       const struct platter_log_import_options *opts,
		       struct platter_log_import_result *result,
		       struct platter_error *err) PLATTER_MUST_CHECK;

#define PLATTER_LOG_STAT_BUCKETS 64
#define PLATTER_LOG_STAT_HOT 32

struct platter_log_hot {
	uint64_t start, length;	/* device bytes */
	uint64_t writes;	/* entries that wrote each byte of it */
};

struct platter_log_stat {
	/* Bucket i holds values v with 2^i <= v < 2^(i+1). */
	uint64_t size_count[PLATTER_LOG_STAT_BUCKETS];	/* by write bytes */
	uint64_t size_bytes[PLATTER_LOG_STAT_BUCKETS];
	uint64_t rewrite_bytes[PLATTER_LOG_STAT_BUCKETS]; /* by writes each */
	uint64_t epoch_count[PLATTER_LOG_STAT_BUCKETS];	/* by writes in it */
	uint64_t written;	/* bytes, counting rewrites */
	uint64_t distinct;	/* bytes of the device ever written */
	uint64_t discarded;	/* bytes, counting repeats */
	size_t nr_hot;
	struct platter_log_hot hot[PLATTER_LOG_STAT_HOT]; /* hottest first */
};
/* `nr_hot` ranges at most (up to PLATTER_LOG_STAT_HOT). Needs the index. */
int platter_log_stat(struct platter_log *log, uint64_t from, uint64_t to,
		     size_t nr_hot, struct platter_log_stat *stat,
		     struct platter_error *err) PLATTER_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
