/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Node specs, opening and probing: what a spec opens, and what it says when it
 * does not. Each refusal is one line that names the thing refused.
 */
#include "core-test.h"

#include "base/error.h"
#include "base/opts.h"

static const struct platter_open_options image_opts = { .image_opts = true };
static const struct platter_open_options as_raw = { .format = "raw" };

static void check_open(struct platter_context *ctx, const char *spec,
		       const struct platter_open_options *opts,
		       const char *format, uint64_t size)
{
	struct platter_image *img = open_with(ctx, spec, opts);

	assert_string_equal(platter_image_format(img), format);
	assert_int_equal(platter_image_size(img), size);
	assert_false(platter_image_writable(img));
	close_image(img);
}

static void opens_every_kind_of_spec(void **state)
{
	struct platter_context *ctx = new_context();

	(void)state;
	make_sparse("a", 4096);
	make_sparse("b:c", 1024);
	make_sparse("x,y", 512);
	check_open(ctx, "a", NULL, "raw", 4096);
	check_open(ctx, "a", &as_raw, "raw", 4096);
	check_open(ctx, "file:a", NULL, "raw", 4096);
	check_open(ctx, "b:c", NULL, "raw", 1024);
	check_open(ctx, "x,y", &as_raw, "raw", 512);
	check_open(ctx, "driver=raw,file=a", &image_opts, "raw", 4096);
	check_open(ctx, "driver=raw,file.filename=a", &image_opts, "raw",
		   4096);
	check_open(ctx, "driver=raw,file.driver=file,file.filename=x,,y",
		   &image_opts, "raw", 512);
	check_open(ctx, "driver=raw,offset=512,size=1k,file=a", &image_opts,
		   "raw", 1024);
	check_open(ctx, "driver=raw,file.driver=raw,file.offset=1k,"
		   "file.file=a,offset=1k", &image_opts, "raw", 2048);
	check_open(ctx, "filename=a", &image_opts, "raw", 4096);
	check_open(ctx, "file=a", &image_opts, "raw", 4096);
	check_open(ctx, "driver=file,filename=a", &image_opts, "file", 4096);
	check_open(ctx, "driver=null-co,size=1M", &image_opts, "null",
		   1 << 20);
	check_open(ctx, "null-aio://", NULL, "raw", 1 << 30);
	check_open(ctx, "json:{\"driver\": \"raw\", \"size\": 512,"
		   " \"file\": {\"driver\": \"file\", \"filename\": \"a\"}}",
		   NULL, "raw", 512);
	check_open(ctx, "json:{\"file\": {\"filename\": \"a\"}}", &as_raw,
		   "raw", 4096);
	platter_context_free(ctx);
}

static void refuses_bad_specs_in_one_line(void **state)
{
	static const struct {
		const char *spec, *part;
		bool image_opts;
		int rc;
	} v[] = {
		{ "", "file name is empty", false, -EINVAL },
		{ "no-such-file", "no-such-file: No such file", false,
		  -ENOENT },
		{ "nbd://host/x", "no driver for nbd", false,
		  -EPROTONOSUPPORT },
		{ "nbd:x", "no driver for nbd (for a file of that name, "
		  "write ./nbd:x)", false, -EPROTONOSUPPORT },
		{ "fifo", "fifo: is a FIFO, not a regular file", false,
		  -EINVAL },
		{ "dir", "dir: is a directory, not a regular file", false,
		  -EISDIR },
		{ "json:{", "JSON", false, -EINVAL },
		{ "json:{}", "no \"driver\", \"filename\" or \"file\"", false,
		  -EINVAL },
		{ "driver=x,file=a", "unknown driver \"x\"", true, -EINVAL },
		{ "driver=raw", "driver \"raw\" needs the option \"file\"",
		  true, -EINVAL },
		{ "driver=file", "needs the option \"filename\"", true,
		  -EINVAL },
		{ "driver=raw,file=a,sise=1", "a: unknown option 'sise'", true,
		  -EINVAL },
		{ "driver=raw,file.filename=a,file.x=1",
		  "a: unknown option 'x'", true, -EINVAL },
		{ "filename=a,offset=512", "unknown option 'offset'", true,
		  -EINVAL },
		{ "driver=raw,file.size=1", "neither \"driver\" nor", true,
		  -EINVAL },
		{ "driver=raw,file.filename=", "file name is empty", true,
		  -EINVAL },
		/* json: is for the command line only. */
		{ "driver=raw,file=json:{}", "no driver for json", true,
		  -EPROTONOSUPPORT },
		{ "driver=raw,file=a,offset=8192", "a: offset 8192 is beyond "
		  "the file's size of 4096", true, -EINVAL },
		{ "driver=raw,file=a,offset=512,size=4096",
		  "reach beyond the file's size of 4096", true, -EINVAL },
		{ "driver=raw,file=a,size=100",
		  "not a multiple of 512", true, -EINVAL },
		{ "driver=raw,file=a,offset=1,size=7E", "reach beyond", true,
		  -EINVAL },
		{ "driver=host_device,filename=a", "a: is a regular file, not "
		  "a block or character device", true, -EINVAL },
		{ "driver=file,filename=/dev/null", "is a character device, "
		  "not a regular file", true, -EINVAL },
		{ "driver=null,filename=a", "only file name", true, -EINVAL },
	};
	struct platter_context *ctx = new_context();

	(void)state;
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(mkdir("dir", 0700), 0);
	make_sparse("a", 4096);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		struct platter_open_options o = {
			.image_opts = v[i].image_opts,
		};

		refuse(ctx, v[i].spec, &o, v[i].rc, v[i].part);
	}
	platter_context_free(ctx);
}

