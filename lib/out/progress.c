// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Progress on a terminal or for a program, and stopping by signal.
 *
 * Signal handlers only set flags; update(), which a job calls often, acts on
 * them. System calls are restarted, so no code has to expect EINTR because of
 * us. A signal that was ignored stays ignored: nohup means it. The flags are
 * the only state a process has once, hence one reporter at a time.
 */
#include <platter/out.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>

#include <platter/image.h>

#include "base/error.h"
#include "base/mem.h"

#define REDRAW_NS	100000000u	/* least, of two bars */
#define RATE_NS		1000000000u	/* least between two rates */
#define RATE_WEIGHT	0.3		/* of the newest in the shown */
#define RATE_MAX	1e18		/* bytes per second; fits 64 bits */
#define SECONDS_MAX	360000		/* 100 hours: nobody knows */
#define WIDTH		80		/* columns, if not known */
#define BAR_MIN		10		/* columns; narrower, it is left out */
#define LINE_MAX_COLUMNS 1000
#define FACTS		160		/* bytes behind the bar */
#define HUNDRED		10000u		/* percent, in hundredths */
#define QEMU_STEP	100u		/* qemu-img's: one percent */

static const int stop_signals[] = { SIGINT, SIGTERM, SIGHUP };
#define NR_SIGNALS	(PLT_ARRAY_SIZE(stop_signals) + 1)

static volatile sig_atomic_t stop_wanted;
static volatile sig_atomic_t report_wanted;
static atomic_flag in_use = ATOMIC_FLAG_INIT;

struct reporter {
	struct platter_progress base;
	enum platter_progress_style style;
	FILE *stream;
	struct sigaction old[NR_SIGNALS];	/* stop_signals, SIGUSR1 */
	uint64_t done, total;		/* as last told */
	bool begun;			/* update() was called */
	unsigned int shown;		/* hundredths of a percent */
	bool drawn;
	uint64_t drawn_at;		/* ns */
	uint64_t begun_at;		/* ns */
	uint64_t rate_at;		/* ns */
	uint64_t rate_done;		/* bytes at that time */
	double rate;			/* bytes per second, 0 = not known */
	char facts[FACTS];		/* the job's own; "" = bytes */
};

static void on_stop(int sig)
{
	(void)sig;
	stop_wanted = 1;
}

static void on_report(int sig)
{
	(void)sig;
	report_wanted = 1;
}

static void catch_signals(struct reporter *r)
{
	for (size_t i = 0; i < NR_SIGNALS; i++) {
		bool stop = i < PLT_ARRAY_SIZE(stop_signals);
		int sig = stop ? stop_signals[i] : SIGUSR1;
		struct sigaction sa = {
			.sa_handler = stop ? on_stop : on_report,
			.sa_flags = SA_RESTART,
		};

		sigemptyset(&sa.sa_mask);
		sigaction(sig, NULL, &r->old[i]);
		if (r->old[i].sa_handler != SIG_IGN)
			sigaction(sig, &sa, NULL);
	}
}

