# SPDX-License-Identifier: LGPL-2.1-or-later
# The command: public headers only.

bin_PROGRAMS += %D%/platter

%C%_platter_CPPFLAGS = $(public_CPPFLAGS)
%C%_platter_LDADD = lib/libplatter.la
%C%_platter_SOURCES = \
	%D%/cmd.h \
	%D%/compare.c \
	%D%/complete.c \
	%D%/convert.c \
	%D%/dispatch.c \
	%D%/help.c \
	%D%/info.c \
	%D%/log-blame.c \
	%D%/log-check.c \
	%D%/log-cut.c \
	%D%/log-index.c \
	%D%/log-info.c \
	%D%/log-list.c \
	%D%/log-marks.c \
	%D%/log-repair.c \
	%D%/log-stat.c \
	%D%/log.c \
	%D%/main.c \
	%D%/map.c \
	%D%/options.c \
	%D%/parse.c \
	%D%/replay.c \
	%D%/scan.c \
	%D%/suggest.c \
	%D%/values.c \
	%D%/verbs.h
