/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How crash states get to the programs that check them: files of a mount where
 * that is possible, else copies.
 */
#include <errno.h>
#include <stdlib.h>

#include "states.h"

/* Why there is no FUSE, for as long as the copies are there. */
struct fallback {
	struct platter_crash_presenter base;
	struct platter_crash_presenter *copies;
	struct platter_error why;
};

static struct fallback *fallback_of(struct platter_crash_presenter *base)
{
	return (struct fallback *)base;
}

static int present(struct platter_crash_presenter *self, unsigned int slot,
		   const char *name, struct platter_image *img,
		   const struct platter_crash_range *changed, size_t nr_changed,
		   bool direct, struct platter_crash_place *place,
		   struct platter_error *err)
{
	struct platter_crash_presenter *copies = fallback_of(self)->copies;

	return copies->present(copies, slot, name, img, changed, nr_changed,
			       direct, place, err);
}

static int withdraw(struct platter_crash_presenter *self, unsigned int slot,
		    struct platter_error *err)
{
	struct platter_crash_presenter *copies = fallback_of(self)->copies;

	return copies->withdraw(copies, slot, err);
}

static void free_fallback(struct platter_crash_presenter *self)
{
	platter_crash_presenter_free(fallback_of(self)->copies);
	free(self);
}

/* Everything that keeps FUSE from working is a reason to do without. */
static int any(struct platter_crash_presenter **out,
	       const struct serve_states_options *opts, const char **why,
	       struct platter_error *err)
{
	struct fallback *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return platter_error_errno(err, -ENOMEM, "%s", opts->dir);
	if (!serve_states_fuse(out, opts, &f->why)) {
		free(f);
		return 0;
	}
	rc = serve_states_copy(&f->copies, opts, err);
	if (rc) {
		free(f);
		return rc;
	}
	f->base = (struct platter_crash_presenter){
		.present = present,
		.withdraw = withdraw,
		.free = free_fallback,
		.how = f->copies->how,
		.sees_reads = f->copies->sees_reads,
	};
	if (why)
		*why = f->why.msg;
	*out = &f->base;
	return 0;
}

int serve_states_new(struct platter_crash_presenter **out,
		     const struct serve_states_options *opts, const char **why,
		     struct platter_error *err)
{
	if (why)
		*why = NULL;
	switch (opts->how) {
	case SERVE_STATES_FUSE:
		return serve_states_fuse(out, opts, err);
	case SERVE_STATES_COPY:
		return serve_states_copy(out, opts, err);
	case SERVE_STATES_NBD:
		return serve_states_nbd(out, opts, err);
	case SERVE_STATES_ANY:
	default:
		return any(out, opts, why, err);
	}
}
