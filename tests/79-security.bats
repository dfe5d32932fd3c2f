# SPDX-License-Identifier: LGPL-2.1-or-later
# What was done to other programs with disk images, tried here: one test for
# each CVE that concerns raw and qcow2 images.

load lib/common

setup()
{
	common_setup
	mkdir box
	printf 'root:secret:0:0\n' >secret
	truncate -s 1M secret
	cd box
}

# new NAME [OPTIONS]: a qcow2 image of 1 MiB with something in it.
new()
{
	"$PLATTER" create -q -f qcow2 -o "${2:-compat=1.1}" "$1" 1M
	image-io -f qcow2 -c 'write -P 7 0 64k' "$1"
}

# limited COMMAND...: with 256 MiB of memory and 2 seconds of CPU, as services
# allow that take images from strangers.
limited()
{
	if [ -n "$SANITIZERS" ]; then
		"$@"
	else
		(ulimit -v 262144 -t 2 && "$@")
	fi
}

# refuses TEXT FILE: info, check and convert each say TEXT, and end.
refuses()
{
	refuses_one "$1" info "$2"
	refuses_one "$1" check "$2"
	refuses_one "$1" convert -O raw "$2" out.raw
	[ ! -e out.raw ]
}

refuses_one()
{
	local text=$1

	shift
	run limited "$PLATTER" "$@"
	if ((status == 0 || status > 3)); then
		fail "exit code $status: $*: $output"
	fi
	assert_output --partial "$text"
}

be32()
{
	printf %08x "$1"
}

be64()
{
	printf %016x "$1"
}

# shows_secret FILE: what the guest sees of it has the secret in it.
shows_secret()
{
	"$PLATTER" convert -O raw "$1" shown.raw && grep -q root:secret shown.raw
}

# --- what a raw image is taken for -----------------------------------------

@test "CVE-2008-2004: a guest that writes a header does not change a raw disk" {
	truncate -s 1M disk.raw
	"$PLATTER" create -q -f qcow2 -u -b ../secret -F raw fake.qcow2 1M
	dd if=fake.qcow2 of=disk.raw conv=notrunc status=none
	# Named raw it stays raw, and the header is data.
	run "$PLATTER" info -f raw disk.raw
	assert_line 'file format: raw'
	"$PLATTER" convert -f raw -O raw disk.raw copy.raw
	cmp disk.raw copy.raw
	# Probed, it is an image whose backing file is out of reach.
	run ! shows_secret disk.raw
}

@test "CVE-2008-2004: what is only guessed to be raw is not written to" {
	truncate -s 1M disk.raw
	fails 1 '-f raw' "$PLATTER" resize disk.raw 2M
	assert_equal "$(stat -c %s disk.raw)" 1048576
	run ! image-io -c 'write 0 512' disk.raw
	"$PLATTER" resize -q -f raw disk.raw 2M
	assert_equal "$(stat -c %s disk.raw)" 2097152
}

@test "CVE-2008-2004: a commit into what is only guessed to be raw is refused" {
	truncate -s 1M base
	"$PLATTER" create -q -f qcow2 -u -b base top.qcow2 1M ||
		skip "a backing file without a format cannot be made"
	image-io -f qcow2 -c 'write -P 1 0 64k' top.qcow2
	run "$PLATTER" commit top.qcow2
	assert_failure 1
	assert_output --partial raw
	cmp base <(head -c 1M /dev/zero)
}

@test "CVE-2024-40767: an image that says qcow2 but is named raw stays raw" {
	new image
	run "$PLATTER" info -f raw image
	assert_line 'file format: raw'
	run "$PLATTER" info -f qcow2 ../secret
	assert_failure 1
}

@test "CVE-2024-44082: -f is believed, not the content" {
	new image.qcow2
	truncate -s 1M image.raw
	for call in "info -f qcow2 image.raw" \
		"convert -f qcow2 -O raw image.raw out" \
		"compare -f qcow2 image.raw image.raw" \
		"map -f qcow2 image.raw" "resize -f qcow2 image.raw 2M"; do
		# shellcheck disable=SC2086
		run "$PLATTER" $call
		((status != 0))
		assert_output --partial qcow2
	done
}

