// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Text for people: "key: value" lines, what is nested indented by four spaces.
 *
 * A map or list prints its own line only when something in it is shown, so an
 * empty list, and one of rows (which a verb prints as a table of its own),
 * leave no trace. Maps in a list are headed by their number: "[0]:".
 */
#include "out/printer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/text.h"

static bool is_shown(const struct platter_printer *p)
{
	return !p->hidden && !p->top->inline_;
}

/* How deep the lines of the frame `f` are; the outermost is not indented. */
static unsigned int level(const struct platter_printer *p,
			  const struct plt_out_frame *f)
{
	unsigned int depth = (unsigned int)(f - p->frames);

	return depth ? depth - 1 : 0;
}

/* Keys are of identifiers, "virtual-size"; people read "virtual size". */
static void put_key(struct platter_printer *p, const char *key)
{
	for (; *key; key++)
		plt_out_putc(p, *key == '-' ? ' ' : *key);
}

/* What names a value of the frame `in`: its key, or its place in a list. */
static void put_name(struct platter_printer *p,
		     const struct plt_out_frame *in, const char *key,
		     bool structure)
{
	char number[32];

	if (in->kind == PLT_OUT_LIST && structure) {
		snprintf(number, sizeof(number), "[%ju]:",
			 (uintmax_t)in->count - 1);
		plt_out_puts(p, number);
	} else if (in->kind != PLT_OUT_LIST && key) {
		put_key(p, key);
		plt_out_putc(p, ':');
	}
}

/* Print the lines of all open maps and lists that have none yet. */
static void announce(struct platter_printer *p)
{
	for (struct plt_out_frame *f = p->frames + 1; f <= p->top; f++) {
		if (f->state)
			continue;
		f->state = true;
		if (f == p->frames + 1 && !*f->key)
			continue;
		plt_out_indent(p, level(p, f - 1));
		put_name(p, f - 1, f->key, true);
		plt_out_putc(p, '\n');
	}
}

static void text_begin(struct platter_printer *p, struct plt_out_frame *frame,
		       const char *key)
{
	(void)p;
	/* Its line may come long after the caller's key is gone. */
	if (key)
		snprintf(frame->key, sizeof(frame->key), "%s", key);
}

static void text_end(struct platter_printer *p,
		     const struct plt_out_frame *frame)
{
	(void)p;
	(void)frame;
}

static void text_string(struct platter_printer *p, const char *key,
			const char *text, size_t len)
{
	if (!is_shown(p))
		return;
	announce(p);
	plt_out_indent(p, level(p, p->top));
	if (p->top->kind != PLT_OUT_LIST && key) {
		put_name(p, p->top, key, false);
		if (len)
			plt_out_putc(p, ' ');
	}
	plt_out_put(p, text, len);
	plt_out_putc(p, '\n');
}

static void text_literal(struct platter_printer *p, const char *key,
			 const char *text, size_t len)
{
	/* "There is none" is best said by saying nothing. */
	if (text)
		text_string(p, key, text, len);
}

static void PLATTER_PRINTF(2, 0) text_text(struct platter_printer *p,
					   const char *fmt, va_list ap)
{
	char small[512];
	char *large = NULL;
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	if (n >= (int)sizeof(small)) {
		n = vasprintf(&large, fmt, again);
		if (n >= 0)
			plt_out_put(p, large, (size_t)n);
		free(n >= 0 ? large : NULL);
	} else if (n >= 0) {
		plt_out_put(p, small, (size_t)n);
	}
	if (n < 0)
		plt_out_fail(p, -ENOMEM);
	va_end(again);
}

const struct plt_printer_ops plt_out_text_ops = {
	.kind = PLATTER_OUTPUT_HUMAN,
	.fits = plt_text_all_plain,
	.begin = text_begin,
	.end = text_end,
	.string = text_string,
	.literal = text_literal,
	.text = text_text,
};
