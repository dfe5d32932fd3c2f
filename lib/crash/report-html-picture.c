/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The picture in the HTML report: address over entry, and strips of flushes,
 * marks and verdicts below it, one over the other on one scale.
 */
#include <inttypes.h>
#include <string.h>

#include <platter/out.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/crash.h"
#include "crash/report-html.h"

#define TICKS		5u
#define ADDRESSES	6u
#define NAMES_MAX	8u	/* marks that have their names below */

/* How far a column is from the left, as CSS has it: no decimal point. */
static void put_left(FILE *f, const struct plt_picture *p, uint64_t column,
		     const char *class_name)
{
	fprintf(f, "<span%s style=\"left:calc(100%% * %" PRIu64 " / %" PRIu64
		")\">", class_name, column, p->columns);
}

static const char *place(const struct plt_picture *p, uint64_t column)
{
	if (column < p->columns / 20)
		return " class=\"first\"";
	return column > p->columns - p->columns / 20 ? " class=\"last\"" : "";
}

static void put_addresses(FILE *f, const struct plt_picture *p)
{
	char text[PLATTER_SIZE_TEXT_MAX];

	fputs("<div class=\"axis\">", f);
	for (unsigned int i = 0; i <= ADDRESSES; i++)
		fprintf(f, "<span>%s</span>",
			platter_size_text(text, plt_axis_address(&p->axis,
				ADDRESSES - i, ADDRESSES)));
	fputs("</div>\n", f);
}

static void put_ticks(FILE *f, const struct plt_picture *p)
{
	fputs("<div class=\"label\">entry</div><div class=\"ticks\">", f);
	for (unsigned int i = 0; i <= TICKS; i++) {
		const uint64_t column = (p->columns - 1) * i / TICKS;

		put_left(f, p, column, place(p, column));
		plt_html_number(f, column);
		fputs("</span>", f);
	}
	fputs("</div>\n", f);
}

/* Names as far apart as there is room for them. */
static void put_names(FILE *f, const struct plt_picture *p,
		      const struct platter_crash *crash)
{
	uint64_t next = 0;

	fputs("<div></div><div class=\"names\">", f);
	for (uint64_t i = 0; i < crash->nr_marks; i++) {
		const uint64_t column = crash->mark[i] + 1;
		const char *text = NULL;
		size_t len = 0;

		if (column < next)
			continue;
		next = column + p->columns / NAMES_MAX;
		platter_crash_mark_before(crash, column, &text, &len);
		put_left(f, p, column, place(p, column));
		if (text)
			plt_html_bytes(f, text, len);
		fputs("</span>", f);
	}
	fputs("</div>\n", f);
}

static int put_log(FILE *f, const struct plt_picture *p,
		   const struct platter_crash *crash,
		   struct platter_error *err)
{
	int rc;

	put_addresses(f, p);
	rc = plt_html_image(f, &p->log, "log", "Writes by address and entry",
			    err);
	if (rc)
		return rc;
	fputs("<div class=\"label\">flushes</div>", f);
	rc = plt_html_image(f, &p->flushes, "strip", "Flushes", err);
	if (rc || !crash->nr_marks)
		return rc;
	put_names(f, p, crash);
	return 0;
}

static int put_strips(FILE *f, const struct plt_picture *p,
		      struct platter_error *err)
{
	int rc;

	fputs("<div class=\"label\">marks</div>", f);
	rc = plt_html_image(f, &p->marks, "strip", "Marks", err);
	if (rc)
		return rc;
	fputs("<div class=\"label\">verdicts</div>", f);
	return plt_html_image(f, &p->verdicts, "verdicts",
			      "Verdicts by crash point", err);
}

static void put_key(FILE *f, enum plt_picture_colour colour, const char *text)
{
	const uint8_t *c = plt_picture_palette[colour];

	fprintf(f, "<span><i class=\"key\" style=\"background:rgba(%u,%u,%u,"
		"calc(%u/255))\"></i>%s</span>\n", c[0], c[1], c[2], c[3],
		text);
}

static void put_scale(FILE *f, const struct plt_picture *p)
{
	fputs("<p class=\"dim\">", f);
	if (p->columns > p->width) {
		fputs("A pixel is as wide as ", f);
		plt_html_count(f, (p->columns + p->width / 2) / p->width,
			       "entry", "entries");
		fputs(" of the log and the crashes right behind them", f);
	} else {
		fputs("Each column is an entry of the log and the crashes "
		      "right behind it", f);
	}
	fputs("; addresses nobody writes to are squeezed.</p>\n", f);
}

static void put_legend(FILE *f, const struct plt_picture *p)
{
	static const struct {
		enum plt_picture_colour colour;
		const char *text;
	} log[] = {
		{ PLT_PICTURE_WRITE, "write" },
		{ PLT_PICTURE_FUA, "FUA write" },
		{ PLT_PICTURE_METADATA, "metadata" },
		{ PLT_PICTURE_DISCARD, "discard" },
		{ PLT_PICTURE_FLUSH, "flush" },
		{ PLT_PICTURE_MARK, "mark" },
	}, verdicts[] = {
		{ PLT_PICTURE_PASS, "passed" },
		{ PLT_PICTURE_FAIL, "failed, as high as its share" },
		{ PLT_PICTURE_FLAKY, "flaky or not checked" },
		{ PLT_PICTURE_SKIP, "skipped" },
	};

	fputs("<figcaption>", f);
	for (size_t i = 0; p->log.pixels && i < PLT_ARRAY_SIZE(log); i++)
		put_key(f, log[i].colour, log[i].text);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(verdicts); i++)
		put_key(f, verdicts[i].colour, verdicts[i].text);
	fputs("</figcaption>\n", f);
}

int plt_html_picture(FILE *f, const struct platter_crash_report *report,
		     const struct platter_crash *crash,
		     struct platter_error *err)
{
	struct plt_picture p;
	int rc;

	rc = plt_picture_draw(&p, report, crash, err);
	if (rc)
		return rc;
	fputs("<h2>The log and its crashes</h2>\n<figure>"
	      "<div class=\"scroll\"><div class=\"plot\">\n", f);
	if (crash)
		rc = put_log(f, &p, crash, err);
	if (!rc)
		rc = put_strips(f, &p, err);
	if (!rc) {
		put_ticks(f, &p);
		fputs("</div></div>\n", f);
		put_legend(f, &p);
		fputs("</figure>\n", f);
		if (crash)
			put_scale(f, &p);
	}
	plt_picture_free(&p);
	return rc;
}
