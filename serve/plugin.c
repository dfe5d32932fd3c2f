/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The nbdkit plugin: images of every format as NBD exports.
 *
 * Images are opened once, before nbdkit forks into the background, so that an
 * error can still be seen; all connections share the nodes, so what one has
 * flushed the others see. What needs threads starts behind the fork.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin.h"

#define THREAD_MODEL	NBDKIT_THREAD_MODEL_PARALLEL
#define BLOCK_MIN	1u		/* any byte can be written */
#define BLOCK_PREFERRED	4096u
#define BLOCK_CLUSTER	(2u << 20)	/* a larger cluster is ignored */
#define BLOCK_MAX	(32u << 20)	/* what QEMU's server takes */
#define EXTENTS		128		/* told at once */

/* nbdkit's callbacks have no argument of ours. */
static struct serve_plugin p = { .parent_fd = -1 };
static struct platter_context *ctx;
static struct serve_fuse *fuse;
static struct serve_session *session;
static struct serve_parent *parent;

static int failed(const struct platter_error *e)
{
	nbdkit_error("%s", e->msg);
	return -1;
}

/* Of a request: the client gets an errno, the log the words. */
static int answer(int rc, const struct platter_error *e)
{
	if (rc >= 0)
		return 0;
	nbdkit_set_error(serve_errno(rc));
	return failed(e);
}

/* ---- opening ---- */

/* "disk.qcow2" of "dir/disk.qcow2", for a FUSE directory. */
static char *file_name(const struct serve_export *x)
{
	const char *slash = strrchr(x->spec, '/');
	const char *last = slash ? slash + 1 : x->spec;

	if (*x->name)
		return strdup(x->name);
	if (p.open.image_opts || !strncmp(x->spec, "json:", 5) || !*last)
		return strdup("disk");
	return strdup(last);
}

static uint32_t preferred_size(struct platter_image *img)
{
	struct platter_image_facts facts;
	uint64_t size = 0;

	if (!platter_image_facts(img, &facts, NULL))
		size = facts.subcluster_size;
	if (size < BLOCK_PREFERRED || size > BLOCK_CLUSTER || size & (size - 1))
		return BLOCK_PREFERRED;
	return (uint32_t)size;
}

static const char *remedy(int rc)
{
	if (!(p.open.flags & PLATTER_O_RDWR))
		return "";
	if (rc == -EPERM && !p.open.format)
		return " (for nbdkit: format=raw)";
	if (rc == -EROFS || rc == -EACCES)
		return " (nbdkit -r serves it for reading only)";
	return "";
}

static int open_export(size_t i)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	struct serve_export *x = &p.exports[i];
	struct platter_image *img;
	int rc;

	rc = platter_image_open(&img, ctx, x->spec, &p.open, &e);
	if (rc) {
		nbdkit_error("%s%s", e.msg, remedy(rc));
		return -1;
	}
	x->preferred = preferred_size(img);
	x->file_name = file_name(x);
	x->disk = &p.disks[i];
	p.disks[i] = (struct serve_disk) {
		.name = x->file_name,
		.img = img,
		.read_only = !platter_image_writable(img),
	};
	if (x->file_name && asprintf(&x->description, "%s image",
				     platter_image_format(img)) >= 0)
		return 0;
	x->description = NULL;
	nbdkit_error("out of memory");
	return -1;
}

static bool close_failed;

/* nbdkit ends with 0 whatever its plugins met when they closed. */
static void at_exit(void)
{
	if (!close_failed)
		return;
	fflush(NULL);
	_exit(EXIT_FAILURE);
}

static void closing_failed(const struct platter_error *e)
{
	failed(e);
	close_failed = true;
}

/* Also of what get_ready() had opened when it failed. */
static void close_all(void)
{
	struct platter_error e = PLATTER_ERROR_INIT;

	serve_parent_unwatch(parent);
	parent = NULL;
	serve_session_stop(session);
	session = NULL;
	if (serve_fuse_stop(fuse, &e))
		closing_failed(&e);
	fuse = NULL;
	for (size_t i = 0; p.disks && i < p.nr_exports; i++) {
		e = (struct platter_error) PLATTER_ERROR_INIT;
		if (platter_image_close(p.disks[i].img, &e))
			closing_failed(&e);
		p.disks[i].img = NULL;
	}
	platter_context_free(ctx);
	ctx = NULL;
}

