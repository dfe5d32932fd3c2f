# SPDX-License-Identifier: LGPL-2.1-or-later
# platter replay: the disk it makes, at every point and in every way, against
# naive-replay, against the other ways, and against what fsck and the oracles
# that came with the logs say.

load lib/logs

setup_file()
{
	unpack_all
	mklog --generate 120 --pattern mixed --device-size 1M "$LOGS/mixed"
	mklog --generate 120 --pattern nested --device-size 1M "$LOGS/nested"
	naive-replay --hash-prefixes "$LOGS/kernel-6.1-ext4" \
		>"$LOGS/ext4.hashes"
	naive-replay --hash-prefixes "$LOGS/mixed" >"$LOGS/mixed.hashes"
	naive-replay --hash-prefixes "$LOGS/nested" >"$LOGS/nested.hashes"
	head -c 3M /dev/urandom >"$LOGS/base"
}

setup()
{
	common_setup
	ext4=$LOGS/kernel-6.1-ext4
	mixed=$LOGS/mixed
	# What each prefix of `mixed` needs, so that sizes can be compared.
	device=1048576
}

same()
{
	run cmp "$1" "$2"
	assert_success
}

# full LOG ENTRIES [CODE]: its full replay, in every way
full()
{
	local how

	naive-replay "$LOGS/$1" want "$2"
	for how in '' --in-order '-m 1' '-m 16 --verify'; do
		run platter replay -q "$LOGS/$1" got $how
		assert_equal "$status" "${3:-0}"
		assert_equal "$(hash_of got)" "$(hash_of want)"
		rm got
	done
}

# hash_of FILE: of its size and content
hash_of()
{
	echo "$(stat -c %s "$1") $(naive-replay --hash "$1")"
}

# ---- the shipped logs ----

@test "full replay of kernel-6.1-ext4" {
	full kernel-6.1-ext4 all
}

@test "full replay of kernel-6.1-ext4-4k" {
	full kernel-6.1-ext4-4k all
}

@test "full replay of kernel-6.1-ext4-discard" {
	full kernel-6.1-ext4-discard all
}

@test "full replay of kernel-6.1-nobar" {
	full kernel-6.1-nobar all
}

@test "full replay of kernel-6.1-xfs" {
	full kernel-6.1-xfs all
}

@test "full replay of metadata-flag-1entry" {
	full metadata-flag-1entry all
}

@test "full replay of qemu-7.2-acked-fua-not-counted has the third entry" {
	full qemu-7.2-acked-fua-not-counted 3
}

@test "full replay of qemu-7.2-basic" {
	full qemu-7.2-basic all
	assert_equal "$(byte_at want 4095 2)" 1122
}

@test "full replay of qemu-7.2-killed-no-super" {
	full qemu-7.2-killed-no-super all
}

@test "full replay of qemu-7.2-stale-super-reused-file is one entry, exit 1" {
	full qemu-7.2-stale-super-reused-file 1 1
}

@test "full replay of qemu-7.2-write-during-flush" {
	full qemu-7.2-write-during-flush all
}

@test "the full replay of each ext4 log is clean for e2fsck" {
	local name

	need e2fsck
	for name in ext4 ext4-4k ext4-discard nobar; do
		platter replay -q "$LOGS/kernel-6.1-$name" disk
		run e2fsck -fn disk
		assert_success
		rm disk
	done
}

@test "the full replay of the xfs log is clean for xfs_repair" {
	need xfs_repair
	platter replay -q "$LOGS/kernel-6.1-xfs" disk
	run xfs_repair -n -f disk
	assert_success
}

# acknowledged MARK COUNT NAME: how many of the first COUNT files that were
# fsynced have their md5 after journal recovery at that mark
acknowledged()
{
	local k want
	local -i good=0

	platter replay -q "$LOGS/$3" disk --to "$1"
	e2fsck -fy disk >/dev/null 2>&1 || [ $? -eq 1 ]
	e2fsck -fn disk >/dev/null 2>&1
	for ((k = 1; k <= $2; k++)); do
		want=$(tr -d '\r' \
			<"$top_srcdir/tests/images/write-logs/$3.md5" |
			sed -n "s|  /mnt/d$k/f$||p")
		[ -n "$want" ]
		if [ "$(debugfs -R "cat /d$k/f" disk 2>/dev/null | md5sum |
			cut -d' ' -f1)" = "$want" ]; then
			good+=1
		fi
	done
	rm disk
	echo "$good"
}

