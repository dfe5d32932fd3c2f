/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A write log as an image: the device at a moment of its past.
 *
 * Children are `log` and, where the device did not start as zeros, `base`.
 * `at` is a point (see <platter/log.h>), the end when absent; with `from`, only
 * the entries between the two points count. Reading goes through the log's
 * index, which is loaded or built when the image is opened for I/O. `state`
 * is a crash state instead of a point (see <platter/crash.h>): it is worked
 * out when the image is opened, and is but a point with patches from then on.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <platter/log.h>
#include <platter/out.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/crash.h"
#include "drivers.h"
#include "wlog/wlog.h"

struct writelog {
	struct platter_log *log;
	struct plt_wlog_state state;
	char *crash;		/* the name of the crash state, or NULL */
};

static int open_children(struct platter_image *img,
			 struct platter_options *opts,
			 struct platter_error *err)
{
	int rc;

	rc = platter_image_open_child(img, "log", opts, "raw", 0, err);
	if (rc == -ENODATA)
		return plt_err_set(err, -EINVAL,
				   "driver 'writelog' needs the option 'log'");
	if (rc)
		return rc;
	rc = platter_image_open_child(img, "base", opts,
				      platter_options_string(opts,
							     "base-format"),
				      0, err);
	return rc == -ENODATA ? 0 : rc;
}

static int open_log(struct platter_image *img, struct platter_options *opts,
		    struct platter_error *err)
{
	struct writelog *w = platter_image_state(img);
	struct platter_log_options log_opts = {
		.index = platter_options_string(opts, "index"),
	};
	uint64_t sector_size = 0;
	int rc;

	rc = platter_options_size(opts, "log-sector-size", &sector_size, err);
	if (rc)
		return rc;
	log_opts.sector_size = PLT_MIN(sector_size, (uint64_t)UINT32_MAX);
	return plt_wlog_open(&w->log, platter_image_context(img),
			     platter_image_child(img, "log"), &log_opts, err);
}

static int choose_points(struct platter_image *img,
			 struct platter_options *opts,
			 struct platter_error *err)
{
	struct writelog *w = platter_image_state(img);
	const char *at = platter_options_string(opts, "at");
	const char *from = platter_options_string(opts, "from");
	const char *discard = platter_options_string(opts, "discard");
	int rc;

	if (discard && strcmp(discard, "zero") && strcmp(discard, "ignore"))
		return plt_err_set(err, -EINVAL,
				   "discard=%s: use zero or ignore", discard);
	w->state.no_discard = discard && !strcmp(discard, "ignore");
	rc = platter_log_point(w->log, at ? at : "end", &w->state.to, err);
	if (!rc && from)
		rc = platter_log_point(w->log, from, &w->state.from, err);
	if (!rc && w->state.from > w->state.to)
		return plt_err_set(err, -EINVAL,
				   "from=%s lies behind at=%s", from,
				   at ? at : "end");
	return rc;
}

/* As large as the smallest device that holds the whole log, and the base. */
static int choose_size(struct platter_image *img, struct platter_options *opts,
		       struct platter_error *err)
{
	const struct writelog *w = platter_image_state(img);
	const struct platter_image *base = platter_image_child(img, "base");
	uint64_t needed, size;
	int rc;

	rc = platter_log_extent_of(w->log, 0, UINT64_MAX, &needed, err);
	if (rc)
		return rc;
	size = base ? PLT_MAX(needed, platter_image_size(base)) : needed;
	rc = platter_options_size(opts, "size", &size, err);
	if (rc)
		return rc;
	if (size < needed)
		return plt_err_set(err, -EINVAL,
				   "size=%" PRIu64 ": the log writes up to %" PRIu64 " bytes",
				   size,
				   needed);
	platter_image_set_size(img, size);
	return 0;
}

/* ---- crash states ---- */

static int choose_cover(struct platter_options *opts,
			enum platter_crash_cover *cover,
			struct platter_error *err)
{
	const char *text = platter_options_string(opts, "flush-cover");

	*cover = text && !strcmp(text, "strict") ? PLATTER_CRASH_COVER_STRICT :
		 PLATTER_CRASH_COVER_LOGGED;
	if (text && strcmp(text, "strict") && strcmp(text, "logged"))
		return plt_err_set(err, -EINVAL,
				   "flush-cover=%s: use logged or strict",
				   text);
	return 0;
}

/* Options that say the same as a state would be ignored, or contradict it. */
static int check_alone(struct platter_options *opts, const char *name,
		       struct platter_error *err)
{
	static const char *const others[] = { "at", "from", "discard" };

	for (size_t i = 0; i < PLT_ARRAY_SIZE(others); i++)
		if (platter_options_string(opts, others[i]))
			return plt_err_set(err, -EINVAL,
					   "state=%s says all there is: leave out %s",
					   name, others[i]);
	return 0;
}

static int choose_crash(struct platter_image *img,
			struct platter_options *opts, const char *name,
			struct platter_error *err)
{
	struct writelog *w = platter_image_state(img);
	enum platter_crash_cover cover;
	struct platter_crash_state *state;
	struct platter_crash *crash;
	int rc;

