/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a report of JSON lines, which may come from anybody.
 *
 * Nothing is taken that the writer could not have written: each field has its
 * kind and its bounds, states come in order, the end counts what is there.
 * Keys that are not known are skipped, so later versions may add some. A run
 * that was killed leaves half a line at the end, and that is no error: what
 * is before it counts.
 */
#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include <platter/out.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "crash/report-fields.h"
#include "crash/report.h"

/*
 * An output takes up to 5 bytes a byte. A name lists writes, about 7 bytes
 * each: this is a million of them. A line has two names at most.
 */
#define LINE_MAX_BYTES	(UINT32_C(32) << 20)
#define NAME_MAX_BYTES	(8u << 20)
#define TEXT_MAX_BYTES	(64u << 10)
#define REGIONS_MAX	1024u
#define SIGNAL_MAX	255
#define DEPTH_MAX	2u

struct reader {
	FILE *f;
	char *line;
	size_t room;
	uint64_t nr;			/* of it, from 1 */
	struct platter_crash_report *report;	/* from the first line on */
};

/* ---- the first line ---- */

static int get_discards(const json_t *o, unsigned int *out,
			struct platter_error *err)
{
	const json_t *list = json_object_get(o, "discards");
	const unsigned int nr = PLT_ARRAY_SIZE(plt_crash_discard_names);
	const size_t given = json_array_size(list);
	bool good = given > 0 && given <= nr;

	*out = 0;
	for (size_t i = 0; good && i < given; i++) {
		const char *t = json_string_value(json_array_get(list, i));
		unsigned int d = 0;

		while (t && d < nr && strcmp(t, plt_crash_discard_names[d]))
			d++;
		good = t && d < nr;
		*out |= 1u << d;
	}
	if (good)
		return 0;
	return plt_err_set(err, -EINVAL, "\"discards\" is no list of zero, "
			   "old and pattern");
}

/* The caller frees the list, of which the texts are the object's. */
static int get_regions(const json_t *o, const char ***out,
		       struct platter_error *err)
{
	const json_t *list = json_object_get(o, "regions");
	const size_t nr = json_array_size(list);

	*out = NULL;
	if (!json_is_array(list) || nr > REGIONS_MAX)
		return plt_err_set(err, -EINVAL,
				   "\"regions\" is no list of up "
				   "to %u texts",
				   REGIONS_MAX);
	*out = plt_calloc(nr + 1, sizeof(**out), err);
	if (!*out)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		(*out)[i] = json_string_value(json_array_get(list, i));
		if (!(*out)[i])
			return plt_err_set(err, -EINVAL,
					   "\"regions\" has what "
					   "is no text");
	}
	return 0;
}

static int get_shard(const json_t *o, struct platter_crash_plan *plan,
		     struct platter_error *err)
{
	uint64_t shard, shards;
	int rc;

	rc = plt_field_number(o, "shards", UINT32_MAX, &shards, err);
	if (!rc && !shards)
		rc = plt_err_set(err, -EINVAL, "\"shards\" is 0");
	if (!rc)
		rc = plt_field_number(o, "shard", shards - 1, &shard, err);
	if (rc)
		return rc;
	plan->shard = (uint32_t)shard;
	plan->shards = (uint32_t)shards;
	return 0;
}

static int get_plan(const json_t *o, const struct platter_crash_run *run,
		    struct platter_crash_plan *plan, struct platter_error *err)
{
	const char *model;
	uint64_t unit;
	int rc;

	rc = plt_field_number(o, "to", run->entries, &plan->to, err);
	if (!rc)
		rc = plt_field_number(o, "from", plan->to, &plan->from, err);
	if (!rc)
		rc = plt_field_text(o, "model", TEXT_MAX_BYTES, &model, err);
	if (!rc)
		rc = platter_crash_model_parse(&plan->model, model, err);
	if (!rc)
		rc = plt_field_number(o, "unit", UINT32_MAX, &unit, err);
	if (rc)
		return rc;
	plan->unit = (uint32_t)unit;
	rc = plt_field_text(o, "strategies", TEXT_MAX_BYTES, &plan->strategies,
			    err);
	if (!rc)
		rc = plt_field_flag(o, "early-writes", &plan->early_writes,
				    err);
	if (!rc)
		rc = get_discards(o, &plan->discards, err);
	return rc ? rc : get_shard(o, plan, err);
}

