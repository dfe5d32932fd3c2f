// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Telling text from bytes, and writing bytes as text that can be turned back.
 *
 * UTF-8 as in RFC 3629: shortest form only, no surrogates, up to U+10FFFF.
 * Escaped text keeps what is plain, doubles a backslash, and writes all else
 * as \xNN, so a mark or file name from a strange machine can be shown, copied
 * and given back on a command line.
 */
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#include <platter/out.h>

size_t plt_utf8(const char *text, size_t len, uint32_t *ch)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)text;
	size_t n;
	uint32_t c;

	if (p[0] < 0x80) {
		*ch = p[0];
		return 1;
	}
	if (p[0] < 0xc0)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n > len)
		return 0;
	c = p[0] & (n == 2 ? 0x1f : 0x0f);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	/* 0xf8 and up end here too: their low bits make c too large. */
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ch = c;
	return n;
}

static bool is_plain(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c <= 0x9f))
		return false;
	if (c < 0x2000)
		return c != 0x061c;		/* Arabic letter mark */
	if (c == 0x200e || c == 0x200f)		/* direction marks */
		return false;
	if (c >= 0x2028 && c <= 0x202e)		/* separators, embeddings */
		return false;
	if (c >= 0x2066 && c <= 0x2069)		/* isolates */
		return false;
	return c != 0xfeff && c != 0xfffe && c != 0xffff;
}

size_t plt_text_plain(const char *text, size_t len)
{
	uint32_t c;
	size_t n = plt_utf8(text, len, &c);

	return n && is_plain(c) ? n : 0;
}

bool plt_utf8_valid(const char *text, size_t len)
{
	uint32_t c;

	for (size_t i = 0, n; i < len; i += n) {
		n = plt_utf8(text + i, len - i, &c);
		if (!n)
			return false;
	}
	return true;
}

bool plt_text_all_plain(const char *text, size_t len)
{
	for (size_t i = 0, n; i < len; i += n) {
		n = plt_text_plain(text + i, len - i);
		if (!n)
			return false;
	}
	return true;
}

void plt_text_point(char *number)
{
	char *p = number + strspn(number, "+-0123456789");
	size_t n = strcspn(p, "e0123456789");

	if (!n)
		return;
	*p = '.';
	memmove(p + 1, p + n, strlen(p + n) + 1);
}

char *platter_bytes_escape(const void *value, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	const char *in = value;
	char *text;
	char *out;

	if (len > (SIZE_MAX - 1) / 4)
		return NULL;
	out = text = malloc(len * 4 + 1);
	if (!text)
		return NULL;
	for (size_t i = 0, n; i < len; i += n ? n : 1) {
		n = plt_text_plain(in + i, len - i);
		if (!n) {
			*out++ = '\\';
			*out++ = 'x';
			*out++ = hex[(unsigned char)in[i] >> 4];
			*out++ = hex[(unsigned char)in[i] & 15];
			continue;
		}
		if (in[i] == '\\')
			*out++ = '\\';
		memcpy(out, in + i, n);
		out += n;
	}
	*out = '\0';
	return text;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

size_t platter_bytes_unescape(char *text)
{
	const char *in = text;
	char *out = text;

	while (*in) {
		if (in[0] == '\\' && in[1] == '\\') {
			*out++ = '\\';
			in += 2;
		} else if (in[0] == '\\' && in[1] == 'x' &&
			   hex_digit(in[2]) >= 0 && hex_digit(in[3]) >= 0) {
			*out++ = (char)(hex_digit(in[2]) << 4 |
					hex_digit(in[3]));
			in += 4;
		} else {
			*out++ = *in++;
		}
	}
	*out = '\0';
	return (size_t)(out - text);
}
