# SPDX-License-Identifier: LGPL-2.1-or-later
# platter rebase: what qemu-img does, and that nothing is lost on the way.

load lib/common
load lib/chains

setup()
{
	common_setup
}

@test "an overlay over another backing file reads as before" {
	chain
	both rebase -b other.qcow2 -F qcow2 top.qcow2
	reads_as_before
	run qemu-img info top.qcow2
	assert_line 'backing file: other.qcow2'
	assert_line 'backing file format: qcow2'
}

@test "an image in the middle of the chain can be left out" {
	chain
	both rebase -b base.raw -F raw top.qcow2
	reads_as_before
	rm mid.qcow2
	reads_as_before
}

@test "without a backing file the overlay is complete" {
	chain
	both rebase -b '' top.qcow2
	rm mid.qcow2 base.raw
	reads_as_before
	[ "$(qemu-img info top.qcow2 | grep -c backing)" -eq 0 ]
}

@test "an image without one gets a backing file and still reads as before" {
	chain
	"$PLATTER" rebase -b '' top.qcow2
	both rebase -b other.qcow2 -F qcow2 top.qcow2
	reads_as_before
}

@test "the same backing file again copies nothing" {
	local before

	chain
	before=$(qemu-img map --output=json top.qcow2)
	both rebase -b mid.qcow2 -F qcow2 top.qcow2
	[ "$before" = "$(qemu-img map --output=json top.qcow2)" ]
}

@test "what old and new backing file share is not read" {
	need strace
	chain
	qemu-img create -q -f qcow2 -b base.raw -F raw one.qcow2
	qemu-img create -q -f qcow2 -b one.qcow2 -F qcow2 leaf.qcow2
	traced -o trace -e trace=pread64 \
		"$PLATTER" rebase -b base.raw -F raw leaf.qcow2
	# The base is 3 MiB of ones.
	[ "$(grep -c '\\1\\1\\1\\1' trace)" -eq 0 ]
	qemu-img compare -q -f raw base.raw leaf.qcow2
	qemu-img map --output=json leaf.qcow2 >map
	[ "$(grep -c '"depth": 0' map)" -eq 0 ]
}

@test "a backing file that is smaller counts as zeros from there on" {
	chain 65536 4M 4M 6M
	truncate -s 1M short.raw
	both rebase -b short.raw -F raw top.qcow2
	reads_as_before
}

@test "a backing file that is larger is hidden where the old one ended" {
	chain 65536 4M 1M 4M
	both rebase -b base.raw -F raw top.qcow2
	reads_as_before
}

@test "clusters of every size keep their data" {
	local size

	for size in 512 4096 2M; do
		chain "$size"
		both rebase -b other.qcow2 -F qcow2 top.qcow2
		both rebase -b '' top.qcow2
		reads_as_before
	done
}

@test "clusters of other sizes below do not matter" {
	chain 4096
	overlay big.qcow2 base.raw raw 2M 4M -c 'write -P 6 1200k 4k'
	both rebase -b big.qcow2 -F qcow2 top.qcow2
	reads_as_before
}

@test "an overlay with subclusters keeps what it has of a cluster" {
	chain
	qemu-img create -q -f qcow2 -o extended_l2=on,cluster_size=64k \
		-b top.qcow2 -F qcow2 sub.qcow2
	qemu-io -c 'write -P 8 1210k 2k' -c 'write -z 1270k 2k' \
		-c 'write -P 9 10k 2k' sub.qcow2 >io.out
	qemu-img convert -O raw sub.qcow2 before.raw
	both rebase -b other.qcow2 -F qcow2 sub.qcow2
	reads_as_before sub.qcow2
	both rebase -b '' sub.qcow2
	reads_as_before sub.qcow2
}

@test "an overlay of version 2, without zero clusters, keeps its zeros" {
	chain
	qemu-img create -q -f qcow2 -o compat=0.10 -b mid.qcow2 -F qcow2 \
		v2.qcow2
	qemu-img convert -O raw v2.qcow2 before.raw
	overlay ones.qcow2 base.raw raw 64k 4M -c 'write -P 1 0 4M'
	both rebase -b ones.qcow2 -F qcow2 v2.qcow2
	reads_as_before v2.qcow2
}

@test "-c compresses what is copied" {
	chain
	cp top.qcow2 plain.qcow2
	run "$PLATTER" rebase -c -b '' top.qcow2
	assert_success
	run "$PLATTER" rebase -b '' plain.qcow2
	assert_success
	reads_as_before
	check_clean top.qcow2
	[ "$(stat -c %s top.qcow2)" -lt "$(stat -c %s plain.qcow2)" ]
	qemu-img check top.qcow2 | grep -v ' 0.00% compressed' |
		grep -q compressed
}

