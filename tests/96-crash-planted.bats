# SPDX-License-Identifier: LGPL-2.1-or-later
# Programs with a planted bug (tests/tools/planted-*.c): recorded, explored as
# it is done by default, and shrunk to what was planted. Without the bug there
# is no state that fails.
# shellcheck disable=SC1083,SC2086,SC2154,SC2317

load lib/record

setup()
{
	record_setup
	need jq
	need_fuse
}

teardown()
{
	record_teardown
}

# recorded NAME: run.log is what the program writes, from base.raw on. $fixed is
# --fixed or nothing.
recorded()
{
	truncate -s 1M base.raw disk
	"$PLATTER" log record -q -f raw --log run.log disk -- \
		planted $fixed "$1" write {}
	planted $fixed "$1" check disk
}

# explored NAME [OPTION...]: explored.json; the exit code is that of the verb.
explored()
{
	local name=$1

	shift
	"$PLATTER" crash explore -q --base base.raw --base-format raw \
		--output json "$@" run.log -- \
		planted $fixed "$name" check {} >explored.json
}

# shrunk NAME [OPTION...]: shrunk.json, from the first state that failed.
shrunk()
{
	local name=$1 state

	shift
	state=$(jq -r '."not-passed"[0].state' explored.json)
	"$PLATTER" crash shrink -q --base base.raw --base-format raw \
		--output json "$@" run.log "$state" -- \
		planted $fixed "$name" check {} >shrunk.json
}

# shrinks_to NAME SENTENCE [OPTION...]: the bug is found, and that is the cause.
shrinks_to()
{
	local name=$1 sentence=$2 fixed='' code=0

	shift 2
	recorded "$name"
	explored "$name" "$@" || code=$?
	assert_equal "$code" 1
	shrunk "$name" "$@"
	assert_equal "$(jq -r .cause shrunk.json)" "$sentence"
	nothing_left
}

# as_images NAME: what was found fails, and what it was compared with passes.
as_images()
{
	local state

	for state in failing passing; do
		"$PLATTER" crash export -q --base base.raw --base-format raw \
			run.log "$(jq -r ".$state" shrunk.json)" "$state.raw"
	done
	run -1 planted "$1" check failing.raw
	planted "$1" check passing.raw
}

# sound NAME [OPTION...]: the fixed program has no state that fails.
sound()
{
	local fixed=--fixed

	recorded "$1"
	explored "$@"
	jq -e '.summary | .fail == 0 and .flaky == 0 and .error == 0 and
		.skip == 0 and .pass == .done and .done > 100' explored.json
	nothing_left
}

# Entry 0 is the content, entry 4 the directory.
@test "no fsync before the rename is found and shrunk" {
	shrinks_to rename "entry 0 (sectors 144-151) missing while 4 (sector\
 0) is present; sector 0 of it is enough"
	as_images rename
}

@test "an fsync before the rename has no state that fails" {
	sound rename
}

# Entry 0 is the record.
@test "a write-ahead log that trusts a torn record is found and shrunk" {
	shrinks_to torn "sector 4 of entry 0 (sector 140) missing while the\
 rest of it is present"
	as_images torn
}

@test "a write-ahead log with checksums has no state that fails" {
	sound torn
}

# Entries 0 and 1 are the data, entry 5 the commit record.
@test "commit record and data in one epoch are found and shrunk" {
	shrinks_to one-epoch "entry 0 (sectors 144-151) missing while 5\
 (sector 64) is present; sector 0 of it is enough"
	as_images one-epoch
}

@test "a commit record in an epoch of its own has no state that fails" {
	sound one-epoch
}

# Entries 0 to 2 are the nodes, entry 6 the super block.
@test "FUA taken for a barrier is found and shrunk" {
	shrinks_to fua "entry 0 (sectors 152-159) missing while 6 (sector 0,\
 FUA) is present; sector 0 of it is enough"
	as_images fua
}

@test "a flush in front of FUA has no state that fails" {
	sound fua
}

# Entry 3 is the flush, entry 4 the data, entry 5 its place in the index.
@test "a flush issued before the write has completed is found and shrunk" {
	shrinks_to early-flush "entry 4 (sectors 136-143) missing while 5\
 (sector 1) is present; sector 0 of it is enough"
	as_images early-flush
}

@test "a flush that waits for the write has no state that fails" {
	sound early-flush
}

# Entry 0 is the copy in the buffer.
@test "a double-write buffer without a checksum is found and shrunk" {
	shrinks_to double-write "sector 4 of entry 0 (sector 132) missing\
 while the rest of it is present"
	as_images double-write
}

@test "a double-write buffer with a checksum has no state that fails" {
	sound double-write
}

@test "recovery that is not idempotent passes all single crashes" {
	local fixed=''

	recorded redo
	explored redo
}

# Of the recovery, entry 0 is the balance and entry 2 how far it goes.
@test "recovery that is not idempotent is found and shrunk" {
	shrinks_to redo "of the recovery entry 2 (sector 64) missing while 0\
 (sector 0) is present" --recover 'planted redo recover {}'
}

@test "recovery that is idempotent has no state that fails" {
	sound redo --recover 'planted --fixed redo recover {}'
}
