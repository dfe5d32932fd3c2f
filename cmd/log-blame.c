/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter log blame`: the history of a part of the disk, newest first. */
#include <string.h>

#include "cmd.h"

#define KEY_TO		CMD_KEY_FIRST
#define HASH_SHOWN	16	/* digits of a hash in a line for people */

struct blame_options {
	struct cmd_log log;
	struct cmd_output output;
	struct cmd_progress progress;	/* no options: a bar, or none */
	struct cmd_points points;	/* only `to` */
};

static const struct argp_option options[] = {
	{ .name = "to", .key = KEY_TO, .arg = "POINT",
	  .doc = "the history before this point (end)" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct blame_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->log;
		state->child_inputs[1] = &o->output;
		return 0;
	case KEY_TO:
		o->points.to = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_LOG,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "LOG OFFSET+LENGTH",
	.doc = "Print every entry that wrote or discarded a part of the disk, "
	       "newest first, with the mark that went before it and a hash of "
	       "what it wrote there. Without +LENGTH the part is one log "
	       "sector.\v"
	       "Exit codes: 0 done, 1 done but the log ends early, 2 trouble.",
	.children = children,
};

struct printing {
	struct platter_log_version_visitor visitor;
	struct platter_printer *out;
};

static void print_line(struct platter_printer *out,
		       const struct platter_log_version *v, const char *flags)
{
	char *mark = v->mark ? platter_bytes_escape(v->mark, v->mark_len) :
			       NULL;

	platter_out_text(out, "%8" PRIu64 "  %16" PRIu64 "  %12" PRIu64
			 "  %-*.*s  %-16s  %s\n", v->entry.number, v->start,
			 v->length, HASH_SHOWN, HASH_SHOWN,
			 v->hashed ? v->sha256 : "-",
			 flags[0] ? flags : "-", mark ? mark : "-");
	free(mark);
}

static void print_row(struct platter_printer *out,
		      const struct platter_log_version *v, const char *flags)
{
	platter_out_row(out, "version");
	platter_out_u64(out, "entry", v->entry.number);
	platter_out_u64(out, "log-offset", v->entry.offset);
	platter_out_u64(out, "offset", v->start);
	platter_out_u64(out, "length", v->length);
	platter_out_string(out, "flags", flags);
	if (v->hashed)
		platter_out_string(out, "sha256", v->sha256);
	if (v->mark) {
		platter_out_u64(out, "mark-entry", v->mark_entry);
		platter_out_bytes(out, "mark", v->mark, v->mark_len);
	}
	platter_out_end(out);
}

static int visit(struct platter_log_version_visitor *self,
		 const struct platter_log_version *version,
		 struct platter_error *err)
{
	struct printing *p = (struct printing *)self;
	char flags[PLATTER_LOG_FLAGS_TEXT_MAX];

	(void)err;
	platter_log_flags_text(flags, version->entry.flags);
	if (platter_printer_kind(p->out) == PLATTER_OUTPUT_HUMAN)
		print_line(p->out, version, flags);
	else
		print_row(p->out, version, flags);
	return 0;
}

static int blame(struct cmd *cmd, const struct blame_options *o,
		 struct platter_log *log, struct platter_error *err)
{
	struct printing p = { .visitor.visit = visit };
	uint64_t offset, length, from, to;
	int rc;

	rc = platter_range_parse(&offset, &length,
				 platter_log_sector_size(log), cmd->args[1],
				 err);
	if (!rc)
		rc = cmd_log_prepare(cmd, log, &o->progress, o->output.kind,
				     err);
	if (!rc)
		rc = cmd_points_resolve(&o->points, log, &from, &to, err);
	if (!rc)
		rc = cmd_printer(cmd, o->output.kind, &p.out, err);
	if (rc)
		return rc;
	platter_out_text(p.out, "%8s  %16s  %12s  %-*s  %-16s  %s\n", "ENTRY",
			 "OFFSET", "LENGTH", HASH_SHOWN, "SHA-256", "FLAGS",
			 "AFTER MARK");
	platter_out_list(p.out, NULL);
	rc = platter_log_blame(log, offset, length, to, &p.visitor, err);
	platter_out_end(p.out);
	return rc;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct blame_options *o = options_;
	struct platter_log *log cmd_auto_log = NULL;
	int rc;

	rc = cmd_log_open(cmd, &o->log, cmd->args[0], &log, err);
	if (!rc)
		rc = blame(cmd, o, log, err);
	return rc ? rc : cmd_log_verdict(log, &o->points, err);
}

const struct cmd_verb cmd_log_blame = {
	.name = "blame",
	.group = "Look",
	.summary = "print who wrote a part of the disk, newest first",
	.examples =
		"  platter log blame disk.dmlw 1M+4K\n"
		"  platter log blame disk.dmlw 0 --to mark:fsync-3 "
		"--output=json\n",
	.argp = &argp,
	.options_size = sizeof(struct blame_options),
	.trouble = CMD_TROUBLE,
	.run = run,
};
