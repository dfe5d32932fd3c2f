/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter crash`: its verbs. */
#include "verbs.h"

static const struct cmd_verb *const verbs[] = {
	CMD_CRASH_VERBS(CMD_VERB_ENTRY)
	NULL,
};

const struct cmd_verb cmd_crash = {
	.name = "crash",
	.group = "Crash states",
	.summary = "what a power cut may leave, and what becomes of it; see "
		   "crash --help",
	.examples =
		"  platter crash explore --base start.img run.log --fs ext4\n"
		"  platter crash show run.log 412-405,409\n"
		"  platter crash shrink run.log 412+ -- ./check {}\n",
	.verbs = verbs,
};
