/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A load whose writes can be told apart afterwards, and the check of it.
 *
 * Threads write blocks to a file, each with its own number and filled with
 * what follows from it, and make them durable: by fsync(), or by having opened
 * the file with O_DSYNC; on an NBD export by FLUSH or by FUA. A second file, the
 * diary, which has to be elsewhere, gets a line before each write and one when
 * it is known to be durable:
 *
 *	w BLOCK NUMBER		about to be written
 *	d BLOCK NUMBER		acknowledged as durable
 *
 * The load ends when a call fails, which is what it is waiting for.
 *
 * --check says whether a disk as replayed from a log has every write that the
 * diary calls durable, or a later one of that block, and whether it differs
 * from the disk itself nowhere but in blocks with writes that were never
 * acknowledged.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BLOCK		4096u
#define WORDS		(BLOCK / sizeof(uint64_t))
#define THREADS		4u
#define BATCH		8u		/* writes to one fsync */
#define MAGIC		UINT64_C(0x656c626172756464)

static const char help[] =
"Usage: durable-writes FILE|URI DIARY [COUNT]\n"
"  or:  durable-writes --check DISK REPLAYED DIARY\n"
"\n"
"Writes blocks to FILE, by half of its threads with fsync() and by half with\n"
"O_DSYNC, or to the export nbd+unix:///NAME?socket=PATH with FLUSH and FUA,\n"
"until a call fails or each thread has made COUNT writes.\n"
"--check exits with 1 when a durable write is missing from REPLAYED, or DISK\n"
"differs where it may not.\n";

