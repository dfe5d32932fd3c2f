/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Full-length I/O on file descriptors, and what there is to ask of files. */
#ifndef PLT_BASE_IO_H
#define PLT_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <platter/error.h>

/*
 * Read until `len` bytes or the end of the file. Returns the bytes read (less
 * than `len` only at the end) or a negative errno.
 */
ssize_t plt_pread(int fd, void *buf, size_t len, uint64_t offset);
/* 0 when all is written, or a negative errno. */
int plt_pwrite(int fd, const void *buf, size_t len, uint64_t offset);
/* The same, and on the disk when it returns. */
int plt_pwrite_dsync(int fd, const void *buf, size_t len, uint64_t offset);
int plt_write(int fd, const void *buf, size_t len);
/* Size in bytes of a regular file or block device. */
int plt_fd_size(int fd, uint64_t *size);

/*
 * True when both paths, symbolic links followed, lead to one file that is
 * there. NULL leads nowhere.
 */
bool plt_same_file(const char *a, const char *b);

/* True when all `len` bytes are zero; fast on long buffers. */
bool plt_is_zero(const void *buf, size_t len);

/* $TMPDIR, or what stands in for it. */
const char *plt_tmp_dir(void);
/*
 * A new file in that folder that has no name and goes with its last
 * descriptor, which is returned, or a negative errno. `what` it is, for
 * messages: "a scratch file".
 */
int plt_tmp_file(const char *what, struct platter_error *err)
	PLATTER_MUST_CHECK;

#endif
