/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a fuzz target on the files named, where libFuzzer is not built in. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * The input lies in a block of its exact size, so that a sanitizer or
 * valgrind sees a read past its end.
 */
static int run_file(const char *name)
{
	FILE *f = fopen(name, "rb");
	uint8_t *data = NULL;
	long size = -1;
	int rc = -1;

	if (f && fseek(f, 0, SEEK_END) == 0)
		size = ftell(f);
	if (size >= 0 && fseek(f, 0, SEEK_SET) == 0)
		data = malloc(size ? (size_t)size : 1);
	if (data && fread(data, 1, (size_t)size, f) == (size_t)size)
		rc = 0;

	if (rc == 0)
		LLVMFuzzerTestOneInput(data, (size_t)size);
	else
		perror(name);

	free(data);
	if (f)
		fclose(f);
	return rc;
}

int main(int argc, char **argv)
{
	int rc = EXIT_SUCCESS;

	for (int i = 1; i < argc; i++) {
		if (run_file(argv[i]) < 0)
			rc = EXIT_FAILURE;
	}
	return rc;
}
