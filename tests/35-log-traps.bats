# SPDX-License-Identifier: LGPL-2.1-or-later
# What writers of logs do that readers have got wrong: each trap of the format
# that concerns reading or replaying has a test named after it.

load lib/logs

setup_file()
{
	unpack kernel-6.1-ext4 kernel-6.1-ext4-4k kernel-6.1-nobar \
		metadata-flag-1entry qemu-7.2-acked-fua-not-counted \
		qemu-7.2-basic qemu-7.2-stale-super-reused-file \
		qemu-7.2-write-during-flush
}

setup()
{
	common_setup
}

# some [OPTION...]: a log l with an entry of each kind, seven in all
some()
{
	mklog "$@" l <<-'END'
	write 0 3 fill=0x11
	write 2 4 fill=0x22
	mark here
	discard 1 2
	emptyflushfua 9
	fua 9 1 flags=0x12 fill=0x33
	flush
	END
}

# right LOG [ENTRIES]: replay, each way there is, gives what naive-replay makes
# of that many entries. Logs that end early are well, too.
right()
{
	local how
	local -i code

	rm -f want got
	naive-replay "$1" want "${2:-all}"
	for how in '' --in-order; do
		code=0
		platter replay -q "$1" got $how 2>err || code=$?
		((code < 2)) || fail "$(cat err)"
		assert_equal "$(naive-replay --hash got)" \
			"$(naive-replay --hash want)"
		rm got
	done
}

# ---- points ----

@test "trap: a mark that is not there is an error before anything is written" {
	some
	echo precious >target
	fails 2 'no mark' platter replay l target --to mark:nosuch
	fails 2 'no mark' platter replay l target --from mark:nosuch
	assert_equal "$(cat target)" precious
	fails 2 'no mark' platter replay l new --to mark:nosuch
	fails 2 'no mark' platter replay l new --to mark:nosuch --in-order
	[ ! -e new ]
}

@test "trap: the next FUA is the one with the data, not the empty one before" {
	some
	told 6 .to platter replay l x --to fua:1
	fails 2 '1 FUA' platter replay l none --to fua:2
}

@test "trap: a kernel's mark may lie before the writes it is about" {
	# Recorded without barriers: eight marks in a row.
	told 33,34,35,36,37,38,39,40 \
		'[.[1:9][].point] | join(",")' \
		platter log marks "$LOGS/kernel-6.1-nobar"
}

@test "trap: QEMU logs a write before a flush that does not cover it" {
	run json '."flush-cover"' platter log info \
		"$LOGS/qemu-7.2-write-during-flush"
	assert_output --partial 'may have been issued after it'
}

# ---- discards ----

# discarded_file: a target of 300 MiB with bytes here and there
discarded_file()
{
	local at

	rm -f target
	truncate -s 300M target
	for at in 0 134217727 134217728 200000000 268435456 314572799; do
		put target "$at" ee
	done
}

@test "trap: a discard of over 128 MiB takes effect on a regular file" {
	local how

	mklog l <<-'END'
	discard 0 614400
	END
	for how in '' --in-order; do
		discarded_file
		platter replay -q l target $how
		run cmp target <(head -c 300M /dev/zero)
		assert_success
	done
}

@test "trap: a discard of over 128 MiB takes effect on what the log wrote" {
	mklog l <<-'END'
	write 0 1
	write 262144 1
	write 400000 1
	write 614399 1
	discard 0 614400
	END
	right l
	platter replay -q l new
	assert_equal "$(stat -c '%s %b' new)" '314572800 0'
}

@test "trap: a discard that is not the last is covered by later writes" {
	mklog l <<-'END'
	write 0 8 fill=0x11
	discard 0 16
	write 2 2 fill=0x22
	discard 3 2
	write 15 1 fill=0x33
	END
	right l
}