@test "at each mark fsync-k, every file acknowledged so far is there" {
	local k

	need e2fsck debugfs
	for k in {1..8}; do
		run acknowledged "mark:fsync-$k" "$k" kernel-6.1-ext4
		assert_output "$k"
	done
}

@test "without barriers, at each mark fsync-k, none of the files is there" {
	local k

	need e2fsck debugfs
	for k in 1 4 8; do
		run acknowledged "mark:fsync-$k" "$k" kernel-6.1-nobar
		assert_output 0
	done
}

# ---- every point ----

# every_prefix FIRST STEP: four ways to each such point of the ext4 log
every_prefix()
{
	local n want

	for ((n = $1; n <= 179; n += $2)); do
		platter replay -q "$ext4" merged --to "$n"
		platter replay -q "$ext4" ordered --to "$n" --in-order
		platter convert --image-opts \
			"driver=writelog,log=$ext4,at=$n" converted
		want=$(sed -n "s/^$n /33554432 /p" "$LOGS/ext4.hashes")
		assert_equal "$(hash_of merged)" "$want"
		assert_equal "$(hash_of ordered)" "$want"
		assert_equal "$(hash_of converted)" "$want"
		rm merged ordered converted
	done
}

@test "every prefix of an ext4 log, four ways: points 0, 3, 6, ..." {
	every_prefix 0 3
}

@test "every prefix of an ext4 log, four ways: points 1, 4, 7, ..." {
	every_prefix 1 3
}

@test "every prefix of an ext4 log, four ways: points 2, 5, 8, ..." {
	every_prefix 2 3
}

# hashes LOG [ARGUMENT...]: of the disk at each of its points
hashes()
{
	local n

	for ((n = 0; n <= 120; n++)); do
		rm -f disk
		platter replay -q "$1" disk --to "$n" "${@:2}"
		echo "$n $(naive-replay --hash disk)"
	done
}

@test "every prefix of a log with every kind of entry" {
	run diff <(hashes "$mixed") "$mixed.hashes"
	assert_success
}

@test "every prefix of a log with every kind of entry, in order" {
	run diff <(hashes "$mixed" --in-order) "$mixed.hashes"
	assert_success
}

@test "every prefix of a log of writes inside writes" {
	run diff <(hashes "$LOGS/nested") "$LOGS/nested.hashes"
	assert_success
}

@test "every prefix on top of a base" {
	run diff <(hashes "$mixed" --base "$LOGS/base") \
		<(naive-replay --hash-prefixes "$mixed" "$LOGS/base")
	assert_success
}

# ---- steps ----

@test "replayed entry by entry onto one disk, every state is right" {
	local n how

	for how in '' --in-order; do
		rm -f disk
		for ((n = 0; n < 120; n++)); do
			platter replay -q "$mixed" disk --from "$n" \
				--to $((n + 1)) $how
			echo "$((n + 1)) $(naive-replay --hash disk)"
		done >got
		run diff <(sed 1d "$mixed.hashes") got
		assert_success
	done
}

@test "replayed from mark to mark, the end is that of a full replay" {
	local from=0 to

	for to in mark:mkfs mark:fsync-{1..8} mark:last end; do
		platter replay -q "$ext4" steps --from "$from" --to "$to"
		from=$to
	done
	naive-replay "$ext4" want all
	same want steps
}

@test "replaying again changes nothing" {
	platter replay -q "$mixed" disk
	platter replay -q "$mixed" disk
	naive-replay "$mixed" want all
	same want disk
}

@test "--from without --to goes to the end" {
	cp "$LOGS/base" got
	cp "$LOGS/base" want
	platter replay -q "$mixed" got --from 77
	naive-replay --from 77 "$mixed" want all
	same want got
}

# ---- base ----

