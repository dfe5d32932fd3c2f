# SPDX-License-Identifier: LGPL-2.1-or-later
# platter commit: what qemu-img does, and that nothing is lost on the way.

load lib/common
load lib/chains

setup()
{
	common_setup
}

@test "an overlay is committed into its backing file and emptied" {
	chain
	both commit top.qcow2
	assert_output 'Image committed.'
	reads_as_before
	qemu-img map --output=json top.qcow2 >map
	[ "$(grep -c '"depth": 0' map)" -eq 0 ]
	qemu-img compare -q mid.qcow2 before.raw
}

@test "-d leaves the overlay as it is" {
	chain
	cp top.qcow2 old.qcow2
	both commit -d top.qcow2
	qemu-img compare -q mid.qcow2 before.raw
	cmp top.qcow2 old.qcow2
}

@test "-b brings everything above it into the image it names" {
	chain
	both commit -b base.raw top.qcow2
	cmp base.raw before.raw
	reads_as_before
}

@test "-b takes the path of an image, relative to the one above it, too" {
	chain
	mkdir sub
	overlay sub/leaf.qcow2 ../top.qcow2 qcow2 64k 4M -c 'write -P 9 2M 1M'
	run "$PLATTER" commit --follow=any -b ../top.qcow2 sub/leaf.qcow2
	assert_success
	qemu-img compare -q top.qcow2 sub/leaf.qcow2
	run "$PLATTER" commit --follow=any -b "$PWD/base.raw" sub/leaf.qcow2
	assert_success
	qemu-img compare -q -f raw base.raw sub/leaf.qcow2
}

