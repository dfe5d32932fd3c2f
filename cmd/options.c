/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The option groups that verbs share.
 *
 * A verb lists a group among its argp children and hands it the part of its
 * own options struct in ARGP_KEY_INIT.
 */
#include <string.h>
#include <unistd.h>

#include "cmd.h"

enum {
	KEY_OUTPUT = CMD_KEY_SHARED,
	KEY_IMAGE_OPTS,
	KEY_FOLLOW,
	KEY_OBJECT,
	KEY_FROM,
	KEY_TO,
	KEY_SECTOR_SIZE,
	KEY_INDEX,
};

/* ---- --output ---- */

static const struct argp_option output_options[] = {
	{ .name = "output", .key = KEY_OUTPUT, .arg = "human|json|xml",
	  .doc = "how to print the result (human)" },
	{ 0 },
};

static error_t parse_output(int key, char *arg, struct argp_state *state)
{
	struct cmd_output *o = state->input;
	struct platter_error e = PLATTER_ERROR_INIT;

	if (key != KEY_OUTPUT)
		return ARGP_ERR_UNKNOWN;
	if (cmd_of(state)->as->no_xml && !strcmp(arg, "xml"))
		return cmd_usage(state, "--output is human or json");
	if (platter_output_parse(&o->kind, arg, &e))
		return cmd_usage(state, "%s", e.msg);
	return 0;
}

const struct argp cmd_output_argp = {
	.options = output_options,
	.parser = parse_output,
};

/* ---- --follow, --object ---- */

static const struct argp_option files_options[] = {
	{ .name = "follow", .key = KEY_FOLLOW, .arg = "none|beneath|any",
	  .doc = "which files an image may name and have opened: none, those "
		 "in or below its own directory (beneath), any" },
	{ .name = "object", .key = KEY_OBJECT, .arg = "secret,id=ID,...",
	  .doc = "a key, as qemu-img takes it; no format here uses one" },
	{ 0 },
};

static error_t parse_follow(struct argp_state *state, const char *arg)
{
	static const struct {
		const char *name;
		enum platter_follow follow;
	} table[] = {
		{ "none", PLATTER_FOLLOW_NONE },
		{ "beneath", PLATTER_FOLLOW_BENEATH },
		{ "any", PLATTER_FOLLOW_ANY },
	};

	for (size_t i = 0; i < CMD_ARRAY_SIZE(table); i++) {
		if (strcmp(table[i].name, arg))
			continue;
		cmd_of(state)->follow = table[i].follow;
		return 0;
	}
	return cmd_usage(state, "--follow: '%s' is not none, beneath or any",
			 arg);
}

/* Nothing reads a key yet; only what is not one at all is an error. */
static error_t check_object(struct argp_state *state, const char *arg)
{
	size_t len = strcspn(arg, ",");

	if (len != strlen("secret") || strncmp(arg, "secret", len))
		return cmd_usage(state, "--object: '%.*s' is not secret",
				 (int)len, arg);
	if (!strstr(arg + len, ",id="))
		return cmd_usage(state, "--object: the secret has no id");
	return 0;
}

