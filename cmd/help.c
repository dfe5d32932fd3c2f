/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * --help: of a verb from its argp table, of a group from its verbs.
 *
 * argp's layout can be changed by the environment, for every program at once.
 * Ours must be the same everywhere, so the variable is set for the call.
 */
#include <ctype.h>
#include <string.h>

#include "cmd.h"

#define HELP_LINE "  %-15s%s\n"
#define HELP_LAYOUT "no-dup-args-note,opt-doc-col=31,rmargin=79"

static void help_verb(FILE *stream, const struct cmd_verb *verb,
		      const char *path, bool usage_only)
{
	struct cmd_parser parser;
	/* argp_help() takes a char * and leaves it alone. */
	char name[64];

	cmd_parser_init(&parser, verb);
	snprintf(name, sizeof(name), "%s", path);

	setenv("ARGP_HELP_FMT", HELP_LAYOUT, 1);
	argp_help(&parser.argp, stream,
		  usage_only ? ARGP_HELP_USAGE :
		  ARGP_HELP_SHORT_USAGE | ARGP_HELP_DOC | ARGP_HELP_LONG,
		  name);
	unsetenv("ARGP_HELP_FMT");
}

static void help_group(FILE *stream, const struct cmd_verb *group,
		       const char *path, bool usage_only)
{
	const char *heading = NULL;

	fprintf(stream, "Usage: %s VERB [OPTION...] [NAME...]\n", path);
	if (usage_only)
		return;
	fprintf(stream, "%c%s.\n", toupper((unsigned char)group->summary[0]),
		group->summary + 1);

	for (const struct cmd_verb *const *v = group->verbs; *v; v++) {
		if ((*v)->flags & CMD_HIDDEN)
			continue;
		if (!heading || strcmp(heading, (*v)->group)) {
			heading = (*v)->group;
			fprintf(stream, "\n%s:\n", heading);
		}
		fprintf(stream, HELP_LINE, (*v)->name, (*v)->summary);
	}
	fputs("\nHelp:\n", stream);
	fprintf(stream, HELP_LINE, "help VERB",
		"the options of a verb and examples; the same as VERB --help");
	fprintf(stream, HELP_LINE, "-h, --help", "this list");
	fprintf(stream, HELP_LINE, "-V, --version", "the version");
}

void cmd_help(FILE *stream, const struct cmd_verb *verb, const char *path,
	      bool usage_only)
{
	if (verb->verbs)
		help_group(stream, verb, path, usage_only);
	else
		help_verb(stream, verb, path, usage_only);
	if (!usage_only && verb->examples)
		fprintf(stream, "\nExamples:\n%s", verb->examples);
}
