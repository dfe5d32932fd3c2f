/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter __complete WORD...`: what the last word could become.
 *
 * The shells' scripts hand over the words behind "platter", the last one being
 * the one under the cursor, and get a line for each way to go on: the whole
 * word, a tab, what it means. A line ":files" asks the shell for file names.
 *
 * All comes from the verb and argp tables. What an option or a name takes is
 * told by its metavariable:
 *
 *	a|b|c		the words a, b and c; a part in capitals as below
 *	FORMAT		drivers
 *	CACHE		cache modes
 *	SHAPE		shapes of a list of hashes
 *	POINT		points of the log on the line, with its marks
 *	FLAGS		flags of entries, separated by commas
 *	SNAPSHOT	names of snapshots in the image on the line
 *	FILE... IMAGE LOG SOURCE TARGET OUT SOCKET COMMAND	file names
 *
 * Nothing is ever printed to standard error: it would end up in the prompt.
 */
#include <ctype.h>
#include <string.h>

#include "cmd.h"

/* Entries looked at for marks: a prompt must not hang. */
#define MARKS_SEARCHED 200000u

struct completion {
	struct cmd *cmd;
	struct platter_printer *out;
	const struct argp *argp;	/* of the verb and the common one */
	const char *args_doc;
	const char *cur;		/* the word under the cursor */
	char *const *names;		/* the first on the line, or NULL */
	unsigned int nr_names;
	const struct argp_option *pending;	/* cur is its value */
	bool only_names;		/* "--" was seen */
};

/* Offer prefix + word if it begins with what is typed. */
static void offer(const struct completion *c, const char *prefix,
		  const char *word, const char *doc)
{
	size_t len = strlen(prefix);

	if (strncmp(c->cur, prefix, len))
		return;
	if (strncmp(word, c->cur + len, strlen(c->cur + len)))
		return;
	platter_out_text(c->out, "%s%s\t%s\n", prefix, word, doc ? doc : "");
}

static void offer_each(const struct completion *c, const char *prefix,
		       const char *const *words)
{
	for (; *words; words++)
		offer(c, prefix, *words, NULL);
}

/* ---- values ---- */

static void offer_mark(const struct completion *c, const char *prefix,
		       const struct platter_log_entry *e)
{
	char *text = platter_bytes_escape(e->mark, e->mark_len);
	char doc[32];
	char *word;

	snprintf(doc, sizeof(doc), "entry %" PRIu64, e->number);
	if (text && asprintf(&word, "mark:%s", text) >= 0) {
		offer(c, prefix, word, doc);
		free(word);
	}
	free(text);
}

static void offer_marks(const struct completion *c, const char *prefix)
{
	struct platter_log_cursor *cursor cmd_auto_cursor = NULL;
	struct platter_log *log cmd_auto_log = NULL;
	const struct cmd_log opts = { .share = true, .index = "" };
	struct platter_log_entry e;

	if (!c->names || strncmp(c->args_doc, "LOG", 3))
		return;
	if (cmd_log_open(c->cmd, &opts, c->names[0], &log, NULL) ||
	    platter_log_cursor_new(&cursor, log, 0, NULL))
		return;
	while (!platter_log_next(cursor, &e, NULL) &&
	       e.number < MARKS_SEARCHED)
		if (e.mark)
			offer_mark(c, prefix, &e);
}

static void offer_points(const struct completion *c, const char *prefix)
{
	offer(c, prefix, "end", "behind the last entry");
	offer(c, prefix, "flush:", "behind FLUSH number K");
	offer(c, prefix, "fua:", "behind FUA write number K");
	offer_marks(c, prefix);
}

static void offer_flags(const struct completion *c, const char *prefix)
{
	static const char *const flags[] = {
		"FLUSH", "FUA", "DISCARD", "MARK", "METADATA", NULL,
	};
	const char *comma = strrchr(c->cur, ',');
	char *longer;

	if (!comma) {
		offer_each(c, prefix, flags);
		return;
	}
	/* Keep the flags that are there. */
	longer = strndup(c->cur, (size_t)(comma - c->cur) + 1);
	if (longer)
		offer_each(c, longer, flags);
	free(longer);
}

static void offer_snapshots(const struct completion *c, const char *prefix)
{
	const struct cmd_image opts = { .share = true };
	struct platter_image *img cmd_auto_image = NULL;
	const struct platter_snapshot *list;
	char doc[64];
	size_t nr;

	if (!c->names ||
	    cmd_image_open(c->cmd, &opts, c->names[0], PLATTER_O_NO_IO,
			   PLATTER_CACHE_WRITEBACK, &img, NULL) ||
	    platter_image_snapshots(img, &list, &nr, NULL))
		return;
	for (size_t i = 0; i < nr; i++) {
		char *name = platter_bytes_escape(list[i].name,
						  strlen(list[i].name));

		snprintf(doc, sizeof(doc), "ID %s", list[i].id);
		if (name)
			offer(c, prefix, name, doc);
		free(name);
	}
}

static void offer_metavar(const struct completion *c, const char *prefix,
			  const char *name)
{
	static const char *const caches[] = {
		"none", "writeback", "writethrough", "directsync", "unsafe",
		NULL,
	};
	static const char *const shapes[] = {
		"human", "json", "xml", "hashdeep", "dfxml", NULL,
	};
	static const char *const files[] = {
		"IMAGE", "LOG", "SOURCE", "TARGET", "OUT", "SOCKET", "COMMAND",
		NULL,
	};
	static const char *const operands[] = {
		"if=", "of=", "bs=", "count=", "skip=", "seek=",
		"conv=notrunc", NULL,
	};

	if (islower((unsigned char)name[0]))
		offer(c, prefix, name, NULL);
	else if (!strcmp(name, "FORMAT"))
		offer_each(c, prefix, platter_context_formats(c->cmd->ctx));
	else if (!strcmp(name, "CACHE"))
		offer_each(c, prefix, caches);
	else if (!strcmp(name, "SHAPE"))
		offer_each(c, prefix, shapes);
	else if (!strcmp(name, "POINT"))
		offer_points(c, prefix);
	else if (!strcmp(name, "FLAGS"))
		offer_flags(c, prefix);
	else if (!strcmp(name, "SNAPSHOT"))
		offer_snapshots(c, prefix);
	else if (!strcmp(name, "OPERAND"))
		offer_each(c, prefix, operands);
	else if (!strncmp(name, "FILE", 4))
		platter_out_text(c->out, ":files\n");
	else
		for (const char *const *f = files; *f; f++)
			if (!strcmp(name, *f))
				platter_out_text(c->out, ":files\n");
}

static void offer_values(const struct completion *c, const char *prefix,
			 const char *metavar)
{
	while (*metavar) {
		size_t len = strcspn(metavar, "|");
		char name[32];

		snprintf(name, sizeof(name), "%.*s", (int)len, metavar);
		offer_metavar(c, prefix, name);
		metavar += len + (metavar[len] == '|');
	}
}

/* ---- options ---- */

struct option_offer {
	struct cmd_option_visitor visitor;
	const struct completion *c;
};

static int offer_option(struct cmd_option_visitor *self,
			const struct cmd_option *option)
{
	const struct completion *c = ((struct option_offer *)self)->c;
	const struct argp_option *real = option->real;
	bool value = real->arg && !(real->flags & OPTION_ARG_OPTIONAL);
	char word[64];

	if (option->opt->flags & OPTION_HIDDEN)
		return 0;
	if (option->opt->name) {
		snprintf(word, sizeof(word), "--%s%s", option->opt->name,
			 value ? "=" : "");
		offer(c, "", word, real->doc);
	}
	if (cmd_option_is_short(option->opt) && !strcmp(c->cur, "-")) {
		snprintf(word, sizeof(word), "-%c", option->opt->key);
		offer(c, "", word, real->doc);
	}
	return 0;
}

static void offer_options(const struct completion *c)
{
	struct option_offer o = { .visitor.visit = offer_option, .c = c };

	cmd_options_each(c->argp, &o.visitor);
}

/* --name=val, with the cursor in the value. */
static void complete_long(const struct completion *c, size_t name_len)
{
	struct cmd_option option;
	char *prefix;

	if (cmd_option_long(c->argp, c->cur + 2, name_len, &option) != 1 ||
	    !option.real->arg)
		return;
	prefix = strndup(c->cur, name_len + 3);
	if (prefix)
		offer_values(c, prefix, option.real->arg);
	free(prefix);
}

/* -xVALUE, perhaps with letters before. */
static void complete_short(const struct completion *c)
{
	for (const char *p = c->cur + 1; *p; p++) {
		struct cmd_option option;
		char *prefix;

		if (!cmd_option_short(c->argp, *p, &option))
			return;
		if (!option.real->arg)
			continue;
		prefix = strndup(c->cur, (size_t)(p - c->cur) + 1);
		if (prefix)
			offer_values(c, prefix, option.real->arg);
		free(prefix);
		return;
	}
	offer(c, c->cur, "", NULL);
}

static void complete_word(const struct completion *c)
{
	bool optional;
	char name[32];

	if (c->pending)
		offer_values(c, "", c->pending->arg);
	else if (!c->only_names && !strncmp(c->cur, "--", 2) &&
		 strchr(c->cur, '='))
		complete_long(c, strcspn(c->cur + 2, "="));
	else if (!c->only_names && c->cur[0] == '-' &&
		 (!c->cur[1] || c->cur[1] == '-'))
		offer_options(c);
	else if (!c->only_names && c->cur[0] == '-')
		complete_short(c);
	else if (cmd_args_doc(c->args_doc, c->nr_names, name, sizeof(name),
			      &optional))
		offer_values(c, "", name);
}

/* ---- the words before the cursor ---- */

/* The option in `word` that takes the next word, if one does. */
static const struct argp_option *wants_value(const struct argp *argp,
					     const char *word)
{
	struct cmd_option option;

	if (word[1] == '-') {
		if (strchr(word, '=') ||
		    cmd_option_long(argp, word + 2, strlen(word + 2),
				    &option) != 1)
			return NULL;
		return option.real->arg &&
		       !(option.real->flags & OPTION_ARG_OPTIONAL) ?
		       option.real : NULL;
	}
	for (word++; *word && cmd_option_short(argp, *word, &option); word++)
		if (option.real->arg)
			return word[1] || option.real->flags &
			       OPTION_ARG_OPTIONAL ? NULL : option.real;
	return NULL;
}

static void read_words(struct completion *c, char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *word = words[i];

		if (c->pending)
			c->pending = NULL;
		else if (!c->only_names && !strcmp(word, "--"))
			c->only_names = true;
		else if (!c->only_names && word[0] == '-' && word[1])
			c->pending = wants_value(c->argp, word);
		else if (!c->nr_names++)
			c->names = &words[i];
	}
}

static void complete_verb(const struct completion *c,
			  const struct cmd_verb *group, bool help)
{
	if (c->cur[0] == '-' && !help) {
		offer_options(c);
		return;
	}
	for (const struct cmd_verb *const *v = group->verbs; *v; v++)
		if (!((*v)->flags & CMD_HIDDEN))
			offer(c, "", (*v)->name, (*v)->summary);
	if (!help)
		offer(c, "", "help", "print the help of a verb");
}

/* `words` ends with the word under the cursor. */
static void complete(struct completion *c, char *const *words, size_t count)
{
	const struct cmd_verb *verb = c->cmd->root;
	struct cmd_parser parser;
	bool help = false;

	for (; count > 1 && verb->verbs; words++, count--) {
		if (!help && !strcmp(words[0], "help")) {
			help = true;
			continue;
		}
		verb = cmd_verb_find(verb, words[0]);
		if (!verb)
			return;
	}
	cmd_parser_init(&parser, verb);
	c->argp = &parser.argp;
	c->cur = words[count - 1];
	if (verb->verbs) {
		complete_verb(c, verb, help);
	} else if (!help) {
		c->args_doc = verb->argp ? verb->argp->args_doc : "";
		read_words(c, words, count - 1);
		complete_word(c);
	}
}

static int run(struct cmd *cmd, void *options, struct platter_error *err)
{
	struct completion c = { .cmd = cmd };
	int rc;

	(void)options;
	rc = cmd_printer(cmd, PLATTER_OUTPUT_HUMAN, &c.out, err);
	if (!rc && cmd->nr_args)
		complete(&c, cmd->args, cmd->nr_args);
	return rc;
}

const struct cmd_verb cmd_complete = {
	.name = "__complete",
	.summary = "print how a command line could go on",
	.flags = CMD_RAW_ARGS | CMD_HIDDEN,
	.trouble = CMD_TROUBLE,
	.run = run,
};
