// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * XML 1.0 by libxml2's text writer.
 *
 * The outermost map or list is the document element; a map is an element with
 * a child for each value, a list the same with children called "item", a row
 * an element with an attribute for each value. XML has no way at all to write
 * most control characters, so text that has them is escaped as bytes are.
 * The writer is never called in a state where it would complain: it would do
 * so on standard error.
 */
#include "out/printer.h"

#include <libxml/xmlwriter.h>

#include "base/error.h"
#include "base/text.h"

#define ITEM	"item"
#define NAME_MAX_LEN 128	/* bytes of an element or attribute name */

static bool is_xml_char(uint32_t c)
{
	if (c < 0x20)
		return c == '\t' || c == '\n' || c == '\r';
	return c != 0xfffe && c != 0xffff;
}

static bool xml_fits(const char *text, size_t len)
{
	uint32_t c;

	for (size_t i = 0, n; i < len; i += n) {
		n = plt_utf8(text + i, len - i, &c);
		if (!n || !is_xml_char(c))
			return false;
	}
	return true;
}

static bool is_name_char(char c, bool first)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_')
		return true;
	return !first && ((c >= '0' && c <= '9') || c == '-' || c == '.');
}

/* A key as an XML name: what may not be in one becomes '_'. */
static const xmlChar *make_name(char buf[NAME_MAX_LEN], const char *key)
{
	size_t n = 0;

	if (!key || !*key)
		key = ITEM;
	if (!is_name_char(*key, true) && is_name_char(*key, false))
		buf[n++] = '_';
	for (; *key && n < NAME_MAX_LEN - 1; key++, n++)
		buf[n] = is_name_char(*key, !n) ? *key : '_';
	buf[n] = '\0';
	return (const xmlChar *)buf;
}

/* The writer returns a byte count; anything negative is a lack of memory. */
static void check(struct platter_printer *p, int rc)
{
	if (rc < 0)
		plt_out_fail(p, -ENOMEM);
}

static int write_cb(void *context, const char *text, int len)
{
	plt_out_put(context, text, (size_t)len);
	return len;
}

static int xml_start(struct platter_printer *p, const char *root,
		     struct platter_error *err)
{
	char name[NAME_MAX_LEN];
	xmlOutputBufferPtr buffer;
	xmlTextWriterPtr w;

	buffer = xmlOutputBufferCreateIO(write_cb, NULL, p, NULL);
	w = buffer ? xmlNewTextWriter(buffer) : NULL;
	if (!w) {
		if (buffer)
			xmlOutputBufferClose(buffer);
		return plt_err_set(err, -ENOMEM, "out of memory for XML");
	}
	p->backend = w;
	check(p, xmlTextWriterSetIndent(w, 1));
	check(p, xmlTextWriterSetIndentString(w, (const xmlChar *)"  "));
	check(p, xmlTextWriterStartDocument(w, NULL, "UTF-8", NULL));
	check(p, xmlTextWriterStartElement(w, make_name(name, root)));
	return 0;
}

/* Attributes can only be added until the element has its first child. */
static bool takes_attribute(const struct platter_printer *p)
{
	return p->top->kind == PLT_OUT_ROW && !p->top->state;
}

static const char *name_for(const struct platter_printer *p, const char *key,
			    enum plt_out_kind kind)
{
	/* A row brings its own name into a list. */
	return p->top->kind == PLT_OUT_LIST && kind != PLT_OUT_ROW ? ITEM : key;
}

static void xml_begin(struct platter_printer *p, struct plt_out_frame *frame,
		      const char *key)
{
	char name[NAME_MAX_LEN];

	/* The outermost map or list is the document element itself. */
	if (p->top->kind == PLT_OUT_TOP && frame->kind != PLT_OUT_ROW)
		return;
	p->top->state = true;
	check(p, xmlTextWriterStartElement(
			 p->backend,
			 make_name(name, name_for(p, key, frame->kind))));
}

static void xml_end(struct platter_printer *p,
		    const struct plt_out_frame *frame)
{
	if (p->top->kind == PLT_OUT_TOP && frame->kind != PLT_OUT_ROW)
		return;
	check(p, xmlTextWriterEndElement(p->backend));
}

/* `text` is NUL-terminated. */
static void put_value(struct platter_printer *p, const char *key,
		      const char *text)
{
	char name[NAME_MAX_LEN];
	const xmlChar *value = (const xmlChar *)text;

	make_name(name, name_for(p, key, PLT_OUT_TOP));
	if (takes_attribute(p)) {
		check(p, xmlTextWriterWriteAttribute(
				 p->backend, (const xmlChar *)name, value));
		return;
	}
	p->top->state = true;
	check(p, xmlTextWriterWriteElement(p->backend, (const xmlChar *)name,
					   value));
}

static void xml_string(struct platter_printer *p, const char *key,
		       const char *text, size_t len)
{
	(void)len;
	put_value(p, key, text);
}

static void xml_literal(struct platter_printer *p, const char *key,
			const char *text, size_t len)
{
	char copy[512];

	if (text) {
		memcpy(copy, text, len);
		copy[len] = '\0';
		put_value(p, key, copy);
	} else if (p->top->kind == PLT_OUT_LIST) {
		/* The others keep their place in the list. */
		put_value(p, key, "");
	}
}

static void xml_finish(struct platter_printer *p)
{
	check(p, xmlTextWriterEndDocument(p->backend));
	xmlFreeTextWriter(p->backend);
}

const struct plt_printer_ops plt_out_xml_ops = {
	.kind = PLATTER_OUTPUT_XML,
	.fits = xml_fits,
	.start = xml_start,
	.begin = xml_begin,
	.end = xml_end,
	.string = xml_string,
	.literal = xml_literal,
	.finish = xml_finish,
};
