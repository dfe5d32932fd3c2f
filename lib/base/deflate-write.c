/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deflate with matches at most 4 KiB back, made for speed on disk clusters.
 *
 * zlib's level 6 with that window takes about 30 MB/s of a processor, and the
 * libraries that are faster either compress worse or know no smaller window.
 * Matches are found by short chains of equal hashes, the longest is taken at
 * once, and each block gets Huffman codes of its own: about 4 % larger than
 * zlib's, in a fifth of its time. Source of the format: RFC 1951.
 *
 * Positions count on over all calls, so that the tables need not be cleared:
 * what is left in them of an earlier call is too far away to be a match.
 */
#include <stdbool.h>
#include <string.h>

#include "base/deflate-write.h"
#include "base/endian.h"
#include "base/huffman.h"
#include "base/mem.h"

#define WINDOW		4096u
#define MIN_MATCH	3u
#define MAX_MATCH	258u
#define HASH_BITS	15
#define HASH3_BITS	12
#define MAX_CHAIN	4	/* candidates looked at */
#define NICE_MATCH	32u	/* good enough not to look further */
#define SKIP_BITS	4	/* after 1 << this literals, look less often */
#define MAX_SKIP	8u
#define FAR_3		1024u	/* a match of 3 further back costs more */
#define BLOCK_SEQS	10000u	/* matches in a block */
#define POSITION_MAX	(UINT32_C(1) << 30)

#define NR_LITLEN	286
#define NR_DIST		30
#define NR_PRECODE	19
#define END_OF_BLOCK	256
#define MAX_PRECODE	7

/* `lits` literals, then a match, except for the last one of a block. */
struct seq {
	uint32_t lits;
	uint16_t len, dist;
};

struct plt_deflate_writer {
	uint32_t position;	/* of the next call's first byte */
	uint32_t head[1u << HASH_BITS];
	uint32_t head3[1u << HASH3_BITS];
	uint32_t prev[WINDOW];
	struct seq seqs[BLOCK_SEQS + 1];
	size_t nr_seqs;
	uint32_t litlen_freq[NR_LITLEN + 2];
	uint32_t dist_freq[NR_DIST + 2];
	struct plt_huffman_code litlen[NR_LITLEN + 2];
	struct plt_huffman_code dist[NR_DIST + 2];
	/* Of the block being written: bits, and above 24 how many. */
	uint32_t literal[256], length[MAX_MATCH + 1];
	uint8_t len_symbol[MAX_MATCH + 1];	/* less 257 */
	uint8_t dist_symbol[WINDOW + 1];
};

static const uint8_t len_extra[29] = {
	0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4,
	5, 5, 5, 5, 0
};
static const uint16_t len_base[29] = {
	3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59,
	67, 83, 99, 115, 131, 163, 195, 227, 258
};
static const uint8_t dist_extra[24] = {
	0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10
};
static const uint16_t dist_base[24] = {
	1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385,
	513, 769, 1025, 1537, 2049, 3073
};

struct plt_deflate_writer *plt_deflate_writer_new(struct platter_error *err)
{
	struct plt_deflate_writer *w = plt_calloc(1, sizeof(*w), err);

	if (!w)
		return NULL;
	w->position = WINDOW + 1;
	for (unsigned int s = 0; s < 29; s++) {
		for (unsigned int l = len_base[s]; l < len_base[s] +
		     (1u << len_extra[s]) && l <= MAX_MATCH; l++)
			w->len_symbol[l] = (uint8_t)s;
	}
	for (unsigned int s = 0; s < 24; s++) {
		for (unsigned int i = 0; i < 1u << dist_extra[s]; i++)
			w->dist_symbol[dist_base[s] + i] = (uint8_t)s;
	}
	return w;
}

void plt_deflate_writer_free(struct plt_deflate_writer *w)
{
	free(w);
}

/* ---- bits ---- */

struct bits {
	uint64_t buf;
	unsigned int nr;
	uint8_t *at, *end;
	bool full;
};

static inline void put_bits(struct bits *b, uint64_t value, unsigned int nr)
{
	b->buf |= value << b->nr;
	b->nr += nr;
}

/* Afterwards there is room for 56 bits more. */
static inline void flush_bits(struct bits *b)
{
	if (b->end - b->at < 8) {
		b->full = true;
		b->nr = 0;
		b->buf = 0;
		return;
	}
	plt_put_le64(b->at, b->buf);
	b->at += b->nr >> 3;
	b->buf >>= b->nr & ~7u;
	b->nr &= 7;
}

