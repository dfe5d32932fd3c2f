/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text, numbers and pictures in HTML, and how the page looks. */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "crash/report-html.h"

#define REPLACEMENT	"\xef\xbf\xbd"	/* U+FFFD */

const char plt_html_style[] =
"*{box-sizing:border-box}\n"
":root{color-scheme:light dark;--bg:#fff;--fg:#1c2128;--dim:#5c6672;"
"--line:#d8dee4;--card:#f5f7f9;--fail:#c62828;--pass:#1a7f37;--warn:#9a6700;"
"--failbg:#ffebe9;--passbg:#dafbe1;--warnbg:#fff8c5}\n"
"@media(prefers-color-scheme:dark){:root{--bg:#0f1318;--fg:#e3e8ee;"
"--dim:#97a1ad;--line:#303741;--card:#181e25;--fail:#ff7b72;--pass:#56d364;"
"--warn:#e3b341;--failbg:#3c1618;--passbg:#12301c;--warnbg:#352a0a}}\n"
"body{margin:0 auto;max-width:76rem;padding:1.25rem;background:var(--bg);"
"color:var(--fg);font:15px/1.5 system-ui,sans-serif}\n"
"h1{font-size:1.5rem;line-height:1.25;margin:0 0 .75rem;"
"overflow-wrap:anywhere}\n"
"h2{font-size:1.1rem;margin:2rem 0 .5rem}\n"
"p{margin:.5rem 0}\n"
"code,pre,.mono{font:13px/1.45 ui-monospace,\"DejaVu Sans Mono\",monospace}\n"
"code{overflow-wrap:anywhere}\n"
".verdict{padding:.6rem .9rem;border-radius:.4rem;font-size:1.1rem;"
"font-weight:600;border-left:.4rem solid}\n"
".fail{color:var(--fail)}.pass{color:var(--pass)}"
".flaky,.error,.warn{color:var(--warn)}.skip{color:var(--dim)}\n"
".verdict.fail{background:var(--failbg)}.verdict.pass{"
"background:var(--passbg)}.verdict.warn{background:var(--warnbg)}\n"
"dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));"
"gap:.75rem 1.5rem;margin:1rem 0;padding:.9rem;background:var(--card);"
"border:1px solid var(--line);border-radius:.4rem}\n"
"dl div{min-width:0}dl .wide{grid-column:1/-1}"
"dt{color:var(--dim);font-size:.82rem}"
"dd{margin:0;overflow-wrap:anywhere}\n"
".scroll{overflow-x:auto}\n"
"table{border-collapse:collapse;width:100%}\n"
"th,td{text-align:left;vertical-align:top;padding:.3rem .7rem .3rem 0;"
"border-bottom:1px solid var(--line)}\n"
"th{color:var(--dim);font-weight:600;font-size:.82rem;white-space:nowrap}\n"
"td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;"
"white-space:nowrap}\n"
"td.s{min-width:5rem;max-width:30rem}"
"td.s code{display:block;max-height:7.5em;overflow:auto}\n"
"tr.f td{border-bottom:0;padding-bottom:0}\n"
"td.v{font-weight:600;white-space:nowrap}\n"
"details{margin:.15rem 0}summary{cursor:pointer;color:var(--dim)}\n"
"pre{margin:.35rem 0;padding:.6rem;background:var(--card);border:1px solid "
"var(--line);border-radius:.3rem;max-height:24rem;overflow:auto;"
"white-space:pre-wrap;overflow-wrap:anywhere}\n"
".dim{color:var(--dim)}\n"
"figure{margin:1rem 0}\n"
".plot{display:grid;grid-template-columns:5.5rem minmax(44rem,1fr);"
"gap:3px .6rem;align-items:stretch}\n"
".plot .label{color:var(--dim);font-size:.78rem;text-align:right;"
"align-self:center;position:sticky;left:0;background:var(--bg)}\n"
".axis{display:flex;flex-direction:column;justify-content:space-between;"
"color:var(--dim);font-size:.78rem;text-align:right;line-height:1;"
"position:sticky;left:0;background:var(--bg)}\n"
".plot img{display:block;width:100%;border:1px solid var(--line)}\n"
"img.log{height:22.5rem;border-radius:.25rem .25rem 0 0}"
"img.strip{height:.75rem}img.verdicts{height:2rem}\n"
".ticks,.names{position:relative;height:1.25rem;font-size:.78rem;"
"color:var(--dim)}\n"
".ticks span,.names span{position:absolute;transform:translateX(-50%);"
"white-space:nowrap}\n"
".ticks span.first,.names span.first{transform:none}"
".ticks span.last,.names span.last{transform:translateX(-100%)}\n"
".names span{max-width:11rem;overflow:hidden;text-overflow:ellipsis}\n"
"figcaption{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;margin-top:.6rem;"
"font-size:.85rem;color:var(--dim)}\n"
".key{display:inline-block;width:.85rem;height:.85rem;margin-right:.4rem;"
"vertical-align:-.1rem;border-radius:.15rem}\n"
"@media(max-width:40rem){body{padding:.8rem}"
".plot{grid-template-columns:3.6rem minmax(38rem,1fr)}"
"img.log{height:17rem}}\n";