@test "CVE-2026-24708: resize does not follow a header that a guest wrote" {
	# A raw disk whose guest wrote a header with a backing file.
	"$PLATTER" create -q -f qcow2 -u -b ../secret -F raw disk.raw 1M
	truncate -s 1M disk.raw
	sum=$(cksum <../secret)
	run "$PLATTER" resize -q -f raw disk.raw 2M
	assert_success
	assert_equal "$(stat -c %s disk.raw)" 2097152
	# Without -f it is taken for qcow2, and still nothing is opened.
	run "$PLATTER" resize disk.raw 4M
	assert_failure 1
	assert_output --partial 'outside its own directory'
	assert_equal "$(cksum <../secret)" "$sum"
}

# --- files that images name ------------------------------------------------

@test "CVE-2015-1851: a backing file elsewhere is not read" {
	"$PLATTER" create -q -f qcow2 -u -b ../secret -F raw evil.qcow2 1M
	run "$PLATTER" convert -O raw evil.qcow2 out.raw
	assert_failure 1
	assert_output --partial 'outside its own directory'
	[ ! -e out.raw ]
}

@test "CVE-2015-5163: an absolute backing file is not read" {
	"$PLATTER" create -q -f qcow2 -u -b "$(realpath ../secret)" -F raw \
		evil.qcow2 1M
	for call in 'convert -O raw evil.qcow2 out.raw' 'hash evil.qcow2' \
		'map evil.qcow2' 'compare evil.qcow2 evil.qcow2'; do
		# shellcheck disable=SC2086
		run "$PLATTER" $call
		((status != 0))
		assert_output --partial 'outside its own directory'
	done
}

@test "CVE-2015-5163: info tells of the backing file and does not open it" {
	need strace
	"$PLATTER" create -q -f qcow2 -u -b "$(realpath ../secret)" -F raw \
		evil.qcow2 1M
	traced -e trace=open,openat,openat2 -o trace \
		"$PLATTER" info evil.qcow2 >out
	grep -q "^backing file: .*secret" out
	run ! grep -q secret trace
}

@test "a backing file through a symbolic link out of the directory is refused" {
	ln -s ../secret inside
	"$PLATTER" create -q -f qcow2 -u -b inside -F raw evil.qcow2 1M
	run ! shows_secret evil.qcow2
}

@test "a backing file that is a pipe or a character device is refused" {
	mkfifo pipe
	"$PLATTER" create -q -f qcow2 -u -b pipe -F raw evil.qcow2 1M
	run timeout 5 "$PLATTER" hash evil.qcow2
	assert_failure 2
	"$PLATTER" create -q -f qcow2 -u -b /dev/zero -F raw evil.qcow2 1M
	run timeout 5 "$PLATTER" hash --follow=any evil.qcow2
	assert_failure 2
}

@test "a chain that leads back to itself ends" {
	"$PLATTER" create -q -f qcow2 -u -b b.qcow2 -F qcow2 a.qcow2 1M
	"$PLATTER" create -q -f qcow2 -u -b a.qcow2 -F qcow2 b.qcow2 1M
	run limited "$PLATTER" hash a.qcow2
	assert_failure 2
	run limited "$PLATTER" info --backing-chain a.qcow2
	assert_failure 1
}

# patch_name FILE OLD NEW: of the same length, in the header.
patch_name()
{
	local at

	[ "${#2}" -eq "${#3}" ]
	at=$(grep -abo "$2" "$1" | head -n 1 | cut -d: -f1)
	put "$1" "$at" "$(printf %s "$3" | od -An -v -tx1 | tr -d ' \n')"
}

@test "CVE-2024-32498: a data file elsewhere is not read" {
	new evil.qcow2 data_file=evil.data
	patch_name evil.qcow2 evil.data ../secret
	run "$PLATTER" convert -O raw evil.qcow2 out.raw
	assert_failure 1
	assert_output --partial secret
	[ ! -e out.raw ]
}

