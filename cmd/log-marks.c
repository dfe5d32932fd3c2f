/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter log marks`: the marks of a log, and the point each one names.
 *
 * A mark set more than once needs "#k" in a point, and whether it is can only
 * be told at the end of the log. So the first pass counts, and the second
 * prints. What is kept of a text is a hash, for the memory to be small; two
 * texts that share one would only be given "#k" without need.
 */
#include <string.h>

#include "cmd.h"

struct marks_options {
	struct cmd_log log;
	struct cmd_output output;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct marks_options *o = state->input;

	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = &o->log;
	state->child_inputs[1] = &o->output;
	return 0;
}

static const struct argp_child children[] = {
	CMD_CHILD_LOG,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.parser = parse,
	.args_doc = "LOG",
	.doc = "Print the marks of a write log, with the point to give to "
	       "--from or --to for the state right behind each.\v"
	       "Exit codes: 0 done, 1 done but the log ends early, 2 trouble.",
	.children = children,
};

/* How often a text was seen: open addressing, at most half full. */
struct count {
	uint64_t hash;		/* 0 = free */
	uint32_t total;		/* in the log */
	uint32_t seen;		/* so far in the second pass */
};

struct counts {
	struct count *slots;
	size_t size;		/* a power of two, or 0 */
	size_t used;
};

/* FNV-1a. */
static uint64_t hash_text(const char *text, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
	return h ? h : 1;
}

static struct count *find(const struct counts *c, uint64_t hash)
{
	size_t i = (hash ^ hash >> 32) & (c->size - 1);

	while (c->slots[i].hash && c->slots[i].hash != hash)
		i = (i + 1) & (c->size - 1);
	return &c->slots[i];
}

static int grow(struct counts *c, struct platter_error *err)
{
	struct counts next = { .size = c->size ? 2 * c->size : 64 };

	next.slots = calloc(next.size, sizeof(*next.slots));
	if (!next.slots)
		return platter_error_errno(err, -ENOMEM, "counting marks");
	for (size_t i = 0; i < c->size; i++)
		if (c->slots[i].hash)
			*find(&next, c->slots[i].hash) = c->slots[i];
	next.used = c->used;
	free(c->slots);
	*c = next;
	return 0;
}

static int count(struct counts *c, const struct platter_log_entry *e,
		 struct platter_error *err)
{
	uint64_t hash = hash_text(e->mark, e->mark_len);
	struct count *slot;

	if (2 * c->used >= c->size) {
		int rc = grow(c, err);

		if (rc)
			return rc;
	}
	slot = find(c, hash);
	c->used += !slot->hash;
	slot->hash = hash;
	slot->total++;
	return 0;
}

static void print_line(struct platter_printer *out,
		       const struct platter_log_entry *e,
		       const struct count *c)
{
	char *text = platter_bytes_escape(e->mark, e->mark_len);
	char which[16] = "";

	if (c->total > 1)
		snprintf(which, sizeof(which), "#%" PRIu32, c->seen);
	platter_out_text(out, "%8" PRIu64 "  %8" PRIu64 "  mark:%s%s\n",
			 e->number, e->number + 1, text ? text : "?", which);
	free(text);
}

static void print_row(struct platter_printer *out,
		      const struct platter_log_entry *e, const struct count *c)
{
	platter_out_row(out, "mark");
	platter_out_u64(out, "entry", e->number);
	platter_out_u64(out, "point", e->number + 1);
	platter_out_bytes(out, "mark", e->mark, e->mark_len);
	if (c->total > 1)
		platter_out_u64(out, "occurrence", c->seen);
	platter_out_end(out);
}

static void print(struct platter_printer *out, struct counts *counts,
		  const struct platter_log_entry *e)
{
	struct count *c = find(counts, hash_text(e->mark, e->mark_len));

	c->seen++;
	if (platter_printer_kind(out) == PLATTER_OUTPUT_HUMAN)
		print_line(out, e, c);
	else
		print_row(out, e, c);
}

/* Counts without a printer, prints with one. */
static int pass(struct platter_log *log, struct counts *counts,
		struct platter_printer *out, struct platter_error *err)
{
	struct platter_log_cursor *cursor cmd_auto_cursor = NULL;
	struct platter_log_entry e;
	int rc;

	rc = platter_log_cursor_new(&cursor, log, 0, err);
	while (!rc) {
		rc = platter_log_next(cursor, &e, err);
		if (rc || !e.mark)
			continue;
		if (out)
			print(out, counts, &e);
		else
			rc = count(counts, &e, err);
	}
	return rc < 0 ? rc : 0;
}

static int run(struct cmd *cmd, void *options, struct platter_error *err)
{
	struct marks_options *o = options;
	struct platter_log *log cmd_auto_log = NULL;
	struct counts counts = { 0 };
	struct platter_printer *out;
	int rc;

	rc = cmd_log_open(cmd, &o->log, cmd->args[0], &log, err);
	if (!rc)
		rc = pass(log, &counts, NULL, err);
	if (!rc)
		rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (!rc) {
		platter_out_text(out, "%8s  %8s  %s\n", "ENTRY", "POINT",
				 "NAME");
		platter_out_list(out, NULL);
		rc = pass(log, &counts, out, err);
		platter_out_end(out);
	}
	free(counts.slots);
	return rc ? rc : cmd_log_verdict(log, NULL, err);
}

const struct cmd_verb cmd_log_marks = {
	.name = "marks",
	.group = "Look",
	.summary = "print the marks and the points they name",
	.examples =
		"  platter log marks disk.dmlw\n"
		"  platter log marks --output=json disk.dmlw | "
		"jq -r '.[].mark'\n",
	.argp = &argp,
	.options_size = sizeof(struct marks_options),
	.trouble = CMD_TROUBLE,
	.run = run,
};
