/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter log list`: the entries of a log, one a line.
 *
 * Entries stream from the log to the printer, so ten million of them need no
 * more memory than one. Without --to the end is not looked up, which would be a
 * pass of its own: it is where the entries run out.
 */
#include "cmd.h"

enum {
	KEY_FLAGS = CMD_KEY_FIRST,
	KEY_NOT_FLAGS,
	KEY_TOUCHING,
};

struct list_options {
	struct cmd_log log;
	struct cmd_points points;
	struct cmd_output output;
	struct cmd_range touching;
	uint64_t flags;
	uint64_t not_flags;
};

static const struct argp_option options[] = {
	{ .name = "flags", .key = KEY_FLAGS, .arg = "FLAGS",
	  .doc = "only entries with one of these: FLUSH, FUA, DISCARD, MARK, "
		 "METADATA, separated by commas" },
	{ .name = "not-flags", .key = KEY_NOT_FLAGS, .arg = "FLAGS",
	  .doc = "no entry with any of these" },
	{ .name = "touching", .key = KEY_TOUCHING, .arg = "OFFSET+LENGTH",
	  .doc = "only writes and discards of this part of the disk; one log "
		 "sector without +LENGTH" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct list_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->points;
		state->child_inputs[1] = &o->log;
		state->child_inputs[2] = &o->output;
		return 0;
	case KEY_FLAGS:
		return cmd_parse_log_flags(state, arg, &o->flags);
	case KEY_NOT_FLAGS:
		return cmd_parse_log_flags(state, arg, &o->not_flags);
	case KEY_TOUCHING:
		return cmd_parse_range(state, "--touching", arg, &o->touching);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_POINTS,
	CMD_CHILD_LOG,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "LOG",
	.doc = "Print the entries of a write log in their order. Offsets and "
	       "lengths are bytes.\v"
	       "Exit codes: 0 done, 1 done but the log ends early, 2 trouble.",
	.children = children,
};

static bool is_wanted(const struct list_options *o,
		      const struct platter_log_entry *e)
{
	const struct cmd_range *t = &o->touching;

	if (o->flags && !(e->flags & o->flags))
		return false;
	if (e->flags & o->not_flags)
		return false;
	if (!t->given)
		return true;
	return e->length && e->start < t->offset + t->length &&
	       t->offset < e->start + e->length;
}

static int list(struct platter_printer *out, const struct list_options *o,
		struct platter_log *log, uint64_t from, uint64_t to,
		struct platter_error *err)
{
	struct platter_log_cursor *cursor cmd_auto_cursor = NULL;
	struct platter_log_entry e;
	int rc;

	rc = platter_log_cursor_new(&cursor, log, from, err);
	if (rc)
		return rc;
	cmd_log_entry_heading(out);
	platter_out_list(out, NULL);
	for (uint64_t next = from; next < to; next++) {
		rc = platter_log_next(cursor, &e, err);
		if (rc)
			break;
		if (is_wanted(o, &e))
			cmd_log_entry_print(out, &e);
	}
	platter_out_end(out);
	return rc < 0 ? rc : 0;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct list_options *o = options_;
	struct platter_log *log cmd_auto_log = NULL;
	uint64_t from = 0, to = UINT64_MAX;
	struct platter_printer *out;
	int rc;

	rc = cmd_log_open(cmd, &o->log, cmd->args[0], &log, err);
	if (!rc && o->points.to)
		rc = cmd_points_resolve(&o->points, log, &from, &to, err);
	else if (!rc && o->points.from)
		rc = platter_log_point(log, o->points.from, &from, err);
	if (!rc)
		rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	if (!o->touching.has_length)
		o->touching.length = platter_log_sector_size(log);
	rc = list(out, o, log, from, to, err);
	return rc ? rc : cmd_log_verdict(log, &o->points, err);
}

const struct cmd_verb cmd_log_list = {
	.name = "list",
	.group = "Look",
	.summary = "print the entries, one a line",
	.examples =
		"  platter log list disk.dmlw --from mark:mkfs "
		"--to mark:fsync-1\n"
		"  platter log list disk.dmlw --flags FUA,FLUSH\n"
		"  platter log list disk.dmlw --touching 1M+4K --output=json\n",
	.argp = &argp,
	.options_size = sizeof(struct list_options),
	.trouble = CMD_TROUBLE,
	.run = run,
};
