# SPDX-License-Identifier: LGPL-2.1-or-later
# platter convert to standard output, and what is left when a convert fails.

load lib/common

setup()
{
	common_setup
	# Data, holes, and pieces smaller than any cluster.
	seq 150000 | head -c 900000 >disk.raw
	truncate -s 9437696 disk.raw
	seq 7 | dd of=disk.raw bs=1 seek=5246976 conv=notrunc status=none
	seq 7 | dd of=disk.raw bs=1 seek=5300224 conv=notrunc status=none
	seq 7 | dd of=disk.raw bs=1 seek=9437600 conv=notrunc status=none
}

# piped OPTIONS...: disk.raw through a pipe to out
piped()
{
	"$PLATTER" convert "$@" disk.raw - | cat >out
	assert_equal "${PIPESTATUS[*]}" '0 0'
}

@test "raw goes to standard output, also to a pipe" {
	piped
	cmp disk.raw out
	"$PLATTER" convert disk.raw - >file
	cmp disk.raw file
}

@test "qcow2 goes to a pipe, sound and the same" {
	need qemu-img
	local o
	for o in compat=1.1 compat=0.10 cluster_size=512 cluster_size=4k \
		cluster_size=2M refcount_bits=1 refcount_bits=64 \
		lazy_refcounts=on extended_l2=on,cluster_size=16k; do
		piped -O qcow2 -o "$o"
		qemu-img check -q out
		qemu-img compare -f raw -F qcow2 disk.raw out
		succeeds "$PLATTER" compare -f raw -F qcow2 disk.raw out
	done
}

@test "a qcow2 with more than one L2 table and refcount block is sound" {
	need qemu-img
	head -c 3M /dev/urandom >r.raw
	truncate -s 40M r.raw
	head -c 1M /dev/urandom |
		dd of=r.raw bs=1M seek=39 conv=notrunc status=none
	"$PLATTER" convert -f raw -O qcow2 -o cluster_size=512 r.raw - >out
	qemu-img check -q out
	qemu-img compare -f raw -F qcow2 r.raw out
}

@test "an image of nothing but a hole can be piped" {
	need qemu-img
	truncate -s 1T hole.raw
	"$PLATTER" convert -O qcow2 hole.raw - >out
	qemu-img check -q out
	(($(stat -c %s out) < 2000000))
	succeeds "$PLATTER" compare hole.raw out
	: >empty.raw
	"$PLATTER" convert -f raw -O qcow2 empty.raw - >out
	qemu-img check -q out
}

@test "a chain and a log can be piped" {
	need qemu-img qemu-io
	qemu-img create -q -f qcow2 -b disk.raw -F raw top.qcow2 10M
	qemu-io -c 'write -P 1 3M 100k' top.qcow2 >/dev/null
	"$PLATTER" convert -O qcow2 top.qcow2 - >out
	qemu-img compare top.qcow2 out
	log_file kernel-6.1-ext4 log
	"$PLATTER" convert --image-opts driver=writelog,log=log,at=end - >r
	"$PLATTER" convert --image-opts driver=writelog,log=log,at=end want
	cmp want r
}

@test "--hash with standard output goes to standard error" {
	run --separate-stderr bash -c \
		'"$PLATTER" convert --hash sha256 -O qcow2 disk.raw - >out'
	assert_success
	assert_equal "$stderr" \
		"sha256  $(sha256sum <disk.raw | cut -d' ' -f1)"
	succeeds "$PLATTER" compare -f raw -F qcow2 disk.raw out
}

@test "what cannot be known beforehand cannot be piped" {
	fails 1 'compressing' "$PLATTER" convert -c -O qcow2 disk.raw -
	fails 1 'preallocation' "$PLATTER" convert -O qcow2 \
		-o preallocation=metadata disk.raw -
	fails 1 'data file' "$PLATTER" convert -O qcow2 -o data_file=d \
		disk.raw -
	fails 1 'backing file' "$PLATTER" convert -O qcow2 -B disk.raw -F raw \
		disk.raw -
	fails 1 'nosuch' "$PLATTER" convert -O qcow2 -o nosuch=1 disk.raw -
	refute [ -e d ]
}

