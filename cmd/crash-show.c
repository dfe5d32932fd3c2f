/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter crash show`: what a crash state consists of, in words.
 *
 * The parts are walked twice, so that what they come to is said first, however
 * many there are.
 */
#include <string.h>

#include "crash.h"

#define FATES	(PLATTER_CRASH_EARLY + 1)

struct show_options {
	struct cmd_crash_log log;
	struct cmd_crash_again again;
	struct cmd_output output;
	struct cmd_progress progress;	/* no options: a bar, or none */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct show_options *o = state->input;

	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = &o->log;
	state->child_inputs[1] = &o->again;
	state->child_inputs[2] = &o->output;
	return 0;
}

static const struct argp_child children[] = {
	CMD_CHILD_CRASH_LOG,
	CMD_CHILD_CRASH_AGAIN,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.parser = parse,
	.args_doc = "LOG STATE",
	.doc = "Say what a crash state consists of: from where on writes were "
	       "pending, which of them are present and which are missing, and "
	       "after which marks they were written. STATE is a name as in "
	       "platter-crash(7), or a point of the log.\v"
	       "Exit codes: 0 done, 1 done but the log ends early, 2 trouble.",
	.children = children,
};

/* ---- what it comes to ---- */

struct total {
	uint64_t writes, bytes;
	uint64_t last;		/* entry counted last */
};

struct totals {
	struct platter_crash_part_visitor visitor;
	uint32_t sector;	/* bytes */
	struct total of[FATES];
	struct total pending;
	uint64_t first;		/* pending entry, UINT64_MAX: none */
};

static void count(struct total *t, const struct platter_crash_part *part,
		  uint32_t sector)
{
	t->writes += !t->writes || t->last != part->entry.number;
	t->bytes += (uint64_t)part->count * sector;
	t->last = part->entry.number;
}

static int add_part(struct platter_crash_part_visitor *self,
		    const struct platter_crash_part *part,
		    struct platter_error *err)
{
	struct totals *t = (struct totals *)self;

	(void)err;
	count(&t->of[part->fate], part, t->sector);
	if (part->fate == PLATTER_CRASH_DURABLE ||
	    part->fate == PLATTER_CRASH_EARLY)
		return 0;
	count(&t->pending, part, t->sector);
	if (t->first == UINT64_MAX)
		t->first = part->entry.number;
	return 0;
}

/* ---- for people ---- */

/* The text of the mark before a point, escaped; "-" where there is none. */
static char *mark_of(struct platter_crash *crash, uint64_t point)
{
	const char *text;
	size_t len;

	if (platter_crash_mark_before(crash, point, &text, &len) == UINT64_MAX)
		return strdup("-");
	return platter_bytes_escape(text, len);
}

static void say_pending(struct platter_printer *out, const struct totals *t)
{
	const char *between = ": ";

	if (!t->pending.writes) {
		platter_out_text(out, "pending: nothing\n");
		return;
	}
	platter_out_text(out, "pending: %" PRIu64 " %s, %" PRIu64 " bytes",
			 t->pending.writes,
			 t->pending.writes == 1 ? "write" : "writes",
			 t->pending.bytes);
	for (unsigned int f = PLATTER_CRASH_KEPT; f < PLATTER_CRASH_EARLY;
	     f++) {
		if (!t->of[f].writes)
			continue;
		platter_out_text(out, "%s%" PRIu64 " %s", between,
				 t->of[f].writes, platter_crash_fate_name(f));
		between = ", ";
	}
	platter_out_text(out, "\n");
}

static void say_all(struct platter_printer *out, const struct totals *t,
		    const struct platter_crash_state *state)
{
	struct platter_crash *crash = platter_crash_state_crash(state);
	const uint64_t point = platter_crash_state_point(state);
	const uint64_t mark = platter_crash_mark_before(crash, point, NULL,
							NULL);
	const struct total *fua = &t->of[PLATTER_CRASH_DURABLE];
	const struct total *early = &t->of[PLATTER_CRASH_EARLY];
	char *text = mark_of(crash, point);

	platter_out_text(out, "state: %s\n", platter_crash_state_name(state));
	platter_out_text(out, "crash: at point %" PRIu64 " of %" PRIu64 "\n",
			 point, platter_crash_entries(crash));
	if (mark != UINT64_MAX)
		platter_out_text(out, "last mark: %s (entry %" PRIu64 ")\n",
				 text ? text : "", mark);
	if (t->first == UINT64_MAX)
		platter_out_text(out, "durable: everything before the point\n");
	else
		platter_out_text(out, "durable: everything before entry %"
				 PRIu64, t->first);
	if (t->first != UINT64_MAX && fua->writes)
		platter_out_text(out, ", and %" PRIu64
				 " of the writes behind it", fua->writes);
	if (t->first != UINT64_MAX)
		platter_out_text(out, "\n");
	say_pending(out, t);
	if (early->writes)
		platter_out_text(out, "early: %" PRIu64 " of the writes behind "
				 "the point, %" PRIu64 " bytes\n",
				 early->writes, early->bytes);
	free(text);
}

/* ---- the parts ---- */

struct printing {
	struct platter_crash_part_visitor visitor;
	struct platter_printer *out;
	struct platter_crash *crash;
	uint32_t sector;
};

static void print_heading(struct platter_printer *out)
{
	platter_out_text(out, "\n%8s  %-8s  %16s  %12s  %-14s  %-12s  %s\n",
			 "ENTRY", "FATE", "OFFSET", "LENGTH", "SECTORS",
			 "FLAGS", "AFTER MARK");
}

static void print_line(const struct printing *p,
		       const struct platter_crash_part *part,
		       const char *flags)
{
	const struct platter_log_entry *e = &part->entry;
	char *mark = mark_of(p->crash, e->number);
	char sectors[64] = "all";

	if (part->count < e->nr_sectors)
		snprintf(sectors, sizeof(sectors), "[%" PRIu32 ":%" PRIu32
			 "] of %" PRIu64, part->first,
			 part->first + part->count, e->nr_sectors);
	platter_out_text(p->out, "%8" PRIu64 "  %-8s  %16" PRIu64 "  %12" PRIu64
			 "  %-14s  %-12s  %s\n", e->number,
			 platter_crash_fate_name(part->fate),
			 e->start + (uint64_t)part->first * p->sector,
			 (uint64_t)part->count * p->sector, sectors,
			 flags[0] ? flags : "-", mark ? mark : "");
	free(mark);
}

static void print_row(const struct printing *p,
		      const struct platter_crash_part *part,
		      const char *flags)
{
	const struct platter_log_entry *e = &part->entry;
	const char *text;
	uint64_t mark;
	size_t len;

	platter_out_row(p->out, "part");
	platter_out_u64(p->out, "entry", e->number);
	platter_out_string(p->out, "fate",
			   platter_crash_fate_name(part->fate));
	platter_out_u64(p->out, "offset",
			e->start + (uint64_t)part->first * p->sector);
	platter_out_u64(p->out, "length", (uint64_t)part->count * p->sector);
	platter_out_u64(p->out, "first", part->first);
	platter_out_u64(p->out, "sectors", part->count);
	platter_out_u64(p->out, "of", e->nr_sectors);
	platter_out_string(p->out, "flags", flags);
	mark = platter_crash_mark_before(p->crash, e->number, &text, &len);
	if (mark != UINT64_MAX) {
		platter_out_u64(p->out, "mark-entry", mark);
		platter_out_bytes(p->out, "mark", text, len);
	}
	platter_out_end(p->out);
}

static int print_part(struct platter_crash_part_visitor *self,
		      const struct platter_crash_part *part,
		      struct platter_error *err)
{
	const struct printing *p = (const struct printing *)self;
	char flags[PLATTER_LOG_FLAGS_TEXT_MAX];

	(void)err;
	platter_log_flags_text(flags, part->entry.flags);
	if (platter_printer_kind(p->out) == PLATTER_OUTPUT_HUMAN)
		print_line(p, part, flags);
	else
		print_row(p, part, flags);
	return 0;
}

/* ---- for programs ---- */

static void print_totals(struct platter_printer *out, const struct totals *t,
			 const struct platter_crash_state *state)
{
	struct platter_crash *crash = platter_crash_state_crash(state);
	const uint64_t point = platter_crash_state_point(state);
	const char *text;
	uint64_t mark;
	size_t len;

	platter_out_string(out, "state", platter_crash_state_name(state));
	platter_out_u64(out, "point", point);
	platter_out_u64(out, "entries", platter_crash_entries(crash));
	mark = platter_crash_mark_before(crash, point, &text, &len);
	if (mark != UINT64_MAX) {
		platter_out_u64(out, "mark-entry", mark);
		platter_out_bytes(out, "mark", text, len);
	}
	platter_out_u64(out, "durable-before",
			t->first == UINT64_MAX ? point : t->first);
	platter_out_u64(out, "pending", t->pending.writes);
	platter_out_u64(out, "pending-bytes", t->pending.bytes);
	platter_out_map(out, "writes");
	for (unsigned int f = PLATTER_CRASH_DURABLE; f < FATES; f++)
		platter_out_u64(out, platter_crash_fate_name(f),
				t->of[f].writes);
	platter_out_end(out);
}

static int print(struct platter_printer *out,
		 const struct cmd_crash_named *named,
		 struct platter_error *err)
{
	const struct platter_crash_state *state = named->state;
	struct platter_crash *crash = platter_crash_state_crash(state);
	const uint32_t sector =
		platter_log_sector_size(platter_crash_log(crash));
	struct totals t = {
		.visitor.visit = add_part, .sector = sector,
		.first = UINT64_MAX,
	};
	struct printing p = {
		.visitor.visit = print_part, .out = out, .crash = crash,
		.sector = sector,
	};
	int rc;

	rc = platter_crash_state_parts(state, &t.visitor, err);
	if (rc)
		return rc;
	if (platter_printer_kind(out) == PLATTER_OUTPUT_HUMAN) {
		say_all(out, &t, state);
		if (named->nested)
			platter_out_text(out, "of a recovery: from state %s, "
					 "%s\n", named->first,
					 named->recovery);
		if (t.pending.writes || t.of[PLATTER_CRASH_EARLY].writes)
			print_heading(out);
		return platter_crash_state_parts(state, &p.visitor, err);
	}
	platter_out_map(out, NULL);
	print_totals(out, &t, state);
	if (named->nested) {
		platter_out_string(out, "recovery-of", named->first);
		platter_out_string(out, "recovery", named->recovery);
	}
	platter_out_list(out, "parts");
	rc = platter_crash_state_parts(state, &p.visitor, err);
	platter_out_end(out);
	platter_out_end(out);
	return rc;
}

static int run(struct cmd *cmd, void *options, struct platter_error *err)
{
	struct show_options *o = options;
	struct platter_crash *crash cmd_auto_crash = NULL;
	struct cmd_crash_named named cmd_auto_crash_named = { .state = NULL };
	struct cmd_points points = { .to = NULL };
	struct platter_printer *out;
	int rc;

	/* Nothing is read of the disk, so what it began as is all the same. */
	o->progress.quiet = true;
	rc = cmd_crash_read_state(cmd, err);
	points.to = cmd->args[1];
	if (!rc)
		rc = cmd_crash_open(cmd, &o->log, cmd->args[0], &o->progress,
				    o->output.kind, &crash, err);
	if (!rc)
		rc = cmd_crash_named_open(cmd, &o->again, crash, cmd->args[1],
					  &named, err);
	if (!rc)
		rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (!rc)
		rc = print(out, &named, err);
	return rc ? rc : cmd_log_verdict(platter_crash_log(crash), &points,
					 err);
}

const struct cmd_verb cmd_crash_show = {
	.name = "show",
	.group = "Look at states",
	.summary = "print what of a state is durable, pending and missing",
	.examples =
		"  platter crash show run.log 412-405,409\n"
		"  platter crash show run.log mark:fsync-3 --output=json\n",
	.argp = &argp,
	.options_size = sizeof(struct show_options),
	.trouble = CMD_TROUBLE,
	.run = run,
};
