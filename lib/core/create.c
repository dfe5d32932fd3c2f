/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making new images: the file first, then the format's metadata in it.
 *
 * A regular file is written beside its name and renamed when all of it is
 * there; the same goes for the data file of an image that has one, and both
 * get their names together. A file that will be replaced is held open
 * meanwhile, which takes the locks that tell whether a running machine uses
 * it. Block devices are written in place.
 *
 * The fallback format has no metadata; its options are the protocol's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/newfile.h"
#include "base/opts.h"
#include "core/core.h"

#define SECTOR 512u

/* One image in the making. */
struct making {
	struct platter_context *ctx;
	const char *filename;		/* without "file:" */
	const struct platter_driver *drv, *proto;
	const struct platter_create_options *opts;
	struct platter_options *tree;
	uint64_t size;
	struct plt_newfile *files[2];	/* the image and its data file */
	size_t nr_files;
	struct platter_image *held[2];	/* what they replace */
	size_t nr_held;
};

/* ---- what is to be made ---- */

static int find_drivers(struct making *m, const char *filename,
			struct platter_error *err)
{
	const char *format = m->opts->format ? m->opts->format :
					       PLT_FORMAT_FALLBACK;
	size_t len;

	m->drv = plt_driver_find(m->ctx, format);
	if (!m->drv)
		return plt_err_set(err, -EINVAL, "unknown format \"%s\"",
				   format);
	if (!*filename)
		return plt_err_set(err, -EINVAL, "the file name is empty");
	m->proto = m->drv->kind == PLATTER_DRIVER_PROTOCOL ? m->drv :
		   plt_driver_claiming(m->ctx, filename);
	if (!m->proto)
		return plt_spec_unclaimed(filename, err);
	if (!m->proto->create)
		return plt_err_set(err, -ENOTSUP, "driver %s cannot create",
				   m->proto->name);
	len = strlen(m->proto->name);
	m->filename = filename;
	if (!strncmp(filename, m->proto->name, len) && filename[len] == ':')
		m->filename += len + 1;
	return 0;
}

static bool has_metadata(const struct platter_driver *drv)
{
	return drv->kind != PLATTER_DRIVER_PROTOCOL &&
	       strcmp(drv->name, PLT_FORMAT_FALLBACK);
}

static bool knows(const struct platter_option *table, const char *name)
{
	for (; table && table->name; table++) {
		if (!strcmp(table->name, name))
			return true;
	}
	return false;
}

/* Mark the options of a table as known, and add their names to `list`. */
static void know_table(struct making *m, const struct platter_option *table,
		       const struct platter_option *before, FILE *list)
{
	for (; table && table->name; table++) {
		(void)platter_options_string(m->tree, table->name);
		if (!knows(before, table->name))
			fprintf(list, "%s%s", ftell(list) ? ", " : "",
				table->name);
	}
}

static int check_known(struct making *m, struct platter_error *err)
{
	plt_auto_free char *known = NULL;
	size_t len;
	FILE *list = open_memstream(&known, &len);
	int rc;

	if (!list)
		return plt_err_nomem(err, 0);
	know_table(m, m->drv->create_options, NULL, list);
	if (m->proto != m->drv)
		know_table(m, m->proto->create_options,
			   m->drv->create_options, list);
	if (fclose(list))
		return plt_err_nomem(err, 0);
	rc = plt_options_check_used(m->tree, err);
	if (rc < 0 && err) {
		struct platter_error e = *err;

		return plt_err_set(err, rc, "%s; format %s has %s", e.msg,
				   m->drv->name, len ? known : "none");
	}
	return rc;
}

/* ---- the backing file ---- */

/* By name too, as it need not be there yet. */
static bool is_itself(const struct making *m, const char *path)
{
	return !strcmp(path, m->filename) || plt_same_file(path, m->filename);
}

/*
 * Only the file the user named: what lies below it need not be there, or may
 * be what the gate refuses. No guest data is read, so no lock is taken, and a
 * backing file in use will do, as with qemu-img.
 */
static int open_backing(struct making *m, const char *path, const char *format,
			struct platter_image **out, struct platter_error *err)
{
	struct platter_options *tree = plt_options_new(err);
	int rc;

	if (!tree)
		return -ENOMEM;
	rc = plt_options_set(tree, "driver", format, err);
	if (!rc)
		rc = plt_options_set(tree, "file.filename", path, err);
	if (!rc)
		rc = plt_image_open_tree(out, m->ctx, tree,
					 PLATTER_O_NO_BACKING |
					 PLATTER_O_NO_IO,
					 PLATTER_CACHE_WRITEBACK, err);
	plt_options_free(tree);
	return plt_err_prefix(err, rc, "its backing file");
}