@test "trap: discards are not left out by luck" {
	mklog l <<-'END'
	discard 0 8
	END
	bytes_of 4096 377 >target
	platter replay -q l target
	run cmp target <(head -c 4096 /dev/zero)
	assert_success
	bytes_of 4096 377 >target
	platter replay -q l target --no-discard
	run cmp target <(bytes_of 4096 377)
	assert_success
}

@test "trap: a whole-device discard costs neither memory nor time" {
	mklog l <<-'END'
	write 0 1
	discard 0 8589934592
	write 5 1 fill=0x44
	END
	bounded platter replay -q l new
	assert_equal "$(stat -c %s new)" 4398046511104
	(($(stat -c %b new) < 64))
	assert_equal "$(byte_at new 2560 2)" 4444
}

@test "trap: a discard has no data behind it, whatever its length" {
	mklog l <<-'END'
	discard 0 1000
	write 7 1 fill=0x11
	discard 8 3 data_len=1536
	write 9 1 fill=0x22
	END
	told 4 .entries platter log info l
	right l
}

# ---- --range ----

# ranged RANGE: replay --range onto bytes of 0xee is naive-replay inside the
# range and 0xee outside
ranged()
{
	local how

	for how in '' --in-order; do
		bytes_of 65536 356 >got
		cp got want
		cp got all
		naive-replay l all all
		dd if=all of=want bs=64K conv=notrunc status=none \
			iflag=skip_bytes,count_bytes oflag=seek_bytes \
			skip="${1%+*}" seek="${1%+*}" count="${1#*+}"
		platter replay -q l got --range "$1" $how
		run cmp got want
		assert_success
	done
}

mixed_64k()
{
	mklog l <<-'END'
	write 0 64
	discard 16 32
	write 24 16
	discard 0 8
	write 40 80
	discard 100 28
	END
}

@test "trap: --range clips entries that lie across its ends" {
	mixed_64k
	ranged 12288+4096
	ranged 16384+8192
	ranged 512+512
	ranged 0+65536
}

@test "trap: --range need not be whole sectors" {
	mixed_64k
	ranged 1000+777
	ranged 8191+2
	ranged 20479+12345
}

@test "trap: a discard outside of --range is not applied" {
	mklog l <<-'END'
	discard 0 8
	discard 64 64
	write 16 8 fill=0x22
	END
	ranged 8192+4096
	ranged 4096+28672
}

@test "trap: a discard across the ends of --range is applied inside only" {
	mklog l <<-'END'
	discard 0 128
	END
	ranged 8192+4096
	ranged 0+512
	ranged 65024+512
}

@test "trap: the end of --range is not part of it" {
	mklog l <<-'END'
	write 0 128 fill=0x11
	END
	ranged 4096+512
}

@test "trap: --range beyond the device is refused" {
	mixed_64k
	fails 2 'beyond the device of 65536' \
		platter replay l none --range 65536+512
	fails 2 'beyond the device of 65536' \
		platter replay l none --range 65000+537
	[ ! -e none ]
}

# ---- the super block ----

@test "trap: a log without entries works everywhere" {
	mklog l </dev/null
	told '["sound",0]' '[.verdict, .entries]' platter log check l
	told 0 .entries platter log info l
	told '[]' . platter log list l
	told '[]' . platter log marks l
	told '[]' . platter log blame l 0+4096
	told 0 .written platter log stat l
	succeeds platter replay l new
	assert_equal "$(stat -c %s new)" 0
	echo precious >target
	succeeds platter replay l target
	succeeds platter replay l target --in-order --verify
	assert_equal "$(cat target)" precious
	succeeds platter log index l
	told '[]' . platter log list l
}

@test "trap: a log of 28 bytes has no entries" {
	mklog --truncate 28 l </dev/null
	told '["sound",0]' '[.verdict, .entries]' platter log check l
	succeeds platter replay l new
}

@test "trap: a count that is too high: what is there is read, with exit 1" {
	local count

	for count in 8 99 4294967295 4294967296 18446744073709551615; do
		some --nr-entries "$count"
		told '["damaged",7]' '[.verdict, .entries]' \
			platter log check l
		ends_early platter replay l new
		right l 7
		rm new
	done
}

