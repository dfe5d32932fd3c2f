# SPDX-License-Identifier: LGPL-2.1-or-later
# Crash states: their names, what is in them, and what they read as.

load lib/logs

setup_file()
{
	unpack kernel-6.1-ext4
}

setup()
{
	common_setup
	log=$LOGS/kernel-6.1-ext4
}

# log_of ENTRY...: the log `run.log`, of log sectors of 512 bytes; an entry is
# SECTOR:SECTORS:FLAGS:BYTE, or "mark:TEXT".
log_of()
{
	need python3
	python3 - "$@" >run.log <<-'END'
	import struct, sys
	out = sys.stdout.buffer
	def put(b):
	    out.write(b.ljust((len(b) + 511) // 512 * 512, b"\0"))
	put(struct.pack("<QQQI", 0x6a736677736872, 1, len(sys.argv) - 1, 512))
	for a in sys.argv[1:]:
	    if a.startswith("mark:"):
	        text = a[5:].encode()
	        put(struct.pack("<QQQQ", 0, 0, 8, len(text)) + text)
	        continue
	    sector, nr, flags, byte = a.split(":")
	    put(struct.pack("<QQQQ", int(sector), int(nr), int(flags), 0))
	    if not int(flags) & 4:
	        out.write(byte.encode() * 512 * int(nr))
	END
}

# The bytes of a state, one for each sector; a dot is a zero.
reads()
{
	rm -f state.raw
	platter crash export --size 4k run.log "$1" state.raw 2>/dev/null || return
	for i in 0 1 2 3 4 5 6 7; do
		dd if=state.raw bs=512 skip=$i count=1 status=none |
			head -c 1 | tr '\0' .
	done
}

# What the whole name of a state is.
name_of()
{
	json .state platter crash show run.log "$1"
}

hash_of()
{
	platter hash --image-opts "driver=writelog,log=$log,$1" |
		cut -d' ' -f1
}

# ---- what a state is ----

@test "a point is a state in which all of the writes before it are present" {
	log_of 0:2:0:a 1:2:0:b 0:0:1: 4:1:0:c
	assert_equal "$(reads 2)" abb.....
	assert_equal "$(reads 4)" abb.c...
}

@test "a write that is left out shows what was there before" {
	log_of 0:4:0:a 0:0:1: 0:2:0:b 1:2:0:c
	assert_equal "$(reads 4-2)" acca....
	assert_equal "$(reads 4-3)" bbaa....
	assert_equal "$(reads 4-2,3)" aaaa....
}

@test "a state with nothing listed has what is durable" {
	log_of 0:4:0:a 0:0:1: 0:2:0:b 1:2:0:c 3:1:2:d
	assert_equal "$(reads 5+)" aaad....
	assert_equal "$(reads 5+2)" bbad....
}

@test "some sectors of a write can be missing" {
	log_of 0:4:0:a 0:0:1: 0:6:0:b
	assert_equal "$(reads '3-2[1:3]')" baabbb..
	assert_equal "$(reads '3+2[5]')" aaaa.b..
}

@test "a FUA write is durable and orders nothing else" {
	log_of 0:1:0:a 1:1:2:b 2:1:0:c
	assert_equal "$(reads 3+)" .b......
	fails 2 'entry 1 is durable: it is FUA' \
		platter crash show run.log 3-1
}

@test "a FUA write hides older versions, kept or not" {
	log_of 0:2:0:a 0:1:2:b
	assert_equal "$(reads 2)" ba......
	assert_equal "$(reads 2-0)" b.......
}

@test "the data of a flush is not flushed by it" {
	log_of 0:1:0:a 1:1:1:b 0:0:1:
	assert_equal "$(reads 2+)" a.......
	assert_equal "$(reads 3+)" ab......
}

@test "half of each sector of a shorn write is new" {
	log_of 0:1:0:a 0:0:1: 0:1:0:b
	rm -f state.raw
	platter crash export --size 4k run.log 3-2s state.raw 2>/dev/null
	assert_equal "$(head -c 512 state.raw)" \
		"$(printf 'b%.0s' {1..256})$(printf 'a%.0s' {1..256})"
}

@test "garbage is not what was written, and the same every time" {
	log_of 0:1:0:a 0:0:1: 0:1:0:b
	platter crash export --size 4k run.log 3-2g one.raw 2>/dev/null
	platter crash export --size 4k run.log 3+2g two.raw 2>/dev/null
	cmp one.raw two.raw
	run sha256sum one.raw
	assert_output --partial \
		a5a07db37a5fd0b512fdcd3ed7565e6a46b57f0ddbd16550f1b372216ccf5ce2
}

@test "a pending discard leaves zeros, what was there, or a pattern" {
	log_of 0:3:0:a 0:0:1: 1:1:4:
	assert_equal "$(reads 3)" a.a.....
	assert_equal "$(reads 3-2)" aaa.....
	run reads 3-2p
	assert_output --regexp '^a[^a.]a'
}

@test "a durable discard leaves zeros unless the name says otherwise" {
	log_of 0:3:0:a 0:0:1: 1:1:4: 0:0:1:
	assert_equal "$(reads 4)" a.a.....
	assert_equal "$(reads 4~old)" aaa.....
	run reads 4~pattern
	assert_output --regexp '^a[^a.]a'
}

@test "a write from behind the point can be there early" {
	log_of 0:1:0:a 1:1:2:b 2:1:0:c 0:0:1: 3:1:0:d
	assert_equal "$(reads 2+^2)" .bc.....
	fails 2 'the flush of entry 3 lies between' \
		platter crash show run.log 2+^4
}

@test "zeros are taken for the disk before the log, or the base" {
	log_of 1:1:0:b
	printf 'x%.0s' {1..4096} >base.raw
	platter crash export --base base.raw --base-format raw run.log 1 o.raw
	assert_equal "$(head -c 1 o.raw)" x
	assert_equal "$(tail -c +513 o.raw | head -c 1)" b
}

# ---- names ----

@test "a state has one name, the shorter one" {
	log_of 0:1:0:a 1:1:0:b 2:1:0:c 3:1:0:d 4:1:0:e
	assert_equal "$(name_of 5+0,1,2,3)" 5-4
	assert_equal "$(name_of 5-1..4)" 5+0
	assert_equal "$(name_of 5+0,1,2,3,4)" 5
	assert_equal "$(name_of 5-0..4)" 5+
	assert_equal "$(name_of '5-2[0:1],0')" 5-0,2
	assert_equal "$(name_of 5-0,1,2,3,4)" 5+
	assert_equal "$(name_of 2+0)" 2-1
}

@test "a run in a name does not mind what is durable in between" {
	log_of 0:1:0:a mark:m 1:1:2:b 2:1:0:c 3:1:0:d 4:1:0:e
	assert_equal "$(name_of 6-0..4)" 6+5
	assert_equal "$(name_of 6+0..5)" 6
	fails 2 'entry 1 is a mark and writes nothing' \
		platter crash show run.log 6-1..3
}

@test "a name of a point is a state" {
	assert_equal "$(json .state platter crash show "$log" mark:fsync-3)" \
		"$(platter log marks "$log" --output=json |
			jq -r '.[] | select(.mark == "fsync-3").entry + 1')"
}

@test "a name that is none is refused with what to do about it" {
	log_of 0:1:0:a 0:0:1: 1:2:0:b
	bad()
	{
		fails 2 "$2" platter crash show run.log "$1"
	}
	bad 3-0 'the flush of entry 1 covers it; leave it out'
	bad 3-1 'an empty flush and writes nothing'
	bad 3-7 'there is no entry 7: the log has 3'
	bad 9 'there is no point 9: the log has 3 entries'
	bad '3-2[2]' 'it has 2, counted from 0'
	bad '3-2[1:1]' 'has no sector in it'
	bad 3- 'the end where an entry should be'
	bad 3-2,2 'listed twice'
	bad 2-2 'lies behind the point 2: put it behind ^'
	bad 3-2p 'is no discard: use g'
	bad 3-2..1 'goes backwards'
	bad 3~new 'old or pattern'
	bad '3-2@4' 'takes the command that recovers'
	bad 3-2x "'x' where"
	bad nosuch 'not a point'
}

# ---- as images ----

@test "state= of the driver writelog is a state, at= the same as a prefix" {
	assert_equal "$(hash_of state=100)" "$(hash_of at=100)"
	[ "$(hash_of state=100-95)" != "$(hash_of state=100)" ]
	platter crash export "$log" 100-95,97 o.raw
	assert_equal "$(hash_of state=100-95,,97)" \
		"$(platter hash o.raw | cut -d' ' -f1)"
}

@test "all that can be done to an image can be done to a state" {
	platter convert --image-opts \
		"driver=writelog,log=$log,state=100+95" -O qcow2 o.qcow2
	platter compare o.qcow2 "json:{\"driver\":\"writelog\",
		\"log\":\"$log\",\"state\":\"100+95\"}"
	run platter info --image-opts "driver=writelog,log=$log,state=100+95"
	assert_output --partial 'state: 100+95'
}

@test "state= does not go with what it says itself" {
	fails 1 'leave out at' platter info --image-opts \
		"driver=writelog,log=$log,state=100,at=5"
	fails 1 'use logged or strict' platter info --image-opts \
		"driver=writelog,log=$log,state=100,flush-cover=x"
}

@test "an export appears when it is complete and replaces nothing unasked" {
	echo precious >o.raw
	fails 2 '--force replaces it' platter crash export "$log" 100 o.raw
	assert_equal "$(cat o.raw)" precious
	platter crash export --force "$log" 100 o.raw
	assert_equal "$(platter hash o.raw | cut -d' ' -f1)" \
		"$(hash_of at=100)"
	assert_equal "$(echo o.raw*)" o.raw
}

@test "an export can be of any format" {
	platter crash export "$log" 100-95 o.qcow2 -O qcow2 \
		-o cluster_size=4k
	assert_equal "$(platter hash o.qcow2 | cut -d' ' -f1)" \
		"$(hash_of state=100-95)"
	run platter info o.qcow2
	assert_output --partial 'cluster_size: 4096'
}

@test "a raw export is sparse" {
	platter crash export "$log" 100-95 o.raw
	(($(stat -c '%b' o.raw) * 512 < $(stat -c '%s' o.raw) / 2))
}

# ---- show ----

@test "show says what is durable, pending and missing" {
	log_of 0:1:0:a 0:0:1: mark:one 1:1:0:b 2:1:2:c 3:2:0:d
	run platter crash show run.log '6-3,5[1]'
	assert_success
	assert_line 'state: 6+5[0]'
	assert_line 'last mark: one (entry 2)'
	assert_line 'durable: everything before entry 3, and 1 of the writes behind it'
	assert_line --regexp '^pending: 2 writes, 1536 bytes: 1 kept, 2 dropped$'
	assert_line --regexp '^ +3 +dropped +512 +512 +all +- +one$'
	assert_line --regexp '^ +4 +durable +1024 +512 +all +FUA +one$'
	assert_line --regexp '^ +5 +dropped +2048 +512 +\[1:2\] of 2 +- +one$'
}

@test "show says the same to programs" {
	log_of 0:1:0:a 0:0:1: mark:one 1:1:0:b 2:1:2:c 3:2:0:d
	run json '[.state, .point, .mark, .["durable-before"], .pending,
		.writes.kept, .writes.dropped, .writes.durable]' \
		platter crash show run.log '6-3,5[1]'
	assert_output '["6+5[0]",6,"one",3,2,1,2,1]'
	run json '.parts[] | [.entry, .fate, .offset, .length, .first,
		.sectors, .of]' platter crash show run.log '6-3,5[1]'
	assert_line '[3,"dropped",512,512,0,1,1]'
	assert_line '[5,"kept",1536,512,0,1,2]'
	assert_line '[5,"dropped",2048,512,1,1,2]'
}

