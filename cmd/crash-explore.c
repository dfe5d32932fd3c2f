/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter crash explore`: check the crash states of a log.
 *
 * The parts: crash-explore-results.c what is written down, -progress.c what is
 * shown meanwhile, -next.c what to do with a failure.
 */
#include <string.h>
#include <unistd.h>

#include "crash-explore.h"

enum {
	KEY_READ_GUIDED = CMD_KEY_FIRST,
	KEY_RECOVER,
	KEY_DEPTH,
	KEY_STOP_ON_FIRST,
	KEY_MAX_STATES,
	KEY_MAX_TIME,
	KEY_RESUME,
};

static const struct argp_option options[] = {
	{ .name = "read-guided", .key = KEY_READ_GUIDED,
	  .doc = "do not run a state that agrees with one that was run in "
		 "all its checkers read; some are run all the same, to see "
		 "that this holds. It takes FUSE" },
	{ .name = "recover", .key = KEY_RECOVER, .arg = "COMMAND",
	  .doc = "crash twice: run COMMAND with the shell on each state, and "
		 "check the crash states of what it writes. It takes FUSE" },
	{ .name = "depth", .key = KEY_DEPTH, .arg = "N",
	  .doc = "crashes in a row, 1 or 2 (1; with --recover 2)" },
	{ .name = "stop-on-first", .key = KEY_STOP_ON_FIRST,
	  .doc = "stop at the first state that fails" },
	{ .name = "max-states", .key = KEY_MAX_STATES, .arg = "N",
	  .doc = "stop after N states" },
	{ .name = "max-time", .key = KEY_MAX_TIME, .arg = "TIME",
	  .doc = "begin no more states after that time, as 90s, 5m or 2h" },
	{ .name = "resume", .key = KEY_RESUME, .arg = "FILE",
	  .doc = "go on with the run whose --jsonl FILE was, and with the "
		 "file" },
	{ 0 },
};

/* ---- the command line ---- */

static error_t parse_count(const struct argp_state *state, const char *option,
			   const char *arg, uint64_t max, uint64_t *out)
{
	return cmd_parse_number(state, option, arg, 1, max, out);
}

static error_t check(const struct argp_state *state, struct explore_options *o)
{
	const struct cmd_parser *p = (const void *)state->root_argp;
	const struct cmd *cmd = cmd_of(state);

	if (p->action != CMD_ACTION_RUN)
		return 0;
	if (o->depth == 2 && !o->checkers.recover)
		return cmd_usage(state, "--depth 2 needs --recover COMMAND: "
				 "what happens between the crashes");
	if (o->depth == 1)
		o->checkers.recover = NULL;
	if (cmd->nr_args <= o->checkers.nr_words)
		return cmd_usage(state, "LOG is missing");
	if (cmd->nr_args > o->checkers.nr_words + 1)
		return cmd_usage(state, "unexpected argument '%s'; the checker "
				 "is what stands behind --", cmd->args[1]);
	return cmd_crash_reports_check(state, &o->reports, o->output.kind);
}

static void init(struct argp_state *state, struct explore_options *o)
{
	state->child_inputs[0] = &o->log;
	state->child_inputs[1] = &o->plan;
	state->child_inputs[2] = &o->checkers;
	state->child_inputs[3] = &o->reports;
	state->child_inputs[4] = &o->progress;
	state->child_inputs[5] = &o->output;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct explore_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		init(state, o);
		return 0;
	case KEY_READ_GUIDED:
		o->read_guided = true;
		return 0;
	case KEY_RECOVER:
		o->checkers.recover = arg;
		return 0;
	case KEY_DEPTH:
		return parse_count(state, "--depth", arg, 2, &o->depth);
	case KEY_STOP_ON_FIRST:
		o->stop_on_first = true;
		return 0;
	case KEY_MAX_STATES:
		return parse_count(state, "--max-states", arg, UINT64_MAX,
				   &o->max_states);
	case KEY_MAX_TIME:
		return cmd_parse_time(state, "--max-time", arg, false,
				      &o->max_time_ns);
	case KEY_RESUME:
		o->resume = arg;
		return 0;
	case ARGP_KEY_END:
		return check(state, o);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_CRASH_LOG,
	CMD_CHILD_CRASH_PLAN,
	CMD_CHILD_CRASH_CHECKERS,
	CMD_CHILD_CRASH_REPORTS,
	CMD_CHILD_PROGRESS,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "LOG [-- COMMAND...]",
	.doc = "Make the states that a power cut may leave on the disk whose "
	       "writes LOG has, and check each with COMMAND, or with one of "
	       "platter's own checkers. In the command's words {} stands for a "
	       "file that is the disk in that state, and that it may write to, "
	       "and {nbd} for an NBD URI of it. It passes the state with exit "
	       "status 0 and skips it with 125; all else, a signal, and no end "
	       "in time are failures.\v"
	       "Exit codes: 0 all states passed, 1 some failed, 2 trouble, "
	       "3 stopped at a limit with none failing, 130 stopped by a "
	       "signal.",
	.children = children,
};

/* ---- doing it ---- */

/* Strings of `run` are those of x->plan and x->lab. */
static int describe(struct explore *x, struct platter_error *err)
{
	const struct explore_options *o = x->o;
	int rc = platter_crash_run_fill(&x->run, x->crash, &x->plan, err);

	x->run.checker = x->lab.description;
	x->run.how = x->lab.presenter ? x->lab.presenter->how : "";
	x->run.read_guided = o->read_guided;
	x->run.depth = o->checkers.recover ? 2 : 1;
	return rc;
}

static int explore(struct explore *x, struct platter_error *err)
{
	const struct explore_options *o = x->o;
	const struct platter_crash_explore_options opts = {
		.plan = x->plan,
		.harness = x->lab.harness,
		.slots = x->lab.slots,
		.stop_on_first = o->stop_on_first,
		.max_states = o->max_states,
		.max_time_ns = o->max_time_ns,
		.read_guided = o->read_guided,
		.recover = o->checkers.recover ?
			(char *const *)(uintptr_t)x->lab.recover : NULL,
		.recover_harness = x->lab.recover_harness,
		.known = x->before ? explore_known : NULL,
		.result = explore_result,
		.tick = explore_tick,
		.arg = x,
	};
	int rc;

	rc = explore_progress_begin(x, err);
	if (rc)
		return rc;
	rc = platter_crash_explore(x->crash, &opts, &x->sum, err);
	explore_progress_end(x, !rc && x->sum.end == PLATTER_CRASH_END_ALL);
	return rc;
}

static int report(struct explore *x, struct platter_error *err)
{
	const struct explore_options *o = x->o;
	int code = cmd_crash_report(x->cmd, &o->reports, o->output.kind,
				    o->progress.quiet, x->report, x->crash,
				    err);

	if (code == CMD_NO && o->output.kind == PLATTER_OUTPUT_HUMAN)
		explore_print_next(x);
	if (code < 0 || !x->stopped)
		return code;
	explore_say_resume(x);
	return CMD_CANCELLED;
}

static int prepare(struct explore *x, struct platter_error *err)
{
	const struct explore_options *o = x->o;
	int rc;

	rc = cmd_crash_open(x->cmd, &o->log, x->cmd->args[0], &o->progress,
			    o->output.kind, &x->crash, err);
	if (!rc)
		rc = cmd_crash_plan_resolve((struct cmd_crash_plan *)
					    (uintptr_t)&o->plan, x->crash,
					    &x->plan, err);
	if (!rc)
		rc = cmd_crash_lab_open(x->cmd, &o->checkers, x->crash,
					o->read_guided, &x->lab, err);
	if (!rc)
		rc = describe(x, err);
	return rc ? rc : explore_results_begin(x, err);
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct explore_options *o = options_;
	struct explore x = { .cmd = cmd, .o = o, .lab.guard = -1 };
	int rc;

	rc = prepare(&x, err);
	if (!rc)
		rc = explore(&x, err);
	if (!rc)
		rc = explore_results_end(&x, err);
	if (rc == -ESTALE && x.before)
		rc = platter_error_prefix(err, rc, "%s: another run, start "
					  "again without --resume", o->resume);
	if (!rc)
		rc = report(&x, err);
	explore_results_free(&x);
	cmd_crash_lab_close(&x.lab);
	platter_crash_close(x.crash);
	cmd_crash_plan_free(&o->plan);
	cmd_crash_checkers_free(&o->checkers);
	return rc;
}

const struct cmd_verb cmd_crash_explore = {
	.name = "explore",
	.group = "Explore",
	.summary = "check every state a power cut may leave",
	.examples =
		"  platter crash explore --base start.img run.log -- \\\n"
		"          sh -c 'e2fsck -p -E journal_only {} && "
		"e2fsck -fn {}'\n"
		"  platter crash explore --fs ext4 --acked files/ run.log \\\n"
		"          --from mark:mkfs --junit crash.xml\n"
		"  platter crash explore --read-guided --jsonl run.jsonl "
		"run.log -- ./check {}\n"
		"  platter crash explore --shard 3/8 --jsonl 3.jsonl run.log "
		"-- ./check {}\n",
	.argp = &argp,
	.options_size = sizeof(struct explore_options),
	.flags = CMD_WRITES,
	.trouble = CMD_TROUBLE,
	.run = run,
};
