/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fields of JSON objects, each of its kind and within its bounds. */
#include "crash/report-fields.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"

#define WORD_MAX	64u	/* bytes */
#define SECONDS_MAX	1e9	/* 31 years */

int plt_field_number(const json_t *o, const char *key, uint64_t max,
		     uint64_t *out, struct platter_error *err)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) > max)
		return plt_err_set(err, -EINVAL,
				   "\"%s\" is no number from 0 "
				   "to %" PRIu64,
				   key, max);
	*out = (uint64_t)json_integer_value(v);
	return 0;
}

int plt_field_optional(const json_t *o, const char *key, uint64_t max,
		       uint64_t *out, struct platter_error *err)
{
	const json_t *v = json_object_get(o, key);

	if (!v || json_is_null(v))
		return 0;
	return plt_field_number(o, key, max, out, err);
}

int plt_field_flag(const json_t *o, const char *key, bool *out,
		   struct platter_error *err)
{
	const json_t *v = json_object_get(o, key);

	if (v && !json_is_boolean(v))
		return plt_err_set(err, -EINVAL,
				   "\"%s\" is neither true nor "
				   "false",
				   key);
	*out = json_is_true(v);
	return 0;
}

int plt_field_optional_text(const json_t *o, const char *key, size_t max,
			    const char **out, struct platter_error *err)
{
	const json_t *v = json_object_get(o, key);

	*out = NULL;
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_string(v) || json_string_length(v) > max)
		return plt_err_set(err, -EINVAL,
				   "\"%s\" is no text of up to "
				   "%zu bytes",
				   key, max);
	*out = json_string_value(v);
	return 0;
}

int plt_field_text(const json_t *o, const char *key, size_t max,
		   const char **out, struct platter_error *err)
{
	int rc = plt_field_optional_text(o, key, max, out, err);

	if (!rc && !*out)
		rc = plt_err_set(err, -EINVAL, "\"%s\" is missing", key);
	return rc;
}

int plt_field_seconds(const json_t *o, const char *key, uint64_t *ns,
		      struct platter_error *err)
{
	const json_t *v = json_object_get(o, key);
	const double s = json_is_number(v) ? json_number_value(v) : -1;

	if (!(s >= 0 && s <= SECONDS_MAX))
		return plt_err_set(err, -EINVAL,
				   "\"%s\" is no number from 0 "
				   "to %.0f",
				   key, SECONDS_MAX);
	*ns = (uint64_t)(s * 1e9 + 0.5);
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int plt_field_hex(const json_t *o, const char *key, uint8_t *bytes, size_t len,
		  struct platter_error *err)
{
	const char *text;
	int rc = plt_field_text(o, key, 2 * len, &text, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < len; i++) {
		const int high = hex_digit(text[2 * i]);
		const int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);

		if (low < 0)
			return plt_err_set(err, -EINVAL,
					   "\"%s\" has no %zu "
					   "hexadecimal digits",
					   key, 2 * len);
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

int plt_field_word(const json_t *o, const char *key, const char *const *names,
		   unsigned int nr, unsigned int *out,
		   struct platter_error *err)
{
	const char *text;
	int rc = plt_field_text(o, key, WORD_MAX, &text, err);

	if (rc)
		return rc;
	for (*out = 0; *out < nr; ++*out) {
		if (!strcmp(text, names[*out]))
			return 0;
	}
	return plt_err_set(err, -EINVAL,
			   "\"%s\" is '%.64s', none that is "
			   "known",
			   key, text);
}
