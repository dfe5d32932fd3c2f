/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter log import`: a log from what other programs noted of requests. */
#include <string.h>

#include "cmd.h"

enum {
	KEY_FORMAT = CMD_KEY_FIRST,
	KEY_DATA,
	KEY_SEED,
	KEY_SOURCE_FORMAT,
	KEY_DEVICE,
	KEY_SECTOR_SIZE,
	KEY_FORCE,
};

struct import_options {
	struct cmd_progress progress;
	struct cmd_output output;
	const char *path;
	bool has_format;
	bool has_seed;
	struct platter_log_import_options job;
};

static const struct argp_option options[] = {
	{ .name = "format", .key = KEY_FORMAT,
	  .arg = "blkparse|fio|nbdkit|jsonl",
	  .doc = "blkparse's default output, fio's iolog, what nbdkit's log "
		 "filter writes, or the JSON lines of log export" },
	{ .name = "out", .key = 'o', .arg = "OUT",
	  .doc = "the new log" },
	{ .name = "data", .key = KEY_DATA, .arg = "zero|pattern|source=FILE",
	  .doc = "what writes write, as no text has it: zeros, lines that name "
		 "entry and sector (pattern), what an image holds there now" },
	{ .name = "seed", .key = KEY_SEED, .arg = "NUMBER",
	  .doc = "another pattern (0)" },
	{ .name = "source-format", .key = KEY_SOURCE_FORMAT, .arg = "FORMAT",
	  .doc = "format of the source (probed)" },
	{ .name = "device", .key = KEY_DEVICE, .arg = "NAME",
	  .doc = "take requests to this device or file only; needed when there "
		 "are several" },
	{ .name = "sector-size", .key = KEY_SECTOR_SIZE, .arg = "BYTES",
	  .doc = "log sector size of the new log (512)" },
	{ .name = "force", .key = KEY_FORCE,
	  .doc = "replace the log if it exists" },
	{ 0 },
};

static error_t parse_data(struct argp_state *state, const char *arg,
			  struct import_options *o)
{
	if (!strcmp(arg, "zero")) {
		o->job.data = PLATTER_LOG_IMPORT_ZERO;
	} else if (!strcmp(arg, "pattern")) {
		o->job.data = PLATTER_LOG_IMPORT_PATTERN;
	} else if (!strncmp(arg, "source=", 7) && arg[7]) {
		o->job.data = PLATTER_LOG_IMPORT_SOURCE;
		o->job.source = arg + 7;
	} else {
		return cmd_usage(state, "--data: '%s' is none of zero, "
				 "pattern, source=FILE", arg);
	}
	return 0;
}

static error_t check(struct argp_state *state, const struct import_options *o)
{
	if (!o->has_format)
		return cmd_usage(state, "--format is missing");
	if (!o->path)
		return cmd_usage(state, "-o, the new log, is missing");
	if (o->has_seed && o->job.data != PLATTER_LOG_IMPORT_PATTERN)
		return cmd_usage(state, "--seed is for --data pattern");
	if (o->job.source_format && !o->job.source)
		return cmd_usage(state, "--source-format needs --data "
				 "source=FILE");
	return 0;
}

static error_t init(struct argp_state *state, struct import_options *o)
{
	state->child_inputs[0] = &o->progress;
	state->child_inputs[1] = &o->output;
	o->job.data = PLATTER_LOG_IMPORT_PATTERN;
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct import_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		return init(state, o);
	case KEY_FORMAT:
		o->has_format = true;
		return cmd_parse_log_text(state, arg, true,
					  &o->job.format);
	case 'o':
		o->path = arg;
		return 0;
	case KEY_DATA:
		return parse_data(state, arg, o);
	case KEY_SEED:
		o->has_seed = true;
		/* What the pattern's lines have room for. */
		return cmd_parse_number(state, "--seed", arg, 0,
					UINT64_C(999999999999999),
					&o->job.seed);
	case KEY_SOURCE_FORMAT:
		o->job.source_format = arg;
		return 0;
	case KEY_DEVICE:
		o->job.device = arg;
		return 0;
	case KEY_SECTOR_SIZE:
		return cmd_parse_sector_size(state, arg,
					     &o->job.sector_size);
	case KEY_FORCE:
		o->job.force = true;
		return 0;
	case ARGP_KEY_END:
		return check(state, o);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_PROGRESS,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "FILE",
	.doc = "Make a write log of what other programs noted of the requests "
	       "to a disk. They did not note the data, so it is made up; the "
	       "log's first entry is a mark that says how, and log info shows "
	       "it.\v"
	       "Exit codes: 0 done, 2 trouble.",
	.children = children,
};

static int print(struct cmd *cmd, const struct import_options *o,
		 const struct platter_log_import_result *r,
		 struct platter_error *err)
{
	struct platter_printer *out;
	int rc;

	if (cmd_is_quiet(&o->progress, &o->output))
		return 0;
	rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	platter_out_hide(out, true);
	platter_out_map(out, NULL);
	platter_out_string(out, "filename", o->path);
	platter_out_u64(out, "lines", r->lines);
	platter_out_u64(out, "entries", r->entries);
	platter_out_u64(out, "bytes", r->bytes);
	platter_out_u64(out, "unfinished", r->unfinished);
	platter_out_end(out);
	platter_out_hide(out, false);
	platter_out_text(out, "%s: %" PRIu64 " entries in %" PRIu64
			 " bytes, from %" PRIu64 " lines\n", o->path,
			 r->entries, r->bytes, r->lines);
	if (r->unfinished)
		platter_out_text(out, "left out: %" PRIu64 " requests that "
				 "did not end\n", r->unfinished);
	return 0;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct import_options *o = options_;
	struct platter_log_import_result result;
	int rc;

	rc = cmd_progress_start(cmd, &o->progress, o->output.kind,
				&o->job.progress, err);
	if (rc)
		return rc;
	rc = platter_log_import(cmd->ctx, cmd->args[0], o->path, &o->job,
				&result, err);
	rc = cmd_progress_end(o->job.progress, rc);
	return rc ? rc : print(cmd, o, &result, err);
}

const struct cmd_verb cmd_log_import = {
	.name = "import",
	.group = "Make",
	.summary = "make a log of what other programs noted of requests",
	.examples =
		"  blkparse -i sda > sda.txt\n"
		"  platter log import sda.txt --format blkparse -o sda.dmlw\n"
		"  platter log import nbd.log --format nbdkit -o nbd.dmlw "
		"--data source=disk.qcow2\n",
	.argp = &argp,
	.options_size = sizeof(struct import_options),
	.flags = CMD_WRITES,
	.trouble = CMD_TROUBLE,
	.run = run,
};
