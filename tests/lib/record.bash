# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of recording, on top of what all tests have.

# shellcheck disable=SC2154 # set by run-bats
load "$top_srcdir/tests/lib/common"

record_setup()
{
	common_setup
	# The tests' scripts are not built.
	PATH=$top_srcdir/tests/tools:$PATH
	# What is left there was not cleaned up.
	export TMPDIR=$BATS_TEST_TMPDIR/tmp
	mkdir "$TMPDIR"
	unset PLATTER_SESSION
}

# In teardown(): nothing stays mounted, whatever the test did.
record_teardown()
{
	local path

	while read -r path; do
		umount -l "$path" 2>/dev/null || fusermount3 -uz "$path" ||
			true
	done < <(mounts | tac)
}

# mounts: the mount points below the test's folder.
mounts()
{
	cut -d' ' -f2 /proc/self/mounts | grep "^$BATS_TEST_TMPDIR/" || true
}

need_fuse()
{
	need fusermount3
	# Opening it has no effect before something is mounted.
	if ! (: <>/dev/fuse) 2>/dev/null; then
		skip "/dev/fuse cannot be opened"
	fi
}

need_nbd()
{
	need nbdkit
	if [ -n "$SANITIZERS" ]; then
		skip "nbdkit itself was built without sanitizers"
	fi
	[ -e "$PLATTER_NBDKIT_PLUGIN" ] || skip "the plugin was not built"
}

# nothing_left: no mount, no private folder, no nbdkit of this test.
nothing_left()
{
	assert_equal "$(mounts)" ''
	assert_equal "$(ls -A "$TMPDIR")" ''
	if grep -lsaF "$TMPDIR" /proc/[0-9]*/cmdline 2>/dev/null |
		xargs -r -n1 dirname | xargs -r -I@ cat @/comm |
		grep -x nbdkit; then
		fail 'nbdkit runs on'
	fi
}

# disk FORMAT [SIZE]: an image "disk" with something in it, and before.raw, the
# same as a raw file.
disk()
{
	truncate -s "${2:-48M}" before.raw
	printf 'before' | dd of=before.raw bs=1 seek=40M conv=notrunc \
		status=none
	"$PLATTER" convert -f raw -O "$1" before.raw disk
	export format=$1
}

# records COMMAND...: what the command wrote to the disk is in the log, and
# replayed onto what was before gives what is now. $options go to the verb.
records()
{
	# shellcheck disable=SC2086 # several words
	run "$PLATTER" log record -q -f "$format" --log run.log ${options-} \
		disk -- "$@"
	assert_success
	same_after_replay run.log
}

# same_after_replay [LOG [IMAGE [BEFORE]]]: by two readers of the log.
same_after_replay()
{
	local log=${1:-run.log} image=${2:-disk} before=${3:-before.raw}

	rm -f after.raw naive.raw
	"$PLATTER" log check "$log"
	"$PLATTER" replay -q --base "$before" --base-format raw "$log" after.raw
	"$PLATTER" compare -f raw -F "$format" after.raw "$image"
	cp --sparse=always "$before" naive.raw
	naive-replay "$log" naive.raw all
	cmp naive.raw after.raw
}

# entries FLAG: how many entries of run.log have it.
entries()
{
	"$PLATTER" log list --flags "$1" --output json run.log | jq length
}

# ctrl_c COMMAND...: run it with a terminal of its own, type Ctrl-C there once
# there is a file "started", and print the exit code.
ctrl_c()
{
	cat >terminal.py <<-'END'
		import os, pty, sys, time
		pid, fd = pty.fork()
		if pid == 0:
		    os.execvp(sys.argv[1], sys.argv[1:])
		while not os.path.exists('started'):
		    time.sleep(0.05)
		os.write(fd, b'\x03')
		try:
		    while os.read(fd, 4096):
		        pass
		except OSError:
		    pass
		print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
	END
	timeout 60 python3 terminal.py "$@"
}

# --- killing the recorder ---------------------------------------------------

# killed_under_load OPTION...: record a load until the recorder is killed at a
# random moment. Nothing that was acknowledged as durable may be missing from
# the log, and the image is as the log has it but for what was under way.
# $victim says whom to kill: "platter", or its "nbdkit"; $target is "{}" or
# "{nbd}".
killed_under_load()
{
	local recorder pid

	rm -rf run.log diary after.raw now.raw disk
	"$PLATTER" convert -q -f raw -O "$format" before.raw disk
	"$PLATTER" log record -q -f "$format" --log run.log "$@" disk -- \
		durable-writes "$target" diary 2>errors &
	recorder=$!
	until grep -qs '^d' diary; do
		kill -0 "$recorder" || fail "$(cat errors)"
		sleep 0.02
	done
	sleep "0.$(printf %03d $((RANDOM % 500)))"
	pid=$recorder
	if [ "$victim" = nbdkit ]; then
		pid=$(pgrep -P "$recorder" -x nbdkit)
	fi
	kill -9 "$pid"
	wait "$recorder" || true
	# The load has ended when nobody has the diary open any more.
	until ! pgrep -f "^durable-writes .*$TMPDIR/" >pids; do sleep 0.02; done
	mounts | tac | while read -r mount; do
		umount -l "$mount" 2>/dev/null || fusermount3 -uz "$mount"
	done
	rm -rf "${TMPDIR:?}"/*
	explained
}

# explained: log check says where the log ends and why, and it has all there
# has to be.
explained()
{
	local code=0

	"$PLATTER" log check run.log >checked || code=$?
	[ "$code" -le 1 ] || fail "log check: $(cat checked)"
	grep -E '^run.log: (sound|damaged)' checked
	"$PLATTER" replay -q --base before.raw --base-format raw run.log \
		after.raw 2>errors || [ $? -eq 1 ]
	"$PLATTER" convert -q -f "$format" -O raw disk now.raw
	durable-writes --check now.raw after.raw diary
}

# --- crash states -----------------------------------------------------------

# explored OPTION...: with the results in run.json; $code is how it ended.
explored()
{
	code=0
	"$PLATTER" crash explore --output json "$@" >run.json || code=$?
	((code < 2))
}

# number NAME: one of the summary.
number()
{
	jq -r "first(.. | objects | select(has(\"$1\"))) | .\"$1\"" run.json
}

# qcow2_explored COUNT ours|qemu: so many operations on a new image with a
# bitmap, and a look at every state its file may be left in.
qcow2_explored()
{
	qemu-img create -q -f qcow2 -o cluster_size=4k disk.qcow2 16M
	qemu-img bitmap --add disk.qcow2 b
	truncate -s 64M disk.qcow2
	cp --sparse=always disk.qcow2 start
	"$PLATTER" log record -q -f raw --log qcow2.log disk.qcow2 -- \
		qcow2-load {} 1 "$1" "$2"
	explored --base start --base-format raw \
		--strategy prefixes,2cp,subsets=2 qcow2.log --image qcow2
}
