/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter log`: its verbs, and what they share. */
#include <string.h>

#include "verbs.h"

error_t cmd_parse_log_flags(const struct argp_state *state, const char *arg,
			    uint64_t *out)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	uint64_t flags;

	if (platter_log_flags_parse(&flags, arg, &e))
		return cmd_usage(state, "%s", e.msg);
	*out |= flags;
	return 0;
}

error_t cmd_parse_log_text(const struct argp_state *state, const char *arg,
			   bool read, enum platter_log_text *out)
{
	static const struct {
		const char *name;
		enum platter_log_text format;
		bool read, written;
	} table[] = {
		{ "blkparse", PLATTER_LOG_TEXT_BLKPARSE, true, true },
		{ "fio", PLATTER_LOG_TEXT_FIO, true, true },
		{ "fio3", PLATTER_LOG_TEXT_FIO3, false, true },
		{ "nbdkit", PLATTER_LOG_TEXT_NBDKIT, true, false },
		{ "tsv", PLATTER_LOG_TEXT_TSV, false, true },
		{ "jsonl", PLATTER_LOG_TEXT_JSONL, true, true },
	};
	char names[64] = "";

	for (size_t i = 0; i < CMD_ARRAY_SIZE(table); i++) {
		size_t len = strlen(names);

		if (!(read ? table[i].read : table[i].written))
			continue;
		if (!strcmp(arg, table[i].name)) {
			*out = table[i].format;
			return 0;
		}
		snprintf(names + len, sizeof(names) - len, "%s%s",
			 len ? ", " : "", table[i].name);
	}
	return cmd_usage(state, "--format: '%s' is none of %s", arg, names);
}

static const char *severity_name(enum platter_log_severity severity)
{
	return severity == PLATTER_LOG_NOTE ? "note" : "damage";
}

void cmd_log_problems(struct platter_printer *out, const char *key,
		      const struct platter_log_summary *summary)
{
	platter_out_list(out, key);
	for (size_t i = 0; i < summary->nr_problems; i++) {
		const struct platter_log_problem *p = &summary->problems[i];

		platter_out_row(out, "problem");
		platter_out_string(out, "severity", severity_name(p->severity));
		platter_out_u64(out, "log-offset", p->offset);
		platter_out_u64(out, "entry", p->entry);
		platter_out_string(out, "text", p->text);
		platter_out_end(out);
		platter_out_text(out, "%s at log offset %" PRIu64 ", entry %"
				 PRIu64 ": %s\n", severity_name(p->severity),
				 p->offset, p->entry, p->text);
	}
	platter_out_end(out);
}

error_t cmd_whole_log_parse(int key, char *arg, struct argp_state *state)
{
	struct cmd_whole_log *o = state->input;

	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = &o->log;
	state->child_inputs[1] = &o->progress;
	state->child_inputs[2] = &o->output;
	return 0;
}

const struct argp_child cmd_whole_log_children[] = {
	CMD_CHILD_LOG,
	CMD_CHILD_PROGRESS,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

const struct argp cmd_whole_log_argp = {
	.parser = cmd_whole_log_parse,
	.children = cmd_whole_log_children,
};

int cmd_log_scan(struct cmd *cmd, const struct cmd_whole_log *opts,
		 const char *name, struct platter_log **log,
		 const struct platter_log_summary **summary,
		 struct platter_error *err)
{
	struct platter_progress *progress;
	int rc;

	rc = cmd_log_open(cmd, &opts->log, name, log, err);
	if (!rc)
		rc = cmd_progress_start(cmd, &opts->progress,
					opts->output.kind, &progress, err);
	if (rc)
		return rc;
	return cmd_progress_end(progress, platter_log_scan(*log, progress,
							   summary, err));
}

int cmd_log_prepare(struct cmd *cmd, struct platter_log *log,
		    const struct cmd_progress *opts, enum platter_output kind,
		    struct platter_error *err)
{
	/* Percentages for a program are for the work that follows. */
	const struct cmd_progress own = { .quiet = opts->quiet };
	struct platter_progress *progress;
	int rc;

	rc = cmd_progress_start(cmd, &own, kind, &progress, err);
	if (rc)
		return rc;
	return cmd_progress_end(progress,
				platter_log_index(log, progress, err));
}

/*
 * Damage that reading on could repair, such as a stale super block, has cost
 * nothing. What matters here is a log that stops before its end.
 */
int cmd_log_verdict(struct platter_log *log, const struct cmd_points *points,
		    struct platter_error *err)
{
	struct platter_log_problem p;
	int rc;

	if (points && points->to && strncmp(points->to, "end", 3))
		return CMD_OK;
	rc = platter_log_end(log, &p, err);
	if (rc <= 0)
		return rc;
	platter_error_set(err, -EUCLEAN, "%s: ends early, at log offset %"
			  PRIu64 " (entries before it: %" PRIu64 "): %s",
			  platter_log_name(log), p.offset, p.entry, p.text);
	return CMD_NO;
}

static const struct cmd_verb *const verbs[] = {
	CMD_LOG_VERBS(CMD_VERB_ENTRY)
	NULL,
};

const struct cmd_verb cmd_log = {
	.name = "log",
	.group = "Write logs",
	.summary = "record, look into, repair and cut write logs; see log --help",
	.examples =
		"  platter log record --log run.log disk.qcow2 -- mkfs.ext4 {}\n"
		"  platter log info disk.dmlw\n"
		"  platter log list disk.dmlw --from mark:mkfs --flags FUA\n"
		"  platter log blame disk.dmlw 1M+4K\n",
	.verbs = verbs,
};
