/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opens images that somebody tampered with: the idea of QEMU's image fuzzer.
 *
 * From sound qcow2 images it makes mutants, in each of which up to four fields
 * of the header, of its extensions or of a table have another value: one that
 * is at a limit, that points at another table, or any. Each is looked at,
 * mapped, read, checked, repaired and written to. That may fail, but not crash,
 * nor take more than 2 seconds of processor time or 256 MiB; and what could be
 * read before a repair can be read after it, and is the same.
 *
 * Mutant N of the same images and seed is always the same.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <platter/platter.h>

#define MAX_IMAGES	16
#define MAX_FIELDS	65536
#define MAX_CHANGES	4
#define CPU_SECONDS	2
#define WALL_SECONDS	60	/* a hang that does not compute */
#define MAX_RSS_KIB	(256L << 10)
#define MAP_CALLS	2000u
#define READS		24u
#define READ_SIZE	(64u << 10)
#define CONTENT		(6u << 20)	/* of the guest's disk is compared */
#define PIECE		4096u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static const char help[] =
"Usage: qcow2-mutate [--seed S] [--first N] [--count N] [--keep FILE] IMAGE...\n"
"\n"
"Makes mutants N, N+1, ... of the images and does to each what a user may do.\n"
"--keep writes the first one to FILE, as it is before anything is done to it.\n";

/* A number somewhere in an image. */
struct field {
	uint32_t offset;
	uint32_t size;		/* 1, 2, 4, 8 bytes */
};

struct base {
	const char *name;
	uint8_t *bytes;
	size_t len;
	struct field *field;
	size_t nr_fields, nr_header;	/* those of the header come first */
	uint64_t cluster;
	uint64_t place[32];	/* offsets of tables, to point at */
	size_t nr_places;
};

/* Shared between the two processes. */
struct state {
	volatile uint64_t mutant;	/* being worked on */
	volatile uint64_t opened, writable, repaired, sound;
	volatile const char *doing;
};

static struct base bases[MAX_IMAGES];
static size_t nr_bases;
static struct state *state;

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "qcow2-mutate: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* ---- numbers ---- */

static uint64_t next_random(uint64_t *seed)
{
	uint64_t z = (*seed += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static uint64_t load(const uint8_t *p, unsigned int size)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < size; i++)
		v = v << 8 | p[i];
	return v;
}

static void store(uint8_t *p, unsigned int size, uint64_t v)
{
	for (unsigned int i = size; i-- > 0; v >>= 8)
		p[i] = (uint8_t)v;
}

/* ---- what there is in an image ---- */

static void add(struct base *b, uint64_t offset, unsigned int size)
{
	if (b->nr_fields == MAX_FIELDS || offset + size > b->len)
		return;
	b->field[b->nr_fields++] = (struct field){ (uint32_t)offset, size };
}

static void add_place(struct base *b, uint64_t offset)
{
	if (b->nr_places < sizeof(b->place) / sizeof(b->place[0]))
		b->place[b->nr_places++] = offset;
}

static uint64_t number(const struct base *b, uint64_t offset,
		       unsigned int size)
{
	return offset + size > b->len ? 0 : load(b->bytes + offset, size);
}

/* A table of `nr` words of 8 bytes; of zeros only the first few. */
static void add_words(struct base *b, uint64_t offset, uint64_t nr)
{
	unsigned int zeros = 0;

	add_place(b, offset);
	for (uint64_t i = 0; i < nr; i++) {
		if (number(b, offset + i * 8, 8) || zeros++ < 4)
			add(b, offset + i * 8, 8);
	}
}

