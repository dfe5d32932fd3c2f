// SPDX-License-Identifier: LGPL-2.1-or-later
/* Node options: the three spellings, their limits, and reading them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/opts.h"

typedef int parser(struct platter_options **out, const char *text,
		   struct platter_error *err);

struct vector {
	const char *in;
	const char *out;	/* all it holds: "a=b|c.d=e", or ... */
	const char *error;	/* ... part of the message */
};

typedef void checker(struct platter_options *opts, char *key,
		     const char *value);

/* For each entry of `all`, which is spelled as in a vector. */
static void each(struct platter_options *opts, const char *all, checker *check)
{
	plt_auto_free char *copy = strdup(all);
	char *rest = *all ? copy : NULL;
	char *key;

	while ((key = strsep(&rest, "|"))) {
		char *value = strchr(key, '=');

		assert_non_null(value);
		*value++ = '\0';
		check(opts, key, value);
	}
}

static void check_value(struct platter_options *opts, char *key,
			const char *value)
{
	const char *got = platter_options_string(opts, key);

	if (!got || strcmp(got, value))
		fail_msg("'%s' is '%s', not '%s'", key, got ? got : "absent",
			 value);
}

/* All of the groups that `key` is in has been read. */
static void check_groups(struct platter_options *opts, char *key,
			 const char *value)
{
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)value;
	for (char *dot = strchr(key, '.'); dot; dot = strchr(dot + 1, '.')) {
		*dot = '\0';
		if (plt_options_check_used(plt_options_tree(opts, key), &err))
			fail_msg("group '%s': %s", key, err.msg);
		*dot = '.';
	}
}

/* The tree has these entries and no others. */
static void check_holds(struct platter_options *opts, const char *all)
{
	struct platter_error err = PLATTER_ERROR_INIT;

	each(opts, all, check_value);
	each(opts, all, check_groups);
	if (plt_options_check_used(opts, &err))
		fail_msg("'%s': %s", all, err.msg);
}

static void run(parser *parse, const struct vector *v)
{
	struct platter_options *opts = NULL;
	struct platter_error err = PLATTER_ERROR_INIT;
	int rc = parse(&opts, v->in, &err);

	if (v->error) {
		if (rc != -EINVAL || !strstr(err.msg, v->error))
			fail_msg("'%s': %d, '%s'", v->in, rc, err.msg);
		assert_null(opts);
		return;
	}
	if (rc)
		fail_msg("'%s': %d, '%s'", v->in, rc, err.msg);
	check_holds(opts, v->out);
	plt_options_free(opts);
}

static void parses_text(void **state)
{
	static const struct vector v[] = {
		{ "", "" },
		{ "driver=raw", "driver=raw" },
		{ "a=b,c.d=e", "a=b|c.d=e" },
		{ "c.d=e,a=b,c.f=g", "c.d=e|c.f=g|a=b" },
		{ "a=", "a=" },
		{ "a", "a=on" },
		{ "a,b=c", "a=on|b=c" },
		{ "a=b,", "a=b" },
		{ "a=b=c", "a=b=c" },
		{ "file=a,,b,c=d", "file=a,b|c=d" },
		{ "file=,,,,", "file=,," },
		{ "file=a,,", "file=a," },
		{ "file=a,,,b=c", "file=a,|b=c" },
		{ "a.b.c.d=1", "a.b.c.d=1" },
		{ "a=x y\n", "a=x y\n" },
		{ "a=1,a=2", NULL, "option 'a' is given twice" },
		{ "a.b=1,a.b=2", NULL, "option 'a.b' is given twice" },
		{ "a=1,a.b=2", NULL, "'a' is both a value and a group" },
		{ "a.b=2,a=1", NULL, "'a' is both a value and a group" },
		{ "=b", NULL, "name is empty" },
		{ ",", NULL, "name is empty" },
		{ "a,,b=1", NULL, "name is empty" },
		{ ".a=1", NULL, "name is empty" },
		{ "a.=1", NULL, "name is empty" },
		{ "a..b=1", NULL, "name is empty" },
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++)
		run(plt_options_parse, &v[i]);
}