@test "CVE-2024-32498: nothing is written to a data file elsewhere" {
	truncate -s 1M full
	new evil.qcow2 data_file=evil.data
	patch_name evil.qcow2 evil.data ../secret
	sum=$(cksum <../secret)
	for call in 'resize -f qcow2 --shrink evil.qcow2 64k' \
		'snapshot -c one evil.qcow2' 'convert -n -O qcow2 full evil.qcow2'
	do
		# shellcheck disable=SC2086
		run "$PLATTER" $call
		assert_failure 1
	done
	assert_equal "$(cksum <../secret)" "$sum"
}

@test "CVE-2024-4467: info does not open the data file, whatever it is called" {
	need strace
	new evil.qcow2 data_file=abcdefghijkl
	patch_name evil.qcow2 abcdefghijkl 'json:{"a":1}'
	traced -e trace=open,openat,openat2,connect -o trace \
		"$PLATTER" info evil.qcow2 >out 2>err || true
	run ! grep -E 'json:|connect' trace
}

@test "CVE-2024-4467: json: and protocols in names are names of files" {
	local name

	for name in 'json:{"driver":"null-co"}' nbd://127.0.0.1:1/x null-co://
	do
		"$PLATTER" create -q -f qcow2 -u -b "$name" -F raw evil.qcow2 1M
		run timeout 5 "$PLATTER" hash --follow=any evil.qcow2
		assert_failure 2
	done
}

# --- numbers in headers ----------------------------------------------------

@test "CVE-2014-0143: an L1 table that overflows is refused" {
	new evil.qcow2
	put evil.qcow2 36 "$(be32 0x40000000)"
	refuses L1 evil.qcow2
	put evil.qcow2 36 "$(be32 0xffffffff)"
	refuses L1 evil.qcow2
}

@test "CVE-2014-0143: a disk too large for its L1 table is refused" {
	new evil.qcow2
	put evil.qcow2 24 "$(be64 0x7ffffffffffffe00)"
	refuses L1 evil.qcow2
}

@test "CVE-2014-0144: clusters of an impossible size are refused" {
	local bits

	for bits in 0 8 22 31 63 0xffffffff; do
		new evil.qcow2
		put evil.qcow2 20 "$(be32 "$bits")"
		refuses cluster evil.qcow2
	done
}

@test "CVE-2014-0144: a refcount table that overflows is refused" {
	new evil.qcow2
	put evil.qcow2 56 "$(be32 0xffffffff)"
	run limited image-io -f qcow2 -c 'write 512k 64k' evil.qcow2
	assert_failure
	assert_output --partial 'refcount table'
}

@test "CVE-2014-0144: a refcount table off its cluster is refused" {
	new evil.qcow2
	put evil.qcow2 48 "$(be64 0x10001)"
	run limited image-io -f qcow2 -c 'write 512k 64k' evil.qcow2
	assert_failure
	assert_output --partial 'refcount table'
}

@test "CVE-2014-0145: more snapshots than there can be are refused" {
	new evil.qcow2
	put evil.qcow2 60 "$(be32 0xffffffff)$(be64 0x50000)"
	run limited "$PLATTER" snapshot -l evil.qcow2
	assert_failure 1
	assert_output --partial snapshot
	run limited "$PLATTER" info evil.qcow2
	assert_failure 1
}

