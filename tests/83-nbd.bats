# SPDX-License-Identifier: LGPL-2.1-or-later
# The nbdkit plugin: images as NBD exports, to the clients that there are.

load lib/record

# shellcheck disable=SC2030,SC2031 # every test is a subshell

setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return
	head -c 3000000 /dev/urandom >start
	truncate -s 32M data.raw
	dd if=start of=data.raw bs=1M seek=5 conv=notrunc status=none
	platter convert -f raw -O qcow2 data.raw data.qcow2
}

setup()
{
	record_setup
	nbdkit_pid='' idle_pid='' serve=''
	need_nbd
	need qemu-io qemu-img nbdinfo nbdcopy jq
}

teardown()
{
	local pid

	for pid in $nbdkit_pid $idle_pid $serve; do
		kill -9 "$pid" 2>/dev/null || true
	done
	record_teardown
}

uri()
{
	echo "nbd+unix:///${1-}?socket=$PWD/sock"
}

# up PARAMETER...: nbdkit serves in the background. $flags are nbdkit's own.
up()
{
	rm -f pid sock
	# shellcheck disable=SC2086 # several words
	nbdkit -f -P pid -U "$PWD/sock" ${flags-} "$PLATTER_NBDKIT_PLUGIN" \
		"$@" 2>nbdkit.err 3>&- &
	nbdkit_pid=$!
	until [ -s pid ]; do
		kill -0 "$nbdkit_pid" || fail "$(cat nbdkit.err)"
		sleep 0.02
	done
}

# down [CODE]: and ends.
down()
{
	local rc=0

	kill "$nbdkit_pid"
	wait "$nbdkit_pid" || rc=$?
	nbdkit_pid=
	assert_equal "$rc" "${1:-0}"
}

# io COMMAND...: of qemu-io, on the export; "Input/output error" and its like
# fail it.
io()
{
	local -a args=()

	for arg; do
		args+=(-c "$arg")
	done
	run qemu-io -f raw "${args[@]}" "$(uri)"
	assert_success
	refute_output --partial 'failed'
	refute_output --partial 'Pattern verification'
}

# refuses TEXT PARAMETER...: nbdkit does not start, and says so in one line.
refuses()
{
	local text=$1

	shift
	# shellcheck disable=SC2086
	run timeout 20 nbdkit -f -U "$PWD/sock" ${flags-} \
		"$PLATTER_NBDKIT_PLUGIN" "$@"
	assert_failure 1
	assert_line --index 0 --partial "nbdkit: error: "
	assert_line --index 0 --partial "$text"
}

copy()
{
	cp --sparse=always "$BATS_FILE_TMPDIR/data.$1" "disk.$1"
}

fact()
{
	nbdinfo --json "$(uri)" | jq -r ".exports[0].\"$1\""
}

# --- what is told ----------------------------------------------------------

@test "an export tells what can be done with it" {
	copy qcow2
	up disk.qcow2
	assert_equal "$(fact export-size)" 33554432
	assert_equal "$(fact is_read_only)" false
	for what in can_cache can_fast_zero can_flush can_fua can_multi_conn \
		can_trim can_zero; do
		assert_equal "$what $(fact "$what")" "$what true"
	done
	assert_equal "$(fact block_size_minimum)" 1
	assert_equal "$(fact block_size_preferred)" 65536
	assert_equal "$(fact description)" 'qcow2 image'
	down
}

@test "a cache request is not offered where there is no page cache" {
	copy raw
	up format=raw cache=none disk.raw
	assert_equal "$(fact can_cache)" false
	assert_equal "$(fact block_size_preferred)" 4096
	down
}

@test "several images are several exports, the first the default" {
	copy raw
	copy qcow2
	platter resize -q disk.qcow2 48M
	flags=-r up disk=one=disk.qcow2 disk=two=disk.raw
	run nbdinfo --list --json "$(uri)"
	assert_success
	assert_equal "$(jq -c '[.exports[] | [."export-name",
		."export-size"]]' <<<"$output")" \
		'[["one",50331648],["two",33554432]]'
	assert_equal "$(nbdinfo --size "$(uri)")" 50331648
	assert_equal "$(nbdinfo --size "$(uri two)")" 33554432
	run nbdinfo --size "$(uri three)"
	assert_failure
	down
}

