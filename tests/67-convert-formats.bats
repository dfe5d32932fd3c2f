# SPDX-License-Identifier: LGPL-2.1-or-later
# platter convert: between formats, both ways against qemu-img.

load lib/common

setup()
{
	common_setup
	need qemu-img qemu-io
	# Data, a hole, data that is zeros, pieces smaller than a cluster.
	seq 150000 | head -c 900000 >disk.raw
	truncate -s 9M disk.raw
	head -c 1M /dev/zero |
		dd of=disk.raw bs=1M seek=3 conv=notrunc status=none
	seq 7 | dd of=disk.raw bs=1 seek=5246976 conv=notrunc status=none
	head -c 300000 /dev/urandom |
		dd of=disk.raw bs=4K seek=1501 conv=notrunc status=none
	truncate -s 9437696 disk.raw
}

# same IMAGE [FORMAT]: disk.raw, for both programs, and sound
same()
{
	qemu-img compare -f raw -F "${2:-qcow2}" disk.raw "$1"
	succeeds "$PLATTER" compare -f raw -F "${2:-qcow2}" disk.raw "$1"
	if [ "${2:-qcow2}" = qcow2 ]; then
		qemu-img check -q -f qcow2 "$1"
	fi
}

# to_qcow2 OPTIONS: raw to qcow2 with these, and back
to_qcow2()
{
	succeeds "$PLATTER" convert -O qcow2 -o "$1" disk.raw copy.qcow2
	same copy.qcow2
	succeeds "$PLATTER" convert copy.qcow2 back.raw
	cmp disk.raw back.raw
}

@test "raw to qcow2 and back is the same" {
	to_qcow2 compat=1.1
}

@test "every cluster size gives the same content" {
	local size
	for size in 512 1k 4k 32k 128k 1M 2M; do
		to_qcow2 "cluster_size=$size"
	done
}

@test "every refcount width gives the same content" {
	local bits
	for bits in 1 2 4 8 32 64; do
		to_qcow2 "refcount_bits=$bits"
	done
}

@test "version 2, lazy refcounts and extended L2 give the same content" {
	to_qcow2 compat=0.10
	to_qcow2 lazy_refcounts=on
	to_qcow2 extended_l2=on,cluster_size=128k
}

@test "every preallocation gives the same content" {
	local how
	for how in metadata falloc full; do
		to_qcow2 "preallocation=$how"
		"$PLATTER" convert -f raw -O qcow2 -o "preallocation=$how" \
			-S 0 disk.raw copy.qcow2
		same copy.qcow2
	done
}

@test "qcow2 to qcow2 of another cluster size is the same" {
	local from to
	for from in 512 64k 2M; do
		qemu-img convert -O qcow2 -o "cluster_size=$from" disk.raw a
		for to in 512 4k 64k 2M; do
			succeeds "$PLATTER" convert -O qcow2 \
				-o "cluster_size=$to" a copy.qcow2
			same copy.qcow2
		done
	done
}

@test "a data file takes the data" {
	succeeds "$PLATTER" convert -O qcow2 \
		-o data_file=data.bin,data_file_raw=on disk.raw copy.qcow2
	same copy.qcow2
	cmp disk.raw data.bin
}

@test "a copy is as large as qemu-img's" {
	"$PLATTER" convert -O qcow2 disk.raw ours.qcow2
	qemu-img convert -O qcow2 disk.raw theirs.qcow2
	assert_equal "$(stat -c %s ours.qcow2)" "$(stat -c %s theirs.qcow2)"
	"$PLATTER" map --output=json ours.qcow2 >ours
	"$PLATTER" map --output=json theirs.qcow2 >theirs
	run diff <(grep -o '"data": [a-z]*' ours) \
		<(grep -o '"data": [a-z]*' theirs)
	assert_success
}

@test "what is written lies in the order of the guest" {
	head -c 20M /dev/urandom >large.raw
	"$PLATTER" convert -m 8 -f raw -O qcow2 large.raw large.qcow2
	run --separate-stderr qemu-img map --output=json large.qcow2
	assert_success
	# One extent: nothing lies between its clusters.
	assert_equal "$(grep -c '"data": true' <<<"$output")" 1
}

