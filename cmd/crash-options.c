/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The option groups that the verbs of `platter crash` share: which log, which
 * states, which checkers.
 *
 * A batch system says in the environment which of its jobs we are; that is
 * taken where --shard leaves it open, and said.
 */
#include <string.h>

#include "crash.h"

#define SLOTS_MAX	1024u
#define CONFIRM_MAX	1000u
#define TIMEOUT_DEFAULT	60000u	/* ms */

enum {
	KEY_BASE = CMD_KEY_SHARED + 0x60,
	KEY_BASE_FORMAT,
	KEY_SIZE,
	KEY_FLUSH_COVER,
	KEY_MODEL,
	KEY_UNIT,
	KEY_STRATEGY,
	KEY_SEED,
	KEY_REGION,
	KEY_EARLY_WRITES,
	KEY_DISCARD,
	KEY_SHARD,
	KEY_TIMEOUT,
	KEY_CONFIRM,
	KEY_MEMORY,
	KEY_PRESENT,
	KEY_FS,
	KEY_IMAGE,
	KEY_SQLITE,
	KEY_ACKED,
};

/* ---- the log ---- */

static const struct argp_option log_options[] = {
	{ .name = "base", .key = KEY_BASE, .arg = "FILE",
	  .doc = "the disk before the log's first entry (zeros)" },
	{ .name = "base-format", .key = KEY_BASE_FORMAT, .arg = "FORMAT",
	  .doc = "format of the base (probed)" },
	{ .name = "size", .key = KEY_SIZE, .arg = "SIZE",
	  .doc = "size of the disk (the base's, or as far as the log "
		 "reaches)" },
	{ .name = "flush-cover", .key = KEY_FLUSH_COVER,
	  .arg = "logged|strict",
	  .doc = "which writes a flush makes durable: all that are logged "
		 "before it (logged), or of those the ones that were issued "
		 "before it, where the log knows (strict)" },
	{ 0 },
};

static error_t parse_cover(const struct argp_state *state, const char *arg,
			   enum platter_crash_cover *out)
{
	if (!strcmp(arg, "logged"))
		*out = PLATTER_CRASH_COVER_LOGGED;
	else if (!strcmp(arg, "strict"))
		*out = PLATTER_CRASH_COVER_STRICT;
	else
		return cmd_usage(state, "--flush-cover: '%s' is not logged or "
				 "strict", arg);
	return 0;
}

