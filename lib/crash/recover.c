/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two crashes: what a recovery writes is recorded, and is a log whose crash
 * states can be looked at like those of any other, on top of the first state.
 *
 * The log is a file without a name. A recovery that is run again may write
 * something else, as most note the time, so what one wrote can be told in a
 * few words and compared with what another did.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/mem.h"
#include "crash/crash.h"

#define PIECE	(256u << 10)	/* bytes hashed at once */

/* ---- the log ---- */

static int record(struct platter_crash_harness *harness, unsigned int slot,
		  const struct platter_crash_state *state, const char *name,
		  const char *path, struct platter_crash_result *result,
		  struct platter_error *err)
{
	const struct platter_open_options opts = {
		.format = "raw",
		.flags = PLATTER_O_RDWR,
	};
	struct platter_image *log;
	int rc, rc2;

	rc = platter_image_open(&log, state->crash->ctx, path, &opts, err);
	if (rc)
		return rc;
	rc = plt_crash_harness_record(harness, slot, state, name, log, result,
				      err);
	rc2 = platter_image_close(log, rc ? NULL : err);
	return rc ? rc : rc2;
}

static int open_nested(struct platter_crash **out,
		       const struct platter_crash_state *state,
		       const char *path, struct platter_error *err)
{
	struct platter_crash_options opts = {
		.log.format = "raw",
		.log.index = "",
		.size = state->crash->size,
	};
	int rc;

	rc = platter_crash_state_image(&opts.base_image, state, err);
	if (rc)
		return rc;
	rc = platter_crash_open(out, state->crash->ctx, path, &opts, err);
	if (rc) {
		platter_image_close(opts.base_image, NULL);
		return rc;
	}
	(*out)->owns_base = true;
	(*out)->outer = platter_crash_state_ref(state);
	return 0;
}

static bool wrote(const struct platter_crash *nested)
{
	for (uint64_t i = 0; i < nested->nr; i++) {
		if (plt_crash_writes(&nested->entry[i]))
			return true;
	}
	return false;
}

int plt_crash_recover(struct platter_crash_harness *harness,
		      unsigned int slot,
		      const struct platter_crash_state *state,
		      const char *name, struct platter_crash **nested,
		      struct platter_crash_result *result,
		      struct platter_error *err)
{
	int fd plt_auto_fd = -1;
	char path[64];
	int rc;

	*nested = NULL;
	if (!name)
		name = platter_crash_state_name(state);
	if (!name)
		return plt_err_nomem(err, 1);
	fd = plt_tmp_file("the log of a recovery", err);
	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = record(harness, slot, state, name, path, result, err);
	if (!rc)
		rc = open_nested(nested, state, path, err);
	if (rc)
		return plt_err_prefix(err, rc, "recovering from state %s",
				      name);
	if (!wrote(*nested)) {
		plt_crash_recover_close(*nested);
		*nested = NULL;
	}
	return 0;
}

void plt_crash_recover_close(struct platter_crash *nested)
{
	struct platter_crash_state *outer;

	if (!nested)
		return;
	outer = (struct platter_crash_state *)nested->outer;
	platter_crash_close(nested);
	platter_crash_state_unref(outer);
}

void platter_crash_recovery_close(struct platter_crash *nested)
{
	plt_crash_recover_close(nested);
}

/* ---- what it wrote ---- */

static int hash_data(struct plt_xxh3 *h, const struct platter_crash *nested,
		     const struct plt_crash_entry *e, struct platter_error *err)
{
	uint8_t *buf plt_auto_free = plt_calloc(1, PIECE, err);
	int rc = buf ? 0 : -ENOMEM;

	for (uint64_t at = 0, n; !rc && at < e->length; at += n) {
		n = PLT_MIN(e->length - at, (uint64_t)PIECE);
		rc = platter_image_pread(nested->log->img, buf, n,
					 e->data_offset + at, err);
		plt_xxh3_update(h, buf, n);
	}
	return rc;
}

static int hash_entries(const struct platter_crash *nested,
			struct plt_xxh3 *places, struct plt_xxh3 *content,
			struct platter_error *err)
{
	uint8_t head[24];
	int rc = 0;

	for (uint64_t i = 0; !rc && i < nested->nr; i++) {
		const struct plt_crash_entry *e = &nested->entry[i];

		plt_put_le64(head, e->start);
		plt_put_le64(head + 8, e->length);
		plt_put_le64(head + 16, e->flags);
		plt_xxh3_update(places, head, sizeof(head));
		plt_xxh3_update(content, head, sizeof(head));
		if (e->data_offset)
			rc = hash_data(content, nested, e, err);
	}
	return rc;
}

