// SPDX-License-Identifier: LGPL-2.1-or-later
/* The same calls through all three back ends, against the expected text. */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <platter/out.h>

#include "base/mem.h"

#define XML_HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

static char *print(enum platter_output kind,
		   void (*calls)(struct platter_printer *p))
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_printer *p;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_int_equal(platter_printer_new(&p, kind, f, "root", &err), 0);
	assert_int_equal(platter_printer_kind(p), kind);
	calls(p);
	assert_int_equal(platter_printer_close(p, &err), 0);
	fclose(f);
	return text;
}

static void info(struct platter_printer *p)
{
	platter_out_map(p, NULL);
	platter_out_string(p, "filename", "a.img");
	platter_out_u64(p, "virtual-size", 1048576);
	platter_out_bool(p, "dirty-flag", false);
	platter_out_null(p, "backing-filename");
	platter_out_map(p, "format-specific");
	platter_out_string(p, "type", "raw");
	platter_out_map(p, "data");
	platter_out_i64(p, "offset-from-end", -7);
	platter_out_double(p, "share", 12.345, 2);
	platter_out_end(p);
	platter_out_end(p);
	platter_out_list(p, "marks");
	platter_out_string(p, NULL, "one");
	platter_out_u64(p, NULL, 2);
	platter_out_null(p, NULL);
	platter_out_end(p);
	platter_out_list(p, "children");
	platter_out_map(p, NULL);
	platter_out_string(p, "name", "file");
	platter_out_end(p);
	platter_out_map(p, NULL);
	platter_out_string(p, "name", "backing");
	platter_out_end(p);
	platter_out_end(p);
	platter_out_end(p);
}

static const char info_text[] =
	"filename: a.img\n"
	"virtual size: 1048576\n"
	"dirty flag: false\n"
	"format specific:\n"
	"    type: raw\n"
	"    data:\n"
	"        offset from end: -7\n"
	"        share: 12.35\n"
	"marks:\n"
	"    one\n"
	"    2\n"
	"children:\n"
	"    [0]:\n"
	"        name: file\n"
	"    [1]:\n"
	"        name: backing\n";

static const char info_json[] =
	"{\n"
	"    \"filename\": \"a.img\",\n"
	"    \"virtual-size\": 1048576,\n"
	"    \"dirty-flag\": false,\n"
	"    \"backing-filename\": null,\n"
	"    \"format-specific\": {\n"
	"        \"type\": \"raw\",\n"
	"        \"data\": {\n"
	"            \"offset-from-end\": -7,\n"
	"            \"share\": 12.35\n"
	"        }\n"
	"    },\n"
	"    \"marks\": [\n"
	"        \"one\",\n"
	"        2,\n"
	"        null\n"
	"    ],\n"
	"    \"children\": [\n"
	"        {\n"
	"            \"name\": \"file\"\n"
	"        },\n"
	"        {\n"
	"            \"name\": \"backing\"\n"
	"        }\n"
	"    ]\n"
	"}\n";

static const char info_xml[] = XML_HEAD
	"<root>\n"
	"  <filename>a.img</filename>\n"
	"  <virtual-size>1048576</virtual-size>\n"
	"  <dirty-flag>false</dirty-flag>\n"
	"  <format-specific>\n"
	"    <type>raw</type>\n"
	"    <data>\n"
	"      <offset-from-end>-7</offset-from-end>\n"
	"      <share>12.35</share>\n"
	"    </data>\n"
	"  </format-specific>\n"
	"  <marks>\n"
	"    <item>one</item>\n"
	"    <item>2</item>\n"
	"    <item></item>\n"
	"  </marks>\n"
	"  <children>\n"
	"    <item>\n"
	"      <name>file</name>\n"
	"    </item>\n"
	"    <item>\n"
	"      <name>backing</name>\n"
	"    </item>\n"
	"  </children>\n"
	"</root>\n";

/* As qemu-img map --output=json lays it out. */
static void rows(struct platter_printer *p)
{
	platter_out_list(p, NULL);
	platter_out_row(p, "extent");
	platter_out_u64(p, "start", 0);
	platter_out_bool(p, "zero", false);
	platter_out_end(p);
	platter_out_text(p, "%#x %s\n", 16, "by hand");
	platter_out_row(p, "extent");
	platter_out_u64(p, "start", 4096);
	platter_out_bool(p, "zero", true);
	platter_out_end(p);
	platter_out_end(p);
}

