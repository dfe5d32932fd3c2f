# SPDX-License-Identifier: LGPL-2.1-or-later
# Writing qcow2 images: qemu reads what we write, finds nothing wrong with it,
# and its map says the same as after its own writes.

load lib/qcow2

setup()
{
	common_setup
	need qemu-img qemu-io
}

# twice COMMAND...: by qemu-io on theirs.qcow2 and by us on ours.qcow2.
twice()
{
	printf '%s\n' "$@" >commands
	quietly qemu-io -d unmap -f qcow2 theirs.qcow2 <commands
	image-io -d unmap -f qcow2 ours.qcow2 <commands
}

create()
{
	qemu-img create -q -f qcow2 -o "$1" "${@:2}" theirs.qcow2 8390144
	qemu-img create -q -f qcow2 -o "${1//theirs/ours}" "${@:2}" \
		ours.qcow2 8390144
}

# One line for each range of one kind, without where it is stored.
map_of()
{
	qemu-img map --output=json "$1" | jq -r '
		reduce .[] as $e ([];
			($e | [.depth, .present, .zero, .data]) as $k |
			if length > 0 and .[-1].k == $k
			then .[-1].n += $e.length
			else . + [{k: $k, n: $e.length}] end) |
		.[] | "\(.n) \(.k)"'
}

# Content, map and the verdict of check are what they are of qemu's.
same()
{
	need jq
	quietly qemu-img compare ours.qcow2 theirs.qcow2
	quietly qemu-img check ours.qcow2
	quietly "$PLATTER" check ours.qcow2
	diff <(map_of theirs.qcow2) <(map_of ours.qcow2)
}

write_things()
{
	twice 'write -P 1 0 300k' 'write -P 2 1000k 5k' 'write -P 3 77 99' \
		'write -P 4 8390000 144' 'write -P 5 5M 700k' \
		'write -P 6 1002k 1k' 'write -P 7 5500k 300k'
}

clear_things()
{
	twice 'write -z 64k 200k' 'write -z 4k 512' 'write -z -u 5M 100k' \
		'write -z 7M 10k' 'discard 5500k 100k' 'discard 700 90k' \
		'write -z 8388608 1536' 'write -z -u 8250000 140144' \
		'discard 8382464 7680'
}

everything()
{
	write_things
	same
	clear_things
	same
	write_things
	same
}

@test "clusters of every size are written as qemu writes them" {
	for size in 512 1k 2k 4k 8k 16k 32k 64k 128k 256k 512k 1M 2M; do
		create cluster_size=$size
		write_things
		clear_things
		write_things
		same
	done
}

@test "refcounts of every width are kept as qemu keeps them" {
	for bits in 1 2 4 8 16 32 64; do
		create cluster_size=1k,refcount_bits=$bits
		everything
	done
}

@test "version 2 is written as qemu writes it" {
	create compat=0.10
	everything
	create compat=0.10,cluster_size=512
	everything
}

@test "extended L2 entries are written as qemu writes them" {
	create extended_l2=on,cluster_size=64k
	everything
	create extended_l2=on,cluster_size=16k
	everything
}

@test "what a backing file has shows around what is written over it" {
	qemu-img create -q -f raw base.raw 7M
	quietly qemu-io -f raw -c 'write -P 99 0 2M' -c 'write -P 98 4M 2M' \
		base.raw
	for options in cluster_size=64k cluster_size=4k,compat=0.10 \
		extended_l2=on,cluster_size=64k cluster_size=512; do
		create $options -b base.raw -F raw
		everything
	done
}

@test "data files are written as qemu writes them" {
	create cluster_size=64k,data_file=theirs.data
	everything
}

@test "a raw data file has the bytes of the disk" {
	create cluster_size=64k,data_file=theirs.data,data_file_raw=on
	everything
	qemu-img convert -O raw ours.qcow2 all.raw
	# qemu-img create makes it longer than the disk.
	cmp -n 8390144 all.raw ours.data
}

@test "lazy refcounts are right after a crash as well" {
	create lazy_refcounts=on,cluster_size=4k
	everything
	image-io -c 'write -P 5 3M 100k' -c flush -c 'write 4M 1M' -c abort \
		ours.qcow2
	run qemu-img check ours.qcow2
	# Leaks there may be.
	[[ $status == 0 || $status == 3 ]]
	quietly qemu-io -r -c 'read -P 5 3M 100k' ours.qcow2
}

