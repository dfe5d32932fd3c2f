/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parsing a verb's command line with argp.
 *
 * argp would print messages of its own and exit with 64, so it runs silent and
 * without its own --help. Its tables stay, wrapped in one that has the options
 * every verb knows and that collects the names.
 */
#include <string.h>

#include "cmd.h"

static const struct argp_option common_options[] = {
	{ .name = "help", .key = 'h', .group = -1,
	  .doc = "print this help, with examples" },
	{ .name = "usage", .key = CMD_KEY_SHARED - 1, .group = -1,
	  .doc = "print a short usage message" },
	{ .name = "version", .key = 'V', .group = -1,
	  .doc = "print the version" },
	{ 0 },
};

static struct cmd_parser *parser_of(const struct argp_state *state)
{
	/* Cast the const away that argp put there: it is our own struct. */
	return (struct cmd_parser *)(uintptr_t)state->root_argp;
}

struct cmd *cmd_of(const struct argp_state *state)
{
	return parser_of(state)->cmd;
}

error_t cmd_usage(const struct argp_state *state, const char *fmt, ...)
{
	struct platter_error *err = parser_of(state)->err;
	char msg[PLATTER_ERROR_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	/* What is wrong first is what is told. */
	if (err && !err->code)
		platter_error_set(err, -EINVAL, "%s", msg);
	return EINVAL;
}

static error_t stop(struct argp_state *state, enum cmd_action action)
{
	parser_of(state)->action = action;
	state->next = state->argc;
	return 0;
}

static error_t take_name(struct argp_state *state, char *arg)
{
	struct cmd_parser *p = parser_of(state);
	bool optional;
	char name[32];

	if (!p->children[0].argp ||
	    !cmd_args_doc(p->children[0].argp->args_doc, p->cmd->nr_args, name,
			  sizeof(name), &optional))
		return cmd_usage(state, "unexpected argument '%s'", arg);
	p->cmd->args[p->cmd->nr_args++] = arg;
	return 0;
}

/* Was a name given that is taken for one behind it when it is left out? */
static bool has_spare(const struct cmd_parser *p)
{
	bool optional = false;
	char name[32];

	for (unsigned int i = 0; i < p->cmd->nr_args && !optional; i++)
		cmd_args_doc(p->children[0].argp->args_doc, i, name,
			     sizeof(name), &optional);
	return optional;
}

static error_t check_names(struct argp_state *state)
{
	struct cmd_parser *p = parser_of(state);
	bool optional;
	char name[32];

	if (p->action == CMD_ACTION_RUN && p->children[0].argp &&
	    cmd_args_doc(p->children[0].argp->args_doc, p->cmd->nr_args, name,
			 sizeof(name), &optional) &&
	    !optional && !has_spare(p))
		return cmd_usage(state, "%s is missing", name);
	return 0;
}

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case ARGP_KEY_INIT:
		if (parser_of(state)->children[0].argp)
			state->child_inputs[0] = parser_of(state)->options;
		return 0;
	case 'h':
		return stop(state, CMD_ACTION_HELP);
	case CMD_KEY_SHARED - 1:
		return stop(state, CMD_ACTION_USAGE);
	case 'V':
		return stop(state, CMD_ACTION_VERSION);
	case ARGP_KEY_ARG:
		return take_name(state, arg);
	case ARGP_KEY_END:
		return check_names(state);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

void cmd_parser_init(struct cmd_parser *parser, const struct cmd_verb *verb)
{
	*parser = (struct cmd_parser){
		.argp.options = common_options,
		.argp.parser = parse_common,
		.argp.children = parser->children,
	};
	parser->children[0].argp = verb->argp;
}

int cmd_parse(struct cmd_parser *parser, struct cmd *cmd, void *options,
	      int argc, char **argv, struct platter_error *err)
{
	/* A private one: cmd_usage() must know if it was called. */
	struct platter_error own = PLATTER_ERROR_INIT;
	error_t rc;

	parser->cmd = cmd;
	parser->options = options;
	parser->err = &own;

	cmd->args = calloc((size_t)argc, sizeof(*cmd->args));
	if (!cmd->args)
		return platter_error_errno(err, -ENOMEM, "command line");

	rc = argp_parse(&parser->argp, argc, argv, ARGP_SILENT, NULL, NULL);
	if (!rc || parser->action != CMD_ACTION_RUN)
		return 0;
	if (own.code)
		return platter_error_set(err, own.code, "%s", own.msg);
	if (rc != EINVAL)
		return platter_error_errno(err, -rc, "command line");
	return cmd_explain_options(&parser->argp, argc, argv, err);
}
