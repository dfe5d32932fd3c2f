/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter log info`: all that one pass over a log's headers can tell. */
#include "cmd.h"

static const struct argp argp = {
	.parser = cmd_whole_log_parse,
	.args_doc = "LOG",
	.doc = "Print what a write log holds: its entries, the disk they were "
	       "written to, who wrote it, and every problem found.\v"
	       "Exit codes: 0 done, 1 done but the log ends early, 2 trouble.",
	.children = cmd_whole_log_children,
};

static void print_sizes(struct platter_printer *out, const char *name,
			uint64_t bytes)
{
	char text[PLATTER_SIZE_TEXT_MAX];

	platter_out_text(out, "%s: %s (%" PRIu64 " bytes)\n", name,
			 platter_size_text(text, bytes), bytes);
}

static void print_human(struct platter_printer *out, const char *name,
			const struct platter_log_summary *s)
{
	platter_out_text(out, "log: %s\n", name);
	platter_out_text(out, "sector size: %" PRIu32 "\n", s->sector_size);
	if (s->super_valid)
		platter_out_text(out, "super block: entry count %" PRIu64 "\n",
				 s->super_entries);
	else
		platter_out_text(out, "super block: not to be believed\n");
	platter_out_text(out, "entries: %" PRIu64 " (%" PRIu64
			 " recovered)\n", s->entries, s->recovered);
	platter_out_text(out, "  writes: %" PRIu64 "\n", s->writes);
	platter_out_text(out, "  discards: %" PRIu64 "\n", s->discards);
	platter_out_text(out, "  marks: %" PRIu64 "\n", s->marks);
	platter_out_text(out, "  without data: %" PRIu64 "\n", s->empty);
	platter_out_text(out, "with FLUSH: %" PRIu64 "\n", s->flushes);
	platter_out_text(out, "with FUA: %" PRIu64 "\n", s->fuas);
	platter_out_text(out, "with METADATA: %" PRIu64 "\n", s->metadata);
	platter_out_text(out, "epochs: %" PRIu64 " (median %" PRIu64
			 ", largest %" PRIu64 " writes)\n", s->epochs,
			 s->epoch_median, s->epoch_largest);
	print_sizes(out, "written", s->data_bytes);
	print_sizes(out, "discarded", s->discard_bytes);
	print_sizes(out, "smallest device", s->device_size);
	print_sizes(out, "log size", s->log_size);
	print_sizes(out, "of it used", s->end);
	platter_out_text(out, "written by: %s\n", s->writer_text);
	if (s->imported[0])
		platter_out_text(out, "imported: %s\n", s->imported);
	platter_out_text(out, "flush cover: %s\n", s->flush_cover);
	platter_out_text(out, "closed: %s\n", s->clean_end ?
			 "yes, by an end mark" : "no end mark");
	cmd_log_problems(out, NULL, s);
}

static const char *writer_name(enum platter_log_writer writer)
{
	switch (writer) {
	case PLATTER_LOG_WRITER_KERNEL:
		return "kernel";
	case PLATTER_LOG_WRITER_QEMU:
		return "qemu";
	case PLATTER_LOG_WRITER_PLATTER:
		return "platter";
	case PLATTER_LOG_WRITER_IMPORT:
		return "import";
	case PLATTER_LOG_WRITER_UNKNOWN:
		break;
	}
	return "unknown";
}

static void print_counts(struct platter_printer *out,
			 const struct platter_log_summary *s)
{
	platter_out_u64(out, "entries", s->entries);
	platter_out_u64(out, "recovered", s->recovered);
	platter_out_u64(out, "writes", s->writes);
	platter_out_u64(out, "discards", s->discards);
	platter_out_u64(out, "marks", s->marks);
	platter_out_u64(out, "empty", s->empty);
	platter_out_u64(out, "flushes", s->flushes);
	platter_out_u64(out, "fuas", s->fuas);
	platter_out_u64(out, "metadata", s->metadata);
	platter_out_u64(out, "data-bytes", s->data_bytes);
	platter_out_u64(out, "discard-bytes", s->discard_bytes);
	platter_out_map(out, "epochs");
	platter_out_u64(out, "count", s->epochs);
	platter_out_u64(out, "median", s->epoch_median);
	platter_out_u64(out, "largest", s->epoch_largest);
	platter_out_end(out);
}

static void print_data(struct platter_printer *out, const char *name,
		       const struct platter_log_summary *s)
{
	platter_out_map(out, NULL);
	platter_out_string(out, "filename", name);
	platter_out_u64(out, "sector-size", s->sector_size);
	platter_out_bool(out, "super-valid", s->super_valid);
	if (s->super_valid)
		platter_out_u64(out, "super-entries", s->super_entries);
	print_counts(out, s);
	platter_out_u64(out, "device-size", s->device_size);
	platter_out_u64(out, "log-size", s->log_size);
	platter_out_u64(out, "log-end", s->end);
	platter_out_string(out, "writer", writer_name(s->writer));
	platter_out_string(out, "writer-evidence", s->writer_text);
	if (s->imported[0])
		platter_out_string(out, "imported", s->imported);
	platter_out_string(out, "flush-cover", s->flush_cover);
	platter_out_bool(out, "clean-end", s->clean_end);
	platter_out_bool(out, "damaged", s->damaged);
	cmd_log_problems(out, "problems", s);
	platter_out_end(out);
}

static int run(struct cmd *cmd, void *options, struct platter_error *err)
{
	const struct cmd_whole_log *o = options;
	struct platter_error verdict = PLATTER_ERROR_INIT;
	struct platter_log *log cmd_auto_log = NULL;
	const struct platter_log_summary *summary;
	struct platter_printer *out;
	int rc;

	rc = cmd_log_scan(cmd, o, cmd->args[0], &log, &summary, err);
	if (!rc)
		rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	if (o->output.kind == PLATTER_OUTPUT_HUMAN)
		print_human(out, platter_log_name(log), summary);
	else
		print_data(out, platter_log_name(log), summary);
	/* Why it ends early has been printed with the problems. */
	rc = cmd_log_verdict(log, NULL, &verdict);
	return rc < 0 ? platter_error_set(err, rc, "%s", verdict.msg) : rc;
}

const struct cmd_verb cmd_log_info = {
	.name = "info",
	.group = "Look",
	.summary = "print what a log holds and what is wrong with it",
	.examples =
		"  platter log info disk.dmlw\n"
		"  platter log info --output=json disk.dmlw | jq .entries\n",
	.argp = &argp,
	.options_size = sizeof(struct cmd_whole_log),
	.trouble = CMD_TROUBLE,
	.run = run,
};
