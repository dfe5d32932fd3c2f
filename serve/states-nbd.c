/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Crash states as NBD exports, for a harness: the file each slot has in a mount
 * is served by an nbdkit.
 *
 * Each state has an nbdkit of its own. Starting one takes longer than to let it
 * open the file again, but with it go all connections to the state before, and
 * whatever it had read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "states.h"

struct slot {
	struct serve_nbd *nbd;
	char *socket;
	char *uri;		/* or NULL */
};

struct presenter {
	struct platter_crash_presenter base;
	struct platter_crash_presenter *files;
	unsigned int nr_slots;
	struct slot *slot;
};

static struct presenter *presenter_of(struct platter_crash_presenter *base)
{
	return (struct presenter *)base;
}

/* All clients are disconnected then. How it ended is nobody's business. */
static void stop(struct slot *s)
{
	serve_nbd_stop(s->nbd, NULL);
	s->nbd = NULL;
	free(s->uri);
	s->uri = NULL;
}

static int start(struct slot *s, const char *path, struct platter_error *err)
{
	const char *params[] = { "format=raw", "share=true", NULL, NULL };
	struct serve_nbd_options opts = {
		.socket = s->socket,
		.params = params,
	};
	char *file;
	int rc;

	if (asprintf(&file, "file=%s", path) < 0)
		return platter_error_errno(err, -ENOMEM, "%s", path);
	params[2] = file;
	rc = serve_nbd_start(&s->nbd, &opts, err);
	free(file);
	if (rc)
		return rc;
	s->uri = serve_nbd_uri(s->nbd, NULL);
	return s->uri ? 0 : platter_error_errno(err, -ENOMEM, "%s", path);
}

static int present(struct platter_crash_presenter *self, unsigned int slot,
		   const char *name, struct platter_image *img,
		   const struct platter_crash_range *changed, size_t nr_changed,
		   bool direct, struct platter_crash_place *place,
		   struct platter_error *err)
{
	struct presenter *p = presenter_of(self);
	struct slot *s = &p->slot[slot];
	int rc;

	rc = p->files->present(p->files, slot, name, img, changed, nr_changed,
			       direct, place, err);
	if (rc)
		return rc;
	rc = start(s, place->path, err);
	place->uri = s->uri;
	return rc;
}

static int withdraw(struct platter_crash_presenter *self, unsigned int slot,
		    struct platter_error *err)
{
	struct presenter *p = presenter_of(self);

	stop(&p->slot[slot]);
	return p->files->withdraw(p->files, slot, err);
}

static void free_presenter(struct platter_crash_presenter *self)
{
	struct presenter *p = presenter_of(self);

	for (unsigned int i = 0; i < p->nr_slots; i++) {
		stop(&p->slot[i]);
		free(p->slot[i].socket);
	}
	platter_crash_presenter_free(p->files);
	free(p->slot);
	free(p);
}

static int prepare(struct presenter *p, const struct serve_states_options *opts,
		   struct platter_error *err)
{
	p->slot = calloc(opts->slots, sizeof(*p->slot));
	p->nr_slots = p->slot ? opts->slots : 0;
	for (unsigned int i = 0; i < p->nr_slots; i++) {
		if (asprintf(&p->slot[i].socket, "%s/nbd-%u", opts->dir, i) >= 0)
			continue;
		p->slot[i].socket = NULL;
		p->nr_slots = i;
	}
	if (p->nr_slots != opts->slots)
		return platter_error_errno(err, -ENOMEM, "%s", opts->dir);
	return serve_states_fuse(&p->files, opts, err);
}

int serve_states_nbd(struct platter_crash_presenter **out,
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
		.how = "FUSE and NBD",
		.sees_reads = true,
	};
	rc = prepare(p, opts, err);
	if (rc)
		free_presenter(&p->base);
	else
		*out = &p->base;
	return rc;
}
