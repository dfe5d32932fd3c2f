/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * States presented one after another: nobody sees a byte of an earlier one, or
 * changes a later one.
 *
 * The node of a slot is a raw file. Between two states it is changed through
 * the node, and the test tells what it has changed, as a harness does. Who uses
 * the states is a process of its own for each slot, forked before there are
 * threads: one that maps a file which it serves itself can wait for itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "serve/serve.h"

#define SIZE	(1u << 20)
#define BLOCK	4096u
#define SLOTS	3
#define ROUNDS	60
#define RANGES	8

enum way { PREAD, MAPPED, O_DIRECTLY, WAYS };

/* What is asked of the process that uses a slot. */
struct request {
	char path[128];
	enum {
		READ_ALL,	/* is everything as in the shadow? */
		WRITE,		/* some of the shadow */
		HOLD,		/* open, map and change without closing */
		HELD,		/* use what was held: only errors, or 0 */
		LET_GO,
	} what;
	enum way way;
	uint64_t offset;
	size_t len;
};

struct slot {
	unsigned int number;
	struct platter_image *img;
	unsigned char *shadow;	/* what the node holds, in shared memory */
	struct platter_crash_range changed[2 * RANGES];
	size_t nr_changed;
	struct platter_crash_place place;
	uint64_t seed;
	unsigned int held;	/* withdraw() said somebody has it */
	const char *failed;
	pid_t pid;		/* of its user */
	int to, from;		/* pipes */
};

struct lab {
	char dir[64];
	struct platter_context *ctx;
	struct platter_crash_presenter *presenter;
	bool copies;		/* what is written does not get to the node */
	struct slot slot[SLOTS];
};

static uint64_t rnd(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

#define OK(call)	ok((call), &e, __LINE__)

static void ok(int rc, const struct platter_error *e, int line)
{
	if (rc < 0)
		fail_msg("line %d: %s (%d)", line, e->msg, rc);
}

/* ---- the process that uses a slot ---- */

static bool same_by_pread(const struct slot *s, const char *path, int flags)
{
	unsigned char *buf = NULL;
	bool same = false;
	int fd;

	if (posix_memalign((void **)&buf, BLOCK, SIZE))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	if (fd >= 0) {
		same = pread(fd, buf, SIZE, 0) == SIZE &&
		       !memcmp(buf, s->shadow, SIZE);
		close(fd);
	}
	free(buf);
	return same;
}

static bool same_by_mmap(const struct slot *s, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char *p;
	bool same;

	if (fd < 0)
		return false;
	p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return false;
	same = !memcmp(p, s->shadow, SIZE);
	munmap(p, SIZE);
	return same;
}

static bool do_write(const struct slot *s, const struct request *r)
{
	int fd = open(r->path, O_RDWR | O_CLOEXEC);
	unsigned char *p;
	bool done;

	if (fd < 0)
		return false;
	if (r->way == MAPPED) {
		p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			 0);
		done = p != MAP_FAILED;
		if (done) {
			memcpy(p + r->offset, s->shadow + r->offset, r->len);
			munmap(p, SIZE);
		}
	} else {
		done = pwrite(fd, s->shadow + r->offset, r->len,
			      (off_t)r->offset) == (ssize_t)r->len;
	}
	close(fd);
	return done;
}

struct user {
	const struct slot *slot;
	unsigned char *map;
	int fd;
};

static bool hold(struct user *u, const char *path)
{
	u->fd = open(path, O_RDWR | O_CLOEXEC);
	u->map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, u->fd,
		      0);
	if (u->map == MAP_FAILED)
		return false;
	u->map[BLOCK] = 'm';
	return true;
}

static bool held_is_dead(struct user *u)
{
	unsigned char byte = 'x';

	u->map[BLOCK] = 'n';
	if (!msync(u->map, SIZE, MS_SYNC) || pwrite(u->fd, &byte, 1, 0) != -1 ||
	    errno != EIO)
		return false;
	/* What was there before, from memory, or nothing. */
	return pread(u->fd, &byte, 1, 3 * BLOCK) != 1 || byte == 0;
}

