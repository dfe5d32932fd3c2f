/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * States by name, for the verbs that look at one.
 *
 * The log of a recovery is kept nowhere: for a state of it the recovery is run
 * again, on the same first state. Where it writes the time, or something else
 * that is never the same, so does the state.
 */
#include <string.h>

#include "crash.h"

enum {
	KEY_RECOVER = CMD_KEY_FIRST + 300,
	KEY_RECOVERY,
};

static const struct argp_option options[] = {
	{ .name = "recover", .key = KEY_RECOVER, .arg = "COMMAND",
	  .doc = "for STATE@STATE: what crash explore was told to recover "
		 "with" },
	{ .name = "recovery", .key = KEY_RECOVERY, .arg = "HASH",
	  .doc = "for STATE@STATE: it is an error if the recovery writes "
		 "something else than when crash show printed this" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct cmd_crash_again *o = state->input;

	switch (key) {
	case KEY_RECOVER:
		o->recover = arg;
		return 0;
	case KEY_RECOVERY:
		o->recovery = arg;
		return 0;
	case ARGP_KEY_END:
		if (o->recovery && !o->recover)
			return cmd_usage(state, "--recovery needs --recover");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp cmd_crash_again_argp = {
	.options = options,
	.parser = parse,
};

/* ---- names in files ---- */

#define NAME_MAX_BYTES	(UINT32_C(16) << 20)

static int read_name(FILE *f, char **name, struct platter_error *err)
{
	char *text = malloc(NAME_MAX_BYTES + 1);
	size_t len;

	if (!text)
		return platter_error_errno(err, -ENOMEM, "names");
	*name = text;
	len = fread(text, 1, NAME_MAX_BYTES + 1, f);
	if (ferror(f))
		return platter_error_errno(err, -errno, "reading");
	if (len > NAME_MAX_BYTES)
		return platter_error_set(err, -EFBIG, "a name over the limit "
					 "of %" PRIu32 " bytes",
					 NAME_MAX_BYTES);
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

int cmd_crash_read_state(struct cmd *cmd, struct platter_error *err)
{
	const char *file = cmd->args[1] + 1;
	FILE *f;
	int rc;

	if (*cmd->args[1] != '@')
		return 0;
	f = fopen(file, "re");
	if (!f)
		return platter_error_errno(err, -errno, "%s", file);
	rc = read_name(f, &cmd->read_arg, err);
	fclose(f);
	cmd->args[1] = rc ? cmd->args[1] : cmd->read_arg;
	return platter_error_prefix(err, rc, "%s", file);
}

/* ---- the recovery, again ---- */

static int compare(const char *then, const struct platter_crash_recovery *now,
		   struct platter_error *err)
{
	struct platter_crash_recovery r;
	int rc;

	if (!then)
		return 0;
	rc = platter_crash_recovery_parse(&r, then, err);
	return rc ? rc : platter_crash_recovery_compare(&r, now, err);
}

static int recover(const struct cmd_crash_lab *lab,
		   const struct cmd_crash_again *o,
		   struct platter_crash *crash, const char *name,
		   struct cmd_crash_named *out, struct platter_error *err)
{
	struct platter_crash_result result = { .output = NULL };
	struct platter_crash_recovery did;
	int rc;

	rc = platter_crash_recover_state(&out->state, crash, name,
					 lab->recover_harness, &did, &result,
					 err);
	platter_crash_result_clear(&result);
	if (rc)
		return rc;
	out->nested = platter_crash_state_crash(out->state);
	platter_crash_recovery_text(out->recovery, &did);
	out->first = strndup(name, (size_t)(strrchr(name, '@') - name));
	if (!out->first)
		return platter_error_errno(err, -ENOMEM, "names");
	return compare(o->recovery, &did, err);
}

int cmd_crash_named_open(struct cmd *cmd, const struct cmd_crash_again *o,
			 struct platter_crash *crash, const char *name,
			 struct cmd_crash_named *out,
			 struct platter_error *err)
{
	char always[] = "true";
	char *words[] = { always, NULL };
	const struct cmd_crash_checkers checkers = {
		.recover = o->recover,
		.slots = 1,
		.words = words,
		.nr_words = 1,
	};
	struct cmd_crash_lab lab;
	int rc;

	*out = (struct cmd_crash_named) { .state = NULL };
	if (!o->recover)
		return platter_crash_state_parse(&out->state, crash, name, err);
	rc = cmd_crash_lab_open(cmd, &checkers, crash, false, &lab, err);
	if (rc)
		return rc;
	rc = recover(&lab, o, crash, name, out, err);
	cmd_crash_lab_close(&lab);
	return rc;
}

void cmd_crash_named_close(struct cmd_crash_named *named)
{
	platter_crash_state_unref(named->state);
	platter_crash_recovery_close(named->nested);
	free(named->first);
}
