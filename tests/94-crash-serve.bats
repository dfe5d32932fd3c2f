# SPDX-License-Identifier: LGPL-2.1-or-later
# Crash states as files: crash serve.

load lib/record
load lib/logs

setup_file()
{
	log_file kernel-6.1-ext4 "$BATS_FILE_TMPDIR/log"
}

setup()
{
	record_setup
	need_fuse
	log=$BATS_FILE_TMPDIR/log
}

teardown()
{
	record_teardown
}

# serving [OPTION...]: all states, in the folder "states".
serving()
{
	mkdir -p states
	run "$PLATTER" crash serve "$@" "$log" states
	assert_success
}

# serving_one STATE [OPTION...]: as the file "one".
serving_one()
{
	local state=$1

	shift
	run "$PLATTER" crash serve "$@" "$log" "$state" one
	assert_success
}

unmounted()
{
	succeeds "$PLATTER" umount "$1"
	assert_output ''
	assert_equal "$(mounts)" ''
}

# exported STATE: its bytes, in state.raw.
exported()
{
	succeeds "$PLATTER" crash export --force "$log" "$1" state.raw
}

# scribble FILE: its first bytes are others.
scribble()
{
	printf 'scribbled' | dd of="$1" conv=notrunc status=none
}

# in_use COUNT: waits until the folder lists so many states. Looking at one of
# them would be using it.
in_use()
{
	for _ in $(seq 600); do
		[ "$(ls states | wc -l)" -ne "$1" ] || return 0
		sleep 0.05
	done
	fail "in use: $(ls states)"
}

# --- all states in a folder ---------------------------------------------------

@test "hundreds of states read by many processes are as crash export has them" {
	local point

	serving
	seq 20 179 >points
	seq 120 179 | sed 's/$/+/' >>points
	xargs -P 8 -I@ sh -c 'echo "$(head -c 2M "states/@" | sha256sum) @"' \
		<points >served
	assert_equal "$(wc -l <served)" 220
	for point in 20 57 120 120+ 150+ 177+ 178 179; do
		exported "$point"
		assert_equal "$(awk -v p="$point" '$3 == p { print $1 }' served)" \
			"$(head -c 2M state.raw | sha256sum | cut -d' ' -f1)"
		cmp state.raw "states/$point"
	done
	unmounted states
}

@test "a state with writes missing is as crash export has it" {
	local name

	need jq
	"$PLATTER" crash list --from 100 --to 120 --output json "$log" |
		jq -r '.states[].state' | grep '[-+]' >all
	shuf -n 12 --random-source=all all >names
	assert_equal "$(wc -l <names)" 12
	serving
	while read -r name; do
		exported "$name"
		cmp state.raw "states/$name"
	done <names
	unmounted states
}

@test "a point of the log is a file under its shortest name, too" {
	need jq
	serving
	exec 5<states/mark:mkfs
	run ls states
	exec 5<&-
	assert_success
	assert_output "$("$PLATTER" crash show --output json "$log" mark:mkfs |
		jq -r '.state // .name')"
	unmounted states
}

@test "a name that is no state is no file" {
	serving
	for name in nosuch 99999 100-99999 100-; do
		run cat "states/$name"
		assert_failure
		assert_output --partial 'No such file or directory'
	done
	unmounted states
}

@test "what is written to a state is not in another" {
	serving
	exported 100
	scribble states/100
	assert_equal "$(head -c 9 states/100)" scribbled
	exported 101
	cmp state.raw states/101
	unmounted states
}

@test "what is written stays while the file is closed and opened again" {
	need e2fsck
	serving
	run e2fsck -fy states/120
	assert_equal "$((status & ~1))" 0
	run e2fsck -fn states/120
	assert_success
	unmounted states
}

@test "what was written is gone when nobody has used the state for a while" {
	serving
	scribble states/100
	in_use 1
	in_use 0
	exported 100
	cmp state.raw states/100
	unmounted states
}

@test "a state that is removed is as it was when it is opened again" {
	serving
	scribble states/100
	rm states/100
	in_use 0
	exported 100
	cmp state.raw states/100
	unmounted states
}

@test "a state that somebody has open is not removed" {
	serving
	exec 5<states/100
	run rm states/100
	exec 5<&-
	assert_failure
	assert_output --partial busy
	unmounted states
}

@test "more is written than there is memory" {
	local state

	serving --memory 1M
	for state in 100 101 102; do
		head -c 8M /dev/urandom >"bytes.$state"
		dd if="bytes.$state" of="states/$state" bs=64k conv=notrunc \
			status=none
	done
	for state in 100 101 102; do
		cmp -n 8388608 "bytes.$state" "states/$state"
	done
	unmounted states
	nothing_left
}

@test "a file is neither made, renamed, shortened nor extended" {
	serving
	run sh -c ': >states/made'
	assert_failure
	run mv states/100 states/101
	assert_failure
	run truncate -s 1M states/100
	assert_failure
	run truncate -s +1M states/100
	assert_failure
	unmounted states
}

