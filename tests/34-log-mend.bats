# SPDX-License-Identifier: LGPL-2.1-or-later
# platter log check, repair and cut: what is wrong with a log, and new logs
# from old ones.

load lib/logs

setup_file()
{
	unpack_all
	mklog --generate 400 --pattern mixed --device-size 1M "$LOGS/mixed"
}

setup()
{
	common_setup
	ext4=$LOGS/kernel-6.1-ext4
	stale=$LOGS/qemu-7.2-stale-super-reused-file
	acked=$LOGS/qemu-7.2-acked-fua-not-counted
}

# small: a log of six entries in l, of which others are made
small()
{
	mklog "$@" l <<-'END'
	write 0 8 fill=0x11
	mark a
	write 4 8 fill=0x22
	discard 2 4
	flush
	fua 3 1 fill=0x33
	END
}

# entries LOG [FROM TO]: without their numbers and places in the log
entries()
{
	json '[.[] | del(.entry, ."log-offset", .recovered)]' \
		platter log list "$1" --from "${2:-0}" --to "${3:-end}"
}

# ---- check ----

@test "check finds the kernel's logs sound" {
	local name

	for name in ext4 ext4-4k ext4-discard nobar xfs; do
		succeeds platter log check "$LOGS/kernel-6.1-$name"
		told '["sound",[]]' '[.verdict, .problems]' \
			platter log check "$LOGS/kernel-6.1-$name"
	done
}

@test "check finds QEMU's whole logs sound" {
	local name

	for name in basic killed-no-super write-during-flush; do
		succeeds platter log check "$LOGS/qemu-7.2-$name"
	done
	succeeds platter log check "$LOGS/metadata-flag-1entry"
}

@test "check of a log that breaks off says where, and exits with 1" {
	run --separate-stderr platter log check --output=json "$stale"
	assert_failure 1
	assert_equal "$(jq -c '[.verdict, .entries, ."log-end"]' \
		<<<"$output")" '["damaged",1,1536]'
	run platter log check "$stale"
	assert_failure 1
	[[ ${lines[-1]} == *damaged*'offset 1536'* ]]
}

@test "check of a log with more entries than counted exits with 1" {
	run --separate-stderr platter log check --output=json "$acked"
	assert_failure 1
	assert_equal "$(jq -c '[.verdict, .entries, .recovered, ."log-end"]' \
		<<<"$output")" '["damaged",3,1,10240]'
}

@test "check of what is no log exits with 2 and one line" {
	seq 1000 >text
	fails 2 'text: not a write log' platter log check text
}

@test "check -q says it by its exit code only" {
	succeeds platter log check -q "$ext4"
	assert_output ''
	run platter log check -q "$stale"
	assert_failure 1
	assert_output ''
}

@test "check reads every entry, not only the first and the last" {
	small
	# The flags of the fourth entry.
	put l $((512 + 512 + 4096 + 512 + 512 + 4096 + 16)) 24
	told '["damaged",3,10240]' '[.verdict, .entries, ."log-end"]' \
		platter log check l
}

# ---- repair ----

@test "repair of a sound log is the same log" {
	local name

	for name in kernel-6.1-ext4 kernel-6.1-ext4-4k qemu-7.2-basic; do
		succeeds platter log repair "$LOGS/$name" out
		run cmp "$LOGS/$name" out
		assert_success
		rm out
	done
}

@test "repair keeps what is proven of a log that breaks off" {
	succeeds platter log repair --output=json "$stale" out
	assert_equal "$(jq -c '[.entries, .bytes, ."dropped-entries",
		."dropped-bytes"]' <<<"$output")" '[1,1536,10,144384]'
	succeeds platter log check out
	assert_equal "$(entries out)" "$(entries "$stale")"
}

@test "repair says what was dropped and why" {
	run platter log repair "$stale" out
	assert_success
	assert_output --partial 'offset 1536'
	assert_output --partial '144384'
}

@test "repair counts the entries that were not" {
	succeeds platter log repair "$acked" out
	told '["sound",3,0]' '[.verdict, .entries, .recovered]' \
		platter log check out
	assert_equal "$(entries out)" "$(entries "$acked")"
}

@test "repair gives back a super block" {
	small --no-super
	succeeds platter log repair l out
	run naive-replay out a all
	assert_success
	small
	naive-replay l b all
	run cmp a b
	assert_success
}

