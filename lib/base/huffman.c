/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Huffman codes as deflate wants them; see RFC 1951, section 3.2.2. */
#include <string.h>

#include "base/huffman.h"
#include "base/mem.h"

/* Those that occur, the rarest first. */
static void sort_symbols(const uint32_t *freq, unsigned int nr,
			 uint16_t *sorted, unsigned int *used)
{
	uint64_t keys[PLT_HUFFMAN_SYMBOLS];
	unsigned int n = 0;

	for (unsigned int i = 0; i < nr; i++) {
		if (freq[i])
			keys[n++] = (uint64_t)freq[i] << 16 | i;
	}
	/* Shell's sort: they are a few hundred at most. */
	for (unsigned int gap = n / 2; gap; gap /= 2) {
		for (unsigned int i = gap; i < n; i++) {
			uint64_t key = keys[i];
			unsigned int j = i;

			for (; j >= gap && keys[j - gap] > key; j -= gap)
				keys[j] = keys[j - gap];
			keys[j] = key;
		}
	}
	for (unsigned int i = 0; i < n; i++)
		sorted[i] = (uint16_t)keys[i];
	*used = n;
}

/*
 * Weights in ascending order become the depths of their leaves, in place, as
 * Moffat and Katajainen do it.
 */
static void leaf_depths(uint32_t *a, unsigned int n)
{
	unsigned int root = 0, leaf = 2, avail, used, depth;
	int next;

	a[0] += a[1];
	for (unsigned int i = 1; i + 1 < n; i++) {
		uint32_t sum;

		if (leaf >= n || a[root] < a[leaf]) {
			sum = a[root];
			a[root++] = i;
		} else {
			sum = a[leaf++];
		}
		if (leaf >= n || (root < i && a[root] < a[leaf])) {
			sum += a[root];
			a[root++] = i;
		} else {
			sum += a[leaf++];
		}
		a[i] = sum;
	}
	a[n - 2] = 0;
	for (int i = (int)n - 3; i >= 0; i--)
		a[i] = a[a[i]] + 1;
	avail = 1;
	used = depth = 0;
	next = (int)n - 1;
	for (int inner = (int)n - 2; avail; avail = 2 * used, used = 0) {
		for (; inner >= 0 && a[inner] == depth; inner--)
			used++;
		for (; avail > used; avail--)
			a[next--] = depth;
		depth++;
	}
}

/* How many codes of each length: at most `max`, which shorter ones pay for. */
static void limit_depths(uint16_t count[], unsigned int max,
			 const uint32_t *depth, unsigned int n)
{
	uint32_t total = 0;

	for (unsigned int i = 0; i < n; i++)
		count[depth[i] < max ? depth[i] : max]++;
	for (unsigned int l = 1; l <= max; l++)
		total += (uint32_t)count[l] << (max - l);
	/* Each step takes one leaf of length max away from under a shorter. */
	while (total > UINT32_C(1) << max) {
		unsigned int l = max - 1;

		while (!count[l])
			l--;
		count[max]--;
		count[l]--;
		count[l + 1] += 2;
		total--;
	}
}

static uint16_t reverse(uint16_t v, unsigned int nr)
{
	uint16_t out = 0;

	for (; nr; nr--, v >>= 1)
		out = (uint16_t)(out << 1 | (v & 1));
	return out;
}

static void assign_codes(struct plt_huffman_code *codes, unsigned int nr,
			 const uint16_t *count, unsigned int max)
{
	uint16_t next[PLT_HUFFMAN_MAX + 2] = { 0 };

	for (unsigned int l = 1; l < max; l++)
		next[l + 1] = (uint16_t)((next[l] + count[l]) << 1);
	for (unsigned int i = 0; i < nr; i++) {
		if (codes[i].len)
			codes[i].bits = reverse(next[codes[i].len]++,
						codes[i].len);
	}
}

void plt_huffman_codes(struct plt_huffman_code *codes, const uint32_t *freq,
		       unsigned int nr, unsigned int max)
{
	uint16_t sorted[PLT_HUFFMAN_SYMBOLS], count[PLT_HUFFMAN_MAX + 2] = { 0 };
	uint32_t depth[PLT_HUFFMAN_SYMBOLS];
	unsigned int n, at = 0;

	memset(codes, 0, nr * sizeof(*codes));
	sort_symbols(freq, nr, sorted, &n);
	if (n < 2) {
		/* A code of one symbol has one bit, and a second unused one. */
		codes[n ? sorted[0] : 0].len = 1;
		codes[n && sorted[0] == 0 ? 1 : 0].len = 1;
		count[1] = 2;
		assign_codes(codes, nr, count, max);
		return;
	}
	for (unsigned int i = 0; i < n; i++)
		depth[i] = freq[sorted[i]];
	leaf_depths(depth, n);
	limit_depths(count, max, depth, n);
	/* The rarest get the longest. */
	for (unsigned int l = max; l; l--) {
		for (unsigned int i = count[l]; i; i--)
			codes[sorted[at++]].len = (uint8_t)l;
	}
	assign_codes(codes, nr, count, max);
}
