# SPDX-License-Identifier: LGPL-2.1-or-later
# platter dd: what dd and qemu-img dd do, with any format and with streams.

load lib/common

setup()
{
	common_setup
	head -c 1M /dev/urandom >data.raw
	truncate -s 2M data.raw
	head -c 700000 /dev/urandom >>data.raw
	truncate -s 2797568 data.raw
}

# as_dd OPERAND...: the same as dd makes of data.raw
as_dd()
{
	local new=("${@/#of=/of=ours.}")

	run --separate-stderr "$PLATTER" dd "${new[@]}"
	assert_success
	assert_equal "$stderr" ''
	dd status=none "$@"
	cmp out.raw ours.out.raw
}

@test "a whole image is copied" {
	as_dd if=data.raw of=out.raw
}

@test "blocks of any size are counted and skipped" {
	as_dd if=data.raw of=out.raw bs=64k count=5 skip=3
	as_dd of=out.raw count=7 bs=1501 if=data.raw skip=11
	as_dd if=data.raw of=out.raw bs=1M skip=2
	as_dd if=data.raw of=out.raw bs=1M count=100
	as_dd if=data.raw of=out.raw count=0
}

@test "seek leaves zeros in front of a new file" {
	as_dd if=data.raw of=out.raw bs=4k count=9 skip=2 seek=5
}

@test "seek keeps what an old file has in front, and no more" {
	head -c 1M /dev/urandom >out.raw
	cp out.raw ours.out.raw
	as_dd if=data.raw of=out.raw bs=1501 count=9 seek=50
	as_dd if=data.raw of=out.raw bs=1k count=9 seek=2000
}

@test "a file that exists is replaced" {
	head -c 9M /dev/urandom >out.raw
	as_dd if=data.raw of=out.raw bs=4k count=2
}

@test "conv=notrunc writes into what is there, and makes it longer" {
	head -c 1M /dev/urandom >out.raw
	cp out.raw ours.out.raw
	as_dd if=data.raw of=out.raw bs=1k seek=100 count=50 conv=notrunc
	as_dd if=data.raw of=out.raw bs=1k seek=1000 conv=notrunc
	as_dd if=data.raw of=out.raw bs=999 skip=5 seek=7 count=200 conv=notrunc
}

@test "conv=notrunc makes what is not there" {
	as_dd if=data.raw of=out.raw bs=1k seek=3 count=50 conv=notrunc
}

@test "zeros become holes of a new file" {
	run "$PLATTER" dd if=data.raw of=out.raw bs=4k
	[ $(($(stat -c %b out.raw) * 512)) -lt 2000000 ]
}

@test "zeros are written over data with conv=notrunc" {
	head -c 2797568 /dev/urandom >out.raw
	cp out.raw ours.out.raw
	as_dd if=data.raw of=out.raw conv=notrunc bs=512 skip=2048 count=1024
}

@test "numbers have the suffixes of dd and of qemu-img, and products" {
	as_dd if=data.raw of=out.raw bs=2x512 count=3
	as_dd if=data.raw of=out.raw bs=3kB count=3
	as_dd if=data.raw of=out.raw bs=10w skip=1k count=2k
	as_dd if=data.raw of=out.raw bs=3c count=100
	run "$PLATTER" dd if=data.raw of=out.raw bs=1.5k count=1
	assert_success
	[ "$(stat -c %s out.raw)" -eq 1536 ]
}

@test "standard input is read when there is no if=" {
	"$PLATTER" dd of=out.raw <data.raw
	cmp out.raw data.raw
	"$PLATTER" dd if=- of=out.raw bs=4k skip=2 count=3 <data.raw
	cmp out.raw <(dd status=none bs=4k skip=2 count=3 <data.raw)
}

@test "a pipe is read to its end, or as far as count says" {
	# shellcheck disable=SC2002
	cat data.raw | "$PLATTER" dd of=out.raw bs=1k skip=5 seek=2
	# shellcheck disable=SC2002
	cat data.raw | dd status=none iflag=fullblock bs=1k skip=5 seek=2 \
		of=theirs.raw
	cmp out.raw theirs.raw
	# shellcheck disable=SC2002
	cat data.raw | "$PLATTER" dd of=out.raw bs=1000 count=1500
	cmp out.raw <(head -c 1500000 data.raw)
}

@test "an empty pipe makes an empty file" {
	: | "$PLATTER" dd of=out.raw
	[ -f out.raw ]
	[ ! -s out.raw ]
}

@test "standard output is written when there is no of=" {
	"$PLATTER" dd if=data.raw | cmp - data.raw
	"$PLATTER" dd if=data.raw of=- bs=1000 skip=7 count=9 |
		cmp - <(dd status=none if=data.raw bs=1000 skip=7 count=9)
	"$PLATTER" dd bs=1k count=9 skip=1 <data.raw |
		cmp - <(dd status=none bs=1k count=9 skip=1 <data.raw)
}

@test "seek moves on in standard output that is a file" {
	"$PLATTER" dd if=data.raw bs=1k count=1 seek=3 >out.raw
	dd status=none if=data.raw bs=1k count=1 seek=3 >theirs.raw
	cmp out.raw theirs.raw
}