static int get_ready(void)
{
	struct platter_error e = PLATTER_ERROR_INIT;

	if (!serve_plugin_read_only())
		p.open.flags |= PLATTER_O_RDWR;
	p.disks = calloc(p.nr_exports, sizeof(*p.disks));
	if (!p.disks) {
		nbdkit_error("out of memory");
		return -1;
	}
	if (atexit(at_exit)) {
		nbdkit_error("no room for a function at exit");
		return -1;
	}
	if (platter_context_new(&ctx, &e))
		return failed(&e);
	platter_context_set_follow(ctx, p.follow);
	for (size_t i = 0; i < p.nr_exports; i++) {
		if (open_export(i)) {
			close_all();
			return -1;
		}
	}
	return 0;
}

static int after_fork(void)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	const struct serve_fuse_options opts = {
		.path = p.fuse,
		.disks = p.disks,
		.nr_disks = p.nr_exports,
		.direct = p.direct,
	};

	if (p.fuse && serve_fuse_start(&fuse, &opts, &e))
		goto fail;
	if (p.session && serve_session_start(&session, p.session, p.disks,
					     p.nr_exports, &e))
		goto fail;
	if (p.parent_fd < 0)
		return 0;
	if (!serve_parent_watch(&parent, p.parent_fd, p.session) &&
	    !serve_parent_tell(p.parent_fd))
		return 0;
	close_all();
	return -1;
fail:
	close_all();
	return failed(&e);
}

static void unload(void)
{
	close_all();
	for (size_t i = 0; i < p.nr_exports; i++) {
		free(p.exports[i].file_name);
		free(p.exports[i].description);
	}
	free(p.exports);
	free(p.disks);
	free((char *)p.session);
	free((char *)p.fuse);
	p = (struct serve_plugin) { 0 };
}

/* ---- the exports ---- */

static int list_exports(int readonly, int is_tls,
			struct nbdkit_exports *exports)
{
	(void)readonly;
	(void)is_tls;
	for (size_t i = 0; i < p.nr_exports; i++)
		if (nbdkit_add_export(exports, p.exports[i].name,
				      p.exports[i].description))
			return -1;
	return 0;
}

static const char *default_export(int readonly, int is_tls)
{
	(void)readonly;
	(void)is_tls;
	return p.exports[0].name;
}

static void *open_handle(int readonly)
{
	const char *name = nbdkit_export_name();

	(void)readonly;
	for (size_t i = 0; name && i < p.nr_exports; i++)
		if (!strcmp(name, p.exports[i].name))
			return &p.exports[i];
	nbdkit_error("there is no export '%s'", name ? name : "");
	return NULL;
}

static const char *export_description(void *handle)
{
	const struct serve_export *x = handle;

	return x->description;
}

static int64_t get_size(void *handle)
{
	const struct serve_export *x = handle;

	return (int64_t)platter_image_size(x->disk->img);
}

static int can_write(void *handle)
{
	const struct serve_export *x = handle;

	return !x->disk->read_only;
}

static int always(void *handle)
{
	(void)handle;
	return 1;
}

static int can_fua(void *handle)
{
	(void)handle;
	return NBDKIT_FUA_NATIVE;
}

/* Reading brings it into the page cache, where there is one. */
static int can_cache(void *handle)
{
	bool direct = p.open.cache == PLATTER_CACHE_NONE ||
		      p.open.cache == PLATTER_CACHE_DIRECTSYNC;

	(void)handle;
	return direct ? NBDKIT_CACHE_NONE : NBDKIT_CACHE_EMULATE;
}

static int block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
		      uint32_t *maximum)
{
	const struct serve_export *x = handle;

	*minimum = BLOCK_MIN;
	*preferred = x->preferred;
	*maximum = BLOCK_MAX;
	return 0;
}

/* ---- requests ---- */

static int plugin_pread(void *handle, void *buf, uint32_t count,
			uint64_t offset, uint32_t flags)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	const struct serve_export *x = handle;

	(void)flags;
	return answer(serve_read(x->disk, buf, count, offset, &e), &e);
}

static int plugin_pwrite(void *handle, const void *buf, uint32_t count,
			 uint64_t offset, uint32_t flags)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	const struct serve_export *x = handle;

	return answer(serve_write(x->disk, buf, count, offset,
				  flags & NBDKIT_FLAG_FUA, &e), &e);
}