@test "a reader that goes away is an error" {
	head -c 4M /dev/urandom >r.raw
	run bash -c '"$PLATTER" convert -f raw r.raw - 2>err | head -c 1000 |
		wc -c; exit ${PIPESTATUS[0]}'
	refute [ "$status" -eq 0 ]
	assert_output 1000
}

@test "a full disk behind standard output is an error" {
	[ -w /dev/full ] || skip "no /dev/full"
	run bash -c '"$PLATTER" convert disk.raw - >/dev/full'
	assert_failure 1
	assert_output --partial 'No space left on device'
}

# ---- failing ----

# no_traces: nothing but what the test itself made
no_traces()
{
	run find . -name '*.part'
	assert_output ''
}

@test "a read error leaves an old qcow2 target as it was" {
	"$PLATTER" convert -O qcow2 disk.raw old.qcow2
	cp old.qcow2 before
	fails 1 'injected' "$PLATTER" convert -O qcow2 --image-opts \
driver=raw,file.driver=blkdebug,file.iotype=read,file.sector=4,\
file.file.filename=disk.raw old.qcow2
	cmp before old.qcow2
	no_traces
}

@test "a write error, wherever it comes, leaves an existing target sound" {
	need qemu-img
	local n
	for n in 0 1 2 3 5 8 13 21; do
		qemu-img create -q -f qcow2 -o cluster_size=4k t.qcow2 10M
		run "$PLATTER" convert -n --target-image-opts disk.raw \
driver=qcow2,file.driver=blkdebug,file.iotype=write,file.after="$n",\
file.file.filename=t.qcow2
		# Leaks are allowed, corruptions are not.
		rc=0
		qemu-img check -q t.qcow2 || rc=$?
		[ "$rc" -eq 0 ] || [ "$rc" -eq 3 ]
	done
}

@test "a full disk leaves no qcow2, and what was there" {
	need_root
	mkdir small
	mount -t tmpfs -o size=1M none small || skip "no mounts here"
	head -c 2M /dev/urandom >large.raw
	echo before >small/old
	local o
	for o in compat=1.1 preallocation=full; do
		run --separate-stderr "$PLATTER" convert -f raw -O qcow2 \
			-o "$o" large.raw small/new.qcow2
		first=$status
		run --separate-stderr "$PLATTER" convert -f raw -c -O qcow2 \
			large.raw small/old
		second=$status
		files=$(ls -A small)
		old=$(cat small/old)
		[ "$files" = old ] && [ "$old" = before ] &&
			[ "$first$second" = 11 ] || break
	done
	umount small
	assert_equal "$first $second" '1 1'
	assert_equal "$files" old
	assert_equal "$old" before
}

@test "a killed convert leaves what was there" {
	"$PLATTER" convert -O qcow2 disk.raw old.qcow2
	cp old.qcow2 before
	cp disk.raw source
	head -c 2M /dev/urandom >r.raw
	local signal name
	for signal in KILL INT TERM; do
		for name in old.qcow2 new.qcow2; do
			run env --default-signal=INT timeout -s "$signal" \
				0.4 "$PLATTER" convert -f raw -O qcow2 \
				-r 100k r.raw "$name"
			assert_failure
			cmp before old.qcow2
			refute [ -e new.qcow2 ]
		done
		# A kill that cannot be caught leaves the part file.
		[ "$signal" = KILL ] && rm -f ./*.part
		no_traces
	done
}

@test "a qcow2 that another program writes is not replaced" {
	need qemu-img
	"$PLATTER" convert -O qcow2 disk.raw old.qcow2
	hold hold-image w old.qcow2
	run "$PLATTER" convert -O qcow2 disk.raw old.qcow2
	release
	assert_failure 1
	assert_output --partial 'old.qcow2'
}
