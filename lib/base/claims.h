/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ranges that are somebody's for a while: who wants one that overlaps waits.
 *
 * Claims are granted in the order in which they were asked for, so a long one
 * is not starved by short ones. There are at most as many as threads: a list
 * does. All of it is guarded by one mutex of the owner's.
 */
#ifndef PLT_BASE_CLAIMS_H
#define PLT_BASE_CLAIMS_H

#include <pthread.h>
#include <stdint.h>

struct plt_claim {
	struct plt_claim *next;
	uint64_t start, end;
};

struct plt_claims {
	struct plt_claim *first, **last;
	unsigned int waiting;
	pthread_cond_t changed;
};

void plt_claims_init(struct plt_claims *c);
void plt_claims_destroy(struct plt_claims *c);

/*
 * Claim [start, end), waiting for those that overlap. `lock` is held by the
 * caller, and let go of while it waits. A thread that has a claim may ask for
 * another only if nobody who has that one ever asks for the first.
 */
void plt_claim_take(struct plt_claims *c, struct plt_claim *claim,
		    uint64_t start, uint64_t end, pthread_mutex_t *lock);
/* With the same lock held. */
void plt_claim_drop(struct plt_claims *c, struct plt_claim *claim);

#endif