@test "compressed clusters are packed, and qemu reads them" {
	for options in cluster_size=64k cluster_size=4k compat=0.10 \
		cluster_size=64k,compression_type=zstd \
		cluster_size=4k,refcount_bits=1; do
		create $options
		twice 'write -c -P 1 0 2M' 'write -c -P 2 3M 64k'
		same
		# They share host clusters, unless these can have one reference.
		[[ $options == *=1 ]] ||
			(($(stat -c %s ours.qcow2) <
				$(stat -c %s theirs.qcow2) + 70000))
		twice 'write -P 3 100k 10k' 'discard 1M 128k' \
			'write -c -P 4 4M 128k' 'write -z 1500k 64k'
		same
	done
}

@test "what a discard gives up is used again" {
	create cluster_size=64k
	image-io -d unmap -c 'write -P 1 0 4M' -c flush -c 'discard 0 4M' \
		-c flush -c 'write -P 2 4M 4M' ours.qcow2
	quietly qemu-img check ours.qcow2
	quietly qemu-io -r -c 'read -P 0 0 4M' -c 'read -P 2 4M 4M' ours.qcow2
	(($(stat -c %s ours.qcow2) < 5000000))
}

@test "a discard gives the space in the file back" {
	create cluster_size=64k
	image-io -d unmap -c 'write -P 1 0 8M' ours.qcow2
	(($(stat -c %b ours.qcow2) * 512 > 8000000))
	image-io -d unmap -c 'discard 0 8M' ours.qcow2
	quietly qemu-img check ours.qcow2
	(($(stat -c %b ours.qcow2) * 512 < 1000000))
}

@test "a refcount table that has to grow stays right" {
	qemu-img create -q -f qcow2 -o cluster_size=512,refcount_bits=64 \
		x.qcow2 64M
	image-io -c 'write -P 1 0 20M' -c 'write -P 2 30M 1M' x.qcow2
	quietly qemu-img check x.qcow2
	quietly qemu-io -r -c 'read -P 1 0 20M' -c 'read -P 0 20M 10M' \
		-c 'read -P 2 30M 1M' x.qcow2
}

@test "a table that refcounts call free is not overwritten" {
	create cluster_size=64k
	image-io -c 'write -P 1 0 64k' ours.qcow2
	# The refcount of the L1 table, whose cluster is the fourth.
	printf '\0\0' | dd of=ours.qcow2 bs=1 seek=$((0x20006)) conv=notrunc \
		status=none
	run image-io -c 'write -P 2 1M 64k' ours.qcow2
	assert_failure
	[[ $output == *'would overwrite the active L1 table'* ]]
	# And the image says so from now on.
	[ "$(byte_at ours.qcow2 79)" = 02 ]
	quietly qemu-io -r -c 'read -P 1 0 64k' ours.qcow2
}

@test "an image grows and shrinks as qemu's does" {
	for options in cluster_size=512 cluster_size=64k \
		extended_l2=on,cluster_size=16k compat=0.10; do
		create $options
		write_things
		for size in 20M 4M 3000832 9M 512 8M; do
			image-io -c "truncate $size" ours.qcow2
			qemu-img resize -q --shrink theirs.qcow2 $size
			same
		done
	done
}

@test "what is added shows nothing of a larger backing file" {
	qemu-img create -q -f raw base.raw 7M
	quietly qemu-io -f raw -c 'write -P 99 0 7M' base.raw
	qemu-img create -q -f qcow2 -b base.raw -F raw ours.qcow2 3000832
	image-io -c 'truncate 9M' ours.qcow2
	quietly qemu-img check ours.qcow2
	quietly qemu-io -r -c 'read -P 99 0 3000832' \
		-c 'read -P 0 3000832 6436352' ours.qcow2
}

@test "an emptied image shows its backing file, and is small" {
	qemu-img create -q -f raw base.raw 8M
	quietly qemu-io -f raw -c 'write -P 99 0 8M' base.raw
	for options in cluster_size=64k cluster_size=512 compat=0.10; do
		qemu-img create -q -f qcow2 -o $options -b base.raw -F raw \
			x.qcow2
		image-io -c 'write -P 1 0 4M' -c empty -c 'write -P 2 1M 64k' \
			x.qcow2
		quietly qemu-img check x.qcow2
		quietly qemu-io -r -c 'read -P 99 0 1M' \
			-c 'read -P 2 1M 64k' -c 'read -P 99 1088k 6M' x.qcow2
		(($(stat -c %s x.qcow2) < 600000))
	done
}
