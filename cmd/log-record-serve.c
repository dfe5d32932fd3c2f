/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter log record`: the disks where the command can reach them.
 *
 * Files are served from here, by FUSE. NBD is served by nbdkit with our
 * plugin, which then has the nodes, the files and the session. What is asked
 * of the recording goes through the session in both cases.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log-record.h"
#include "served.h"

/* ---- the private folder ---- */

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	if (remove(path))
		return 0;	/* the folder above it tells */
	return 0;
}

/* With what the command put there; never into what is still mounted. */
static int remove_dir(struct record *r, struct platter_error *err)
{
	int rc = 0;

	if (!r->dir)
		return 0;
	nftw(r->dir, remove_one, 16, FTW_DEPTH | FTW_MOUNT | FTW_PHYS);
	if (!access(r->dir, F_OK))
		rc = platter_error_set(err, -EBUSY, "%s: it could not be "
				       "removed", r->dir);
	free(r->dir);
	r->dir = NULL;
	return rc;
}

static int make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	return close(fd);
}

/*
 * One disk is a file that covers DIR/FILE, so that the command can put its own
 * beside it. Several are the files of a folder.
 */
static int make_mount_point(struct record *r, struct platter_error *err)
{
	bool one = r->nr_disks == 1;

	if (asprintf(&r->mount, "%s/%s", r->dir,
		     one ? r->disks->file : "disks") < 0) {
		r->mount = NULL;
		return platter_error_errno(err, -ENOMEM, "%s", r->dir);
	}
	if (one ? make_file(r->mount) : mkdir(r->mount, 0700))
		return platter_error_errno(err, -errno, "%s", r->mount);
	for (size_t i = 0; i < r->nr_disks; i++) {
		struct record_disk *d = &r->disks[i];

		if (asprintf(&d->path, "%s%s%s", r->mount, one ? "" : "/",
			     one ? "" : d->file) >= 0)
			continue;
		d->path = NULL;
		return platter_error_errno(err, -ENOMEM, "%s", r->mount);
	}
	return 0;
}

static int choose_session(struct record *r, struct platter_error *err)
{
	if (r->o->session && r->o->session[0] != '/') {
		char *here = getcwd(NULL, 0);

		if (!here || asprintf(&r->session_path, "%s/%s", here,
				      r->o->session) < 0)
			r->session_path = NULL;
		free(here);
	} else if (r->o->session) {
		r->session_path = strdup(r->o->session);
	} else if (asprintf(&r->session_path, "%s/session", r->dir) < 0) {
		r->session_path = NULL;
	}
	return r->session_path ? 0 :
	       platter_error_errno(err, -ENOMEM, "session");
}

/* ---- from here ---- */

static int open_nodes(struct record *r, struct platter_error *err)
{
	const struct platter_open_options open = {
		.flags = PLATTER_O_RDWR |
			 (r->o->image.share ? PLATTER_O_SHARE : 0),
		.cache = r->o->cache,
	};
	int rc = 0;

	r->served = calloc(r->nr_disks, sizeof(*r->served));
	if (!r->served)
		return platter_error_errno(err, -ENOMEM, "disks");
	for (size_t i = 0; i < r->nr_disks && !rc; i++) {
		struct record_disk *d = &r->disks[i];

		rc = platter_image_open(&d->img, r->cmd->ctx, d->node, &open,
					err);
		r->served[i].name = d->file;
		r->served[i].img = d->img;
	}
	return rc;
}

static int serve_here(struct record *r, struct platter_error *err)
{
	struct serve_fuse_options fuse = {
		.path = r->mount,
		.nr_disks = r->nr_disks,
	};
	int rc = open_nodes(r, err);

	if (!rc)
		rc = serve_session_start(&r->session, r->session_path,
					 r->served, r->nr_disks, err);
	fuse.disks = r->served;
	return rc ? rc : serve_fuse_start(&r->fuse, &fuse, err);
}

/* ---- by nbdkit ---- */

static int add_param(struct cmd_key_values *params, const char *key,
		     const char *name, const char *value,
		     struct platter_error *err)
{
	char *text;

	if (!value)
		return 0;
	if (asprintf(&text, "%s=%s%s%s", key, name ? name : "",
		     name ? "=" : "", value) < 0)
		return platter_error_errno(err, -ENOMEM, "nbdkit");
	return cmd_key_values_append(params, text, err);
}

static int list_params(const struct record *r, struct cmd_key_values *params,
		       struct platter_error *err)
{
	static const char *const follow[] = {
		[PLATTER_FOLLOW_BENEATH] = "beneath",
		[PLATTER_FOLLOW_NONE] = "none",
		[PLATTER_FOLLOW_ANY] = "any",
	};
	int rc;

	rc = add_param(params, "session", NULL, r->session_path, err);
	if (!rc)
		rc = add_param(params, "fuse", NULL, r->mount, err);
	if (!rc)
		rc = add_param(params, "cache", NULL, r->o->cache_name, err);
	if (!rc)
		rc = add_param(params, "follow", NULL, follow[r->cmd->follow],
			       err);
	if (!rc && r->o->image.share)
		rc = add_param(params, "share", NULL, "true", err);
	for (size_t i = 0; i < r->nr_disks && !rc; i++) {
		const struct record_disk *d = &r->disks[i];

		rc = add_param(params, d->name ? "disk" : "file", d->name,
			       d->node, err);
	}
	return rc;
}

static int serve_by_nbdkit(struct record *r, struct platter_error *err)
{
	struct cmd_key_values params = { 0 };
	struct serve_nbd_options nbd = { 0 };
	char *socket = NULL;
	int rc;

	rc = list_params(r, &params, err);
	if (!rc && asprintf(&socket, "%s/nbd", r->dir) < 0)
		rc = platter_error_errno(err, -ENOMEM, "nbdkit");
	nbd.socket = socket;
	nbd.params = (const char *const *)params.list;
	if (!rc)
		rc = serve_nbd_start(&r->nbd, &nbd, err);
	for (size_t i = 0; i < r->nr_disks && !rc; i++) {
		struct record_disk *d = &r->disks[i];

		d->uri = serve_nbd_uri(r->nbd, d->name ? d->name : "");
		if (!d->uri)
			rc = platter_error_errno(err, -ENOMEM, "nbdkit");
	}
	for (size_t i = 0; i < params.count; i++)
		free(params.list[i]);
	cmd_key_values_free(&params);
	free(socket);
	return rc;
}

int record_serve(struct record *r, struct platter_error *err)
{
	int rc = cmd_served_make_dir(&r->dir, err);

	if (!rc)
		rc = choose_session(r, err);
	if (!rc && r->wants_file)
		rc = make_mount_point(r, err);
	if (!rc)
		rc = r->wants_nbd ? serve_by_nbdkit(r, err) :
				    serve_here(r, err);
	if (!rc)
		record_ask(r);
	for (size_t i = 0; i < r->nr_disks; i++)
		r->disks[i].first_size = r->disks[i].stats.log_size;
	return rc;
}

/* ---- the end ---- */

static bool has_open(const char *pid, const char *path)
{
	char dir[64], link[PATH_MAX];
	struct dirent *e;
	bool found = false;
	DIR *fds;

	snprintf(dir, sizeof(dir), "/proc/%.20s/fd", pid);
	fds = opendir(dir);
	while (fds && !found && (e = readdir(fds))) {
		ssize_t n = readlinkat(dirfd(fds), e->d_name, link,
				       sizeof(link) - 1);

		if (n < 0)
			continue;
		link[n] = '\0';
		found = !strcmp(link, path);
	}
	if (fds)
		closedir(fds);
	return found;
}

/* Who still has the file open? They are told of, as nobody else would. */
static void tell_of_holders(const struct record *r,
			    const struct record_disk *d)
{
	unsigned int count = 0;
	struct dirent *e;
	char first[32];
	DIR *proc = opendir("/proc");

	while (proc && (e = readdir(proc))) {
		if (!isdigit((unsigned char)e->d_name[0]) ||
		    atol(e->d_name) == getpid() ||
		    !has_open(e->d_name, d->path))
			continue;
		if (!count++)
			snprintf(first, sizeof(first), "%.20s", e->d_name);
	}
	if (proc)
		closedir(proc);
	if (count == 1)
		fprintf(r->cmd->err, "%s: %s: process %s still has it open; "
			"what it writes from now on is lost\n",
			r->cmd->as->name, d->file, first);
	else if (count)
		fprintf(r->cmd->err, "%s: %s: process %s and %u more still "
			"have it open; what they write from now on is lost\n",
			r->cmd->as->name, d->file, first, count - 1);
}

/*
 * Keep the first of several errors. A node goes by its spec, which is ours and
 * means nothing to whoever reads it.
 */
static void note(const struct record *r, int *first, int rc,
		 struct platter_error *err, const struct platter_error *e)
{
	const char *msg = e->msg;

	if (rc >= 0 || *first)
		return;
	for (size_t i = 0; i < r->nr_disks; i++) {
		const char *node = r->disks[i].node;
		size_t len = node ? strlen(node) : 0;

		if (len && !strncmp(msg, node, len) && msg[len] == ':')
			msg += len + 1 + strspn(msg + len + 1, " ");
	}
	*first = rc;
	platter_error_set(err, rc, "%s", msg);
}

static void end_files(struct record *r, int *first, struct platter_error *err)
{
	struct platter_error e = PLATTER_ERROR_INIT;

	for (size_t i = 0; i < r->nr_disks && r->began; i++)
		if (r->disks[i].path)
			tell_of_holders(r, &r->disks[i]);
	if (r->fuse && serve_fuse_ended(r->fuse))
		note(r, first, platter_error_set(&e, -ENOTCONN, "%s: it was "
			"unmounted while the command ran", r->mount), err, &e);
	note(r, first, serve_fuse_stop(r->fuse, &e), err, &e);
	r->fuse = NULL;
}

/* Only once all has been written that will be. */
static void end_logs(struct record *r, int *first, struct platter_error *err)
{
	struct platter_error e = PLATTER_ERROR_INIT;

	if (!r->session && !r->nbd)
		return;
	if (r->began)
		note(r, first, serve_session_end(r->session_path, &e), err, &e);
	record_ask(r);
}

int record_serve_end(struct record *r, struct platter_error *err)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	int first = 0;

	end_files(r, &first, err);
	end_logs(r, &first, err);
	serve_session_stop(r->session);
	r->session = NULL;
	note(r, &first, serve_nbd_stop(r->nbd, &e), err, &e);
	r->nbd = NULL;
	for (size_t i = 0; i < r->nr_disks; i++) {
		note(r, &first, platter_image_close(r->disks[i].img, &e), err,
		     &e);
		r->disks[i].img = NULL;
	}
	note(r, &first, remove_dir(r, &e), err, &e);
	free(r->served);
	free(r->session_path);
	free(r->mount);
	return first;
}
