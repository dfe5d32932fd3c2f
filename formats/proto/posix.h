/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the file and host_device protocols share: a POSIX file descriptor. */
#ifndef PLT_PROTO_POSIX_H
#define PLT_PROTO_POSIX_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <platter/sys/driver.h>

struct plt_posix {
	int fd;
	bool block;		/* a block device */
	bool character;		/* a character device; neither: a file */
	bool direct;		/* O_DIRECT: requests must be aligned */
	bool sync;		/* O_DSYNC: writes are durable on return */
	bool no_flush;		/* cache mode unsafe */
	uint32_t mem_align;	/* of buffers, direct only */
	uint32_t align;		/* of offsets and lengths: a power of two */
	/*
	 * Direct writes that cover whole blocks hold this for reading, those
	 * that read, change and write a block hold it for writing.
	 */
	pthread_rwlock_t rmw;
	/*
	 * `writes` counts finished writes; everything up to `flushed` is
	 * durable. A failed flush loses data for good, so it stays failed.
	 */
	_Atomic uint64_t writes;
	uint64_t flushed;	/* guarded by `flush` */
	int flush_error;	/* guarded by `flush` */
	pthread_mutex_t flush;
};

/* posix.c */
extern const struct platter_io_ops plt_posix_io;

/* True for a name without "scheme:" in front, or a file that has one. */
bool plt_posix_plain_name(const char *filename);
/* Open option "filename"; `device` tells which kind of file it must be. */
int plt_posix_open(struct platter_image *img, struct platter_options *opts,
		   bool device, struct platter_error *err) PLATTER_MUST_CHECK;
void plt_posix_close(struct platter_image *img);
int plt_posix_flush(struct platter_image *img, struct platter_error *err);

/* posix-direct.c: O_DIRECT with any offset, length and buffer. */
int plt_direct_init(struct plt_posix *s, mode_t type,
		    struct platter_error *err) PLATTER_MUST_CHECK;
/* Bytes read (short at the end of the file), or a negative errno. */
ssize_t plt_direct_pread(struct plt_posix *s, void *buf, size_t len,
			 uint64_t offset);
/* `size` is that of the file, which the range lies in. */
int plt_direct_pwrite(struct plt_posix *s, const void *buf, size_t len,
		      uint64_t offset, uint64_t size);

/* posix-space.c: holes, and copying inside the kernel. */
int plt_posix_zero(struct platter_image *img, uint64_t offset, uint64_t len,
		   unsigned int flags, struct platter_error *err);
int plt_posix_discard(struct platter_image *img, uint64_t offset, uint64_t len,
		      struct platter_error *err);
int plt_posix_extent(struct platter_image *img, uint64_t offset, uint64_t len,
		     struct platter_extent *extent, struct platter_error *err);
int plt_posix_copy_range(struct platter_image *src, uint64_t src_offset,
			 struct platter_image *dst, uint64_t dst_offset,
			 uint64_t len, uint64_t *copied,
			 struct platter_error *err);

#endif
