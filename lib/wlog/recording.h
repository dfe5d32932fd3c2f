/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A node that records what is written through it to another node that is open
 * already, and stays the caller's: what driver blklogwrites does to files.
 */
#ifndef PLT_WLOG_RECORDING_H
#define PLT_WLOG_RECORDING_H

#include <stdint.h>

#include <platter/image.h>

/*
 * A node over `lower`, which must outlive it, and of its size. It passes all
 * on until a log is begun, and can be written where `lower` can. Closing it
 * leaves `lower` as it is.
 */
int plt_recording_new(struct platter_image **out, struct platter_image *lower,
		      struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Begin a new log with sectors of `sector_size` in `log`, an image open for
 * writing that stays the caller's; what is in it is lost. Nothing may read or
 * write the node meanwhile, nor while the log is ended.
 */
int plt_recording_begin(struct platter_image *node, struct platter_image *log,
			uint32_t sector_size, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Put the end mark, and pass all on again. *entries: logged, without it. */
int plt_recording_end(struct platter_image *node, uint64_t *entries,
		      struct platter_error *err) PLATTER_MUST_CHECK;

#endif
