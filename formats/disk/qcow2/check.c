/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checking and repairing a qcow2 image: what is done in which order.
 *
 * Repairs come in the order that a crash between any two of them does not make
 * the image worse: entries, then refcounts, then the flags that rely on these,
 * then the bits in the header that say something is wrong.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <platter/out.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/check.h"

/* ---- for all the files of the check ---- */

PLATTER_PRINTF(7, 0)
static void tell(struct plt_qcow2_checker *c, enum plt_qcow2_finding what,
		 bool fixed, const char *kind, uint64_t offset, uint64_t guest,
		 const char *fmt, va_list ap)
{
	char text[PLATTER_ERROR_MAX];
	struct platter_check_place place = {
		.kind = kind,
		.leak = what == QCOW2_FOUND_LEAK,
		.fixed = fixed,
		.offset = offset,
		.guest_offset = guest,
		.text = text,
	};

	vsnprintf(text, sizeof(text), fmt, ap);
	c->opts->found(c->opts->arg, &place);
}

void plt_qcow2_check_found(struct plt_qcow2_checker *c,
			   enum plt_qcow2_finding what, bool fixed,
			   const char *kind, uint64_t offset, uint64_t guest,
			   const char *fmt, ...)
{
	struct platter_check_result *r = c->res;
	va_list ap;

	if (c->silent)
		return;
	if (what == QCOW2_FOUND_ERROR)
		r->check_errors++;
	else if (what == QCOW2_FOUND_LEAK)
		++*(fixed ? &r->leaks_fixed : &r->leaks);
	else
		++*(fixed ? &r->corruptions_fixed : &r->corruptions);
	if (c->in_structures) {
		c->structure_corruptions++;
		fixed = c->fix_errors;
	}
	if (!c->opts->found)
		return;
	va_start(ap, fmt);
	tell(c, what, fixed, kind, offset, guest, fmt, ap);
	va_end(ap);
}

int plt_qcow2_check_read(struct plt_qcow2_checker *c, void *buf, size_t len,
			 uint64_t offset, struct platter_error *err)
{
	const uint64_t size = platter_image_size(c->file);
	size_t there = offset < size ? PLT_MIN(len, size - offset) : 0;

	if (offset > PLT_OFFSET_MAX - len)
		return plt_err_set(err, -EIO, "%zu bytes at offset %#" PRIx64
				   " are beyond what a file can hold", len,
				   offset);
	memset((uint8_t *)buf + there, 0, len - there);
	return there ? platter_image_pread(c->file, buf, there, offset, err) :
		       0;
}

int plt_qcow2_check_progress(struct plt_qcow2_checker *c, uint64_t bytes,
			     struct platter_error *err)
{
	struct platter_progress *p = c->opts->progress;

	c->done += bytes;
	if (p && p->update(p, PLT_MIN(c->done, c->total), c->total))
		return plt_err_set(err, -ECANCELED, "the check was stopped");
	return 0;
}

static int count_one(struct plt_qcow2_checker *c, uint64_t cluster,
		     uint64_t guest, struct platter_error *err)
{
	uint64_t refs;
	int rc;

	rc = plt_qcow2_counts_extend(&c->counts, cluster + 1, err);
	if (rc)
		return rc;
	refs = plt_qcow2_counts_get(&c->counts, cluster);
	if (refs < c->s->refcount_max)
		return plt_qcow2_counts_set(&c->counts, cluster, refs + 1,
					    err);
	c->overflow = true;
	/* A block that is the guest's, too, is not written to. */
	if (c->in_structures) {
		c->rebuild |= c->fix_errors;
		c->fix_leaks &= c->fix_errors;
	}
	plt_qcow2_check_found(c, QCOW2_FOUND_CORRUPTION, false,
			      "refcount-overflow",
			      cluster << c->s->cluster_bits, guest,
			      "overflow cluster offset=%#" PRIx64
			      ": more references than the maximum of %" PRIu64,
			      cluster << c->s->cluster_bits,
			      c->s->refcount_max);
	return 0;
}

/* Keep in mind what is said to be where nothing is, for a rebuild. */
static int note_beyond(struct plt_qcow2_checker *c, uint64_t offset,
		       uint64_t len, struct platter_error *err)
{
	const unsigned int bits = c->s->cluster_bits;
	uint64_t end;
	int rc;

	if (!c->fix_errors || c->in_structures || c->silent ||
	    !plt_add_u64(&end, offset, len))
		return 0;
	rc = plt_grow(&c->beyond, &c->beyond_room, c->nr_beyond + 1,
		      sizeof(c->beyond[0]), err);
	if (!rc)
		c->beyond[c->nr_beyond++] = (struct plt_qcow2_beyond){
			offset >> bits, ((end - 1) >> bits) + 1,
		};
	return rc;
}

