/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening a log: believing, doubting and doing without its super block.
 *
 * The kernel rewrites the super block only after FUA and MARK entries, QEMU
 * only on flushes, so its count is a lower bound. QEMU killed before the first
 * flush leaves it all zeros; a log file used twice keeps the old count over
 * the new entries. So the sector size is taken from the super block only if
 * entries can be found with it, and else from whichever size proves most.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "wlog/wlog.h"

/* Entries that are enough to prefer one sector size over another. */
#define PROBE_ENTRIES 64u

static bool sector_size_valid(uint64_t bytes)
{
	return plt_is_power_of_2(bytes) && bytes >= PLT_WLOG_SECTOR_MIN &&
	       bytes <= PLT_WLOG_SECTOR_MAX;
}

static void set_sector_size(struct platter_log *log, uint32_t bytes)
{
	log->sector_size = bytes;
	log->sector_bits = plt_log2(bytes);
}

struct proof {
	uint64_t entries;	/* in a row, up to PROBE_ENTRIES */
	bool torn;		/* none, but for the end the first would be */
};

/*
 * What this sector size proves. A header of zeros, though it may be an entry,
 * proves nothing: the rest of the super block is full of them.
 */
static int prove(struct platter_log *log, uint32_t sector_size,
		 struct proof *proof, struct platter_error *err)
{
	struct platter_log_cursor *c;
	struct platter_log_entry e;
	int rc;

	set_sector_size(log, sector_size);
	*proof = (struct proof){ .entries = 0 };
	rc = platter_log_cursor_new(&c, log, 0, err);
	if (rc)
		return rc;
	while (proof->entries < PROBE_ENTRIES && !rc) {
		rc = platter_log_next(c, &e, err);
		proof->entries += !rc && (e.flags || e.nr_sectors);
	}
	proof->torn = !c->number && c->stop.kind == PLT_WLOG_STOP_TORN &&
		      log->size - c->stop.offset >= sector_size;
	platter_log_cursor_free(c);
	return rc < 0 ? rc : 0;
}

/* Try every sector size, usual ones first; the first that proves most wins. */
static int search_sector_size(struct platter_log *log, uint64_t *best,
			      struct platter_error *err)
{
	uint32_t candidates[32] = { 512, 4096 };
	uint32_t best_size = 512, size;
	struct proof proof;
	size_t n = 2;
	int rc;

	for (size = 65536; size >= PLT_WLOG_SECTOR_MIN; size /= 2)
		if (size != 512 && size != 4096)
			candidates[n++] = size;
	*best = 0;
	for (size_t i = 0; i < n; i++) {
		rc = prove(log, candidates[i], &proof, err);
		if (rc)
			return rc;
		if (proof.entries > *best) {
			*best = proof.entries;
			best_size = candidates[i];
		}
	}
	set_sector_size(log, best_size);
	return 0;
}

/*
 * A super block that says nothing true. Its entries can still be read, if any
 * can be proven; what is neither zero nor close to a super block has to prove
 * two, or any file with a sector of small numbers would pass for a log.
 */
static int without_super(struct platter_log *log, bool looks_like_one,
			 struct platter_error *err)
{
	uint64_t entries;
	int rc;

	log->super_valid = false;
	log->super_entries = 0;
	rc = search_sector_size(log, &entries, err);
	if (rc)
		return rc;
	if (entries < (looks_like_one ? 1 : 2))
		return plt_err_set(err, -EINVAL,
				   "%s: not a write log: %s, and no entry can be proven behind it",
				   log->name, log->super_problem);
	return 0;
}

static int load_super(struct platter_log *log, struct platter_error *err)
{
	if (log->size < sizeof(struct plt_wlog_disk_super))
		return plt_err_set(err, -EINVAL,
				   "%s: not a write log: %" PRIu64
				   " bytes, a super block takes %zu",
				   log->name, log->size,
				   sizeof(struct plt_wlog_disk_super));
	return platter_image_pread(log->img, log->super,
				   PLT_MIN(log->size,
					   (uint64_t)sizeof(log->super)),
				   0, err);
}

/* The super block's own claims; false sets super_problem. */
static bool judge_super(struct platter_log *log, uint64_t version,
			uint64_t sector_size)
{
	const uint64_t magic = plt_le64(log->super);

	if (plt_is_zero(log->super, sizeof(log->super)))
		snprintf(log->super_problem, sizeof(log->super_problem),
			 "the super block is all zeros");
	else if (magic != PLT_WLOG_MAGIC)
		snprintf(log->super_problem, sizeof(log->super_problem),
			 "the magic is 0x%" PRIx64 ", not 0x%" PRIx64, magic,
			 PLT_WLOG_MAGIC);
	else if (version != PLT_WLOG_VERSION)
		snprintf(log->super_problem, sizeof(log->super_problem),
			 "the version is %" PRIu64 ", not %u", version,
			 PLT_WLOG_VERSION);
	else if (!sector_size_valid(sector_size))
		snprintf(log->super_problem, sizeof(log->super_problem),
			 "the sector size is %" PRIu64
			 ", not a power of two from %u to %u", sector_size,
			 PLT_WLOG_SECTOR_MIN, PLT_WLOG_SECTOR_MAX);
	else
		return true;
	return false;
}

