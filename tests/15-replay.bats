# SPDX-License-Identifier: LGPL-2.1-or-later
# platter replay: its options, and what it prints.

load lib/common

setup()
{
	common_setup
	# Each write fills its sectors with another byte.
	mklog log <<-'END'
		write 0 8 fill=0x11
		flush
		mark one
		write 8 8 fill=0x22
		discard 0 4
		mark two
		fua 2 1 fill=0x33
		write 64 8 fill=0x44
	END
}

# sectors FILE: the first byte of each of the first 17 sectors of a file.
sectors()
{
	local i

	for i in {0..16}; do
		byte_at "$1" $((i * 512))
	done
}

@test "replay without points gives the disk at the end" {
	succeeds "$PLATTER" replay log disk
	assert_equal "$(sectors disk)" \
		'0000330011111111222222222222222200'
	assert_equal "$(stat -c %s disk)" $((72 * 512))
}

@test "--to stops at a mark" {
	"$PLATTER" replay log disk --to mark:one
	assert_equal "$(sectors disk | cut -c-18)" '111111111111111100'
}

@test "--to takes a number, a flush, an FUA write and the end, with shifts" {
	check()
	{
		rm -f disk
		"$PLATTER" replay -q log disk --to "$1" --output=json >out
		assert_equal "$(jq .to out)" "$2"
	}
	need jq
	check 4 4
	check flush:1 2
	check fua:1 7
	check end 8
	check end-1 7
	check mark:one+1 4
	check fua:1-2 5
}

@test "--from leaves out what went before" {
	"$PLATTER" replay log disk --from mark:one
	assert_equal "$(sectors disk)" \
		'0000330000000000222222222222222200'
}

@test "--from behind --to is an error, and nothing is made" {
	fails 2 '--from is point 6, behind --to at point 3' \
		"$PLATTER" replay log disk --from mark:two --to mark:one
	refute [ -e disk ]
}

@test "a point that does not exist is an error, and nothing is made" {
	local point
	for point in mark:three 9 flush:2 fua:2 flush:0 end+1 mark:one-9 x ''; do
		run --separate-stderr "$PLATTER" replay log disk --to "$point"
		assert_failure 2
		complained ''
		refute [ -e disk ]
	done
}

@test "a point that does not exist leaves a target as it is" {
	head -c 40000 /dev/urandom >disk
	cp disk before
	fails 2 'mark:three' \
		"$PLATTER" replay -f raw log disk --to mark:three
	cmp before disk
}

@test "a target that is there is changed in place" {
	head -c 40000 /dev/zero | tr '\0' z >disk
	"$PLATTER" replay log disk --from mark:one
	assert_equal "$(sectors disk)" \
		'000033007a7a7a7a22222222222222227a'
}

@test "--base starts from another image and makes the target anew" {
	head -c 40000 /dev/zero | tr '\0' z >base
	head -c 50000 /dev/urandom >disk
	"$PLATTER" replay log disk --from mark:one --base base \
		--base-format raw
	assert_equal "$(sectors disk)" \
		'000033007a7a7a7a22222222222222227a'
	run cmp base <(head -c 40000 /dev/zero | tr '\0' z)
	assert_success
}

@test "--range touches this part only" {
	head -c 40000 /dev/zero | tr '\0' z >disk
	"$PLATTER" replay log disk --range 1K+3584
	assert_equal "$(sectors disk)" \
		'7a7a3300111111112''27a7a7a7a7a7a7a7a'
}

@test "--no-discard leaves discards out" {
	"$PLATTER" replay log disk --no-discard
	assert_equal "$(sectors disk)" \
		'1111331111111111222222222222222200'
}

@test "--in-order gives the same disk and counts the flushes" {
	need jq
	"$PLATTER" replay -q log disk
	"$PLATTER" replay -q --in-order log ordered --output=json >out
	cmp disk ordered
	# The FLUSH, and one that makes the FUA write durable.
	run jq .flushes out
	assert_output 2
}

@test "--verify says so" {
	succeeds "$PLATTER" replay --verify log disk
	assert_line 'verified: yes'
	succeeds "$PLATTER" replay --verify --in-order log disk
	assert_line 'verified: yes'
}

@test "every cache mode and number of workers gives the same disk" {
	local mode
	"$PLATTER" replay -q log disk
	for mode in writeback writethrough unsafe; do
		"$PLATTER" replay -q -t "$mode" -m 3 log "$mode"
		cmp disk "$mode"
	done
}

@test "the summary for people names target, points and bytes" {
	succeeds "$PLATTER" replay log disk --to mark:two
	assert_line --index 0 'disk: made from entry 0 to 6'
	assert_line --regexp '^written: '
	assert_line --regexp '^zeroed: '
	succeeds "$PLATTER" replay log disk --to mark:two
	assert_line --index 0 'disk: changed from entry 0 to 6'
}

@test "-q prints nothing" {
	succeeds "$PLATTER" replay -q log disk
	assert_output ''
}

@test "JSON has the summary" {
	need jq
	succeeds "$PLATTER" replay log disk --output=json --to mark:two
	run jq -c '[.target, .created, .from, .to, .entries, ."target-size",
		.verified]' <<<"$output"
	assert_output '["disk",true,0,6,6,36864,false]'
}

@test "JSON stays alone on standard output with -p" {
	need jq
	run --separate-stderr "$PLATTER" replay -p log disk --output=json
	assert_success
	jq . <<<"$output"
	[[ $stderr == *'(100.00/100%)'* ]]
}

@test "a log that ends early is replayed up to there, exit 1" {
	truncate -s -1 log
	run --separate-stderr "$PLATTER" replay log disk
	assert_failure 1
	assert_line --index 0 'disk: made from entry 0 to 7'
	complained 'log: ends early, at log offset'
	assert_equal "$(byte_at disk 1024)" 33
}

@test "a point before an early end is exit 0" {
	truncate -s -1 log
	succeeds "$PLATTER" replay log disk --to mark:two
	succeeds "$PLATTER" replay log disk --to 7
}

@test "a file that is no log is exit 2, and nothing is made" {
	head -c 10000 /dev/urandom >noise
	run --separate-stderr "$PLATTER" replay noise disk
	assert_failure 2
	complained noise
	refute [ -e disk ]
}

@test "a target that looks like an image is refused without -f" {
	cp log target
	run --separate-stderr "$PLATTER" replay log target
	assert_failure 2
	complained target
	cmp log target
	succeeds "$PLATTER" replay -q -f raw log target
}