static int plugin_flush(void *handle, uint32_t flags)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	const struct serve_export *x = handle;

	(void)flags;
	return answer(serve_flush(x->disk, &e), &e);
}

static int plugin_trim(void *handle, uint32_t count, uint64_t offset,
		       uint32_t flags)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	const struct serve_export *x = handle;

	return answer(serve_discard(x->disk, offset, count,
				    flags & NBDKIT_FLAG_FUA, &e), &e);
}

/* That it would not be fast is an answer, and nothing for the log. */
static int fast_zero(const struct serve_disk *disk, uint32_t count,
		     uint64_t offset, uint32_t flags)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	unsigned int how = PLATTER_ZERO_FAST;
	int rc;

	if (flags & NBDKIT_FLAG_MAY_TRIM)
		how |= PLATTER_ZERO_UNMAP;
	rc = platter_image_zero(disk->img, offset, count, how, &e);
	if (rc == -ENOTSUP) {
		nbdkit_set_error(EOPNOTSUPP);
		return -1;
	}
	if (!rc && flags & NBDKIT_FLAG_FUA)
		rc = serve_flush(disk, &e);
	return answer(rc, &e);
}

static int plugin_zero(void *handle, uint32_t count, uint64_t offset,
		       uint32_t flags)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	const struct serve_export *x = handle;

	if (flags & NBDKIT_FLAG_FAST_ZERO)
		return fast_zero(x->disk, count, offset, flags);
	return answer(serve_zero(x->disk, offset, count,
				 flags & NBDKIT_FLAG_MAY_TRIM,
				 flags & NBDKIT_FLAG_FUA, &e), &e);
}

/* A hole is what takes no space; that it reads as zeros has to be known. */
static uint32_t extent_type(const struct platter_extent *e)
{
	if (!(e->flags & PLATTER_EXTENT_ZERO))
		return 0;
	return e->flags & PLATTER_EXTENT_DATA ?
	       NBDKIT_EXTENT_ZERO : NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO;
}

static int plugin_extents(void *handle, uint32_t count, uint64_t offset,
			  uint32_t flags, struct nbdkit_extents *extents)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	const struct serve_export *x = handle;
	struct platter_extent list[EXTENTS];
	size_t n = flags & NBDKIT_FLAG_REQ_ONE ? 1 : EXTENTS;
	int rc;

	rc = platter_image_map(x->disk->img, offset, count, list, &n, &e);
	for (size_t i = 0; rc >= 0 && i < n; i++)
		if (nbdkit_add_extent(extents, list[i].offset, list[i].length,
				      extent_type(&list[i])))
			return -1;
	return answer(rc, &e);
}

/* ---- the table ---- */

static int config(const char *key, const char *value)
{
	return serve_plugin_config(&p, key, value);
}

static int config_complete(void)
{
	return serve_plugin_config_complete(&p);
}

static void dump_plugin(void)
{
	struct platter_context *c;

	if (platter_context_new(&c, NULL))
		return;
	printf("platter_formats=");
	for (const char *const *f = platter_context_formats(c); *f; f++)
		printf("%s%s", f == platter_context_formats(c) ? "" : " ", *f);
#ifdef HAVE_FUSE
	printf("\nplatter_fuse=yes\n");
#else
	printf("\nplatter_fuse=no\n");
#endif
	platter_context_free(c);
}

static struct nbdkit_plugin plugin = {
	.name = "platter",
	.longname = "platter",
	.version = PACKAGE_VERSION,
	.description = "Serve disk images and moments of write logs, and "
		       "record what is written to them.",
	.config = config,
	.config_complete = config_complete,
	.config_help = serve_plugin_help,
	.magic_config_key = "file",
	.dump_plugin = dump_plugin,
	.get_ready = get_ready,
	.after_fork = after_fork,
	.cleanup = close_all,
	.unload = unload,
	.list_exports = list_exports,
	.default_export = default_export,
	.open = open_handle,
	.export_description = export_description,
	.get_size = get_size,
	.block_size = block_size,
	.can_write = can_write,
	.can_fua = can_fua,
	.can_multi_conn = always,
	.can_fast_zero = always,
	.can_cache = can_cache,
	.pread = plugin_pread,
	.pwrite = plugin_pwrite,
	.flush = plugin_flush,
	.trim = plugin_trim,
	.zero = plugin_zero,
	.extents = plugin_extents,
};

NBDKIT_REGISTER_PLUGIN(plugin)
