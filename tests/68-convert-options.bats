# SPDX-License-Identifier: LGPL-2.1-or-later
# platter convert: its options, one by one.

load lib/common

setup()
{
	common_setup
	truncate -s 3M disk.raw
	seq 30000 | head -c 100000 |
		dd of=disk.raw bs=64K seek=3 conv=notrunc status=none
}

# now_ms: a clock
now_ms()
{
	echo $(($(date +%s%N) / 1000000))
}

# ---- several sources ----

@test "several sources become one, in the order given" {
	seq 1000 >a.raw
	truncate -s 4096 a.raw
	truncate -s 1536 b.raw
	"$PLATTER" convert disk.raw a.raw b.raw disk.raw all.raw
	cmp all.raw <(cat disk.raw a.raw b.raw disk.raw)
}

@test "several sources of different formats are as qemu-img joins them" {
	need qemu-img
	qemu-img convert -O qcow2 disk.raw a.qcow2
	"$PLATTER" convert -O qcow2 a.qcow2 disk.raw a.qcow2 ours.qcow2
	qemu-img convert -O qcow2 a.qcow2 disk.raw a.qcow2 theirs.qcow2
	qemu-img compare ours.qcow2 theirs.qcow2
	qemu-img check -q ours.qcow2
}

@test "what a source knows to be a hole stays one among several" {
	truncate -s 1G hole.raw
	"$PLATTER" convert hole.raw disk.raw hole.raw all.raw
	assert_equal "$(stat -c %s all.raw)" $((2147483648 + 3145728))
	(($(du -k all.raw | cut -f1) < 200))
}

@test "one of several sources that is not there is an error" {
	fails 1 'gone.raw: No such file' \
		"$PLATTER" convert disk.raw gone.raw disk.raw all.raw
	refute [ -e all.raw ]
}

@test "-l, -B and --bitmaps are for one source" {
	usage_error '-l is for one source' \
		"$PLATTER" convert -l x disk.raw disk.raw o
	usage_error '-B is for one source' "$PLATTER" convert -O qcow2 \
		-B disk.raw -F raw disk.raw disk.raw o
	usage_error '--bitmaps is for one source' \
		"$PLATTER" convert --bitmaps disk.raw disk.raw o
}

@test "a target that is missing is a usage error" {
	usage_error 'TARGET is missing' "$PLATTER" convert disk.raw
	usage_error 'SOURCE is missing' "$PLATTER" convert
}

# ---- snapshots ----

make_snapshots()
{
	need qemu-img qemu-io
	qemu-img create -q -f qcow2 s.qcow2 2M
	qemu-io -c 'write -P 1 0 256k' s.qcow2 >/dev/null
	qemu-img snapshot -c one s.qcow2
	qemu-io -c 'write -P 2 64k 256k' s.qcow2 >/dev/null
	qemu-img snapshot -c 1 s.qcow2
	qemu-io -c 'write -P 3 1M 64k' s.qcow2 >/dev/null
}

@test "-l copies a snapshot by name or ID, as qemu-img" {
	make_snapshots
	local l
	for l in one 1 2 snapshot.id=2 snapshot.name=1 \
		snapshot.id=1,snapshot.name=one; do
		succeeds "$PLATTER" convert -l "$l" s.qcow2 ours.raw
		qemu-img convert -l "$l" s.qcow2 theirs.raw
		cmp ours.raw theirs.raw
	done
	# Not the current state.
	qemu-img convert s.qcow2 now.raw
	refute cmp -s now.raw ours.raw
}

@test "-l of a snapshot that is not there is an error" {
	make_snapshots
	fails 1 'there is no snapshot "three"' \
		"$PLATTER" convert -l three s.qcow2 o
	fails 1 'there is no snapshot' "$PLATTER" convert \
		-l snapshot.id=1,snapshot.name=1 s.qcow2 o
	fails 1 'neither snapshot.id' "$PLATTER" convert \
		-l snapshot.idx=1 s.qcow2 o
	fails 1 'there is no snapshot' "$PLATTER" convert -l x disk.raw o
	refute [ -e o ]
}

# ---- bitmaps ----

