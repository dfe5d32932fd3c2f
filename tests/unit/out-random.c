// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Random bytes and random structure: what jansson and libxml2 read back is
 * what was printed. The seed is fixed, so a failure can be repeated.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <libxml/parser.h>
#include <libxml/tree.h>

#include <platter/out.h>

#include "base/mem.h"
#include "base/text.h"

#define ROUNDS	20000
#define TREES	3000
#define LEN	48	/* 10 of them for the longest of `special` */

/* What has a meaning somewhere, or is not quite a character. */
static const char *const special[] = {
	"\"", "\\", "<", ">", "&", "'", "]]>", "<![CDATA[", "&#0;", "\\x41",
	"\\u0041", " ", "x", "\n", "\r", "\t", "\v", "\033", "\x7f",
	"\xc3\xa9",		/* e with acute */
	"\xc2\x85",		/* next line */
	"\xc2\x9b",		/* C1 control sequence introducer */
	"\xe2\x80\xa8",	/* line separator */
	"\xe2\x80\xae",	/* right-to-left override */
	"\xef\xbb\xbf",	/* byte order mark */
	"\xef\xbf\xbd",	/* replacement character */
	"\xef\xbf\xbe",	/* U+FFFE, no character */
	"\xf0\x9f\x92\xbe",	/* outside of the basic plane */
	"\xed\xa0\x80",	/* half of a surrogate pair */
	"\xff", "\xc0\x80", "\xe2\x80", "\xf0",
};

/* A NUL-terminated string of random bytes; never holds a NUL. */
static void random_string(char text[LEN])
{
	size_t len = (size_t)random() % (LEN - 10);
	unsigned int style = (unsigned int)random() % 3;
	size_t n = 0;

	while (n < len) {
		size_t r = (size_t)random() >> 4;

		if (style == 0)
			text[n++] = (char)(r % 255 + 1);
		else if (style == 1)
			text[n++] = (char)(r % 95 + ' ');
		else
			n = (size_t)(stpcpy(text + n, special[
				r % PLT_ARRAY_SIZE(special)]) - text);
	}
	text[n] = '\0';
}

struct output {
	struct platter_printer *p;
	FILE *f;
	char *text;
	size_t len;
};

static void begin(struct output *o, enum platter_output kind)
{
	o->f = open_memstream(&o->text, &o->len);
	assert_int_equal(platter_printer_new(&o->p, kind, o->f, "root", NULL),
			 0);
}

static void end(struct output *o)
{
	assert_int_equal(platter_printer_close(o->p, NULL), 0);
	fclose(o->f);
}

static json_t *read_json(const struct output *o)
{
	json_error_t error;
	json_t *root = json_loadb(o->text, o->len, JSON_DECODE_ANY, &error);

	if (!root)
		fail_msg("%s in %s", error.text, o->text);
	return root;
}

static xmlDocPtr read_xml(const struct output *o)
{
	xmlDocPtr doc = xmlReadMemory(o->text, (int)o->len, NULL, NULL,
				      XML_PARSE_NONET | XML_PARSE_NOERROR |
				      XML_PARSE_NOWARNING);

	if (!doc)
		fail_msg("not well-formed: %s", o->text);
	return doc;
}

static bool is_xml_text(const char *text)
{
	size_t len = strlen(text);
	uint32_t c;

	for (size_t i = 0, n; i < len; i += n) {
		n = plt_utf8(text + i, len - i, &c);
		if (!n || c == 0xfffe || c == 0xffff ||
		    (c < 0x20 && c != '\t' && c != '\n' && c != '\r'))
			return false;
	}
	return true;
}

/* Does `got`, as a parser read it, stand for `text`? */
static void assert_stands_for(const char *got, const char *text, bool as_is)
{
	plt_auto_free char *copy = strdup(got);

	if (as_is) {
		assert_string_equal(got, text);
		return;
	}
	assert_int_equal(platter_bytes_unescape(copy), strlen(text));
	assert_memory_equal(copy, text, strlen(text));
}

static void strings_to(struct platter_printer *p, const char *text)
{
	platter_out_map(p, NULL);
	platter_out_string(p, "string", text);
	platter_out_bytes(p, "bytes", text, strlen(text));
	platter_out_row(p, "row");
	platter_out_string(p, "string", text);
	platter_out_bytes(p, "bytes", text, strlen(text));
	platter_out_end(p);
	platter_out_end(p);
}

static const char *json_member(json_t *map, const char *key)
{
	return json_string_value(json_object_get(map, key));
}

static void json_strings_come_back(void **state)
{
	char text[LEN];

	(void)state;
	srandom(3);
	for (int i = 0; i < ROUNDS; i++) {
		struct output o;
		json_t *root;

		random_string(text);
		begin(&o, PLATTER_OUTPUT_JSON);
		strings_to(o.p, text);
		end(&o);
		root = read_json(&o);
		for (int row = 0; row < 2; row++) {
			json_t *map = row ? json_object_get(root, "row") :
					    root;

			assert_stands_for(json_member(map, "string"), text,
					  plt_utf8_valid(text, strlen(text)));
			assert_stands_for(json_member(map, "bytes"), text,
					  false);
		}
		json_decref(root);
		free(o.text);
	}
}

