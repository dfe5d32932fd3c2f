/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter bench`: how many requests an image answers per second. */
#include <string.h>

#include "cmd.h"

enum {
	KEY_PATTERN = CMD_KEY_FIRST,
	KEY_FLUSH_INTERVAL,
	KEY_NO_DRAIN,
	KEY_THREADS,
	KEY_RANDOM,
	KEY_SEED,
};

/* qemu-img's defaults and limits. */
#define COUNT_DEFAULT	75000u
#define DEPTH_DEFAULT	64u
#define SIZE_DEFAULT	4096u
#define THREADS_MAX	1024u
/* More threads than that only get in each other's way. */
#define DEPTH_THREADS	64u

struct bench_options {
	struct cmd_image image;
	struct cmd_progress progress;
	struct cmd_output output;
	struct platter_bench_options job;
	uint64_t depth, threads;
	enum platter_cache cache;
	bool step_given;
};

static const struct argp_option options[] = {
	{ .name = "count", .key = 'c', .arg = "NUMBER",
	  .doc = "send that many requests (75000)" },
	{ .name = "depth", .key = 'd', .arg = "NUMBER",
	  .doc = "that many at a time, by as many threads, at most 64 (64)" },
	{ .name = "threads", .key = KEY_THREADS, .arg = "NUMBER",
	  .doc = "exactly that many threads, whatever -d says" },
	{ .name = "offset", .key = 'o', .arg = "SIZE",
	  .doc = "begin there (0)" },
	{ .name = "buffer-size", .key = 's', .arg = "SIZE",
	  .doc = "bytes of a request (4K)" },
	{ .name = "step-size", .key = 'S', .arg = "SIZE",
	  .doc = "bytes from one request to the next, beginning again at the "
		 "end of the image (the size of a request)" },
	{ .name = "random", .key = KEY_RANDOM,
	  .doc = "at random multiples of the size of a request instead" },
	{ .name = "seed", .key = KEY_SEED, .arg = "NUMBER",
	  .doc = "with --random: another order (0)" },
	{ .name = "write", .key = 'w',
	  .doc = "write instead of reading: the data of the image is lost" },
	{ .name = "pattern", .key = KEY_PATTERN, .arg = "BYTE",
	  .doc = "write bytes of that value (0)" },
	{ .name = "flush-interval", .key = KEY_FLUSH_INTERVAL, .arg = "NUMBER",
	  .doc = "with -w: flush after every so many requests" },
	{ .name = "no-drain", .key = KEY_NO_DRAIN,
	  .doc = "do not wait for the requests before a flush" },
	{ .name = "cache", .key = 't', .arg = "CACHE",
	  .doc = "cache mode of the image (writeback)" },
	{ .name = "aio", .key = 'i', .arg = "threads|native",
	  .doc = "allowed, and not used: requests are made by threads" },
	{ .name = "native", .key = 'n',
	  .doc = "allowed, and not used" },
	{ 0 },
};

static error_t parse_aio(const struct argp_state *state, const char *arg)
{
	static const char *const names[] = { "threads", "native", "io_uring" };

	for (size_t i = 0; i < CMD_ARRAY_SIZE(names); i++)
		if (!strcmp(arg, names[i]))
			return 0;
	return cmd_usage(state, "-i: '%s' is not threads, native or io_uring",
			 arg);
}

static error_t parse_size(const struct argp_state *state, const char *arg,
			  uint32_t *out)
{
	uint64_t size;
	error_t rc = cmd_parse_size(state, "-s", arg, &size);

	if (!rc && size > INT32_MAX)
		return cmd_usage(state, "-s: %s is over the limit of %d bytes",
				 arg, INT32_MAX);
	*out = (uint32_t)size;
	return rc;
}

static error_t parse_pattern(const struct argp_state *state, const char *arg,
			     uint8_t *out)
{
	uint64_t value;
	error_t rc = cmd_parse_number(state, "--pattern", arg, 0, UINT8_MAX,
				      &value);

	*out = (uint8_t)value;
	return rc;
}

static error_t finish(const struct argp_state *state, struct bench_options *o)
{
	if (!o->step_given)
		o->job.step = o->job.size;
	if (o->job.flush_interval && !o->job.write)
		return cmd_usage(state, "--flush-interval needs -w");
	if (o->job.flush_interval && o->job.flush_interval < o->depth)
		return cmd_usage(state, "--flush-interval: %" PRIu64
				 " is smaller than the depth of %" PRIu64,
				 o->job.flush_interval, o->depth);
	if (!o->threads)
		o->threads = o->depth < DEPTH_THREADS ? o->depth :
							DEPTH_THREADS;
	o->job.threads = (unsigned int)o->threads;
	return 0;
}

static error_t init(struct argp_state *state, struct bench_options *o)
{
	o->job.count = COUNT_DEFAULT;
	o->job.size = SIZE_DEFAULT;
	o->depth = DEPTH_DEFAULT;
	state->child_inputs[0] = &o->image;
	state->child_inputs[1] = &o->progress;
	state->child_inputs[2] = &o->output;
	return 0;
}

static error_t parse_more(int key, char *arg, struct argp_state *state)
{
	struct bench_options *o = state->input;

	switch (key) {
	case 'w':
		o->job.write = true;
		return 0;
	case KEY_PATTERN:
		return parse_pattern(state, arg, &o->job.pattern);
	case KEY_FLUSH_INTERVAL:
		return cmd_parse_number(state, "--flush-interval", arg, 0,
					INT32_MAX, &o->job.flush_interval);
	case KEY_NO_DRAIN:
		o->job.no_drain = true;
		return 0;
	case KEY_RANDOM:
		o->job.random = true;
		return 0;
	case KEY_SEED:
		return cmd_parse_number(state, "--seed", arg, 0, UINT64_MAX,
					&o->job.seed);
	case 't':
		return cmd_parse_cache(state, arg, &o->cache);
	case 'i':
		return parse_aio(state, arg);
	case 'n':
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct bench_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		return init(state, o);
	case 'c':
		return cmd_parse_number(state, "-c", arg, 0, INT32_MAX,
					&o->job.count);
	case 'd':
		return cmd_parse_number(state, "-d", arg, 1, INT32_MAX,
					&o->depth);
	case KEY_THREADS:
		return cmd_parse_number(state, "--threads", arg, 1,
					THREADS_MAX, &o->threads);
	case 'o':
		return cmd_parse_size(state, "-o", arg, &o->job.offset);
	case 's':
		return parse_size(state, arg, &o->job.size);
	case 'S':
		o->step_given = true;
		return cmd_parse_size(state, "-S", arg, &o->job.step);
	case ARGP_KEY_END:
		return finish(state, o);
	default:
		return parse_more(key, arg, state);
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_IMAGE,
	CMD_CHILD_PROGRESS,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "FILE",
	.doc = "Send many read or write requests to an image, several at a "
	       "time, and say how long they took.",
	.children = children,
};

/* qemu-img's lines. */
static void print_plan(struct platter_printer *out,
		       const struct bench_options *o)
{
	const struct platter_bench_options *job = &o->job;

	if (job->random)
		platter_out_text(out, "Sending %" PRIu64 " %s requests, %"
				 PRIu32 " bytes each, %u in parallel (at "
				 "random, seed %" PRIu64 ")\n", job->count,
				 job->write ? "write" : "read", job->size,
				 job->threads, job->seed);
	else
		platter_out_text(out, "Sending %" PRIu64 " %s requests, %"
				 PRIu32 " bytes each, %" PRIu64 " in parallel "
				 "(starting at offset %" PRIu64 ", step size %"
				 PRIu64 ")\n", job->count,
				 job->write ? "write" : "read", job->size,
				 o->depth, job->offset, job->step);
	if (job->flush_interval)
		platter_out_text(out, "Sending flush every %" PRIu64
				 " requests\n", job->flush_interval);
}

static double per_second(const struct platter_bench_result *r)
{
	return r->seconds > 0 ? (double)r->requests / r->seconds : 0;
}

static void print_human(struct platter_printer *out,
			const struct bench_options *o,
			const struct platter_bench_result *r)
{
	print_plan(out, o);
	platter_out_text(out, "Run completed in %.3f seconds.\n", r->seconds);
	platter_out_text(out, "%.0f requests per second, %.1f MiB per "
			 "second\n", per_second(r),
			 per_second(r) * o->job.size / (1 << 20));
}

static void print_data(struct platter_printer *out,
		       const struct bench_options *o,
		       const struct platter_bench_result *r)
{
	const struct platter_bench_options *job = &o->job;

	platter_out_map(out, NULL);
	platter_out_string(out, "operation", job->write ? "write" : "read");
	platter_out_u64(out, "requests", r->requests);
	platter_out_u64(out, "request-size", job->size);
	platter_out_u64(out, "threads", job->threads);
	platter_out_bool(out, "random", job->random);
	if (job->random) {
		platter_out_u64(out, "seed", job->seed);
	} else {
		platter_out_u64(out, "offset", job->offset);
		platter_out_u64(out, "step", job->step);
	}
	platter_out_u64(out, "flushes", r->flushes);
	platter_out_double(out, "seconds", r->seconds, 6);
	platter_out_double(out, "requests-per-second", per_second(r), 1);
	platter_out_end(out);
}

static int print(struct cmd *cmd, const struct bench_options *o,
		 const struct platter_bench_result *result,
		 struct platter_error *err)
{
	struct platter_printer *out;
	int rc;

	rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	if (o->output.kind != PLATTER_OUTPUT_HUMAN)
		print_data(out, o, result);
	else if (!o->progress.quiet)
		print_human(out, o, result);
	return 0;
}

static int bench(struct cmd *cmd, struct bench_options *o,
		 struct platter_image *img,
		 struct platter_bench_result *result,
		 struct platter_error *err)
{
	int rc;

	rc = cmd_progress_start(cmd, &o->progress, o->output.kind,
				&o->job.progress, err);
	if (rc)
		return rc;
	return cmd_progress_end(o->job.progress,
				platter_bench(img, &o->job, result, err));
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct bench_options *o = options_;
	struct platter_bench_result result;
	struct platter_image *img;
	int rc, closed;

	rc = cmd_image_open(cmd, &o->image, cmd->args[0],
			    o->job.write ? PLATTER_O_RDWR : 0, o->cache, &img,
			    err);
	if (rc)
		return rc;
	rc = bench(cmd, o, img, &result, err);
	closed = platter_image_close(img, rc ? NULL : err);
	rc = rc ? rc : closed;
	return rc ? rc : print(cmd, o, &result, err);
}

const struct cmd_verb cmd_bench = {
	.name = "bench",
	.group = "Disk images",
	.summary = "how many requests an image answers per second",
	.examples =
		"  platter bench disk.qcow2\n"
		"  platter bench --random --threads 16 -c 1000000 disk.qcow2\n"
		"  platter bench -w --flush-interval 64 -f raw scratch.raw\n",
	.argp = &argp,
	.options_size = sizeof(struct bench_options),
	.flags = CMD_WRITES,
	.trouble = 1,
	.run = run,
};
