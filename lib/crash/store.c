/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages of a scratch node.
 *
 * Memory is one mapping that is reserved and not touched: its pages are handed
 * out from the front, so the next user gets those that are there already. A
 * page is numbered by its place, times two, plus one if it is in the file.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "crash/store.h"

#define IN_FILE		1u
#define PAGES_MAX	(UINT64_C(1) << 30)	/* of either kind: 4 TiB */

int plt_store_init(struct plt_store *s, uint64_t memory,
		   struct platter_error *err)
{
	const uint64_t pages = PLT_MIN(memory / PLT_STORE_PAGE, PAGES_MAX);

	*s = (struct plt_store){ .fd = -1 };
	pthread_mutex_init(&s->lock, NULL);
	if (!pages)
		return 0;
	s->memory = mmap(NULL, pages * PLT_STORE_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->memory == MAP_FAILED)
		return plt_err_nomem(err, pages * PLT_STORE_PAGE);
	s->max_memory = pages;
	return 0;
}

void plt_store_clear(struct plt_store *s)
{
	if (s->max_memory)
		munmap(s->memory, s->max_memory * PLT_STORE_PAGE);
	plt_cleanup_fd(&s->fd);
	free(s->free_memory.at);
	free(s->free_file.at);
	pthread_mutex_destroy(&s->lock);
}

void plt_store_reset(struct plt_store *s)
{
	s->nr_memory = 0;
	s->free_memory.nr = 0;
	s->free_file.nr = 0;
	/* What cannot be cut off is written over. */
	if (s->nr_file && ftruncate(s->fd, 0) < 0)
		posix_fadvise(s->fd, 0, 0, POSIX_FADV_DONTNEED);
	s->nr_file = 0;
}

/* ---- pages ---- */

int plt_store_get(struct plt_store *s, uint32_t *page,
		  struct platter_error *err)
{
	PLT_LOCK_SCOPE(&s->lock);
	if (s->free_memory.nr) {
		*page = s->free_memory.at[--s->free_memory.nr];
		return 0;
	}
	if (s->nr_memory < s->max_memory) {
		*page = s->nr_memory++ << 1;
		return 0;
	}
	if (s->free_file.nr) {
		*page = s->free_file.at[--s->free_file.nr];
		return 0;
	}
	if (s->nr_file == PAGES_MAX)
		return plt_err_set(err, -ENOSPC, "more than %" PRIu64
				   " pages are written", PAGES_MAX);
	if (s->fd < 0)
		s->fd = plt_tmp_file("a scratch file", err);
	if (s->fd < 0)
		return s->fd;
	*page = s->nr_file++ << 1 | IN_FILE;
	return 0;
}

void plt_store_put(struct plt_store *s, uint32_t page)
{
	struct plt_store_free *f = page & IN_FILE ? &s->free_file :
				   &s->free_memory;

	PLT_LOCK_SCOPE(&s->lock);
	/* Without memory to note it down it rests until the reset. */
	if (!plt_grow(&f->at, &f->room, f->nr + 1, sizeof(*f->at), NULL))
		f->at[f->nr++] = page;
}

static uint64_t place(uint32_t page, size_t in)
{
	return (uint64_t)(page >> 1) * PLT_STORE_PAGE + in;
}

int plt_store_read(struct plt_store *s, uint32_t page, void *buf, size_t len,
		   size_t in, struct platter_error *err)
{
	ssize_t n;

	if (!(page & IN_FILE)) {
		memcpy(buf, s->memory + place(page, in), len);
		return 0;
	}
	n = plt_pread(s->fd, buf, len, place(page, in));
	if (n < 0 || (size_t)n < len)
		return plt_err_errno(err, n < 0 ? (int)n : -EIO,
				     "reading the scratch file in TMPDIR");
	return 0;
}

int plt_store_write(struct plt_store *s, uint32_t page, const void *buf,
		    size_t len, size_t in, struct platter_error *err)
{
	int rc;

	if (!(page & IN_FILE)) {
		memcpy(s->memory + place(page, in), buf, len);
		return 0;
	}
	rc = plt_pwrite(s->fd, buf, len, place(page, in));
	return rc ? plt_err_errno(err, rc, "writing the scratch file in TMPDIR") :
	       0;
}
