/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Running programs for checkers: one at a time in each slot, each below a
 * keeper, a process of the slot's own that ends whatever they leave behind.
 */
#ifndef PLT_CRASH_COMMAND_H
#define PLT_CRASH_COMMAND_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include <platter/crash.h>

/* ---- command-keepers.c ---- */

struct plt_keepers;

/* Forks `slots` keepers; to be called before there are threads. */
int plt_keepers_new(struct plt_keepers **out, unsigned int slots,
		   unsigned int grace_ms, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Whatever still runs ends. NULL is ok. */
void plt_keepers_free(struct plt_keepers *runner);

struct plt_run {
	const char *program;	/* path of a file; see platter_program_find() */
	char *const *words;	/* NULL-terminated, from its name on */
	/*
	 * Changes to our environment, NULL-terminated: "NAME=value" sets it,
	 * "NAME" takes it out. Or NULL.
	 */
	char *const *env;
	unsigned int timeout_ms;	/* 0 = none */
	bool keep_output;	/* also of what ends with status 0 */
};
/*
 * Run it to its end, and the end of all it has started. `result` is for
 * platter_crash_result_clear(): passed with status 0, skipped with 125, failed
 * with any other, by a signal and by taking too long; -ECANCELED after
 * plt_keepers_stop().
 */
int plt_keepers_run(struct plt_keepers *runner, unsigned int slot,
		   const struct plt_run *run,
		   struct platter_crash_result *result,
		   struct platter_error *err) PLATTER_MUST_CHECK;
/* End what runs in all slots, at once; nothing more will be run. Any thread. */
void plt_keepers_stop(struct plt_keepers *runner);

/* ---- command-keeper.c ---- */

/* What goes to a keeper: this, then `size` bytes of strings, each with its 0:
 * the program, the words, the changes to the environment. */
struct plt_keeper_request {
	uint32_t size;
	uint32_t nr_words, nr_env;
	uint32_t timeout_ms, grace_ms;
	uint32_t keep_output;
};

/* What comes back: this, then `output` bytes. */
struct plt_keeper_answer {
	int32_t error;		/* errno: it could not be started */
	int32_t status;		/* as of waitpid() */
	uint32_t timed_out;
	uint32_t left;		/* something it left could not be killed */
	uint32_t output;
};

/* Shared with it: whom to kill when it is no more. */
struct plt_keeper_shared {
	_Atomic pid_t group;	/* process group of what runs, or 0 */
};

/* A keeper's whole life, at its end of a socket; in a process of its own. */
_Noreturn void plt_keeper_main(int sock, struct plt_keeper_shared *shared);

#endif
