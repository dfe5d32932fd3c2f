/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verb tables, in the order help lists them: a verb is one line.
 *
 * VERB(name) stands for `const struct cmd_verb cmd_name`.
 */
#ifndef CMD_VERBS_H
#define CMD_VERBS_H

#include "cmd.h"

#define CMD_VERBS(VERB)		\
	VERB(create)		\
	VERB(info)		\
	VERB(map)		\
	VERB(check)		\
	VERB(convert)		\
	VERB(compare)		\
	VERB(hash)		\
	VERB(measure)		\
	VERB(resize)		\
	VERB(amend)		\
	VERB(snapshot)		\
	VERB(rebase)		\
	VERB(commit)		\
	VERB(dd)		\
	VERB(bench)		\
	VERB(log)		\
	VERB(replay)		\
	VERB(crash)		\
	VERB(serve)		\
	VERB(mount)		\
	VERB(umount)		\
	VERB(complete)

#define CMD_LOG_VERBS(VERB)	\
	VERB(log_record)	\
	VERB(log_mark)		\
	VERB(log_pause)		\
	VERB(log_resume)	\
	VERB(log_info)		\
	VERB(log_list)		\
	VERB(log_follow)	\
	VERB(log_marks)		\
	VERB(log_stat)		\
	VERB(log_blame)		\
	VERB(log_check)		\
	VERB(log_repair)	\
	VERB(log_cut)		\
	VERB(log_export)	\
	VERB(log_import)	\
	VERB(log_index)

#define CMD_CRASH_VERBS(VERB)	\
	VERB(crash_explore)	\
	VERB(crash_merge)	\
	VERB(crash_list)	\
	VERB(crash_show)	\
	VERB(crash_export)	\
	VERB(crash_serve)	\
	VERB(crash_shrink)	\
	VERB(crash_bisect)

#define CMD_VERB_DECLARE(name)	extern const struct cmd_verb cmd_##name;
#define CMD_VERB_ENTRY(name)	&cmd_##name,

CMD_VERBS(CMD_VERB_DECLARE)
CMD_LOG_VERBS(CMD_VERB_DECLARE)
CMD_CRASH_VERBS(CMD_VERB_DECLARE)

#endif
