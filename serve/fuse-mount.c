/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes as files, by FUSE: mounting and unmounting.
 *
 * libfuse could do this, but prints what goes wrong, unmounts whatever is at
 * the path at the end, and closes /dev/fuse before that, under threads that
 * read from it. So the mount system call is made here, or, where it is not
 * allowed, fusermount3 is run as fusermount3(1) and libfuse have it: it is
 * given one end of a socket in _FUSE_COMMFD and sends the open /dev/fuse back.
 *
 * The mount's ID tells at the end whether what is at the path still is ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse.h"

#define DEVICE		"/dev/fuse"
#define COMMFD		3	/* the socket, in fusermount3 */

/* ---- mountinfo ---- */

/* "\040" and its like, in place. */
static void unescape(char *text)
{
	char *out = text;

	for (const char *in = text; *in; out++) {
		if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] &&
		    in[3]) {
			*out = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 +
				      (in[3] - '0'));
			in += 4;
		} else {
			*out = *in++;
		}
	}
	*out = '\0';
}

/*
 * ID PARENT MAJOR:MINOR ROOT PATH OPTIONS [TAG...] - TYPE SOURCE OPTIONS, see
 * proc(5). False when it is something else.
 */
static bool parse_mount(char *line, struct serve_mounted *out, char **path)
{
	char *save, *word = strtok_r(line, " \n", &save);
	size_t n = 0;

	*path = NULL;
	for (; word && strcmp(word, "-"); word = strtok_r(NULL, " \n", &save)) {
		if (n == 0)
			out->id = (int)strtol(word, NULL, 10);
		else if (n == 4)
			*path = word;
		n++;
	}
	out->type = strtok_r(NULL, " \n", &save);
	out->source = out->type ? strtok_r(NULL, " \n", &save) : NULL;
	if (!*path || !out->source)
		return false;
	unescape(*path);
	unescape(out->source);
	return true;
}

bool serve_mounted(struct serve_mounted *out, const char *path)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	struct serve_mounted m = { 0 };
	char *line = NULL, *where;
	size_t room = 0;

	*out = (struct serve_mounted){ 0 };
	while (f && getline(&line, &room, f) > 0) {
		if (!parse_mount(line, &m, &where) || strcmp(where, path))
			continue;
		/* The one listed last is on top. */
		free(out->line);
		m.line = line;
		*out = m;
		line = NULL;
		room = 0;
	}
	free(line);
	if (f)
		fclose(f);
	return out->line;
}

/* The ID of the mount at that path, or 0. */
static int mount_at(const char *path)
{
	struct serve_mounted m;

	serve_mounted(&m, path);
	free(m.line);
	return m.id;
}

/* ---- fusermount3 ---- */

static int no_fusermount(struct platter_error *err, int code)
{
	return platter_error_set(err, -ENOTSUP, "fusermount3: %s; it is needed "
				 "to mount without being root: install fuse3",
				 strerror(code));
}

/* Its environment: ours, and where the socket is. */
static char **commfd_environment(void)
{
	static char commfd[] = "_FUSE_COMMFD=3";
	size_t n = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 2, sizeof(*env));
	if (env) {
		env[0] = commfd;
		memcpy(env + 1, environ, n * sizeof(*env));
	}
	return env;
}

static int spawn(pid_t *pid, char *const argv[], int sock, int messages)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	char **env = commfd_environment();
	sigset_t none;
	int rc;

	if (!env)
		return ENOMEM;
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, messages, STDERR_FILENO);
	if (sock >= 0)
		posix_spawn_file_actions_adddup2(&files, sock, COMMFD);
	rc = posix_spawnp(pid, argv[0], &files, &attr, argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	free(env);
	return rc;
}

/* The file descriptor that it sends, or -1. */
static int receive_fd(int sock)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room),
	};
	const struct cmsghdr *c;
	ssize_t n;
	int fd;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* What it said, in one line; it begins with the program's name. */
