/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host_device protocol: block and character devices, never created. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/opts.h"
#include "drivers.h"
#include "proto/posix.h"

#define PREFIX "host_device:"

static bool host_device_claims(const char *filename)
{
	struct stat st;

	if (!strncmp(filename, PREFIX, strlen(PREFIX)))
		return true;
	return plt_posix_plain_name(filename) && stat(filename, &st) == 0 &&
	       (S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode));
}

static int host_device_open(struct platter_image *img,
			    struct platter_options *opts,
			    struct platter_error *err)
{
	return plt_posix_open(img, opts, true, err);
}

/* The device is there; only see that the image would fit. */
static int host_device_create(struct platter_context *ctx,
			      const char *filename, uint64_t size,
			      struct platter_options *opts,
			      struct platter_error *err)
{
	plt_auto_fd int fd = -1;
	uint64_t there;
	int rc;

	(void)ctx;
	rc = plt_options_check_used(opts, err);
	if (rc < 0)
		return rc;
	if (!strncmp(filename, PREFIX, strlen(PREFIX)))
		filename += strlen(PREFIX);
	fd = open(filename, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return plt_err_errno(err, -errno, "opening");
	rc = plt_fd_size(fd, &there);
	if (rc < 0)
		return plt_err_errno(err, rc, "asking for the size");
	if (there < size)
		return plt_err_set(err, -ENOSPC, "the device of %" PRIu64
				   " bytes is too small for %" PRIu64, there,
				   size);
	return 0;
}

static const struct platter_option host_device_options[] = {
	{ "filename", "path of a block or character device" },
	{ NULL, NULL }
};

const struct platter_driver plt_host_device_driver = {
	.name = "host_device",
	.kind = PLATTER_DRIVER_PROTOCOL,
	.state_size = sizeof(struct plt_posix),
	.options = host_device_options,
	.claims = host_device_claims,
	.open = host_device_open,
	.close = plt_posix_close,
	.create = host_device_create,
	.io = &plt_posix_io,
};
