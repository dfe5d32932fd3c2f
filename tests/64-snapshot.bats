# SPDX-License-Identifier: LGPL-2.1-or-later
# platter snapshot: what it does to an image, and says, as qemu-img has it.

load lib/qcow2

setup()
{
	common_setup
	need qemu-img qemu-io
}

# sound IMAGE: qemu-img and platter find nothing wrong, not even leaks.
sound()
{
	quietly qemu-img check "$1"
	quietly "$PLATTER" check "$1"
}

# with_two: x.qcow2 with the snapshots one and two, and more written since.
with_two()
{
	make_image x.qcow2 "$@"
	"$PLATTER" snapshot -c one x.qcow2
	cp x.qcow2 one.qcow2
	io x.qcow2 'write -P 11 200k 1M' 'discard 5M 100k'
	"$PLATTER" snapshot -c two x.qcow2
	cp x.qcow2 two.qcow2
	io x.qcow2 'write -P 12 0 6M'
}

# holds SNAPSHOT IMAGE: what a snapshot of x.qcow2 holds is what IMAGE does.
holds()
{
	rm -f s.raw
	qemu-img convert -O raw -l "$1" x.qcow2 s.raw
	qemu-img compare -q -f raw s.raw "$2"
	"$PLATTER" convert -O raw -l "$1" x.qcow2 t.raw
	cmp s.raw t.raw
}

# --- making, going back, deleting ------------------------------------------

