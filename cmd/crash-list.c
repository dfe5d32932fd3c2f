/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter crash list`: the states of a log, without checking any. */
#include "crash.h"

enum {
	KEY_CENSUS = CMD_KEY_FIRST,
};

struct list_options {
	struct cmd_crash_log log;
	struct cmd_crash_plan plan;
	struct cmd_output output;
	struct cmd_progress progress;	/* no options: a bar, or none */
	bool census;
};

static const struct argp_option options[] = {
	{ .name = "census", .key = KEY_CENSUS,
	  .doc = "leave the states out: only how many there are" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct list_options *o = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->log;
		state->child_inputs[1] = &o->plan;
		state->child_inputs[2] = &o->output;
		return 0;
	case KEY_CENSUS:
		o->census = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_CRASH_LOG,
	CMD_CHILD_CRASH_PLAN,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "LOG",
	.doc = "Print the crash states that platter crash explore would check "
	       "with the same options, in its order, and how complete they "
	       "are.\v"
	       "Exit codes: 0 done, 1 done but the log ends early, 2 trouble.",
	.children = children,
};

/* ---- states ---- */

static void print_row(struct platter_printer *out, struct platter_crash *crash,
		      const struct platter_crash_found *f, const char *hash)
{
	const uint64_t point = platter_crash_state_point(f->state);
	const char *text;
	size_t len;

	platter_out_row(out, "state");
	platter_out_u64(out, "index", f->index);
	platter_out_string(out, "state", platter_crash_state_name(f->state));
	platter_out_u64(out, "point", point);
	if (f->mark != UINT64_MAX) {
		platter_crash_mark_before(crash, point, &text, &len);
		platter_out_bytes(out, "mark", text, len);
		platter_out_u64(out, "mark-entry", f->mark);
	}
	platter_out_string(out, "strategy", f->strategy);
	platter_out_string(out, "hash", hash);
	platter_out_end(out);
}

static int print_state(struct platter_printer *out,
		       struct platter_crash *crash,
		       const struct platter_crash_found *f,
		       struct platter_error *err)
{
	const uint64_t point = platter_crash_state_point(f->state);
	const char *name = platter_crash_state_name(f->state);
	const char *text = "-";
	char hash[2 * sizeof(f->hash) + 1];
	char *mark = NULL;
	size_t len = 1;

	for (size_t i = 0; i < sizeof(f->hash); i++)
		sprintf(hash + 2 * i, "%02x", f->hash[i]);
	if (platter_printer_kind(out) != PLATTER_OUTPUT_HUMAN) {
		print_row(out, crash, f, hash);
		return 0;
	}
	if (f->mark != UINT64_MAX)
		platter_crash_mark_before(crash, point, &text, &len);
	mark = platter_bytes_escape(text, len);
	if (!mark || !name) {
		free(mark);
		return platter_error_set(err, -ENOMEM, "no memory for the name "
					 "of state %" PRIu64, f->index);
	}
	platter_out_text(out, "%8" PRIu64 " %8" PRIu64 " %-12s %-16s %s  %s\n",
			 f->index, point, f->strategy, mark, hash, name);
	free(mark);
	return 0;
}

static int list(struct platter_printer *out, bool census,
		struct platter_crash_walk *walk, struct platter_crash *crash,
		struct platter_error *err)
{
	struct platter_crash_found found;
	int rc = 0;

	if (!census)
		platter_out_text(out, "%8s %8s %-12s %-16s %-32s  %s\n",
				 "index", "point", "strategy", "mark", "hash",
				 "state");
	if (!census)
		platter_out_list(out, "states");
	while (!rc) {
		rc = platter_crash_walk_next(walk, &found, err);
		if (!rc && !census)
			rc = print_state(out, crash, &found, err);
	}
	if (!census)
		platter_out_end(out);
	return rc < 0 ? rc : 0;
}

/* ---- the census ---- */

static void print_coverage(struct platter_printer *out,
			   const struct platter_crash_coverage *c)
{
	char possible[32] = "too many";

	if (c->possible != UINT64_MAX)
		snprintf(possible, sizeof(possible), "%" PRIu64, c->possible);
	platter_out_text(out, "%-12s %10" PRIu64 " %20s %8" PRIu64 " %10"
			 PRIu64 "\n", c->strategy, c->made, possible,
			 c->points, c->complete);
}

static void print_census(struct platter_printer *out, bool alone,
			 const struct platter_crash_walk *walk)
{
	struct platter_crash_census c;

	platter_crash_walk_census(walk, &c);
	if (platter_printer_kind(out) != PLATTER_OUTPUT_HUMAN) {
		platter_out_map(out, "census");
		platter_crash_census_print(out, &c);
		platter_out_end(out);
		return;
	}
	platter_out_text(out, "%s%-12s %10s %20s %8s %10s\n", alone ? "" : "\n",
			 "strategy", "made", "possible", "points", "complete");
	for (size_t i = 0; i < c.nr; i++)
		print_coverage(out, &c.strategies[i]);
	platter_out_text(out, "%s\n", c.text);
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct list_options *o = options_;
	struct platter_crash *crash cmd_auto_crash = NULL;
	struct platter_crash_walk *walk = NULL;
	struct platter_crash_plan plan;
	struct platter_printer *out;
	int rc;

	rc = cmd_crash_open(cmd, &o->log, cmd->args[0], &o->progress,
			    o->output.kind, &crash, err);
	if (!rc)
		rc = cmd_crash_plan_resolve(&o->plan, crash, &plan, err);
	if (!rc)
		rc = platter_crash_walk_new(&walk, crash, &plan, err);
	if (!rc)
		rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (!rc) {
		platter_out_map(out, NULL);
		rc = list(out, o->census, walk, crash, err);
		if (!rc)
			print_census(out, o->census, walk);
		platter_out_end(out);
	}
	platter_crash_walk_free(walk);
	cmd_crash_plan_free(&o->plan);
	return rc ? rc : cmd_log_verdict(platter_crash_log(crash),
					 &o->plan.points, err);
}

const struct cmd_verb cmd_crash_list = {
	.name = "list",
	.group = "Look at states",
	.summary = "print the states of a log, and how complete they are",
	.examples =
		"  platter crash list --strategy prefixes,2cp run.log\n"
		"  platter crash list --from mark:mkfs --output json run.log "
		"|\n"
		"          jq -r '.states[].state'\n"
		"  platter crash list --census --strategy exhaustive=12 run.log\n",
	.argp = &argp,
	.options_size = sizeof(struct list_options),
	.trouble = CMD_TROUBLE,
	.run = run,
};
