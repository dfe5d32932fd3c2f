# SPDX-License-Identifier: LGPL-2.1-or-later
# The library: libcore is everything that knows no format, libinternal adds
# the formats, libplatter is libinternal with the public symbols only.

lib_LTLIBRARIES += %D%/libplatter.la
noinst_LTLIBRARIES += \
	%D%/libcore.la \
	%D%/libinternal.la
pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = %D%/platter.pc

EXTRA_DIST += %D%/libplatter.sym

# The public headers are installed below platter/, whatever is above it here.
platterincludedir = $(includedir)/platter
plattersysincludedir = $(platterincludedir)/sys
platterinclude_HEADERS = \
	%D%/include/platter/crash-check.h \
	%D%/include/platter/crash-explore.h \
	%D%/include/platter/crash-report.h \
	%D%/include/platter/crash-shrink.h \
	%D%/include/platter/crash-state.h \
	%D%/include/platter/crash-walk.h \
	%D%/include/platter/crash.h \
	%D%/include/platter/error.h \
	%D%/include/platter/image.h \
	%D%/include/platter/job.h \
	%D%/include/platter/log.h \
	%D%/include/platter/out.h \
	%D%/include/platter/platter.h \
	%D%/include/platter/record.h
plattersysinclude_HEADERS = \
	%D%/include/platter/sys/driver.h