@test "--bitmaps copies them, as qemu-img" {
	need qemu-img qemu-io
	qemu-img convert -O qcow2 disk.raw b.qcow2
	qemu-img bitmap --add b.qcow2 one
	qemu-img bitmap --add --disable -g 4k b.qcow2 two
	qemu-io -c 'write -P 7 1M 70k' b.qcow2 >/dev/null
	succeeds "$PLATTER" convert --bitmaps -O qcow2 b.qcow2 ours.qcow2
	qemu-img convert --bitmaps -O qcow2 b.qcow2 theirs.qcow2
	qemu-img check -q ours.qcow2
	qemu-img compare b.qcow2 ours.qcow2
	run diff <(qemu-img info ours.qcow2 | grep -A3 -F '[') \
		<(qemu-img info theirs.qcow2 | grep -A3 -F '[')
	assert_success
}

@test "--bitmaps needs a source and a target that can have them" {
	need qemu-img
	fails 1 'lacks bitmap support' \
		"$PLATTER" convert --bitmaps -O qcow2 disk.raw o
	qemu-img create -q -f qcow2 b.qcow2 1M
	qemu-img bitmap --add b.qcow2 one
	fails 1 'does not support bitmaps' \
		"$PLATTER" convert --bitmaps -O raw b.qcow2 o
	usage_error '--skip-broken-bitmaps needs' \
		"$PLATTER" convert --skip-broken-bitmaps disk.raw o
	refute [ -e o ]
}

# ---- reading errors ----

# bad SECTOR: disk.raw, unreadable there
bad()
{
	echo "driver=raw,file.driver=blkdebug,file.iotype=read,file.sector=$1,\
file.file.filename=disk.raw"
}

@test "an unreadable sector ends a copy and leaves no target" {
	fails 1 'offset 196608' "$PLATTER" convert --image-opts "$(bad 400)" o
	refute [ -e o ]
	[ -z "$(find . -name '*.part')" ]
}

@test "--salvage takes an unreadable sector for zeros and says so" {
	run --separate-stderr "$PLATTER" convert --salvage --image-opts \
		"$(bad 400)" o
	assert_success
	assert_equal "${#stderr_lines[@]}" 1
	[[ $stderr == 'platter: warning: '*'offset 204800, 512 bytes: '* ]]
	cp disk.raw want.raw
	dd if=/dev/zero of=want.raw bs=512 seek=400 count=1 conv=notrunc \
		status=none
	cmp want.raw o
}

@test "--salvage to a compressed target is the same" {
	"$PLATTER" convert --salvage -c -O qcow2 --image-opts "$(bad 400)" \
		o.qcow2 2>/dev/null
	cp disk.raw want.raw
	dd if=/dev/zero of=want.raw bs=512 seek=400 count=1 conv=notrunc \
		status=none
	succeeds "$PLATTER" compare -f raw -F qcow2 want.raw o.qcow2
}

