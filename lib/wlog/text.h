/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests to a disk in the text that other programs log them in.
 *
 * A parser is fed the lines of a file, twice: once to see that all of them can
 * be read and what there is in them, and again for the requests.
 */
#ifndef PLT_WLOG_TEXT_H
#define PLT_WLOG_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <platter/log.h>

/* What a log's first entry, a mark, begins with when it was imported. */
#define PLT_WLOG_IMPORT_MARK	"platter-import "

#define PLT_WLOG_LINE_MAX	(64u << 10)	/* bytes of a line */

struct plt_wlog_request {
	uint64_t flags;		/* PLATTER_LOG_* */
	uint64_t start, length;	/* bytes */
	bool zero;		/* a write of zeros */
	uint64_t issue, time_ns;	/* 0 = not told */
	char *mark;		/* in the line that was parsed, or NULL */
	size_t mark_len;
};

struct plt_wlog_parser;

/* One kind of text. */
struct plt_wlog_text_ops {
	size_t state_size;
	/* As plt_wlog_parser_line(). */
	int (*line)(struct plt_wlog_parser *p, char *line,
		    struct plt_wlog_request *req, struct platter_error *err);
	void (*rewind)(struct plt_wlog_parser *p);	/* or NULL */
	void (*free)(struct plt_wlog_parser *p);	/* or NULL */
};

struct plt_wlog_parser {
	const struct plt_wlog_text_ops *ops;
	void *state;
	char *device;		/* to take, given or the first; or NULL */
	bool given;
	bool again;		/* the second time */
	uint64_t unfinished;	/* requests that have begun, but not ended */
};

int plt_wlog_parser_new(struct plt_wlog_parser **out,
			enum platter_log_text format, const char *device,
			struct platter_error *err) PLATTER_MUST_CHECK;
void plt_wlog_parser_free(struct plt_wlog_parser *p);	/* NULL is ok */
/* All lines have been seen; begin again. */
void plt_wlog_parser_rewind(struct plt_wlog_parser *p);
/*
 * One line, without its end; it is changed. 0 = *req filled, 1 = nothing in it
 * that a log has, -EINVAL = it cannot be read.
 */
int plt_wlog_parser_line(struct plt_wlog_parser *p, char *line,
			 struct plt_wlog_request *req,
			 struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- for the kinds ---- */

/* The next word, blanks before it skipped, ended by a NUL; NULL = none. */
char *plt_wlog_word(char **rest);
/* Digits and nothing else, in that base. */
bool plt_wlog_number(const char *text, int base, uint64_t *out);
/* Whether the line is for us: 0 yes, 1 no, -EINVAL two and none was chosen. */
int plt_wlog_parser_device(struct plt_wlog_parser *p, const char *name,
			   struct platter_error *err) PLATTER_MUST_CHECK;

extern const struct plt_wlog_text_ops plt_wlog_text_blkparse;
extern const struct plt_wlog_text_ops plt_wlog_text_fio;
extern const struct plt_wlog_text_ops plt_wlog_text_jsonl;
extern const struct plt_wlog_text_ops plt_wlog_text_nbdkit;

#endif
