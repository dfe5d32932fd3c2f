/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A report as JSON lines: the run, a line for each result, the end.
 *
 * What is not there (no mark, no signal, nothing put out) is left out. Times
 * stand in "seconds" and "check-seconds" only, so that two reports can be
 * compared without them. report-read.c reads all this again.
 */
#include <inttypes.h>

#include <platter/out.h>

#include "base/error.h"
#include "crash/report.h"

#define NS_PER_S	1e9

static void put_hex(struct platter_printer *p, const char *key,
		    const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * 16 + 1];
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		text[n++] = digits[bytes[i] >> 4];
		text[n++] = digits[bytes[i] & 15];
	}
	text[n] = '\0';
	platter_out_string(p, key, text);
}

static void put_seconds(struct platter_printer *p, const char *key,
			uint64_t ns)
{
	platter_out_double(p, key, (double)ns / NS_PER_S, 9);
}

/* ---- the run ---- */

static void put_plan(struct platter_printer *p,
		     const struct platter_crash_plan *plan)
{
	platter_out_u64(p, "from", plan->from);
	platter_out_u64(p, "to", plan->to);
	platter_out_string(p, "model", platter_crash_model_name(plan->model));
	platter_out_u64(p, "unit", plan->unit);
	platter_out_string(p, "strategies", plan->strategies);
	platter_out_list(p, "regions");
	for (size_t i = 0; plan->regions && plan->regions[i]; i++)
		platter_out_string(p, NULL, plan->regions[i]);
	platter_out_end(p);
	platter_out_bool(p, "early-writes", plan->early_writes);
	platter_out_list(p, "discards");
	for (unsigned int i = 0; i <= PLATTER_CRASH_DISCARD_PATTERN; i++) {
		if (plan->discards & 1u << i)
			platter_out_string(p, NULL,
					   plt_crash_discard_names[i]);
	}
	platter_out_end(p);
	platter_out_u64(p, "shard", plan->shard);
	platter_out_u64(p, "shards", plan->shards);
}

void platter_crash_run_print(struct platter_printer *p,
			     const struct platter_crash_run *run)
{
	char hash[17];

	snprintf(hash, sizeof(hash), "%016" PRIx64, run->log_hash);
	platter_out_row(p, "run");
	platter_out_string(p, "type", "run");
	platter_out_u64(p, "version", 1);
	platter_out_string(p, "log", run->log);
	if (run->base)
		platter_out_string(p, "base", run->base);
	platter_out_u64(p, "entries", run->entries);
	platter_out_u64(p, "size", run->size);
	platter_out_u64(p, "sector-size", run->sector_size);
	platter_out_string(p, "log-hash", hash);
	put_plan(p, &run->plan);
	platter_out_string(p, "checker", run->checker);
	platter_out_string(p, "presented", run->how);
	platter_out_bool(p, "read-guided", run->read_guided);
	platter_out_u64(p, "depth", run->depth);
	platter_out_end(p);
}

/* ---- a result ---- */

static void put_result(struct platter_printer *p,
		       const struct platter_crash_result *r)
{
	platter_out_string(p, "verdict",
			   platter_crash_verdict_name(r->verdict));
	if (*r->reason)
		platter_out_string(p, "reason", r->reason);
	if (r->status >= 0)
		platter_out_i64(p, "exit-status", r->status);
	if (r->signal)
		platter_out_i64(p, "signal", r->signal);
	if (r->timed_out)
		platter_out_bool(p, "timed-out", true);
	put_seconds(p, "seconds", r->time_ns);
}

