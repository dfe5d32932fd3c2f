# SPDX-License-Identifier: LGPL-2.1-or-later
# platter measure: the numbers are qemu-img's, and are enough.

load lib/common

setup()
{
	common_setup
}

# same ARGUMENTS...: both print the same JSON.
same()
{
	local ours theirs

	theirs=$(qemu-img measure --output=json "$@" | jq -cS .)
	ours=$("$PLATTER" measure --output=json "$@" | jq -cS .)
	[ -n "$theirs" ] || fail "qemu-img measure $*"
	assert_equal "$*: $ours" "$*: $theirs"
}

# sources: images of every kind, in the current folder.
sources()
{
	truncate -s 5M empty.raw
	truncate -s 10M sparse.raw
	printf x | dd of=sparse.raw bs=1 seek=1000000 conv=notrunc status=none
	printf x | dd of=sparse.raw bs=1 seek=7000000 conv=notrunc status=none
	head -c 3M /dev/urandom >full.raw
	head -c 1000001 /dev/urandom >odd.raw
	qemu-img convert -O qcow2 sparse.raw sparse.qcow2
	yes | head -c 3M >text.raw
	qemu-img convert -c -O qcow2 text.raw compressed.qcow2
	qemu-img create -q -f qcow2 -b sparse.qcow2 -F qcow2 overlay.qcow2 12M
	qemu-io -c 'write 3M 100k' -c 'write -z 900k 200k' overlay.qcow2 >out
	qemu-img create -q -f qcow2 -o compat=0.10 v2.qcow2 9M
	qemu-img create -q -f qcow2 -o extended_l2=on,cluster_size=128k \
		sub.qcow2 9M
	qemu-io -c 'write 3M 5k' sub.qcow2 >out
}

# each SOURCE OPTIONS...: same for one source and each of the options.
each()
{
	local source=$1 o

	shift
	for o; do
		same -O qcow2 -o "$o" "$source"
	done
	same -O qcow2 "$source"
	same -O raw "$source"
	same "$source"
}

@test "raw and qcow2 sources measure as with qemu-img" {
	need qemu-img qemu-io jq
	sources
	for source in empty.raw sparse.raw full.raw odd.raw sparse.qcow2 \
		compressed.qcow2 overlay.qcow2 v2.qcow2 sub.qcow2; do
		each "$source" cluster_size=512 cluster_size=2M \
			refcount_bits=1,cluster_size=4k refcount_bits=64 \
			extended_l2=on,cluster_size=16k
	done
}

@test "versions, preallocation and backing files measure as with qemu-img" {
	need qemu-img qemu-io jq
	sources
	for source in sparse.raw overlay.qcow2; do
		each "$source" compat=0.10 preallocation=metadata \
			preallocation=falloc preallocation=full \
			backing_file=x data_file=x
	done
}

@test "sizes measure as with qemu-img" {
	need qemu-img jq
	for size in 0 1 1000 64k 1M 10G 3T; do
		same --size "$size"
		for o in cluster_size=8k cluster_size=2M refcount_bits=1 \
			refcount_bits=64 extended_l2=on preallocation=full; do
			same -O qcow2 -o "$o" --size "$size"
		done
	done
}

@test "every cluster size measures as with qemu-img" {
	need qemu-img jq
	for size in 512 1k 2k 4k 8k 16k 32k 64k 128k 256k 512k 1M 2M; do
		same -O qcow2 -o "cluster_size=$size" --size 1G
		same -O qcow2 -o "cluster_size=$size,refcount_bits=2" --size 1G
	done
}

@test "bitmaps measure as with qemu-img" {
	need qemu-img jq
	qemu-img create -q -f qcow2 b.qcow2 100M
	qemu-img bitmap --add b.qcow2 a
	qemu-img bitmap --add -g 512 b.qcow2 bb
	qemu-img bitmap --add -g 2M b.qcow2 ccccccccc
	each b.qcow2 cluster_size=512 cluster_size=2M compat=0.10
}

@test "a snapshot measures as with qemu-img, named in any way" {
	need qemu-img qemu-io jq
	qemu-img create -q -f qcow2 s.qcow2 4M
	qemu-io -c 'write 1M 1M' s.qcow2 >out
	qemu-img snapshot -c one s.qcow2
	qemu-io -c 'discard 0 4M' s.qcow2 >out
	same -O qcow2 s.qcow2
	for name in one 1 snapshot.id=1 snapshot.name=one; do
		same -O qcow2 -l "$name" s.qcow2
	done
	fails 1 'there is no snapshot' "$PLATTER" measure -l two s.qcow2
}

@test "an image made by convert takes no more than was measured" {
	need qemu-img jq
	truncate -s 20M disk.raw
	head -c 3M /dev/urandom |
		dd of=disk.raw bs=64K seek=40 conv=notrunc status=none
	for o in cluster_size=512 cluster_size=64k cluster_size=1M; do
		required=$("$PLATTER" measure --output=json -O qcow2 -o "$o" \
			disk.raw | jq .required)
		qemu-img convert -O qcow2 -o "$o" disk.raw disk.qcow2
		end=$(qemu-img check --output=json disk.qcow2 |
			jq '."image-end-offset"')
		((end <= required)) || fail "$o: $end > $required"
	done
}

@test "people get three lines at most" {
	run "$PLATTER" measure -O qcow2 --size 10G
	assert_success
	assert_output "required size: 1900544
fully allocated size: 10739318784"
	"$PLATTER" create -q -f qcow2 i 7M
	run "$PLATTER" measure -O qcow2 i
	assert_output "required size: 327680
fully allocated size: 7667712
bitmaps size: 0"
}

@test "a raw target is as large as the disk" {
	run "$PLATTER" measure --size 1000
	assert_output "required size: 1024
fully allocated size: 1024"
}

@test "either a size or an image is measured" {
	usage_error 'IMAGE is missing' "$PLATTER" measure -O qcow2
	truncate -s 1M i
	usage_error 'cannot be used together' "$PLATTER" measure --size 5 i
	usage_error 'need IMAGE' "$PLATTER" measure --size 5 -f raw
	usage_error 'need IMAGE' "$PLATTER" measure --size 5 -l x
	usage_error 'unexpected argument' "$PLATTER" measure i i
}

@test "what cannot be measured is refused as by qemu-img" {
	need qemu-img
	for arguments in '-o refcount_bits=8,compat=0.10' \
		'-o extended_l2=on,cluster_size=4k' '-o preallocation=foo' \
		'-o cluster_size=3000' '-o foo=1'; do
		# shellcheck disable=SC2086 # two words
		run qemu-img measure -O qcow2 --size 1G $arguments
		assert_failure 1
		# shellcheck disable=SC2086
		run --separate-stderr "$PLATTER" measure -O qcow2 --size 1G \
			$arguments
		assert_failure 1
		assert_output ''
	done
	fails 1 'larger cluster_size' "$PLATTER" measure -O qcow2 --size 7E
	fails 1 'cannot be told' "$PLATTER" measure -O writelog --size 1M
	fails 1 'unknown format' "$PLATTER" measure -O nix --size 1M
}