static void add_header(struct base *b)
{
	static const uint8_t sizes[] = {
		4, 4, 8, 4, 4, 8, 4, 4, 8, 8, 4, 4, 8, 8, 8, 8, 4, 4, 1,
	};
	uint64_t at = 0, length = number(b, 4, 4) > 2 ? number(b, 100, 4) : 72;

	for (size_t i = 0; i < sizeof(sizes) && at < length; i++) {
		add(b, at, sizes[i]);
		at += sizes[i];
	}
	for (at = length; at + 8 <= b->len; ) {
		uint64_t type = number(b, at, 4), len = number(b, at + 4, 4);

		add(b, at, 4);
		add(b, at + 4, 4);
		if (!type)
			break;
		if (type == 0x23852875u) {
			add(b, at + 8, 4);
			add(b, at + 16, 8);
			add(b, at + 24, 8);
		}
		at += 8 + ((len + 7) & ~UINT64_C(7));
	}
	b->nr_header = b->nr_fields;
}

static void add_l1(struct base *b, uint64_t offset, uint64_t nr)
{
	add_words(b, offset, nr);
	for (uint64_t i = 0; i < nr; i++) {
		uint64_t l2 = number(b, offset + i * 8, 8) &
			      UINT64_C(0x00fffffffffffe00);

		if (l2)
			add_words(b, l2, b->cluster / 8);
	}
}

static void add_snapshots(struct base *b)
{
	uint64_t at = number(b, 64, 8);
	uint32_t nr = (uint32_t)number(b, 60, 4);

	for (uint32_t i = 0; i < nr; i++) {
		add_place(b, at);
		add(b, at, 8);
		add(b, at + 8, 4);
		add(b, at + 12, 2);
		add(b, at + 14, 2);
		add(b, at + 32, 4);
		add(b, at + 36, 4);
		add(b, at + 40, 8);
		add(b, at + 48, 8);
		add_l1(b, number(b, at, 8), number(b, at + 8, 4));
		at += 40 + number(b, at + 36, 4) + number(b, at + 12, 2) +
		      number(b, at + 14, 2);
		at = (at + 7) & ~UINT64_C(7);
	}
}

static void add_bitmaps(struct base *b)
{
	for (size_t i = 0; i + 1 < b->nr_header; i++) {
		uint64_t at = b->field[i].offset, dir;

		if (b->field[i].size != 4 || at < 104 ||
		    number(b, at, 4) != 0x23852875u)
			continue;
		dir = number(b, at + 24, 8);
		add_place(b, dir);
		add(b, dir, 8);
		add(b, dir + 8, 4);
		add(b, dir + 12, 4);
		add(b, dir + 16, 1);
		add(b, dir + 17, 1);
		add(b, dir + 18, 2);
		add(b, dir + 20, 4);
		add_words(b, number(b, dir, 8), number(b, dir + 8, 4));
		return;
	}
}

static void find_fields(struct base *b)
{
	uint64_t reftable = number(b, 48, 8);

	b->cluster = UINT64_C(1) << number(b, 20, 4);
	b->field = calloc(MAX_FIELDS, sizeof(b->field[0]));
	if (!b->field)
		die("fields");
	add_header(b);
	add_l1(b, number(b, 40, 8), number(b, 36, 4));
	add_words(b, reftable, number(b, 56, 4) * b->cluster / 8);
	add_words(b, number(b, reftable, 8), b->cluster / 8);
	add_snapshots(b);
	add_bitmaps(b);
}

static void load_base(const char *name)
{
	struct base *b = &bases[nr_bases];
	struct stat st;
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	if (nr_bases == MAX_IMAGES || fd < 0 || fstat(fd, &st))
		die(name);
	b->name = name;
	b->len = (size_t)st.st_size;
	b->bytes = malloc(b->len);
	if (!b->bytes || read(fd, b->bytes, b->len) != (ssize_t)b->len ||
	    b->len < 4096)
		die(name);
	close(fd);
	find_fields(b);
	nr_bases++;
}

/* ---- mutants ---- */