static bool answer(struct user *u, const struct request *r)
{
	switch (r->what) {
	case READ_ALL:
		return r->way == MAPPED ? same_by_mmap(u->slot, r->path) :
		       same_by_pread(u->slot, r->path,
				     r->way == O_DIRECTLY ? O_DIRECT : 0);
	case WRITE:
		return do_write(u->slot, r);
	case HOLD:
		return hold(u, r->path);
	case HELD:
		return held_is_dead(u);
	case LET_GO:
	default:
		/* What was changed in memory has nowhere to go. */
		return !munmap(u->map, SIZE) &&
		       (!close(u->fd) || errno == EIO);
	}
}

static void use(const struct slot *s, int in, int out)
{
	struct user u = { .slot = s, .fd = -1 };
	struct request r;
	char good;

	while (read(in, &r, sizeof(r)) == sizeof(r)) {
		good = answer(&u, &r);
		if (write(out, &good, 1) != 1)
			break;
	}
	_exit(0);
}

static void start_user(struct slot *s)
{
	int to[2], from[2];

	s->shadow = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(s->shadow != MAP_FAILED);
	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (!s->pid) {
		close(to[1]);
		use(s, to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	s->to = to[1];
	s->from = from[0];
}

/* The last first: it has inherited the others' pipes. */
static void end_user(struct slot *s)
{
	close(s->to);
	close(s->from);
	waitpid(s->pid, NULL, 0);
	munmap(s->shadow, SIZE);
}

static bool ask(struct slot *s, struct request r)
{
	char good = false;

	snprintf(r.path, sizeof(r.path), "%s", s->place.path);
	return write(s->to, &r, sizeof(r)) == sizeof(r) &&
	       read(s->from, &good, 1) == 1 && good;
}

static bool same(struct slot *s, enum way way)
{
	return ask(s, (struct request){ .what = READ_ALL, .way = way });
}

/* As a checker does: it is told of as a change when the state is over. */
static bool write_some(struct slot *s, enum way way)
{
	struct request r = { .what = WRITE, .way = way };

	r.offset = rnd(&s->seed) % (SIZE - BLOCK);
	r.len = 1 + rnd(&s->seed) % BLOCK;
	memset(s->shadow + r.offset, (int)rnd(&s->seed), r.len);
	s->changed[s->nr_changed++] = (struct platter_crash_range){ r.offset,
								    r.len };
	return ask(s, r);
}

/* ---- the slot's node ---- */

static void open_node(struct lab *lab, struct slot *s)
{
	const struct platter_open_options opts = {
		.format = "raw",
		.flags = PLATTER_O_RDWR | PLATTER_O_SHARE,
	};
	struct platter_error e = PLATTER_ERROR_INIT;
	char name[96];
	int fd;

	snprintf(name, sizeof(name), "%s/node-%u", lab->dir, s->number);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
	OK(platter_image_open(&s->img, lab->ctx, name, &opts, &e));
	unlink(name);
}

/* Through the node, and told or not. */
static void change(struct slot *s, uint64_t offset, size_t len, int value,
		   bool tell)
{
	struct platter_error e = PLATTER_ERROR_INIT;

	memset(s->shadow + offset, value, len);
	OK(platter_image_pwrite(s->img, s->shadow + offset, len, offset, &e));
	if (tell)
		s->changed[s->nr_changed++] = (struct platter_crash_range){
			offset, len };
}

static int by_offset(const void *a, const void *b)
{
	const struct platter_crash_range *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void present(struct lab *lab, struct slot *s, unsigned int round,
		    bool cold)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	char name[32];

	qsort(s->changed, s->nr_changed, sizeof(s->changed[0]), by_offset);
	snprintf(name, sizeof(name), "%u-%u", s->number, round);
	OK(lab->presenter->present(lab->presenter, s->number, name, s->img,
				   s->changed, s->nr_changed, cold, &s->place,
				   &e));
	s->nr_changed = 0;
}

static int withdraw(struct lab *lab, struct slot *s)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	int rc;

	rc = lab->presenter->withdraw(lab->presenter, s->number, &e);
	ok(rc, &e, __LINE__);
	return rc;
}

static int setup(struct lab **out, enum serve_states_how how)
{
	struct serve_states_options opts = {
		.how = how,
		.slots = SLOTS,
		.size = SIZE,
	};
	struct lab *lab = calloc(1, sizeof(*lab));
	struct platter_error e = PLATTER_ERROR_INIT;
	const char *tmp = getenv("TMPDIR");
	int rc;

	*out = lab;
	assert_non_null(lab);
	snprintf(lab->dir, sizeof(lab->dir), "%s/states-XXXXXX",
		 tmp && *tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(lab->dir));
	opts.dir = lab->dir;
	OK(platter_context_new(&lab->ctx, &e));
	for (unsigned int i = 0; i < SLOTS; i++) {
		lab->slot[i].number = i;
		lab->slot[i].seed = 88172645463325252u + i;
		start_user(&lab->slot[i]);
		open_node(lab, &lab->slot[i]);
	}
	rc = serve_states_new(&lab->presenter, &opts, NULL, &e);
	if (rc == -ENOTSUP || rc == -EPERM) {
		printf("%s\n", e.msg);
		return rc;
	}
	ok(rc, &e, __LINE__);
	return 0;
}

static void teardown(struct lab *lab)
{
	platter_crash_presenter_free(lab->presenter);
	for (unsigned int i = SLOTS; i-- > 0;) {
		end_user(&lab->slot[i]);
		assert_int_equal(platter_image_close(lab->slot[i].img, NULL),
				 0);
	}
	platter_context_free(lab->ctx);
	assert_int_equal(rmdir(lab->dir), 0);
	free(lab);
}

#define WITH_LAB(lab, how)				\
	struct lab *lab;				\
	if (setup(&lab, how)) {				\
		teardown(lab);				\
		skip();					\
	}

/* ---- many states ---- */

static bool node_is_same(struct slot *s)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	unsigned char *buf = malloc(SIZE);
	bool same;

	assert_non_null(buf);
	OK(platter_image_pread(s->img, buf, SIZE, 0, &e));
	same = !memcmp(buf, s->shadow, SIZE);
	free(buf);
	return same;
}