@test "-u changes the name and nothing else, and opens nothing" {
	local before

	chain
	before=$(tail -c +65537 top.qcow2 | md5sum)
	both rebase -u -b other.qcow2 -F qcow2 top.qcow2
	run "$PLATTER" rebase -u -b nosuch.qcow2 -F qcow2 top.qcow2
	assert_success
	run qemu-img info top.qcow2
	assert_line --partial 'backing file: nosuch.qcow2'
	run "$PLATTER" rebase -u -b '' top.qcow2
	assert_success
	[ "$(qemu-img info top.qcow2 | grep -c backing)" -eq 0 ]
	run "$PLATTER" rebase -u -b mid.qcow2 -F qcow2 top.qcow2
	assert_success
	reads_as_before
	[ "$before" = "$(tail -c +65537 top.qcow2 | md5sum)" ]
}

@test "-u without a name removes it" {
	chain
	both rebase -u top.qcow2
}

@test "-p prints percentages" {
	chain
	run --separate-stderr "$PLATTER" rebase -p -b '' top.qcow2
	assert_success
	[[ $output == *'(100.00/100%)'* ]]
}

@test "a relative name is relative to the overlay" {
	chain
	mkdir sub
	qemu-img create -q -f qcow2 -b ../top.qcow2 -F qcow2 sub/leaf.qcow2
	run "$PLATTER" rebase --follow=any -b ../other.qcow2 -F qcow2 \
		sub/leaf.qcow2
	assert_success
	reads_as_before sub/leaf.qcow2
	run qemu-img info sub/leaf.qcow2
	assert_line --partial 'backing file: ../other.qcow2'
	run "$PLATTER" rebase --follow=any -b other.qcow2 -F qcow2 \
		sub/leaf.qcow2
	assert_failure 1
	assert_output --partial 'sub/other.qcow2: No such file'
}

@test "bad calls are refused before anything is written" {
	chain
	cp top.qcow2 old.qcow2
	usage_error 'Must specify backing file (-b) or use unsafe mode (-u)' \
		"$PLATTER" rebase top.qcow2
	fails 1 'backing format must be specified' \
		"$PLATTER" rebase -b other.qcow2 top.qcow2
	fails 1 'backing format must be specified' \
		"$PLATTER" rebase -u -b other.qcow2 top.qcow2
	fails 1 'unknown format "foo"' \
		"$PLATTER" rebase -b other.qcow2 -F foo top.qcow2
	fails 1 'nosuch: No such file' \
		"$PLATTER" rebase -b nosuch -F raw top.qcow2
	fails 1 'cannot be its own backing file' \
		"$PLATTER" rebase -b top.qcow2 -F qcow2 top.qcow2
	fails 1 'has no backing files' \
		"$PLATTER" rebase -f raw -b other.qcow2 -F qcow2 base.raw
	cmp top.qcow2 old.qcow2
}

@test "an overlay that fails halfway reads as before" {
	local -i after
	local spec

	chain 4096
	for after in 0 1 2 3 5 8 12 20; do
		cp top.qcow2 part.qcow2
		spec=driver=qcow2,file.driver=blkdebug
		spec+=,file.file.driver=file,file.file.filename=part.qcow2
		spec+=,file.iotype=write,file.after=$after
		run "$PLATTER" rebase --image-opts -b other.qcow2 -F qcow2 \
			"$spec"
		reads_as_before part.qcow2
		unharmed part.qcow2
		((after)) || assert_failure 1
	done
}

@test "killed at any moment, the overlay reads as before and goes on" {
	local -i ms

	chain 512
	cp top.qcow2 fresh.qcow2
	for ((ms = 2; ms < 90; ms += 6)); do
		cp fresh.qcow2 top.qcow2
		killed_at "$ms" "$PLATTER" rebase -b '' top.qcow2
		reads_as_before
		unharmed top.qcow2
	done
	run "$PLATTER" rebase -b '' top.qcow2
	assert_success
	reads_as_before
	unharmed top.qcow2
}

@test "a power cut at any moment leaves what the overlay reads as" {
	chain 4096
	survives_power_cuts top.qcow2 "$PLATTER" rebase -b other.qcow2 \
		-F qcow2 --image-opts \
		"driver=qcow2,$(below file "$(logged top.qcow2)")"
}
