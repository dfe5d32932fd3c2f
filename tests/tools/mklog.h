/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of mklog share. */
#ifndef MKLOG_H
#define MKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEADER_BYTES	32
#define BUF_BYTES	(1U << 20)

#define FLAG_FLUSH	(1U << 0)
#define FLAG_FUA	(1U << 1)
#define FLAG_DISCARD	(1U << 2)
#define FLAG_MARK	(1U << 3)
#define FLAG_METADATA	(1U << 4)

struct entry {
	uint64_t sector;
	uint64_t nr;
	uint64_t flags;
	uint64_t data_len;
	const uint8_t *rest;	/* header bytes from 32 on */
	size_t rest_len;
};

enum fill_kind { FILL_ENTRY, FILL_BYTE, FILL_SEED, FILL_HOLE };

struct fill {
	enum fill_kind kind;
	uint64_t value;
};

struct options {
	uint64_t nr_entries;
	bool has_nr_entries;
	bool no_super;
	bool super_junk;
	uint64_t super_version;
	uint64_t super_sector_size;
	int64_t truncate;
	bool has_truncate;
	uint64_t generate;
	bool has_generate;
	const char *pattern;
	uint64_t device_size;
	uint64_t write_size;
	uint64_t seed;
	bool hole_data;
	uint64_t flush_every;
	uint64_t mark_every;
};

struct out {
	const char *name;
	int fd;
	uint64_t pos;		/* file offset of buf[0] */
	size_t fill;		/* bytes in buf */
	uint64_t sector_size;
	uint64_t entries;
	uint8_t *buf;
};

/* ---- mklog.c ---- */

extern unsigned int line_nr;	/* of the script; 0: elsewhere */

void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
uint64_t to_number(const char *s);

/* ---- mklog-out.c: what fails there ends the program ---- */

/* splitmix64: a full-period stream whose state is a counter. */
uint64_t next_random(uint64_t *state);

void flush_buf(struct out *o);
void put_zeros(struct out *o, uint64_t len);
void put_stream(struct out *o, uint64_t len, uint64_t seed);
void put_fill(struct out *o, uint64_t len, const struct fill *f);
uint64_t sectors_to_bytes(const struct out *o, uint64_t nr);
/* The header counts as an entry; put_entry() has the data behind it. */
void put_header(struct out *o, const struct entry *e);
void put_entry(struct out *o, const struct entry *e, const struct fill *f);
void put_mark(struct out *o, const char *text, size_t len, uint64_t data_len);
void put_super(struct out *o, const struct options *opt);

/* ---- mklog-script.c ---- */

void run_script(struct out *o);

/* ---- mklog-generate.c ---- */

void run_generator(struct out *o, const struct options *opt);

#endif
