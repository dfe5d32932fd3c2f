/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A log as text for other programs: blkparse's default output, fio's iolog
 * (versions 2 and 3), tab-separated values and JSON lines.
 *
 * What blkparse prints was taken from its manual page and from traces others
 * have published; fio's iolog from its manual page, and both versions from
 * what fio 3.33 writes and reads. Both know sectors of 512 bytes or bytes, not
 * the log's sectors.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <platter/out.h>

#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/newfile.h"
#include "core/core.h"
#include "wlog/wlog.h"

#define BLOCK		512u	/* what blkparse counts in */
#define NS		UINT64_C(1000000000)

struct export {
	const struct platter_log_export_options *opts;
	FILE *f;
	struct platter_printer *json;
	const char *device;
	uint64_t first_ns;	/* time of the first entry that has one; or 0 */
	uint64_t time_ns;	/* of the entry at hand, from the first */
	uint64_t sequence;
	unsigned int major, minor;	/* for blkparse */
};

struct style {
	int (*begin)(struct export *x, struct platter_error *err);
	int (*entry)(struct export *x, const struct platter_log_entry *e,
		     struct platter_error *err);
	void (*end)(struct export *x);
	uint64_t tick;		/* ns an entry takes where there is no time */
};

/* ---- blkparse ---- */

/* The order blkparse has: flush, what it does, FUA, metadata. */
static void blkparse_flags(char text[8], const struct platter_log_entry *e)
{
	char *p = text;

	if (e->flags & PLATTER_LOG_FLUSH)
		*p++ = 'F';
	*p++ = e->flags & PLATTER_LOG_DISCARD ? 'D' : e->length ? 'W' : 'N';
	if (e->flags & PLATTER_LOG_FUA)
		*p++ = 'F';
	if (e->flags & PLATTER_LOG_METADATA)
		*p++ = 'M';
	*p = 0;
}

static void blkparse_lead(struct export *x, uint64_t sequence,
			  const char *action, const char *flags)
{
	fprintf(x->f, "%3u,%-3u %2d %8" PRIu64 " %5" PRIu64 ".%09" PRIu64
		" %5d %2s %3s ", x->major, x->minor, 0, sequence,
		x->time_ns / NS, x->time_ns % NS, 0, action, flags);
}

static int blkparse_begin(struct export *x, struct platter_error *err)
{
	int end = 0;

	if (sscanf(x->device, "%5u,%7u%n", &x->major, &x->minor, &end) != 2 ||
	    x->device[end])
		return plt_err_set(err, -EINVAL,
				   "device '%s': blkparse has them as MAJOR,MINOR",
				   x->device);
	return 0;
}

static int blkparse_mark(struct export *x, const struct platter_log_entry *e,
			 struct platter_error *err)
{
	plt_auto_free char *text = platter_bytes_escape(e->mark, e->mark_len);

	if (!text)
		return plt_err_nomem(err, e->mark_len);
	blkparse_lead(x, 0, "m", "N");
	fprintf(x->f, "%s\n", text);
	return 0;
}

static int blkparse_entry(struct export *x, const struct platter_log_entry *e,
			  struct platter_error *err)
{
	const uint64_t sector = e->start / BLOCK, count = e->length / BLOCK;
	char flags[8];

	if (e->mark)
		return blkparse_mark(x, e, err);
	if (e->start % BLOCK || e->length % BLOCK)
		return plt_err_set(err, -EINVAL,
				   "entry %" PRIu64 ": %" PRIu64 "+%" PRIu64
				   " is not in sectors of %u bytes, which is what blkparse counts",
				   e->number, e->start, e->length, BLOCK);
	blkparse_flags(flags, e);
	blkparse_lead(x, ++x->sequence, "Q", flags);
	if (count)
		fprintf(x->f, "%" PRIu64 " + %" PRIu64 " [platter]\n", sector,
			count);
	else
		fputs("[platter]\n", x->f);
	blkparse_lead(x, ++x->sequence, "C", flags);
	if (count)
		fprintf(x->f, "%" PRIu64 " + %" PRIu64 " [0]\n", sector,
			count);
	else
		fprintf(x->f, "%" PRIu64 " [0]\n", sector);
	return 0;
}

/* ---- fio ---- */

static void fio_line(struct export *x, const char *action)
{
	if (x->opts->format == PLATTER_LOG_TEXT_FIO3)
		fprintf(x->f, "%" PRIu64 " ", x->time_ns / 1000);
	fprintf(x->f, "%s %s", x->device, action);
}

static void fio_manage(struct export *x, const char *action)
{
	fio_line(x, action);
	fputc('\n', x->f);
}

static int fio_begin(struct export *x, struct platter_error *err)
{
	if (strpbrk(x->device, " \t\n"))
		return plt_err_set(err, -EINVAL,
				   "device '%s': fio's iolog takes no spaces in names",
				   x->device);
	fprintf(x->f, "fio version %d iolog\n",
		x->opts->format == PLATTER_LOG_TEXT_FIO3 ? 3 : 2);
	fio_manage(x, "add");
	fio_manage(x, "open");
	return 0;
}

static void fio_end(struct export *x)
{
	fio_manage(x, "close");
}

static void fio_io(struct export *x, const char *action, uint64_t offset,
		   uint64_t length)
{
	fio_line(x, action);
	fprintf(x->f, " %" PRIu64 " %" PRIu64 "\n", offset, length);
}

static int fio_entry(struct export *x, const struct platter_log_entry *e,
		     struct platter_error *err)
{
	(void)err;
	if (e->flags & PLATTER_LOG_FLUSH)
		fio_io(x, "sync", 0, 0);
	if (e->length)
		fio_io(x, e->flags & PLATTER_LOG_DISCARD ? "trim" : "write",
		       e->start, e->length);
	if (e->length && e->flags & PLATTER_LOG_FUA)
		fio_io(x, "datasync", 0, 0);
	return 0;
}

