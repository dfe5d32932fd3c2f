/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Prints a random sequence of operations on a qcow2 image, the same for a seed
 * on every machine. tests/tools/differential does them twice, with two
 * programs, and compares.
 *
 *	random-ops SEED COUNT
 *
 *	img WORD...	arguments for qemu-img, to be expanded by a shell, as
 *			names in them stand behind $PWD; the image is top.qcow2
 *	io WORD...	a command for qemu-io on it
 *	io@NAME WORD...	... or on that image
 *	reopen		the commands before and behind it are two processes
 *	check		compare now
 *
 * Compressed writes stand between two reopens, and their place is discarded
 * before: qemu-io refuses one over an allocated cluster, and when a compressed
 * cluster is given up and its place taken, 7.2 writes the next one over it, as
 * its pointer into that cluster stays until the image is closed. Version 2 has
 * nothing a discard could put in front of a backing file.
 *
 * What kind of image it is goes by the seed, so that any row of seeds covers
 * all of the table below. Operations that must fail, such as a snapshot of an
 * image with a data file, are left in now and then: both must refuse.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_EVERY	50
#define SNAPSHOTS	4	/* most at a time */

struct kind {
	const char *options;
	unsigned int cluster_bits;
	const char *backing;		/* format, or NULL */
	bool no_snapshots, no_compress;
};

static const struct kind kinds[] = {
	{ "cluster_size=64k", 16, NULL, false, false },
	{ "cluster_size=4k", 12, "raw", false, false },
	{ "compat=0.10,cluster_size=4k", 12, "qcow2", false, true },
	{ "cluster_size=512", 9, NULL, false, false },
	{ "cluster_size=64k,extended_l2=on", 16, "qcow2", false, false },
	{ "cluster_size=2M", 21, "raw", false, false },
	{ "cluster_size=4k,refcount_bits=1", 12, "raw", true, true },
	{ "cluster_size=64k,lazy_refcounts=on", 16, "qcow2", false, false },
	{ "cluster_size=64k,data_file=$PWD/top.data", 16, NULL, true, true },
	{ "cluster_size=16k,extended_l2=on", 14, NULL, false, false },
	{ "cluster_size=64k,compression_type=zstd", 16, "raw", false, false },
	{ "compat=0.10,cluster_size=64k", 16, NULL, false, false },
	{ "cluster_size=512,refcount_bits=64", 9, "qcow2", false, false },
	{ "cluster_size=64k,data_file=$PWD/top.data,data_file_raw=on", 16, NULL,
	  true, true },
	{ "cluster_size=4k,refcount_bits=8", 12, "qcow2", false, false },
	{ "cluster_size=64k,preallocation=metadata", 16, NULL, false, false },
	{ "cluster_size=128k,extended_l2=on,compression_type=zstd", 17, "raw",
	  false, false },
	{ "cluster_size=64k,data_file=$PWD/top.data", 16, "qcow2", true, true },
	{ "compat=0.10,cluster_size=512", 9, "raw", false, true },
	{ "cluster_size=4k,refcount_bits=32,lazy_refcounts=on", 12, NULL,
	  false, false },
};
#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct snapshot {
	unsigned int number;	/* 0 = none */
	uint64_t size;		/* bytes of the disk when it was made */
};

struct sequence {
	const struct kind *kind;
	uint64_t random;
	uint64_t size;		/* bytes of the disk, as far as known here */
	uint64_t first_size;
	unsigned int snapshots_made;
	struct snapshot snapshots[SNAPSHOTS];
	bool backed;		/* has a backing file now */
	bool alternate;		/* ... which is the other one */
};

