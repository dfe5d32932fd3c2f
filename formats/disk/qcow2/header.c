/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The qcow2 header and its extensions: read, checked, and written.
 *
 * Source: QEMU docs/interop/qcow2.rst, "Header" and "Header extensions". The
 * first cluster holds the fixed part, the extensions and, behind them, the
 * name of the backing file. Nothing after it is looked at here, and nothing is
 * allocated before its length is known to be within the limit.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/qcow2.h"

#define MAX_FORMAT_NAME	15	/* bytes, as QEMU's backing_format[16] */
#define FEATURE_ROW	48
#define FEATURE_NAME	46

/* ---- the fixed part ---- */

static int decode_version(struct plt_qcow2_header *h, const uint8_t *p,
			  struct platter_error *err)
{
	if (plt_be32(p + QCOW2_HDR_MAGIC) != QCOW2_MAGIC)
		return plt_err_set(err, -EINVAL,
				   "image is not in qcow2 format");
	h->version = plt_be32(p + QCOW2_HDR_VERSION);
	if (h->version != 2 && h->version != 3)
		return plt_err_set(err, -ENOTSUP, "qcow2 version %" PRIu32
				   " is not supported, only 2 and 3 are",
				   h->version);
	h->cluster_bits = plt_be32(p + QCOW2_HDR_CLUSTER_BITS);
	if (h->cluster_bits < QCOW2_MIN_CLUSTER_BITS ||
	    h->cluster_bits > QCOW2_MAX_CLUSTER_BITS)
		return plt_err_set(err, -EINVAL, "a cluster size of 2^%u is "
				   "not between 2^%d and 2^%d", h->cluster_bits,
				   QCOW2_MIN_CLUSTER_BITS,
				   QCOW2_MAX_CLUSTER_BITS);
	return 0;
}

static void decode_common(struct plt_qcow2_header *h, const uint8_t *p)
{
	h->size = plt_be64(p + QCOW2_HDR_SIZE);
	h->crypt_method = plt_be32(p + QCOW2_HDR_CRYPT_METHOD);
	h->l1_size = plt_be32(p + QCOW2_HDR_L1_SIZE);
	h->l1_offset = plt_be64(p + QCOW2_HDR_L1_OFFSET);
	h->reftable_offset = plt_be64(p + QCOW2_HDR_REFTABLE_OFFSET);
	h->reftable_clusters = plt_be32(p + QCOW2_HDR_REFTABLE_CLUSTERS);
	h->nb_snapshots = plt_be32(p + QCOW2_HDR_NB_SNAPSHOTS);
	h->snapshots_offset = plt_be64(p + QCOW2_HDR_SNAPSHOTS_OFFSET);
	h->length = QCOW2_HDR_V2_LENGTH;
	h->refcount_order = 4;
	h->compression = QCOW2_COMPRESSION_ZLIB;
}

static int decode_v3(struct plt_qcow2_header *h, const uint8_t *p,
		     struct platter_error *err)
{
	uint32_t cluster_size = UINT32_C(1) << h->cluster_bits;

	h->incompatible = plt_be64(p + QCOW2_HDR_INCOMPATIBLE);
	h->compatible = plt_be64(p + QCOW2_HDR_COMPATIBLE);
	h->autoclear = plt_be64(p + QCOW2_HDR_AUTOCLEAR);
	h->refcount_order = plt_be32(p + QCOW2_HDR_REFCOUNT_ORDER);
	h->length = plt_be32(p + QCOW2_HDR_LENGTH);
	if (h->length < QCOW2_HDR_V3_LENGTH)
		return plt_err_set(err, -EINVAL, "header length %" PRIu32
				   " is below the minimum of %d", h->length,
				   QCOW2_HDR_V3_LENGTH);
	if (h->length > cluster_size)
		return plt_err_set(err, -EINVAL, "header length %" PRIu32
				   " is over the cluster size of %" PRIu32,
				   h->length, cluster_size);
	if (h->length > QCOW2_HDR_COMPRESSION)
		h->compression = p[QCOW2_HDR_COMPRESSION];
	return 0;
}

/* Fields that this version does not know are kept for a rewrite. */
static int keep_beyond(struct plt_qcow2_header *h, const uint8_t *p,
		       struct platter_error *err)
{
	uint32_t more;

