/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes a block write log in the dm-log-writes format, sound or broken.
 *
 * Tests need logs with every trap in them, and logs of ten million entries.
 * This builds both, from a script on standard input or from a generator, and
 * shares no code with the library: what it writes is the specification, put
 * down a second time.  `mklog --help` lists the script's words.
 *
 * Output goes through one buffer; runs of zeros of HOLE_MIN bytes or more
 * become holes.  Everything is a function of the arguments and the script.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC		0x6a736677736872ULL
#define HEADER_BYTES	32
#define BUF_BYTES	(1U << 20)
#define HOLE_MIN	(16U << 10)

#define FLAG_FLUSH	(1U << 0)
#define FLAG_FUA	(1U << 1)
#define FLAG_DISCARD	(1U << 2)
#define FLAG_MARK	(1U << 3)
#define FLAG_METADATA	(1U << 4)

static const char help[] =
"Usage: mklog [OPTION...] OUT < SCRIPT\n"
"  or:  mklog [OPTION...] --generate N --pattern P OUT\n"
"Makes a write log in the dm-log-writes format.\n"
"\n"
"Layout\n"
"  --sector-size N      log sector size in bytes (512); a power of two >= 32\n"
"  --nr-entries N       entry count the super block states (default: true)\n"
"  --no-super           leave log sector 0 zero\n"
"  --super-version N    version the super block states (1)\n"
"  --super-sector-size N  sector size the super block states (default: true)\n"
"  --super-junk         bytes 28..31 of the super block are not zero\n"
"  --truncate BYTES     cut the finished file; negative counts from its end\n"
"\n"
"Generator\n"
"  --generate N         make N entries, and read no script\n"
"  --pattern P          random4k sequential hot mixed nested discard\n"
"  --device-size S      bytes, suffix K M G T (1G)\n"
"  --write-size S       bytes of a write in random4k, sequential, hot (4K)\n"
"  --seed X             another log of the same kind (1)\n"
"  --hole-data          data is zeros, as holes where that saves space\n"
"  --flush-every K      each K-th entry is a FLUSH\n"
"  --mark-every K       each K-th entry is a MARK: m1, m2, ...\n"
"\n"
"Script: one entry a line; '#' starts a comment line\n"
"  write SECTOR NR [OPT...]       fua SECTOR NR [OPT...]\n"
"  discard SECTOR NR [OPT...]     flush [OPT...]\n"
"  emptyflushfua SECTOR           FLUSH|FUA|METADATA without data\n"
"  inline SECTOR NR LEN [OPT...]  data_len LEN; LEN bytes padded to NR\n"
"  mark TEXT                      \\xNN is a byte, \\\\ a backslash\n"
"  raw-mark DATALEN TEXT          a mark that states another length\n"
"  raw-header SECTOR NR FLAGS DATALEN   an entry's header, no data\n"
"  data NR [OPT...]               NR sectors without a header, not counted\n"
"  zero-sector                    one zero sector, not counted\n"
"  garbage BYTES SEED             pseudo-random bytes, not counted\n"
"OPT: fill=BYTE  fill=seed:N  hole  flags=0x..  data_len=N\n"
"     rest=HEX (header bytes from 32 on)\n"
"Data without a fill is the stream of the entry's own number.\n";

struct entry {
	uint64_t sector;
	uint64_t nr;
	uint64_t flags;
	uint64_t data_len;
	const uint8_t *rest;	/* header bytes from 32 on */
	size_t rest_len;
};

enum fill_kind { FILL_ENTRY, FILL_BYTE, FILL_SEED, FILL_HOLE };

struct fill {
	enum fill_kind kind;
	uint64_t value;
};

struct options {
	uint64_t nr_entries;
	bool has_nr_entries;
	bool no_super;
	bool super_junk;
	uint64_t super_version;
	uint64_t super_sector_size;
	int64_t truncate;
	bool has_truncate;
	uint64_t generate;
	bool has_generate;
	const char *pattern;
	uint64_t device_size;
	uint64_t write_size;
	uint64_t seed;
	bool hole_data;
	uint64_t flush_every;
	uint64_t mark_every;
};