static void parses_json(void **state)
{
	static const struct vector v[] = {
		{ "{}", "" },
		{ "{\"driver\": \"raw\"}", "driver=raw" },
		{ "{\"a\": {\"b\": \"c\", \"d\": {\"e\": \"f\"}}}",
		  "a.b=c|a.d.e=f" },
		{ "{\"a.b\": \"1\", \"a\": {\"c\": \"2\"}}",
		  "a.b=1|a.c=2" },
		{ "{\"a.b\": {\"c.d\": \"1\"}}", "a.b.c.d=1" },
		{ "{\"a\": true, \"b\": false}", "a=on|b=off" },
		{ "{\"a\": 0, \"b\": -7, \"c\": 9223372036854775807}",
		  "a=0|b=-7|c=9223372036854775807" },
		{ "{\"a\": \"x,y\"}", "a=x,y" },
		{ "{\"a\": \"\\u00e9\\n\"}", "a=\xc3\xa9\n" },
		{ "{\"a\": null}", NULL, "option 'a' must be a string" },
		{ "{\"a\": [1]}", NULL, "option 'a' must be a string" },
		{ "{\"a\": 1.5}", NULL, "option 'a' must be a string" },
		{ "{\"a\": 9223372036854775808}", NULL, "JSON, line 1" },
		{ "{\"a\": \"1\", \"a\": \"2\"}", NULL, "JSON, line 1" },
		{ "{\"a.b\": \"1\", \"a\": {\"b\": \"2\"}}", NULL,
		  "option 'b' is given twice" },
		{ "{\"a\": \"1\", \"a.b\": \"2\"}", NULL, "both a value" },
		{ "{\"a.b\": \"1\", \"a\": \"2\"}", NULL, "both a value" },
		{ "{\"\": \"1\"}", NULL, "name is empty" },
		{ "{\"\": {}}", NULL, "name is empty" },
		{ "{\"a=b\": \"1\"}", NULL, "has a '=' or ',' in it" },
		{ "{\"a,b\": {}}", NULL, "has a '=' or ',' in it" },
		{ "{\"a\": \"\\u0000\"}", NULL, "JSON, line 1" },
		{ "{\"a\": \"\xe9\"}", NULL, "JSON, line 1" },
		{ "[]", NULL, "not an object" },
		{ "", NULL, "JSON, line 1" },
		{ "{\"a\": \"b\"} x", NULL, "JSON, line 1" },
		{ "{\n\"a\": }", NULL, "JSON, line 2" },
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++)
		run(plt_options_parse_json, &v[i]);
}

static void parses_lists(void **state)
{
	static const char *const good[] = {
		"size=1,5", "a.b=c", "flag", "empty=", NULL
	};
	static const char *const twice[] = { "a=1", "a=2", NULL };
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_options *opts;

	(void)state;
	assert_int_equal(plt_options_parse_list(&opts, good, &err), 0);
	check_holds(opts, "size=1,5|a.b=c|flag=on|empty=");
	plt_options_free(opts);
	assert_int_equal(plt_options_parse_list(&opts, NULL, &err), 0);
	assert_int_equal(plt_options_check_used(opts, &err), 0);
	plt_options_free(opts);
	assert_int_equal(plt_options_parse_list(&opts, twice, &err), -EINVAL);
}

static void takes_any_value_with_its_commas_doubled(void **state)
{
	static const char set[] = "ab.=,,c";

	(void)state;
	srandom(2);
	for (int round = 0; round < 50000; round++) {
		struct platter_options *opts = NULL;
		char value[24], text[64] = "k=";
		char *p = text + 2, *v = value;

		for (long n = random() % (long)sizeof(value); n; n--) {
			*v = *p++ = set[(size_t)random() % (sizeof(set) - 1)];
			if (*v++ == ',')
				*p++ = ',';
		}
		*v = '\0';
		strcpy(p, ",z=1");
		assert_int_equal(plt_options_parse(&opts, text, NULL), 0);
		assert_string_equal(platter_options_string(opts, "k"), value);
		assert_string_equal(platter_options_string(opts, "z"), "1");
		assert_int_equal(plt_options_check_used(opts, NULL), 0);
		plt_options_free(opts);
	}
}

static void bounds_depth_and_width(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_options *opts;
	size_t n = 100000;
	plt_auto_free char *text = malloc(8 * n + 8);
	char *p = text;

	(void)state;
	for (size_t i = 0; i < n; i++)
		p = stpcpy(p, "a.");
	strcpy(p, "b=1");
	assert_int_equal(plt_options_parse(&opts, text, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "limit of 128 levels"));
	/* 128 dots are allowed. */
	assert_int_equal(plt_options_parse(&opts, text + 2 * (n - 128), &err),
			 0);
	plt_options_free(opts);

	p = text;
	for (size_t i = 0; i < n; i++)
		p += sprintf(p, "k%zu,", i);
	assert_int_equal(plt_options_parse(&opts, text, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "more than 1024"));

	p = text;
	for (size_t i = 0; i < n; i++)
		p = stpcpy(p, "{\"a\":");
	assert_int_equal(plt_options_parse_json(&opts, text, &err), -EINVAL);
	p = text;
	for (size_t i = 0; i < 200; i++)
		p = stpcpy(p, "{\"a\":");
	p = stpcpy(p, "1");
	for (size_t i = 0; i < 200; i++)
		p = stpcpy(p, "}");
	assert_int_equal(plt_options_parse_json(&opts, text, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "limit of 128 levels"));
}