@test "unmounting while a state is open is refused, and then not" {
	serving
	exec 5<states/100
	run "$PLATTER" umount states
	exec 5<&-
	assert_failure
	assert_output --partial 'is in use'
	until "$PLATTER" umount states 2>errors; do
		grep -q 'in use' errors
	done
	assert_equal "$(mounts)" ''
}

@test "killing the server leaves a mount that umount takes away" {
	local pid

	mkdir states
	"$PLATTER" crash serve --foreground "$log" states 3>&- &
	pid=$!
	until [ -n "$(mounts)" ]; do
		kill -0 "$pid"
		sleep 0.02
	done
	scribble states/100
	kill -9 "$pid"
	wait "$pid" || true
	run ls states
	assert_failure
	"$PLATTER" umount states || true
	assert_equal "$(mounts)" ''
	nothing_left
}

@test "states need a folder" {
	fails 2 'name a folder' "$PLATTER" crash serve "$log" file
	assert_equal "$(mounts)" ''
}

# --- one state ----------------------------------------------------------------

@test "one state is a file that keeps what is written to it" {
	exported 100
	serving_one 100
	cmp state.raw one
	scribble one
	assert_equal "$(head -c 9 one)" scribbled
	unmounted one
	assert [ ! -e one ]
}

@test "the log and the base are as they were" {
	truncate -s 32M base.raw
	sha256sum "$log" base.raw >sums
	serving_one 100 --base base.raw --base-format raw
	scribble one
	unmounted one
	sha256sum -c sums
}

@test "one state that is read-only cannot be written" {
	serving_one 100 -r
	if [ "$(id -u)" = 0 ]; then
		run sh -c 'printf x >>one'
	else
		run scribble one
	fi
	assert_failure
	unmounted one
}

@test "a name that is no state is an error" {
	fails 2 '99999' "$PLATTER" crash serve "$log" 99999 one
	assert [ ! -e one ]
}

@test "a state of a recovery is refused" {
	run -2 "$PLATTER" crash serve "$log" 120@3 one
	assert_output "platter: 120@3: a state of a recovery is made by running\
 the recovery again, which crash serve does not: write it into an image with\
 platter crash export --recover COMMAND, and platter mount that"
	assert [ ! -e one ]
}

@test "-r without a state is refused" {
	mkdir states
	fails 2 'one STATE' "$PLATTER" crash serve -r "$log" states
}

# --- states for checkers ------------------------------------------------------

# states_of HOW OPTION... -- CHECKER...: explores a few states.
states_of()
{
	"$PLATTER" crash explore -q --present "$1" --strategy prefixes,2cp \
		--from 46 --to 51 "$log" "${@:2}"
}

# checked HOW: explores; the hash of each state as a program reads it by $1 is
# in the folder HOW. The checker spoils each state.
checked()
{
	mkdir "$1"
	# shellcheck disable=SC2016 # for the checker's shell
	run states_of "$1" -j 2 -- sh -c 'sha256sum <"$2" >"$1/$PLATTER_STATE" &&
			printf spoiled | dd of="$2" conv=notrunc status=none' \
		sh "$PWD/$1" {}
	assert_success
	nothing_left
	[ "$(ls "$1" | wc -l)" -gt 10 ]
}

@test "by FUSE and as copies a checker sees the same states, unspoiled" {
	local name

	checked fuse
	checked copy
	diff -r fuse copy
	for name in $(ls fuse | shuf -n 5 --random-source="$log"); do
		exported "$name"
		assert_equal "$(cat "fuse/$name")" "$(sha256sum <state.raw)"
	done
}

@test "a copy that was truncated, replaced or removed is whole in the next state" {
	checked fuse
	mkdir copy
	# shellcheck disable=SC2016 # for the checker's shell
	run states_of copy -j 1 -- sh -c 'sha256sum <"$2" >"$1/$PLATTER_STATE"
			case $(($(ls "$1" | wc -l) % 6)) in
			0) truncate -s 1M "$2";;
			1) rm "$2";;
			2) rm "$2"; mkdir "$2"; touch "$2/file";;
			3) cp "$2" "$2-other"; mv "$2-other" "$2";;
			4) chmod 0 "$2"; touch "$2-journal";;
			5) rm "$2"; ln -s /dev/zero "$2";;
			esac' sh "$PWD/copy" {}
	assert_success
	nothing_left
	diff -r fuse copy
}

@test "by NBD a checker sees the same states, and writes to them" {
	need_nbd
	need qemu-img qemu-io
	checked fuse
	mkdir nbd
	# shellcheck disable=SC2016 # for the checker's shell
	run states_of nbd -j 2 -- sh -c 'cp "$3" "$4.$$" &&
			qemu-img compare -q -f raw -F raw "$2" "$4.$$" &&
			sha256sum <"$4.$$" >"$1/$PLATTER_STATE" &&
			qemu-io -f raw -c "write -P 7 0 8k" "$2" >&2 &&
			rm "$4.$$"' sh "$PWD/nbd" {nbd} {} "$PWD/raw"
	assert_success
	nothing_left
	diff -r fuse nbd
}