@test "show of a point without pending writes says so" {
	log_of 0:1:0:a 0:0:1:
	run platter crash show run.log 2
	assert_line 'durable: everything before the point'
	assert_line 'pending: nothing'
}

@test "a log that ends early is an answer for a point before, and 1 at its end" {
	log_of 0:1:0:a 0:0:1: 1:1:0:b
	truncate -s -100 run.log
	platter crash show run.log 2
	ends_early platter crash show run.log end
	assert_line 'state: 2'
}

@test "a flush covers what was issued before it, when asked to be strict" {
	log_of 0:1:0:a 0:0:1:
	# Issued with numbers 9 and 5: the write came behind the flush.
	for at in 512:9 1536:5; do
		printf 'pltrext1' | dd of=run.log bs=1 conv=notrunc status=none \
			seek=$((${at%:*} + 40))
		printf "\\x${at#*:}" | dd of=run.log bs=1 conv=notrunc \
			status=none seek=$((${at%:*} + 48))
	done
	fails 2 'covers it' platter crash show run.log 2-0
	platter crash show --flush-cover strict run.log 2-0
	run platter hash --image-opts \
		driver=writelog,log=run.log,state=2-0,flush-cover=strict
	assert_success
}

# --- names that no argument can hold ------------------------------------------

@test "@FILE in place of a state is the name in that file" {
	log_of 0:1:0:A 1:1:0:B 2:1:0:C
	echo 3-1 >name
	platter crash export run.log 3-1 a.raw
	platter crash export run.log @name b.raw
	cmp a.raw b.raw
	run platter crash show run.log @name
	assert_line 'state: 3-1'
	fails 2 'nowhere: No such file' platter crash show run.log @nowhere
	: >name
	fails 2 'state : the end where a point should be' \
		platter crash show run.log @name
}
