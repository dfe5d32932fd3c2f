/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a qcow2 image is to be like: creation options, read and checked. */
#ifndef PLT_QCOW2_SETTINGS_H
#define PLT_QCOW2_SETTINGS_H

#include "disk/qcow2/qcow2.h"

#define QCOW2_DEFAULT_CLUSTER_SIZE	65536u
#define QCOW2_DEFAULT_REFCOUNT_ORDER	4	/* 16 bits */

/* Strings are those of the options. */
struct plt_qcow2_settings {
	uint32_t version;
	unsigned int cluster_bits;
	unsigned int refcount_order;
	bool extl2, lazy, data_raw;
	uint8_t compression;
	enum platter_preallocation prealloc;
	const char *backing_file, *backing_format, *data_file;
};

/* Read all; every option has a value it may have. */
int plt_qcow2_settings_read(struct plt_qcow2_settings *c,
			    struct platter_options *opts,
			    struct platter_error *err) PLATTER_MUST_CHECK;
/* They go together in a new image; measuring does not ask. */
int plt_qcow2_settings_check(const struct plt_qcow2_settings *c,
			     struct platter_error *err) PLATTER_MUST_CHECK;
/* These leave *out alone when the option is not given. */
int plt_qcow2_read_compat(struct platter_options *opts, uint32_t *version,
			  struct platter_error *err) PLATTER_MUST_CHECK;
int plt_qcow2_read_refcount_bits(struct platter_options *opts,
				 unsigned int *order, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Entries of the L1 table of a disk of `size`; -EFBIG over the limit. */
int plt_qcow2_l1_entries(unsigned int cluster_bits, bool extl2, uint64_t size,
			 uint64_t *out, struct platter_error *err)
	PLATTER_MUST_CHECK;

/*
 * What refcounts for `clusters` clusters, and for themselves, take: that many
 * clusters of blocks, and of table.
 */
void plt_qcow2_refcount_clusters(unsigned int cluster_bits,
				 unsigned int refcount_order,
				 uint64_t clusters, uint64_t *blocks,
				 uint64_t *table);

#endif