# both_ways CREATE-OPTION...: everything, with qemu-img as the witness.
both_ways()
{
	rm -f ./*.qcow2
	with_two "$@"
	sound x.qcow2
	holds one one.qcow2
	holds two two.qcow2
	"$PLATTER" snapshot -a one x.qcow2
	sound x.qcow2
	qemu-img compare -q x.qcow2 one.qcow2
	holds two two.qcow2
	io x.qcow2 'write -P 13 1M 1M'
	qemu-img snapshot -a two x.qcow2
	sound x.qcow2
	qemu-img compare -q x.qcow2 two.qcow2
	"$PLATTER" snapshot -d one x.qcow2
	sound x.qcow2
	holds two two.qcow2
	"$PLATTER" snapshot -d two x.qcow2
	sound x.qcow2
	qemu-img compare -q x.qcow2 two.qcow2
	qemu-io -c 'write -P 14 0 4M' x.qcow2 >/dev/null
	sound x.qcow2
}

@test "snapshots of clusters of 512 bytes to 4 KiB are as qemu-img's" {
	local size

	for size in 512 1k 4k; do
		both_ways -o cluster_size=$size || fail "$size"
	done
}

@test "snapshots of clusters of 64 KiB to 2 MiB are as qemu-img's" {
	local size

	for size in 64k 256k 2M; do
		both_ways -o cluster_size=$size || fail "$size"
	done
}

@test "snapshots of version 2 are as qemu-img's" {
	both_ways -o compat=0.10
}

@test "snapshots with extended L2 entries are as qemu-img's" {
	both_ways -o extended_l2=on,cluster_size=32k
}

@test "snapshots with every refcount width that holds 3 are as qemu-img's" {
	local bits

	# Compressed clusters share host clusters.
	for bits in 8 32 64; do
		both_ways -o refcount_bits=$bits || fail "$bits bits"
	done
}

@test "snapshots of an image with lazy refcounts are as qemu-img's" {
	both_ways -o lazy_refcounts=on
}

@test "a snapshot does not need the backing file" {
	qemu-img create -q -f raw base.raw 1M
	qemu-img create -q -f qcow2 -b base.raw -F raw x.qcow2
	io x.qcow2 'write -P 1 0 64k'
	mv base.raw away.raw
	succeeds "$PLATTER" snapshot -c one x.qcow2
	mv away.raw base.raw
	sound x.qcow2
}

@test "going back makes the disk as large as it was" {
	qemu-img create -q -f qcow2 x.qcow2 1M
	io x.qcow2 'write -P 1 0 1M'
	"$PLATTER" snapshot -c small x.qcow2
	qemu-img resize -q x.qcow2 3G
	io x.qcow2 'write -P 2 2G 64k'
	"$PLATTER" snapshot -c big x.qcow2
	cp x.qcow2 big.qcow2
	"$PLATTER" snapshot -a small x.qcow2
	sound x.qcow2
	run qemu-img info x.qcow2
	assert_line 'virtual size: 1 MiB (1048576 bytes)'
	qemu-io -c 'read -P 1 0 1M' x.qcow2 | grep -q 'read 1048576'
	"$PLATTER" snapshot -a big x.qcow2
	sound x.qcow2
	qemu-img compare -q x.qcow2 big.qcow2
}

@test "a snapshot of a disk without a byte can be made and deleted" {
	qemu-img create -q -f qcow2 x.qcow2 0
	"$PLATTER" snapshot -c none x.qcow2
	sound x.qcow2
	"$PLATTER" snapshot -a none x.qcow2
	"$PLATTER" snapshot -d none x.qcow2
	sound x.qcow2
}

@test "IDs count up from the largest there is" {
	qemu-img create -q -f qcow2 x.qcow2 1M
	for name in a b c; do
		"$PLATTER" snapshot -c $name x.qcow2
	done
	"$PLATTER" snapshot -d b x.qcow2
	"$PLATTER" snapshot -c d x.qcow2
	run qemu-img snapshot -l x.qcow2
	assert_line --regexp '^1 +a '
	assert_line --regexp '^3 +c '
	assert_line --regexp '^4 +d '
}

@test "a row of the table is what qemu-img writes, but for the time" {
	local offset

	for tool in "$PLATTER" qemu-img; do
		qemu-img create -q -f qcow2 x.qcow2 1M
		"$tool" snapshot -c one x.qcow2
		offset=$((16#$(byte_at x.qcow2 64 8)))
		byte_at x.qcow2 $((offset + 8)) 8
		byte_at x.qcow2 $((offset + 24)) 44
		echo
	done >rows
	assert_equal "$(uniq rows | wc -l)" 1
}

@test "extra data that nobody knows stays with its snapshot" {
	local offset

	qemu-img create -q -f qcow2 x.qcow2 1M
	"$PLATTER" snapshot -c one x.qcow2
	offset=$((16#$(byte_at x.qcow2 64 8)))
	# 24 bytes are known; the ID and the name come 8 bytes later then.
	put x.qcow2 $((offset + 36)) "$(be32 32)"
	put x.qcow2 $((offset + 64)) "0123456789abcdef316f6e6500000000"
	"$PLATTER" snapshot -c two x.qcow2
	sound x.qcow2
	offset=$((16#$(byte_at x.qcow2 64 8)))
	assert_equal "$(byte_at x.qcow2 $((offset + 36)) 4)" "$(be32 32)"
	assert_equal "$(byte_at x.qcow2 $((offset + 64)) 12)" \
		0123456789abcdef316f6e65
}

@test "space of a deleted snapshot is given back to the file system" {
	local before

	qemu-img create -q -f qcow2 x.qcow2 64M
	io x.qcow2 'write -P 1 0 32M'
	"$PLATTER" snapshot -c one x.qcow2
	io x.qcow2 'write -P 2 0 32M'
	before=$(stat -c %b x.qcow2)
	"$PLATTER" snapshot -d one x.qcow2
	(($(stat -c %b x.qcow2) < before - 50000))
}

@test "making and deleting over and over does not make the file grow" {
	local size

	make_image x.qcow2
	"$PLATTER" snapshot -c a x.qcow2
	"$PLATTER" snapshot -d a x.qcow2
	for _ in 1 2 3; do
		"$PLATTER" snapshot -c a x.qcow2
		"$PLATTER" snapshot -d a x.qcow2
	done
	size=$(stat -c %s x.qcow2)
	for _ in 1 2 3 4 5 6; do
		"$PLATTER" snapshot -c a x.qcow2
		"$PLATTER" snapshot -d a x.qcow2
	done
	assert_equal "$(stat -c %s x.qcow2)" "$size"
}

# --- the list ---------------------------------------------------------------

@test "the list is qemu-img's, without an option and with -l" {
	with_two
	same_text snapshot -l x.qcow2
	run "$PLATTER" snapshot x.qcow2
	assert_output "$(qemu-img snapshot -l x.qcow2)"
}

@test "an image without snapshots has an empty list" {
	qemu-img create -q -f qcow2 x.qcow2 1M
	succeeds "$PLATTER" snapshot x.qcow2
	assert_output ''
	run "$PLATTER" snapshot --output=json x.qcow2
	assert_output '[]'
}

@test "an image of a format without snapshots has an empty list" {
	truncate -s 1M x.raw
	succeeds "$PLATTER" snapshot -l x.raw
	assert_output ''
}

@test "the list as JSON has what info has, and the size of the disk" {
	need jq
	with_two
	diff <("$PLATTER" snapshot --output=json x.qcow2 |
			jq -S 'map(del(."disk-size"))') \
		<(qemu-img info --output=json x.qcow2 | jq -S .snapshots)
	run jq -r '.[]."disk-size"' <("$PLATTER" snapshot -l --output=json \
		x.qcow2)
	assert_output "$(printf '%s\n' 8390144 8390144)"
}

# --- which one is meant -----------------------------------------------------

# crossed: x.qcow2 with a snapshot of ID 1 called 2, and of ID 2 called 1.
crossed()
{
	qemu-img create -q -f qcow2 x.qcow2 1M
	io x.qcow2 'write -P 1 0 64k'
	"$PLATTER" snapshot -c 2 x.qcow2
	io x.qcow2 'write -P 2 0 64k'
	"$PLATTER" snapshot -c 1 x.qcow2
}

@test "-a looks for an ID first, as qemu-img does" {
	crossed
	"$PLATTER" snapshot -a 1 x.qcow2
	qemu-io -c 'read -P 1 0 64k' x.qcow2 | grep -q '^read 65536'
	cp x.qcow2 y.qcow2
	qemu-img snapshot -a 1 y.qcow2
	qemu-img compare -q x.qcow2 y.qcow2
}

@test "-d looks for a name first, as qemu-img does" {
	crossed
	"$PLATTER" snapshot -d 1 x.qcow2
	run qemu-img snapshot -l x.qcow2
	assert_line --regexp '^1 +2 '
	refute_line --regexp '^2 +1 '
}

# --- what is refused --------------------------------------------------------

@test "only one of -l, -c, -a and -d can be given" {
	usage_error "Cannot mix '-l', '-a', '-c', '-d'" \
		"$PLATTER" snapshot -l -c x x.qcow2
	usage_error "Cannot mix '-l', '-a', '-c', '-d'" \
		"$PLATTER" snapshot -d a -d b x.qcow2
}

@test "an unknown snapshot is an error, and changes nothing" {
	make_image x.qcow2
	cp x.qcow2 y.qcow2
	fails 1 "Could not apply snapshot 'no'" "$PLATTER" snapshot -a no \
		x.qcow2
	fails 1 "Could not delete snapshot 'no'" "$PLATTER" snapshot -d no \
		x.qcow2
	cmp x.qcow2 y.qcow2
}

@test "an image with a data file has no snapshots" {
	qemu-img create -q -f qcow2 -o data_file=x.raw x.qcow2 1M
	fails 1 'data file' "$PLATTER" snapshot -c one x.qcow2
	run "$PLATTER" snapshot -l x.qcow2
	assert_output ''
}

@test "a format without snapshots cannot have one made" {
	truncate -s 1M x.raw
	fails 1 'internal snapshots' "$PLATTER" snapshot -f raw -c one x.raw
}

@test "an image with dirty bitmaps cannot go back" {
	qemu-img create -q -f qcow2 x.qcow2 1M
	qemu-img bitmap --add x.qcow2 b
	"$PLATTER" snapshot -c one x.qcow2
	fails 1 'dirty bitmaps' "$PLATTER" snapshot -a one x.qcow2
	run qemu-img snapshot -a one x.qcow2
	assert_failure 1
	sound x.qcow2
}

@test "a refcount that would not fit is an error, and changes nothing" {
	qemu-img create -q -f qcow2 -o refcount_bits=1 x.qcow2 1M
	io x.qcow2 'write -P 1 0 64k'
	cp x.qcow2 y.qcow2
	fails 1 'the most that 1 bits hold' "$PLATTER" snapshot -c one x.qcow2
	qemu-img compare -q x.qcow2 y.qcow2
	sound x.qcow2
}

@test "a name of more than 255 bytes is refused" {
	qemu-img create -q -f qcow2 x.qcow2 1M
	fails 1 'over the limit of 255' "$PLATTER" snapshot \
		-c "$(printf 'x%.0s' {1..256})" x.qcow2
}

# --- completion -------------------------------------------------------------

@test "names of snapshots are offered where one is wanted" {
	qemu-img create -q -f qcow2 x.qcow2 1M
	"$PLATTER" snapshot -c before x.qcow2
	"$PLATTER" snapshot -c behind x.qcow2
	run "$PLATTER" __complete snapshot x.qcow2 -a be
	assert_output "$(printf '%s\t%s\n' before 'ID 1' behind 'ID 2')"
	run "$PLATTER" __complete snapshot x.qcow2 --delete=bef
	assert_output "$(printf '%s\t%s\n' --delete=before 'ID 1')"
}

# --- damaged tables ---------------------------------------------------------

@test "more snapshots than 65536 are refused" {
	qemu-img create -q -f qcow2 x.qcow2 1M
	put x.qcow2 60 "$(be32 65537)"
	fails 1 65536 "$PLATTER" snapshot -l x.qcow2
}

@test "extra data of more than 1024 bytes is refused" {
	qemu-img create -q -f qcow2 x.qcow2 1M
	"$PLATTER" snapshot -c one x.qcow2
	put x.qcow2 $((16#$(byte_at x.qcow2 64 8) + 36)) "$(be32 1025)"
	fails 1 'over the limit of 1024' "$PLATTER" snapshot -l x.qcow2
	run qemu-img snapshot -l x.qcow2
	assert_failure 1
}

@test "a table that reaches beyond the file is refused" {
	qemu-img create -q -f qcow2 x.qcow2 1M
	"$PLATTER" snapshot -c one x.qcow2
	put x.qcow2 60 "$(be32 5000)"
	truncate -s $((16#$(byte_at x.qcow2 64 8) + 100)) x.qcow2
	fails 1 'beyond the end of the file' "$PLATTER" snapshot -l x.qcow2
}

# damaged_l1 FIELD-OFFSET HEX TEXT: a snapshot that cannot be used, while the
# disk can.
damaged_l1()
{
	rm -f ./*.qcow2
	make_image x.qcow2
	"$PLATTER" snapshot -c one x.qcow2
	put x.qcow2 $((16#$(byte_at x.qcow2 64 8) + $1)) "$2"
	cp x.qcow2 y.qcow2
	fails 1 "$3" "$PLATTER" snapshot -a one x.qcow2
	fails 1 "$3" "$PLATTER" snapshot -d one x.qcow2
	cmp x.qcow2 y.qcow2
	"$PLATTER" snapshot -l x.qcow2 | grep -q one
}

@test "an L1 table of a snapshot that is not aligned is refused" {
	damaged_l1 0 "$(be64 0x10200)" 'not aligned'
}

@test "an L1 table of a snapshot that is too large is refused" {
	damaged_l1 8 "$(be32 0x400001)" 'L1 table'
}

@test "an L1 table of a snapshot beyond the file is refused" {
	damaged_l1 0 "$(be64 0x7fff0000)" 'beyond the end of the file'
}

@test "a cluster in use that is counted as free stops a snapshot" {
	local block

	make_image x.qcow2
	block=$((16#$(byte_at x.qcow2 65536 8)))
	# Some cluster of data, far behind the tables.
	put x.qcow2 $((block + 2 * 9)) 0000
	cp x.qcow2 y.qcow2
	fails 1 'refcount is 0' "$PLATTER" snapshot -c one x.qcow2
	qemu-img compare -q x.qcow2 y.qcow2
}
