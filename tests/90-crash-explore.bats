# SPDX-License-Identifier: LGPL-2.1-or-later
# `platter crash explore`: verdicts, what a checker gets, limits, order, resume.
# shellcheck disable=SC1083,SC2016

load lib/crash

setup()
{
	crash_setup
	need_fuse
	need jq
}

teardown()
{
	record_teardown
}

# --- verdicts ---------------------------------------------------------------

@test "a log whose states all pass gives exit code 0" {
	run explore -- true
	assert_success
	assert_output --partial '18 states: 18 passed, 0 failed'
	nothing_left
}

@test "a state that fails gives exit code 1, with its name, mark and reason" {
	run explore -- sh -c '[ "$PLATTER_STATE" != 8-5 ] || exit 4'
	assert_failure 1
	assert_output --partial '17 passed, 1 failed'
	assert_output --regexp '8-5 +fail: exit status 4, after mark one'
}

@test "a failure is followed by the command that finds its cause" {
	run explore -- sh -c '[ "$PLATTER_STATE" != 8-5 ]'
	assert_failure 1
	assert_line "  platter crash shrink --base base.img --base-format raw\
 small.log 8-5 -- sh -c '[ \"\$PLATTER_STATE\" != 8-5 ]'"
}

@test "exit status 125 skips a state" {
	run explore -- sh -c '[ "$PLATTER_STATE" != 8-5 ] || exit 125'
	assert_success
	assert_output --partial '17 passed, 0 failed, 1 skipped'
}

@test "death by a signal is a failure" {
	run explore -- sh -c '[ "$PLATTER_STATE" != 8-5 ] || kill -SEGV $$'
	assert_failure 1
	assert_output --partial '8-5  fail: signal 11 (Segmentation fault)'
}

@test "a checker that does not end in time is a failure" {
	run explore --timeout 0.2s -- \
		sh -c '[ "$PLATTER_STATE" != 8-5 ] || sleep 1000'
	assert_failure 1
	assert_output --partial '8-5  fail: no end within 0.2 s'
}

@test "what a failing checker printed is in the report" {
	run explore --jsonl run.jsonl -- \
		sh -c 'echo out; echo err >&2; [ "$PLATTER_STATE" != 8-5 ]'
	assert_failure 1
	run jq -r 'select(.output) | .output' run.jsonl
	assert_output 'out\x0aerr\x0a'
}

@test "a failure that does not come again is flaky with --confirm" {
	run explore -j1 --confirm 2 -- sh -c '
		[ "$PLATTER_STATE" != 8-5 ] || [ -e again ] || { : >again; exit 9; }'
	assert_failure 1
	assert_output --partial '17 passed, 0 failed, 1 flaky'
	assert_output --partial \
		'8-5  flaky: exit status 9, but run 2 pass'
}

@test "a failure that comes again is none the less one with --confirm" {
	run explore -j1 --confirm 2 -- sh -c '
		[ "$PLATTER_STATE" != 8-5 ] || { echo run >>runs; exit 9; }'
	assert_failure 1
	assert_output --partial '17 passed, 1 failed'
	assert_equal "$(wc -l <runs)" 3
}

@test "checkers are run in order until one does not pass" {
	need mkfs.ext4 e2fsck
	truncate -s 4M base.img
	mkfs.ext4 -q base.img
	mklog fs.log <<-'END'
	mark begin
	write 8000 1
	flush
	END
	run "$PLATTER" crash explore --base base.img --base-format raw fs.log \
		--fs ext4 -- sh -c '[ "$PLATTER_ENTRY" -ne 1 ]'
	assert_failure 1
	assert_output --partial '1  fail: exit status 1, after mark begin'
}

# --- what a checker gets ----------------------------------------------------

@test "{} is a file that holds the state" {
	mkdir states
	run explore -- sh -c 'cp "$1" "states/$PLATTER_STATE"' sh {}
	assert_success
	for state in 0 2+ 8-5 8+7 11; do
		"$PLATTER" crash export --base base.img --base-format raw \
			small.log "$state" "$state.raw"
		cmp "states/$state" "$state.raw"
	done
}

@test "{} stands for the file within a word, and PLATTER_PATH has it, too" {
	run explore -- sh -c 'test "$1" = "if=$PLATTER_PATH"' sh if={}
	assert_success
}

@test "what a checker writes to a state is gone in the next" {
	run explore -j1 -- sh -c '
		! grep -q scribble "$1" &&
		printf scribble | dd of="$1" bs=1 seek=600 conv=notrunc status=none &&
		grep -q scribble "$1"' sh {}
	assert_success
	run cmp -n 10752 base.img /dev/zero
	assert_success
}

