/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter log record`: how it goes, and what has come of it. */
#include <string.h>
#include <unistd.h>

#include "log-record.h"

bool record_ask(struct record *r)
{
	bool all = true;

	for (size_t i = 0; i < r->nr_disks; i++)
		all &= !serve_session_stats(r->session_path, i,
					    &r->disks[i].stats, NULL);
	return all;
}

uint64_t record_grown(const struct record *r)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < r->nr_disks; i++)
		sum += r->disks[i].stats.log_size - r->disks[i].first_size;
	return sum;
}

static double seconds(const struct record *r)
{
	uint64_t end = r->ended ? r->ended : cmd_now_ns();

	return r->began ? (double)(end - r->began) / 1e9 : 0;
}

/* Bytes a second. */
static uint64_t rate(const struct record *r, uint64_t bytes)
{
	double s = seconds(r);

	return s > 0 ? (uint64_t)((double)bytes / s) : 0;
}

/* ---- while it runs ---- */

/* "1234 entries, 45 MiB written, 12 MiB/s, log 46 MiB" */
static void progress_text(struct record *r, char *text, size_t size)
{
	char written[PLATTER_SIZE_TEXT_MAX], log[PLATTER_SIZE_TEXT_MAX];
	char speed[PLATTER_SIZE_TEXT_MAX];
	uint64_t entries = 0, bytes = 0, log_size = 0;
	const char *paused = "";

	record_ask(r);
	for (size_t i = 0; i < r->nr_disks; i++) {
		const struct platter_record_stats *s = &r->disks[i].stats;

		entries += s->entries;
		bytes += s->data_bytes;
		log_size += s->log_size;
		paused = s->paused ? ", paused" : paused;
	}
	snprintf(text, size, "%" PRIu64 " entries, %s written, %s/s, log %s%s",
		 entries, platter_size_text(written, bytes),
		 platter_size_text(speed, rate(r, bytes)),
		 platter_size_text(log, log_size), paused);
}

void record_progress(struct record *r)
{
	char text[160];

	progress_text(r, text, sizeof(text));
	fprintf(r->cmd->err, isatty(fileno(r->cmd->err)) ? "\r%s\033[K" :
		"%s\n", text);
	fflush(r->cmd->err);
}

void record_progress_line(struct record *r)
{
	char text[160];

	progress_text(r, text, sizeof(text));
	if (r->o->progress && isatty(fileno(r->cmd->err)))
		fputs("\r\033[K", r->cmd->err);
	fprintf(r->cmd->err, "%s: %s\n", r->cmd->as->name, text);
	fflush(r->cmd->err);
}

void record_progress_end(struct record *r)
{
	record_progress(r);
	if (isatty(fileno(r->cmd->err)))
		putc('\n', r->cmd->err);
	fflush(r->cmd->err);
}

/* ---- when it is done ---- */

static void summary_human(struct platter_printer *out, const struct record *r,
			  const struct record_disk *d)
{
	const struct platter_record_stats *s = &d->stats;
	char data[PLATTER_SIZE_TEXT_MAX], log[PLATTER_SIZE_TEXT_MAX];
	char speed[PLATTER_SIZE_TEXT_MAX];

	platter_out_text(out, "%s: %" PRIu64 " writes (%" PRIu64 " FUA), %"
			 PRIu64 " flushes, %" PRIu64 " discards, %" PRIu64
			 " marks: %s in %.2f s (%s/s); entries: %" PRIu64
			 ", log size: %s\n", d->log, s->writes, s->fuas,
			 s->flushes, s->discards, s->marks,
			 platter_size_text(data, s->data_bytes), seconds(r),
			 platter_size_text(speed, rate(r, s->data_bytes)),
			 s->entries, platter_size_text(log, s->log_size));
}

/* The image as it was before, as far as we know of one. */
static const char *base_of(const struct record *r, const struct record_disk *d)
{
	return d->base ? d->base : r->o->overlay ? d->spec : NULL;
}

static void replay_hint(struct platter_printer *out, const struct record *r,
			const struct record_disk *d)
{
	const char *base = base_of(r, d);

	platter_out_text(out, "replay with: platter replay %s TARGET --base "
			 "%s\n", d->log, base ? base : "BEFORE, a copy of the "
			 "image before this");
}

static void summary_row(struct platter_printer *out, const struct record *r,
			const struct record_disk *d)
{
	const struct platter_record_stats *s = &d->stats;
	const char *base = base_of(r, d);

	platter_out_map(out, NULL);
	if (d->name)
		platter_out_string(out, "disk", d->name);
	platter_out_string(out, "image", d->spec);
	platter_out_string(out, "log", d->log);
	if (base)
		platter_out_string(out, "base", base);
	platter_out_u64(out, "entries", s->entries);
	platter_out_u64(out, "writes", s->writes);
	platter_out_u64(out, "flushes", s->flushes);
	platter_out_u64(out, "fuas", s->fuas);
	platter_out_u64(out, "discards", s->discards);
	platter_out_u64(out, "marks", s->marks);
	platter_out_u64(out, "data-bytes", s->data_bytes);
	platter_out_u64(out, "discard-bytes", s->discard_bytes);
	platter_out_u64(out, "log-size", s->log_size);
	platter_out_end(out);
}

static int summary_data(struct record *r, int status,
			struct platter_error *err)
{
	struct platter_printer *out;
	int rc = cmd_printer(r->cmd, r->o->output.kind, &out, err);

	if (rc)
		return rc;
	platter_out_map(out, NULL);
	platter_out_u64(out, "exit-status", (uint64_t)status);
	platter_out_bool(out, "stopped", r->stopped);
	platter_out_double(out, "seconds", seconds(r), 3);
	platter_out_list(out, "disks");
	for (size_t i = 0; i < r->nr_disks; i++)
		summary_row(out, r, &r->disks[i]);
	platter_out_end(out);
	platter_out_end(out);
	return 0;
}

int record_summary(struct record *r, int status, struct platter_error *err)
{
	struct platter_printer *out;
	int rc;

	if (r->o->output.kind != PLATTER_OUTPUT_HUMAN)
		return summary_data(r, status, err);
	if (r->o->quiet)
		return 0;
	/* Standard output is the command's. */
	rc = platter_printer_new(&out, PLATTER_OUTPUT_HUMAN, r->cmd->err, NULL,
				 err);
	if (rc)
		return rc;
	for (size_t i = 0; i < r->nr_disks; i++)
		summary_human(out, r, &r->disks[i]);
	for (size_t i = 0; i < r->nr_disks; i++)
		replay_hint(out, r, &r->disks[i]);
	return platter_printer_close(out, err);
}
