/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the requests share: whose they are, and their table. */
#ifndef SERVE_FUSE_OPS_H
#define SERVE_FUSE_OPS_H

#include "fuse.h"

static inline struct serve_fuse *serve_fuse_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* NULL is the directory. */
static inline struct serve_file *serve_fuse_file(fuse_req_t req, fuse_ino_t ino)
{
	return serve_files_get(&serve_fuse_of(req)->files, ino);
}

static inline uint64_t serve_file_size(const struct serve_file *file)
{
	return file->size ? file->size : platter_image_size(file->disk.img);
}

/* ---- fuse-io.c ---- */

void serve_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void serve_op_release(fuse_req_t req, fuse_ino_t ino,
		      struct fuse_file_info *fi);
void serve_op_read(fuse_req_t req, fuse_ino_t ino, size_t len, off_t offset,
		   struct fuse_file_info *fi);
void serve_op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t len,
		    off_t offset, struct fuse_file_info *fi);
void serve_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		    struct fuse_file_info *fi);
void serve_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
			off_t len, struct fuse_file_info *fi);
void serve_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
		    struct fuse_file_info *fi);

#endif
