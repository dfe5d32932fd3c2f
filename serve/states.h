/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ways to present crash states, of which states.c chooses. */
#ifndef SERVE_STATES_H
#define SERVE_STATES_H

#include "serve.h"

/* Each as serve_states_new(). */

/* states-fuse.c */
int serve_states_fuse(struct platter_crash_presenter **out,
		      const struct serve_states_options *opts,
		      struct platter_error *err) PLATTER_MUST_CHECK;

/* states-copy.c */
int serve_states_copy(struct platter_crash_presenter **out,
		      const struct serve_states_options *opts,
		      struct platter_error *err) PLATTER_MUST_CHECK;

/* states-nbd.c */
int serve_states_nbd(struct platter_crash_presenter **out,
		     const struct serve_states_options *opts,
		     struct platter_error *err) PLATTER_MUST_CHECK;

#endif
