/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing the qcow2 header: the whole first cluster, or its fixed part.
 *
 * A change of a table's place or of a feature bit lies within the first 512
 * bytes, which no power cut tears; so it is written alone. The whole cluster is
 * written for changes of the extensions and of the backing file name.
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

#define FEATURE_ROW	48

/* The names QEMU gives them, so that either's message reads the same. */
static const struct feature {
	uint8_t type;		/* 0 incompatible, 1 compatible, 2 autoclear */
	uint8_t bit;
	const char *name;
} features[] = {
	{ 0, 0, "dirty bit" },
	{ 0, 1, "corrupt bit" },
	{ 0, 2, "external data file" },
	{ 0, 3, "compression type" },
	{ 0, 4, "extended L2 entries" },
	{ 1, 0, "lazy refcounts" },
	{ 2, 0, "bitmaps" },
	{ 2, 1, "raw external data" },
};

#define FEATURE_TABLE	(PLT_ARRAY_SIZE(features) * FEATURE_ROW)

/* ---- encoding ---- */

struct room {
	uint8_t *buf;
	size_t at, size;
};

/* NULL: does not fit, which is -ENOSPC. */
static uint8_t *take_room(struct room *r, size_t len,
			  struct platter_error *err)
{
	uint8_t *at = r->buf + r->at;

	if (len > r->size - r->at) {
		plt_err_set(err, -ENOSPC, "the header needs more than its "
			    "cluster of %zu bytes", r->size);
		return NULL;
	}
	r->at += len;
	return at;
}

static int put_extension(struct room *r, uint32_t type, const void *data,
			 size_t len, struct platter_error *err)
{
	uint8_t *p = take_room(r, 8 + plt_align_up(len, 8), err);

	if (!p)
		return -ENOSPC;
	plt_put_be32(p, type);
	plt_put_be32(p + 4, (uint32_t)len);
	if (len)
		memcpy(p + 8, data, len);
	return 0;
}

static int put_text(struct room *r, uint32_t type, const char *text,
		    struct platter_error *err)
{
	return text ? put_extension(r, type, text, strlen(text), err) : 0;
}

static int put_bitmaps(struct room *r, const struct plt_qcow2_header *h,
		       struct platter_error *err)
{
	uint8_t ext[24] = { 0 };

	if (!h->has_bitmaps)
		return 0;
	plt_put_be32(ext, h->nb_bitmaps);
	plt_put_be64(ext + 8, h->bitmap_directory_size);
	plt_put_be64(ext + 16, h->bitmap_directory_offset);
	return put_extension(r, QCOW2_EXT_BITMAPS, ext, sizeof(ext), err);
}

static int put_crypto(struct room *r, const struct plt_qcow2_header *h,
		      struct platter_error *err)
{
	uint8_t ext[16];

	if (!h->has_crypto)
		return 0;
	plt_put_be64(ext, h->crypto_offset);
	plt_put_be64(ext + 8, h->crypto_length);
	return put_extension(r, QCOW2_EXT_CRYPTO, ext, sizeof(ext), err);
}

static int put_features(struct room *r, struct platter_error *err)
{
	uint8_t table[FEATURE_TABLE] = { 0 };

	for (size_t i = 0; i < PLT_ARRAY_SIZE(features); i++) {
		uint8_t *row = table + i * FEATURE_ROW;

		row[0] = features[i].type;
		row[1] = features[i].bit;
		memcpy(row + 2, features[i].name, strlen(features[i].name));
	}
	return put_extension(r, QCOW2_EXT_FEATURE_NAMES, table, sizeof(table),
			     err);
}

static void put_fixed(uint8_t *p, const struct plt_qcow2_header *h,
		      uint32_t length)
{
	plt_put_be32(p + QCOW2_HDR_MAGIC, QCOW2_MAGIC);
	plt_put_be32(p + QCOW2_HDR_VERSION, h->version);
	plt_put_be32(p + QCOW2_HDR_CLUSTER_BITS, h->cluster_bits);
	plt_put_be64(p + QCOW2_HDR_SIZE, h->size);
	plt_put_be32(p + QCOW2_HDR_CRYPT_METHOD, h->crypt_method);
	plt_put_be32(p + QCOW2_HDR_L1_SIZE, h->l1_size);
	plt_put_be64(p + QCOW2_HDR_L1_OFFSET, h->l1_offset);
	plt_put_be64(p + QCOW2_HDR_REFTABLE_OFFSET, h->reftable_offset);
	plt_put_be32(p + QCOW2_HDR_REFTABLE_CLUSTERS, h->reftable_clusters);
	plt_put_be32(p + QCOW2_HDR_NB_SNAPSHOTS, h->nb_snapshots);
	plt_put_be64(p + QCOW2_HDR_SNAPSHOTS_OFFSET, h->snapshots_offset);
	if (h->version < 3)
		return;
	plt_put_be64(p + QCOW2_HDR_INCOMPATIBLE, h->incompatible);
	plt_put_be64(p + QCOW2_HDR_COMPATIBLE, h->compatible);
	plt_put_be64(p + QCOW2_HDR_AUTOCLEAR, h->autoclear);
	plt_put_be32(p + QCOW2_HDR_REFCOUNT_ORDER, h->refcount_order);
	plt_put_be32(p + QCOW2_HDR_LENGTH, length);
	if (length > QCOW2_HDR_COMPRESSION)
		p[QCOW2_HDR_COMPRESSION] = h->compression;
}