static int describe(const struct platter_crash *nested,
		    struct platter_crash_recovery *out,
		    struct platter_error *err)
{
	struct plt_xxh3 *places = NULL, *content = NULL;
	int rc;

	rc = plt_xxh3_new(&places, err);
	if (!rc)
		rc = plt_xxh3_new(&content, err);
	if (!rc)
		rc = hash_entries(nested, places, content, err);
	if (!rc)
		*out = (struct platter_crash_recovery) {
			.entries = nested->nr,
			.places = plt_xxh3_digest(places),
			.content = plt_xxh3_digest(content),
		};
	plt_xxh3_free(places);
	plt_xxh3_free(content);
	return rc;
}

int platter_crash_recovery_of(const struct platter_crash *nested,
			      struct platter_crash_recovery *out,
			      struct platter_error *err)
{
	if (!nested->outer)
		return plt_err_set(err, -EINVAL, "%s: is not the log of a "
				   "recovery", nested->log->name);
	return describe(nested, out, err);
}

char *platter_crash_recovery_text(char buf[PLATTER_CRASH_RECOVERY_TEXT_MAX],
				  const struct platter_crash_recovery *r)
{
	snprintf(buf, PLATTER_CRASH_RECOVERY_TEXT_MAX, "%" PRIu64 ":%016"
		 PRIx64 ":%016" PRIx64, r->entries, r->places, r->content);
	return buf;
}

int platter_crash_recovery_parse(struct platter_crash_recovery *out,
				 const char *text, struct platter_error *err)
{
	char again[PLATTER_CRASH_RECOVERY_TEXT_MAX];

	if (sscanf(text, "%" SCNu64 ":%" SCNx64 ":%" SCNx64, &out->entries,
		   &out->places, &out->content) == 3 &&
	    !strcmp(text, platter_crash_recovery_text(again, out)))
		return 0;
	return plt_err_set(err, -EINVAL, "\"%s\" is not "
			   "ENTRIES:PLACES:CONTENT, as crash show prints it",
			   text);
}

int platter_crash_recovery_compare(const struct platter_crash_recovery *then,
				   const struct platter_crash_recovery *now,
				   struct platter_error *err)
{
	if (then->content == now->content && then->entries == now->entries)
		return 0;
	if (then->places == now->places && then->entries == now->entries)
		return plt_err_set(err, -ESTALE, "the recovery wrote to the "
				   "same places in the same order as then, but "
				   "other content");
	return plt_err_set(err, -ESTALE, "the recovery wrote something else "
			   "than then: %" PRIu64 " entries, %" PRIu64
			   " then", now->entries, then->entries);
}

/* ---- a state of one, by its name ---- */

static int parse_nested(struct platter_crash_state **out,
			struct platter_crash *nested, const char *name,
			struct platter_crash_recovery *did,
			struct platter_error *err)
{
	int rc = did ? describe(nested, did, err) : 0;

	if (!rc)
		rc = platter_crash_state_parse(out, nested, name, err);
	if (rc)
		plt_crash_recover_close(nested);
	return rc;
}

int platter_crash_recover_state(struct platter_crash_state **out,
				struct platter_crash *crash, const char *name,
				struct platter_crash_harness *recover,
				struct platter_crash_recovery *did,
				struct platter_crash_result *result,
				struct platter_error *err)
{
	const char *at = strrchr(name, '@');
	struct platter_crash_state *first;
	struct platter_crash *nested = NULL;
	char *text;
	int rc;

	if (!at)
		return plt_err_set(err, -EINVAL, "state \"%s\": is not one of "
				   "a recovery (STATE@STATE)", name);
	text = plt_asprintf(err, "%.*s", (int)(at - name), name);
	if (!text)
		return -ENOMEM;
	rc = platter_crash_state_parse(&first, crash, text, err);
	if (!rc) {
		rc = plt_crash_recover(recover, 0, first, NULL, &nested,
				       result, err);
		plt_crash_harness_forget(recover, 0);
		platter_crash_state_unref(first);
	}
	if (!rc && !nested)
		rc = plt_err_set(err, -ENOENT, "state %s: the recovery wrote "
				 "nothing, and has no states of its own", text);
	free(text);
	return rc ? rc : parse_nested(out, nested, at + 1, did, err);
}
