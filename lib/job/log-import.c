/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A log from text that other programs wrote of their requests.
 *
 * The text is read twice: nothing is made of one with a wrong line in it, and
 * which events of a trace to take is known only at its end. The data is in
 * none of these texts; what was put in its place the log says itself, in a
 * mark that is its first entry.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/newfile.h"
#include "core/core.h"
#include "job/job.h"
#include "wlog/append.h"
#include "wlog/text.h"
#include "wlog/wlog.h"

/*
 * The appender takes the data of an entry in one piece. Block devices and NBD
 * servers have limits of 32 MiB and less.
 */
#define DATA_MAX	(UINT64_C(256) << 20)
#define SECTOR_DEFAULT	512u
#define SECTOR_LEAST	512u		/* has room for the first mark */
#define PATTERN_LINE	64u		/* bytes */
#define REPORT_EVERY	0xfffu		/* lines */

struct import {
	const struct platter_log_import_options *opts;
	struct platter_log_import_result *result;
	const char *path;		/* of the text */
	FILE *f;
	uint64_t text_size;		/* bytes */
	struct plt_wlog_parser *parser;
	uint32_t sector_size;
	struct platter_image *source;	/* or NULL */
	struct plt_wlog_appender log;
	uint8_t *data;
	size_t data_room;
};

/* ---- checks of one request ---- */

static int check_mark(const struct import *in,
		      const struct plt_wlog_request *req,
		      struct platter_error *err)
{
	const size_t room = in->sector_size - 1 -
			    sizeof(struct plt_wlog_disk_entry);

	if (req->flags != PLATTER_LOG_MARK || req->length)
		return plt_err_set(err, -EINVAL, "a mark that is a request as "
				   "well");
	if (req->mark_len > room)
		return plt_err_set(err, -EINVAL, "a mark of %zu bytes; a log "
				   "sector of %" PRIu32 " holds %zu",
				   req->mark_len, in->sector_size, room);
	return 0;
}

static int check(const struct import *in, const struct plt_wlog_request *req,
		 struct platter_error *err)
{
	bool data = !(req->flags & PLATTER_LOG_DISCARD);
	uint64_t end;

	if (req->mark || req->flags & PLATTER_LOG_MARK)
		return check_mark(in, req, err);
	if (req->start % in->sector_size || req->length % in->sector_size)
		return plt_err_set(err, -EINVAL, "%" PRIu64 "+%" PRIu64
				   " is not in log sectors of %" PRIu32
				   " bytes", req->start, req->length,
				   in->sector_size);
	if (!plt_add_u64(&end, req->start, req->length) ||
	    end > PLT_OFFSET_MAX)
		return plt_err_set(err, -EINVAL, "%" PRIu64 "+%" PRIu64
				   " is past the largest offset a device can "
				   "have", req->start, req->length);
	if (data && req->length > DATA_MAX)
		return plt_err_set(err, -EINVAL, "a write of %" PRIu64
				   " bytes, over the limit of %" PRIu64,
				   req->length, DATA_MAX);
	if (data && in->source && !req->zero &&
	    end > platter_image_size(in->source))
		return plt_err_set(err, -EINVAL, "a write that ends at %" PRIu64
				   "; the source has %" PRIu64 " bytes", end,
				   platter_image_size(in->source));
	return 0;
}

/* ---- the data ---- */

/* Every 64 bytes: who wrote it, where, and which run of import it was. */
static void fill_pattern(const struct import *in,
			 const struct plt_wlog_request *req, uint64_t entry)
{
	uint64_t sector = req->start / in->sector_size;
	char line[PATTERN_LINE + 1];

	for (size_t at = 0; at < req->length; at += in->sector_size) {
		snprintf(line, sizeof(line), "entry %10" PRIu64 " sector %16"
			 PRIu64 " seed %15" PRIu64 "  ", entry, sector++,
			 in->opts->seed);
		line[PATTERN_LINE - 1] = '\n';
		for (size_t i = 0; i < in->sector_size; i += PATTERN_LINE)
			memcpy(in->data + at + i, line, PATTERN_LINE);
	}
}

static int make_data(struct import *in, const struct plt_wlog_request *req,
		     struct platter_error *err)
{
	int rc;

	rc = plt_grow(&in->data, &in->data_room, req->length, 1, err);
	if (rc)
		return rc;
	if (in->source)
		return platter_image_pread(in->source, in->data, req->length,
					   req->start, err);
	fill_pattern(in, req, in->log.entries);
	return 0;
}

