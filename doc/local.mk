# SPDX-License-Identifier: LGPL-2.1-or-later
# The manual. A page is NAME.SECTION.scd here and a line below; a release
# carries the pages made of them.

man_pages = \
	%D%/man/nbdkit-platter-plugin.1 \
	%D%/man/platter.1 \
	%D%/man/platter-amend.1 \
	%D%/man/platter-bench.1 \
	%D%/man/platter-commit.1 \
	%D%/man/platter-check.1 \
	%D%/man/platter-compare.1 \
	%D%/man/platter-convert.1 \
	%D%/man/platter-crash-bisect.1 \
	%D%/man/platter-crash-explore.1 \
	%D%/man/platter-crash-export.1 \
	%D%/man/platter-crash-list.1 \
	%D%/man/platter-crash-merge.1 \
	%D%/man/platter-crash-serve.1 \
	%D%/man/platter-crash-show.1 \
	%D%/man/platter-crash-shrink.1 \
	%D%/man/platter-crash.1 \
	%D%/man/platter-crash.7 \
	%D%/man/platter-create.1 \
	%D%/man/platter-dd.1 \
	%D%/man/platter-hash.1 \
	%D%/man/platter-info.1 \
	%D%/man/platter-log-blame.1 \
	%D%/man/platter-log-check.1 \
	%D%/man/platter-log-cut.1 \
	%D%/man/platter-log-export.1 \
	%D%/man/platter-log-follow.1 \
	%D%/man/platter-log-import.1 \
	%D%/man/platter-log-index.1 \
	%D%/man/platter-log-info.1 \
	%D%/man/platter-log-list.1 \
	%D%/man/platter-log-mark.1 \
	%D%/man/platter-log-marks.1 \
	%D%/man/platter-log-pause.1 \
	%D%/man/platter-log-record.1 \
	%D%/man/platter-log-repair.1 \
	%D%/man/platter-log-resume.1 \
	%D%/man/platter-log-stat.1 \
	%D%/man/platter-log.1 \
	%D%/man/platter-map.1 \
	%D%/man/platter-measure.1 \
	%D%/man/platter-mount.1 \
	%D%/man/platter-rebase.1 \
	%D%/man/platter-replay.1 \
	%D%/man/platter-resize.1 \
	%D%/man/platter-serve.1 \
	%D%/man/platter-snapshot.1 \
	%D%/man/platter-umount.1 \
	%D%/man/platter-write-log.5

dist_man_MANS = $(man_pages)
EXTRA_DIST += $(man_pages:=.scd)
MAINTAINERCLEANFILES += $(man_pages)

# Written beside and renamed: a page that could not be made is not there.
make_page = \
	$(AM_V_GEN)if test -z '$(SCDOC)'; then \
		echo 'scdoc is needed to make $@ of $<' >&2; exit 1; \
	fi && \
	$(MKDIR_P) $(@D) && \
	$(SCDOC) <$< >$@.tmp && mv $@.tmp $@ || { rm -f $@.tmp; exit 1; }

%.1: %.1.scd
	$(make_page)
%.5: %.5.scd
	$(make_page)
%.7: %.7.scd
	$(make_page)
