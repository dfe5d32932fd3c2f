/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qcow2: opening and closing an image, and the driver's table.
 *
 * A node opened without guest I/O (`info`) reads the header, the snapshot table
 * and the bitmap directory, and opens no data file. Reading needs the L1 table
 * too; writing and checking need the refcount table. What an image needs before
 * it may be written is in prepare_write(), which runs at open or, for a node
 * that was opened for reading, when it is reopened.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/opts.h"
#include "disk/qcow2/qcow2.h"
#include "drivers.h"

#define CACHE_BYTES	(32u << 20)	/* of L2 tables and refcount blocks */
#define SECTOR		512u

/* ---- tables ---- */

static void derive(struct plt_qcow2 *s)
{
	const struct plt_qcow2_header *h = &s->h;

	s->cluster_bits = h->cluster_bits;
	s->cluster_size = UINT32_C(1) << h->cluster_bits;
	s->extl2 = h->incompatible & QCOW2_INCOMPAT_EXTL2;
	s->subclusters = s->extl2 ? QCOW2_SUBCLUSTERS : 1;
	s->subcluster_bits = s->cluster_bits - plt_log2(s->subclusters);
	s->l2_entry_size = s->extl2 ? 16 : 8;
	s->l2_bits = s->cluster_bits - plt_log2(s->l2_entry_size);
	s->refblock_bits = s->cluster_bits + 3 - h->refcount_order;
	s->refcount_max = UINT64_MAX >> (64 - (1u << h->refcount_order));
	s->csize_shift = 62 - (s->cluster_bits - 8);
	s->csize_mask = (UINT64_C(1) << (s->cluster_bits - 8)) - 1;
	s->coffset_mask = (UINT64_C(1) << s->csize_shift) - 1;
	s->data_file = h->incompatible & QCOW2_INCOMPAT_DATA_FILE;
	s->data_raw = s->data_file && (h->autoclear & QCOW2_AUTOCLEAR_DATA_RAW);
}

/* The table is held in whole sectors, which is how it is written back. */
static int load_l1(struct plt_qcow2 *s, struct platter_error *err)
{
	size_t sectors = PLT_MAX(((size_t)s->h.l1_size * 8 + SECTOR - 1) /
				 SECTOR, (size_t)1);
	uint64_t end = platter_image_size(s->file);
	uint64_t len = (uint64_t)s->h.l1_size * 8;
	int rc;

	s->l1 = plt_calloc(sectors, SECTOR, err);
	s->l1_dirty = plt_calloc(sectors, 1, err);
	if (!s->l1 || !s->l1_dirty)
		return -ENOMEM;
	/* What lies past the end of a truncated file was never allocated. */
	len = s->h.l1_offset < end ? PLT_MIN(len, end - s->h.l1_offset) : 0;
	rc = len ? platter_image_pread(s->file, s->l1, len, s->h.l1_offset,
				       err) : 0;
	return rc < 0 ? plt_err_prefix(err, rc, "reading the L1 table") : 0;
}

/* ---- tables that lie on one another ---- */

struct table {
	uint64_t offset, len;
	const char *what;
};

struct tables {
	struct table *t;
	size_t nr, room;
};

static int add_table(struct tables *all, uint64_t offset, uint64_t len,
		     const char *what, struct platter_error *err)
{
	int rc;

	if (!len)
		return 0;
	rc = plt_grow(&all->t, &all->room, all->nr + 1, sizeof(*all->t), err);
	if (rc == 0)
		all->t[all->nr++] = (struct table) { offset, len, what };
	return rc;
}

static int list_tables(struct tables *all, const struct plt_qcow2 *s,
		       struct platter_error *err)
{
	const struct plt_qcow2_header *h = &s->h;
	uint64_t offset;
	uint32_t entries;
	int rc;

