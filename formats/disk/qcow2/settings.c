/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qcow2: creation options, and which of them go together.
 *
 * The rules are those of qemu-img 7.2; measuring follows them as creating does.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/opts.h"
#include "disk/qcow2/qcow2.h"
#include "disk/qcow2/settings.h"

const struct platter_option plt_qcow2_amend_options[] = {
	{ "size", "size of the disk, in bytes", PLATTER_OPTION_SIZE },
	{ "compat", "version: 0.10 (v2) or 1.1 (v3)" },
	{ "backing_file", "cannot be changed here: see platter rebase" },
	{ "backing_fmt", "cannot be changed here: see platter rebase" },
	{ "data_file", "name of the data file of an image that has one" },
	{ "data_file_raw", "can be turned off, but not on",
	  PLATTER_OPTION_BOOL },
	{ "lazy_refcounts", "put refcount updates off", PLATTER_OPTION_BOOL },
	{ "refcount_bits", "width of refcounts, 1 to 64",
	  PLATTER_OPTION_NUMBER },
	{ NULL, NULL }
};

const struct platter_option plt_qcow2_create_options[] = {
	{ "encryption", "must be off: encrypted images cannot be made yet",
	  PLATTER_OPTION_BOOL },
	{ "encrypt.format", "encrypted images cannot be made yet" },
	{ "encrypt.key-secret", "encrypted images cannot be made yet" },
	{ "cluster_size", "bytes, a power of two from 512 to 2M (default 64K)",
	  PLATTER_OPTION_SIZE, "65536" },
	{ "extended_l2", "allocate by 1/32 of a cluster (default off)",
	  PLATTER_OPTION_BOOL, "off" },
	{ "preallocation", "off, metadata, falloc or full (default off)" },
	{ "compression_type", "of compressed clusters: zlib or zstd "
	  "(default zlib)", PLATTER_OPTION_STRING, "zlib" },
	{ "size", "size of the disk, in bytes", PLATTER_OPTION_SIZE },
	{ "compat", "version: 0.10 (v2) or 1.1 (v3) (default 1.1)" },
	{ "backing_file", "name of the backing file" },
	{ "backing_fmt", "format of the backing file" },
	{ "data_file", "name of a file of its own for the data" },
	{ "data_file_raw", "keep the data file a raw image (default off)",
	  PLATTER_OPTION_BOOL },
	{ "lazy_refcounts", "put refcount updates off (default off)",
	  PLATTER_OPTION_BOOL, "off" },
	{ "refcount_bits", "width of refcounts, 1 to 64 (default 16)",
	  PLATTER_OPTION_NUMBER, "16" },
	{ NULL, NULL }
};

/* ---- reading the options ---- */

static int read_cluster_size(struct plt_qcow2_settings *c,
			     struct platter_options *opts,
			     struct platter_error *err)
{
	uint64_t size = QCOW2_DEFAULT_CLUSTER_SIZE;
	int rc = platter_options_size(opts, "cluster_size", &size, err);

	if (rc < 0)
		return rc;
	if (!plt_is_power_of_2(size) || size < 1u << QCOW2_MIN_CLUSTER_BITS ||
	    size > 1u << QCOW2_MAX_CLUSTER_BITS)
		return plt_err_set(err, -EINVAL, "cluster_size %" PRIu64
				   " is not a power of two from 512 to 2 MiB",
				   size);
	c->cluster_bits = plt_log2(size);
	return 0;
}

int plt_qcow2_read_refcount_bits(struct platter_options *opts,
				 unsigned int *order, struct platter_error *err)
{
	const char *text = platter_options_string(opts, "refcount_bits");
	unsigned long long bits;
	char *end;

	if (!text)
		return 0;
	errno = 0;
	bits = strtoull(text, &end, 0);
	if (errno || *end || text[0] < '0' || text[0] > '9')
		return plt_err_set(err, -EINVAL, "refcount_bits \"%s\" is not "
				   "a number", text);
	if (!plt_is_power_of_2(bits) || bits > 1u << QCOW2_MAX_REFCOUNT_ORDER)
		return plt_err_set(err, -EINVAL, "refcount_bits %llu is not a "
				   "power of two from 1 to 64", bits);
	*order = plt_log2(bits);
	return 0;
}

int plt_qcow2_read_compat(struct platter_options *opts, uint32_t *version,
			  struct platter_error *err)
{
	const char *text = platter_options_string(opts, "compat");

	if (!text)
		return 0;
	if (!strcmp(text, "0.10") || !strcmp(text, "v2"))
		*version = 2;
	else if (!strcmp(text, "1.1") || !strcmp(text, "v3"))
		*version = 3;
	else
		return plt_err_set(err, -EINVAL, "compat \"%s\" is not one of "
				   "0.10, v2, 1.1, v3", text);
	return 0;
}

static int read_names(struct plt_qcow2_settings *c,
		      struct platter_options *opts, struct platter_error *err)
{
	const char *text = platter_options_string(opts, "preallocation");
	int rc;