static int get_log(const json_t *o, struct platter_crash_run *run,
		   struct platter_error *err)
{
	uint64_t sector = 0;
	uint8_t hash[8];
	int rc;

	rc = plt_field_text(o, "log", TEXT_MAX_BYTES, &run->log, err);
	if (!rc)
		rc = plt_field_optional_text(o, "base", TEXT_MAX_BYTES,
					     &run->base, err);
	if (!rc)
		rc = plt_field_number(o, "entries", PLT_OFFSET_MAX,
				      &run->entries, err);
	if (!rc)
		rc = plt_field_number(o, "size", PLT_OFFSET_MAX, &run->size,
				      err);
	if (!rc)
		rc = plt_field_number(o, "sector-size", UINT32_MAX, &sector,
				      err);
	if (!rc)
		rc = plt_field_hex(o, "log-hash", hash, sizeof(hash), err);
	if (rc)
		return rc;
	run->sector_size = (uint32_t)sector;
	for (size_t i = 0; i < sizeof(hash); i++)
		run->log_hash = run->log_hash << 8 | hash[i];
	return 0;
}

static int get_run(const json_t *o, struct platter_crash_run *run,
		   struct platter_error *err)
{
	uint64_t version, depth;
	int rc;

	rc = plt_field_number(o, "version", UINT32_MAX, &version, err);
	if (!rc && version != 1)
		rc = plt_err_set(err, -EINVAL,
				 "version %" PRIu64 " of this "
				 "format is not known, 1 is",
				 version);
	if (!rc)
		rc = get_log(o, run, err);
	if (!rc)
		rc = get_plan(o, run, &run->plan, err);
	if (!rc)
		rc = plt_field_text(o, "checker", TEXT_MAX_BYTES, &run->checker,
				    err);
	if (!rc)
		rc = plt_field_text(o, "presented", TEXT_MAX_BYTES, &run->how,
				    err);
	if (!rc)
		rc = plt_field_flag(o, "read-guided", &run->read_guided, err);
	if (!rc)
		rc = plt_field_number(o, "depth", DEPTH_MAX, &depth, err);
	if (!rc)
		run->depth = (unsigned int)depth;
	return rc;
}

static int read_run(struct reader *r, const json_t *o,
		    struct platter_error *err)
{
	struct platter_crash_run run = { 0 };
	const char **regions plt_auto_free = NULL;
	int rc;

	rc = get_run(o, &run, err);
	if (!rc)
		rc = get_regions(o, &regions, err);
	if (rc)
		return rc;
	if (regions[0])
		run.plan.regions = regions;
	return platter_crash_report_new(&r->report, &run, err);
}

/* ---- a state ---- */

static int get_result(const json_t *o, struct platter_crash_result *r,
		      struct platter_error *err)
{
	uint64_t status = UINT64_MAX, sig = 0;
	const char *text;
	int rc;

	rc = plt_field_text(o, "verdict", TEXT_MAX_BYTES, &text, err);
	if (!rc)
		rc = platter_crash_verdict_parse(&r->verdict, text, err);
	if (!rc)
		rc = plt_field_optional_text(o, "reason", sizeof(r->reason) - 1,
					     &text, err);
	if (rc)
		return rc;
	snprintf(r->reason, sizeof(r->reason), "%s", text ? text : "");
	rc = plt_field_optional(o, "exit-status", UINT8_MAX, &status, err);
	if (!rc)
		rc = plt_field_optional(o, "signal", SIGNAL_MAX, &sig, err);
	if (!rc)
		rc = plt_field_flag(o, "timed-out", &r->timed_out, err);
	if (!rc)
		rc = plt_field_seconds(o, "seconds", &r->time_ns, err);
	r->status = status == UINT64_MAX ? -1 : (int)status;
	r->signal = (int)sig;
	return rc;
}

/* Names are of digits, letters and a few signs, never blank or invisible. */
static int check_name(const char *key, const char *name,
		      struct platter_error *err)
{
	bool good = *name;