	if (h->length <= QCOW2_HDR_OUR_LENGTH)
		return 0;
	more = h->length - QCOW2_HDR_OUR_LENGTH;
	h->beyond = plt_calloc(1, more, err);
	if (!h->beyond)
		return -ENOMEM;
	memcpy(h->beyond, p + QCOW2_HDR_OUR_LENGTH, more);
	return 0;
}

/* ---- the rules ---- */

/* `entries` of `size` bytes, at most `max` bytes in all. */
static int check_table(const struct plt_qcow2_header *h, const char *what,
		       uint64_t offset, uint64_t entries, unsigned int size,
		       uint64_t max, struct platter_error *err)
{
	uint64_t cluster_size = UINT64_C(1) << h->cluster_bits;

	if (entries > max / size)
		return plt_err_set(err, -EFBIG, "%s of %" PRIu64 " entries is "
				   "over the limit of %" PRIu64, what, entries,
				   max / size);
	if (offset % cluster_size)
		return plt_err_set(err, -EINVAL, "%s offset %#" PRIx64 " is "
				   "not a multiple of the cluster size of %"
				   PRIu64, what, offset, cluster_size);
	if (offset > PLT_OFFSET_MAX - entries * size)
		return plt_err_set(err, -EINVAL, "%s offset %#" PRIx64
				   " is over the limit of %" PRIu64, what,
				   offset, PLT_OFFSET_MAX);
	return 0;
}

static int check_size(const struct plt_qcow2_header *h,
		      struct platter_error *err)
{
	bool extl2 = h->incompatible & QCOW2_INCOMPAT_EXTL2;
	unsigned int shift = h->cluster_bits * 2 - (extl2 ? 4 : 3);
	uint64_t need;

	if (extl2 && h->cluster_bits < QCOW2_MIN_EXTL2_CLUSTER_BITS)
		return plt_err_set(err, -EINVAL, "a cluster size of 2^%u is "
				   "below the 2^%d that extended L2 entries "
				   "need", h->cluster_bits,
				   QCOW2_MIN_EXTL2_CLUSTER_BITS);
	if (h->size > PLT_OFFSET_MAX)
		return plt_err_set(err, -EFBIG, "virtual size %" PRIu64
				   " is over the limit of %" PRIu64, h->size,
				   PLT_OFFSET_MAX);
	need = (h->size >> shift) +
	       !!(h->size & ((UINT64_C(1) << shift) - 1));
	if (h->l1_size < need)
		return plt_err_set(err, -EINVAL, "L1 table of %" PRIu32
				   " entries is too small for the %" PRIu64
				   " that the virtual size needs", h->l1_size,
				   need);
	return 0;
}

static int check_tables(const struct plt_qcow2_header *h, unsigned int flags,
			struct platter_error *err)
{
	int rc;

	if (!h->reftable_clusters && !(flags & PLATTER_O_CHECK))
		return plt_err_set(err, -EINVAL,
				   "image has no refcount table");
	rc = check_table(h, "refcount table", h->reftable_offset,
			 ((uint64_t)h->reftable_clusters << h->cluster_bits) /
			 8, 8, QCOW2_MAX_REFTABLE_BYTES, err);
	/* check -r takes a broken snapshot table away. */
	if (rc == 0 && !(flags & PLATTER_O_CHECK))
		rc = check_table(h, "snapshot table", h->snapshots_offset,
				 h->nb_snapshots, QCOW2_SNAPSHOT_ROW,
				 (uint64_t)QCOW2_MAX_SNAPSHOTS *
				 QCOW2_SNAPSHOT_ROW, err);
	if (rc == 0)
		rc = check_table(h, "L1 table", h->l1_offset, h->l1_size, 8,
				 QCOW2_MAX_L1_BYTES, err);
	return rc;
}

static int check_compression(const struct plt_qcow2_header *h,
			     struct platter_error *err)
{
	bool bit = h->incompatible & QCOW2_INCOMPAT_COMPRESSION;