static const char rows_text[] = "0x10 by hand\n";
static const char rows_json[] =
	"[{ \"start\": 0, \"zero\": false},\n"
	"{ \"start\": 4096, \"zero\": true}]\n";
static const char rows_xml[] = XML_HEAD
	"<root>\n"
	"  <extent start=\"0\" zero=\"false\"/>\n"
	"  <extent start=\"4096\" zero=\"true\"/>\n"
	"</root>\n";

/* Rows deeper down, and structure inside of a row. */
static void mixed(struct platter_printer *p)
{
	platter_out_map(p, NULL);
	platter_out_list(p, "entries");
	for (unsigned int i = 0; i < 2; i++) {
		platter_out_row(p, "entry");
		platter_out_u64(p, "n", i);
		platter_out_list(p, "flags");
		platter_out_string(p, NULL, "FLUSH");
		platter_out_string(p, NULL, "FUA");
		platter_out_end(p);
		platter_out_map(p, "at");
		platter_out_u64(p, "start", 7);
		platter_out_end(p);
		platter_out_list(p, "none");
		platter_out_end(p);
		platter_out_null(p, "mark");
		platter_out_u64(p, "after", 8);
		platter_out_end(p);
	}
	platter_out_end(p);
	platter_out_row(p, "total");
	platter_out_u64(p, "n", 2);
	platter_out_end(p);
	platter_out_list(p, "problems");
	platter_out_end(p);
	platter_out_map(p, "none");
	platter_out_end(p);
	platter_out_end(p);
}

static const char mixed_text[] = "";
#define ROW "\"flags\": [\"FLUSH\", \"FUA\"], \"at\": { \"start\": 7}, "	\
	    "\"none\": [], \"mark\": null, \"after\": 8}"
static const char mixed_json[] =
	"{\n"
	"    \"entries\": [\n"
	"        { \"n\": 0, " ROW ",\n"
	"        { \"n\": 1, " ROW "\n"
	"    ],\n"
	"    \"total\": { \"n\": 2},\n"
	"    \"problems\": [],\n"
	"    \"none\": {}\n"
	"}\n";
#define CHILDREN							\
	"      <flags>\n"						\
	"        <item>FLUSH</item>\n"					\
	"        <item>FUA</item>\n"					\
	"      </flags>\n"						\
	"      <at>\n"							\
	"        <start>7</start>\n"					\
	"      </at>\n"							\
	"      <none/>\n"						\
	"      <after>8</after>\n"
static const char mixed_xml[] = XML_HEAD
	"<root>\n"
	"  <entries>\n"
	"    <entry n=\"0\">\n" CHILDREN "    </entry>\n"
	"    <entry n=\"1\">\n" CHILDREN "    </entry>\n"
	"  </entries>\n"
	"  <total n=\"2\"/>\n"
	"  <problems/>\n"
	"  <none/>\n"
	"</root>\n";

static void strings(struct platter_printer *p)
{
	platter_out_map(p, NULL);
	platter_out_string(p, "empty", "");
	platter_out_string(p, "markup", "<a href=\"b\">&amp;</a> ]]>");
	platter_out_string(p, "backslash", "a\\b");
	platter_out_string(p, "utf8", "caf\xc3\xa9");
	platter_out_string(p, "latin1", "caf\xe9 \\");
	platter_out_string(p, "lines", "a\nb\tc");
	platter_out_string(p, "esc", "\033[2J");
	platter_out_bytes(p, "bytes", "a\0\\b\xff\n", 6);
	platter_out_row(p, "row");
	platter_out_string(p, "lines", "a\nb\tc\r");
	platter_out_string(p, "quote", "\"<&>'");
	platter_out_bytes(p, "bytes", "\0\x7f", 2);
	platter_out_end(p);
	platter_out_end(p);
}

static const char strings_text[] =
	"empty:\n"
	"markup: <a href=\"b\">&amp;</a> ]]>\n"
	"backslash: a\\b\n"
	"utf8: caf\xc3\xa9\n"
	"latin1: caf\\xe9 \\\\\n"
	"lines: a\\x0ab\\x09c\n"
	"esc: \\x1b[2J\n"
	"bytes: a\\x00\\\\b\\xff\\x0a\n";
