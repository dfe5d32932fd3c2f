/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parts of the HTML report. */
#ifndef PLT_CRASH_REPORT_HTML_H
#define PLT_CRASH_REPORT_HTML_H

#include "crash/report-picture.h"

/* ---- report-html-text.c ---- */

extern const char plt_html_style[];

/* Text of any bytes; line ends and tabs stay. */
void plt_html_bytes(FILE *f, const char *text, size_t len);
void plt_html_text(FILE *f, const char *text);	/* NULL is nothing */
/* "1,234 states"; the word as it is for one. */
void plt_html_count(FILE *f, uint64_t nr, const char *one, const char *many);
void plt_html_number(FILE *f, uint64_t nr);
void plt_html_seconds(FILE *f, uint64_t ns);
/* As an <img> that holds it. */
int plt_html_image(FILE *f, const struct plt_png *png, const char *class_name,
		   const char *alt, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- report-html-picture.c: the log over the verdicts ---- */

int plt_html_picture(FILE *f, const struct platter_crash_report *report,
		     const struct platter_crash *crash,
		     struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- report-html-tables.c ---- */

int plt_html_tables(FILE *f, const struct platter_crash_report *report,
		    struct platter_error *err) PLATTER_MUST_CHECK;

#endif