/* The shadow is as the node is, which has not changed. */
static void forget_written(struct slot *s)
{
	struct platter_error e = PLATTER_ERROR_INIT;

	OK(platter_image_pread(s->img, s->shadow, SIZE, 0, &e));
	s->nr_changed = 0;
}

struct running {
	struct lab *lab;
	struct slot *slot;
	bool cold;
	pthread_t thread;
};

/* As a thread of a harness. */
static void *run_slot(void *arg)
{
	struct running *r = arg;
	struct slot *s = r->slot;

	for (unsigned int i = 0; i < ROUNDS && !s->failed; i++) {
		for (int n = 0; n < RANGES / 2; n++)
			change(s, rnd(&s->seed) % (SIZE - 3 * BLOCK),
			       1 + rnd(&s->seed) % (3 * BLOCK),
			       (int)rnd(&s->seed), true);
		present(r->lab, s, i, r->cold);
		/* Direct I/O knows no shared mapping. */
		for (int n = 0; n < 3; n++)
			if (!same(s, r->cold ? PREAD : (i + n) % WAYS))
				s->failed = "an earlier state shows through";
		for (int n = 0; n < 2; n++)
			if (!write_some(s, r->cold || (i + n) % 2 ? PREAD :
							    MAPPED))
				s->failed = "it cannot be written";
		if (!same(s, PREAD))
			s->failed = "what was written is not there";
		s->held += (unsigned int)withdraw(r->lab, s);
		if (r->lab->copies)
			forget_written(s);
		if (!node_is_same(s))
			s->failed = "what was written is not in the node";
	}
	return NULL;
}

static void run_all(struct lab *lab, bool cold)
{
	struct running r[SLOTS];

	for (unsigned int i = 0; i < SLOTS; i++) {
		r[i] = (struct running){ lab, &lab->slot[i], cold, 0 };
		assert_int_equal(pthread_create(&r[i].thread, NULL, run_slot,
						&r[i]), 0);
	}
	for (unsigned int i = 0; i < SLOTS; i++)
		pthread_join(r[i].thread, NULL);
	for (unsigned int i = 0; i < SLOTS; i++) {
		if (lab->slot[i].failed)
			fail_msg("slot %u: %s", i, lab->slot[i].failed);
		/* A loaded machine may be late, but not each time. */
		assert_true(lab->slot[i].held < ROUNDS);
	}
}

