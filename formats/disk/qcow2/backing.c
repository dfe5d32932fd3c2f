/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qcow2: changing the stored name and format of the backing file. */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/qcow2.h"

static int check(const struct plt_qcow2 *s, const char *filename,
		 struct platter_error *err)
{
	if (!filename)
		return 0;
	if (!*filename)
		return plt_err_set(err, -EINVAL,
				   "the backing file name is empty");
	if (strlen(filename) > QCOW2_MAX_BACKING_NAME)
		return plt_err_set(err, -EINVAL, "the backing file name of %zu "
				   "bytes is over the limit of %u",
				   strlen(filename), QCOW2_MAX_BACKING_NAME);
	if (s->data_raw)
		return plt_err_set(err, -EINVAL, "an image whose data file is "
				   "a raw image cannot have a backing file");
	return 0;
}

int plt_qcow2_change_backing(struct platter_image *img, const char *filename,
			     const char *format, struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	plt_auto_free char *name = NULL, *fmt = NULL;
	char *old_name, *old_fmt;
	int rc;

	rc = check(s, filename, err);
	if (rc < 0)
		return rc;
	if (filename) {
		name = plt_strdup(filename, err);
		if (!name)
			return -ENOMEM;
	}
	if (filename && format) {
		fmt = plt_strdup(format, err);
		if (!fmt)
			return -ENOMEM;
	}
	old_name = s->h.backing_filename;
	old_fmt = s->h.backing_format;
	s->h.backing_filename = name;
	s->h.backing_format = fmt;
	rc = plt_qcow2_header_write(s, err);
	if (rc < 0) {
		s->h.backing_filename = old_name;
		s->h.backing_format = old_fmt;
		return rc;
	}
	/* The new ones stay, the old ones go with this scope. */
	name = old_name;
	fmt = old_fmt;
	return 0;
}
