# SPDX-License-Identifier: LGPL-2.1-or-later
# platter map of qcow2 images, which is qemu-img's to the letter.

load lib/qcow2

setup()
{
	common_setup
	need qemu-img qemu-io
}

# same ARGUMENT...: as JSON and, for an image that text can show, as text.
same()
{
	same_json map "$@" || return
	if qemu-img map "$@" >/dev/null 2>&1; then
		same_text map "$@"
	fi
}

@test "JSON is qemu-img's, with every cluster size" {
	local size

	for size in 512 1k 2k 4k 8k 16k 32k 64k 128k 256k 512k 1M 2M; do
		rm -f x.qcow2
		make_image x.qcow2 -o "cluster_size=$size"
		same x.qcow2 || fail "$size"
	done
}

@test "text is qemu-img's, with every cluster size" {
	local size

	# Without the compressed clusters that text cannot show.
	unset 'FILL[6]' 'FILL[7]'
	for size in 512 1k 2k 4k 8k 16k 32k 64k 128k 256k 512k 1M 2M; do
		rm -f x.qcow2
		make_image x.qcow2 -o "cluster_size=$size"
		same_text map x.qcow2 || fail "$size"
	done
}

@test "extended L2 entries are mapped as by qemu-img" {
	local size

	for size in 16k 64k 128k 2M; do
		rm -f x.qcow2
		make_image x.qcow2 -o "extended_l2=on,cluster_size=$size"
		same x.qcow2 || fail "$size"
	done
}

@test "subclusters over a backing file are mapped as by qemu-img" {
	make_image base.qcow2
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 \
		-o extended_l2=on,cluster_size=128k x.qcow2 9M
	quietly qemu-io -c 'write -P 9 4k 4k' -c 'write -P 8 132k 60k' \
		-c 'write -z 140k 8k' -c 'write -z 2052k 40k' \
		-c 'write -P 3 8400k 4k' x.qcow2
	same x.qcow2
}

@test "version 2 is mapped as by qemu-img" {
	make_image x.qcow2 -o compat=0.10
	same x.qcow2
}

@test "a data file is mapped as by qemu-img" {
	make_plain_image x.qcow2 -o data_file=x.data
	same x.qcow2
	make_plain_image y.qcow2 -o data_file=y.data,data_file_raw=on
	same y.qcow2
}

@test "a chain is mapped as by qemu-img" {
	make_image a.qcow2
	qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2 6M
	quietly qemu-io -c 'write -P 7 100k 100k' -c 'write -z 2M 64k' b.qcow2
	qemu-img create -q -f qcow2 -b b.qcow2 -F qcow2 -o cluster_size=4k \
		c.qcow2 9M
	quietly qemu-io -c 'write -P 7 7M 100k' -c 'discard 7M 64k' c.qcow2
	same b.qcow2
	same c.qcow2
}

@test "a chain with a raw end is mapped as by qemu-img" {
	truncate -s 3M base.raw
	printf hello | dd of=base.raw bs=1 seek=1M conv=notrunc status=none
	qemu-img create -q -f qcow2 -b base.raw -F raw x.qcow2 5M
	quietly qemu-io -c 'write -P 7 100k 100k' -c 'write -z 2M 64k' x.qcow2
	same x.qcow2
}

@test "preallocated images are mapped as by qemu-img" {
	local mode

	for mode in metadata falloc full; do
		rm -f x.qcow2
		qemu-img create -q -f qcow2 -o preallocation=$mode x.qcow2 40M
		quietly qemu-io -c 'write -P 1 5M 100k' x.qcow2
		same x.qcow2 || fail "$mode"
	done
}

@test "-s and -l clip as qemu-img's do" {
	make_image x.qcow2
	same -s 100k x.qcow2
	same -l 300k x.qcow2
	same -s 64k -l 64k x.qcow2
	same --start-offset=1000 --max-length=3M x.qcow2
	same -s 9M x.qcow2
}

@test "text of compressed clusters is an error that says so" {
	make_image x.qcow2
	run --separate-stderr "$PLATTER" map x.qcow2
	assert_failure 1
	complained 'File contains external, encrypted or compressed clusters'
	assert_equal "$output" "$(qemu-img map x.qcow2 2>/dev/null)"
}

@test "a snapshot is mapped as the image was" {
	# In whole clusters, so that the file has no holes to tell of.
	local -a FILL=(-c 'write -P 1 0 320k' -c 'write -z 1M 128k'
		-c 'write -P 2 3M 64k' -c 'write -c -P 3 5M 64k')

	make_image x.qcow2
	local before
	before=$("$PLATTER" map --output=json x.qcow2)
	qemu-img snapshot -c one x.qcow2
	quietly qemu-io -c 'write -P 77 0 4M' x.qcow2
	run "$PLATTER" map --output=json --image-opts \
		driver=qcow2,file.filename=x.qcow2,snapshot=one
	assert_output "$before"
}

@test "damage further on does not hide what lies before it" {
	make_image x.qcow2 -o cluster_size=4k
	local l1 l2
	l1=$((16#$(byte_at x.qcow2 40 8)))
	l2=$((16#$(byte_at x.qcow2 $((l1 + 16)) 8) & 0xfffffffffffe00))
	put x.qcow2 $((l2 + 7)) 02
	run "$PLATTER" map -l 4M --output=json x.qcow2
	assert_success
	run --separate-stderr "$PLATTER" map -s 4M x.qcow2
	assert_failure 1
	complained 'offset 4194304'
}