	rc = add_table(all, 0, s->cluster_size, "the header", err);
	if (rc == 0)
		rc = add_table(all, h->l1_offset, (uint64_t)h->l1_size * 8,
			       "the L1 table", err);
	if (rc == 0)
		rc = add_table(all, h->reftable_offset,
			       (uint64_t)h->reftable_clusters <<
			       s->cluster_bits, "the refcount table", err);
	if (rc == 0 && h->nb_snapshots)
		rc = add_table(all, h->snapshots_offset,
			       plt_qcow2_snapshot_table_size(s),
			       "the snapshot table", err);
	if (rc == 0 && h->has_bitmaps)
		rc = add_table(all, h->bitmap_directory_offset,
			       h->bitmap_directory_size,
			       "the bitmap directory", err);
	for (size_t i = 0; rc == 0 && h->nb_snapshots &&
	     plt_qcow2_snapshot_l1(s, i, &offset, &entries); i++)
		rc = add_table(all, offset, (uint64_t)entries * 8,
			       "the L1 table of a snapshot", err);
	for (size_t i = 0; rc == 0 && i < s->reftable_entries; i++) {
		offset = plt_be64(&s->reftable[i]) &
			 QCOW2_REFTABLE_OFFSET_MASK;
		if (offset)
			rc = add_table(all, offset, s->cluster_size,
				       "a refcount block", err);
	}
	return rc;
}

