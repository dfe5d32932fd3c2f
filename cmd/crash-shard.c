/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * --shard: which part of the states this run has.
 *
 * Array jobs are numbered in the environment: by Slurm and SGE from any number
 * on and in steps, by GitLab from 1, by Kubernetes from 0 and without saying
 * how many there are. What is taken from there is said on standard error, as
 * nobody has asked for it.
 */
#include <string.h>

#include "crash.h"

#define SHARDS_MAX 1000000u

struct array {
	const char *system;
	const char *variable;		/* with the number */
	bool known;			/* it is such a job */
	uint64_t number, first, step;
	uint64_t count;			/* 0 = not said */
};

/* False when it is not there or no number, as SGE's "undefined". */
static bool number(const char *name, uint64_t *out)
{
	const char *text = getenv(name);
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return !*end && !errno;
}

static void slurm(struct array *a)
{
	*a = (struct array){ .system = "Slurm", .step = 1,
			     .variable = "SLURM_ARRAY_TASK_ID" };
	a->known = number(a->variable, &a->number) &&
		   number("SLURM_ARRAY_TASK_COUNT", &a->count);
	if (!number("SLURM_ARRAY_TASK_MIN", &a->first))
		a->first = 0;
	number("SLURM_ARRAY_TASK_STEP", &a->step);
}

static void sge(struct array *a)
{
	uint64_t last;

	*a = (struct array){ .system = "SGE", .step = 1,
			     .variable = "SGE_TASK_ID" };
	a->known = number(a->variable, &a->number) &&
		   number("SGE_TASK_FIRST", &a->first) &&
		   number("SGE_TASK_LAST", &last) && last >= a->first;
	number("SGE_TASK_STEPSIZE", &a->step);
	if (a->known && a->step)
		a->count = (last - a->first) / a->step + 1;
}

static void gitlab(struct array *a)
{
	*a = (struct array){ .system = "GitLab", .step = 1, .first = 1,
			     .variable = "CI_NODE_INDEX" };
	a->known = number(a->variable, &a->number) &&
		   number("CI_NODE_TOTAL", &a->count);
}

static void kubernetes(struct array *a)
{
	*a = (struct array){ .system = "Kubernetes", .step = 1,
			     .variable = "JOB_COMPLETION_INDEX" };
	a->known = number(a->variable, &a->number);
}

static void find(struct array *a)
{
	static void (*const systems[])(struct array *a) = {
		slurm, sge, gitlab, kubernetes,
	};

	for (size_t i = 0; i < CMD_ARRAY_SIZE(systems); i++) {
		systems[i](a);
		if (a->known)
			return;
	}
}

/* `count` is that of --shard /N, or 0. */
static error_t take(const struct argp_state *state, struct cmd_crash_plan *o,
		    const struct array *a, uint64_t count)
{
	struct cmd *cmd = cmd_of(state);
	uint64_t shard = UINT64_MAX;

	if (!count)
		count = a->count;
	if (a->step && a->number >= a->first &&
	    !((a->number - a->first) % a->step))
		shard = (a->number - a->first) / a->step;
	if (shard >= count || count > SHARDS_MAX)
		return cmd_usage(state, "%s=%" PRIu64 " (of %s) is none of %"
				 PRIu64 " jobs from %" PRIu64 " on in steps of "
				 "%" PRIu64 ": give --shard I/N", a->variable,
				 a->number, a->system, count, a->first,
				 a->step);
	o->plan.shard = (uint32_t)shard;
	o->plan.shards = (uint32_t)count;
	if (count > 1)
		fprintf(cmd->err, "%s: shard %" PRIu64 "/%" PRIu64
			", as %s=%" PRIu64 " (of %s) says\n", cmd->as->name,
			shard, count, a->variable, a->number, a->system);
	return 0;
}

static error_t bad(const struct argp_state *state, const char *arg)
{
	return cmd_usage(state, "--shard: '%s' is not I/N, with I from 0 to "
			 "N - 1 and N up to %u", arg, SHARDS_MAX);
}

static error_t given(const struct argp_state *state, struct cmd_crash_plan *o,
		     const struct array *a)
{
	const char *arg = o->shard, *slash = strchr(arg, '/');
	uint64_t shard, count;
	char *end;

	if (!slash || slash[1] < '0' || slash[1] > '9')
		return bad(state, arg);
	count = strtoull(slash + 1, &end, 10);
	if (*end || !count || count > SHARDS_MAX)
		return bad(state, arg);
	if (slash == arg)
		return a->known ? take(state, o, a, count) :
		       cmd_usage(state, "--shard: '%s' has no number before "
				 "the slash, and no batch system says one",
				 arg);
	shard = *arg < '0' || *arg > '9' ? count : strtoull(arg, &end, 10);
	if (shard >= count || end != slash)
		return bad(state, arg);
	o->plan.shard = (uint32_t)shard;
	o->plan.shards = (uint32_t)count;
	return 0;
}

error_t cmd_crash_shard(const struct argp_state *state,
			struct cmd_crash_plan *o)
{
	const struct cmd_parser *p = (const void *)state->root_argp;
	struct cmd *cmd = cmd_of(state);
	struct array a;

	if (p->action != CMD_ACTION_RUN)
		return 0;
	find(&a);
	if (o->shard)
		return given(state, o, &a);
	if (a.known && a.count)
		return take(state, o, &a, 0);
	if (a.known)
		fprintf(cmd->err, "%s: %s=%" PRIu64 " (of %s) is not used: say "
			"how many jobs there are with --shard /N\n",
			cmd->as->name, a.variable, a.number, a.system);
	return 0;
}