static int put_extensions(struct room *r, const struct plt_qcow2_header *h,
			  struct platter_error *err)
{
	int rc;

	rc = h->backing_filename ? put_text(r, QCOW2_EXT_BACKING_FORMAT,
					    h->backing_format, err) : 0;
	if (rc == 0)
		rc = put_text(r, QCOW2_EXT_DATA_FILE, h->data_filename, err);
	if (rc == 0)
		rc = put_crypto(r, h, err);
	if (rc == 0)
		rc = put_bitmaps(r, h, err);
	for (const struct plt_qcow2_unknown_ext *e = h->unknown;
	     rc == 0 && e; e = e->next)
		rc = put_extension(r, e->type, e->data, e->len, err);
	return rc;
}

/* What must stand behind the feature names, which are only there to help. */
static size_t tail_size(const struct plt_qcow2_header *h)
{
	return 8 + (h->backing_filename ? strlen(h->backing_filename) : 0);
}

int plt_qcow2_header_encode(const struct plt_qcow2_header *h, uint8_t *buf,
			    size_t size, struct platter_error *err)
{
	struct room r = { .buf = buf, .size = size };
	uint32_t more = h->length > QCOW2_HDR_OUR_LENGTH ?
			h->length - QCOW2_HDR_OUR_LENGTH : 0;
	uint32_t length = h->version > 2 ? QCOW2_HDR_OUR_LENGTH + more :
					   QCOW2_HDR_V2_LENGTH;
	size_t name;
	uint8_t *p;
	int rc;

	memset(buf, 0, size);
	p = take_room(&r, length, err);
	if (!p)
		return -ENOSPC;
	put_fixed(p, h, length);
	if (h->version > 2 && h->beyond)
		memcpy(p + QCOW2_HDR_OUR_LENGTH, h->beyond, more);
	rc = put_extensions(&r, h, err);
	if (rc == 0 && h->version > 2 && 8 + FEATURE_TABLE + tail_size(h) <=
	    r.size - r.at)
		rc = put_features(&r, err);
	if (rc == 0)
		rc = put_extension(&r, QCOW2_EXT_END, NULL, 0, err);
	if (rc < 0 || !h->backing_filename)
		return rc;
	name = strlen(h->backing_filename);
	p = take_room(&r, name, err);
	if (!p)
		return -ENOSPC;
	memcpy(p, h->backing_filename, name);
	plt_put_be64(buf + QCOW2_HDR_BACKING_OFFSET, r.at - name);
	plt_put_be32(buf + QCOW2_HDR_BACKING_SIZE, (uint32_t)name);
	return 0;
}

/* ---- writing ---- */

static int write_flush(struct plt_qcow2 *s, const uint8_t *buf, size_t len,
		       struct platter_error *err)
{
	int rc = platter_image_pwrite(s->file, buf, len, 0, err);

	if (rc == 0)
		rc = platter_image_flush(s->file, err);
	return rc < 0 ? plt_err_prefix(err, rc, "writing the header") : 0;
}

int plt_qcow2_header_write(struct plt_qcow2 *s, struct platter_error *err)
{
	plt_auto_free uint8_t *buf = plt_calloc(1, s->cluster_size, err);
	int rc;

	if (!buf)
		return -ENOMEM;
	rc = plt_qcow2_header_encode(&s->h, buf, s->cluster_size, err);
	if (rc == 0)
		rc = write_flush(s, buf, s->cluster_size, err);
	if (rc == 0)
		s->h.length = s->h.version > 2 ?
			      plt_be32(buf + QCOW2_HDR_LENGTH) :
			      QCOW2_HDR_V2_LENGTH;
	return rc;
}

/* The name of the backing file stays where it is: those fields are read. */
int plt_qcow2_header_write_fixed(struct plt_qcow2 *s, struct platter_error *err)
{
	uint32_t length = PLT_MIN(s->h.length, (uint32_t)QCOW2_HDR_OUR_LENGTH);
	uint8_t buf[QCOW2_HDR_OUR_LENGTH] = { 0 };
	int rc;

	rc = platter_image_pread(s->file, buf, length, 0, err);
	if (rc < 0)
		return plt_err_prefix(err, rc, "reading the header");
	put_fixed(buf, &s->h, s->h.length);
	return write_flush(s, buf, length, err);
}

int plt_qcow2_set_features(struct plt_qcow2 *s, uint64_t incompatible,
			   uint64_t autoclear, struct platter_error *err)
{
	uint64_t was_incompatible = s->h.incompatible;
	uint64_t was_autoclear = s->h.autoclear;
	int rc;

	/* Version 2 has nowhere to put them. */
	if (s->h.version < 3 || (incompatible == was_incompatible &&
				 autoclear == was_autoclear))
		return 0;
	s->h.incompatible = incompatible;
	s->h.autoclear = autoclear;
	rc = plt_qcow2_header_write_fixed(s, err);
	if (rc < 0) {
		s->h.incompatible = was_incompatible;
		s->h.autoclear = was_autoclear;
	}
	return rc;
}

int plt_qcow2_corrupt(struct plt_qcow2 *s, struct platter_error *err,
		      const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (platter_image_writable(s->img) && !s->broken) {
		s->broken = true;
		/* Kept from being written or not, this is what went wrong. */
		(void)!plt_qcow2_set_features(s, s->h.incompatible |
					      QCOW2_INCOMPAT_CORRUPT,
					      s->h.autoclear, NULL);
	}
	return plt_err_set(err, -EIO, "%s; the image is not written any more",
			   text);
}
