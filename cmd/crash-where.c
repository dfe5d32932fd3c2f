/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a file system calls places of the disk.
 *
 * So far ext2, ext3 and ext4, which debugfs can tell of. It is asked about the
 * state that passes, once its journal has been replayed, by way of a checker
 * that fails: then what it has printed is kept, and the time it may take is
 * bounded. Whatever is missing or goes wrong on the way, there is just less to
 * tell.
 */
#include <string.h>

#include "crash-cause.h"

#define SUPER		1024u		/* bytes before the super block */
#define SUPER_MAGIC	0xef53u
#define BLOCKS_MAX	256u		/* asked about */
#define INODES_MAX	256u
#define TIMEOUT_MS	20000u

/* Words 1 and 2 of the script: the disk, and blocks or inodes. */
static const char ask_blocks[] =
	"PATH=$PATH:/usr/sbin:/sbin\n"
	"e2fsck -p -E journal_only \"$1\" >/dev/null 2>&1\n"
	"debugfs -R stats \"$1\" 2>/dev/null | grep 'bitmap at'\n"
	"debugfs -R \"icheck $2\" \"$1\" 2>/dev/null\n"
	"exit 1\n";
static const char ask_inodes[] =
	"PATH=$PATH:/usr/sbin:/sbin\n"
	"e2fsck -p -E journal_only \"$1\" >/dev/null 2>&1\n"
	"debugfs -R \"ncheck $2\" \"$1\" 2>/dev/null\n"
	"exit 1\n";

struct range {
	uint64_t first, end;
};

/* What a file system's block holds. */
enum kind {
	FREE,
	SUPER_BLOCK,
	DESCRIPTORS,
	BLOCK_BITMAP,
	INODE_BITMAP,
	INODE_TABLE,
	JOURNAL,
	FILE_BLOCK,		/* of inode `number` */
};

struct block {
	uint64_t offset, length;	/* the part asked about, bytes */
	uint64_t number;
	enum kind kind;
	uint64_t inode;		/* FILE_BLOCK; of INODE_TABLE the first */
	uint64_t inodes;	/* INODE_TABLE: how many */
	uint64_t group;
};

struct ext {
	struct cmd *cmd;
	struct cmd_crash_checkers checkers;
	struct platter_crash_state *state;
	uint64_t block_size, table_blocks;
	uint32_t first_block, inodes_per_group, inode_size, journal;
	struct block block[BLOCKS_MAX];
	size_t nr;
	uint64_t inode[INODES_MAX];
	char *path[INODES_MAX];		/* or NULL */
	size_t nr_inodes;
};

/* ---- the super block ---- */

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static uint32_t le16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

/* False: there is none that makes sense. Offsets are those of the format. */
static bool decode_super(const uint8_t *p, struct ext *e)
{
	const uint32_t log_block_size = le32(p + 24);

	if (le16(p + 56) != SUPER_MAGIC || log_block_size > 6)
		return false;
	e->block_size = UINT64_C(1024) << log_block_size;
	e->first_block = le32(p + 20);
	e->inodes_per_group = le32(p + 40);
	e->inode_size = le32(p + 76) ? le16(p + 88) : 128;
	e->journal = le32(p + 224);
	e->table_blocks = (uint64_t)e->inodes_per_group * e->inode_size /
			  e->block_size;
	return e->inode_size >= 128 && e->inode_size <= e->block_size &&
	       e->inodes_per_group;
}

static bool find_super(struct ext *e)
{
	struct platter_image *img cmd_auto_image = NULL;
	uint8_t super[256];

	if (platter_crash_state_image(&img, e->state, NULL) ||
	    platter_image_size(img) < SUPER + sizeof(super) ||
	    platter_image_pread(img, super, sizeof(super), SUPER, NULL))
		return false;
	return decode_super(super, e);
}

/* ---- asking ---- */

/* What the script prints, for free(); NULL: nothing. */
static char *ask(struct ext *e, const char *script, char *numbers)
{
	char *const words[] = {
		(char *)"sh", (char *)"-c", (char *)script, (char *)"sh",
		(char *)"{}", numbers, NULL,
	};
	struct platter_crash_result result = { .output = NULL };
	struct cmd_crash_lab lab;
	char *text;

	e->checkers.words = words;
	e->checkers.nr_words = CMD_ARRAY_SIZE(words) - 1;
	if (cmd_crash_lab_open(e->cmd, &e->checkers,
			       platter_crash_state_crash(e->state), false,
			       &lab, NULL))
		return NULL;
	if (platter_crash_harness_check(lab.harness, 0, e->state, NULL,
					&result, NULL))
		result.output = NULL;
	text = result.output ? strndup(result.output, result.output_len) : NULL;
	platter_crash_result_clear(&result);
	cmd_crash_lab_close(&lab);
	return text;
}

