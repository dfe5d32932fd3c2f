# SPDX-License-Identifier: LGPL-2.1-or-later
# Each fuzz target for a minute, from its corpus. Needs a build of its own:
# configure CC=clang --enable-fuzzers, then make check-long.

load ../lib/common

setup()
{
	common_setup
}

# fuzz TARGET [OPTION...]
fuzz()
{
	local target=$top_builddir/tests/fuzz/$1

	shift
	"$target" -help=1 2>&1 | grep -q libFuzzer ||
		skip "built without --enable-fuzzers"
	cp -R "$top_srcdir/tests/fuzz/corpus/${target##*/}" corpus
	run "$target" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 \
		-print_final_stats=1 "$@" corpus
	assert_success
	assert_line --regexp '^Done [0-9]{4,} runs'
}

@test "fuzzing the log reader finds nothing" {
	# No allocation over 64 MiB and the input's few KiB.
	fuzz fuzz-log -malloc_limit_mb=65 -rss_limit_mb=1024 -max_len=16384
}
