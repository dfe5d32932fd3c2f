/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the verbs of `platter crash` work with: a log, opened, and a place where
 * its states are checked.
 *
 * Checkers come before the presenter: those that are commands start processes,
 * which is done before there are threads.
 */
#include <string.h>
#include <unistd.h>

#include "crash.h"
#include "served.h"

void cmd_cleanup_crash(struct platter_crash **crash)
{
	platter_crash_close(*crash);
}

void cmd_cleanup_crash_state(struct platter_crash_state **state)
{
	if (*state)
		platter_crash_state_unref(*state);
}

/* ---- the log ---- */

/*
 * A log that begins by discarding the whole disk says what was there: nothing
 * that counts.
 */
static int begins_empty(struct platter_crash *crash, bool *empty,
			struct platter_error *err)
{
	struct platter_log_cursor *cursor cmd_auto_cursor = NULL;
	struct platter_log_entry e;
	uint64_t end = 0;
	int rc;

	rc = platter_log_cursor_new(&cursor, platter_crash_log(crash), 0, err);
	while (!rc) {
		rc = platter_log_next(cursor, &e, err);
		if (rc || (e.length && !(e.flags & PLATTER_LOG_DISCARD)))
			break;
		if (e.length && e.start <= end && e.start + e.length > end)
			end = e.start + e.length;
	}
	*empty = end >= platter_crash_size(crash);
	return rc < 0 ? rc : 0;
}

static int say_zeros(struct cmd *cmd, struct platter_crash *crash,
		     struct platter_error *err)
{
	bool empty;
	int rc = begins_empty(crash, &empty, err);

	if (!rc && !empty)
		fprintf(cmd->err, "%s: no --base: the disk is taken to be "
			"zeros before the log begins\n", cmd->as->name);
	return rc;
}

int cmd_crash_open(struct cmd *cmd, const struct cmd_crash_log *o,
		   const char *log, const struct cmd_progress *progress,
		   enum platter_output kind, struct platter_crash **out,
		   struct platter_error *err)
{
	/* Percentages for a program are for the work that follows. */
	const struct cmd_progress own = {
		.quiet = progress && progress->quiet,
	};
	struct platter_crash_options opts = {
		.base = o->base,
		.base_format = o->base_format,
		.log = {
			.flags = o->log.share ? PLATTER_O_SHARE : 0,
			.sector_size = o->log.sector_size,
			.index = o->log.index,
		},
		.size = o->size,
		.cover = o->cover,
	};
	int rc;

	rc = cmd_progress_start(cmd, &own, kind, &opts.progress, err);
	if (rc)
		return rc;
	rc = cmd_progress_end(opts.progress,
			      platter_crash_open(out, cmd->ctx, log, &opts,
						 err));
	if (!rc && !o->base && !own.quiet)
		rc = say_zeros(cmd, *out, err);
	return rc;
}

/* ---- checkers ---- */

static unsigned int default_slots(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (unsigned int)n : 1;
}

static int add_builtin(const struct cmd_crash_checkers *o, const char *spec,
		       struct platter_crash *crash, struct cmd_crash_lab *lab,
		       struct platter_error *err)
{
	const struct platter_crash_builtin_options opts = {
		.crash = crash,
		.spec = spec,
		.fs = cmd_key_values_get(&o->builtin, "fs"),
		.slots = lab->slots,
		.dir = lab->dir,
	};
	int rc = platter_crash_builtin_new(&lab->checkers[lab->nr_checkers],
					   &opts, err);

	if (!rc)
		lab->nr_checkers++;
	return rc;
}

static int add_command(const struct cmd_crash_checkers *o,
		       struct cmd_crash_lab *lab, struct platter_error *err)
{
	const struct platter_crash_command_options opts = {
		.words = o->words,
		.slots = lab->slots,
	};
	int rc = platter_crash_command_new(&lab->checkers[lab->nr_checkers],
					   &opts, err);

	if (!rc)
		lab->nr_checkers++;
	return rc;
}

static bool is_fs(const char *spec)
{
	return !strncmp(spec, "fs=", 3);
}

/* A file system first: what is in it can be looked at once it is recovered. */
static int make_checkers(const struct cmd_crash_checkers *o,
			 struct platter_crash *crash, struct cmd_crash_lab *lab,
			 struct platter_error *err)
{
	char *const *list = o->builtin.list;
	int rc = 0;

	if (!o->words && !o->builtin.count)
		return platter_error_set(err, -EINVAL, "nothing says how to "
					 "check a state: write a command "
					 "behind --, or give --fs, --image, "
					 "--sqlite or --acked");
	lab->checkers = calloc(o->builtin.count + 1, sizeof(*lab->checkers));
	if (!lab->checkers)
		return platter_error_errno(err, -ENOMEM, "checkers");
	for (int fs = 1; fs >= 0; fs--)
		for (size_t i = 0; !rc && i < o->builtin.count; i++)
			if (is_fs(list[i]) == fs)
				rc = add_builtin(o, list[i], crash, lab, err);
	if (!rc && o->words)
		rc = add_command(o, lab, err);
	return rc;
}

/* A line for the shell, as a checker of its own. */
static int make_recover(const struct cmd_crash_checkers *o,
			struct cmd_crash_lab *lab, struct platter_error *err)
{
	struct platter_crash_command_options opts = { .slots = lab->slots };