static int append(struct import *in, const struct plt_wlog_request *req,
		  struct platter_error *err)
{
	struct plt_wlog_append entry = {
		.offset = req->start,
		.len = req->length,
		.flags = req->flags & ~(uint64_t)PLATTER_LOG_MARK,
		.issued = req->issue,
		.time_ns = req->time_ns,
		.mark = req->mark,
		.mark_len = req->mark_len,
	};
	int rc;

	if (req->length && !(req->flags & PLATTER_LOG_DISCARD)) {
		entry.piece[0].len = req->length;
		if (in->opts->data != PLATTER_LOG_IMPORT_ZERO && !req->zero) {
			rc = make_data(in, req, err);
			if (rc)
				return rc;
			entry.piece[0].data = in->data;
		}
	}
	return plt_wlog_appender_add(&in->log, &entry, err);
}

/* The log's first entry; `log info` shows it. */
static int append_origin(struct import *in, struct platter_error *err)
{
	static const char *const texts[] = {
		[PLATTER_LOG_TEXT_BLKPARSE] = "blkparse",
		[PLATTER_LOG_TEXT_FIO] = "fio",
		[PLATTER_LOG_TEXT_FIO3] = "fio",
		[PLATTER_LOG_TEXT_JSONL] = "jsonl",
		[PLATTER_LOG_TEXT_NBDKIT] = "nbdkit",
	};
	static const char *const data[] = {
		[PLATTER_LOG_IMPORT_ZERO] = "zero",
		[PLATTER_LOG_IMPORT_PATTERN] = "pattern",
		[PLATTER_LOG_IMPORT_SOURCE] = "source",
	};
	struct plt_wlog_request req = { .flags = PLATTER_LOG_MARK };
	char mark[128];

	snprintf(mark, sizeof(mark), PLT_WLOG_IMPORT_MARK "%s data=%s",
		 texts[in->opts->format], data[in->opts->data]);
	if (in->opts->data == PLATTER_LOG_IMPORT_PATTERN)
		snprintf(mark + strlen(mark), sizeof(mark) - strlen(mark),
			 " seed=%" PRIu64, in->opts->seed);
	req.mark = mark;
	req.mark_len = strlen(mark);
	return append(in, &req, err);
}

/* ---- the lines ---- */

static bool is_origin(const struct plt_wlog_request *req)
{
	const size_t len = strlen(PLT_WLOG_IMPORT_MARK);

	return req->mark_len >= len &&
	       !memcmp(req->mark, PLT_WLOG_IMPORT_MARK, len);
}

/* A request that asks for nothing could not be told from the log's end. */
static bool is_nothing(const struct plt_wlog_request *req)
{
	return !req->flags && !req->length;
}

static int take_line(struct import *in, char *line, uint64_t *nr,
		     struct platter_error *err)
{
	struct plt_wlog_request req;
	size_t len = strlen(line);
	int rc;

	if (len && line[len - 1] == '\n')
		line[len - 1] = '\0';
	else if (!feof(in->f))
		return plt_err_set(err, -EINVAL, "the line is over %u bytes, "
				   "or has a NUL byte in it", PLT_WLOG_LINE_MAX);
	rc = plt_wlog_parser_line(in->parser, line, &req, err);
	if (!rc)
		rc = check(in, &req, err);
	if (rc || is_nothing(&req))
		return rc < 0 ? rc : 0;
	/* That of an import before this one says nothing of this one's data. */
	if ((*nr)++ == 0 && is_origin(&req))
		return 0;
	return in->parser->again ? append(in, &req, err) : 0;
}

static int read_text(struct import *in, struct platter_error *err)
{
	plt_auto_free char *line = plt_calloc(1, PLT_WLOG_LINE_MAX + 2, err);
	uint64_t lines = 0, requests = 0;
	int rc = line ? 0 : -ENOMEM;

	errno = 0;
	while (!rc && fgets(line, PLT_WLOG_LINE_MAX + 2, in->f)) {
		lines++;
		rc = take_line(in, line, &requests, err);
		if (rc)
			return plt_err_prefix(err, rc, "%s: line %" PRIu64,
					      in->path, lines);
		if ((lines & REPORT_EVERY) == 0)
			rc = plt_progress(in->opts->progress, in->text_size *
					  in->parser->again +
					  (uint64_t)ftello(in->f),
					  2 * in->text_size, err);
		errno = 0;
	}
	if (!rc && ferror(in->f))
		return plt_err_errno(err, errno ? -errno : -EIO, "%s",
				     in->path);
	in->result->lines = lines;
	in->result->unfinished = in->parser->unfinished;
	return rc;
}

