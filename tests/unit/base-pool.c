// SPDX-License-Identifier: LGPL-2.1-or-later
/* The worker pool: every task once, bounded, stopped by the first failure. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/pool.h"

static atomic_int ran, dropped, waiting, inside, most_inside;
static atomic_bool gate_open;

static void reset(void)
{
	ran = dropped = waiting = inside = most_inside = 0;
	gate_open = false;
}

static void drop(void *arg)
{
	dropped++;
	free(arg);
}

static int count(void *arg, struct platter_error *err)
{
	int now = ++inside;
	int most = most_inside;

	(void)err;
	while (now > most &&
	       !atomic_compare_exchange_weak(&most_inside, &most, now))
		;
	ran++;
	free(arg);
	inside--;
	return 0;
}

static int wait_for_gate(void *arg, struct platter_error *err)
{
	waiting++;
	while (!gate_open)
		usleep(100);
	return count(arg, err);
}

static int fail_as_told(void *arg, struct platter_error *err)
{
	int code = *(int *)arg;

	ran++;
	free(arg);
	return plt_err_set(err, code, "task failed with %d", code);
}

static int *boxed(int value)
{
	int *box = malloc(sizeof(*box));

	*box = value;
	return box;
}

static struct plt_pool *make(unsigned int workers, unsigned int depth)
{
	struct plt_pool *pool = NULL;

	reset();
	assert_int_equal(plt_pool_new(&pool, workers, depth, drop, NULL), 0);
	return pool;
}

static void runs_every_task_once(void **state)
{
	(void)state;
	for (unsigned int workers = 1; workers <= 8; workers *= 2) {
		struct plt_pool *pool = make(workers, 3);
		struct platter_error err = PLATTER_ERROR_INIT;

		assert_int_equal(plt_pool_workers(pool), workers);
		for (int round = 1; round <= 3; round++) {
			for (int i = 0; i < 2000; i++)
				assert_int_equal(plt_pool_submit(
					pool, count, boxed(i)), 0);
			assert_int_equal(plt_pool_wait(pool, &err), 0);
			assert_int_equal(ran, round * 2000);
		}
		assert_true(most_inside <= (int)workers);
		assert_int_equal(err.code, 0);
		plt_pool_free(pool);
		assert_int_equal(dropped, 0);
	}
}

static atomic_int submitted;

static void *producer(void *arg)
{
	for (int i = 0; i < 50; i++) {
		if (plt_pool_submit(arg, wait_for_gate, boxed(i)))
			break;
		submitted++;
	}
	return NULL;
}

/* With the workers held up, submit must stop at workers + depth. */
static void bounds_the_queue(void **state)
{
	struct plt_pool *pool = make(2, 4);
	pthread_t thread;

	(void)state;
	submitted = 0;
	pthread_create(&thread, NULL, producer, pool);
	for (int i = 0; i < 1000 && submitted < 6; i++)
		usleep(1000);
	usleep(20000);
	assert_int_equal(submitted, 6);
	gate_open = true;
	pthread_join(thread, NULL);
	assert_int_equal(plt_pool_wait(pool, NULL), 0);
	assert_int_equal(ran, 50);
	plt_pool_free(pool);
}

static void stops_at_the_first_failure(void **state)
{
	struct plt_pool *pool = make(1, 64);
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)state;
	assert_int_equal(plt_pool_submit(pool, wait_for_gate, boxed(0)), 0);
	assert_int_equal(plt_pool_submit(pool, fail_as_told, boxed(-EIO)), 0);
	assert_int_equal(plt_pool_submit(pool, fail_as_told, boxed(-EPERM)),
			 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(plt_pool_submit(pool, count, boxed(i)), 0);
	gate_open = true;
	assert_int_equal(plt_pool_wait(pool, &err), -EIO);
	assert_string_equal(err.msg, "task failed with -5");
	assert_int_equal(ran, 2);
	assert_int_equal(dropped, 11);
	/* And it stays failed. */
	assert_int_equal(plt_pool_submit(pool, count, boxed(0)), -EIO);
	assert_int_equal(dropped, 12);
	err = (struct platter_error)PLATTER_ERROR_INIT;
	assert_int_equal(plt_pool_wait(pool, &err), -EIO);
	assert_int_equal(err.code, -EIO);
	assert_int_equal(plt_pool_wait(pool, NULL), -EIO);
	plt_pool_free(pool);
	assert_int_equal(ran, 2);
	assert_int_equal(dropped, 12);
}