static int by_offset(const void *a, const void *b)
{
	const struct table *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

/*
 * An image made to have one table overwrite another is not written to at all.
 * L2 tables are looked at when they are written.
 */
static int refuse_overlaps(const struct plt_qcow2 *s, struct platter_error *err)
{
	struct tables all = { 0 };
	plt_auto_free struct table *owned = NULL;
	int rc;

	rc = list_tables(&all, s, err);
	owned = all.t;
	if (rc < 0)
		return rc;
	qsort(all.t, all.nr, sizeof(*all.t), by_offset);
	for (size_t i = 1; i < all.nr; i++) {
		const struct table *a = &all.t[i - 1], *b = &all.t[i];

		if (b->offset - a->offset < a->len)
			return plt_err_set(err, -EUCLEAN, "%s at offset %"
				PRIu64 " overlaps %s at offset %" PRIu64
				"; the image is not written before "
				"\"platter check -r all\" has mended it",
				b->what, b->offset, a->what, a->offset);
	}
	return 0;
}

/* ---- opening for writing ---- */

/* Bits whose meaning is unknown: their owner must see that we were here. */
static int clear_unknown_autoclear(struct plt_qcow2 *s,
				   struct platter_error *err)
{
	uint64_t known = s->h.autoclear & QCOW2_AUTOCLEAR_KNOWN;

	/* Bits that promise what is not there. */
	if (!s->h.has_bitmaps)
		known &= ~QCOW2_AUTOCLEAR_BITMAPS;
	if (!s->data_file)
		known &= ~QCOW2_AUTOCLEAR_DATA_RAW;
	if (s->h.version < 3 || known == s->h.autoclear)
		return 0;
	return plt_qcow2_set_features(s, s->h.incompatible, known, err);
}

static int prepare_write(struct plt_qcow2 *s, struct platter_error *err)
{
	unsigned int flags = platter_image_flags(s->img);
	int rc = 0;

	if (s->snapshot_view)
		return plt_err_set(err, -EROFS, "a snapshot can be read only");
	if (!s->reftable)
		rc = plt_qcow2_reftable_load(s, err);
	if (rc < 0 || (flags & PLATTER_O_CHECK))
		return rc;
	if (s->h.incompatible & QCOW2_INCOMPAT_CORRUPT)
		return plt_err_set(err, -EACCES, "the image is marked corrupt; "
				   "it is not written before \"platter check "
				   "-r all\" has mended it");
	rc = refuse_overlaps(s, err);
	if (rc == 0 && (s->h.incompatible & QCOW2_INCOMPAT_DIRTY))
		rc = plt_qcow2_clean_up(s, err);
	if (rc == 0)
		rc = clear_unknown_autoclear(s, err);
	return rc;
}

/* ---- the other files ---- */

/*
 * The children are opened with what the user said about locks and the like, but
 * never for writing where only reading is needed.
 */
static unsigned int backing_flags(const struct plt_qcow2 *s)
{
	return platter_image_flags(s->img) &
	       (PLATTER_O_SHARE | PLATTER_O_NO_IO);
}

/* "json:{...}" and "nbd://host" are for the user to say, not for an image. */
static int check_plain_name(const char *what, const char *name,
			    struct platter_error *err)
{
	size_t len = strcspn(name, ":/");

	if (name[len] != ':')
		return 0;
	return plt_err_set(err, -EPERM, "the %s \"%s\" is not a plain file "
			   "name; an image may not name anything else", what,
			   name);
}

static int open_stored(struct plt_qcow2 *s, const char *role, const char *what,
		       const char *name, const char *format,
		       unsigned int flags, struct platter_error *err)
{
	int rc;

	if (!strncmp(name, "file:", 5))
		name += 5;
	rc = check_plain_name(what, name, err);
	if (rc < 0)
		return rc;
	return platter_image_open_named(s->img, role, name, format, flags, err);
}

static int open_data_file(struct plt_qcow2 *s, struct platter_options *opts,
			  struct platter_error *err)
{
	unsigned int flags = platter_image_flags(s->img) &
			     (PLATTER_O_SHARE | PLATTER_O_RDWR);
	bool given = plt_options_has(opts, "data-file");
	int rc;

	s->data = s->file;
	if (!s->data_file) {
		if (given)
			return plt_err_set(err, -EINVAL, "\"data-file\" is "
				"given, but the image has its data in itself");
		return 0;
	}
	if (platter_image_flags(s->img) & PLATTER_O_NO_IO) {
		platter_options_string(opts, "data-file");
		plt_options_tree(opts, "data-file");
		return 0;
	}
	if (given)
		rc = platter_image_open_child(s->img, "data-file", opts, "raw",
					      flags, err);
	else if (s->h.data_filename)
		rc = open_stored(s, "data-file", "data file",
				 s->h.data_filename, "raw", flags, err);
	else
		rc = plt_err_set(err, -EINVAL, "the image has an external data "
				 "file, but neither it nor the option "
				 "\"data-file\" names one");
	if (rc == 0)
		s->data = platter_image_child(s->img, "data-file");
	return rc;
}

static int open_backing(struct plt_qcow2 *s, struct platter_options *opts,
			struct platter_error *err)
{
	bool given = plt_options_has(opts, "backing");
	const char *name = platter_options_string(opts, "backing");
	unsigned int skip = PLATTER_O_NO_BACKING;
	int rc = 0;

	/* "backing=" is qemu's way to say: none. */
	if ((platter_image_flags(s->img) & skip) || (name && !*name))
		plt_options_tree(opts, "backing");
	else if (given)
		rc = platter_image_open_child(s->img, "backing", opts,
					      s->h.backing_format,
					      backing_flags(s), err);
	else if (s->h.backing_filename)
		rc = open_stored(s, "backing", "backing file",
				 s->h.backing_filename, s->h.backing_format,
				 backing_flags(s), err);
	if (rc == 0)
		s->backing = platter_image_child(s->img, "backing");
	return rc;
}

/* ---- open ---- */

static void free_state(struct plt_qcow2 *s)
{
	plt_qcow2_inflated_free(s);
	plt_qcow2_bitmaps_free(s);
	plt_qcow2_snapshots_free(s);
	plt_qcow2_cache_free(s->cache);
	plt_qcow2_limbo_free(s->limbo);
	free(s->l1);
	free(s->l1_dirty);
	free(s->reftable);
	free(s->reftable_dirty);
	plt_qcow2_header_free(&s->h);
	pthread_cond_destroy(&s->allocated);
	plt_claims_destroy(&s->tables);
	plt_claims_destroy(&s->claims);
	pthread_mutex_destroy(&s->writeback);
	pthread_mutex_destroy(&s->lock);
}

static int refuse_encrypted(const struct plt_qcow2 *s,
			    struct platter_error *err)
{
	if (s->h.crypt_method == QCOW2_CRYPT_NONE)
		return 0;
	return plt_err_set(err, -ENOTSUP, "the image is encrypted (%s), which "
			   "is not supported; \"platter info\" works",
			   s->h.crypt_method == QCOW2_CRYPT_AES ? "AES" :
			   "LUKS");
}

/* What reading and writing guest data takes. */
static int open_io(struct plt_qcow2 *s, struct platter_error *err)
{
	unsigned int flags = platter_image_flags(s->img);
	uint64_t bytes = CACHE_BYTES;
	int rc;

	rc = refuse_encrypted(s, err);
	if (rc == 0)
		rc = plt_qcow2_cache_new(&s->cache, s, bytes, err);
	if (rc == 0)
		rc = plt_qcow2_inflated_new(s, err);
	if (rc == 0)
		rc = load_l1(s, err);
	if (rc == 0 && (flags & (PLATTER_O_RDWR | PLATTER_O_CHECK)))
		rc = plt_qcow2_reftable_load(s, err);
	if (rc == 0 && !(flags & (PLATTER_O_RDWR | PLATTER_O_CHECK)))
		s->holes = plt_qcow2_has_holes(s);
	return rc;
}

static int open_image(struct plt_qcow2 *s, struct platter_options *opts,
		      struct platter_error *err)
{
	unsigned int flags = platter_image_flags(s->img);
	const char *snapshot = platter_options_string(opts, "snapshot");
	bool io = !(flags & PLATTER_O_NO_IO);
	int rc;

	rc = platter_image_lock(s->file, err);
	if (rc == 0)
		rc = plt_qcow2_header_read(&s->h, s->file, flags, err);
	if (rc < 0)
		return rc;
	derive(s);
	platter_image_set_size(s->img, plt_align_down(s->h.size, SECTOR));
	if (io)
		rc = open_io(s, err);
	if (rc == 0)
		rc = plt_qcow2_snapshots_load(s, flags, err);
	if (rc == 0)
		rc = open_data_file(s, opts, err);
	if (rc == 0)
		rc = open_backing(s, opts, err);
	if (rc == 0 && snapshot)
		rc = plt_qcow2_snapshot_view(s, snapshot, err);
	if (rc == 0 && io && (flags & PLATTER_O_RDWR))
		rc = prepare_write(s, err);
	if (rc == 0 && !(flags & PLATTER_O_CHECK))
		rc = plt_qcow2_bitmaps_load(s, err);
	return rc;
}

static int qcow2_open(struct platter_image *img, struct platter_options *opts,
		      struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	int rc;

	rc = platter_image_open_child(img, "file", opts, NULL,
				      platter_image_flags(img), err);
	if (rc < 0)
		return rc;
	s->img = img;
	s->file = platter_image_child(img, "file");
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->writeback, NULL);
	plt_claims_init(&s->claims);
	plt_claims_init(&s->tables);
	pthread_cond_init(&s->allocated, NULL);
	rc = open_image(s, opts, err);
	if (rc < 0)
		free_state(s);
	return rc;
}

