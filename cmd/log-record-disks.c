/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter log record`: the disks, their logs and the copies to replay onto.
 *
 * The node that records is described in JSON, because it is opened here for
 * FUSE and in another process for NBD.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log-record.h"

#define NAME_CHARS \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

/* ---- names ---- */

static bool is_json(const char *spec)
{
	return !strncmp(spec, "json:", 5);
}

/* What is behind "NAME=" of that disk, or NULL. */
static const char *value_for(const struct record_disk *d, const char *text)
{
	size_t len = d->name ? strlen(d->name) : 0;

	return len && !strncmp(text, d->name, len) && text[len] == '=' ?
	       text + len + 1 : NULL;
}

static int check_name(const struct record *r, const char *arg, size_t len,
		      struct platter_error *err)
{
	if (!len || arg[len] != '=' || strspn(arg, NAME_CHARS) != len)
		return platter_error_set(err, -EINVAL, "--disk '%s' is not "
					 "NAME=IMAGE, with letters, digits and "
					 "_ in the name", arg);
	if (len == 3 && !strncmp(arg, "nbd", 3))
		return platter_error_set(err, -EINVAL, "--disk '%s': {nbd} "
					 "means something else; take another "
					 "name", arg);
	for (size_t i = 0; i < r->nr_disks; i++)
		if (!strncmp(r->disks[i].name, arg, len) &&
		    !r->disks[i].name[len])
			return platter_error_set(err, -EINVAL, "--disk '%s': "
						 "the name is taken", arg);
	return 0;
}

/* The name is cut out of the option's word, as a string needs an end. */
static int add_disks(struct record *r, struct platter_error *err)
{
	const struct cmd_key_values *list = &r->o->disks;

	r->disks = calloc(list->count + 1, sizeof(*r->disks));
	if (!r->disks)
		return platter_error_errno(err, -ENOMEM, "disks");
	if (!list->count) {
		r->disks[0].spec = r->cmd->args[0];
		r->nr_disks = 1;
		return 0;
	}
	for (size_t i = 0; i < list->count; i++) {
		char *arg = list->list[i];
		size_t len = strcspn(arg, "=");
		int rc = check_name(r, arg, len, err);

		if (rc)
			return rc;
		arg[len] = '\0';
		r->disks[r->nr_disks].name = arg;
		r->disks[r->nr_disks++].spec = arg + len + 1;
	}
	return 0;
}

/* Programs look at names, so a file keeps its own. */
static const char *name_file(const struct record *r,
			     const struct record_disk *d)
{
	const char *slash = strrchr(d->spec, '/');
	const char *name = slash ? slash + 1 : d->spec;

	if (d->name)
		return d->name;
	if (r->o->image.image_opts || is_json(d->spec) || !*name ||
	    !strcmp(name, ".") || !strcmp(name, "..") || strlen(name) > 255)
		return "disk";
	return name;
}

/* Beside the image, where that is a file. */
static int name_default_log(const struct record *r, struct record_disk *d,
			    struct platter_error *err)
{
	struct stat st;

	if (r->o->image.image_opts || is_json(d->spec) ||
	    stat(d->spec, &st) || !S_ISREG(st.st_mode))
		return platter_error_set(err, -EINVAL, "%s: say with --log "
					 "where the log goes; it has a name of "
					 "its own only beside an image file",
					 d->spec);
	return asprintf(&d->log, "%s.log", d->spec) < 0 ? -ENOMEM : 0;
}

/* --log NAME=FILE for that disk, else --log PREFIX, else beside the image. */
static int name_log(const struct record *r, struct record_disk *d,
		    struct platter_error *err)
{
	const struct cmd_key_values *logs = &r->o->logs;
	const char *plain = NULL;

	for (size_t i = logs->count; i-- > 0;) {
		const char *own = value_for(d, logs->list[i]);
		bool others = false;

		for (size_t k = 0; k < r->nr_disks; k++)
			others |= !!value_for(&r->disks[k], logs->list[i]);
		if (own && !d->log)
			d->log = strdup(own);
		if (!others && !plain)
			plain = logs->list[i];
	}
	if (d->log)
		return 0;
	if (!plain)
		return name_default_log(r, d, err);
	if (!d->name)
		return (d->log = strdup(plain)) ? 0 : -ENOMEM;
	return asprintf(&d->log, "%s.%s.log", plain, d->name) < 0 ? -ENOMEM : 0;
}

static int name_base(const struct record *r, struct record_disk *d)
{
	if (!r->o->base_copy)
		return 0;
	if (r->o->base_path)
		return (d->base = strdup(r->o->base_path)) ? 0 : -ENOMEM;
	return asprintf(&d->base, "%s.base", d->log) < 0 ? -ENOMEM : 0;
}

int record_disks(struct record *r, struct platter_error *err)
{
	int rc = add_disks(r, err);

	for (size_t i = 0; i < r->nr_disks && !rc; i++) {
		struct record_disk *d = &r->disks[i];

		d->file = name_file(r, d);
		rc = name_log(r, d, err);
		if (!rc)
			rc = name_base(r, d);
	}
	if (rc && err && !err->code)
		platter_error_errno(err, rc, "disks");
	return rc;
}

/* ---- the node that records, in JSON ---- */

static void put_string(FILE *f, const char *text, size_t len)
{
	putc('"', f);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < ' ')
			fprintf(f, "\\u%04x", c);
		else if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else
			putc(c, f);
	}
	putc('"', f);
}

/* The end of a value of key=value,...: a doubled comma stands for one. */
static const char *put_value(FILE *f, const char *p)
{
	char *value = strdup(p);
	size_t len = 0;

	for (; *p && !(*p == ',' && p[1] != ','); p++) {
		if (*p == ',')
			p++;
		if (value)
			value[len++] = *p;
	}
	put_string(f, value ? value : "", len);
	free(value);
	return p;
}

/* "driver=qcow2,file.filename=x" as members of an object. */
static void put_image_opts(FILE *f, const char *p)
{
	const char *comma = "";

	putc('{', f);
	while (*p) {
		size_t len = strcspn(p, "=,");

		fputs(comma, f);
		put_string(f, p, len);
		putc(':', f);
		p += len;
		if (*p == '=')
			p = put_value(f, p + 1);
		else
			fputs("\"on\"", f);
		p += *p == ',';
		comma = ",";
	}
	putc('}', f);
}

/*
 * With a format the name is that of its file, or of what it is for otherwise;
 * `img` has been opened so and knows. A protocol has nothing below it.
 */
static void put_filename(FILE *f, const struct record *r,
			 const struct record_disk *d,
			 struct platter_image *img)
{
	const char *format = r->o->image.format;

	putc('{', f);
	if (format) {
		fputs("\"driver\":", f);
		put_string(f, format, strlen(format));
		putc(',', f);
	}
	if (format && platter_image_child(img, "file"))
		fputs("\"file.filename\":", f);
	else if (format && platter_image_child(img, "log"))
		fputs("\"log.filename\":", f);
	else
		fputs("\"filename\":", f);
	put_string(f, d->spec, strlen(d->spec));
	putc('}', f);
}

/* What follows "json:" is an object already; the driver may be -f's. */
static void put_json(FILE *f, const struct record *r,
		     const struct record_disk *d)
{
	const char *object = d->spec + strlen("json:");
	const char *format = r->o->image.format;
	const char *brace = strchr(object, '{');

	if (!format || strstr(object, "\"driver\"") || !brace) {
		fputs(object, f);
		return;
	}
	fputs("{\"driver\":", f);
	put_string(f, format, strlen(format));
	fprintf(f, ",%s", brace + 1);
}

static int describe(const struct record *r, struct record_disk *d,
		    struct platter_image *img, bool append,
		    struct platter_error *err)
{
	size_t size;
	FILE *f = open_memstream(&d->node, &size);

	if (!f)
		return platter_error_errno(err, -ENOMEM, "%s", d->spec);
	fputs("json:{\"driver\":\"blklogwrites\",\"file\":", f);
	if (r->o->image.image_opts)
		put_image_opts(f, d->spec);
	else if (is_json(d->spec))
		put_json(f, r, d);
	else
		put_filename(f, r, d, img);
	fputs(",\"log\":{\"driver\":\"raw\",\"file.filename\":", f);
	put_string(f, d->log, strlen(d->log));
	putc('}', f);
	if (r->o->sector_size)
		fprintf(f, ",\"log-sector-size\":%" PRIu64, r->o->sector_size);
	if (append)
		fputs(",\"log-append\":true", f);
	if (r->o->overlay)
		fputs(",\"overlay\":true", f);
	putc('}', f);
	if (fclose(f))
		return platter_error_errno(err, -ENOMEM, "%s", d->spec);
	return 0;
}

/* ---- logs and copies ---- */

/* *append: there is something to append to. */
static int make_log(const struct record *r, struct record_disk *d,
		    bool *append, struct platter_error *err)
{
	struct stat st;
	int fd;

	*append = false;
	fd = open(d->log, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd >= 0) {
		close(fd);
		d->made_log = true;
		return 0;
	}
	if (errno != EEXIST)
		return platter_error_errno(err, -errno, "%s", d->log);
	if (!r->o->append && !r->o->force)
		return platter_error_set(err, -EEXIST, "%s: it exists; "
					 "--append goes on with it, --force "
					 "replaces it", d->log);
	*append = r->o->append && !(!stat(d->log, &st) &&
				    S_ISREG(st.st_mode) && !st.st_size);
	return 0;
}

/* The kernel copies what is copied byte for byte: it may share the space. */
static int copy_base(const struct record *r, struct record_disk *d,
		     struct platter_image *img, struct platter_error *err)
{
	const struct cmd_progress progress = {
		.show = r->o->progress, .quiet = r->o->quiet,
	};
	struct platter_convert_options job = {
		.target = d->base,
		.target_cache = PLATTER_CACHE_UNSAFE,
		.sparse_size = 4096,
		.copy_range = !strcmp(platter_image_format(img), "raw"),
	};
	int rc;

	if (!r->o->force && !access(d->base, F_OK))
		return platter_error_set(err, -EEXIST, "%s: it exists; --force "
					 "replaces it", d->base);
	/* Standard output is not ours. */
	rc = cmd_progress_start(r->cmd, &progress, PLATTER_OUTPUT_JSON,
				&job.progress, err);
	if (rc)
		return rc;
	rc = platter_convert(r->cmd->ctx, img, &job, err);
	d->made_base = !rc;
	return cmd_progress_end(job.progress, rc);
}

static int prepare(const struct record *r, struct record_disk *d,
		   struct platter_error *err)
{
	unsigned int flags = r->o->overlay ? 0 : PLATTER_O_RDWR;
	struct platter_image *img;
	bool append;
	int rc;

	rc = cmd_image_open(r->cmd, &r->o->image, d->spec, flags, r->o->cache,
			    &img, err);
	if (rc)
		return rc;
	rc = make_log(r, d, &append, err);
	if (!rc)
		rc = describe(r, d, img, append, err);
	if (!rc && d->base)
		rc = copy_base(r, d, img, err);
	if (rc) {
		platter_image_close(img, NULL);
		return rc;
	}
	return platter_image_close(img, err);
}

int record_prepare(struct record *r, struct platter_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < r->nr_disks && !rc; i++)
		rc = prepare(r, &r->disks[i], err);
	return rc;
}

void record_disks_free(struct record *r, bool keep)
{
	for (size_t i = 0; i < r->nr_disks; i++) {
		struct record_disk *d = &r->disks[i];

		if (d->made_log && !keep)
			unlink(d->log);
		if (d->made_base && !keep)
			unlink(d->base);
		free(d->log);
		free(d->base);
		free(d->node);
		free(d->path);
		free(d->uri);
	}
	free(r->disks);
}
