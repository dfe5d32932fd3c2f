/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looking for a cause: what one can do with the state that was found. */
#include <string.h>

#include "crash-cause.h"

/* As a shell takes it for one word. */
static void quote(FILE *f, const char *word)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789_-+=.,:/@%";

	if (*word && !word[strspn(word, plain)]) {
		fputs(word, f);
		return;
	}
	fputc('\'', f);
	for (; *word; word++) {
		if (*word == '\'')
			fputs("'\\''", f);
		else
			fputc(*word, f);
	}
	fputc('\'', f);
}

static void option(FILE *f, const char *name, const char *value)
{
	if (!value)
		return;
	fprintf(f, " --%s ", name);
	quote(f, value);
}

char *cmd_crash_export_line(const struct cmd_crash_log *o, const char *log,
			    const char *state)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fputs("platter crash export", f);
	option(f, "base", o->base);
	option(f, "base-format", o->base_format);
	if (o->size)
		fprintf(f, " --size %" PRIu64, o->size);
	if (o->cover == PLATTER_CRASH_COVER_STRICT)
		option(f, "flush-cover", "strict");
	if (o->log.sector_size)
		fprintf(f, " --sector-size %" PRIu32, o->log.sector_size);
	fputc(' ', f);
	quote(f, log);
	fputc(' ', f);
	quote(f, state);
	fputs(" state.raw", f);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
