/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Huffman codes of limited length, in deflate's canonical order. */
#ifndef PLT_BASE_HUFFMAN_H
#define PLT_BASE_HUFFMAN_H

#include <stdint.h>

#define PLT_HUFFMAN_SYMBOLS	288	/* most there may be */
#define PLT_HUFFMAN_MAX		15	/* bits, most a code may have */

struct plt_huffman_code {
	uint16_t bits;		/* as they go out, first bit lowest */
	uint8_t len;		/* 0: the symbol does not occur */
};

/*
 * Codes of at most `max` bits for `nr` symbols that occur that often, 2 symbols
 * at least. They are complete: where fewer than two symbols occur, unused ones
 * have codes, too.
 */
void plt_huffman_codes(struct plt_huffman_code *codes, const uint32_t *freq,
		       unsigned int nr, unsigned int max);

#endif
