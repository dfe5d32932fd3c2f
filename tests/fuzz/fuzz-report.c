/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: reports of crash states.
 *
 * What can be read can be written in every form, and as JSON lines it comes
 * out of a second reading as it went in.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <platter/crash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct platter_crash_report *read_report(const void *data, size_t size)
{
	const int fd = memfd_create("report", 0);
	struct platter_crash_report *r = NULL;
	char path[32];

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (platter_crash_report_read(&r, path, NULL))
		r = NULL;
	close(fd);
	return r;
}

static char *lines_of(const struct platter_crash_report *r, size_t *len)
{
	const struct platter_crash_summary *s = platter_crash_report_summary(r);
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (!f || platter_crash_jsonl_run(f, platter_crash_report_run(r), NULL))
		abort();
	for (size_t i = 0; i < platter_crash_report_count(r); i++) {
		if (platter_crash_jsonl_record(f, platter_crash_report_get(r,
							i), NULL))
			abort();
	}
	if (s && platter_crash_jsonl_end(f, s, NULL))
		abort();
	fclose(f);
	return text;
}

static void check_again(const struct platter_crash_report *r)
{
	struct platter_crash_report *again;
	char *first, *second;
	size_t len, second_len;

	first = lines_of(r, &len);
	again = read_report(first, len);
	if (!again)
		abort();
	second = lines_of(again, &second_len);
	if (len != second_len || memcmp(first, second, len))
		abort();
	platter_crash_report_free(again);
	free(first);
	free(second);
}

static void check_forms(const struct platter_crash_report *r)
{
	FILE *f = fopen("/dev/null", "w");

	if (!f || platter_crash_write_junit(r, f, NULL) ||
	    platter_crash_write_tap(r, f, NULL) ||
	    platter_crash_write_html(r, NULL, f, NULL))
		abort();
	fclose(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct platter_crash_report *r = read_report(data, size), *joined;

	if (!r)
		return 0;
	check_again(r);
	check_forms(r);
	if (!platter_crash_report_merge(&joined, &r, 1, NULL)) {
		check_again(joined);
		platter_crash_report_free(joined);
	}
	platter_crash_report_free(r);
	return 0;
}
