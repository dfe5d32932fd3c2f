/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands for fuse.c in a build without libfuse3. */
#include <errno.h>

#include "states.h"

int serve_fuse_start(struct serve_fuse **out,
		     const struct serve_fuse_options *opts,
		     struct platter_error *err)
{
	(void)out;
	return platter_error_set(err, -ENOTSUP, "%s: this platter was built "
				 "without libfuse3 and makes no files",
				 opts->path);
}

bool serve_fuse_ended(const struct serve_fuse *fuse)
{
	(void)fuse;
	return true;
}

int serve_fuse_fd(const struct serve_fuse *fuse)
{
	(void)fuse;
	return -1;
}

int serve_fuse_stop(struct serve_fuse *fuse, struct platter_error *err)
{
	(void)fuse;
	(void)err;
	return 0;
}

int serve_fuse_umount(const char *path, bool lazy, struct platter_error *err)
{
	(void)lazy;
	return platter_error_set(err, -ENOTSUP, "%s: this platter was built "
				 "without libfuse3", path);
}

int serve_report_new(struct serve_report **out, struct platter_error *err)
{
	(void)err;
	*out = NULL;
	return 0;
}

const char *serve_report_source(const struct serve_report *report)
{
	(void)report;
	return NULL;
}

unsigned int serve_report_send(struct serve_report *report,
			       const struct platter_error *err, bool exiting)
{
	(void)report;
	(void)err;
	(void)exiting;
	return 0;
}

int serve_states_fuse(struct platter_crash_presenter **out,
		      const struct serve_states_options *opts,
		      struct platter_error *err)
{
	(void)out;
	(void)opts;
	return platter_error_set(err, -ENOTSUP, "this platter was built "
				 "without libfuse3");
}

int serve_fuse_states(struct serve_fuse **out,
		      const struct serve_fuse_options *opts,
		      struct platter_crash *crash, uint64_t memory,
		      struct platter_error *err)
{
	(void)crash;
	(void)memory;
	return serve_fuse_start(out, opts, err);
}
