/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Replays the first N entries of a write log in the plainest way there is.
 *
 * The oracle for "the disk at entry N": entries in order, one read and one
 * write each, a discard reads as zeros afterwards.  It trusts the log, keeps
 * no index and shares no code with the library, so that it can be checked by
 * eye.  Data follows a header if and only if it has sectors and is not a
 * discard; data_len is never looked at.
 *
 * --hash-prefixes keeps the device in memory and prints a hash of the state
 * at every entry; --hash prints the same hash of a file.  Blocks of zeros
 * count nothing, so neither the length of a file nor its holes matter.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC		0x6a736677736872ULL
#define CHUNK		(1U << 20)
#define BLOCK		4096U
#define FLAG_DISCARD	(1U << 2)

static const char help[] =
"Usage: naive-replay [--from M] LOG TARGET N|all [SKIP_DISCARD]\n"
"  or:  naive-replay --hash-prefixes LOG [BASE]\n"
"  or:  naive-replay --hash FILE\n"
"\n"
"Brings TARGET, made and grown as needed, to the state after the first N\n"
"entries of LOG; with --from M, from the state at M. N may go beyond the\n"
"count in the super block. SKIP_DISCARD, if given and not 0, ignores\n"
"discards.\n"
"--hash-prefixes prints `N HASH' for N from 0 to the last counted entry.\n";

struct log {
	const char *name;
	int fd;
	uint64_t pos;		/* of the next header */
	uint64_t nr_entries;
	uint32_t sector_size;
};

struct entry {
	uint64_t offset;	/* bytes, on the device */
	uint64_t length;
	uint64_t flags;
	uint64_t data;		/* where the data is in the log */
};

static uint8_t chunk[CHUNK];

static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *fmt, ...)
{
	va_list ap;

	fputs("naive-replay: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

static void read_at(int fd, const char *name, void *buf, size_t n, uint64_t at)
{
	size_t done = 0;
	ssize_t got;

	for (; done < n; done += (size_t)got) {
		got = pread(fd, (char *)buf + done, n - done,
			    (off_t)(at + done));
		if (got < 0)
			die("%s: %s", name, strerror(errno));
		if (!got)
			die("%s: ends in the %zu bytes at %" PRIu64, name, n,
			    at);
	}
}

static void write_at(int fd, const char *name, const void *buf, size_t n,
		     uint64_t at)
{
	if (pwrite(fd, buf, n, (off_t)at) != (ssize_t)n)
		die("%s: writing %zu bytes at %" PRIu64 ": %s", name, n, at,
		    strerror(errno));
}

static void open_log(struct log *log, const char *name)
{
	uint8_t super[28];
	uint64_t magic, version;

	log->name = name;
	log->fd = open(name, O_RDONLY | O_CLOEXEC);
	if (log->fd < 0)
		die("%s: %s", name, strerror(errno));
	read_at(log->fd, name, super, sizeof(super), 0);
	memcpy(&magic, super, 8);
	memcpy(&version, super + 8, 8);
	memcpy(&log->nr_entries, super + 16, 8);
	memcpy(&log->sector_size, super + 24, 4);
	if (le64toh(magic) != MAGIC || le64toh(version) != 1)
		die("%s: not a write log", name);
	log->nr_entries = le64toh(log->nr_entries);
	log->sector_size = le32toh(log->sector_size);
	log->pos = log->sector_size;
}

static void next_entry(struct log *log, struct entry *e)
{
	uint64_t h[4];

	read_at(log->fd, log->name, h, sizeof(h), log->pos);
	e->offset = le64toh(h[0]) * log->sector_size;
	e->length = le64toh(h[1]) * log->sector_size;
	e->flags = le64toh(h[2]);
	log->pos += log->sector_size;
	e->data = log->pos;
	if (!(e->flags & FLAG_DISCARD))
		log->pos += e->length;
}

/* --- onto a file -------------------------------------------------------- */

struct target {
	const char *name;
	int fd;
	bool regular;
	bool skip_discard;
};

static void grow(const struct target *t, uint64_t size)
{
	struct stat st;

	if (!t->regular)
		return;
	if (fstat(t->fd, &st))
		die("%s: %s", t->name, strerror(errno));
	if ((uint64_t)st.st_size < size && ftruncate(t->fd, (off_t)size))
		die("%s: %s", t->name, strerror(errno));
}

static void discard(const struct target *t, uint64_t at, uint64_t len)
{
	size_t n;

	if (t->skip_discard || !len)
		return;
	grow(t, at + len);
	if (!fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		       (off_t)at, (off_t)len))
		return;
	memset(chunk, 0, sizeof(chunk));
	for (; len; len -= n, at += n) {
		n = len < CHUNK ? (size_t)len : CHUNK;
		write_at(t->fd, t->name, chunk, n, at);
	}
}

static void write_entry(const struct target *t, const struct log *log,
			const struct entry *e)
{
	uint64_t done;
	size_t n;

	for (done = 0; done < e->length; done += n) {
		n = e->length - done < CHUNK ? (size_t)(e->length - done)
					     : CHUNK;
		read_at(log->fd, log->name, chunk, n, e->data + done);
		write_at(t->fd, t->name, chunk, n, e->offset + done);
	}
}

static void replay(const char *log_name, struct target *t, uint64_t from,
		   const char *to)
{
	struct log log;
	struct entry e;
	struct stat st;
	uint64_t i, n;
	char *end;

	open_log(&log, log_name);
	n = strtoull(to, &end, 10);
	if (!strcmp(to, "all"))
		n = log.nr_entries;
	else if (!isdigit((unsigned char)*to) || *end)
		die("not a number of entries: %s", to);
	t->fd = open(t->name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (t->fd < 0 || fstat(t->fd, &st))
		die("%s: %s", t->name, strerror(errno));
	t->regular = S_ISREG(st.st_mode);
	for (i = 0; i < n; i++) {
		next_entry(&log, &e);
		if (i < from)
			continue;
		if (e.flags & FLAG_DISCARD)
			discard(t, e.offset, e.length);
		else
			write_entry(t, &log, &e);
	}
	if (close(t->fd))
		die("%s: %s", t->name, strerror(errno));
	close(log.fd);
}

/* --- hashes ------------------------------------------------------------- */

struct state {
	uint8_t *mem;
	uint64_t size;		/* a multiple of BLOCK */
	uint64_t hash;
};

static bool is_zero(const uint8_t *p)
{
	return !p[0] && !memcmp(p, p + 1, BLOCK - 1);
}

/* FNV-1a over 64-bit words, started with the block's number. */
static uint64_t hash_block(const uint8_t *p, uint64_t nr)
{
	uint64_t h = 0xcbf29ce484222325ULL ^ nr, w;
	size_t i;

	if (is_zero(p))
		return 0;
	for (i = 0; i < BLOCK; i += sizeof(w)) {
		memcpy(&w, p + i, sizeof(w));
		h = (h ^ le64toh(w)) * 0x100000001b3ULL;
		h ^= h >> 29;
	}
	return h;
}

static void count_blocks(struct state *s, uint64_t at, uint64_t len, bool add)
{
	uint64_t b;

	for (b = at / BLOCK; b < (at + len + BLOCK - 1) / BLOCK; b++) {
		uint64_t h = hash_block(s->mem + b * BLOCK, b);

		s->hash += add ? h : -h;
	}
}

static void load(struct state *s, const char *name, uint64_t at_least)
{
	struct stat st;
	uint64_t at = 0, size = 0;
	int fd = -1;

	if (name) {
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st))
			die("%s: %s", name, strerror(errno));
		size = (uint64_t)st.st_size;
	}
	s->size = size > at_least ? size : at_least;
	s->size = (s->size + BLOCK) / BLOCK * BLOCK;
	s->mem = mmap(NULL, s->size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->mem == MAP_FAILED)
		die("no %" PRIu64 " bytes of memory", s->size);
	while (name && at < size) {
		off_t from = lseek(fd, (off_t)at, SEEK_DATA);
		off_t to = from < 0 ? -1 : lseek(fd, from, SEEK_HOLE);

		if (to < 0)
			break;
		read_at(fd, name, s->mem + from, (size_t)(to - from),
			(uint64_t)from);
		at = (uint64_t)to;
	}
	if (fd >= 0)
		close(fd);
	s->hash = 0;
	count_blocks(s, 0, s->size, true);
}

