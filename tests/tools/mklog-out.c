/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mklog: entries and their data, into the log.
 *
 * Output goes through one buffer; runs of zeros of HOLE_MIN bytes or more
 * become holes.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "mklog.h"

#define MAGIC		0x6a736677736872ULL
#define HOLE_MIN	(16U << 10)

/* splitmix64: a full-period stream whose state is a counter. */
uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

void flush_buf(struct out *o)
{
	size_t done = 0;

	while (done < o->fill) {
		ssize_t n = pwrite(o->fd, o->buf + done, o->fill - done,
				   (off_t)(o->pos + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die("%s: %s", o->name, strerror(n ? errno : EIO));
		done += (size_t)n;
	}
	o->pos += o->fill;
	o->fill = 0;
}

/* Room for at least one byte and at most @want, in place. */
static uint8_t *room(struct out *o, uint64_t want, size_t *got)
{
	uint8_t *p;

	if (o->fill == BUF_BYTES)
		flush_buf(o);
	*got = BUF_BYTES - o->fill;
	if (want < *got)
		*got = (size_t)want;
	p = o->buf + o->fill;
	o->fill += *got;
	return p;
}

void put_zeros(struct out *o, uint64_t len)
{
	size_t n;

	if (len >= HOLE_MIN) {
		flush_buf(o);
		if (len > (uint64_t)INT64_MAX - o->pos)
			die("%" PRIu64 " bytes of data do not fit a file", len);
		o->pos += len;
		return;
	}
	for (; len; len -= n) {
		uint8_t *p = room(o, len, &n);

		memset(p, 0, n);
	}
}

static void put_byte(struct out *o, uint64_t len, uint8_t value)
{
	size_t n;

	if (!value) {
		put_zeros(o, len);
		return;
	}
	for (; len; len -= n) {
		uint8_t *p = room(o, len, &n);

		memset(p, value, n);
	}
}

/* The bytes of a stream do not depend on where the buffer happens to end. */
void put_stream(struct out *o, uint64_t len, uint64_t seed)
{
	uint64_t state = seed;

	while (len) {
		uint64_t word = htole64(next_random(&state));
		size_t want = len < sizeof(word) ? (size_t)len : sizeof(word);
		size_t done, n;

		for (done = 0; done < want; done += n) {
			uint8_t *p = room(o, want - done, &n);

			memcpy(p, (const uint8_t *)&word + done, n);
		}
		len -= want;
	}
}

void put_fill(struct out *o, uint64_t len, const struct fill *f)
{
	switch (f->kind) {
	case FILL_BYTE:
		put_byte(o, len, (uint8_t)f->value);
		break;
	case FILL_HOLE:
		put_zeros(o, len);
		break;
	case FILL_ENTRY:
	case FILL_SEED:
		put_stream(o, len, f->value);
		break;
	}
}

uint64_t sectors_to_bytes(const struct out *o, uint64_t nr)
{
	if (nr > INT64_MAX / o->sector_size)
		die("%" PRIu64 " sectors of data do not fit a file", nr);
	return nr * o->sector_size;
}

void put_header(struct out *o, const struct entry *e)
{
	uint64_t h[4] = {
		htole64(e->sector), htole64(e->nr), htole64(e->flags),
		htole64(e->data_len),
	};
	uint64_t left = o->sector_size - HEADER_BYTES;
	size_t n;
	uint8_t *p;

	if (e->rest_len > left)
		die("%zu bytes after the header; a sector holds %" PRIu64,
		    e->rest_len, left);
	/* BUF_BYTES is a multiple of any sector size, but garbage is not. */
	if (BUF_BYTES - o->fill < HEADER_BYTES + e->rest_len)
		flush_buf(o);
	p = room(o, HEADER_BYTES, &n);
	memcpy(p, h, HEADER_BYTES);
	if (e->rest_len) {
		p = room(o, e->rest_len, &n);
		memcpy(p, e->rest, e->rest_len);
	}
	put_zeros(o, left - e->rest_len);
	o->entries++;
}

void put_entry(struct out *o, const struct entry *e,
		      const struct fill *f)
{
	uint64_t bytes = 0;

	if (!(e->flags & FLAG_DISCARD))
		bytes = sectors_to_bytes(o, e->nr);
	put_header(o, e);
	put_fill(o, bytes, f);
}

void put_mark(struct out *o, const char *text, size_t len,
		     uint64_t data_len)
{
	struct entry e = {
		.flags = FLAG_MARK,
		.data_len = data_len,
		.rest = (const uint8_t *)text,
		.rest_len = len,
	};

	put_header(o, &e);
}

void put_super(struct out *o, const struct options *opt)
{
	uint64_t version = htole64(opt->super_version);
	uint64_t magic = htole64(MAGIC);
	uint64_t entries = htole64(opt->has_nr_entries ? opt->nr_entries
						       : o->entries);
	uint32_t size = htole32((uint32_t)(opt->super_sector_size ?
					   opt->super_sector_size :
					   o->sector_size));

	flush_buf(o);
	o->pos = 0;
	memcpy(o->buf, &magic, 8);
	memcpy(o->buf + 8, &version, 8);
	memcpy(o->buf + 16, &entries, 8);
	memcpy(o->buf + 24, &size, 4);
	memset(o->buf + 28, opt->super_junk ? 0xa5 : 0, 4);
	o->fill = HEADER_BYTES;
	flush_buf(o);
}
