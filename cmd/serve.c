/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter serve`: an image as a file, as an NBD export, or both, until a
 * signal comes, or it is unmounted, or a command has ended.
 *
 * An image is opened for writing once. NBD is nbdkit's work, in a process of
 * its own, which opens the image; then it is that process that shows the file,
 * too, and without the kernel's cache, which would not see what NBD writes.
 */
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "served.h"

enum {
	KEY_FUSE = CMD_KEY_FIRST,
	KEY_NBD,
	KEY_RUN,
	KEY_SESSION,
};

struct serve_options {
	struct cmd_served served;
	struct cmd_output output;
	const char *fuse, *nbd, *session, *command;
};

static const struct argp_option options[] = {
	{ .name = "fuse", .key = KEY_FUSE, .arg = "PATH",
	  .doc = "as the file PATH, which is made if it is not there; one that "
		 "is there is covered and stays as it is" },
	{ .name = "nbd", .key = KEY_NBD, .arg = "SOCKET|PORT",
	  .doc = "as an NBD export, at a Unix socket or a TCP port; needs "
		 "nbdkit" },
	{ .name = "run", .key = KEY_RUN, .arg = "COMMAND",
	  .doc = "run that with the shell and serve until it ends; {} in it is "
		 "the file's path and {nbd} the export's URI" },
	{ .name = "session", .key = KEY_SESSION, .arg = "SOCKET",
	  .doc = "listen there for 'platter log mark', pause and resume" },
	{ 0 },
};

static error_t finish(struct argp_state *state, struct serve_options *o)
{
	if (!o->fuse && !o->nbd && !o->command)
		return cmd_usage(state, "nothing says how to serve: give --fuse "
				 "PATH, --nbd SOCKET|PORT or --run COMMAND");
	if (serve_run_wants(o->command, "{nbd}") && !o->nbd)
		return cmd_usage(state, "{nbd} in --run needs --nbd "
				 "SOCKET|PORT");
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct serve_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->served;
		state->child_inputs[1] = &o->output;
		return 0;
	case KEY_FUSE:
		o->fuse = arg;
		return 0;
	case KEY_NBD:
		o->nbd = arg;
		return 0;
	case KEY_RUN:
		o->command = arg;
		return 0;
	case KEY_SESSION:
		o->session = arg;
		return 0;
	case ARGP_KEY_END:
		return finish(state, o);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_SERVED,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "IMAGE",
	.doc = "Serve an image of any format as a file, as an NBD export, or "
	       "both, until SIGINT, SIGTERM or SIGHUP comes, until it is "
	       "unmounted, or until the command of --run has ended.\v"
	       "With --run alone the file is in a new folder in TMPDIR. "
	       "The command finds what {} and {nbd} stand for in PLATTER_PATH "
	       "and PLATTER_NBD, too.\n\n"
	       "Exit codes: 0 all has been written, 2 trouble; with --run that "
	       "of the command.",
	.children = children,
};

struct serving {
	struct cmd *cmd;
	const struct serve_options *o;
	const char *spec;
	struct serve_disk disk;		/* its `img` NULL: nbdkit has it */
	struct serve_fuse *fuse;
	struct serve_nbd *nbd;
	struct serve_session *session;
	struct serve_report *report;
	char *path, *uri;		/* absolute; or NULL */
	char *dir;			/* made for `path`, or NULL */
	int signals;
	sigset_t mask;
	pid_t pid;			/* of the command, or 0 */
	int status;			/* of the command, as of waitpid() */
};

/* ---- places ---- */

static int temporary_path(struct serving *s, struct platter_error *err)
{
	int rc = cmd_served_make_dir(&s->dir, err);

	if (rc)
		return rc;
	if (asprintf(&s->path, "%s/disk", s->dir) < 0) {
		s->path = NULL;
		return platter_error_errno(err, -ENOMEM, "--run");
	}
	return 0;
}

/* The command may have another current folder. */
static int choose_path(struct serving *s, struct platter_error *err)
{
	const struct serve_options *o = s->o;
	char here[PATH_MAX];

	if (!o->fuse && o->nbd && !serve_run_wants(o->command, "{}"))
		return 0;
	if (!o->fuse)
		return temporary_path(s, err);
	if (o->fuse[0] == '/')
		s->path = strdup(o->fuse);
	else if (!getcwd(here, sizeof(here)))
		return platter_error_errno(err, -errno, "%s", o->fuse);
	else if (asprintf(&s->path, "%s/%s", here, o->fuse) < 0)
		s->path = NULL;
	return s->path ? 0 : platter_error_errno(err, -ENOMEM, "%s", o->fuse);
}

/* ---- from here ---- */

static int serve_here(struct serving *s, struct platter_error *err)
{
	struct serve_fuse_options fuse = {
		.path = s->path,
		.disks = &s->disk,
		.nr_disks = 1,
		.allow_other = s->o->served.allow_other,
	};
	int rc;

	rc = serve_report_new(&s->report, err);
	if (!rc && s->report)
		fuse.source = serve_report_source(s->report);
	if (!rc)
		rc = serve_fuse_start(&s->fuse, &fuse, err);
	if (!rc && s->o->session)
		rc = serve_session_start(&s->session, s->o->session, &s->disk,
					 1, err);
	return rc;
}

/* ---- by nbdkit ---- */

#define PARAMS	16

struct params {
	char *list[PARAMS + 1];		/* NULL-terminated */
	size_t count;
	bool failed;
};

static void add(struct params *p, const char *key, const char *value)
{
	if (!value || p->failed)
		return;
	if (asprintf(&p->list[p->count], "%s=%s", key, value) < 0) {
		p->list[p->count] = NULL;
		p->failed = true;
		return;
	}
	p->count++;
}

static void fill(struct params *p, const struct serving *s)
{
	static const char *const follow[] = {
		[PLATTER_FOLLOW_BENEATH] = "beneath",
		[PLATTER_FOLLOW_NONE] = "none",
		[PLATTER_FOLLOW_ANY] = "any",
	};
	const struct cmd_served *o = &s->o->served;

	add(p, "file", s->spec);
	add(p, "format", o->image.format);
	add(p, "image-opts", o->image.image_opts ? "true" : NULL);
	add(p, "share", o->image.share ? "true" : NULL);
	add(p, "cache", o->cache_name);
	add(p, "follow", follow[s->cmd->follow]);
	add(p, "session", s->o->session);
	add(p, "fuse", s->path);
	add(p, "direct", s->path ? "true" : NULL);
}

static int serve_by_nbdkit(struct serving *s, struct platter_error *err)
{
	struct params p = { .count = 0 };
	struct serve_nbd_options nbd = {
		.params = (const char *const *)p.list,
		.read_only = s->disk.read_only,
	};
	const char *place = s->o->nbd;
	int rc;

	if (place[0] && place[strspn(place, "0123456789")] == '\0')
		nbd.port = place;
	else
		nbd.socket = place;
	fill(&p, s);
	rc = p.failed ? platter_error_errno(err, -ENOMEM, "nbdkit") :
			serve_nbd_start(&s->nbd, &nbd, err);
	for (size_t i = 0; i < p.count; i++)
		free(p.list[i]);
	if (rc)
		return rc;
	s->uri = serve_nbd_uri(s->nbd, "");
	return s->uri ? 0 : platter_error_errno(err, -ENOMEM, "nbdkit");
}

/* Opening it here tells whether it can be written, and what is wrong. */
static int start(struct serving *s, struct platter_error *err)
{
	int rc;

	rc = cmd_served_open(s->cmd, &s->o->served, s->spec, &s->disk, err);
	if (!rc)
		rc = choose_path(s, err);
	if (rc || !s->o->nbd)
		return rc ? rc : serve_here(s, err);
	rc = platter_image_close(s->disk.img, err);
	s->disk.img = NULL;
	return rc ? rc : serve_by_nbdkit(s, err);
}

/* ---- while it is served ---- */

/* For whoever waits until there is something. */
static int announce(struct serving *s, struct platter_error *err)
{
	struct platter_printer *out;
	int rc;

	rc = cmd_printer(s->cmd, s->o->output.kind, &out, err);
	if (rc)
		return rc;
	platter_out_row(out, "image");
	platter_out_string(out, "filename", s->spec);
	platter_out_bool(out, "read-only", s->disk.read_only);
	if (s->path)
		platter_out_string(out, "path", s->path);
	if (s->uri)
		platter_out_string(out, "nbd", s->uri);
	platter_out_end(out);
	if (s->path)
		platter_out_text(out, "%s\n", s->path);
	if (s->uri)
		platter_out_text(out, "%s\n", s->uri);
	s->cmd->printer = NULL;
	rc = platter_printer_close(out, err);
	fflush(s->cmd->out);
	return rc;
}

static int run_command(struct serving *s, struct platter_error *err)
{
	const struct serve_run run = {
		.command = s->o->command,
		.path = s->path,
		.uri = s->uri,
		.session = s->o->session,
	};

	return serve_run_start(&run, &s->mask, &s->pid, err);
}

/*
 * True when it is time to end. The command decides when that is: a signal goes
 * to it, unless it is the terminal's, which all in the group get.
 */
static bool take_signals(struct serving *s)
{
	struct signalfd_siginfo si;

	while (read(s->signals, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD) {
			if (s->pid &&
			    waitpid(s->pid, &s->status, WNOHANG) == s->pid)
				return true;
		} else if (!s->pid) {
			return true;
		} else if (si.ssi_code <= 0) {
			kill(s->pid, (int)si.ssi_signo);
		}
	}
	return false;
}

static int end(struct serving *s, struct platter_error *err);

/* Until all is over, but for serving it. */
static int serve_until_end(struct serving *s, struct platter_error *err)
{
	struct pollfd fds[] = {
		{ .fd = s->signals, .events = POLLIN },
		{ .fd = s->fuse ? serve_fuse_fd(s->fuse) : -1,
		  .events = POLLIN },
		{ .fd = s->nbd ? serve_nbd_fd(s->nbd) : -1, .events = POLLIN },
	};
	int rc = 0;

	for (;;) {
		if (poll(fds, CMD_ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (fds[0].revents && take_signals(s))
			return rc;
		if (!fds[1].revents && !fds[2].revents)
			continue;
		if (!s->pid)
			return rc;
		/* Who unmounted waits for us, and may be the command itself. */
		rc = end(s, err);
		fds[1].fd = fds[2].fd = -1;
		fds[1].revents = fds[2].revents = 0;
	}
}

/* ---- the end ---- */

static void keep_first(int *first, int rc, struct platter_error *err,
		       const struct platter_error *e)
{
	if (rc >= 0 || *first)
		return;
	*first = platter_error_set(err, rc, "%s", e->msg);
}

/* Stop serving, and close what is open; again is ok. */
static int end(struct serving *s, struct platter_error *err)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	int rc = 0;

	serve_session_stop(s->session);
	keep_first(&rc, serve_fuse_stop(s->fuse, &e), err, &e);
	keep_first(&rc, serve_nbd_stop(s->nbd, &e), err, &e);
	keep_first(&rc, platter_image_close(s->disk.img, &e), err, &e);
	s->session = NULL;
	s->fuse = NULL;
	s->nbd = NULL;
	s->disk.img = NULL;
	/* Without a command, nothing but this was there to be waited for. */
	serve_report_send(s->report, rc ? err : NULL, !s->pid);
	s->report = NULL;
	return rc;
}

static void free_places(struct serving *s)
{
	if (s->dir)
		rmdir(s->dir);
	if (s->signals >= 0)
		close(s->signals);
	free(s->dir);
	free(s->path);
	free(s->uri);
}

static int command_status(const struct serving *s)
{
	return s->pid ? cmd_child_status(s->status) : CMD_OK;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	struct serving s = {
		.cmd = cmd,
		.o = options_,
		.spec = cmd->args[0],
		.signals = -1,
	};
	int rc, ended;

	rc = cmd_served_signals(&s.signals, &s.mask, err);
	if (!rc)
		rc = start(&s, err);
	if (!rc)
		rc = s.o->command ? run_command(&s, err) : announce(&s, err);
	if (!rc)
		rc = serve_until_end(&s, err);
	ended = end(&s, &e);
	keep_first(&rc, ended, err, &e);
	free_places(&s);
	if (s.pid && command_status(&s))
		return command_status(&s);
	return rc;
}

const struct cmd_verb cmd_serve = {
	.name = "serve",
	.group = "Serve",
	.summary = "an image as a file or an NBD export, while this runs",
	.examples =
		"  platter serve disk.qcow2 --fuse disk.img\n"
		"  platter serve -f raw disk.raw --nbd 10809\n"
		"  platter serve disk.qcow2 --run 'e2fsck -fn {}'\n",
	.argp = &argp,
	.options_size = sizeof(struct serve_options),
	.flags = CMD_WRITES,
	.trouble = CMD_TROUBLE,
	.run = run,
};