/* The same where the caller knows that there are 8 bytes of room. */
static inline void flush_bits_fast(struct bits *b)
{
	plt_put_le64(b->at, b->buf);
	b->at += b->nr >> 3;
	b->buf >>= b->nr & ~7u;
	b->nr &= 7;
}

static void finish_bits(struct bits *b)
{
	for (; b->nr; b->nr -= b->nr < 8 ? b->nr : 8) {
		if (b->at == b->end) {
			b->full = true;
			return;
		}
		*b->at++ = (uint8_t)b->buf;
		b->buf >>= 8;
	}
}

/* ---- the head of a block ---- */

struct precode {
	uint8_t symbol[NR_LITLEN + NR_DIST + 4];
	uint8_t extra[NR_LITLEN + NR_DIST + 4];
	unsigned int nr;
	uint32_t freq[NR_PRECODE];
};

static void add_run(struct precode *p, uint8_t symbol, unsigned int extra)
{
	p->symbol[p->nr] = symbol;
	p->extra[p->nr++] = (uint8_t)extra;
	p->freq[symbol]++;
}

static void add_zeros(struct precode *p, unsigned int run)
{
	while (run >= 11) {
		unsigned int n = PLT_MIN(run, 138u);

		add_run(p, 18, n - 11);
		run -= n;
	}
	if (run >= 3) {
		add_run(p, 17, run - 3);
		run = 0;
	}
	for (; run; run--)
		add_run(p, 0, 0);
}

static void add_lengths(struct precode *p, uint8_t len, unsigned int run)
{
	add_run(p, len, 0);
	run--;
	while (run >= 3) {
		unsigned int n = PLT_MIN(run, 6u);

		add_run(p, 16, n - 3);
		run -= n;
	}
	for (; run; run--)
		add_run(p, len, 0);
}

static void encode_lengths(struct precode *p, const uint8_t *lens,
			   unsigned int nr)
{
	for (unsigned int i = 0, run; i < nr; i += run) {
		for (run = 1; i + run < nr && lens[i + run] == lens[i]; run++)
			;
		if (lens[i])
			add_lengths(p, lens[i], run);
		else
			add_zeros(p, run);
	}
}

static void write_head(struct plt_deflate_writer *w, struct bits *b, bool last)
{
	static const uint8_t order[NR_PRECODE] = {
		16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15
	};
	static const uint8_t extra[NR_PRECODE] = { [16] = 2, [17] = 3,
						   [18] = 7 };
	unsigned int nr_litlen = NR_LITLEN, nr_dist = NR_DIST;
	unsigned int nr_precode = NR_PRECODE;
	uint8_t lens[NR_LITLEN + NR_DIST];
	struct plt_huffman_code codes[NR_PRECODE];
	struct precode p = { .nr = 0 };

	while (nr_litlen > 257 && !w->litlen[nr_litlen - 1].len)
		nr_litlen--;
	while (nr_dist > 1 && !w->dist[nr_dist - 1].len)
		nr_dist--;
	for (unsigned int i = 0; i < nr_litlen; i++)
		lens[i] = w->litlen[i].len;
	for (unsigned int i = 0; i < nr_dist; i++)
		lens[nr_litlen + i] = w->dist[i].len;
	encode_lengths(&p, lens, nr_litlen + nr_dist);
	plt_huffman_codes(codes, p.freq, NR_PRECODE, MAX_PRECODE);
	while (nr_precode > 4 && !codes[order[nr_precode - 1]].len)
		nr_precode--;
	put_bits(b, last, 1);
	put_bits(b, 2, 2);
	put_bits(b, nr_litlen - 257, 5);
	put_bits(b, nr_dist - 1, 5);
	put_bits(b, nr_precode - 4, 4);
	for (unsigned int i = 0; i < nr_precode; i++) {
		flush_bits(b);
		put_bits(b, codes[order[i]].len, 3);
	}
	for (unsigned int i = 0; i < p.nr; i++) {
		const struct plt_huffman_code *c = &codes[p.symbol[i]];

		flush_bits(b);
		put_bits(b, c->bits, c->len);
		put_bits(b, p.extra[i], extra[p.symbol[i]]);
	}
	flush_bits(b);
}

/* ---- the body of a block ---- */

#define PACKED_BITS	24	/* at most 15 of a code, 5 more of a length */

static inline void put_packed(struct bits *b, uint32_t packed)
{
	put_bits(b, packed & ((1u << PACKED_BITS) - 1), packed >> PACKED_BITS);
}

