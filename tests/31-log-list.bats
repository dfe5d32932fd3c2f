# SPDX-License-Identifier: LGPL-2.1-or-later
# platter log list and platter log marks.

load lib/logs

setup_file()
{
	unpack kernel-6.1-ext4 kernel-6.1-ext4-4k \
		qemu-7.2-acked-fua-not-counted \
		qemu-7.2-stale-super-reused-file
}

setup()
{
	common_setup
	ext4=$LOGS/kernel-6.1-ext4
}

# numbers ARGUMENT...: of the entries listed, as 1,2,3
numbers()
{
	json '[.[].entry] | join(",")' platter log list "$@"
}

@test "list prints a head and one line for each entry" {
	succeeds platter log list "$ext4"
	assert_equal "${#lines[@]}" 180
	[[ ${lines[0]} == *ENTRY*OFFSET*LENGTH*FLAGS* ]]
}

@test "a line has the entry, its places, its length and its flags" {
	run platter log list "$ext4"
	# entry, log offset, offset, length, flags
	assert_equal "$(echo ${lines[1]})" '0 512 0 - FLUSH'
	assert_equal "$(echo ${lines[4]})" '3 2048 0 33554432 DISCARD'
	assert_equal "$(echo ${lines[5]})" '4 2560 33488896 65536 -'
}

@test "the line of a mark ends in its text" {
	run platter log list "$ext4" --from 31 --to 32
	[[ ${lines[1]} == *' MARK  mkfs' ]]
}

@test "list in JSON has the entry as it is stored, and in bytes" {
	told '{"entry":4,"log-offset":2560,"offset":33488896,"length":65536,"sector":65408,"sectors":128,"flags":""}' \
		'.[4]' platter log list "$ext4"
}

@test "list counts in the log's own sectors" {
	told '[8176,16,33488896,65536]' \
		'.[4] | [.sector, .sectors, .offset, .length]' \
		platter log list "$LOGS/kernel-6.1-ext4-4k"
}

@test "list in JSON is one list of all entries in their order" {
	run json '. == sort_by(.entry) and length == 179 and
		[.[].entry] == [range(179)]' platter log list "$ext4"
	assert_output true
}

@test "the headers that list names are where it says" {
	local at

	for at in $(json '.[]."log-offset"' \
		platter log list "$ext4" --from 30 --to 34); do
		run platter log list "$ext4" --output=json
		assert_equal "$(od -An -tu8 -j "$at" -N 8 "$ext4" | tr -d ' ')" \
			"$(jq ".[] | select(.\"log-offset\" == $at).sector" \
				<<<"$output")"
	done
}

@test "list --from and --to are the first entry and the one behind the last" {
	assert_equal "$(numbers "$ext4" --from 3 --to 6)" 3,4,5
}

@test "list of an empty range is empty" {
	told '[]' . platter log list "$ext4" --from 7 --to 7
}

@test "list takes marks for its range" {
	run numbers "$ext4" --from mark:mkfs --to mark:fsync-1
	assert_output "$(seq -s, 32 45)"
}

@test "list --from behind --to is refused" {
	fails 2 'behind' platter log list "$ext4" --from 5 --to 4
}

@test "list --to a point that is not there is refused" {
	fails 2 '180' platter log list "$ext4" --to 180
	fails 2 'mark:nosuch' platter log list "$ext4" --to mark:nosuch
}

@test "list --flags takes entries with one of the flags" {
	mklog l <<-'END'
	write 0 1
	fua 0 1
	write 0 1 flags=0x10
	flush
	emptyflushfua 0
	mark m
	discard 0 1
	END
	assert_equal "$(numbers l --flags FUA)" 1,4
	assert_equal "$(numbers l --flags FUA,DISCARD)" 1,4,6
	assert_equal "$(numbers l --flags metadata)" 2,4
	assert_equal "$(numbers l --flags MARK)" 5
}

@test "list --not-flags leaves out entries with one of the flags" {
	mklog l <<-'END'
	write 0 1
	fua 0 1
	emptyflushfua 0
	mark m
	discard 0 1
	END
	assert_equal "$(numbers l --not-flags FUA,MARK)" 0,4
	assert_equal "$(numbers l --flags FUA --not-flags FLUSH)" 1
}

@test "a flag that is none is a usage error that names the flags" {
	usage_error 'FLUSH, FUA, DISCARD, MARK, METADATA' \
		platter log list "$ext4" --flags SYNC
}

@test "list --touching takes what overlaps the range by a byte" {
	mklog l <<-'END'
	write 0 8
	write 8 8
	write 16 8
	discard 0 100
	flush
	END
	assert_equal "$(numbers l --touching 4096+4096)" 1,3
	assert_equal "$(numbers l --touching 4095+1)" 0,3
	assert_equal "$(numbers l --touching 4095+2)" 0,1,3
	assert_equal "$(numbers l --touching 8191+4098)" 1,2,3
	assert_equal "$(numbers l --touching 51200+1)" ''
}