static int qcow2_reopen_rw(struct platter_image *img, struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	int rc;

	rc = prepare_write(s, err);
	if (rc < 0 || (platter_image_flags(img) & PLATTER_O_CHECK))
		return rc;
	plt_qcow2_bitmaps_free(s);
	return plt_qcow2_bitmaps_load(s, err);
}

/* ---- close ---- */

/* The core has flushed before; an image that failed to be is left dirty. */
static int qcow2_finish(struct platter_image *img, struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	int rc = 0;

	if ((platter_image_flags(img) & PLATTER_O_NO_IO) || s->broken ||
	    s->snapshot_view)
		return 0;
	if (s->bitmaps)
		rc = plt_qcow2_bitmaps_store(s, err);
	if (rc == 0)
		rc = plt_qcow2_settle(s, err);
	if (rc == 0 && s->marked_dirty)
		rc = plt_qcow2_set_features(s, s->h.incompatible &
					    ~QCOW2_INCOMPAT_DIRTY,
					    s->h.autoclear, err);
	return rc;
}

static void qcow2_close(struct platter_image *img)
{
	free_state(platter_image_state(img));
}

/* ---- the table ---- */

static void qcow2_written(struct platter_image *img, uint64_t offset,
			  uint64_t len)
{
	struct plt_qcow2 *s = platter_image_state(img);

	plt_qcow2_inflated_drop(s, offset, len);
	plt_qcow2_bitmaps_written(img, offset, len);
}