@test "trap: a count that is too low: entries beyond it are recovered" {
	local count

	for count in 0 1 6; do
		some --nr-entries "$count"
		told "[7,$((7 - count))]" '[.entries, .recovered]' \
			platter log info l
		succeeds platter replay l new
		right l 7
		rm new
	done
}

@test "trap: a FUA write that QEMU acknowledged and did not count is there" {
	local log=$LOGS/qemu-7.2-acked-fua-not-counted

	succeeds platter replay "$log" new
	run cmp <(tail -c +8193 new) <(bytes_of 4096 003)
	assert_success
	told 1 .recovered platter log info "$log"
}

@test "trap: a count of an older log in the file does not make data entries" {
	local log=$LOGS/qemu-7.2-stale-super-reused-file

	ends_early platter replay "$log" new
	run cmp new <(bytes_of 512 167)
	assert_success
	told '[[0,0,512]]' '[.[] | [.entry, .offset, .length]]' \
		platter log list "$log"
}

@test "trap: a super block of zeros: the entries are found" {
	local size

	for size in 32 64 512 1024 4096 65536; do
		if ((size == 32)); then
			mklog --sector-size 32 l <<-'END'
			write 0 3 fill=0x11
			write 2 4 fill=0x22
			discard 1 2
			emptyflushfua 9
			flush
			END
		else
			some --sector-size "$size"
		fi
		naive-replay l want all
		entries=$(json 'map(del(.recovered))' platter log list l)
		put l 0 "$(printf '00%.0s' {1..28})"
		told "$size" '."sector-size"' platter log info l
		told "$entries" 'map(del(.recovered))' platter log list l
		succeeds platter replay l got
		run cmp want got
		assert_success
		rm want got
	done
}

@test "trap: a super block of zeros is a problem that check tells" {
	some --no-super
	told '["damaged",7,7,"the super block is all zeros"]' \
		'[.verdict, .entries, .recovered, .problems[0].text]' \
		platter log check l
}

@test "trap: a kernel log without its super block reads the same" {
	cp "$LOGS/kernel-6.1-ext4-4k" l
	dd if=/dev/zero of=l bs=4096 count=1 conv=notrunc status=none
	told '[4096,183]' '[."sector-size", .entries]' platter log info l
	platter replay -q l got
	platter replay -q "$LOGS/kernel-6.1-ext4-4k" want
	run cmp got want
	assert_success
}

@test "trap: a super block of something else: the entries are found" {
	some
	dd if=/dev/urandom of=l bs=512 count=1 conv=notrunc status=none
	put l 0 00
	told '[7,7]' '[.entries, .recovered]' platter log info l
}

@test "trap: what only looks like one entry is no log without a super block" {
	mklog --no-super l <<-'END'
	write 0 1
	END
	put l 0 746578742121
	fails 2 'not a write log' platter log info l
}

@test "trap: a file without the magic is refused, one with it is not" {
	seq 2000 >text
	fails 2 'not a write log' platter replay text new
	some
	succeeds platter replay l new
}

@test "trap: bytes 28 to 31 of the super block may be anything" {
	some --super-junk
	told '["sound",7]' '[.verdict, .entries]' platter log check l
	right l
}

@test "trap: sector sizes that are none are not believed" {
	local size

	for size in 0 1 16 31 33 500 513 16777216 2147483648 4294967295; do
		some
		put l 24 "$(printf '%08x' "$size" |
			sed 's/\(..\)\(..\)\(..\)\(..\)/\4\3\2\1/')"
		told '[512,7]' '[."sector-size", .entries]' platter log info l
		told damaged .verdict platter log check l
	done
}

@test "trap: a version that is not 1 is not believed" {
	some --super-version 2
	told '["damaged",7]' '[.verdict, .entries]' platter log check l
}