@test "the plugin tells its version and formats" {
	run nbdkit "$PLATTER_NBDKIT_PLUGIN" --dump-plugin
	assert_success
	assert_line "version=$("$PLATTER" --version | sed -n 's/^platter //p')"
	assert_line --regexp '^platter_formats=.*\bqcow2\b.*\bwritelog\b'
	assert_line 'thread_model=parallel'
}

# --- reading ---------------------------------------------------------------

@test "nbdcopy reads what the image holds" {
	copy qcow2
	flags=-r up disk.qcow2
	nbdcopy "$(uri)" out.raw
	down
	cmp "$BATS_FILE_TMPDIR/data.raw" out.raw
}

@test "qemu-img compare and convert read what the image holds" {
	copy qcow2
	flags=-r up disk.qcow2
	qemu-img compare -f raw -F raw "$(uri)" "$BATS_FILE_TMPDIR/data.raw"
	qemu-img convert -f raw -O qcow2 "$(uri)" out.qcow2
	down
	qemu-img compare out.qcow2 "$BATS_FILE_TMPDIR/data.raw"
}

@test "a moment of a write log is an export" {
	log_file kernel-6.1-ext4 run.dmlw
	"$PLATTER" replay -q run.dmlw then.raw --to 100
	flags=-r up image-opts=true file=driver=writelog,log=run.dmlw,at=100
	qemu-img compare -f raw -F raw "$(uri)" then.raw
	down
}

# extents OF: what is zeros and what is a hole, neighbours merged.
extents()
{
	jq -c '[.[] | [.start // .offset, .length, .data, .zero]]' |
		jq -c 'reduce .[] as $e ([]; if length > 0 and
			.[-1][2:] == $e[2:] then .[-1][1] += $e[1] else
			. + [$e] end)'
}

@test "extents are those of platter map" {
	copy qcow2
	copy raw
	qemu-io -c 'write -z 20M 1M' -c 'write -P 1 25M 100k' disk.qcow2 \
		>/dev/null
	for disk in disk.qcow2 disk.raw; do
		flags=-r up "$disk"
		qemu-img map -f raw --output json "$(uri)" | extents >theirs
		nbdinfo --map --json "$(uri)" | jq '[.[] | {offset, length,
			data: ((.type % 2) == 0), zero: (.type >= 2)}]' |
			extents >nbd
		down
		"$PLATTER" map --output json "$disk" | extents >ours
		diff ours theirs
		diff ours nbd
		[ "$(jq length ours)" -ge 3 ]
	done
}

# --- writing ---------------------------------------------------------------

@test "nbdcopy writes an image" {
	for format in raw qcow2; do
		"$PLATTER" create -q -f "$format" "new.$format" 32M
		up "format=$format" "new.$format"
		nbdcopy "$BATS_FILE_TMPDIR/data.raw" "$(uri)"
		down
		"$PLATTER" compare -q -f "$format" -F raw "new.$format" \
			"$BATS_FILE_TMPDIR/data.raw"
	done
	qemu-img check -q new.qcow2
}

@test "qemu-img convert writes an image" {
	"$PLATTER" create -q -f qcow2 new.qcow2 32M
	up new.qcow2
	qemu-img convert -n -f raw -O raw "$BATS_FILE_TMPDIR/data.raw" \
		"$(uri)"
	down
	qemu-img compare -q new.qcow2 "$BATS_FILE_TMPDIR/data.raw"
	qemu-img check -q new.qcow2
}

