/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counted references to host clusters, in memory.
 *
 * Two bytes a cluster, in pieces that exist only where something is referred
 * to, so that memory goes with what the image uses and not with the length of
 * a sparse file. A piece in which one cluster has more references than two
 * bytes hold is widened to eight.
 */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/check.h"

#define WORDS	(QCOW2_COUNTS_PIECE / 64)

struct plt_qcow2_counts_piece {
	uint64_t *wide;		/* instead of `narrow`, or NULL */
	uint8_t *tables;	/* references by L1 entries, or NULL */
	/* A bit per cluster: plt_qcow2_counts_mark(), _keep(). */
	uint64_t copied[WORDS], plain[WORDS], kept[WORDS];
	uint16_t narrow[QCOW2_COUNTS_PIECE];
};

static void free_piece(struct plt_qcow2_counts_piece *p)
{
	if (p) {
		free(p->wide);
		free(p->tables);
	}
	free(p);
}

int plt_qcow2_counts_init(struct plt_qcow2_counts *counts, uint64_t clusters,
			  struct platter_error *err)
{
	*counts = (struct plt_qcow2_counts){ 0 };
	return plt_qcow2_counts_extend(counts, clusters, err);
}

int plt_qcow2_counts_extend(struct plt_qcow2_counts *counts, uint64_t clusters,
			    struct platter_error *err)
{
	size_t nr = (size_t)((clusters + QCOW2_COUNTS_PIECE - 1) >>
			     QCOW2_COUNTS_BITS);
	size_t room = counts->nr_pieces;
	int rc;

	if (clusters <= counts->clusters)
		return 0;
	if (nr > counts->nr_pieces) {
		rc = plt_grow(&counts->piece, &room, nr,
			      sizeof(counts->piece[0]), err);
		if (rc)
			return rc;
		memset(counts->piece + counts->nr_pieces, 0,
		       (room - counts->nr_pieces) * sizeof(counts->piece[0]));
		counts->nr_pieces = room;
	}
	counts->clusters = clusters;
	return 0;
}

void plt_qcow2_counts_free(struct plt_qcow2_counts *counts)
{
	for (size_t i = 0; i < counts->nr_pieces; i++)
		free_piece(counts->piece[i]);
	free(counts->piece);
	*counts = (struct plt_qcow2_counts){ 0 };
}

uint64_t plt_qcow2_counts_get(const struct plt_qcow2_counts *counts,
			      uint64_t cluster)
{
	size_t i = cluster >> QCOW2_COUNTS_BITS;
	const struct plt_qcow2_counts_piece *p =
		i < counts->nr_pieces ? counts->piece[i] : NULL;

	if (!p)
		return 0;
	i = cluster & (QCOW2_COUNTS_PIECE - 1);
	return p->wide ? p->wide[i] : p->narrow[i];
}

static int widen(struct plt_qcow2_counts_piece *p, struct platter_error *err)
{
	p->wide = plt_calloc(QCOW2_COUNTS_PIECE, sizeof(p->wide[0]), err);
	if (!p->wide)
		return -ENOMEM;
	for (size_t i = 0; i < QCOW2_COUNTS_PIECE; i++)
		p->wide[i] = p->narrow[i];
	return 0;
}

/* The one that has `cluster`; NULL: no memory, and `err` says so. */
static struct plt_qcow2_counts_piece *
make_piece(struct plt_qcow2_counts *counts, uint64_t cluster,
	   struct platter_error *err)
{
	struct plt_qcow2_counts_piece **at =
		&counts->piece[cluster >> QCOW2_COUNTS_BITS];

	if (!*at)
		*at = plt_calloc(1, sizeof(**at), err);
	return *at;
}

int plt_qcow2_counts_set(struct plt_qcow2_counts *counts, uint64_t cluster,
			 uint64_t value, struct platter_error *err)
{
	struct plt_qcow2_counts_piece *p = make_piece(counts, cluster, err);
	size_t i = cluster & (QCOW2_COUNTS_PIECE - 1);
	int rc;

	if (!p)
		return -ENOMEM;
	if (value > UINT16_MAX && !p->wide) {
		rc = widen(p, err);
		if (rc)
			return rc;
	}
	if (p->wide)
		p->wide[i] = value;
	else
		p->narrow[i] = (uint16_t)value;
	return 0;
}