%C%_libcore_la_SOURCES = \
	%D%/base/checked.h \
	%D%/base/claims.c \
	%D%/base/claims.h \
	%D%/base/clock.h \
	%D%/base/codec.c \
	%D%/base/codec.h \
	%D%/base/deflate-write.c \
	%D%/base/deflate-write.h \
	%D%/base/deflate.c \
	%D%/base/endian.h \
	%D%/base/error.c \
	%D%/base/error.h \
	%D%/base/hash.c \
	%D%/base/hash.h \
	%D%/base/heap.c \
	%D%/base/heap.h \
	%D%/base/huffman.c \
	%D%/base/huffman.h \
	%D%/base/io.c \
	%D%/base/io.h \
	%D%/base/mem.c \
	%D%/base/mem.h \
	%D%/base/newfile.c \
	%D%/base/newfile.h \
	%D%/base/opts.c \
	%D%/base/opts.h \
	%D%/base/pool.c \
	%D%/base/pool.h \
	%D%/base/program.c \
	%D%/base/rate.c \
	%D%/base/rate.h \
	%D%/base/size.c \
	%D%/base/text.c \
	%D%/base/text.h \
	%D%/base/zstd.c \
	%D%/bitmap/dirty.c \
	%D%/bitmap/dirty.h \
	%D%/copy/copier.h \
	%D%/copy/copy.c \
	%D%/copy/copy.h \
	%D%/copy/digest.c \
	%D%/copy/digest.h \
	%D%/copy/extents.c \
	%D%/copy/extents.h \
	%D%/copy/pack.c \
	%D%/copy/runner.c \
	%D%/copy/runner.h \
	%D%/copy/scan.c \
	%D%/copy/scan.h \
	%D%/copy/work.c \
	%D%/core/cache.c \
	%D%/core/clear.c \
	%D%/core/concat.c \
	%D%/core/context.c \
	%D%/core/core.h \
	%D%/core/create.c \
	%D%/core/gate.c \
	%D%/core/image.c \
	%D%/core/lock.c \
	%D%/core/map.c \
	%D%/core/open.c \
	%D%/core/preallocate.c \
	%D%/core/probe.c \
	%D%/core/progress.c \
	%D%/core/record.c \
	%D%/core/rw.c \
	%D%/core/rw.h \
	%D%/core/spec.c \
	%D%/core/whole.c \
	%D%/crash/bisect.c \
	%D%/crash/builtin-acked.c \
	%D%/crash/builtin-files.c \
	%D%/crash/builtin-fs.c \
	%D%/crash/builtin-guest.c \
	%D%/crash/builtin-image.c \
	%D%/crash/builtin-promise.c \
	%D%/crash/builtin-sqlite.c \
	%D%/crash/builtin-tool.c \
	%D%/crash/builtin.c \
	%D%/crash/builtin.h \
	%D%/crash/command-child.c \
	%D%/crash/command-keeper.c \
	%D%/crash/command-keeper.h \
	%D%/crash/command-keepers.c \
	%D%/crash/command.c \
	%D%/crash/command.h \
	%D%/crash/crash.h \
	%D%/crash/ddmin.c \
	%D%/crash/ddmin.h \
	%D%/crash/explore-known.c \
	%D%/crash/explore-reads.c \
	%D%/crash/explore-ring.c \
	%D%/crash/explore-task.c \
	%D%/crash/explore.c \
	%D%/crash/explore.h \
	%D%/crash/harness.c \
	%D%/crash/image-dropped.c \
	%D%/crash/image-kept.c \
	%D%/crash/image-strokes.c \
	%D%/crash/image.c \
	%D%/crash/image.h \
	%D%/crash/leaf.c \
	%D%/crash/leaf.h \
	%D%/crash/marks.c \
	%D%/crash/marks.h \
	%D%/crash/name.c \
	%D%/crash/open.c \
	%D%/crash/ranges.c \
	%D%/crash/recover.c \
	%D%/crash/report-axis.c \
	%D%/crash/report-fields.c \
	%D%/crash/report-fields.h \
	%D%/crash/report-html-picture.c \
	%D%/crash/report-html-tables.c \
	%D%/crash/report-html-text.c \
	%D%/crash/report-html.c \
	%D%/crash/report-html.h \
	%D%/crash/report-jsonl.c \
	%D%/crash/report-junit.c \
	%D%/crash/report-merge.c \
	%D%/crash/report-picture.c \
	%D%/crash/report-picture.h \
	%D%/crash/report-png.c \
	%D%/crash/report-read.c \
	%D%/crash/report-run.c \
	%D%/crash/report-save.c \
	%D%/crash/report-strings.c \
	%D%/crash/report-tap.c \
	%D%/crash/report.c \
	%D%/crash/report.h \
	%D%/crash/scratch-io.c \
	%D%/crash/scratch.c \
	%D%/crash/shrink-cause.c \
	%D%/crash/shrink-frame.c \
	%D%/crash/shrink-say.c \
	%D%/crash/shrink-try.c \
	%D%/crash/shrink.c \
	%D%/crash/shrink.h \
	%D%/crash/state-diff.c \
	%D%/crash/state.c \
	%D%/crash/store.c \
	%D%/crash/store.h \
	%D%/crash/units-base.c \
	%D%/crash/units-candidate.c \
	%D%/crash/units-leaf.c \
	%D%/crash/units.c \
	%D%/crash/units.h \
	%D%/crash/verdict.c \
	%D%/crash/walk-census.c \
	%D%/crash/walk-damage.c \
	%D%/crash/walk-early.c \
	%D%/crash/walk-exhaustive.c \
	%D%/crash/walk-parts.c \
	%D%/crash/walk-plan.c \
	%D%/crash/walk-random.c \
	%D%/crash/walk-reads.c \
	%D%/crash/walk-seen.c \
	%D%/crash/walk-writes.c \
	%D%/crash/walk.c \
	%D%/crash/walk.h \
	%D%/job/bench.c \
	%D%/job/bitmaps.c \
	%D%/job/chain.c \
	%D%/job/commit.c \
	%D%/job/compare-all.c \
	%D%/job/compare.c \
	%D%/job/convert-stream.c \
	%D%/job/convert.c \
	%D%/job/dd.c \
	%D%/job/hash.c \
	%D%/job/in-order.c \
	%D%/job/job.h \
	%D%/job/log-copy.c \
	%D%/job/log-import.c \
	%D%/job/measure.c \
	%D%/job/rebase.c \
	%D%/job/replay-follow.c \
	%D%/job/replay-target.c \
	%D%/job/replay.c \
	%D%/job/target.c \
	%D%/out/dfxml.c \
	%D%/out/json.c \
	%D%/out/printer.c \
	%D%/out/printer.h \
	%D%/out/progress.c \
	%D%/out/text.c \
	%D%/out/xml.c \
	%D%/wlog/append-open.c \
	%D%/wlog/append-write.c \
	%D%/wlog/append.c \
	%D%/wlog/append.h \
	%D%/wlog/blame.c \
	%D%/wlog/entry.c \
	%D%/wlog/export.c \
	%D%/wlog/follow.c \
	%D%/wlog/format.h \
	%D%/wlog/index.c \
	%D%/wlog/info.c \
	%D%/wlog/noise.c \
	%D%/wlog/open.c \
	%D%/wlog/overlay.c \
	%D%/wlog/overlay.h \
	%D%/wlog/point.c \
	%D%/wlog/reader.c \
	%D%/wlog/recorder-control.c \
	%D%/wlog/recorder-overlay.c \
	%D%/wlog/recorder.c \
	%D%/wlog/recorder.h \
	%D%/wlog/recording.c \
	%D%/wlog/recording.h \
	%D%/wlog/sidecar.c \
	%D%/wlog/stat.c \
	%D%/wlog/state.c \
	%D%/wlog/text-blkparse.c \
	%D%/wlog/text-fio.c \
	%D%/wlog/text-jsonl.c \
	%D%/wlog/text-nbdkit.c \
	%D%/wlog/text.c \
	%D%/wlog/text.h \
	%D%/wlog/view.c \
	%D%/wlog/wlog.h \
	%D%/wlog/writer.c

%C%_libinternal_la_SOURCES =
%C%_libinternal_la_LIBADD = \
	%D%/libcore.la \
	formats/libformats.la \
	$(deps_LIBS)

%C%_libplatter_la_SOURCES =
%C%_libplatter_la_LIBADD = %D%/libinternal.la
%C%_libplatter_la_LDFLAGS = \
	$(AM_LDFLAGS) \
	-no-undefined \
	-version-info 0:0:0 \
	-Wl,--version-script=$(top_srcdir)/%D%/libplatter.sym
%C%_libplatter_la_DEPENDENCIES = \
	%D%/libinternal.la \
	%D%/libplatter.sym
