# SPDX-License-Identifier: LGPL-2.1-or-later
# Two crashes: what a recovery writes is recorded, and its own crash states are
# checked.
# shellcheck disable=SC1083,SC2016,SC2154

load lib/record

# A journal of one sector, number 8, whose content recovery brings to sector 0.
# `recover FILE FIRST SECOND` does "copy" and "clear", in the order given, if
# the journal has something. `check FILE` fails when what was committed is
# nowhere.
setup()
{
	record_setup
	need_fuse
	need jq
	mklog run.log <<-'END'
	write 0 1 fill=0x11
	flush
	write 8 1 fill=0x22
	flush
	mark committed
	END
	truncate -s 8k base
	cat >recover <<-'END'
		#!/bin/sh -e
		sector() { head -c 512 /dev/zero | tr '\0' "$1" |
			dd of="$disk" bs=512 seek="$2" conv=notrunc status=none
			sync "$disk"; }
		disk=$1
		[ "$(od -An -tx1 -j4096 -N1 "$disk")" = ' 22' ] || exit 0
		for what in $2 $3; do
			case $what in
			copy) sector '\042' 0 ;;
			clear) sector '\0' 8 ;;
			esac
		done
	END
	cat >check <<-'END'
		#!/bin/sh
		[ "$PLATTER_MARK" = committed ] || exit 0
		[ "$(od -An -tx1 -j4096 -N1 "$1")" = ' 22' ] ||
			[ "$(od -An -tx1 -N1 "$1")" = ' 22' ]
	END
	chmod +x recover check
}

teardown()
{
	record_teardown
}

explore()
{
	"$PLATTER" crash explore --base base --base-format raw \
		--strategy prefixes --from end --jsonl "$@"
}

# results FILE: the states that were checked, and the verdicts.
results()
{
	jq -r 'select(.type == "state") |
		"\(.state) \(.depth // 1) \(.verdict)"' "$1"
}

@test "the crash states of a recovery are checked" {
	run explore run.jsonl --recover './recover {} copy clear' run.log -- \
		./check {}
	assert_success
	run results run.jsonl
	assert_line --index 0 '5 1 pass'
	assert_line --index 1 --regexp '^5@0\+? 2 pass$'
	assert_line --regexp '^5@[1-9]'
	nothing_left
}

@test "a recovery that cannot be interrupted is found, with both crashes" {
	run -1 explore run.jsonl --recover './recover {} clear copy' run.log \
		-- ./check {}
	assert_output --regexp '5@[0-9]+  fail: exit status 1'
	run results run.jsonl
	assert_line --index 0 '5 1 pass'
	nothing_left
}

@test "with a depth of 1 it is not" {
	run explore run.jsonl --depth 1 --recover './recover {} clear copy' \
		run.log -- ./check {}
	assert_success
}

@test "the state of a second crash can be shrunk" {
	local state

	run -1 explore run.jsonl --recover './recover {} clear copy' run.log \
		-- ./check {}
	state=$(jq -r 'select(.verdict == "fail") | .state' run.jsonl |
		head -n 1)
	run "$PLATTER" crash shrink --base base --base-format raw \
		--recover './recover {} clear copy' run.log "$state" -- \
		./check {}
	assert_success
	assert_output --partial '@'
	nothing_left
}

@test "the state of a second crash is exported by running the recovery again" {
	again=(--base base --base-format raw
		--recover './recover {} copy clear')
	"$PLATTER" crash export "${again[@]}" run.log 5@0 before.raw
	"$PLATTER" crash export "${again[@]}" run.log 5@end after.raw
	[ "$(byte_at before.raw 0)-$(byte_at before.raw 4096)" = 11-22 ]
	[ "$(byte_at after.raw 0)-$(byte_at after.raw 4096)" = 22-00 ]
	fails 2 'takes the command that recovers, as in crash export' \
		"$PLATTER" crash export --base base --base-format raw \
		run.log 5@0 other.raw
	nothing_left
}

@test "a recovery that writes something else than it did then is told of" {
	local hash

	hash=$("$PLATTER" crash show --base base --base-format raw \
		--output json --recover './recover {} copy clear' run.log 5@0 |
		jq -r .recovery)
	run "$PLATTER" crash show --base base --base-format raw \
		--recover './recover {} copy clear' --recovery "$hash" \
		run.log 5@0
	assert_success
	assert_line "of a recovery: from state 5, $hash"
	fails 2 'the recovery wrote something else than then' "$PLATTER" \
		crash show --base base --base-format raw --recovery "$hash" \
		--recover './recover {} clear copy' run.log 5@0
}

@test "a recovery that writes nothing has no states of its own" {
	run explore run.jsonl --recover true run.log -- ./check {}
	assert_success
	run results run.jsonl
	assert_output '5 1 pass'
}

@test "what a recovery that fails has written is checked all the same" {
	run -1 explore run.jsonl --recover './recover {} clear; false' run.log \
		-- ./check {}
	assert_output --regexp '5@[0-9]+  fail'
}

# e2fsck itself cannot: it writes the super block in pieces, its checksum last.
@test "the kernel can be interrupted at any time while it recovers an ext4" {
	need_own_mounts
	need e2fsck losetup
	losetup -f >/dev/null || skip "no loop device is free"
	grep -qw ext4 /proc/filesystems || skip "the kernel has no ext4"
	log_file kernel-6.1-ext4 ext4.log
	mkdir mnt
	run "$PLATTER" crash explore --fs ext4 --strategy prefixes,2cp \
		--from 116 --to 116 --jsonl run.jsonl --recover \
		'unshare -m sh -c "mount -o loop {} mnt && umount mnt"' \
		ext4.log
	assert_success
	run jq -s 'map(select(.depth == 2)) | length > 20' run.jsonl
	assert_output true
}

@test "where writes are not seen a recovery is refused" {
	run -2 explore run.jsonl --present copy --recover true run.log -- \
		./check {}
	assert_output --partial 'it takes FUSE'
}
