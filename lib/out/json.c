// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * JSON (RFC 8259) in the shape qemu-img prints it.
 *
 * Maps and lists take a line per value, indented by four spaces. A row takes
 * one line, with everything in it. A list of rows as the whole result has no
 * indentation, as in `qemu-img map`:
 *
 *	[{ "start": 0, "length": 4096},
 *	{ "start": 4096, "length": 512}]
 *
 * Rows that are in no list are JSON lines.
 */
#include "out/printer.h"

#include "base/text.h"

static void put_string(struct platter_printer *p, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	static const char names[32] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
		['\r'] = 'r',
	};
	size_t from = 0;

	plt_out_putc(p, '"');
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		char escape[6] = { '\\', (char)c, '0', '0', 0, 0 };
		size_t n = 2;

		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		plt_out_put(p, text + from, i - from);
		from = i + 1;
		if (c < 0x20 && names[c]) {
			escape[1] = names[c];
		} else if (c < 0x20 || c == 0x7f) {
			escape[1] = 'u';
			escape[4] = hex[c >> 4];
			escape[5] = hex[c & 15];
			n = 6;
		}
		plt_out_put(p, escape, n);
	}
	plt_out_put(p, text + from, len - from);
	plt_out_putc(p, '"');
}

/* A list that is the whole result and holds rows. */
static bool is_bare(const struct platter_printer *p,
		    const struct plt_out_frame *list, bool row)
{
	return row && list == p->frames + 1 && list->kind == PLT_OUT_LIST;
}

/* What stands before a value: comma, line end, indentation, key. */
static void lead(struct platter_printer *p, const char *key, bool row)
{
	struct plt_out_frame *in = p->top;
	bool bare = is_bare(p, in, row);

	/* Remembered for the closing bracket. */
	if (bare)
		in->state = true;
	if (in->kind == PLT_OUT_TOP) {
		if (in->count > 1 && !in->state)
			plt_out_putc(p, '\n');
		in->state = false;
		return;
	}
	if (in->count > 1)
		plt_out_putc(p, ',');
	if (in->inline_) {
		if (in->count > 1 || in->kind != PLT_OUT_LIST)
			plt_out_putc(p, ' ');
	} else if (!bare || in->count > 1) {
		plt_out_putc(p, '\n');
		if (!bare)
			plt_out_indent(p, plt_out_depth(p));
	}
	if (in->kind != PLT_OUT_LIST && key) {
		put_string(p, key, strlen(key));
		plt_out_put(p, ": ", 2);
	}
}

static void json_begin(struct platter_printer *p, struct plt_out_frame *frame,
		       const char *key)
{
	lead(p, key, frame->kind == PLT_OUT_ROW);
	plt_out_putc(p, frame->kind == PLT_OUT_LIST ? '[' : '{');
}

static void json_end(struct platter_printer *p,
		     const struct plt_out_frame *frame)
{
	if (frame->count && !frame->inline_ && !frame->state) {
		plt_out_putc(p, '\n');
		plt_out_indent(p, plt_out_depth(p));
	}
	plt_out_putc(p, frame->kind == PLT_OUT_LIST ? ']' : '}');
	/* Rows that are in nothing are lines, each complete when it ends. */
	if (frame->kind == PLT_OUT_ROW && p->top->kind == PLT_OUT_TOP) {
		plt_out_putc(p, '\n');
		p->top->state = true;
	}
}

static void json_string(struct platter_printer *p, const char *key,
			const char *text, size_t len)
{
	lead(p, key, false);
	put_string(p, text, len);
}

static void json_literal(struct platter_printer *p, const char *key,
			 const char *text, size_t len)
{
	lead(p, key, false);
	if (text)
		plt_out_put(p, text, len);
	else
		plt_out_put(p, "null", 4);
}

static void json_finish(struct platter_printer *p)
{
	if (p->top->count && !p->top->state)
		plt_out_putc(p, '\n');
}

const struct plt_printer_ops plt_out_json_ops = {
	.kind = PLATTER_OUTPUT_JSON,
	.fits = plt_utf8_valid,
	.begin = json_begin,
	.end = json_end,
	.string = json_string,
	.literal = json_literal,
	.finish = json_finish,
};
