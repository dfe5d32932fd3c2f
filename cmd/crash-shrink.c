/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter crash shrink`: from a state that fails to what causes it. */
#include <string.h>

#include "crash.h"
#include "crash-cause.h"

enum {
	KEY_MODEL = CMD_KEY_FIRST,
	KEY_UNIT,
	KEY_RECOVER,
};

struct shrink_options {
	struct cmd_crash_log log;
	struct cmd_crash_checkers checkers;
	struct cmd_progress progress;
	struct cmd_output output;
	enum platter_crash_model model;
	uint64_t unit;
};

static const struct argp_option options[] = {
	{ .name = "model", .key = KEY_MODEL, .arg = "epoch|sector",
	  .doc = "what is given back: whole writes (epoch), or at last single "
		 "units of them (sector)" },
	{ .name = "unit", .key = KEY_UNIT, .arg = "BYTES",
	  .doc = "what is written whole or not at all (a log sector)" },
	{ .name = "recover", .key = KEY_RECOVER, .arg = "COMMAND",
	  .doc = "for STATE@STATE: what crash explore was told to recover "
		 "with" },
	{ 0 },
};

static error_t parse_model(const struct argp_state *state, const char *arg,
			   struct shrink_options *o)
{
	if (!strcmp(arg, "epoch"))
		o->model = PLATTER_CRASH_MODEL_EPOCH;
	else if (!strcmp(arg, "sector"))
		o->model = PLATTER_CRASH_MODEL_SECTOR;
	else
		return cmd_usage(state, "--model: '%s' is not epoch or sector",
				 arg);
	return 0;
}

static error_t parse_unit(const struct argp_state *state, const char *arg,
			  struct shrink_options *o)
{
	error_t rc = cmd_parse_size(state, "--unit", arg, &o->unit);

	if (!rc && (!o->unit || o->unit > UINT32_MAX))
		rc = cmd_usage(state, "--unit: %s is not between 1 and 4 GiB",
			       arg);
	return rc;
}

static error_t check(const struct argp_state *state,
		     const struct shrink_options *o)
{
	const struct cmd_parser *p = (const void *)state->root_argp;
	const struct cmd *cmd = cmd_of(state);
	bool nested;

	if (p->action != CMD_ACTION_RUN)
		return 0;
	if (cmd->nr_args != o->checkers.nr_words + 2)
		return cmd_usage(state, "LOG and STATE, and no more, are to "
				 "stand in front of --");
	/* What a file has is seen to when it is read. */
	if (*cmd->args[1] == '@')
		return 0;
	nested = strchr(cmd->args[1], '@');
	if (nested && !o->checkers.recover)
		return cmd_usage(state, "%s is of a recovery: it needs "
				 "--recover COMMAND", cmd->args[1]);
	if (!nested && o->checkers.recover)
		return cmd_usage(state, "--recover is for STATE@STATE, which "
				 "%s is not", cmd->args[1]);
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct shrink_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->log;
		state->child_inputs[1] = &o->checkers;
		state->child_inputs[2] = &o->progress;
		state->child_inputs[3] = &o->output;
		o->model = PLATTER_CRASH_MODEL_SECTOR;
		return 0;
	case KEY_MODEL:
		return parse_model(state, arg, o);
	case KEY_UNIT:
		return parse_unit(state, arg, o);
	case KEY_RECOVER:
		o->checkers.recover = arg;
		return 0;
	case ARGP_KEY_END:
		return check(state, o);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_CRASH_LOG,
	CMD_CHILD_CRASH_CHECKERS,
	CMD_CHILD_PROGRESS,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "LOG STATE [-- COMMAND...]",
	.doc = "Reduce a crash state that fails to its cause: give lost writes "
	       "back as long as it still fails, then units of them, then take "
	       "an earlier crash point. None of what is missing in the end "
	       "can be given back. The checker is the one crash explore was "
	       "run with.\v"
	       "Exit codes: 0 the cause was found, 2 trouble, as when the "
	       "state does not fail, or none near it passes.",
	.children = children,
};

static int tried(void *arg, const char *state,
		 const struct platter_crash_result *result, uint64_t left)
{
	return cmd_crash_watch_tried(arg, state, result, left);
}

static int shrink(struct cmd *cmd, const struct shrink_options *o,
		  const struct platter_crash_state *state,
		  const struct cmd_crash_lab *lab,
		  struct platter_crash_cause *cause, struct platter_error *err)
{
	struct cmd_crash_watch watch;
	const struct platter_crash_shrink_options opts = {
		.harness = lab->harness,
		.slots = lab->slots,
		.model = o->model,
		.unit = (uint32_t)o->unit,
		.tried = tried,
		.arg = &watch,
	};
	int rc;

	rc = cmd_crash_watch_start(&watch, cmd, &o->progress, lab->harness,
				   err);
	if (rc)
		return rc;
	rc = platter_crash_shrink(state, &opts, cause, err);
	return cmd_crash_watch_end(&watch, rc);
}

/* ---- what came of it ---- */

static void print_output(struct platter_printer *out,
			 const struct platter_crash_result *result)
{
	char *text = result->output ?
		     strndup(result->output, result->output_len) : NULL;
	char *rest = text, *line, *shown;

	while (rest && *rest) {
		line = strsep(&rest, "\n");
		shown = platter_bytes_escape(line, strlen(line));
		platter_out_text(out, "  | %s\n", shown ? shown : "");
		free(shown);
	}
	free(text);
}

/* With the state it was recovered from, if it was, for free(). */
static char *full_name(const struct cmd *cmd,
		       const struct platter_crash_state *state)
{
	const char *at = strrchr(cmd->args[1], '@');
	char *name;

	if (asprintf(&name, "%.*s%s", at ? (int)(at + 1 - cmd->args[1]) : 0,
		     cmd->args[1], platter_crash_state_name(state)) < 0)
		return NULL;
	return name;
}

struct names {
	char *failing, *passing;
	char *export;		/* command line, or NULL */
};

static void print_sectors(struct platter_printer *out,
			  const struct cmd_crash_place *p, uint32_t sector)
{
	const uint64_t first = p->offset / sector;
	const uint64_t last = (p->offset + p->length - 1) / sector;

	if (first == last)
		platter_out_text(out, "  sector %" PRIu64 ": %s\n", first,
				 p->what);
	else
		platter_out_text(out, "  sectors %" PRIu64 "-%" PRIu64
				 ": %s\n", first, last, p->what);
}

static void print_human(struct platter_printer *out,
			const struct platter_crash_cause *cause,
			const struct cmd_crash_where *where, uint32_t sector,
			const struct names *names)
{
	platter_out_text(out, "%s\n", cause->sentence);
	for (size_t i = 0; i < where->nr; i++)
		print_sectors(out, &where->place[i], sector);
	platter_out_text(out, "fails:  %s (%s)\n", names->failing,
			 cause->result.reason);
	print_output(out, &cause->result);
	platter_out_text(out, "passes: %s\n", names->passing);
	platter_out_text(out, "tried:  %" PRIu64 " states\n", cause->tried);
	if (names->export)
		platter_out_text(out, "to have it as an image: %s\n",
				 names->export);
}

static const char *const fates[] = {
	[PLATTER_CRASH_DURABLE] = "durable",
	[PLATTER_CRASH_KEPT] = "kept",
	[PLATTER_CRASH_DROPPED] = "dropped",
	[PLATTER_CRASH_SHORN] = "shorn",
	[PLATTER_CRASH_GARBAGE] = "garbage",
	[PLATTER_CRASH_PATTERN] = "pattern",
	[PLATTER_CRASH_EARLY] = "early",
};

static void print_pieces(struct platter_printer *out, const char *key,
			 const struct platter_crash_piece *p, size_t nr)
{
	char flags[PLATTER_LOG_FLAGS_TEXT_MAX];

	platter_out_list(out, key);
	for (size_t i = 0; i < nr; i++) {
		platter_out_row(out, "piece");
		platter_out_u64(out, "entry", p[i].entry);
		platter_out_string(out, "flags",
				   platter_log_flags_text(flags, p[i].flags));
		platter_out_u64(out, "first", p[i].first);
		platter_out_u64(out, "count", p[i].count);
		platter_out_bool(out, "whole", p[i].whole);
		platter_out_u64(out, "offset", p[i].offset);
		platter_out_u64(out, "length", p[i].length);
		platter_out_string(out, "fate", fates[p[i].fate]);
		platter_out_end(out);
	}
	platter_out_end(out);
}

static void print_where(struct platter_printer *out,
			const struct cmd_crash_where *where)
{
	platter_out_list(out, "where");
	for (size_t i = 0; i < where->nr; i++) {
		platter_out_row(out, "place");
		platter_out_u64(out, "offset", where->place[i].offset);
		platter_out_u64(out, "length", where->place[i].length);
		platter_out_bytes(out, "what", where->place[i].what,
				  strlen(where->place[i].what));
		platter_out_end(out);
	}
	platter_out_end(out);
}

static void print_data(struct platter_printer *out, const char *state,
		       const struct platter_crash_cause *cause,
		       const struct cmd_crash_where *where,
		       const struct names *names)
{
	const char *mark;
	size_t len;

	platter_out_map(out, NULL);
	platter_out_string(out, "state", state);
	platter_out_string(out, "failing", names->failing);
	platter_out_string(out, "passing", names->passing);
	platter_out_string(out, "cause", cause->sentence);
	platter_out_string(out, "reason", cause->result.reason);
	if (cause->result.output)
		platter_out_bytes(out, "output", cause->result.output,
				  cause->result.output_len);
	print_pieces(out, "differs", cause->pieces, cause->nr_pieces);
	platter_out_bool(out, "whole", cause->whole);
	print_pieces(out, "present", cause->present, cause->nr_present);
	if (cause->mark != UINT64_MAX) {
		platter_crash_mark_before(
			platter_crash_state_crash(cause->failing),
			cause->mark + 1, &mark, &len);
		platter_out_bytes(out, "mark", mark, len);
	}
	print_where(out, where);
	platter_out_u64(out, "tried", cause->tried);
	if (names->export)
		platter_out_string(out, "export", names->export);
	platter_out_end(out);
}

static int print(struct cmd *cmd, const struct shrink_options *o,
		 const struct platter_crash_cause *cause,
		 const struct cmd_crash_where *where, struct platter_error *err)
{
	const struct platter_crash *crash =
		platter_crash_state_crash(cause->failing);
	struct names names = { .failing = full_name(cmd, cause->failing) };
	struct platter_printer *out;
	int rc;

	rc = cmd_printer(cmd, o->output.kind, &out, err);
	names.passing = full_name(cmd, cause->passing);
	if (names.failing && !o->checkers.recover)
		names.export = cmd_crash_export_line(&o->log, cmd->args[0],
						     names.failing);
	if (!rc && (!names.failing || !names.passing))
		rc = platter_error_errno(err, -ENOMEM, "names");
	else if (!rc && o->output.kind == PLATTER_OUTPUT_HUMAN)
		print_human(out, cause, where,
			    platter_log_sector_size(platter_crash_log(crash)),
			    &names);
	else if (!rc)
		print_data(out, cmd->args[1], cause, where, &names);
	free(names.failing);
	free(names.passing);
	free(names.export);
	return rc;
}

/* ---- all of it ---- */

static int recover(struct platter_crash_state **out,
		   struct platter_crash *crash, const char *name,
		   const struct cmd_crash_lab *lab, struct platter_error *err)
{
	struct platter_crash_result result = { .output = NULL };
	int rc;

	rc = platter_crash_recover_state(out, crash, name,
					 lab->recover_harness, NULL, &result,
					 err);
	platter_crash_result_clear(&result);
	return rc;
}

static int find(struct cmd *cmd, const struct shrink_options *o,
		const struct platter_crash_state *state,
		struct cmd_crash_lab *lab, struct platter_error *err)
{
	struct platter_crash_cause cause = { .mark = UINT64_MAX };
	struct cmd_crash_checkers checkers = o->checkers;
	struct cmd_crash_where where = { .nr = 0 };
	int rc;

	/* Asking for places takes a laboratory of its own; as this one is. */
	if (!checkers.present && lab->presenter && !lab->presenter->sees_reads)
		checkers.present = "copy";
	rc = shrink(cmd, o, state, lab, &cause, err);
	cmd_crash_lab_close(lab);
	if (!rc)
		rc = cmd_crash_where(cmd, &checkers, &cause, &where, err);
	if (!rc)
		rc = print(cmd, o, &cause, &where, err);
	cmd_crash_where_free(&where);
	platter_crash_cause_clear(&cause);
	return rc;
}

static int find_nested(struct cmd *cmd, const struct shrink_options *o,
		       struct platter_crash *crash, struct cmd_crash_lab *lab,
		       struct platter_error *err)
{
	struct platter_crash_state *state;
	struct platter_crash *nested;
	int rc;

	rc = recover(&state, crash, cmd->args[1], lab, err);
	if (rc) {
		cmd_crash_lab_close(lab);
		return rc;
	}
	nested = platter_crash_state_crash(state);
	rc = find(cmd, o, state, lab, err);
	platter_crash_state_unref(state);
	platter_crash_recovery_close(nested);
	return rc;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct shrink_options *o = options_;
	struct platter_crash *crash cmd_auto_crash = NULL;
	struct platter_crash_state *state cmd_auto_crash_state = NULL;
	struct cmd_crash_lab lab;
	int rc;

	rc = cmd_crash_read_state(cmd, err);
	if (!rc)
		rc = cmd_crash_open(cmd, &o->log, cmd->args[0], &o->progress,
				    o->output.kind, &crash, err);
	if (!rc && !o->checkers.recover)
		rc = platter_crash_state_parse(&state, crash, cmd->args[1],
					       err);
	if (!rc)
		rc = cmd_crash_lab_open(cmd, &o->checkers, crash, false, &lab,
					err);
	if (!rc)
		rc = state ? find(cmd, o, state, &lab, err) :
			     find_nested(cmd, o, crash, &lab, err);
	cmd_crash_checkers_free(&o->checkers);
	return rc;
}

const struct cmd_verb cmd_crash_shrink = {
	.name = "shrink",
	.group = "Find the cause",
	.summary = "reduce a state that fails to the writes that are to blame",
	.examples =
		"  platter crash shrink run.log 412-405,409 -- ./check {}\n"
		"  platter crash shrink --base start.img --fs ext4 run.log "
		"'412-405[3:5]'\n",
	.argp = &argp,
	.options_size = sizeof(struct shrink_options),
	.trouble = CMD_TROUBLE,
	.run = run,
};