static const char strings_json[] =
	"{\n"
	"    \"empty\": \"\",\n"
	"    \"markup\": \"<a href=\\\"b\\\">&amp;</a> ]]>\",\n"
	"    \"backslash\": \"a\\\\b\",\n"
	"    \"utf8\": \"caf\xc3\xa9\",\n"
	"    \"latin1\": \"caf\\\\xe9 \\\\\\\\\",\n"
	"    \"lines\": \"a\\nb\\tc\",\n"
	"    \"esc\": \"\\u001b[2J\",\n"
	"    \"bytes\": \"a\\\\x00\\\\\\\\b\\\\xff\\\\x0a\",\n"
	"    \"row\": { \"lines\": \"a\\nb\\tc\\r\", \"quote\": \"\\\"<&>'\","
	" \"bytes\": \"\\\\x00\\\\x7f\"}\n"
	"}\n";
static const char strings_xml[] = XML_HEAD
	"<root>\n"
	"  <empty></empty>\n"
	"  <markup>&lt;a href=&quot;b&quot;&gt;&amp;amp;&lt;/a&gt; ]]&gt;"
	"</markup>\n"
	"  <backslash>a\\b</backslash>\n"
	"  <utf8>caf\xc3\xa9</utf8>\n"
	"  <latin1>caf\\xe9 \\\\</latin1>\n"
	"  <lines>a\nb\tc</lines>\n"
	"  <esc>\\x1b[2J</esc>\n"
	"  <bytes>a\\x00\\\\b\\xff\\x0a</bytes>\n"
	"  <row lines=\"a&#10;b&#9;c&#13;\" quote=\"&quot;&lt;&amp;&gt;'\""
	" bytes=\"\\x00\\x7f\"/>\n"
	"</root>\n";

static void numbers(struct platter_printer *p)
{
	platter_out_list(p, NULL);
	platter_out_u64(p, NULL, 0);
	platter_out_u64(p, NULL, 9);
	platter_out_u64(p, NULL, 10);
	platter_out_u64(p, NULL, 99);
	platter_out_u64(p, NULL, 100);
	platter_out_u64(p, NULL, 12345);
	platter_out_u64(p, NULL, UINT64_MAX);
	platter_out_i64(p, NULL, -1);
	platter_out_i64(p, NULL, INT64_MAX);
	platter_out_i64(p, NULL, INT64_MIN);
	platter_out_double(p, NULL, 0.5, 0);
	platter_out_double(p, NULL, -1e21, 1);
	platter_out_double(p, NULL, 1.0 / 3, 5);
	platter_out_double(p, NULL, NAN, 1);
	platter_out_double(p, NULL, -INFINITY, 1);
	platter_out_bool(p, NULL, true);
	platter_out_end(p);
}

#define NUMBERS(before, after)						\
	before "0" after before "9" after before "10" after		\
	before "99" after before "100" after before "12345" after	\
	before "18446744073709551615" after before "-1" after		\
	before "9223372036854775807" after				\
	before "-9223372036854775808" after				\
	before "0" after before "-1000000000000000000000.0" after	\
	before "0.33333" after

static const char numbers_text[] = NUMBERS("", "\n") "true\n";
static const char numbers_json[] = "[\n" NUMBERS("    ", ",\n")
	"    null,\n    null,\n    true\n]\n";
static const char numbers_xml[] = XML_HEAD "<root>\n"
	NUMBERS("  <item>", "</item>\n")
	"  <item></item>\n  <item></item>\n  <item>true</item>\n</root>\n";

/* What a person sees is written by the verb where it hides the structure. */
static void hidden(struct platter_printer *p)
{
	platter_out_map(p, NULL);
	platter_out_string(p, "a", "1");
	platter_out_hide(p, true);
	platter_out_string(p, "b", "2");
	platter_out_map(p, "c");
	platter_out_hide(p, true);
	platter_out_string(p, "d", "3");
	platter_out_hide(p, false);
	platter_out_string(p, "e", "4");
	platter_out_text(p, "by hand\n");
	platter_out_hide(p, false);
	platter_out_hide(p, false);
	platter_out_string(p, "f", "5");
	platter_out_end(p);
	platter_out_end(p);
}

static const char hidden_text[] =
	"a: 1\nby hand\nc:\n    f: 5\n";
