# SPDX-License-Identifier: LGPL-2.1-or-later
# platter info of qcow2 images, which is qemu-img's to the letter.

load lib/qcow2

setup()
{
	common_setup
	need qemu-img qemu-io
}

# same ARGUMENT...: as JSON and as text.
same()
{
	same_json info "$@" && same_text info "$@"
}

@test "each creation option is told as qemu-img tells it" {
	local options

	for options in compat=0.10 compat=1.1 cluster_size=512 \
		cluster_size=2M refcount_bits=1 refcount_bits=64 \
		lazy_refcounts=on extended_l2=on compression_type=zstd \
		preallocation=metadata data_file=d.raw \
		data_file=d2.raw,data_file_raw=on; do
		rm -f x.qcow2
		qemu-img create -q -f qcow2 -o "$options" x.qcow2 3M
		same x.qcow2 || fail "$options"
	done
}

@test "a size that is no multiple of 512 is told as qemu-img tells it" {
	qemu-img create -q -f qcow2 x.qcow2 1M
	put x.qcow2 24 "$(be64 1000001)"
	same x.qcow2
}

@test "the backing file and its path are told as qemu-img tells them" {
	mkdir dir
	qemu-img create -q -f qcow2 dir/base.qcow2 1M
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 dir/top.qcow2
	same dir/top.qcow2
	cd dir
	same top.qcow2
	qemu-img create -q -f qcow2 -b "$PWD/base.qcow2" -F qcow2 abs.qcow2
	same abs.qcow2
	same ../dir/top.qcow2
}

@test "a backing file that is missing is told all the same" {
	qemu-img create -q -f qcow2 -u -b gone.qcow2 -F qcow2 x.qcow2 1M
	same x.qcow2
	qemu-img create -q -f qcow2 -u -b nbd://host:1/x -F raw x.qcow2 1M
	same x.qcow2
}

@test "--backing-chain goes from the image down" {
	qemu-img create -q -f raw a.raw 1M
	qemu-img create -q -f qcow2 -b a.raw -F raw b.qcow2
	qemu-img create -q -f qcow2 -b b.qcow2 -F qcow2 c.qcow2 2M
	qemu-img create -q -f qcow2 -b c.qcow2 -F qcow2 d.qcow2
	same --backing-chain d.qcow2
	same --backing-chain a.raw
}

@test "--backing-chain of a chain that is broken is an error" {
	qemu-img create -q -f qcow2 -u -b gone.qcow2 -F qcow2 x.qcow2 1M
	run "$PLATTER" info --backing-chain x.qcow2
	assert_failure 1
	assert_output --partial 'No such file or directory'
}

@test "snapshots are told as qemu-img tells them" {
	make_image x.qcow2
	qemu-img snapshot -c one x.qcow2
	qemu-img snapshot -c 'a name of more than sixteen' x.qcow2
	qemu-img snapshot -c 12 x.qcow2
	same x.qcow2
}

@test "a snapshot with machine state is told as qemu-img tells it" {
	qemu-img create -q -f qcow2 x.qcow2 8M
	qemu-img snapshot -c one x.qcow2
	local table
	table=$((16#$(byte_at x.qcow2 64 8)))
	# 3 hours, 25 minutes, 45.678 s; 5 MiB; an instruction count.
	put x.qcow2 $((table + 24)) "$(be64 12345678000000)"
	put x.qcow2 $((table + 40)) "$(be64 5242880)"
	put x.qcow2 $((table + 56)) "$(be64 77)"
	same x.qcow2
}

@test "bitmaps are told as qemu-img tells them" {
	make_image x.qcow2
	qemu-img bitmap --add x.qcow2 one
	qemu-img bitmap --add --disable -g 512 x.qcow2 two
	qemu-img bitmap --add -g 2G x.qcow2 'three and more'
	same x.qcow2
}

@test "a bitmap in use is told as qemu-img tells it" {
	make_image x.qcow2
	qemu-img bitmap --add x.qcow2 one
	qemu-img bitmap --add --disable x.qcow2 two
	run qemu-io -c 'write 0 1k' -c abort x.qcow2
	same x.qcow2
}

@test "the marks dirty and corrupt are told as qemu-img tells them" {
	make_image x.qcow2 -o lazy_refcounts=on
	put x.qcow2 79 01
	same x.qcow2
	put x.qcow2 79 02
	same x.qcow2
}

@test "encrypted images are told as qemu-img tells them" {
	local essiv=cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256
	local options

	for options in aes luks luks,$essiv \
		luks,cipher-alg=aes-128,hash-alg=sha1; do
		encrypted_image x.qcow2 "$options"
		same x.qcow2 || fail "$options"
	done
}

@test "a LUKS header that lies beyond the end does no harm" {
	encrypted_image x.qcow2 luks
	truncate -s 256k x.qcow2
	succeeds "$PLATTER" info x.qcow2
	assert_line 'encrypted: yes'
}

@test "an image in use is refused as qemu-img refuses it, but with -U" {
	make_image x.qcow2
	hold hold-image w x.qcow2
	run qemu-img info x.qcow2
	assert_failure 1
	fails 1 'lock' "$PLATTER" info x.qcow2
	same -U x.qcow2
	same --force-share x.qcow2
	release
}

@test "a raw image in use is told of as by qemu-img" {
	truncate -s 1M x.raw
	hold hold-image w x.raw
	same x.raw
	release
}

@test "info reads neither the L1 table nor another file" {
	need strace
	make_plain_image base.qcow2 -o data_file=base.data
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 x.qcow2
	traced -e trace=openat,openat2,open -o trace "$PLATTER" info \
		x.qcow2 >/dev/null
	run grep -c 'base' trace
	assert_output 0
	traced -e trace=openat,openat2,open -o trace "$PLATTER" info \
		base.qcow2 >/dev/null
	run grep -c 'base.data' trace
	assert_output 0
}

@test "the largest tables a header can name cost info neither memory nor time" {
	if [ -n "${SANITIZERS:-}" ]; then
		skip "sanitizers have their own memory"
	fi
	qemu-img create -q -f qcow2 x.qcow2 1M
	put x.qcow2 36 00400000
	put x.qcow2 56 00000080
	put x.qcow2 60 00000000
	(
		ulimit -t 2
		peak-memory peak "$PLATTER" info x.qcow2 >/dev/null
	)
	(($(cat peak) < 64 * 1024))
}

@test "XML says the same as JSON" {
	need xmllint
	make_image x.qcow2
	qemu-img snapshot -c one x.qcow2
	"$PLATTER" info --output=xml x.qcow2 >info.xml
	run xmllint --nonet --xpath 'string(/info/cluster-size)' info.xml
	assert_output 65536
	run xmllint --nonet --xpath 'string(//name)' info.xml
	assert_output one
}
