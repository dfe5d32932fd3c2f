/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The context: a table of drivers and the rules images are opened by.
 *
 * The core knows no driver by itself; formats/builtin.c hands it the table.
 * Order matters in one place: the first protocol that claims a file name gets
 * it, so a narrow claim must come before a wide one.
 */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"

static int check_driver(const struct platter_driver *drv,
			struct platter_error *err)
{
	bool format = drv->kind == PLATTER_DRIVER_FORMAT;

	if (format ? !drv->format || !drv->format->map :
		     drv->kind == PLATTER_DRIVER_PROTOCOL && !drv->io)
		return plt_err_set(err, -EINVAL,
				   "driver \"%s\" lacks its operations",
				   drv->name);
	return 0;
}

int platter_context_new_with(struct platter_context **out,
			     const struct platter_driver *const *drivers,
			     size_t count, struct platter_error *err)
{
	plt_auto_free const char **names = NULL;
	struct platter_context *ctx;
	int rc;

	names = plt_calloc(count + 1, sizeof(*names), err);
	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		rc = check_driver(drivers[i], err);
		if (rc < 0)
			return rc;
		names[i] = drivers[i]->name;
	}
	ctx = plt_calloc(1, sizeof(*ctx), err);
	if (!ctx)
		return -ENOMEM;
	ctx->drivers = drivers;
	ctx->nr_drivers = count;
	ctx->names = plt_steal(names);
	ctx->follow = PLATTER_FOLLOW_BENEATH;
	*out = ctx;
	return 0;
}

void platter_context_free(struct platter_context *ctx)
{
	if (!ctx)
		return;
	free(ctx->names);
	free(ctx);
}

const char *const *platter_context_formats(struct platter_context *ctx)
{
	return ctx->names;
}

void platter_context_set_follow(struct platter_context *ctx,
				enum platter_follow follow)
{
	ctx->follow = follow;
}

static bool driver_has_name(const struct platter_driver *drv, const char *name)
{
	if (!strcmp(drv->name, name))
		return true;
	for (const char *const *a = drv->aliases; a && *a; a++) {
		if (!strcmp(*a, name))
			return true;
	}
	return false;
}

const struct platter_driver *plt_driver_find(const struct platter_context *ctx,
					     const char *name)
{
	for (size_t i = 0; i < ctx->nr_drivers; i++) {
		if (driver_has_name(ctx->drivers[i], name))
			return ctx->drivers[i];
	}
	return NULL;
}

const struct platter_driver *plt_driver_claiming(
	const struct platter_context *ctx, const char *filename)
{
	for (size_t i = 0; i < ctx->nr_drivers; i++) {
		const struct platter_driver *drv = ctx->drivers[i];

		if (drv->kind == PLATTER_DRIVER_PROTOCOL && drv->claims &&
		    drv->claims(filename))
			return drv;
	}
	return NULL;
}

const char *plt_driver_primary(const struct platter_driver *drv)
{
	return drv->primary ? drv->primary : "file";
}
