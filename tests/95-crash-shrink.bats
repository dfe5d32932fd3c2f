# SPDX-License-Identifier: LGPL-2.1-or-later
# crash shrink and crash bisect: from a failure to its cause.
# shellcheck disable=SC1083,SC2016,SC2030,SC2031,SC2154,SC2317

load lib/record
load lib/logs

# A log without barriers, of a file system whose files are acknowledged and
# then lost.
setup_file()
{
	unpack kernel-6.1-nobar
	cat >"$BATS_FILE_TMPDIR/acked" <<-'END'
		#!/bin/sh
		# Is what mark fsync-2 acknowledges there?
		case $PLATTER_MARK in
		fsync-1) exit 0 ;;
		fsync-*) ;;
		*) exit 0 ;;
		esac
		e2fsck -p -E journal_only "$1" >/dev/null 2>&1
		sed -n '2{s/\r//;p;}' "$2" | while read -r sum file; do
			file=${file#/mnt}
			now=$(debugfs -R "cat $file" "$1" 2>/dev/null | md5sum)
			if [ "${now%% *}" != "$sum" ]; then
				echo "lost: $file"
				exit 1
			fi
		done
	END
	chmod +x "$BATS_FILE_TMPDIR/acked"
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

need_ext4()
{
	need e2fsck debugfs md5sum
	log=$LOGS/kernel-6.1-nobar
	checker=("$BATS_FILE_TMPDIR/acked" {}
		"$top_srcdir/tests/images/write-logs/kernel-6.1-nobar.md5")
}

# small_log: run.log, of a rename without a fsync; see tests/tools/planted.c.
# Its base is base.raw.
small_log()
{
	need_fuse
	truncate -s 1M base.raw disk
	"$PLATTER" log record -q -f raw --log run.log disk -- \
		planted rename write {}
	on_base=(--base base.raw --base-format raw)
}

# shrink STATE [OPTION...]: of the small log.
shrink()
{
	local state=$1

	shift
	"$PLATTER" crash shrink -q "${on_base[@]}" "$@" run.log "$state" -- \
		planted rename check {}
}

# --- a file that is lost ---------------------------------------------------

# The first state that fails is the one at the first mark that is not d1/f's.
@test "shrink names the acknowledged file that a log without barriers loses" {
	need_ext4
	"$PLATTER" crash shrink -q --output json "$log" mark:fsync-2 -- \
		"${checker[@]}" >found
	assert_equal "$(jq -r .output found)" 'lost: /d2/f\x0a'
	[[ $(jq -r .cause found) == 'entry '*' missing once mark fsync-2 has '* ]]
	run jq -r '.where[].what' found
	assert_output '/d2/f (inode 15)'
}

# In the end d1/f is moved and d3/f deleted: no state with all the writes up to
# the flush passes.
@test "shrink finds the cause where later writes take back what was promised" {
	need_ext4
	tr -d '\r' <"$top_srcdir/tests/images/write-logs/kernel-6.1-nobar.md5" |
		sed 's,/mnt,,' >promises.md5
	run "$PLATTER" crash shrink -q --acked promises.md5@fsync-% "$log" \
		mark:fsync-1
	assert_success
	assert_line --index 0 --partial 'missing once mark fsync-1 has been'
	assert_line --partial '(/d1/f, acknowledged by mark fsync-1, is missing)'
}

# What is given back is a sector of it.
@test "of a state that was shrunk nothing can be given back" {
	need_ext4
	"$PLATTER" crash shrink -q --output json "$log" mark:fsync-2 -- \
		"${checker[@]}" >found
	assert_equal "$(jq '[.differs[] | .count] | add' found)" 1
	for state in failing passing; do
		"$PLATTER" crash export -q "$log" \
			"$(jq -r ".$state" found)" $state.raw
	done
	checker[1]=failing.raw
	export PLATTER_MARK=fsync-8
	run -1 "${checker[@]}"
	assert_output 'lost: /d2/f'
	checker[1]=passing.raw
	"${checker[@]}"
}

# --- how it is done ---------------------------------------------------------

@test "shrink says what is missing, what is present, and how to have it" {
	small_log
	run --separate-stderr shrink 5-0..3
	assert_success
	assert_output "entry 0 (sectors 144-151) missing while 4 (sector 0) is\
 present; sector 0 of it is enough
fails:  5-0[0] (exit status 1)
  | passwd has the name of version 1, but not its content
passes: 5
tried:  ${lines[4]//[!0-9]/} states
to have it as an image: platter crash export --base base.raw --base-format raw\
 run.log '5-0[0]' state.raw"
	assert_equal "$stderr" ''
}

@test "shrink tells of the mark before what is missing" {
	small_log
	run shrink 12-7
	assert_line --index 0 --partial \
		'entry 7 (sectors 152-159, after mark passwd 1) missing while 11'
}

@test "shrink finds and tries the same for any -j" {
	small_log
	for jobs in 1 4; do
		"$PLATTER" crash shrink "${on_base[@]}" -p -j $jobs \
			--output json run.log 19-14..17 -- \
			planted rename check {} >found.$jobs 2>tried.$jobs
	done
	diff found.1 found.4
	diff tried.1 tried.4
}

@test "shrink with -p prints each state that is tried, and its verdict" {
	small_log
	"$PLATTER" crash shrink "${on_base[@]}" -p run.log 5-0 -- \
		planted rename check {} >/dev/null 2>tried
	assert_equal "$(head -n 2 tried)" '5-0: fail, exit status 1
5: pass'
	assert_equal "$(sort tried | uniq -d)" ''
}

@test "shrink checks no content twice" {
	small_log
	for jobs in 1 3; do
		rm -f seen
		"$PLATTER" crash shrink -q "${on_base[@]}" -j $jobs run.log \
			19-14..17 -- sh -c 'sha256sum <"$1" >>seen
				exec planted rename check "$1"' sh {}
		[ "$(wc -l <seen)" -gt 10 ]
		assert_equal "$(sort seen | uniq -d)" ''
	done
}

@test "shrink --model epoch gives back whole writes only" {
	small_log
	run shrink 5-0..3 --model epoch
	assert_line --index 0 \
		'entry 0 (sectors 144-151) missing while 4 (sector 0) is present'
	assert_line 'fails:  5-0 (exit status 1)'
}

@test "shrink --unit gives back no less" {
	small_log
	run shrink 5-0..3 --unit 2k
	assert_line 'fails:  5-0[0:4] (exit status 1)'
}

# Without the second sector it cannot be told.
@test "shrink takes what is skipped for no failure" {
	small_log
	run "$PLATTER" crash shrink -q "${on_base[@]}" run.log 5-0 -- \
		sh -c 'a=$(od -An -tx1 -j 73728 -N 1 "$1")
			b=$(od -An -tx1 -j 74240 -N 1 "$1")
			case $a$b in
			" 00 00") exit 1 ;;
			" 26 27") ;;
			*) exit 125 ;;
			esac' sh {}
	assert_success
	assert_line 'fails:  1-0[0:2] (exit status 1)'
}

