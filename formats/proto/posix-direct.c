/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * O_DIRECT with any offset, length and buffer.
 *
 * The kernel wants all three aligned. What is not goes through an aligned
 * bounce buffer; a write that covers a block partly reads it first, alone, so
 * that no other write to the same block gets lost. The last block of a file
 * whose size is no multiple is the awkward one: writing it whole would make
 * the file longer, so there O_DIRECT is switched off for a moment.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "proto/posix.h"

#define ALIGN_FALLBACK	4096u	/* no storage in use asks for more */
#define ALIGN_MAX	65536u
#define BOUNCE		(1u << 20)	/* bytes; a multiple of any alignment */

/* ---- finding the alignment ---- */

#ifdef STATX_DIOALIGN
static bool ask_statx(struct plt_posix *s)
{
	struct statx stx;

	if (statx(s->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) < 0 ||
	    !(stx.stx_mask & STATX_DIOALIGN) || !stx.stx_dio_offset_align)
		return false;
	s->align = stx.stx_dio_offset_align;
	s->mem_align = stx.stx_dio_mem_align;
	return true;
}
#else
static bool ask_statx(struct plt_posix *s)
{
	(void)s;
	return false;
}
#endif

int plt_direct_init(struct plt_posix *s, mode_t type,
		    struct platter_error *err)
{
	int sector = 0;

	if (!ask_statx(s)) {
		s->align = ALIGN_FALLBACK;
		if (S_ISBLK(type) && !ioctl(s->fd, BLKSSZGET, &sector) &&
		    sector > 0)
			s->align = (uint32_t)sector;
		s->mem_align = PLT_MAX(s->align, ALIGN_FALLBACK);
	}
	s->align = PLT_MAX(s->align, 512u);
	s->mem_align = PLT_MAX(s->mem_align, (uint32_t)sizeof(void *));
	if (!plt_is_power_of_2(s->align) || s->align > ALIGN_MAX ||
	    !plt_is_power_of_2(s->mem_align) || s->mem_align > ALIGN_MAX)
		return plt_err_set(err, -ENOTSUP, "O_DIRECT needs an alignment "
				   "of %u bytes (limit %u)",
				   PLT_MAX(s->align, s->mem_align), ALIGN_MAX);
	return 0;
}

static bool aligned(const struct plt_posix *s, const void *buf, size_t len,
		    uint64_t offset)
{
	return !(((uintptr_t)buf & (s->mem_align - 1)) ||
		 ((len | offset) & (s->align - 1)));
}

/* ---- reading ---- */

