# SPDX-License-Identifier: LGPL-2.1-or-later
# What qemu-img and qemu-io write to a qcow2 image, platter reads.

load lib/qcow2

setup()
{
	common_setup
}

# each_refcount_width CLUSTER-SIZE...
each_refcount_width()
{
	local size bits

	for size; do
		for bits in 1 2 4 8 16 32 64; do
			rm -f x.qcow2
			make_image x.qcow2 \
				-o "cluster_size=$size,refcount_bits=$bits"
			same_content x.qcow2 || fail "$size, $bits bits"
		done
	done
}

@test "clusters of 512 bytes to 2 KiB are read, with every refcount width" {
	each_refcount_width 512 1k 2k
}

@test "clusters of 4 to 32 KiB are read, with every refcount width" {
	each_refcount_width 4k 8k 16k 32k
}

@test "clusters of 64 to 256 KiB are read, with every refcount width" {
	each_refcount_width 64k 128k 256k
}

@test "clusters of 512 KiB to 2 MiB are read, with every refcount width" {
	each_refcount_width 512k 1M 2M
}

@test "version 2 is read, with every cluster size" {
	local size

	for size in 512 1k 2k 4k 8k 16k 32k 64k 128k 256k 512k 1M 2M; do
		rm -f x.qcow2
		make_image x.qcow2 -o "compat=0.10,cluster_size=$size"
		same_content x.qcow2 || fail "$size"
	done
}

@test "extended L2 entries are read, with every cluster size" {
	local size

	for size in 16k 32k 64k 128k 256k 512k 1M 2M; do
		rm -f x.qcow2
		make_image x.qcow2 -o "extended_l2=on,cluster_size=$size"
		same_content x.qcow2 || fail "$size"
	done
}

@test "subclusters over a backing file are read" {
	make_image base.qcow2
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 \
		-o extended_l2=on,cluster_size=128k x.qcow2
	quietly qemu-io -c 'write -P 9 4k 4k' -c 'write -P 8 132k 60k' \
		-c 'write -z 140k 8k' -c 'discard 2M 4k' \
		-c 'write -z 2052k 40k' x.qcow2
	same_content x.qcow2
}

@test "zstd is read, with every cluster size" {
	local size

	for size in 512 1k 2k 4k 8k 16k 32k 64k 128k 256k 512k 1M 2M; do
		rm -f x.qcow2
		make_image x.qcow2 \
			-o "compression_type=zstd,cluster_size=$size"
		same_content x.qcow2 || fail "$size"
	done
}

@test "compressed clusters of real data are read, deflate and zstd" {
	local type

	head -c 6M "$(type -P qemu-img)" >data
	truncate -s %512 data
	for type in zlib zstd; do
		qemu-img convert -c -O qcow2 -o compression_type=$type data \
			"$type.qcow2"
		"$PLATTER" convert -O raw "$type.qcow2" out
		cmp data out || fail "$type"
		rm out
	done
}

@test "compressed clusters are read in small pieces" {
	head -c 2M "$(type -P qemu-img)" >data
	qemu-img convert -c -O qcow2 data x.qcow2
	# Clusters of 512 bytes ask for them in pieces of that.
	quietly qemu-img create -q -f qcow2 -b x.qcow2 -F qcow2 \
		-o cluster_size=512 top.qcow2
	local i
	for ((i = 0; i < 40; i++)); do
		echo "write -P 7 $((i * 49152 + 1024)) 512"
	done | quietly qemu-io top.qcow2
	same_content top.qcow2
}

@test "a data file is read" {
	make_plain_image x.qcow2 -o data_file=x.data
	same_content x.qcow2
}

@test "a raw data file is read" {
	make_plain_image x.qcow2 -o data_file=x.data,data_file_raw=on
	same_content x.qcow2
}