struct out {
	const char *name;
	int fd;
	uint64_t pos;		/* file offset of buf[0] */
	size_t fill;		/* bytes in buf */
	uint64_t sector_size;
	uint64_t entries;
	uint8_t *buf;
};

static unsigned int line_nr;

static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *fmt, ...)
{
	va_list ap;

	fputs("mklog: ", stderr);
	if (line_nr)
		fprintf(stderr, "line %u: ", line_nr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

/* --- numbers ------------------------------------------------------------ */

/* splitmix64: a full-period stream whose state is a counter. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static uint64_t random_below(uint64_t *state, uint64_t n)
{
	return n ? next_random(state) % n : 0;
}

static uint64_t to_number(const char *s)
{
	uint64_t v;
	char *end;

	if (!s || !isdigit((unsigned char)*s))
		die("not a number: %s", s ? s : "(nothing)");
	errno = 0;
	v = strtoull(s, &end, 0);
	if (errno || *end)
		die("not a number: %s", s);
	return v;
}

static uint64_t to_size(const char *s)
{
	static const char suffixes[] = "KMGT";
	char digits[32];
	size_t n = strlen(s);
	const char *suffix;

	if (n < 2 || n >= sizeof(digits) || !isupper((unsigned char)s[n - 1]))
		return to_number(s);
	suffix = strchr(suffixes, s[n - 1]);
	if (!suffix)
		die("not a size: %s", s);
	memcpy(digits, s, n - 1);
	digits[n - 1] = '\0';
	return to_number(digits) << (10 * (suffix - suffixes + 1));
}

static int hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = tolower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* --- output ------------------------------------------------------------- */

static void flush_buf(struct out *o)
{
	size_t done = 0;

	while (done < o->fill) {
		ssize_t n = pwrite(o->fd, o->buf + done, o->fill - done,
				   (off_t)(o->pos + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die("%s: %s", o->name, strerror(n ? errno : EIO));
		done += (size_t)n;
	}
	o->pos += o->fill;
	o->fill = 0;
}

/* Room for at least one byte and at most @want, in place. */
static uint8_t *room(struct out *o, uint64_t want, size_t *got)
{
	uint8_t *p;

	if (o->fill == BUF_BYTES)
		flush_buf(o);
	*got = BUF_BYTES - o->fill;
	if (want < *got)
		*got = (size_t)want;
	p = o->buf + o->fill;
	o->fill += *got;
	return p;
}

static void put_zeros(struct out *o, uint64_t len)
{
	size_t n;

	if (len >= HOLE_MIN) {
		flush_buf(o);
		if (len > (uint64_t)INT64_MAX - o->pos)
			die("%" PRIu64 " bytes of data do not fit a file", len);
		o->pos += len;
		return;
	}
	for (; len; len -= n) {
		uint8_t *p = room(o, len, &n);

		memset(p, 0, n);
	}
}

static void put_byte(struct out *o, uint64_t len, uint8_t value)
{
	size_t n;

	if (!value) {
		put_zeros(o, len);
		return;
	}
	for (; len; len -= n) {
		uint8_t *p = room(o, len, &n);

		memset(p, value, n);
	}
}

/* The bytes of a stream do not depend on where the buffer happens to end. */
static void put_stream(struct out *o, uint64_t len, uint64_t seed)
{
	uint64_t state = seed;

	while (len) {
		uint64_t word = htole64(next_random(&state));
		size_t want = len < sizeof(word) ? (size_t)len : sizeof(word);
		size_t done, n;

		for (done = 0; done < want; done += n) {
			uint8_t *p = room(o, want - done, &n);

			memcpy(p, (const uint8_t *)&word + done, n);
		}
		len -= want;
	}
}

static void put_fill(struct out *o, uint64_t len, const struct fill *f)
{
	switch (f->kind) {
	case FILL_BYTE:
		put_byte(o, len, (uint8_t)f->value);
		break;
	case FILL_HOLE:
		put_zeros(o, len);
		break;
	case FILL_ENTRY:
	case FILL_SEED:
		put_stream(o, len, f->value);
		break;
	}
}

static uint64_t sectors_to_bytes(const struct out *o, uint64_t nr)
{
	if (nr > INT64_MAX / o->sector_size)
		die("%" PRIu64 " sectors of data do not fit a file", nr);
	return nr * o->sector_size;
}

static void put_header(struct out *o, const struct entry *e)
{
	uint64_t h[4] = {
		htole64(e->sector), htole64(e->nr), htole64(e->flags),
		htole64(e->data_len),
	};
	uint64_t left = o->sector_size - HEADER_BYTES;
	size_t n;
	uint8_t *p;

	if (e->rest_len > left)
		die("%zu bytes after the header; a sector holds %" PRIu64,
		    e->rest_len, left);
	/* BUF_BYTES is a multiple of any sector size, but garbage is not. */
	if (BUF_BYTES - o->fill < HEADER_BYTES + e->rest_len)
		flush_buf(o);
	p = room(o, HEADER_BYTES, &n);
	memcpy(p, h, HEADER_BYTES);
	if (e->rest_len) {
		p = room(o, e->rest_len, &n);
		memcpy(p, e->rest, e->rest_len);
	}
	put_zeros(o, left - e->rest_len);
	o->entries++;
}

static void put_entry(struct out *o, const struct entry *e,
		      const struct fill *f)
{
	uint64_t bytes = 0;

	if (!(e->flags & FLAG_DISCARD))
		bytes = sectors_to_bytes(o, e->nr);
	put_header(o, e);
	put_fill(o, bytes, f);
}

static void put_mark(struct out *o, const char *text, size_t len,
		     uint64_t data_len)
{
	struct entry e = {
		.flags = FLAG_MARK,
		.data_len = data_len,
		.rest = (const uint8_t *)text,
		.rest_len = len,
	};

	put_header(o, &e);
}

static void put_super(struct out *o, const struct options *opt)
{
	uint64_t version = htole64(opt->super_version);
	uint64_t magic = htole64(MAGIC);
	uint64_t entries = htole64(opt->has_nr_entries ? opt->nr_entries
						       : o->entries);
	uint32_t size = htole32((uint32_t)(opt->super_sector_size ?
					   opt->super_sector_size :
					   o->sector_size));

	flush_buf(o);
	o->pos = 0;
	memcpy(o->buf, &magic, 8);
	memcpy(o->buf + 8, &version, 8);
	memcpy(o->buf + 16, &entries, 8);
	memcpy(o->buf + 24, &size, 4);
	memset(o->buf + 28, opt->super_junk ? 0xa5 : 0, 4);
	o->fill = HEADER_BYTES;
	flush_buf(o);
}

/* --- the script --------------------------------------------------------- */

static char *next_word(char **line)
{
	char *w = *line + strspn(*line, " \t");

	if (!*w)
		return NULL;
	*line = w + strcspn(w, " \t");
	if (**line)
		*(*line)++ = '\0';
	return w;
}

static uint64_t next_number(char **line)
{
	return to_number(next_word(line));
}

/* Decodes \xNN and \\ in place; the result may hold NULs. */
static size_t unescape(char *s)
{
	char *to = s, *from = s;

	while (*from) {
		int hi, lo;

		if (*from != '\\') {
			*to++ = *from++;
			continue;
		}
		if (from[1] == '\\') {
			*to++ = '\\';
			from += 2;
			continue;
		}
		if (from[1] != 'x' || (hi = hex_digit(from[2])) < 0 ||
		    (lo = hex_digit(from[3])) < 0)
			die("an escape is \\xNN or \\\\");
		*to++ = (char)(hi << 4 | lo);
		from += 4;
	}
	return (size_t)(to - s);
}

static size_t unhex(char *s)
{
	size_t n = 0;
	int hi, lo;

	for (; s[2 * n]; n++) {
		hi = hex_digit(s[2 * n]);
		lo = hi < 0 ? -1 : hex_digit(s[2 * n + 1]);
		if (lo < 0)
			die("rest= takes pairs of hexadecimal digits");
		s[n] = (char)(hi << 4 | lo);
	}
	return n;
}

static void parse_opts(char *line, struct entry *e, struct fill *f)
{
	char *w;

	while ((w = next_word(&line))) {
		if (!strcmp(w, "hole")) {
			f->kind = FILL_HOLE;
		} else if (!strncmp(w, "fill=seed:", 10)) {
			f->kind = FILL_SEED;
			f->value = to_number(w + 10);
		} else if (!strncmp(w, "fill=", 5)) {
			f->kind = FILL_BYTE;
			f->value = to_number(w + 5);
			if (f->value > 255)
				die("fill=%" PRIu64 " is not a byte", f->value);
		} else if (!strncmp(w, "flags=", 6)) {
			e->flags = to_number(w + 6);
		} else if (!strncmp(w, "data_len=", 9)) {
			e->data_len = to_number(w + 9);
		} else if (!strncmp(w, "rest=", 5)) {
			e->rest_len = unhex(w + 5);
			e->rest = (const uint8_t *)w + 5;
		} else {
			die("unknown option: %s", w);
		}
	}
}

static void script_mark(struct out *o, char *text, bool raw)
{
	uint64_t data_len = raw ? next_number(&text) : 0;
	size_t len = unescape(text);

	put_mark(o, text, len, raw ? data_len : len);
}

static void script_inline(struct out *o, char *line)
{
	struct entry e = { .data_len = 0 };
	struct fill f = { FILL_ENTRY, o->entries };
	uint64_t len, bytes;

	e.sector = next_number(&line);
	e.nr = next_number(&line);
	len = e.data_len = next_number(&line);
	parse_opts(line, &e, &f);
	bytes = sectors_to_bytes(o, e.nr);
	if (len > bytes)
		die("%" PRIu64 " bytes do not fit in %" PRIu64 " sectors", len,
		    e.nr);
	put_header(o, &e);
	put_fill(o, len, &f);
	put_zeros(o, bytes - len);
}

static bool script_plain(struct out *o, const char *verb, char *line)
{
	static const struct {
		const char *name;
		uint64_t flags;
		unsigned int numbers;
	} verbs[] = {
		{ "write", 0, 2 },
		{ "fua", FLAG_FUA, 2 },
		{ "discard", FLAG_DISCARD, 2 },
		{ "emptyflushfua", FLAG_FLUSH | FLAG_FUA | FLAG_METADATA, 1 },
		{ "flush", FLAG_FLUSH, 0 },
	};
	struct entry e = { .data_len = 0 };
	struct fill f = { FILL_ENTRY, o->entries };
	size_t i;

	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(verbs[i].name, verb))
			break;
	if (i == sizeof(verbs) / sizeof(verbs[0]))
		return false;
	e.flags = verbs[i].flags;
	if (verbs[i].numbers > 0)
		e.sector = next_number(&line);
	if (verbs[i].numbers > 1)
		e.nr = next_number(&line);
	parse_opts(line, &e, &f);
	put_entry(o, &e, &f);
	return true;
}

static void script_line(struct out *o, char *line)
{
	struct entry e = { .data_len = 0 };
	struct fill f = { FILL_ENTRY, o->entries };
	char *verb = next_word(&line);
	uint64_t n;

	if (!verb || *verb == '#' || script_plain(o, verb, line))
		return;
	if (!strcmp(verb, "mark") || !strcmp(verb, "raw-mark")) {
		script_mark(o, line, *verb == 'r');
	} else if (!strcmp(verb, "inline")) {
		script_inline(o, line);
	} else if (!strcmp(verb, "raw-header")) {
		e.sector = next_number(&line);
		e.nr = next_number(&line);
		e.flags = next_number(&line);
		e.data_len = next_number(&line);
		parse_opts(line, &e, &f);
		put_header(o, &e);
	} else if (!strcmp(verb, "data")) {
		n = next_number(&line);
		parse_opts(line, &e, &f);
		put_fill(o, sectors_to_bytes(o, n), &f);
	} else if (!strcmp(verb, "zero-sector")) {
		put_zeros(o, o->sector_size);
	} else if (!strcmp(verb, "garbage")) {
		n = next_number(&line);
		put_stream(o, n, next_number(&line));
	} else {
		die("unknown word: %s", verb);
	}
}

static void run_script(struct out *o)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	while ((n = getline(&line, &size, stdin)) >= 0) {
		line_nr++;
		if (n && line[n - 1] == '\n')
			line[n - 1] = '\0';
		script_line(o, line);
	}
	line_nr = 0;
	free(line);
	if (ferror(stdin))
		die("reading the script: %s", strerror(errno));
}

/* --- the generator ------------------------------------------------------ */

struct gen {
	const struct options *opt;
	uint64_t device;	/* log sectors */
	uint64_t unit;		/* log sectors of one write */
	uint64_t state;
	uint64_t next;		/* where `sequential' stands */
};

static void gen_unit(struct gen *g, struct entry *e)
{
	uint64_t slots = g->device / g->unit;

	e->nr = g->unit;
	e->sector = random_below(&g->state, slots) * g->unit;
}

static void gen_sequential(struct gen *g, struct entry *e)
{
	e->nr = g->unit;
	e->sector = g->next;
	g->next += g->unit;
	if (g->next + g->unit > g->device)
		g->next = 0;
}

/* Nine writes in ten go to the first hundredth of the device. */
static void gen_hot(struct gen *g, struct entry *e)
{
	uint64_t slots = g->device / g->unit;
	uint64_t hot = slots / 100 ? slots / 100 : 1;

	e->nr = g->unit;
	if (random_below(&g->state, 10))
		slots = hot;
	e->sector = random_below(&g->state, slots) * g->unit;
}

static void gen_range(struct gen *g, struct entry *e, uint64_t space,
		      uint64_t longest)
{
	if (longest > space)
		longest = space;
	e->nr = 1 + random_below(&g->state, longest);
	e->sector = random_below(&g->state, space - e->nr + 1);
}

/* Every kind of entry, sizes up to 128 sectors, any alignment. */
static void gen_mixed(struct gen *g, struct entry *e)
{
	uint64_t dice = random_below(&g->state, 100);

	gen_range(g, e, g->device, 128);
	if (dice < 70) {
		e->flags = dice < 20 ? FLAG_METADATA : 0;
	} else if (dice < 80) {
		e->flags = FLAG_FUA;
	} else if (dice < 88) {
		gen_range(g, e, g->device, 4096);
		e->flags = FLAG_DISCARD;
	} else if (dice < 94) {
		e->sector = e->nr = 0;
		e->flags = FLAG_FLUSH;
	} else if (dice < 98) {
		e->nr = 0;
		e->flags = FLAG_FLUSH | FLAG_FUA | FLAG_METADATA;
	} else {
		e->flags = FLAG_FLUSH;
	}
}

/*
 * Writes inside writes: each group of eight covers one sector with shorter
 * and shorter ranges, and groups pile up in one small window, so that an
 * interval index has to split and split again.
 */
static void gen_nested(struct gen *g, struct entry *e, uint64_t i)
{
	uint64_t window = g->device < 65536 ? g->device : 65536;
	uint64_t longest = 512 >> (i % 8);
	uint64_t group = g->opt->seed ^ (i / 8);
	uint64_t centre = random_below(&group, window);

	e->nr = 1 + random_below(&g->state, longest);
	e->sector = random_below(&g->state, e->nr);
	e->sector = centre > e->sector ? centre - e->sector : 0;
	if (e->nr > window - e->sector)
		e->nr = window - e->sector;
	if (!random_below(&g->state, 16))
		e->flags = FLAG_DISCARD;
}

static void gen_discard(struct gen *g, struct entry *e)
{
	gen_range(g, e, g->device, 1024);
	e->flags = FLAG_DISCARD;
}

static void gen_entry(struct gen *g, struct entry *e, uint64_t i)
{
	const char *p = g->opt->pattern;

	if (*p == 'r')
		gen_unit(g, e);
	else if (*p == 's')
		gen_sequential(g, e);
	else if (*p == 'h')
		gen_hot(g, e);
	else if (*p == 'm')
		gen_mixed(g, e);
	else if (*p == 'n')
		gen_nested(g, e, i);
	else
		gen_discard(g, e);
}

static void run_generator(struct out *o, const struct options *opt)
{
	struct gen g = {
		.opt = opt,
		.device = opt->device_size / o->sector_size,
		.unit = opt->write_size / o->sector_size,
		.state = opt->seed,
	};
	uint64_t i, marks = 0;
	char text[32];

	if (!g.unit || g.device < g.unit)
		die("writes of %" PRIu64 " bytes do not fit sectors of %" PRIu64
		    " on a device of %" PRIu64, opt->write_size,
		    o->sector_size, opt->device_size);
	for (i = 0; i < opt->generate; i++) {
		struct entry e = { .data_len = 0 };
		struct fill f = { FILL_ENTRY, opt->seed * 0x100000001ULL + i };

		if (opt->mark_every && (i + 1) % opt->mark_every == 0) {
			int n = snprintf(text, sizeof(text), "m%" PRIu64,
					 ++marks);

			put_mark(o, text, (size_t)n, (uint64_t)n);
			continue;
		}
		if (opt->flush_every && (i + 1) % opt->flush_every == 0)
			e.flags = FLAG_FLUSH;
		else
			gen_entry(&g, &e, i);
		if (opt->hole_data)
			f.kind = FILL_HOLE;
		put_entry(o, &e, &f);
	}
}

/* --- main --------------------------------------------------------------- */

enum {
	OPT_SECTOR_SIZE = 256, OPT_NR_ENTRIES, OPT_NO_SUPER, OPT_SUPER_VERSION,
	OPT_SUPER_SECTOR_SIZE, OPT_SUPER_JUNK, OPT_TRUNCATE, OPT_GENERATE,
	OPT_PATTERN, OPT_DEVICE_SIZE, OPT_WRITE_SIZE, OPT_SEED, OPT_HOLE_DATA,
	OPT_FLUSH_EVERY, OPT_MARK_EVERY, OPT_HELP,
};

static const struct option long_options[] = {
	{ "sector-size", required_argument, NULL, OPT_SECTOR_SIZE },
	{ "nr-entries", required_argument, NULL, OPT_NR_ENTRIES },
	{ "no-super", no_argument, NULL, OPT_NO_SUPER },
	{ "super-version", required_argument, NULL, OPT_SUPER_VERSION },
	{ "super-sector-size", required_argument, NULL, OPT_SUPER_SECTOR_SIZE },
	{ "super-junk", no_argument, NULL, OPT_SUPER_JUNK },
	{ "truncate", required_argument, NULL, OPT_TRUNCATE },
	{ "generate", required_argument, NULL, OPT_GENERATE },
	{ "pattern", required_argument, NULL, OPT_PATTERN },
	{ "device-size", required_argument, NULL, OPT_DEVICE_SIZE },
	{ "write-size", required_argument, NULL, OPT_WRITE_SIZE },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "hole-data", no_argument, NULL, OPT_HOLE_DATA },
	{ "flush-every", required_argument, NULL, OPT_FLUSH_EVERY },
	{ "mark-every", required_argument, NULL, OPT_MARK_EVERY },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static void check_pattern(const char *name)
{
	static const char *const known[] = {
		"random4k", "sequential", "hot", "mixed", "nested", "discard",
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i], name))
			return;
	die("unknown pattern: %s", name);
}

