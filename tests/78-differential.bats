# SPDX-License-Identifier: LGPL-2.1-or-later
# The same random operations by platter and by qemu-img and qemu-io, and
# against a plain file. tests/long/differential.bats does many more.

load lib/common

setup()
{
	common_setup
}

# sequence SEED COUNT
sequence()
{
	need qemu-img qemu-io
	mkdir -p bin
	ln -sf "$PLATTER" bin/qemu-img
	DIFFERENTIAL_IMG=$PWD/bin/qemu-img run bash \
		"$top_srcdir/tests/tools/differential" "$1" "$2" work
	assert_success
	rm -rf work
}

@test "the sequence of a seed is always the same" {
	run diff <(random-ops 7 200) <(random-ops 7 200)
	assert_success
	run diff -q <(random-ops 7 200) <(random-ops 27 200)
	assert_failure
	assert_equal "$(random-ops 3 500 | cksum)" '2656495577 13565'
}

@test "a difference is found, and told with its seed" {
	need qemu-img qemu-io
	# An image-io that forgets one command in ten.
	mkdir bin
	cat >bin/forgetful <<-'END'
		#!/bin/bash
		awk 'NR % 10 != 5' | image-io "$@"
	END
	chmod +x bin/forgetful
	DIFFERENTIAL_IO=$PWD/bin/forgetful run bash \
		"$top_srcdir/tests/tools/differential" 0 300 work
	assert_failure 1
	assert_output --regexp 'seed 0, step [0-9]+: (content|map)'
}

@test "version 3: contents, maps and checks agree" {
	sequence 0 250
}

@test "small clusters over a raw file: contents, maps and checks agree" {
	sequence 1 250
}

@test "version 2 over qcow2: contents, maps and checks agree" {
	sequence 2 250
}

@test "clusters of 512 bytes: contents, maps and checks agree" {
	sequence 3 250
}

@test "subclusters over qcow2: contents, maps and checks agree" {
	sequence 4 250
}

@test "refcounts of a bit: contents, maps and checks agree" {
	sequence 6 250
}

@test "lazy refcounts: contents, maps and checks agree" {
	sequence 7 250
}

@test "a data file: contents, maps and checks agree" {
	sequence 8 250
}

@test "a raw data file: contents, maps and checks agree" {
	sequence 13 250
}

@test "zstd over a raw file: contents, maps and checks agree" {
	sequence 10 250
}

@test "version 2 without a backing file: contents, maps and checks agree" {
	sequence 11 250
}

# plain OPTIONS SEED: the reads and writes of one process, to a qcow2 image and to a
# raw file; the raw one has neither compression nor discards.
plain()
{
	local options=$1 seed=$2

	random-ops "$seed" 1500 | sed -n 's/^io //p' |
		sed 's/^discard /write -z -u /' >commands
	rm -f image.qcow2 file.raw
	"$PLATTER" create -q -f qcow2 -o "$options" image.qcow2 6M
	truncate -s 6M file.raw
	# What lies behind the end is refused by both.
	image-io -d unmap -f qcow2 image.qcow2 <commands 2>qcow2.log || true
	sed 's/ -c / /' commands |
		image-io -d unmap -f raw file.raw 2>raw.log || true
	assert_equal "$(wc -l <qcow2.log)" "$(wc -l <raw.log)"
	run "$PLATTER" compare image.qcow2 file.raw
	assert_success
	run "$PLATTER" check image.qcow2
	assert_success
}

@test "in one process, compressed writes over anything read as in a file" {
	plain cluster_size=64k 20
	plain cluster_size=64k,compression_type=zstd 40
	plain cluster_size=64k,extended_l2=on 60
	plain compat=0.10 80
	plain lazy_refcounts=on 100
}
