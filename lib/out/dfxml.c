// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Digital Forensics XML: hashes of images, in the shape forensic tools read.
 *
 * The order of elements is that of the schema (dfxml.xsd 1.1.0), by which a
 * `fileobject` is an image and its `byte_run`s are places on the disk in it.
 * Text that XML cannot hold is escaped as the printer does it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include <libxml/xmlwriter.h>
#include <platter/out.h>

#include "base/error.h"
#include "base/mem.h"
#include "out/printer.h"

#define DFXML	"http://www.forensicswiki.org/wiki/" \
		"Category:Digital_Forensics_XML"
#define DC	"http://purl.org/dc/elements/1.1/"
#define DFXML_VERSION "1.1.0"
#define TIME_MAX 32
#ifdef __clang__
#define COMPILER __VERSION__		/* has the name in it */
#else
#define COMPILER "gcc " __VERSION__
#endif

struct platter_dfxml {
	xmlTextWriterPtr w;
	FILE *stream;
	int rc;			/* first error, negative errno */
	bool runs;		/* <byte_runs> is open */
};

static int write_cb(void *context, const char *text, int len)
{
	struct platter_dfxml *d = context;

	errno = 0;
	if (!d->rc && fwrite(text, 1, (size_t)len, d->stream) != (size_t)len)
		d->rc = errno ? -errno : -EIO;
	return len;
}

/* The writer returns a byte count; anything negative is a lack of memory. */
static void check(struct platter_dfxml *d, int rc)
{
	if (rc < 0 && !d->rc)
		d->rc = -ENOMEM;
}

static void begin(struct platter_dfxml *d, const char *name)
{
	check(d, xmlTextWriterStartElement(d->w, (const xmlChar *)name));
}

static void end(struct platter_dfxml *d)
{
	check(d, xmlTextWriterEndElement(d->w));
}

static void attribute(struct platter_dfxml *d, const char *name,
		      const char *value)
{
	check(d, xmlTextWriterWriteAttribute(d->w, (const xmlChar *)name,
					     (const xmlChar *)value));
}

static void number(struct platter_dfxml *d, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	attribute(d, name, text);
}

static void element(struct platter_dfxml *d, const char *name,
		    const char *text)
{
	size_t len = strlen(text);
	plt_auto_free char *escaped = NULL;

	if (!plt_out_xml_ops.fits(text, len)) {
		escaped = platter_bytes_escape(text, len);
		if (!escaped) {
			check(d, -1);
			return;
		}
		text = escaped;
	}
	check(d, xmlTextWriterWriteElement(d->w, (const xmlChar *)name,
					   (const xmlChar *)text));
}

static void library(struct platter_dfxml *d, const char *name,
		    const char *version)
{
	begin(d, "library");
	attribute(d, "name", name);
	attribute(d, "version", version);
	end(d);
}

static void creator(struct platter_dfxml *d,
		    const struct platter_dfxml_options *opts)
{
	char start[TIME_MAX];
	struct utsname os;
	struct tm tm;

	begin(d, "creator");
	element(d, "program", opts->program);
	element(d, "version", opts->version);
	begin(d, "build_environment");
	element(d, "compiler", COMPILER);
	library(d, "libxml2", LIBXML_DOTTED_VERSION);
	end(d);
	begin(d, "execution_environment");
	if (!uname(&os)) {
		element(d, "os_sysname", os.sysname);
		element(d, "os_release", os.release);
		element(d, "arch", os.machine);
	}
	element(d, "command_line", opts->command_line);
	if (gmtime_r(&opts->start_time, &tm) &&
	    strftime(start, sizeof(start), "%Y-%m-%dT%H:%M:%SZ", &tm))
		element(d, "start_time", start);
	end(d);
	end(d);
}

static void header(struct platter_dfxml *d,
		   const struct platter_dfxml_options *opts)
{
	check(d, xmlTextWriterSetIndent(d->w, 1));
	check(d, xmlTextWriterSetIndentString(d->w, (const xmlChar *)"  "));
	check(d, xmlTextWriterStartDocument(d->w, NULL, "UTF-8", NULL));
	begin(d, "dfxml");
	attribute(d, "xmlns", DFXML);
	attribute(d, "xmlns:dc", DC);
	attribute(d, "version", DFXML_VERSION);
	begin(d, "metadata");
	element(d, "dc:type", "Hash List");
	end(d);
	creator(d, opts);
	begin(d, "source");
	for (size_t i = 0; i < opts->nr_images; i++)
		element(d, "image_filename", opts->images[i]);
	end(d);
}

int platter_dfxml_new(struct platter_dfxml **out, FILE *stream,
		      const struct platter_dfxml_options *opts,
		      struct platter_error *err)
{
	struct platter_dfxml *d = plt_calloc(1, sizeof(*d), err);
	xmlOutputBufferPtr buffer;

	if (!d)
		return -ENOMEM;
	d->stream = stream;
	buffer = xmlOutputBufferCreateIO(write_cb, NULL, d, NULL);
	d->w = buffer ? xmlNewTextWriter(buffer) : NULL;
	if (!d->w) {
		if (buffer)
			xmlOutputBufferClose(buffer);
		free(d);
		return plt_err_set(err, -ENOMEM, "out of memory for XML");
	}
	header(d, opts);
	*out = d;
	return 0;
}

void platter_dfxml_image(struct platter_dfxml *d, const char *name,
			 uint64_t size)
{
	char text[24];

	begin(d, "fileobject");
	element(d, "filename", name);
	element(d, "name_type", "-");
	snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
	element(d, "filesize", text);
	begin(d, "byte_runs");
	d->runs = true;
}

void platter_dfxml_run(struct platter_dfxml *d, uint64_t offset,
		       uint64_t length)
{
	begin(d, "byte_run");
	number(d, "img_offset", offset);
	number(d, "len", length);
}

void platter_dfxml_end_run(struct platter_dfxml *d)
{
	end(d);
}

void platter_dfxml_end_runs(struct platter_dfxml *d)
{
	if (d->runs)
		end(d);
	d->runs = false;
}

void platter_dfxml_hash(struct platter_dfxml *d, const char *name,
			const char *hex)
{
	begin(d, "hashdigest");
	attribute(d, "type", name);
	check(d, xmlTextWriterWriteString(d->w, (const xmlChar *)hex));
	end(d);
}

void platter_dfxml_end_image(struct platter_dfxml *d)
{
	platter_dfxml_end_runs(d);
	end(d);
}

int platter_dfxml_close(struct platter_dfxml *d, struct platter_error *err)
{
	int rc;

	check(d, xmlTextWriterEndDocument(d->w));
	xmlFreeTextWriter(d->w);
	errno = 0;
	if (fflush(d->stream) && !d->rc)
		d->rc = errno ? -errno : -EIO;
	rc = d->rc;
	free(d);
	return rc ? plt_err_errno(err, rc, "writing the output") : 0;
}
