/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Telling text from bytes: UTF-8, and what is safe to show on a terminal. */
#ifndef PLT_BASE_TEXT_H
#define PLT_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The length (1 to 4) of the UTF-8 character at `text`, 0 when the bytes there
 * are not one. `len` > 0 is what is left. The character goes to *ch.
 */
size_t plt_utf8(const char *text, size_t len, uint32_t *ch);

/*
 * The same, but 0 as well for characters that could change how a terminal
 * shows the rest: control characters, line and paragraph separators, the ones
 * that turn the writing direction, and the two that are no characters.
 */
size_t plt_text_plain(const char *text, size_t len);

bool plt_utf8_valid(const char *text, size_t len);
bool plt_text_all_plain(const char *text, size_t len);

/* Make the decimal point of a printed number a point, whatever the locale. */
void plt_text_point(char *number);

#endif
