/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes as files, by FUSE: what is done with a file that is open.
 *
 * A disk has a size. Writing past its end is ENOSPC, as on a block device.
 *
 * O_DSYNC and O_SYNC come with each write in fi->flags, RWF_DSYNC as well, and
 * are FUA. The kernel lets an fsync follow such a write.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <time.h>

#include "fuse-ops.h"

/*
 * The file, with its node until leave(); or NULL, and the request is answered:
 * what it showed has been taken away.
 */
static struct serve_file *enter(fuse_req_t req, fuse_ino_t ino)
{
	struct serve_file *file = serve_fuse_file(req, ino);

	if (serve_file_enter(file))
		return file;
	serve_file_leave(&serve_fuse_of(req)->files, file);
	fuse_reply_err(req, EIO);
	return NULL;
}

static void leave(fuse_req_t req, struct serve_file *file)
{
	serve_file_leave(&serve_fuse_of(req)->files, file);
}

/* What of [offset, offset + len) is inside the disk. */
static uint64_t inside(const struct serve_file *file, uint64_t offset,
		       uint64_t len)
{
	uint64_t size = serve_file_size(file);

	if (offset >= size)
		return 0;
	return len < size - offset ? len : size - offset;
}

static void touch(struct serve_file *file)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	atomic_store(&file->changed, now.tv_sec * INT64_C(1000000000) +
		     now.tv_nsec);
}

void serve_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct serve_file *file = serve_fuse_file(req, ino);
	int rc = EISDIR;

	if (file && file->disk.read_only &&
	    (fi->flags & O_ACCMODE) != O_RDONLY)
		rc = EROFS;
	else if (file)
		rc = serve_files_open(&serve_fuse_of(req)->files, file);
	if (rc) {
		fuse_reply_err(req, rc);
		return;
	}
	fi->direct_io = serve_fuse_of(req)->direct || file->direct;
	fi->keep_cache = !fi->direct_io;
	if (fuse_reply_open(req, fi))
		serve_files_release(&serve_fuse_of(req)->files, file);
}

/* Comes when the last one has closed what one open() gave, and not at once. */
void serve_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	serve_files_release(&serve_fuse_of(req)->files,
			    serve_fuse_file(req, ino));
	fuse_reply_err(req, 0);
}

void serve_op_read(fuse_req_t req, fuse_ino_t ino, size_t len, off_t offset,
		   struct fuse_file_info *fi)
{
	struct serve_file *file = enter(req, ino);
	char *buf = serve_fuse_buffer();
	int rc = 0;

	(void)fi;
	if (!file)
		return;
	if (len > SERVE_FUSE_MAX_IO)
		len = SERVE_FUSE_MAX_IO;
	len = inside(file, (uint64_t)offset, len);
	if (len)
		rc = serve_read(&file->disk, buf, len, (uint64_t)offset, NULL);
	leave(req, file);
	if (rc)
		fuse_reply_err(req, serve_errno(rc));
	else
		fuse_reply_buf(req, buf, len);
}

/*
 * The kernel has taken the writes and made the file longer. From now on it has
 * to ask for attributes with each write, and hears that there is no space.
 */
static void set_overrun(fuse_req_t req, struct serve_file *file)
{
	struct serve_fuse *fuse = serve_fuse_of(req);

	if (!fuse->files.ops || !fuse->files.ops->lazy_writes ||
	    atomic_exchange(&file->overrun, true))
		return;
	fuse_lowlevel_notify_inval_inode(fuse->session, file->ino, -1, 0);
}

/* `writepage`: the kernel writes what a program changed through mmap(). */
void serve_op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t len,
		    off_t offset, struct fuse_file_info *fi)
{
	struct serve_file *file = enter(req, ino);
	struct platter_error err = PLATTER_ERROR_INIT;
	bool fua = fi->flags & (O_DSYNC | O_SYNC);
	size_t part;
	int rc = 0;

	if (!file)
		return;
	part = inside(file, (uint64_t)offset, len);
	if (part)
		rc = serve_write(&file->disk, buf, part, (uint64_t)offset, fua,
				 &err);
	touch(file);
	if (part < len)
		set_overrun(req, file);
	leave(req, file);
	if (rc && fi->writepage)
		serve_fuse_lost(serve_fuse_of(req), &err);
	if (rc || (!part && len))
		fuse_reply_err(req, rc ? serve_errno(rc) : ENOSPC);
	else
		fuse_reply_write(req, part);
}