@test "writes, zeros, discards and flushes of qemu-io do what it expects" {
	for format in raw qcow2; do
		copy "$format"
		cp --sparse=always "disk.$format" "theirs.$format"
		set -- 'write -P 0x11 12345 70001' 'write -f -P 0x12 1M 1M' \
			'write -z 5M 1234567' 'write -zu 7M 65536' \
			'write -zf 30M 2M' 'write -P 0x13 7M 1' \
			'discard 8M 64k' 'write -z 8M 64k' flush
		up "format=$format" "disk.$format"
		io "$@" 'read -P 0x12 1M 1M' 'read -P 0 5M 1234567'
		down
		qemu-io -f "$format" "${@/#/-c}" "theirs.$format" >/dev/null
		qemu-img compare -f "$format" -F "$format" "disk.$format" \
			"theirs.$format"
	done
	qemu-img check -q disk.qcow2
}

@test "a trimmed range gives its space back" {
	copy raw
	up format=raw disk.raw
	io 'discard 5M 2M' 'read -P 0 5M 2M'
	down
	[ "$(stat -c %b disk.raw)" -lt \
		"$(stat -c %b "$BATS_FILE_TMPDIR/data.raw")" ]
}

@test "a fast zero is refused where zeros would have to be written" {
	# A qcow2 image of version 2 has no zero clusters over its backing file.
	copy raw
	"$PLATTER" create -q -f qcow2 -o compat=0.10 -F raw -b disk.raw v2.qcow2
	"$PLATTER" create -q -f qcow2 -F raw -b disk.raw v3.qcow2
	up v2.qcow2
	run qemu-io -f raw -c 'write -zn 5M 64k' "$(uri)"
	assert_failure
	assert_output --partial 'Operation not supported'
	io 'write -z 5M 64k' 'read -P 0 5M 64k'
	down
	up v3.qcow2
	io 'write -zn 5M 64k' 'read -P 0 5M 64k'
	down
}

@test "a write with FUA is in the image when it is answered" {
	copy qcow2
	up disk.qcow2
	io 'write -f -P 0x77 20M 64k'
	kill -9 "$nbdkit_pid"
	wait "$nbdkit_pid" || true
	nbdkit_pid=
	run qemu-io -r -c 'read -P 0x77 20M 64k' disk.qcow2
	assert_success
	refute_output --partial 'Pattern verification'
}

@test "what one connection has written another reads" {
	copy qcow2
	up disk.qcow2
	coproc qemu-io -f raw "$(uri)" 3>&- 2>&1
	for i in 1 2 3 4 5; do
		echo "write -P $i ${i}M 100k" >&"${COPROC[1]}"
		until read -r line <&"${COPROC[0]}" && [[ $line == *ops/sec* ]]
		do
			:
		done
		io "read -P $i ${i}M 100k"
	done
	echo quit >&"${COPROC[1]}"
	wait "$COPROC_PID" || true
	down
	qemu-img check -q disk.qcow2
}

@test "parallel clients that verify what they wrote find it" {
	need fio
	fio --enghelp | grep -qw nbd || skip 'fio has no NBD engine'
	"$PLATTER" create -q -f qcow2 -o cluster_size=4k new.qcow2 64M
	up new.qcow2
	fio --ioengine=nbd --uri="$(uri)" --rw=randwrite --bsrange=512-32k \
		--bs_unaligned=0 --size=8M --offset_increment=16M --numjobs=4 \
		--iodepth=8 --verify=crc32c --verify_fatal=1 --fsync=64 \
		--name=clients --output=fio.out || fail "$(cat fio.out)"
	down
	qemu-img check -q new.qcow2
}

# --- reading only ----------------------------------------------------------

@test "nbdkit -r serves for reading only, and leaves the file alone" {
	copy qcow2
	chmod a-w disk.qcow2
	sum=$(sha256sum <disk.qcow2)
	for flags in -r --readonly -fr; do
		up disk.qcow2
		assert_equal "$(fact is_read_only)" true
		# It is not locked for writing.
		qemu-img info disk.qcow2 >/dev/null
		down
	done
	assert_equal "$(sha256sum <disk.qcow2)" "$sum"
}

@test "a moment of a log is not served for writing" {
	log_file kernel-6.1-ext4 run.dmlw
	refuses 'nbdkit -r' image-opts=true file=driver=writelog,log=run.dmlw
}