static uint64_t new_value(const struct base *b, const struct field *f,
			  uint64_t old, uint64_t *seed)
{
	const uint64_t r = next_random(seed);

	switch (r % 14) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
		return old + 1;
	case 3:
		return old - 1;
	case 4:
		return UINT64_C(1) << (r >> 8) % (8 * f->size);
	case 5:
		return (UINT64_C(1) << (r >> 8) % (8 * f->size)) - 1;
	case 6:
	case 7:
		return old ^ UINT64_C(1) << (r >> 8) % (8 * f->size);
	case 8:
		return (b->len & ~(b->cluster - 1)) +
		       (r >> 8) % 4 * b->cluster;
	case 9:
	case 10:
		/* Some other table; as an L2 entry says it, or plain. */
		return (b->nr_places ? b->place[(r >> 8) % b->nr_places] : 0) |
		       (r >> 16) % 2 << 63;
	case 11:
		return (r >> 8) % (b->len / b->cluster + 1) * b->cluster |
		       (r >> 60) % 2 << 63;
	case 12:
		return old << 1;
	default:
		return next_random(seed);
	}
}

static const struct base *make_mutant(uint64_t n, uint64_t seed, uint8_t **out)
{
	uint64_t r = seed ^ n * 0x2545f4914f6cdd1dULL;
	const struct base *b = &bases[next_random(&r) % nr_bases];
	uint64_t changes = 1 + next_random(&r) % MAX_CHANGES;
	uint8_t *p = malloc(b->len);

	if (!p)
		die("a mutant");
	memcpy(p, b->bytes, b->len);
	while (changes-- > 0) {
		/* Most of what is wrong in a header keeps it from opening. */
		size_t nr = next_random(&r) % 8 ? b->nr_fields : b->nr_header;
		const struct field *f = &b->field[next_random(&r) % nr];

		store(p + f->offset, f->size,
		      new_value(b, f, load(p + f->offset, f->size), &r));
	}
	/* Only the first field: what is no qcow2 image at all is of no use. */
	memcpy(p, b->bytes, 4);
	*out = p;
	return b;
}

static void write_file(const char *name, const uint8_t *bytes, size_t len)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || close(fd))
		die(name);
}

/* ---- what is done to one ---- */

static struct platter_context *ctx;

static struct platter_image *open_as(const char *name, unsigned int flags)
{
	const struct platter_open_options opts = {
		.format = "qcow2",
		.flags = flags,
		/* Nobody is going to need it after a power cut. */
		.cache = PLATTER_CACHE_UNSAFE,
	};
	struct platter_image *img;

	return platter_image_open(&img, ctx, name, &opts, NULL) ? NULL : img;
}

static void look(const char *name)
{
	struct platter_image *img = open_as(name, PLATTER_O_NO_IO);
	const struct platter_snapshot *snapshots;
	const struct platter_bitmap_info *bitmaps;
	struct platter_image_facts facts;
	struct platter_printer *out;
	size_t nr;
	FILE *sink;

	if (!img)
		return;
	state->opened++;
	sink = fopen("/dev/null", "we");
	if (!sink)
		die("/dev/null");
	(void)!platter_image_facts(img, &facts, NULL);
	(void)!platter_image_snapshots(img, &snapshots, &nr, NULL);
	(void)!platter_image_bitmaps(img, &bitmaps, &nr, NULL);
	if (!platter_printer_new(&out, PLATTER_OUTPUT_JSON, sink, "x", NULL)) {
		platter_out_map(out, NULL);
		(void)!platter_image_describe(img, out, NULL);
		platter_out_end(out);
		(void)!platter_printer_close(out, NULL);
	}
	fclose(sink);
	platter_image_close(img, NULL);
}

static void map_and_read(const char *name)
{
	static uint8_t buf[READ_SIZE];
	struct platter_image *img = open_as(name, 0);
	struct platter_extent ext[16];
	unsigned int reads = 0;
	uint64_t size, at = 0;

	if (!img)
		return;
	size = platter_image_size(img);
	for (unsigned int i = 0; at < size && i < MAP_CALLS; i++) {
		size_t nr = 16;

		/* What cannot be mapped is stepped over. */
		if (platter_image_map(img, at, size - at, ext, &nr, NULL)) {
			at += READ_SIZE;
			continue;
		}
		for (size_t j = 0; j < nr; j++) {
			uint64_t len = ext[j].length < READ_SIZE ?
				       ext[j].length : READ_SIZE;

			if (!(ext[j].flags & PLATTER_EXTENT_ZERO) &&
			    reads++ < READS)
				(void)!platter_image_pread(img, buf, len,
							   ext[j].offset,
							   NULL);
		}
		at = ext[nr - 1].offset + ext[nr - 1].length;
	}
	platter_image_close(img, NULL);
}