static error_t parse_files(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case KEY_FOLLOW:
		return parse_follow(state, arg);
	case KEY_OBJECT:
		return check_object(state, arg);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp cmd_files_argp = {
	.options = files_options,
	.parser = parse_files,
};

/* ---- -f, --image-opts, -U ---- */

static const struct argp_option image_options[] = {
	{ .name = "format", .key = 'f', .arg = "FORMAT",
	  .doc = "format of the image (probed)" },
	{ .name = "image-opts", .key = KEY_IMAGE_OPTS,
	  .doc = "the name is driver=...,key=value,..., not a file name" },
	{ .name = "force-share", .key = 'U',
	  .doc = "open an image that another program has open for writing" },
	{ 0 },
};

static error_t parse_image(int key, char *arg, struct argp_state *state)
{
	struct cmd_image *o = state->input;

	switch (key) {
	case 'f':
		o->format = arg;
		return 0;
	case KEY_IMAGE_OPTS:
		o->image_opts = true;
		return 0;
	case 'U':
		o->share = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child image_children[] = {
	CMD_CHILD_FILES,
	{ 0 },
};

const struct argp cmd_image_argp = {
	.options = image_options,
	.parser = parse_image,
	.children = image_children,
};

int cmd_image_open(struct cmd *cmd, const struct cmd_image *opts,
		   const char *spec, unsigned int flags,
		   enum platter_cache cache, struct platter_image **out,
		   struct platter_error *err)
{
	struct platter_open_options open = {
		.format = opts->format,
		.image_opts = opts->image_opts,
		.flags = flags | (opts->share ? PLATTER_O_SHARE : 0),
		.cache = cache,
	};

	return platter_image_open(out, cmd->ctx, spec, &open, err);
}

/* ---- -p, -q ---- */

static const struct argp_option progress_options[] = {
	{ .name = "progress", .key = 'p',
	  .doc = "show progress where there is no terminal, too" },
	{ .name = "quiet", .key = 'q',
	  .doc = "print nothing but errors" },
	{ 0 },
};

static error_t parse_progress(int key, char *arg, struct argp_state *state)
{
	struct cmd_progress *o = state->input;

	(void)arg;
	switch (key) {
	case 'p':
		o->show = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp cmd_progress_argp = {
	.options = progress_options,
	.parser = parse_progress,
};

/*
 * qemu-img prints percentages on standard output, and programs read them
 * there; so do we when asked to and nobody is looking at a terminal. Where
 * standard output carries JSON they go to standard error.
 */
int cmd_progress_start(struct cmd *cmd, const struct cmd_progress *opts,
		       enum platter_output kind, struct platter_progress **out,
		       struct platter_error *err)
{
	enum platter_progress_style style = PLATTER_PROGRESS_NONE;
	const char *term = getenv("TERM");
	bool terminal = isatty(fileno(cmd->err)) &&
			!(term && !strcmp(term, "dumb"));
	bool human = kind == PLATTER_OUTPUT_HUMAN;
	FILE *stream = cmd->err;

	*out = NULL;
	if (cmd->as->plain_progress) {
		style = opts->show && !opts->quiet ? PLATTER_PROGRESS_QEMU :
						     PLATTER_PROGRESS_NONE;
		stream = cmd->out;
	} else if (opts->show && !opts->quiet &&
	    !(terminal && (!human || isatty(fileno(cmd->out))))) {
		style = PLATTER_PROGRESS_QEMU;
		stream = human ? cmd->out : cmd->err;
	} else if (terminal && !opts->quiet) {
		style = PLATTER_PROGRESS_BAR;
	}
	return platter_progress_new(out, style, stream, err);
}

int cmd_progress_end(struct platter_progress *progress, int rc)
{
	platter_progress_free(progress, rc >= 0);
	return rc;
}

bool cmd_is_quiet(const struct cmd_progress *opts,
		  const struct cmd_output *output)
{
	return opts->quiet && output->kind == PLATTER_OUTPUT_HUMAN;
}

/* ---- --from, --to ---- */

static const struct argp_option points_options[] = {
	{ .name = "from", .key = KEY_FROM, .arg = "POINT",
	  .doc = "start at this point (0)" },
	{ .name = "to", .key = KEY_TO, .arg = "POINT",
	  .doc = "stop at this point (end): N, mark:NAME, mark:NAME#K, "
		 "flush:K, fua:K, end; with +k or -k behind" },
	{ 0 },
};

static error_t parse_points(int key, char *arg, struct argp_state *state)
{
	struct cmd_points *o = state->input;

	switch (key) {
	case KEY_FROM:
		o->from = arg;
		return 0;
	case KEY_TO:
		o->to = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp cmd_points_argp = {
	.options = points_options,
	.parser = parse_points,
};

int cmd_points_resolve(const struct cmd_points *points,
		       struct platter_log *log, uint64_t *from, uint64_t *to,
		       struct platter_error *err)
{
	int rc;

	*from = 0;
	if (points->from) {
		rc = platter_log_point(log, points->from, from, err);
		if (rc)
			return rc;
	}
	rc = platter_log_point(log, points->to ? points->to : "end", to, err);
	if (rc)
		return rc;
	if (*from > *to)
		return platter_error_set(err, -EINVAL,
			"--from is point %" PRIu64 ", behind --to at point %"
			PRIu64, *from, *to);
	return 0;
}

/* ---- --sector-size, --index, -U ---- */

static const struct argp_option log_options[] = {
	{ .name = "sector-size", .key = KEY_SECTOR_SIZE, .arg = "BYTES",
	  .doc = "log sector size, against what the super block says" },
	{ .name = "index", .key = KEY_INDEX, .arg = "FILE|none",
	  .doc = "where the log's index is kept (LOG.idx)" },
	{ .name = "force-share", .key = 'U',
	  .doc = "open a log that another program has open for writing" },
	{ 0 },
};

static error_t parse_log(int key, char *arg, struct argp_state *state)
{
	struct cmd_log *o = state->input;

	switch (key) {
	case KEY_SECTOR_SIZE:
		return cmd_parse_sector_size(state, arg, &o->sector_size);
	case KEY_INDEX:
		o->index = strcmp(arg, "none") ? arg : "";
		return 0;
	case 'U':
		o->share = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp cmd_log_argp = {
	.options = log_options,
	.parser = parse_log,
};

int cmd_log_open(struct cmd *cmd, const struct cmd_log *opts, const char *name,
		 struct platter_log **out, struct platter_error *err)
{
	struct platter_log_options open = {
		.flags = opts->share ? PLATTER_O_SHARE : 0,
		.sector_size = opts->sector_size,
		.index = opts->index,
	};

	return platter_log_open(out, cmd->ctx, name, &open, err);
}

/* ---- scope-owned ---- */

/* For images open for reading, whose close has nothing to report. */
void cmd_cleanup_image(struct platter_image **img)
{
	platter_image_close(*img, NULL);
}

void cmd_cleanup_log(struct platter_log **log)
{
	platter_log_close(*log);
}

void cmd_cleanup_cursor(struct platter_log_cursor **cursor)
{
	if (*cursor)
		platter_log_cursor_free(*cursor);
}
