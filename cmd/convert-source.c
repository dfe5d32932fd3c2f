/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sources of `platter convert`: one image or several, or a snapshot inside
 * of one.
 *
 * A snapshot is opened by its ID, as names need not be unique. An ID may be
 * another one's name, but where an image is opened by one, IDs come first.
 */
#include <string.h>

#include "cmd.h"
#include "convert.h"

/* ---- snapshots ---- */

/* Which one: by ID and name, both if both are given, or by either. */
struct wanted {
	const char *id;
	const char *name;
	const char *either;
	char *text;		/* what the first two are in, or NULL */
};

static int parse_item(struct wanted *w, char *item, struct platter_error *err)
{
	static const char id[] = "snapshot.id=", name[] = "snapshot.name=";

	if (!strncmp(item, id, strlen(id)))
		w->id = item + strlen(id);
	else if (!strncmp(item, name, strlen(name)))
		w->name = item + strlen(name);
	else
		return platter_error_set(err, -EINVAL, "-l: \"%s\" is neither "
					 "snapshot.id=ID nor "
					 "snapshot.name=NAME", item);
	return 0;
}

static int parse_wanted(struct wanted *w, const char *text,
			struct platter_error *err)
{
	char *rest, *item;
	int rc = 0;

	*w = (struct wanted){ .either = text };
	if (strncmp(text, "snapshot.", strlen("snapshot.")))
		return 0;
	w->either = NULL;
	w->text = strdup(text);
	if (!w->text)
		return platter_error_errno(err, -ENOMEM, "-l");
	for (rest = w->text; !rc && (item = strsep(&rest, ","));)
		rc = parse_item(w, item, err);
	return rc;
}

static bool fits(const struct wanted *w, const struct platter_snapshot *s)
{
	return (w->id || w->name) && (!w->id || !strcmp(w->id, s->id)) &&
	       (!w->name || !strcmp(w->name, s->name));
}

static const char *find_id(const struct wanted *w,
			   const struct platter_snapshot *list, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (w->either ? !strcmp(w->either, list[i].id) :
				fits(w, &list[i]))
			return list[i].id;
	for (size_t i = 0; i < nr && w->either; i++)
		if (!strcmp(w->either, list[i].name))
			return list[i].id;
	return NULL;
}

/* The ID of the snapshot that -l means; the caller frees. */
static int resolve(struct cmd *cmd, const struct cmd_sources *sources,
		   const char *spec, char **out, struct platter_error *err)
{
	struct platter_image *img cmd_auto_image = NULL;
	const struct platter_snapshot *list;
	const char *id = NULL;
	struct wanted w;
	size_t nr;
	int rc;

	rc = parse_wanted(&w, sources->snapshot, err);
	if (!rc)
		rc = cmd_image_open(cmd, &sources->image, spec,
				    PLATTER_O_NO_BACKING, sources->cache, &img,
				    err);
	if (!rc)
		rc = platter_image_snapshots(img, &list, &nr, err);
	if (!rc)
		id = find_id(&w, list, nr);
	free(w.text);
	if (rc)
		return rc;
	if (!id)
		return platter_error_set(err, -ENOENT, "%s: there is no "
					 "snapshot \"%s\"", spec,
					 sources->snapshot);
	*out = strdup(id);
	return *out ? 0 : platter_error_errno(err, -ENOMEM, "-l");
}

static int open_snapshot(struct cmd *cmd, const struct cmd_sources *sources,
			 const char *spec, struct platter_image **out,
			 struct platter_error *err)
{
	struct platter_open_options open = {
		.format = sources->image.format,
		.image_opts = sources->image.image_opts,
		.flags = sources->image.share ? PLATTER_O_SHARE : 0,
		.cache = sources->cache,
	};
	char *id = NULL;
	int rc;

	rc = resolve(cmd, sources, spec, &id, err);
	open.snapshot = id;
	if (!rc)
		rc = platter_image_open(out, cmd->ctx, spec, &open, err);
	free(id);
	return rc;
}

/* ---- one or more ---- */

static int open_all(struct cmd *cmd, const struct cmd_sources *sources,
		    char *const *names, unsigned int nr,
		    struct platter_image **images, struct platter_image **out,
		    struct platter_error *err)
{
	unsigned int n = 0;
	int rc = 0;

	while (n < nr && !rc) {
		rc = cmd_image_open(cmd, &sources->image, names[n], 0,
				    sources->cache, &images[n], err);
		n += !rc;
	}
	if (!rc)
		return platter_image_concat(out, cmd->ctx, images, nr, err);
	while (n)
		platter_image_close(images[--n], NULL);
	return rc;
}

int cmd_sources_open(struct cmd *cmd, const struct cmd_sources *sources,
		     char *const *names, unsigned int nr,
		     struct platter_image **out, struct platter_error *err)
{
	struct platter_image **images;
	int rc;

	if (sources->snapshot)
		return open_snapshot(cmd, sources, names[0], out, err);
	if (nr == 1)
		return cmd_image_open(cmd, &sources->image, names[0], 0,
				      sources->cache, out, err);
	images = calloc(nr, sizeof(*images));
	if (!images)
		return platter_error_errno(err, -ENOMEM, "the sources");
	rc = open_all(cmd, sources, names, nr, images, out, err);
	free(images);
	return rc;
}