@test "repair of a torn log replays as the log up to the tear" {
	small --truncate -1
	succeeds platter log repair l out
	told '["sound",5]' '[.verdict, .entries]' platter log check out
	naive-replay l a 5
	naive-replay out b all
	run cmp a b
	assert_success
}

@test "repair does not change the log" {
	cp "$stale" l
	platter log repair l out
	run cmp "$stale" l
	assert_success
}

@test "repair refuses to write onto the log, by any name" {
	small
	ln l hard
	ln -s l soft
	cp l before
	for name in l ./l hard soft; do
		fails 2 'is the log itself' platter log repair --force l "$name"
	done
	run cmp before l
	assert_success
	assert_equal "$(files)" 'before hard l soft'
}

@test "repair refuses to replace a file unless told to" {
	small
	echo precious >out
	fails 2 'out: File exists' platter log repair l out
	assert_equal "$(cat out)" precious
	succeeds platter log repair --force l out
	run cmp l out
	assert_success
}

@test "repair of what is no log makes nothing" {
	seq 1000 >text
	fails 2 'not a write log' platter log repair text out
	assert_equal "$(files)" text
}

@test "repair of a log without any entry is a log without any" {
	mklog l </dev/null
	succeeds platter log repair l out
	run cmp l out
	assert_success
}

@test "repair keeps a sparse log sparse" {
	mklog l <<-'END'
	write 0 65536 hole
	write 0 8
	END
	platter log repair l out
	run cmp l out
	assert_success
	(($(stat -c '%b' out) < 1024))
}

@test "QEMU appends to a repaired log" {
	need qemu-io
	truncate -s 1M disk
	platter log repair "$stale" out
	append out
	told '[3,["","","FLUSH"]]' '[length, [.[].flags]]' \
		platter log list out
}

# append LOG: QEMU adds a write and a flush
append()
{
	qemu-io -c 'write -P 0x99 8k 4k' -c flush --image-opts \
		"driver=blklogwrites,file.driver=file,file.filename=disk,log.driver=file,log.filename=$1,log-append=on" \
		>/dev/null
}

# ---- cut ----

@test "cut keeps the entries between two points as they are" {
	succeeds platter log cut "$ext4" out --from mark:mkfs --to mark:fsync-2
	succeeds platter log check out
	assert_equal "$(entries out)" "$(entries "$ext4" 32 57)"
	told 25 .entries platter log info out
}

@test "cut takes the data of the entries along" {
	small
	platter log cut l out --from 2 --to 5
	run cmp <(tail -c +$((512 + 512 + 4096 + 512 + 1)) l | head -c 5632) \
		<(tail -c +513 out)
	assert_success
}

@test "cut of all is the whole log" {
	succeeds platter log cut "$ext4" out
	run cmp "$ext4" out
	assert_success
}

@test "cut of nothing is a log without entries" {
	succeeds platter log cut "$ext4" out --from 40 --to 40
	told '["sound",0]' '[.verdict, .entries]' platter log check out
	assert_equal "$(stat -c %s out)" 512
}

@test "cut keeps the log's sector size" {
	succeeds platter log cut "$LOGS/kernel-6.1-ext4-4k" out --to 12
	told '[4096,12]' '[."sector-size", .entries]' platter log info out
	assert_equal "$(entries out)" \
		"$(entries "$LOGS/kernel-6.1-ext4-4k" 0 12)"
}

@test "cut in two and replayed one after the other is the whole" {
	platter log cut "$ext4" a --to 90
	platter log cut "$ext4" b --from 90
	naive-replay a disk all
	naive-replay b disk all
	naive-replay "$ext4" whole all
	run cmp disk whole
	assert_success
}

# squashed LOG FROM TO [BASE]: base and cut, replayed, are the log at TO
squashed()
{
	rm -f out out.base
	platter log cut -q "$1" out --from "$2" --to "$3" --squash \
		${4:+--base "$4"}
	cp --sparse=always "${4:-/dev/null}" state
	naive-replay "$1" state "$2"
	run cmp state out.base
	# The image is as large as the disk; the oracle's as far as it went.
	if [ "$status" -ne 0 ]; then
		assert_equal "$(naive-replay --hash out.base)" \
			"$(naive-replay --hash state)"
	fi
	naive-replay out out.base all
	naive-replay --from "$2" "$1" state "$3"
	assert_equal "$(naive-replay --hash out.base)" \
		"$(naive-replay --hash state)"
}