@test "-W gives the same content" {
	"$PLATTER" convert -W -m 8 -O qcow2 disk.raw copy.qcow2
	same copy.qcow2
}

# ---- compressed ----

@test "-c compresses, and both read it" {
	local size
	for size in 512 4k 64k 2M; do
		succeeds "$PLATTER" convert -c -O qcow2 \
			-o "cluster_size=$size" disk.raw copy.qcow2
		same copy.qcow2
		succeeds "$PLATTER" convert copy.qcow2 back.raw
		cmp disk.raw back.raw
	done
	run qemu-img check --output=json copy.qcow2
	assert_line --partial '"compressed-clusters"'
}

@test "-c with zstd is the same" {
	"$PLATTER" convert -c -O qcow2 -o compression_type=zstd disk.raw \
		copy.qcow2 2>err || {
		grep zstd err
		skip "built without zstd"
	}
	same copy.qcow2
}

@test "-c packs clusters one behind the other, in order" {
	seq 3000000 | head -c 20M >large.raw
	"$PLATTER" convert -c -m 8 -f raw -O qcow2 large.raw large.qcow2
	qemu-img check -q large.qcow2
	run qemu-img check --output=json large.qcow2
	assert_line --partial '"compressed-clusters": 320'
	# Not much more than what they take.
	(($(stat -c %s large.qcow2) < 8 * 1024 * 1024))
}

@test "-c does not compress what does not become smaller" {
	head -c 4M /dev/urandom >random.raw
	"$PLATTER" convert -c -f raw -O qcow2 random.raw random.qcow2
	qemu-img check -q random.qcow2
	qemu-img compare -f raw -F qcow2 random.raw random.qcow2
}

@test "what qemu-img compressed is read" {
	qemu-img convert -c -O qcow2 disk.raw theirs.qcow2
	succeeds "$PLATTER" convert theirs.qcow2 back.raw
	cmp disk.raw back.raw
	succeeds "$PLATTER" convert -c -O qcow2 theirs.qcow2 copy.qcow2
	same copy.qcow2
}

@test "-c is refused where there is no compression" {
	fails 1 'raw has no compression' \
		"$PLATTER" convert -c disk.raw copy.raw
	fails 1 'compression and preallocation' "$PLATTER" convert -c \
		-O qcow2 -o preallocation=metadata disk.raw copy.qcow2
	fails 1 'data file' "$PLATTER" convert -c -O qcow2 \
		-o data_file=d disk.raw copy.qcow2
	refute [ -e copy.raw ]
	refute [ -e copy.qcow2 ]
	refute [ -e d ]
}

# ---- backing files ----

# a chain base.qcow2 <- mid.qcow2 <- top.qcow2, with known content
make_chain()
{
	"$PLATTER" convert -O qcow2 disk.raw base.qcow2
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 mid.qcow2
	qemu-io -c 'write -P 1 100k 300k' -c 'write -z 1M 64k' \
		mid.qcow2 >/dev/null
	qemu-img create -q -f qcow2 -o cluster_size=4k -b mid.qcow2 -F qcow2 \
		top.qcow2 12M
	qemu-io -c 'write -P 2 50k 100k' -c 'write -P 3 10M 1000' \
		-c 'write -z 200k 8k' top.qcow2 >/dev/null
}

@test "a chain becomes one image" {
	make_chain
	succeeds "$PLATTER" convert -O qcow2 top.qcow2 flat.qcow2
	qemu-img compare top.qcow2 flat.qcow2
	qemu-img convert top.qcow2 theirs.raw
	"$PLATTER" convert top.qcow2 ours.raw
	cmp theirs.raw ours.raw
}

