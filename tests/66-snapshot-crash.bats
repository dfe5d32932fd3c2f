# SPDX-License-Identifier: LGPL-2.1-or-later
# Snapshots and bitmaps when the power fails, and in long random sequences.

load lib/qcow2

setup()
{
	common_setup
	need qemu-img qemu-io
}

# small [CREATE-OPTION...]: before.qcow2, with two snapshots and data that
# differs from both; one.qcow2, two.qcow2 and before.qcow2 hold what they hold.
small()
{
	qemu-img create -q -f qcow2 -o cluster_size=4k "$@" before.qcow2 4M
	io before.qcow2 'write -P 1 0 600k' 'write -z 1M 64k' \
		'write -c -P 2 2M 64k' 'write -c -P 3 2560k 64k'
	"$PLATTER" snapshot -c one before.qcow2
	cp before.qcow2 one.qcow2
	io before.qcow2 'write -P 4 100k 200k' 'write -P 5 3M 40k'
	"$PLATTER" snapshot -c two before.qcow2
	cp before.qcow2 two.qcow2
	io before.qcow2 'write -P 6 0 50k' 'write -P 7 2M 100k'
}

# recorded COMMAND...: run on after.qcow2, a copy of before.qcow2, with all
# that it writes to the file in writes.log.
recorded()
{
	cp before.qcow2 after.qcow2
	truncate -s 0 writes.log
	"$@" --image-opts driver=qcow2,file.driver=blklogwrites,file.file.`
		`driver=file,file.file.filename=after.qcow2,file.log.`
		`filename=writes.log
}

# Each state must be sound (leaks may be), hold what the disk held before or
# after, and the snapshots that are there what they held.
cat_checker()
{
	cat <<'EOS'
qemu-img check "$1" >check.out 2>&1
case $? in 0 | 3) ;; *) echo "$STATE: $(cat check.out)"; exit 1;; esac
"$PLATTER" check -q "$1" >check.out 2>&1
case $? in 0 | 3) ;; *) echo "$STATE: $(cat check.out)"; exit 2;; esac
"$PLATTER" compare -q "$1" before.qcow2 ||
	"$PLATTER" compare -q "$1" after.qcow2 || exit 3
for name in one two; do
	"$PLATTER" snapshot "$1" | grep -q " $name " || continue
	"$PLATTER" convert -l $name -O raw "$1" s.raw &&
		"$PLATTER" compare -q -f raw s.raw -F qcow2 $name.qcow2 ||
		exit 4
done
exit 0
EOS
}

# survives: every state of writes.log, which are more than a few.
survives()
{
	cat_checker >checker
	export PLATTER
	run crash-states writes.log before.qcow2 state.qcow2 \
		'sh checker state.qcow2'
	assert_success
	(($(sed -n 's/ states, .*//p' <<<"$output") > 10))
	! cmp -s before.qcow2 after.qcow2
}

# leaks_nothing: not even clusters are lost, whenever it stops.
leaks_nothing()
{
	run crash-states writes.log before.qcow2 state.qcow2 \
		'qemu-img check state.qcow2 >/dev/null 2>&1'
	assert_success
}

@test "a power cut while a snapshot is made leaves it undone or done" {
	small
	recorded "$PLATTER" snapshot -c three
	survives
	leaks_nothing
}

@test "a power cut while a snapshot is applied leaves it undone or done" {
	small
	recorded "$PLATTER" snapshot -a one
	survives
	leaks_nothing
}

@test "a power cut while a snapshot is deleted leaves it undone or done" {
	small
	recorded "$PLATTER" snapshot -d one
	survives
	leaks_nothing
}

@test "a power cut while the last snapshot is deleted is survived" {
	small
	"$PLATTER" snapshot -d two before.qcow2
	recorded "$PLATTER" snapshot -d one
	survives
	leaks_nothing
}

@test "a power cut is survived in version 2 and with extended L2 entries" {
	small -o compat=0.10
	recorded "$PLATTER" snapshot -d two
	survives
	small -o extended_l2=on,cluster_size=16k
	recorded "$PLATTER" snapshot -c three
	survives
	recorded "$PLATTER" snapshot -d one
	survives
}

