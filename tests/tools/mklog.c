/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes a block write log in the dm-log-writes format, sound or broken.
 *
 * Tests need logs with every trap in them, and logs of ten million entries.
 * This builds both, from a script on standard input or from a generator, and
 * shares no code with the library: what it writes is the specification, put
 * down a second time.  `mklog --help` lists the script's words.
 *
 * Everything is a function of the arguments and the script.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mklog.h"

static const char help[] =
"Usage: mklog [OPTION...] OUT < SCRIPT\n"
"  or:  mklog [OPTION...] --generate N --pattern P OUT\n"
"Makes a write log in the dm-log-writes format.\n"
"\n"
"Layout\n"
"  --sector-size N      log sector size in bytes (512); a power of two >= 32\n"
"  --nr-entries N       entry count the super block states (default: true)\n"
"  --no-super           leave log sector 0 zero\n"
"  --super-version N    version the super block states (1)\n"
"  --super-sector-size N  sector size the super block states (default: true)\n"
"  --super-junk         bytes 28..31 of the super block are not zero\n"
"  --truncate BYTES     cut the finished file; negative counts from its end\n"
"\n"
"Generator\n"
"  --generate N         make N entries, and read no script\n"
"  --pattern P          random4k sequential hot mixed nested discard\n"
"  --device-size S      bytes, suffix K M G T (1G)\n"
"  --write-size S       bytes of a write in random4k, sequential, hot (4K)\n"
"  --seed X             another log of the same kind (1)\n"
"  --hole-data          data is zeros, as holes where that saves space\n"
"  --flush-every K      each K-th entry is a FLUSH\n"
"  --mark-every K       each K-th entry is a MARK: m1, m2, ...\n"
"\n"
"Script: one entry a line; '#' starts a comment line\n"
"  write SECTOR NR [OPT...]       fua SECTOR NR [OPT...]\n"
"  discard SECTOR NR [OPT...]     flush [OPT...]\n"
"  emptyflushfua SECTOR           FLUSH|FUA|METADATA without data\n"
"  inline SECTOR NR LEN [OPT...]  data_len LEN; LEN bytes padded to NR\n"
"  mark TEXT                      \\xNN is a byte, \\\\ a backslash\n"
"  raw-mark DATALEN TEXT          a mark that states another length\n"
"  raw-header SECTOR NR FLAGS DATALEN   an entry's header, no data\n"
"  data NR [OPT...]               NR sectors without a header, not counted\n"
"  zero-sector                    one zero sector, not counted\n"
"  garbage BYTES SEED             pseudo-random bytes, not counted\n"
"OPT: fill=BYTE  fill=seed:N  hole  flags=0x..  data_len=N\n"
"     rest=HEX (header bytes from 32 on)\n"
"Data without a fill is the stream of the entry's own number.\n";

unsigned int line_nr;

void
die(const char *fmt, ...)
{
	va_list ap;

	fputs("mklog: ", stderr);
	if (line_nr)
		fprintf(stderr, "line %u: ", line_nr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

uint64_t to_number(const char *s)
{
	uint64_t v;
	char *end;

	if (!s || !isdigit((unsigned char)*s))
		die("not a number: %s", s ? s : "(nothing)");
	errno = 0;
	v = strtoull(s, &end, 0);
	if (errno || *end)
		die("not a number: %s", s);
	return v;
}

static uint64_t to_size(const char *s)
{
	static const char suffixes[] = "KMGT";
	char digits[32];
	size_t n = strlen(s);
	const char *suffix;

	if (n < 2 || n >= sizeof(digits) || !isupper((unsigned char)s[n - 1]))
		return to_number(s);
	suffix = strchr(suffixes, s[n - 1]);
	if (!suffix)
		die("not a size: %s", s);
	memcpy(digits, s, n - 1);
	digits[n - 1] = '\0';
	return to_number(digits) << (10 * (suffix - suffixes + 1));
}

enum {
	OPT_SECTOR_SIZE = 256, OPT_NR_ENTRIES, OPT_NO_SUPER, OPT_SUPER_VERSION,
	OPT_SUPER_SECTOR_SIZE, OPT_SUPER_JUNK, OPT_TRUNCATE, OPT_GENERATE,
	OPT_PATTERN, OPT_DEVICE_SIZE, OPT_WRITE_SIZE, OPT_SEED, OPT_HOLE_DATA,
	OPT_FLUSH_EVERY, OPT_MARK_EVERY, OPT_HELP,
};

static const struct option long_options[] = {
	{ "sector-size", required_argument, NULL, OPT_SECTOR_SIZE },
	{ "nr-entries", required_argument, NULL, OPT_NR_ENTRIES },
	{ "no-super", no_argument, NULL, OPT_NO_SUPER },
	{ "super-version", required_argument, NULL, OPT_SUPER_VERSION },
	{ "super-sector-size", required_argument, NULL, OPT_SUPER_SECTOR_SIZE },
	{ "super-junk", no_argument, NULL, OPT_SUPER_JUNK },
	{ "truncate", required_argument, NULL, OPT_TRUNCATE },
	{ "generate", required_argument, NULL, OPT_GENERATE },
	{ "pattern", required_argument, NULL, OPT_PATTERN },
	{ "device-size", required_argument, NULL, OPT_DEVICE_SIZE },
	{ "write-size", required_argument, NULL, OPT_WRITE_SIZE },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "hole-data", no_argument, NULL, OPT_HOLE_DATA },
	{ "flush-every", required_argument, NULL, OPT_FLUSH_EVERY },
	{ "mark-every", required_argument, NULL, OPT_MARK_EVERY },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static void check_pattern(const char *name)
{
	static const char *const known[] = {
		"random4k", "sequential", "hot", "mixed", "nested", "discard",
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i], name))
			return;
	die("unknown pattern: %s", name);
}

