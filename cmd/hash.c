/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter hash`: hashes of what is in images, whatever their format.
 *
 * Besides the shapes every verb prints there are two of forensic tools. Where
 * each piece is printed when it is known, nothing else may be in between, so
 * there is no bar on a terminal then.
 */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"

enum {
	KEY_PIECEWISE = CMD_KEY_FIRST,
	KEY_OUTPUT,
};

/* What hashdeep and the schema of DFXML know. */
static const char *const common_names[] = { "md5", "sha1", "sha256", NULL };

enum shape {
	SHAPE_PRINTER,		/* as the output group says */
	SHAPE_HASHDEEP,
	SHAPE_DFXML,
};

struct hash_options {
	struct cmd_image image;
	struct cmd_progress progress;
	enum platter_output kind;
	enum shape shape;
	const char *algorithms[PLATTER_HASHES_MAX + 1];
	unsigned int nr;
	uint64_t piece;
	unsigned int workers;
};

static const struct argp_option options[] = {
	{ .name = "algorithm", .key = 'a', .arg = "NAME",
	  .doc = "md5, sha1, sha224, sha256, sha384 or sha512 (sha256); "
		 "may be given again, or more than one with commas between" },
	{ .name = "piecewise", .key = KEY_PIECEWISE, .arg = "SIZE",
	  .doc = "hash pieces of that size instead of the whole" },
	{ .name = "parallel", .key = 'm', .arg = "NUMBER",
	  .doc = "read with that many threads, 1 to 16 (one per processor)" },
	{ .name = "output", .key = KEY_OUTPUT,
	  .arg = "SHAPE",
	  .doc = "human, json, xml, hashdeep or dfxml (human)" },
	{ 0 },
};

static bool is_name(const char *const *names, const char *name)
{
	for (; *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

/* The known name of `len` bytes, or NULL. */
static const char *find_name(const char *name, size_t len)
{
	static const char *const known[] = {
		"md5", "sha1", "sha224", "sha256", "sha384", "sha512",
	};

	for (size_t i = 0; i < CMD_ARRAY_SIZE(known); i++)
		if (strlen(known[i]) == len && !strncmp(known[i], name, len))
			return known[i];
	return NULL;
}

/* The words of the command line stay as they are: they are printed, too. */
static error_t add_algorithms(struct argp_state *state, struct hash_options *o,
			      const char *arg)
{
	for (;; arg++) {
		size_t len = strcspn(arg, ",");
		const char *name = find_name(arg, len);

		if (!name)
			return cmd_usage(state, "-a: '%.*s' is none of md5, "
					 "sha1, sha224, sha256, sha384 and "
					 "sha512", (int)len, arg);
		if (!is_name(o->algorithms, name))
			o->algorithms[o->nr++] = name;
		arg += len;
		if (!*arg)
			return 0;
	}
}

static error_t parse_output(struct argp_state *state, struct hash_options *o,
			    const char *arg)
{
	struct platter_error e = PLATTER_ERROR_INIT;

	o->shape = SHAPE_PRINTER;
	if (!strcmp(arg, "hashdeep"))
		o->shape = SHAPE_HASHDEEP;
	else if (!strcmp(arg, "dfxml"))
		o->shape = SHAPE_DFXML;
	else if (platter_output_parse(&o->kind, arg, &e))
		return cmd_usage(state, "%s, hashdeep, dfxml", e.msg);
	return 0;
}

static error_t check(struct argp_state *state, struct hash_options *o)
{
	if (!o->nr)
		o->algorithms[o->nr++] = "sha256";
	for (unsigned int i = 0; o->shape != SHAPE_PRINTER && i < o->nr; i++)
		if (!is_name(common_names, o->algorithms[i]))
			return cmd_usage(state, "--output=%s knows no %s; "
					 "only md5, sha1 and sha256",
					 o->shape == SHAPE_DFXML ? "dfxml" :
					 "hashdeep", o->algorithms[i]);
	return 0;
}

static error_t parse_piece(const struct argp_state *state, const char *arg,
			   uint64_t *out)
{
	error_t rc = cmd_parse_size(state, "--piecewise", arg, out);

	if (!rc && !*out)
		rc = cmd_usage(state, "--piecewise: the size is 0");
	return rc;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct hash_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->image;
		state->child_inputs[1] = &o->progress;
		return 0;
	case 'a':
		return add_algorithms(state, o, arg);
	case KEY_PIECEWISE:
		return parse_piece(state, arg, &o->piece);
	case 'm':
		return cmd_parse_workers(state, arg, &o->workers);
	case KEY_OUTPUT:
		return parse_output(state, o, arg);
	case ARGP_KEY_END:
		return check(state, o);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_IMAGE,
	CMD_CHILD_PROGRESS,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "IMAGE...",
	.doc = "Print hashes of what the guest sees of images: the same for "
	       "the same content in any format. What an image's map says is "
	       "zero is not read.",
	.children = children,
};

/* ---- what is printed ---- */

struct report {
	struct cmd *cmd;
	const struct hash_options *o;
	struct platter_printer *out;	/* NULL with DFXML */
	struct platter_dfxml *dfxml;	/* only with it */
	const char *name;		/* of the image */
	char *shown;			/* the same, fit for a line */
};

/* " offset 0-4095", as hashdeep writes it. */
#define PLACE_MAX 64
static const char *place(const struct report *r,
			 const struct platter_hash_piece *p,
			 char buf[PLACE_MAX])
{
	buf[0] = '\0';
	if (r->o->piece)
		snprintf(buf, PLACE_MAX, " offset %" PRIu64 "-%" PRIu64,
			 p->offset, p->offset + p->length -
			 (p->length ? 1 : 0));
	return buf;
}

/* As sha256sum does, and with --tag where there is more than one. */
static void print_human(const struct report *r,
			const struct platter_hash_piece *p)
{
	char where[PLACE_MAX];

	place(r, p, where);
	for (unsigned int i = 0; i < p->nr; i++) {
		char tag[16];
		size_t n = 0;

		for (; p->names[i][n] && n < sizeof(tag) - 1; n++)
			tag[n] = p->names[i][n] >= 'a' ?
				 (char)(p->names[i][n] - 'a' + 'A') :
				 p->names[i][n];
		tag[n] = '\0';
		if (p->nr > 1)
			platter_out_text(r->out, "%s (%s%s) = %s\n", tag,
					 r->shown, where, p->hex[i]);
		else
			platter_out_text(r->out, "%s  %s%s\n", p->hex[i],
					 r->shown, where);
	}
}

static void print_hashdeep(const struct report *r,
			   const struct platter_hash_piece *p)
{
	char where[PLACE_MAX];

	platter_out_text(r->out, "%" PRIu64 ",", p->length);
	for (const char *const *name = common_names; *name; name++)
		for (unsigned int i = 0; i < p->nr; i++)
			if (!strcmp(p->names[i], *name))
				platter_out_text(r->out, "%s,", p->hex[i]);
	platter_out_text(r->out, "%s%s\n", r->shown, place(r, p, where));
}

static void print_dfxml(const struct report *r,
			const struct platter_hash_piece *p)
{
	platter_dfxml_run(r->dfxml, p->offset, p->length);
	for (unsigned int i = 0; r->o->piece && i < p->nr; i++)
		platter_dfxml_hash(r->dfxml, p->names[i], p->hex[i]);
	platter_dfxml_end_run(r->dfxml);
	if (r->o->piece)
		return;
	platter_dfxml_end_runs(r->dfxml);
	for (unsigned int i = 0; i < p->nr; i++)
		platter_dfxml_hash(r->dfxml, p->names[i], p->hex[i]);
}

static void print_data(const struct report *r,
		       const struct platter_hash_piece *p)
{
	if (r->o->piece) {
		platter_out_row(r->out, "piece");
		platter_out_u64(r->out, "offset", p->offset);
		platter_out_u64(r->out, "length", p->length);
	}
	for (unsigned int i = 0; i < p->nr; i++)
		platter_out_string(r->out, p->names[i], p->hex[i]);
	if (r->o->piece)
		platter_out_end(r->out);
}

static int found(void *arg, const struct platter_hash_piece *piece,
		 struct platter_error *err)
{
	const struct report *r = arg;

	(void)err;
	if (r->dfxml)
		print_dfxml(r, piece);
	else if (r->o->shape == SHAPE_HASHDEEP)
		print_hashdeep(r, piece);
	else if (r->o->kind == PLATTER_OUTPUT_HUMAN)
		print_human(r, piece);
	else
		print_data(r, piece);
	return 0;
}

static void begin_image(const struct report *r, struct platter_image *img)
{
	uint64_t size = platter_image_size(img);

	if (r->dfxml) {
		platter_dfxml_image(r->dfxml, r->name, size);
		return;
	}
	if (r->o->kind == PLATTER_OUTPUT_HUMAN)
		return;
	platter_out_map(r->out, NULL);
	platter_out_string(r->out, "filename", r->name);
	platter_out_string(r->out, "format", platter_image_format(img));
	platter_out_u64(r->out, "virtual-size", size);
	if (r->o->piece)
		platter_out_list(r->out, "pieces");
}

static void end_image(const struct report *r)
{
	if (r->dfxml) {
		platter_dfxml_end_image(r->dfxml);
		return;
	}
	if (r->o->kind == PLATTER_OUTPUT_HUMAN)
		return;
	if (r->o->piece)
		platter_out_end(r->out);
	platter_out_end(r->out);
}

/* ---- the head of a report ---- */

/* The caller frees. NULL: no memory. */
static char *command_line(const struct cmd *cmd)
{
	char *line = NULL;
	size_t len = 0;
	FILE *stream = open_memstream(&line, &len);

	if (!stream)
		return NULL;
	for (char *const *w = cmd->words; *w; w++)
		fprintf(stream, "%s%s", w == cmd->words ? "" : " ", *w);
	fclose(stream);
	return line;
}

static int begin_dfxml(struct report *r, struct platter_error *err)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	char *line = command_line(r->cmd);
	struct platter_dfxml_options head = {
		.program = r->cmd->as->name,
		.version = PACKAGE_VERSION,
		.command_line = line ? line : "",
		.start_time = epoch ? (time_t)strtoll(epoch, NULL, 10) :
				      time(NULL),
		.images = (const char *const *)r->cmd->args,
		.nr_images = r->cmd->nr_args,
	};
	int rc = platter_dfxml_new(&r->dfxml, r->cmd->out, &head, err);

	free(line);
	return rc;
}

static int begin_hashdeep(struct report *r, struct platter_error *err)
{
	char *line = command_line(r->cmd);
	char *folder = getcwd(NULL, 0);
	char *shown[2] = {
		platter_bytes_escape(line ? line : "", line ? strlen(line) : 0),
		platter_bytes_escape(folder ? folder : "",
				     folder ? strlen(folder) : 0),
	};
	int rc = 0;

	if (!shown[0] || !shown[1])
		rc = platter_error_errno(err, -ENOMEM, "command line");
	else
		platter_out_text(r->out, "%%%%%%%% HASHDEEP-1.0\n"
				 "%%%%%%%% size,");
	for (const char *const *name = common_names; !rc && *name; name++)
		if (is_name(r->o->algorithms, *name))
			platter_out_text(r->out, "%s,", *name);
	if (!rc)
		platter_out_text(r->out, "filename\n## Invoked from: %s\n"
				 "## $ %s\n## \n", shown[1], shown[0]);
	free(shown[1]);
	free(shown[0]);
	free(folder);
	free(line);
	return rc;
}

static int begin_report(struct report *r, struct platter_error *err)
{
	int rc;

	if (r->o->shape == SHAPE_DFXML)
		return begin_dfxml(r, err);
	rc = cmd_printer(r->cmd, r->o->kind, &r->out, err);
	if (rc)
		return rc;
	if (r->o->shape == SHAPE_HASHDEEP)
		return begin_hashdeep(r, err);
	if (r->o->kind != PLATTER_OUTPUT_HUMAN)
		platter_out_list(r->out, NULL);
	return 0;
}

/* The printer is closed with the verb. What failed first is what is told. */
static int end_report(struct report *r, int rc, struct platter_error *err)
{
	int rc2 = 0;

	if (r->dfxml)
		rc2 = platter_dfxml_close(r->dfxml, rc ? NULL : err);
	return rc ? rc : rc2;
}

/* ---- the images ---- */

/* hashdeep writes, and looks for, absolute paths. */
static char *shown_name(const struct hash_options *o, const char *name,
			struct platter_error *err)
{
	char *real = NULL, *shown;

	if (o->shape == SHAPE_HASHDEEP && !o->image.image_opts)
		real = realpath(name, NULL);
	shown = real ? real : name[0] ?
		platter_bytes_escape(name, strlen(name)) : strdup("");
	if (!shown)
		platter_error_errno(err, -ENOMEM, "%s", name);
	return shown;
}

static int start_progress(struct cmd *cmd, const struct hash_options *o,
			  struct platter_progress **out,
			  struct platter_error *err)
{
	struct cmd_progress opts = o->progress;

	/* Percentages go to standard error: the hashes are on the other. */
	if (!opts.show && o->piece && isatty(fileno(cmd->out)))
		opts.quiet = true;
	return cmd_progress_start(cmd, &opts, PLATTER_OUTPUT_JSON, out, err);
}

static int hash_image(struct report *r, struct platter_error *err)
{
	struct platter_image *img cmd_auto_image = NULL;
	struct platter_hash_options job = {
		.algorithms = r->o->algorithms,
		.piece = r->o->piece,
		.found = found,
		.arg = r,
		.workers = r->o->workers,
	};
	int rc;

	rc = cmd_image_open(r->cmd, &r->o->image, r->name, 0,
			    PLATTER_CACHE_WRITEBACK, &img, err);
	if (!rc)
		rc = start_progress(r->cmd, r->o, &job.progress, err);
	if (rc)
		return rc;
	begin_image(r, img);
	rc = cmd_progress_end(job.progress, platter_hash(img, &job, err));
	end_image(r);
	return rc;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct report r = { .cmd = cmd, .o = options_ };
	int rc = begin_report(&r, err);

	for (unsigned int i = 0; i < cmd->nr_args && !rc; i++) {
		r.name = cmd->args[i];
		r.shown = shown_name(r.o, r.name, err);
		rc = r.shown ? hash_image(&r, err) : -ENOMEM;
		free(r.shown);
	}
	return end_report(&r, rc, err);
}

const struct cmd_verb cmd_hash = {
	.name = "hash",
	.group = "Disk images",
	.summary = "print hashes of what is in images",
	.examples =
		"  platter hash disk.qcow2 disk.raw\n"
		"  platter hash -a md5,sha256 --piecewise=1M disk.raw\n"
		"  platter hash -a md5 --output=dfxml disk.qcow2\n",
	.argp = &argp,
	.options_size = sizeof(struct hash_options),
	.trouble = CMD_TROUBLE,
	.run = run,
};