/* All aligned. A count that is not means the end of the file. */
static ssize_t read_aligned(struct plt_posix *s, unsigned char *buf,
			    size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(s->fd, buf + done, len - done,
				  (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
		if (n == 0 || ((size_t)n & (s->align - 1)))
			break;
	}
	return (ssize_t)done;
}

static ssize_t read_bounced(struct plt_posix *s, unsigned char *buf,
			    size_t len, uint64_t offset)
{
	uint64_t room = plt_align_up(len, s->align) + s->align;
	plt_auto_free unsigned char *bounce = NULL;
	size_t done = 0;

	room = PLT_MIN(room, (uint64_t)BOUNCE);
	bounce = plt_memalign(s->mem_align, room, NULL);
	if (!bounce)
		return -ENOMEM;
	while (done < len) {
		uint64_t start = plt_align_down(offset + done, s->align);
		size_t skip = (size_t)(offset + done - start), part;
		uint64_t want = plt_align_up(skip + len - done, s->align);
		ssize_t n;

		want = PLT_MIN(want, room);
		n = read_aligned(s, bounce, want, start);
		if (n < 0)
			return n;
		if ((size_t)n <= skip)
			break;
		part = PLT_MIN((size_t)n - skip, len - done);
		memcpy(buf + done, bounce + skip, part);
		done += part;
		if ((size_t)n < want)
			break;
	}
	return (ssize_t)done;
}

ssize_t plt_direct_pread(struct plt_posix *s, void *buf, size_t len,
			 uint64_t offset)
{
	if (aligned(s, buf, len, offset))
		return read_aligned(s, buf, len, offset);
	return read_bounced(s, buf, len, offset);
}

/* ---- writing ---- */

/* Offset and length are aligned; the buffer may not be. */
static int write_blocks(struct plt_posix *s, const unsigned char *buf,
			size_t len, uint64_t offset)
{
	plt_auto_free unsigned char *bounce = NULL;
	size_t room = PLT_MIN(len, (size_t)BOUNCE);
	int rc = 0;

	if (aligned(s, buf, len, offset))
		return plt_pwrite(s->fd, buf, len, offset);
	bounce = plt_memalign(s->mem_align, room, NULL);
	if (!bounce)
		return -ENOMEM;
	for (size_t done = 0; done < len && rc == 0; done += room) {
		room = PLT_MIN(len - done, (size_t)BOUNCE);
		memcpy(bounce, buf + done, room);
		rc = plt_pwrite(s->fd, bounce, room, offset + done);
	}
	return rc;
}

/* The last, short block of the file: through the page cache and out of it. */
static int write_tail(struct plt_posix *s, const unsigned char *buf,
		      size_t len, uint64_t offset)
{
	int flags = fcntl(s->fd, F_GETFL);
	int rc;

	if (flags < 0 || fcntl(s->fd, F_SETFL, flags & ~O_DIRECT) < 0)
		return -errno;
	rc = plt_pwrite(s->fd, buf, len, offset);
	/* A dirty page left behind could collide with a direct write. */
	if (rc == 0 && fdatasync(s->fd) < 0)
		rc = -errno;
	if (fcntl(s->fd, F_SETFL, flags) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

/* `len` bytes inside one block. */
static int write_part(struct plt_posix *s, const unsigned char *buf,
		      size_t len, uint64_t offset, uint64_t size)
{
	uint64_t start = plt_align_down(offset, s->align);
	plt_auto_free unsigned char *block = NULL;
	ssize_t n;

	if (size - start < s->align)
		return write_tail(s, buf, len, offset);
	block = plt_memalign(s->mem_align, s->align, NULL);
	if (!block)
		return -ENOMEM;
	n = read_aligned(s, block, s->align, start);
	if (n < 0)
		return (int)n;
	if ((size_t)n < s->align)	/* the file became shorter */
		return -EIO;
	memcpy(block + (offset - start), buf, len);
	return plt_pwrite(s->fd, block, s->align, start);
}

static int write_part_alone(struct plt_posix *s, const unsigned char *buf,
			    size_t len, uint64_t offset, uint64_t size)
{
	int rc;

	pthread_rwlock_wrlock(&s->rmw);
	rc = write_part(s, buf, len, offset, size);
	pthread_rwlock_unlock(&s->rmw);
	return rc;
}

static int write_blocks_shared(struct plt_posix *s, const unsigned char *buf,
			       size_t len, uint64_t offset)
{
	int rc;

	pthread_rwlock_rdlock(&s->rmw);
	rc = write_blocks(s, buf, len, offset);
	pthread_rwlock_unlock(&s->rmw);
	return rc;
}

int plt_direct_pwrite(struct plt_posix *s, const void *buf, size_t len,
		      uint64_t offset, uint64_t size)
{
	const unsigned char *p = buf;
	uint64_t in_block = offset & (s->align - 1);
	size_t n;
	int rc = 0;

	if (in_block) {
		n = PLT_MIN((size_t)(s->align - in_block), len);
		rc = write_part_alone(s, p, n, offset, size);
		p += n;
		len -= n;
		offset += n;
	}
	n = (size_t)plt_align_down(len, s->align);
	if (rc == 0 && n) {
		rc = write_blocks_shared(s, p, n, offset);
		p += n;
		len -= n;
		offset += n;
	}
	if (rc == 0 && len)
		rc = write_part_alone(s, p, len, offset, size);
	return rc;
}
