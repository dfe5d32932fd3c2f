/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a replay asks of its target, whether the log is complete or grows. */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "core/core.h"
#include "job/job.h"

int plt_replay_check_target(const struct platter_replay_options *opts,
			    struct platter_image *base, bool is_log,
			    struct platter_error *err)
{
	const char *path = plt_target_path(opts->target);
	const char *format = opts->target_format;

	if (format && strcmp(format, PLT_FORMAT_FALLBACK))
		return plt_err_set(err, -ENOTSUP, "%s: only raw targets can be "
				   "replayed to, not %s", path, format);
	if (is_log)
		return plt_err_set(err, -EINVAL, "%s: is the log as well",
				   path);
	if (base && plt_image_uses_path(base, path))
		return plt_err_set(err, -EINVAL, "%s: is the base as well",
				   path);
	return 0;
}

int plt_replay_verify(struct platter_image *view, struct platter_image *target,
		      const struct plt_compare_request *req,
		      struct platter_error *err)
{
	struct platter_compare_result result;
	int rc;

	rc = plt_compare_range(view, target, req, &result, err);
	if (rc)
		return plt_err_prefix(err, rc, "verifying");
	if (result.verdict != PLATTER_COMPARE_SAME)
		return plt_err_set(err, -EIO, "%s: differs from the log at "
				   "offset %" PRIu64 " after it was written",
				   platter_image_name(target), result.offset);
	return 0;
}