static void refuses_formats_that_contradict(void **state)
{
	struct platter_open_options unknown = { .format = "qcow9" };
	struct platter_open_options both = {
		.format = "raw", .image_opts = true,
	};
	struct platter_context *ctx = new_context();

	(void)state;
	make_sparse("a", 4096);
	refuse(ctx, "a", &unknown, -EINVAL, "unknown format \"qcow9\"");
	refuse(ctx, "file=a", &both, -EINVAL, "exclude each other");
	refuse(ctx, "json:{\"driver\": \"file\", \"filename\": \"a\"}", &as_raw,
	       -EINVAL, "say driver \"file\"");
	platter_context_free(ctx);
}

static void names_an_error_once(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_context *ctx = new_context();
	struct platter_image *img;

	(void)state;
	assert_int_equal(platter_image_open(&img, ctx, "gone", NULL, &err),
			 -ENOENT);
	assert_string_equal(err.msg, "gone: No such file or directory");
	platter_context_free(ctx);
}

/* ---- probing ---- */

static int one_sector(struct platter_image *file)
{
	return platter_image_size(file) == 512 ? 0 : 1;
}

static int magic_map(struct platter_image *img, uint64_t offset, uint64_t len,
		     struct platter_map *maps, size_t *count,
		     struct platter_error *err)
{
	(void)img;
	(void)err;
	*count = 1;
	maps[0] = (struct platter_map) {
		.length = len,
		.kind = PLATTER_MAP_DATA,
		.child = platter_image_child(img, "file"),
		.offset = offset,
	};
	return 0;
}

static const struct platter_magic head_magic = { "HEAD", 4, 3 };
static const struct platter_magic tail_magic = { "TAIL", 4, -8 };
static const struct platter_format_ops magic_ops = { .map = magic_map };

static const struct platter_driver head_driver = {
	.name = "head", .kind = PLATTER_DRIVER_FORMAT,
	.magics = &head_magic, .nr_magics = 1,
	.format = &magic_ops,
};
static const struct platter_driver picky_driver = {
	.name = "picky", .kind = PLATTER_DRIVER_FORMAT,
	.magics = &head_magic, .nr_magics = 1, .verify = one_sector,
	.format = &magic_ops,
};
static const struct platter_driver tail_driver = {
	.name = "tail", .kind = PLATTER_DRIVER_FORMAT,
	.magics = &tail_magic, .nr_magics = 1,
	.format = &magic_ops,
};

/* The built-in table with others added, so that `file` and `raw` are there. */
static struct platter_context *
context_with(struct platter_context *builtin,
	     const struct platter_driver *const *more, size_t count,
	     const struct platter_driver **table)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_context *ctx;
	size_t n = 0;

	for (size_t i = 0; i < builtin->nr_drivers; i++)
		table[n++] = builtin->drivers[i];
	for (size_t i = 0; i < count; i++)
		table[n++] = more[i];
	assert_ok(platter_context_new_with(&ctx, table, n, &err), &err);
	return ctx;
}