static int tell(const char *path, int messages, struct platter_error *err)
{
	char text[256];
	ssize_t n = pread(messages, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return platter_error_set(err, -EPERM, "%s: %s", path,
				 text[0] ? text : "fusermount3 gave no reason");
}

/* *fd NULL: no device is expected back. */
static int fusermount(char *const argv[], const char *path, int *fd,
		      struct platter_error *err)
{
	int messages = memfd_create("fusermount3", MFD_CLOEXEC);
	int sock[2] = { -1, -1 };
	int rc, status = 0;
	pid_t pid;

	if (messages < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock)) {
		rc = platter_error_errno(err, -errno, "fusermount3");
		goto out;
	}
	rc = spawn(&pid, argv, sock[1], messages);
	if (rc) {
		rc = no_fusermount(err, rc);
		goto out;
	}
	close(sock[1]);
	sock[1] = -1;
	if (fd)
		*fd = receive_fd(sock[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (fd ? *fd < 0 : status != 0)
		rc = tell(path, messages, err);
out:
	for (int i = 0; i < 2; i++)
		if (sock[i] >= 0)
			close(sock[i]);
	if (messages >= 0)
		close(messages);
	return rc;
}

/* ---- mounting ---- */

/* For a clear word before fusermount3 has its own. */
static int check_device(struct platter_error *err)
{
	if (!access(DEVICE, R_OK | W_OK))
		return 0;
	if (errno == ENOENT)
		return platter_error_set(err, -ENOTSUP, DEVICE " is missing: "
			"load the module with 'modprobe fuse', or start the "
			"container with --device " DEVICE);
	return platter_error_set(err, -ENOTSUP, DEVICE ": %s; its mode must be "
				 "0666 for users to mount", strerror(errno));
}

static const char *common_options(const struct serve_fuse_options *opts)
{
	return opts->allow_other ? ",allow_other,default_permissions" : "";
}

/* -EPERM: fusermount3 has to do it. */
static int mount_directly(struct serve_mount *m,
			  const struct serve_fuse_options *opts, int *fd,
			  struct platter_error *err)
{
	char data[128];
	int code;

	*fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (*fd < 0)
		return platter_error_errno(err, -errno, DEVICE);
	snprintf(data, sizeof(data), "fd=%d,rootmode=%o,user_id=%u,group_id=%u"
		 "%s", *fd, m->mode & S_IFMT, getuid(), getgid(),
		 common_options(opts));
	if (!mount(opts->source ? opts->source : "platter", m->path,
		   "fuse.platter", MS_NODEV | MS_NOSUID, data))
		return 0;
	code = -errno;
	close(*fd);
	return platter_error_errno(err, code, "mounting at %s", m->path);
}

static int mount_by_helper(struct serve_mount *m,
			   const struct serve_fuse_options *opts, int *fd,
			   struct platter_error *err)
{
	char data[256];
	char *argv[] = { (char *)"fusermount3", (char *)"-o", data,
			 (char *)"--", m->path, NULL };

	snprintf(data, sizeof(data), "rw,nosuid,nodev,fsname=%s,subtype=platter"
		 "%s", opts->source ? opts->source : "platter",
		 common_options(opts));
	return fusermount(argv, m->path, fd, err);
}

static int mount_it(struct serve_mount *m,
		    const struct serve_fuse_options *opts, int *fd,
		    struct platter_error *err)
{
	struct platter_error direct = PLATTER_ERROR_INIT;
	int rc;

	rc = check_device(err);
	if (rc)
		return rc;
	if (!geteuid()) {
		rc = mount_directly(m, opts, fd, &direct);
		if (rc != -EPERM)
			return rc ? platter_error_set(err, rc, "%s", direct.msg)
				  : 0;
	}
	return mount_by_helper(m, opts, fd, err);
}

static int make_file(struct serve_mount *m, const char *path,
		     struct platter_error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0)
		return errno == EEXIST ? 0 :
			platter_error_errno(err, -errno, "mount point %s",
					    path);
	close(fd);
	m->created = true;
	return 0;
}

static int find_place(struct serve_mount *m, const char *path,
		      struct platter_error *err)
{
	struct stat st;
	int rc;

	if (stat(path, &st)) {
		if (errno == ENOTCONN)
			return platter_error_set(err, -EBUSY, "%s is mounted, "
				"but its server has gone: 'platter umount %s' "
				"frees it", path, path);
		if (errno != ENOENT)
			return platter_error_errno(err, -errno,
						   "mount point %s", path);
		rc = make_file(m, path, err);
		if (rc)
			return rc;
	}
	m->path = realpath(path, NULL);
	if (!m->path || stat(m->path, &st))
		return platter_error_errno(err, -errno, "mount point %s", path);
	m->mode = st.st_mode;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return platter_error_set(err, -EINVAL, "mount point %s is "
					 "neither a regular file nor a "
					 "directory", path);
	if (mount_at(m->path))
		return platter_error_set(err, -EBUSY, "%s is a mount point "
			"already: 'platter umount %s' frees it", path, path);
	return 0;
}

int serve_mount(struct serve_mount *m, const struct serve_fuse_options *opts,
		int *fd, struct platter_error *err)
{
	int rc;

	rc = find_place(m, opts->path, err);
	if (!rc)
		rc = mount_it(m, opts, fd, err);
	if (!rc)
		m->id = mount_at(m->path);
	return rc;
}

int serve_unmount_path(const char *path, bool lazy, struct platter_error *err)
{
	char *argv[] = { (char *)"fusermount3", (char *)"-u", (char *)"--",
			 (char *)path, NULL, NULL };
	int rc;

	if (!umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)))
		return 0;
	rc = -errno;
	if (rc == -EBUSY)
		return platter_error_set(err, rc, "%s is in use: close what "
					 "has it open, or use --lazy", path);
	if (rc != -EPERM)
		return platter_error_errno(err, rc, "unmounting %s", path);
	if (lazy) {
		argv[4] = argv[3];
		argv[3] = argv[2];
		argv[2] = (char *)"-z";
	}
	return fusermount(argv, path, NULL, err);
}

bool serve_is_mounted(const struct serve_mount *m)
{
	return m->id && mount_at(m->path) == m->id;
}

int serve_unmount(const struct serve_mount *m, struct platter_error *err)
{
	if (!serve_is_mounted(m))
		return 0;
	return serve_unmount_path(m->path, true, err);
}

void serve_mount_free(struct serve_mount *m)
{
	struct stat st;

	if (m->created && m->path && !lstat(m->path, &st) && S_ISREG(st.st_mode) &&
	    !st.st_size)
		unlink(m->path);
	free(m->path);
	m->path = NULL;
}