	for (const char *c = name; *c; c++)
		good &= *c > ' ' && *c < 0x7f;
	if (good)
		return 0;
	return plt_err_set(err, -EINVAL, "\"%s\" is no name of a state", key);
}

static int get_names(const json_t *o, struct platter_crash_record *record,
		     struct platter_error *err)
{
	int rc;

	rc = plt_field_text(o, "state", NAME_MAX_BYTES, &record->state, err);
	if (!rc)
		rc = check_name("state", record->state, err);
	if (!rc)
		rc = plt_field_text(o, "strategy", TEXT_MAX_BYTES,
				    &record->strategy, err);
	if (!rc)
		rc = plt_field_optional_text(o, "mark", TEXT_MAX_BYTES,
					     &record->mark, err);
	if (!rc)
		rc = plt_field_optional_text(o, "same-as", NAME_MAX_BYTES,
					     &record->same_as, err);
	if (!rc && record->same_as)
		rc = check_name("same-as", record->same_as, err);
	return rc;
}

static int get_record(const struct platter_crash_run *run, const json_t *o,
		      struct platter_crash_record *record,
		      struct platter_error *err)
{
	const struct platter_crash_plan *plan = &run->plan;
	uint64_t depth = 0;
	int rc;

	rc = plt_field_number(o, "index", PLT_OFFSET_MAX, &record->index, err);
	if (!rc && record->index % plan->shards != plan->shard)
		rc = plt_err_set(err, -EINVAL,
				 "state %" PRIu64 " is not of "
				 "shard %u of %u",
				 record->index, plan->shard, plan->shards);
	if (!rc)
		rc = plt_field_optional(o, "depth", PLT_MAX(run->depth, 1u),
					&depth, err);
	record->depth = (unsigned int)depth;
	/* Points of a recovery are of its own log. */
	if (!rc)
		rc = plt_field_number(o, "point",
				      depth > 1 ? PLT_OFFSET_MAX : run->entries,
				      &record->point, err);
	record->mark_entry = UINT64_MAX;
	if (!rc)
		rc = plt_field_optional(o, "mark-entry", PLT_OFFSET_MAX,
					&record->mark_entry, err);
	if (!rc)
		rc = plt_field_hex(o, "hash", record->hash,
				   sizeof(record->hash), err);
	if (!rc)
		rc = get_names(o, record, err);
	return rc ? rc : get_result(o, &record->result, err);
}

static int read_state(struct reader *r, const json_t *o,
		      struct platter_error *err)
{
	struct platter_crash_record record = { 0 };
	struct platter_crash_result *result = &record.result;
	char *output plt_auto_free = NULL;
	const char *text;
	int rc;

	rc = get_record(&r->report->run, o, &record, err);
	if (!rc)
		rc = plt_field_optional_text(o, "output", LINE_MAX_BYTES, &text,
					     err);
	if (rc)
		return rc;
	if (text) {
		output = plt_strdup(text, err);
		if (!output)
			return -ENOMEM;
		result->output = output;
		result->output_len = platter_bytes_unescape(output);
		if (result->output_len > PLATTER_CRASH_OUTPUT_MAX)
			return plt_err_set(err, -EINVAL,
					   "\"output\" of %zu "
					   "bytes is over the limit of %u",
					   result->output_len,
					   PLATTER_CRASH_OUTPUT_MAX);
	}
	return platter_crash_report_add(r->report, &record, err);
}

/* ---- the last line ---- */

static int get_coverage(const json_t *o, struct platter_crash_coverage *c,
			struct platter_error *err)
{
	int rc;

	c->possible = UINT64_MAX;
	rc = plt_field_text(o, "strategy", TEXT_MAX_BYTES, &c->strategy, err);
	if (!rc)
		rc = plt_field_number(o, "made", INT64_MAX, &c->made, err);
	if (!rc)
		rc = plt_field_optional(o, "possible", INT64_MAX, &c->possible,
					err);
	if (!rc)
		rc = plt_field_number(o, "points", INT64_MAX, &c->points, err);
	if (!rc)
		rc = plt_field_number(o, "complete", INT64_MAX, &c->complete,
				      err);
	return rc;
}