@test "--base larger than the log's disk keeps its size" {
	cp "$LOGS/base" want
	naive-replay "$mixed" want all
	succeeds platter replay "$mixed" got --base "$LOGS/base"
	same want got
}

@test "--base smaller than the log's disk grows" {
	head -c 70001 "$LOGS/base" >base
	cp base want
	naive-replay "$mixed" want all
	truncate -s "$device" want
	platter replay -q "$mixed" got --base base
	truncate -s "$device" got
	same want got
}

@test "--base with --in-order gives the same" {
	cp "$LOGS/base" want
	naive-replay "$mixed" want 60
	platter replay -q "$mixed" got --base "$LOGS/base" --to 60 \
		--in-order --verify
	same want got
}

@test "--base with --from has no entry before it" {
	cp "$LOGS/base" want
	naive-replay --from 40 "$mixed" want 60
	platter replay -q "$mixed" got --base "$LOGS/base" --from 40 --to 60
	same want got
}

@test "--base with --range is the base outside of it" {
	cp "$LOGS/base" want
	cp "$LOGS/base" all
	naive-replay "$mixed" all all
	dd if=all of=want bs=1000 skip=100 seek=100 count=300 conv=notrunc \
		status=none
	platter replay -q "$mixed" got --base "$LOGS/base" \
		--range 100000+300000
	same want got
	rm got
	platter replay -q "$mixed" got --base "$LOGS/base" \
		--range 100000+300000 --in-order
	same want got
}

@test "--base makes a target that is there anew" {
	bytes_of 5M 356 >got
	cp "$LOGS/base" want
	naive-replay "$mixed" want all
	told true .created platter replay "$mixed" got --base "$LOGS/base"
	same want got
}

@test "the base is not changed" {
	cp "$LOGS/base" base
	platter replay -q "$mixed" got --base base
	same base "$LOGS/base"
}

@test "a base that is not there is an error, and nothing is made" {
	fails 2 'nobase' platter replay "$mixed" got --base nobase
	echo precious >got
	fails 2 'nobase' platter replay "$mixed" got --base nobase
	assert_equal "$(cat got)" precious
}

@test "the target may not be the base, by any name" {
	local name

	cp "$LOGS/base" base
	ln base hard
	ln -s base soft
	for name in base ./base hard soft; do
		fails 2 'is the base as well' \
			platter replay "$mixed" "$name" --base base
	done
	same base "$LOGS/base"
}

@test "a moment of a log can be the base" {
	platter log cut -q "$mixed" rest --from 50
	platter replay -q "$mixed" middle --to 50
	platter replay -q rest got --base middle
	naive-replay "$mixed" want all
	run naive-replay --hash got
	assert_output "$(naive-replay --hash want)"
}

# ---- discards ----

@test "--no-discard leaves the discards out, at any point" {
	local n how

	for n in 10 60 120; do
		for how in '' --in-order; do
			cp "$LOGS/base" want
			cp "$LOGS/base" got
			naive-replay "$mixed" want "$n" 1
			platter replay -q "$mixed" got --to "$n" \
				--no-discard $how
			same want got
		done
	done
}

@test "--no-discard is what convert with discard=ignore gives" {
	platter replay -q "$mixed" got --no-discard
	platter convert --image-opts \
		"driver=writelog,log=$mixed,discard=ignore" converted
	run naive-replay --hash got
	assert_output "$(naive-replay --hash converted)"
}

# ---- ranges ----

