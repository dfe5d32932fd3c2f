/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Output: one printer interface with text, JSON and XML back ends.
 *
 * A verb describes the structure of its result once (maps, lists, strings,
 * numbers); the back end decides how it looks. Everything streams: a list of
 * ten million rows needs no more memory than one row.
 *
 * A printer keeps the first write error (a full disk, a closed pipe) and
 * platter_printer_close() returns it; the calls between need no checks.
 * Not for use by two threads at once.
 */
#ifndef PLATTER_OUT_H
#define PLATTER_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <platter/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct platter_printer;

enum platter_output {
	PLATTER_OUTPUT_HUMAN,
	PLATTER_OUTPUT_JSON,
	PLATTER_OUTPUT_XML,
};
/* Parse "human", "json" or "xml". */
int platter_output_parse(enum platter_output *out, const char *name,
			 struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * A printer that writes to `stream`, which stays the caller's and is flushed
 * on close. `root` names the document element in XML and is unused elsewhere.
 */
int platter_printer_new(struct platter_printer **out,
			enum platter_output kind, FILE *stream,
			const char *root, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* End the document, free the printer, return the first error met. */
int platter_printer_close(struct platter_printer *p, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* Hand on what has been printed; an error is kept for the close. */
void platter_printer_flush(struct platter_printer *p);

enum platter_output platter_printer_kind(const struct platter_printer *p);

/*
 * Structure. `key` names the value inside a map and must be NULL inside a list
 * or at the top. Text prints "key: value" lines, nested maps indented.
 */
void platter_out_map(struct platter_printer *p, const char *key);
void platter_out_list(struct platter_printer *p, const char *key);
/*
 * A map that is one row: JSON puts it on one line, XML into attributes of a
 * `name` element; text prints nothing for it (see platter_out_text()).
 */
void platter_out_row(struct platter_printer *p, const char *name);
void platter_out_end(struct platter_printer *p);

void platter_out_string(struct platter_printer *p, const char *key,
			const char *value);
/*
 * Bytes that need not be UTF-8. Text and XML: printable ASCII and valid UTF-8
 * as they are, a backslash doubled, all else \xNN. JSON: the same text as a
 * string (so the value is always printable and can be turned back).
 */
void platter_out_bytes(struct platter_printer *p, const char *key,
		       const void *value, size_t len);
void platter_out_u64(struct platter_printer *p, const char *key,
		     uint64_t value);
void platter_out_i64(struct platter_printer *p, const char *key,
		     int64_t value);
/* A number with `decimals` places, never in exponent form. */
void platter_out_double(struct platter_printer *p, const char *key,
			double value, int decimals);
void platter_out_bool(struct platter_printer *p, const char *key, bool value);
void platter_out_null(struct platter_printer *p, const char *key);

/*
 * Text for people: printed by the human back end only, so that a table can
 * have its own shape. Ignored by the others.
 */
void platter_out_text(struct platter_printer *p, const char *fmt, ...)
	PLATTER_PRINTF(2, 3);
/*
 * Suspend the human back end's own "key: value" lines (nested, counted), for
 * verbs that print text and structure side by side. No effect on the others.
 */
void platter_out_hide(struct platter_printer *p, bool hide);

/* Escape as platter_out_bytes() does; the caller frees. NULL: no memory. */
char *platter_bytes_escape(const void *value, size_t len);
/* Undo it in place; returns the number of bytes. Bad escapes stay as text. */
size_t platter_bytes_unescape(char *text);

/*
 * ---- Digital Forensics XML: hashes of images ----
 *
 *	new, for each image (image, for each place in ascending order (run,
 *	hash..., end_run), end_runs, hash..., end_image), close
 *
 * The places of an image may be left out, and so may all hashes. As with a
 * printer, the first error is kept for the end.
 */
struct platter_dfxml;

struct platter_dfxml_options {
	const char *program;
	const char *version;
	const char *command_line;
	time_t start_time;
	const char *const *images;	/* their names, as the source */
	size_t nr_images;
};

/* `stream` stays the caller's. */
int platter_dfxml_new(struct platter_dfxml **out, FILE *stream,
		      const struct platter_dfxml_options *opts,
		      struct platter_error *err) PLATTER_MUST_CHECK;
/* `size` is that of the disk in the image, in bytes. */
void platter_dfxml_image(struct platter_dfxml *d, const char *name,
			 uint64_t size);
/* A place on that disk, in bytes. */
void platter_dfxml_run(struct platter_dfxml *d, uint64_t offset,
		       uint64_t length);
void platter_dfxml_end_run(struct platter_dfxml *d);
void platter_dfxml_end_runs(struct platter_dfxml *d);
/* `name` is md5, sha1 or sha256; the schema knows no other. */
void platter_dfxml_hash(struct platter_dfxml *d, const char *name,
			const char *hex);
void platter_dfxml_end_image(struct platter_dfxml *d);
/* End the document, free `d`, return the first error met. */
int platter_dfxml_close(struct platter_dfxml *d, struct platter_error *err)
	PLATTER_MUST_CHECK;

/*
 * Progress of a long operation, and the way to stop it. A job calls update()
 * from one thread at a time, at most a few hundred times a second; a non-zero
 * return stops the job with -ECANCELED.
 */
struct platter_progress {
	int (*update)(struct platter_progress *self, uint64_t done,
		      uint64_t total);
};

enum platter_progress_style {
	PLATTER_PROGRESS_NONE,
	PLATTER_PROGRESS_BAR,	/* bar, rate, time left; rewritten in place */
	PLATTER_PROGRESS_QEMU,	/* "    (12.34/100%)\r" as qemu-img -p */
};
/*
 * A reporter on `stream`. Handles SIGUSR1 (one line on standard error) and
 * stops the job when SIGINT, SIGTERM or SIGHUP has come in, in every style.
 * One at a time in a process. Free it before printing results.
 */
int platter_progress_new(struct platter_progress **out,
			 enum platter_progress_style style, FILE *stream,
			 struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * What the bar says behind it from the next update on, for work that is not
 * counted in bytes. Copied.
 */
void platter_progress_facts(struct platter_progress *p, const char *text);
/* Finish the bar (at 100 % when `done`) and restore signal handlers. */
void platter_progress_free(struct platter_progress *p, bool done);

#ifdef __cplusplus
}
#endif
#endif