/* Each PIECE of the guest's disk: whether it can be read, and as what. */
struct content {
	bool there[CONTENT / PIECE];
	uint8_t bytes[CONTENT];
};

static void read_all(const char *name, struct content *c)
{
	struct platter_image *img = open_as(name, 0);
	uint64_t size = img ? platter_image_size(img) : 0;

	memset(c->there, 0, sizeof(c->there));
	for (size_t i = 0; i < CONTENT / PIECE && (i + 1) * PIECE <= size; i++)
		c->there[i] = !platter_image_pread(img, c->bytes + i * PIECE,
						   PIECE, i * PIECE, NULL);
	platter_image_close(img, NULL);
}

static void nothing_lost(uint64_t n, const struct content *before,
			 const struct content *after)
{
	for (size_t i = 0; i < CONTENT / PIECE; i++) {
		const char *what = NULL;

		if (before->there[i] && !after->there[i])
			what = "cannot be read any more";
		else if (before->there[i] &&
			 memcmp(before->bytes + i * PIECE,
				after->bytes + i * PIECE, PIECE))
			what = "is not what it was";
		if (!what)
			continue;
		fprintf(stderr, "mutant %" PRIu64 ": guest offset %zu %s\n",
			n, i * PIECE, what);
		exit(4);
	}
}

static bool check(const char *name, enum platter_repair repair)
{
	struct platter_image *img = open_as(name, PLATTER_O_CHECK |
		(repair == PLATTER_REPAIR_NONE ? 0 : PLATTER_O_RDWR));
	const struct platter_check_options opts = { .repair = repair };
	struct platter_check_result result;
	bool good;

	if (!img)
		return false;
	good = !platter_image_check(img, &opts, &result, NULL) &&
	       !result.check_errors && !result.corruptions;
	platter_image_close(img, NULL);
	return good;
}

static void write_to(const char *name)
{
	static uint8_t buf[READ_SIZE];
	struct platter_image *img = open_as(name, PLATTER_O_RDWR);
	uint64_t size;

	if (!img)
		return;
	state->writable++;
	memset(buf, 0x55, sizeof(buf));
	size = platter_image_size(img);
	for (uint64_t at = 0; at + READ_SIZE <= size && at < 8u << 20;
	     at += 1u << 20) {
		(void)!platter_image_pwrite(img, buf, 5000, at, NULL);
		(void)!platter_image_zero(img, at + 8192, 8192,
					  PLATTER_ZERO_UNMAP, NULL);
		(void)!platter_image_discard(img, at + 16384, 8192, NULL);
	}
	(void)!platter_image_flush(img, NULL);
	platter_image_close(img, NULL);
}

static void do_all(uint64_t n, uint64_t seed, const char *name)
{
	static struct content before, after;
	uint8_t *bytes;
	const struct base *b = make_mutant(n, seed, &bytes);
	bool good;

	write_file(name, bytes, b->len);
	state->doing = "looking";
	look(name);
	state->doing = "mapping and reading";
	map_and_read(name);
	state->doing = "checking";
	good = check(name, PLATTER_REPAIR_NONE);
	state->sound += good;
	read_all(name, &before);
	state->doing = "repairing leaks";
	(void)check(name, PLATTER_REPAIR_LEAKS);
	state->doing = "reading what was repaired";
	read_all(name, &after);
	nothing_lost(n, &before, &after);
	state->doing = "repairing all";
	if (check(name, PLATTER_REPAIR_ALL))
		state->repaired++;
	state->doing = "reading what was repaired";
	read_all(name, &after);
	nothing_lost(n, &before, &after);
	/* The damage may as well meet somebody who only writes. */
	state->doing = "writing";
	if (n % 2)
		write_file(name, bytes, b->len);
	write_to(name);
	state->doing = "checking what was written";
	(void)check(name, PLATTER_REPAIR_NONE);
	free(bytes);
}