/* A valid sector size can still be a wrong one: does any entry agree? */
static int doubt_sector_size(struct platter_log *log, struct platter_error *err)
{
	const uint32_t claimed = log->sector_size;
	struct proof proof;
	uint64_t entries;
	int rc;

	if (!log->super_entries)
		return 0;
	rc = prove(log, claimed, &proof, err);
	if (rc || proof.entries || proof.torn)
		return rc;
	rc = search_sector_size(log, &entries, err);
	if (rc)
		return rc;
	if (entries < 2) {
		set_sector_size(log, claimed);
		return 0;
	}
	snprintf(log->super_problem, sizeof(log->super_problem),
		 "the super block says sectors of %u bytes, the entries are in sectors of %u",
		 claimed, log->sector_size);
	return 0;
}

int plt_wlog_read_super(struct platter_log *log, uint32_t force_sector_size,
			struct platter_error *err)
{
	uint64_t version, sector_size;
	bool close;
	int rc;

	rc = load_super(log, err);
	if (rc)
		return rc;
	version = plt_le64(log->super + 8);
	sector_size = plt_le32(log->super + 24);
	log->super_valid = judge_super(log, version, sector_size);
	if (log->super_valid)
		log->super_entries = plt_le64(log->super + 16);

	if (force_sector_size) {
		if (!sector_size_valid(force_sector_size))
			return plt_err_set(err, -EINVAL,
					   "a log sector size of %u bytes is not a power of two from %u to %u",
					   force_sector_size,
					   PLT_WLOG_SECTOR_MIN,
					   PLT_WLOG_SECTOR_MAX);
		set_sector_size(log, force_sector_size);
		return 0;
	}
	if (log->super_valid) {
		set_sector_size(log, sector_size);
		return doubt_sector_size(log, err);
	}
	close = plt_is_zero(log->super, sizeof(log->super)) ||
		plt_le64(log->super) == PLT_WLOG_MAGIC ||
		(version == PLT_WLOG_VERSION && sector_size_valid(sector_size));
	return without_super(log, close, err);
}

/*
 * A raw node's size is rounded up to 512 and its tail reads as zeros. A log
 * ends at its last byte: what was cut off must not look like data.
 */
static uint64_t exact_size(struct platter_image *img)
{
	struct platter_image *file = platter_image_child(img, "file");
	const uint64_t size = platter_image_size(img);

	if (file && platter_image_size(file) < size &&
	    size - platter_image_size(file) < 512)
		return platter_image_size(file);
	return size;
}

/* LOG.idx beside a log that is a regular file; none otherwise. */
static int choose_index(struct platter_log *log, const char *wanted,
			struct platter_error *err)
{
	struct stat st;

	if (wanted && !*wanted)
		return 0;
	if (wanted)
		log->index_path = plt_strdup(wanted, err);
	else if (stat(log->name, &st) || !S_ISREG(st.st_mode))
		return 0;
	else
		log->index_path = plt_asprintf(err, "%s.idx", log->name);
	return log->index_path ? 0 : -ENOMEM;
}

int plt_wlog_open(struct platter_log **out, struct platter_context *ctx,
		  struct platter_image *img,
		  const struct platter_log_options *opts,
		  struct platter_error *err)
{
	struct platter_log *log = plt_calloc(1, sizeof(*log), err);
	int rc = -ENOMEM;

	if (!log)
		return rc;
	log->ctx = ctx;
	log->img = img;
	log->size = exact_size(img);
	pthread_mutex_init(&log->end_lock, NULL);
	log->name = plt_strdup(platter_image_name(img), err);
	if (log->name)
		rc = choose_index(log, opts ? opts->index : NULL, err);
	if (!rc)
		rc = plt_wlog_read_super(log, opts ? opts->sector_size : 0,
					 err);
	/* What was tried on the way may have been another log's end. */
	log->end.kind = PLT_WLOG_STOP_NONE;
	if (rc) {
		platter_log_close(log);
		return rc;
	}
	*out = log;
	return 0;
}

int platter_log_open(struct platter_log **out, struct platter_context *ctx,
		     const char *spec, const struct platter_log_options *opts,
		     struct platter_error *err)
{
	struct platter_open_options open_opts = {
		.format = opts && opts->format ? opts->format : "raw",
		.flags = opts ? opts->flags & PLATTER_O_SHARE : 0,
	};
	struct platter_image *img;
	int rc;

	rc = platter_image_open(&img, ctx, spec, &open_opts, err);
	if (rc)
		return rc;
	rc = plt_wlog_open(out, ctx, img, opts, err);
	if (rc) {
		platter_image_close(img, NULL);
		return rc;
	}
	(*out)->owns_img = true;
	return 0;
}

void platter_log_close(struct platter_log *log)
{
	if (!log)
		return;
	plt_wlog_index_free(log->index);
	if (log->owns_img)
		platter_image_close(log->img, NULL);
	pthread_mutex_destroy(&log->end_lock);
	free(log->index_path);
	free(log->problems);
	free(log->summary);
	free(log->name);
	free(log);
}

const char *platter_log_name(const struct platter_log *log)
{
	return log->name;
}

uint32_t platter_log_sector_size(const struct platter_log *log)
{
	return log->sector_size;
}
