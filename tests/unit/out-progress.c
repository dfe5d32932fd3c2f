// SPDX-License-Identifier: LGPL-2.1-or-later
/* Progress in its styles, on a terminal of our own, and stopping by signal. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <platter/out.h>

#include "base/mem.h"

static struct platter_progress *make(enum platter_progress_style style,
				     FILE *f)
{
	struct platter_progress *p = NULL;

	assert_int_equal(platter_progress_new(&p, style, f, NULL), 0);
	return p;
}

static void sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/* qemu-img -p: 0 first, steps of at least 1, 100 once, and a line end. */
static void qemu_style_is_qemu_imgs(void **state)
{
	static const struct {
		uint64_t done[8];
		uint64_t total;
		bool finished;
		const char *text;
	} v[] = {
		{ { 0, 1, 5, 10 }, 10, true,
		  "    (0.00/100%)\r    (10.00/100%)\r    (50.00/100%)\r"
		  "    (100.00/100%)\r\n" },
		{ { 1234, 1299, 1333, 1334, 9999, 10000 }, 10000, true,
		  "    (0.00/100%)\r    (12.34/100%)\r    (13.34/100%)\r"
		  "    (99.99/100%)\r    (100.00/100%)\r\n" },
		{ { 5 }, 10, true,
		  "    (0.00/100%)\r    (50.00/100%)\r"
		  "    (100.00/100%)\r\n" },
		{ { 5 }, 10, false,
		  "    (0.00/100%)\r    (50.00/100%)\r\n" },
		{ { 0 }, 0, true,
		  "    (0.00/100%)\r    (100.00/100%)\r\n" },
		{ { UINT64_MAX - 1, UINT64_MAX }, UINT64_MAX, true,
		  "    (0.00/100%)\r    (99.99/100%)\r"
		  "    (100.00/100%)\r\n" },
		{ { 20 }, 10, true,
		  "    (0.00/100%)\r    (100.00/100%)\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		char *text = NULL;
		size_t len;
		FILE *f = open_memstream(&text, &len);
		struct platter_progress *p = make(PLATTER_PROGRESS_QEMU, f);

		for (int n = 0; n < 8 && (!n || v[i].done[n]); n++)
			assert_int_equal(p->update(p, v[i].done[n],
						   v[i].total), 0);
		platter_progress_free(p, v[i].finished);
		fclose(f);
		assert_string_equal(text, v[i].text);
		free(text);
	}
}

static void none_prints_nothing(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	struct platter_progress *p = make(PLATTER_PROGRESS_NONE, f);

	(void)state;
	for (unsigned int i = 0; i <= 100; i++)
		assert_int_equal(p->update(p, i, 100), 0);
	platter_progress_free(p, true);
	fclose(f);
	assert_int_equal(len, 0);
	free(text);
	platter_progress_free(NULL, true);
}

/* A pseudo terminal of that width; returns its master side. */
static int open_terminal(unsigned short width, FILE **stream)
{
	struct winsize ws = { .ws_row = 24, .ws_col = width };
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	struct termios raw;
	int slave;

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(slave >= 0);
	tcgetattr(slave, &raw);
	cfmakeraw(&raw);
	tcsetattr(slave, TCSANOW, &raw);
	assert_int_equal(ioctl(slave, TIOCSWINSZ, &ws), 0);
	*stream = fdopen(slave, "w");
	return master;
}

/* All that was written to the terminal so far. */
static void read_terminal(int master, char *text, size_t size)
{
	size_t n = 0;
	ssize_t got;

	fcntl(master, F_SETFL, O_NONBLOCK);
	while (n < size - 1 && (got = read(master, text + n,
					   size - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
}

/* Each bar fits its terminal with a column to spare. Returns how many. */
static int check_bars(char *text, int width)
{
	int bars = 0;
	char *save = NULL;

	for (char *bar = strtok_r(text, "\r", &save); bar;
	     bar = strtok_r(NULL, "\r", &save)) {
		char *end = strstr(bar, "\033[K");

		assert_non_null(end);
		assert_true(end - bar < width || width < 5);
		bars++;
	}
	return bars;
}

static void bar_fits_any_terminal(void **state)
{
	(void)state;
	for (unsigned short width = 1; width < 300; width += 3) {
		static char text[1 << 16];
		struct platter_progress *p;
		FILE *f;
		int master = open_terminal(width, &f);

		p = make(PLATTER_PROGRESS_BAR, f);
		p->update(p, 0, UINT64_MAX);
		p->update(p, UINT64_MAX / 2, UINT64_MAX);
		platter_progress_free(p, true);
		read_terminal(master, text, sizeof(text));
		assert_non_null(strstr(text, "100%"));
		assert_int_equal(text[strlen(text) - 1], '\n');
		if (width >= 100)
			assert_non_null(strstr(text, "[=====") );
		assert_int_equal(check_bars(text, width), 2);
		fclose(f);
		close(master);
	}
}

static void bar_is_drawn_ten_times_a_second(void **state)
{
	static char text[1 << 16];
	struct platter_progress *p;
	struct timespec start;
	struct timespec now;
	double elapsed = 0;
	FILE *f;
	int master = open_terminal(80, &f);
	int bars;

	(void)state;
	p = make(PLATTER_PROGRESS_BAR, f);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (uint64_t i = 0; elapsed < 1.3; i++) {
		assert_int_equal(p->update(p, i * 1000000, 1u << 31), 0);
		sleep_ms(1);
		clock_gettime(CLOCK_MONOTONIC, &now);
		elapsed = (double)(now.tv_sec - start.tv_sec) +
			  (double)(now.tv_nsec - start.tv_nsec) / 1e9;
	}
	platter_progress_free(p, false);
	read_terminal(master, text, sizeof(text));
	/* After a second the rate is known. */
	assert_non_null(strstr(text, "MiB/s "));
	assert_non_null(strstr(text, " left\033[K"));
	assert_null(strstr(text, "100%"));
	bars = check_bars(text, 80);
	assert_in_range(bars, 2, (int)(elapsed * 10) + 1);
	fclose(f);
	close(master);
}

static void total_of_zero_is_all(void **state)
{
	static char text[4096];
	struct platter_progress *p;
	FILE *f;
	int master = open_terminal(80, &f);

	(void)state;
	p = make(PLATTER_PROGRESS_BAR, f);
	assert_int_equal(p->update(p, 0, 0), 0);
	platter_progress_free(p, true);
	read_terminal(master, text, sizeof(text));
	assert_non_null(strstr(text, "100% ["));
	fclose(f);
	close(master);
}

/* ---- signals ---- */

static void stop_signals_stop(void **state)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(signals); i++) {
		struct platter_progress *p = make(PLATTER_PROGRESS_NONE,
						  stderr);

		assert_int_equal(p->update(p, 1, 10), 0);
		raise(signals[i]);
		assert_int_equal(p->update(p, 2, 10), -ECANCELED);
		assert_int_equal(p->update(p, 3, 10), -ECANCELED);
		platter_progress_free(p, false);
		/* The next job starts afresh. */
		p = make(PLATTER_PROGRESS_NONE, stderr);
		assert_int_equal(p->update(p, 1, 10), 0);
		platter_progress_free(p, true);
	}
}

static int handled;

static void on_signal(int sig)
{
	handled = sig;
}

static void handlers_come_back(void **state)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1 };
	struct sigaction mine = { .sa_handler = on_signal };
	struct sigaction old[PLT_ARRAY_SIZE(signals)];
	struct platter_progress *p;

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &mine, &old[i]);
	p = make(PLATTER_PROGRESS_NONE, stderr);
	handled = 0;
	raise(SIGTERM);
	assert_int_equal(handled, 0);
	platter_progress_free(p, true);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(signals); i++) {
		raise(signals[i]);
		assert_int_equal(handled, signals[i]);
		sigaction(signals[i], &old[i], NULL);
	}
}