@test "an image in use is refused, and shared when told to" {
	copy qcow2
	up disk.qcow2
	flags='' refuses 'lock' disk.qcow2
	# shellcheck disable=SC2016 # for nbdkit's shell
	run nbdkit -r -U - "$PLATTER_NBDKIT_PLUGIN" share=true disk.qcow2 \
		--run 'nbdinfo --size "$uri"'
	assert_success
	assert_output 33554432
	down
}

# --- what it refuses -------------------------------------------------------

@test "a parameter that is wrong is told before it serves" {
	copy raw
	copy qcow2
	refuses 'no image is given'
	refuses "unknown parameter 'fil'" fil=disk.qcow2
	refuses 'No such file' nosuch.qcow2
	refuses "follow: 'x'" follow=x disk.qcow2
	refuses 'cache mode "x"' cache=x disk.qcow2
	refuses 'boolean' share=maybe disk.qcow2
	refuses 'is not NAME=SPEC' disk=a
	refuses 'cannot be the name of a file' disk=a/b=disk.qcow2
	refuses "two named 'a'" disk=a=disk.qcow2 disk=a=disk.raw
	refuses 'there are two' disk.qcow2 disk.raw
	refuses 'file and disk' disk=a=disk.qcow2 file=disk.raw
	refuses 'format=raw' disk.raw
	refuses 'fuse' direct=true disk.qcow2
}

# --- the end ---------------------------------------------------------------

@test "SIGTERM writes back what no client has flushed" {
	"$PLATTER" create -q -f qcow2 new.qcow2 32M
	up new.qcow2
	nbdcopy "$BATS_FILE_TMPDIR/data.raw" "$(uri)"
	down
	run qemu-img check new.qcow2
	assert_output --partial '46/512'
	qemu-img compare -q new.qcow2 "$BATS_FILE_TMPDIR/data.raw"
}

@test "an error when closing is told, and by the exit code" {
	copy qcow2
	spec=driver=qcow2,file.driver=blkdebug,file.iotype=flush
	spec+=,file.file.driver=file,file.file.filename=disk.qcow2
	up image-opts=true "file=$spec"
	qemu-io -f raw -c 'write 20M 64k' "$(uri)" || true
	down 1
	grep 'error: .*injected' nbdkit.err
}

@test "in the background it serves a name relative to where it was started" {
	copy qcow2
	nbdkit -P "$PWD/pid" -U "$PWD/sock" "$PLATTER_NBDKIT_PLUGIN" \
		disk.qcow2 3>&-
	assert_equal "$(nbdinfo --size "$(uri)")" 33554432
	io 'write -P 5 1M 1M'
	kill "$(cat pid)"
	while kill -0 "$(cat pid)" 2>/dev/null; do
		sleep 0.02
	done
	qemu-img check -q disk.qcow2
}

@test "valgrind finds nothing when it ends" {
	need valgrind
	[ -z "$SANITIZERS" ] || skip 'with sanitizers'
	copy qcow2
	rm -f pid
	# What nbdkit itself has not freed is not ours.
	cat >nbdkit.supp <<-'END'
		{
		   nbdkit
		   Memcheck:Leak
		   fun:*alloc
		   obj:*/nbdkit
		}
	END
	valgrind -q --leak-check=full --errors-for-leak-kinds=definite \
		--error-exitcode=9 --suppressions=nbdkit.supp \
		"$(type -P nbdkit)" -f -P pid -U "$PWD/sock" -t 2 \
		"$PLATTER_NBDKIT_PLUGIN" disk.qcow2 2>nbdkit.err 3>&- &
	nbdkit_pid=$!
	until [ -s pid ]; do
		kill -0 "$nbdkit_pid"
		sleep 0.1
	done
	io 'write -P 5 1M 100k' 'write -zf 3M 64k' 'discard 5M 1M' flush
	down || fail "$(cat nbdkit.err)"
}

# --- nbdkit as a child -----------------------------------------------------

# clients COMMAND: platter serve runs it; {nbd} is the URI.
clients()
{
	"$PLATTER" serve --nbd sock --run "$1" "${@:2}" 3>&-
}

