# SPDX-License-Identifier: LGPL-2.1-or-later
# The drivers. A new one is a line here and a line in builtin.c.

noinst_LTLIBRARIES += %D%/libformats.la

%C%_libformats_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/%D%
%C%_libformats_la_SOURCES = \
	%D%/builtin.c \
	%D%/drivers.h \
	%D%/disk/raw.c \
	%D%/disk/writelog.c \
	%D%/filter/blkdebug.c \
	%D%/filter/blklogwrites.c \
	%D%/proto/file.c \
	%D%/proto/host_device.c \
	%D%/proto/null.c \
	%D%/proto/posix-direct.c \
	%D%/proto/posix-space.c \
	%D%/proto/posix.c \
	%D%/proto/posix.h
