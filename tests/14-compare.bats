# SPDX-License-Identifier: LGPL-2.1-or-later
# platter compare: qemu-img's words and exit codes.

load lib/common

setup()
{
	common_setup
	truncate -s 2M a.raw
	head -c 1000 /dev/urandom |
		dd of=a.raw bs=1 seek=500000 conv=notrunc status=none
	cp --sparse=always a.raw b.raw
}

# as_qemu ARGUMENT...: the same output and exit code as qemu-img's.
as_qemu()
{
	local code=0

	need qemu-img
	qemu-img compare "$@" >expected 2>/dev/null || code=$?
	run --separate-stderr "$PLATTER" compare "$@"
	assert_equal "$status" "$code"
	assert_output "$(cat expected)"
}

@test "equal images are identical, exit 0" {
	as_qemu a.raw b.raw
	assert_output 'Images are identical.'
}

@test "another byte is a mismatch at its offset, exit 1" {
	put b.raw 1000000 ff
	run --separate-stderr "$PLATTER" compare a.raw b.raw
	assert_failure 1
	assert_output 'Content mismatch at offset 1000000!'
	assert_equal "$stderr" ''
}

@test "the first of several differences is told" {
	put b.raw 1000000 ff
	put b.raw 2000 ff
	run "$PLATTER" compare a.raw b.raw
	assert_output 'Content mismatch at offset 2000!'
}

@test "a longer image with zeros behind is identical, with a warning" {
	truncate -s 3M b.raw
	as_qemu a.raw b.raw
	as_qemu b.raw a.raw
	assert_line --index 0 'Warning: Image size mismatch!'
}

@test "a longer image with data behind is a mismatch there" {
	truncate -s 3M b.raw
	put b.raw $((2 << 20)) 01
	as_qemu a.raw b.raw
	assert_line --index 1 'Content mismatch at offset 2097152!'
}

@test "-s finds another size" {
	truncate -s 3M b.raw
	as_qemu -s a.raw b.raw
	assert_failure 1
}

@test "-s finds another allocation" {
	truncate -s 2M hole.raw
	head -c 2M /dev/zero >zeros.raw
	as_qemu hole.raw zeros.raw
	assert_success
	as_qemu -s hole.raw zeros.raw
	assert_failure 1
}

@test "-q says nothing and keeps the exit code" {
	succeeds "$PLATTER" compare -q a.raw b.raw
	assert_output ''
	put b.raw 5 01
	run --separate-stderr "$PLATTER" compare -q a.raw b.raw
	assert_failure 1
	assert_output ''
	assert_equal "$stderr" ''
}

@test "an image that cannot be opened is exit 2" {
	fails 2 'gone.raw: No such file or directory' \
		"$PLATTER" compare a.raw gone.raw
	fails 2 'gone.raw: No such file or directory' \
		"$PLATTER" compare gone.raw a.raw
}

@test "an image that cannot be read is exit 4" {
	need strace
	strace -o trace true 2>/dev/null || skip "no tracing here"
	run --separate-stderr traced -o trace -P "$PWD/b.raw" \
		-e inject=pread64:error=EIO:when=1+ \
		"$PLATTER" compare -f raw -F raw a.raw b.raw
	assert_failure 4
	assert_output ''
	complained 'Input/output error'
}

@test "JSON has the verdict, the place and both images" {
	need jq
	put b.raw 1000000 ff
	run --separate-stderr "$PLATTER" compare --output=json a.raw b.raw
	assert_failure 1
	run jq -c '[.identical, .verdict, .offset, .images[].filename]' \
		<<<"$output"
	assert_output '[false,"content",1000000,"a.raw","b.raw"]'
}

@test "JSON of identical images names no place" {
	need jq
	run --separate-stderr "$PLATTER" compare --output=json a.raw b.raw
	assert_success
	run jq -c '[.identical, .verdict, .offset]' <<<"$output"
	assert_output '[true,"same",null]'
}

@test "-f and -F are for the first and the second image" {
	log_file metadata-flag-1entry log
	fails 2 'nosuch' "$PLATTER" compare -F nosuch log log
	# As a log it is a disk of one sector, as raw it is the file.
	run "$PLATTER" compare -s -f raw -F writelog log log
	assert_failure 1
	run "$PLATTER" compare -s -f writelog -F writelog log log
	assert_success
	run "$PLATTER" compare -s --a-format=raw --b-format=raw log log
	assert_success
}

@test "two moments of a log can be compared" {
	log_file kernel-6.1-ext4 log
	run "$PLATTER" compare --image-opts \
		driver=writelog,log=log,at=mark:fsync-1 \
		driver=writelog,log=log,at=mark:fsync-2
	assert_failure 1
	run "$PLATTER" compare --image-opts \
		driver=writelog,log=log,at=mark:fsync-1 \
		driver=writelog,log=log,at=46
	assert_success
}

@test "-p prints percentages before the result" {
	run bash -c '"$PLATTER" compare -p a.raw b.raw | tr "\r" "\n"'
	assert_line --index 0 '    (0.00/100%)'
	assert_line '    (100.00/100%)'
	assert_line --index -1 'Images are identical.'
}
