# SPDX-License-Identifier: LGPL-2.1-or-later
# Checkers that misbehave, and platter being killed: the right verdict, the run
# goes on, and nothing is left mounted, running or in memory.
# shellcheck disable=SC1083,SC2016,SC2154

load lib/crash
load lib/memory

setup()
{
	crash_setup
	need_fuse
	need jq
	# Seconds that nobody else sleeps.
	marker=1000.$$$BATS_TEST_NUMBER
}

teardown()
{
	record_teardown
}

# verdict_of STATE: in run.jsonl.
verdict_of()
{
	results run.jsonl | grep "^$1 "
}

# explored COMMAND: it is what the checker does in state 8-5; all other states
# pass, and afterwards nothing is left.
explored()
{
	run explore -j2 --timeout 20s --jsonl run.jsonl -- sh -c "
		[ \"\$PLATTER_STATE\" = 8-5 ] || exit 0
		$1" sh {}
	assert_equal "$(results run.jsonl | wc -l)" 18
	assert_equal "$(results run.jsonl | grep -cv ' pass$')" \
		"${not_passed:-1}"
	all_gone
}

# --- what is left behind ----------------------------------------------------

@test "processes that a checker leaves in the background are ended" {
	not_passed=0
	explored "sleep $marker & sleep $marker & : >started"
	[ -e started ]
	explored "(trap '' HUP TERM INT; sleep $marker) & exit 0"
}

@test "a checker that makes a daemon of itself leaves none" {
	need setsid
	not_passed=0
	explored "setsid setsid -f sh -c ': >started; exec sleep $marker' \
			>/dev/null 2>&1 </dev/null &
		until [ -e started ]; do sleep 0.01; done"
}

@test "a checker that forks more and more is ended with all of them" {
	need setsid
	not_passed=1
	explored "n=0
		while [ \$n -lt 60 ]; do
			setsid -f sleep $marker; n=\$((n + 1))
		done
		exit 7"
	assert_equal "$(verdict_of 8-5)" '8-5 fail'
}

@test "a process that keeps the state open does not reach the next one" {
	need setsid
	run explore -j1 -- sh -c '
		! grep -q scribble "$1" || exit 1
		setsid -f sh -c "while :; do printf scribble; sleep .01; done" \
			1<>"$1"' sh {}
	assert_success
	all_gone
}

# --- what does not end ------------------------------------------------------

@test "a checker that ignores SIGTERM is killed, and fails" {
	run explore -j2 --timeout 0.3s --jsonl run.jsonl -- sh -c "
		[ \"\$PLATTER_STATE\" = 8-5 ] || exit 0
		trap '' TERM
		while :; do sleep $marker; done"
	assert_failure 1
	assert_output --partial '8-5  fail: no end within 0.3 s'
	assert_output --partial '17 passed, 1 failed'
	all_gone
}

@test "a checker that prints without end fails when time is over" {
	run explore -j2 --timeout 0.5s --jsonl run.jsonl -- sh -c "
		[ \"\$PLATTER_STATE\" = 8-5 ] || exit 0
		exec yes"
	assert_failure 1
	assert_output --partial '17 passed, 1 failed'
	# In what way the end of lines is written is not this test's.
	jq -r 'select(.output) | .output' run.jsonl | tr -cd y >kept
	assert_equal "$(stat -c %s kept)" 32768
	all_gone
}

# --- what is too much -------------------------------------------------------

@test "a checker that prints a gigabyte costs no memory" {
	no_sanitizers
	explore_peak 48 "head -c 1G /dev/zero; exit 1"
	assert_equal "$(verdict_of 8-5)" '8-5 fail'
}

@test "a checker that writes far more than memory costs no memory" {
	no_sanitizers
	truncate -s 512M big.img
	peak-memory peak "$PLATTER" crash explore -j2 --memory 4M --strategy \
		prefixes --max-states 4 --base big.img --base-format raw \
		small.log --jsonl run.jsonl -- sh -c '
		[ "$PLATTER_STATE" = 2 ] || exit 0
		dd if=/dev/urandom of="$1" bs=1M count=300 conv=notrunc \
			status=none; : >written' sh {} || [ $? -eq 3 ]
	[ -e written ]
	assert [ "$(cat peak)" -lt $((64 << 10)) ]
	assert_equal "$(results run.jsonl | sort -k2 -u | cut -d' ' -f2)" pass
	all_gone
}

# explore_peak MIB COMMAND: no more memory for that in state 8-5.
explore_peak()
{
	peak-memory peak "$PLATTER" crash explore -j2 --base base.img \
		--base-format raw --strategy prefixes,2cp small.log \
		--jsonl run.jsonl -- sh -c "
		[ \"\$PLATTER_STATE\" = 8-5 ] || exit 0
		$2" sh {} || [ $? -eq 1 ]
	assert [ "$(cat peak)" -lt $(($1 << 10)) ]
	all_gone
}

@test "a checker that fills the disk gets to its end and no further" {
	run explore -j2 --jsonl run.jsonl -- sh -c '
		[ "$PLATTER_STATE" = 8-5 ] || exit 0
		! cat /dev/urandom >>"$1" || exit 2
		! dd if=/dev/zero of="$1" bs=512 seek=21 count=1 \
			conv=notrunc status=none || exit 3
		dd if=/dev/urandom of="$1" bs=512 count=21 conv=notrunc \
			status=none || exit 4' sh {}
	assert_success
	all_gone
}

@test "where there is no room for what is written, the checker is told" {
	need_own_mounts
	mkdir small
	run unshare -m sh -c '
		mount -t tmpfs -o size=2M small small || exit 99
		TMPDIR=$PWD/small "$@"' sh "$PLATTER" crash explore -j1 \
		--memory 1M --size 32M --strategy prefixes --max-states 4 \
		small.log -- sh -c '
		[ "$PLATTER_STATE" = 2 ] || exit 0
		dd if=/dev/urandom of="$1" bs=64k count=400 conv=notrunc,fsync \
			status=none' sh {}
	assert_failure 1
	assert_output --partial '3 passed, 1 failed'
}

# --- what changes -----------------------------------------------------------

@test "a checker that changes its mind is flaky" {
	run explore -j1 --confirm 3 --jsonl run.jsonl -- sh -c '
		[ "$PLATTER_STATE" = 8-5 ] || exit 0
		echo >>runs; [ $(wc -l <runs) -gt 2 ]'
	assert_failure 1
	assert_equal "$(verdict_of 8-5)" '8-5 flaky'
}

@test "a checker that is gone in the middle of a run ends it with one line" {
	cat >check <<-'END'
	#!/bin/sh
	[ "$PLATTER_ENTRY" -lt 5 ] || rm -f check
	END
	chmod +x check
	run --separate-stderr explore -j1 --jsonl run.jsonl -- ./check
	assert_failure 2
	complained './check: No such file or directory'
	assert [ "$(results run.jsonl | wc -l)" -gt 5 ]
	all_gone
}

@test "a checker that kills the process above it costs one verdict" {
	run explore -j2 --jsonl run.jsonl -- sh -c '
		[ "$PLATTER_STATE" = 8-5 ] || exit 0
		kill -KILL $PPID; exec sleep '"$marker"
	assert_failure 2
	assert_equal "$(verdict_of 8-5)" '8-5 error'
	assert_output --partial '17 passed'
	settled all_gone
}

@test "a checker that kills its whole group costs one verdict" {
	explored 'kill -KILL 0'
	assert_equal "$(verdict_of 8-5)" '8-5 fail'
}

@test "a checker that removes and renames the state's file is refused" {
	not_passed=0
	explored '! rm "$1" 2>/dev/null && ! mv "$1" other 2>/dev/null'
}

# --- platter itself ---------------------------------------------------------

# at_work: the checkers of a run that was started run.
at_work()
{
	[ "$(ls started-* 2>/dev/null | wc -l)" -ge 2 ]
}

# begin OPTION... -- CHECKER...: a run in the background, which $! is of.
begin()
{
	"$PLATTER" crash explore -j2 --strategy prefixes,2cp --base base.img \
		--base-format raw small.log --jsonl run.jsonl "$@" \
		2>/dev/null 3>&- &
}

@test "when platter is killed nothing stays mounted or goes on running" {
	need setsid
	begin -- sh -c ": >started-\$\$
		setsid -f sleep $marker
		exec sleep $marker"
	settled at_work
	kill -KILL $!
	wait $! || true
	settled all_gone
}

@test "when platter is killed the files of its own checkers go, too" {
	local list=$top_srcdir/tests/images/write-logs/kernel-6.1-ext4.md5

	need debugfs e2fsck
	log_file kernel-6.1-ext4 ext4.log
	"$PLATTER" crash explore -j2 --strategy prefixes --from mark:fsync-7 \
		ext4.log --acked "$list@fsync-%" -- sh -c ": >started-\$\$
		exec sleep $marker" 2>/dev/null 3>&- &
	settled at_work
	# All is in one folder, which is watched.
	assert_equal "$(ls "$TMPDIR" | wc -l)" 1
	[ -n "$(ls -d "$TMPDIR"/*/platter-crash-*)" ]
	[ -n "$(ls "$TMPDIR"/*/platter-marks-*)" ]
	kill -KILL $!
	wait $! || true
	settled all_gone
}

@test "a run that was killed can be gone on with" {
	begin -- sh -c '
		[ "$PLATTER_ENTRY" -lt 7 ] || {
			: >started-$$; exec sleep 1000; }'
	settled at_work
	kill -KILL $!
	wait $! || true
	run explore -j2 --timeout 0.1s --resume run.jsonl -- sh -c '
		[ "$PLATTER_ENTRY" -lt 7 ] || {
			: >started-$$; exec sleep 1000; }'
	assert_failure 1
	assert_equal "$(results run.jsonl | wc -l)" 18
	assert_equal "$(results run.jsonl | sort -u | wc -l)" 18
}

@test "Ctrl-C ends a run at once, keeps its results and says how to go on" {
	need python3
	run ctrl_c sh -c 'exec "$0" crash explore -j2 --jsonl run.jsonl --base \
		base.img --base-format raw small.log -- "$@" 2>errors' \
		"$PLATTER" sh -c '
		[ "$PLATTER_ENTRY" -lt 7 ] || {
			: >started; exec sleep '"$marker; }"
	assert_output 130
	grep -- '--resume run.jsonl' errors
	all_gone
	assert_equal "$(jq -r 'select(.type == "end") | .end' run.jsonl)" \
		stopped
	assert_equal "$(jq -r 'select(.type == "end") | .done' run.jsonl)" \
		"$(results run.jsonl | wc -l)"
}

@test "a state whose name no variable holds is checked, read back and made" {
	seq 0 89999 | sed 's/.*/write & 1/' |
		mklog huge.log --sector-size 64
	run --separate-stderr "$PLATTER" crash explore huge.log --from end \
		--to end --strategy random=1 --jsonl run.jsonl -- \
		sh -c '[ -z "${PLATTER_STATE+x}" ] && cp "$1" checked.raw' sh {}
	assert_success
	jq -r 'select(.type == "state").state' run.jsonl >name
	assert [ "$(wc -c <name)" -gt 131072 ]
	"$PLATTER" crash merge run.jsonl >/dev/null
	"$PLATTER" crash export huge.log @name made.raw
	cmp checked.raw made.raw
}