# room FILE: bytes between its end and what its refcount table reaches to, with
# clusters of 512 bytes and refcounts of 64 bits.
room()
{
	echo $((16#$(byte_at "$1" 56 4) * 64 * 64 * 512 - $(stat -c %s "$1")))
}

@test "a power cut while the refcount table has to grow is survived" {
	local at=1536

	qemu-img create -q -f qcow2 -o cluster_size=512,refcount_bits=64 \
		before.qcow2 6M
	io before.qcow2 'write -P 1 0 1536k'
	while (($(room before.qcow2) > 30000)); do
		io before.qcow2 "write -P 1 ${at}k 16k"
		at=$((at + 16))
	done
	recorded "$PLATTER" snapshot -c three
	[ "$(byte_at before.qcow2 56 4)" != "$(byte_at after.qcow2 56 4)" ]
	quietly qemu-img check after.qcow2
	"$PLATTER" compare -q after.qcow2 before.qcow2
	# Some of the states, as there are many.
	# shellcheck disable=SC2016
	crash-states writes.log before.qcow2 state.qcow2 \
		'[ $(($(echo $STATE | tr -dc 0-9) % 7)) -ne 0 ] ||
			qemu-img check state.qcow2 >/dev/null 2>&1'
}

# A bitmap that is not in use covers all that has changed: either nothing has,
# or the image is as it was to become.
@test "a power cut while bitmaps are stored leaves them right or in use" {
	need jq
	qemu-img create -q -f qcow2 -o cluster_size=4k before.qcow2 4M
	qemu-img bitmap --add -g 512 before.qcow2 b
	io before.qcow2 'write -P 1 0 600k'
	recorded image-io -c 'write -P 2 1M 100k' -c flush -c 'write -P 3 0 9k'
	cat >checker <<'EOS'
qemu-img check state.qcow2 >check.out 2>&1
case $? in 0 | 3) ;; *) cat check.out; exit 1;; esac
flags=$(qemu-img info --output=json state.qcow2 |
	jq -r '."format-specific".data.bitmaps // [] | .[0].flags | join(" ")')
[ "$flags" = auto ] || exit 0
"$PLATTER" compare -q state.qcow2 before.qcow2 && echo old >>kinds && exit 0
"$PLATTER" compare -q state.qcow2 after.qcow2 && echo new >>kinds
EOS
	export PLATTER
	crash-states writes.log before.qcow2 state.qcow2 'sh checker'
	grep -q old kinds
	grep -q new kinds
}

# --- random sequences -------------------------------------------------------

# by TOOL FILE OPERATION: one of a sequence.
by()
{
	case $3 in
	-*)
		# shellcheck disable=SC2086
		"$1" snapshot $3 "$2";;
	*)
		io "$2" "$3";;
	esac
}

# agree: the disk and every snapshot are the same in a.qcow2 and b.qcow2.
agree()
{
	local id

	quietly qemu-img check a.qcow2
	quietly "$PLATTER" check a.qcow2
	"$PLATTER" compare -q a.qcow2 b.qcow2
	diff <(qemu-img snapshot -l a.qcow2 | awk '{ print $1, $2 }') \
		<(qemu-img snapshot -l b.qcow2 | awk '{ print $1, $2 }')
	for id in $(qemu-img snapshot -l b.qcow2 |
			awk 'NR > 2 { print $1 }'); do
		"$PLATTER" convert -l snapshot.id="$id" -O raw a.qcow2 a.raw
		qemu-img convert -l snapshot.id="$id" -O raw b.qcow2 b.raw
		cmp a.raw b.raw
	done
}

# operation: sets $op, and keeps the names of snapshots in $names.
operation()
{
	local at=$((RANDOM % 2048 * 512)) len=$((RANDOM % 300 * 512 + 512)) i

	case $((RANDOM % 10)) in
	0 | 1 | 2) op="write -P $((RANDOM % 255 + 1)) $at $len";;
	3) op="write -z $at $len";;
	4) op="discard $at $len";;
	5 | 6)
		op="-c s$step"
		names+=("s$step");;
	7 | 8)
		op="-a ${names[RANDOM % ${#names[@]}]}";;
	9)
		if ((${#names[@]} < 2)); then
			operation
			return
		fi
		i=$((RANDOM % ${#names[@]}))
		op="-d ${names[i]}"
		names=("${names[@]:0:i}" "${names[@]:i+1}");;
	esac
}

# sequence SEED CREATE-OPTIONS
sequence()
{
	local op step
	local -a names=(s0)

	RANDOM=$1
	rm -f ./*.qcow2
	qemu-img create -q -f qcow2 -o "$2" a.qcow2 2M
	io a.qcow2 'write -P 1 100k 300k'
	cp a.qcow2 b.qcow2
	by "$PLATTER" a.qcow2 '-c s0'
	by qemu-img b.qcow2 '-c s0'
	for step in {1..14}; do
		operation
		by "$PLATTER" a.qcow2 "$op" || fail "$1: step $step: $op"
		by qemu-img b.qcow2 "$op" || fail "$1: step $step: $op"
		((step % 5)) || agree || fail "$1: step $step: $op"
	done
	agree || fail "seed $1"
}

@test "random sequences leave what qemu-img leaves: small clusters" {
	sequence 1 cluster_size=512
	sequence 2 cluster_size=4k,refcount_bits=64
}

@test "random sequences leave what qemu-img leaves: large clusters" {
	sequence 3 cluster_size=64k
	sequence 4 cluster_size=256k,refcount_bits=8
}

@test "random sequences leave what qemu-img leaves: version 2" {
	sequence 5 compat=0.10,cluster_size=8k
}

@test "random sequences leave what qemu-img leaves: extended L2 entries" {
	sequence 6 extended_l2=on,cluster_size=16k
}