@test "cut --squash: the base and the cut are the disk at --to" {
	squashed "$ext4" 0 10
	squashed "$ext4" 3 4
	squashed "$ext4" 46 105
	squashed "$ext4" 148 179
	squashed "$ext4" 179 179
}

@test "cut --squash works with sectors of 4096 bytes" {
	squashed "$LOGS/kernel-6.1-ext4-4k" 50 120
}

@test "cut --squash of a mixed log, at many points" {
	local from

	for from in 1 57 120 233 399; do
		squashed "$LOGS/mixed" "$from" 400
		squashed "$LOGS/mixed" "$from" $((from + 1))
	done
}

@test "cut --squash starts from the base it is given" {
	head -c 1M /dev/urandom >base
	squashed "$LOGS/mixed" 30 60 base
	head -c 3M /dev/urandom >base
	squashed "$LOGS/mixed" 30 60 base
	assert_equal "$(stat -c %s out.base)" 3145728
}

@test "the squashed base is as large as the disk" {
	platter log cut -q "$ext4" out --from 1 --to 2 --squash
	assert_equal "$(stat -c %s out.base)" 33554432
}

@test "cut --squash=FILE names the base" {
	succeeds platter log cut "$ext4" out --from 40 --squash=there
	assert_equal "$(files)" 'out there'
}

@test "cut refuses to replace a file unless told to" {
	small
	echo precious >out
	fails 2 'out: File exists' platter log cut l out
	echo precious >new.base
	fails 2 'new.base: File exists' platter log cut l new --squash
	assert_equal "$(cat out new.base)" $'precious\nprecious'
	[ ! -e new ]
	succeeds platter log cut l new --squash --force
}

@test "cut refuses to write onto the log or the base" {
	small
	cp l before
	head -c 8192 /dev/urandom >base
	cp base base.before
	fails 2 'is the log itself' platter log cut --force l l
	fails 2 'is the log itself' \
		platter log cut --force l out --from 2 --squash=l
	fails 2 base platter log cut --force l out --from 2 --squash=base \
		--base base
	fails 2 base platter log cut --force l base --from 2 --squash=img \
		--base base
	cmp l before
	cmp base base.before
	assert_equal "$(files)" 'base base.before before l'
}

@test "cut refuses to write log and base to one file" {
	small
	fails 2 out platter log cut l out --from 2 --squash=out
	fails 2 out platter log cut --force l out --from 2 --squash=./out
	assert_equal "$(files)" l
}

@test "cut at a point that is not there makes nothing" {
	small
	fails 2 'no mark' platter log cut l out --to mark:b
	fails 2 '6 entries' platter log cut l out --to 7
	fails 2 'behind' platter log cut l out --from 3 --to 2
	fails 2 'no mark' platter log cut l out --from mark:b --squash
	assert_equal "$(files)" l
}

@test "cut of a log that ends early says so" {
	ends_early platter log cut "$stale" out
	told '["sound",1]' '[.verdict, .entries]' platter log check out
}

@test "cut --to a point before the damage exits with 0" {
	succeeds platter log cut "$stale" out --to 1
}

@test "cut --base without --squash is a usage error" {
	small
	usage_error '--base needs --squash' platter log cut l out --base l
}

@test "QEMU appends to a log that was cut" {
	need qemu-io
	truncate -s 2M disk
	platter log cut -q "$LOGS/qemu-7.2-basic" out --from 1 --to 7
	append out
	assert_equal "$(entries out 0 6)" \
		"$(entries "$LOGS/qemu-7.2-basic" 1 7)"
	told '[8,"FLUSH"]' '[length, .[-1].flags]' platter log list out
	succeeds platter log check out
}

@test "QEMU reads a log that was cut to its end" {
	need qemu-io
	truncate -s 2M disk
	platter log cut -q "$LOGS/qemu-7.2-basic" out --to 5
	append out
	# What it appended went behind the last entry, not over one.
	told '[7,8192,4096]' '[length, (.[5] | .offset, .length)]' \
		platter log list out
}