static void set_truncate(struct options *opt, const char *s)
{
	bool negative = *s == '-';
	uint64_t v = to_number(s + negative);

	if (v > INT64_MAX)
		die("--truncate %s is out of range", s);
	opt->has_truncate = true;
	opt->truncate = negative ? -(int64_t)v : (int64_t)v;
}

static void set_option(struct options *opt, struct out *o, int c)
{
	switch (c) {
	case OPT_SECTOR_SIZE:
		o->sector_size = to_number(optarg);
		break;
	case OPT_NR_ENTRIES:
		opt->nr_entries = to_number(optarg);
		opt->has_nr_entries = true;
		break;
	case OPT_NO_SUPER:
		opt->no_super = true;
		break;
	case OPT_SUPER_VERSION:
		opt->super_version = to_number(optarg);
		break;
	case OPT_SUPER_SECTOR_SIZE:
		opt->super_sector_size = to_number(optarg);
		break;
	case OPT_SUPER_JUNK:
		opt->super_junk = true;
		break;
	case OPT_TRUNCATE:
		set_truncate(opt, optarg);
		break;
	case OPT_GENERATE:
		opt->generate = to_number(optarg);
		opt->has_generate = true;
		break;
	case OPT_PATTERN:
		check_pattern(optarg);
		opt->pattern = optarg;
		break;
	case OPT_DEVICE_SIZE:
		opt->device_size = to_size(optarg);
		break;
	case OPT_WRITE_SIZE:
		opt->write_size = to_size(optarg);
		break;
	case OPT_SEED:
		opt->seed = to_number(optarg);
		break;
	case OPT_HOLE_DATA:
		opt->hole_data = true;
		break;
	case OPT_FLUSH_EVERY:
		opt->flush_every = to_number(optarg);
		break;
	case OPT_MARK_EVERY:
		opt->mark_every = to_number(optarg);
		break;
	case OPT_HELP:
		fputs(help, stdout);
		exit(0);
	default:
		fputs("Try 'mklog --help'.\n", stderr);
		exit(2);
	}
}

static void cut(struct out *o, const struct options *opt, uint64_t length)
{
	int64_t at = (int64_t)length;

	if (opt->has_truncate && opt->truncate < 0)
		at += opt->truncate;
	else if (opt->has_truncate)
		at = opt->truncate;
	if (ftruncate(o->fd, at < 0 ? 0 : at))
		die("%s: %s", o->name, strerror(errno));
}

int main(int argc, char **argv)
{
	struct options opt = {
		.super_version = 1,
		.pattern = "random4k",
		.device_size = 1ULL << 30,
		.write_size = 4096,
		.seed = 1,
	};
	struct out o = { .sector_size = 512 };
	uint64_t length;
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		set_option(&opt, &o, c);
	if (argc - optind != 1)
		die("one output file, please; try --help");
	if (o.sector_size < HEADER_BYTES || o.sector_size > BUF_BYTES ||
	    (o.sector_size & (o.sector_size - 1)))
		die("sector size %" PRIu64 " is not a power of two from %d to "
		    "%u", o.sector_size, HEADER_BYTES, BUF_BYTES);
	o.name = argv[optind];
	o.fd = open(o.name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (o.fd < 0)
		die("%s: %s", o.name, strerror(errno));
	o.buf = malloc(BUF_BYTES);
	if (!o.buf)
		die("out of memory");

	o.pos = o.sector_size;
	if (opt.has_generate)
		run_generator(&o, &opt);
	else
		run_script(&o);
	length = o.pos + o.fill;
	if (opt.no_super)
		flush_buf(&o);
	else
		put_super(&o, &opt);
	cut(&o, &opt, length);
	free(o.buf);
	if (close(o.fd))
		die("%s: %s", o.name, strerror(errno));
	return 0;
}
