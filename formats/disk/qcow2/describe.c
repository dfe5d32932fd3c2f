/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `info` tells of a qcow2 image: names, values and their order are those
 * of qemu-img 7.2, which programs read.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <platter/out.h>

#include "base/error.h"
#include "disk/qcow2/describe.h"
#include "disk/qcow2/qcow2.h"

int plt_qcow2_facts(struct platter_image *img, struct platter_image_facts *out,
		    struct platter_error *err)
{
	const struct plt_qcow2 *s = platter_image_state(img);

	(void)err;
	*out = (struct platter_image_facts) {
		.cluster_size = s->cluster_size,
		.subcluster_size = UINT64_C(1) << s->subcluster_bits,
		.dirty = s->h.incompatible & QCOW2_INCOMPAT_DIRTY,
		.encrypted = s->h.crypt_method != QCOW2_CRYPT_NONE,
		.backing_filename = s->h.backing_filename,
		.backing_format = s->h.backing_format,
	};
	return 0;
}

/* ---- bitmaps ---- */

/* qemu-img numbers what is in a list for people, too. */
static void print_flag(struct platter_printer *out, unsigned int *nr,
		       const char *flag)
{
	char number[16];

	if (platter_printer_kind(out) == PLATTER_OUTPUT_HUMAN) {
		snprintf(number, sizeof(number), "[%u]", *nr);
		platter_out_string(out, number, flag);
	} else {
		platter_out_string(out, NULL, flag);
	}
	(*nr)++;
}

static void print_bitmap(struct platter_printer *out,
			 const struct platter_bitmap_info *b)
{
	unsigned int nr = 0;

	platter_out_map(out, NULL);
	if (platter_printer_kind(out) != PLATTER_OUTPUT_HUMAN)
		platter_out_list(out, "flags");
	else if (b->in_use || b->enabled)
		platter_out_map(out, "flags");
	else
		platter_out_string(out, "flags", "");
	if (b->in_use)
		print_flag(out, &nr, "in-use");
	if (b->enabled)
		print_flag(out, &nr, "auto");
	if (nr || platter_printer_kind(out) != PLATTER_OUTPUT_HUMAN)
		platter_out_end(out);
	platter_out_string(out, "name", b->name);
	platter_out_u64(out, "granularity", b->granularity);
	platter_out_end(out);
}

static int print_bitmaps(const struct plt_qcow2 *s, struct platter_printer *out,
			 struct platter_error *err)
{
	const struct platter_bitmap_info *list;
	size_t count;
	int rc;

	if (!s->h.has_bitmaps)
		return 0;
	rc = plt_qcow2_bitmaps_list(s->img, &list, &count, err);
	if (rc < 0 || !count)
		return rc;
	platter_out_list(out, "bitmaps");
	for (size_t i = 0; i < count; i++)
		print_bitmap(out, &list[i]);
	platter_out_end(out);
	return 0;
}

/* ---- the rest ---- */

static int print_encryption(const struct plt_qcow2 *s,
			    struct platter_printer *out,
			    struct platter_error *err)
{
	int rc = 0;

	if (s->h.crypt_method == QCOW2_CRYPT_NONE)
		return 0;
	platter_out_map(out, "encrypt");
	if (s->h.crypt_method == QCOW2_CRYPT_AES)
		platter_out_string(out, "format", "aes");
	else
		rc = plt_qcow2_describe_luks(s, out, err);
	platter_out_end(out);
	return rc;
}

static void print_data_file(const struct plt_qcow2 *s,
			    struct platter_printer *out)
{
	if (!s->data_file)
		return;
	if (s->h.data_filename)
		platter_out_string(out, "data-file", s->h.data_filename);
	platter_out_bool(out, "data-file-raw", s->data_raw);
}

int plt_qcow2_describe(struct platter_image *img, struct platter_printer *out,
		       struct platter_error *err)
{
	const struct plt_qcow2 *s = platter_image_state(img);
	bool v3 = s->h.version > 2;
	int rc = 0;

	platter_out_string(out, "compat", v3 ? "1.1" : "0.10");
	platter_out_string(out, "compression-type", s->h.compression ==
			   QCOW2_COMPRESSION_ZSTD ? "zstd" : "zlib");
	if (v3)
		platter_out_bool(out, "lazy-refcounts", s->h.compatible &
				 QCOW2_COMPAT_LAZY_REFCOUNTS);
	if (v3)
		rc = print_bitmaps(s, out, err);
	platter_out_u64(out, "refcount-bits", 1u << s->h.refcount_order);
	print_data_file(s, out);
	if (rc == 0)
		rc = print_encryption(s, out, err);
	if (v3) {
		platter_out_bool(out, "corrupt", s->h.incompatible &
				 QCOW2_INCOMPAT_CORRUPT);
		platter_out_bool(out, "extended-l2", s->extl2);
	}
	return rc;
}
