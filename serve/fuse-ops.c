/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes as files, by FUSE: the requests.
 *
 * The kernel caches what it reads and writes through what is written, so a
 * node sees writes in the order a program makes them. Nobody else changes a
 * node (or `direct` is set and nothing is cached), so its cache is kept from
 * one open to the next. FUSE's own rule, to drop it when the modification time
 * is another, is switched off: ours changes with each write.
 *
 * A disk has a size. Writing past its end is ENOSPC, as on a block device, and
 * opening it with O_TRUNC leaves it as it is: FUSE_CAP_ATOMIC_O_TRUNC makes
 * that part of the open, where it is not answered. truncate() may make it
 * larger where the node can and is not recorded, but never smaller: a program
 * that means to write the whole file anew would lose the disk by it.
 *
 * O_DSYNC and O_SYNC come with each write in fi->flags, RWF_DSYNC as well, and
 * are FUA. The kernel lets an fsync follow such a write.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "fuse.h"

#define ATTR_SECONDS	3600.0	/* the kernel knows of every change itself */
#define BACKGROUND	64	/* requests of read-ahead and O_DIRECT */
#define BLOCK		4096	/* st_blksize */

static struct serve_fuse *of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static struct serve_file *file_of(fuse_req_t req, fuse_ino_t ino)
{
	return serve_files_get(&of(req)->files, ino);
}

static uint64_t size_of(const struct serve_file *file)
{
	return file->size ? file->size : platter_image_size(file->disk.img);
}

/*
 * The file, with its node until leave(); or NULL, and the request is answered:
 * what it showed has been taken away.
 */
static struct serve_file *enter(fuse_req_t req, fuse_ino_t ino)
{
	struct serve_file *file = file_of(req, ino);

	if (serve_file_enter(file))
		return file;
	serve_file_leave(&of(req)->files, file);
	fuse_reply_err(req, EIO);
	return NULL;
}

static void leave(fuse_req_t req, struct serve_file *file)
{
	serve_file_leave(&of(req)->files, file);
}

