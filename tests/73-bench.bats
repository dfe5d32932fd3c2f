# SPDX-License-Identifier: LGPL-2.1-or-later
# platter bench, and compare --all.

load lib/common
load lib/memory

setup()
{
	common_setup
}

# ---- bench ----

# plan ARGUMENT...: what it says it will do, as qemu-img says it
plan()
{
	run --separate-stderr "$PLATTER" bench "$@"
	assert_success
	need qemu-img
	qemu-img bench "$@" | grep -v '^Run' >expected
	diff expected <(grep '^Sending' <<<"$output")
	[[ $output == *$'\n''Run completed in '*' seconds.'* ]]
}

@test "the plan is told as qemu-img tells it" {
	truncate -s 4M disk.raw
	plan -c 10 disk.raw
	plan -c 10 -d 4 -s 8k -S 1M -o 512 disk.raw
	plan -f raw -w -c 100 -d 8 --flush-interval 10 disk.raw
	plan -f raw -w -c 100 -d 8 --flush-interval 10 --no-drain disk.raw
	plan -t none -n -i native -c 10 disk.raw
}

@test "requests go where qemu-img's go" {
	need strace
	truncate -s 1M disk.raw
	traced -o trace -e trace=pread64 "$PLATTER" bench -f raw -c 6 \
		--threads 1 -s 4k -S 300k -o 8k disk.raw
	sed -n 's/.*, 4096, \([0-9]*\)) *= 4096/\1/p' trace | tail -6 >places
	diff places - <<-EOF
		8192
		315392
		622592
		929792
		188416
		495616
	EOF
}

@test "-w writes the pattern and no more" {
	truncate -s 1M disk.raw
	run "$PLATTER" bench -f raw -w --pattern 0x41 -c 3 -s 1k -S 2k disk.raw
	assert_success
	head -c 1024 /dev/zero | tr '\0' A >a
	(
		cat a
		head -c 1k /dev/zero
		cat a
		head -c 1k /dev/zero
		cat a
		head -c $((1048576 - 5 * 1024)) /dev/zero
	) | cmp - disk.raw
}

@test "all requests are sent, by any number of threads" {
	local threads

	truncate -s 1M disk.raw
	for threads in 1 2 16; do
		: >disk.raw
		truncate -s 1M disk.raw
		run "$PLATTER" bench -f raw -w --pattern 65 -c 256 \
			--threads "$threads" disk.raw
		assert_success
		[ "$(tr -d A <disk.raw | wc -c)" -eq 0 ]
	done
}

@test "the same seed sends the same random requests" {
	local seed

	for seed in 1 1 2; do
		: >disk.raw
		truncate -s 1M disk.raw
		run "$PLATTER" bench -f raw -w --pattern 65 --random -c 30 \
			--seed "$seed" disk.raw
		assert_success
		md5sum <disk.raw >>sums
	done
	[ "$(sed -n 1p sums)" = "$(sed -n 2p sums)" ]
	[ "$(sed -n 1p sums)" != "$(sed -n 3p sums)" ]
}

@test "--flush-interval flushes so often" {
	need strace jq
	truncate -s 1M disk.raw
	traced -o trace -e trace=fdatasync "$PLATTER" bench -f raw -w \
		-c 100 -d 4 --flush-interval 25 --output=json disk.raw >out
	[ "$(jq .flushes out)" -eq 4 ]
	[ "$(grep -c 'fdatasync.*= 0' trace)" -ge 4 ]
}

@test "the result is there as JSON" {
	need jq
	truncate -s 1M disk.raw
	run --separate-stderr "$PLATTER" bench -c 50 --random --seed 7 \
		--threads 2 --output=json disk.raw
	assert_success
	jq -e '.operation == "read" and .requests == 50 and .threads == 2 and
		.random and .seed == 7 and ."request-size" == 4096 and
		.seconds > 0 and ."requests-per-second" > 0' <<<"$output"
}

@test "a request beyond the end is an error" {
	truncate -s 10k disk.raw
	fails 1 'is beyond the size' "$PLATTER" bench -c 4 disk.raw
	fails 1 'is beyond the size' "$PLATTER" bench -c 1 -o 1M disk.raw
}

@test "bad numbers are usage errors" {
	truncate -s 1M disk.raw
	usage_error '-c: ' "$PLATTER" bench -c x disk.raw
	usage_error '-d: ' "$PLATTER" bench -d 0 disk.raw
	usage_error '-s: 3G is over the limit' "$PLATTER" bench -s 3G disk.raw
	usage_error '--pattern: ' "$PLATTER" bench -w --pattern 300 disk.raw
	usage_error '--flush-interval needs -w' \
		"$PLATTER" bench --flush-interval 100 disk.raw
	usage_error 'smaller than the depth of 64' \
		"$PLATTER" bench -w --flush-interval 3 -f raw disk.raw
	usage_error "-i: 'foo'" "$PLATTER" bench -i foo disk.raw
}

@test "an image that is only guessed to be raw is not written to" {
	truncate -s 1M disk.raw
	fails 1 'say -f raw' "$PLATTER" bench -w -c 1 disk.raw
}

