/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter log stat`: sizes, rewrites, epochs and hot ranges of a log. */
#include <string.h>

#include "cmd.h"

#define KEY_HOT		CMD_KEY_FIRST
#define HOT_DEFAULT	10u

struct stat_options {
	struct cmd_log log;
	struct cmd_points points;
	struct cmd_progress progress;	/* no options: a bar, or none */
	struct cmd_output output;
	uint64_t nr_hot;
};

static const struct argp_option options[] = {
	{ .name = "hot", .key = KEY_HOT, .arg = "NUMBER",
	  .doc = "list that many of the most written ranges, up to 32 (10)" },
	{ 0 },
};

static error_t init(struct argp_state *state, struct stat_options *o)
{
	o->nr_hot = HOT_DEFAULT;
	state->child_inputs[0] = &o->points;
	state->child_inputs[1] = &o->log;
	state->child_inputs[2] = &o->output;
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct stat_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		return init(state, o);
	case KEY_HOT:
		return cmd_parse_number(state, "--hot", arg, 0,
					PLATTER_LOG_STAT_HOT, &o->nr_hot);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_POINTS,
	CMD_CHILD_LOG,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "LOG",
	.doc = "Print how large writes were, how often parts of the disk were "
	       "rewritten, how many writes went between two flushes, and "
	       "which ranges were written most.\v"
	       "Exit codes: 0 done, 1 done but the log ends early, 2 trouble.",
	.children = children,
};

/* One histogram: bucket i holds values from 2^i to below 2^(i+1). */
struct histogram {
	const char *key;
	const char *title;
	const char *count_key;
	const char *bytes_key;
	bool sizes;		/* values are bytes, not numbers */
	const uint64_t *count;	/* or NULL */
	const uint64_t *bytes;	/* or NULL */
};

static uint64_t bucket_last(unsigned int i)
{
	return i == 63 ? UINT64_MAX : (UINT64_C(2) << i) - 1;
}

static void print_bucket(struct platter_printer *out,
			 const struct histogram *h, unsigned int i)
{
	char first[PLATTER_SIZE_TEXT_MAX], bytes[PLATTER_SIZE_TEXT_MAX] = "";
	char count[24] = "";

	if (h->sizes)
		platter_size_text(first, UINT64_C(1) << i);
	else
		snprintf(first, sizeof(first), "%" PRIu64, UINT64_C(1) << i);
	if (h->count)
		snprintf(count, sizeof(count), "%" PRIu64, h->count[i]);
	if (h->bytes)
		platter_size_text(bytes, h->bytes[i]);
	platter_out_text(out, "%12s%s  %12s%s%s\n", first, i ? "+" : " ",
			 h->count ? count : bytes,
			 h->count && h->bytes ? "  " : "",
			 h->count && h->bytes ? bytes : "");

	platter_out_row(out, "bucket");
	platter_out_u64(out, "first", UINT64_C(1) << i);
	platter_out_u64(out, "last", bucket_last(i));
	if (h->count)
		platter_out_u64(out, h->count_key, h->count[i]);
	if (h->bytes)
		platter_out_u64(out, h->bytes_key, h->bytes[i]);
	platter_out_end(out);
}

static void print_histogram(struct platter_printer *out,
			    const struct histogram *h)
{
	platter_out_text(out, "\n%s\n", h->title);
	platter_out_list(out, h->key);
	for (unsigned int i = 0; i < PLATTER_LOG_STAT_BUCKETS; i++)
		if ((h->count && h->count[i]) || (h->bytes && h->bytes[i]))
			print_bucket(out, h, i);
	platter_out_end(out);
}

static void print_histograms(struct platter_printer *out,
			     const struct platter_log_stat *s)
{
	const struct histogram all[] = {
		{ .key = "write-sizes",
		  .title = "Write size, writes, bytes written:",
		  .count_key = "writes", .bytes_key = "bytes", .sizes = true,
		  .count = s->size_count, .bytes = s->size_bytes },
		{ .key = "rewrites",
		  .title = "Times written, bytes of the disk:",
		  .bytes_key = "bytes", .bytes = s->rewrite_bytes },
		{ .key = "epoch-sizes",
		  .title = "Writes between two flushes, how often:",
		  .count_key = "epochs", .count = s->epoch_count },
	};

	for (size_t i = 0; i < CMD_ARRAY_SIZE(all); i++)
		print_histogram(out, &all[i]);
}

static void print_hot(struct platter_printer *out,
		      const struct platter_log_stat *s)
{
	if (s->nr_hot)
		platter_out_text(out, "\nMost written ranges:\n"
				 "%16s  %12s  %8s\n", "OFFSET", "LENGTH",
				 "WRITES");
	platter_out_list(out, "hot");
	for (size_t i = 0; i < s->nr_hot; i++) {
		const struct platter_log_hot *h = &s->hot[i];

		platter_out_text(out, "%16" PRIu64 "  %12" PRIu64 "  %8" PRIu64
				 "\n", h->start, h->length, h->writes);
		platter_out_row(out, "range");
		platter_out_u64(out, "offset", h->start);
		platter_out_u64(out, "length", h->length);
		platter_out_u64(out, "writes", h->writes);
		platter_out_end(out);
	}
	platter_out_end(out);
}

static void print_total(struct platter_printer *out, const char *title,
			const char *key, uint64_t bytes)
{
	char text[PLATTER_SIZE_TEXT_MAX];

	platter_out_text(out, "%s: %s (%" PRIu64 " bytes)\n", title,
			 platter_size_text(text, bytes), bytes);
	platter_out_u64(out, key, bytes);
}

static void print(struct platter_printer *out, uint64_t from, uint64_t to,
		  const struct platter_log_stat *s)
{
	platter_out_hide(out, true);
	platter_out_map(out, NULL);
	platter_out_text(out, "entries: %" PRIu64 " to %" PRIu64 "\n", from,
			 to);
	platter_out_u64(out, "from", from);
	platter_out_u64(out, "to", to);
	print_total(out, "written", "written", s->written);
	print_total(out, "of it to distinct places", "distinct", s->distinct);
	print_total(out, "discarded", "discarded", s->discarded);
	print_histograms(out, s);
	print_hot(out, s);
	platter_out_end(out);
	platter_out_hide(out, false);
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct stat_options *o = options_;
	struct platter_log *log cmd_auto_log = NULL;
	struct platter_log_stat stat;
	struct platter_printer *out;
	uint64_t from, to;
	int rc;

	rc = cmd_log_open(cmd, &o->log, cmd->args[0], &log, err);
	if (!rc)
		rc = cmd_log_prepare(cmd, log, &o->progress, o->output.kind,
				     err);
	if (!rc)
		rc = cmd_points_resolve(&o->points, log, &from, &to, err);
	if (!rc)
		rc = platter_log_stat(log, from, to, o->nr_hot, &stat, err);
	if (!rc)
		rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	print(out, from, to, &stat);
	return cmd_log_verdict(log, &o->points, err);
}

const struct cmd_verb cmd_log_stat = {
	.name = "stat",
	.group = "Look",
	.summary = "print write sizes, rewrites, epochs and hot ranges",
	.examples =
		"  platter log stat disk.dmlw\n"
		"  platter log stat disk.dmlw --from mark:mkfs --hot 32 "
		"--output=json\n",
	.argp = &argp,
	.options_size = sizeof(struct stat_options),
	.trouble = CMD_TROUBLE,
	.run = run,
};