@test "a prefix that fails is shrunk to the write it lacks" {
	small_log
	run "$PLATTER" crash shrink -q "${on_base[@]}" run.log 2 -- \
		sh -c 'a=$(od -An -tx1 -j 552960 -N 1 "$1")
			b=$(od -An -tx1 -j 610304 -N 1 "$1")
			[ $a = 00 ] || [ $b != 00 ]' sh {}
	assert_line --index 0 'entry 3 (sectors 1192-1199) missing while 1 (sectors 1080-1087) is present; sector 0 of it is enough'
}

# --- what cannot be done ----------------------------------------------------

@test "a state that does not fail cannot be shrunk" {
	small_log
	fails 2 'state 5 does not fail: pass' shrink 5
}

@test "where nothing passes nothing can be shrunk" {
	small_log
	fails 2 'no state near 5-0 passes' "$PLATTER" crash shrink \
		"${on_base[@]}" run.log 5-0 -- false
}

@test "shrink refuses a name that is none" {
	small_log
	fails 2 'entry 0 is durable' shrink 7-0
	fails 2 'seven' shrink seven
}

@test "shrink needs a checker, a log and a state" {
	small_log
	fails 2 'nothing says how to check' "$PLATTER" crash shrink \
		"${on_base[@]}" run.log 5-0
	usage_error 'LOG and STATE' "$PLATTER" crash shrink run.log 5-0 6 -- \
		true
	usage_error 'it needs --recover' "$PLATTER" crash shrink run.log \
		5-0@3 -- true
	usage_error 'is for STATE@STATE' "$PLATTER" crash shrink run.log 5-0 \
		--recover true -- true
}

@test "shrink ends with its checker at a Ctrl-C" {
	local pid code=0

	small_log
	"$PLATTER" crash shrink -q "${on_base[@]}" run.log 5-0 --timeout 0 -- \
		sh -c 'echo $$ >there; exec sleep 1000' &
	pid=$!
	until [ -s there ]; do
		kill -0 $pid
		sleep 0.02
	done
	kill -TERM $pid
	wait $pid || code=$?
	assert_equal "$code" 130
	run kill -0 "$(cat there)"
	assert_failure
	nothing_left
}