@test "--range at many places, sizes and points" {
	local at n how
	local -i offset length

	for at in 0+1 0+512 511+2 1000+100000 524288+4096 1048575+1 \
		333333+333333 0+1048576; do
		offset=${at%+*}
		length=${at#*+}
		for n in 30 120; do
			cp "$LOGS/base" all
			naive-replay "$mixed" all "$n"
			{
				head -c "$offset" "$LOGS/base"
				tail -c +$((offset + 1)) all |
					head -c "$length"
				tail -c +$((offset + length + 1)) \
					"$LOGS/base"
			} >want
			for how in '' --in-order; do
				cp "$LOGS/base" got
				platter replay -q "$mixed" got --to "$n" \
					--range "$at" $how
				same want got
			done
		done
	done
}

@test "--range of a new target leaves the rest zero, at full size" {
	naive-replay "$ext4" all all
	platter replay -q "$ext4" got --range 1M+1M
	{
		head -c 1M /dev/zero
		tail -c +1048577 all | head -c 1M
		head -c 30M /dev/zero
	} >want
	same want got
}

@test "--range in parts is the whole" {
	local part

	for part in 0+10M 10M+1 10485761+21M 32505857+1048575; do
		platter replay -q "$ext4" got --range "$part"
	done
	naive-replay "$ext4" want all
	same want got
}

@test "an empty --range, or one without a length, is a usage error" {
	usage_error 'empty' platter replay "$mixed" got --range 5+0
	usage_error 'no length' platter replay "$mixed" got --range 5
	[ ! -e got ]
}

@test "--verify is content with every way of replaying" {
	local how where

	for how in '' --in-order --no-discard '--no-discard --in-order' \
		'--from 30' '--from 30 --in-order' '-t none' '-m 16'; do
		for where in '' "--base $LOGS/base" '--range 1000+70000' \
			"--base $LOGS/base --range 1000+70000"; do
			rm -f new
			cp "$LOGS/base" target
			succeeds platter replay -q --verify "$mixed" new \
				$how $where
			succeeds platter replay -q --verify "$mixed" target \
				$how $where
		done
	done
}

# ---- targets ----

@test "a target that is larger keeps what lies behind the log's disk" {
	bytes_of 5M 356 >got
	cp got want
	naive-replay "$mixed" want all
	told false .created platter replay "$mixed" got
	same want got
}

@test "a target that is smaller grows" {
	local how

	for how in '' --in-order; do
		bytes_of 1000 356 >got
		cp got want
		naive-replay "$ext4" want 20
		truncate -s 33554432 want
		platter replay -q "$ext4" got --to 20 $how
		same want got
	done
}

@test "a new target is sparse where the log has zeros" {
	platter replay -q "$LOGS/kernel-6.1-xfs" got
	assert_equal "$(stat -c %s got)" 335544320
	(($(stat -c %b got) < 16384))
}

@test "a new target is as large as the disk, at every point" {
	local to

	for to in 0 1 4 end; do
		platter replay -q "$ext4" "at-$to" --to "$to"
		assert_equal "$(stat -c %s "at-$to")" 33554432
	done
}

@test "a target may be a symbolic link to a file" {
	truncate -s 4096 real
	ln -s real link
	platter replay -q "$mixed" link
	[ -L link ]
	naive-replay "$mixed" want all
	run naive-replay --hash real
	assert_output "$(naive-replay --hash want)"
}

@test "what is neither a file nor a block device is refused" {
	local name

	mkdir folder
	mkfifo fifo
	for name in folder fifo /dev/null /dev/zero; do
		fails 2 'neither a regular file nor a block device' \
			platter replay "$mixed" "$name"
	done
}

@test "a target in a folder that is not there is one line" {
	fails 2 'No such file' platter replay "$mixed" no/such/folder
}

@test "the target may not be the log, by any name" {
	local name how

	cp "$mixed" l
	ln l hard
	ln -s l soft
	for name in l ./l hard soft; do
		for how in '' '-f raw' '--in-order -f raw' \
			"--base $LOGS/base -f raw"; do
			fails 2 'is the log as well' \
				platter replay l "$name" $how
		done
	done
	same l "$mixed"
}

@test "log and target in the wrong order change neither" {
	cp "$mixed" l
	platter replay -q l disk
	cp disk before
	fails 2 'not a write log' platter replay disk l
	same l "$mixed"
	same disk before
	fails 2 'No such file' platter replay new l
	same l "$mixed"
}

@test "a target that holds a log is refused, and with -f raw it is not" {
	cp "$LOGS/qemu-7.2-basic" other
	fails 2 'holds data of format writelog' platter replay "$mixed" other
	fails 2 'holds data of format writelog' \
		platter replay "$mixed" other --base "$LOGS/base"
	same other "$LOGS/qemu-7.2-basic"
	succeeds platter replay "$mixed" other -f raw
	cp "$LOGS/qemu-7.2-basic" want
	naive-replay "$mixed" want all
	same want other
}

@test "a target format that is not raw is refused" {
	fails 2 'only raw' platter replay "$mixed" got -f writelog
	[ ! -e got ]
}

teardown()
{
	off_loop
}

@test "a block device is a target, and keeps what lies behind the disk" {
	local how

	cp "$LOGS/base" got
	on_loop got
	for how in '' --in-order '-t none'; do
		cp "$LOGS/base" want
		cp "$LOGS/base" "$loop"
		naive-replay "$mixed" want all
		succeeds platter replay "$mixed" "$loop" $how --verify
		run cmp want "$loop"
		assert_success
	done
}

@test "a block device of the disk's size is a target" {
	truncate -s 33554432 got
	on_loop got
	succeeds platter replay "$ext4" "$loop"
	naive-replay "$ext4" want all
	run cmp want "$loop"
	assert_success
}

@test "a block device that is too small is refused before a write" {
	local how

	bytes_of 33553920 356 >got
	cp got before
	on_loop got
	for how in '' --in-order '--to 1' "--base $LOGS/base"; do
		fails 2 '33553920 bytes are too few' \
			platter replay "$ext4" "$loop" $how
	done
	sync got
	same before got
}

@test "a discard zeroes a block device" {
	mklog l <<-'END'
	discard 0 2048
	END
	bytes_of 1M 356 >got
	on_loop got
	platter replay -q l "$loop"
	run cmp "$loop" <(head -c 1M /dev/zero)
	assert_success
}

# ---- what it tells ----

@test "each sector is written once, however often it was logged" {
	mklog l <<-'END'
	write 0 8
	write 0 8
	write 0 8
	discard 4 8
	write 0 2
	END
	told '[2048,4096]' '[.written, .zeroed]' platter replay l got
	told '[13312,4096]' '[.written, .zeroed]' \
		platter replay l got --in-order
}

@test "in order, flushes are issued where they were logged" {
	mklog l <<-'END'
	write 0 8
	flush
	emptyflushfua 8
	fua 8 1
	write 0 1 flags=1
	END
	# Two empty ones, behind the FUA, before the flush with data.
	told 4 .flushes platter replay l got --in-order -t writeback
	told 2 .flushes platter replay l got --in-order --to fua:1-1
}

@test "entries are those between the points" {
	told '[20,50,30]' '[.from, .to, .entries]' \
		platter replay "$mixed" got --from 20 --to 50
}

@test "the index is the same for replay, and one of another log is not used" {
	naive-replay "$mixed" want all
	cp "$mixed" l
	platter log index -q l
	platter replay -q l got
	run naive-replay --hash got
	assert_output "$(naive-replay --hash want)"
	# The same name and size, and other entries.
	mklog --generate 120 --pattern mixed --device-size 1M --seed 2 l
	platter replay -q l other
	rm want
	naive-replay l want all
	run naive-replay --hash other
	assert_output "$(naive-replay --hash want)"
}

@test "an index from before the log was cut off is not used" {
	cp "$mixed" l
	touch -d '2024-01-01' l
	platter log index -q l
	truncate -s -1 l
	touch -d '2024-01-01' l
	ends_early platter replay -q l got
	naive-replay "$mixed" want 119
	assert_equal "$(naive-replay --hash got)" \
		"$(naive-replay --hash want)"
}

@test "a damaged index is not used" {
	local bit

	naive-replay "$mixed" want all
	cp "$mixed" l
	platter log index -q l
	cp l.idx whole
	for bit in $(bitflip --seed 5 --count 20 whole); do
		cp whole l.idx
		bitflip l.idx "$bit"
		rm -f got
		platter replay -q l got
		run naive-replay --hash got
		assert_output "$(naive-replay --hash want)"
	done
	for bit in 0 1 100 4096 5000; do
		head -c "$bit" whole >l.idx
		rm -f got
		platter replay -q l got
		run naive-replay --hash got
		assert_output "$(naive-replay --hash want)"
	done
}