static int get_strategies(const json_t *o, struct platter_crash_census *c,
			  struct platter_error *err)
{
	const json_t *list = json_object_get(o, "strategies");
	int rc = 0;

	c->nr = json_array_size(list);
	if (!json_is_array(list) || c->nr > PLATTER_CRASH_STRATEGIES)
		return plt_err_set(err, -EINVAL,
				   "\"strategies\" is no list "
				   "of up to %u",
				   PLATTER_CRASH_STRATEGIES);
	for (size_t i = 0; !rc && i < c->nr; i++)
		rc = get_coverage(json_array_get(list, i), &c->strategies[i],
				  err);
	return rc;
}

static int get_census(const json_t *o, struct platter_crash_census *c,
		      struct platter_error *err)
{
	const struct {
		const char *key;
		uint64_t *out;
	} numbers[] = {
		{ "points", &c->points }, { "made", &c->made },
		{ "unique", &c->unique }, { "no-ops", &c->no_ops },
		{ "hidden", &c->hidden },
	};
	const char *text;
	int rc = 0;

	for (size_t i = 0; !rc && i < PLT_ARRAY_SIZE(numbers); i++)
		rc = plt_field_number(o, numbers[i].key, INT64_MAX,
				      numbers[i].out, err);
	if (!rc)
		rc = plt_field_text(o, "completeness", sizeof(c->text) - 1,
				    &text, err);
	if (rc)
		return rc;
	snprintf(c->text, sizeof(c->text), "%s", text);
	return get_strategies(o, c, err);
}

/* What it counts must be what was read. */
static int get_counts(const struct platter_crash_report *r, const json_t *o,
		      struct platter_crash_summary *s,
		      struct platter_error *err)
{
	int rc;

	rc = plt_field_number(o, "done", INT64_MAX, &s->done, err);
	if (!rc && s->done != r->nr)
		rc = plt_err_set(err, -EINVAL,
				 "\"done\" is %" PRIu64 ", but "
				 "there are %zu results",
				 s->done, r->nr);
	for (unsigned int v = 0; !rc && v <= PLATTER_CRASH_ERROR; v++) {
		const char *name = platter_crash_verdict_name(v);

		rc = plt_field_number(o, name, INT64_MAX, &s->verdicts[v], err);
		if (!rc && s->verdicts[v] != r->verdicts[v])
			rc = plt_err_set(err, -EINVAL,
					 "\"%s\" is %" PRIu64 ", but %" PRIu64
					 " results are",
					 name, s->verdicts[v], r->verdicts[v]);
	}
	if (!rc)
		rc = plt_field_number(o, "not-run", s->done, &s->not_run, err);
	if (!rc)
		rc = plt_field_number(o, "rechecked", INT64_MAX, &s->rechecked,
				      err);
	if (!rc)
		rc = plt_field_number(o, "recheck-failed", s->rechecked,
				      &s->recheck_failed, err);
	if (!rc)
		rc = plt_field_number(o, "nested", s->done, &s->nested, err);
	return rc;
}

/* A run that came to the end of the walk has all states of its shard. */
static int check_all_there(const struct platter_crash_report *r,
			   const struct platter_crash_summary *s,
			   struct platter_error *err)
{
	const struct platter_crash_plan *plan = &r->run.plan;
	const uint64_t unique = s->census.unique, there = r->nr - r->nested;
	const uint64_t last = r->nr ? r->kept[r->nr - 1].index : 0;
	uint64_t wanted = 0;

	if (s->end != PLATTER_CRASH_END_ALL)
		return 0;
	if (unique > plan->shard)
		wanted = (unique - plan->shard - 1) / plan->shards + 1;
	if (there != wanted)
		return plt_err_set(err, -EINVAL, "of %" PRIu64 " states there "
				   "are %" PRIu64 ", but the end is \"all\"",
				   wanted, there);
	if (there && last >= unique)
		return plt_err_set(err, -EINVAL, "state %" PRIu64 " is beyond "
				   "the %" PRIu64 " there are", last, unique);
	return 0;
}

static int read_end(struct reader *r, const json_t *o,
		    struct platter_error *err)
{
	struct platter_crash_summary s = { 0 };
	unsigned int end;
	int rc;