/* ---- tests ---- */

static void test_many_states(void **state)
{
	WITH_LAB(lab, SERVE_STATES_FUSE);

	(void)state;
	run_all(lab, false);
	teardown(lab);
}

static void test_many_copies(void **state)
{
	WITH_LAB(lab, SERVE_STATES_COPY);

	(void)state;
	lab->copies = true;
	run_all(lab, false);
	teardown(lab);
}

static void test_many_cold_states(void **state)
{
	WITH_LAB(lab, SERVE_STATES_FUSE);

	(void)state;
	run_all(lab, true);
	teardown(lab);
}

/* Until the machine is fast enough that the last close was seen in time. */
static void prepare(struct lab *lab, struct slot *s)
{
	unsigned int round = 0;

	do {
		s->changed[0] = (struct platter_crash_range){ 0, SIZE };
		s->nr_changed = 1;
		present(lab, s, round++, false);
		assert_true(same(s, PREAD));
	} while (withdraw(lab, s));
}

static void test_cache_is_kept(void **state)
{
	WITH_LAB(lab, SERVE_STATES_FUSE);
	struct slot *s = &lab->slot[0];

	(void)state;
	prepare(lab, s);
	change(s, 0, 1, 'a', true);
	change(s, SIZE / 2, 1, 'b', false);
	s->shadow[SIZE / 2] = 0;
	present(lab, s, 1000, false);
	assert_true(same(s, PREAD));
	withdraw(lab, s);
	teardown(lab);
}

static void test_cold_reads_all_anew(void **state)
{
	WITH_LAB(lab, SERVE_STATES_FUSE);
	struct slot *s = &lab->slot[0];

	(void)state;
	prepare(lab, s);
	change(s, SIZE / 2, 1, 'b', false);
	present(lab, s, 1000, true);
	assert_true(same(s, PREAD));
	withdraw(lab, s);
	teardown(lab);
}

static void test_held_file_is_another(void **state)
{
	WITH_LAB(lab, SERVE_STATES_FUSE);
	struct slot *s = &lab->slot[0];

	(void)state;
	prepare(lab, s);
	present(lab, s, 1, false);
	assert_true(ask(s, (struct request){ .what = HOLD }));
	assert_int_equal(withdraw(lab, s), 1);
	/* It came before, or never. */
	assert_int_equal(platter_image_pread(s->img, s->shadow + BLOCK, 1,
					     BLOCK, NULL), 0);
	assert_true(s->shadow[BLOCK] == 0 || s->shadow[BLOCK] == 'm');

	change(s, 0, SIZE, 'n', true);
	present(lab, s, 2, false);
	assert_true(ask(s, (struct request){ .what = HELD }));
	for (enum way way = 0; way < WAYS; way++)
		assert_true(same(s, way));
	assert_true(ask(s, (struct request){ .what = LET_GO }));
	assert_true(same(s, MAPPED));
	withdraw(lab, s);
	assert_true(node_is_same(s));
	teardown(lab);
}

static void test_name_is_gone(void **state)
{
	WITH_LAB(lab, SERVE_STATES_FUSE);
	struct slot *s = &lab->slot[0];
	char *path;

	(void)state;
	prepare(lab, s);
	present(lab, s, 7, false);
	path = strdup(s->place.path);
	assert_int_equal(access(path, F_OK), 0);
	withdraw(lab, s);
	assert_int_equal(open(path, O_RDONLY), -1);
	assert_int_equal(errno, ENOENT);
	present(lab, s, 8, false);
	assert_int_equal(open(path, O_RDONLY), -1);
	assert_int_equal(errno, ENOENT);
	withdraw(lab, s);
	free(path);
	teardown(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_states),
		cmocka_unit_test(test_many_cold_states),
		cmocka_unit_test(test_many_copies),
		cmocka_unit_test(test_cache_is_kept),
		cmocka_unit_test(test_cold_reads_all_anew),
		cmocka_unit_test(test_held_file_is_another),
		cmocka_unit_test(test_name_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
