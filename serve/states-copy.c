/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Crash states as copies, for a harness where there is no FUSE.
 *
 * Each slot has a folder with one file in it. Where the file system can share
 * blocks, the file is a clone of one nobody else can reach, which is kept up to
 * date by what changes from state to state. Elsewhere the file itself is: when
 * the one before has been left as it was, only what differs is written; when it
 * was written to, it is compared with the state.
 *
 * states-copy-file.c makes the file and tells whether it still is ours,
 * states-copy-put.c writes a state into it.
 */
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "states-copy.h"

struct presenter {
	struct platter_crash_presenter base;
	uint64_t size;
	bool reflink;
	unsigned int nr_slots;
	struct serve_copy_slot *slot;
};

static struct presenter *presenter_of(struct platter_crash_presenter *base)
{
	return (struct presenter *)base;
}

/* ---- a state ---- */

static int put_changed(const struct presenter *p,
		       const struct serve_copy_slot *s, int fd,
		       struct platter_image *img,
		       const struct platter_crash_range *changed, size_t nr,
		       struct platter_error *err)
{
	int rc = 0;

	if (nr == SIZE_MAX)
		return serve_copy_put(s, fd, img, 0, p->size,
				      SERVE_COPY_DIFFERING, err);
	for (size_t i = 0; !rc && i < nr; i++)
		rc = serve_copy_put(s, fd, img, changed[i].offset,
				    changed[i].length, SERVE_COPY_ALL, err);
	return rc;
}

static int update_file(const struct presenter *p, struct serve_copy_slot *s,
		       int *fd, struct platter_image *img,
		       const struct platter_crash_range *changed, size_t nr,
		       struct platter_error *err)
{
	struct stat st;
	bool held;
	int rc;

	*fd = s->known && serve_copy_is_only_file(s) ?
	      serve_copy_take_back(s, &st, &held) : -1;
	s->known = false;
	if (*fd < 0) {
		rc = serve_copy_new_file(s, p->size, fd, err);
		return rc ? rc : serve_copy_put(s, *fd, img, 0, p->size,
						SERVE_COPY_FRESH, err);
	}
	if (!serve_copy_touched(s, &st))
		return put_changed(p, s, *fd, img, changed, nr, err);
	if (fchmod(*fd, 0600) || ftruncate(*fd, (off_t)p->size))
		return serve_copy_trouble(s, err);
	return serve_copy_put(s, *fd, img, 0, p->size, SERVE_COPY_DIFFERING,
			      err);
}

static int clone_file(const struct presenter *p, struct serve_copy_slot *s,
		      int *fd, struct platter_image *img,
		      const struct platter_crash_range *changed, size_t nr,
		      struct platter_error *err)
{
	bool known = s->known;
	int rc;

	s->known = false;
	rc = put_changed(p, s, s->pristine, img, changed,
			 known ? nr : SIZE_MAX, err);
	if (!rc)
		rc = serve_copy_new_file(s, 0, fd, err);
	if (!rc && ioctl(*fd, FICLONE, s->pristine))
		rc = serve_copy_trouble(s, err);
	return rc;
}

static int present(struct platter_crash_presenter *self, unsigned int slot,
		   const char *name, struct platter_image *img,
		   const struct platter_crash_range *changed, size_t nr_changed,
		   bool direct, struct platter_crash_place *place,
		   struct platter_error *err)
{
	struct presenter *p = presenter_of(self);
	struct serve_copy_slot *s = &p->slot[slot];
	int fd = -1, rc;

	(void)name;
	(void)direct;
	rc = p->reflink ?
		clone_file(p, s, &fd, img, changed, nr_changed, err) :
		update_file(p, s, &fd, img, changed, nr_changed, err);
	if (!rc)
		rc = serve_copy_leave_file(s, fd, err);
	if (fd >= 0)
		close(fd);
	*place = (struct platter_crash_place){ .path = s->path };
	return rc;
}