/* qcow, the first version, has the same magic: this is 2 or later. */
static int qcow2_verify(struct platter_image *file)
{
	uint8_t buf[8];

	if (platter_image_size(file) < sizeof(buf) ||
	    platter_image_pread(file, buf, sizeof(buf), 0, NULL) < 0)
		return 1;
	return plt_be32(buf + QCOW2_HDR_VERSION) < 2;
}

static const struct platter_magic qcow2_magics[] = {
	{ "QFI\xfb", 4, 0 },
};

static const struct platter_option qcow2_options[] = {
	{ "file", "the file or node that holds the image" },
	{ "backing", "what to use as backing file (default: as stored)" },
	{ "data-file", "what to use as data file (default: as stored)" },
	{ "snapshot", "ID or name of an internal snapshot to show" },
	{ NULL, NULL }
};

static const struct platter_format_ops qcow2_format = {
	.map = plt_qcow2_map,
	.read_special = plt_qcow2_read_special,
	.write = plt_qcow2_write,
	.compress = plt_qcow2_compress,
	.write_compressed = plt_qcow2_write_compressed,
	.written = qcow2_written,
	.zero = plt_qcow2_zero,
	.discard = plt_qcow2_discard,
	.flush = plt_qcow2_flush,
	.resize = plt_qcow2_resize,
	.finish = qcow2_finish,
	.preallocate = plt_qcow2_preallocate_mode,
	.facts = plt_qcow2_facts,
	.reopen_rw = qcow2_reopen_rw,
	.make_empty = plt_qcow2_make_empty,
	.change_backing = plt_qcow2_change_backing,
	.amend = plt_qcow2_amend,
	.check = plt_qcow2_check,
	.snapshots = plt_qcow2_snapshots_list,
	.snapshot_create = plt_qcow2_snapshot_create,
	.snapshot_apply = plt_qcow2_snapshot_apply,
	.snapshot_delete = plt_qcow2_snapshot_delete,
	.bitmaps = plt_qcow2_bitmaps_list,
	.bitmap_read = plt_qcow2_bitmap_read,
	.bitmap_add = plt_qcow2_bitmap_add,
};

const struct platter_driver plt_qcow2_driver = {
	.name = "qcow2",
	.kind = PLATTER_DRIVER_FORMAT,
	.state_size = sizeof(struct plt_qcow2),
	.magics = qcow2_magics,
	.nr_magics = PLT_ARRAY_SIZE(qcow2_magics),
	.options = qcow2_options,
	.create_options = plt_qcow2_create_options,
	.amend_options = plt_qcow2_amend_options,
	.verify = qcow2_verify,
	.open = qcow2_open,
	.close = qcow2_close,
	.describe = plt_qcow2_describe,
	.create = plt_qcow2_create,
	.measure = plt_qcow2_measure,
	.stream = plt_qcow2_stream,
	.format = &qcow2_format,
};