/* ---- the log ---- */

static int write_log(struct import *in, struct platter_image *img,
		     struct platter_error *err)
{
	const struct plt_wlog_append_options opts = {
		.sector_size = in->sector_size,
		.interval = UINT64_MAX,
	};
	int rc;

	rc = plt_wlog_appender_open(&in->log, img, &opts, err);
	if (rc)
		return rc;
	rc = append_origin(in, err);
	if (!rc)
		rc = read_text(in, err);
	if (!rc)
		rc = plt_wlog_write_super(&in->log, in->log.entries, err);
	in->result->entries = in->log.entries;
	in->result->bytes = in->log.end;
	plt_wlog_appender_close(&in->log);
	return rc;
}

static int make_log(struct import *in, struct platter_context *ctx,
		    const char *path, struct platter_error *err)
{
	const struct platter_open_options opts = {
		.format = "raw",
		.flags = PLATTER_O_RDWR,
	};
	struct platter_image *img;
	struct plt_newfile *nf;
	int rc, closed;

	rc = plt_newfile_new(&nf, path, in->opts->force, err);
	if (rc)
		return rc;
	rc = platter_image_open(&img, ctx, plt_newfile_part(nf), &opts, err);
	if (!rc) {
		rc = write_log(in, img, err);
		closed = platter_image_close(img, rc ? NULL : err);
		rc = rc ? rc : closed;
	}
	if (!rc)
		rc = plt_newfile_commit(nf, true, err);
	plt_newfile_free(nf);
	return rc;
}

static int open_source(struct import *in, struct platter_context *ctx,
		       const char *path, struct platter_error *err)
{
	const struct platter_open_options opts = {
		.format = in->opts->source_format,
	};
	int rc;

	if (in->opts->data != PLATTER_LOG_IMPORT_SOURCE)
		return 0;
	rc = platter_image_open(&in->source, ctx, in->opts->source, &opts,
				err);
	if (!rc && plt_image_uses_path(in->source, path))
		rc = plt_err_set(err, -EINVAL, "%s: is the source as well",
				 path);
	return rc;
}

static int prepare(struct import *in, struct platter_context *ctx,
		   const char *path, struct platter_error *err)
{
	int rc;

	if (!plt_is_power_of_2(in->sector_size) ||
	    in->sector_size < SECTOR_LEAST ||
	    in->sector_size > PLT_WLOG_SECTOR_MAX)
		return plt_err_set(err, -EINVAL, "a log sector size of %" PRIu32
				   " bytes is not a power of two from %u to %u",
				   in->sector_size, SECTOR_LEAST,
				   PLT_WLOG_SECTOR_MAX);
	if (plt_same_file(in->path, path))
		return plt_err_set(err, -EINVAL, "%s: is the text itself; name "
				   "another file", path);
	rc = plt_wlog_parser_new(&in->parser, in->opts->format,
				 in->opts->device, err);
	if (!rc)
		rc = open_source(in, ctx, path, err);
	if (rc)
		return rc;
	in->f = fopen(in->path, "re");
	if (!in->f)
		return plt_err_errno(err, -errno, "%s", in->path);
	if (fseeko(in->f, 0, SEEK_END) || ftello(in->f) < 0)
		return plt_err_errno(err, -errno, "%s: the text is read twice, "
				     "so it has to be a file", in->path);
	in->text_size = (uint64_t)ftello(in->f);
	rewind(in->f);
	return 0;
}

static int run(struct import *in, struct platter_context *ctx,
	       const char *path, struct platter_error *err)
{
	int rc;

	rc = prepare(in, ctx, path, err);
	if (!rc)
		rc = read_text(in, err);
	if (rc)
		return rc;
	rewind(in->f);
	plt_wlog_parser_rewind(in->parser);
	return make_log(in, ctx, path, err);
}

int platter_log_import(struct platter_context *ctx, const char *text,
		       const char *path,
		       const struct platter_log_import_options *opts,
		       struct platter_log_import_result *result,
		       struct platter_error *err)
{
	struct import in = {
		.opts = opts,
		.result = result,
		.path = text,
		.sector_size = opts->sector_size ? opts->sector_size :
			       SECTOR_DEFAULT,
	};
	int rc;

	*result = (struct platter_log_import_result){ 0 };
	rc = run(&in, ctx, path, err);
	if (in.f)
		fclose(in.f);
	plt_wlog_parser_free(in.parser);
	plt_image_free(in.source);
	free(in.data);
	return rc;
}
