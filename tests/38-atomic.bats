# SPDX-License-Identifier: LGPL-2.1-or-later
# What is left of a replay, a repair or a cut that was killed, interrupted, or
# ran out of space: the complete file, or none; and doing it again works.

load lib/logs

setup_file()
{
	export LOGS=$BATS_FILE_TMPDIR
	# Enough work to be killed in the middle of.
	mklog --generate 6000 --pattern random4k --device-size 64M \
		"$LOGS/busy"
	mklog --truncate -1 --generate 6000 --pattern random4k \
		--device-size 64M "$LOGS/torn"
	head -c 40M /dev/urandom >"$LOGS/base"
}

setup()
{
	common_setup
}

teardown()
{
	if [ -d "$BATS_TEST_TMPDIR/full" ]; then
		umount "$BATS_TEST_TMPDIR/full" || true
	fi
}

milliseconds()
{
	local now=$EPOCHREALTIME

	echo $((${now/./} / 1000))
}

# The runs of stopped(), which holds the variables.
stop_runs()
{
	for ((i = 0; i < count; i++)); do
		code=0
		# The shell has a word for each process that is killed.
		{
			env --default-signal=INT timeout -s "$signal" \
				"$(printf '0.%06d' \
				$((took * 1000 * (i + 1) / (count + 1))))" \
				"$@" >/dev/null 2>err
		} 2>/dev/null || code=$?
		if ((code != 0 && code != 1)); then
			cut_short=$((cut_short + 1))
		fi
		for name in "${names[@]}"; do
			[ ! -e "$name" ] || cmp "$name" "$name.whole"
		done
		if [ "$signal" != KILL ]; then
			run compgen -G '*.part'
			assert_output ''
			(($(wc -l <err) <= 1))
		fi
		rm -f "${names[@]}"
	done
}

# stopped SIGNAL COUNT FILES COMMAND...: COMMAND, which makes FILES, is run
# COUNT times and ended by SIGNAL after a while, never the same. Each of FILES
# is then not there or is as the whole run makes it; and the last run is whole.
# Leaves in `cut_short` how often the signal came before the end.
stopped()
{
	local signal=$1 count=$2 name
	local -a names=($3)
	local -i i took code

	shift 3
	took=$(milliseconds)
	"$@" >/dev/null 2>&1 || [ $? -eq 1 ]
	took=$(($(milliseconds) - took + 4))
	for name in "${names[@]}"; do
		mv "$name" "$name.whole"
	done
	cut_short=0
	# How long it takes changes with what else runs: if too few were cut
	# short, sooner.
	while ((took > 0)); do
		stop_runs "$@"
		((cut_short * 2 < count)) || break
		took=$((took / 2))
	done
	"$@" >/dev/null 2>&1 || [ $? -eq 1 ]
	for name in "${names[@]}"; do
		cmp "$name" "$name.whole"
	done
}

@test "kill -9 of a replay leaves no half-made target" {
	stopped KILL 25 new "$PLATTER" replay -q "$LOGS/busy" new
	((cut_short > 5))
	# What was being written lies beside it, under another name.
	compgen -G 'new.*.part'
}

@test "kill -9 of a replay onto a base leaves no half-made target" {
	stopped KILL 20 new "$PLATTER" replay -q "$LOGS/busy" new \
		--base "$LOGS/base"
	((cut_short > 5))
}

@test "kill -9 of a replay that replaces a file leaves the old or the new" {
	local -i i old=0

	"$PLATTER" replay -q "$LOGS/busy" want --base "$LOGS/base"
	head -c 1M "$LOGS/base" >before
	for ((i = 1; i <= 12; i++)); do
		cp before new
		{
			timeout -s KILL "0.$(printf '%03d' $((i * 20)))" \
				"$PLATTER" replay -q "$LOGS/busy" new \
				--base "$LOGS/base"
		} 2>/dev/null || true
		if cmp -s before new; then
			old+=1
		else
			cmp want new
		fi
	done
	((old > 0))
}

@test "kill -9 of an in-order replay leaves no half-made target" {
	stopped KILL 20 new "$PLATTER" replay -q "$LOGS/busy" new --in-order
	((cut_short > 5))
}

@test "kill -9 of a repair leaves no half-made log" {
	stopped KILL 25 new "$PLATTER" log repair -q "$LOGS/torn" new
	((cut_short > 5))
	"$PLATTER" log check new
}