static struct platter_options *parse(const char *text)
{
	struct platter_options *opts = NULL;

	assert_int_equal(plt_options_parse(&opts, text, NULL), 0);
	return opts;
}

static void reads_values(void **state)
{
	struct platter_options *opts =
		parse("driver=raw,size=1.5k,bad=1x,ro=on,rw=false,odd=maybe,"
		      "file.filename=x,file.driver=file");
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_options *file;
	uint64_t size = 7;
	bool b = false;

	(void)state;
	assert_string_equal(platter_options_string(opts, "driver"), "raw");
	assert_null(platter_options_string(opts, "drive"));
	assert_null(platter_options_string(opts, "drivers"));
	assert_null(platter_options_string(opts, "file"));
	assert_null(plt_options_tree(opts, "driver"));
	assert_true(plt_options_has(opts, "file"));
	assert_true(plt_options_has(opts, "file.filename"));
	assert_false(plt_options_has(opts, "file.size"));
	assert_false(plt_options_has(opts, "driver.raw"));

	assert_int_equal(platter_options_size(opts, "none", &size, &err), 0);
	assert_int_equal(size, 7);
	assert_int_equal(platter_options_size(opts, "size", &size, &err), 0);
	assert_int_equal(size, 1536);
	assert_int_equal(platter_options_size(opts, "bad", &size, &err),
			 -EINVAL);
	assert_non_null(strstr(err.msg, "option 'bad': '1x' is not a size"));
	assert_int_equal(size, 1536);

	assert_int_equal(platter_options_bool(opts, "ro", &b, &err), 0);
	assert_true(b);
	assert_int_equal(platter_options_bool(opts, "none", &b, &err), 0);
	assert_true(b);
	assert_int_equal(platter_options_bool(opts, "rw", &b, &err), 0);
	assert_false(b);
	assert_int_equal(platter_options_bool(opts, "odd", &b, &err),
			 -EINVAL);
	assert_string_equal(err.msg,
			    "option 'odd' must be 'on' or 'off', not 'maybe'");

	file = plt_options_tree(opts, "file");
	assert_non_null(file);
	assert_string_equal(platter_options_string(file, "filename"), "x");
	plt_options_free(opts);
}

static void reports_what_nobody_read(void **state)
{
	struct platter_options *opts = parse("a=1,b.c=2,b.d=3,e=4");
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_options *b;

	(void)state;
	assert_int_equal(plt_options_check_used(opts, &err), -EINVAL);
	assert_string_equal(err.msg, "unknown option 'a'");
	platter_options_string(opts, "a");
	plt_options_has(opts, "b");
	platter_options_string(opts, "b");
	assert_int_equal(plt_options_check_used(opts, &err), -EINVAL);
	assert_string_equal(err.msg, "unknown option 'b'");
	b = plt_options_tree(opts, "b");
	assert_int_equal(plt_options_check_used(opts, &err), -EINVAL);
	assert_string_equal(err.msg, "unknown option 'e'");
	platter_options_string(opts, "e");
	assert_int_equal(plt_options_check_used(opts, &err), 0);
	assert_int_equal(plt_options_check_used(b, &err), -EINVAL);
	platter_options_string(opts, "b.c");
	assert_int_equal(plt_options_check_used(b, &err), -EINVAL);
	assert_string_equal(err.msg, "unknown option 'd'");
	plt_options_free(opts);

	/* A dotted name reads the groups on its way as well. */
	opts = parse("a.b.c=1");
	assert_int_equal(plt_options_check_used(opts, &err), -EINVAL);
	platter_options_string(opts, "a.b.c");
	assert_int_equal(plt_options_check_used(opts, &err), 0);
	plt_options_free(opts);
}

static void sets_values(void **state)
{
	struct platter_options *opts = plt_options_new(NULL);
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)state;
	assert_int_equal(plt_options_set(opts, "file.filename", "a,b", &err),
			 0);
	assert_int_equal(plt_options_set(opts, "driver", "raw", &err), 0);
	assert_int_equal(plt_options_set(opts, "driver", "raw", &err),
			 -EINVAL);
	assert_int_equal(plt_options_set(opts, "file", "x", &err), -EINVAL);
	check_holds(opts, "file.filename=a,b|driver=raw");
	plt_options_free(opts);
	plt_options_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_text),
		cmocka_unit_test(parses_json),
		cmocka_unit_test(parses_lists),
		cmocka_unit_test(takes_any_value_with_its_commas_doubled),
		cmocka_unit_test(bounds_depth_and_width),
		cmocka_unit_test(reads_values),
		cmocka_unit_test(reports_what_nobody_read),
		cmocka_unit_test(sets_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