	if (h->compression > QCOW2_COMPRESSION_ZSTD)
		return plt_err_set(err, -ENOTSUP, "compression type %u is not "
				   "known", h->compression);
	if (bit != (h->compression != QCOW2_COMPRESSION_ZLIB))
		return plt_err_set(err, -EINVAL, "compression type %u and the "
				   "incompatible feature bit that must tell of "
				   "it contradict each other", h->compression);
	return 0;
}

static int check_header(const struct plt_qcow2_header *h, unsigned int flags,
			struct platter_error *err)
{
	int rc;

	if ((h->incompatible & QCOW2_INCOMPAT_CORRUPT) &&
	    (flags & PLATTER_O_RDWR) && !(flags & PLATTER_O_CHECK))
		return plt_err_set(err, -EACCES, "the image is marked corrupt; "
				   "it is not written before \"platter check "
				   "-r all\" has mended it");
	if (h->refcount_order > QCOW2_MAX_REFCOUNT_ORDER)
		return plt_err_set(err, -EINVAL, "refcount order %u is over "
				   "the limit of %d", h->refcount_order,
				   QCOW2_MAX_REFCOUNT_ORDER);
	if (h->crypt_method > QCOW2_CRYPT_LUKS)
		return plt_err_set(err, -EINVAL, "encryption method %" PRIu32
				   " is not known", h->crypt_method);
	rc = check_size(h, err);
	if (rc == 0)
		rc = check_tables(h, flags, err);
	return rc ? rc : check_compression(h, err);
}

/* ---- header extensions ---- */

/* `p` is `len` bytes of text from the file, which may hold anything. */
static int take_text(char **out, const char *what, const uint8_t *p,
		     size_t len, size_t max, struct platter_error *err)
{
	if (len > max)
		return plt_err_set(err, -EINVAL, "%s of %zu bytes is over the "
				   "limit of %zu", what, len, max);
	free(*out);
	*out = plt_calloc(1, len + 1, err);
	if (!*out)
		return -ENOMEM;
	memcpy(*out, p, len);
	return 0;
}

static int check_place(const struct plt_qcow2_header *h, const char *what,
		       uint64_t offset, struct platter_error *err)
{
	uint64_t cluster_size = UINT64_C(1) << h->cluster_bits;

	if (offset % cluster_size || offset > QCOW2_MAX_HOST_OFFSET)
		return plt_err_set(err, -EINVAL, "%s offset %#" PRIx64
				   " is not a multiple of the cluster size of %"
				   PRIu64 " below 2^56", what, offset,
				   cluster_size);
	return 0;
}

static int take_bitmaps(struct plt_qcow2_header *h, const uint8_t *p,
			uint32_t len, unsigned int flags,
			struct platter_error *err)
{
	if (len != 24)
		return plt_err_set(err, -EINVAL, "bitmaps extension of %" PRIu32
				   " bytes is not of 24", len);
	/* Something that does not know bitmaps has written to the image. */
	if (!(h->autoclear & QCOW2_AUTOCLEAR_BITMAPS))
		return 0;
	h->nb_bitmaps = plt_be32(p);
	h->bitmap_directory_size = plt_be64(p + 8);
	h->bitmap_directory_offset = plt_be64(p + 16);
	h->has_bitmaps = true;
	if (flags & PLATTER_O_CHECK)
		return 0;
	if (plt_be32(p + 4))
		return plt_err_set(err, -EINVAL, "the reserved field of the "
				   "bitmaps extension is not zero");
	if (!h->nb_bitmaps || h->nb_bitmaps > QCOW2_MAX_BITMAPS)
		return plt_err_set(err, -EINVAL, "a count of %" PRIu32
				   " bitmaps is not between 1 and %d",
				   h->nb_bitmaps, QCOW2_MAX_BITMAPS);
	if (h->bitmap_directory_size > QCOW2_MAX_BITMAP_DIRECTORY)
		return plt_err_set(err, -EINVAL, "a bitmap directory of %"
				   PRIu64 " bytes is over the limit of %u",
				   h->bitmap_directory_size,
				   QCOW2_MAX_BITMAP_DIRECTORY);
	return check_place(h, "bitmap directory", h->bitmap_directory_offset,
			   err);
}