/* splitmix64 */
static uint64_t next(struct sequence *s)
{
	uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t below(struct sequence *s, uint64_t n)
{
	return next(s) % n;
}

/* The names of the two backing files end with their format. */
static void print_backing(const struct sequence *s)
{
	printf(" -b %s.%s -F %s", s->alternate ? "alt" : "base",
	       s->kind->backing, s->kind->backing);
}

/* ---- what qemu-io does ---- */

/* A range of up to a few clusters, aligned to `align` bytes. */
static void range(struct sequence *s, uint64_t align, uint64_t *offset,
		  uint64_t *length)
{
	/* Small ones are as many as large ones: a random number of bits. */
	unsigned int bits = 1 + (unsigned int)below(s, s->kind->cluster_bits +
						       2);
	uint64_t max = s->size / align;

	*offset = max ? below(s, max) * align : 0;
	*length = 1 + below(s, UINT64_C(1) << bits);
	*length = (*length + align - 1) / align * align;
	if (*length > s->size - *offset)
		*length = s->size - *offset;
}

static uint64_t some_alignment(struct sequence *s)
{
	switch (below(s, 4)) {
	case 0:
		return UINT64_C(1) << s->kind->cluster_bits;
	case 1:
		return 4096;
	case 2:
		return 512;
	default:
		return 1;
	}
}

static void one_io(struct sequence *s, const char *command, uint64_t align)
{
	uint64_t offset, length;

	range(s, align, &offset, &length);
	printf("io %s %" PRIu64 " %" PRIu64 "\n", command, offset, length);
}

static void one_write(struct sequence *s, uint64_t align)
{
	char command[32];

	snprintf(command, sizeof(command), "write -P %u",
		 1 + (unsigned int)below(s, 255));
	one_io(s, command, align);
}

/* Some neighbouring clusters, each at most once. */
static void compressed(struct sequence *s)
{
	uint64_t cluster = UINT64_C(1) << s->kind->cluster_bits;
	uint64_t count = 1 + below(s, 4);
	uint64_t first, length;

	if (s->size < count * cluster)
		return;
	first = below(s, s->size / cluster - count + 1) * cluster;
	printf("io discard %" PRIu64 " %" PRIu64 "\nreopen\n", first,
	       count * cluster);
	while (count) {
		length = (1 + below(s, count)) * cluster;
		printf("io write -c -P %u %" PRIu64 " %" PRIu64 "\n",
		       1 + (unsigned int)below(s, 255), first, length);
		first += length;
		count -= length / cluster;
	}
	printf("reopen\n");
}

static void do_io(struct sequence *s)
{
	uint64_t what = below(s, 100);

	if (what < 50)
		one_write(s, some_alignment(s));
	else if (what < 62)
		one_io(s, "write -z", some_alignment(s));
	else if (what < 72)
		one_io(s, "write -z -u", some_alignment(s));
	else if (what < 86)
		one_io(s, "discard", some_alignment(s));
	else if (s->kind->no_compress)
		one_write(s, 512);
	else if (what < 89)
		compressed(s);
	else
		one_write(s, 512);
}

/* ---- what qemu-img does ---- */

static struct snapshot *some_snapshot(struct sequence *s, bool used)
{
	size_t first = below(s, SNAPSHOTS);

	for (size_t i = 0; i < SNAPSHOTS; i++) {
		struct snapshot *snap =
			&s->snapshots[(first + i) % SNAPSHOTS];

		if ((snap->number != 0) == used)
			return snap;
	}
	return NULL;
}

static void create_snapshot(struct sequence *s)
{
	struct snapshot *snap = some_snapshot(s, false);

	/*
	 * A cluster shared with a snapshot is copied as a whole by qemu, up to
	 * what is written, with subclusters that it did not hold before.
	 */
	if (!snap || (s->kind->backing &&
		      strstr(s->kind->options, "extended_l2")))
		return;
	printf("img snapshot -c s%u top.qcow2\n", ++s->snapshots_made);
	if (s->kind->no_snapshots)
		return;
	snap->number = s->snapshots_made;
	snap->size = s->size;
}

static void use_snapshot(struct sequence *s, bool drop)
{
	struct snapshot *snap = some_snapshot(s, true);

	if (!snap)
		return;
	printf("img snapshot -%c s%u top.qcow2\n", drop ? 'd' : 'a',
	       snap->number);
	if (drop)
		snap->number = 0;
	else
		s->size = snap->size;
}

static void resize(struct sequence *s)
{
	uint64_t size = s->first_size / 4 + below(s, s->first_size * 2);
	/* Version 2 refuses as long as there are snapshots. */
	bool refused = strstr(s->kind->options, "compat=0.10") &&
		       some_snapshot(s, true);

	size = size / 512 * 512;
	if (size < s->size)
		printf("img resize -q --shrink top.qcow2 %" PRIu64 "\n", size);
	else
		printf("img resize -q top.qcow2 %" PRIu64 "\n", size);
	if (!refused)
		s->size = size;
}

static void rebase(struct sequence *s)
{
	bool unsafe = !below(s, 4);

	if (!s->kind->backing)
		return;
	s->alternate = !s->alternate;
	if (s->backed && !below(s, 4)) {
		printf("img rebase -b \"\" top.qcow2\n");
		s->backed = false;
		return;
	}
	printf("img rebase%s", unsafe ? " -u" : "");
	print_backing(s);
	printf(" top.qcow2\n");
	s->backed = true;
}

static void do_img(struct sequence *s)
{
	uint64_t what = below(s, 100);

	if (what < 30)
		create_snapshot(s);
	else if (what < 42)
		use_snapshot(s, false);
	else if (what < 60)
		use_snapshot(s, true);
	else if (what < 75)
		resize(s);
	else if (what < 88)
		rebase(s);
	else
		printf("img commit -q top.qcow2\n");
}

/* ---- the sequence ---- */

static void backing_files(struct sequence *s)
{
	const char *format = s->kind->backing;

	for (int i = 0; i < 2; i++) {
		const char *name = i ? "alt" : "base";
		/* Longer, as long, shorter than the image. */
		uint64_t size = s->size / 2 * (1 + below(s, 3));

		printf("img create -q -f %s %s.%s %" PRIu64 "\n", format, name,
		       format, size);
		for (int n = 0; n < 20; n++) {
			uint64_t offset = below(s, size / 4096) * 4096;

			printf("io@%s.%s write -P %u %" PRIu64 " %u\n", name,
			       format, 1 + (unsigned int)below(s, 255), offset,
			       4096);
		}
	}
}

static void begin(struct sequence *s)
{
	unsigned int bits = s->kind->cluster_bits;

	/* About 100 clusters; more where they are small, fewer if large. */
	if (bits < 12)
		s->size = UINT64_C(1) << 19;
	else
		s->size = (bits > 17 ? UINT64_C(12) : UINT64_C(96)) << bits;
	s->size += below(s, 8) * 512;
	s->first_size = s->size;
	s->backed = s->kind->backing;
	if (s->backed)
		backing_files(s);
	printf("img create -q -f qcow2 -o %s", s->kind->options);
	if (s->backed)
		print_backing(s);
	printf(" top.qcow2 %" PRIu64 "\n", s->size);
}

int main(int argc, char **argv)
{
	struct sequence s = { .kind = NULL };
	unsigned long seed, count;

	if (argc != 3) {
		fprintf(stderr, "usage: random-ops SEED COUNT\n");
		return 1;
	}
	seed = strtoul(argv[1], NULL, 10);
	count = strtoul(argv[2], NULL, 10);
	s.kind = &kinds[seed % NR_KINDS];
	s.random = seed;
	begin(&s);
	for (unsigned long i = 1; i <= count; i++) {
		if (below(&s, 25))
			do_io(&s);
		else
			do_img(&s);
		if (i % CHECK_EVERY == 0 || i == count)
			printf("check\n");
	}
	return 0;
}