static const char hidden_json[] =
	"{\n    \"a\": \"1\",\n    \"b\": \"2\",\n    \"c\": {\n"
	"        \"d\": \"3\",\n        \"e\": \"4\",\n"
	"        \"f\": \"5\"\n    }\n}\n";
static const char hidden_xml[] = XML_HEAD
	"<root>\n  <a>1</a>\n  <b>2</b>\n  <c>\n    <d>3</d>\n"
	"    <e>4</e>\n    <f>5</f>\n  </c>\n</root>\n";

/* A verb that fails half way: what is open is closed. */
static void broken_off(struct platter_printer *p)
{
	platter_out_map(p, NULL);
	platter_out_list(p, "rows");
	platter_out_row(p, "row");
	platter_out_u64(p, "n", 1);
}

static const char broken_off_text[] = "";
static const char broken_off_json[] =
	"{\n    \"rows\": [\n        { \"n\": 1}\n    ]\n}\n";
static const char broken_off_xml[] = XML_HEAD
	"<root>\n  <rows>\n    <row n=\"1\"/>\n  </rows>\n</root>\n";

static void nothing(struct platter_printer *p)
{
	platter_out_end(p);
}

static void empty_list(struct platter_printer *p)
{
	platter_out_list(p, NULL);
	platter_out_end(p);
}

/* Keys that are no XML names. */
static void odd_keys(struct platter_printer *p)
{
	platter_out_map(p, NULL);
	platter_out_u64(p, "512", 1);
	platter_out_u64(p, "a b<c:d", 2);
	platter_out_u64(p, "-x", 3);
	platter_out_end(p);
}

static void same_calls_three_outputs(void **state)
{
	static const struct {
		void (*calls)(struct platter_printer *p);
		const char *text, *json, *xml;
	} v[] = {
#define VECTOR(name) { name, name##_text, name##_json, name##_xml }
		VECTOR(info),
		VECTOR(rows),
		VECTOR(mixed),
		VECTOR(strings),
		VECTOR(numbers),
		VECTOR(hidden),
		VECTOR(broken_off),
		{ nothing, "", "", XML_HEAD "<root/>\n" },
		{ empty_list, "", "[]\n", XML_HEAD "<root/>\n" },
		{ odd_keys, "512: 1\na b<c:d: 2\n x: 3\n",
		  "{\n    \"512\": 1,\n    \"a b<c:d\": 2,\n"
		  "    \"-x\": 3\n}\n",
		  XML_HEAD "<root>\n  <_512>1</_512>\n"
		  "  <a_b_c_d>2</a_b_c_d>\n  <_-x>3</_-x>\n</root>\n" },
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		plt_auto_free char *text = print(PLATTER_OUTPUT_HUMAN,
						 v[i].calls);
		plt_auto_free char *json = print(PLATTER_OUTPUT_JSON,
						 v[i].calls);
		plt_auto_free char *xml = print(PLATTER_OUTPUT_XML,
						v[i].calls);

		assert_string_equal(text, v[i].text);
		assert_string_equal(json, v[i].json);
		assert_string_equal(xml, v[i].xml);
	}
}

static void names_outputs(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	enum platter_output out;

	(void)state;
	assert_int_equal(platter_output_parse(&out, "human", &err), 0);
	assert_int_equal(out, PLATTER_OUTPUT_HUMAN);
	assert_int_equal(platter_output_parse(&out, "json", &err), 0);
	assert_int_equal(out, PLATTER_OUTPUT_JSON);
	assert_int_equal(platter_output_parse(&out, "xml", &err), 0);
	assert_int_equal(out, PLATTER_OUTPUT_XML);
	assert_int_equal(platter_output_parse(&out, "yaml", &err), -EINVAL);
	assert_string_equal(err.msg,
			    "output 'yaml' is none of human, json, xml");
}

static void long_text(struct platter_printer *p)
{
	static char word[100001];

	memset(word, 'w', sizeof(word) - 1);
	platter_out_text(p, "%s|", word);
	platter_out_list(p, NULL);
	platter_out_string(p, NULL, word);
	platter_out_end(p);
}

