/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A state as a node: a prefix of the log, and patches for what differs.
 *
 * Where the rest is kept (image-kept.c) the prefix reaches to the point, and
 * the patches are the places of what is missing: each shows who wrote it last
 * before, which the log's index knows. Where the rest is dropped
 * (image-dropped.c) the prefix reaches as far as everything is durable, and the
 * patches are what is present all the same: FUA, and what is listed. So a state
 * costs what is listed in it, not what is in the log.
 *
 * Either way the places are painted over one another in the order of the log
 * (image-strokes.c).
 */
#include <stdlib.h>

#include "crash/image.h"

int plt_crash_state_view(const struct platter_crash_state *state,
			 struct plt_wlog_state *view,
			 struct platter_error *err)
{
	const struct platter_crash *c = state->crash;
	const bool kept = state->rest == PLATTER_CRASH_KEPT;
	struct plt_strokes s = {
		.state = state,
		.below = { .log = c->log, .apart = true },
		.err = err,
	};
	struct plt_wlog_shared *under = NULL;
	struct plt_patches p = { .nr = 0 };
	int rc = 0;

	if (!kept)
		rc = plt_paint_get_under(state, &under, err);
	if (!rc)
		rc = kept ? plt_paint_missing(&s) :
			    plt_paint_present(&s, under);
	if (!rc)
		rc = plt_paint_layer(&s, &p);
	free(s.at);
	free(s.place);
	if (rc) {
		free(p.at);
		plt_wlog_shared_unref(under);
		return rc;
	}
	*view = (struct plt_wlog_state){
		.log = c->log,
		.to = kept ? state->point : c->flushed[state->point],
		.no_discard = state->discard == PLATTER_CRASH_DISCARD_OLD,
		.pattern_discard =
			state->discard == PLATTER_CRASH_DISCARD_PATTERN,
		.patches = p.at,
		.nr_patches = p.nr,
		.under = under,
	};
	return 0;
}

int platter_crash_state_image(struct platter_image **out,
			      const struct platter_crash_state *state,
			      struct platter_error *err)
{
	const struct platter_crash *c = state->crash;
	struct plt_wlog_state view;
	int rc;

	rc = plt_crash_state_view(state, &view, err);
	if (rc)
		return rc;
	rc = plt_wlog_view(out, &view, c->base, c->size, err);
	if (rc) {
		free((void *)view.patches);
		plt_wlog_shared_unref(view.under);
	}
	return rc;
}
