# SPDX-License-Identifier: LGPL-2.1-or-later
# What a power cut leaves of a qcow2 image that was being written to. The
# writes are recorded, and every prefix is tried, and everything up to a flush
# with one write less, or one more. Clusters may be lost; nothing else.

load lib/qcow2

setup()
{
	common_setup
	need qemu-img qemu-io jq
	commands=()
	truths=()
}

# base CREATE-ARGUMENT...: before.qcow2.
base()
{
	qemu-img create -q -f qcow2 -o "$1" before.qcow2 "${@:2}"
}

# phase COMMANDS TRUTHS: writes that end with a flush, and the reads, in words
# of qemu-io, that hold from then on. Both are separated by semicolons.
phase()
{
	commands+=("$1")
	truths+=("$2")
}

each()
{
	tr -d '\n\t' <<<"$1" | tr ';' '\n' | sed 's/^ *//'
	echo
}

# record: writes.log and after.qcow2, and in ends how long the log was after
# each phase.
record()
{
	local command

	cp before.qcow2 after.qcow2
	truncate -s 0 writes.log
	for command in "${commands[@]}"; do
		each "$command"
		echo flush
		echo size writes.log
	done >script
	image-io -d unmap --image-opts driver=qcow2,file.driver=blklogwrites,`
		`file.file.driver=file,file.file.filename=after.qcow2,`
		`file.log.filename=writes.log <script >ends
	[ "$(wc -l <ends)" -eq ${#commands[@]} ]
}

# make_checker: a script that looks at state.qcow2, which has all entries below
# the number that STATE begins with, as far as a flush is between.
make_checker()
{
	local i end entries

	platter log list --output=json writes.log >entries.json
	cat <<'EOS'
qemu-img check state.qcow2 >check.out 2>&1
case $? in 0 | 3) ;; *) cat check.out; exit 1;; esac
platter check -q state.qcow2 >check.out 2>&1
case $? in 0 | 3) ;; *) cat check.out; exit 2;; esac
first=${STATE%%[-+]*}
set --
EOS
	mapfile -t ends <ends
	for i in "${!ends[@]}"; do
		end=${ends[i]}
		entries=$(jq "map(select(.\"log-offset\" < $end)) | length" \
			entries.json)
		echo "if [ \$first -ge $entries ]; then"
		each "${truths[i]}" | sed "s/.*/set -- \"\$@\" -c '&'/"
		echo "fi"
	done
	cat <<'EOS'
[ $# -gt 0 ] || exit 0
qemu-io -r -f qcow2 "$@" state.qcow2 >io.out 2>&1 &&
	! grep -q failed io.out || { cat io.out; exit 3; }
EOS
}

# survives [AT-LEAST [ONE-IN]]: so many states, or one in so many of them.
survives()
{
	record
	make_checker >checker
	each "$(IFS=';' && echo "${truths[*]}")" | while read -r read; do
		quietly qemu-io -r -f qcow2 -c "$read" after.qcow2
	done
	run crash-states writes.log before.qcow2 state.qcow2 \
		"[ \$((\${STATE%%[-+]*} % ${2:-1})) -ne 0 ] || sh checker"
	assert_success
	(($(sed -n 's/ states, .*//p' <<<"$output") >= ${1:-10}))
}

allocate()
{
	phase 'write -P 1 0 100k; write -P 2 1M 3k' \
		'read -P 1 0 50000; read -P 2 1M 3k'
	phase 'write -P 3 1030k 20k; write -P 4 3M 64k; write -P 5 50000 7' \
		'read -P 3 1030k 20k; read -P 4 3M 64k; read -P 5 50000 7'
	phase 'write -P 6 2M 1; write -P 7 100k 100k' \
		'read -P 6 2M 1; read -P 7 100k 100k'
}

@test "a power cut during allocating writes loses nothing that was flushed" {
	base cluster_size=4k 4M
	allocate
	survives
}

@test "so it is with clusters of 512 bytes, and with those of 64 KiB" {
	base cluster_size=512 4M
	allocate
	survives
	base cluster_size=64k 4M
	survives
}

@test "so it is in version 2" {
	base compat=0.10,cluster_size=4k 4M
	allocate
	survives
}

@test "so it is with extended L2 entries" {
	base extended_l2=on,cluster_size=16k 4M
	allocate
	survives
}

