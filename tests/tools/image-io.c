/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads and writes an image by commands, as qemu-io does, through libplatter.
 *
 *	image-io [-r] [-f FORMAT] [-t CACHE] [-d unmap] [--image-opts]
 *		[-c COMMAND]... IMAGE
 *
 * Without -c the commands come from standard input, one a line:
 *
 *	write [-P BYTE] OFFSET LENGTH	write a pattern (0xcd)
 *	write -c [-P BYTE] OFFSET LENGTH	compressed
 *	write -f [-P BYTE] OFFSET LENGTH	durable when it returns (FUA)
 *	write -z [-u] OFFSET LENGTH	zeros, that may be unmapped
 *	write -s FILE OFFSET LENGTH	the bytes of a file, repeated
 *	read [-P BYTE] OFFSET LENGTH	and compare with a pattern
 *	discard OFFSET LENGTH
 *	flush | truncate SIZE | length | empty
 *	mark TEXT | pause | resume | end	where writes are recorded
 *	size FILE			print how long another file is by now
 *	abort				end as a crash would, without closing
 *
 * Without -d unmap, discards do nothing and -u is ignored, as in qemu-io; -q is
 * accepted everywhere. Sizes take suffixes. Every command is run; the exit code
 * is 1 when one has failed, with a line on standard error.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <platter/platter.h>

#define STEP	(2u << 20)	/* bytes at a time */
#define MAX_WORDS	16
#define MAX_COMMANDS	256

struct io {
	struct platter_image *img;
	bool unmap;
	struct platter_error err;
};

/* What a command was given. */
struct command {
	bool compressed, durable, zero, unmap, pattern;
	unsigned char byte;
	const char *source;
	uint64_t number[2];
	int nr_numbers;
};

static int usage(struct io *io, const char *what)
{
	return platter_error_set(&io->err, -EINVAL, "%s: bad arguments", what);
}

static int print_size(struct io *io, const char *name)
{
	struct stat st;

	if (!name || stat(name, &st))
		return usage(io, "size");
	return printf("%" PRIu64 "\n", (uint64_t)st.st_size) < 0;
}

static int parse_options(struct io *io, struct command *c, int argc,
			 char **argv)
{
	int opt;

	c->byte = 0xcd;
	optind = 0;
	while ((opt = getopt(argc, argv, "cfP:qs:uz")) != -1) {
		switch (opt) {
		case 'c':
			c->compressed = true;
			break;
		case 'f':
			c->durable = true;
			break;
		case 'P':
			c->pattern = true;
			c->byte = (unsigned char)strtoul(optarg, NULL, 0);
			break;
		case 'q':
			break;
		case 's':
			c->source = optarg;
			break;
		case 'u':
			c->unmap = true;
			break;
		case 'z':
			c->zero = true;
			break;
		default:
			return usage(io, argv[0]);
		}
	}
	for (; optind < argc; optind++) {
		int rc = c->nr_numbers == 2 ? usage(io, argv[0]) :
			platter_size_parse(&c->number[c->nr_numbers++],
					   argv[optind], &io->err);

		if (rc)
			return rc;
	}
	return 0;
}

/* ---- data ---- */

/* A buffer of at most STEP bytes, with what is to be written. */
static unsigned char *fill(struct io *io, const struct command *c, size_t len)
{
	unsigned char *buf = malloc(len ? len : 1);
	size_t n, at = 0;
	FILE *f;

	if (!buf)
		return NULL;
	memset(buf, c->byte, len);
	if (!c->source)
		return buf;
	f = fopen(c->source, "rb");
	n = f ? fread(buf, 1, len, f) : 0;
	if (f)
		fclose(f);
	if (!n) {
		platter_error_set(&io->err, -EIO, "%s: no bytes", c->source);
		free(buf);
		return NULL;
	}
	for (at = n; at < len; at++)
		buf[at] = buf[at - n];
	return buf;
}

static int write_step(struct io *io, const struct command *c,
		      const unsigned char *buf, size_t len, uint64_t offset)
{
	if (c->compressed)
		return platter_image_write_compressed(io->img, buf, len,
						      offset, &io->err);
	if (c->durable)
		return platter_image_pwrite_fua(io->img, buf, len, offset,
						&io->err);
	return platter_image_pwrite(io->img, buf, len, offset, &io->err);
}

static int do_write(struct io *io, const struct command *c)
{
	uint64_t offset = c->number[0], len = c->number[1];
	unsigned char *buf;
	int rc = 0;

	if (c->zero)
		return platter_image_zero(io->img, offset, len, c->unmap &&
					  io->unmap ? PLATTER_ZERO_UNMAP : 0,
					  &io->err);
	buf = fill(io, c, len < STEP ? len : STEP);
	if (!buf)
		return io->err.code ? io->err.code : -ENOMEM;
	while (rc == 0 && len) {
		uint64_t n = len < STEP ? len : STEP;

		rc = write_step(io, c, buf, n, offset);
		offset += n;
		len -= n;
	}
	free(buf);
	return rc;
}

static int compare(struct io *io, const struct command *c,
		   const unsigned char *buf, size_t len, uint64_t offset)
{
	for (size_t i = 0; c->pattern && i < len; i++) {
		if (buf[i] != c->byte)
			return platter_error_set(&io->err, -EIO, "pattern "
				"verification failed at offset %" PRIu64
				": %#x", offset + i, buf[i]);
	}
	return 0;
}

