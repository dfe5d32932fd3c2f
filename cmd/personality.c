/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the command is when it is run under the name of another program.
 *
 * Whoever calls qemu-img reads its version, greps its help for an option and
 * takes percentages from its standard output. All in which a program of that
 * name differs from `platter` is data here; dispatch.c and options.c look it
 * up, the verbs need not know. Facts: qemu-img 7.2 and the programs that call
 * it.
 */
#include <ctype.h>
#include <string.h>

#include "cmd.h"

/* In the order qemu-img lists them. */
static const char *const qemu_verbs[] = {
	"amend", "bench", "bitmap", "check", "commit", "compare", "convert",
	"create", "dd", "info", "map", "measure", "snapshot", "rebase",
	"resize", NULL,
};

/* What qemu-img calls the values of options; scripts look for some. */
static const char *const qemu_words[][2] = {
	{ "FORMAT", "fmt" },
	{ "CACHE", "cache" },
	{ "KEY=VALUE,...", "options" },
	{ "human|json|xml", "ofmt" },
	{ NULL, NULL },
};

static const struct cmd_personality personalities[] = {
	{
		.name = "qemu-img",
		.version = "qemu-img version 7.2.0 (platter "
			   PACKAGE_VERSION ")",
		.summary = "disk image utility",
		.verbs = qemu_verbs,
		.words = qemu_words,
		.trouble = 1,
		.follow = PLATTER_FOLLOW_ANY,
		.trace = true,
		.plain_progress = true,
		.no_xml = true,
	},
};

static const struct cmd_personality own = {
	.name = "platter",
	.version = "platter " PACKAGE_VERSION,
	.trouble = CMD_TROUBLE,
	.follow = PLATTER_FOLLOW_BENEATH,
};

const struct cmd_personality *cmd_personality(const char *program)
{
	const char *slash = strrchr(program, '/');
	const char *name = slash ? slash + 1 : program;

	for (size_t i = 0; i < CMD_ARRAY_SIZE(personalities); i++)
		if (!strcmp(personalities[i].name, name))
			return &personalities[i];
	return &own;
}

void cmd_personality_root(const struct cmd_personality *as,
			  const struct cmd_verb *all, struct cmd_verb *root,
			  const struct cmd_verb *verbs[CMD_PERSONALITY_VERBS])
{
	size_t n = 0;

	*root = *all;
	if (!as->verbs)
		return;
	for (const char *const *v = as->verbs;
	     *v && n < CMD_PERSONALITY_VERBS - 1; v++) {
		verbs[n] = cmd_verb_find(all, *v);
		n += verbs[n] != NULL;
	}
	verbs[n] = NULL;
	root->name = as->name;
	root->summary = as->summary;
	root->examples = NULL;
	root->verbs = verbs;
}

/* ---- --help in the shape scripts search ---- */

struct syntax {
	struct cmd_option_visitor visitor;
	const struct cmd_personality *as;
	FILE *stream;
};

static const char *word_for(const struct cmd_personality *as, const char *arg)
{
	for (const char *const (*w)[2] = as->words; (*w)[0]; w++)
		if (!strcmp((*w)[0], arg))
			return (*w)[1];
	return arg;
}

/* A short option where there is one: "[-f fmt]", "[--backing-chain]". */
static int print_option(struct cmd_option_visitor *self,
			const struct cmd_option *option)
{
	struct syntax *s = (struct syntax *)self;
	const struct argp_option *opt = option->opt;
	const char *arg = option->real->arg;
	bool letter = cmd_option_is_short(opt);

	if (opt->flags & (OPTION_HIDDEN | OPTION_DOC))
		return 0;
	if (letter)
		fprintf(s->stream, " [-%c", opt->key);
	else
		fprintf(s->stream, " [--%s", opt->name);
	if (arg)
		fprintf(s->stream, "%c%s", letter ? ' ' : '=',
			word_for(s->as, arg));
	fputc(']', s->stream);
	return 0;
}

static void print_syntax(FILE *stream, const struct cmd_personality *as,
			 const struct cmd_verb *verb)
{
	struct syntax s = { { print_option }, as, stream };

	fprintf(stream, "  %s", verb->name);
	cmd_options_each(verb->argp, &s.visitor);
	fprintf(stream, " %s\n", verb->argp->args_doc);
}

int cmd_personality_help(FILE *stream, const struct cmd_personality *as,
			 const struct cmd_verb *root, struct platter_error *err)
{
	struct platter_context *ctx;
	int rc;

	rc = platter_context_new(&ctx, err);
	if (rc)
		return rc;
	fprintf(stream, "%s\nusage: %s [standard options] command "
		"[command options]\n\n"
		"  -h, --help        this text; behind a command, its own help\n"
		"  -V, --version     the version\n"
		"  -T, --trace ARG   accepted, and nothing is traced\n\n"
		"Command syntax:\n", as->version, as->name);
	for (const struct cmd_verb *const *v = root->verbs; *v; v++)
		print_syntax(stream, as, *v);
	fputs("\nSupported formats:", stream);
	for (const char *const *f = platter_context_formats(ctx); *f; f++)
		fprintf(stream, " %s", *f);
	fputc('\n', stream);
	platter_context_free(ctx);
	return 0;
}
