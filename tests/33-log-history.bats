# SPDX-License-Identifier: LGPL-2.1-or-later
# platter log blame, who wrote a part of the disk, and platter log stat, how
# much was written where.

load lib/logs

setup_file()
{
	unpack kernel-6.1-ext4 qemu-7.2-stale-super-reused-file
	mklog --generate 400 --pattern mixed --device-size 1M \
		--mark-every 40 "$LOGS/mixed"
}

setup()
{
	common_setup
	# What is at 4096: entries 1, 3, 4 and 7; at 8192: 3 and 6.
	mklog l <<-'END'
	write 0 8 fill=0x11
	write 8 8 fill=0x22
	mark one
	write 8 16 fill=0x33
	discard 8 8
	mark two\x00
	write 16 8 fill=0x44
	fua 9 2 fill=0x55
	END
}

# blamed RANGE [ARGUMENT...]: the entries, newest first, as 3,2,1
blamed()
{
	json '[.[].entry] | join(",")' platter log blame "$@"
}

# ---- blame ----

@test "blame lists what wrote a range, newest first" {
	run blamed l 4096+4096
	assert_output 7,4,3,1
	run blamed l 8192+4096
	assert_output 6,3
}

@test "blame without a length is about one log sector" {
	run blamed l 4096
	assert_output 4,3,1
	run blamed l 4608
	assert_output 7,4,3,1
	mklog --sector-size 4096 big <<-'END'
	write 0 1
	write 1 1
	END
	run blamed big 4095
	assert_output 1,0
}

@test "blame takes what overlaps the range by a byte" {
	run blamed l 4095+1
	assert_output 0
	run blamed l 4095+2
	assert_output 4,3,1,0
	run blamed l 5631+1
	assert_output 7,4,3,1
	run blamed l 5632+1
	assert_output 4,3,1
}

@test "blame of what nothing wrote is an empty list" {
	told '[]' . platter log blame l 1M+1M
}

@test "blame --to knows nothing of later entries" {
	run blamed l 4096+4096 --to 4
	assert_output 3,1
	run blamed l 4096+4096 --to mark:one
	assert_output 1
	run blamed l 4096+4096 --to 0
	assert_output ''
}

@test "blame tells the part of the range that each entry wrote" {
	told '[[4608,1024],[8192,3996],[4096,4096],[4096,8092],[4096,4096],[4000,96]]' \
		'[.[] | [.offset, .length]]' platter log blame l 4000+8188
	told '[[4608,1024],[8192,4096],[4096,4096],[4096,8192],[4096,4096],[0,4096]]' \
		'[.[] | [.offset, .length]]' platter log blame l 0+64K
}

@test "blame tells the place of each entry's header in the log" {
	run json '[.[] | [.entry, ."log-offset"]] | sort' \
		platter log blame l 0+64K
	assert_output "$(json '[.[] | select(.length > 0) |
		[.entry, ."log-offset"]]' platter log list l)"
}

@test "blame hashes what each entry wrote" {
	told "$(bytes_of 4096 042 | sha256_of)" '.[-1].sha256' \
		platter log blame l 4096+4096
	told "$(bytes_of 1024 125 | sha256_of)" '.[0].sha256' \
		platter log blame l 4096+4096
}

@test "blame hashes the part of an entry that is in the range" {
	told "$(bytes_of 100 042 | sha256_of)" '.[-1].sha256' \
		platter log blame l 5000+100
}

@test "the hash is of the bytes in the log, wherever the range begins" {
	local start

	# No two sectors are alike.
	mklog part <<-'END'
	write 100 128
	END
	for start in 0 1 511 512 4096 65000; do
		told "$(tail -c +$((1024 + start + 1)) part | head -c 500 |
			sha256_of)" '.[0].sha256' \
			platter log blame part $((51200 + start))+500
	done
}

@test "a hash of more than one buffer is that of the whole" {
	mklog big <<-'END'
	write 0 4099
	END
	told "$(tail -c +1025 big | sha256_of)" '.[0].sha256' \
		platter log blame big 0+8M
}

@test "blame counts in the log's own sectors" {
	mklog --sector-size 4096 part <<-'END'
	write 3 4
	END
	told "$(tail -c +$((8192 + 5000 + 1)) part | head -c 6000 |
		sha256_of)" '.[0].sha256' \
		platter log blame part $((12288 + 5000))+6000
}

@test "blame has no hash for a discard" {
	told '["DISCARD",false]' '.[1] | [.flags, has("sha256")]' \
		platter log blame l 4096+4096
}

@test "blame tells the last mark before each entry" {
	told '["two\\x00",5,"one",2,"one",2]' \
		'[.[0:3][] | .mark, ."mark-entry"]' \
		platter log blame l 4096+4096
}

@test "blame tells no mark for what was written before the first" {
	told false '.[-1] | has("mark")' platter log blame l 4096+4096
}

@test "blame is the reverse of what list says touches the range" {
	local at log=$LOGS/mixed

	for at in 0+512 0+1M 511+2 100K+64K 1000+1 777777+9999 1048575+1 \
		512K 300000+1; do
		run blamed "$log" "$at"
		assert_output "$(json '[.[].entry] | reverse | join(",")' \
			platter log list "$log" --touching "$at")"
	done
	[ -n "$(blamed "$log" 0+1M)" ]
}

@test "blame is the same with an index" {
	cp "$LOGS/mixed" .
	platter log blame mixed 100K+64K >without
	platter log index -q mixed
	platter log blame mixed 100K+64K >with
	run cmp without with
	assert_success
}