static void probes_by_magic_at_either_end(void **state)
{
	const struct platter_driver *more[] = {
		&head_driver, &tail_driver, &picky_driver,
	}, *table[32];
	struct platter_context *builtin = new_context();
	struct platter_context *ctx = context_with(builtin, more, 3, table);
	char buf[1024] = { 0 };

	(void)state;
	make_file("none", buf, sizeof(buf));
	make_file("empty", buf, 0);
	make_file("short", "HE", 2);
	memcpy(buf + 3, "HEAD", 4);
	make_file("h", buf, sizeof(buf));
	memset(buf, 0, sizeof(buf));
	memcpy(buf + sizeof(buf) - 8, "TAIL", 4);
	make_file("t", buf, sizeof(buf));
	check_open(ctx, "none", NULL, "raw", 1024);
	check_open(ctx, "empty", NULL, "raw", 0);
	check_open(ctx, "short", NULL, "raw", 512);
	/* head and tail set no size: this is about the name. */
	check_open(ctx, "h", NULL, "head", 0);
	check_open(ctx, "t", NULL, "tail", 0);
	platter_context_free(ctx);
	platter_context_free(builtin);
}

static void refuses_to_choose_between_two_formats(void **state)
{
	const struct platter_driver *more[] = {
		&head_driver, &tail_driver, &picky_driver,
	}, *table[32];
	struct platter_context *builtin = new_context();
	struct platter_context *ctx = context_with(builtin, more, 3, table);
	struct platter_open_options tail = { .format = "tail" };
	char buf[1024] = { 0 };

	(void)state;
	memcpy(buf + 3, "HEAD", 4);
	memcpy(buf + sizeof(buf) - 8, "TAIL", 4);
	make_file("both", buf, sizeof(buf));
	refuse(ctx, "both", NULL, -EINVAL,
	       "both: looks like head as well as tail; say which with -f");
	check_open(ctx, "both", &tail, "tail", 0);
	/* A magic that verify confirms counts, one that it denies does not. */
	make_file("one", buf, 512);
	refuse(ctx, "one", NULL, -EINVAL, "like head as well as picky");
	platter_context_free(ctx);
	platter_context_free(builtin);
}

static void refuses_to_write_what_it_guessed_to_be_raw(void **state)
{
	struct platter_open_options rw = { .flags = PLATTER_O_RDWR };
	struct platter_open_options ok = {
		.flags = PLATTER_O_RDWR | PLATTER_O_PROBED_RAW,
	};
	struct platter_context *ctx = new_context();
	struct platter_image *img;

	(void)state;
	make_sparse("a", 4096);
	refuse(ctx, "a", &rw, -EPERM, "-f raw");
	refuse(ctx, "json:{\"filename\": \"a\"}", &rw, -EPERM, "-f raw");
	img = open_with(ctx, "a", &ok);
	assert_true(img->probed);
	close_image(img);
	rw.format = "raw";
	img = open_with(ctx, "a", &rw);
	assert_false(img->probed);
	assert_true(platter_image_writable(img));
	close_image(img);
	platter_context_free(ctx);
}

/* ---- limits ---- */

static char *nested(unsigned int depth)
{
	char *spec, *p;

	spec = p = malloc(64 * 512);
	assert_non_null(spec);
	p = stpcpy(p, "json:");
	for (unsigned int i = 0; i < depth; i++)
		p = stpcpy(p, "{\"driver\": \"raw\", \"file\": ");
	p = stpcpy(p, "{\"driver\": \"file\", \"filename\": \"a\"}");
	for (unsigned int i = 0; i < depth; i++)
		p = stpcpy(p, "}");
	return spec;
}

static void bounds_the_depth_of_nodes(void **state)
{
	struct platter_context *ctx = new_context();
	char *spec;

	(void)state;
	make_sparse("a", 4096);
	spec = nested(PLT_MAX_DEPTH - 1);
	check_open(ctx, spec, NULL, "raw", 4096);
	free(spec);
	spec = nested(PLT_MAX_DEPTH);
	refuse(ctx, spec, NULL, -ELOOP, "more than 64 deep");
	free(spec);
	platter_context_free(ctx);
}