/* ---- tab-separated values ---- */

static int tsv_begin(struct export *x, struct platter_error *err)
{
	(void)err;
	fputs("entry\tlog-offset\toffset\tlength\tsector\tsectors\tflags\tissue\ttime-ns\trecovered\tmark\n",
	      x->f);
	return 0;
}

static int tsv_entry(struct export *x, const struct platter_log_entry *e,
		     struct platter_error *err)
{
	char flags[PLATTER_LOG_FLAGS_TEXT_MAX];
	plt_auto_free char *mark = NULL;

	if (e->mark) {
		mark = platter_bytes_escape(e->mark, e->mark_len);
		if (!mark)
			return plt_err_nomem(err, e->mark_len);
	}
	fprintf(x->f, "%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%"
		PRIu64 "\t%" PRIu64 "\t%s\t%" PRIu64 "\t%" PRIu64 "\t%d\t%s\n",
		e->number, e->offset, e->start, e->length, e->sector,
		e->nr_sectors, platter_log_flags_text(flags, e->flags),
		e->issue, e->time_ns, e->recovered, mark ? mark : "");
	return 0;
}

/* ---- JSON lines ---- */

static int jsonl_begin(struct export *x, struct platter_error *err)
{
	return platter_printer_new(&x->json, PLATTER_OUTPUT_JSON, x->f,
				   "entries", err);
}

static int jsonl_entry(struct export *x, const struct platter_log_entry *e,
		       struct platter_error *err)
{
	(void)err;
	platter_log_entry_print(x->json, e);
	return 0;
}

/* ---- the walk ---- */

static const struct style styles[] = {
	[PLATTER_LOG_TEXT_BLKPARSE] = {
		blkparse_begin, blkparse_entry, NULL, NS,
	},
	[PLATTER_LOG_TEXT_FIO] = { fio_begin, fio_entry, fio_end, 1000 },
	[PLATTER_LOG_TEXT_FIO3] = { fio_begin, fio_entry, fio_end, 1000 },
	[PLATTER_LOG_TEXT_TSV] = { tsv_begin, tsv_entry, NULL, 0 },
	[PLATTER_LOG_TEXT_JSONL] = { jsonl_begin, jsonl_entry, NULL, 0 },
};

/* What has no time, a mark, has that of the entry before it. */
static void take_time(struct export *x, const struct style *style,
		      const struct platter_log_entry *e)
{
	if (!x->first_ns && e->time_ns)
		x->first_ns = e->time_ns;
	if (!x->first_ns)
		x->time_ns = e->number * style->tick;
	else if (e->time_ns >= x->first_ns)
		x->time_ns = e->time_ns - x->first_ns;
}

static int walk(struct export *x, const struct style *style,
		struct platter_log *log, struct platter_error *err)
{
	struct platter_log_cursor *c;
	struct platter_log_entry e;
	int rc;

	rc = platter_log_cursor_new(&c, log, x->opts->from, err);
	if (rc)
		return rc;
	while (!rc && c->number < x->opts->to) {
		rc = platter_log_next(c, &e, err);
		if (rc)
			break;
		take_time(x, style, &e);
		rc = style->entry(x, &e, err);
		if (!rc && (e.number & 0xfff) == 0)
			rc = plt_progress(x->opts->progress, e.offset,
					  log->size, err);
		if (!rc && ferror(x->f))
			rc = plt_err_errno(err, -EIO, "writing the text");
	}
	platter_log_cursor_free(c);
	return rc < 0 ? rc : 0;
}

static int export(struct platter_log *log, FILE *stream,
		  const struct platter_log_export_options *opts,
		  struct platter_error *err)
{
	const struct style *style = &styles[opts->format];
	struct export x = {
		.opts = opts,
		.f = stream,
		.device = opts->device,
	};
	int rc, closed;

	if (!x.device)
		x.device = opts->format == PLATTER_LOG_TEXT_BLKPARSE ? "0,0" :
			   "disk";
	rc = style->begin ? style->begin(&x, err) : 0;
	if (!rc)
		rc = walk(&x, style, log, err);
	if (!rc && style->end)
		style->end(&x);
	closed = platter_printer_close(x.json, rc ? NULL : err);
	if (!rc && !closed && fflush(stream))
		rc = plt_err_errno(err, -errno, "writing the text");
	return rc ? rc : closed;
}

static int export_to(struct platter_log *log, const char *path,
		     const struct platter_log_export_options *opts,
		     struct platter_error *err)
{
	struct plt_newfile *nf;
	FILE *f;
	int rc;

	if (plt_same_file(log->name, path))
		return plt_err_set(err, -EINVAL,
				   "%s: is the log itself; name another file",
				   path);
	rc = plt_newfile_new(&nf, path, opts->force, err);
	if (rc)
		return rc;
	f = fopen(plt_newfile_part(nf), "we");
	if (!f)
		rc = plt_err_errno(err, -errno, "%s", path);
	else
		rc = export(log, f, opts, err);
	if (f && fclose(f) && !rc)
		rc = plt_err_errno(err, -errno, "%s", path);
	if (!rc)
		rc = plt_newfile_commit(nf, true, err);
	plt_newfile_free(nf);
	return rc;
}

int platter_log_export(struct platter_log *log, const char *path, FILE *stream,
		       const struct platter_log_export_options *opts,
		       struct platter_error *err)
{
	if ((size_t)opts->format >= PLT_ARRAY_SIZE(styles))
		return plt_err_set(err, -ENOTSUP,
				   "this format of text can only be read");
	return path ? export_to(log, path, opts, err) :
		      export(log, stream, opts, err);
}