/* What of [offset, offset + len) is inside the disk. */
static uint64_t inside(const struct serve_file *file, uint64_t offset,
		       uint64_t len)
{
	uint64_t size = size_of(file);

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

static void init(void *data, struct fuse_conn_info *conn)
{
	const struct serve_fuse *fuse = data;

	conn->max_write = SERVE_FUSE_MAX_IO;
	conn->max_background = BACKGROUND;
	conn->congestion_threshold = BACKGROUND * 3 / 4;
	conn->want = conn->capable &
		     (FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO |
		      FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_PARALLEL_DIROPS);
	if (fuse->no_readahead)
		conn->max_readahead = 0;
	if (fuse->files.ops && fuse->files.ops->lazy_writes)
		conn->want |= conn->capable & FUSE_CAP_WRITEBACK_CACHE;
}

/* ---- names and attributes ---- */

static void fill_attr(const struct serve_fuse *fuse, struct serve_file *file,
		      struct stat *st)
{
	int64_t changed = file ? atomic_load(&file->changed) : 0;
	int64_t bytes;

	*st = (struct stat){
		.st_uid = fuse->uid,
		.st_gid = fuse->gid,
		.st_blksize = BLOCK,
		.st_nlink = 1,
	};
	if (!file) {
		st->st_ino = FUSE_ROOT_ID;
		/* Who may read the files may look for them. */
		st->st_mode = S_IFDIR | (fuse->mode & 0444) |
			      (fuse->mode & 0444) >> 2;
		if (fuse->files.ops && fuse->files.ops->unlink)
			st->st_mode |= fuse->mode & 0222;
		st->st_nlink = 2;
		return;
	}
	st->st_ino = file->ino;
	st->st_mode = S_IFREG | fuse->mode;
	if (file->disk.read_only)
		st->st_mode &= ~(mode_t)0222;
	st->st_size = (off_t)size_of(file);
	bytes = file->size ? -1 : platter_image_allocated(file->disk.img);
	st->st_blocks = ((bytes < 0 ? st->st_size : bytes) + 511) / 512;
	st->st_mtim.tv_sec = changed / 1000000000;
	st->st_mtim.tv_nsec = changed % 1000000000;
	st->st_ctim = st->st_atim = st->st_mtim;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {
		.attr_timeout = ATTR_SECONDS,
		.entry_timeout = of(req)->files.ops ? 0 : ATTR_SECONDS,
	};
	struct serve_file *file;

	(void)parent;
	file = serve_files_lookup(&of(req)->files, name);
	if (!file) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	e.ino = file->ino;
	fill_attr(of(req), file, &e.attr);
	if (fuse_reply_entry(req, &e))
		serve_files_forget(&of(req)->files, file, 1);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	serve_files_forget(&of(req)->files, file_of(req, ino), count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		serve_files_forget(&of(req)->files,
				   file_of(req, forgets[i].ino),
				   forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct serve_file *file = file_of(req, ino);
	struct stat st;
	int rc = 0;

	(void)fi;
	/* For writes that the kernel would keep to itself. */
	if (file && atomic_load(&file->overrun))
		rc = ENOSPC;
	else if (file && atomic_load(&file->shut))
		rc = EIO;
	if (rc) {
		fuse_reply_err(req, rc);
		return;
	}
	fill_attr(of(req), file, &st);
	fuse_reply_attr(req, &st, ATTR_SECONDS);
}

/* A log has no entry for it, so a disk that is recorded keeps its size. */
static bool is_recorded(const struct serve_file *file)
{
	struct platter_record_stats stats;

	return !platter_record_stats(file->disk.img, &stats, NULL);
}

static int set_size(struct serve_file *file, uint64_t size)
{
	uint64_t now = size_of(file);

	if (size == now)
		return 0;
	if (file->disk.read_only)
		return EROFS;
	if (size < now || file->size || is_recorded(file))
		return EPERM;
	return serve_errno(platter_image_resize(file->disk.img, size, NULL));
}

/* Times are taken and forgotten; owner and mode are whose mount it is. */
static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr,
		       int set, struct fuse_file_info *fi)
{
	struct serve_file *file = file_of(req, ino);
	int rc = 0;

	if (set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		rc = EPERM;
	else if (set & FUSE_SET_ATTR_SIZE)
		rc = file ? set_size(file, (uint64_t)attr->st_size) : EISDIR;
	if (rc)
		fuse_reply_err(req, rc);
	else
		op_getattr(req, ino, fi);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t place,
		       struct fuse_file_info *fi)
{
	char *out = serve_fuse_buffer();
	struct serve_listed file;
	size_t used = 0, n;

	(void)fi;
	if (size > SERVE_FUSE_MAX_IO)
		size = SERVE_FUSE_MAX_IO;
	for (uint64_t i = (uint64_t)place;; i++) {
		struct stat st = { .st_ino = ino, .st_mode = S_IFDIR };
		const char *name = i == 0 ? "." : "..";

		if (i > 1) {
			if (!serve_files_list(&of(req)->files, i - 2, &file))
				break;
			i = file.number + 1;
			name = file.name;
			st.st_ino = file.ino;
			st.st_mode = S_IFREG;
		}
		n = fuse_add_direntry(req, out + used, size - used, name, &st,
				      (off_t)i + 1);
		if (n > size - used)
			break;
		used += n;
	}
	fuse_reply_buf(req, out, used);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs s = {
		.f_bsize = BLOCK,
		.f_frsize = BLOCK,
		.f_namemax = 255,
	};
	struct serve_listed file = { 0 };

	(void)ino;
	while (serve_files_list(&of(req)->files, file.number, &file)) {
		s.f_blocks += (file.size + BLOCK - 1) / BLOCK;
		s.f_files++;
	}
	fuse_reply_statfs(req, &s);
}

/* The set of files is ours. */
static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode, dev_t rdev)
{
	(void)parent;
	(void)name;
	(void)mode;
	(void)rdev;
	fuse_reply_err(req, EPERM);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct serve_files *files = &of(req)->files;

	(void)parent;
	fuse_reply_err(req, files->ops && files->ops->unlink ?
			    files->ops->unlink(files, name) : EPERM);
}

/* ---- what is done with a file ---- */

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct serve_file *file = file_of(req, ino);
	int rc = EISDIR;

	if (file && file->disk.read_only &&
	    (fi->flags & O_ACCMODE) != O_RDONLY)
		rc = EROFS;
	else if (file)
		rc = serve_files_open(&of(req)->files, file);
	if (rc) {
		fuse_reply_err(req, rc);
		return;
	}
	fi->direct_io = of(req)->direct || file->direct;
	fi->keep_cache = !fi->direct_io;
	if (fuse_reply_open(req, fi))
		serve_files_release(&of(req)->files, file);
}

/* Comes when the last one has closed what one open() gave, and not at once. */
static void op_release(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	(void)fi;
	serve_files_release(&of(req)->files, file_of(req, ino));
	fuse_reply_err(req, 0);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t len, off_t offset,
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
	struct serve_fuse *fuse = of(req);

	if (!fuse->files.ops || !fuse->files.ops->lazy_writes ||
	    atomic_exchange(&file->overrun, true))
		return;
	fuse_lowlevel_notify_inval_inode(fuse->session, file->ino, -1, 0);
}

/* `writepage`: the kernel writes what a program changed through mmap(). */
static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf,
		     size_t len, off_t offset, struct fuse_file_info *fi)
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
		serve_fuse_lost(of(req), &err);
	if (rc || (!part && len))
		fuse_reply_err(req, rc ? serve_errno(rc) : ENOSPC);
	else
		fuse_reply_write(req, part);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
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

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
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
		drop_pages(of(req));
	fuse_reply_err(req, rc);
}

/* The first place from *offset on that is a hole, or is not one. */
static int seek(struct serve_file *file, uint64_t *offset, bool hole)
{
	const uint64_t size = size_of(file);

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

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
		     struct fuse_file_info *fi)
{
	struct serve_file *file = enter(req, ino);
	uint64_t at = (uint64_t)offset;
	int rc = EINVAL;

	(void)fi;
	if (!file)
		return;
	if (at >= size_of(file))
		rc = ENXIO;
	else if (whence == SEEK_DATA || whence == SEEK_HOLE)
		rc = seek(file, &at, whence == SEEK_HOLE);
	leave(req, file);
	if (rc)
		fuse_reply_err(req, rc);
	else
		fuse_reply_lseek(req, (off_t)at);
}

const struct fuse_lowlevel_ops serve_fuse_ops = {
	.init = init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readdir = op_readdir,
	.statfs = op_statfs,
	.mknod = op_mknod,
	.unlink = op_unlink,
	.open = op_open,
	.release = op_release,
	.read = op_read,
	.write = op_write,
	.fsync = op_fsync,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
};