@test "kill -9 of a cut leaves no half-made log" {
	stopped KILL 25 new "$PLATTER" log cut -q "$LOGS/busy" new --from 100
	((cut_short > 5))
}

@test "kill -9 of a cut with its base leaves no half-made file" {
	stopped KILL 25 'new new.base' "$PLATTER" log cut -q "$LOGS/busy" \
		new --from 3000 --squash
	((cut_short > 5))
}

@test "kill -9 of an index leaves a whole index or none" {
	cp "$LOGS/busy" l
	stopped KILL 20 l.idx "$PLATTER" log index -q l
}

@test "an interrupted replay leaves nothing" {
	stopped INT 12 new "$PLATTER" replay -q "$LOGS/busy" new
	((cut_short > 3))
}

@test "an interrupted repair leaves nothing" {
	stopped INT 12 new "$PLATTER" log repair -q "$LOGS/torn" new
	((cut_short > 3))
}

@test "an interrupted cut with its base leaves nothing" {
	stopped INT 12 'new new.base' "$PLATTER" log cut -q "$LOGS/busy" \
		new --from 3000 --squash
	((cut_short > 3))
}

@test "a replay that SIGTERM ends leaves nothing" {
	stopped TERM 10 new "$PLATTER" replay -q "$LOGS/busy" new
}

# ---- no space ----

# small_disk: 1 MiB, as `full`
small_disk()
{
	need_root
	mkdir full
	mount -t tmpfs -o size=1M none full || skip "no tmpfs can be mounted"
}

# no_space COMMAND...: one line, exit 2, and an empty `full`
no_space()
{
	fails 2 'No space left on device' "$@"
	assert_equal "$(ls -A full)" ''
}

@test "a replay to a full disk is one line, and nothing is left" {
	small_disk
	no_space "$PLATTER" replay "$LOGS/busy" full/new
	no_space "$PLATTER" replay "$LOGS/busy" full/new --in-order
	no_space "$PLATTER" replay "$LOGS/busy" full/new --base "$LOGS/base"
	no_space "$PLATTER" replay "$LOGS/busy" full/new -t none
}

@test "a repair to a full disk is one line, and nothing is left" {
	small_disk
	no_space "$PLATTER" log repair "$LOGS/torn" full/new
}

@test "a cut to a full disk is one line, and nothing is left" {
	small_disk
	no_space "$PLATTER" log cut "$LOGS/busy" full/new
	no_space "$PLATTER" log cut "$LOGS/busy" new --from 3000 \
		--squash=full/base
	no_space "$PLATTER" log cut "$LOGS/busy" full/new --from 3000 \
		--squash=base
	[ ! -e new ]
	[ ! -e base ]
}

@test "an index for a full disk is one line, and nothing is left" {
	small_disk
	head -c 1M /dev/zero >full/filler || true
	fails 2 'No space left on device' \
		"$PLATTER" log index --index=full/idx "$LOGS/busy"
	assert_equal "$(ls -A full)" filler
}

@test "a full disk under the index does not stop a replay" {
	small_disk
	mklog --generate 200 full/l
	"$PLATTER" log index -q full/l
	# The index is of another log now, and cannot be made again.
	mklog --generate 201 full/l
	head -c 1M /dev/zero >full/filler || true
	succeeds "$PLATTER" replay full/l new
	naive-replay full/l want all
	assert_equal "$(naive-replay --hash new)" \
		"$(naive-replay --hash want)"
}

@test "an existing target on a full disk is one line" {
	small_disk
	truncate -s 64M full/target
	fails 2 'No space left on device' \
		"$PLATTER" replay "$LOGS/busy" full/target
	assert_equal "$(ls -A full)" target
}

@test "a limit on the size of files is one line, and nothing is left" {
	local verb

	for verb in 'replay' 'log repair' 'log cut'; do
		run --separate-stderr bash -c \
			"ulimit -f 1000; exec $PLATTER $verb \$0 new" \
			"$LOGS/busy"
		assert_failure 2
		assert_output ''
		complained 'File too large'
		run compgen -G 'new*'
		assert_output ''
	done
}

@test "a result that cannot be printed is one line and exit 2" {
	local verb

	[ -c /dev/full ] || skip "no /dev/full"
	for verb in info list marks check stat; do
		run --separate-stderr bash -c \
			"$PLATTER log $verb \$0 >/dev/full" "$LOGS/busy"
		assert_failure 2
		complained 'No space left on device'
	done
}
