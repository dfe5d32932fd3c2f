# SPDX-License-Identifier: LGPL-2.1-or-later
# Persistent bitmaps: read, kept true by every write, carried along.

load lib/qcow2

setup()
{
	common_setup
	need qemu-img qemu-io
}

# bits IMAGE NAME: the dirty ranges, as QEMU tells them.
bits()
{
	local socket=$BATS_TEST_TMPDIR/nbd.$BASHPID pid

	need qemu-nbd nbdinfo
	rm -f "$socket"
	qemu-nbd -r -f qcow2 -k "$socket" -B "$2" "$1" 3>&- &
	pid=$!
	while kill -0 $pid && ! [ -S "$socket" ]; do sleep 0.01; done
	nbdinfo --map="qemu:dirty-bitmap:$2" "nbd+unix:///?socket=$socket" |
		awk '$3 == 1 { print $1, $2 }'
	kill $pid 2>/dev/null || true
	wait $pid || true
}

# flags IMAGE: "NAME: FLAG..." for each bitmap, as QEMU sees them.
flags()
{
	need jq
	qemu-img info -U --output=json "$1" | jq -r '."format-specific".data
		.bitmaps // [] | .[] | "\(.name): \(.flags | join(" "))"'
}

sound()
{
	quietly qemu-img check "$1"
	quietly "$PLATTER" check "$1"
}

# with_bitmaps [CREATE-OPTION...]: x.qcow2 with three bitmaps; `off` is not
# recording.
with_bitmaps()
{
	qemu-img create -q -f qcow2 "$@" x.qcow2 1G
	qemu-img bitmap --add x.qcow2 coarse
	qemu-img bitmap --add -g 4k x.qcow2 fine
	qemu-img bitmap --add -g 128k x.qcow2 off
	quietly qemu-io -c 'write 1M 100k' -c 'write 900M 1' x.qcow2
	qemu-img bitmap --disable x.qcow2 off
}

# both COMMAND...: x.qcow2 by platter, q.qcow2 by QEMU; the bits agree.
both()
{
	local -a all=()
	local command name

	for command; do
		all+=(-c "$command")
	done
	cp x.qcow2 q.qcow2
	image-io -d unmap "${all[@]}" x.qcow2
	quietly qemu-io -d unmap "${all[@]}" q.qcow2
	same_bits
}

same_bits()
{
	local name

	sound x.qcow2
	assert_equal "$(flags x.qcow2)" "$(flags q.qcow2)"
	for name in coarse fine off; do
		diff <(bits x.qcow2 $name) <(bits q.qcow2 $name)
	done
}

# --- writes -----------------------------------------------------------------

@test "what platter writes is dirty where QEMU would have it dirty" {
	with_bitmaps
	both 'write 300M 10k' 'write 8191 2' 'write 700M 3M'
	assert_equal "$(bits x.qcow2 coarse | wc -l)" 5
}

@test "zeroes and discards are dirty as well" {
	with_bitmaps
	both 'write -z 400M 1M' 'discard 1M 64k' 'write -z -u 500M 130k'
}

@test "compressed writes are dirty as well" {
	with_bitmaps
	both 'write -c -P 1 64M 64k'
}

@test "bitmaps are kept with clusters of 512 bytes and of 2 MiB" {
	local size

	for size in 512 2M; do
		rm -f x.qcow2
		with_bitmaps -o cluster_size=$size
		both 'write 300M 5M' 'write 0 512' 'write -z 1023M 1M' ||
			fail "$size"
	done
}

@test "bits of clusters that are all ones become a word in the table" {
	qemu-img create -q -f qcow2 -o cluster_size=512 x.qcow2 8M
	qemu-img bitmap --add -g 512 x.qcow2 b
	image-io -c 'write 0 8M' x.qcow2
	sound x.qcow2
	assert_equal "$(bits x.qcow2 b)" '0 8388608'
	# Four clusters of bits have gone, and QEMU brings them back.
	quietly qemu-io -c 'write 0 1' x.qcow2
	assert_equal "$(bits x.qcow2 b)" '0 8388608'
	image-io -c 'write 0 1' x.qcow2
	assert_equal "$(bits x.qcow2 b)" '0 8388608'
	sound x.qcow2
}

@test "a bitmap that does not record is not touched" {
	with_bitmaps
	bits x.qcow2 off >before
	image-io -c 'write 200M 50M' x.qcow2
	diff before <(bits x.qcow2 off)
}