static void prints_more_than_a_buffer(void **state)
{
	plt_auto_free char *text = print(PLATTER_OUTPUT_HUMAN, long_text);
	plt_auto_free char *json = print(PLATTER_OUTPUT_JSON, long_text);
	plt_auto_free char *xml = print(PLATTER_OUTPUT_XML, long_text);

	(void)state;
	assert_int_equal(strlen(text), 200002);
	assert_int_equal(strspn(text, "w"), 100000);
	assert_int_equal(strlen(json), 100000 + strlen("[\n    \"\"\n]\n"));
	assert_int_equal(strlen(xml), 100000 + strlen(XML_HEAD) +
			 strlen("<root>\n  <item></item>\n</root>\n"));
}

static void keeps_the_first_write_error(void **state)
{
	static const enum platter_output kinds[] = {
		PLATTER_OUTPUT_HUMAN, PLATTER_OUTPUT_JSON, PLATTER_OUTPUT_XML,
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(kinds); i++) {
		for (int size = 1; size <= 1000000; size += 999999) {
			struct platter_error err = PLATTER_ERROR_INIT;
			struct platter_printer *p;
			FILE *f = fopen("/dev/full", "w");

			assert_int_equal(platter_printer_new(
				&p, kinds[i], f, "root", &err), 0);
			platter_out_list(p, NULL);
			for (int n = 0; n < size; n += 10)
				platter_out_string(p, NULL, "0123456789");
			platter_out_end(p);
			assert_int_equal(platter_printer_close(p, &err),
					 -ENOSPC);
			assert_string_equal(err.msg, "writing the output: "
					    "No space left on device");
			fclose(f);
		}
	}
	assert_int_equal(platter_printer_close(NULL, NULL), 0);
}

struct sink {
	int writes;
	int fail_at;
};

static ssize_t sink_write(void *cookie, const char *text, size_t len)
{
	struct sink *sink = cookie;

	(void)text;
	if (++sink->writes != sink->fail_at)
		return (ssize_t)len;
	errno = EDQUOT;
	return 0;	/* how a cookie says that it failed */
}

/* An error in the middle must not leave a document with a hole. */
static void writes_nothing_after_an_error(void **state)
{
	static const cookie_io_functions_t io = { .write = sink_write };
	struct platter_error err = PLATTER_ERROR_INIT;
	struct sink sink = { 0, 3 };
	struct platter_printer *p;
	FILE *f = fopencookie(&sink, "w", io);

	(void)state;
	setvbuf(f, NULL, _IONBF, 0);
	assert_int_equal(platter_printer_new(&p, PLATTER_OUTPUT_JSON, f,
					     "root", &err), 0);
	platter_out_list(p, NULL);
	for (uint64_t n = 0; n < 1000000; n++)
		platter_out_u64(p, NULL, n);
	platter_out_end(p);
	assert_int_equal(platter_printer_close(p, &err), -EDQUOT);
	assert_int_equal(sink.writes, sink.fail_at);
	fclose(f);
}

static void too_deep_is_an_error(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_printer *p;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	assert_int_equal(platter_printer_new(&p, PLATTER_OUTPUT_JSON, f,
					     "root", &err), 0);
	for (int i = 0; i < 100; i++)
		platter_out_list(p, NULL);
	platter_out_u64(p, NULL, 1);
	for (int i = 0; i < 90; i++)
		platter_out_end(p);
	platter_out_u64(p, NULL, 2);
	assert_int_equal(platter_printer_close(p, &err), -EOVERFLOW);
	fclose(f);
	free(text);
}

/* With a decimal comma, JSON still has points. Needs such a locale. */
static void ignores_the_locale(void **state)
{
	static const char *const names[] = {
		"de_DE.UTF-8", "fr_FR.UTF-8", "ru_RU.UTF-8", "de_DE.utf8",
	};
	plt_auto_free char *json = NULL;
	size_t i = 0;

	(void)state;
	while (i < PLT_ARRAY_SIZE(names) && !setlocale(LC_ALL, names[i]))
		i++;
	if (i == PLT_ARRAY_SIZE(names))
		skip();
	json = print(PLATTER_OUTPUT_JSON, numbers);
	setlocale(LC_ALL, "C");
	assert_string_equal(json, numbers_json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_calls_three_outputs),
		cmocka_unit_test(names_outputs),
		cmocka_unit_test(prints_more_than_a_buffer),
		cmocka_unit_test(keeps_the_first_write_error),
		cmocka_unit_test(writes_nothing_after_an_error),
		cmocka_unit_test(too_deep_is_an_error),
		cmocka_unit_test(ignores_the_locale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