	if (!o->recover)
		return 0;
	lab->recover[0] = "sh";
	lab->recover[1] = "-c";
	lab->recover[2] = o->recover;
	opts.words = (char *const *)(uintptr_t)lab->recover;
	return platter_crash_command_new(&lab->recover_checker, &opts, err);
}

/* As one would type it, near enough. */
static int describe(const struct cmd_crash_checkers *o,
		    struct cmd_crash_lab *lab, struct platter_error *err)
{
	size_t size;
	FILE *f = open_memstream(&lab->description, &size);

	if (!f)
		return platter_error_errno(err, -ENOMEM, "checkers");
	for (size_t i = 0; i < o->builtin.count; i++)
		fprintf(f, "%s%s", i ? " " : "", o->builtin.list[i]);
	for (unsigned int i = 0; i < o->nr_words; i++) {
		bool quote = !*o->words[i] || strpbrk(o->words[i], " \t\n");

		fprintf(f, "%s%s%s%s", i || o->builtin.count ? " " : "",
			quote ? "'" : "", o->words[i], quote ? "'" : "");
	}
	if (fclose(f))
		return platter_error_errno(err, -ENOMEM, "checkers");
	return 0;
}

/* ---- the presenter ---- */

static enum serve_states_how how(const struct cmd_crash_checkers *o,
				 bool needs_uri)
{
	if (!o->present)
		return needs_uri ? SERVE_STATES_NBD : SERVE_STATES_ANY;
	if (!strcmp(o->present, "nbd"))
		return SERVE_STATES_NBD;
	return strcmp(o->present, "fuse") ? SERVE_STATES_COPY :
					    SERVE_STATES_FUSE;
}

static int make_presenter(struct cmd *cmd, const struct cmd_crash_checkers *o,
			  struct platter_crash *crash, bool watch_reads,
			  struct cmd_crash_lab *lab, struct platter_error *err)
{
	struct serve_states_options opts = {
		.slots = lab->slots,
		.size = platter_crash_size(crash),
		.exact_reads = watch_reads,
	};
	bool needs_path = false, needs_uri = false;
	const char *why = NULL;
	int rc;

	for (size_t i = 0; i < lab->nr_checkers; i++) {
		needs_path |= lab->checkers[i]->needs_path;
		needs_uri |= lab->checkers[i]->needs_uri;
	}
	if (!needs_path && !needs_uri && !o->present)
		return 0;
	if (needs_uri && o->present && strcmp(o->present, "nbd"))
		return platter_error_set(err, -EINVAL, "{nbd} needs --present "
					 "nbd, not %s", o->present);
	opts.dir = lab->dir;
	opts.how = how(o, needs_uri);
	rc = serve_states_new(&lab->presenter, &opts, &why, err);
	if (!rc && why)
		fprintf(cmd->err, "%s: states are %s, as FUSE is not to be "
			"had: %s\n", cmd->as->name, lab->presenter->how, why);
	return rc;
}

/* ---- all together ---- */

/* All that is made in files and mounted is below it. */
static int make_dir(struct cmd_crash_lab *lab, struct platter_error *err)
{
	int rc = cmd_served_make_dir(&lab->dir, err);

	return rc ? rc : cmd_crash_guard_start(lab->dir, &lab->guard,
					       &lab->guard_pid, err);
}

static int make_harnesses(const struct cmd_crash_checkers *o,
			  struct cmd_crash_lab *lab, struct platter_error *err)
{
	struct platter_crash_harness_options opts = {
		.slots = lab->slots,
		.checkers = lab->checkers,
		.nr_checkers = lab->nr_checkers,
		.presenter = lab->presenter,
		.timeout_ms = o->timeout_ms,
		.confirm = o->confirm,
		.memory = o->memory,
		.dir = lab->dir,
	};
	int rc = platter_crash_harness_new(&lab->harness, &opts, err);

	if (rc || !o->recover)
		return rc;
	opts.checkers = &lab->recover_checker;
	opts.nr_checkers = 1;
	opts.confirm = 0;
	return platter_crash_harness_new(&lab->recover_harness, &opts, err);
}

int cmd_crash_lab_open(struct cmd *cmd, const struct cmd_crash_checkers *o,
		       struct platter_crash *crash, bool watch_reads,
		       struct cmd_crash_lab *lab, struct platter_error *err)
{
	int rc;

	*lab = (struct cmd_crash_lab){
		.slots = o->slots ? o->slots : default_slots(),
		.guard = -1,
	};
	rc = make_dir(lab, err);
	if (!rc)
		rc = make_checkers(o, crash, lab, err);
	if (!rc)
		rc = make_recover(o, lab, err);
	if (!rc)
		rc = describe(o, lab, err);
	if (!rc)
		rc = make_presenter(cmd, o, crash, watch_reads, lab, err);
	if (!rc)
		rc = make_harnesses(o, lab, err);
	if (rc)
		cmd_crash_lab_close(lab);
	return rc;
}

void cmd_crash_lab_close(struct cmd_crash_lab *lab)
{
	platter_crash_harness_free(lab->recover_harness);
	platter_crash_harness_free(lab->harness);
	platter_crash_presenter_free(lab->presenter);
	platter_crash_checker_free(lab->recover_checker);
	for (size_t i = 0; i < lab->nr_checkers; i++)
		platter_crash_checker_free(lab->checkers[i]);
	free(lab->checkers);
	free(lab->description);
	if (lab->dir)
		rmdir(lab->dir);
	free(lab->dir);
	cmd_crash_guard_end(lab->guard, lab->guard_pid);
	*lab = (struct cmd_crash_lab){ .guard = -1 };
}
