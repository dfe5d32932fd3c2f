// SPDX-License-Identifier: LGPL-2.1-or-later
/* Error messages: one plain line, prefixes, and what is cut when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/text.h"

static void sets_code_and_text(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)state;
	assert_int_equal(platter_error_set(&err, -EINVAL, "size %d over %s",
					   7, "5"), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_string_equal(err.msg, "size 7 over 5");
}

static void takes_no_error(void **state)
{
	(void)state;
	assert_int_equal(platter_error_set(NULL, -EIO, "x"), -EIO);
	assert_int_equal(platter_error_errno(NULL, -EIO, "x"), -EIO);
	assert_int_equal(platter_error_prefix(NULL, -EIO, "x"), -EIO);
	assert_int_equal(plt_err_nomem(NULL, 7), -ENOMEM);
}

static void replaces_what_is_not_plain(void **state)
{
	static const struct { const char *in, *out; } vectors[] = {
		{ "plain", "plain" },
		{ "two\nlines\r\n", "two?lines??" },
		{ "esc \033[2J bell \a del \x7f", "esc ?[2J bell ? del ?" },
		{ "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xbe",
		  "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xbe" },
		{ "latin1 caf\xe9", "latin1 caf?" },
		{ "C1 \xc2\x9b" "2J", "C1 ??2J" },
		{ "line separator \xe2\x80\xa8.", "line separator ???." },
		{ "right to left \xe2\x80\xaegpj.exe",
		  "right to left ???gpj.exe" },
		{ "overlong \xc0\x8a", "overlong ??" },
	};
	struct platter_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		platter_error_set(&err, -EINVAL, "%s", vectors[i].in);
		assert_string_equal(err.msg, vectors[i].out);
		err.msg[0] = '\0';
		platter_error_prefix(&err, -EINVAL, "%s", vectors[i].in);
		assert_memory_equal(err.msg, vectors[i].out,
				    strlen(vectors[i].out));
	}
}

static void appends_the_text_of_errno(void **state)
{
	struct platter_error err;

	(void)state;
	assert_int_equal(platter_error_errno(&err, -ENOENT, "%s", "a.img"),
			 -ENOENT);
	assert_string_equal(err.msg, "a.img: No such file or directory");
}

static void prefixes_stack(void **state)
{
	struct platter_error err;
	int rc;

	(void)state;
	rc = platter_error_set(&err, -EIO, "bad block");
	rc = platter_error_prefix(&err, rc, "reading %d", 3);
	rc = platter_error_prefix(&err, rc, "a.img");
	assert_int_equal(rc, -EIO);
	assert_string_equal(err.msg, "a.img: reading 3: bad block");
	assert_int_equal(platter_error_prefix(&err, 0, "no"), 0);
	assert_int_equal(platter_error_prefix(&err, 1, "no"), 1);
	assert_string_equal(err.msg, "a.img: reading 3: bad block");
}

static void marks_a_cut_message(void **state)
{
	struct platter_error err;
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t len = PLATTER_ERROR_MAX - 3; len < PLATTER_ERROR_MAX + 3;
	     len++) {
		platter_error_set(&err, -EIO, "%.*s", (int)len, text);
		if (len < PLATTER_ERROR_MAX) {
			assert_int_equal(strlen(err.msg), len);
			assert_null(strchr(err.msg, '.'));
		} else {
			assert_int_equal(strlen(err.msg),
					 PLATTER_ERROR_MAX - 1);
			assert_string_equal(err.msg + PLATTER_ERROR_MAX - 4,
					    "...");
		}
	}
}

static void cuts_between_characters(void **state)
{
	struct platter_error err;
	char text[1000];

	(void)state;
	for (size_t shift = 0; shift < 4; shift++) {
		memset(text, 'x', sizeof(text));
		for (size_t i = shift; i + 4 < sizeof(text); i += 4)
			memcpy(text + i, "\xf0\x9f\x92\xbe", 4);
		text[sizeof(text) - 5] = '\0';
		platter_error_set(&err, -EIO, "%s", text);
		assert_true(plt_utf8_valid(err.msg, strlen(err.msg)));
		assert_null(strchr(err.msg, '?'));
		assert_string_equal(err.msg + strlen(err.msg) - 3, "...");
		assert_true(strlen(err.msg) > PLATTER_ERROR_MAX - 6);
	}
}

/* Whatever the lengths: one line, the cause whole, the prefix cut first. */
static void keeps_the_cause(void **state)
{
	struct platter_error err;
	char head[1200];
	char tail[PLATTER_ERROR_MAX];

	(void)state;
	for (size_t h = 1; h < sizeof(head); h += 13) {
		for (size_t t = 1; t < sizeof(tail); t += 7) {
			memset(head, 'h', h);
			head[h] = '\0';
			memset(tail, 't', t);
			tail[t] = '\0';
			platter_error_set(&err, -EIO, "%s", tail);
			platter_error_prefix(&err, -EIO, "%s", head);
			assert_true(strlen(err.msg) < PLATTER_ERROR_MAX);
			assert_string_equal(err.msg + strlen(err.msg) - t,
					    tail);
			if (h + 2 + t < PLATTER_ERROR_MAX)
				assert_int_equal(strlen(err.msg), h + 2 + t);
			else if (strlen(err.msg) > t)
				assert_non_null(strstr(err.msg, "h...: t"));
		}
	}
}

static void long_errno_text_keeps_its_cause(void **state)
{
	struct platter_error err;
	char name[4096];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	platter_error_errno(&err, -ENOSPC, "%s", name);
	assert_int_equal(strlen(err.msg), PLATTER_ERROR_MAX - 1);
	assert_non_null(strstr(err.msg, "nnn...: No space left on device"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_code_and_text),
		cmocka_unit_test(takes_no_error),
		cmocka_unit_test(replaces_what_is_not_plain),
		cmocka_unit_test(appends_the_text_of_errno),
		cmocka_unit_test(prefixes_stack),
		cmocka_unit_test(marks_a_cut_message),
		cmocka_unit_test(cuts_between_characters),
		cmocka_unit_test(keeps_the_cause),
		cmocka_unit_test(long_errno_text_keeps_its_cause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