static int look_at_backing(struct making *m, const char *name,
			   const char *format, struct platter_error *err)
{
	plt_auto_free char *path = plt_gate_path(m->filename, name, err);
	struct platter_image *img;
	int rc;

	if (!path)
		return -ENOMEM;
	if (is_itself(m, path))
		return plt_err_set(err, -EINVAL, "the image and its backing "
				   "file \"%s\" are the same file", name);
	rc = open_backing(m, path, format, &img, err);
	if (rc < 0)
		return rc;
	if (m->opts->backing_size)
		m->size = platter_image_size(img);
	plt_image_free(img);
	return 0;
}

static int check_backing(struct making *m, struct platter_error *err)
{
	const char *name = platter_options_string(m->tree, "backing_file");
	const char *format = platter_options_string(m->tree, "backing_fmt");
	bool need_size = m->opts->backing_size;

	if (!name && format)
		return plt_err_set(err, -EINVAL, "a backing format is of no "
				   "use without a backing file");
	if (name && !*name)
		return plt_err_set(err, -EINVAL,
				   "the backing file name is empty");
	if (name && !format)
		return plt_err_set(err, -EINVAL, "backing file \"%s\" is given "
				   "without its format; say -F FORMAT", name);
	if (need_size && (!name || m->opts->backing_unsafe))
		return plt_err_set(err, -EINVAL, "the size is missing");
	if (!name || m->opts->backing_unsafe)
		return 0;
	return look_at_backing(m, name, format, err);
}

/* ---- the files ---- */

/* Take the locks of a file that will be replaced. */
static int hold(struct making *m, const struct platter_driver *proto,
		const char *path, struct platter_error *err)
{
	const struct platter_open_options open = {
		.format = proto->name,
		.flags = PLATTER_O_RDWR,
	};
	int rc;

	rc = platter_image_open(&m->held[m->nr_held], m->ctx, path, &open, err);
	if (rc == 0)
		m->nr_held++;
	return rc;
}

/* Where to write what will be called `path`. */
static int place(struct making *m, const struct platter_driver *proto,
		 const char *path, const char **out, struct platter_error *err)
{
	bool local = proto->io && proto->io->copy_range;
	bool there, replace = m->opts->replace;
	struct stat st;
	int rc = 0;

	*out = path;
	there = !(replace ? stat(path, &st) : lstat(path, &st));
	if (!local || (there && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)))
		return 0;
	if (there && !replace)
		return plt_err_errno(err, -EEXIST, "creating");
	if (there)
		rc = hold(m, proto, path, err);
	if (rc == 0)
		rc = plt_newfile_new(&m->files[m->nr_files], path, replace,
				     err);
	if (rc == 0)
		*out = plt_newfile_part(m->files[m->nr_files++]);
	return rc;
}

/* The options that only the protocol has. */
static int protocol_options(struct making *m, struct platter_options **out,
			    struct platter_error *err)
{
	const struct platter_option *o = m->proto->create_options;
	struct platter_options *tree = plt_options_new(err);
	int rc = tree ? 0 : -ENOMEM;

	for (; rc == 0 && o && o->name; o++) {
		const char *v = platter_options_string(m->tree, o->name);

		if (v && !knows(m->drv->create_options, o->name))
			rc = plt_options_set(tree, o->name, v, err);
	}
	if (rc < 0)
		plt_options_free(tree);
	else
		*out = tree;
	return rc;
}

/* An empty one: what it needs preallocated, the format does. */
static int create_data(struct making *m, const char *name,
		       struct platter_error *err)
{
	plt_auto_free char *path = plt_gate_path(m->filename, name, err);
	struct platter_options *none;
	const struct platter_driver *proto;
	const char *where;
	int rc;

	if (!path)
		return -ENOMEM;
	proto = plt_driver_claiming(m->ctx, path);
	if (!*name || !proto || !proto->create)
		return plt_err_set(err, -EINVAL,
				   "\"%s\" cannot be its data file", name);
	if (is_itself(m, path))
		return plt_err_set(err, -EINVAL, "the image and its data file "
				   "\"%s\" are the same file", name);
	none = plt_options_new(err);
	if (!none)
		return -ENOMEM;
	rc = place(m, proto, path, &where, err);
	if (rc == 0)
		rc = proto->create(m->ctx, where, m->size, none, err);
	if (rc == 0)
		rc = plt_options_set(m->tree, PLT_CREATE_DATA_PATH, where,
				     err);
	plt_options_free(none);
	return plt_err_prefix(err, rc, "its data file");
}