	if (text) {
		rc = platter_preallocation_parse(&c->prealloc, text, err);
		if (rc < 0)
			return rc;
	}
	text = platter_options_string(opts, "compression_type");
	if (!text || !strcmp(text, "zlib"))
		c->compression = QCOW2_COMPRESSION_ZLIB;
	else if (!strcmp(text, "zstd"))
		c->compression = QCOW2_COMPRESSION_ZSTD;
	else
		return plt_err_set(err, -EINVAL, "compression_type \"%s\" is "
				   "not one of zlib, zstd", text);
	return 0;
}

/* Recognized, and refused: better than an image that is not encrypted. */
static int refuse_encryption(struct platter_options *opts,
			     struct platter_error *err)
{
	bool encrypt = false;
	int rc = platter_options_bool(opts, "encryption", &encrypt, err);

	if (rc < 0)
		return rc;
	if (encrypt || plt_options_tree(opts, "encrypt"))
		return plt_err_set(err, -ENOTSUP,
				   "encrypted qcow2 images cannot be made yet");
	return 0;
}

static int needs_v3(const char *what, struct platter_error *err)
{
	return plt_err_set(err, -EINVAL, "%s needs compat 1.1 (v3), not 0.10",
			   what);
}

/* What would not even have a layout. */
static int check_layout(const struct plt_qcow2_settings *c,
			struct platter_error *err)
{
	if (c->version < 3 && c->refcount_order != QCOW2_DEFAULT_REFCOUNT_ORDER)
		return needs_v3("refcount_bits other than 16", err);
	if (c->extl2 && c->cluster_bits < QCOW2_MIN_EXTL2_CLUSTER_BITS)
		return plt_err_set(err, -EINVAL, "extended_l2 needs a "
				   "cluster_size of at least %u, not %u",
				   1u << QCOW2_MIN_EXTL2_CLUSTER_BITS,
				   1u << c->cluster_bits);
	return 0;
}

static int check_version(const struct plt_qcow2_settings *c,
			 struct platter_error *err)
{
	if (c->version >= 3)
		return 0;
	if (c->lazy)
		return needs_v3("lazy_refcounts", err);
	if (c->compression != QCOW2_COMPRESSION_ZLIB)
		return needs_v3("a compression_type other than zlib", err);
	if (c->extl2)
		return needs_v3("extended_l2", err);
	if (c->data_file)
		return needs_v3("data_file", err);
	return 0;
}

int plt_qcow2_settings_check(const struct plt_qcow2_settings *c,
			     struct platter_error *err)
{
	if (c->data_raw && !c->data_file)
		return plt_err_set(err, -EINVAL,
				   "data_file_raw needs a data_file");
	if (c->data_raw && c->backing_file)
		return plt_err_set(err, -EINVAL, "a backing file and "
				   "data_file_raw cannot be used together");
	if (c->prealloc && c->backing_file && !c->extl2)
		return plt_err_set(err, -EINVAL, "a backing file and "
				   "preallocation go together with "
				   "extended_l2 only");
	if (c->backing_file && strlen(c->backing_file) > QCOW2_MAX_BACKING_NAME)
		return plt_err_set(err, -EINVAL, "the backing file name of %zu "
				   "bytes is over the limit of %u",
				   strlen(c->backing_file),
				   QCOW2_MAX_BACKING_NAME);
	return check_version(c, err);
}

int plt_qcow2_settings_read(struct plt_qcow2_settings *c,
			    struct platter_options *opts,
			    struct platter_error *err)
{
	int rc;

	*c = (struct plt_qcow2_settings) {
		.version = 3,
		.refcount_order = QCOW2_DEFAULT_REFCOUNT_ORDER,
		.backing_file = platter_options_string(opts, "backing_file"),
		.backing_format = platter_options_string(opts, "backing_fmt"),
		.data_file = platter_options_string(opts, "data_file"),
	};
	rc = refuse_encryption(opts, err);
	if (rc == 0)
		rc = read_cluster_size(c, opts, err);
	if (rc == 0)
		rc = plt_qcow2_read_refcount_bits(opts, &c->refcount_order,
						  err);
	if (rc == 0)
		rc = plt_qcow2_read_compat(opts, &c->version, err);
	if (rc == 0)
		rc = platter_options_bool(opts, "extended_l2", &c->extl2, err);
	if (rc == 0)
		rc = platter_options_bool(opts, "lazy_refcounts", &c->lazy,
					  err);
	if (rc == 0)
		rc = platter_options_bool(opts, "data_file_raw", &c->data_raw,
					  err);
	if (rc == 0)
		rc = read_names(c, opts, err);
	if (rc == 0)
		rc = check_layout(c, err);
	/* A raw image has a place for every byte. */
	if (rc == 0 && c->data_raw && !c->prealloc)
		c->prealloc = PLATTER_PREALLOC_METADATA;
	return rc;
}
