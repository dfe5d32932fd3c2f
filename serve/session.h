/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the two ends of a session say to each other.
 *
 * A request is one line and so is its answer, which comes when the work is
 * done:
 *
 *	mark TEXT	TEXT as platter_bytes_escape() writes it
 *	pause
 *	resume
 *	end
 *	stats DISK	counted from 0
 *
 *	ok		for stats with SERVE_SESSION_NR_STATS numbers behind
 *	error ERRNO MESSAGE
 */
#ifndef SERVE_SESSION_H
#define SERVE_SESSION_H

/* A mark is escaped to four times its length at most. */
#define SERVE_SESSION_MARK_MAX	4096u		/* bytes */
#define SERVE_SESSION_LINE_MAX	(4 * SERVE_SESSION_MARK_MAX + 64)

/* In this order: the fields of struct platter_record_stats. */
#define SERVE_SESSION_NR_STATS	11

#endif
