/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A whole report into a file, in any of its forms. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <platter/out.h>

#include "base/error.h"
#include "base/newfile.h"
#include "crash/report.h"

static int write_jsonl(const struct platter_crash_report *report, FILE *stream,
		       struct platter_error *err)
{
	struct platter_printer *p;
	int rc;

	rc = platter_printer_new(&p, PLATTER_OUTPUT_JSON, stream, NULL, err);
	if (rc)
		return rc;
	platter_crash_run_print(p, &report->run);
	for (size_t i = 0; i < report->nr; i++)
		platter_crash_record_print(p, platter_crash_report_get(report,
								       i));
	if (report->ended)
		platter_crash_summary_print(p, &report->summary);
	return platter_printer_close(p, err);
}

static int write_form(const struct platter_crash_report *report,
		      enum platter_crash_form form, struct platter_crash *crash,
		      FILE *stream, struct platter_error *err)
{
	switch (form) {
	case PLATTER_CRASH_JSONL:
		return write_jsonl(report, stream, err);
	case PLATTER_CRASH_JUNIT:
		return platter_crash_write_junit(report, stream, err);
	case PLATTER_CRASH_TAP:
		return platter_crash_write_tap(report, stream, err);
	case PLATTER_CRASH_HTML:
		return platter_crash_write_html(report, crash, stream, err);
	}
	return plt_err_set(err, -EINVAL, "form %d of a report", (int)form);
}

static int write_to(const struct platter_crash_report *report,
		    enum platter_crash_form form, struct platter_crash *crash,
		    const char *path, struct platter_error *err)
{
	FILE *f = fopen(path, "we");
	int rc;

	if (!f)
		return plt_err_errno(err, -errno, "opening");
	rc = write_form(report, form, crash, f, err);
	if (fclose(f) && !rc)
		rc = plt_err_errno(err, -errno, "writing");
	return rc;
}

/* Into the part of a new file, which gets its name when it is whole. */
static int save_new(const struct platter_crash_report *report,
		    enum platter_crash_form form, struct platter_crash *crash,
		    const char *path, struct platter_error *err)
{
	struct plt_newfile *nf;
	int rc;

	rc = plt_newfile_new(&nf, path, true, err);
	if (rc)
		return rc;
	rc = write_to(report, form, crash, plt_newfile_part(nf), err);
	rc = plt_err_prefix(err, rc, "%s", path);
	if (!rc)
		rc = plt_newfile_commit(nf, false, err);
	plt_newfile_free(nf);
	return rc;
}

int platter_crash_report_save(const struct platter_crash_report *report,
			      enum platter_crash_form form, const char *path,
			      struct platter_crash *crash,
			      struct platter_error *err)
{
	struct stat st;

	/* A pipe or a terminal has no second name. */
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return plt_err_prefix(err, write_to(report, form, crash, path,
						    err), "%s", path);
	return save_new(report, form, crash, path, err);
}