static int take_crypto(struct plt_qcow2_header *h, const uint8_t *p,
		       uint32_t len, struct platter_error *err)
{
	if (h->crypt_method != QCOW2_CRYPT_LUKS)
		return plt_err_set(err, -EINVAL, "there is an encryption "
				   "header, but the encryption method is %"
				   PRIu32, h->crypt_method);
	if (len != 16)
		return plt_err_set(err, -EINVAL, "encryption extension of %"
				   PRIu32 " bytes is not of 16", len);
	h->has_crypto = true;
	h->crypto_offset = plt_be64(p);
	h->crypto_length = plt_be64(p + 8);
	return check_place(h, "encryption header", h->crypto_offset, err);
}

/* To the end of the list, so that their order stays as it is. */
static int take_unknown(struct plt_qcow2_header *h, uint32_t type,
			const uint8_t *p, uint32_t len,
			struct platter_error *err)
{
	struct plt_qcow2_unknown_ext *ext, **at = &h->unknown;

	ext = plt_calloc(1, sizeof(*ext) + len, err);
	if (!ext)
		return -ENOMEM;
	ext->type = type;
	ext->len = len;
	memcpy(ext->data, p, len);
	while (*at)
		at = &(*at)->next;
	*at = ext;
	return 0;
}

static int take_extension(struct plt_qcow2_header *h, uint32_t type,
			  const uint8_t *p, uint32_t len, unsigned int flags,
			  struct platter_error *err)
{
	switch (type) {
	case QCOW2_EXT_BACKING_FORMAT:
		return take_text(&h->backing_format, "backing format name", p,
				 len, MAX_FORMAT_NAME, err);
	case QCOW2_EXT_FEATURE_NAMES:
		return 0;	/* written anew */
	case QCOW2_EXT_BITMAPS:
		return take_bitmaps(h, p, len, flags, err);
	case QCOW2_EXT_CRYPTO:
		return take_crypto(h, p, len, err);
	case QCOW2_EXT_DATA_FILE:
		return take_text(&h->data_filename, "data file name", p, len,
				 UINT32_C(1) << h->cluster_bits, err);
	default:
		return take_unknown(h, type, p, len, err);
	}
}

/*
 * The extension at *at of the header cluster `p`, which ends at `end`. Returns
 * 1 behind the last.
 */
static int next_extension(const uint8_t *p, uint32_t *at, uint32_t end,
			  uint32_t *type, uint32_t *len,
			  struct platter_error *err)
{
	if (*at + 8 > end)
		return 1;
	*type = plt_be32(p + *at);
	*len = plt_be32(p + *at + 4);
	*at += 8;
	/* QEMU wants that of the end marker, too. */
	if (*len > end - *at)
		return plt_err_set(err, -EINVAL, "header extension %#" PRIx32
				   " of %" PRIu32 " bytes does not fit in the "
				   "%" PRIu32 " left", *type, *len, end - *at);
	return *type == QCOW2_EXT_END;
}

static int read_extensions(struct plt_qcow2_header *h, const uint8_t *p,
			   uint32_t end, unsigned int flags,
			   struct platter_error *err)
{
	uint32_t at = h->length, type, len;
	int rc;

	for (;;) {
		rc = next_extension(p, &at, end, &type, &len, err);
		if (rc)
			return rc < 0 ? rc : 0;
		rc = take_extension(h, type, p + at, len, flags, err);
		if (rc < 0)
			return rc;
		at += plt_align_up(len, 8);
	}
}

/* ---- features that are not known ---- */

/* What the image itself calls incompatible feature `bit`, or "". */
static void feature_name(char name[FEATURE_NAME + 1], const uint8_t *p,
			 uint32_t at, uint32_t end, unsigned int bit)
{
	uint32_t type, len;

	name[0] = '\0';
	for (; !next_extension(p, &at, end, &type, &len, NULL);
	     at += plt_align_up(len, 8)) {
		if (type != QCOW2_EXT_FEATURE_NAMES)
			continue;
		for (uint32_t i = 0; i + FEATURE_ROW <= len; i += FEATURE_ROW) {
			const uint8_t *row = p + at + i;

			if (row[0] == 0 && row[1] == bit) {
				memcpy(name, row + 2, FEATURE_NAME);
				name[FEATURE_NAME] = '\0';
			}
		}
	}
}