static void set_truncate(struct options *opt, const char *s)
{
	bool negative = *s == '-';
	uint64_t v = to_number(s + negative);

	if (v > INT64_MAX)
		die("--truncate %s is out of range", s);
	opt->has_truncate = true;
	opt->truncate = negative ? -(int64_t)v : (int64_t)v;
}

static void set_option(struct options *opt, struct out *o, int c)
{
	switch (c) {
	case OPT_SECTOR_SIZE:
		o->sector_size = to_number(optarg);
		break;
	case OPT_NR_ENTRIES:
		opt->nr_entries = to_number(optarg);
		opt->has_nr_entries = true;
		break;
	case OPT_NO_SUPER:
		opt->no_super = true;
		break;
	case OPT_SUPER_VERSION:
		opt->super_version = to_number(optarg);
		break;
	case OPT_SUPER_SECTOR_SIZE:
		opt->super_sector_size = to_number(optarg);
		break;
	case OPT_SUPER_JUNK:
		opt->super_junk = true;
		break;
	case OPT_TRUNCATE:
		set_truncate(opt, optarg);
		break;
	case OPT_GENERATE:
		opt->generate = to_number(optarg);
		opt->has_generate = true;
		break;
	case OPT_PATTERN:
		check_pattern(optarg);
		opt->pattern = optarg;
		break;
	case OPT_DEVICE_SIZE:
		opt->device_size = to_size(optarg);
		break;
	case OPT_WRITE_SIZE:
		opt->write_size = to_size(optarg);
		break;
	case OPT_SEED:
		opt->seed = to_number(optarg);
		break;
	case OPT_HOLE_DATA:
		opt->hole_data = true;
		break;
	case OPT_FLUSH_EVERY:
		opt->flush_every = to_number(optarg);
		break;
	case OPT_MARK_EVERY:
		opt->mark_every = to_number(optarg);
		break;
	case OPT_HELP:
		fputs(help, stdout);
		exit(0);
	default:
		fputs("Try 'mklog --help'.\n", stderr);
		exit(2);
	}
}