# idle URI: a client that is connected and asks for nothing; sets idle_pid.
idle()
{
	stdbuf -oL qemu-io -f raw -c 'write -P 9 1M 4k' -c 'sleep 60000' "$1" \
		>idle.out 3>&- &
	idle_pid=$!
	until grep -q ops/sec idle.out; do
		sleep 0.02
	done
}

# served_by PID: the process of its nbdkit.
served_by()
{
	pgrep -P "$1" -x nbdkit
}

gone()
{
	local pid

	for pid; do
		while kill -0 "$pid" 2>/dev/null; do
			sleep 0.02
		done
	done
}

@test "platter serve --nbd makes the socket and removes it" {
	copy qcow2
	run --separate-stderr clients 'nbdinfo --size {nbd}' disk.qcow2
	assert_success
	assert_line 33554432
	# shellcheck disable=SC2154 # set by run
	assert_equal "$stderr" ''
	[ ! -e sock ]
	nothing_left
}

@test "a socket's path may have any character in it" {
	copy qcow2
	mkdir 'a b%&?#ä'
	run "$PLATTER" serve --nbd 'a b%&?#ä/so ck' \
		--run 'nbdinfo --size {nbd}' disk.qcow2 3>&-
	assert_success
	assert_line 33554432
}

@test "a socket's path that is in the way is told" {
	copy qcow2
	touch sock
	fails 2 'exists and is not a socket' clients true disk.qcow2
	rm sock
	cp disk.qcow2 other.qcow2
	up other.qcow2
	fails 2 'another server listens there' clients true disk.qcow2
	kill -9 "$nbdkit_pid"
	gone "$nbdkit_pid"
	nbdkit_pid=
	fails 2 'was left by a server that has ended' clients true disk.qcow2
	rm sock
	long=$(printf 'x%.0s' {1..120})
	fails 2 'over the limit of 107' "$PLATTER" serve --nbd "./$long" \
		disk.qcow2
}

@test "without nbdkit, or without the plugin, the remedy is told" {
	copy qcow2
	mkdir bin
	fails 2 'nbdkit was not found: install it' env PATH="$PWD/bin" \
		"$PLATTER" serve --nbd sock disk.qcow2
	fails 2 '/nosuch.so' env PLATTER_NBDKIT_PLUGIN=/nosuch.so \
		"$PLATTER" serve --nbd sock disk.qcow2
	[ ! -e sock ]
	nothing_left
}

# By platter serve, whose process is $serve, until it answers.
serve_qcow2()
{
	copy qcow2
	"$PLATTER" serve --nbd sock disk.qcow2 >serve.out 2>&1 3>&- &
	serve=$!
	until [ -S sock ] && qemu-io -f raw -c quit "$(uri)" 2>/dev/null; do
		kill -0 "$serve" || fail "$(cat serve.out)"
		sleep 0.02
	done
}

@test "an idle client does not hold up the end" {
	serve_qcow2
	idle "$(uri)"
	kill -TERM "$serve"
	gone "$serve"
	kill "$idle_pid"
	nothing_left
	[ ! -e sock ]
	qemu-img check -q disk.qcow2
	run qemu-io -r -c 'read -P 9 1M 4k' disk.qcow2
	refute_output --partial 'Pattern verification'
}

@test "nbdkit writes back and ends when its parent is killed" {
	serve_qcow2
	child=$(served_by "$serve")
	idle "$(uri)"
	kill -KILL "$serve"
	gone "$child"
	kill "$idle_pid"
	qemu-img check -q disk.qcow2
	run qemu-io -r -c 'read -P 9 1M 4k' disk.qcow2
	refute_output --partial 'Pattern verification'
}

@test "that nbdkit was killed is an error" {
	serve_qcow2
	kill -KILL "$(served_by "$serve")"
	rc=0
	wait "$serve" || rc=$?
	assert_equal "$rc" 2
	grep 'killed by signal 9' serve.out
	[ ! -e sock ]
}