static error_t parse_log(int key, char *arg, struct argp_state *state)
{
	struct cmd_crash_log *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->log;
		return 0;
	case KEY_BASE:
		o->base = arg;
		return 0;
	case KEY_BASE_FORMAT:
		o->base_format = arg;
		return 0;
	case KEY_SIZE:
		return cmd_parse_size(state, "--size", arg, &o->size);
	case KEY_FLUSH_COVER:
		return parse_cover(state, arg, &o->cover);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child log_children[] = {
	{ .argp = &cmd_log_argp },
	{ .argp = &cmd_files_argp },
	{ 0 },
};

const struct argp cmd_crash_log_argp = {
	.options = log_options,
	.parser = parse_log,
	.children = log_children,
};

/* ---- which states ---- */

static const struct argp_option plan_options[] = {
	{ .name = "model", .key = KEY_MODEL,
	  .arg = "prefix|epoch|sector|shorn|garbage",
	  .doc = "what a crash may do to writes that are not durable: end the "
		 "log there (prefix), lose whole writes (epoch), or units of "
		 "them (sector, the default), write half of each sector "
		 "(shorn), or trash them (garbage)" },
	{ .name = "unit", .key = KEY_UNIT, .arg = "BYTES",
	  .doc = "what is written whole or not at all (a log sector)" },
	{ .name = "strategy", .key = KEY_STRATEGY, .arg = "STRATEGY,...",
	  .doc = "which states to make: boundaries, prefixes, 2cp, subsets=K, "
		 "exhaustive=BITS, tears, random=N ("
		 PLATTER_CRASH_STRATEGY ")" },
	{ .name = "seed", .key = KEY_SEED, .arg = "NUMBER",
	  .doc = "for random=N" },
	{ .name = "region", .key = KEY_REGION,
	  .arg = "MARK..MARK=STRATEGY,...",
	  .doc = "other strategies between two marks, of which one may be "
		 "left out; may come again" },
	{ .name = "early-writes", .key = KEY_EARLY_WRITES,
	  .doc = "let writes that are logged behind the crash, in the same "
		 "epoch, be there already; may raise false alarms" },
	{ .name = "discard", .key = KEY_DISCARD, .arg = "zero|old|pattern",
	  .doc = "what a discard leaves (zero); several, with commas between, "
		 "make states of each" },
	{ .name = "shard", .key = KEY_SHARD, .arg = "I/N",
	  .doc = "make only every Nth state, from number I on, which counts "
		 "from 0; /N takes I from the batch system (what Slurm, SGE or "
		 "GitLab says in the environment)" },
	{ 0 },
};

/* "boundaries,2cp" and what is said later, in one list. */
static error_t add_strategies(const struct argp_state *state,
			      struct cmd_crash_plan *o, const char *text)
{
	char *list;

	if (asprintf(&list, "%s%s%s", o->strategies ? o->strategies : "",
		     o->strategies ? "," : "", text) < 0)
		return cmd_usage(state, "no memory for an option");
	free(o->strategies);
	o->strategies = list;
	return 0;
}

static error_t add_seed(const struct argp_state *state,
			struct cmd_crash_plan *o, const char *arg)
{
	uint64_t seed;
	error_t rc = cmd_parse_number(state, "--seed", arg, 0, UINT64_MAX,
				      &seed);

	if (rc)
		return rc;
	o->seed = seed;
	o->has_seed = true;
	return 0;
}

static error_t parse_discards(const struct argp_state *state, const char *arg,
			      unsigned int *out)
{
	static const char *const names[] = {
		[PLATTER_CRASH_DISCARD_ZERO] = "zero",
		[PLATTER_CRASH_DISCARD_OLD] = "old",
		[PLATTER_CRASH_DISCARD_PATTERN] = "pattern",
	};

	for (const char *p = arg;; p++) {
		size_t len = strcspn(p, ","), i;

		for (i = 0; i < CMD_ARRAY_SIZE(names); i++)
			if (strlen(names[i]) == len && !strncmp(p, names[i], len))
				break;
		if (i == CMD_ARRAY_SIZE(names))
			return cmd_usage(state, "--discard: '%.*s' is not "
					 "zero, old or pattern", (int)len, p);
		*out |= 1u << i;
		p += len;
		if (!*p)
			return 0;
	}
}

static error_t parse_model(const struct argp_state *state, const char *arg,
			   enum platter_crash_model *out)
{
	struct platter_error e = PLATTER_ERROR_INIT;

	return platter_crash_model_parse(out, arg, &e) ?
	       cmd_usage(state, "--model: %s", e.msg) : 0;
}

static error_t parse_unit(const struct argp_state *state, const char *arg,
			  uint32_t *out)
{
	uint64_t value;
	error_t rc = cmd_parse_size(state, "--unit", arg, &value);

	if (rc)
		return rc;
	if (!value || value > UINT32_MAX)
		return cmd_usage(state, "--unit: %s is not between 1 and 4 GiB",
				 arg);
	*out = (uint32_t)value;
	return 0;
}

static error_t add_region(const struct argp_state *state,
			  struct cmd_crash_plan *o, char *arg)
{
	struct platter_error e = PLATTER_ERROR_INIT;

	if (!strstr(arg, "..") || !strchr(arg, '='))
		return cmd_usage(state, "--region: '%s' is not "
				 "MARK..MARK=STRATEGY,...", arg);
	return cmd_key_values_append(&o->regions, arg, &e) ?
	       cmd_usage(state, "%s", e.msg) : 0;
}

static void free_plan(struct cmd_crash_plan *o)
{
	cmd_key_values_free(&o->regions);
	free(o->strategies);
	o->strategies = NULL;
}

/* One list, with the seed, if one is given, where random finds it. */
static error_t finish_plan(const struct argp_state *state,
			   struct cmd_crash_plan *o)
{
	char text[32];
	error_t rc = 0;

	if (o->has_seed) {
		if (!o->strategies || !strstr(o->strategies, "random"))
			return cmd_usage(state, "--seed is for --strategy "
					 "random=N");
		snprintf(text, sizeof(text), "seed=%" PRIu64, o->seed);
		rc = add_strategies(state, o, text);
	}
	return rc ? rc : cmd_crash_shard(state, o);
}

static error_t parse_plan(int key, char *arg, struct argp_state *state)
{
	struct cmd_crash_plan *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->points;
		o->plan.model = PLATTER_CRASH_MODEL_SECTOR;
		return 0;
	case KEY_MODEL:
		return parse_model(state, arg, &o->plan.model);
	case KEY_UNIT:
		return parse_unit(state, arg, &o->plan.unit);
	case KEY_STRATEGY:
		return add_strategies(state, o, arg);
	case KEY_SEED:
		return add_seed(state, o, arg);
	case KEY_REGION:
		return add_region(state, o, arg);
	case KEY_EARLY_WRITES:
		o->plan.early_writes = true;
		return 0;
	case KEY_DISCARD:
		return parse_discards(state, arg, &o->plan.discards);
	case KEY_SHARD:
		o->shard = arg;
		return 0;
	case ARGP_KEY_END:
		return finish_plan(state, o);
	case ARGP_KEY_ERROR:
		free_plan(o);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child plan_children[] = {
	{ .argp = &cmd_points_argp },
	{ 0 },
};

const struct argp cmd_crash_plan_argp = {
	.options = plan_options,
	.parser = parse_plan,
	.children = plan_children,
};

int cmd_crash_plan_resolve(struct cmd_crash_plan *o,
			   struct platter_crash *crash,
			   struct platter_crash_plan *plan,
			   struct platter_error *err)
{
	*plan = o->plan;
	plan->strategies = o->strategies;
	plan->regions = (const char *const *)o->regions.list;
	return cmd_points_resolve(&o->points, platter_crash_log(crash),
				  &plan->from, &plan->to, err);
}

void cmd_crash_plan_free(struct cmd_crash_plan *o)
{
	free_plan(o);
}

/* ---- what checks them ---- */

static const struct argp_option checkers_options[] = {
	{ .name = "jobs", .key = 'j', .arg = "N",
	  .doc = "check so many states at once (as many as there are "
		 "processors)" },
	{ .name = "timeout", .key = KEY_TIMEOUT, .arg = "TIME",
	  .doc = "a checker that takes longer is ended, and the state fails "
		 "(60s; 0 = no limit)" },
	{ .name = "confirm", .key = KEY_CONFIRM, .arg = "N",
	  .doc = "check a state that fails N more times; one that fails only "
		 "sometimes is flaky (0)" },
	{ .name = "memory", .key = KEY_MEMORY, .arg = "SIZE",
	  .doc = "memory for what checkers write; the rest goes to files in "
		 "TMPDIR (64M)" },
	{ .name = "present", .key = KEY_PRESENT, .arg = "fuse|copy|nbd",
	  .doc = "where checkers find a state: as a file served by FUSE, as a "
		 "scratch copy, or by NBD as well (fuse, or copy where it does "
		 "not work; nbd for {nbd})" },
	{ .name = "fs", .key = KEY_FS, .arg = "ext4|xfs|btrfs|vfat|ntfs",
	  .doc = "check that file system: recover it as mounting it would, "
		 "then look for damage" },
	{ .name = "image", .key = KEY_IMAGE, .arg = "qcow2",
	  .doc = "check the disk as an image of that format" },
	{ .name = "sqlite", .key = KEY_SQLITE, .arg = "FILE",
	  .doc = "check that SQLite database in the file system" },
	{ .name = "acked", .key = KEY_ACKED, .arg = "DIR|LIST@MARK-%",
	  .doc = "check that files that marks have promised are there: see "
		 "platter-crash-explore(1)" },
	{ 0 },
};

static error_t parse_timeout(const struct argp_state *state, const char *arg,
			     unsigned int *out)
{
	uint64_t ns;
	error_t rc = cmd_parse_time(state, "--timeout", arg, true, &ns);

	if (rc)
		return rc;
	if (ns / 1000000 > INT32_MAX)
		return cmd_usage(state, "--timeout: %s is over the limit of "
				 "%d s", arg, INT32_MAX / 1000);
	/* The least there is, and not none. */
	*out = ns && ns < 1000000 ? 1 : (unsigned int)(ns / 1000000);
	return 0;
}

/* "KEY=ARG", as platter_crash_builtin_new() takes it. */
static error_t add_builtin(const struct argp_state *state,
			   struct cmd_crash_checkers *o, const char *key,
			   const char *arg)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	char *spec;

	if (asprintf(&spec, "%s=%s", key, arg) < 0)
		return cmd_usage(state, "no memory for an option");
	if (!cmd_key_values_append(&o->builtin, spec, &e))
		return 0;
	free(spec);
	return cmd_usage(state, "%s", e.msg);
}

static error_t parse_present(const struct argp_state *state, const char *arg,
			     struct cmd_crash_checkers *o)
{
	static const char *const names[] = { "fuse", "copy", "nbd" };

	for (size_t i = 0; i < CMD_ARRAY_SIZE(names); i++)
		if (!strcmp(arg, names[i])) {
			o->present = names[i];
			return 0;
		}
	return cmd_usage(state, "--present: '%s' is not fuse, copy or nbd",
			 arg);
}

static error_t parse_count(const struct argp_state *state, const char *option,
			   const char *arg, uint64_t min, uint64_t max,
			   unsigned int *out)
{
	uint64_t n;
	error_t rc = cmd_parse_number(state, option, arg, min, max, &n);

	if (!rc)
		*out = (unsigned int)n;
	return rc;
}

/* What stands behind "--", before argp has put the names together. */
static void find_words(const struct cmd *cmd, struct cmd_crash_checkers *o)
{
	char *const *word = cmd->words;

	while (*word && strcmp(*word, "--"))
		word++;
	if (!*word || !word[1])
		return;
	o->words = word + 1;
	while (o->words[o->nr_words])
		o->nr_words++;
}

void cmd_crash_checkers_free(struct cmd_crash_checkers *o)
{
	for (size_t i = 0; i < o->builtin.count; i++)
		free(o->builtin.list[i]);
	cmd_key_values_free(&o->builtin);
}

static error_t parse_checkers(int key, char *arg, struct argp_state *state)
{
	struct cmd_crash_checkers *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		o->timeout_ms = TIMEOUT_DEFAULT;
		find_words(cmd_of(state), o);
		return 0;
	case 'j':
		return parse_count(state, "-j", arg, 1, SLOTS_MAX, &o->slots);
	case KEY_TIMEOUT:
		return parse_timeout(state, arg, &o->timeout_ms);
	case KEY_CONFIRM:
		return parse_count(state, "--confirm", arg, 0, CONFIRM_MAX,
				   &o->confirm);
	case KEY_MEMORY:
		return cmd_parse_size(state, "--memory", arg, &o->memory);
	case KEY_PRESENT:
		return parse_present(state, arg, o);
	case KEY_FS:
		return add_builtin(state, o, "fs", arg);
	case KEY_IMAGE:
		return add_builtin(state, o, "image", arg);
	case KEY_SQLITE:
		return add_builtin(state, o, "sqlite", arg);
	case KEY_ACKED:
		return add_builtin(state, o, "acked", arg);
	case ARGP_KEY_ERROR:
		cmd_crash_checkers_free(o);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp cmd_crash_checkers_argp = {
	.options = checkers_options,
	.parser = parse_checkers,
};
