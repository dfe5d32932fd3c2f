// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Sizes as people write them, read and printed the way qemu-img does.
 *
 * Nothing here looks at the locale: a decimal point is a point. A fraction is
 * worked out in double as qemu-img does, so that both give the same number of
 * bytes for "1.1T".
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <platter/image.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"

static const char suffixes[] = "bkmgtpe";	/* powers of 1024 */

static int digit(char c, unsigned int base)
{
	int v = -1;

	if (c >= '0' && c <= '9')
		v = c - '0';
	else if ((c | 32) >= 'a' && (c | 32) <= 'f')
		v = (c | 32) - 'a' + 10;
	return v >= 0 && (unsigned int)v < base ? v : -1;
}

/* Digits at *text, moving it on. 1 = there were none, -ERANGE = too many. */
static int read_digits(const char **text, unsigned int base, uint64_t *out)
{
	const char *p = *text;
	uint64_t v = 0;
	int d;

	for (; (d = digit(*p, base)) >= 0; p++) {
		if (!plt_mul_u64(&v, v, base) ||
		    !plt_add_u64(&v, v, (uint64_t)d))
			return -ERANGE;
	}
	if (p == *text)
		return 1;
	*text = p;
	*out = v;
	return 0;
}

/* The digits behind the point, as a number below 1. */
static double read_fraction(const char **text)
{
	uint64_t v = 0;
	uint64_t scale = 1;
	int d;

	for (; (d = digit(**text, 10)) >= 0; (*text)++) {
		/* Past 18 digits nothing a double can hold changes. */
		if (scale < UINT64_C(1000000000000000000)) {
			v = v * 10 + (uint64_t)d;
			scale *= 10;
		}
	}
	return (double)((long double)v / (long double)scale);
}

static int not_a_size(struct platter_error *err, const char *text)
{
	return plt_err_set(err, -EINVAL,
			   "'%s' is not a size: a number of bytes, or with one of the suffixes k, M, G, T, P, E",
			   text);
}

static int too_large(struct platter_error *err, const char *text)
{
	return plt_err_set(err, -ERANGE,
			   "size '%s' is over the limit of %" PRIu64 " bytes",
			   text, PLT_OFFSET_MAX);
}

/* number[.[fraction]][suffix], everything consumed. */
static int parse_decimal(uint64_t *out, const char *text,
			 struct platter_error *err)
{
	const char *p = text;
	const char *suffix;
	uint64_t whole = 0;
	unsigned int shift = 0;
	double fraction = 0;
	int none;

	none = read_digits(&p, 10, &whole);
	if (none < 0)
		return too_large(err, text);
	if (none)
		return not_a_size(err, text);
	if (*p == '.') {
		p++;
		fraction = read_fraction(&p);
	}
	suffix = *p ? strchr(suffixes, *p | 32) : NULL;
	if (suffix) {
		shift = 10 * (unsigned int)(suffix - suffixes);
		p++;
	}
	if (*p)
		return not_a_size(err, text);
	if (fraction > 0 && !shift)
		return plt_err_set(err, -EINVAL,
				   "size '%s' is not a whole number of bytes",
				   text);
	if (whole > PLT_OFFSET_MAX >> shift)
		return too_large(err, text);
	*out = (whole << shift) +
	       (uint64_t)(fraction * (double)(UINT64_C(1) << shift));
	return 0;
}

int platter_size_parse(uint64_t *out, const char *text,
		       struct platter_error *err)
{
	uint64_t v = 0;
	int rc;

	if (text[0] == '0' && (text[1] | 32) == 'x') {
		const char *p = text + 2;

		/* No suffix: in hexadecimal, B and E are digits. */
		rc = read_digits(&p, 16, &v);
		if (rc > 0 || (!rc && *p))
			return not_a_size(err, text);
		if (rc)
			return too_large(err, text);
	} else {
		rc = parse_decimal(&v, text, err);
		if (rc)
			return rc;
	}
	if (v > PLT_OFFSET_MAX)
		return too_large(err, text);
	*out = v;
	return 0;
}

int platter_range_parse(uint64_t *offset, uint64_t *length, uint64_t unit,
			const char *text, struct platter_error *err)
{
	plt_auto_free char *copy = plt_strdup(text, err);
	uint64_t len = unit;
	uint64_t off;
	char *plus;
	int rc;

	if (!copy)
		return -ENOMEM;
	plus = strchr(copy, '+');
	if (plus)
		*plus = '\0';
	rc = platter_size_parse(&off, copy, err);
	if (!rc && plus)
		rc = platter_size_parse(&len, plus + 1, err);
	if (rc)
		return plt_err_prefix(err, rc, "range '%s'", text);
	if (!len)
		return plt_err_set(err, -EINVAL, "range '%s' is empty", text);
	if (len > PLT_OFFSET_MAX - off)
		return plt_err_set(err, -ERANGE,
				   "range '%s' ends over the limit of %" PRIu64 " bytes",
				   text, PLT_OFFSET_MAX);
	*offset = off;
	*length = len;
	return 0;
}

char *platter_size_text(char buf[PLATTER_SIZE_TEXT_MAX], uint64_t bytes)
{
	static const char *const units[] = {
		"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB",
	};
	double v = (double)bytes;
	size_t i = 0;

	/* From 1000 on, not 1024: three digits must do. */
	while (v >= 1000 && i + 1 < PLT_ARRAY_SIZE(units)) {
		v /= 1024;
		i++;
	}
	snprintf(buf, PLATTER_SIZE_TEXT_MAX, "%0.3g", v);
	plt_text_point(buf);
	strcat(strcat(buf, " "), units[i]);
	return buf;
}