static void pack_codes(struct plt_deflate_writer *w)
{
	for (unsigned int i = 0; i < 256; i++)
		w->literal[i] = w->litlen[i].bits |
				(uint32_t)w->litlen[i].len << PACKED_BITS;
	for (unsigned int l = MIN_MATCH; l <= MAX_MATCH; l++) {
		unsigned int s = w->len_symbol[l];
		const struct plt_huffman_code *c = &w->litlen[257 + s];

		w->length[l] = c->bits | (l - len_base[s]) << c->len |
			       (uint32_t)(c->len + len_extra[s]) <<
			       PACKED_BITS;
	}
}

static uint64_t body_bits(const struct plt_deflate_writer *w)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i <= END_OF_BLOCK; i++)
		bits += (uint64_t)w->litlen_freq[i] * w->litlen[i].len;
	for (unsigned int i = 0; i < PLT_ARRAY_SIZE(len_extra); i++)
		bits += (uint64_t)w->litlen_freq[257 + i] *
			(w->litlen[257 + i].len + len_extra[i]);
	for (unsigned int i = 0; i < PLT_ARRAY_SIZE(dist_extra); i++)
		bits += (uint64_t)w->dist_freq[i] *
			(w->dist[i].len + dist_extra[i]);
	return bits;
}

static inline void write_literals(const struct plt_deflate_writer *w,
				  struct bits *b, const uint8_t *p, uint32_t nr)
{
	for (; nr >= 3; nr -= 3, p += 3) {
		put_packed(b, w->literal[p[0]]);
		put_packed(b, w->literal[p[1]]);
		put_packed(b, w->literal[p[2]]);
		flush_bits_fast(b);
	}
	for (; nr; nr--, p++)
		put_packed(b, w->literal[*p]);
	flush_bits_fast(b);
}

static inline void write_match(const struct plt_deflate_writer *w,
			       struct bits *b, unsigned int len,
			       unsigned int dist)
{
	unsigned int d = w->dist_symbol[dist];
	const struct plt_huffman_code *c = &w->dist[d];

	put_packed(b, w->length[len]);
	put_bits(b, c->bits, c->len);
	put_bits(b, dist - dist_base[d], dist_extra[d]);
	flush_bits_fast(b);
}

static void write_body(struct plt_deflate_writer *w, struct bits *b,
		       const uint8_t *p, uint32_t tail)
{
	/* And what the last store of 8 bytes takes more than it needs. */
	if (b->full || (uint64_t)(b->end - b->at) < body_bits(w) / 8 + 24) {
		b->full = true;
		return;
	}
	pack_codes(w);
	for (size_t i = 0; i < w->nr_seqs; i++) {
		const struct seq *s = &w->seqs[i];

		write_literals(w, b, p, s->lits);
		write_match(w, b, s->len, s->dist);
		p += s->lits + s->len;
	}
	write_literals(w, b, p, tail);
	put_bits(b, w->litlen[END_OF_BLOCK].bits,
		 w->litlen[END_OF_BLOCK].len);
	flush_bits_fast(b);
}

/* Write what has been gathered, which begins at `p`. */
static void write_block(struct plt_deflate_writer *w, struct bits *b,
			const uint8_t *p, uint32_t tail, bool last)
{
	w->litlen_freq[END_OF_BLOCK]++;
	plt_huffman_codes(w->litlen, w->litlen_freq, NR_LITLEN,
			  PLT_HUFFMAN_MAX);
	plt_huffman_codes(w->dist, w->dist_freq, NR_DIST, PLT_HUFFMAN_MAX);
	write_head(w, b, last);
	write_body(w, b, p, tail);
	w->nr_seqs = 0;
	memset(w->litlen_freq, 0, sizeof(w->litlen_freq));
	memset(w->dist_freq, 0, sizeof(w->dist_freq));
}

/* ---- matches ---- */

struct match {
	uint32_t len, dist;
};

static inline uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t hash4(uint32_t v)
{
	return (v * 0x9e3779b1u) >> (32 - HASH_BITS);
}

static inline uint32_t hash3(uint32_t v)
{
	return ((v << 8) * 0x9e3779b1u) >> (32 - HASH3_BITS);
}

/* How far `a` and `b` agree, `max` at most; both have that many bytes. */
static inline uint32_t agree(const uint8_t *a, const uint8_t *b, uint32_t max)
{
	uint32_t n = 0;

	while (n + 8 <= max) {
		uint64_t diff = load64(a + n) ^ load64(b + n);

		if (diff)
			return n + ((uint32_t)__builtin_ctzll(htole64(diff)) >>
				    3);
		n += 8;
	}
	while (n < max && a[n] == b[n])
		n++;
	return n;
}

