# SPDX-License-Identifier: LGPL-2.1-or-later
# Following a log that grows: what is printed and when, how it ends, and the
# replica that replay keeps. The recorder is image-io over blklogwrites, told
# by a pipe what to do, so that it can be held anywhere; or `log record`.

load lib/logs
load lib/record

setup()
{
	record_setup
}

teardown()
{
	local pid

	for pid in ${recorder-} ${follower-}; do
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	release
	record_teardown
}

# eventually COMMAND...: a minute is enough for any machine.
eventually()
{
	local i

	for ((i = 0; i < 600; i++)); do
		if "$@" 2>/dev/null; then
			return 0
		fi
		sleep 0.1
	done
	fail "this did not come to be: $*"
}

has_lines()
{
	[ "$(wc -l <"$1")" -ge "$2" ]
}

# recorder_begins [OPTION...]: records what is done to `disk` in run.log.
recorder_begins()
{
	local opts=driver=blklogwrites,file.driver=raw,file.file.filename=disk

	opts+=,log.driver=raw,log.file.filename=run.log
	[ -e disk ] || truncate -s 1M disk
	[ -e run.log ] || : >run.log
	mkfifo orders
	image-io -d unmap --image-opts "$opts$*" <orders >recorded 2>&1 3>&- &
	recorder=$!
	exec {to_recorder}>orders
	rm orders
	# It holds the log by then.
	eventually test -s run.log
}

# recording {}|{nbd}: `log record` has qemu-io do to it what tell says.
recording()
{
	need qemu-io
	[ -e disk ] || truncate -s 1M disk
	mkfifo orders
	# shellcheck disable=SC2016 # for the command
	"$PLATTER" log record -q -f raw --log run.log disk -- sh -c '
		while read -r order; do
			case $order in
			mark*) platter log $order ;;
			*) qemu-io -f raw -t writeback -c "$order" "$0" ;;
			esac || exit
		done' "$1" <orders >recorded 2>&1 3>&- &
	recorder=$!
	exec {to_recorder}>orders
	rm orders
	eventually test -s run.log
}

tell()
{
	printf '%s\n' "$@" >&"$to_recorder"
}

recorder_ends()
{
	exec {to_recorder}>&-
	to_recorder=
	wait "$recorder"
	recorder=
}

recorder_is_killed()
{
	kill -9 "$recorder"
	wait "$recorder" || true
	recorder=
	exec {to_recorder}>&-
	to_recorder=
}

# in_background COMMAND...: as $follower. It must not keep the pipes open by
# which recorder and holder learn that they are to end.
in_background()
{
	(
		if [ -n "${to_recorder-}" ]; then
			exec {to_recorder}>&-
		fi
		if [ -n "${holder_input-}" ]; then
			exec {holder_input}>&-
		fi
		exec "$@"
	) >followed 2>complaint 3>&- &
	follower=$!
}

# follow OPTION...: prints run.log into `followed`.
follow()
{
	in_background platter log follow "$@" run.log
}

# follower_ends CODE
follower_ends()
{
	local code=0

	wait "$follower" || code=$?
	follower=
	assert_equal "$code" "$1"
}

# is_waiting: the follower sleeps in poll(2), so it has looked once.
is_waiting()
{
	grep -q poll "/proc/$follower/wchan"
}

# rows: run.log as lines of JSON. Which entries the super block counts changes.
rows()
{
	platter log list --output=json run.log | jq -c '.[] | del(.recovered)'
}

# script: a log of words of mklog, one a line.
script()
{
	printf '%s\n' "$@" | mklog run.log
}

# --- what is printed ------------------------------------------------------

@test "entries are printed as they are appended" {
	need jq
	recorder_begins
	tell 'write -P 1 0 4k'
	follow --jsonl
	eventually has_lines followed 1
	tell 'flush'
	eventually has_lines followed 2
	tell 'write -P 2 8k 4k' 'discard 0 4k'
	eventually has_lines followed 4
	recorder_ends
	follower_ends 0
	assert_equal "$(cat complaint)" ''
	assert_equal "$(jq -c "del(.recovered)" followed)" "$(rows)"
}

@test "people get the lines of log list" {
	recorder_begins
	follow
	tell 'write 0 4k' flush
	eventually has_lines followed 3
	recorder_ends
	follower_ends 0
	assert_equal "$(sed 's/  (recovered)$//' followed)" \
		"$(platter log list run.log)"
}

