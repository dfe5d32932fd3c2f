/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes as files, by FUSE: the requests. Here are those for names and
 * attributes, in fuse-io.c those for files that are open.
 *
 * The kernel caches what it reads and writes through what is written, so a
 * node sees writes in the order a program makes them. Nobody else changes a
 * node (or `direct` is set and nothing is cached), so its cache is kept from
 * one open to the next. FUSE's own rule, to drop it when the modification time
 * is another, is switched off: ours changes with each write.
 *
 * A disk has a size. Opening it with O_TRUNC leaves it as it is:
 * FUSE_CAP_ATOMIC_O_TRUNC makes that part of the open, where it is not
 * answered. truncate() may make it larger where the node can and is not
 * recorded, but never smaller: a program that means to write the whole file
 * anew would lose the disk by it.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "fuse-ops.h"

#define ATTR_SECONDS	3600.0	/* the kernel knows of every change itself */
#define BACKGROUND	64	/* requests of read-ahead and O_DIRECT */
#define BLOCK		4096	/* st_blksize */

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
	st->st_size = (off_t)serve_file_size(file);
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
		.entry_timeout = serve_fuse_of(req)->files.ops ?
				 0 : ATTR_SECONDS,
	};
	struct serve_file *file;

	(void)parent;
	file = serve_files_lookup(&serve_fuse_of(req)->files, name);
	if (!file) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	e.ino = file->ino;
	fill_attr(serve_fuse_of(req), file, &e.attr);
	if (fuse_reply_entry(req, &e))
		serve_files_forget(&serve_fuse_of(req)->files, file, 1);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	serve_files_forget(&serve_fuse_of(req)->files,
			   serve_fuse_file(req, ino), count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		serve_files_forget(&serve_fuse_of(req)->files,
				   serve_fuse_file(req, forgets[i].ino),
				   forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct serve_file *file = serve_fuse_file(req, ino);
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
	fill_attr(serve_fuse_of(req), file, &st);
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
	uint64_t now = serve_file_size(file);

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
	struct serve_file *file = serve_fuse_file(req, ino);
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
			if (!serve_files_list(&serve_fuse_of(req)->files, i - 2,
					      &file))
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
	while (serve_files_list(&serve_fuse_of(req)->files, file.number,
				&file)) {
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
	struct serve_files *files = &serve_fuse_of(req)->files;

	(void)parent;
	fuse_reply_err(req, files->ops && files->ops->unlink ?
			    files->ops->unlink(files, name) : EPERM);
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
	.open = serve_op_open,
	.release = serve_op_release,
	.read = serve_op_read,
	.write = serve_op_write,
	.fsync = serve_op_fsync,
	.fallocate = serve_op_fallocate,
	.lseek = serve_op_lseek,
};
