/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Node specs: what a person types to name an image.
 *
 * A file name or URI, json:{...}, or (with --image-opts) key=value pairs; all
 * become one option tree. json: is understood here only, so that no name from
 * inside an image, nor one nested in options, can use it.
 */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/opts.h"
#include "core/core.h"

/* Longest protocol name worth telling from a file name with a colon. */
#define SCHEME_MAX 32

size_t plt_spec_scheme(const char *filename)
{
	size_t len = strcspn(filename, ":/");

	if (filename[len] != ':' || len == 0 || len > SCHEME_MAX)
		return 0;
	return len;
}

int plt_spec_unclaimed(const char *filename, struct platter_error *err)
{
	size_t len = plt_spec_scheme(filename);

	if (!len)
		return plt_err_set(err, -EINVAL, "no driver for \"%s\"",
				   filename);
	if (!strncmp(filename + len, "://", 3))
		return plt_err_set(err, -EPROTONOSUPPORT,
				   "no driver for %.*s, which \"%s\" needs",
				   (int)len, filename, filename);
	return plt_err_set(err, -EPROTONOSUPPORT,
			   "no driver for %.*s (for a file of that name, "
			   "write ./%s)", (int)len, filename, filename);
}

static int set_driver(struct platter_options *tree, const char *format,
		      struct platter_error *err)
{
	const char *driver = platter_options_string(tree, "driver");

	if (!driver)
		return plt_options_set(tree, "driver", format, err);
	if (strcmp(driver, format))
		return plt_err_set(err, -EINVAL,
				   "format \"%s\" is asked for, but the "
				   "options say driver \"%s\"", format, driver);
	return 0;
}

static int parse_json(struct platter_options **out, const char *spec,
		      const char *format, struct platter_error *err)
{
	struct platter_options *tree;
	int rc;

	rc = plt_options_parse_json(&tree, spec + strlen("json:"), err);
	if (rc < 0)
		return rc;
	if (format)
		rc = set_driver(tree, format, err);
	if (rc < 0)
		plt_options_free(tree);
	else
		*out = tree;
	return rc;
}

/* {driver: F, <primary>: {filename: X}}, or {filename: X} to be probed. */
static int fill_filename(struct platter_options *tree, const char *filename,
			 const char *format, const char *primary,
			 struct platter_error *err)
{
	plt_auto_free char *key = NULL;
	int rc;

	if (!format)
		return plt_options_set(tree, "filename", filename, err);
	rc = plt_options_set(tree, "driver", format, err);
	if (rc < 0)
		return rc;
	key = primary ? plt_asprintf(err, "%s.filename", primary) :
			plt_strdup("filename", err);
	if (!key)
		return -ENOMEM;
	return plt_options_set(tree, key, filename, err);
}

int plt_spec_filename(struct platter_options **out, const char *filename,
		      const struct platter_driver *drv,
		      struct platter_error *err)
{
	struct platter_options *tree;
	const char *primary = NULL;
	int rc;

	if (!*filename)
		return plt_err_set(err, -EINVAL, "the file name is empty");
	tree = plt_options_new(err);
	if (!tree)
		return -ENOMEM;
	if (drv && drv->kind != PLATTER_DRIVER_PROTOCOL)
		primary = plt_driver_primary(drv);
	rc = fill_filename(tree, filename, drv ? drv->name : NULL, primary,
			   err);
	if (rc < 0)
		plt_options_free(tree);
	else
		*out = tree;
	return rc;
}

int plt_spec_parse(struct platter_options **out, struct platter_context *ctx,
		   const char *spec, const struct platter_open_options *opts,
		   struct platter_error *err)
{
	const char *format = opts ? opts->format : NULL;
	const struct platter_driver *drv = NULL;

	if (opts && opts->image_opts) {
		if (format)
			return plt_err_set(err, -EINVAL,
					   "a format and image options exclude "
					   "each other; put driver=%s into the "
					   "options", format);
		return plt_options_parse(out, spec, err);
	}
	if (format) {
		drv = plt_driver_find(ctx, format);
		if (!drv)
			return plt_err_set(err, -EINVAL,
					   "unknown format \"%s\"", format);
	}
	if (!strncmp(spec, "json:", strlen("json:")))
		return parse_json(out, spec, format, err);
	return plt_spec_filename(out, spec, drv, err);
}