@test "a checker finds state, point, mark and marks in its environment" {
	run explore -j1 -- sh -c '
		echo "$PLATTER_STATE,$PLATTER_ENTRY,$PLATTER_MARK,$(
			tr "\n" " " <"$PLATTER_MARKS")" >>seen'
	assert_success
	run grep -e ^0, -e ^2+, -e ^8-5, -e ^11, seen
	assert_output - <<-'END'
	0,0,,
	2+,2,begin,begin 
	8-5,8,one,begin one 
	11,11,two,begin one two 
	END
}

@test "variables of an outer run are not passed on" {
	PLATTER_NBD=outer run explore --max-states 1 -- \
		sh -c '[ -z "${PLATTER_NBD+set}" ]'
	assert_failure 3
}

@test "a checker's standard input is empty" {
	run explore -- sh -c '[ -z "$(cat)" ]' <<<'something'
	assert_success
}

@test "{nbd} is a URI of the state" {
	need_nbd
	need qemu-img
	run explore --max-states 3 -- sh -c \
		'qemu-img info -f raw "$1" | grep -q "10.5 KiB"' sh {nbd}
	assert_failure 3
	nothing_left
}

@test "states are copies where FUSE is not wanted, and are the same" {
	explore --jsonl fuse.jsonl -- sh -c 'md5sum <"$1"; exit 1' sh {} ||
		[ $? -eq 1 ]
	explore --present copy --jsonl copy.jsonl -- \
		sh -c 'md5sum <"$1"; exit 1' sh {} || [ $? -eq 1 ]
	diff <(comparable fuse.jsonl) <(comparable copy.jsonl)
	nothing_left
}

@test "copies share blocks where the file system can, and are the same" {
	need_own_mounts
	need mkfs.xfs
	explore --jsonl fuse.jsonl -- sh -c 'md5sum <"$1"; exit 1' sh {} ||
		[ $? -eq 1 ]
	truncate -s 320M disk
	mkfs.xfs -q -m reflink=1 disk
	mkdir there
	# A checker that writes, and one that leaves the file as it is.
	run unshare -m sh -c 'mount -o loop disk there || exit 77
		TMPDIR=$PWD/there; export TMPDIR
		exec "$@"' sh "$PLATTER" crash explore --strategy prefixes,2cp \
		--base base.img --base-format raw --present copy \
		--jsonl copy.jsonl small.log -- sh -c 'md5sum <"$1"
			[ $((PLATTER_ENTRY % 2)) = 0 ] || echo spoiled >"$1"
			exit 1' sh {}
	[ "$status" -ne 77 ] || skip "XFS cannot be mounted here"
	assert_failure 1
	assert_output --partial 'by scratch copies (reflink)'
	diff <(comparable fuse.jsonl) <(comparable copy.jsonl)
}

# --- order ------------------------------------------------------------------

@test "results come in the same order for any -j" {
	local jobs check='sleep "0.0$((PLATTER_ENTRY * 7 % 5))"
		[ $((PLATTER_ENTRY % 3)) -ne 0 ]'

	for jobs in 1 3 8; do
		explore -j "$jobs" --jsonl "$jobs.jsonl" -- sh -c "$check" ||
			[ $? -eq 1 ]
	done
	diff <(comparable 1.jsonl) <(comparable 3.jsonl)
	diff <(comparable 1.jsonl) <(comparable 8.jsonl)
	"$PLATTER" crash list --strategy prefixes,2cp --base base.img \
		--base-format raw small.log --output json |
		jq -r '.. | .state? // empty' >listed
	diff listed <(results 1.jsonl | cut -d' ' -f1)
}

@test "as many checkers as -j says run at once" {
	run explore -j3 --max-states 3 --timeout 30s -- sh -c '
		: >"here-$PLATTER_STATE"
		until [ "$(ls here-* | wc -l)" -ge 3 ]; do sleep 0.02; done'
	assert_failure 3
}

# --- limits -----------------------------------------------------------------

@test "--stop-on-first ends with the first failure of the walk for any -j" {
	local jobs

	for jobs in 1 4; do
		run explore -j "$jobs" --stop-on-first --jsonl "$jobs.jsonl" \
			-- sh -c '
			case $PLATTER_STATE in
			5) sleep 0.2; exit 1 ;;
			6 | 7) exit 1 ;;
			esac'
		assert_failure 1
	done
	assert_equal "$(results 1.jsonl | tail -1)" '5 fail'
	diff <(comparable 1.jsonl) <(comparable 4.jsonl)
}

