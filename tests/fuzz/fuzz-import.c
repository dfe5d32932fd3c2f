/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: the texts that log import reads, each by its parser.
 *
 * The first byte chooses the format, the rest are the lines. They are read
 * twice, as an import does, and both times must give the same number of
 * requests - fewer where a trace turns out to have completions.
 */
#include <stdlib.h>
#include <string.h>

#include <platter/log.h>

#include "wlog/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum platter_log_text formats[] = {
	PLATTER_LOG_TEXT_BLKPARSE,
	PLATTER_LOG_TEXT_FIO,
	PLATTER_LOG_TEXT_JSONL,
	PLATTER_LOG_TEXT_NBDKIT,
};

/* How many requests, or -1 for a line that cannot be read. */
static long read_all(struct plt_wlog_parser *p, const uint8_t *data,
		     size_t size)
{
	struct plt_wlog_request req;
	long requests = 0;
	char *line;
	size_t len;
	int rc;

	for (; size; data += len, size -= len) {
		const uint8_t *end = memchr(data, '\n', size);

		len = end ? (size_t)(end - data) + 1 : size;
		line = malloc(len + 1);
		if (!line)
			abort();
		memcpy(line, data, len);
		line[len - !!end] = '\0';
		rc = plt_wlog_parser_line(p, line, &req, NULL);
		if (!rc && req.mark && !req.mark_len)
			abort();
		free(line);
		if (rc < 0)
			return -1;
		requests += !rc;
	}
	return requests;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct plt_wlog_parser *p;
	long first, again;

	if (!size)
		return 0;
	if (plt_wlog_parser_new(&p, formats[data[0] % 4], NULL, NULL))
		abort();
	first = read_all(p, data + 1, size - 1);
	if (first >= 0) {
		plt_wlog_parser_rewind(p);
		again = read_all(p, data + 1, size - 1);
		if (again < 0 || again > first)
			abort();
	}
	plt_wlog_parser_free(p);
	return 0;
}
