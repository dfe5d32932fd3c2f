/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter crash bisect`: the first point of a log whose state fails.
 *
 * What is known is kept, if asked for, in the same lines of JSON as crash
 * explore writes, so that an interrupted search goes on where it was.
 */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash-cause.h"

enum {
	KEY_RESUME = CMD_KEY_FIRST,
	KEY_RUN,
};

struct bisect_options {
	struct cmd_crash_log log;
	struct cmd_points points;
	struct cmd_crash_checkers checkers;
	struct cmd_progress progress;
	struct cmd_output output;
	const char *resume;
	char *words[4];			/* of --run */
};

static const struct argp_option options[] = {
	{ .name = "run", .key = KEY_RUN, .arg = "LINE",
	  .doc = "the checker as a line for the shell, in place of a command "
		 "behind --" },
	{ .name = "resume", .key = KEY_RESUME, .arg = "FILE",
	  .doc = "keep each result in that file, and begin with those that "
		 "are there" },
	{ 0 },
};

static error_t check(const struct argp_state *state, struct bisect_options *o)
{
	const struct cmd_parser *p = (const void *)state->root_argp;
	struct cmd_crash_checkers *c = &o->checkers;

	if (p->action != CMD_ACTION_RUN)
		return 0;
	if (cmd_of(state)->nr_args != c->nr_words + 1)
		return cmd_usage(state, "LOG, and no more, is to stand in "
				 "front of --");
	if (!o->words[2])
		return 0;
	if (c->nr_words)
		return cmd_usage(state, "--run and a command behind -- are "
				 "one too many");
	o->words[0] = (char *)"sh";
	o->words[1] = (char *)"-c";
	c->words = o->words;
	c->nr_words = 3;
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct bisect_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->log;
		state->child_inputs[1] = &o->points;
		state->child_inputs[2] = &o->checkers;
		state->child_inputs[3] = &o->progress;
		state->child_inputs[4] = &o->output;
		return 0;
	case KEY_RUN:
		o->words[2] = arg;
		return 0;
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
	CMD_CHILD_POINTS,
	CMD_CHILD_CRASH_CHECKERS,
	CMD_CHILD_PROGRESS,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "LOG [-- COMMAND...]",
	.doc = "Find, by halving, the first point of a log at which the state "
	       "with all writes so far fails. It has to pass at --from and to "
	       "fail at --to. As with git bisect run, the command says which "
	       "it is: 0 passes, 125 cannot be told and is stepped around, all "
	       "else fails.\v"
	       "Exit codes: 0 it was found, 1 it is one of several that could "
	       "not be told, 2 trouble.",
	.children = children,
};

/* ---- what is known ---- */

struct search {
	struct cmd_crash_watch watch;
	struct platter_crash_run run;
	struct platter_crash_report *known;	/* or NULL */
	uint64_t kept;				/* results in the file */
	FILE *file;				/* or NULL */
	const char *name;
};

static const struct platter_crash_record *look_up(const struct search *s,
						  uint64_t point)
{
	size_t nr = s->known ? platter_crash_report_count(s->known) : 0;

	for (size_t i = 0; i < nr; i++) {
		const struct platter_crash_record *r =
			platter_crash_report_get(s->known, i);

		if (r->point == point)
			return r;
	}
	return NULL;
}

static int known(void *arg, uint64_t point,
		 enum platter_crash_verdict *verdict)
{
	const struct platter_crash_record *r = look_up(arg, point);

	if (r)
		*verdict = r->result.verdict;
	return !!r;
}

/* One of before is in the file already. */
static int keep(struct search *s, const struct platter_crash_state *state,
		const struct platter_crash_result *result,
		struct platter_error *err)
{
	struct platter_crash_record r = {
		.index = s->kept,
		.state = platter_crash_state_name(state),
		.point = platter_crash_state_point(state),
		.strategy = "bisect",
		.mark_entry = UINT64_MAX,
		.result = *result,
		.depth = 1,
	};
	int rc;

	if (!s->file || look_up(s, r.point))
		return 0;
	rc = platter_crash_jsonl_record(s->file, &r, err);
	s->kept++;
	if (!rc && fflush(s->file))
		rc = platter_error_errno(err, -errno, "%s", s->name);
	return rc;
}

static int tried(void *arg, const struct platter_crash_state *state,
		 const struct platter_crash_result *result, uint64_t left,
		 struct platter_error *err)
{
	struct search *s = arg;
	int rc = keep(s, state, result, err);

	return rc ? rc : cmd_crash_watch_tried(&s->watch,
					       platter_crash_state_name(state),
					       result, left);
}

/* ---- the file they are kept in ---- */

static int read_known(struct search *s, struct platter_error *err)
{
	struct stat st;
	int rc;

	if (stat(s->name, &st) || !st.st_size)
		return 0;
	rc = platter_crash_report_read(&s->known, s->name, err);
	if (rc)
		return rc;
	s->kept = platter_crash_report_count(s->known);
	rc = platter_crash_run_same(platter_crash_report_run(s->known), &s->run,
				    err);
	return platter_error_prefix(err, rc, "%s", s->name);
}

/* Written anew, as the last line may have been cut off. */
static int open_known(struct search *s, struct platter_error *err)
{
	int rc;

	rc = read_known(s, err);
	if (!rc && s->known)
		rc = platter_crash_report_save(s->known, PLATTER_CRASH_JSONL,
					       s->name, NULL, err);
	if (rc)
		return rc;
	s->file = fopen(s->name, "ae");
	if (!s->file)
		return platter_error_errno(err, -errno, "%s", s->name);
	return s->known ? 0 : platter_crash_jsonl_run(s->file, &s->run, err);
}

static int close_known(struct search *s, int rc, struct platter_error *err)
{
	platter_crash_report_free(s->known);
	if (s->file && fclose(s->file) && !rc)
		rc = platter_error_errno(err, -errno, "%s", s->name);
	return rc;
}

/* ---- what came of it ---- */

static void print_human(struct platter_printer *out,
			const struct platter_crash_first *first,
			const char *line)
{
	if (first->good + 1 < first->bad)
		platter_out_text(out, "one of the points %" PRIu64 " to %"
				 PRIu64 " is the first that fails; those "
				 "before %" PRIu64 " cannot be told\n",
				 first->good + 1, first->bad, first->bad);
	else
		platter_out_text(out, "%" PRIu64 " is the first point that "
				 "fails: entry %" PRIu64 " is the last in it\n",
				 first->bad, first->bad - 1);
	platter_out_text(out, "passes: %" PRIu64 "\n", first->good);
	platter_out_text(out, "tried:  %" PRIu64 " states\n", first->tried);
	platter_out_text(out, "to have it as an image: %s\n", line);
}

static void print_mark(struct platter_printer *out,
		       const struct platter_crash *crash, uint64_t point)
{
	const char *mark;
	size_t len;

	if (platter_crash_mark_before(crash, point, &mark, &len) != UINT64_MAX)
		platter_out_bytes(out, "mark", mark, len);
}

static void print_data(struct platter_printer *out,
		       const struct platter_crash *crash,
		       const struct platter_crash_first *first,
		       const char *line)
{
	platter_out_map(out, NULL);
	platter_out_u64(out, "fails", first->bad);
	platter_out_u64(out, "passes", first->good);
	platter_out_bool(out, "certain", first->good + 1 == first->bad);
	print_mark(out, crash, first->bad);
	platter_out_u64(out, "tried", first->tried);
	platter_out_string(out, "export", line);
	platter_out_end(out);
}

static int print(struct cmd *cmd, const struct bisect_options *o,
		 const struct platter_crash *crash,
		 const struct platter_crash_first *first,
		 struct platter_error *err)
{
	struct platter_printer *out;
	char point[24], *line;
	int rc;

	rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	snprintf(point, sizeof(point), "%" PRIu64, first->bad);
	line = cmd_crash_export_line(&o->log, cmd->args[0], point);
	if (!line)
		return platter_error_errno(err, -ENOMEM, "a name");
	if (o->output.kind == PLATTER_OUTPUT_HUMAN)
		print_human(out, first, line);
	else
		print_data(out, crash, first, line);
	free(line);
	return first->good + 1 == first->bad ? CMD_OK : CMD_NO;
}

/* ---- all of it ---- */

static int search(struct cmd *cmd, const struct bisect_options *o,
		  struct platter_crash *crash, const struct cmd_crash_lab *lab,
		  struct search *s, struct platter_crash_first *first,
		  struct platter_error *err)
{
	struct platter_crash_bisect_options opts = {
		.harness = lab->harness,
		.known = known,
		.tried = tried,
		.arg = s,
	};
	int rc;

	rc = cmd_points_resolve(&o->points, platter_crash_log(crash),
				&opts.good, &opts.bad, err);
	if (!rc)
		rc = cmd_crash_watch_start(&s->watch, cmd, &o->progress,
					   lab->harness, err);
	if (rc)
		return rc;
	rc = platter_crash_bisect(crash, &opts, first, err);
	return cmd_crash_watch_end(&s->watch, rc);
}

static int find(struct cmd *cmd, const struct bisect_options *o,
		struct platter_crash *crash, struct platter_error *err)
{
	const struct platter_crash_plan plan = {
		.model = PLATTER_CRASH_MODEL_PREFIX,
		.strategies = "prefixes",
		.to = platter_crash_entries(crash),
		.shards = 1,
	};
	struct search s = { .name = o->resume };
	struct platter_crash_first first;
	struct cmd_crash_lab lab;
	int rc;

	rc = cmd_crash_lab_open(cmd, &o->checkers, crash, false, &lab, err);
	if (rc)
		return rc;
	rc = platter_crash_run_fill(&s.run, crash, &plan, err);
	s.run.checker = lab.description;
	s.run.how = lab.presenter ? lab.presenter->how : "";
	if (!rc && o->resume)
		rc = open_known(&s, err);
	if (!rc)
		rc = search(cmd, o, crash, &lab, &s, &first, err);
	cmd_crash_lab_close(&lab);
	rc = close_known(&s, rc, err);
	return rc ? rc : print(cmd, o, crash, &first, err);
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct bisect_options *o = options_;
	struct platter_crash *crash cmd_auto_crash = NULL;
	int rc;

	/* Only one state at a time is of use. */
	o->checkers.slots = 1;
	rc = cmd_crash_open(cmd, &o->log, cmd->args[0], &o->progress,
			    o->output.kind, &crash, err);
	if (!rc)
		rc = find(cmd, o, crash, err);
	cmd_crash_checkers_free(&o->checkers);
	return rc;
}

const struct cmd_verb cmd_crash_bisect = {
	.name = "bisect",
	.group = "Find the cause",
	.summary = "find the first point whose state fails",
	.examples =
		"  platter crash bisect run.log --from mark:mkfs -- "
		"./check {}\n"
		"  platter crash bisect run.log --resume found.jsonl \\\n"
		"          --run 'e2fsck -p -E journal_only {} && ./check {}'\n",
	.argp = &argp,
	.options_size = sizeof(struct bisect_options),
	.trouble = CMD_TROUBLE,
	.run = run,
};