@test "list --touching leaves out what has a place but no length" {
	mklog l <<-'END'
	emptyflushfua 8
	fua 8 1
	END
	assert_equal "$(numbers l --touching 4096+512)" 1
}

@test "list --touching without a length is one log sector" {
	mklog --sector-size 4096 l <<-'END'
	write 0 1
	write 1 1
	write 2 1
	END
	assert_equal "$(numbers l --touching 4096)" 1
	assert_equal "$(numbers l --touching 4095)" 0,1
}

@test "list --touching reaches to the end of the offsets" {
	mklog l <<-'END'
	write 0 1
	END
	assert_equal "$(numbers l --touching 511+9223372036854775296)" 0
}

@test "list --touching works with the other filters" {
	assert_equal "$(numbers "$ext4" --touching 45056+512 --flags FUA \
		--to mark:fsync-2)" \
		"$(json '[.[] | select(.offset <= 45056 and
			.offset + .length > 45056 and .entry < 57 and
			(.flags | contains("FUA"))).entry] | join(",")' \
			platter log list "$ext4")"
	[ -n "$(numbers "$ext4" --touching 45056+512 --flags FUA)" ]
}

@test "list marks what lies beyond the count as recovered" {
	told '[false,false,true]' '[.[].recovered == true]' \
		platter log list "$LOGS/qemu-7.2-acked-fua-not-counted"
	run platter log list "$LOGS/qemu-7.2-acked-fua-not-counted"
	[[ ${lines[3]} == *'(recovered)' ]]
	[[ ${lines[2]} != *'(recovered)' ]]
}

@test "list of a log that ends early prints what there is and exits with 1" {
	ends_early platter log list --output=json \
		"$LOGS/qemu-7.2-stale-super-reused-file"
	assert_equal "$(jq length <<<"$output")" 1
}

@test "list --to a point before the damage exits with 0" {
	succeeds platter log list --to 1 \
		"$LOGS/qemu-7.2-stale-super-reused-file"
}

@test "list ends quietly when nobody reads on" {
	mklog --generate 100000 --hole-data l
	platter log list l 2>err | head -n 1 >/dev/null
	assert_equal "$(cat err)" ''
}

@test "list in XML has a row for each entry" {
	need xmllint
	platter log list --output=xml "$ext4" >x.xml
	run xmllint --xpath 'count(//entry)' x.xml
	assert_output 179
}

# ---- marks ----

@test "marks lists the marks of a kernel log with their points" {
	told '[[31,32,"mkfs"],[45,46,"fsync-1"],[56,57,"fsync-2"],[68,69,"fsync-3"],[80,81,"fsync-4"],[92,93,"fsync-5"],[104,105,"fsync-6"],[116,117,"fsync-7"],[128,129,"fsync-8"],[147,148,"last"],[178,179,"dm-log-writes-end"]]' \
		'[.[] | [.entry, .point, .mark]]' platter log marks "$ext4"
}

@test "marks for people is a head and a line for each, with the point's name" {
	run platter log marks "$ext4"
	assert_equal "${#lines[@]}" 12
	assert_equal "$(echo ${lines[4]})" '68 69 mark:fsync-3'
}

@test "a mark that is set more than once is numbered" {
	mklog l <<-'END'
	mark a
	mark b
	mark a
	END
	told '[["a",1],["b",null],["a",2]]' '[.[] | [.mark, .occurrence]]' \
		platter log marks l
	run platter log marks l
	[[ ${lines[1]} == *mark:a#1 && ${lines[2]} == *mark:b &&
		${lines[3]} == *mark:a#2 ]]
}

@test "marks escapes the bytes that are no text" {
	mklog l <<-'END'
	mark a\x00b\xff\x0a\\ \x1b[1m
	END
	told 'a\x00b\xff\x0a\\ \x1b[1m' '.[0].mark' platter log marks l
	run platter log marks l
	assert_equal "${#lines[@]}" 2
	[[ ${lines[1]} == *'mark:a\x00b\xff\x0a\\ \x1b[1m' ]]
}

@test "marks leaves UTF-8 as it is" {
	mklog l <<-'END'
	mark größer
	END
	told 'größer' '.[0].mark' platter log marks l
}

@test "marks of a log without any is an empty list" {
	mklog l <<-'END'
	write 0 1
	END
	told '[]' . platter log marks l
}

@test "every mark that marks prints can be given back as a point" {
	local row

	mklog l <<-'END'
	mark fsync
	mark fsync-3
	mark fsync+1
	mark b#1
	mark a
	mark a
	mark x\x00y
	mark \\x41
	mark A
	mark 
	mark sp ace 
	mark end
	mark 7
	mark mark:a
	END
	json '.[] | [.point, "mark:" + .mark +
		if .occurrence then "#\(.occurrence)" else "" end]' \
		platter log marks l >rows
	assert_equal "$(wc -l <rows)" 14
	while read -r row; do
		told "$(jq '.[0]' <<<"$row")" .to \
			platter replay l x --to "$(jq -r '.[1]' <<<"$row")"
	done <rows
}