@test "what log record records is printed while it runs" {
	need jq
	need_fuse
	recording {}
	follow --jsonl
	tell 'write -P 1 0 4k'
	eventually grep -q '"length": 4096,' followed
	tell 'mark there'
	eventually grep -q '"mark": "there"' followed
	tell 'write -P 2 8k 2k'
	eventually grep -q '"length": 2048,' followed
	run ! grep dm-log-writes-end followed
	recorder_ends
	follower_ends 0
	assert_equal "$(cat complaint)" ''
	assert_equal "$(jq -c "del(.recovered)" followed)" "$(rows)"
	assert_equal "$(tail -n 1 followed | jq -r .mark)" dm-log-writes-end
	nothing_left
}

@test "a log nobody writes is printed to its end" {
	need jq
	script 'write 0 8' flush 'mark a'
	assert_equal "$(platter log follow --jsonl run.log |
		jq -c "del(.recovered)")" "$(rows)"
}

@test "the fields of the recorder's extension are printed" {
	need jq
	recorder_begins
	tell 'write 0 4k' flush
	recorder_ends
	run jq -s 'all(.issue > 0 and ."time-ns" > 0)' \
		<(platter log follow --jsonl run.log)
	assert_output true
}

@test "--from end prints only what comes" {
	need jq
	recorder_begins
	tell 'write 0 4k' flush
	eventually logged 2
	follow --jsonl --from end
	# What is there when it begins is left out: until it has begun, more.
	while ! has_lines followed 1; do
		tell 'write 8k 4k'
		sleep 0.1
	done
	recorder_ends
	follower_ends 0
	run head -n 1 followed
	assert [ "$(jq .entry <<<"$output")" -ge 2 ]
}

@test "--from and --until may be points still to come" {
	need jq
	: >run.log
	hold hold-image w run.log
	follow --jsonl --from mark:a --until mark:b
	printf '%s\n' 'write 0 8' 'mark a' 'write 8 8' 'mark b' 'write 0 8' |
		mklog whole
	cat whole >>run.log
	follower_ends 0
	assert_equal "$(jq -c .entry followed | xargs)" '2 3'
}

@test "a point that counts back from one to come is an error" {
	script flush
	fails 2 'only when it has passed' platter log follow run.log \
		--until flush:2-1
}

@test "a log that ends before --until is an error" {
	script flush 'mark a'
	run --separate-stderr platter log follow run.log --until mark:b
	assert_failure 2
	complained 'ended at entry 2 before the point mark:b'
}

# --- what is certain ------------------------------------------------------

@test "what QEMU has not counted waits until nobody writes" {
	need jq
	printf '%s\n' 'write 0 8' flush 'write 8 8' |
		mklog --nr-entries 2 run.log
	hold hold-image w run.log
	follow --jsonl
	eventually has_lines followed 2
	# There is no more before the recorder ends.
	sleep 0.5
	run cat complaint
	assert_output ''
	assert_equal "$(wc -l <followed)" 2
	release
	follower_ends 0
	assert_equal "$(jq -c "del(.recovered)" followed)" "$(rows)"
}

@test "an entry whose data is not there in full is not printed" {
	printf '%s\n' 'write 0 8' flush 'write 8 8' >words
	mklog whole <words
	head -c -100 whole >run.log
	run --separate-stderr platter log follow run.log
	assert_failure 1
	assert_equal "${#lines[@]}" 3
	complained 'ends early'
}

@test "an entry is printed when the rest of it has come" {
	printf '%s\n' 'write 0 8' flush 'write 8 8' | mklog whole
	head -c -100 whole >run.log
	hold hold-image w run.log
	follow
	eventually has_lines followed 3
	tail -c 100 whole >>run.log
	eventually has_lines followed 4
	release
	follower_ends 0
}

@test "QEMU is followed from flush to flush" {
	need qemu-io jq
	truncate -s 1M disk
	: >run.log
	mkfifo orders
	qemu-io --image-opts driver=blklogwrites,file.driver=file,file.filename=disk,log.driver=file,log.filename=run.log \
		<orders >recorded 2>&1 3>&- &
	recorder=$!
	exec {to_recorder}>orders
	# It takes one line at a time, and forgets those behind it.
	tell 'write -P 1 0 4k'
	eventually grep -q wrote recorded
	follow --jsonl
	tell flush
	eventually has_lines followed 2
	tell 'write -P 2 4k 4k'
	eventually wrote_twice
	tell flush
	eventually has_lines followed 4
	recorder_ends
	follower_ends 0
	assert_equal "$(jq -c "del(.recovered)" followed)" "$(rows)"
}

# --- the end --------------------------------------------------------------