/* A producer blocked on a full queue hears of the failure. */
static void failure_wakes_the_producer(void **state)
{
	(void)state;
	for (int round = 0; round < 200; round++) {
		struct plt_pool *pool = make(1 + (unsigned int)round % 4, 1);
		int given = 0;
		int rc = 0;

		while (!rc && given < 100000) {
			rc = given == 20 ?
			     plt_pool_submit(pool, fail_as_told,
					     boxed(-ENOSPC)) :
			     plt_pool_submit(pool, count, boxed(given));
			given++;
		}
		assert_int_equal(rc, -ENOSPC);
		assert_int_equal(plt_pool_wait(pool, NULL), -ENOSPC);
		plt_pool_free(pool);
		assert_int_equal(ran + dropped, given);
	}
}

static void *stubborn_producer(void *arg)
{
	while (!plt_pool_submit(arg, count, boxed(0)))
		;
	return NULL;
}

/* However many wait for room, all of them hear of it. */
static void failure_wakes_every_producer(void **state)
{
	(void)state;
	for (int round = 0; round < 100; round++) {
		struct plt_pool *pool = make(1, 1);
		pthread_t threads[4];

		for (int i = 0; i < 4; i++)
			pthread_create(&threads[i], NULL, stubborn_producer,
				       pool);
		usleep(200);
		assert_int_equal(plt_pool_submit(pool, fail_as_told,
						 boxed(-EIO)), 0);
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
		assert_int_equal(plt_pool_wait(pool, NULL), -EIO);
		plt_pool_free(pool);
	}
}

static int wait_and_fail(void *arg, struct platter_error *err)
{
	while (!gate_open)
		usleep(100);
	return fail_as_told(arg, err);
}

static void the_first_failure_counts(void **state)
{
	struct plt_pool *pool = make(2, 2);
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)state;
	assert_int_equal(plt_pool_submit(pool, wait_and_fail, boxed(-EPERM)),
			 0);
	assert_int_equal(plt_pool_submit(pool, fail_as_told, boxed(-EIO)), 0);
	while (!plt_pool_submit(pool, count, boxed(0)))
		;
	gate_open = true;
	assert_int_equal(plt_pool_wait(pool, &err), -EIO);
	assert_string_equal(err.msg, "task failed with -5");
	plt_pool_free(pool);
}

static void *open_gate_later(void *arg)
{
	(void)arg;
	usleep(50000);
	gate_open = true;
	return NULL;
}

/* One task runs and is waited for; the others are dropped, not run. */
static void free_drops_what_waits(void **state)
{
	struct plt_pool *pool = make(1, 8);
	pthread_t thread;

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(plt_pool_submit(pool, wait_for_gate,
						 boxed(i)), 0);
	while (!waiting)
		usleep(100);
	pthread_create(&thread, NULL, open_gate_later, NULL);
	plt_pool_free(pool);
	assert_int_equal(ran, waiting);
	assert_int_equal(ran + dropped, 5);
	pthread_join(thread, NULL);
	plt_pool_free(NULL);
}

static int own_mask(void *arg, struct platter_error *err)
{
	(void)err;
	pthread_sigmask(SIG_SETMASK, NULL, arg);
	return 0;
}

static void workers_take_no_signals(void **state)
{
	struct plt_pool *pool = make(1, 1);
	sigset_t mask;

	(void)state;
	sigemptyset(&mask);
	assert_int_equal(plt_pool_submit(pool, own_mask, &mask), 0);
	assert_int_equal(plt_pool_wait(pool, NULL), 0);
	assert_true(sigismember(&mask, SIGINT));
	assert_true(sigismember(&mask, SIGUSR1));
	assert_true(sigismember(&mask, SIGTERM));
	assert_false(sigismember(&mask, SIGSEGV));
	plt_pool_free(pool);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	assert_false(sigismember(&mask, SIGINT));
}

static void counts_processors(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct plt_pool *pool;
	cpu_set_t all, one;
	unsigned int n = plt_processors();

	(void)state;
	assert_true(n >= 1);
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	assert_int_equal(n, CPU_COUNT(&all));
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++) {
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &one);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(plt_processors(), 1);
	pool = make(0, 0);
	assert_int_equal(plt_pool_workers(pool), 1);
	plt_pool_free(pool);
	sched_setaffinity(0, sizeof(all), &all);
	assert_int_equal(plt_pool_new(&pool, 100000, 1, drop, &err), -EINVAL);
	assert_string_equal(err.msg,
			    "100000 workers are over the limit of 1024");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_every_task_once),
		cmocka_unit_test(bounds_the_queue),
		cmocka_unit_test(stops_at_the_first_failure),
		cmocka_unit_test(failure_wakes_the_producer),
		cmocka_unit_test(failure_wakes_every_producer),
		cmocka_unit_test(the_first_failure_counts),
		cmocka_unit_test(free_drops_what_waits),
		cmocka_unit_test(workers_take_no_signals),
		cmocka_unit_test(counts_processors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
