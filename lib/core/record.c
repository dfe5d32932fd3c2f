/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Recording: hands what is asked of a node to the filter that logs its writes. */
#include <platter/record.h>

#include "base/error.h"
#include "core/core.h"
#include "core/rw.h"

uint64_t platter_context_next_issue(struct platter_context *ctx)
{
	return ++ctx->issued;	/* atomic */
}

/* The filter that records, from `node` down; -ENOTSUP when there is none. */
static int recorder(struct platter_image *node, struct platter_image **out,
		    struct platter_error *err)
{
	struct platter_image *at = node;

	while (at && !at->drv->record)
		at = at->drv->kind == PLATTER_DRIVER_FILTER ?
		     plt_image_below(at) : NULL;
	*out = at;
	if (!at)
		return plt_err_set(err, -ENOTSUP, "%s: nothing records here; "
				   "open it through driver blklogwrites",
				   node->name);
	return plt_rw_check(at, "recording", 0, 0, err);
}

int platter_record_mark(struct platter_image *const *nodes, size_t count,
			const char *text, size_t len, uint64_t *entries,
			struct platter_error *err)
{
	struct platter_image *at;
	uint64_t issue, entry;
	int rc = 0;

	if (!count)
		return 0;
	issue = platter_context_next_issue(nodes[0]->ctx);
	for (size_t i = 0; i < count && !rc; i++) {
		rc = recorder(nodes[i], &at, err);
		if (rc)
			break;
		rc = plt_image_prefix(at, at->drv->record->mark(at, text, len,
						issue, &entry, err), err);
		if (!rc && entries)
			entries[i] = entry;
	}
	return rc;
}

int platter_record_pause(struct platter_image *node, struct platter_error *err)
{
	struct platter_image *at;
	int rc = recorder(node, &at, err);

	return rc ? rc : plt_image_prefix(at, at->drv->record->pause(at, err),
					  err);
}

int platter_record_resume(struct platter_image *node,
			  struct platter_error *err)
{
	struct platter_image *at;
	int rc = recorder(node, &at, err);

	return rc ? rc : plt_image_prefix(at, at->drv->record->resume(at, err),
					  err);
}

int platter_record_end(struct platter_image *node, struct platter_error *err)
{
	struct platter_image *at;
	int rc = recorder(node, &at, err);

	return rc ? rc : plt_image_prefix(at, at->drv->record->end(at, err),
					  err);
}

int platter_record_stats(struct platter_image *node,
			 struct platter_record_stats *out,
			 struct platter_error *err)
{
	struct platter_image *at;
	int rc = recorder(node, &at, err);

	return rc ? rc : plt_image_prefix(at, at->drv->record->stats(at, out,
								     err), err);
}
