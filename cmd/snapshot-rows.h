/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How `info` and `snapshot -l` print internal snapshots. */
#ifndef CMD_SNAPSHOT_ROWS_H
#define CMD_SNAPSHOT_ROWS_H

#include "cmd.h"

/* "Snapshot list:", a heading and a line each, for people only. */
void cmd_snapshot_rows(struct platter_printer *out,
		       const struct platter_snapshot *list, size_t count);
/* The members of a map that is open, as qemu-img info has them in JSON. */
void cmd_snapshot_members(struct platter_printer *out,
			  const struct platter_snapshot *s);

#endif