@test "the newest in blame is what the replayed disk holds" {
	local log=$LOGS/kernel-6.1-ext4

	platter replay -q "$log" disk
	told "$(tail -c +45057 disk | head -c 4096 | sha256_of)" \
		'.[0].sha256' platter log blame "$log" 45056+4096
	told 11 '[.[] | select(.flags != "DISCARD")] | length' \
		platter log blame "$log" 45056+4096
}

@test "blame for people has a head and a line for each entry" {
	succeeds platter log blame l 4096+4096
	assert_equal "${#lines[@]}" 5
	[[ ${lines[0]} == *ENTRY*OFFSET*LENGTH*SHA-256*FLAGS*MARK* ]]
	assert_equal "$(echo ${lines[3]})" "3 4096 4096 $(bytes_of 4096 063 |
		sha256_of | head -c 16) - one"
}

@test "blame of a log that ends early is an answer and exit 1" {
	ends_early platter log blame --output=json \
		"$LOGS/qemu-7.2-stale-super-reused-file" 0
	assert_equal "$(jq length <<<"$output")" 1
}

@test "blame of an empty range is refused" {
	fails 2 'empty' platter log blame l 4096+0
}

@test "blame of a range beyond all offsets is refused" {
	fails 2 'limit' platter log blame l 1+9223372036854775807
}

@test "blame without a range is a usage error" {
	usage_error 'missing' platter log blame l
}

# ---- stat ----

@test "stat adds up what was written, to how many places, and discarded" {
	told '[21504,12288,4096]' '[.written, .distinct, .discarded]' \
		platter log stat l
}

@test "stat sorts writes by their size in powers of two" {
	told '[[1024,2047,1,1024],[4096,8191,3,12288],[8192,16383,1,8192]]' \
		'[."write-sizes"[] | [.first, .last, .writes, .bytes]]' \
		platter log stat l
}

@test "stat tells how often each part of the disk was written" {
	# 0+4096 once; 4096+4096 and 8192+4096 twice, 4608+1024 of it thrice.
	told '[[1,1,4096],[2,3,8192]]' \
		'[.rewrites[] | [.first, .last, .bytes]]' platter log stat l
}

@test "stat lists the most written ranges, hottest first" {
	told '[[4608,1024,3],[4096,512,2],[5632,6656,2],[0,4096,1]]' \
		'[.hot[] | [.offset, .length, .writes]]' platter log stat l
}

@test "stat --hot sets how many ranges are listed" {
	# Of two that are as hot the lower.
	told '[4608,4096]' '[.hot[].offset]' platter log stat --hot 2 l
	told 0 '.hot | length' platter log stat --hot 0 l
	usage_error 'between 0 and 32' platter log stat --hot 33 l
}

@test "stat counts the epochs by their writes" {
	mklog e <<-'END'
	write 0 1
	flush
	write 0 1
	write 0 1
	write 0 1
	flush
	discard 0 1
	write 0 1
	flush
	END
	told '[[1,1,1],[2,3,2]]' \
		'[."epoch-sizes"[] | [.first, .last, .epochs]]' \
		platter log stat e
}

@test "stat --from and --to take a part of the log" {
	told '[3,5,8192,8192,4096]' \
		'[.from, .to, .written, .distinct, .discarded]' \
		platter log stat l --from mark:one --to 'mark:two\x00-1'
}

@test "stat of no entries is all zeros" {
	told '[0,0,0,[],[],[],[]]' '[.written, .distinct, .discarded,
		."write-sizes", .rewrites, ."epoch-sizes", .hot]' \
		platter log stat l --to 0
}

@test "stat agrees with info and list on a kernel log" {
	local log=$LOGS/kernel-6.1-ext4

	told '[5038080,33558528]' '[.written, .discarded]' \
		platter log stat "$log"
	told 141 '[."write-sizes"[].writes] | add' platter log stat "$log"
	told 20 '[."epoch-sizes"[].epochs] | add' platter log stat "$log"
	# Eleven writes of the ext4 journal's first block.
	told '[45056,4096,11]' '.hot[0] | [.offset, .length, .writes]' \
		platter log stat "$log"
}

@test "stat's tables add up to its totals" {
	told '[true,true,true]' '[
		([."write-sizes"[].bytes] | add) == .written,
		([.rewrites[].bytes] | add) == .distinct,
		.distinct <= .written and .distinct > 0]' \
		platter log stat "$LOGS/mixed"
}

@test "stat's hot ranges hold what blame counts there" {
	local offset length writes
	local -i seen=0

	while read -r offset length writes; do
		((writes > 1))
		seen+=1
		told "$writes" '[.[] | select(.flags | contains("DISCARD") |
			not)] | length' platter log blame "$LOGS/mixed" \
			"$offset+$length"
	done < <(json '.hot[0:5][] | "\(.offset) \(.length) \(.writes)"' \
		platter log stat "$LOGS/mixed")
	((seen == 5))
}

@test "stat for people has a table for each" {
	succeeds platter log stat l
	assert_line 'entries: 0 to 8'
	assert_line --regexp '^Write size'
	assert_line --regexp '^Times written'
	assert_line --regexp '^Writes between two flushes'
	assert_line --regexp '^Most written ranges'
}

@test "stat of a log that ends early is an answer and exit 1" {
	ends_early platter log stat --output=json \
		"$LOGS/qemu-7.2-stale-super-reused-file"
	assert_equal "$(jq .written <<<"$output")" 512
}
