# SPDX-License-Identifier: LGPL-2.1-or-later
# Crash states of what others wrote, and of what platter writes: file systems of
# Linux, SQLite, and qcow2.
# shellcheck disable=SC1083,SC2016

load lib/record
load lib/logs

setup_file()
{
	unpack kernel-6.1-ext4 kernel-6.1-nobar kernel-6.1-xfs
}

setup()
{
	record_setup
	need jq
}

teardown()
{
	record_teardown
}

# --- logs of Linux ----------------------------------------------------------

# promise FOLDER LOG NUMBER...: the files the log's load had fsynced.
promise()
{
	local folder=$1 list=$top_srcdir/tests/images/write-logs/$2.md5 n

	mkdir "$folder"
	shift 2
	for n; do
		sed -n "${n}s|/mnt||p" "$list" >"$folder/fsync-$n.md5"
	done
}

@test "every state of Linux's ext4 recovers, with what was fsynced" {
	need e2fsck debugfs
	promise acked kernel-6.1-ext4 2 4 5 6 7 8
	explored --from mark:mkfs --strategy prefixes,2cp \
		"$LOGS/kernel-6.1-ext4" --fs ext4 --acked acked
	assert_equal "$code" 0
	assert_equal "$(number unique)" 301
}

@test "without barriers Linux's ext4 loses what was fsynced" {
	need debugfs
	promise acked kernel-6.1-nobar 4 5 6 7 8
	explored --from mark:mkfs --strategy prefixes,2cp \
		"$LOGS/kernel-6.1-nobar" --acked acked
	assert_equal "$code" 1
	assert_equal "$(jq '.. | objects | select(has("fail")) | .fail' \
		run.json | head -n 1)" 214
}

@test "a file that is lost without barriers is named by shrink" {
	need debugfs
	promise acked kernel-6.1-nobar 4
	run "$PLATTER" crash shrink "$LOGS/kernel-6.1-nobar" 149-70 \
		--acked acked
	assert_success
	assert_line --partial 'entry 70 '
	assert_line --partial '/d4/f, acknowledged by mark fsync-4'
}

@test "every state of Linux's XFS recovers" {
	need xfs_repair
	explored --from mark:mkfs --strategy prefixes,2cp \
		"$LOGS/kernel-6.1-xfs" --fs xfs
	assert_equal "$code" 0
}

# --- SQLite -----------------------------------------------------------------

# commits JOURNAL SYNCHRONOUS [COMMITS]: in run.log.
commits()
{
	local code=0

	need_root
	need_fuse
	need sqlite3 mkfs.ext4 losetup debugfs
	rm -f disk run.log
	truncate -s 24M disk
	"$PLATTER" log record -q -f raw --log run.log disk -- \
		sqlite-load {} "$1" "$2" "${3:-4}" || code=$?
	if ((code == 77)); then
		skip "no loop device can be mounted"
	fi
	return "$code"
}

# 4096 bytes are written as a whole: what is tried is SQLite, not ext4.
committed()
{
	explored --unit 4096 --from mark:commit-0 run.log --sqlite /db "$@"
}

@test "SQLite loses no transaction with a write-ahead log" {
	commits wal full
	committed
	assert_equal "$code" 0
}

@test "SQLite loses no transaction with a journal that is truncated" {
	commits truncate full
	committed
	assert_equal "$code" 0
}

@test "SQLite loses no transaction with a journal whose folder is synced" {
	commits delete extra
	committed
	assert_equal "$code" 0
}

# As its manual says of synchronous=EXTRA.
@test "SQLite may lose the last transaction with a journal that is deleted" {
	commits delete full
	committed --strategy prefixes
	assert_equal "$code" 1
	run jq -r '.. | objects | .reason? // empty' run.json
	refute_output --partial 'integrity'
	assert_output --partial 'acknowledged by mark commit-'
}

@test "SQLite that does not sync loses transactions, which is shrunk" {
	local last saves

	commits wal off
	committed --strategy prefixes
	assert_equal "$code" 1
	# The last moment at which one is lost is before the write that saves it.
	last=$(jq -r '[.. | objects | select(.verdict? == "fail")] | last |
		.state' run.json)
	saves=$("$PLATTER" log list --output json --from "$last" run.log |
		jq 'first(.[] | select(.length > 0)) | .entry')
	run "$PLATTER" crash shrink --unit 4096 run.log \
		"$((saves + 1))-$saves" --sqlite /db
	assert_success
	assert_line --regexp '^(entry|entries) [0-9].* missing '
}

# --- qcow2 ------------------------------------------------------------------

@test "no state of a qcow2 image that platter loads is corrupt" {
	need_fuse
	need qemu-img
	qcow2_explored 300 ours
	assert_equal "$code" 0
	(($(number unique) > 1000))
}