@test "trap: a sector size that fits no entry is doubted" {
	# Kernels before 4.14 wrote units of 512 on disks of larger sectors.
	some --super-sector-size 4096
	told '[512,7]' '[."sector-size", .entries]' platter log info l
	told damaged .verdict platter log check l
	succeeds platter replay l got
	some
	naive-replay l want all
	run cmp got want
	assert_success
}

@test "trap: --sector-size is believed against the super block" {
	some --super-sector-size 1024
	told '[512,7]' '[."sector-size", .entries]' \
		platter log info --sector-size 512 l
	fails 2 'power of two from 32' platter log info --sector-size 500 l
}

# ---- entries ----

@test "trap: METADATA is a flag like the others" {
	told '["METADATA",512]' '.[0] | [.flags, .length]' \
		platter log list "$LOGS/metadata-flag-1entry"
	succeeds platter replay "$LOGS/metadata-flag-1entry" new
	run cmp new <(bytes_of 512 170)
	assert_success
}

@test "trap: an empty FLUSH|FUA entry has a sector but no data" {
	mklog l <<-'END'
	emptyflushfua 100
	write 0 1 fill=0x11
	emptyflushfua 18446744073709551615
	emptyflushfua 36028797018963967
	END
	told 512 '."device-size"' platter log info --output=json l
}

@test "trap: entries are counted in log sectors of 4096 bytes" {
	right "$LOGS/kernel-6.1-ext4-4k"
	told 33554432 '."device-size"' platter log info \
		"$LOGS/kernel-6.1-ext4-4k"
}

@test "trap: log sectors of 32 bytes" {
	mklog --sector-size 32 l <<-'END'
	write 0 3 fill=0x11
	write 2 4 fill=0x22
	mark 
	discard 1 2
	emptyflushfua 9
	fua 9 1 flags=0x12 fill=0x33
	flush
	END
	told '[32,7,320]' '[."sector-size", .entries, ."device-size"]' \
		platter log info l
	right l
}

@test "trap: log sectors of 64 bytes to 1 MiB" {
	local size

	for size in 64 128 256 1024 2048 8192 16384 32768 65536 131072 \
		262144 524288 1048576; do
		some --sector-size "$size"
		told "[$size,7]" '[."sector-size", .entries]' \
			platter log info l
		right l
	done
}

@test "trap: inline data: data_len on a write is no guide to what follows" {
	mklog l <<-'END'
	inline 0 2 700 fill=0x11
	inline 4 1 512 fill=0x22
	inline 6 3 1 fill=0x33
	write 9 1 fill=0x44
	END
	told '["sound",4]' '[.verdict, .entries]' platter log check l
	right l
}

@test "trap: data_len that is zero on a write is no guide either" {
	mklog l <<-'END'
	write 0 2 data_len=0 fill=0x11
	write 1 2 data_len=1024 fill=0x22
	END
	told 2 .entries platter log info l
	right l
}

@test "trap: logged zeros are written over what was there" {
	local how

	mklog l <<-'END'
	write 0 128 fill=0
	END
	for how in '' --in-order; do
		bytes_of 65536 356 >target
		platter replay -q l target $how
		run cmp target <(head -c 65536 /dev/zero)
		assert_success
	done
}

@test "trap: logged zeros are written over what the base has" {
	mklog l <<-'END'
	write 0 128 fill=0
	END
	bytes_of 131072 356 >base
	platter replay -q l target --base base
	run cmp target <(head -c 65536 /dev/zero; bytes_of 65536 356)
	assert_success
}

@test "trap: a mark of the kernel's longest text, 479 bytes" {
	local text=$(bytes_of 479 170)

	mklog l <<-END
	mark $text
	write 0 1
	END
	told "\"$text\"" '.[0].mark | @json' platter log marks l
	told 2 .entries platter log info l
}

@test "trap: a mark's text without a zero byte behind it" {
	mklog l <<-END
	mark $(bytes_of 480 170)
	write 0 1
	END
	told '[480,2]' '[(.[0].mark | length), 2]' platter log marks l
	told 2 .entries platter log info l
}

