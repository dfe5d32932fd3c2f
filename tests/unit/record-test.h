/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of the recorder behind driver blklogwrites share.
 *
 * "gate" is a filter below it that lets flushes and writes wait, or fail;
 * "fixed" is one over the log that makes a device of it: it cannot grow.
 */
#ifndef RECORD_TEST_H
#define RECORD_TEST_H

#include <pthread.h>

#include <platter/log.h>

#include "base/error.h"
#include "core-test.h"

#define DISK	(1u << 20)
#define THREADS	8
#define ROUNDS	300

/* ---- drivers ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Guarded by `lock`. */
	bool hold_flushes, hold_writes, fail_flushes, fail_writes;
	unsigned int flushes, flushes_let, writes, writes_let;
} gate = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
};

static inline int gate_wait(const bool *hold, const bool *fail,
			    unsigned int *seen, const unsigned int *let,
			    struct platter_error *err)
{
	unsigned int mine;

	PLT_LOCK_SCOPE(&gate.lock);
	mine = ++*seen;
	pthread_cond_broadcast(&gate.changed);
	while (*hold && mine > *let)
		pthread_cond_wait(&gate.changed, &gate.lock);
	return *fail ? plt_err_set(err, -EIO, "the gate is shut") : 0;
}

static inline int gate_pwrite(struct platter_image *img, const void *buf,
			      size_t len, uint64_t offset,
			      struct platter_error *err)
{
	int rc = gate_wait(&gate.hold_writes, &gate.fail_writes, &gate.writes,
			   &gate.writes_let, err);

	return rc ? rc : platter_image_pwrite(platter_image_child(img, "file"),
					      buf, len, offset, err);
}

/* Without a flush of the whole, which the gate could hold. */
static inline int gate_pwrite_fua(struct platter_image *img, const void *buf,
				  size_t len, uint64_t offset,
				  struct platter_error *err)
{
	return gate_pwrite(img, buf, len, offset, err);
}

static inline int gate_flush(struct platter_image *img,
			     struct platter_error *err)
{
	int rc = gate_wait(&gate.hold_flushes, &gate.fail_flushes,
			   &gate.flushes, &gate.flushes_let, err);

	return rc ? rc : platter_image_flush(platter_image_child(img, "file"),
					     err);
}

static const struct platter_io_ops gate_ops = {
	.pwrite = gate_pwrite,
	.pwrite_fua = gate_pwrite_fua,
	.flush = gate_flush,
};

static const struct platter_driver gate_driver = {
	.name = "gate",
	.kind = PLATTER_DRIVER_FILTER,
	.io = &gate_ops,
};

static inline int fixed_resize(struct platter_image *img, uint64_t size,
			struct platter_error *err)
{
	if (size <= platter_image_size(img))
		return 0;
	return plt_err_set(err, -ENOTSUP, "cannot grow");
}

static const struct platter_io_ops fixed_ops = {
	.resize = fixed_resize,
};

static const struct platter_driver fixed_driver = {
	.name = "fixed",
	.kind = PLATTER_DRIVER_FILTER,
	.io = &fixed_ops,
};

static inline struct platter_context *gate_context(void)
{
	static const struct platter_driver *table[64];
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_context *builtin = new_context(), *ctx;
	size_t n = 0;

	for (size_t i = 0; i < builtin->nr_drivers; i++)
		table[n++] = builtin->drivers[i];
	table[n++] = &gate_driver;
	table[n++] = &fixed_driver;
	platter_context_free(builtin);
	assert_ok(platter_context_new_with(&ctx, table, n, &err), &err);
	return ctx;
}

/* ---- what all tests do ---- */

struct fixture {
	struct platter_context *ctx;
	struct platter_image *img;
};

#define LOG_FILE ",log.driver=file,log.filename=log"

static inline void open_recorder(struct fixture *f, const char *more)
{
	const struct platter_open_options opts = {
		.image_opts = true,
		.flags = PLATTER_O_RDWR,
		.cache = PLATTER_CACHE_UNSAFE,
	};
	char spec[512];

	snprintf(spec, sizeof(spec), "driver=blklogwrites,file.driver=gate,"
		 "file.file.driver=raw,file.file.file=disk%s", more);
	f->img = open_with(f->ctx, spec, &opts);
}

