# SPDX-License-Identifier: LGPL-2.1-or-later
# The tests. Programs link libinternal, so they may call plt_*. A program
# without _SOURCES is made of the one .c file of its name. The .bats files
# need no line: run-suite takes what is there.

# Programs the bats tests call; they come first in the tests' PATH.
test_tools = \
	%D%/tools/bitflip \
	%D%/tools/crash-states \
	%D%/tools/durable-writes \
	%D%/tools/hold-image \
	%D%/tools/image-io \
	%D%/tools/mklog \
	%D%/tools/naive-replay \
	%D%/tools/peak-memory \
	%D%/tools/planted \
	%D%/tools/qcow2-damage \
	%D%/tools/qcow2-mutate \
	%D%/tools/qcow2-spread \
	%D%/tools/random-ops

# cmocka programs.
unit_tests = \
	%D%/unit/base-codec \
	%D%/unit/base-error \
	%D%/unit/base-hash \
	%D%/unit/base-io \
	%D%/unit/base-newfile \
	%D%/unit/base-opts \
	%D%/unit/base-pool \
	%D%/unit/base-rate \
	%D%/unit/base-size \
	%D%/unit/base-text \
	%D%/unit/bitmap-dirty \
	%D%/unit/compare \
	%D%/unit/copy \
	%D%/unit/copy-order \
	%D%/unit/core-gate \
	%D%/unit/core-lock \
	%D%/unit/core-map \
	%D%/unit/core-open \
	%D%/unit/core-posix \
	%D%/unit/core-rw \
	%D%/unit/core-threads \
	%D%/unit/crash-builtin \
	%D%/unit/crash-command \
	%D%/unit/crash-ddmin \
	%D%/unit/crash-recover \
	%D%/unit/crash-report \
	%D%/unit/crash-report-merge \
	%D%/unit/crash-report-picture \
	%D%/unit/crash-scratch \
	%D%/unit/crash-shrink \
	%D%/unit/crash-states \
	%D%/unit/crash-walk \
	%D%/unit/out-printer \
	%D%/unit/out-progress \
	%D%/unit/out-random \
	%D%/unit/qcow2-threads \
	%D%/unit/qcow2-write \
	%D%/unit/record \
	%D%/unit/record-overlay \
	%D%/unit/record-trouble \
	%D%/unit/replay-verify \
	%D%/unit/states \
	%D%/unit/wlog-damage \
	%D%/unit/wlog-state

# LLVMFuzzerTestOneInput() programs, run on every file of fuzz/corpus/NAME.
# Each has its two lines below.
fuzz_tests = \
	%D%/fuzz/fuzz-import \
	%D%/fuzz/fuzz-log \
	%D%/fuzz/fuzz-qcow2 \
	%D%/fuzz/fuzz-report \
	%D%/fuzz/fuzz-spec \
	%D%/fuzz/fuzz-state

%C%_tools_mklog_SOURCES = \
	%D%/tools/mklog-generate.c \
	%D%/tools/mklog-out.c \
	%D%/tools/mklog-script.c \
	%D%/tools/mklog.c \
	%D%/tools/mklog.h
%C%_tools_planted_SOURCES = \
	%D%/tools/planted-double-write.c \
	%D%/tools/planted-early-flush.c \
	%D%/tools/planted-fua.c \
	%D%/tools/planted-one-epoch.c \
	%D%/tools/planted-redo.c \
	%D%/tools/planted-rename.c \
	%D%/tools/planted-torn.c \
	%D%/tools/planted.c \
	%D%/tools/planted.h

%C%_unit_replay_verify_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/formats
%C%_unit_states_CPPFLAGS = $(public_CPPFLAGS) -I$(top_srcdir)
%C%_unit_states_LDADD = serve/libserve.la $(CMOCKA_LIBS)
%C%_unit_wlog_damage_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/formats

%C%_fuzz_fuzz_log_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/formats

%C%_fuzz_fuzz_import_LDFLAGS = $(fuzz_flags)
%C%_fuzz_fuzz_import_LDADD = $(fuzz_libs)
%C%_fuzz_fuzz_log_LDFLAGS = $(fuzz_flags)
%C%_fuzz_fuzz_log_LDADD = $(fuzz_libs)
%C%_fuzz_fuzz_qcow2_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/formats
%C%_fuzz_fuzz_qcow2_LDFLAGS = $(fuzz_flags)
%C%_fuzz_fuzz_qcow2_LDADD = $(fuzz_libs)
%C%_fuzz_fuzz_report_LDFLAGS = $(fuzz_flags)
%C%_fuzz_fuzz_report_LDADD = $(fuzz_libs)
%C%_fuzz_fuzz_spec_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/formats
%C%_fuzz_fuzz_spec_LDFLAGS = $(fuzz_flags)
%C%_fuzz_fuzz_spec_LDADD = $(fuzz_libs)
%C%_fuzz_fuzz_state_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/formats
%C%_fuzz_fuzz_state_LDFLAGS = $(fuzz_flags)
%C%_fuzz_fuzz_state_LDADD = $(fuzz_libs)

LDADD = lib/libinternal.la $(CMOCKA_LIBS)

check_PROGRAMS += $(test_tools) $(fuzz_tests)
if HAVE_CMOCKA
check_PROGRAMS += $(unit_tests)
endif

fuzz_libs = lib/libinternal.la
fuzz_flags = $(AM_LDFLAGS)
if ENABLE_FUZZERS
fuzz_flags += -fsanitize=fuzzer
else
# Without libFuzzer a main() that runs the inputs it is given.
check_LTLIBRARIES += %D%/fuzz/libreplay.la
%C%_fuzz_libreplay_la_SOURCES = %D%/fuzz/replay-main.c
fuzz_libs += %D%/fuzz/libreplay.la
endif

# Ends with "N passed, N failed, N skipped". automake's own TESTS cannot: they
# print last, stop before the bats tests when one fails, and run beside them
# under make -j.
run_suite = \
	top_srcdir='$(abs_top_srcdir)' \
	top_builddir='$(abs_top_builddir)' \
	BATS='$(BATS)' \
	SANITIZERS='$(SANITIZERS)' \
	UNIT_TESTS='$(unit_tests)' \
	FUZZ_TESTS='$(fuzz_tests)' \
	$(top_srcdir)/%D%/run-suite

check-local:
	@$(run_suite) unit fuzz bats
check-unit: $(check_LTLIBRARIES) $(check_PROGRAMS)
	@$(run_suite) unit fuzz
check-bats: all $(check_LTLIBRARIES) $(check_PROGRAMS)
	@$(run_suite) bats
check-long: all $(check_LTLIBRARIES) $(check_PROGRAMS)
	@$(run_suite) long
.PHONY: check-unit check-bats check-long

CLEANFILES += %D%/suite.log