int plt_qcow2_check_count(struct plt_qcow2_checker *c, uint64_t offset,
			  uint64_t len, const char *what, uint64_t guest,
			  struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	uint64_t last;
	int rc = 0;

	if (!len)
		return 0;
	/* The last cluster need not be there in full. */
	if (!plt_add_u64(&last, offset, len) ||
	    last >= c->file_size + s->cluster_size) {
		plt_qcow2_check_found(c, QCOW2_FOUND_CORRUPTION, false,
				      "past-end", offset, guest, "counting "
				      "reference for region exceeding the end "
				      "of the file by one cluster or more: "
				      "%s at offset %#" PRIx64 " size %#"
				      PRIx64, what, offset, len);
		return note_beyond(c, offset, len, err);
	}
	last = (last - 1) >> s->cluster_bits;
	for (uint64_t i = offset >> s->cluster_bits; i <= last && !rc; i++)
		rc = count_one(c, i, guest, err);
	return rc;
}

bool plt_qcow2_check_alone(const struct plt_qcow2_checker *c, uint64_t offset,
			   uint64_t len)
{
	const unsigned int bits = c->s->cluster_bits;

	/* With a maximum of 1 no more than that is ever counted. */
	if (c->overflow && c->s->refcount_max == 1)
		return false;
	for (uint64_t i = offset >> bits; i <= (offset + len - 1) >> bits; i++)
		if (plt_qcow2_counts_get(&c->counts, i) != 1)
			return false;
	return true;
}

int plt_qcow2_check_count_all(struct plt_qcow2_checker *c, bool structures,
			      struct platter_error *err)
{
	const struct plt_qcow2_header *h = &c->s->h;
	const uint64_t clusters = c->counts.clusters ? c->counts.clusters :
		(c->file_size + c->s->cluster_size - 1) >> c->s->cluster_bits;
	int rc;

	plt_qcow2_counts_free(&c->counts);
	rc = plt_qcow2_counts_init(&c->counts, clusters, err);
	if (!rc)
		rc = plt_qcow2_check_count(c, 0, c->s->cluster_size, "header",
					   QCOW2_NOWHERE, err);
	if (!rc)
		rc = plt_qcow2_check_l1(c, h->l1_offset, h->l1_size, true,
					err);
	if (!rc)
		rc = plt_qcow2_check_snapshots(c, err);
	if (!rc && h->has_crypto)
		rc = plt_qcow2_check_count(c, h->crypto_offset,
					   h->crypto_length,
					   "encryption header", QCOW2_NOWHERE,
					   err);
	if (!rc)
		rc = plt_qcow2_check_bitmaps(c, err);
	if (!rc && structures)
		rc = plt_qcow2_check_reftable(c, err);
	return rc;
}

/* ---- repairing ---- */

/* What opening read of the tables is no longer what is there. */
static int reload(struct plt_qcow2_checker *c, struct platter_error *err)
{
	struct plt_qcow2 *s = c->s;
	int rc;

	PLT_LOCK_SCOPE(&s->lock);
	if (s->cache)
		plt_qcow2_cache_drop(s, 0, UINT64_MAX);
	s->free_guess = 0;
	s->compressed_next = 0;
	rc = s->l1 ? plt_qcow2_check_read(c, s->l1, (size_t)s->h.l1_size * 8,
					  s->h.l1_offset, err) : 0;
	return rc ? rc : plt_qcow2_reftable_load(s, err);
}

static int mend_refcounts(struct plt_qcow2_checker *c,
			  struct platter_error *err)
{
	struct platter_check_result *r = c->res;
	int rc;

	c->silent = true;
	rc = plt_qcow2_check_compare(c, err);
	c->silent = false;
	if (!rc && c->rebuild && !c->fix_errors) {
		rc = plt_qcow2_check_compare(c, err);
		return rc ? rc : plt_err_set(err, -EIO, "the refcounts must be"
					     " rebuilt, which only 'check -r "
					     "all' does");
	}
	if (!rc)
		rc = plt_qcow2_repair_entries(c, err);
	if (!rc)
		rc = plt_qcow2_check_compare(c, err);
	if (rc)
		return rc;
	if (!c->rebuild)
		return c->mismatches ? plt_qcow2_repair_refcounts(c, err) : 0;
	rc = plt_qcow2_repair_rebuild(c, err);
	if (!rc) {
		r->corruptions -= c->structure_corruptions;
		r->corruptions_fixed += c->structure_corruptions;
	}
	return rc;
}

/*
 * The new table is put where nothing is. That must not be where something is
 * said to be, and where the old one was must not be given away to anybody.
 */
static int mend_snapshots(struct plt_qcow2_checker *c,
			  struct platter_error *err)
{
	struct platter_check_result *r = c->res;

