# SPDX-License-Identifier: LGPL-2.1-or-later
# The memory each verb takes for a log of ten million entries: 64 bytes an
# entry and 64 MiB, and 64 MiB for what only streams. Takes 1.3 GB of disk,
# and as much again.

load ../lib/logs
load ../lib/memory

setup_file()
{
	export LOGS=$BATS_FILE_TMPDIR
	long_log 10000000 "$LOGS/long"
}

setup()
{
	common_setup
	no_sanitizers
	long=$LOGS/long
	# In MiB.
	indexed=$((10000000 * 64 / 1024 / 1024 + 64))
}

@test "log info of ten million entries streams" {
	within 64 log info "$long"
}

@test "log list of ten million entries streams" {
	within 64 log list "$long"
}

@test "log list in JSON of ten million entries streams" {
	within 64 log list --output=json "$long"
}

@test "log marks of ten million entries streams" {
	within 64 log marks "$long"
}

@test "log check of ten million entries streams" {
	within 64 log check "$long"
}

@test "log repair of ten million entries streams" {
	within 64 log repair "$long" new
}

@test "log cut of ten million entries streams" {
	within 64 log cut "$long" new --from 1000000
}

@test "log cut --squash of ten million entries" {
	within $indexed log cut "$long" new --from 9000000 --squash
}

@test "log stat of ten million entries" {
	within $indexed log stat "$long"
}

@test "log blame of ten million entries, all of them" {
	within $indexed log blame "$long" 0+1G
}

@test "log index of ten million entries" {
	within $indexed log index "$long" --index=idx
}

@test "replay of ten million entries, verified" {
	within $indexed replay "$long" new --verify
}

@test "replay of ten million entries in order, a part of them" {
	within $indexed replay "$long" new --in-order --to 500000
}

@test "a moment of ten million entries as an image" {
	within $indexed convert --image-opts \
		"driver=writelog,log=$long,at=5000000" new
}

@test "map of a moment of ten million entries" {
	within $indexed map --image-opts "driver=writelog,log=$long"
}

@test "replay of ten million discards, each within the one before" {
	awk 'BEGIN {
		for (n = 10000000; n; n--)
			print "discard", 10000000 - n, 2 * n
	}' | mklog --sector-size 64 nested
	within $indexed replay nested new --verify
}
