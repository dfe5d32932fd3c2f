# SPDX-License-Identifier: LGPL-2.1-or-later
# Points: what --from and --to take, and the state of the disk they name.

load lib/logs

setup_file()
{
	unpack kernel-6.1-ext4 kernel-6.1-xfs qemu-7.2-stale-super-reused-file
}

setup()
{
	common_setup
	# 0 write, 1 mark, ... the numbers of the entries
	mklog l <<-'END'
	write 0 8
	mark a
	flush
	write 8 8
	emptyflushfua 8
	fua 8 1 flags=0x12
	mark fsync-3
	mark fsync
	write 16 8 flags=1
	fua 24 1
	mark a
	write 32 8
	END
}

# point TEXT [LOG]: the number that replay takes it for
point()
{
	json .to platter replay "${2:-l}" x --to "$1"
}

# none TEXT MESSAGE: there is no such point, and nothing is written
none()
{
	fails 2 "$2" platter replay l none --to "$1"
	[ ! -e none ]
}

@test "a number is the state after that many entries" {
	run point 3
	assert_output 3
}

@test "point 0 is the state before the first entry" {
	run point 0
	assert_output 0
	run cmp x <(head -c "$(stat -c %s x)" /dev/zero)
	assert_success
}

@test "end is the state after the last entry" {
	run point end
	assert_output 12
}

@test "end is what --to means when it is left out" {
	told 12 .to platter replay l x
}

@test "0 is what --from means when it is left out" {
	told 0 .from platter replay l x
}

@test "a number beyond the end is refused with the number there is" {
	none 13 '12 entries'
}

@test "a number without end is refused" {
	none 99999999999999999999999999 'is not a point'
	none 18446744073709551615 'is not a point'
	none 9223372036854775808 '12 entries'
	none 4294967296 '12 entries'
}

@test "flush:K lies behind the K-th entry with FLUSH" {
	run point flush:1
	assert_output 3
	run point flush:2
	assert_output 5
}

@test "a flush that carries data is a flush too" {
	run point flush:3
	assert_output 9
}

@test "flush:K beyond the last is refused with the number there is" {
	none flush:4 'has 3 flushes'
}

@test "fua:K lies behind the K-th entry with FUA and data" {
	run point fua:1
	assert_output 6
	run point fua:2
	assert_output 10
}

@test "fua:K beyond the last is refused with the number there is" {
	none fua:3 'has 2 FUA'
}

@test "K counts from 1" {
	none flush:0 'is not a point'
	none fua:0 'is not a point'
	none 'mark:a#0' 'no mark'
}

@test "fua:1 of a kernel log has the commit record in it" {
	local fua=$(json '[.[] | select((.flags | contains("FUA")) and
		.length > 0).entry][0]' platter log list \
		"$LOGS/kernel-6.1-ext4")

	run point fua:1 "$LOGS/kernel-6.1-ext4"
	assert_output $((fua + 1))
	# The entry before is the empty one, where others stop.
	told 0 ".[$fua - 1].length" platter log list "$LOGS/kernel-6.1-ext4"
}

@test "mark:NAME lies behind the mark" {
	run point mark:fsync
	assert_output 8
}

@test "a mark that is not there is refused" {
	none mark:nosuch 'no mark for the point mark:nosuch'
}

@test "the case of a mark's letters matters" {
	none mark:FSYNC 'no mark'
}

@test "a part of a mark's text is not its name" {
	none mark:fsy 'no mark'
	none mark:fsync- 'no mark'
}

@test "mark:fsync-3 is the mark of that name, not fsync less three" {
	run point mark:fsync-3
	assert_output 7
}

@test "mark:fsync-2 is the mark fsync less two, as no mark has that name" {
	run point mark:fsync-2
	assert_output 6
}

@test "mark:fsync-3-1 is the mark fsync-3 less one" {
	run point mark:fsync-3-1
	assert_output 6
}

@test "a mark set twice is refused without a number" {
	none mark:a '#1 to #2'
	none mark:a+1 '#1 to #2'
}

@test "mark:NAME#K is the K-th mark of that name" {
	run point 'mark:a#1'
	assert_output 2
	run point 'mark:a#2'
	assert_output 11
}

@test "mark:NAME#K beyond the last is refused with the number there is" {
	none 'mark:a#3' 'there are 2'
}

@test "#1 may be given for a mark set once" {
	run point 'mark:fsync#1'
	assert_output 8
}