@test "so it is over a backing file" {
	qemu-img create -q -f raw base.raw 4M
	quietly qemu-io -f raw -c 'write -P 9 0 4M' base.raw
	base cluster_size=4k -b base.raw -F raw
	phase 'write -P 1 1000 10; write -P 2 1M 6k' \
		'read -P 9 0 1000; read -P 1 1000 10; read -P 9 1010 3000;
		read -P 2 1M 6k; read -P 9 1030k 2k'
	phase 'write -z 2M 6k; discard 3M 64k' \
		'read -P 0 2M 6k; read -P 0 3M 64k; read -P 9 2054k 2k'
	survives
}

@test "clusters that were given up hold nothing else before that is durable" {
	base cluster_size=4k 4M
	phase 'write -P 1 0 64k; write -P 2 1M 64k' \
		'read -P 2 1064k 24k'
	phase 'discard 0 64k; write -P 3 2M 32k' 'read -P 3 2M 32k'
	phase 'write -P 4 3M 64k; write -z -u 1M 40k' 'read -P 4 3M 64k'
	phase 'write -P 5 1M 8k; write -P 6 0 64k' \
		'read -P 5 1M 8k; read -P 6 0 64k; read -P 0 1034k 30k'
	survives 30
}

@test "compressed clusters survive, and what is written over them" {
	base cluster_size=64k 4M
	phase 'write -c -P 1 0 256k' 'read -P 1 0 100k'
	phase 'write -c -P 2 1M 128k; write -P 3 130000 5' \
		'read -P 2 1M 128k; read -P 1 100000 30000; read -P 3 130000 5'
	phase 'write -P 4 200k 20k; write -c -P 5 2M 64k' \
		'read -P 4 200k 20k; read -P 5 2M 64k'
	survives
}

@test "writes after a snapshot leave it and the disk as they were" {
	base cluster_size=4k 4M
	quietly qemu-io -c 'write -P 1 0 64k' -c 'write -P 2 3M 64k' \
		before.qcow2
	qemu-img snapshot -c one before.qcow2
	phase 'write -P 3 0 10k; write -P 4 3100k 4k' \
		'read -P 3 0 10k; read -P 1 10k 50k; read -P 4 3100k 4k;
		read -P 2 3M 20k'
	phase 'discard 60k 4k; write -P 5 1M 12k' 'read -P 5 1M 12k'
	survives
}

reftable_clusters()
{
	byte_at "$1" 56 4
}

@test "a power cut while the refcount table grows is survived" {
	base cluster_size=512,refcount_bits=64 4M
	quietly qemu-io -c 'write -P 1 0 1900k' before.qcow2
	phase 'write -P 2 2M 70k' 'read -P 1 0 1900k; read -P 2 2M 70k'
	phase 'write -P 3 3M 90k' 'read -P 3 3M 90k'
	survives 60 4
	[ "$(reftable_clusters before.qcow2)" != \
		"$(reftable_clusters after.qcow2)" ]
}

@test "a power cut while the L1 table grows is survived" {
	base cluster_size=512 1M
	quietly qemu-io -c 'write -P 1 0 40k' before.qcow2
	phase 'write -P 2 50k 5k; truncate 6M' 'read -P 1 0 40k;
		read -P 2 50k 5k'
	phase 'write -P 3 4M 5k; truncate 9M; write -P 4 8M 3k' \
		'read -P 3 4M 5k; read -P 4 8M 3k; read -P 0 5M 1M'
	survives
	[ "$(byte_at before.qcow2 36 12)" != "$(byte_at after.qcow2 36 12)" ]
}

@test "a power cut while an image shrinks is survived" {
	base cluster_size=512 4M
	phase 'write -P 1 0 40k; write -P 2 3M 10k' 'read -P 1 0 20k'
	phase 'truncate 33k; write -P 3 20k 100' 'read -P 3 20k 100'
	survives
}

@test "a power cut while an image is emptied shows old data or none" {
	base cluster_size=4k 4M
	quietly qemu-io -c 'write -P 1 0 40k' -c 'write -P 2 3M 64k' \
		before.qcow2
	phase 'empty' 'read -P 0 0 4M'
	survives 2
	[ "$(stat -c %s after.qcow2)" -lt 20000 ]
}

@test "a power cut while an image with a snapshot is emptied is survived" {
	base cluster_size=4k 4M
	quietly qemu-io -c 'write -P 1 0 40k' -c 'write -P 2 3M 64k' \
		before.qcow2
	qemu-img snapshot -c one before.qcow2
	phase 'empty; write -P 3 1M 4k' 'read -P 0 0 40k; read -P 3 1M 4k'
	survives
}
