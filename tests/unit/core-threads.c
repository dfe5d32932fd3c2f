/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Eight threads on one node. Each owns every eighth slot of 1000 bytes, so
 * that neighbours share blocks: a block read, changed and written back while
 * another thread writes to it would lose that thread's bytes.
 */
#include "core-test.h"

#define THREADS	8
#define SLOT	1000u
#define SLOTS	512u		/* whole sectors in all */
#define ROUNDS	1500

struct worker {
	struct platter_image *img;
	char *shadow;		/* of the whole image; own slots only */
	unsigned int index;
	uint64_t seed;
	struct platter_error err;
	const char *failed;
};

static size_t image_size(void)
{
	return (size_t)SLOT * SLOTS;
}

static int change_slot(struct worker *w, size_t at)
{
	size_t skip = rnd(&w->seed) % SLOT;
	size_t len = 1 + rnd(&w->seed) % (SLOT - skip);
	char *own = w->shadow + at + skip;

	if (rnd(&w->seed) % 4 == 0) {
		memset(own, 0, len);
		return platter_image_zero(w->img, at + skip, len, 0, &w->err);
	}
	memset(own, (int)(rnd(&w->seed) % 255 + 1), len);
	return platter_image_pwrite(w->img, own, len, at + skip, &w->err);
}

static int check_slot(struct worker *w, size_t at)
{
	char buf[SLOT];
	int rc;

	rc = platter_image_pread(w->img, buf, SLOT, at, &w->err);
	if (rc == 0 && memcmp(buf, w->shadow + at, SLOT))
		w->failed = "a slot has changed under its owner";
	return rc;
}

static int look_around(struct worker *w)
{
	struct platter_extent ext[4];
	size_t count = 4;
	int rc;

	rc = platter_image_map(w->img, 0, image_size(), ext, &count, &w->err);
	if (rc == 0 && platter_image_allocated(w->img) < 0)
		w->failed = "the allocated size is not known";
	if (rc == 0)
		rc = platter_image_flush(w->img, &w->err);
	return rc;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < ROUNDS && !w->failed; i++) {
		size_t slot = rnd(&w->seed) % (SLOTS / THREADS);
		size_t at = (slot * THREADS + w->index) * SLOT;
		int rc;

		if (i % 64 == 0)
			rc = look_around(w);
		else if (rnd(&w->seed) % 2)
			rc = change_slot(w, at);
		else
			rc = check_slot(w, at);
		if (rc < 0)
			w->failed = w->err.msg;
	}
	return NULL;
}

static void run(struct platter_image *img, char *shadow)
{
	struct worker workers[THREADS] = { 0 };
	pthread_t threads[THREADS];

	for (unsigned int i = 0; i < THREADS; i++) {
		workers[i].img = img;
		workers[i].shadow = shadow;
		workers[i].index = i;
		workers[i].seed = i;
		assert_int_equal(pthread_create(&threads[i], NULL, work,
						&workers[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned int i = 0; i < THREADS; i++) {
		if (workers[i].failed)
			fail_msg("thread %u: %s", i, workers[i].failed);
	}
}

static void run_with_cache(enum platter_cache cache)
{
	struct platter_open_options opts = {
		.format = "raw", .flags = PLATTER_O_RDWR, .cache = cache,
	};
	char *shadow = calloc(1, image_size()), *buf = malloc(image_size());
	struct platter_context *ctx = new_context();
	struct platter_image *img;

	assert_non_null(shadow);
	assert_non_null(buf);
	/* Not whole sectors: the raw tail grows while others write. */
	make_sparse("f", image_size() - 300);
	img = open_with(ctx, "f", &opts);
	run(img, shadow);
	do_read(img, buf, image_size(), 0);
	assert_memory_equal(buf, shadow, image_size());
	close_image(img);
	platter_context_free(ctx);
	free(shadow);
	free(buf);
}

static void threads_share_a_node_through_the_page_cache(void **state)
{
	(void)state;
	run_with_cache(PLATTER_CACHE_WRITEBACK);
}

static void threads_share_a_node_past_the_page_cache(void **state)
{
	int fd = open("probe", O_RDWR | O_CREAT | O_DIRECT, 0600);

	(void)state;
	if (fd < 0)
		skip();
	close(fd);
	run_with_cache(PLATTER_CACHE_NONE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter_scratch, leave_scratch)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(threads_share_a_node_through_the_page_cache),
		TEST(threads_share_a_node_past_the_page_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