void serve_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		    struct fuse_file_info *fi)
{
	struct serve_file *file = enter(req, ino);
	int rc = 0;

	(void)datasync;
	(void)fi;
	if (!file)
		return;
	if (!file->disk.read_only)
		rc = serve_flush(&file->disk, NULL);
	leave(req, file);
	fuse_reply_err(req, serve_errno(rc));
}

/*
 * A hole reads as zeros, so it is not a discard, after which a disk may read
 * as anything. There is room for all of the disk, or the node tells when it
 * is written to: plain fallocate() has nothing to do.
 */
static int allocate(struct serve_file *file, int mode, uint64_t offset,
		    uint64_t len)
{
	uint64_t part = inside(file, offset, len);
	bool punch = mode & FALLOC_FL_PUNCH_HOLE;

	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE |
		     FALLOC_FL_ZERO_RANGE))
		return EOPNOTSUPP;
	if (file->disk.read_only)
		return EROFS;
	if (part < len && !(mode & FALLOC_FL_KEEP_SIZE))
		return ENOSPC;
	if (!part || !(mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
		return 0;
	touch(file);
	return serve_errno(serve_zero(&file->disk, offset, part, punch, false,
				      NULL));
}

/*
 * The kernel drops the pages of a range that was zeroed, but not when that
 * failed half-way. Doing so for it waits for pages that other requests hold,
 * so only one thread may at a time; it goes on for those that came meanwhile.
 */
static void drop_pages(struct serve_fuse *fuse)
{
	struct serve_listed file;
	unsigned int n = 1;

	if (atomic_fetch_add(&fuse->drops, 1))
		return;
	do {
		n = atomic_load(&fuse->drops);
		file.number = 0;
		while (serve_files_list(&fuse->files, file.number, &file))
			fuse_lowlevel_notify_inval_inode(fuse->session,
							 file.ino, 0, 0);
	} while (atomic_fetch_sub(&fuse->drops, n) != n);
}

void serve_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
			off_t len, struct fuse_file_info *fi)
{
	struct serve_file *file = enter(req, ino);
	int rc;

	(void)fi;
	if (!file)
		return;
	rc = allocate(file, mode, (uint64_t)offset, (uint64_t)len);
	leave(req, file);
	/* The kernel holds no page for this request, so it may come first. */
	if (rc)
		drop_pages(serve_fuse_of(req));
	fuse_reply_err(req, rc);
}

/* The first place from *offset on that is a hole, or is not one. */
static int seek(struct serve_file *file, uint64_t *offset, bool hole)
{
	const uint64_t size = serve_file_size(file);

	while (*offset < size) {
		struct platter_extent ext[32];
		size_t count = sizeof(ext) / sizeof(ext[0]);
		int rc = platter_image_map(file->disk.img, *offset,
					   size - *offset, ext, &count, NULL);

		if (rc)
			return serve_errno(rc);
		for (size_t i = 0; i < count; i++) {
			if (!!(ext[i].flags & PLATTER_EXTENT_ZERO) == hole)
				return 0;
			*offset = ext[i].offset + ext[i].length;
		}
	}
	/* The end counts as a hole. */
	*offset = size;
	return hole ? 0 : ENXIO;
}

void serve_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
		    struct fuse_file_info *fi)
{
	struct serve_file *file = enter(req, ino);
	uint64_t at = (uint64_t)offset;
	int rc = EINVAL;

	(void)fi;
	if (!file)
		return;
	if (at >= serve_file_size(file))
		rc = ENXIO;
	else if (whence == SEEK_DATA || whence == SEEK_HOLE)
		rc = seek(file, &at, whence == SEEK_HOLE);
	leave(req, file);
	if (rc)
		fuse_reply_err(req, rc);
	else
		fuse_reply_lseek(req, (off_t)at);
}
