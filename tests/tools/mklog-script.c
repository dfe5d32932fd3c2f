/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mklog: a log as a script on standard input says. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mklog.h"

static int hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = tolower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *next_word(char **line)
{
	char *w = *line + strspn(*line, " \t");

	if (!*w)
		return NULL;
	*line = w + strcspn(w, " \t");
	if (**line)
		*(*line)++ = '\0';
	return w;
}

static uint64_t next_number(char **line)
{
	return to_number(next_word(line));
}

/* Decodes \xNN and \\ in place; the result may hold NULs. */
static size_t unescape(char *s)
{
	char *to = s, *from = s;

	while (*from) {
		int hi, lo;

		if (*from != '\\') {
			*to++ = *from++;
			continue;
		}
		if (from[1] == '\\') {
			*to++ = '\\';
			from += 2;
			continue;
		}
		if (from[1] != 'x' || (hi = hex_digit(from[2])) < 0 ||
		    (lo = hex_digit(from[3])) < 0)
			die("an escape is \\xNN or \\\\");
		*to++ = (char)(hi << 4 | lo);
		from += 4;
	}
	return (size_t)(to - s);
}

static size_t unhex(char *s)
{
	size_t n = 0;
	int hi, lo;

	for (; s[2 * n]; n++) {
		hi = hex_digit(s[2 * n]);
		lo = hi < 0 ? -1 : hex_digit(s[2 * n + 1]);
		if (lo < 0)
			die("rest= takes pairs of hexadecimal digits");
		s[n] = (char)(hi << 4 | lo);
	}
	return n;
}

static void parse_opts(char *line, struct entry *e, struct fill *f)
{
	char *w;

	while ((w = next_word(&line))) {
		if (!strcmp(w, "hole")) {
			f->kind = FILL_HOLE;
		} else if (!strncmp(w, "fill=seed:", 10)) {
			f->kind = FILL_SEED;
			f->value = to_number(w + 10);
		} else if (!strncmp(w, "fill=", 5)) {
			f->kind = FILL_BYTE;
			f->value = to_number(w + 5);
			if (f->value > 255)
				die("fill=%" PRIu64 " is not a byte", f->value);
		} else if (!strncmp(w, "flags=", 6)) {
			e->flags = to_number(w + 6);
		} else if (!strncmp(w, "data_len=", 9)) {
			e->data_len = to_number(w + 9);
		} else if (!strncmp(w, "rest=", 5)) {
			e->rest_len = unhex(w + 5);
			e->rest = (const uint8_t *)w + 5;
		} else {
			die("unknown option: %s", w);
		}
	}
}

static void script_mark(struct out *o, char *text, bool raw)
{
	uint64_t data_len = raw ? next_number(&text) : 0;
	size_t len = unescape(text);

	put_mark(o, text, len, raw ? data_len : len);
}

static void script_inline(struct out *o, char *line)
{
	struct entry e = { .data_len = 0 };
	struct fill f = { FILL_ENTRY, o->entries };
	uint64_t len, bytes;

	e.sector = next_number(&line);
	e.nr = next_number(&line);
	len = e.data_len = next_number(&line);
	parse_opts(line, &e, &f);
	bytes = sectors_to_bytes(o, e.nr);
	if (len > bytes)
		die("%" PRIu64 " bytes do not fit in %" PRIu64 " sectors", len,
		    e.nr);
	put_header(o, &e);
	put_fill(o, len, &f);
	put_zeros(o, bytes - len);
}

static bool script_plain(struct out *o, const char *verb, char *line)
{
	static const struct {
		const char *name;
		uint64_t flags;
		unsigned int numbers;
	} verbs[] = {
		{ "write", 0, 2 },
		{ "fua", FLAG_FUA, 2 },
		{ "discard", FLAG_DISCARD, 2 },
		{ "emptyflushfua", FLAG_FLUSH | FLAG_FUA | FLAG_METADATA, 1 },
		{ "flush", FLAG_FLUSH, 0 },
	};
	struct entry e = { .data_len = 0 };
	struct fill f = { FILL_ENTRY, o->entries };
	size_t i;

	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(verbs[i].name, verb))
			break;
	if (i == sizeof(verbs) / sizeof(verbs[0]))
		return false;
	e.flags = verbs[i].flags;
	if (verbs[i].numbers > 0)
		e.sector = next_number(&line);
	if (verbs[i].numbers > 1)
		e.nr = next_number(&line);
	parse_opts(line, &e, &f);
	put_entry(o, &e, &f);
	return true;
}

static void script_line(struct out *o, char *line)
{
	struct entry e = { .data_len = 0 };
	struct fill f = { FILL_ENTRY, o->entries };
	char *verb = next_word(&line);
	uint64_t n;

	if (!verb || *verb == '#' || script_plain(o, verb, line))
		return;
	if (!strcmp(verb, "mark") || !strcmp(verb, "raw-mark")) {
		script_mark(o, line, *verb == 'r');
	} else if (!strcmp(verb, "inline")) {
		script_inline(o, line);
	} else if (!strcmp(verb, "raw-header")) {
		e.sector = next_number(&line);
		e.nr = next_number(&line);
		e.flags = next_number(&line);
		e.data_len = next_number(&line);
		parse_opts(line, &e, &f);
		put_header(o, &e);
	} else if (!strcmp(verb, "data")) {
		n = next_number(&line);
		parse_opts(line, &e, &f);
		put_fill(o, sectors_to_bytes(o, n), &f);
	} else if (!strcmp(verb, "zero-sector")) {
		put_zeros(o, o->sector_size);
	} else if (!strcmp(verb, "garbage")) {
		n = next_number(&line);
		put_stream(o, n, next_number(&line));
	} else {
		die("unknown word: %s", verb);
	}
}

void run_script(struct out *o)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	while ((n = getline(&line, &size, stdin)) >= 0) {
		line_nr++;
		if (n && line[n - 1] == '\n')
			line[n - 1] = '\0';
		script_line(o, line);
	}
	line_nr = 0;
	free(line);
	if (ferror(stdin))
		die("reading the script: %s", strerror(errno));
}
