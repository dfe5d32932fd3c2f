/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Claims: which guest clusters' allocation is being changed, and by whom.
 *
 * A writer that allocates lets go of `lock` while it moves the data. Its claim
 * keeps others from allocating the same clusters meanwhile: they wait, and look
 * anew afterwards. The same goes for L2 tables being made. There are only as
 * many claims as threads, so a list does.
 */
#include "disk/qcow2/alloc.h"

static bool taken(const struct plt_qcow2 *s,
		  const struct plt_qcow2_claim *claim)
{
	for (const struct plt_qcow2_claim *c = s->claims; c; c = c->next) {
		if (c->table == claim->table && c->start < claim->end &&
		    claim->start < c->end)
			return true;
	}
	return false;
}

void plt_qcow2_claim(struct plt_qcow2 *s, struct plt_qcow2_claim *claim,
		     bool table, uint64_t start, uint64_t end)
{
	*claim = (struct plt_qcow2_claim) {
		.table = table,
		.start = start,
		.end = end,
	};
	while (taken(s, claim))
		pthread_cond_wait(&s->claims_changed, &s->lock);
	claim->next = s->claims;
	s->claims = claim;
}

void plt_qcow2_unclaim(struct plt_qcow2 *s, struct plt_qcow2_claim *claim)
{
	struct plt_qcow2_claim **at = &s->claims;

	while (*at != claim)
		at = &(*at)->next;
	*at = claim->next;
	pthread_cond_broadcast(&s->claims_changed);
}
