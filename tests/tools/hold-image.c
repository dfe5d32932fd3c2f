/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Holds an image open, as a long job would, until its input ends.
 *
 * Prints "open" when it has it, or the error. For tests of the image locks.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <platter/platter.h>

static const char help[] =
"Usage: hold-image r|w FILE\n"
"\n"
"Opens the raw image FILE for reading or writing and waits for the end of its\n"
"input. Exits 1 when the image cannot be opened.\n";

int main(int argc, char **argv)
{
	struct platter_open_options opts = { .format = "raw" };
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_context *ctx = NULL;
	struct platter_image *img = NULL;
	char c;
	int rc;

	if (argc != 3 || (strcmp(argv[1], "r") && strcmp(argv[1], "w"))) {
		fputs(help, stderr);
		return 2;
	}
	if (argv[1][0] == 'w')
		opts.flags = PLATTER_O_RDWR;
	rc = platter_context_new(&ctx, &err);
	if (!rc)
		rc = platter_image_open(&img, ctx, argv[2], &opts, &err);
	if (rc)
		fprintf(stderr, "hold-image: %s\n", err.msg);
	else
		puts("open");
	fflush(stdout);
	while (!rc && read(STDIN_FILENO, &c, 1) > 0)
		;
	platter_image_close(img, NULL);
	platter_context_free(ctx);
	return rc ? 1 : 0;
}
