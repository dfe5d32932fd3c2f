/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The blkdebug filter: passes everything on to `file` until a request is to
 * fail, for tests of what comes after an I/O error.
 *
 * One rule, named as in QEMU's filter: requests of one type (iotype), on one
 * sector or any, fail with errno, once or from then on. `after` lets so many of
 * them through first, so that a test can fail each request of a run in turn.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "drivers.h"

#define SECTOR 512u

enum iotype { IO_READ, IO_WRITE, IO_ZERO, IO_DISCARD, IO_FLUSH, NR_IO };

static const char *const iotype_names[NR_IO] = {
	"read", "write", "write-zeroes", "discard", "flush",
};

struct blkdebug {
	struct platter_image *file;
	unsigned int types;		/* bit per iotype that may fail */
	int code;			/* negative errno */
	bool once, any_sector;
	uint64_t sector;
	uint64_t after;			/* requests let through first */
	_Atomic uint64_t seen;
};

/* Negative errno when this request is to fail. */
static int inject(struct blkdebug *s, enum iotype type, uint64_t offset,
		  uint64_t len, struct platter_error *err)
{
	uint64_t nr;

	if (!(s->types & (1u << type)))
		return 0;
	if (!s->any_sector && type != IO_FLUSH &&
	    (offset / SECTOR > s->sector ||
	     (offset + len - 1) / SECTOR < s->sector))
		return 0;
	nr = s->seen++;
	if (nr < s->after || (s->once && nr > s->after))
		return 0;
	return plt_err_errno(err, s->code, "injected %s error at offset %"
			     PRIu64, iotype_names[type], offset);
}

static int debug_pread(struct platter_image *img, void *buf, size_t len,
		       uint64_t offset, struct platter_error *err)
{
	struct blkdebug *s = platter_image_state(img);
	int rc = inject(s, IO_READ, offset, len, err);

	return rc ? rc : platter_image_pread(s->file, buf, len, offset, err);
}

static int debug_pwrite(struct platter_image *img, const void *buf, size_t len,
			uint64_t offset, struct platter_error *err)
{
	struct blkdebug *s = platter_image_state(img);
	int rc = inject(s, IO_WRITE, offset, len, err);

	return rc ? rc : platter_image_pwrite(s->file, buf, len, offset, err);
}

static int debug_zero(struct platter_image *img, uint64_t offset, uint64_t len,
		      unsigned int flags, struct platter_error *err)
{
	struct blkdebug *s = platter_image_state(img);
	int rc = inject(s, IO_ZERO, offset, len, err);

	return rc ? rc : platter_image_zero(s->file, offset, len, flags, err);
}

static int debug_discard(struct platter_image *img, uint64_t offset,
			 uint64_t len, struct platter_error *err)
{
	struct blkdebug *s = platter_image_state(img);
	int rc = inject(s, IO_DISCARD, offset, len, err);

	return rc ? rc : platter_image_discard(s->file, offset, len, err);
}

static int debug_flush(struct platter_image *img, struct platter_error *err)
{
	struct blkdebug *s = platter_image_state(img);
	int rc = inject(s, IO_FLUSH, 0, 0, err);

	return rc ? rc : platter_image_flush(s->file, err);
}

/* ---- opening ---- */

static int parse_type(struct blkdebug *s, const char *name,
		      struct platter_error *err)
{
	if (!name) {
		s->types = (1u << NR_IO) - 1;
		return 0;
	}
	for (unsigned int i = 0; i < NR_IO; i++) {
		if (!strcmp(name, iotype_names[i])) {
			s->types = 1u << i;
			return 0;
		}
	}
	return plt_err_set(err, -EINVAL, "iotype \"%s\" is none of read, "
			   "write, write-zeroes, discard, flush", name);
}

static int parse(struct blkdebug *s, struct platter_options *opts,
		 struct platter_error *err)
{
	uint64_t number = EIO;
	int rc;

	rc = parse_type(s, platter_options_string(opts, "iotype"), err);
	if (!rc)
		rc = platter_options_size(opts, "errno", &number, err);
	if (!rc)
		rc = platter_options_bool(opts, "once", &s->once, err);
	if (!rc)
		rc = platter_options_size(opts, "after", &s->after, err);
	s->any_sector = !platter_options_string(opts, "sector");
	if (!rc)
		rc = platter_options_size(opts, "sector", &s->sector, err);
	if (rc)
		return rc;
	if (number == 0 || number > 4095)
		return plt_err_set(err, -EINVAL, "errno %" PRIu64 " is not "
				   "from 1 to 4095", number);
	s->code = -(int)number;
	return 0;
}

static int debug_open(struct platter_image *img, struct platter_options *opts,
		      struct platter_error *err)
{
	struct blkdebug *s = platter_image_state(img);
	int rc = parse(s, opts, err);

	if (!rc)
		rc = platter_image_open_child(img, "file", opts, NULL,
					      platter_image_flags(img), err);
	s->file = platter_image_child(img, "file");
	return rc;
}

static const struct platter_option options[] = {
	{ "file", "the node requests are passed on to (required)" },
	{ "iotype",
	  "read, write, write-zeroes, discard or flush (any of them)" },
	{ "errno", "number of the error (5, EIO)" },
	{ "sector", "only requests that touch this sector fail" },
	{ "after", "so many matching requests succeed first (0)" },
	{ "once", "on: only one request fails (off)" },
	{ NULL, NULL },
};

static const struct platter_io_ops io_ops = {
	.pread = debug_pread,
	.pwrite = debug_pwrite,
	.zero = debug_zero,
	.discard = debug_discard,
	.flush = debug_flush,
};

const struct platter_driver plt_blkdebug_driver = {
	.name = "blkdebug",
	.kind = PLATTER_DRIVER_FILTER,
	.state_size = sizeof(struct blkdebug),
	.options = options,
	.open = debug_open,
	.io = &io_ops,
};
