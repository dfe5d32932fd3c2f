/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Crash states as copies: what a node holds, written into a file.
 *
 * Where the file may hold something else already it is compared, or only what
 * differs from the state before is written.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "states-copy.h"

#define CHUNK	SERVE_COPY_CHUNK
#define BLOCK	4096u		/* what differs is written in these */

/* All of it, written or read. */
static int transfer(const struct serve_copy_slot *s, int fd, bool write,
		    char *buf, size_t len, uint64_t offset,
		    struct platter_error *err)
{
	while (len) {
		ssize_t n = write ? pwrite(fd, buf, len, (off_t)offset) :
				    pread(fd, buf, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return serve_copy_trouble(s, err);
		buf += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int serve_copy_write(const struct serve_copy_slot *s, int fd, const char *buf,
		     size_t len, uint64_t offset, struct platter_error *err)
{
	return transfer(s, fd, true, (char *)(uintptr_t)buf, len, offset, err);
}

static int make_zero(const struct serve_copy_slot *s, int fd, uint64_t offset,
		     uint64_t len, struct platter_error *err)
{
	int rc = 0;

	if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		       (off_t)offset, (off_t)len))
		return 0;
	memset(s->buf, 0, CHUNK);
	while (!rc && len) {
		size_t n = len < CHUNK ? (size_t)len : CHUNK;

		rc = serve_copy_write(s, fd, s->buf, n, offset, err);
		offset += n;
		len -= n;
	}
	return rc;
}

/* What of a chunk is not there yet. */
static int write_differing(const struct serve_copy_slot *s, int fd, size_t len,
			   uint64_t offset, struct platter_error *err)
{
	const char *want = s->buf, *have = s->buf + CHUNK;
	size_t start, at = 0;
	int rc = 0;

#define SAME(p)	(!memcmp(want + (p), have + (p), \
			 len - (p) < BLOCK ? len - (p) : BLOCK))
	while (!rc && at < len) {
		while (at < len && SAME(at))
			at += BLOCK;
		for (start = at; at < len && !SAME(at); at += BLOCK)
			;
		if (at > len)
			at = len;
		if (start < at)
			rc = serve_copy_write(s, fd, want + start, at - start,
					      offset + start, err);
	}
#undef SAME
	return rc;
}

static int put_data(const struct serve_copy_slot *s, int fd,
		    struct platter_image *img, uint64_t offset, uint64_t len,
		    bool compare, struct platter_error *err)
{
	int rc = 0;

	while (!rc && len) {
		size_t n = len < CHUNK ? (size_t)len : CHUNK;

		rc = platter_image_pread(img, s->buf, n, offset, err);
		if (!rc && compare)
			rc = transfer(s, fd, false, s->buf + CHUNK, n, offset,
				      err);
		if (!rc)
			rc = compare ? write_differing(s, fd, n, offset, err) :
			     serve_copy_write(s, fd, s->buf, n, offset, err);
		offset += n;
		len -= n;
	}
	return rc;
}

int serve_copy_put(const struct serve_copy_slot *s, int fd,
		   struct platter_image *img, uint64_t offset, uint64_t len,
		   enum serve_copy_put how, struct platter_error *err)
{
	struct platter_extent ext[32];
	size_t count;
	int rc = 0;

	while (!rc && len) {
		count = sizeof(ext) / sizeof(ext[0]);
		rc = platter_image_map(img, offset, len, ext, &count, err);
		for (size_t i = 0; !rc && i < count; i++) {
			if (!(ext[i].flags & PLATTER_EXTENT_ZERO))
				rc = put_data(s, fd, img, ext[i].offset,
					      ext[i].length,
					      how == SERVE_COPY_DIFFERING, err);
			else if (how != SERVE_COPY_FRESH)
				rc = make_zero(s, fd, ext[i].offset,
					       ext[i].length, err);
			offset += ext[i].length;
			len -= ext[i].length;
		}
	}
	return rc;
}
