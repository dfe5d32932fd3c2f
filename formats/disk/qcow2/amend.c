/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qcow2: changing creation options of an image that exists.
 *
 * Everything is checked before anything is changed. The order of the steps is
 * qemu-img's: up to version 3 first and down to version 2 last, so that each
 * step finds the version that can have what it makes.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/opts.h"
#include "disk/qcow2/amend.h"
#include "disk/qcow2/settings.h"

struct wanted {
	uint32_t version;
	unsigned int refcount_order;
	bool lazy, data_raw;
	bool has_size;
	uint64_t size;			/* bytes */
	const char *data_file;		/* NULL: stays; "": none is stored */
};

/* ---- reading ---- */

static int check_known(struct platter_options *opts, struct platter_error *err)
{
	const struct platter_option *o = plt_qcow2_amend_options;
	struct platter_error unknown = PLATTER_ERROR_INIT;
	bool known = true;

	for (; o->name; o++)
		(void)platter_options_string(opts, o->name);
	if (platter_options_string(opts, "encryption") ||
	    plt_options_tree(opts, "encrypt"))
		return plt_err_set(err, -EINVAL, "the image is not encrypted, "
				   "and cannot become so");
	if (plt_options_check_used(opts, &unknown) == 0)
		return 0;
	for (o = plt_qcow2_create_options; o->name && known; o++) {
		(void)platter_options_string(opts, o->name);
		known = plt_options_check_used(opts, NULL) < 0;
	}
	return plt_err_set(err, -EINVAL, "%s%s", unknown.msg, known ?
			   "; qcow2 has size, compat, data_file, "
			   "data_file_raw, lazy_refcounts, refcount_bits" :
			   ": it is only for creating images");
}

static int read_wanted(struct plt_qcow2 *s, struct platter_options *opts,
		       struct wanted *w, struct platter_error *err)
{
	int rc;

	*w = (struct wanted) {
		.version = s->h.version,
		.refcount_order = s->h.refcount_order,
		.lazy = s->h.compatible & QCOW2_COMPAT_LAZY_REFCOUNTS,
		.data_raw = s->data_raw,
		.has_size = platter_options_string(opts, "size"),
		.size = s->h.size,
		.data_file = platter_options_string(opts, "data_file"),
	};
	if (platter_options_string(opts, "backing_file") ||
	    platter_options_string(opts, "backing_fmt"))
		return plt_err_set(err, -EINVAL, "the backing file cannot be "
				   "amended; \"platter rebase\" changes it");
	rc = plt_qcow2_read_compat(opts, &w->version, err);
	if (rc == 0)
		rc = plt_qcow2_read_refcount_bits(opts, &w->refcount_order,
						  err);
	if (rc == 0)
		rc = platter_options_size(opts, "size", &w->size, err);
	if (rc == 0)
		rc = platter_options_bool(opts, "data_file_raw", &w->data_raw,
					  err);
	/* Version 2 has none; that they go with a downgrade is understood. */
	if (w->version < 3 && !platter_options_string(opts, "lazy_refcounts"))
		w->lazy = false;
	if (rc == 0)
		rc = platter_options_bool(opts, "lazy_refcounts", &w->lazy,
					  err);
	return rc;
}

static int check_wanted(struct plt_qcow2 *s, const struct wanted *w,
			bool force, struct platter_error *err)
{
	if (w->version < 3 && w->refcount_order != QCOW2_DEFAULT_REFCOUNT_ORDER)
		return plt_err_set(err, -EINVAL, "compat=0.10 requires "
				   "refcount_bits=16, not %u",
				   1u << w->refcount_order);
	if (w->version < 3 && w->lazy)
		return plt_err_set(err, -EINVAL, "lazy_refcounts needs compat "
				   "1.1 (v3), not 0.10");
	if (w->data_file && !s->data_file)
		return plt_err_set(err, -EINVAL, "data_file is for images that "
				   "have a data file");
	if (w->data_raw && !s->data_raw)
		return plt_err_set(err, -EINVAL, "data_file_raw cannot be set "
				   "on an existing image");
	if (w->size % 512)
		return plt_err_set(err, -EINVAL, "size %" PRIu64 " is not a "
				   "multiple of 512", w->size);
	if (w->version < s->h.version)
		return plt_qcow2_check_downgrade(s, force, err);
	return 0;
}

/* ---- the small steps ---- */

static int change_data_file(struct plt_qcow2 *s, const struct wanted *w,
			    struct platter_error *err)
{
	char *old = s->h.data_filename, *name = NULL;
	uint64_t autoclear = s->h.autoclear;
	int rc;

	if (!w->data_file && w->data_raw == s->data_raw)
		return 0;
	if (w->data_file && *w->data_file) {
		name = plt_strdup(w->data_file, err);
		if (!name)
			return -ENOMEM;
	}
	if (w->data_file)
		s->h.data_filename = name;
	if (!w->data_raw)
		s->h.autoclear &= ~QCOW2_AUTOCLEAR_DATA_RAW;
	rc = plt_qcow2_header_write(s, err);
	if (rc < 0) {
		s->h.data_filename = old;
		s->h.autoclear = autoclear;
		free(name);
		return rc;
	}
	if (w->data_file)
		free(old);
	s->data_raw = w->data_raw;
	return 0;
}

static int change_lazy(struct plt_qcow2 *s, const struct wanted *w,
		       struct platter_error *err)
{
	uint64_t was = s->h.compatible;
	int rc;

	if (w->lazy)
		s->h.compatible |= QCOW2_COMPAT_LAZY_REFCOUNTS;
	else
		s->h.compatible &= ~QCOW2_COMPAT_LAZY_REFCOUNTS;
	if (s->h.version < 3 || s->h.compatible == was)
		return 0;
	/* Without it, refcounts are right at any time. */
	rc = plt_qcow2_settle(s, err);
	if (rc == 0)
		rc = plt_qcow2_header_write_fixed(s, err);
	if (rc < 0)
		s->h.compatible = was;
	return rc;
}

int plt_qcow2_amend(struct platter_image *img, struct platter_options *opts,
		    bool force, struct platter_progress *progress,
		    struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	struct wanted w;
	int rc;

	rc = check_known(opts, err);
	if (rc == 0)
		rc = read_wanted(s, opts, &w, err);
	if (rc == 0)
		rc = check_wanted(s, &w, force, err);
	if (rc == 0 && w.version > s->h.version)
		rc = plt_qcow2_upgrade(s, err);
	if (rc == 0)
		rc = plt_qcow2_change_refcount_order(s, w.refcount_order,
						     progress, err);
	if (rc == 0)
		rc = change_data_file(s, &w, err);
	if (rc == 0)
		rc = change_lazy(s, &w, err);
	if (rc == 0 && w.has_size)
		rc = plt_qcow2_resize(img, w.size, err);
	if (rc == 0 && w.version < s->h.version)
		rc = plt_qcow2_downgrade(s, progress, err);
	return rc;
}