static void ignored_signals_stay_ignored(void **state)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct sigaction old;
	struct platter_progress *p;

	(void)state;
	sigaction(SIGHUP, &ignore, &old);
	p = make(PLATTER_PROGRESS_NONE, stderr);
	raise(SIGHUP);
	assert_int_equal(p->update(p, 1, 10), 0);
	raise(SIGINT);
	assert_int_equal(p->update(p, 1, 10), -ECANCELED);
	platter_progress_free(p, false);
	sigaction(SIGHUP, &old, NULL);
}

/* Standard error goes to a file while `calls` run. */
static void capture_stderr(char *text, size_t size,
			   void (*calls)(struct platter_progress *p),
			   enum platter_progress_style style, FILE *stream)
{
	FILE *f = tmpfile();
	int saved = dup(STDERR_FILENO);
	struct platter_progress *p;
	size_t n;

	fflush(stderr);
	dup2(fileno(f), STDERR_FILENO);
	p = make(style, stream);
	calls(p);
	platter_progress_free(p, true);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(f);
	n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	fclose(f);
}

static void usr1_calls(struct platter_progress *p)
{
	p->update(p, 1, 10000);
	raise(SIGUSR1);
	p->update(p, 1234, 10000);
	p->update(p, 1235, 10000);
	raise(SIGUSR1);
	raise(SIGUSR1);
	p->update(p, 5000, 10000);
	p->update(p, 5001, 10000);
}