static xmlNodePtr child_named(xmlNodePtr node, const char *name)
{
	for (node = node->children; node; node = node->next) {
		if (!strcmp((const char *)node->name, name))
			return node;
	}
	fail_msg("no element %s", name);
	return NULL;
}

static void check_xml_text(xmlChar *got, const char *text, bool as_is)
{
	assert_non_null(got);
	assert_stands_for((const char *)got, text, as_is);
	xmlFree(got);
}

static void xml_strings_come_back(void **state)
{
	char text[LEN];

	(void)state;
	srandom(4);
	for (int i = 0; i < ROUNDS; i++) {
		struct output o;
		xmlDocPtr doc;
		xmlNodePtr root;
		xmlNodePtr row;
		bool as_is;

		random_string(text);
		as_is = is_xml_text(text);
		begin(&o, PLATTER_OUTPUT_XML);
		strings_to(o.p, text);
		end(&o);
		doc = read_xml(&o);
		root = xmlDocGetRootElement(doc);
		row = child_named(root, "row");
		check_xml_text(xmlNodeGetContent(child_named(root, "string")),
			       text, as_is);
		check_xml_text(xmlNodeGetContent(child_named(root, "bytes")),
			       text, false);
		check_xml_text(xmlGetProp(row, (const xmlChar *)"string"),
			       text, as_is);
		check_xml_text(xmlGetProp(row, (const xmlChar *)"bytes"),
			       text, false);
		xmlFreeDoc(doc);
		free(o.text);
	}
}

static void human_lines_stay_lines(void **state)
{
	char text[LEN];

	(void)state;
	srandom(5);
	for (int i = 0; i < ROUNDS; i++) {
		struct output o;
		size_t lines = 0;

		random_string(text);
		begin(&o, PLATTER_OUTPUT_HUMAN);
		strings_to(o.p, text);
		end(&o);
		for (size_t n = 0; n < o.len; n++) {
			if (o.text[n] == '\n') {
				o.text[n] = '.';
				lines++;
			}
		}
		assert_int_equal(lines, 2);
		assert_true(plt_text_all_plain(o.text, o.len));
		free(o.text);
	}
}

/* ---- structure ---- */

/* Print a random tree and return what a JSON reader should make of it. */
static json_t *random_value(struct platter_printer *p, const char *key,
			    unsigned int depth, unsigned int *left)
{
	unsigned int kind = (unsigned int)random() % (depth < 8 ? 9 : 6);
	json_t *json;
	char text[LEN];
	int64_t n = (int64_t)random() << (random() % 32);

	*left -= *left > 0;
	switch (kind) {
	case 0:
		platter_out_u64(p, key, (uint64_t)n);
		return json_integer(n);
	case 1:
		platter_out_i64(p, key, -n);
		return json_integer(-n);
	case 2:
		platter_out_bool(p, key, n & 1);
		return json_boolean(n & 1);
	case 3:
		platter_out_null(p, key);
		return json_null();
	case 4:
		platter_out_double(p, key, (double)(n % 1000) / 8, 3);
		return json_real((double)(n % 1000) / 8);
	case 5:
		random_string(text);
		for (char *c = text; *c; c++)
			*c &= 0x7f;
		platter_out_string(p, key, text);
		return json_string(text);
	case 6:
		platter_out_list(p, key);
		json = json_array();
		break;
	case 7:
		platter_out_map(p, key);
		json = json_object();
		break;
	default:
		platter_out_row(p, key ? key : "row");
		json = json_object();
	}
	for (unsigned int i = 0; *left && random() % 8; i++) {
		char name[16];
		json_t *value;

		snprintf(name, sizeof(name), "k-%u", i);
		value = random_value(p, kind == 6 ? NULL : name, depth + 1,
				     left);
		if (kind == 6)
			json_array_append_new(json, value);
		else
			json_object_set_new(json, name, value);
	}
	platter_out_end(p);
	return json;
}

static json_t *random_tree(struct platter_printer *p, unsigned int seed)
{
	unsigned int left = 60;

	srandom(seed);
	return random_value(p, NULL, 0, &left);
}

static void random_trees_come_back(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= TREES; seed++) {
		struct output o;
		json_t *expected;
		json_t *got;

		begin(&o, PLATTER_OUTPUT_JSON);
		expected = random_tree(o.p, seed);
		end(&o);
		got = read_json(&o);
		if (!json_equal(got, expected))
			fail_msg("seed %u: %s", seed, o.text);
		json_decref(got);
		free(o.text);

		begin(&o, PLATTER_OUTPUT_XML);
		json_decref(expected);
		expected = random_tree(o.p, seed);
		end(&o);
		xmlFreeDoc(read_xml(&o));
		json_decref(expected);
		free(o.text);

		begin(&o, PLATTER_OUTPUT_HUMAN);
		json_decref(random_tree(o.p, seed));
		end(&o);
		free(o.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_strings_come_back),
		cmocka_unit_test(xml_strings_come_back),
		cmocka_unit_test(human_lines_stay_lines),
		cmocka_unit_test(random_trees_come_back),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);

	xmlCleanupParser();
	return rc;
}
