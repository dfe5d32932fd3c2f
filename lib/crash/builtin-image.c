/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checker image=FORMAT: the disk is the file of an image, which is to be whole,
 * and to hold what its guest had flushed.
 *
 * Leaks are what a crash may leave. An image that is marked as dirty is first
 * opened for writing, as whoever uses it next would, which mends it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "crash/builtin.h"
#include "wlog/recording.h"

#define NOTES_MAX	32u	/* damaged places told of */

static int open_image(struct plt_builtin *b, struct platter_image *disk,
		      unsigned int flags, struct platter_image **out,
		      struct platter_error *err)
{
	struct platter_image *file;
	int rc;

	rc = plt_recording_new(&file, disk, err);	/* `disk` is not ours */
	return rc ? rc : plt_image_open_over(out, file, b->value,
					     flags | PLATTER_O_NO_BACKING, err);
}

/* What an error says of the state; no memory says nothing of it. */
static int bad_state(struct platter_crash_result *result, int rc,
		     const char *what, const struct platter_error *why,
		     struct platter_error *err)
{
	if (rc == -ENOMEM)
		return plt_err_nomem(err, 0);
	plt_builtin_note(result, "%s: %s", what, why->msg);
	return plt_builtin_verdict(result, PLATTER_CRASH_FAIL, "%s: %s", what,
				   why->msg);
}

/* ---- whole ---- */

struct notes {
	struct platter_crash_result *result;
	unsigned int nr;
	char first[200];
};

static void found(void *arg, const struct platter_check_place *place)
{
	struct notes *n = arg;

	if (place->leak)
		return;
	if (!n->nr)
		snprintf(n->first, sizeof(n->first), "%s", place->text);
	if (n->nr++ < NOTES_MAX)
		plt_builtin_note(n->result, "%s", place->text);
}

static int check_whole(struct platter_image *img,
		       struct platter_crash_result *result,
		       struct platter_error *err)
{
	struct platter_error why = PLATTER_ERROR_INIT;
	struct platter_check_result r = { 0 };
	struct notes notes = { .result = result };
	const struct platter_check_options opts = {
		.found = found,
		.arg = &notes,
	};
	int rc;

	rc = platter_image_check(img, &opts, &r, &why);
	if (rc == -ENOTSUP)
		return 0;	/* nothing in the format to check */
	if (rc)
		return bad_state(result, rc, "checking", &why, err);
	if (!r.corruptions && !r.check_errors)
		return 0;
	return plt_builtin_verdict(result, PLATTER_CRASH_FAIL, "%" PRIu64
				   " corruptions and %" PRIu64 " errors: %s",
				   r.corruptions, r.check_errors, notes.first);
}

/* ---- the checker ---- */

static int image_open(struct plt_builtin *b, struct platter_error *err)
{
	const struct platter_driver *drv;
	struct plt_guests *g = NULL;
	int rc;

	drv = plt_driver_find(b->crash->ctx, b->value);
	if (!drv || drv->kind != PLATTER_DRIVER_FORMAT)
		return plt_err_set(err, -EINVAL, "%s: \"%s\" is not an image "
				   "format; platter --help lists them",
				   b->name, b->value);
	rc = plt_guests_new(&g, b->crash, drv->name, err);
	b->state = g;
	return rc;
}

/* Mend what is dirty: 1 = it was, and `img` is closed. */
static int mend(struct plt_builtin *b, const struct platter_crash_task *task,
		struct platter_image *img, struct platter_error *why)
{
	struct platter_image_facts facts = { 0 };
	int rc;

	rc = platter_image_facts(img, &facts, why);
	if (rc == -ENOTSUP || (!rc && !facts.dirty))
		return 0;
	platter_image_close(img, NULL);
	if (!rc)
		rc = open_image(b, task->img, PLATTER_O_RDWR, &img, why);
	if (!rc)
		rc = platter_image_close(img, why);
	return rc ? rc : 1;
}

static int image_check(struct plt_builtin *b,
		       const struct platter_crash_task *task,
		       struct platter_crash_result *result,
		       struct platter_error *err)
{
	struct platter_error why = PLATTER_ERROR_INIT;
	struct platter_image *img = NULL;
	int rc;

	rc = open_image(b, task->img, PLATTER_O_CHECK, &img, &why);
	if (!rc)
		rc = mend(b, task, img, &why);
	if (rc == 1)
		rc = open_image(b, task->img, PLATTER_O_CHECK, &img, &why);
	if (rc)
		return bad_state(result, rc, "opening", &why, err);
	rc = check_whole(img, result, err);
	if (!rc)
		rc = plt_guests_compare(b->state, task->state, img, result,
					err);
	platter_image_close(img, NULL);
	return rc;
}

static void image_close(struct plt_builtin *b)
{
	plt_guests_free(b->state);
}

const struct plt_builtin_kind plt_builtin_image = {
	.name = "image",
	.values = "qcow2 or another format",
	.open = image_open,
	.check = image_check,
	.close = image_close,
};
