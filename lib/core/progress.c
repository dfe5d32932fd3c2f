/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reporting progress from a job, and learning that it should stop. */
#include <inttypes.h>

#include <platter/out.h>

#include "base/error.h"
#include "core/core.h"

int plt_progress(struct platter_progress *progress, uint64_t done,
		 uint64_t total, struct platter_error *err)
{
	if (!progress || !progress->update(progress, done, total))
		return 0;
	return plt_err_set(err, -ECANCELED, "interrupted at %" PRIu64
			   " of %" PRIu64, done, total);
}