@test "trap: a mark that states more text than a sector holds" {
	local length

	for length in 481 512 4096 18446744073709551615; do
		mklog l <<-END
		write 0 1 fill=0x11
		raw-mark $length text
		write 1 1 fill=0x22
		END
		told '["damaged",1]' '[.verdict, .entries]' \
			platter log check l
		right l 1
	done
}

@test "trap: a flag that nobody knows ends what can be proven" {
	local flags

	for flags in 0x20 0x80 0x8000000000000000; do
		mklog l <<-END
		write 0 1 fill=0x11
		raw-header 1 0 $flags 0
		write 1 1 fill=0x22
		END
		told '["damaged",1]' '[.verdict, .entries]' \
			platter log check l
	done
}

@test "trap: sectors beyond 2^32" {
	mklog l <<-'END'
	write 8589934592 1 fill=0x11
	write 8589934593 1 fill=0x22
	END
	told '[[4398046511104,512],[4398046511616,512]]' \
		'[.[] | [.offset, .length]]' platter log list l
	platter replay -q l new
	assert_equal "$(stat -c %s new)" 4398046512128
	assert_equal "$(byte_at new 4398046511615 2)" 1122
}

# absurd SECTOR NR FLAGS: such an entry ends what can be proven, for a log
# that counts it and for one that does not
absurd()
{
	local count

	for count in 2 1; do
		rm -f l new
		mklog --nr-entries "$count" l <<-END
		write 0 8 fill=0x11
		raw-header $1 $2 $3 0
		write 8 8 fill=0x22
		END
		told 1 .entries platter log info l
		bounded platter replay -q l new 2>err || [ "$count$?" = 21 ]
		run cmp new <(bytes_of 4096 021)
		assert_success
	done
}

@test "trap: a write of 2^60 sectors" {
	absurd 0 1152921504606846976 0
	absurd 8 1152921504606846976 2
}

@test "trap: a write of 2^64 - 1 sectors" {
	absurd 0 18446744073709551615 0
}

@test "trap: a write that wraps around" {
	absurd 18446744073709551615 2 0
	absurd 18446744073709551614 8 0
	absurd 36028797018963967 2 0
	# 2^55 sectors are 2^64 bytes: zero, for who does not look.
	absurd 0 36028797018963968 0
	absurd 36028797018963968 8 0
}

@test "trap: a discard of 2^60 sectors" {
	absurd 0 1152921504606846976 4
}

@test "trap: a discard of 2^64 - 1 sectors" {
	absurd 0 18446744073709551615 4
}

@test "trap: a discard that wraps around" {
	absurd 18446744073709551615 2 4
	absurd 1 18446744073709551615 4
	absurd 0 36028797018963968 4
	absurd 36028797018963968 8 4
	# To 2^63 bytes: more than a file can have.
	absurd 18014398509481983 1 4
	absurd 0 18014398509481984 4
}

@test "trap: a disk larger than any file is refused, and nothing is changed" {
	mklog l <<-'END'
	write 0 8 fill=0x11
	discard 0 18014398509481983
	END
	told 2 .entries platter log info l
	bytes_of 8192 356 >target
	fails 2 'target' platter replay l target
	run cmp target <(bytes_of 8192 356)
	assert_success
	fails 2 'new' platter replay l new
	assert_equal "$(files)" 'l target'
}

@test "trap: damage in the middle is found, not trusted" {
	local at

	some
	cp l whole
	# Flags of the second entry, and bytes that have to be zero there.
	for at in 2576 2592 3071; do
		cp whole l
		put l "$at" f7
		told '["damaged",1,2560]' \
			'[.verdict, .entries, ."log-end"]' \
			platter log check l
	done
}

# ---- the end ----

@test "trap: a log cut off in an entry's data ends before it" {
	local cut

	for cut in 1 511 512; do
		mklog --truncate -"$cut" l <<-'END'
		write 0 8 fill=0x11
		write 8 1 fill=0x22
		END
		told '["damaged",1]' '[.verdict, .entries]' \
			platter log check l
		right l 1
	done
}