@test "a chain of four with different cluster sizes is read" {
	make_image a.qcow2 -o cluster_size=4k
	qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 -o cluster_size=2M \
		b.qcow2 6M
	qemu-img create -q -f qcow2 -b b.qcow2 -F qcow2 -o cluster_size=512 \
		c.qcow2 7M
	qemu-img create -q -f qcow2 -b c.qcow2 -F qcow2 \
		-o cluster_size=16k,extended_l2=on d.qcow2 9M
	quietly qemu-io -c 'write -P 11 10k 3k' -c 'write -z 3M 64k' b.qcow2
	quietly qemu-io -c 'write -P 12 12k 1k' -c 'discard 5M 512' \
		-c 'write -P 13 6500k 100k' c.qcow2
	quietly qemu-io -c 'write -P 14 13k 512' -c 'write -z 2M 1k' \
		-c 'write -P 15 8M 1k' d.qcow2
	same_content d.qcow2
	same_content c.qcow2
	same_json map d.qcow2
}

@test "a raw backing file that is shorter ends in zeros" {
	head -c 1000k /dev/urandom >base.raw
	qemu-img create -q -f qcow2 -b base.raw -F raw x.qcow2 3M
	quietly qemu-io -c 'write -P 1 2M 1k' x.qcow2
	same_content x.qcow2
}

@test "a backing file without a stored format is probed" {
	make_image base.qcow2
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 x.qcow2 8M
	# The end of the extensions, where the format stood.
	put x.qcow2 112 00000000
	"$PLATTER" convert -O raw x.qcow2 ours
	"$PLATTER" convert -O raw base.qcow2 base.raw
	cmp -n 8388608 ours base.raw
}

@test "zero clusters hide the backing file" {
	make_image base.qcow2
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 x.qcow2
	quietly qemu-io -c 'write -z 0 1M' -c 'write -z -u 2M 256k' x.qcow2
	same_content x.qcow2
}

@test "preallocated clusters read as zeros" {
	local mode

	for mode in metadata falloc full; do
		qemu-img create -q -f qcow2 -o preallocation=$mode x.qcow2 4M
		same_content x.qcow2 || fail "$mode"
	done
}

@test "a size that is no multiple of a cluster is read to its end" {
	qemu-img create -q -f qcow2 x.qcow2 70000
	quietly qemu-io -c 'write -P 5 0 69632' x.qcow2
	same_content x.qcow2
}

@test "an internal snapshot is read as the image was" {
	make_image x.qcow2
	qemu-img snapshot -c one x.qcow2
	quietly qemu-io -c 'write -P 77 0 4M' x.qcow2
	same_content -l one x.qcow2
	same_content -l snapshot.name=one x.qcow2
	same_content x.qcow2
}

@test "a snapshot is shown by its option, too" {
	make_image x.qcow2
	qemu-img convert -O raw x.qcow2 before
	qemu-img snapshot -c one x.qcow2
	quietly qemu-io -c 'write -P 77 0 4M' x.qcow2
	"$PLATTER" convert -O raw --image-opts \
		driver=qcow2,file.filename=x.qcow2,snapshot=one ours
	cmp ours before
}

@test "the holes of a file that was truncated read as qemu reads them" {
	make_image x.qcow2
	truncate -s -100k x.qcow2
	same_content x.qcow2
}

@test "an L2 entry that breaks the rules is an error that says where" {
	make_image x.qcow2
	local l1 l2
	l1=$((16#$(byte_at x.qcow2 40 8)))
	l2=$((16#$(byte_at x.qcow2 "$l1" 8) & 0xfffffffffffe00))
	put x.qcow2 $((l2 + 15)) ff
	fails 1 'offset 65536' "$PLATTER" convert -O raw x.qcow2 out
	[ ! -e out ]
}

@test "compressed data that is damaged is an error that says where" {
	make_image x.qcow2
	# Cluster 40, of 64 KiB: its L2 entry, and where that points to.
	local l1 l2 host
	l1=$((16#$(byte_at x.qcow2 40 8)))
	l2=$((16#$(byte_at x.qcow2 "$l1" 8) & 0xfffffffffffe00))
	host=$((16#$(byte_at x.qcow2 $((l2 + 8 * 40)) 8) & (1 << 54) - 1))
	put x.qcow2 "$host" ffffffff
	fails 1 'compressed at' "$PLATTER" convert -O raw x.qcow2 out
}