/* ---- blocks ---- */

static void add_blocks(struct ext *e, uint64_t offset, uint64_t end)
{
	while (offset < end && e->nr < BLOCKS_MAX) {
		const uint64_t number = offset / e->block_size;
		const uint64_t next = (number + 1) * e->block_size;

		e->block[e->nr++] = (struct block){
			.offset = offset,
			.length = (next < end ? next : end) - offset,
			.number = number,
		};
		offset = next;
	}
}

static char *list_blocks(const struct ext *e)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (size_t i = 0; f && i < e->nr; i++)
		fprintf(f, "%s%" PRIu64, i ? " " : "", e->block[i].number);
	return f && !fclose(f) ? text : NULL;
}

static void put_in_table(const struct ext *e, struct block *b, uint64_t group,
			 uint64_t table)
{
	const uint64_t from = (b->number - table) * e->block_size +
			      b->offset % e->block_size;
	const uint64_t first = from / e->inode_size;

	b->kind = INODE_TABLE;
	b->group = group;
	b->inode = group * e->inodes_per_group + first + 1;
	b->inodes = (from + b->length + e->inode_size - 1) / e->inode_size -
		    first;
}

static void take_group(struct ext *e, uint64_t group, uint64_t blocks,
		       uint64_t inodes, uint64_t table)
{
	for (size_t i = 0; i < e->nr; i++) {
		struct block *b = &e->block[i];

		if (b->number == blocks)
			b->kind = BLOCK_BITMAP;
		else if (b->number == inodes)
			b->kind = INODE_BITMAP;
		else if (b->number >= table &&
			 b->number - table < e->table_blocks)
			put_in_table(e, b, group, table);
		else if (b->number == SUPER / e->block_size)
			b->kind = SUPER_BLOCK;
		else if (group == 0 && b->number > e->first_block &&
			 b->number < blocks && b->kind == FREE)
			b->kind = DESCRIPTORS;
		if (b->kind == BLOCK_BITMAP || b->kind == INODE_BITMAP)
			b->group = b->group ? b->group : group;
	}
}

static void take_owner(struct ext *e, uint64_t number, uint64_t inode)
{
	for (size_t i = 0; i < e->nr; i++) {
		struct block *b = &e->block[i];

		if (b->number != number || b->kind != FREE)
			continue;
		b->kind = inode == e->journal ? JOURNAL : FILE_BLOCK;
		b->inode = inode;
	}
}

static bool find_blocks(struct ext *e)
{
	unsigned long long a, b, c, d;
	char *numbers = list_blocks(e);
	char *text = numbers ? ask(e, ask_blocks, numbers) : NULL;
	char *line, *rest = text;

	while (rest && (line = strsep(&rest, "\n"))) {
		if (sscanf(line, " Group %llu: block bitmap at %llu, inode "
			   "bitmap at %llu, inode table at %llu", &a, &b, &c,
			   &d) == 4)
			take_group(e, a, b, c, d);
		else if (sscanf(line, "%llu %llu", &a, &b) == 2)
			take_owner(e, a, b);
	}
	free(numbers);
	free(text);
	return text;
}

/* ---- inodes ---- */

static void want_inode(struct ext *e, uint64_t inode)
{
	for (size_t i = 0; i < e->nr_inodes; i++)
		if (e->inode[i] == inode)
			return;
	if (e->nr_inodes < INODES_MAX)
		e->inode[e->nr_inodes++] = inode;
}

static void want_inodes(struct ext *e)
{
	for (size_t i = 0; i < e->nr; i++) {
		const struct block *b = &e->block[i];

		if (b->kind == FILE_BLOCK)
			want_inode(e, b->inode);
		for (uint64_t j = 0; b->kind == INODE_TABLE && j < b->inodes;
		     j++)
			want_inode(e, b->inode + j);
	}
}

static char *list_inodes(const struct ext *e)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (size_t i = 0; f && i < e->nr_inodes; i++)
		fprintf(f, "%s%" PRIu64, i ? " " : "", e->inode[i]);
	return f && !fclose(f) ? text : NULL;
}

/* debugfs begins some paths with two slashes. */
static void take_path(struct ext *e, uint64_t inode, const char *path)
{
	if (path[0] == '/' && path[1] == '/')
		path++;
	for (size_t i = 0; i < e->nr_inodes; i++)
		if (e->inode[i] == inode && !e->path[i])
			e->path[i] = strdup(path);
}