static int do_read(struct io *io, const struct command *c)
{
	uint64_t offset = c->number[0], len = c->number[1];
	unsigned char *buf = malloc(STEP);
	int rc = buf ? 0 : -ENOMEM;

	while (rc == 0 && len) {
		uint64_t n = len < STEP ? len : STEP;

		rc = platter_image_pread(io->img, buf, n, offset, &io->err);
		if (rc == 0)
			rc = compare(io, c, buf, n, offset);
		offset += n;
		len -= n;
	}
	free(buf);
	return rc;
}

/* ---- commands ---- */

/* 1: is none of these. */
static int run_record(struct io *io, const char *name, const char *text)
{
	if (!strcmp(name, "mark"))
		return platter_record_mark(&io->img, 1, text ? text : "",
					   text ? strlen(text) : 0, NULL,
					   &io->err);
	if (!strcmp(name, "pause"))
		return platter_record_pause(io->img, &io->err);
	if (!strcmp(name, "resume"))
		return platter_record_resume(io->img, &io->err);
	if (!strcmp(name, "end"))
		return platter_record_end(io->img, &io->err);
	return 1;
}

static int run_words(struct io *io, int argc, char **argv)
{
	const char *name = argv[0];
	struct command c = { .nr_numbers = 0 };
	int rc;

	if (!strcmp(name, "size"))
		return print_size(io, argv[1]);
	rc = run_record(io, name, argv[1]);
	if (rc <= 0)
		return rc;
	rc = parse_options(io, &c, argc, argv);
	if (rc)
		return rc;
	if (!strcmp(name, "abort"))
		_exit(0);
	if (!strcmp(name, "flush"))
		return platter_image_flush(io->img, &io->err);
	if (!strcmp(name, "empty"))
		return platter_image_make_empty(io->img, &io->err);
	if (!strcmp(name, "length"))
		return printf("%" PRIu64 "\n", platter_image_size(io->img)) < 0;
	if (!strcmp(name, "truncate") && c.nr_numbers == 1)
		return platter_image_resize(io->img, c.number[0], &io->err);
	if (c.nr_numbers != 2)
		return usage(io, name);
	if (!strcmp(name, "write"))
		return do_write(io, &c);
	if (!strcmp(name, "read"))
		return do_read(io, &c);
	if (!strcmp(name, "discard"))
		return io->unmap ? platter_image_discard(io->img, c.number[0],
						c.number[1], &io->err) : 0;
	return usage(io, name);
}

/* 1 when it fails, after saying why. */
static int run_line(struct io *io, char *line)
{
	char *words[MAX_WORDS + 1], *save = NULL;
	char *copy = strdup(line);
	int n = 0, rc;

	for (char *w = strtok_r(line, " \t", &save); w && n < MAX_WORDS;
	     w = strtok_r(NULL, " \t", &save))
		words[n++] = w;
	words[n] = NULL;
	io->err = (struct platter_error) { .code = 0 };
	rc = n ? run_words(io, n, words) : 0;
	if (rc)
		fprintf(stderr, "image-io: %s: %s\n", copy ? copy : "",
			io->err.msg);
	free(copy);
	return rc != 0;
}

static int run_input(struct io *io)
{
	char *line = NULL;
	size_t room = 0;
	int failed = 0;

	while (getline(&line, &room, stdin) > 0) {
		line[strcspn(line, "\n")] = '\0';
		failed |= run_line(io, line);
	}
	free(line);
	return failed;
}

static int run_all(struct io *io, char **commands, int nr)
{
	int failed = 0;

	if (!nr)
		return run_input(io);
	for (int i = 0; i < nr; i++)
		failed |= run_line(io, commands[i]);
	return failed;
}

/* ---- the image ---- */

static int run_image(struct io *io, const char *name,
		     const struct platter_open_options *opts, char **commands,
		     int nr)
{
	struct platter_context *ctx = NULL;
	int rc, failed = 1;

	rc = platter_context_new(&ctx, &io->err);
	if (rc == 0) {
		platter_context_set_follow(ctx, PLATTER_FOLLOW_ANY);
		rc = platter_image_open(&io->img, ctx, name, opts, &io->err);
	}
	if (rc == 0) {
		failed = run_all(io, commands, nr);
		rc = platter_image_close(io->img, &io->err);
	}
	if (rc)
		fprintf(stderr, "image-io: %s\n", io->err.msg);
	platter_context_free(ctx);
	return failed || rc;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "image-opts", no_argument, NULL, 'I' },
		{ NULL, 0, NULL, 0 },
	};
	struct platter_open_options opts = { .flags = PLATTER_O_RDWR };
	struct io io = { .err = PLATTER_ERROR_INIT };
	char *commands[MAX_COMMANDS];
	int opt, nr = 0;

	while ((opt = getopt_long(argc, argv, "+c:d:f:rt:", longs,
				  NULL)) != -1) {
		if (opt == 'c' && nr < MAX_COMMANDS)
			commands[nr++] = optarg;
		else if (opt == 'd')
			io.unmap = !strcmp(optarg, "unmap") ||
				   !strcmp(optarg, "on");
		else if (opt == 'f')
			opts.format = optarg;
		else if (opt == 'r')
			opts.flags &= ~PLATTER_O_RDWR;
		else if (opt == 'I')
			opts.image_opts = true;
		else if (opt != 't' ||
			 platter_cache_parse(&opts.cache, optarg, &io.err))
			return 2;
	}
	if (argc != optind + 1)
		return 2;
	return run_image(&io, argv[optind], &opts, commands, nr);
}