@test "16 threads that write one qcow2 image leave it whole" {
	need qemu-img qemu-io
	qemu-img create -q -f qcow2 -o cluster_size=4k disk.qcow2 16M
	run "$PLATTER" bench -w --pattern 0x41 --random --threads 16 -s 1k \
		-c 20000 disk.qcow2
	assert_success
	run "$PLATTER" bench -w --pattern 0x41 --threads 16 -s 64k -c 256 \
		disk.qcow2
	assert_success
	qemu-img check -q disk.qcow2
	run qemu-io -c 'read -P 0x41 0 16M' disk.qcow2
	refute_output --partial 'failed'
}

# ---- compare --all ----

two_images()
{
	local offset

	truncate -s 5M a.raw b.raw
	for offset in "$@"; do
		put b.raw "$offset" 41
	done
}

@test "every range that differs is listed" {
	two_images 7 1048575 1048576 3000000 5242879
	run "$PLATTER" compare --all a.raw b.raw
	assert_failure 1
	assert_output - <<-EOF
		7+1
		1048575+2
		3000000+1
		5242879+1
		5 bytes in 4 ranges differ.
	EOF
}

@test "what is less than 512 bytes apart is one range" {
	two_images 100 612 1125 1637
	run "$PLATTER" compare --all a.raw b.raw
	assert_output - <<-EOF
		100+513
		1125+513
		1026 bytes in 2 ranges differ.
	EOF
}

@test "equal images have no differences" {
	need jq
	two_images
	run "$PLATTER" compare --all a.raw b.raw
	assert_success
	assert_output 'Images are identical.'
	"$PLATTER" compare --all --output=json a.raw b.raw |
		jq -e '.identical and .differences == []'
}

@test "differences are there as JSON" {
	need jq
	two_images 7 3000000
	run "$PLATTER" compare --all --output=json a.raw b.raw
	assert_failure 1
	jq -e '.differences == [{"offset": 7, "length": 1},
		{"offset": 3000000, "length": 1}] and (.identical | not) and
		.verdict == "content" and .offset == 7 and .ranges == 2 and
		.bytes == 2' <<<"$output"
}

@test "what is behind the end of the shorter one differs where it is data" {
	two_images
	truncate -s 6M b.raw
	put b.raw 5500000 41
	run "$PLATTER" compare --all a.raw b.raw
	assert_failure 1
	assert_output - <<-EOF
		5500000+1
		Warning: Image size mismatch!
		1 bytes in 1 range differ.
	EOF
}

@test "the list is the one a byte by byte comparison makes" {
	need cmp
	head -c 3M /dev/urandom >a.raw
	cp a.raw b.raw
	for ((i = 0; i < 60; i++)); do
		dd if=/dev/urandom of=b.raw bs=1 conv=notrunc status=none \
			seek=$(((RANDOM * 32768 + RANDOM) % 3000000)) \
			count=$((RANDOM % 3000))
	done
	cmp -l a.raw b.raw | awk '
		{ at = $1 - 1 }
		NR > 1 && at - end >= 512 { print begin "+" end - begin }
		NR == 1 || at - end >= 512 { begin = at }
		{ end = at + 1 }
		END { print begin "+" end - begin }' >expected
	run "$PLATTER" compare --all a.raw b.raw
	diff expected <(grep + <<<"$output")
}

@test "images that share a file are not read where they do" {
	need qemu-img qemu-io strace
	head -c 4M /dev/urandom >base.raw
	qemu-img create -q -f qcow2 -b base.raw -F raw a.qcow2
	qemu-img create -q -f qcow2 -b base.raw -F raw b.qcow2
	qemu-io -c 'write -P 5 1M 4k' b.qcow2 >out
	traced -o trace -e trace=pread64 "$PLATTER" compare --all a.qcow2 \
		b.qcow2 >out || :
	grep -qx '1048576+4096' out
	# One cluster, not 4 MiB.
	[ "$(awk -F'= ' '/pread64/ { n += $2 } END { print n }' trace)" \
		-lt 2000000 ]
}

@test "--all and -s exclude each other" {
	two_images
	usage_error '-s and --all' "$PLATTER" compare -s --all a.raw b.raw
}

@test "an image that cannot be read is exit code 4" {
	local spec=driver=raw,file.driver=blkdebug,file.file.driver=file

	head -c 5M /dev/urandom >a.raw
	cp a.raw b.raw
	spec+=,file.file.filename=b.raw,file.iotype=read,file.sector=6000
	run --separate-stderr "$PLATTER" compare --all --image-opts \
		driver=raw,file.filename=a.raw "$spec"
	assert_failure 4
	complained 'Input/output error'
}

@test "half a million ranges take no memory" {
	need python3
	no_sanitizers
	truncate -s 512M a.raw
	python3 -c '
f = open("b.raw", "wb")
f.truncate(512 << 20)
for mib in range(512):
    f.seek(mib << 20)
    f.write((b"A" + bytes(1023)) * 1024)
'
	run within 48 compare --all a.raw b.raw
	assert_success
	run "$PLATTER" compare --all a.raw b.raw
	[ "${lines[-1]}" = '524288 bytes in 524288 ranges differ.' ]
}
