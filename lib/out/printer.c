// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The printer's front end: calls of <platter/out.h> to calls of a back end.
 *
 * Speed matters here: a list of ten million rows is a common result. So the
 * output goes through a buffer of our own, and numbers are turned into digits
 * without printf(). Memory does not depend on what is printed.
 */
#include "out/printer.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"

#define U64_DIGITS	20
#define MAX_DECIMALS	18
/* The largest double has 309 digits before the point. */
#define DOUBLE_MAX	(309 + 2 + MAX_DECIMALS + 8)

int platter_output_parse(enum platter_output *out, const char *name,
			 struct platter_error *err)
{
	static const char *const names[] = {
		[PLATTER_OUTPUT_HUMAN] = "human",
		[PLATTER_OUTPUT_JSON] = "json",
		[PLATTER_OUTPUT_XML] = "xml",
	};

	for (size_t i = 0; i < PLT_ARRAY_SIZE(names); i++) {
		if (!strcmp(name, names[i])) {
			*out = (enum platter_output)i;
			return 0;
		}
	}
	return plt_err_set(err, -EINVAL,
			   "output '%s' is none of human, json, xml", name);
}

/* ---- the buffer ---- */

void plt_out_fail(struct platter_printer *p, int rc)
{
	if (!p->rc)
		p->rc = rc;
}

static void write_out(struct platter_printer *p, const char *text, size_t len)
{
	/* After the first error what follows would leave a gap. */
	if (p->rc || !len)
		return;
	errno = 0;
	if (fwrite(text, 1, len, p->stream) != len)
		plt_out_fail(p, errno ? -errno : -EIO);
}

void plt_out_drain(struct platter_printer *p)
{
	write_out(p, p->buffer, p->used);
	p->used = 0;
}

void plt_out_put_slow(struct platter_printer *p, const char *text, size_t len)
{
	plt_out_drain(p);
	if (len >= PLT_OUT_BUFFER) {
		write_out(p, text, len);
		return;
	}
	memcpy(p->buffer, text, len);
	p->used = len;
}

void plt_out_indent(struct platter_printer *p, unsigned int levels)
{
	static const char spaces[] = "                ";

	for (size_t n = levels * 4u; n;) {
		size_t part = PLT_MIN(n, sizeof(spaces) - 1);

		plt_out_put(p, spaces, part);
		n -= part;
	}
}

void platter_printer_flush(struct platter_printer *p)
{
	plt_out_drain(p);
	errno = 0;
	if (fflush(p->stream))
		plt_out_fail(p, errno ? -errno : -EIO);
}

/* ---- life ---- */

int platter_printer_new(struct platter_printer **out,
			enum platter_output kind, FILE *stream,
			const char *root, struct platter_error *err)
{
	static const struct plt_printer_ops *const backends[] = {
		[PLATTER_OUTPUT_HUMAN] = &plt_out_text_ops,
		[PLATTER_OUTPUT_JSON] = &plt_out_json_ops,
		[PLATTER_OUTPUT_XML] = &plt_out_xml_ops,
	};
	struct platter_printer *p;
	int fd = fileno(stream);

	p = plt_calloc(1, sizeof(*p), err);
	if (!p)
		return -ENOMEM;
	p->ops = backends[kind];
	p->stream = stream;
	p->interactive = fd >= 0 && isatty(fd);
	p->top = p->frames;
	if (p->ops->start) {
		int rc = p->ops->start(p, root, err);

		if (rc) {
			free(p);
			return rc;
		}
	}
	*out = p;
	return 0;
}

int platter_printer_close(struct platter_printer *p, struct platter_error *err)
{
	int rc;

	if (!p)
		return 0;
	/* A verb that failed half way still leaves a document. */
	while (p->too_deep || p->top != p->frames)
		platter_out_end(p);
	if (p->ops->finish)
		p->ops->finish(p);
	platter_printer_flush(p);
	rc = p->rc;
	free(p);
	if (rc)
		return plt_err_errno(err, rc, "writing the output");
	return 0;
}

enum platter_output platter_printer_kind(const struct platter_printer *p)
{
	return p->ops->kind;
}

/* ---- structure ---- */

static void begin(struct platter_printer *p, enum plt_out_kind kind,
		  const char *key)
{
	struct plt_out_frame *frame = p->top + 1;

	/* No result is so deep: a mistake, but not one to crash from. */
	if (p->too_deep || frame == p->frames + PLT_OUT_DEPTH) {
		p->too_deep++;
		plt_out_fail(p, -EOVERFLOW);
		return;
	}
	frame->kind = kind;
	frame->inline_ = p->top->inline_ || kind == PLT_OUT_ROW;
	frame->state = false;
	frame->count = 0;
	frame->key[0] = '\0';
	p->top->count++;
	p->ops->begin(p, frame, key);
	p->top = frame;
}

