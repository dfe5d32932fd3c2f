/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a back end of the printer implements.
 *
 * The front end (printer.c) checks and escapes values, turns numbers into
 * digits, keeps the stack of open maps, lists and rows, and buffers the
 * output; a back end only decides how structure looks. Keys are ASCII.
 */
#ifndef PLT_OUT_PRINTER_H
#define PLT_OUT_PRINTER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <platter/out.h>

#define PLT_OUT_BUFFER	65536	/* bytes */
#define PLT_OUT_DEPTH	64	/* maps and lists open inside one another */
#define PLT_OUT_KEY	128	/* bytes of a key that text headings keep */

enum plt_out_kind {
	PLT_OUT_TOP,		/* outside of everything */
	PLT_OUT_MAP,
	PLT_OUT_LIST,
	PLT_OUT_ROW,
};

/* An open map, list or row. */
struct plt_out_frame {
	enum plt_out_kind kind;
	bool inline_;		/* this or one around it is a row */
	bool state;		/* for the back end; false at the start */
	uint64_t count;		/* values begun in it so far */
	char key[PLT_OUT_KEY];	/* for the back end; empty at the start */
};

struct plt_printer_ops {
	enum platter_output kind;
	/* Can this valid or invalid UTF-8 be shown as it is? */
	bool (*fits)(const char *text, size_t len);
	int (*start)(struct platter_printer *p, const char *root,
		     struct platter_error *err);	/* may be NULL */
	/*
	 * Called before the frame is pushed and after it is popped; `frame`
	 * is the one opened or closed, p->top the one around it. p->top->count
	 * counts the value already.
	 */
	void (*begin)(struct platter_printer *p, struct plt_out_frame *frame,
		      const char *key);
	void (*end)(struct platter_printer *p,
		    const struct plt_out_frame *frame);
	/* A text that fits(). */
	void (*string)(struct platter_printer *p, const char *key,
		       const char *text, size_t len);
	/* A number, true or false as it is spelled in JSON; NULL = null. */
	void (*literal)(struct platter_printer *p, const char *key,
			const char *text, size_t len);
	void (*text)(struct platter_printer *p, const char *fmt, va_list ap)
		PLATTER_PRINTF(2, 0);			/* may be NULL */
	void (*finish)(struct platter_printer *p);	/* may be NULL */
};

struct platter_printer {
	const struct plt_printer_ops *ops;
	FILE *stream;
	bool interactive;	/* somebody watches: show each row at once */
	int rc;			/* first error, negative errno */
	unsigned int hidden;	/* platter_out_hide(), counted */
	void *backend;		/* the back end's own */
	unsigned int too_deep;	/* frames open beyond PLT_OUT_DEPTH */
	struct plt_out_frame *top;
	struct plt_out_frame frames[PLT_OUT_DEPTH];
	size_t used;
	char buffer[PLT_OUT_BUFFER];
};

extern const struct plt_printer_ops plt_out_text_ops;
extern const struct plt_printer_ops plt_out_json_ops;
extern const struct plt_printer_ops plt_out_xml_ops;

/* Hand the buffer to the stream; remembers the first error. */
void plt_out_drain(struct platter_printer *p);
/* The part of plt_out_put() for what does not fit. */
void plt_out_put_slow(struct platter_printer *p, const char *text, size_t len);
/* Remember an error unless there is one. */
void plt_out_fail(struct platter_printer *p, int rc);
/* The depth of p->top: 0 outside of everything. */
static inline unsigned int plt_out_depth(const struct platter_printer *p)
{
	return (unsigned int)(p->top - p->frames);
}

static inline void plt_out_put(struct platter_printer *p, const char *text,
			       size_t len)
{
	if (len > PLT_OUT_BUFFER - p->used) {
		plt_out_put_slow(p, text, len);
		return;
	}
	memcpy(p->buffer + p->used, text, len);
	p->used += len;
}

static inline void plt_out_puts(struct platter_printer *p, const char *text)
{
	plt_out_put(p, text, strlen(text));
}

static inline void plt_out_putc(struct platter_printer *p, char c)
{
	plt_out_put(p, &c, 1);
}

void plt_out_indent(struct platter_printer *p, unsigned int levels);

#endif
