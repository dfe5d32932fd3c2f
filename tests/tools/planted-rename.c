/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Planted bug: no fsync before the rename.
 *
 * The first sector of the disk is a directory. A file is replaced as programs
 * do it: the new content goes to a free place under another name, and then it
 * is renamed. Both are on their way to the disk when it is made to flush, and
 * the new name may be there without the content.
 */
#include <string.h>

#include "planted.h"

#define FILES	2u
#define DATA	(64u << 10)	/* bytes; the directory is at 0 */

struct directory {
	struct {
		char name[12];
		uint32_t version;	/* of the content */
		uint64_t offset;	/* of it on the disk */
	} file[FILES];
	uint8_t unused[SECTOR - FILES * 24];
};

static void replace(int disk, struct directory *d, unsigned int file,
		    uint32_t version, bool fixed)
{
	const uint64_t offset = DATA + (version * FILES + file) * BLOCK;
	uint8_t content[BLOCK];

	fill(content, BLOCK, version);
	put(disk, offset, content, BLOCK);
	chatter(disk);
	if (fixed)
		flush(disk);			/* fsync, then ... */
	d->file[file].version = version;
	d->file[file].offset = offset;
	put(disk, 0, d, sizeof(*d));		/* ... rename */
	flush(disk);
}

static void write_files(int disk, bool fixed)
{
	struct directory d = { .file = { { "passwd", 0, 0 },
					 { "shadow", 0, 0 } } };

	for (uint32_t version = 1; version <= 3; version++) {
		for (unsigned int file = 0; file < FILES; file++) {
			replace(disk, &d, file, version, fixed);
			mark("%s %u", d.file[file].name, version);
		}
	}
}

static void check(int disk, bool fixed)
{
	uint8_t content[BLOCK];
	struct directory d;

	(void)fixed;
	get(disk, 0, &d, sizeof(d));
	for (unsigned int i = 0; i < FILES; i++) {
		if (!d.file[i].version)
			continue;
		get(disk, d.file[i].offset, content, BLOCK);
		if (!is_version(content, BLOCK, d.file[i].version))
			wrong("%s has the name of version %u, but not its "
			      "content", d.file[i].name, d.file[i].version);
	}
}

const struct planted planted_rename = {
	.name = "rename",
	.bug = "no fsync before the rename",
	.write = write_files,
	.check = check,
};
