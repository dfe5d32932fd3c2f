/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Measuring: what an image would take in another format. */
#include <inttypes.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/opts.h"
#include "core/core.h"
#include "job/job.h"

#define SECTOR	512u

/* Options the format does not have are as wrong here as for creating. */
static int read_options(struct platter_context *ctx,
			const struct platter_driver *drv,
			const char *const *list, struct platter_options **out,
			struct platter_error *err)
{
	const struct platter_option *tables[] = {
		drv->create_options,
		platter_create_option_table(ctx, "file"),
	};
	int rc = plt_options_parse_list(out, list, err);

	if (rc < 0)
		return rc;
	for (int i = 0; i < 2; i++) {
		for (const struct platter_option *o = tables[i];
		     o && o->name; o++)
			(void)platter_options_string(*out, o->name);
	}
	rc = plt_options_check_used(*out, err);
	if (rc < 0)
		plt_options_free(*out);
	return plt_err_prefix(err, rc, "format %s", drv->name);
}

int platter_measure(struct platter_context *ctx, struct platter_image *src,
		    const struct platter_measure_options *opts,
		    struct platter_measure *result, struct platter_error *err)
{
	const char *format = opts->format ? opts->format : PLT_FORMAT_FALLBACK;
	const struct platter_driver *drv = plt_driver_find(ctx, format);
	struct platter_options *tree;
	int rc;

	*result = (struct platter_measure) { .required = 0 };
	if (!drv)
		return plt_err_set(err, -EINVAL, "unknown format \"%s\"",
				   format);
	if (!drv->measure)
		return plt_err_set(err, -ENOTSUP, "how large an image of "
				   "format %s would be cannot be told",
				   drv->name);
	if (opts->size > PLT_OFFSET_MAX - SECTOR)
		return plt_err_set(err, -EFBIG, "size %" PRIu64 " is over the "
				   "limit of %" PRIu64, opts->size,
				   PLT_OFFSET_MAX - SECTOR);
	rc = read_options(ctx, drv, opts->options, &tree, err);
	if (rc < 0)
		return rc;
	rc = drv->measure(tree, src, plt_align_up(opts->size, SECTOR), result,
			  err);
	plt_options_free(tree);
	return rc;
}