static int create_format(struct making *m, const char *where,
			 struct platter_error *err)
{
	const char *data = platter_options_string(m->tree, "data_file");
	struct platter_options *tree;
	int rc;

	if (!m->drv->create)
		return plt_err_set(err, -ENOTSUP, "format %s cannot be created",
				   m->drv->name);
	rc = protocol_options(m, &tree, err);
	if (rc < 0)
		return rc;
	rc = m->proto->create(m->ctx, where, 0, tree, err);
	plt_options_free(tree);
	if (rc == 0 && data)
		rc = create_data(m, data, err);
	if (rc == 0 && m->opts->no_flush)
		rc = plt_options_set(m->tree, PLT_CREATE_NO_FLUSH, "on", err);
	if (rc == 0)
		rc = m->drv->create(m->ctx, where, m->size, m->tree, err);
	return rc;
}

static int create_all(struct making *m, struct platter_error *err)
{
	const char *where;
	int rc;

	rc = place(m, m->proto, m->filename, &where, err);
	if (rc < 0)
		return rc;
	if (has_metadata(m->drv))
		rc = create_format(m, where, err);
	else
		rc = m->proto->create(m->ctx, where, m->size, m->tree, err);
	if (rc == 0 && m->nr_files)
		rc = plt_newfile_commit_all(m->files, m->nr_files,
					    !m->opts->no_flush, err);
	return rc;
}

/* ---- from the caller's options to the end ---- */

static int prepare(struct making *m, struct platter_error *err)
{
	int rc;

	rc = plt_options_parse_list(&m->tree, m->opts->options, err);
	if (rc == 0)
		rc = check_known(m, err);
	if (rc == 0)
		rc = check_backing(m, err);
	if (rc == 0 && m->size > PLT_OFFSET_MAX - SECTOR)
		rc = plt_err_set(err, -EFBIG, "size %" PRIu64 " is over the "
				 "limit of %" PRIu64, m->size,
				 PLT_OFFSET_MAX - SECTOR);
	if (rc == 0)
		m->size = plt_align_up(m->size, SECTOR);
	return rc;
}

/* People know the file by the name it would have got. */
static void hide_part(const struct plt_newfile *nf, struct platter_error *err)
{
	const char *part = plt_newfile_part(nf), *path = plt_newfile_path(nf);
	char *at;

	while ((at = strstr(err->msg, part))) {
		char rest[PLATTER_ERROR_MAX];

		/* The path is shorter than its part name. */
		snprintf(rest, sizeof(rest), "%s", at + strlen(part));
		sprintf(at, "%s", path);
		strcat(at, rest);
	}
}

static int name_error(const struct making *m, const char *filename, int rc,
		      struct platter_error *err)
{
	size_t len = strlen(m->filename ? m->filename : filename);

	if (rc == 0 || !err)
		return rc;
	for (size_t i = 0; i < m->nr_files; i++)
		hide_part(m->files[i], err);
	if (m->filename && !strncmp(err->msg, m->filename, len) &&
	    err->msg[len] == ':')
		return rc;
	return plt_err_prefix(err, rc, "%s", filename);
}

int platter_image_create(struct platter_context *ctx, const char *filename,
			 const struct platter_create_options *opts,
			 struct platter_error *err)
{
	struct making m = {
		.ctx = ctx,
		.opts = opts,
		.size = opts->size,
	};
	int rc;

	rc = find_drivers(&m, filename, err);
	if (rc == 0)
		rc = prepare(&m, err);
	if (rc == 0)
		rc = create_all(&m, err);
	rc = name_error(&m, filename, rc, err);
	while (m.nr_files)
		plt_newfile_free(m.files[--m.nr_files]);
	while (m.nr_held)
		plt_image_free(m.held[--m.nr_held]);
	plt_options_free(m.tree);
	return rc;
}

const struct platter_option *platter_create_option_table(
	struct platter_context *ctx, const char *format)
{
	const struct platter_driver *drv;

	drv = plt_driver_find(ctx, format ? format : PLT_FORMAT_FALLBACK);
	return drv ? drv->create_options : NULL;
}

const struct platter_option *platter_amend_option_table(
	struct platter_context *ctx, const char *format)
{
	const struct platter_driver *drv = plt_driver_find(ctx, format);

	return drv ? drv->amend_options : NULL;
}