@test "trap: a log cut off in a header ends before it" {
	local cut

	for cut in 1 480 511; do
		mklog --truncate -"$cut" l <<-'END'
		write 0 8 fill=0x11
		flush
		END
		told '["damaged",1]' '[.verdict, .entries]' \
			platter log check l
		right l 1
	done
}

@test "trap: a tail that is no whole sector and not counted is told" {
	mklog l <<-'END'
	write 0 8 fill=0x11
	END
	printf 'x' >>l
	told '["damaged",1]' '[.verdict, .entries]' platter log check l
	right l 1
	# Less than 512 bytes, but for the log's sectors enough.
	some --sector-size 64
	truncate -s +64 l
	told '["sound",7]' '[.verdict, .entries]' platter log check l
}

@test "trap: a log whose size is no multiple of 512 is read to its last byte" {
	mklog --sector-size 32 l <<-'END'
	write 0 1 fill=0x11
	write 1 1 fill=0x22
	END
	assert_equal "$(stat -c %s l)" 160
	right l
}

@test "trap: zeros behind the last entry are not damage" {
	some
	truncate -s 1M l
	told '["sound",7]' '[.verdict, .entries]' platter log check l
	right l
}

@test "trap: behind the kernel's end mark lie entries of an older log" {
	mklog --nr-entries 2 l <<-'END'
	write 0 8 fill=0x11
	mark dm-log-writes-end
	write 0 8 fill=0x99
	flush
	END
	told '["sound",2,0]' '[.verdict, .entries, .recovered]' \
		platter log check l
	right l 2
	platter log index -q l
	right l 2
}

@test "trap: an end mark before the last counted entry is only a mark" {
	mklog l <<-'END'
	write 0 8 fill=0x11
	mark dm-log-writes-end
	write 0 8 fill=0x99
	END
	told '["sound",3]' '[.verdict, .entries]' platter log check l
	right l
}

@test "trap: an all-zero header inside the count is an empty write of QEMU's" {
	mklog l <<-'END'
	write 0 1 fill=0x11
	raw-header 0 0 0 0
	write 1 1 fill=0x22
	END
	told '["sound",3]' '[.verdict, .entries]' platter log check l
	right l
}

@test "trap: an all-zero header behind the count is the end" {
	mklog --nr-entries 1 l <<-'END'
	write 0 1 fill=0x11
	raw-header 0 0 0 0
	write 1 1 fill=0x22
	END
	told '["sound",1,0]' '[.verdict, .entries, .recovered]' \
		platter log check l
	right l 1
}

# ---- where the log is ----

teardown()
{
	off_loop
}

@test "trap: a log on a block device" {
	some
	naive-replay l want all
	json . platter log list l >want.list
	truncate -s 1M l
	on_loop l
	told '["sound",7]' '[.verdict, .entries]' platter log check "$loop"
	run json . platter log list "$loop"
	assert_output "$(cat want.list)"
	succeeds platter replay "$loop" got
	run cmp want got
	assert_success
	[ ! -e "$loop.idx" ]
}

@test "trap: a log on a block device with an old log behind it" {
	mklog --nr-entries 2 l <<-'END'
	write 0 8 fill=0x11
	mark dm-log-writes-end
	END
	mklog old <<-'END'
	write 0 1 fill=0x99
	write 5 7 fill=0x98
	END
	tail -c +513 old >>l
	truncate -s 64K l
	on_loop l
	told '["sound",2]' '[.verdict, .entries]' platter log check "$loop"
}

@test "trap: a log that does not end before its block device does" {
	mklog l <<-'END'
	write 0 125 fill=0x11
	flush
	END
	assert_equal "$(stat -c %s l)" 65536
	on_loop l
	told '["sound",2]' '[.verdict, .entries]' platter log check "$loop"
}