/* Make position `pos`, with the bytes `v` there, known; short ones are not. */
static inline void insert(struct plt_deflate_writer *w, uint32_t pos,
			  uint32_t v)
{
	uint32_t h = hash4(v);

	w->prev[pos % WINDOW] = w->head[h];
	w->head[h] = pos;
}

/*
 * The longest match for `p`, at position `pos`, or one of length 0. `max` bytes
 * are left, at least 4. And make the position known.
 */
static inline struct match find(struct plt_deflate_writer *w, const uint8_t *p,
				uint32_t pos, uint32_t max)
{
	uint32_t v = load32(p), h = hash4(v), h3 = hash3(v);
	uint32_t at = w->head[h], at3 = w->head3[h3];
	unsigned int chain = MAX_CHAIN;
	struct match m = { 0 };

	w->prev[pos % WINDOW] = at;
	w->head[h] = pos;
	w->head3[h3] = pos;
	if (max > MAX_MATCH)
		max = MAX_MATCH;
	for (; chain && pos - at <= WINDOW;
	     chain--, at = w->prev[at % WINDOW]) {
		const uint8_t *q = p - (pos - at);
		uint32_t len;

		if (load32(q) != v || (m.len >= 4 && m.len < max &&
		    load32(q + m.len - 3) != load32(p + m.len - 3)))
			continue;
		len = 4 + agree(p + 4, q + 4, max - 4);
		if (len <= m.len)
			continue;
		m.len = len;
		m.dist = pos - at;
		if (len >= NICE_MATCH || len == max)
			break;
	}
	if (!m.len && pos - at3 <= FAR_3 &&
	    !((load32(p - (pos - at3)) ^ v) & htole32(0xffffff))) {
		m.len = 3;
		m.dist = pos - at3;
	}
	return m;
}

static inline void count_match(struct plt_deflate_writer *w, uint32_t lits,
			       struct match m)
{
	w->seqs[w->nr_seqs++] = (struct seq) {
		.lits = lits,
		.len = (uint16_t)m.len,
		.dist = (uint16_t)m.dist,
	};
	w->litlen_freq[257 + w->len_symbol[m.len]]++;
	w->dist_freq[w->dist_symbol[m.dist]]++;
}

/* How many literals to go on by: data without matches is gone over faster. */
static inline uint32_t literals(struct plt_deflate_writer *w, const uint8_t *p,
				uint32_t before, size_t left)
{
	uint32_t n = PLT_MIN(1 + (before >> SKIP_BITS), MAX_SKIP);

	n = (uint32_t)PLT_MIN((size_t)n, left);
	for (uint32_t i = 0; i < n; i++)
		w->litlen_freq[p[i]]++;
	return n;
}

/*
 * Gather sequences from `at` on, to the end or until a block is full. *tail is
 * how many literals follow the last match.
 */
static size_t parse(struct plt_deflate_writer *w, const uint8_t *in,
		    size_t at, size_t len, uint32_t *tail)
{
	uint32_t base = w->position, lits = 0;

	while (at + 4 < len && w->nr_seqs < BLOCK_SEQS) {
		struct match m = find(w, in + at, base + (uint32_t)at,
				      (uint32_t)(len - at));
		size_t end = at + m.len;

		if (!m.len) {
			uint32_t n = literals(w, in + at, lits, len - at);

			at += n;
			lits += n;
			continue;
		}
		count_match(w, lits, m);
		lits = 0;
		for (at++; at < end && at + 4 < len; at++)
			insert(w, base + (uint32_t)at, load32(in + at));
		at = end;
	}
	for (; at + 4 >= len && at < len; at++, lits++)
		w->litlen_freq[in[at]]++;
	*tail = lits;
	return at;
}

int plt_deflate_write(struct plt_deflate_writer *w, const void *in_, size_t len,
		      void *out, size_t room, size_t *out_len)
{
	struct bits b = { .at = out, .end = (uint8_t *)out + room };
	const uint8_t *in = in_;
	size_t at = 0;

	if (w->position > POSITION_MAX) {
		memset(w->head, 0, sizeof(w->head));
		memset(w->head3, 0, sizeof(w->head3));
		w->position = WINDOW + 1;
	}
	do {
		size_t from = at;
		uint32_t tail;

		at = parse(w, in, at, len, &tail);
		write_block(w, &b, in + from, tail, at == len);
	} while (at < len && !b.full);
	finish_bits(&b);
	w->position += (uint32_t)len + WINDOW + 1;
	if (b.full)
		return 1;
	*out_len = (size_t)(b.at - (uint8_t *)out);
	return 0;
}