@test "clusters of every size come over" {
	local size

	for size in 512 4096 2M; do
		chain "$size"
		both commit top.qcow2
		both commit -b base.raw mid.qcow2
		rm -f ./*.qcow2 base.raw
	done
}

@test "subclusters come over" {
	chain
	qemu-img create -q -f qcow2 -o extended_l2=on,cluster_size=64k \
		-b top.qcow2 -F qcow2 sub.qcow2
	qemu-io -c 'write -P 8 10k 2k' -c 'write -z 70k 2k' sub.qcow2 >io.out
	both commit sub.qcow2
}

@test "a base that is smaller grows" {
	chain 65536 4M 4M 6M
	qemu-io -c 'write -P 9 5M 64k' top.qcow2 >io.out
	qemu-img convert -O raw top.qcow2 before.raw
	both commit top.qcow2
	reads_as_before
	both commit -b base.raw mid.qcow2
	[ "$(stat -c %s base.raw)" -eq $((6 << 20)) ]
}

@test "a base that is larger keeps its end" {
	chain 65536 4M 4M 2M
	both commit top.qcow2
	qemu-io -c 'read -P 3 3500k 4k' mid.qcow2 >out
	[ "$(grep -c failed out)" -eq 0 ]
}

@test "what lies below a base that grows does not come to light" {
	chain 65536 4M 1M 4M
	both commit top.qcow2
	reads_as_before
	qemu-img compare -q mid.qcow2 before.raw
}

@test "compressed clusters come over" {
	chain
	qemu-img convert -c -O qcow2 before.raw top.qcow2 \
		-o backing_file=mid.qcow2,backing_fmt=qcow2
	both commit top.qcow2
	qemu-img compare -q mid.qcow2 before.raw
}

@test "zeros become holes of a raw base" {
	chain
	qemu-io -c 'write -z -u 0 4M' mid.qcow2 >io.out
	both commit mid.qcow2
	[ "$(stat -c %b base.raw)" -eq 0 ]
}

@test "-q prints nothing, -p percentages" {
	chain
	run "$PLATTER" commit -q top.qcow2
	assert_success
	assert_output ''
	run --separate-stderr "$PLATTER" commit -p top.qcow2
	[[ $output == *'(100.00/100%)'*'Image committed.' ]]
}

@test "-r holds the speed down" {
	chain
	SECONDS=0
	run "$PLATTER" commit -r 300k top.qcow2
	assert_success
	((SECONDS >= 1))
	reads_as_before
}

@test "an image without a backing file has nowhere to be committed to" {
	qemu-img create -q -f qcow2 alone.qcow2 1M
	fails 1 'Image does not have a backing file' \
		"$PLATTER" commit alone.qcow2
}

@test "a base that is not in the chain is named" {
	chain
	fails 1 \
		"Did not find 'other.qcow2' in the backing chain of 'top.qcow2'" \
		"$PLATTER" commit -b other.qcow2 top.qcow2
	fails 1 "Did not find 'top.qcow2' in the backing chain" \
		"$PLATTER" commit -b top.qcow2 top.qcow2
	reads_as_before
}

@test "a base that was only guessed to be raw is not written to" {
	chain
	# A format is not stored for it.
	qemu-img create -q -f qcow2 -u -o compat=0.10 -b base.raw -F raw \
		guess.qcow2 4M
	python3 -c '
import struct, sys
f = open("guess.qcow2", "r+b")
at = 72
while True:
    f.seek(at)
    kind, size = struct.unpack(">II", f.read(8))
    if kind == 0xe2792aca:
        f.seek(at)
        f.write(struct.pack(">I", 0x11111111))
        break
    assert kind
    at += 8 + (size + 7) // 8 * 8
'
	cp base.raw old.raw
	fails 1 'guessed to be raw' "$PLATTER" commit guess.qcow2
	cmp base.raw old.raw
}

@test "a base that another program uses is refused" {
	chain
	qemu-io -f raw -c 'sleep 3000' base.raw >io.out 3>&- &
	sleep 0.3
	run "$PLATTER" commit mid.qcow2
	assert_failure 1
	assert_output --partial 'base.raw'
	kill "$!"
}

@test "a base that cannot be written to is an error and nothing changes" {
	chain
	cp top.qcow2 old.qcow2
	chmod 444 mid.qcow2
	if [ -w mid.qcow2 ]; then
		skip "root may write to everything"
	fi
	run "$PLATTER" commit top.qcow2
	assert_failure 1
	cmp top.qcow2 old.qcow2
}

# fail_halfway: each write to the base fails in turn.
fail_halfway()
{
	local -i after
	local spec

	cp top.qcow2 old.qcow2
	for ((after = 0; ; after++)); do
		cp mid.qcow2 part.qcow2
		spec=driver=qcow2,file.driver=file,file.filename=top.qcow2
		spec+=,backing.driver=qcow2,backing.file.driver=blkdebug
		spec+=,backing.file.file.driver=file
		spec+=,backing.file.file.filename=part.qcow2
		spec+=,backing.file.iotype=write,backing.file.after=$after
		run "$PLATTER" commit --image-opts "$spec"
		if [ "$status" -eq 0 ]; then
			break
		fi
		assert_failure 1
		assert_output --partial 'Input/output error'
		unharmed part.qcow2
		qemu-img rebase -u -b part.qcow2 -F qcow2 top.qcow2
		reads_as_before
		cp old.qcow2 top.qcow2
	done
	((after >= 4))
	qemu-img compare -q part.qcow2 before.raw
}

@test "a base that fails halfway leaves the overlay as it was" {
	chain 4096
	fail_halfway
}

@test "a base that fails after it has grown leaves the overlay as it was" {
	chain 4096 4M 1M 4M
	fail_halfway
}

@test "killed at any moment, the overlay reads as before and goes on" {
	local -i ms

	chain 4096
	for ((ms = 4; ms < 200; ms += 14)); do
		killed_at "$ms" "$PLATTER" commit -r 10M top.qcow2
		reads_as_before
		unharmed top.qcow2 mid.qcow2
	done
	run "$PLATTER" commit top.qcow2
	assert_success
	reads_as_before
	qemu-img compare -q mid.qcow2 before.raw
}

@test "the base is durable before the overlay is written to" {
	need strace
	chain 4096
	traced -y -o trace -e trace=pwrite64,fdatasync \
		"$PLATTER" commit top.qcow2
	awk '/pwrite64.*top\.qcow2/ && !top { top = NR }
		/pwrite64.*mid\.qcow2/ { mid = NR }
		/fdatasync.*mid\.qcow2/ && !top { sync = NR }
		END { exit !(mid && mid < sync && sync < top) }' trace
}

@test "a power cut at any moment of the base leaves what the overlay reads as" {
	chain 4096
	survives_power_cuts mid.qcow2 "$PLATTER" commit -d --image-opts \
		"driver=qcow2,file.filename=top.qcow2,backing.driver=qcow2,$(
		below backing.file "$(logged mid.qcow2)")"
}

@test "a power cut at any moment of the overlay leaves what it reads as" {
	chain 4096
	survives_power_cuts top.qcow2 "$PLATTER" commit --image-opts \
		"driver=qcow2,$(below file "$(logged top.qcow2)")"
}