@test "--max-states stops with exit code 3 when none failed" {
	run explore --max-states 5 --jsonl run.jsonl -- true
	assert_failure 3
	assert_equal "$(results run.jsonl | wc -l)" 5
}

@test "as many states as --max-states are no limit" {
	run explore --max-states 18 -- true
	assert_success
}

@test "--max-time stops with exit code 3" {
	run explore -j1 --max-time 0.3s --jsonl run.jsonl -- sleep 0.1
	assert_failure 3
	assert [ "$(results run.jsonl | wc -l)" -lt 18 ]
}

@test "a failure before a limit is exit code 1" {
	run explore --max-states 5 -- false
	assert_failure 1
}

# --- going on ---------------------------------------------------------------

@test "a run that is resumed gives the results of one that was not stopped" {
	local check='echo ran >>runs; [ "$PLATTER_ENTRY" -ne 7 ]'

	explore --jsonl whole.jsonl -- sh -c "$check" || [ $? -eq 1 ]
	rm runs
	run explore --max-states 6 --jsonl part.jsonl -- sh -c "$check"
	assert_failure 3
	run explore --resume part.jsonl -- sh -c "$check"
	assert_failure 1
	diff <(comparable whole.jsonl) <(comparable part.jsonl)
	assert_equal "$(wc -l <runs)" 18
}

@test "a report that ends within a line is gone on with" {
	explore --jsonl whole.jsonl -- true
	head -c -700 whole.jsonl >part.jsonl
	run explore --resume part.jsonl -- true
	assert_success
	diff <(comparable whole.jsonl) <(comparable part.jsonl)
}

@test "a report that is complete is not run again" {
	explore --jsonl run.jsonl -- true
	run explore --resume run.jsonl -- true
	assert_success
	assert_output --partial '18 states: 18 passed'
}

@test "a report of another run is not gone on with, and stays as it is" {
	explore --jsonl run.jsonl -- true
	cp run.jsonl before
	fails 2 'run.jsonl: another run: the checker is' explore \
		--resume run.jsonl -- false
	fails 2 'run.jsonl: another run: strategies are' "$PLATTER" crash \
		explore --base base.img --base-format raw \
		--strategy prefixes --resume run.jsonl small.log -- true
	fails 2 'run.jsonl: another run: it is of shard 0/1' explore \
		--shard 1/2 --resume run.jsonl -- true
	cmp run.jsonl before
}

# --- what is not run --------------------------------------------------------

@test "--read-guided does not run states that agree in what is read" {
	explore --jsonl all.jsonl -- sh -c '
		! dd if="$1" bs=512 skip=8 count=1 status=none | grep -q D' \
		sh {} || [ $? -eq 1 ]
	run explore --read-guided --jsonl guided.jsonl -- sh -c '
		echo run >>runs
		! dd if="$1" bs=512 skip=8 count=1 status=none | grep -q D' \
		sh {}
	assert_failure 1
	diff <(results all.jsonl) <(results guided.jsonl)
	assert [ "$(wc -l <runs)" -lt 18 ]
}

@test "--read-guided is the same for any -j" {
	local jobs

	for jobs in 1 4; do
		explore -j "$jobs" --read-guided --jsonl "$jobs.jsonl" -- \
			sh -c 'head -c 512 "$1" | grep -q 3' sh {} ||
			[ $? -eq 1 ]
	done
	diff <(comparable 1.jsonl) <(comparable 4.jsonl)
}

@test "--read-guided tells of a checker that looks at more than the disk" {
	mklog --generate 600 --pattern random4k --device-size 4M \
		--flush-every 3 long.log
	run "$PLATTER" crash explore --strategy prefixes --read-guided \
		long.log --base base.img --base-format raw --size 4M -- sh -c '
		head -c 512 "$1" >/dev/null
		[ $((PLATTER_ENTRY / 7 % 2)) = 0 ] || exit 125' sh {}
	assert_failure 2
	assert_output --partial 'leave out --read-guided'
}

@test "--read-guided needs FUSE" {
	fails 2 'it takes FUSE' explore --read-guided --present copy -- true
}

# --- two crashes ------------------------------------------------------------

@test "--recover checks the crash states of a recovery, too" {
	# It makes the first byte R and then the second S, without a flush.
	cat >recover <<-'END'
	printf R | dd of="$1" bs=1 seek=0 conv=notrunc status=none
	printf S | dd of="$1" bs=512 seek=1 conv=notrunc,sync status=none
	END
	run explore --strategy prefixes --to 1 --recover 'sh recover {}' \
		--jsonl run.jsonl -- true
	assert_success
	run jq -r 'select(.depth == 2) | .state' run.jsonl
	assert_line --regexp '^0@'
	assert_line --regexp '^1@'
}