static int check_features(const struct plt_qcow2_header *h, const uint8_t *p,
			  uint32_t end, struct platter_error *err)
{
	uint64_t unknown = h->incompatible & ~QCOW2_INCOMPAT_KNOWN;
	char name[FEATURE_NAME + 1];
	char text[300] = "";
	size_t used = 0;

	if (!unknown)
		return 0;
	for (unsigned int bit = 0; bit < 64; bit++) {
		if (!(unknown >> bit & 1) || used >= sizeof(text))
			continue;
		feature_name(name, p, h->length, end, bit);
		used += snprintf(text + used, sizeof(text) - used,
				 *name ? "%sbit %u (%s)" : "%sbit %u",
				 used ? ", " : "", bit, name);
	}
	return plt_err_set(err, -ENOTSUP, "the image needs features that are "
			   "not supported: incompatible feature %s", text);
}

/* ---- reading ---- */

static int read_backing_name(struct plt_qcow2_header *h, const uint8_t *p,
			     uint64_t offset, uint32_t len,
			     struct platter_error *err)
{
	uint64_t cluster_size = UINT64_C(1) << h->cluster_bits;
	uint64_t max;

	if (!offset)
		return 0;
	max = PLT_MIN((uint64_t)QCOW2_MAX_BACKING_NAME, cluster_size - offset);
	return take_text(&h->backing_filename, "backing file name", p + offset,
			 len, max, err);
}

static int decode(struct plt_qcow2_header *h, const uint8_t *p,
		  unsigned int flags, struct platter_error *err)
{
	uint64_t backing = plt_be64(p + QCOW2_HDR_BACKING_OFFSET);
	uint32_t end = UINT32_C(1) << h->cluster_bits;
	int rc = 0;

	decode_common(h, p);
	if (h->version > 2)
		rc = decode_v3(h, p, err);
	if (rc == 0 && backing > end)
		rc = plt_err_set(err, -EINVAL, "backing file name offset %#"
				 PRIx64 " is beyond the first cluster of %"
				 PRIu32, backing, end);
	if (rc < 0)
		return rc;
	if (backing)
		end = (uint32_t)backing;
	rc = check_features(h, p, end, err);
	if (rc == 0)
		rc = check_header(h, flags, err);
	if (rc == 0)
		rc = keep_beyond(h, p, err);
	if (rc == 0)
		rc = read_extensions(h, p, end, flags, err);
	if (rc == 0)
		rc = read_backing_name(h, p, backing,
				       plt_be32(p + QCOW2_HDR_BACKING_SIZE),
				       err);
	return rc;
}

/* The header cluster; a file that ends before is read as zeros from there. */
static int read_cluster(uint8_t **out, struct platter_image *file,
			uint32_t len, struct platter_error *err)
{
	uint64_t there = PLT_MIN(platter_image_size(file), (uint64_t)len);
	int rc;

	*out = plt_calloc(1, len, err);
	if (!*out)
		return -ENOMEM;
	rc = there ? platter_image_pread(file, *out, there, 0, err) : 0;
	return rc < 0 ? plt_err_prefix(err, rc, "reading the header") : 0;
}

int plt_qcow2_header_read(struct plt_qcow2_header *h,
			  struct platter_image *file, unsigned int flags,
			  struct platter_error *err)
{
	plt_auto_free uint8_t *first = NULL, *all = NULL;
	int rc;

	memset(h, 0, sizeof(*h));
	rc = read_cluster(&first, file, UINT32_C(1) << QCOW2_MIN_CLUSTER_BITS,
			  err);
	if (rc == 0)
		rc = decode_version(h, first, err);
	if (rc == 0)
		rc = read_cluster(&all, file, UINT32_C(1) << h->cluster_bits,
				  err);
	if (rc == 0)
		rc = decode(h, all, flags, err);
	if (rc < 0)
		plt_qcow2_header_free(h);
	return rc;
}

void plt_qcow2_header_free(struct plt_qcow2_header *h)
{
	while (h->unknown) {
		struct plt_qcow2_unknown_ext *next = h->unknown->next;

		free(h->unknown);
		h->unknown = next;
	}
	free(h->beyond);
	free(h->backing_filename);
	free(h->backing_format);
	free(h->data_filename);
	memset(h, 0, sizeof(*h));
}