static void find_paths(struct ext *e)
{
	char *numbers, *text, *line, *rest;

	want_inodes(e);
	if (!e->nr_inodes)
		return;
	numbers = list_inodes(e);
	text = numbers ? ask(e, ask_inodes, numbers) : NULL;
	rest = text;
	while (rest && (line = strsep(&rest, "\n"))) {
		const uint64_t inode = strtoull(line, &line, 10);

		if (inode && *line == '\t')
			take_path(e, inode, line + 1);
	}
	free(numbers);
	free(text);
}

static const char *path_of(const struct ext *e, uint64_t inode)
{
	for (size_t i = 0; i < e->nr_inodes; i++)
		if (e->inode[i] == inode)
			return e->path[i];
	return NULL;
}

/* ---- in words ---- */

static void say_table(const struct ext *e, const struct block *b, FILE *f)
{
	const char *before = ": ";

	fprintf(f, "inode table of group %" PRIu64 ", inodes %" PRIu64 "-%"
		PRIu64, b->group, b->inode, b->inode + b->inodes - 1);
	for (uint64_t i = 0; i < b->inodes; i++) {
		const char *path = path_of(e, b->inode + i);

		if (!path)
			continue;
		fprintf(f, "%s%" PRIu64 " is %s", before, b->inode + i, path);
		before = ", ";
	}
}

static void say_block(const struct ext *e, const struct block *b, FILE *f)
{
	const char *path;

	switch (b->kind) {
	case FREE:
		fputs("free", f);
		break;
	case SUPER_BLOCK:
		fputs("super block", f);
		break;
	case DESCRIPTORS:
		fputs("group descriptors", f);
		break;
	case BLOCK_BITMAP:
		fprintf(f, "block bitmap of group %" PRIu64, b->group);
		break;
	case INODE_BITMAP:
		fprintf(f, "inode bitmap of group %" PRIu64, b->group);
		break;
	case INODE_TABLE:
		say_table(e, b, f);
		break;
	case JOURNAL:
		fputs("journal", f);
		break;
	case FILE_BLOCK:
		path = b->inode == 2 ? "/" : path_of(e, b->inode);
		fprintf(f, "%s%sinode %" PRIu64 "%s", path ? path : "",
			path ? " (" : "", b->inode, path ? ")" : "");
		break;
	}
}

/* Neighbours that are the same are one. */
static int add_place(struct cmd_crash_where *where, const struct block *b,
		     char *what)
{
	struct cmd_crash_place *p;

	p = where->nr ? &where->place[where->nr - 1] : NULL;
	if (p && p->offset + p->length == b->offset && !strcmp(p->what, what)) {
		p->length += b->length;
		free(what);
		return 0;
	}
	p = realloc(where->place, (where->nr + 1) * sizeof(*p));
	if (!p) {
		free(what);
		return -ENOMEM;
	}
	where->place = p;
	p[where->nr++] = (struct cmd_crash_place){
		.offset = b->offset, .length = b->length, .what = what,
	};
	return 0;
}

static int say(const struct ext *e, struct cmd_crash_where *where)
{
	for (size_t i = 0; i < e->nr; i++) {
		char *text = NULL;
		size_t size;
		FILE *f = open_memstream(&text, &size);

		if (!f)
			return -ENOMEM;
		say_block(e, &e->block[i], f);
		if (fclose(f) || add_place(where, &e->block[i], text))
			return -ENOMEM;
	}
	return 0;
}

int cmd_crash_where(struct cmd *cmd, const struct cmd_crash_checkers *o,
		    const struct platter_crash_cause *cause,
		    struct cmd_crash_where *where, struct platter_error *err)
{
	struct ext *e = calloc(1, sizeof(*e));
	int rc = 0;

	if (!e)
		return platter_error_errno(err, -ENOMEM, "file system");
	e->cmd = cmd;
	e->checkers = (struct cmd_crash_checkers){
		.slots = 1, .timeout_ms = TIMEOUT_MS, .memory = o->memory,
		.present = o->present,
	};
	e->state = cause->passing;
	if (find_super(e)) {
		for (size_t i = 0; i < cause->nr_pieces; i++)
			add_blocks(e, cause->pieces[i].offset,
				   cause->pieces[i].offset +
				   cause->pieces[i].length);
		if (e->nr && find_blocks(e)) {
			find_paths(e);
			rc = say(e, where);
		}
	}
	for (size_t i = 0; i < e->nr_inodes; i++)
		free(e->path[i]);
	free(e);
	return rc ? platter_error_errno(err, rc, "file system") : 0;
}

void cmd_crash_where_free(struct cmd_crash_where *where)
{
	for (size_t i = 0; i < where->nr; i++)
		free(where->place[i].what);
	free(where->place);
	*where = (struct cmd_crash_where){ .nr = 0 };
}