@test "of other formats the guest's bytes are copied" {
	need qemu-img
	qemu-img convert -O qcow2 data.raw data.qcow2
	run "$PLATTER" dd if=data.qcow2 of=out.raw bs=4k count=50 skip=30
	assert_success
	cmp out.raw <(dd status=none if=data.raw bs=4k count=50 skip=30)
	"$PLATTER" dd if=data.qcow2 | cmp - data.raw
}

@test "--image-opts goes for the source" {
	need qemu-img
	qemu-img convert -O qcow2 data.raw data.qcow2
	run "$PLATTER" dd --image-opts bs=1k skip=3 of=out.raw \
		if=driver=qcow2,file.filename=data.qcow2
	assert_success
	cmp out.raw <(tail -c +3073 data.raw)
}

@test "a qcow2 target has the size and the content that qemu-img gives it" {
	need qemu-img
	run "$PLATTER" dd -O qcow2 if=data.raw of=out.qcow2 bs=1k count=700
	assert_success
	qemu-img dd -O qcow2 if=data.raw of=theirs.qcow2 bs=1k count=700
	qemu-img check -q out.qcow2
	qemu-img compare -s out.qcow2 theirs.qcow2
	run "$PLATTER" dd -O qcow2 if=data.raw of=out.qcow2 bs=1k skip=100
	assert_success
	qemu-img dd -O qcow2 if=data.raw of=theirs.qcow2 bs=1k skip=100
	qemu-img compare out.qcow2 theirs.qcow2
}

@test "a stream becomes a qcow2 image as large as it is" {
	need qemu-img
	# shellcheck disable=SC2002
	cat data.raw | "$PLATTER" dd -O qcow2 of=out.qcow2
	qemu-img check -q out.qcow2
	qemu-img compare -q out.qcow2 data.raw
	[ "$(qemu-img info --output=json out.qcow2 | jq '."virtual-size"')" \
		-eq 2797568 ]
}

@test "conv=notrunc writes into a qcow2 image, which grows" {
	need qemu-img
	qemu-img convert -O qcow2 data.raw out.qcow2
	cp data.raw theirs.raw
	run "$PLATTER" dd -O qcow2 if=data.raw of=out.qcow2 bs=1k seek=2000 \
		skip=1 count=1000 conv=notrunc
	assert_success
	dd status=none if=data.raw of=theirs.raw bs=1k seek=2000 skip=1 \
		count=1000 conv=notrunc
	qemu-img check -q out.qcow2
	qemu-img compare -q out.qcow2 theirs.raw
}

@test "to skip more than there is is told and no failure" {
	run --separate-stderr "$PLATTER" dd if=data.raw of=out.raw bs=1M skip=9
	assert_success
	complained 'data.raw: cannot skip to specified offset'
	[ ! -s out.raw ]
}

@test "bad operands are usage errors" {
	usage_error "unrecognized operand 'foo=1'" \
		"$PLATTER" dd if=data.raw of=out.raw foo=1
	usage_error "unrecognized operand 'data.raw'" \
		"$PLATTER" dd data.raw of=out.raw
	usage_error 'bs: 0 is not between 1 and 2147483647' \
		"$PLATTER" dd if=data.raw of=out.raw bs=0
	usage_error 'bs: 3G is not between' \
		"$PLATTER" dd if=data.raw of=out.raw bs=3G
	usage_error 'bs: ' "$PLATTER" dd if=data.raw of=out.raw bs=-1
	usage_error 'count: ' "$PLATTER" dd if=data.raw of=out.raw count=x
	usage_error "conv: 'ebcdic' is not" \
		"$PLATTER" dd if=data.raw of=out.raw conv=notrunc,ebcdic
	[ ! -e out.raw ]
}

@test "of an operand given twice the last counts" {
	as_dd if=nosuch if=data.raw of=out.raw bs=1k bs=2k count=3
}

@test "the source is not written over" {
	cp data.raw old.raw
	fails 1 'is the source as well' \
		"$PLATTER" dd if=data.raw of=data.raw bs=1k count=1
	fails 1 'is the source as well' \
		"$PLATTER" dd if=data.raw of=data.raw conv=notrunc seek=1
	cmp data.raw old.raw
}

@test "only raw goes to standard output" {
	fails 1 'only raw can be written to standard output' \
		"$PLATTER" dd if=data.raw -O qcow2
}

@test "places beyond what a file can have are refused" {
	fails 1 'over the limit of' \
		"$PLATTER" dd if=data.raw of=out.raw bs=1G seek=10G
	[ ! -e out.raw ]
}

@test "a stream that fails leaves an old target as it was" {
	cp data.raw out.raw
	fails 1 'standard input' "$PLATTER" dd of=out.raw <.
	cmp data.raw out.raw
	[ "$(find . -name '*.part' | wc -l)" -eq 0 ]
}

@test "killed, an old target is as it was" {
	cp data.raw out.raw
	run timeout -s KILL 0.2 sh -c \
		'(cat data.raw; sleep 2) | "$PLATTER" dd of=out.raw'
	cmp data.raw out.raw
}
