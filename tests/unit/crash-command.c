/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs that checkers run: verdicts, and what is left of them: nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "crash/command.h"

#define SLOTS	3u
#define RUNS	40u

static struct plt_keepers *keepers;

static int make_keepers(void **state)
{
	(void)state;
	assert_int_equal(plt_keepers_new(&keepers, SLOTS, 100, NULL), 0);
	return 0;
}

static int free_keepers(void **state)
{
	(void)state;
	plt_keepers_free(keepers);
	return 0;
}

static int run_in(unsigned int slot, const char *script, char *const *env,
		  unsigned int timeout_ms, struct platter_crash_result *res)
{
	const char *words[] = { "sh", "-c", script, NULL };
	const struct plt_run run = {
		.program = "/bin/sh",
		.words = (char *const *)(uintptr_t)words,
		.env = env,
		.timeout_ms = timeout_ms,
		.keep_output = true,
	};

	return plt_keepers_run(keepers, slot, &run, res, NULL);
}

static struct platter_crash_result run(const char *script)
{
	struct platter_crash_result res;

	assert_int_equal(run_in(0, script, NULL, 0, &res), 0);
	return res;
}

static void sleep_ms(unsigned int ms)
{
	const struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

/* ---- verdicts ---- */

static void has_the_status_for_a_verdict(void **state)
{
	static const struct {
		const char *script, *reason;
		enum platter_crash_verdict verdict;
		int status, signal;
	} v[] = {
		{ "true", "", PLATTER_CRASH_PASS, 0, 0 },
		{ "exit 4", "exit status 4", PLATTER_CRASH_FAIL, 4, 0 },
		{ "exit 125", "exit status 125", PLATTER_CRASH_SKIP, 125, 0 },
		{ "kill -SEGV $$", "signal 11 (Segmentation fault)",
		  PLATTER_CRASH_FAIL, -1, SIGSEGV },
		{ "no-such-program",
		  "exit status 127 (a shell's: command not found)",
		  PLATTER_CRASH_FAIL, 127, 0 },
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		struct platter_crash_result r = run(v[i].script);

		assert_int_equal(r.verdict, v[i].verdict);
		assert_int_equal(r.status, v[i].status);
		assert_int_equal(r.signal, v[i].signal);
		assert_string_equal(r.reason, v[i].reason);
		assert_false(r.timed_out);
		platter_crash_result_clear(&r);
	}
}

static void ends_what_takes_too_long(void **state)
{
	struct platter_crash_result r;

	(void)state;
	assert_int_equal(run_in(0, "sleep 1000", NULL, 50, &r), 0);
	assert_int_equal(r.verdict, PLATTER_CRASH_FAIL);
	assert_true(r.timed_out);
	assert_int_equal(r.signal, SIGTERM);
	assert_string_equal(r.reason, "no end within 0.05 s");
}

static void kills_what_ignores_the_request_to_end(void **state)
{
	struct platter_crash_result r;

	(void)state;
	assert_int_equal(run_in(0, "trap '' TERM; while :; do sleep 1000; done",
				NULL, 50, &r), 0);
	assert_true(r.timed_out);
	assert_int_equal(r.signal, SIGKILL);
	platter_crash_result_clear(&r);
}

static void lets_it_clean_up_when_time_is_over(void **state)
{
	struct platter_crash_result r;

	(void)state;
	assert_int_equal(run_in(0, "trap 'echo cleaned; exit 0' TERM\n"
				"echo ready; while :; do sleep 0.01; done",
				NULL, 300, &r), 0);
	assert_int_equal(r.verdict, PLATTER_CRASH_FAIL);
	assert_true(r.timed_out);
	assert_non_null(r.output);
	assert_non_null(strstr(r.output, "cleaned\n"));
	platter_crash_result_clear(&r);
}

/* ---- what it gets ---- */

static void changes_the_environment(void **state)
{
	const char *env[] = { "A=new=er", "B", NULL };
	struct platter_crash_result r;

	(void)state;
	setenv("A", "old", 1);
	setenv("B", "old", 1);
	plt_keepers_free(keepers);
	make_keepers(NULL);
	assert_int_equal(run_in(0, "echo \"$A,${B-none},${PATH:+path}\"",
				(char *const *)(uintptr_t)env, 0, &r), 0);
	assert_string_equal(r.output, "new=er,none,path\n");
	platter_crash_result_clear(&r);
}

static void has_no_files_but_the_standard_ones(void **state)
{
	int fd = open("/dev/null", O_RDONLY);
	struct platter_crash_result r;

	(void)state;
	plt_keepers_free(keepers);
	make_keepers(NULL);
	close(fd);
	r = run("cat; for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do "
		"[ -e /proc/$$/fd/$n ] && echo $n; done; true");
	assert_string_equal(r.output, "0\n1\n2\n");
	platter_crash_result_clear(&r);
}

static void ignores_no_signal(void **state)
{
	struct platter_crash_result r;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	plt_keepers_free(keepers);
	make_keepers(NULL);
	signal(SIGPIPE, SIG_DFL);
	/* Two are glibc's own, and ignored below whom posix_spawn() made. */
	r = run("sed -nE '/^Sig(Ign|Blk)/ { s/180000000$/000000000/; p }' "
		"/proc/self/status");
	assert_string_equal(r.output, "SigBlk:\t0000000000000000\n"
			    "SigIgn:\t0000000000000000\n");
	platter_crash_result_clear(&r);
}

/* ---- what it prints ---- */

static void keeps_the_end_of_its_output(void **state)
{
	struct platter_crash_result r;

	(void)state;
	r = run("yes 123456789 | head -c 20000000; echo end; exit 1");
	assert_int_equal(r.output_len, PLATTER_CRASH_OUTPUT_MAX);
	assert_string_equal(r.output + r.output_len - 8, "789\nend\n");
	platter_crash_result_clear(&r);
}

static void does_not_wait_for_who_can_still_print(void **state)
{
	struct platter_crash_result r;

	(void)state;
	r = run("sleep 1000 & echo out; echo err >&2");
	assert_int_equal(r.verdict, PLATTER_CRASH_PASS);
	assert_string_equal(r.output, "out\nerr\n");
	platter_crash_result_clear(&r);
}

/* ---- what it leaves ---- */

static void leaves_no_processes(void **state)
{
	static const char *const scripts[] = {
		"sleep 1000 & echo $!",
		"setsid sleep 1000 & echo $!; sleep 0.05",
		/* Its parents are gone, and it has a session of its own. */
		"(setsid sh -c 'trap \"\" TERM HUP; echo $$; exec sleep 1000' &"
		")& wait; sleep 0.05",
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(scripts); i++) {
		struct platter_crash_result r = run(scripts[i]);
		pid_t pid = atoi(r.output);

		assert_true(pid > 1);
		assert_int_equal(kill(pid, 0), -1);
		assert_int_equal(errno, ESRCH);
		platter_crash_result_clear(&r);
	}
}

static void survives_the_loss_of_its_keeper(void **state)
{
	struct platter_crash_result r;

	(void)state;
	assert_int_equal(run_in(1, "kill -KILL $PPID; sleep 1000", NULL, 0,
				&r), 0);
	assert_int_equal(r.verdict, PLATTER_CRASH_ERROR);
	assert_non_null(strstr(r.reason, "killed by signal 9"));
	assert_int_equal(run_in(1, "exit 3", NULL, 0, &r), 0);
	assert_int_equal(r.status, 3);
	platter_crash_result_clear(&r);
}

/* Who reads the pipe comes to its end once all that hold it are gone. */
static void ends_with_us(void **state)
{
	char byte;
	int ends[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (!pid) {
		struct platter_crash_result r;
		struct plt_keepers *own;
		char script[160];
		const char *words[] = { "sh", "-c", script, NULL };
		const struct plt_run job = {
			.program = "/bin/sh",
			.words = (char *const *)(uintptr_t)words,
		};

		snprintf(script, sizeof(script), "exec 5>/proc/%d/fd/%d; "
			 "setsid sleep 1000 & kill -KILL %d; sleep 1000",
			 getpid(), ends[1], getpid());
		if (plt_keepers_new(&own, 1, 0, NULL) ||
		    plt_keepers_run(own, 0, &job, &r, NULL))
			_exit(1);
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
}

/* ---- threads ---- */

static void *run_many(void *arg)
{
	unsigned int slot = (unsigned int)(uintptr_t)arg;

	for (unsigned int i = 0; i < RUNS; i++) {
		struct platter_crash_result r;
		char script[32];

		snprintf(script, sizeof(script), "exit %u", slot * RUNS + i);
		if (run_in(slot, script, NULL, 0, &r) ||
		    r.status != (int)(slot * RUNS + i))
			return arg;
	}
	return NULL;
}

static void runs_in_all_slots_at_once(void **state)
{
	pthread_t thread[SLOTS];
	void *failed;

	(void)state;
	for (uintptr_t i = 0; i < SLOTS; i++)
		pthread_create(&thread[i], NULL, run_many, (void *)i);
	for (unsigned int i = 0; i < SLOTS; i++) {
		pthread_join(thread[i], &failed);
		assert_null(failed);
	}
}

static void *run_long(void *arg)
{
	struct platter_crash_result r;

	return (void *)(intptr_t)run_in((unsigned int)(uintptr_t)arg,
					"sleep 1000", NULL, 0, &r);
}

static void stops_what_runs(void **state)
{
	struct platter_crash_result r;
	pthread_t thread[SLOTS];
	void *rc;

	(void)state;
	for (uintptr_t i = 0; i < SLOTS; i++)
		pthread_create(&thread[i], NULL, run_long, (void *)i);
	sleep_ms(50);
	plt_keepers_stop(keepers);
	for (unsigned int i = 0; i < SLOTS; i++) {
		pthread_join(thread[i], &rc);
		assert_int_equal((intptr_t)rc, -ECANCELED);
	}
	assert_int_equal(run_in(0, "true", NULL, 0, &r), -ECANCELED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_the_status_for_a_verdict),
		cmocka_unit_test(ends_what_takes_too_long),
		cmocka_unit_test(kills_what_ignores_the_request_to_end),
		cmocka_unit_test(lets_it_clean_up_when_time_is_over),
		cmocka_unit_test(changes_the_environment),
		cmocka_unit_test(has_no_files_but_the_standard_ones),
		cmocka_unit_test(ignores_no_signal),
		cmocka_unit_test(keeps_the_end_of_its_output),
		cmocka_unit_test(does_not_wait_for_who_can_still_print),
		cmocka_unit_test(leaves_no_processes),
		cmocka_unit_test(survives_the_loss_of_its_keeper),
		cmocka_unit_test(ends_with_us),
		cmocka_unit_test(runs_in_all_slots_at_once),
		cmocka_unit_test(stops_what_runs),
	};

	return cmocka_run_group_tests(tests, make_keepers, free_keepers);
}