	rc = plt_field_word(o, "end", plt_crash_end_names,
			    PLT_ARRAY_SIZE(plt_crash_end_names), &end, err);
	if (!rc)
		rc = get_counts(r->report, o, &s, err);
	if (!rc)
		rc = get_census(o, &s.census, err);
	if (!rc)
		rc = plt_field_seconds(o, "seconds", &s.time_ns, err);
	if (!rc)
		rc = plt_field_seconds(o, "check-seconds", &s.check_ns, err);
	if (rc)
		return rc;
	s.end = (enum platter_crash_end)end;
	rc = check_all_there(r->report, &s, err);
	return rc ? rc : platter_crash_report_end(r->report, &s, err);
}

/* ---- lines ---- */

static int read_object(struct reader *r, const json_t *o,
		       struct platter_error *err)
{
	static const char *const types[] = { "run", "state", "end" };
	unsigned int type;
	int rc;

	rc = plt_field_word(o, "type", types, PLT_ARRAY_SIZE(types), &type,
			    err);
	if (rc)
		return rc;
	if (!r->report != !type)
		return plt_err_set(err, -EINVAL,
				   "the line of the run is not "
				   "the first one and the only one");
	if (r->report && r->report->ended)
		return plt_err_set(err, -EINVAL,
				   "there are lines behind the "
				   "end of the run");
	if (type == 0)
		return read_run(r, o, err);
	return type == 1 ? read_state(r, o, err) : read_end(r, o, err);
}

/* 0 = a line of *len bytes, 1 = the end; *whole: it has its line end. */
static int next_line(struct reader *r, size_t *len, bool *whole,
		     struct platter_error *err)
{
	int c = 0, rc;

	*len = 0;
	*whole = false;
	while (*len < LINE_MAX_BYTES && (c = getc_unlocked(r->f)) != EOF) {
		if (c == '\n') {
			*whole = true;
			break;
		}
		rc = *len < r->room ? 0 : plt_grow(&r->line, &r->room,
						   *len + 1, 1, err);
		if (rc)
			return rc;
		r->line[(*len)++] = (char)c;
	}
	if (ferror(r->f))
		return plt_err_errno(err, -errno, "reading");
	if (c == EOF && !*len)
		return 1;
	r->nr++;
	if (*len == LINE_MAX_BYTES)
		return plt_err_set(err, -EINVAL,
				   "line %" PRIu64 ": longer "
				   "than %u bytes",
				   r->nr, LINE_MAX_BYTES);
	return 0;
}

static int read_line(struct reader *r, size_t len, bool whole,
		     struct platter_error *err)
{
	json_error_t e;
	json_t *o = json_loadb(r->line, len, JSON_REJECT_DUPLICATES, &e);
	int rc;

	if (!o && !whole)
		return 0;
	if (json_is_object(o))
		rc = read_object(r, o, err);
	else
		rc = plt_err_set(err, -EINVAL, "no JSON object: %s",
				 o ? "another value" : e.text);
	json_decref(o);
	return plt_err_prefix(err, rc, "line %" PRIu64, r->nr);
}

static int read_lines(struct reader *r, struct platter_error *err)
{
	size_t len;
	bool whole;
	int rc;

	while (!(rc = next_line(r, &len, &whole, err))) {
		rc = read_line(r, len, whole, err);
		if (rc)
			return rc;
	}
	if (rc > 0 && !r->report)
		return plt_err_set(err, -EINVAL,
				   "line 1: there is no line of "
				   "a run; is this a report of JSON lines?");
	return rc < 0 ? rc : 0;
}

int platter_crash_report_read(struct platter_crash_report **out,
			      const char *path, struct platter_error *err)
{
	struct reader r = { 0 };
	int rc;

	r.f = fopen(path, "re");
	if (!r.f)
		return plt_err_errno(err, -errno, "%s", path);
	rc = read_lines(&r, err);
	free(r.line);
	fclose(r.f);
	if (rc) {
		platter_crash_report_free(r.report);
		return plt_err_prefix(err, rc, "%s", path);
	}
	*out = r.report;
	return 0;
}