	if (!c->nr_beyond && !c->overflow &&
	    plt_qcow2_check_alone(c, c->s->h.snapshots_offset,
				  c->snapshots_size))
		return plt_qcow2_snapshots_store(c->s, err);
	r->corruptions_fixed -= c->snapshot_corruptions;
	r->corruptions += c->snapshot_corruptions;
	return 0;
}

static int repair(struct plt_qcow2_checker *c, struct platter_error *err)
{
	struct platter_check_result *r = c->res;
	struct plt_qcow2 *s = c->s;
	bool copied;
	int rc;

	rc = mend_refcounts(c, err);
	if (rc)
		return rc;
	copied = c->fix_errors ||
		 !(r->check_errors || r->corruptions || r->leaks);
	rc = plt_qcow2_check_copied(c, copied, err);
	if (!rc)
		rc = platter_image_flush(c->file, err);
	if (!rc)
		rc = reload(c, err);
	if (!rc && c->snapshot_corruptions && c->fix_snapshots)
		rc = mend_snapshots(c, err);
	if (rc || r->check_errors || r->corruptions)
		return rc;
	return plt_qcow2_set_features(s, s->h.incompatible &
				      ~(QCOW2_INCOMPAT_DIRTY |
					QCOW2_INCOMPAT_CORRUPT),
				      s->h.autoclear, err);
}

/* ---- the whole ---- */

static int run(struct plt_qcow2_checker *c, struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	uint64_t clusters;
	int rc;

	c->file_size = plt_align_up(platter_image_size(c->file), 512);
	clusters = (c->file_size + s->cluster_size - 1) >> s->cluster_bits;
	if (clusters > QCOW2_CHECK_MAX_CLUSTERS)
		return plt_err_set(err, -EFBIG, "%" PRIu64 " clusters are over"
				   " the limit of %" PRIu64, clusters,
				   QCOW2_CHECK_MAX_CLUSTERS);
	c->res->total_clusters = (plt_align_down(s->h.size, 512) +
				  s->cluster_size - 1) >> s->cluster_bits;
	c->refblock = plt_memalign(4096, s->cluster_size, err);
	if (!c->refblock)
		return -ENOMEM;
	rc = plt_qcow2_check_load_reftable(c, err);
	if (!rc)
		rc = plt_qcow2_check_read_snapshots(c, err);
	if (!rc)
		rc = plt_qcow2_check_count_all(c, true, err);
	if (rc)
		return rc;
	if (c->fix_leaks || c->fix_errors) {
		rc = repair(c, err);
	} else {
		rc = plt_qcow2_check_compare(c, err);
		if (!rc)
			rc = plt_qcow2_check_copied(c, false, err);
	}
	c->res->image_end_offset = (c->highest + 1) << s->cluster_bits;
	return rc;
}

static int check(struct plt_qcow2 *s, const struct platter_check_options *opts,
		 struct platter_check_result *result,
		 struct platter_error *err)
{
	struct plt_qcow2_checker c = {
		.s = s,
		.file = s->file,
		.opts = opts,
		.res = result,
		.fix_leaks = opts->repair != PLATTER_REPAIR_NONE,
		.fix_errors = opts->repair == PLATTER_REPAIR_ALL,
		.refblock_at = UINT64_MAX,
	};
	int rc;

	*result = (struct platter_check_result){ 0 };
	rc = run(&c, err);
	plt_qcow2_counts_free(&c.counts);
	free(c.reftable);
	free(c.refblock);
	free(c.snapshots);
	free(c.mend);
	free(c.beyond);
	return rc;
}

int plt_qcow2_check(struct platter_image *img,
		    const struct platter_check_options *opts,
		    struct platter_check_result *result,
		    struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	int rc;

	if (platter_image_writable(img)) {
		rc = plt_qcow2_settle(s, err);
		if (rc)
			return rc;
	} else if (opts->repair != PLATTER_REPAIR_NONE) {
		return plt_err_set(err, -EROFS, "a repair needs the image "
				   "open for writing");
	}
	return check(s, opts, result, err);
}

/*
 * With the dirty bit refcounts may be too low, and what is in use may look
 * free. The references decide then, as in QEMU.
 */
int plt_qcow2_clean_up(struct plt_qcow2 *s, struct platter_error *err)
{
	static const struct platter_check_options opts = {
		.repair = PLATTER_REPAIR_ALL,
	};
	struct platter_check_result result;
	int rc;

	if (!(s->h.incompatible & QCOW2_INCOMPAT_DIRTY))
		return 0;
	rc = check(s, &opts, &result, err);
	if (!rc && result.check_errors)
		rc = plt_err_set(err, -EIO, "%" PRIu64 " places could not be "
				 "checked", result.check_errors);
	return plt_err_prefix(err, rc, "repairing an image that was not "
			      "closed");
}