/* ---- limits ---- */

static void start_clock(void)
{
	const struct itimerval cpu = { .it_value = { .tv_sec = CPU_SECONDS } };

	if (SANITIZED)
		return;
	setitimer(ITIMER_PROF, &cpu, NULL);
	alarm(WALL_SECONDS);
}

static void __attribute__((noreturn)) work(uint64_t first, uint64_t end,
					   uint64_t seed, const char *name)
{
	/* A mutant can make a file look long, and is not to fill the disk. */
	const struct rlimit fsize = { 1u << 30, 1u << 30 };
	struct rusage usage;

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &fsize);
	if (platter_context_new(&ctx, NULL))
		die("context");
	platter_context_set_follow(ctx, PLATTER_FOLLOW_BENEATH);
	for (uint64_t n = first; n < end; n++) {
		state->mutant = n;
		start_clock();
		do_all(n, seed, name);
		getrusage(RUSAGE_SELF, &usage);
		if (!SANITIZED && usage.ru_maxrss > MAX_RSS_KIB) {
			fprintf(stderr, "mutant %" PRIu64 ": %ld KiB of memory"
				"\n", n, usage.ru_maxrss);
			exit(3);
		}
	}
	platter_context_free(ctx);
	exit(0);
}

/* The mutant to go on with; `end` when that was all. */
static uint64_t run(uint64_t first, uint64_t end, uint64_t seed,
		    const char *name, unsigned int *bad)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		die("fork");
	if (!pid)
		work(first, end, seed, name);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return end;
	++*bad;
	if (WIFSIGNALED(status))
		fprintf(stderr, "mutant %" PRIu64 ": %s while %s\n",
			state->mutant, strsignal(WTERMSIG(status)),
			(const char *)state->doing);
	else
		fprintf(stderr, "mutant %" PRIu64 ": exit code %d while %s\n",
			state->mutant, WEXITSTATUS(status),
			(const char *)state->doing);
	return state->mutant + 1;
}

/* ---- command line ---- */

struct args {
	uint64_t seed, first, count;
	const char *keep;
};

static void parse(struct args *a, int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "first", required_argument, NULL, 'f' },
		{ "count", required_argument, NULL, 'c' },
		{ "keep", required_argument, NULL, 'k' },
		{ NULL, 0, NULL, 0 }
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 's':
			a->seed = strtoull(optarg, NULL, 0);
			break;
		case 'f':
			a->first = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			a->count = strtoull(optarg, NULL, 0);
			break;
		case 'k':
			a->keep = optarg;
			break;
		default:
			fputs(help, stderr);
			exit(2);
		}
	}
	for (int i = optind; i < argc; i++)
		load_base(argv[i]);
	if (!nr_bases) {
		fputs(help, stderr);
		exit(2);
	}
}

static void keep(const struct args *a)
{
	uint8_t *bytes;
	const struct base *b = make_mutant(a->first, a->seed, &bytes);

	write_file(a->keep, bytes, b->len);
	free(bytes);
}

int main(int argc, char **argv)
{
	struct args a = { .seed = 1, .count = 100 };
	unsigned int bad = 0;
	char name[] = "mutant.XXXXXX";
	int fd;

	parse(&a, argc, argv);
	if (a.keep)
		keep(&a);
	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fd = mkstemp(name);
	if (state == MAP_FAILED || fd < 0)
		die("mutants");
	close(fd);
	for (uint64_t n = a.first; n < a.first + a.count && bad < 20; )
		n = run(n, a.first + a.count, a.seed, name, &bad);
	unlink(name);
	printf("%" PRIu64 " mutants, %" PRIu64 " opened, %" PRIu64 " without "
	       "errors, %" PRIu64 " after a repair, %" PRIu64 " writable, %u "
	       "bad\n", a.count, state->opened, state->sound, state->repaired,
	       state->writable, bad);
	return bad ? 1 : 0;
}
