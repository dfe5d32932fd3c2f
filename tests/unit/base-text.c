// SPDX-License-Identifier: LGPL-2.1-or-later
/* UTF-8, and bytes written as text and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <platter/out.h>

#include "base/mem.h"
#include "base/text.h"

static void knows_utf8(void **state)
{
	/* The borders of RFC 3629, section 4. */
	static const struct { const char *in; size_t n; uint32_t ch; } v[] = {
		{ "A", 1, 'A' },
		{ "\x7f", 1, 0x7f },
		{ "\x80", 0, 0 },
		{ "\xbf", 0, 0 },
		{ "\xc0\x80", 0, 0 },
		{ "\xc1\xbf", 0, 0 },
		{ "\xc2\x80", 2, 0x80 },
		{ "\xdf\xbf", 2, 0x7ff },
		{ "\xc2", 0, 0 },
		{ "\xc2 ", 0, 0 },
		{ "\xc2\xc2", 0, 0 },
		{ "\xe0\x9f\xbf", 0, 0 },
		{ "\xe0\xa0\x80", 3, 0x800 },
		{ "\xed\x9f\xbf", 3, 0xd7ff },
		{ "\xed\xa0\x80", 0, 0 },
		{ "\xed\xbf\xbf", 0, 0 },
		{ "\xee\x80\x80", 3, 0xe000 },
		{ "\xef\xbf\xbf", 3, 0xffff },
		{ "\xe2\x82", 0, 0 },
		{ "\xf0\x8f\xbf\xbf", 0, 0 },
		{ "\xf0\x90\x80\x80", 4, 0x10000 },
		{ "\xf4\x8f\xbf\xbf", 4, 0x10ffff },
		{ "\xf4\x90\x80\x80", 0, 0 },
		{ "\xf5\x80\x80\x80", 0, 0 },
		{ "\xf8\x88\x80\x80\x80", 0, 0 },
		{ "\xfe", 0, 0 },
		{ "\xff\xff\xff\xff", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		uint32_t ch = 0;

		assert_int_equal(plt_utf8(v[i].in, strlen(v[i].in), &ch),
				 v[i].n);
		if (v[i].n)
			assert_int_equal(ch, v[i].ch);
	}
	assert_true(plt_utf8_valid("", 0));
	assert_true(plt_utf8_valid("a\0b", 3));
	assert_false(plt_text_all_plain("a\0b", 3));
}

static void escapes_and_turns_back(void **state)
{
	static const struct { const char *in; size_t len; const char *out; }
	v[] = {
		{ "", 0, "" },
		{ "fsync-3", 7, "fsync-3" },
		{ "back\\slash", 10, "back\\\\slash" },
		{ "\\x41", 4, "\\\\x41" },
		{ "a\0b", 3, "a\\x00b" },
		{ "tab\tnl\n", 7, "tab\\x09nl\\x0a" },
		{ "caf\xc3\xa9", 5, "caf\xc3\xa9" },
		{ "caf\xe9", 4, "caf\\xe9" },
		{ "\xc3", 1, "\\xc3" },
		{ "\xc2\x9b", 2, "\\xc2\\x9b" },
		{ "\xe2\x80\xae", 3, "\\xe2\\x80\\xae" },
		{ "\xef\xbf\xbf", 3, "\\xef\\xbf\\xbf" },
		{ "\x7f\xff", 2, "\\x7f\\xff" },
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		plt_auto_free char *text =
			platter_bytes_escape(v[i].in, v[i].len);

		assert_string_equal(text, v[i].out);
		assert_true(plt_text_all_plain(text, strlen(text)));
		assert_int_equal(platter_bytes_unescape(text), v[i].len);
		assert_memory_equal(text, v[i].in, v[i].len);
	}
}

static void bad_escapes_stay(void **state)
{
	static const struct { const char *in, *out; } v[] = {
		{ "\\", "\\" },
		{ "\\x", "\\x" },
		{ "\\x4", "\\x4" },
		{ "\\x4g", "\\x4g" },
		{ "\\xG1", "\\xG1" },
		{ "\\n", "\\n" },
		{ "\\x4A\\x4b", "JK" },
		{ "\\\\\\", "\\\\" },
		{ "end\\x4", "end\\x4" },
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		char text[32];

		strcpy(text, v[i].in);
		assert_int_equal(platter_bytes_unescape(text),
				 strlen(v[i].out));
		assert_string_equal(text, v[i].out);
	}
}

static void random_bytes_come_back(void **state)
{
	unsigned char bytes[64];

	(void)state;
	srandom(1);
	for (int round = 0; round < 20000; round++) {
		size_t len = (size_t)random() % sizeof(bytes);
		plt_auto_free char *text = NULL;

		for (size_t i = 0; i < len; i++)
			bytes[i] = (unsigned char)(random() >> 5);
		text = platter_bytes_escape(bytes, len);
		assert_true(plt_text_all_plain(text, strlen(text)));
		assert_int_equal(platter_bytes_unescape(text), len);
		assert_memory_equal(text, bytes, len);
	}
}

static void makes_a_point(void **state)
{
	static const struct { const char *in, *out; } v[] = {
		{ "1,5", "1.5" },
		{ "-12\xd9\xab" "25", "-12.25" },
		{ "1.5", "1.5" },
		{ "15", "15" },
		{ "1e+03", "1e+03" },
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		char text[32];

		strcpy(text, v[i].in);
		plt_text_point(text);
		assert_string_equal(text, v[i].out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_utf8),
		cmocka_unit_test(escapes_and_turns_back),
		cmocka_unit_test(bad_escapes_stay),
		cmocka_unit_test(random_bytes_come_back),
		cmocka_unit_test(makes_a_point),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
