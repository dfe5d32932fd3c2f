/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a command and writes down the most memory it had resident.
 *
 * Pages of files that are mapped count as well: they are what the command
 * keeps from others. The exit code is that of the command.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const char help[] =
"Usage: peak-memory FILE COMMAND [ARG...]\n"
"\n"
"Runs COMMAND and writes its largest resident size to FILE, in KiB.\n";

static int die(const char *what)
{
	fprintf(stderr, "peak-memory: %s: %s\n", what, strerror(errno));
	return 125;
}

int main(int argc, char **argv)
{
	struct rusage usage;
	int status;
	FILE *f;
	pid_t pid;

	if (argc < 3) {
		fputs(help, stderr);
		return 125;
	}
	pid = fork();
	if (pid < 0)
		return die("fork");
	if (!pid) {
		execvp(argv[2], argv + 2);
		_exit(die(argv[2]));
	}
	if (wait4(pid, &status, 0, &usage) < 0)
		return die("wait4");
	f = fopen(argv[1], "w");
	if (!f)
		return die(argv[1]);
	fprintf(f, "%ld\n", usage.ru_maxrss);
	if (fclose(f))
		return die(argv[1]);
	return WIFEXITED(status) ? WEXITSTATUS(status) :
				   128 + WTERMSIG(status);
}
