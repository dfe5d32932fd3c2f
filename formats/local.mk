# SPDX-License-Identifier: LGPL-2.1-or-later
# The drivers. A new one is a line here and a line in builtin.c.

noinst_LTLIBRARIES += %D%/libformats.la

%C%_libformats_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/%D%
%C%_libformats_la_SOURCES = \
	%D%/builtin.c \
	%D%/drivers.h \
	%D%/disk/qcow2/alloc.c \
	%D%/disk/qcow2/alloc.h \
	%D%/disk/qcow2/amend-version.c \
	%D%/disk/qcow2/amend.c \
	%D%/disk/qcow2/amend.h \
	%D%/disk/qcow2/backing.c \
	%D%/disk/qcow2/bitmap-data.c \
	%D%/disk/qcow2/bitmap-directory.c \
	%D%/disk/qcow2/bitmap-store.c \
	%D%/disk/qcow2/bitmap.c \
	%D%/disk/qcow2/bitmap.h \
	%D%/disk/qcow2/cache.c \
	%D%/disk/qcow2/cache.h \
	%D%/disk/qcow2/check-copied.c \
	%D%/disk/qcow2/check-counts.c \
	%D%/disk/qcow2/check-extra.c \
	%D%/disk/qcow2/check-l2.c \
	%D%/disk/qcow2/check-refcounts.c \
	%D%/disk/qcow2/check.c \
	%D%/disk/qcow2/check.h \
	%D%/disk/qcow2/compress.c \
	%D%/disk/qcow2/create.c \
	%D%/disk/qcow2/describe-luks.c \
	%D%/disk/qcow2/describe.c \
	%D%/disk/qcow2/describe.h \
	%D%/disk/qcow2/empty.c \
	%D%/disk/qcow2/entry.c \
	%D%/disk/qcow2/format.h \
	%D%/disk/qcow2/header-write.c \
	%D%/disk/qcow2/header.c \
	%D%/disk/qcow2/holes.c \
	%D%/disk/qcow2/l1.c \
	%D%/disk/qcow2/l2.c \
	%D%/disk/qcow2/limbo.c \
	%D%/disk/qcow2/map.c \
	%D%/disk/qcow2/measure.c \
	%D%/disk/qcow2/overlap.c \
	%D%/disk/qcow2/preallocate.c \
	%D%/disk/qcow2/qcow2.c \
	%D%/disk/qcow2/qcow2.h \
	%D%/disk/qcow2/refcount-order.c \
	%D%/disk/qcow2/refcount.c \
	%D%/disk/qcow2/reftable.c \
	%D%/disk/qcow2/repair-rebuild.c \
	%D%/disk/qcow2/repair.c \
	%D%/disk/qcow2/reserve.c \
	%D%/disk/qcow2/resize.c \
	%D%/disk/qcow2/settings.c \
	%D%/disk/qcow2/settings.h \
	%D%/disk/qcow2/shadow-switch.c \
	%D%/disk/qcow2/shadow.c \
	%D%/disk/qcow2/shadow.h \
	%D%/disk/qcow2/snapshot-change.c \
	%D%/disk/qcow2/snapshot-tables.c \
	%D%/disk/qcow2/snapshot-tables.h \
	%D%/disk/qcow2/snapshot.c \
	%D%/disk/qcow2/snapshot.h \
	%D%/disk/qcow2/stream.c \
	%D%/disk/qcow2/write-compressed.c \
	%D%/disk/qcow2/write.c \
	%D%/disk/qcow2/writeback.c \
	%D%/disk/qcow2/zero.c \
	%D%/disk/qcow2/zero.h \
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
