/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The marks a checker is told of: the last one before the point, and a file
 * with all of them, a line each.
 *
 * The walk goes forward, so from a state to the next the file grows at most.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "crash/marks.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <platter/out.h>

#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"

static int make_file(struct plt_crash_marks *m, const char *dir,
		     struct platter_error *err)
{
	char *path;
	int rc;

	path = plt_asprintf(err, "%s/platter-marks-XXXXXX",
			    dir ? dir : plt_tmp_dir());
	if (!path)
		return -ENOMEM;
	m->fd = mkostemp(path, O_CLOEXEC);
	if (m->fd < 0) {
		rc = plt_err_errno(err, -errno, "%s (set TMPDIR to another "
				   "place)", path);
		free(path);
		return rc;
	}
	m->path = path;
	return 0;
}

/* The log the marks are in: of a recovery, that of the state it began from. */
static const struct platter_crash *
outermost(const struct platter_crash_state *state, uint64_t *point)
{
	while (state->crash->outer)
		state = state->crash->outer;
	*point = state->point;
	return state->crash;
}

static uint64_t marks_before(const struct platter_crash *crash, uint64_t point)
{
	uint64_t low = 0, high = crash->nr_marks;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (crash->mark[mid] < point)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The text of mark `i`, escaped. */
static char *mark_text(const struct platter_crash *crash, uint64_t i,
		       struct platter_error *err)
{
	const char *text = "";
	size_t len = 0;
	char *escaped;

	(void)platter_crash_mark_before(crash, crash->mark[i] + 1, &text, &len);
	escaped = platter_bytes_escape(text, len);
	if (!escaped)
		plt_err_nomem(err, len);
	return escaped;
}

static int write_lines(struct plt_crash_marks *m,
		       const struct platter_crash *crash, uint64_t count,
		       struct platter_error *err)
{
	plt_auto_free char *buf = NULL;
	size_t size;
	FILE *f = open_memstream(&buf, &size);
	int rc;

	if (!f)
		return plt_err_nomem(err, 1);
	for (uint64_t i = m->count; i < count; i++) {
		free(m->last);
		m->last = mark_text(crash, i, err);
		if (!m->last)
			break;
		fprintf(f, "%s\n", m->last);
	}
	if (fclose(f) || (count > m->count && !m->last))
		return plt_err_nomem(err, size);
	rc = plt_write(m->fd, buf, size);
	if (rc)
		return plt_err_errno(err, rc, "%s", m->path);
	m->count = count;
	return 0;
}

static int update(struct plt_crash_marks *m, const struct platter_crash *crash,
		  uint64_t count, struct platter_error *err)
{
	if (m->crash == crash && m->count == count)
		return 0;
	if (m->crash != crash || m->count > count) {
		free(m->last);
		m->last = NULL;
		m->count = 0;
		m->crash = crash;
		if (ftruncate(m->fd, 0) || lseek(m->fd, 0, SEEK_SET))
			return plt_err_errno(err, -errno, "%s", m->path);
	}
	return write_lines(m, crash, count, err);
}

int plt_crash_marks_fill(struct plt_crash_marks *m, const char *dir,
			 const struct platter_crash_state *state,
			 struct platter_crash_task *task,
			 struct platter_error *err)
{
	uint64_t point, count;
	const struct platter_crash *crash = outermost(state, &point);
	int rc = m->path ? 0 : make_file(m, dir, err);

	count = marks_before(crash, point);
	if (!rc)
		rc = update(m, crash, count, err);
	if (rc)
		return rc;
	task->mark = count ? crash->mark[count - 1] : UINT64_MAX;
	task->mark_text = m->last ? m->last : "";
	task->marks_file = m->path;
	return 0;
}

void plt_crash_marks_free(struct plt_crash_marks *m)
{
	if (m->path) {
		unlink(m->path);
		close(m->fd);
	}
	free(m->path);
	free(m->last);
	*m = (struct plt_crash_marks){ .path = NULL };
}