@test "--depth 2 needs --recover" {
	usage_error '--depth 2 needs --recover' explore --depth 2 -- true
}

# --- shards -----------------------------------------------------------------

@test "shards have each state once" {
	local i

	for i in 0 1 2; do
		explore --shard "$i/3" --jsonl "$i.jsonl" -- true
	done
	explore --jsonl all.jsonl -- true
	diff <(results all.jsonl | sort) \
		<(for i in 0 1 2; do results "$i.jsonl"; done | sort)
}

@test "the shard is taken from the variables of an array job, and said" {
	run --separate-stderr env SLURM_ARRAY_TASK_ID=7 \
		SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_COUNT=3 \
		SLURM_ARRAY_TASK_STEP=2 "$PLATTER" crash explore --base \
		base.img --base-format raw small.log --jsonl slurm.jsonl -- true
	assert_success
	complained 'shard 1/3, as SLURM_ARRAY_TASK_ID=7 (of Slurm) says'
	run --separate-stderr env CI_NODE_INDEX=3 CI_NODE_TOTAL=4 "$PLATTER" \
		crash explore --base base.img --base-format raw small.log \
		-- true
	assert_success
	complained 'shard 2/4, as CI_NODE_INDEX=3 (of GitLab) says'
	run --separate-stderr env SGE_TASK_ID=4 SGE_TASK_FIRST=1 \
		SGE_TASK_LAST=10 SGE_TASK_STEPSIZE=3 "$PLATTER" \
		crash explore --base base.img --base-format raw small.log \
		-- true
	assert_success
	complained 'shard 1/4, as SGE_TASK_ID=4 (of SGE) says'
	assert_equal "$(jq 'select(.type == "run") | .shard' slurm.jsonl)" 1
}

@test "--shard /N takes the number of an indexed job" {
	run --separate-stderr env JOB_COMPLETION_INDEX=2 "$PLATTER" crash \
		explore --shard /4 --base base.img --base-format raw small.log \
		-- true
	assert_success
	complained 'shard 2/4, as JOB_COMPLETION_INDEX=2 (of Kubernetes) says'
	run --separate-stderr env JOB_COMPLETION_INDEX=2 "$PLATTER" crash \
		explore --base base.img --base-format raw small.log -- true
	assert_success
	complained 'JOB_COMPLETION_INDEX=2 (of Kubernetes) is not used'
	usage_error 'no batch system says one' explore --shard /4 -- true
}

@test "a shard that there cannot be is a usage error" {
	local shard

	for shard in 3 4/4 x/2 1/0 /x -1/2; do
		usage_error "--shard: '$shard'" explore "--shard=$shard" -- true
	done
	usage_error 'give --shard I/N' env SLURM_ARRAY_TASK_ID=9 \
		SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_COUNT=3 "$PLATTER" \
		crash explore small.log -- true
}

# --- the command line -------------------------------------------------------

@test "a checker that is not there is one line, before anything is run" {
	fails 2 'no-such-checker: command not found' explore -- no-such-checker
	: >here
	fails 2 './here: it cannot be executed' explore -- ./here
	nothing_left
}

@test "without a checker there is nothing to do" {
	fails 2 'nothing says how to check a state' explore
}

@test "what is missing or too much before -- is a usage error" {
	usage_error 'LOG is missing' "$PLATTER" crash explore -- true
	usage_error "unexpected argument 'second'" explore second -- true
}

@test "without a base zeros are taken, and that is said" {
	run --separate-stderr "$PLATTER" crash explore --max-states 1 \
		small.log -- true
	assert_failure 3
	complained 'no --base: the disk is taken to be zeros'
}

@test "--output json has the run, what did not pass, and the summary" {
	explore --output json -- sh -c '[ "$PLATTER_STATE" != 8-5 ]' \
		>run.json || [ $? -eq 1 ]
	run jq -c '[.run.log, [.["not-passed"][] | .state], .summary.fail,
		.summary.pass]' run.json
	assert_output '["small.log",["8-5"],1,17]'
}

# --- a real file system -----------------------------------------------------

@test "ext4 recovers from every crash of a kernel's log" {
	need e2fsck
	log_file kernel-6.1-ext4 ext4.log
	run "$PLATTER" crash explore --strategy prefixes,2cp --from mark:mkfs \
		ext4.log --output json -- \
		sh -c 'e2fsck -p -E journal_only {} && e2fsck -fn {}'
	assert_success
	assert_output --partial '"not-passed": []'
	nothing_left
}
