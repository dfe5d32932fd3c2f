# SPDX-License-Identifier: LGPL-2.1-or-later
# Which qcow2 images are opened, and which are refused, and why.

load lib/qcow2

setup()
{
	common_setup
	need qemu-img qemu-io
	qemu-img create -q -f qcow2 x.qcow2 8M
}

# refused TEXT OFFSET HEX [OFFSET HEX...]: with these bytes in its header, both
# qemu-img and platter refuse the image, platter with TEXT.
refused()
{
	local text=$1

	shift
	cp x.qcow2 broken.qcow2
	while (($#)); do
		put broken.qcow2 "$1" "$2"
		shift 2
	done
	run qemu-img info -f qcow2 broken.qcow2
	assert_failure
	fails 1 "$text" "$PLATTER" info -f qcow2 broken.qcow2
}

@test "a file that does not begin with the magic is refused" {
	refused 'not in qcow2 format' 0 00000000
}

@test "versions 1 and 4 are refused" {
	refused 'version 4' 4 00000004
	refused 'version 1' 4 00000001
}

@test "an image of version 1 is not taken for one of a later version" {
	put x.qcow2 4 00000001
	run "$PLATTER" info --output=json x.qcow2
	refute_output --partial '"format": "qcow2"'
}

@test "cluster sizes of 256 bytes and 4 MiB are refused" {
	refused '2^8' 20 00000008
	refused '2^22' 20 00000016
	refused 'cluster size' 20 ffffffff
}

@test "an L1 table over 32 MiB is refused" {
	refused '4194304' 36 00400001
	refused 'L1 table' 36 ffffffff
}

@test "an L1 table too small for the size is refused" {
	refused 'too small' 24 "$(be64 $((1 << 40)))"
}

@test "a size over 2^63 is refused" {
	cp x.qcow2 broken.qcow2
	put broken.qcow2 24 ffffffffffffffff
	fails 1 'over the limit' "$PLATTER" info broken.qcow2
}

@test "an L1 table that is not at a cluster is refused" {
	refused 'L1 table offset' 40 0000000000030200
}

@test "a refcount table over 8 MiB, or none, is refused" {
	refused 'refcount table' 56 00000081
	refused 'no refcount table' 56 00000000
}

@test "a refcount table that is not at a cluster is refused" {
	refused 'refcount table offset' 48 0000000000010001
}

@test "more than 65536 snapshots are refused" {
	refused '65536' 60 00010001
}

@test "a snapshot table that is not at a cluster is refused" {
	refused 'snapshot table offset' 60 00000001 64 0000000000000200
}

@test "refcounts of 128 bits are refused" {
	refused 'refcount order 7' 96 00000007
}

@test "a header shorter than version 3's or longer than a cluster is refused" {
	refused '103' 100 00000067
	refused 'cluster size' 100 00010001
}

@test "a header extension longer than the header is refused" {
	refused 'does not fit' 116 0000ffff
	refused 'does not fit' 116 ffffffff
}

@test "a backing file name of more than 1023 bytes is refused" {
	refused '1023' 8 0000000000001000 16 00000400
	refused 'backing file name' 8 0000000000010000 16 00000001
	refused 'beyond the first cluster' 8 0000000000010001 16 00000001
}

@test "a compression type that is not known is refused" {
	refused 'compression type 2' 79 08 104 02
}

@test "a compression type against the feature bit is refused" {
	refused 'contradict' 104 01
	refused 'contradict' 79 08
}

@test "an encryption method that is not known is refused" {
	refused 'encryption method 3' 32 00000003
}

@test "extended L2 entries in clusters under 16 KiB are refused" {
	rm x.qcow2
	qemu-img create -q -f qcow2 -o cluster_size=8k x.qcow2 1M
	refused 'extended L2' 79 10
}

@test "the mark of a raw data file means nothing without a data file" {
	put x.qcow2 95 02
	same_json info x.qcow2
	succeeds "$PLATTER" resize -f qcow2 x.qcow2 9M
	[ "$(byte_at x.qcow2 95)" = 00 ]
}

@test "bitmaps that are too many or out of place are refused" {
	qemu-img bitmap --add x.qcow2 b
	local at
	at=$(LC_ALL=C grep -obUaP '\x23\x85\x28\x75' x.qcow2 | cut -d: -f1)
	refused 'bitmaps' $((at + 8)) 00010000
	refused 'bitmaps' $((at + 8)) 00000000
	refused 'bitmaps extension' $((at + 4)) 00000010
	refused 'directory' $((at + 16)) 00000000ffffffff
	refused 'directory' $((at + 24)) 0000000000000100
	refused 'reserved' $((at + 12)) 00000001
}

@test "an unknown incompatible feature is refused by its bit" {
	refused 'bit 40' 72 0000010000000000
}

@test "an unknown incompatible feature is refused by the name the image has" {
	# The row of extended L2 entries now names bit 5.
	refused 'bit 5 (extended L2 entries)' 313 05 79 20
}

@test "unknown compatible features are ignored" {
	put x.qcow2 80 ff
	succeeds "$PLATTER" info x.qcow2
}

@test "an unknown header extension is kept when the header is rewritten" {
	# The feature names become something nobody knows.
	put x.qcow2 112 12345678
	qemu-img create -q -f raw base.raw 8M
	succeeds "$PLATTER" rebase -u -b base.raw -F raw x.qcow2
	run grep -aobUP '\x12\x34\x56\x78\x00\x00\x01\x80\x00\x00dirty bit' \
		x.qcow2
	assert_success
	qemu-img info x.qcow2 | grep -q 'backing file: base.raw'
}

# ---- encryption ----

@test "an encrypted image is described but not read" {
	local format

	for format in aes luks; do
		encrypted_image $format.qcow2 $format
		succeeds "$PLATTER" info $format.qcow2
		assert_line 'encrypted: yes'
		fails 1 "encrypted (${format^^})" \
			"$PLATTER" convert -O raw $format.qcow2 out
		fails 1 'encrypted' "$PLATTER" map $format.qcow2
		[ ! -e out ]
	done
}

# ---- marks ----

@test "an image marked corrupt is read but not written" {
	put x.qcow2 79 02
	succeeds "$PLATTER" map x.qcow2
	fails 1 'marked corrupt' "$PLATTER" resize -f qcow2 x.qcow2 9M
}

@test "an image that was not closed cleanly is recounted before writing" {
	rm x.qcow2
	qemu-img create -q -f qcow2 -o lazy_refcounts=on x.qcow2 8M
	# Killed with its refcounts not written.
	run qemu-io -c 'write -P 1 0 1M' -c abort x.qcow2
	qemu-img info x.qcow2 | grep -q 'cleanly shut down: no'
	succeeds "$PLATTER" resize -f qcow2 x.qcow2 9M
	run qemu-img check x.qcow2
	assert_success
	qemu-io -c 'read -P 1 0 1M' x.qcow2 | grep -q 'read 1048576'
	run qemu-img info x.qcow2
	refute_output --partial 'cleanly shut down'
}

@test "unknown autoclear features are cleared by writing" {
	put x.qcow2 88 80000000000000f0
	succeeds "$PLATTER" map x.qcow2
	[ "$(byte_at x.qcow2 88 8)" = 80000000000000f0 ]
	succeeds "$PLATTER" resize -f qcow2 x.qcow2 9M
	[ "$(byte_at x.qcow2 88 8)" = 0000000000000000 ]
}

@test "tables that lie on one another are not written to" {
	local l1

	l1=$(byte_at x.qcow2 40 8)
	# The refcount table in place of the L1 table.
	put x.qcow2 40 "$(byte_at x.qcow2 48 8)"
	cp x.qcow2 before
	fails 1 'overlaps' "$PLATTER" resize -f qcow2 x.qcow2 9M
	put x.qcow2 40 0000000000000000
	fails 1 'overlaps' "$PLATTER" resize -f qcow2 x.qcow2 9M
	put x.qcow2 40 "$l1"
	succeeds "$PLATTER" resize -f qcow2 x.qcow2 9M
}

@test "a refcount block that lies on the header is not written to" {
	local table

	table=$((16#$(byte_at x.qcow2 48 8)))
	put x.qcow2 $((table + 8)) 0000000000030000
	fails 1 'overlaps' "$PLATTER" resize -f qcow2 x.qcow2 9M
}

# ---- other files ----

@test "a stored backing file name that is no plain file name is not opened" {
	local name

	for name in 'json:{"driver":"null-co"}' nbd://localhost \
		fat:/tmp; do
		qemu-img create -q -f raw base.raw 8M
		rm -f top.qcow2
		qemu-img create -q -f qcow2 -u -b "$name" -F raw top.qcow2 8M
		fails 1 'plain file name' "$PLATTER" map top.qcow2
		succeeds "$PLATTER" info top.qcow2
		assert_output --partial "backing file: $name"
	done
}

@test "a stored data file name that is no plain file name is not opened" {
	rm x.qcow2
	qemu-img create -q -f qcow2 -o data_file=abcdef.raw x.qcow2 1M
	local at
	at=$(LC_ALL=C grep -obUa 'abcdef.raw' x.qcow2 | cut -d: -f1)
	put x.qcow2 "$at" "$(printf 'json:{ }  ' | od -An -tx1 | tr -d ' \n')"
	fails 1 'plain file name' "$PLATTER" map x.qcow2
	succeeds "$PLATTER" info x.qcow2
}

@test "a backing file elsewhere needs --follow=any" {
	mkdir one two
	make_image one/base.qcow2
	qemu-img create -q -f qcow2 -b ../one/base.qcow2 -F qcow2 two/top.qcow2
	run "$PLATTER" convert -O raw two/top.qcow2 out
	assert_failure 1
	[ ! -e out ]
	succeeds "$PLATTER" convert --follow=any -O raw two/top.qcow2 out
	succeeds "$PLATTER" info two/top.qcow2
}

@test "a backing file may be given in place of the stored one" {
	qemu-img create -q -f raw one.raw 1M
	head -c 1M /dev/urandom >two.raw
	rm x.qcow2
	qemu-img create -q -f qcow2 -b one.raw -F raw x.qcow2
	local other=backing.driver=raw,backing.file.filename=two.raw
	"$PLATTER" convert -O raw --image-opts \
		"driver=qcow2,file.filename=x.qcow2,$other" out
	cmp out two.raw
	"$PLATTER" convert -O raw --image-opts \
		driver=qcow2,file.filename=x.qcow2,backing= out2
	cmp out2 one.raw
}

@test "a chain that leads back to itself is refused" {
	qemu-img create -q -f raw b.qcow2 1M
	qemu-img create -q -f qcow2 -b b.qcow2 -F raw a.qcow2
	rm b.qcow2
	qemu-img create -q -f qcow2 -u -b a.qcow2 -F qcow2 b.qcow2 1M
	qemu-img rebase -u -b b.qcow2 -F qcow2 a.qcow2
	fails 1 'deep' "$PLATTER" map a.qcow2
	succeeds "$PLATTER" info a.qcow2
}

@test "a data file that is missing keeps the image from being read only" {
	rm x.qcow2
	qemu-img create -q -f qcow2 -o data_file=x.data x.qcow2 1M
	rm x.data
	fails 1 'x.data' "$PLATTER" map x.qcow2
	succeeds "$PLATTER" info x.qcow2
}

@test "a data file is refused for an image that has none" {
	truncate -s 8M y
	fails 1 'data-file' "$PLATTER" map --image-opts \
		driver=qcow2,file.filename=x.qcow2,data-file.filename=y
}

@test "a snapshot that is not there is an error" {
	run "$PLATTER" map --image-opts \
		driver=qcow2,file.filename=x.qcow2,snapshot=nosuch
	assert_failure 1
	assert_output --partial nosuch
}
