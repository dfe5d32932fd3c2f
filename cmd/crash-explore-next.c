/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter crash explore`: commands to go on with, ready to be typed. */
#include <string.h>

#include "crash-explore.h"

/* As the shell wants it. */
static void put_word(FILE *f, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%,={}";

	putc(' ', f);
	if (*text && text[strspn(text, plain)] == '\0') {
		fputs(text, f);
		return;
	}
	putc('\'', f);
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", f);
		else
			putc(*text, f);
	}
	putc('\'', f);
}

static void put_option(FILE *f, const char *option, const char *value)
{
	if (!value)
		return;
	put_word(f, option);
	put_word(f, value);
}

static void put_size(FILE *f, const char *option, uint64_t value)
{
	if (value)
		fprintf(f, " %s %" PRIu64, option, value);
}

static void put_log_options(FILE *f, const struct cmd_crash_log *o)
{
	put_option(f, "--base", o->base);
	put_option(f, "--base-format", o->base_format);
	put_size(f, "--size", o->size);
	if (o->cover == PLATTER_CRASH_COVER_STRICT)
		put_option(f, "--flush-cover", "strict");
	put_size(f, "--sector-size", o->log.sector_size);
}

static void put_checkers(FILE *f, const struct cmd_crash_checkers *o)
{
	for (size_t i = 0; i < o->builtin.count; i++) {
		fputs(" --", f);
		fprintf(f, "%.*s", (int)strcspn(o->builtin.list[i], "="),
			o->builtin.list[i]);
		put_word(f, strchr(o->builtin.list[i], '=') + 1);
	}
	put_option(f, "--present", o->present);
	if (o->words)
		fputs(" --", f);
	for (unsigned int i = 0; i < o->nr_words; i++)
		put_word(f, o->words[i]);
}

static const struct platter_crash_record *first_failing(const struct explore *x)
{
	size_t nr = platter_crash_report_count(x->report);

	for (size_t i = 0; i < nr; i++) {
		const struct platter_crash_record *r =
			platter_crash_report_get(x->report, i);

		if (r->result.verdict == PLATTER_CRASH_FAIL && r->depth < 2)
			return r;
	}
	return NULL;
}

void explore_print_next(const struct explore *x)
{
	const struct platter_crash_record *r = first_failing(x);
	const struct explore_options *o = x->o;
	char *line = NULL;
	size_t size;
	FILE *f;

	/* Second crashes have names that only this run can make states of. */
	if (!r || !x->cmd->printer)
		return;
	f = open_memstream(&line, &size);
	if (!f)
		return;
	put_log_options(f, &o->log);
	put_word(f, x->cmd->args[0]);
	put_word(f, r->state);
	put_checkers(f, &o->checkers);
	if (!fclose(f))
		platter_out_text(x->cmd->printer, "to find its cause:\n"
				 "  platter crash shrink%s\n", line);
	free(line);
}

void explore_say_resume(const struct explore *x)
{
	if (x->jsonl_name)
		fprintf(x->cmd->err, "%s: stopped after %zu states; the same "
			"command with --resume %s in place of --jsonl goes on "
			"with it\n", x->cmd->as->name, x->given,
			x->jsonl_name);
	else
		fprintf(x->cmd->err, "%s: stopped after %zu states; with "
			"--jsonl FILE it could be gone on with\n",
			x->cmd->as->name, x->given);
}