static int withdraw(struct platter_crash_presenter *self, unsigned int slot,
		    struct platter_error *err)
{
	struct presenter *p = presenter_of(self);
	struct serve_copy_slot *s = &p->slot[slot];
	struct stat st;
	bool held;
	int fd, rc;

	fd = serve_copy_take_back(s, &st, &held);
	if (fd >= 0)
		close(fd);
	if (fd >= 0 && !p->reflink)
		return 0;
	/* What is not only ours is not used again. */
	rc = serve_copy_empty_folder(s, err);
	s->known = s->known && p->reflink;
	return rc ? rc : held;
}

/* ---- start and stop ---- */

static void free_presenter(struct platter_crash_presenter *self)
{
	struct presenter *p = presenter_of(self);

	for (unsigned int i = 0; i < p->nr_slots; i++) {
		struct serve_copy_slot *s = &p->slot[i];

		if (s->pristine >= 0)
			close(s->pristine);
		if (s->dir)
			serve_copy_remove_tree(s->dir);
		free(s->dir);
		free(s->path);
		free(s->buf);
	}
	free(p->slot);
	free(p);
}

static int make_slot(struct presenter *p, unsigned int slot, const char *dir,
		     struct platter_error *err)
{
	struct serve_copy_slot *s = &p->slot[slot];

	if (asprintf(&s->dir, "%s/%u", dir, slot) < 0)
		s->dir = NULL;
	if (!s->dir || asprintf(&s->path, "%s/disk", s->dir) < 0)
		s->path = NULL;
	s->buf = malloc(2 * (size_t)SERVE_COPY_CHUNK);
	if (!s->path || !s->buf)
		return platter_error_errno(err, -ENOMEM, "%s", dir);
	return 0;
}

/* A file that nobody else can open, if it can be cloned. */
static int try_reflink(struct presenter *p, struct serve_copy_slot *s,
		       struct platter_error *err)
{
	int fd = -1, rc;

	rc = serve_copy_new_file(s, p->size, &s->pristine, err);
	if (rc)
		return rc;
	rc = serve_copy_write(s, s->pristine, "x", 1, 0, err);
	unlink(s->path);
	if (!rc)
		rc = serve_copy_new_file(s, 0, &fd, err);
	if (rc)
		return rc;
	p->reflink = !ioctl(fd, FICLONE, s->pristine);
	close(fd);
	if (!p->reflink) {
		close(s->pristine);
		s->pristine = -1;
	}
	return 0;
}

static int start(struct presenter *p, const struct serve_states_options *opts,
		 struct platter_error *err)
{
	char *dir = realpath(opts->dir, NULL);
	int rc = 0;

	if (!dir)
		return platter_error_errno(err, -errno, "%s", opts->dir);
	p->size = opts->size;
	p->slot = calloc(opts->slots, sizeof(*p->slot));
	if (!p->slot)
		rc = platter_error_errno(err, -ENOMEM, "%s", dir);
	for (unsigned int i = 0; !rc && i < opts->slots; i++) {
		p->slot[i].pristine = -1;
		p->nr_slots = i + 1;
		rc = make_slot(p, i, dir, err);
		if (!rc && (!i || p->reflink))
			rc = try_reflink(p, &p->slot[i], err);
	}
	free(dir);
	return rc;
}

int serve_states_copy(struct platter_crash_presenter **out,
		      const struct serve_states_options *opts,
		      struct platter_error *err)
{
	struct presenter *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return platter_error_errno(err, -ENOMEM, "%s", opts->dir);
	p->base = (struct platter_crash_presenter){
		.present = present,
		.withdraw = withdraw,
		.free = free_presenter,
	};
	rc = start(p, opts, err);
	p->base.how = p->reflink ? "scratch copies (reflink)" :
				   "scratch copies";
	if (rc)
		free_presenter(&p->base);
	else
		*out = &p->base;
	return rc;
}
