// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Error messages: one line of valid UTF-8 in a buffer the caller owns.
 *
 * The texts contain file names and bytes from images, so everything that could
 * move a terminal's cursor or start a second line is replaced. What does not
 * fit is cut and marked with "...". A prefix gives way before the message it
 * is put in front of: the cause at the end is what a person needs most.
 */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

#define ROOM		(PLATTER_ERROR_MAX - 1)	/* bytes of text */
#define MORE		"..."
#define MORE_LEN	(sizeof(MORE) - 1)
#define PREFIX_MIN	8	/* a shorter rest of a prefix says nothing */

/* Replace, byte for byte, what must not reach a terminal. */
static void make_plain(char *text)
{
	size_t len = strlen(text);
	size_t i = 0;

	while (i < len) {
		size_t n = plt_text_plain(text + i, len - i);

		if (!n)
			text[i] = '?';
		i += n ? n : 1;
	}
}

/* Cut `text` to `max` bytes, `max` >= MORE_LEN, between two characters. */
static void cut(char *text, size_t max)
{
	size_t len = strlen(text);

	if (len <= max)
		return;
	len = max - MORE_LEN;
	while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	memcpy(text + len, MORE, sizeof(MORE));
}

static void PLATTER_PRINTF(2, 0) format(char text[PLATTER_ERROR_MAX],
					const char *fmt, va_list ap)
{
	/* One character more than fits, to see whether it was cut. */
	char wide[PLATTER_ERROR_MAX + 1];

	if (vsnprintf(wide, sizeof(wide), fmt, ap) < 0)
		strcpy(wide, "(no message)");
	cut(wide, ROOM);
	make_plain(wide);
	memcpy(text, wide, strlen(wide) + 1);
}

/* msg = "head: tail"; both are plain, `tail` may be `msg` itself. */
static void join(char msg[PLATTER_ERROR_MAX], char *head, const char *tail)
{
	size_t tail_len = strlen(tail);
	size_t head_len = strlen(head);

	if (head_len + 2 + tail_len > ROOM) {
		if (tail_len + 2 + PREFIX_MIN + MORE_LEN > ROOM)
			head_len = 0;
		else
			cut(head, ROOM - 2 - tail_len);
	}
	if (!head_len) {
		memmove(msg, tail, tail_len + 1);
		return;
	}
	head_len = strlen(head);
	memmove(msg + head_len + 2, tail, tail_len + 1);
	memcpy(msg, head, head_len);
	memcpy(msg + head_len, ": ", 2);
}

int platter_error_set(struct platter_error *err, int code, const char *fmt,
		      ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	format(err->msg, fmt, ap);
	va_end(ap);
	err->code = code;
	return code;
}

int platter_error_errno(struct platter_error *err, int code, const char *fmt,
			...)
{
	char head[PLATTER_ERROR_MAX];
	char buf[128];
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	format(head, fmt, ap);
	va_end(ap);
	join(err->msg, head, strerror_r(-code, buf, sizeof(buf)));
	err->code = code;
	return code;
}

int platter_error_prefix(struct platter_error *err, int code, const char *fmt,
			 ...)
{
	char head[PLATTER_ERROR_MAX];
	va_list ap;

	if (!err || code >= 0)
		return code;
	va_start(ap, fmt);
	format(head, fmt, ap);
	va_end(ap);
	join(err->msg, head, err->msg);
	err->code = code;
	return code;
}

int plt_err_nomem(struct platter_error *err, size_t bytes)
{
	return plt_err_set(err, -ENOMEM, "out of memory for %zu bytes", bytes);
}