@test "--salvage reads around a damaged L2 table" {
	need qemu-img
	head -c 12M /dev/urandom >r.raw
	qemu-img convert -O qcow2 -o cluster_size=4k -f raw r.raw r.qcow2
	# The second L1 entry: what it points to is 2 MiB of the disk.
	local l1
	l1=$((16#$(byte_at r.qcow2 40 8)))
	put r.qcow2 $((l1 + 8)) 8000000000001200
	fails 1 '' "$PLATTER" convert r.qcow2 o
	run --separate-stderr "$PLATTER" convert --salvage r.qcow2 o
	assert_success
	[[ $stderr == *'warning: error while reading offset 2097152'* ]]
	cmp -n 2097152 r.raw o
	cmp -i 4194304 r.raw o
	cmp -n 2097152 -i 2097152:0 o /dev/zero
}

# ---- -C, -S, -r, -m ----

@test "-C copies, and leaves written zeros written" {
	head -c 1M /dev/zero >zeros.raw
	succeeds "$PLATTER" convert -C disk.raw o
	cmp disk.raw o
	"$PLATTER" convert -C zeros.raw o
	(($(du -k o | cut -f1) >= 1024))
}

@test "-C does not go with -S, -c and --salvage" {
	usage_error '-C and -S' "$PLATTER" convert -C -S 4k disk.raw o
	usage_error '-C and -c' "$PLATTER" convert -C -c -O qcow2 disk.raw o
	usage_error '-C and --salvage' \
		"$PLATTER" convert -C --salvage disk.raw o
}

@test "-r limits the rate" {
	head -c 2M /dev/urandom >r.raw
	local begin
	begin=$(now_ms)
	succeeds "$PLATTER" convert -f raw -r 2M r.raw o
	# A tenth of a second's worth is free.
	(($(now_ms) - begin >= 880))
	cmp r.raw o
	succeeds "$PLATTER" convert -f raw -r 0 r.raw o
}

@test "-r does not keep a signal waiting" {
	head -c 2M /dev/urandom >r.raw
	local begin
	begin=$(now_ms)
	# Whoever started the tests may have had SIGINT ignored.
	run env --default-signal=INT timeout --preserve-status -s INT 0.5 \
		"$PLATTER" convert -f raw -r 10k r.raw o
	assert_failure 130
	(($(now_ms) - begin < 4000))
	[ -z "$(find . -name 'o*')" ]
}

@test "-r takes a size" {
	usage_error '-r' "$PLATTER" convert -r foo disk.raw o
}

# ---- --hash ----

@test "--hash prints the hash of what is copied" {
	local name
	for name in md5 sha1 sha224 sha256 sha384 sha512; do
		succeeds "$PLATTER" convert --hash "$name" disk.raw o
		assert_output "$name  $("${name}sum" <disk.raw | cut -d' ' -f1)"
		cmp disk.raw o
	done
}

@test "--hash is of the source's content, whatever it is made into" {
	need qemu-img qemu-io
	local want
	"$PLATTER" convert -O qcow2 disk.raw base.qcow2
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2 4M
	qemu-io -c 'write -P 1 128k 100k' top.qcow2 >/dev/null
	qemu-img convert top.qcow2 top.raw
	want="sha256  $(sha256sum <top.raw | cut -d' ' -f1)"
	succeeds "$PLATTER" convert --hash sha256 top.qcow2 o.raw
	assert_output "$want"
	succeeds "$PLATTER" convert --hash sha256 -W -m 8 -S 0 top.qcow2 o.raw
	assert_output "$want"
	succeeds "$PLATTER" convert --hash sha256 -c -m 8 -O qcow2 top.qcow2 o
	assert_output "$want"
	# What is not copied is hashed all the same.
	succeeds "$PLATTER" convert --hash sha256 -O qcow2 -B base.qcow2 \
		-F qcow2 top.qcow2 o
	assert_output "$want"
	qemu-img compare o top.qcow2
}

@test "--hash of something unknown lists what is known" {
	fails 1 'sha256' "$PLATTER" convert --hash crc disk.raw o
	refute [ -e o ]
}

# ---- -o ----

@test "-o help lists the options of the format" {
	succeeds "$PLATTER" convert -O qcow2 -o help
	assert_line --partial 'cluster_size'
}

@test "-o size makes a larger target, and no smaller one" {
	succeeds "$PLATTER" convert -O qcow2 -o size=5M disk.raw o.qcow2
	succeeds "$PLATTER" compare -f raw -F qcow2 disk.raw o.qcow2
	run "$PLATTER" info --output=json o.qcow2
	assert_line --partial '5242880'
	fails 1 'too few' "$PLATTER" convert -O qcow2 -o size=1M disk.raw p
	refute [ -e p ]
}

@test "an option the format does not have leaves what was there" {
	echo before >o
	fails 1 'nosuch' "$PLATTER" convert -O qcow2 -o nosuch=1 disk.raw o
	assert_equal "$(cat o)" before
}

@test "--target-image-opts takes a qcow2 target" {
	need qemu-img
	qemu-img create -q -f qcow2 t.qcow2 3M
	succeeds "$PLATTER" convert -n --target-image-opts disk.raw \
		driver=qcow2,file.filename=t.qcow2
	qemu-img compare -f raw -F qcow2 disk.raw t.qcow2
	qemu-img check -q t.qcow2
}

@test "every cache mode gives the same qcow2" {
	need qemu-img
	local mode
	for mode in writeback none writethrough directsync unsafe; do
		if ! "$PLATTER" convert -T "$mode" disk.raw x 2>err; then
			# No O_DIRECT in this file system.
			grep 'Invalid argument' err
			continue
		fi
		succeeds "$PLATTER" convert -t "$mode" -T "$mode" -O qcow2 \
			disk.raw t.qcow2
		qemu-img compare -f raw -F qcow2 disk.raw t.qcow2
		qemu-img check -q t.qcow2
	done
}