static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *fmt, ...)
{
	va_list ap;

	fputs("durable-writes: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

static void fill(uint64_t *buf, uint64_t block, uint64_t number)
{
	buf[0] = MAGIC;
	buf[1] = block;
	buf[2] = number;
	for (size_t i = 3; i < WORDS; i++)
		buf[i] = (block * 0x9e3779b97f4a7c15 + number) ^ i;
}

/* ---- what is written to ---- */

struct target {
	int fd;
	bool nbd;
	bool durable;		/* each write by itself */
	uint64_t size;
};

static bool get(int fd, void *buf, size_t len)
{
	return recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len;
}

static bool put(int fd, const void *buf, size_t len)
{
	return send(fd, buf, len, MSG_NOSIGNAL) == (ssize_t)len;
}

#define NBD_OPTION	UINT64_C(0x49484156454f5054)	/* "IHAVEOPT" */
#define NBD_REQUEST	0x25609513u
#define NBD_REPLY	0x67446698u
#define NBD_FUA		1u
#define NBD_WRITE	1u
#define NBD_FLUSH	3u

/* The shortest way in: newstyle, NBD_OPT_EXPORT_NAME, no zeroes behind. */
static bool nbd_open(struct target *t, const char *uri)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *name = uri + strlen("nbd+unix:///");
	const char *path = strstr(uri, "?socket=");
	struct { uint64_t magic, option; uint16_t flags; }
		__attribute__((packed)) hello;
	struct { uint32_t flags; uint64_t magic; uint32_t option, len; }
		__attribute__((packed)) choice = {
		htobe32(3), htobe64(NBD_OPTION), htobe32(1), 0,
	};
	struct { uint64_t size; uint16_t flags; }
		__attribute__((packed)) export;
	size_t len = strcspn(name, "?");

	if (!path || strlen(path + 8) >= sizeof(addr.sun_path))
		die("%s: no URI of a socket", uri);
	strcpy(addr.sun_path, path + 8);
	choice.len = htobe32((uint32_t)len);
	t->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(t->fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    !get(t->fd, &hello, sizeof(hello)) ||
	    hello.option != htobe64(NBD_OPTION) ||
	    !put(t->fd, &choice, sizeof(choice)) || !put(t->fd, name, len) ||
	    !get(t->fd, &export, sizeof(export)))
		return false;
	t->size = be64toh(export.size);
	return true;
}

static bool nbd_request(const struct target *t, uint16_t type, uint16_t flags,
			uint64_t offset, const void *buf, uint32_t len)
{
	struct { uint32_t magic; uint16_t flags, type; uint64_t handle, offset;
		 uint32_t len; } __attribute__((packed)) request = {
		htobe32(NBD_REQUEST), htobe16(flags), htobe16(type), 7,
		htobe64(offset), htobe32(len),
	};
	struct { uint32_t magic, error; uint64_t handle; }
		__attribute__((packed)) reply;

	return put(t->fd, &request, sizeof(request)) &&
	       (!buf || put(t->fd, buf, len)) &&
	       get(t->fd, &reply, sizeof(reply)) &&
	       reply.magic == htobe32(NBD_REPLY) && !reply.error;
}

static bool target_open(struct target *t, const char *path, bool durable)
{
	struct stat st;

	t->durable = durable;
	t->nbd = !strncmp(path, "nbd+unix:///", 12);
	if (t->nbd)
		return nbd_open(t, path);
	t->fd = open(path, O_WRONLY | (durable ? O_DSYNC : 0));
	if (t->fd < 0 || fstat(t->fd, &st))
		return false;
	t->size = (uint64_t)st.st_size;
	return true;
}

static bool target_write(const struct target *t, const void *buf,
			 uint64_t offset)
{
	if (t->nbd)
		return nbd_request(t, NBD_WRITE, t->durable ? NBD_FUA : 0,
				   offset, buf, BLOCK);
	return pwrite(t->fd, buf, BLOCK, (off_t)offset) == (ssize_t)BLOCK;
}

static bool target_flush(const struct target *t)
{
	return t->nbd ? nbd_request(t, NBD_FLUSH, 0, 0, NULL, 0) :
			!fsync(t->fd);
}

/* ---- the load ---- */

struct load {
	const char *path;
	int diary;
	unsigned int thread;
	uint64_t count;		/* UINT64_MAX = until it fails */
};

static void note(int diary, char what, const uint64_t *blocks,
		 const uint64_t *numbers, size_t n)
{
	char text[BATCH * 48];
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		len += (size_t)sprintf(text + len, "%c %" PRIu64 " %" PRIu64
				       "\n", what, blocks[i], numbers[i]);
	if (write(diary, text, len) != (ssize_t)len)
		die("diary: %s", strerror(errno));
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Blocks are one thread's each, so that the later number is the later write. */
static void *run(void *arg)
{
	const struct load *l = arg;
	struct target t = { .fd = -1 };
	uint64_t random = 88172645463325252 + l->thread * 7919;
	uint64_t blocks[BATCH], numbers[BATCH], buf[WORDS];
	bool ok = target_open(&t, l->path, l->thread % 2);
	uint64_t own = t.size / BLOCK / THREADS;
	size_t n = 0;

	if (ok && !own)
		die("%s: too small", l->path);
	for (uint64_t i = 1; ok && i <= l->count; i++) {
		blocks[n] = next_random(&random) % own * THREADS + l->thread;
		numbers[n] = i;
		fill(buf, blocks[n], i);
		note(l->diary, 'w', &blocks[n], &numbers[n], 1);
		ok = target_write(&t, buf, blocks[n] * BLOCK);
		n++;
		if (!ok || (!t.durable && n < BATCH && i < l->count))
			continue;
		ok = t.durable || target_flush(&t);
		if (ok)
			note(l->diary, 'd', blocks, numbers, n);
		n = 0;
	}
	if (t.fd >= 0)
		close(t.fd);
	return NULL;
}

static int load(const char *path, const char *diary, uint64_t count)
{
	struct load loads[THREADS];
	pthread_t threads[THREADS];
	int fd;

	fd = open(diary, O_WRONLY | O_CREAT | O_APPEND, 0666);
	if (fd < 0)
		die("%s: %s", diary, strerror(errno));
	for (unsigned int i = 0; i < THREADS; i++) {
		loads[i] = (struct load){
			.path = path, .diary = fd, .thread = i, .count = count,
		};
		if (pthread_create(&threads[i], NULL, run, &loads[i]))
			die("no thread");
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

/* ---- the check ---- */

struct history {
	uint64_t tried, durable;	/* largest numbers of a block */
};

static void read_diary(const char *path, struct history *h, uint64_t blocks)
{
	FILE *f = fopen(path, "r");
	uint64_t block, number;
	char what;

	if (!f)
		die("%s: %s", path, strerror(errno));
	while (fscanf(f, "%c %" SCNu64 " %" SCNu64 "\n", &what, &block,
		      &number) == 3) {
		uint64_t *p;

		if (block >= blocks)
			die("%s: block %" PRIu64, path, block);
		p = what == 'w' ? &h[block].tried : &h[block].durable;
		if (number > *p)
			*p = number;
	}
	fclose(f);
}

/* The number of the write a block holds: 0 = none, UINT64_MAX = not a block. */
static uint64_t number_of(const uint64_t *buf, uint64_t block)
{
	uint64_t whole[WORDS];

	if (buf[0] != MAGIC) {
		memset(whole, 0, sizeof(whole));
		return memcmp(buf, whole, BLOCK) ? UINT64_MAX : 0;
	}
	fill(whole, block, buf[2]);
	return memcmp(buf, whole, BLOCK) ? UINT64_MAX : buf[2];
}

static void read_block(int fd, const char *path, uint64_t *buf, uint64_t block)
{
	ssize_t n = pread(fd, buf, BLOCK, (off_t)(block * BLOCK));

	if (n < 0)
		die("%s: %s", path, strerror(errno));
	memset((char *)buf + n, 0, BLOCK - (size_t)n);
}

static int check(const char *disk, const char *replayed, const char *diary)
{
	int a = open(disk, O_RDONLY), b = open(replayed, O_RDONLY);
	uint64_t x[WORDS], y[WORDS], blocks, durable = 0;
	struct history *h;
	struct stat st;
	int bad = 0;

	if (a < 0 || b < 0 || fstat(a, &st))
		die("%s, %s: %s", disk, replayed, strerror(errno));
	blocks = (uint64_t)st.st_size / BLOCK;
	h = calloc(blocks, sizeof(*h));
	if (!h)
		die("no memory");
	read_diary(diary, h, blocks);
	for (uint64_t i = 0; i < blocks; i++) {
		uint64_t number;

		read_block(a, disk, x, i);
		read_block(b, replayed, y, i);
		number = number_of(y, i);
		durable += !!h[i].durable;
		if (number == UINT64_MAX || number < h[i].durable ||
		    number > h[i].tried) {
			printf("block %" PRIu64 ": durable is write %" PRIu64
			       ", replayed was %" PRIu64 "\n", i, h[i].durable,
			       number);
			bad = 1;
		}
		if (memcmp(x, y, BLOCK) && h[i].tried == h[i].durable) {
			printf("block %" PRIu64 ": differs, with all its "
			       "writes acknowledged\n", i);
			bad = 1;
		}
	}
	if (!durable) {
		printf("nothing was acknowledged\n");
		bad = 1;
	}
	return bad;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "--check"))
		return check(argv[2], argv[3], argv[4]);
	if (argc == 3 || argc == 4)
		return load(argv[1], argv[2], argc == 4 ?
			    strtoull(argv[3], NULL, 10) : UINT64_MAX);
	fputs(help, stderr);
	return 2;
}