void platter_out_map(struct platter_printer *p, const char *key)
{
	begin(p, PLT_OUT_MAP, key);
}

void platter_out_list(struct platter_printer *p, const char *key)
{
	begin(p, PLT_OUT_LIST, key);
}

void platter_out_row(struct platter_printer *p, const char *name)
{
	begin(p, PLT_OUT_ROW, name);
}

void platter_out_end(struct platter_printer *p)
{
	struct plt_out_frame *frame = p->top;

	if (p->too_deep) {
		p->too_deep--;
		return;
	}
	if (frame == p->frames)
		return;
	p->top--;
	p->ops->end(p, frame);
	if (p->interactive && frame->kind == PLT_OUT_ROW)
		platter_printer_flush(p);
}

/* ---- values ---- */

static void string(struct platter_printer *p, const char *key,
		   const char *text, size_t len)
{
	if (p->too_deep)
		return;
	p->top->count++;
	p->ops->string(p, key, text, len);
}

static void literal(struct platter_printer *p, const char *key,
		    const char *text, size_t len)
{
	if (p->too_deep)
		return;
	p->top->count++;
	p->ops->literal(p, key, text, len);
}

void platter_out_string(struct platter_printer *p, const char *key,
			const char *value)
{
	size_t len = strlen(value);

	if (p->ops->fits(value, len))
		string(p, key, value, len);
	else
		platter_out_bytes(p, key, value, len);
}

void platter_out_bytes(struct platter_printer *p, const char *key,
		       const void *value, size_t len)
{
	plt_auto_free char *text = platter_bytes_escape(value, len);

	if (text)
		string(p, key, text, strlen(text));
	else
		plt_out_fail(p, -ENOMEM);
}

/* Writes to the left of `end`; returns where the digits begin. */
static char *digits(char *end, uint64_t v)
{
	static const char pairs[] =
		"00010203040506070809101112131415161718192021222324"
		"25262728293031323334353637383940414243444546474849"
		"50515253545556575859606162636465666768697071727374"
		"75767778798081828384858687888990919293949596979899";

	while (v >= 100) {
		end -= 2;
		memcpy(end, pairs + 2 * (v % 100), 2);
		v /= 100;
	}
	if (v >= 10) {
		end -= 2;
		memcpy(end, pairs + 2 * v, 2);
	} else {
		*--end = (char)('0' + v);
	}
	return end;
}

void platter_out_u64(struct platter_printer *p, const char *key,
		     uint64_t value)
{
	char buf[U64_DIGITS];
	char *end = buf + sizeof(buf);
	char *start = digits(end, value);

	literal(p, key, start, (size_t)(end - start));
}

void platter_out_i64(struct platter_printer *p, const char *key,
		     int64_t value)
{
	uint64_t v = value < 0 ? -(uint64_t)value : (uint64_t)value;
	char buf[1 + U64_DIGITS];
	char *end = buf + sizeof(buf);
	char *start = digits(end, v);

	if (value < 0)
		*--start = '-';
	literal(p, key, start, (size_t)(end - start));
}

void platter_out_double(struct platter_printer *p, const char *key,
			double value, int decimals)
{
	char buf[DOUBLE_MAX];

	/* JSON has neither infinities nor "not a number". */
	if (!isfinite(value)) {
		platter_out_null(p, key);
		return;
	}
	decimals = decimals < 0 ? 0 : PLT_MIN(decimals, MAX_DECIMALS);
	snprintf(buf, sizeof(buf), "%.*f", decimals, value);
	plt_text_point(buf);
	literal(p, key, buf, strlen(buf));
}

void platter_out_bool(struct platter_printer *p, const char *key, bool value)
{
	if (value)
		literal(p, key, "true", 4);
	else
		literal(p, key, "false", 5);
}

void platter_out_null(struct platter_printer *p, const char *key)
{
	literal(p, key, NULL, 0);
}

/* ---- text for people ---- */

void platter_out_text(struct platter_printer *p, const char *fmt, ...)
{
	va_list ap;

	if (!p->ops->text)
		return;
	va_start(ap, fmt);
	p->ops->text(p, fmt, ap);
	va_end(ap);
}

void platter_out_hide(struct platter_printer *p, bool hide)
{
	if (hide)
		p->hidden++;
	else if (p->hidden)
		p->hidden--;
}
