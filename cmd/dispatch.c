/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the words of a command line to a verb, and from its result to an exit
 * code.
 *
 * Every message goes through here: one line "platter: ...", and for a usage
 * error a second that says where help is. Standard output is checked when the
 * verb is done, as a result that was not written is no result.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "cmd.h"

static int usage_error(const struct cmd *cmd, const char *path,
		       const char *msg)
{
	fprintf(cmd->err, "%s: %s\n"
		"Try '%s --help' for more information.\n", cmd->as->name, msg,
		path);
	return CMD_USAGE;
}

static int no_verb(const struct cmd *cmd, const char *path)
{
	return usage_error(cmd, path, "a verb is missing");
}

const struct cmd_verb *cmd_verb_find(const struct cmd_verb *group,
				     const char *name)
{
	for (const struct cmd_verb *const *v = group->verbs; *v; v++)
		if (!strcmp((*v)->name, name))
			return *v;
	return NULL;
}

/* Among the group's verbs, and those one level below: "repair". */
static void suggest_verb(struct cmd_suggestion *s, const struct cmd_verb *group)
{
	for (const struct cmd_verb *const *v = group->verbs; *v; v++)
		if (!((*v)->flags & CMD_HIDDEN))
			cmd_suggest_try(s, "", (*v)->name);
	for (const struct cmd_verb *const *v = group->verbs; *v; v++) {
		char prefix[32];

		snprintf(prefix, sizeof(prefix), "%s ", (*v)->name);
		for (const struct cmd_verb *const *w = (*v)->verbs; w && *w;
		     w++)
			cmd_suggest_try(s, prefix, (*w)->name);
	}
}

static int unknown_verb(const struct cmd *cmd, const struct cmd_verb *group,
			const char *path, const char *name)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	struct cmd_suggestion s;

	cmd_suggest_init(&s, name);
	suggest_verb(&s, group);
	platter_error_set(&e, -EINVAL, "'%s' has no verb '%s'%s%s%s", path,
			  name, s.text[0] ? "; did you mean '" : "", s.text,
			  s.text[0] ? "'?" : "");
	return usage_error(cmd, path, e.msg);
}

int cmd_printer(struct cmd *cmd, enum platter_output kind,
		struct platter_printer **out, struct platter_error *err)
{
	/* "platter log list" is <log-list> in XML. */
	const char *verb = strchr(cmd->path, ' ');
	char root[64];
	int rc;

	snprintf(root, sizeof(root), "%s", verb ? verb + 1 : cmd->path);
	for (char *p = root; *p; p++)
		if (*p == ' ')
			*p = '-';
	rc = platter_printer_new(&cmd->printer, kind, cmd->out, root, err);
	*out = cmd->printer;
	return rc;
}

static int close_printer(struct cmd *cmd, struct platter_error *err)
{
	struct platter_printer *printer = cmd->printer;

	cmd->printer = NULL;
	return printer ? platter_printer_close(printer, err) : 0;
}

/* The first error is the one to tell. */
static int finish(struct cmd *cmd, int rc, struct platter_error *err)
{
	struct platter_error late = PLATTER_ERROR_INIT;
	int rc2 = close_printer(cmd, &late);

	if (rc2 && !err->code)
		return platter_error_set(err, rc2, "%s", late.msg);
	return rc;
}

static int exit_code(const struct cmd *cmd, const struct cmd_verb *verb, int rc,
		     const struct platter_error *err)
{
	if (err->code)
		fprintf(cmd->err, "%s: %s\n", cmd->as->name, err->msg);
	if (rc == -ECANCELED)
		return CMD_CANCELLED;
	return rc < 0 ? verb->trouble : rc;
}

static int run_verb(struct cmd *cmd, const struct cmd_verb *verb, void *options)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	int rc;

	/*
	 * A closed pipe ends what only prints, as anywhere. What has files in
	 * the making must not die of it: it ends with an error when it is done.
	 * Nor of a limit on the size of files, which is an error like any.
	 */
	if (verb->flags & CMD_WRITES) {
		signal(SIGPIPE, SIG_IGN);
		signal(SIGXFSZ, SIG_IGN);
	}

	cmd->verb = verb;
	rc = platter_context_new(&cmd->ctx, &err);
	if (!rc) {
		platter_context_set_follow(cmd->ctx, cmd->follow);
		rc = verb->run(cmd, options, &err);
	}
	rc = finish(cmd, rc, &err);
	platter_context_free(cmd->ctx);
	return exit_code(cmd, verb, rc, &err);
}

static int print_help(const struct cmd *cmd, const struct cmd_verb *verb,
		      const char *path, bool usage_only)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	int rc = 0;

	if (verb == cmd->root && cmd->as->words)
		rc = cmd_personality_help(cmd->out, cmd->as, verb, &err);
	else
		cmd_help(cmd->out, verb, path, usage_only);
	return exit_code(cmd, verb, rc, &err);
}