void platter_crash_record_print(struct platter_printer *p,
				const struct platter_crash_record *record)
{
	const struct platter_crash_result *r = &record->result;

	platter_out_row(p, "state");
	platter_out_string(p, "type", "state");
	platter_out_u64(p, "index", record->index);
	platter_out_string(p, "state", record->state);
	platter_out_u64(p, "point", record->point);
	if (record->mark)
		platter_out_string(p, "mark", record->mark);
	if (record->mark_entry != UINT64_MAX)
		platter_out_u64(p, "mark-entry", record->mark_entry);
	platter_out_string(p, "strategy", record->strategy);
	put_hex(p, "hash", record->hash, sizeof(record->hash));
	put_result(p, r);
	if (record->same_as)
		platter_out_string(p, "same-as", record->same_as);
	if (record->depth > 1)
		platter_out_u64(p, "depth", record->depth);
	if (r->output && r->verdict != PLATTER_CRASH_PASS)
		platter_out_bytes(p, "output", r->output, r->output_len);
	platter_out_end(p);
}

/* ---- the end ---- */

static void put_coverage(struct platter_printer *p,
			 const struct platter_crash_coverage *c)
{
	platter_out_row(p, "strategy");
	platter_out_string(p, "strategy", c->strategy);
	platter_out_u64(p, "made", c->made);
	if (c->possible == UINT64_MAX)
		platter_out_null(p, "possible");
	else
		platter_out_u64(p, "possible", c->possible);
	platter_out_u64(p, "points", c->points);
	platter_out_u64(p, "complete", c->complete);
	platter_out_end(p);
}

void platter_crash_census_print(struct platter_printer *p,
				const struct platter_crash_census *c)
{
	platter_out_u64(p, "points", c->points);
	platter_out_u64(p, "made", c->made);
	platter_out_u64(p, "unique", c->unique);
	platter_out_u64(p, "no-ops", c->no_ops);
	platter_out_u64(p, "hidden", c->hidden);
	platter_out_list(p, "strategies");
	for (size_t i = 0; i < c->nr; i++)
		put_coverage(p, &c->strategies[i]);
	platter_out_end(p);
	platter_out_string(p, "completeness", c->text);
}

void platter_crash_summary_print(struct platter_printer *p,
				 const struct platter_crash_summary *s)
{
	platter_out_row(p, "summary");
	platter_out_string(p, "type", "end");
	platter_out_string(p, "end", plt_crash_end_names[s->end]);
	platter_out_u64(p, "done", s->done);
	for (unsigned int v = 0; v <= PLATTER_CRASH_ERROR; v++)
		platter_out_u64(p, platter_crash_verdict_name(v),
				s->verdicts[v]);
	platter_out_u64(p, "not-run", s->not_run);
	platter_out_u64(p, "rechecked", s->rechecked);
	platter_out_u64(p, "recheck-failed", s->recheck_failed);
	platter_out_u64(p, "nested", s->nested);
	platter_crash_census_print(p, &s->census);
	put_seconds(p, "seconds", s->time_ns);
	put_seconds(p, "check-seconds", s->check_ns);
	platter_out_end(p);
}

/* ---- one at a time ---- */

static int begin(struct platter_printer **p, FILE *stream,
		 struct platter_error *err)
{
	return platter_printer_new(p, PLATTER_OUTPUT_JSON, stream, NULL, err);
}

int platter_crash_jsonl_run(FILE *stream, const struct platter_crash_run *run,
			    struct platter_error *err)
{
	struct platter_printer *p;
	int rc = begin(&p, stream, err);

	if (rc)
		return rc;
	platter_crash_run_print(p, run);
	return platter_printer_close(p, err);
}

int platter_crash_jsonl_record(FILE *stream,
			       const struct platter_crash_record *record,
			       struct platter_error *err)
{
	struct platter_printer *p;
	int rc = begin(&p, stream, err);

	if (rc)
		return rc;
	platter_crash_record_print(p, record);
	return platter_printer_close(p, err);
}

int platter_crash_jsonl_end(FILE *stream,
			    const struct platter_crash_summary *summary,
			    struct platter_error *err)
{
	struct platter_printer *p;
	int rc = begin(&p, stream, err);

	if (rc)
		return rc;
	platter_crash_summary_print(p, summary);
	return platter_printer_close(p, err);
}
