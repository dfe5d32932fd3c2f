# SPDX-License-Identifier: LGPL-2.1-or-later
# Progress, and the signals that go with long work.

load lib/common

setup()
{
	common_setup
	# Takes far longer than any test: 10 TiB, which is all read and written.
	endless=(convert --image-opts driver=null,size=10T -n -S 0
		--target-image-opts driver=null,size=10T)
}

# start ARGUMENT...: in the background, as $pid, when it is at work.
start()
{
	"$PLATTER" "$@" >out 2>err 3>&- &
	pid=$!
	# Its handlers are there once a signal is caught.
	for ((i = 0; i < 100; i++)); do
		if grep -q '^SigCgt:.*[1-9a-f]' "/proc/$pid/status"; then
			return
		fi
		sleep 0.05
	done
	return 1
}

# after_a_second SIGNAL ARGUMENT...: the command's exit code is passed on.
# Whoever started the tests may have had SIGINT ignored.
after_a_second()
{
	local signal=$1

	shift
	env --default-signal="$signal" timeout --preserve-status -k 20 \
		--signal="$signal" 1 "$PLATTER" "$@"
}

@test "SIGUSR1 prints one line on standard error and the work goes on" {
	start "${endless[@]}"
	kill -USR1 "$pid"
	for ((i = 0; i < 100; i++)); do
		[ ! -s err ] || break
		sleep 0.05
	done
	kill -USR1 "$pid"
	sleep 0.3
	kill -0 "$pid"
	kill -KILL "$pid"
	run cat err
	assert_line --index 0 --regexp '^    \([0-9.]+/100%\)$'
	assert_line --index 1 --regexp '^    \([0-9.]+/100%\)$'
	assert_equal "${#lines[@]}" 2
	refute [ -s out ]
}

@test "SIGINT, SIGTERM and SIGHUP end the work with one line, exit 130" {
	local signal
	for signal in INT TERM HUP; do
		run --separate-stderr after_a_second $signal "${endless[@]}"
		assert_equal "$status" 130
		assert_output ''
		complained 'interrupted'
	done
}

@test "an interrupted job leaves no target" {
	# All is read, and as it is zeros nothing is written.
	run after_a_second INT convert --image-opts driver=null,size=10T \
		target.raw
	assert_equal "$status" 130
	run ls -A
	refute_output --partial target
}

@test "on a terminal there is a bar on standard error" {
	need script
	truncate -s 1M disk.raw
	head -c 1M /dev/urandom >disk.raw
	script -qec '"$PLATTER" convert disk.raw copy.raw' /dev/null \
		</dev/null >bar
	grep -q '100% \[' bar
	grep -q '1 MiB/1 MiB' bar
}

@test "on a terminal -q shows no bar" {
	need script
	head -c 1M /dev/urandom >disk.raw
	script -qec '"$PLATTER" convert -q disk.raw copy.raw' /dev/null \
		</dev/null >bar
	refute [ -s bar ]
}

@test "a dumb terminal shows no bar" {
	need script
	head -c 1M /dev/urandom >disk.raw
	TERM=dumb script -qec '"$PLATTER" convert disk.raw copy.raw' \
		/dev/null </dev/null >bar
	refute [ -s bar ]
}

@test "where standard output is a pipe -p prints there even on a terminal" {
	need script
	head -c 1M /dev/urandom >disk.raw
	script -qec '"$PLATTER" convert -p disk.raw copy.raw | cat >piped' \
		/dev/null </dev/null >bar
	grep -q '(100.00/100%)' piped
	refute [ -s bar ]
}