int plt_qcow2_counts_mark(struct plt_qcow2_counts *counts, uint64_t cluster,
			  bool copied, struct platter_error *err)
{
	struct plt_qcow2_counts_piece *p = make_piece(counts, cluster, err);
	size_t i = cluster & (QCOW2_COUNTS_PIECE - 1);

	if (!p)
		return -ENOMEM;
	(copied ? p->copied : p->plain)[i / 64] |= UINT64_C(1) << i % 64;
	return 0;
}

int plt_qcow2_counts_keep(struct plt_qcow2_counts *counts, uint64_t cluster,
			  struct platter_error *err)
{
	struct plt_qcow2_counts_piece *p = make_piece(counts, cluster, err);
	size_t i = cluster & (QCOW2_COUNTS_PIECE - 1);

	if (!p)
		return -ENOMEM;
	p->kept[i / 64] |= UINT64_C(1) << i % 64;
	return 0;
}

uint64_t plt_qcow2_counts_wanted(const struct plt_qcow2_counts *counts,
				 uint64_t cluster)
{
	uint64_t refs = plt_qcow2_counts_get(counts, cluster);
	size_t i = cluster >> QCOW2_COUNTS_BITS;

	if (refs || i >= counts->nr_pieces || !counts->piece[i])
		return refs;
	return counts->piece[i]->kept[(cluster & (QCOW2_COUNTS_PIECE - 1)) /
				      64] >> cluster % 64 & 1;
}

int plt_qcow2_counts_add_table(struct plt_qcow2_counts *counts,
			       uint64_t cluster, struct platter_error *err)
{
	struct plt_qcow2_counts_piece *p = make_piece(counts, cluster, err);
	size_t i = cluster & (QCOW2_COUNTS_PIECE - 1);

	if (!p)
		return -ENOMEM;
	if (!p->tables)
		p->tables = plt_calloc(QCOW2_COUNTS_PIECE, 1, err);
	if (!p->tables)
		return -ENOMEM;
	/* More than that is none: see plt_qcow2_counts_tables(). */
	p->tables[i] += p->tables[i] != UINT8_MAX;
	return 0;
}

uint64_t plt_qcow2_counts_tables(const struct plt_qcow2_counts *counts,
				 uint64_t cluster)
{
	size_t i = cluster >> QCOW2_COUNTS_BITS;
	const struct plt_qcow2_counts_piece *p =
		i < counts->nr_pieces ? counts->piece[i] : NULL;
	uint64_t nr = p && p->tables ?
		      p->tables[cluster & (QCOW2_COUNTS_PIECE - 1)] : 0;

	return nr == UINT8_MAX ? 0 : nr;
}

/* Exactly one reference is what the flag says. */
static bool piece_right(const struct plt_qcow2_counts_piece *p)
{
	for (size_t i = 0; i < WORDS; i++) {
		uint64_t one = 0;

		if (!(p->copied[i] | p->plain[i]))
			continue;
		for (size_t j = 0; j < 64; j++) {
			size_t at = i * 64 + j;
			bool is = p->wide ? p->wide[at] == 1 :
					    p->narrow[at] == 1;

			one |= (uint64_t)is << j;
		}
		if ((p->copied[i] & ~one) | (p->plain[i] & one))
			return false;
	}
	return true;
}

bool plt_qcow2_counts_copied_right(const struct plt_qcow2_counts *counts)
{
	for (size_t i = 0; i < counts->nr_pieces; i++)
		if (counts->piece[i] && !piece_right(counts->piece[i]))
			return false;
	return true;
}

bool plt_qcow2_counts_any(const struct plt_qcow2_counts *counts,
			  uint64_t cluster, uint64_t nr)
{
	uint64_t end = cluster + nr;

	for (; cluster < end; cluster = (cluster | (QCOW2_COUNTS_PIECE - 1)) +
					1) {
		size_t i = cluster >> QCOW2_COUNTS_BITS;

		if (i >= counts->nr_pieces)
			return false;
		if (counts->piece[i])
			return true;
	}
	return false;
}