/* ---- text ---- */

static void put_char(FILE *f, char c)
{
	switch (c) {
	case '&':
		fputs("&amp;", f);
		break;
	case '<':
		fputs("&lt;", f);
		break;
	case '>':
		fputs("&gt;", f);
		break;
	case '"':
		fputs("&quot;", f);
		break;
	case '\'':
		fputs("&#39;", f);
		break;
	default:
		putc_unlocked(c, f);
	}
}

void plt_html_bytes(FILE *f, const char *text, size_t len)
{
	for (size_t n; len; text += n, len -= n) {
		n = plt_text_plain(text, len);
		if (n > 1)
			fwrite(text, 1, n, f);
		else if (n || *text == '\n' || *text == '\t')
			put_char(f, *text);
		else
			fputs(REPLACEMENT, f);
		n = n ? n : 1;
	}
}

void plt_html_text(FILE *f, const char *text)
{
	if (text)
		plt_html_bytes(f, text, strlen(text));
}

void plt_html_number(FILE *f, uint64_t nr)
{
	char text[24];
	const int len = snprintf(text, sizeof(text), "%" PRIu64, nr);

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			putc_unlocked(',', f);
		putc_unlocked(text[i], f);
	}
}

void plt_html_count(FILE *f, uint64_t nr, const char *one, const char *many)
{
	plt_html_number(f, nr);
	putc_unlocked(' ', f);
	plt_html_text(f, nr == 1 ? one : many);
}

void plt_html_seconds(FILE *f, uint64_t ns)
{
	const uint64_t ms = (ns + 500000) / 1000000;

	fprintf(f, "%" PRIu64 ".%03" PRIu64 " s", ms / 1000, ms % 1000);
}

/* ---- pictures ---- */

static void put_base64(FILE *f, const unsigned char *p, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		const size_t n = PLT_MIN(len - i, (size_t)3);
		const uint32_t v = (uint32_t)p[i] << 16 |
				   (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
				   (n > 2 ? (uint32_t)p[i + 2] : 0);

		putc_unlocked(digits[v >> 18], f);
		putc_unlocked(digits[v >> 12 & 63], f);
		putc_unlocked(n > 1 ? digits[v >> 6 & 63] : '=', f);
		putc_unlocked(n > 2 ? digits[v & 63] : '=', f);
	}
}

int plt_html_image(FILE *f, const struct plt_png *png, const char *class_name,
		   const char *alt, struct platter_error *err)
{
	unsigned char *file;
	size_t len;
	int rc;

	rc = plt_png_encode(png, &file, &len, err);
	if (rc)
		return rc;
	fprintf(f, "<img class=\"%s\" width=\"%" PRIu32 "\" height=\"%" PRIu32
		"\" alt=\"", class_name, png->width, png->height);
	plt_html_text(f, alt);
	fputs("\" src=\"data:image/png;base64,", f);
	put_base64(f, file, len);
	fputs("\">\n", f);
	free(file);
	return 0;
}