@test "mark:NAME#K takes +k and -k" {
	run point 'mark:a#2-3'
	assert_output 8
	run point 'mark:a#1+3'
	assert_output 5
}

@test "a mark whose text ends in #1 is found by it" {
	mklog h <<-'END'
	mark x
	mark x#1
	write 0 1
	END
	run point 'mark:x#1' h
	assert_output 2
}

@test "a mark's text may hold any byte" {
	mklog h <<-'END'
	write 0 1
	mark a\x00b\xff\x0a \\ #+-
	write 1 1
	END
	run point 'mark:a\x00b\xff\x0a \\ #+-' h
	assert_output 2
	run point 'mark:a\x00b\xff\x0a \\ #+--1' h
	assert_output 1
}

@test "a mark's text may be given raw where it has no zero byte" {
	mklog h <<-'END'
	mark größer\x01\x09
	write 1 1
	END
	run point $'mark:größer\x01\t' h
	assert_output 1
}

@test "a text that is a mark as it stands is not unescaped" {
	mklog h <<-'END'
	mark A
	mark \\x41
	END
	run point 'mark:\x41' h
	assert_output 2
	run point 'mark:\\x41' h
	assert_output 2
	run point 'mark:A' h
	assert_output 1
}

@test "a mark without text is mark:" {
	none mark: 'no mark'
	mklog h <<-'END'
	write 0 1
	mark 
	END
	run point mark: h
	assert_output 2
}

@test "a mark of the longest text there is can be named" {
	local text=$(bytes_of 479 141)

	mklog h <<-END
	write 0 1
	mark $text
	mark ${text}a
	END
	run point "mark:$text" h
	assert_output 2
	run point "mark:${text}a" h
	assert_output 3
}

@test "every kind of point takes +k and -k" {
	run point 5-2
	assert_output 3
	run point 5+2
	assert_output 7
	run point end-1
	assert_output 11
	run point flush:2+1
	assert_output 6
	run point flush:2-1
	assert_output 4
	run point fua:2-10
	assert_output 0
	run point fua:2+2
	assert_output 12
	run point mark:fsync+4
	assert_output 12
}

@test "+k beyond the end is refused" {
	none end+1 '12 entries'
	none 12+1 '12 entries'
	none flush:3+4 '12 entries'
	none mark:fsync+5 '12 entries'
	none 0+9223372036854775807 '12 entries'
	none 12+9223372036854775807 '12 entries'
}

@test "-k before the start is refused" {
	none end-13 'no point end-13'
	none 0-1 'no point 0-1'
	none flush:1-4 'no point'
	none 'mark:a#1-3' 'no point'
	none 12-9223372036854775807 'no point'
}

@test "what is no point is refused with what is one" {
	local text

	for text in '' x 0x3 ' 3' '3 ' 3+ 3- +3 3+-1 3++1 end- end1 END \
		flush flush: flush:x flush:1x fua fua:-1 mark MARK:a 1.5; do
		none "$text" 'mark:NAME#K, flush:K, fua:K or end'
	done
}

@test "a bad --from is refused like a bad --to" {
	fails 2 'no mark' platter replay l none --from mark:nosuch
	fails 2 'is not a point' platter replay l none --from x
	[ ! -e none ]
}

@test "--from behind --to is refused" {
	fails 2 'behind' platter replay l none --from 5 --to mark:a#1
	[ ! -e none ]
}

@test "points are the same with and without an index" {
	local text without

	for text in 0 7 end end-3 flush:2 fua:1 fua:2-1 mark:fsync-3 \
		mark:fsync-2 'mark:a#2' 'mark:a#1+1'; do
		without=$(json 'length' platter log list l --to "$text")
		assert_equal "$(point "$text")" "$without"
		platter log index -q l
		assert_equal "$(json length platter log list l --to "$text")" \
			"$without"
		rm l.idx
	done
}

@test "points of the writelog node are those of replay" {
	local text

	for text in 0 7 end-3 flush:2 fua:1 mark:fsync-3 'mark:a#2'; do
		platter replay -q l x --to "$text"
		platter convert --image-opts \
			"driver=writelog,log=l,at=$text" y
		cmp x y
		rm x y
	done
}

@test "a point behind the provable end is refused" {
	fails 2 'has 1 entries' platter replay \
		"$LOGS/qemu-7.2-stale-super-reused-file" none --to 2
}
