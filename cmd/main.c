/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The platter command: hands its words to the verb they name. */
#include "verbs.h"

static const struct cmd_verb *const verbs[] = {
	CMD_VERBS(CMD_VERB_ENTRY)
	NULL,
};

static const struct cmd_verb root = {
	.name = "platter",
	.summary = "Read, write, compare and replay disk images and write logs",
	.examples =
		"  platter info disk.raw\n"
		"  platter log marks disk.dmlw\n"
		"  platter replay disk.dmlw disk.raw --to mark:fsync-3\n",
	.verbs = verbs,
};

int main(int argc, char **argv)
{
	return cmd_main(&root, argc, argv);
}