static void apply(struct state *s, const struct log *log,
		  const struct entry *e)
{
	count_blocks(s, e->offset, e->length, false);
	if (e->flags & FLAG_DISCARD)
		memset(s->mem + e->offset, 0, e->length);
	else
		read_at(log->fd, log->name, s->mem + e->offset, e->length,
			e->data);
	count_blocks(s, e->offset, e->length, true);
}

static void hash_prefixes(const char *log_name, const char *base)
{
	struct log log;
	struct entry e;
	struct state s;
	uint64_t i, size = 0;

	open_log(&log, log_name);
	for (i = 0; i < log.nr_entries; i++) {
		next_entry(&log, &e);
		if (e.offset + e.length > size)
			size = e.offset + e.length;
	}
	log.pos = log.sector_size;
	load(&s, base, size);
	printf("0 %016" PRIx64 "\n", s.hash);
	for (i = 1; i <= log.nr_entries; i++) {
		next_entry(&log, &e);
		if (e.length)
			apply(&s, &log, &e);
		printf("%" PRIu64 " %016" PRIx64 "\n", i, s.hash);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "from", required_argument, NULL, 'f' },
		{ "hash", required_argument, NULL, 'h' },
		{ "hash-prefixes", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'H' },
		{ NULL, 0, NULL, 0 },
	};
	const char *hash = NULL, *prefixes = NULL;
	struct target t = { .fd = -1 };
	uint64_t from = 0;
	struct state s;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'f') {
			from = strtoull(optarg, NULL, 10);
		} else if (c == 'h') {
			hash = optarg;
		} else if (c == 'p') {
			prefixes = optarg;
		} else {
			fputs(help, c == 'H' ? stdout : stderr);
			return c == 'H' ? 0 : 2;
		}
	}
	argc -= optind;
	argv += optind;
	if (hash) {
		load(&s, hash, 0);
		printf("%016" PRIx64 "\n", s.hash);
	} else if (prefixes) {
		hash_prefixes(prefixes, argc > 0 ? argv[0] : NULL);
	} else if (argc == 3 || argc == 4) {
		t.name = argv[1];
		t.skip_discard = argc == 4 && strcmp(argv[3], "0") != 0;
		replay(argv[0], &t, from, argv[2]);
	} else {
		fputs(help, stderr);
		return 2;
	}
	return fflush(stdout) ? 2 : 0;
}
