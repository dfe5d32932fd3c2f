# SPDX-License-Identifier: LGPL-2.1-or-later
# The command: public headers, and what serve offers.

bin_PROGRAMS += %D%/platter

%C%_platter_CPPFLAGS = $(public_CPPFLAGS) -I$(top_srcdir)
%C%_platter_LDADD = serve/libserve.la lib/libplatter.la
%C%_platter_SOURCES = \
	%D%/amend.c \
	%D%/bench.c \
	%D%/check.c \
	%D%/child.c \
	%D%/child.h \
	%D%/cmd.h \
	%D%/commit.c \
	%D%/compare.c \
	%D%/complete.c \
	%D%/convert-source.c \
	%D%/convert.c \
	%D%/convert.h \
	%D%/crash-again.c \
	%D%/crash-bisect.c \
	%D%/crash-cause.c \
	%D%/crash-cause.h \
	%D%/crash-explore-next.c \
	%D%/crash-explore-progress.c \
	%D%/crash-explore-results.c \
	%D%/crash-explore.c \
	%D%/crash-explore.h \
	%D%/crash-export.c \
	%D%/crash-guard.c \
	%D%/crash-lab.c \
	%D%/crash-list.c \
	%D%/crash-merge.c \
	%D%/crash-options.c \
	%D%/crash-report.c \
	%D%/crash-serve.c \
	%D%/crash-shard.c \
	%D%/crash-show.c \
	%D%/crash-shrink.c \
	%D%/crash-watch.c \
	%D%/crash-where.c \
	%D%/crash.c \
	%D%/crash.h \
	%D%/create.c \
	%D%/dd.c \
	%D%/dispatch.c \
	%D%/hash.c \
	%D%/help.c \
	%D%/info.c \
	%D%/key-values.c \
	%D%/log-blame.c \
	%D%/log-check.c \
	%D%/log-cut.c \
	%D%/log-entry.c \
	%D%/log-export.c \
	%D%/log-follow.c \
	%D%/log-import.c \
	%D%/log-index.c \
	%D%/log-info.c \
	%D%/log-list.c \
	%D%/log-marks.c \
	%D%/log-record-command.c \
	%D%/log-record-disks.c \
	%D%/log-record-report.c \
	%D%/log-record-serve.c \
	%D%/log-record.c \
	%D%/log-record.h \
	%D%/log-repair.c \
	%D%/log-session.c \
	%D%/log-stat.c \
	%D%/log.c \
	%D%/main.c \
	%D%/map.c \
	%D%/measure.c \
	%D%/mount.c \
	%D%/options.c \
	%D%/parse.c \
	%D%/personality.c \
	%D%/rebase.c \
	%D%/replay.c \
	%D%/resize.c \
	%D%/scan.c \
	%D%/serve-run.c \
	%D%/serve.c \
	%D%/served.c \
	%D%/served.h \
	%D%/server.c \
	%D%/snapshot-rows.c \
	%D%/snapshot-rows.h \
	%D%/snapshot.c \
	%D%/suggest.c \
	%D%/values.c \
	%D%/verbs.h