static void cut(struct out *o, const struct options *opt, uint64_t length)
{
	int64_t at = (int64_t)length;

	if (opt->has_truncate && opt->truncate < 0)
		at += opt->truncate;
	else if (opt->has_truncate)
		at = opt->truncate;
	if (ftruncate(o->fd, at < 0 ? 0 : at))
		die("%s: %s", o->name, strerror(errno));
}

int main(int argc, char **argv)
{
	struct options opt = {
		.super_version = 1,
		.pattern = "random4k",
		.device_size = 1ULL << 30,
		.write_size = 4096,
		.seed = 1,
	};
	struct out o = { .sector_size = 512 };
	uint64_t length;
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		set_option(&opt, &o, c);
	if (argc - optind != 1)
		die("one output file, please; try --help");
	if (o.sector_size < HEADER_BYTES || o.sector_size > BUF_BYTES ||
	    (o.sector_size & (o.sector_size - 1)))
		die("sector size %" PRIu64 " is not a power of two from %d to "
		    "%u", o.sector_size, HEADER_BYTES, BUF_BYTES);
	o.name = argv[optind];
	o.fd = open(o.name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (o.fd < 0)
		die("%s: %s", o.name, strerror(errno));
	o.buf = malloc(BUF_BYTES);
	if (!o.buf)
		die("out of memory");

	o.pos = o.sector_size;
	if (opt.has_generate)
		run_generator(&o, &opt);
	else
		run_script(&o);
	length = o.pos + o.fill;
	if (opt.no_super)
		flush_buf(&o);
	else
		put_super(&o, &opt);
	cut(&o, &opt, length);
	free(o.buf);
	if (close(o.fd))
		die("%s: %s", o.name, strerror(errno));
	return 0;
}