@test "-B copies only what the source itself holds" {
	make_chain
	succeeds "$PLATTER" convert -O qcow2 -B mid.qcow2 -F qcow2 top.qcow2 \
		new.qcow2
	qemu-img check -q new.qcow2
	qemu-img compare top.qcow2 new.qcow2
	run qemu-img info new.qcow2
	assert_line 'backing file: mid.qcow2'
	(($(stat -c %s new.qcow2) < 800000))
}

@test "-B of a file further below copies the layers above it" {
	make_chain
	succeeds "$PLATTER" convert -O qcow2 -B base.qcow2 -F qcow2 \
		top.qcow2 new.qcow2
	qemu-img check -q new.qcow2
	qemu-img compare top.qcow2 new.qcow2
	(($(stat -c %s new.qcow2) < 1500000))
}

@test "-B of a copy of the source's backing file does as qemu-img" {
	make_chain
	cp mid.qcow2 other.qcow2
	"$PLATTER" convert -O qcow2 -B other.qcow2 -F qcow2 top.qcow2 o.qcow2
	qemu-img convert -O qcow2 -B other.qcow2 -F qcow2 top.qcow2 t.qcow2
	qemu-img compare o.qcow2 t.qcow2
	qemu-img compare top.qcow2 o.qcow2
}

@test "-B of something else writes zeros where the source has none" {
	head -c 9437696 /dev/zero | tr '\0' x >x.raw
	succeeds "$PLATTER" convert -f raw -O qcow2 -B x.raw -F raw disk.raw \
		new.qcow2
	same new.qcow2
}

@test "-B of a file shorter than the source shows zeros behind it" {
	truncate -s 1M short.raw
	head -c 1M /dev/zero | tr '\0' x >short.raw
	qemu-img create -q -f qcow2 -b short.raw -F raw o.qcow2 4M
	qemu-io -c 'write -P 5 2M 64k' o.qcow2 >/dev/null
	"$PLATTER" convert -O qcow2 -B short.raw -F raw o.qcow2 new.qcow2
	qemu-img compare o.qcow2 new.qcow2
}

@test "-B takes a file outside the target's folder" {
	make_chain
	mkdir sub
	succeeds "$PLATTER" convert -O qcow2 -B ../mid.qcow2 -F qcow2 \
		top.qcow2 sub/new.qcow2
	qemu-img compare top.qcow2 sub/new.qcow2
}

@test "-n -B writes an existing overlay" {
	make_chain
	qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 new.qcow2 12M
	succeeds "$PLATTER" convert -n -O qcow2 -B mid.qcow2 -F qcow2 \
		top.qcow2 new.qcow2
	qemu-img compare top.qcow2 new.qcow2
	(($(stat -c %s new.qcow2) < 1000000))
}

@test "-B needs -F, and a file that is there" {
	fails 1 'without its format' "$PLATTER" convert -O qcow2 -B disk.raw \
		disk.raw new.qcow2
	fails 1 'gone.raw: No such file or directory' "$PLATTER" convert \
		-O qcow2 -B gone.raw -F raw disk.raw new.qcow2
	fails 1 '' "$PLATTER" convert -B disk.raw -F raw disk.raw new.raw
	refute [ -e new.qcow2 ]
	refute [ -e new.raw ]
}

# ---- -n ----

@test "-n writes zeros over what a qcow2 target had" {
	local size
	for size in 512 64k 2M; do
		qemu-img create -q -f qcow2 -o "cluster_size=$size" old.qcow2 \
			12M
		qemu-io -c 'write -P 9 0 12M' old.qcow2 >/dev/null
		succeeds "$PLATTER" convert -n -O qcow2 disk.raw old.qcow2
		qemu-img check -q old.qcow2
		qemu-img convert old.qcow2 old.raw
		cmp -n 9437696 disk.raw old.raw
		run cmp -n 3000000 -i 9437696:0 old.raw \
			<(head -c 3M /dev/zero | tr '\0' '\11')
		assert_success
	done
}

@test "-S 0 allocates every cluster" {
	"$PLATTER" convert -S 0 -O qcow2 disk.raw copy.qcow2
	same copy.qcow2
	run qemu-img map --output=json copy.qcow2
	refute_line --partial '"data": false'
}