/* A disk of zeros and an empty log. */
static inline void begin(struct fixture *f, const char *more)
{
	make_sparse("disk", DISK);
	make_file("log", "", 0);
	f->ctx = gate_context();
	gate.hold_flushes = gate.hold_writes = false;
	gate.fail_flushes = gate.fail_writes = false;
	gate.flushes = gate.flushes_let = gate.writes = gate.writes_let = 0;
	open_recorder(f, more);
}

static inline void finish(struct fixture *f)
{
	close_image(f->img);
	platter_context_free(f->ctx);
}

static inline void let(bool *flag, bool value)
{
	pthread_mutex_lock(&gate.lock);
	*flag = value;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

static inline void let_more(unsigned int *count)
{
	pthread_mutex_lock(&gate.lock);
	++*count;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

static inline void wait_for(const unsigned int *count, unsigned int value)
{
	pthread_mutex_lock(&gate.lock);
	while (*count < value)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
}

static inline void mark(struct platter_image *img, const char *text)
{
	struct platter_error err = PLATTER_ERROR_INIT;

	assert_ok(platter_record_mark(&img, 1, text, strlen(text), NULL, &err),
		  &err);
}

static inline struct platter_record_stats stats(struct platter_image *img)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_record_stats s;

	assert_ok(platter_record_stats(img, &s, &err), &err);
	return s;
}

/*
 * The log in a line: F flush, D discard, W write, U with FUA, and a mark's
 * text in brackets.
 */
static inline void read_log(struct platter_context *ctx, char *out, size_t size)
{
	const struct platter_log_options opts = {
		.flags = PLATTER_O_SHARE, .index = "",
	};
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_log_cursor *c;
	struct platter_log_entry e;
	struct platter_log *log;
	size_t n = 0;

	assert_ok(platter_log_open(&log, ctx, "log", &opts, &err), &err);
	assert_ok(platter_log_cursor_new(&c, log, 0, &err), &err);
	while (platter_log_next(c, &e, &err) == 0 && n + 64 < size) {
		if (e.flags & PLATTER_LOG_MARK)
			n += (size_t)snprintf(out + n, size - n, "[%.*s]",
					      (int)e.mark_len, e.mark);
		else
			out[n++] = e.flags & PLATTER_LOG_FLUSH ? 'F' :
				   e.flags & PLATTER_LOG_DISCARD ? 'D' :
				   e.flags & PLATTER_LOG_FUA ? 'U' : 'W';
		out[n] = '\0';
	}
	platter_log_cursor_free(c);
	platter_log_close(log);
}

static inline void assert_log(struct platter_context *ctx, const char *want)
{
	char line[4096] = "";

	read_log(ctx, line, sizeof(line));
	assert_string_equal(line, want);
}

/* What the log makes of a disk of zeros, or of `base`. */
static inline void replay(struct platter_context *ctx, const char *base,
			  char *buf)
{
	const struct platter_open_options opts = {
		.image_opts = true, .flags = PLATTER_O_SHARE,
	};
	struct platter_image *img;
	char spec[256];

	snprintf(spec, sizeof(spec), "driver=writelog,log=log,index=,"
		 "base.driver=raw,base.file=%s", base);
	img = open_with(ctx, spec, &opts);
	assert_int_equal(platter_image_size(img), DISK);
	do_read(img, buf, DISK, 0);
	close_image(img);
}

static inline void assert_replay_is(struct platter_context *ctx,
				    const char *base, const char *want)
{
	char *got = malloc(DISK);

	assert_non_null(got);
	replay(ctx, base, got);
	for (size_t i = 0; i < DISK; i++) {
		if (got[i] != want[i])
			fail_msg("byte %zu: 0x%02x replayed, 0x%02x is there",
				 i, (unsigned char)got[i],
				 (unsigned char)want[i]);
	}
	free(got);
}

static inline void assert_replay_gives_disk(struct platter_context *ctx)
{
	char *disk = malloc(DISK);
	FILE *f = fopen("disk", "rb");

	assert_non_null(disk);
	assert_non_null(f);
	assert_int_equal(fread(disk, 1, DISK, f), DISK);
	fclose(f);
	make_sparse("zeros", DISK);
	assert_replay_is(ctx, "zeros", disk);
	free(disk);
}

/* ---- threads ---- */

struct worker {
	struct platter_image *img;
	uint64_t seed;
	bool pauses;
	uint64_t offset;
	pthread_t thread;
	_Atomic bool done;
	int rc;
	struct platter_error err;
};

static inline int one_request(struct worker *w, char *buf, size_t room)
{
	uint64_t len = 1 + rnd(&w->seed) % room;
	uint64_t at = rnd(&w->seed) % (DISK - len);

	if (rnd(&w->seed) % 2) {
		at &= ~(uint64_t)511;
		len = (len + 511) & ~(uint64_t)511;
	}
	len = PLT_MIN(len, (uint64_t)room);
	memset(buf, (int)(rnd(&w->seed) % 255 + 1), len);
	switch (rnd(&w->seed) % 12) {
	case 0:
		return platter_image_zero(w->img, at, len, 0, &w->err);
	case 1:
		return platter_image_zero(w->img, at, len, PLATTER_ZERO_UNMAP,
					  &w->err);
	case 2:
		return platter_image_discard(w->img, at, len, &w->err);
	case 3:
		return platter_image_pwrite_fua(w->img, buf, len, at, &w->err);
	case 4:
		return platter_image_flush(w->img, &w->err);
	case 5:
		return platter_image_pread(w->img, buf, len, at, &w->err);
	default:
		return platter_image_pwrite(w->img, buf, len, at, &w->err);
	}
}

static inline void *load(void *arg)
{
	const size_t room = 128u << 10;
	struct worker *w = arg;
	char *buf = malloc(room);

	for (int i = 0; i < ROUNDS && !w->rc; i++) {
		w->rc = one_request(w, buf, i % 16 ? 8192 : room);
		if (!w->rc && i % 64 == 7)
			w->rc = platter_record_mark(&w->img, 1, "m", 1, NULL,
						    &w->err);
		if (!w->rc && w->pauses && i % 32 == 9)
			w->rc = platter_record_pause(w->img, &w->err);
		if (!w->rc && w->pauses && i % 32 == 19)
			w->rc = platter_record_resume(w->img, &w->err);
	}
	free(buf);
	return NULL;
}

static inline void run_load(struct platter_image *img, bool pauses)
{
	struct worker w[THREADS];

	memset(w, 0, sizeof(w));
	for (unsigned int i = 0; i < THREADS; i++) {
		w[i].img = img;
		w[i].seed = i + 1;
		w[i].pauses = pauses && i < 2;
		pthread_create(&w[i].thread, NULL, load, &w[i]);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		assert_ok(w[i].rc, &w[i].err);
	}
}

static inline void *write_one(void *arg)
{
	struct worker *w = arg;
	char buf[512];

	memset(buf, 'w', sizeof(buf));
	w->rc = platter_image_pwrite(w->img, buf, sizeof(buf), w->offset,
				     &w->err);
	w->done = true;
	return NULL;
}

static inline void *flush_one(void *arg)
{
	struct worker *w = arg;

	w->rc = platter_image_flush(w->img, &w->err);
	w->done = true;
	return NULL;
}

static inline void start(struct worker *w, struct platter_image *img,
		  void *(*fn)(void *), uint64_t offset)
{
	memset(w, 0, sizeof(*w));
	w->img = img;
	w->offset = offset;
	assert_int_equal(pthread_create(&w->thread, NULL, fn, w), 0);
}

static inline void join(struct worker *w, int want)
{
	pthread_join(w->thread, NULL);
	assert_int_equal(w->rc, want);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter_scratch, leave_scratch)

#endif