@test "a recorder that is killed is an end" {
	need jq
	recorder_begins
	tell 'write -P 1 0 4k' flush 'write -P 2 4k 4k'
	follow --jsonl
	eventually has_lines followed 3
	recorder_is_killed
	follower_ends 0
	assert_equal "$(jq -c "del(.recovered)" followed)" "$(rows)"
}

@test "the end mark is an end though somebody holds the log" {
	: >run.log
	hold hold-image w run.log
	follow
	eventually is_waiting
	printf '%s\n' 'write 0 8' 'mark dm-log-writes-end' | mklog whole
	cat whole >>run.log
	follower_ends 0
	has_lines followed 3
}

@test "a log with an end mark is followed on when it is appended to" {
	need jq
	printf '%s\n' 'write 0 8' 'mark dm-log-writes-end' | mklog run.log
	hold hold-image w run.log
	follow --jsonl
	eventually has_lines followed 2
	printf '%s\n' 'write 0 8' 'mark dm-log-writes-end' 'write 8 8' flush |
		mklog longer
	dd if=longer of=run.log bs=512 skip=11 seek=11 conv=notrunc status=none
	dd if=longer of=run.log bs=512 count=1 conv=notrunc status=none
	eventually has_lines followed 4
	release
	follower_ends 0
}

@test "a log that shrinks is an error" {
	script 'write 0 8' flush
	hold hold-image w run.log
	follow
	eventually has_lines followed 3
	truncate -s 600 run.log
	follower_ends 2
	run cat complaint
	assert_output --partial 'run.log: it shrank to 600 bytes'
}

@test "another recording in the same file is an error" {
	script 'write 0 8' flush 'write 8 8'
	hold hold-image w run.log
	follow
	eventually has_lines followed 4
	printf '%s\n' 'write 8 8' 'write 8 8' 'write 8 8' 'mark x' | mklog other
	dd if=other of=run.log conv=notrunc status=none
	follower_ends 2
	run cat complaint
	assert_output --partial 'another recording has begun in it'
}

@test "--wait waits for a log that is not there" {
	follow --wait
	eventually is_waiting
	recorder_begins
	tell 'write 0 4k' flush
	eventually has_lines followed 3
	recorder_ends
	follower_ends 0
}

@test "a log that is not there is an error without --wait" {
	run --separate-stderr platter log follow run.log
	assert_failure 2
	complained 'run.log: No such file'
}

@test "what is no log is an error" {
	head -c 4096 /dev/zero | tr '\0' x >run.log
	run --separate-stderr platter log follow run.log
	assert_failure 2
	complained 'not a write log'
}

@test "--timeout ends a wait" {
	script flush
	hold hold-image w run.log
	run --separate-stderr platter log follow run.log --timeout 1
	assert_failure 2
	complained 'nothing new for 1000 ms, at entry 1'
}

@test "a signal ends a wait" {
	script flush
	hold hold-image w run.log
	# A shell has background jobs ignore SIGINT.
	follow
	eventually has_lines followed 2
	kill -TERM "$follower"
	follower_ends 130
}

# --- commands -------------------------------------------------------------

@test "--exec runs a command for each entry, which its environment describes" {
	script 'fua 8 8' 'mark a b' flush
	# shellcheck disable=SC2016 # for the command
	succeeds platter log follow run.log --exec \
		'echo "$PLATTER_ENTRY $PLATTER_FLAGS $PLATTER_OFFSET $PLATTER_LENGTH ${PLATTER_MARK-none}"'
	assert_output - <<-'EOF'
	0 FUA 4096 4096 none
	1 MARK 0 0 a b
	2 FLUSH 0 0 none
	EOF
}

@test "a command that fails ends it with its status" {
	script 'write 0 8' flush 'write 0 8'
	# shellcheck disable=SC2016
	run --separate-stderr platter log follow run.log --exec \
		'echo $PLATTER_ENTRY; test $PLATTER_ENTRY != 1 || exit 7'
	assert_failure 7
	assert_output $'0\n1'
	complained "entry 1: 'echo"
}

@test "a command that is killed ends it as a shell would say it" {
	script flush
	# shellcheck disable=SC2016
	run --separate-stderr platter log follow run.log --exec 'kill -9 $$'
	assert_failure 137
}

# --- the replica ----------------------------------------------------------

# replica OPTION...: keeps `replica` a step behind.
replica()
{
	in_background platter replay --follow "$@" run.log replica
}

