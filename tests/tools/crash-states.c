/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes the states that a power cut could leave, from a log of writes, and runs
 * a command on each.
 *
 *	crash-states LOG BASE FILE COMMAND
 *
 * LOG is a write log of what was done to a copy of BASE. The states are every
 * prefix, and, for each stretch between two flushes, everything before it with
 * one of its writes missing, and with one of its writes only. Each is written
 * to FILE, and COMMAND, a line for the shell, is run with STATE in its
 * environment: "12" is the first 12 entries, "12-9" the first 12 without entry
 * 9, "12+15" the first 12 and entry 15. States of the same content are tried
 * once. Exit code 1 when a command has failed; the states are printed.
 *
 * It shares no code with the library, and holds the disk in memory.
 */
#include <endian.h>
#include <err.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define MAGIC		UINT64_C(0x6a736677736872)
#define FLAG_FLUSH	1u
#define FLAG_DISCARD	4u
#define MAX_SEEN	65536u

struct entry {
	uint64_t offset, len, flags;
	const uint8_t *data;		/* NULL: zeros */
};

struct disk {
	uint8_t *data;
	size_t len;		/* how far it has been written */
	size_t room;
};

static struct entry *entries;
static size_t nr_entries;
static uint64_t seen[MAX_SEEN];
static size_t nr_seen, tried, failed;

static uint8_t *load(const char *name, size_t *len)
{
	FILE *f = fopen(name, "rb");
	uint8_t *buf;
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0)
		err(2, "%s", name);
	rewind(f);
	buf = malloc((size_t)size + 1);
	if (!buf || fread(buf, 1, (size_t)size, f) != (size_t)size)
		err(2, "%s", name);
	fclose(f);
	*len = (size_t)size;
	return buf;
}

static uint64_t le64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static void load_log(const char *name)
{
	size_t len, at;
	uint8_t *log = load(name, &len);
	uint32_t sector;
	uint64_t nr;

	if (len < 512 || le64(log) != MAGIC)
		errx(2, "%s: not a write log", name);
	nr = le64(log + 16);
	memcpy(&sector, log + 24, sizeof(sector));
	sector = le32toh(sector);
	entries = calloc(nr + 1, sizeof(*entries));
	if (!entries)
		err(2, "%s", name);
	for (at = sector; nr_entries < nr; at += sector) {
		struct entry *e = &entries[nr_entries++];

		if (at + sector > len)
			errx(2, "%s: ends in entry %zu", name, nr_entries - 1);
		e->offset = le64(log + at) * sector;
		e->len = le64(log + at + 8) * sector;
		e->flags = le64(log + at + 16);
		if (!e->len || (e->flags & FLAG_DISCARD))
			continue;
		if (e->len > len - at - sector)
			errx(2, "%s: ends in entry %zu", name, nr_entries - 1);
		e->data = log + at + sector;
		at += e->len;
	}
}

static void apply(struct disk *d, const struct entry *e)
{
	if (!e->len)
		return;
	if (e->offset + e->len > d->room)
		errx(2, "entry beyond %zu bytes", d->room);
	if (e->data)
		memcpy(d->data + e->offset, e->data, e->len);
	else
		memset(d->data + e->offset, 0, e->len);
	if (e->offset + e->len > d->len)
		d->len = e->offset + e->len;
}

static bool is_new(const struct disk *d)
{
	uint64_t hash = UINT64_C(14695981039346656037) ^ d->len;

	for (size_t i = 0; i + 8 <= d->len; i += 8)
		hash = (hash ^ le64(d->data + i)) * UINT64_C(1099511628211);
	for (size_t i = 0; i < nr_seen; i++) {
		if (seen[i] == hash)
			return false;
	}
	if (nr_seen < MAX_SEEN)
		seen[nr_seen++] = hash;
	return true;
}

static void try(const struct disk *d, const char *file, const char *command,
		const char *state)
{
	FILE *f;
	int rc;

	if (!is_new(d))
		return;
	f = fopen(file, "wb");
	if (!f || fwrite(d->data, 1, d->len, f) != d->len || fclose(f))
		err(2, "%s", file);
	setenv("STATE", state, 1);
	rc = system(command);
	tried++;
	if (rc) {
		printf("state %s: exit %d\n", state, WEXITSTATUS(rc));
		failed++;
	}
}

static void copy(struct disk *to, const struct disk *from)
{
	memcpy(to->data, from->data, from->room);
	to->len = from->len;
}

/* The stretch [from, to) on top of what `d` holds. */
static void try_stretch(const struct disk *d, struct disk *tmp, size_t from,
			size_t to, char **argv)
{
	char state[64];

	for (size_t i = from; i < to; i++) {
		if (!entries[i].len)
			continue;
		copy(tmp, d);
		for (size_t j = from; j < to; j++) {
			if (j != i)
				apply(tmp, &entries[j]);
		}
		snprintf(state, sizeof(state), "%zu-%zu", to, i);
		try(tmp, argv[3], argv[4], state);
		copy(tmp, d);
		apply(tmp, &entries[i]);
		snprintf(state, sizeof(state), "%zu+%zu", from, i);
		try(tmp, argv[3], argv[4], state);
	}
	copy(tmp, d);
	for (size_t i = from; i < to; i++) {
		apply(tmp, &entries[i]);
		snprintf(state, sizeof(state), "%zu", i + 1);
		try(tmp, argv[3], argv[4], state);
	}
}

static void disk_init(struct disk *d, const uint8_t *base, size_t len,
		      size_t room)
{
	d->data = calloc(1, room);
	if (!d->data)
		err(2, "%zu bytes", room);
	memcpy(d->data, base, len);
	d->len = len;
	d->room = room;
}

int main(int argc, char **argv)
{
	struct disk d, tmp;
	size_t len, room, from = 0;
	uint8_t *base;

	if (argc != 5)
		errx(2, "usage: %s LOG BASE FILE COMMAND", argv[0]);
	base = load(argv[2], &len);
	load_log(argv[1]);
	room = len;
	for (size_t i = 0; i < nr_entries; i++) {
		uint64_t end = entries[i].offset + entries[i].len;

		room = end > room ? end : room;
	}
	disk_init(&d, base, len, room);
	disk_init(&tmp, base, len, room);
	try(&d, argv[3], argv[4], "0");
	for (size_t i = 0; i <= nr_entries; i++) {
		if (i < nr_entries && !(entries[i].flags & FLAG_FLUSH))
			continue;
		try_stretch(&d, &tmp, from, i, argv);
		for (; from < i; from++)
			apply(&d, &entries[from]);
		from = i + 1;
		if (i < nr_entries)
			apply(&d, &entries[i]);
	}
	free(d.data);
	free(tmp.data);
	free(base);
	printf("%zu states, %zu failed\n", tried, failed);
	return failed ? 1 : 0;
}