static int parse_and_run(struct cmd *cmd, const struct cmd_verb *verb,
			 int argc, char **argv)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct cmd_parser parser;
	void *options = calloc(1, verb->options_size + 1);
	int code;

	cmd_parser_init(&parser, verb);
	if (!options) {
		platter_error_errno(&err, -ENOMEM, "command line");
		code = exit_code(cmd, verb, -ENOMEM, &err);
	} else if (cmd_parse(&parser, cmd, options, argc, argv, &err)) {
		code = usage_error(cmd, cmd->path, err.msg);
	} else if (parser.action == CMD_ACTION_VERSION) {
		fprintf(cmd->out, "%s\n", cmd->as->version);
		code = CMD_OK;
	} else if (parser.action != CMD_ACTION_RUN) {
		code = print_help(cmd, verb, cmd->path,
				  parser.action == CMD_ACTION_USAGE);
	} else if (verb->verbs) {
		code = no_verb(cmd, cmd->path);
	} else {
		code = run_verb(cmd, verb, options);
	}
	free(options);
	free(cmd->args);
	free(cmd->read_arg);
	cmd->read_arg = NULL;
	return code;
}

static int dispatch(struct cmd *cmd, const struct cmd_verb *verb,
		    const char *path, int argc, char **argv);

/* help [VERB [VERB]]: the words are those of the verb, without options. */
static int help(struct cmd *cmd, const struct cmd_verb *group,
		const char *path, char **words)
{
	const struct cmd_verb *verb;
	char below[64];

	if (!*words)
		return print_help(cmd, group, path, false);
	verb = group->verbs ? cmd_verb_find(group, *words) : NULL;
	if (!verb && group->verbs)
		return unknown_verb(cmd, group, path, *words);
	if (!verb) {
		struct platter_error e = PLATTER_ERROR_INIT;

		platter_error_set(&e, -EINVAL, "unexpected argument '%s'",
				  *words);
		return usage_error(cmd, path, e.msg);
	}
	snprintf(below, sizeof(below), "%s %s", path, verb->name);
	return help(cmd, verb, below, words + 1);
}

/*
 * The words that -T, --trace and its value take at `argv`: 0 where it is
 * something else, 3 where the value is missing.
 */
static int trace_words(const struct cmd *cmd, char *const *argv)
{
	const char *word = argv[0];

	if (!cmd->as->trace || !word)
		return 0;
	if (!strcmp(word, "-T") || !strcmp(word, "--trace"))
		return argv[1] ? 2 : 3;
	return !strncmp(word, "-T", 2) || !strncmp(word, "--trace=", 8);
}

static int run_group(struct cmd *cmd, const struct cmd_verb *group,
		     const char *path, int argc, char **argv)
{
	const struct cmd_verb *verb;
	const char *word;
	char below[64];
	int skip;

	while (argc > 1 && (skip = trace_words(cmd, argv + 1))) {
		if (skip == 3)
			return usage_error(cmd, path,
					   "option '-T' needs a value");
		argc -= skip;
		argv += skip;
	}
	word = argc > 1 ? argv[1] : NULL;
	if (!word)
		return no_verb(cmd, path);
	if (!strcmp(word, "help") && !cmd->as->verbs)
		return help(cmd, group, path, argv + 2);
	if (word[0] == '-')
		return parse_and_run(cmd, group, argc, argv);
	verb = cmd_verb_find(group, word);
	if (!verb)
		return unknown_verb(cmd, group, path, word);
	snprintf(below, sizeof(below), "%s %s", path, word);
	return dispatch(cmd, verb, below, argc - 1, argv + 1);
}

static int dispatch(struct cmd *cmd, const struct cmd_verb *verb,
		    const char *path, int argc, char **argv)
{
	cmd->path = path;
	if (verb->verbs)
		return run_group(cmd, verb, path, argc, argv);
	if (verb->flags & CMD_RAW_ARGS) {
		cmd->args = argv + 1;
		cmd->nr_args = (unsigned int)argc - 1;
		return run_verb(cmd, verb, NULL);
	}
	return parse_and_run(cmd, verb, argc, argv);
}

/*
 * A standard stream that came closed would be the number the next file gets,
 * and then messages go into a disk image. What is put there instead can only
 * be used the wrong way round, so that each use fails as on a closed one.
 */
static bool fill_streams(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			return false;
	return true;
}

/* What a printer wrote has been checked with the verb; this is the rest. */
static int close_output(const struct cmd_personality *as, int code)
{
	bool bad = ferror(stdout);

	errno = 0;
	bad |= fclose(stdout) != 0;
	if (!bad || code != CMD_OK)
		return code;
	fprintf(stderr, "%s: standard output: %s\n", as->name,
		errno ? strerror(errno) : "not all could be written");
	return as->trouble;
}

int cmd_main(const struct cmd_verb *all, int argc, char **argv)
{
	const struct cmd_personality *as = cmd_personality(argc ? argv[0] : "");
	const struct cmd_verb *verbs[CMD_PERSONALITY_VERBS];
	struct cmd_verb root;
	struct cmd cmd = {
		.as = as,
		.root = &root,
		.follow = as->follow,
		.words = argv,
		.out = stdout,
		.err = stderr,
	};

	if (!argc || !fill_streams())
		return as->trouble;
	cmd_personality_root(as, all, &root, verbs);
	return close_output(as, dispatch(&cmd, &root, root.name, argc, argv));
}
