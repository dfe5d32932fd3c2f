/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ranges that are somebody's for a while: see claims.h. */
#include <stdbool.h>
#include <stddef.h>

#include "base/claims.h"

void plt_claims_init(struct plt_claims *c)
{
	c->first = NULL;
	c->last = &c->first;
	c->waiting = 0;
	pthread_cond_init(&c->changed, NULL);
}

void plt_claims_destroy(struct plt_claims *c)
{
	pthread_cond_destroy(&c->changed);
}

/* Does one that was asked for earlier overlap? */
static bool blocked(const struct plt_claims *c, const struct plt_claim *claim)
{
	for (const struct plt_claim *o = c->first; o != claim; o = o->next) {
		if (o->start < claim->end && claim->start < o->end)
			return true;
	}
	return false;
}

void plt_claim_take(struct plt_claims *c, struct plt_claim *claim,
		    uint64_t start, uint64_t end, pthread_mutex_t *lock)
{
	*claim = (struct plt_claim) { .start = start, .end = end };
	*c->last = claim;
	c->last = &claim->next;
	c->waiting++;
	while (blocked(c, claim))
		pthread_cond_wait(&c->changed, lock);
	c->waiting--;
}

void plt_claim_drop(struct plt_claims *c, struct plt_claim *claim)
{
	struct plt_claim **at = &c->first;

	while (*at != claim)
		at = &(*at)->next;
	*at = claim->next;
	if (c->last == &claim->next)
		c->last = at;
	if (c->waiting)
		pthread_cond_broadcast(&c->changed);
}