static void usr1_prints_one_line(void **state)
{
	static const enum platter_progress_style styles[] = {
		PLATTER_PROGRESS_NONE, PLATTER_PROGRESS_QEMU,
		PLATTER_PROGRESS_BAR,
	};
	plt_auto_fd int null = open("/dev/null", O_WRONLY);

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(styles); i++) {
		FILE *f = fdopen(dup(null), "w");
		char text[256];

		capture_stderr(text, sizeof(text), usr1_calls, styles[i], f);
		assert_string_equal(text, "    (12.34/100%)\n"
					  "    (50.00/100%)\n");
		fclose(f);
	}
}

static void bar_calls(struct platter_progress *p)
{
	p->update(p, 10, 100);
	raise(SIGUSR1);
	p->update(p, 20, 100);
}

/* Both may be the same terminal: the line must not run into the bar. */
static void bar_makes_way_for_the_line(void **state)
{
	static char text[4096];
	char line[256];
	char *way;
	FILE *f;
	int master = open_terminal(80, &f);

	(void)state;
	capture_stderr(line, sizeof(line), bar_calls, PLATTER_PROGRESS_BAR,
		       f);
	assert_string_equal(line, "    (20.00/100%)\n");
	read_terminal(master, text, sizeof(text));
	way = strstr(text, "\r\033[K\r 20% [");
	assert_non_null(way);
	assert_memory_equal(text, "\r 10% [", 7);
	fclose(f);
	close(master);
}

static void one_at_a_time(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_progress *first = make(PLATTER_PROGRESS_NONE, stderr);
	struct platter_progress *second;

	(void)state;
	assert_int_equal(platter_progress_new(&second, PLATTER_PROGRESS_NONE,
					      stderr, &err), -EBUSY);
	assert_string_equal(err.msg, "progress is being reported already");
	platter_progress_free(first, true);
	platter_progress_free(make(PLATTER_PROGRESS_NONE, stderr), true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qemu_style_is_qemu_imgs),
		cmocka_unit_test(none_prints_nothing),
		cmocka_unit_test(bar_fits_any_terminal),
		cmocka_unit_test(bar_is_drawn_ten_times_a_second),
		cmocka_unit_test(total_of_zero_is_all),
		cmocka_unit_test(stop_signals_stop),
		cmocka_unit_test(handlers_come_back),
		cmocka_unit_test(ignored_signals_stay_ignored),
		cmocka_unit_test(usr1_prints_one_line),
		cmocka_unit_test(bar_makes_way_for_the_line),
		cmocka_unit_test(one_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
