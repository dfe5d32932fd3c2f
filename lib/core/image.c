/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes: their facts, their children and their end.
 *
 * Opening is in open.c, I/O in rw.c, the map in map.c.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"

/* ---- what a node is ---- */

uint64_t platter_image_size(const struct platter_image *img)
{
	return img->size;
}

void platter_image_set_size(struct platter_image *img, uint64_t bytes)
{
	img->size = bytes;
}

const char *platter_image_format(const struct platter_image *img)
{
	return img->drv->name;
}

const char *platter_image_name(const struct platter_image *img)
{
	return img->name;
}

int platter_image_set_name(struct platter_image *img, const char *name,
			   struct platter_error *err)
{
	char *copy = plt_strdup(name, err);

	if (!copy)
		return -ENOMEM;
	free(img->name);
	img->name = copy;
	return 0;
}

bool platter_image_writable(const struct platter_image *img)
{
	return img->flags & PLATTER_O_RDWR;
}

void *platter_image_state(const struct platter_image *img)
{
	return img->state;
}

struct platter_context *platter_image_context(const struct platter_image *img)
{
	return img->ctx;
}

unsigned int platter_image_flags(const struct platter_image *img)
{
	return img->flags;
}

enum platter_cache platter_image_cache(const struct platter_image *img)
{
	return img->cache;
}

int platter_image_describe(struct platter_image *img,
			   struct platter_printer *out,
			   struct platter_error *err)
{
	if (!img->drv->describe)
		return 0;
	return plt_image_prefix(img, img->drv->describe(img, out, err), err);
}

/*
 * A format takes what its file takes; its other children are images of their
 * own. Filters take what they pass through to.
 */
int64_t platter_image_allocated(struct platter_image *img)
{
	const struct platter_io_ops *io = img->drv->io;
	struct platter_image *below;

	if (io && io->allocated)
		return io->allocated(img);
	below = platter_image_child(img, plt_driver_primary(img->drv));
	return below ? platter_image_allocated(below) : -1;
}

int plt_image_prefix(const struct platter_image *img, int code,
		     struct platter_error *err)
{
	struct platter_error own = PLATTER_ERROR_INIT;

	if (code >= 0 || !err)
		return code;
	/* Through the same function, so that it is cleaned the same way. */
	plt_err_set(&own, code, "%s: ", img->name);
	if (!strncmp(err->msg, own.msg, strlen(own.msg)))
		return code;
	return plt_err_prefix(err, code, "%s", img->name);
}

/* ---- children ---- */

const char *plt_image_local_path(const struct platter_image *img)
{
	while (img->drv->kind != PLATTER_DRIVER_PROTOCOL) {
		img = platter_image_child((struct platter_image *)img,
					  plt_driver_primary(img->drv));
		if (!img)
			return NULL;
	}
	return img->drv->io->copy_range ? img->name : NULL;
}

struct platter_image *platter_image_child(struct platter_image *img,
					  const char *role)
{
	for (size_t i = 0; i < img->nr_children; i++) {
		if (!strcmp(img->children[i].role, role))
			return img->children[i].img;
	}
	return NULL;
}

int plt_image_add_child(struct platter_image *img, const char *role,
			struct platter_image *child, struct platter_error *err)
{
	struct plt_child *c;
	int rc = 0;

	if (img->nr_children >= PLT_MAX_CHILDREN)
		rc = plt_err_set(err, -EMLINK,
				 "more than %d files belong to the image",
				 PLT_MAX_CHILDREN);
	else if (strlen(role) >= sizeof(c->role))
		rc = plt_err_set(err, -EINVAL,
				 "child name \"%s\" is over the limit of %zu",
				 role, sizeof(c->role) - 1);
	else
		rc = plt_grow(&img->children, &img->room,
			      img->nr_children + 1, sizeof(*c), err);
	if (rc < 0) {
		plt_image_free(child);
		return rc;
	}
	c = &img->children[img->nr_children++];
	strcpy(c->role, role);
	c->img = child;
	return 0;
}

/* ---- the beginning and the end ---- */

/*
 * Whoever wants to be alone goes before those who come after, or a steady
 * stream of requests would keep a flush waiting for ever.
 */
void plt_image_init_locks(struct platter_image *img)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr,
			PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&img->io, &attr);
	pthread_rwlockattr_destroy(&attr);
}

static int write_back(struct platter_image *img, struct platter_error *err)
{
	const struct platter_format_ops *format = img->drv->format;
	int rc;

	if (!img->opened || !platter_image_writable(img))
		return 0;
	rc = platter_image_flush(img, err);
	if (rc || !format || !format->finish)
		return rc;
	return plt_image_prefix(img, format->finish(img, err), err);
}

/* The driver goes first: it may still write to its children. */
static int close_node(struct platter_image *img, struct platter_error *err)
{
	int rc = write_back(img, err);

	if (img->opened && img->drv->close)
		img->drv->close(img);
	for (size_t i = img->nr_children; i-- > 0;) {
		int r = close_node(img->children[i].img, rc ? NULL : err);

		rc = rc ? rc : r;
	}
	if (img->inner)
		close_node(img->inner, NULL);
	plt_cleanup_fd(&img->fd);
	pthread_rwlock_destroy(&img->io);
	free(img->children);
	free(img->state);
	free(img->name);
	free(img);
	return rc;
}

int platter_image_close(struct platter_image *img, struct platter_error *err)
{
	return img ? close_node(img, err) : 0;
}

void plt_image_free(struct platter_image *img)
{
	if (img)
		close_node(img, NULL);
}