@test "CVE-2014-0145: a snapshot with an L1 table that overflows is refused" {
	local table

	new evil.qcow2
	"$PLATTER" snapshot -c one evil.qcow2
	table=$((16#$(byte_at evil.qcow2 64 8)))
	put evil.qcow2 $((table + 8)) ffffffff
	run limited "$PLATTER" snapshot -a one evil.qcow2
	assert_failure 1
	run limited "$PLATTER" snapshot -d one evil.qcow2
	assert_failure 1
	run limited "$PLATTER" check evil.qcow2
	((status == 1 || status == 2))
}

@test "CVE-2014-0146: an image that ends in its header is refused" {
	new whole.qcow2
	for length in 0 4 8 71 72 100 103; do
		head -c "$length" whole.qcow2 >evil.qcow2
		run limited "$PLATTER" info -f qcow2 evil.qcow2
		assert_failure 1
	done
}

@test "CVE-2014-0147: refcounts of an impossible width are refused" {
	new evil.qcow2
	put evil.qcow2 96 "$(be32 7)"
	refuses refcount evil.qcow2
	put evil.qcow2 96 "$(be32 0xffffffff)"
	refuses refcount evil.qcow2
}

@test "CVE-2014-0147: a header longer than its cluster is refused" {
	new evil.qcow2
	put evil.qcow2 100 "$(be32 0xfffffff8)"
	refuses header evil.qcow2
}

@test "a backing file name longer than 1023 bytes, or outside, is refused" {
	new evil.qcow2
	put evil.qcow2 8 "$(be64 512)$(be32 1024)"
	refuses 'backing file' evil.qcow2
	put evil.qcow2 8 "$(be64 0x7fffffffffffff00)$(be32 16)"
	refuses 'backing file' evil.qcow2
}

@test "a feature that is not known is refused by its number" {
	new evil.qcow2
	put evil.qcow2 72 "$(be64 0x8000000000)"
	refuses feature evil.qcow2
}

@test "a header extension that is longer than the header is refused" {
	new evil.qcow2
	put evil.qcow2 112 "e2792aca$(be32 0xfffffff0)"
	refuses extension evil.qcow2
}

# --- bombs -----------------------------------------------------------------

@test "CVE-2015-5162: info of the largest tables stays within its limits" {
	new evil.qcow2 cluster_size=2M
	# 32 MiB of L1 table, which is a hole in the file.
	put evil.qcow2 36 "$(be32 4194304)$(be64 $((1 << 30)))"
	truncate -s 2G evil.qcow2
	run limited "$PLATTER" info evil.qcow2
	assert_success
}

@test "CVE-2018-10908: a small file with a large disk is cheap to look at" {
	"$PLATTER" create -q -f qcow2 -o cluster_size=2M evil.qcow2 1P
	run limited "$PLATTER" info evil.qcow2
	assert_success
	run limited "$PLATTER" map --output=json evil.qcow2
	assert_success
	run limited "$PLATTER" measure -O qcow2 -o cluster_size=2M evil.qcow2
	assert_success
}

@test "CVE-2018-10908: a compressed cluster that is no stream ends at once" {
	local l1 l2

	new evil.qcow2
	image-io -f qcow2 -c 'write -c -P 5 512k 64k' evil.qcow2
	l1=$((16#$(byte_at evil.qcow2 40 8)))
	l2=$((16#$(byte_at evil.qcow2 "$l1" 8) & 0xfffffffffffe00))
	# All the sectors there can be, from the header on.
	put evil.qcow2 $((l2 + 8 * 8)) 7fc0000000000000
	run limited "$PLATTER" hash evil.qcow2
	assert_failure 2
}

# --- tables that overlap ---------------------------------------------------

@test "an L2 table over the refcount table is not written to" {
	local l1 reftable before

	new evil.qcow2
	l1=$((16#$(byte_at evil.qcow2 40 8)))
	reftable=$((16#$(byte_at evil.qcow2 48 8)))
	put evil.qcow2 "$l1" "$(be64 $((1 << 63 | reftable)))"
	before=$(byte_at evil.qcow2 "$reftable" 512)
	run image-io -f qcow2 -c 'write -P 1 512k 64k' -c flush evil.qcow2
	assert_failure
	assert_equal "$(byte_at evil.qcow2 "$reftable" 512)" "$before"
}

@test "data over the L1 table is not written" {
	local l1 l2

	new evil.qcow2
	l1=$((16#$(byte_at evil.qcow2 40 8)))
	l2=$((16#$(byte_at evil.qcow2 "$l1" 8) & 0xfffffffffffe00))
	put evil.qcow2 "$l2" "$(be64 $((1 << 63 | l1)))"
	before=$(byte_at evil.qcow2 "$l1" 64)
	run image-io -f qcow2 -c 'write -P 1 0 64k' evil.qcow2
	assert_failure
	assert_equal "$(byte_at evil.qcow2 "$l1" 64)" "$before"
}