static int many_open(struct platter_image *img, struct platter_options *opts,
		     struct platter_error *err)
{
	char role[16];
	int rc = 0;

	for (int i = 0; rc == 0 && i <= PLT_MAX_CHILDREN; i++) {
		snprintf(role, sizeof(role), "e%d", i);
		rc = plt_options_set(opts, role, "a", err);
		if (rc == 0)
			rc = platter_image_open_child(img, role, opts, "file",
						      0, err);
	}
	return rc;
}

static const struct platter_driver many_driver = {
	.name = "many", .kind = PLATTER_DRIVER_FORMAT, .open = many_open,
	.format = &magic_ops,
};

static void bounds_the_children_of_a_node(void **state)
{
	const struct platter_driver *more[] = { &many_driver }, *table[32];
	struct platter_context *builtin = new_context();
	struct platter_context *ctx = context_with(builtin, more, 1, table);

	(void)state;
	make_sparse("a", 512);
	refuse(ctx, "driver=many", &image_opts, -EMLINK, "more than 64 files");
	platter_context_free(ctx);
	platter_context_free(builtin);
}

/* A disk with a bad sector, which Linux reports as ENODATA. */
static int bad_open(struct platter_image *img, struct platter_options *opts,
		    struct platter_error *err)
{
	(void)img;
	(void)opts;
	return plt_err_set(err, -ENODATA, "medium error");
}

static int optional_open(struct platter_image *img,
			 struct platter_options *opts,
			 struct platter_error *err)
{
	int rc = platter_image_open_child(img, "backing", opts, NULL, 0, err);

	return rc == -ENODATA ? 0 : rc;
}

static const struct platter_driver bad_driver = {
	.name = "bad", .kind = PLATTER_DRIVER_FORMAT, .open = bad_open,
	.format = &magic_ops,
};
static const struct platter_driver optional_driver = {
	.name = "optional", .kind = PLATTER_DRIVER_FORMAT,
	.open = optional_open, .format = &magic_ops,
};

static void a_child_that_fails_is_not_taken_for_absent(void **state)
{
	const struct platter_driver *more[] = {
		&bad_driver, &optional_driver,
	}, *table[32];
	struct platter_context *builtin = new_context();
	struct platter_context *ctx = context_with(builtin, more, 2, table);

	(void)state;
	check_open(ctx, "driver=optional", &image_opts, "optional", 0);
	refuse(ctx, "driver=optional,backing=gone", &image_opts, -ENOENT,
	       "gone: No such file");
	refuse(ctx, "driver=optional,backing.driver=bad", &image_opts, -EIO,
	       "medium error");
	platter_context_free(ctx);
	platter_context_free(builtin);
}

static void parses_cache_modes(void **state)
{
	static const struct {
		const char *name;
		enum platter_cache cache;
	} v[] = {
		{ "none", PLATTER_CACHE_NONE },
		{ "off", PLATTER_CACHE_NONE },
		{ "writeback", PLATTER_CACHE_WRITEBACK },
		{ "writethrough", PLATTER_CACHE_WRITETHROUGH },
		{ "directsync", PLATTER_CACHE_DIRECTSYNC },
		{ "unsafe", PLATTER_CACHE_UNSAFE },
	};
	struct platter_error err = PLATTER_ERROR_INIT;
	enum platter_cache cache;

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		assert_ok(platter_cache_parse(&cache, v[i].name, &err), &err);
		assert_int_equal(cache, v[i].cache);
	}
	assert_int_equal(platter_cache_parse(&cache, "fast", &err), -EINVAL);
	assert_has(err.msg, "\"fast\" is not one of");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter_scratch, leave_scratch)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(opens_every_kind_of_spec),
		TEST(refuses_bad_specs_in_one_line),
		TEST(refuses_formats_that_contradict),
		TEST(names_an_error_once),
		TEST(probes_by_magic_at_either_end),
		TEST(refuses_to_choose_between_two_formats),
		TEST(refuses_to_write_what_it_guessed_to_be_raw),
		TEST(bounds_the_depth_of_nodes),
		TEST(bounds_the_children_of_a_node),
		TEST(a_child_that_fails_is_not_taken_for_absent),
		TEST(parses_cache_modes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
