/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Flips one bit of a file in place, or draws the bits to flip.
 *
 * The same call flips it back. Bit b is bit b % 8 (0 the least) of byte b / 8.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
"Usage: bitflip FILE BIT\n"
"  or:  bitflip --seed S --count K FILE|--size BYTES\n"
"\n"
"Flips bit BIT of FILE in place, or prints K pseudo-random bit numbers for a\n"
"file of that size, one a line; the same seed gives the same numbers.\n";

static void __attribute__((noreturn)) die(const char *what, const char *why)
{
	fprintf(stderr, "bitflip: %s: %s\n", what, why);
	exit(2);
}

static uint64_t to_number(const char *s)
{
	uint64_t v;
	char *end;

	errno = 0;
	v = strtoull(s, &end, 0);
	if (!isdigit((unsigned char)*s) || *end || errno)
		die(s, "not a number");
	return v;
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static void flip(const char *name, uint64_t bit)
{
	off_t at = (off_t)(bit / 8);
	uint8_t byte;
	ssize_t n;
	int fd;

	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(name, strerror(errno));
	n = pread(fd, &byte, 1, at);
	if (n != 1)
		die(name, n ? strerror(errno) : "has no such bit");
	byte = (uint8_t)(byte ^ (1U << bit % 8));
	if (pwrite(fd, &byte, 1, at) != 1 || close(fd))
		die(name, strerror(errno));
}

static void draw(uint64_t seed, uint64_t count, uint64_t size)
{
	for (; count; count--)
		printf("%" PRIu64 "\n", next_random(&seed) % (8 * size));
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "count", required_argument, NULL, 'c' },
		{ "size", required_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'H' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t seed = 1, count = 0, size = 0;
	struct stat st;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's') {
			seed = to_number(optarg);
		} else if (c == 'c') {
			count = to_number(optarg);
		} else if (c == 'b') {
			size = to_number(optarg);
		} else {
			fputs(help, c == 'H' ? stdout : stderr);
			return c == 'H' ? 0 : 2;
		}
	}
	argc -= optind;
	argv += optind;
	if (!count && argc == 2) {
		flip(argv[0], to_number(argv[1]));
		return 0;
	}
	if (!count || argc != !size) {
		fputs(help, stderr);
		return 2;
	}
	if (argc && stat(argv[0], &st))
		die(argv[0], strerror(errno));
	if (argc)
		size = (uint64_t)st.st_size;
	if (!size)
		die(argc ? argv[0] : "--size", "has no bits");
	draw(seed, count, size);
	return fflush(stdout) ? 2 : 0;
}
