/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Older kernels and poorer file systems, played by a seccomp filter. */
#ifndef CORE_DENY_H
#define CORE_DENY_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "core-test.h"

/*
 * From here on, this process gets `error` from system call `nr` when its second
 * argument is `arg1` (-1: always). False where that is not possible.
 */
static inline bool deny(unsigned int nr, int arg1, unsigned int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)arg1,
			 0, arg1 < 0 ? 0 : 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {
		.len = PLT_ARRAY_SIZE(filter), .filter = filter,
	};

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

#define DENY_OK		0
#define DENY_WRONG	1
#define DENY_SKIP	77

/* Run `check` in a child process that is denied the call; see DENY_*. */
static inline void in_denied_child(unsigned int nr, int arg1,
				   unsigned int error, int (*check)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(deny(nr, arg1, error) ? check() : DENY_SKIP);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == DENY_SKIP)
		skip();
	assert_int_equal(WEXITSTATUS(status), DENY_OK);
}

#endif