@test "while an image is open for writing its bitmaps are in use" {
	with_bitmaps
	image-io -c 'write 300M 1M' -c abort x.qcow2 || true
	assert_equal "$(flags x.qcow2)" "$(printf '%s\n' 'coarse: in-use auto' \
		'fine: in-use auto' 'off: ')"
	run qemu-img check x.qcow2
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ]
}

@test "a bitmap that was left in use is listed, and stays as it is" {
	with_bitmaps
	bits x.qcow2 off >before
	image-io -c abort x.qcow2 || true
	image-io -c 'write 0 1M' x.qcow2
	assert_equal "$(flags x.qcow2)" "$(printf '%s\n' 'coarse: in-use auto' \
		'fine: in-use auto' 'off: ')"
	diff before <(bits x.qcow2 off)
	sound x.qcow2
	qemu-img bitmap --remove x.qcow2 coarse
	sound x.qcow2
}

@test "opening for reading changes nothing" {
	with_bitmaps
	cp x.qcow2 before.qcow2
	image-io -r -c 'read 0 1M' x.qcow2
	quietly "$PLATTER" info x.qcow2
	cmp x.qcow2 before.qcow2
}

@test "opening for writing without a write keeps every bit" {
	with_bitmaps
	cp x.qcow2 q.qcow2
	image-io -c flush x.qcow2
	same_bits
}

@test "an image a program without bitmaps has written to has none" {
	with_bitmaps
	put x.qcow2 88 "$(be64 0)"
	image-io -c 'write 0 1M' x.qcow2
	assert_equal "$(flags x.qcow2)" ''
	run "$PLATTER" info x.qcow2
	refute_output --partial coarse
	# Their clusters belong to nobody now.
	run qemu-img check x.qcow2
	assert_failure 3
}

# --- listing ----------------------------------------------------------------

@test "info tells of bitmaps what qemu-img tells" {
	with_bitmaps
	same_json info x.qcow2
	same_text info x.qcow2
	image-io -c abort x.qcow2 || true
	same_json info x.qcow2
}

# --- changes of the image ---------------------------------------------------

# resized SIZE...: in turn, by both.
resized()
{
	local size

	with_bitmaps
	cp x.qcow2 q.qcow2
	for size; do
		"$PLATTER" resize -q --shrink x.qcow2 "$size"
		qemu-img resize -q --shrink q.qcow2 "$size"
		same_bits || fail "$size"
	done
}

@test "bitmaps grow with the disk" {
	resized 1100M 20G
}

@test "bitmaps shrink with the disk, and what is cut off does not come back" {
	resized 800M 1G 1025k 3M
}

@test "a disk with a bitmap in use is not resized" {
	with_bitmaps
	image-io -c abort x.qcow2 || true
	fails 1 'inconsistent' "$PLATTER" resize x.qcow2 2G
	run qemu-img resize x.qcow2 2G
	assert_failure 1
	sound x.qcow2
}

@test "bitmaps and snapshots do not disturb each other" {
	with_bitmaps
	cp x.qcow2 q.qcow2
	"$PLATTER" snapshot -c one x.qcow2
	qemu-img snapshot -c one q.qcow2
	same_bits
	both 'write 300M 10M'
	"$PLATTER" snapshot -d one x.qcow2
	qemu-img snapshot -d one q.qcow2
	same_bits
}

# --- convert ----------------------------------------------------------------

@test "convert --bitmaps carries names, granularity, flags and bits" {
	local name

	with_bitmaps
	"$PLATTER" convert --bitmaps -O qcow2 x.qcow2 q.qcow2
	sound q.qcow2
	same_bits
	diff <(qemu-img info --output=json x.qcow2 |
			jq '."format-specific".data.bitmaps') \
		<(qemu-img info --output=json q.qcow2 |
			jq '."format-specific".data.bitmaps')
}

@test "convert --bitmaps carries them to other cluster sizes" {
	local size

	with_bitmaps
	for size in 512 2M; do
		"$PLATTER" convert --bitmaps -O qcow2 -o cluster_size=$size \
			x.qcow2 q.qcow2
		sound q.qcow2
		same_bits || fail "$size"
	done
}

