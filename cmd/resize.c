/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter resize`: change the size of the disk in an image.
 *
 * A size may begin with '-', and does not need "--" in front of it: the digits
 * are options, hidden ones, which take the rest of their word.
 */
#include <ctype.h>
#include <string.h>

#include "cmd.h"

enum {
	KEY_PREALLOCATION = CMD_KEY_FIRST,
	KEY_SHRINK,
};

struct resize_options {
	struct cmd_image image;
	const char *below;	/* what follows the '-' of a size */
	char digit;		/* the first of it */
	enum platter_preallocation preallocation;
	bool shrink;
	bool quiet;
};

#define DIGIT(c) \
	{ .key = c, .arg = "SIZE", \
	  .flags = OPTION_ARG_OPTIONAL | OPTION_HIDDEN }

static const struct argp_option options[] = {
	{ .name = "preallocation", .key = KEY_PREALLOCATION, .arg = "MODE",
	  .doc = "of what is added: off, metadata, falloc or full (off)" },
	{ .name = "shrink", .key = KEY_SHRINK,
	  .doc = "allow a size that cuts data off" },
	{ .name = "quiet", .key = 'q', .doc = "print nothing but errors" },
	DIGIT('0'), DIGIT('1'), DIGIT('2'), DIGIT('3'), DIGIT('4'),
	DIGIT('5'), DIGIT('6'), DIGIT('7'), DIGIT('8'), DIGIT('9'),
	{ 0 },
};

static error_t parse_preallocation(const struct argp_state *state,
				   struct resize_options *o, const char *arg)
{
	struct platter_error e = PLATTER_ERROR_INIT;

	if (platter_preallocation_parse(&o->preallocation, arg, &e))
		return cmd_usage(state, "%s", e.msg);
	return 0;
}

static error_t set_below(const struct argp_state *state,
			 struct resize_options *o, int digit, const char *arg)
{
	if (o->digit)
		return cmd_usage(state, "SIZE is given twice");
	o->digit = (char)digit;
	o->below = arg ? arg : "";
	return 0;
}

static error_t check(const struct argp_state *state,
		     const struct resize_options *o)
{
	unsigned int names = cmd_of(state)->nr_args;

	if (o->image.share)
		return cmd_usage(state, "-U is for reading: an image in use "
				 "is not changed");
	if (names == 1 && !o->digit)
		return cmd_usage(state, "SIZE is missing");
	if (names == 2 && o->digit)
		return cmd_usage(state, "SIZE is given twice");
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct resize_options *o = state->input;

	if (key > 0 && key < CMD_KEY_FIRST && isdigit(key))
		return set_below(state, o, key, arg);
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->image;
		return 0;
	case KEY_PREALLOCATION:
		return parse_preallocation(state, o, arg);
	case KEY_SHRINK:
		o->shrink = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case ARGP_KEY_END:
		return check(state, o);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_IMAGE,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "IMAGE [SIZE]",
	.doc = "Make the disk in an image SIZE bytes large, or larger or "
	       "smaller by as much with a '+' or '-' in front of it; k, M, G, "
	       "T, P and E stand for powers of 1024.",
	.children = children,
};

/* ---- the new size ---- */

static int not_positive(struct platter_error *err)
{
	return platter_error_set(err, -EINVAL,
				 "New image size must be positive");
}

static int new_size(const struct cmd *cmd, const struct resize_options *o,
		    uint64_t now, uint64_t *out, struct platter_error *err)
{
	const char *text = cmd->nr_args > 1 ? cmd->args[1] : NULL;
	char below[64];
	char sign = 0;
	uint64_t n;
	int rc;

	if (!text) {
		sign = '-';
		snprintf(below, sizeof(below), "%c%s", o->digit, o->below);
		text = below;
	} else if (*text == '+' || *text == '-') {
		sign = *text++;
	}
	while (*text == ' ')
		text++;
	rc = platter_size_parse(&n, text, err);
	if (rc)
		return rc;
	if (sign == '-')
		n = n < now ? now - n : 0;
	else if (sign == '+' && n > (uint64_t)INT64_MAX - now)
		return platter_error_set(err, -EFBIG, "%" PRIu64 " more than %"
					 PRIu64 " bytes is over the limit of %"
					 PRId64, n, now, INT64_MAX);
	else if (sign == '+')
		n += now;
	if (!n)
		return not_positive(err);
	*out = n;
	return 0;
}

static int check_change(const struct resize_options *o, uint64_t now,
			uint64_t size, struct platter_error *err)
{
	if (size <= now && o->preallocation)
		return platter_error_set(err, -EINVAL,
			"Preallocation can only be used for growing images");
	if (size >= now || o->shrink)
		return 0;
	return platter_error_set(err, -EPERM, "Use the --shrink option to "
		"perform a shrink operation. Shrinking from %" PRIu64 " to %"
		PRIu64 " bytes will delete all data beyond the shrunken "
		"image's end.", now, size);
}

/* ---- doing it ---- */

static int resize(struct platter_image *img, const struct resize_options *o,
		  uint64_t size, struct platter_error *err)
{
	uint64_t now = platter_image_size(img);
	int rc;

	rc = platter_image_resize(img, size, err);
	if (rc || !o->preallocation)
		return rc;
	rc = platter_image_preallocate(img, now, platter_image_size(img) - now,
				       o->preallocation, err);
	/* Not with less than was asked for: as it was, then. */
	if (rc && platter_image_resize(img, now, NULL))
		platter_error_prefix(err, rc, "the disk has grown, but "
				     "nothing is preallocated");
	return rc;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	const struct resize_options *o = options_;
	struct platter_printer *out;
	struct platter_image *img;
	uint64_t size = 0;
	int rc, closed;

	rc = cmd_image_open(cmd, &o->image, cmd->args[0], PLATTER_O_RDWR,
			    PLATTER_CACHE_WRITEBACK, &img, err);
	if (rc)
		return rc;
	rc = new_size(cmd, o, platter_image_size(img), &size, err);
	if (!rc)
		rc = check_change(o, platter_image_size(img), size, err);
	if (!rc)
		rc = resize(img, o, size, err);
	closed = platter_image_close(img, rc ? NULL : err);
	rc = rc ? rc : closed;
	if (rc || o->quiet)
		return rc;
	rc = cmd_printer(cmd, PLATTER_OUTPUT_HUMAN, &out, err);
	if (!rc)
		platter_out_text(out, "Image resized.\n");
	return rc;
}

const struct cmd_verb cmd_resize = {
	.name = "resize",
	.group = "Disk images",
	.summary = "make the disk in an image larger or smaller",
	.examples =
		"  platter resize disk.qcow2 +10G\n"
		"  platter resize -f raw --shrink disk.raw 5G\n",
	.argp = &argp,
	.options_size = sizeof(struct resize_options),
	.flags = CMD_WRITES,
	.trouble = 1,
	.run = run,
};