static void restore_signals(const struct reporter *r)
{
	for (size_t i = 0; i < NR_SIGNALS; i++) {
		bool stop = i < PLT_ARRAY_SIZE(stop_signals);

		sigaction(stop ? stop_signals[i] : SIGUSR1, &r->old[i], NULL);
	}
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Hundredths of a percent, rounded down: 100 % means all. */
static unsigned int hundredths(const struct reporter *r)
{
	if (r->done >= r->total)
		return r->begun ? HUNDRED : 0;
	return (unsigned int)((unsigned __int128)r->done * HUNDRED / r->total);
}

static void put_qemu(FILE *f, unsigned int h, char end)
{
	fprintf(f, "    (%u.%02u/100%%)%c", h / 100, h % 100, end);
	fflush(f);
}

/* ---- the bar ---- */

static int columns(FILE *stream)
{
	struct winsize ws;

	if (ioctl(fileno(stream), TIOCGWINSZ, &ws) || !ws.ws_col)
		return WIDTH;
	return PLT_MIN((int)ws.ws_col, LINE_MAX_COLUMNS);
}

static void put_seconds(char *text, size_t size, double seconds)
{
	unsigned long s;

	if (seconds >= SECONDS_MAX) {
		snprintf(text, size, "-:--");
		return;
	}
	s = (unsigned long)(seconds + 0.5);
	if (s >= 3600)
		snprintf(text, size, "%lu:%02lu:%02lu", s / 3600,
			 s / 60 % 60, s % 60);
	else
		snprintf(text, size, "%lu:%02lu", s / 60, s % 60);
}

/*
 * What stands behind the bar, of constant width so that the bar stands still:
 * " 1.2 GiB/4 GiB    512 MiB/s     0:07 left", and how long it took at the end.
 * Returns the length up to the total, for a terminal too narrow for the rest.
 */
static size_t put_facts(const struct reporter *r, char *text, size_t size)
{
	double elapsed = (double)(now() - r->begun_at) / 1e9;
	double rate = r->rate;
	double seconds = elapsed;
	const char *word = "in all";
	char done[PLATTER_SIZE_TEXT_MAX];
	char total[PLATTER_SIZE_TEXT_MAX];
	char speed[PLATTER_SIZE_TEXT_MAX];
	char clock[32] = "-:--";

	if (*r->facts)
		return (size_t)snprintf(text, size, "%s", r->facts);
	if (r->done < r->total) {
		word = "left";
		seconds = rate >= 1 ? (double)(r->total - r->done) / rate : -1;
	} else if (elapsed > 0) {
		rate = (double)r->total / elapsed;
	}
	if (seconds >= 0)
		put_seconds(clock, sizeof(clock), seconds);
	platter_size_text(done, r->done);
	platter_size_text(total, r->total);
	platter_size_text(speed, (uint64_t)PLT_MIN(rate, RATE_MAX));
	snprintf(text, size, "%9s/%s %9s/s %7s %s", done, total, speed, clock,
		 word);
	return (size_t)snprintf(NULL, 0, "%9s/%s", done, total);
}

static void draw(struct reporter *r)
{
	unsigned int h = hundredths(r);
	char facts[FACTS];
	char bar[LINE_MAX_COLUMNS + 1];
	/* The last column stays free, or the terminal would wrap. */
	int width = columns(r->stream) - 1;
	size_t brief = put_facts(r, facts, sizeof(facts));
	int room;

	/* What is left beside "100% [", "] " and the facts. */
	room = width - 8 - (int)strlen(facts);
	if (room < BAR_MIN) {
		if ((int)strlen(facts) > width - 5)
			facts[(int)brief > width - 5 ? 0 : brief] = '\0';
		fprintf(r->stream, "\r%3u%% %s\033[K", h / 100, facts);
	} else {
		size_t full = (size_t)room * h / HUNDRED;

		memset(bar, '=', full);
		memset(bar + full, ' ', (size_t)room - full);
		if (full && full < (size_t)room)
			bar[full - 1] = '>';
		fprintf(r->stream, "\r%3u%% [%.*s] %s\033[K", h / 100, room,
			bar, facts);
	}
	fflush(r->stream);
	r->shown = h;
	r->drawn = true;
}

static void measure(struct reporter *r, uint64_t t)
{
	double latest;

	if (t - r->rate_at < RATE_NS)
		return;
	latest = (double)(r->done - PLT_MIN(r->rate_done, r->done)) * 1e9 /
		 (double)(t - r->rate_at);
	r->rate = r->rate < 1 ? latest :
		  r->rate + RATE_WEIGHT * (latest - r->rate);
	r->rate_at = t;
	r->rate_done = r->done;
}

/* ---- the interface ---- */

static void show(struct reporter *r)
{
	unsigned int h;
	uint64_t t;

	switch (r->style) {
	case PLATTER_PROGRESS_NONE:
		break;
	case PLATTER_PROGRESS_QEMU:
		h = hundredths(r);
		if (h < r->shown + QEMU_STEP &&
		    (h < HUNDRED || r->shown == HUNDRED))
			break;
		put_qemu(r->stream, h, '\r');
		r->shown = h;
		break;
	case PLATTER_PROGRESS_BAR:
		t = now();
		measure(r, t);
		if (r->drawn && t - r->drawn_at < REDRAW_NS)
			break;
		draw(r);
		r->drawn_at = t;
		break;
	}
}

/* On standard error whatever the style: whoever sent SIGUSR1 reads there. */
static void report(struct reporter *r)
{
	report_wanted = 0;
	if (r->style == PLATTER_PROGRESS_BAR && r->drawn) {
		/* The bar makes way and comes back below. */
		fputs("\r\033[K", r->stream);
		fflush(r->stream);
		r->drawn = false;
	}
	put_qemu(stderr, hundredths(r), '\n');
}

static int update(struct platter_progress *self, uint64_t done,
		  uint64_t total)
{
	struct reporter *r = (struct reporter *)self;

	r->done = done;
	r->total = total;
	r->begun = true;
	if (report_wanted)
		report(r);
	if (stop_wanted)
		return -ECANCELED;
	show(r);
	return 0;
}

int platter_progress_new(struct platter_progress **out,
			 enum platter_progress_style style, FILE *stream,
			 struct platter_error *err)
{
	struct reporter *r;

	r = plt_calloc(1, sizeof(*r), err);
	if (!r)
		return -ENOMEM;
	if (atomic_flag_test_and_set(&in_use)) {
		free(r);
		return plt_err_set(err, -EBUSY,
				   "progress is being reported already");
	}
	r->base.update = update;
	r->style = style;
	r->stream = stream;
	r->begun_at = r->rate_at = now();
	stop_wanted = 0;
	report_wanted = 0;
	catch_signals(r);
	if (style == PLATTER_PROGRESS_QEMU)
		put_qemu(stream, 0, '\r');
	*out = &r->base;
	return 0;
}

void platter_progress_facts(struct platter_progress *p, const char *text)
{
	struct reporter *r = (struct reporter *)p;

	snprintf(r->facts, sizeof(r->facts), "%s", text);
}

static void finish(struct reporter *r, bool done)
{
	if (done) {
		r->done = r->total;
		r->begun = true;
	}
	if (r->style == PLATTER_PROGRESS_QEMU) {
		if (done && r->shown < HUNDRED)
			put_qemu(r->stream, HUNDRED, '\r');
		putc('\n', r->stream);
	} else if (r->style == PLATTER_PROGRESS_BAR && r->drawn) {
		if (done && r->shown < HUNDRED)
			draw(r);
		putc('\n', r->stream);
	}
	fflush(r->stream);
}

void platter_progress_free(struct platter_progress *p, bool done)
{
	struct reporter *r = (struct reporter *)p;

	if (!r)
		return;
	finish(r, done);
	restore_signals(r);
	free(r);
	atomic_flag_clear(&in_use);
}