# --- bisecting --------------------------------------------------------------

# bisect OPTION...: the small log; the fourth write is what it is about.
bisect()
{
	"$PLATTER" crash bisect -q "${on_base[@]}" "$@" run.log -- \
		sh -c 'echo "$PLATTER_STATE" >>asked
			test $(od -An -tx1 -j 610304 -N 1 "$1") = 00' sh {}
}

@test "bisect finds the first point that fails" {
	small_log
	run --separate-stderr bisect
	assert_success
	assert_output "4 is the first point that fails: entry 3 is the last in it
passes: 3
tried:  ${lines[2]//[!0-9]/} states
to have it as an image: platter crash export --base base.raw --base-format raw\
 run.log 4 state.raw"
	[ "$(wc -l <asked)" -le 8 ]
}

@test "bisect finds the mark that promises too much" {
	need_ext4
	"$PLATTER" crash bisect -q --output json "$log" --from mark:mkfs \
		--to mark:fsync-8 -- "${checker[@]}" >found
	run jq -c '[.fails, .passes, .certain, .mark]' found
	assert_output '[34,33,true,"fsync-2"]'
}

@test "bisect takes the checker as --run LINE" {
	small_log
	run json .fails "$PLATTER" crash bisect -q "${on_base[@]}" run.log \
		--run 'test $(od -An -tx1 -j 610304 -N 1 {}) = 00'
	assert_output 4
	usage_error 'one too many' "$PLATTER" crash bisect run.log --run a -- b
}

@test "bisect needs a point that passes and one that fails" {
	small_log
	fails 2 'the state at point 3 should fail' bisect --to 3
	fails 2 'the state at point 4 should pass' bisect --from 4
}

@test "bisect steps around what is skipped" {
	small_log
	run -1 --separate-stderr "$PLATTER" crash bisect -q "${on_base[@]}" \
		run.log -- sh -c 'case $PLATTER_STATE in [3-5]) exit 125 ;; esac
			test $(od -An -tx1 -j 610304 -N 1 "$1") = 00' sh {}
	assert_line --index 0 "one of the points 3 to 7 is the first that\
 fails; those before 7 cannot be told"
	assert_line 'passes: 2'
}

@test "bisect --resume asks nothing that is known" {
	small_log
	bisect --resume known --output json >first
	sort asked >all
	rm asked
	bisect --resume known --output json >again
	[ ! -e asked ]
	assert_equal "$(jq -c 'del(.tried)' again)" \
		"$(jq -c 'del(.tried)' first)"
	assert_equal "$(jq .tried again)" 0
	# The end of a write that did not come about.
	head -c -40 known >torn
	bisect --resume torn --output json >again
	assert_equal "$(wc -l <asked)" 1
	diff <(jq -c 'del(.seconds)' known) <(jq -c 'del(.seconds)' torn)
}

# The checker, the same words each time, waits once it was asked thrice, until
# there is a file "go".
@test "bisect goes on after a Ctrl-C" {
	local pid code=0

	small_log
	checker=(sh -c 'echo "$PLATTER_STATE" >>asked
		until [ "$(wc -l <asked)" -lt 4 ] || [ -e go ]; do
			sleep 0.02
		done
		test $(od -An -tx1 -j 610304 -N 1 "$1") = 00' sh {})
	"$PLATTER" crash bisect -q "${on_base[@]}" --resume known --timeout 0 \
		run.log -- "${checker[@]}" &
	pid=$!
	until [ -s asked ] && [ "$(wc -l <asked)" -gt 3 ]; do
		kill -0 $pid
		sleep 0.02
	done
	kill -TERM $pid
	wait $pid || code=$?
	assert_equal "$code" 130
	nothing_left
	touch go
	head -n 3 asked >asked.before
	rm asked
	run "$PLATTER" crash bisect -q "${on_base[@]}" --resume known \
		--timeout 0 run.log -- "${checker[@]}"
	assert_line --index 0 --partial '4 is the first point that fails'
	assert_equal "$(sort asked asked.before | uniq -d)" ''
}

@test "bisect refuses the results of another log" {
	small_log
	bisect --resume known
	rm run.log
	truncate -s 0 disk
	truncate -s 1M disk
	"$PLATTER" log record -q -f raw --log run.log disk -- \
		planted torn write {}
	fails 2 'known' bisect --resume known
}