@test "a replica equals the disk whenever the recorder pauses" {
	local i

	truncate -s 1M disk
	head -c 300000 /dev/urandom | dd of=disk conv=notrunc status=none
	cp disk before
	recorder_begins
	replica --base before --base-format raw --verify
	for ((i = 1; i <= 8; i++)); do
		tell "write -P $i $((i * 7))k 20k" "discard $((i * 40))k 8k" \
			"write -P $((i + 100)) 4k 4k"
		if ((i % 2)); then
			tell flush
		fi
		tell "write -P $((i + 200)) $((900 + i))k 1k"
		eventually marked "$i"
		eventually cmp -s disk replica
	done
	recorder_ends
	follower_ends 0
	cmp disk replica
	grep -qx 'verified: yes' followed
}

@test "a replica equals the disk whenever what log record runs pauses" {
	local i

	need_nbd
	truncate -s 1M disk
	head -c 300000 /dev/urandom | dd of=disk conv=notrunc status=none
	cp disk before
	recording {nbd}
	replica --base before --base-format raw --verify
	for ((i = 1; i <= 4; i++)); do
		tell "write -P $i $((i * 7))k 20k" "discard $((i * 40))k 8k" \
			"write -z -u $((i * 60))k 8k" \
			"write -f -P $((i + 200)) $((900 + i))k 1k" "mark $i"
		eventually marked "$i"
		eventually cmp -s disk replica
	done
	recorder_ends
	follower_ends 0
	cmp disk replica
	grep -qx 'verified: yes' followed
	nothing_left
}

wrote_twice()
{
	[ "$(grep -c wrote recorded)" -eq 2 ]
}

# logged N: run.log has so many entries by now.
logged()
{
	platter log list -U run.log >list
	has_lines list $(($1 + 1))
}

# marked I: the last write of round I is on the disk.
marked()
{
	[ "$(byte_at disk $(((900 + $1) * 1024)))" = \
		"$(printf %02x $(($1 + 200)))" ]
}

@test "a replica without a base has what the log has" {
	recorder_begins
	replica --verify
	tell 'write -P 1 64k 64k' 'write -P 2 1000k 24k' flush
	recorder_ends
	follower_ends 0
	cmp disk replica
}

@test "a replica of a recorder that is killed is what the log replays to" {
	recorder_begins
	replica
	tell 'write -P 1 64k 64k' flush 'write -P 2 100k 500k'
	eventually cmp -s -n 614400 disk replica
	recorder_is_killed
	follower_ends 0
	platter replay -q run.log replayed
	cmp replica replayed
}

@test "a replica whose keeper is killed is the disk at a point" {
	local -i n i found=0

	truncate -s 64K disk
	recorder_begins
	replica
	eventually test -e replica
	for ((i = 1; i <= 40; i++)); do
		tell "write -P $i $((i % 10 * 4))k 8k"
	done
	eventually test -s replica
	kill -9 "$follower"
	wait "$follower" || true
	follower=
	recorder_ends
	n=$(platter log list run.log | grep -c .)
	for ((i = 0; i < n; i++)); do
		platter replay -q run.log "at" --to "$i"
		# A log does not say how long the disk is, and the state does.
		truncate -s 64K at
		cp replica longer
		truncate -s 64K longer
		if cmp -s at longer; then
			found=1
		fi
		rm at
	done
	((found == 1))
}

@test "--to ends a replica there though the recorder goes on" {
	need jq
	recorder_begins
	replica --to flush:1 --output=json
	tell 'write -P 1 0 64k' flush 'write -P 2 0 64k'
	follower_ends 0
	assert_equal "$(jq -c '[.from, .to]' followed)" '[0,2]'
	assert_equal "$(byte_at replica 0)" 01
}

@test "a replica that a signal stops stays at a point" {
	script 'write 0 8 fill=1' flush
	hold hold-image w run.log
	replica
	eventually test -s replica
	kill -TERM "$follower"
	follower_ends 130
	run cat complaint
	assert_output --regexp 'interrupted; replica is at entry [12] of the log'
	assert_equal "$(byte_at replica 0)" 01
}

@test "a target that holds an image is refused as by any replay" {
	script 'write 0 8'
	"$PLATTER" create -q -f qcow2 replica 1M
	cp replica was
	fails 2 'holds data of format qcow2' platter replay --follow run.log \
		replica
	cmp replica was
}

@test "a log cannot be its own replica" {
	script 'write 0 8'
	cp run.log was
	fails 2 'is the log as well' platter replay --follow run.log run.log
	cmp run.log was
}

@test "--wait needs --follow" {
	usage_error '--wait needs --follow' platter replay --wait run.log disk
}
