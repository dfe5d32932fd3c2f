/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "Did you mean": the candidate nearest to a mistyped word.
 *
 * Nearness is the number of letters to insert, drop, replace or swap with a
 * neighbour (restricted Damerau-Levenshtein). Words are short, so the plain
 * table will do.
 */
#include <stdio.h>
#include <string.h>

#include "cmd.h"

#define WORD_MAX 32	/* longer words are not typing errors of ours */

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	if (b < a)
		a = b;
	return c < a ? c : a;
}

static unsigned int distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	unsigned int d[WORD_MAX + 1][WORD_MAX + 1];

	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;

	for (size_t i = 0; i <= la; i++)
		d[i][0] = (unsigned int)i;
	for (size_t j = 0; j <= lb; j++)
		d[0][j] = (unsigned int)j;

	for (size_t i = 1; i <= la; i++) {
		for (size_t j = 1; j <= lb; j++) {
			unsigned int differ = a[i - 1] != b[j - 1];

			d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1,
				       d[i - 1][j - 1] + differ);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < d[i][j])
				d[i][j] = d[i - 2][j - 2] + 1;
		}
	}
	return d[la][lb];
}

void cmd_suggest_init(struct cmd_suggestion *s, const char *word)
{
	size_t len = strlen(word);

	/* About one letter in three may be wrong, and always one. */
	*s = (struct cmd_suggestion){
		.word = word,
		.distance = (unsigned int)(len < 3 ? 1 : len / 3) + 1,
	};
}

void cmd_suggest_try(struct cmd_suggestion *s, const char *prefix,
		     const char *candidate)
{
	unsigned int d = distance(s->word, candidate);

	if (d >= s->distance || d >= strlen(candidate))
		return;
	s->distance = d;
	snprintf(s->text, sizeof(s->text), "%s%s", prefix, candidate);
}
