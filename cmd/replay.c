/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter replay`: bring a disk to the state it had at a point of a log. */
#include "cmd.h"

enum {
	KEY_BASE_FORMAT = CMD_KEY_FIRST,
	KEY_RANGE,
	KEY_NO_DISCARD,
	KEY_IN_ORDER,
	KEY_VERIFY,
	KEY_FOLLOW,
	KEY_WAIT,
};

struct replay_options {
	struct cmd_log log;
	struct cmd_points points;
	struct cmd_progress progress;
	struct cmd_output output;
	struct cmd_range range;
	const char *cache;
	bool follow;
	bool wait;
	struct platter_replay_options job;
};

static const struct argp_option options[] = {
	{ .name = "base", .key = 'b', .arg = "FILE",
	  .doc = "image of the disk before the log; makes the target anew" },
	{ .name = "base-format", .key = KEY_BASE_FORMAT, .arg = "FORMAT",
	  .doc = "format of the base (probed)" },
	{ .name = "range", .key = KEY_RANGE, .arg = "OFFSET+LENGTH",
	  .doc = "only this part of the disk" },
	{ .name = "no-discard", .key = KEY_NO_DISCARD,
	  .doc = "leave out discards" },
	{ .name = "in-order", .key = KEY_IN_ORDER,
	  .doc = "every entry as logged, with its flushes, not only what is "
		 "left of it in the end" },
	{ .name = "follow", .key = KEY_FOLLOW,
	  .doc = "keep the target a step behind a log that is being written, "
		 "entry by entry, until the recorder ends" },
	{ .name = "wait", .key = KEY_WAIT,
	  .doc = "with --follow: wait for a recorder that has not begun" },
	{ .name = "verify", .key = KEY_VERIFY,
	  .doc = "read the target back and compare" },
	{ .name = "target-format", .key = 'f', .arg = "FORMAT",
	  .doc = "format of the target (raw)" },
	{ .name = "target-cache", .key = 't', .arg = "CACHE",
	  .doc = "cache mode of the target (unsafe: nothing is flushed, as "
		 "with qemu-img convert; writeback with --in-order)" },
	{ .name = "parallel", .key = 'm', .arg = "NUMBER",
	  .doc = "work with that many threads, 1 to 16 (one per processor)" },
	{ 0 },
};

static error_t parse_part(const struct argp_state *state, const char *arg,
			  struct cmd_range *out)
{
	error_t rc = cmd_parse_range(state, "--range", arg, out);

	if (!rc && !out->has_length)
		rc = cmd_usage(state, "--range: '%s' has no length; give "
			       "OFFSET+LENGTH", arg);
	return rc;
}

static error_t init(struct argp_state *state, struct replay_options *o)
{
	state->child_inputs[0] = &o->points;
	state->child_inputs[1] = &o->log;
	state->child_inputs[2] = &o->progress;
	state->child_inputs[3] = &o->output;
	return 0;
}

static error_t finish(struct argp_state *state, struct replay_options *o)
{
	if (o->job.base_format && !o->job.base)
		return cmd_usage(state, "--base-format needs --base");
	if (o->wait && !o->follow)
		return cmd_usage(state, "--wait needs --follow");
	o->job.in_order |= o->follow;
	if (o->cache)
		return cmd_parse_cache(state, o->cache, &o->job.target_cache);
	/* The logged flushes are half of what --in-order is asked for. */
	o->job.target_cache = o->job.in_order ? PLATTER_CACHE_WRITEBACK :
			      PLATTER_CACHE_UNSAFE;
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct replay_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		return init(state, o);
	case 'b':
		o->job.base = arg;
		return 0;
	case KEY_BASE_FORMAT:
		o->job.base_format = arg;
		return 0;
	case KEY_RANGE:
		return parse_part(state, arg, &o->range);
	case KEY_NO_DISCARD:
		o->job.no_discard = true;
		return 0;
	case KEY_IN_ORDER:
		o->job.in_order = true;
		return 0;
	case KEY_VERIFY:
		o->job.verify = true;
		return 0;
	case KEY_FOLLOW:
		o->follow = true;
		return 0;
	case KEY_WAIT:
		o->wait = true;
		return 0;
	case 'f':
		o->job.target_format = arg;
		return 0;
	case 't':
		o->cache = arg;
		return 0;
	case 'm':
		return cmd_parse_workers(state, arg, &o->job.workers);
	case ARGP_KEY_END:
		return finish(state, o);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_POINTS,
	CMD_CHILD_LOG,
	CMD_CHILD_PROGRESS,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "LOG TARGET",
	.doc = "Bring TARGET, a file or block device, to the state that the "
	       "disk had at a point of the log. A file that is not there is "
	       "made, sparse; one that is there is changed in place, unless "
	       "--base is given.\v"
	       "Exit codes: 0 done, 1 done but the log ends early, 2 trouble.",
	.children = children,
};

static void print_human(struct platter_printer *out, const char *target,
			const struct platter_replay_options *job,
			const struct platter_replay_result *r)
{
	char text[PLATTER_SIZE_TEXT_MAX];

	platter_out_text(out, "%s: %s from entry %" PRIu64 " to %" PRIu64 "\n",
			 target, r->created ? "made" : "changed", r->from,
			 r->to);
	platter_out_text(out, "size: %s (%" PRIu64 " bytes)\n",
			 platter_size_text(text, r->target_size),
			 r->target_size);
	platter_out_text(out, "written: %s (%" PRIu64 " bytes)\n",
			 platter_size_text(text, r->written), r->written);
	platter_out_text(out, "zeroed: %s (%" PRIu64 " bytes)\n",
			 platter_size_text(text, r->zeroed), r->zeroed);
	if (job->in_order)
		platter_out_text(out, "flushes: %" PRIu64 "\n", r->flushes);
	if (job->verify)
		platter_out_text(out, "verified: yes\n");
}

static void print_data(struct platter_printer *out, const char *target,
		       const struct platter_replay_options *job,
		       const struct platter_replay_result *r)
{
	platter_out_map(out, NULL);
	platter_out_string(out, "target", target);
	platter_out_bool(out, "created", r->created);
	platter_out_u64(out, "from", r->from);
	platter_out_u64(out, "to", r->to);
	platter_out_u64(out, "entries", r->entries);
	platter_out_u64(out, "target-size", r->target_size);
	platter_out_u64(out, "written", r->written);
	platter_out_u64(out, "zeroed", r->zeroed);
	if (job->in_order)
		platter_out_u64(out, "flushes", r->flushes);
	platter_out_bool(out, "verified", job->verify);
	platter_out_end(out);
}

static int print(struct cmd *cmd, const struct replay_options *o,
		 const struct platter_replay_result *result,
		 struct platter_error *err)
{
	struct platter_printer *out;
	int rc;

	if (cmd_is_quiet(&o->progress, &o->output))
		return 0;
	rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	if (o->output.kind == PLATTER_OUTPUT_HUMAN)
		print_human(out, o->job.target, &o->job, result);
	else
		print_data(out, o->job.target, &o->job, result);
	return 0;
}

/* The points are those of a log that grows, and looked for as it does. */
static int follow(struct cmd *cmd, struct replay_options *o,
		  struct platter_log_follow *f, struct platter_error *err)
{
	struct platter_replay_result result;
	int rc;

	rc = platter_replay_follow(cmd->ctx, f, &o->job, &result, err);
	rc = cmd_progress_end(o->job.progress, rc);
	o->job.progress = NULL;
	if (!rc)
		rc = print(cmd, o, &result, err);
	if (rc)
		return rc;
	return cmd_log_verdict(platter_log_follow_log(f), &o->points, err);
}

static int run_follow(struct cmd *cmd, struct replay_options *o,
		      struct platter_error *err)
{
	struct platter_log_follow_options opts = {
		.sector_size = o->log.sector_size,
		.from = o->points.from,
		.until = o->points.to,
		.wait = o->wait,
	};
	struct platter_log_follow *f = NULL;
	int rc;

	rc = cmd_progress_start(cmd, &o->progress, o->output.kind,
				&o->job.progress, err);
	if (rc)
		return rc;
	opts.progress = o->job.progress;
	rc = platter_log_follow_new(&f, cmd->ctx, cmd->args[0], &opts, err);
	if (!rc)
		rc = follow(cmd, o, f, err);
	platter_log_follow_free(f);
	return cmd_progress_end(o->job.progress, rc);
}

static int run_replay(struct cmd *cmd, struct replay_options *o,
		      struct platter_error *err)
{
	struct platter_log *log cmd_auto_log = NULL;
	struct platter_replay_result result;
	int rc;

	rc = cmd_log_open(cmd, &o->log, cmd->args[0], &log, err);
	/* Replaying needs the index, and with it points are found at once. */
	if (!rc)
		rc = cmd_log_prepare(cmd, log, &o->progress, o->output.kind,
				     err);
	if (!rc)
		rc = cmd_points_resolve(&o->points, log, &o->job.from,
					&o->job.to, err);
	if (!rc)
		rc = cmd_progress_start(cmd, &o->progress, o->output.kind,
					&o->job.progress, err);
	if (rc)
		return rc;
	rc = platter_replay(cmd->ctx, log, &o->job, &result, err);
	rc = cmd_progress_end(o->job.progress, rc);
	if (!rc)
		rc = print(cmd, o, &result, err);
	return rc ? rc : cmd_log_verdict(log, &o->points, err);
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct replay_options *o = options_;

	o->job.target = cmd->args[1];
	o->job.has_range = o->range.given;
	o->job.range_offset = o->range.offset;
	o->job.range_length = o->range.length;
	return o->follow ? run_follow(cmd, o, err) : run_replay(cmd, o, err);
}

const struct cmd_verb cmd_replay = {
	.name = "replay",
	.group = "Write logs",
	.summary = "bring a disk to the state it had at a point of a log",
	.examples =
		"  platter replay disk.dmlw disk.raw --to mark:fsync-3\n"
		"  platter replay disk.dmlw then.raw --base before.raw "
		"--to flush:12-1\n"
		"  platter replay disk.dmlw /dev/sdb --in-order -t none "
		"--verify\n"
		"  platter replay --follow disk.dmlw replica.raw "
		"--base before.raw\n",
	.argp = &argp,
	.options_size = sizeof(struct replay_options),
	.flags = CMD_WRITES,
	.trouble = CMD_TROUBLE,
	.run = run,
};
