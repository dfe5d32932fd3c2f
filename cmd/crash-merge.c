/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter crash merge`: the results of all shards of a run, as of one run. */
#include "crash.h"

enum {
	KEY_LOG = CMD_KEY_FIRST,
};

struct merge_options {
	struct cmd_crash_reports reports;
	struct cmd_log log;
	struct cmd_output output;
	const char *log_name;
};

static const struct argp_option options[] = {
	{ .name = "log", .key = KEY_LOG, .arg = "LOG",
	  .doc = "the log of the run, for --html to draw" },
	{ 0 },
};

static error_t check(const struct argp_state *state,
		     const struct merge_options *o)
{
	if (o->log_name && !o->reports.html)
		return cmd_usage(state, "--log needs --html");
	return cmd_crash_reports_check(state, &o->reports, o->output.kind);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct merge_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->reports;
		state->child_inputs[1] = &o->log;
		state->child_inputs[2] = &o->output;
		return 0;
	case KEY_LOG:
		o->log_name = arg;
		return 0;
	case ARGP_KEY_END:
		return check(state, o);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_CRASH_REPORTS,
	CMD_CHILD_LOG,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "FILE...",
	.doc = "Join the reports that the shards of one run wrote with "
	       "crash explore --jsonl, each of them once, into the report "
	       "that the run would have given without shards.\v"
	       "Exit codes, as of crash explore: 0 all states passed, 1 some "
	       "failed, 2 trouble, 3 a shard stopped at a limit and none "
	       "failed.",
	.children = children,
};

/* ---- reading ---- */

static void free_shards(struct platter_crash_report **shards, unsigned int nr)
{
	for (unsigned int i = 0; shards && i < nr; i++)
		platter_crash_report_free(shards[i]);
	free(shards);
}

/* One message for the user, who thinks in files. */
static int check_ended(const struct cmd *cmd,
		       struct platter_crash_report *const *shards,
		       struct platter_error *err)
{
	for (unsigned int i = 0; i < cmd->nr_args; i++) {
		if (platter_crash_report_summary(shards[i]))
			continue;
		platter_error_set(err, -EINTR, "%s: the run did not come to "
				  "its end; crash explore --resume goes on "
				  "with it", cmd->args[i]);
		return 1;
	}
	return 0;
}

static int merge(struct cmd *cmd, struct platter_crash_report **out,
		 struct platter_error *err)
{
	struct platter_crash_report **shards;
	int rc = 0;

	shards = calloc(cmd->nr_args, sizeof(struct platter_crash_report *));
	if (!shards)
		return platter_error_errno(err, -ENOMEM, "%u reports",
					   cmd->nr_args);
	for (unsigned int i = 0; !rc && i < cmd->nr_args; i++)
		rc = platter_crash_report_read(&shards[i], cmd->args[i], err);
	if (!rc)
		rc = platter_crash_report_merge(out, shards, cmd->nr_args,
						err);
	if (!rc)
		rc = check_ended(cmd, shards, err);
	free_shards(shards, cmd->nr_args);
	return rc;
}

/* ---- the log, to draw it ---- */

static int open_log(struct cmd *cmd, const struct merge_options *o,
		    const struct platter_crash_run *run,
		    struct platter_crash **crash, struct platter_error *err)
{
	const struct platter_crash_options opts = {
		.log = {
			.sector_size = o->log.sector_size,
			.index = o->log.index,
			.flags = o->log.share ? PLATTER_O_SHARE : 0,
		},
	};
	struct platter_crash_run found;
	int rc;

	rc = platter_crash_open(crash, cmd->ctx, o->log_name, &opts, err);
	if (!rc)
		rc = platter_crash_run_fill(&found, *crash, &run->plan, err);
	if (!rc && found.log_hash != run->log_hash)
		rc = platter_error_set(err, -EINVAL, "%s: this is not the log "
				       "the run was of", o->log_name);
	return rc;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	const struct merge_options *o = options_;
	struct platter_crash_report *report cmd_auto_crash_report = NULL;
	struct platter_crash *crash cmd_auto_crash = NULL;
	int rc, broken;

	broken = merge(cmd, &report, err);
	if (broken < 0)
		return broken;
	rc = 0;
	if (o->log_name)
		rc = open_log(cmd, o, platter_crash_report_run(report),
			      &crash, err);
	if (!rc && o->reports.jsonl)
		rc = platter_crash_report_save(report, PLATTER_CRASH_JSONL,
					       o->reports.jsonl, NULL, err);
	if (rc)
		return rc;
	return cmd_crash_report(cmd, &o->reports, o->output.kind, false,
				report, crash, err);
}

const struct cmd_verb cmd_crash_merge = {
	.name = "merge",
	.group = "Explore",
	.summary = "join the results of a run's shards",
	.examples =
		"  platter crash merge shard-*.jsonl --junit crash.xml\n"
		"  platter crash merge shard-*.jsonl --jsonl all.jsonl \\\n"
		"          --html crash.html --log run.log\n",
	.argp = &argp,
	.options_size = sizeof(struct merge_options),
	.flags = CMD_WRITES,
	.trouble = CMD_TROUBLE,
	.run = run,
};