@test "convert without --bitmaps carries none" {
	with_bitmaps
	"$PLATTER" convert -O qcow2 x.qcow2 q.qcow2
	assert_equal "$(flags q.qcow2)" ''
}

@test "convert --bitmaps refuses one that is in use, and makes no file" {
	with_bitmaps
	image-io -c abort x.qcow2 || true
	fails 1 "Cannot copy inconsistent bitmap 'coarse'" \
		"$PLATTER" convert --bitmaps -O qcow2 x.qcow2 q.qcow2
	[ ! -e q.qcow2 ]
}

@test "convert --skip-broken-bitmaps leaves those out" {
	with_bitmaps
	image-io -c abort x.qcow2 || true
	"$PLATTER" convert --bitmaps --skip-broken-bitmaps -O qcow2 x.qcow2 \
		q.qcow2
	assert_equal "$(flags q.qcow2)" 'off: '
	diff <(bits x.qcow2 off) <(bits q.qcow2 off)
	sound q.qcow2
}

@test "convert --bitmaps refuses version 2, which has none" {
	with_bitmaps
	run --separate-stderr "$PLATTER" convert --bitmaps -O qcow2 \
		-o compat=0.10 x.qcow2 q.qcow2
	assert_failure 1
	complained 'Cannot store dirty bitmaps in qcow2 v2 files'
	[ ! -e q.qcow2 ]
}

# --- damaged directories ----------------------------------------------------

# refused FIELD-OFFSET HEX TEXT: a row of the directory that breaks a rule; the
# image is opened neither for writing nor for telling of it.
refused()
{
	local dir

	rm -f x.qcow2
	qemu-img create -q -f qcow2 x.qcow2 "${disk:-64M}"
	qemu-img bitmap --add x.qcow2 b
	# The extension comes behind 384 bytes of feature names and a header.
	dir=$((16#$(byte_at x.qcow2 528 8)))
	put x.qcow2 $((dir + $1)) "$2"
	fails 1 "$3" "$PLATTER" info x.qcow2
	run image-io -c 'write 0 1' x.qcow2
	assert_failure 1
	run qemu-img info x.qcow2
	assert_failure 1
}

@test "a bitmap table without entries is refused" {
	refused 8 00000000 'table of 0 entries'
}

@test "a bitmap table that is not aligned is refused" {
	refused 0 0000000000010200 "no cluster's offset"
}

@test "a bitmap of more than 512 MiB is refused" {
	refused 8 00002001 'over the limit'
}

@test "a bitmap of unknown flags or type is refused" {
	refused 12 00000008 'unknown flags'
	refused 16 02 'unknown type'
}

@test "a granularity that is out of bounds is refused" {
	refused 17 08 'not between 2^9 and 2^31'
	refused 17 20 'not between 2^9 and 2^31'
}

@test "a bitmap without a name, or with one too long, is refused" {
	refused 18 0000 'not between 1 and 1023'
	refused 18 ffff 'directory ends in the row'
}

@test "a bitmap with extra data is refused" {
	refused 20 00000001 'extra data'
}

@test "a bitmap too small for the disk is refused, unless it was in use" {
	disk=1G
	refused 17 09 'too few'
	put x.qcow2 $((16#$(byte_at x.qcow2 528 8) + 12)) 00000003
	succeeds "$PLATTER" info x.qcow2
	assert_line --partial in-use
	quietly qemu-img info x.qcow2
}

@test "a directory of more or fewer bitmaps than the header tells is refused" {
	qemu-img create -q -f qcow2 x.qcow2 64M
	qemu-img bitmap --add x.qcow2 a
	qemu-img bitmap --add x.qcow2 b
	put x.qcow2 512 "$(be32 3)"
	fails 1 'fewer' "$PLATTER" info x.qcow2
	put x.qcow2 512 "$(be32 1)"
	fails 1 'more' "$PLATTER" info x.qcow2
}

@test "a bitmap whose table is damaged stays in use" {
	local dir table

	qemu-img create -q -f qcow2 x.qcow2 64M
	qemu-img bitmap --add x.qcow2 b
	dir=$((16#$(byte_at x.qcow2 528 8)))
	table=$((16#$(byte_at x.qcow2 "$dir" 8)))
	put x.qcow2 "$table" "$(be64 0x1ff)"
	image-io -c 'write 0 1M' x.qcow2 || true
	assert_equal "$(byte_at x.qcow2 $((dir + 12)) 4)" 00000003
}