	rc = check_alone(opts, name, err);
	if (!rc)
		rc = choose_cover(opts, &cover, err);
	if (!rc)
		rc = platter_log_index(w->log, NULL, err);
	if (!rc)
		rc = plt_crash_new(&crash, platter_image_context(img), w->log,
				   platter_image_child(img, "base"), 0, cover,
				   err);
	if (rc)
		return rc;
	rc = platter_crash_state_parse(&state, crash, name, err);
	if (!rc) {
		rc = plt_crash_state_view(state, &w->state, err);
		w->crash = plt_strdup(platter_crash_state_name(state), err);
		platter_crash_state_unref(state);
	}
	platter_crash_close(crash);
	return rc || w->crash ? rc : -ENOMEM;
}

static int choose(struct platter_image *img, struct platter_options *opts,
		  struct platter_error *err)
{
	const char *name = platter_options_string(opts, "state");

	if (name)
		return choose_crash(img, opts, name, err);
	return choose_points(img, opts, err);
}

static int open_moment(struct platter_image *img, struct platter_options *opts,
		       struct platter_error *err)
{
	struct writelog *w = platter_image_state(img);
	int rc = 0;

	w->state.log = w->log;
	if (!(platter_image_flags(img) & PLATTER_O_NO_IO))
		rc = platter_log_index(w->log, NULL, err);
	if (!rc)
		rc = choose(img, opts, err);
	if (!rc)
		rc = choose_size(img, opts, err);
	return rc ? rc : plt_wlog_resume_new(&w->state.resume, err);
}

static void release(struct writelog *w)
{
	plt_wlog_resume_free(w->state.resume);
	free((void *)w->state.patches);
	plt_wlog_shared_unref(w->state.under);
	free(w->crash);
	platter_log_close(w->log);
}

static int writelog_open(struct platter_image *img,
			 struct platter_options *opts,
			 struct platter_error *err)
{
	struct writelog *w = platter_image_state(img);
	int rc;

	if (platter_image_flags(img) & PLATTER_O_RDWR)
		return plt_err_set(err, -EROFS,
				   "a moment of a write log cannot be written; convert it to an image first");
	rc = open_children(img, opts, err);
	if (!rc)
		rc = open_log(img, opts, err);
	if (rc)
		return rc;
	rc = open_moment(img, opts, err);
	if (rc)
		release(w);
	return rc;
}

static void writelog_close(struct platter_image *img)
{
	release(platter_image_state(img));
}

static int writelog_map(struct platter_image *img, uint64_t offset,
			uint64_t len, struct platter_map *maps, size_t *count,
			struct platter_error *err)
{
	const struct writelog *w = platter_image_state(img);

	return plt_wlog_state_fill_maps(&w->state,
					platter_image_child(img, "base"),
					offset, len, maps, count, err);
}

static int writelog_read_special(struct platter_image *img, void *buf,
				 size_t len, uint64_t offset,
				 struct platter_error *err)
{
	const struct writelog *w = platter_image_state(img);

	return plt_wlog_state_read_noise(&w->state, buf, len, offset, err);
}

static int writelog_describe(struct platter_image *img,
			     struct platter_printer *out,
			     struct platter_error *err)
{
	const struct writelog *w = platter_image_state(img);
	const struct platter_log_summary *s;
	int rc;

	rc = platter_log_scan(w->log, NULL, &s, err);
	if (rc)
		return rc;
	platter_out_u64(out, "log-sector-size", s->sector_size);
	platter_out_u64(out, "entries", s->entries);
	platter_out_u64(out, "recovered", s->recovered);
	platter_out_u64(out, "marks", s->marks);
	if (w->crash) {
		platter_out_string(out, "state", w->crash);
	} else {
		platter_out_u64(out, "from", w->state.from);
		platter_out_u64(out, "at", w->state.to);
	}
	platter_out_bool(out, "damaged", s->damaged);
	return 0;
}

static const struct platter_magic magics[] = {
	{ "rhswfsj\0", 8, 0 },
};

static const struct platter_option options[] = {
	{ "log", "the write log: a file name, or a node (required)" },
	{ "base", "image the device started as; zeros when absent" },
	{ "base-format", "format of a base given as a file name; probed when absent" },
	{ "at", "the moment: N, mark:NAME, flush:K, fua:K or end (end)" },
	{ "from", "apply only the entries behind this point (0)" },
	{ "discard", "what discarded sectors hold: zero, or ignore discards (zero)" },
	{ "state", "a crash state, platter-crash(7), in place of the options above" },
	{ "flush-cover", "which writes a flush covers, for state: logged or strict (logged)" },
	{ "size", "bytes of the device (as small as log and base allow)" },
	{ "log-sector-size", "bytes, instead of what the super block says" },
	{ "index", "the log's index file (LOG.idx when it is there)" },
	{ NULL, NULL },
};

static const struct platter_format_ops format_ops = {
	.map = writelog_map,
	.read_special = writelog_read_special,
};

const struct platter_driver plt_writelog_driver = {
	.name = "writelog",
	.kind = PLATTER_DRIVER_FORMAT,
	.primary = "log",
	.state_size = sizeof(struct writelog),
	.magics = magics,
	.nr_magics = PLT_ARRAY_SIZE(magics),
	.options = options,
	.open = writelog_open,
	.close = writelog_close,
	.describe = writelog_describe,
	.format = &format_ops,
};
