# SPDX-License-Identifier: LGPL-2.1-or-later
# `platter log record`: what any program writes to a disk is in the log.
# shellcheck disable=SC1083,SC2016,SC2034,SC2119,SC2317

load lib/record

setup()
{
	record_setup
	need jq
}

teardown()
{
	record_teardown
}

# --- programs, on a file --------------------------------------------------

# on_both TEST...: with a raw image, and with a qcow2 one.
on_both()
{
	need_fuse
	for format in raw qcow2; do
		rm -f disk run.log* after.raw before.raw
		disk "$format"
		"$@"
		nothing_left
	done
}

@test "mkfs.ext4 and e2fsck on a file are recorded" {
	need mkfs.ext4 e2fsck
	make_and_check()
	{
		records sh -c 'mkfs.ext4 -q {} && e2fsck -fy {}'
		e2fsck -fn after.raw
	}
	on_both make_and_check
}

@test "a disk does not grow while it is recorded" {
	need_fuse
	disk raw
	run -1 "$PLATTER" log record -q --log run.log -f raw disk -- \
		truncate -s +1M {}
	assert_output --partial 'Operation not permitted'
	cmp disk before.raw
}

@test "fuse2fs with file operations on a file is recorded" {
	need mkfs.ext4 fuse2fs
	cat >operations <<-'END'
		set -e
		seq 20000 >one
		mkdir folder
		mv one folder/two
		cp folder/two three
		ln -s three four
		truncate -s 5000 folder/two
		rm three
		head -c 3000000 /dev/zero >five
		sync five
	END
	operate()
	{
		records sh -c 'mkfs.ext4 -q {} &&
			in-fuse2fs {} sh "$0"' "$PWD/operations"
		e2fsck -fn after.raw
	}
	on_both operate
}

@test "sqlite3 in a file system on a file is recorded" {
	need mkfs.ext4 fuse2fs sqlite3
	cat >statements <<-'END'
		CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT);
		INSERT INTO t (b) VALUES ('one');
		BEGIN;
		INSERT INTO t (b) SELECT hex(randomblob(100)) FROM t, t, t;
		INSERT INTO t (b) SELECT hex(randomblob(100)) FROM t, t;
		COMMIT;
		UPDATE t SET b = 'two' WHERE a = 1;
		PRAGMA integrity_check;
	END
	query()
	{
		records sh -c 'mkfs.ext4 -q {} && in-fuse2fs {} \
			sqlite3 db ".read $0"' "$PWD/statements"
		assert_output ok
		run in-fuse2fs after.raw sqlite3 db 'SELECT b FROM t LIMIT 1'
		assert_output two
	}
	on_both query
}

@test "sqlite3 with the file as its database is recorded" {
	need sqlite3
	need_fuse
	# The journal is beside it, as that file's folder can be written to.
	sqlite3 disk 'CREATE TABLE t (a TEXT)'
	cp disk before.raw
	format=raw
	records sqlite3 {} "INSERT INTO t VALUES ('one');
		UPDATE t SET a = a || ' two'; SELECT * FROM t"
	assert_output 'one two'
	nothing_left
}

@test "dd with conv=fsync on a file is recorded, with a flush" {
	copy()
	{
		records dd if=/dev/urandom of={} bs=64k count=20 seek=3 \
			conv=notrunc,fsync status=none
		assert [ "$(entries FLUSH)" -ge 1 ]
	}
	on_both copy
}

@test "dd with oflag=dsync on a file is recorded as FUA" {
	copy()
	{
		records dd if=/dev/urandom of={} bs=64k count=5 oflag=dsync \
			conv=notrunc status=none
		assert [ "$(entries FUA)" -ge 5 ]
	}
	on_both copy
}

@test "fio on a file is recorded" {
	need fio
	load()
	{
		records fio --name=load --filename={} --rw=randrw --bs=4k \
			--size=8m --io_size=4m --fsync=16 --ioengine=psync \
			--numjobs=3 --minimal
	}
	on_both load
}

# --- programs, by NBD -----------------------------------------------------

nbd_on_both()
{
	need_nbd
	for format in raw qcow2; do
		rm -f disk run.log* after.raw before.raw
		disk "$format"
		"$@"
		nothing_left
	done
}

@test "nbdcopy is recorded" {
	need nbdcopy
	head -c 48M /dev/urandom | head -c 5M >new
	truncate -s 48M new
	copy()
	{
		records nbdcopy --flush "$PWD/new" {nbd}
		cmp new after.raw
	}
	nbd_on_both copy
}

@test "qemu-img convert -n is recorded" {
	need qemu-img
	head -c 5M /dev/urandom >new
	truncate -s 48M new
	copy()
	{
		records qemu-img convert -n -f raw -O raw "$PWD/new" {nbd}
		cmp new after.raw
	}
	nbd_on_both copy
}

@test "qemu-io is recorded, with its flushes and discards" {
	need qemu-io
	write()
	{
		records qemu-io -f raw -c 'write -P 1 0 1M' -c 'flush' \
			-c 'write -f -P 2 4k 4k' -c 'write -z 2M 1M' \
			-c 'write -z -u 3M 1M' -c 'discard 0 64k' \
			-c 'write -P 3 5M 512' {nbd}
		assert [ "$(entries FLUSH)" -ge 1 ]
		assert [ "$(entries DISCARD)" -ge 1 ]
	}
	nbd_on_both write
}

@test "fio with its NBD client is recorded" {
	need fio
	fio --enghelp | grep -q nbd || skip "fio was built without libnbd"
	load()
	{
		records fio --ioengine=nbd --name=load --uri={nbd} \
			--rw=randrw --bs=4k --size=8m --io_size=4m \
			--iodepth=8 --fsync=16 --minimal
	}
	nbd_on_both load
}

@test "a file and NBD at once are one recording" {
	need qemu-io
	need_fuse
	need_nbd
	disk qcow2
	records sh -c 'dd if=/dev/urandom of={} bs=64k count=2 \
			conv=notrunc,fsync status=none
		qemu-io -f raw -c "write -P 5 1M 64k" -c flush {nbd}'
	nothing_left
}

# --- file systems of the kernel -------------------------------------------

# kernel_fs FS: a load on it, on a loop device over the file.
kernel_fs()
{
	need_root
	need_fuse
	need losetup "mkfs.$1" fstrim
	losetup -f >/dev/null 2>&1 || skip "no loop device is free"
	for format in raw qcow2; do
		rm -f disk run.log* before.raw
		disk "$format" 320M
		run "$PLATTER" log record -q -f "$format" --log run.log disk \
			-- load-fs {} "$1"
		if [ "$status" -eq 77 ]; then
			skip "$1 cannot be mounted here"
		fi
		assert_success
		assert_output ''
		same_after_replay
		assert [ "$(entries FLUSH)" -ge 60 ]
		nothing_left
	done
}

@test "ext4 of the kernel, on a loop device, is recorded" {
	kernel_fs ext4
}

@test "xfs of the kernel, on a loop device, is recorded" {
	kernel_fs xfs
}

@test "btrfs of the kernel, on a loop device, is recorded" {
	kernel_fs btrfs
}

@test "user 65534 records, on a file and by NBD" {
	need_own_mounts
	need_nobody
	need_fuse
	need_nbd
	need mkfs.ext4 e2fsck fuse2fs qemu-io
	disk raw
	mkdir dev
	cp -a /dev/null /dev/zero /dev/urandom dev
	mknod -m 666 dev/fuse c 10 229 || skip "no device can be made"
	ln -s /proc/self/fd dev/fd
	chmod 777 . "$TMPDIR" disk
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR"
	run unshare -m sh -c 'mount --bind dev /dev && exec setpriv \
		--reuid 65534 --regid 65534 --clear-groups "$@"' sh \
		"$PLATTER" log record -q -f raw --log run.log disk -- sh -c '
		id -u && mkfs.ext4 -q {} && e2fsck -fp {} >e2fsck.out &&
		in-fuse2fs {} mkdir folder &&
		qemu-io -f raw -c "write 40M 64k" {nbd} >qemu-io.out'
	assert_success
	assert_output 65534
	same_after_replay
	nothing_left
}

# --- what the command is given --------------------------------------------

@test "the file keeps the image's name, and has its disk's size" {
	need_fuse
	disk qcow2
	mv disk my.qcow2
	run "$PLATTER" log record -q my.qcow2 -- \
		sh -c 'basename {}; stat -c %s {}'
	assert_success
	assert_output "my.qcow2
$((48 << 20))"
}

@test "the command finds path and session in its environment" {
	need_fuse
	disk raw
	run "$PLATTER" log record -q -f raw disk -- \
		sh -c '[ "$0" = "$PLATTER_PATH" ] && [ -S "$PLATTER_SESSION" ] \
			&& [ -z "${PLATTER_NBD+x}" ] && stat -c %a \
			"$PLATTER_SESSION" "${PLATTER_SESSION%/*}"' {}
	assert_success
	assert_output '600
700'
}

@test "--nbd serves no file, and tells of the URI" {
	need_nbd
	need qemu-img
	disk raw
	run "$PLATTER" log record -q -f raw --nbd disk -- \
		sh -c '[ -z "${PLATTER_PATH+x}" ] &&
			qemu-img info -f raw "$PLATTER_NBD"'
	assert_success
	assert_output --partial 'virtual size: 48 MiB'
}

@test "other braces in the command's words stay as they are" {
	need_fuse
	disk raw
	run "$PLATTER" log record -q -f raw disk -- echo '{a}' '{ }' '${x}' '{' \
		'x{nbd:a}'
	assert_success
	assert_output '{a} { } ${x} { x{nbd:a}'
}

@test "the command reads the standard input" {
	need_fuse
	disk raw
	run "$PLATTER" log record -q -f raw disk -- cat <<<'hello'
	assert_success
	assert_output hello
}

# --- logs and copies ------------------------------------------------------

@test "without --log the log is beside the image" {
	need_fuse
	disk raw
	"$PLATTER" log record -q -f raw disk -- true
	"$PLATTER" log check disk.log
}

@test "a log that exists is refused, and left as it is" {
	need_fuse
	disk raw
	echo precious >run.log
	fails 2 'run.log: it exists; --append' "$PLATTER" log record -f raw \
		--log run.log disk -- true
	assert_equal "$(cat run.log)" precious
	nothing_left
}

@test "--force replaces a log" {
	need_fuse
	disk raw
	echo precious >run.log
	options=--force records dd if=/dev/zero of={} bs=4k count=3 \
		conv=notrunc status=none
	nothing_left
}

@test "--append goes on with a log" {
	need_fuse
	disk qcow2
	records dd if=/dev/urandom of={} bs=4k count=3 conv=notrunc status=none
	local first
	first=$("$PLATTER" log info --output json run.log | jq .entries)
	options=--append records dd if=/dev/urandom of={} bs=4k count=3 seek=1 \
		conv=notrunc status=none
	assert [ "$("$PLATTER" log info --output json run.log |
		jq .entries)" -gt "$first" ]
}

@test "--append goes on with a log of QEMU" {
	need_fuse
	need qemu-io
	disk raw
	by_qemu -c 'write -P 1 8k 4k' -c flush -c 'discard 64k 64k'
	local first
	first=$("$PLATTER" log info --output json run.log | jq .entries)
	options=--append records dd if=/dev/urandom of={} bs=4k count=3 \
		seek=40 conv=notrunc,fsync status=none
	assert [ "$("$PLATTER" log info --output json run.log |
		jq .entries)" -ge $((first + 5)) ]
}

# by_qemu OPTION...: of qemu-io, on the disk, recorded by QEMU in run.log.
by_qemu()
{
	[ -e run.log ] || : >run.log
	run qemu-io -d unmap "$@" --image-opts driver=blklogwrites,`
		`file.driver=file,file.filename=disk,log.driver=file,`
		`log.filename=run.log${append-}
	assert_success
	refute_output --partial failed
}

@test "QEMU goes on with a recorded log, and it stays sound" {
	need_nbd
	need qemu-io
	disk raw
	records qemu-io -f raw -t writeback -c 'write -P 1 0 64k' \
		-c 'write -f -P 2 1M 4k' -c 'discard 4k 8k' {nbd}
	append=,log-append=on by_qemu -c 'write -P 3 60k 8k' -c flush \
		-c 'discard 1M 512'
	same_after_replay
	assert_equal "$(byte_at after.raw 61440)" 03
	# And so does the next recording.
	options=--append records dd if=/dev/urandom of={} \
		bs=4k count=3 conv=notrunc status=none
}

@test "xfstests' replay-log accepts what was recorded of a file" {
	need replay-log mkfs.ext4
	need_fuse
	disk raw
	records sh -c 'mkfs.ext4 -q {} && platter log mark made &&
		dd if=/dev/urandom of={} bs=64k count=9 seek=70 oflag=dsync \
			conv=notrunc status=none'
	replayed_by_xfstests
	replay-log --log run.log --find --end-mark made
}

@test "xfstests' replay-log accepts what was recorded of an NBD export" {
	need replay-log qemu-io
	need_nbd
	disk raw
	records qemu-io -f raw -t writeback -c 'write -P 1 0 64k' \
		-c 'write -f -P 2 1M 4k' -c flush -c 'discard 4k 8k' \
		-c 'write -z 2M 1M' -c 'write -P 3 5M 1000' {nbd}
	replayed_by_xfstests
}

replayed_by_xfstests()
{
	cp --sparse=always before.raw replayed.raw
	replay-log --log run.log --replay replayed.raw
	cmp replayed.raw disk
}

@test "--append begins a log that is not there" {
	need_fuse
	disk raw
	options=--append records dd if=/dev/urandom of={} bs=4k count=3 \
		conv=notrunc status=none
}

@test "--base-copy keeps what the image held" {
	need_fuse
	disk qcow2
	options=--base-copy records dd if=/dev/urandom of={} bs=64k count=3 \
		conv=notrunc status=none
	cmp before.raw run.log.base
	same_after_replay run.log disk run.log.base
}

@test "--base-copy of a sparse image is sparse" {
	need_fuse
	truncate -s 1G disk
	"$PLATTER" log record -q -f raw --base-copy=base disk -- true
	assert_equal "$(stat -c %s base)" $((1 << 30))
	assert [ "$(stat -c %b base)" -lt 100 ]
}

@test "a copy that exists is refused" {
	need_fuse
	disk raw
	echo precious >run.log.base
	fails 2 'run.log.base: it exists' "$PLATTER" log record -f raw \
		--log run.log --base-copy disk -- true
	assert_equal "$(cat run.log.base)" precious
	[ ! -e run.log ]
}

@test "--overlay leaves the image as it was" {
	need_fuse
	need mkfs.ext4
	disk qcow2
	local sum
	sum=$(sha256sum disk)
	run "$PLATTER" log record -q --overlay --log run.log disk -- \
		sh -c 'mkfs.ext4 -q {} && e2fsck -fn {}'
	assert_success
	assert_equal "$(sha256sum disk)" "$sum"
	"$PLATTER" replay -q --base disk run.log after.raw
	e2fsck -fn after.raw
}

@test "--overlay by NBD leaves the image as it was" {
	need_nbd
	need qemu-io
	disk raw
	local sum
	sum=$(sha256sum disk)
	run "$PLATTER" log record -q --overlay -f raw --log run.log disk -- \
		qemu-io -f raw -c 'write -P 7 1M 64k' -c 'read -P 7 1M 64k' {nbd}
	assert_success
	refute_output --partial 'failed'
	assert_equal "$(sha256sum disk)" "$sum"
	"$PLATTER" replay -q --base disk --base-format raw run.log after.raw
	assert_equal "$(byte_at after.raw $((1 << 20)))" 07
}

@test "--sector-size is that of the log" {
	need_fuse
	disk raw
	options='--sector-size 4096' records dd if=/dev/urandom of={} bs=4k \
		count=3 conv=notrunc status=none
	assert_equal "$("$PLATTER" log info --output json run.log |
		jq '."sector-size"')" 4096
}

# --- the image ------------------------------------------------------------

@test "an image that is probed as raw needs -f raw" {
	need_fuse
	disk raw
	fails 2 'say -f raw' "$PLATTER" log record --log run.log disk -- true
	[ ! -e run.log ]
	nothing_left
}

@test "options describe the image as they do elsewhere" {
	need_fuse
	disk qcow2
	mv disk 'a,b'
	"$PLATTER" log record -q --log run.log --image-opts \
		'driver=qcow2,file.filename=a,,b' -- \
		dd if=/dev/urandom of={} bs=4k count=2 conv=notrunc status=none
	same_after_replay run.log a,b
}

@test "json: describes the image, too" {
	need_fuse
	disk qcow2
	"$PLATTER" log record -q --log run.log \
		'json:{"driver":"qcow2","file":{"filename":"disk"}}' -- \
		dd if=/dev/urandom of={} bs=4k count=2 conv=notrunc status=none
	same_after_replay
}

@test "a name with quotes and a backslash is only a name" {
	need_fuse
	disk raw
	local name='a "b" \n.img'
	mv disk "$name"
	"$PLATTER" log record -q -f raw --log "log of $name" "$name" -- \
		dd if=/dev/urandom of={} bs=4k count=2 conv=notrunc status=none
	same_after_replay "log of $name" "$name"
}

@test "an image in use is refused" {
	need_fuse
	disk raw
	mkfifo hold
	hold-image w disk <hold >held &
	exec 5>hold
	until [ -s held ]; do sleep 0.05; done
	fails 2 'disk' "$PLATTER" log record -f raw --log run.log disk -- true
	exec 5>&-
	[ ! -e run.log ]
}

# --- several disks --------------------------------------------------------

two_disks()
{
	need_fuse
	for disk in a b; do
		truncate -s 8M "$disk.before"
		cp "$disk.before" "$disk.img"
	done
	format=raw
}

@test "several disks have a log each" {
	two_disks
	"$PLATTER" log record -q -f raw --log run --disk a=a.img \
		--disk b=b.img -- sh -c '
		dd if=/dev/urandom of={a} bs=4k count=3 conv=notrunc,fsync &&
		dd if={a} of={b} bs=4k count=2 seek=1 conv=notrunc,fsync'
	same_after_replay run.a.log a.img a.before
	same_after_replay run.b.log b.img b.before
	nothing_left
}

@test "--log NAME=FILE is the log of one disk" {
	two_disks
	"$PLATTER" log record -q -f raw --log one --log b=two --disk a=a.img \
		--disk b=b.img -- true
	"$PLATTER" log check one.a.log
	"$PLATTER" log check two
	[ ! -e one.b.log ]
}

@test "the entries of several disks have one order" {
	two_disks
	"$PLATTER" log record -q -f raw --log run --disk a=a.img \
		--disk b=b.img -- sh -c 'for i in 0 1 2 3; do
			dd if=/dev/zero of={a} bs=4k count=1 seek=$i \
				conv=notrunc,fsync status=none
			dd if=/dev/zero of={b} bs=4k count=1 seek=$i \
				conv=notrunc,fsync status=none
		done'
	# By issue number: each write to {a} before the next one to {b}.
	for disk in a b; do
		"$PLATTER" log list --output json "run.$disk.log" |
			jq -r ".[] | select(.length > 0) |
				\"\(.issue) $disk \(.offset)\""
	done | sort -n | cut -d' ' -f2- >order
	for i in 0 1 2 3; do
		printf '%s\n' "a $((i * 4096))" "b $((i * 4096))"
	done | diff order -
}

@test "a mark goes to the logs of all disks" {
	two_disks
	"$PLATTER" log record -q -f raw --log run --disk a=a.img \
		--disk b=b.img -- platter log mark here
	for disk in a b; do
		"$PLATTER" log marks "run.$disk.log" | grep -w here
	done
}

@test "by NBD each disk is an export" {
	need_nbd
	need qemu-io
	two_disks
	"$PLATTER" log record -q -f raw --log run --disk a=a.img \
		--disk b=b.img -- sh -c '
		qemu-io -f raw -c "write -P 1 0 4k" {nbd:a} &&
		qemu-io -f raw -c "write -P 2 4k 4k" "$PLATTER_NBD_b"' >/dev/null
	same_after_replay run.a.log a.img a.before
	same_after_replay run.b.log b.img b.before
	assert_equal "$(byte_at b.img 4096)" 02
	nothing_left
}

@test "with several disks {} would be any of them" {
	two_disks
	fails 2 'write {a}' "$PLATTER" log record -f raw --log run \
		--disk a=a.img --disk b=b.img -- cat {}
	nothing_left
}

# --- marks, pause and resume ----------------------------------------------

@test "a mark stands behind the writes acknowledged before it" {
	need_fuse
	disk raw
	records sh -c 'for i in 1 2 3; do
		dd if=/dev/urandom of={} bs=4k count=1 seek=$i conv=notrunc \
			status=none
		platter log mark "step $i"
	done'
	assert_output ''
	"$PLATTER" log list --output json run.log |
		jq -r '.[] | if .mark then .mark elif .length > 0 then
			.offset / 4096 else empty end' >got
	printf '%s\n' 1 'step 1' 2 'step 2' 3 'step 3' dm-log-writes-end |
		diff got -
}

@test "a mark by NBD stands behind the writes acknowledged before it" {
	need_nbd
	need qemu-io
	disk raw
	records sh -c 'for i in 1 2 3; do
		qemu-io -f raw -c "write $((i * 4))k 4k" {nbd} >/dev/null
		platter log mark "step $i"
	done'
	"$PLATTER" log list --output json run.log |
		jq -r '.[] | if .mark then .mark elif .length > 0 then
			.offset / 4096 else empty end' >got
	printf '%s\n' 1 'step 1' 2 'step 2' 3 'step 3' dm-log-writes-end |
		diff got -
}

@test "a mark can be put from elsewhere" {
	need_fuse
	disk raw
	"$PLATTER" log record -q -f raw --session "$PWD/sock" --log run.log \
		disk -- sh -c ': >started; until [ -e marked ]; do sleep 0.05
			done' &
	local recorder=$!
	until [ -e started ]; do sleep 0.05; done
	"$PLATTER" log mark --session sock 'from afar'
	: >marked
	wait "$recorder"
	"$PLATTER" log marks run.log | grep -w 'from afar'
	[ ! -e sock ]
}

@test "a mark of any bytes comes through whole" {
	need_fuse
	disk raw
	"$PLATTER" log record -q -f raw --log run.log disk -- \
		platter log mark $'a\\b\nc\xff d'
	"$PLATTER" log marks --output json run.log |
		jq -r '.[0].mark' | grep -xF 'a\\b\x0ac\xff d'
}

@test "an empty mark is refused" {
	need_fuse
	disk raw
	run "$PLATTER" log record -q -f raw --log run.log disk -- \
		platter log mark ''
	assert_failure 2
	assert_output --partial 'mark'
}

@test "a mark that is too long is refused with the limit" {
	need_fuse
	disk raw
	run "$PLATTER" log record -q -f raw --log run.log disk -- \
		platter log mark "$(head -c 480 /dev/zero | tr '\0' x)"
	assert_failure 2
	assert_output --partial 479
}

@test "many can put marks at once" {
	need_fuse
	disk raw
	"$PLATTER" log record -q -f raw --log run.log disk -- sh -c '
		for i in 1 2 3 4 5 6 7 8; do
			platter log mark "m$i" &
		done
		wait'
	assert_equal "$("$PLATTER" log marks run.log | grep -cw 'm[1-8]')" 8
}

@test "clients that say nothing do not keep others out" {
	need_fuse
	need python3
	disk raw
	cat >silent.py <<-'END'
		import os, socket, subprocess, sys
		path = os.environ['PLATTER_SESSION']
		silent = []
		for i in range(70):
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(path)
		    s.send(b'mar')
		    silent.append(s)
		sys.exit(subprocess.call(['platter', 'log', 'mark', 'through']))
	END
	"$PLATTER" log record -q -f raw --log run.log disk -- \
		timeout 60 python3 silent.py
	"$PLATTER" log marks run.log | grep -w through
}

@test "what is no request is answered with an error" {
	need_fuse
	need python3
	disk raw
	cat >odd.py <<-'END'
		import os, socket
		s = socket.socket(socket.AF_UNIX)
		s.connect(os.environ['PLATTER_SESSION'])
		s.send(b'nonsense\nstats 7\nstats 0\n')
		f = s.makefile()
		for i in range(3):
		    print(' '.join(f.readline().split()[:3]))
		s.send(b'x' * 100000)
		print(f.readline().strip())
	END
	run "$PLATTER" log record -q -f raw --log run.log disk -- \
		timeout 60 python3 odd.py
	assert_success
	assert_line --index 0 'error 22 unknown'
	assert_line --index 1 'error 34 disk'
	assert_line --index 2 --regexp '^ok [0-9]+ [0-9]+$'
	assert_line --index 3 'error 7 the request is too long'
}

@test "what is written during a pause is logged at its end" {
	need_fuse
	disk qcow2
	records sh -c '
		w() { dd if=/dev/urandom of={} bs=4k count=1 seek=$1 \
			conv=notrunc,fsync status=none; }
		w 1; platter log pause; w 2; w 2; w 3; platter log resume; w 4'
	"$PLATTER" log marks run.log | grep -w platter-pause
	"$PLATTER" log marks run.log | grep -w platter-resume
	# Both writes of block 2 are one in the log.
	assert_equal "$("$PLATTER" log list --output json run.log |
		jq '[.[] | select(.offset == 8192 and .length > 0)] | length')" 1
}

@test "a recording that ends in a pause gives the image all the same" {
	need_fuse
	disk raw
	records sh -c 'platter log pause
		dd if=/dev/urandom of={} bs=64k count=3 conv=notrunc status=none'
}

@test "mark, pause and resume need a session" {
	for verb in 'mark x' pause resume; do
		# shellcheck disable=SC2086 # a verb and its argument
		fails 2 'no session: PLATTER_SESSION is not set' \
			"$PLATTER" log $verb
		# shellcheck disable=SC2086
		fails 2 'nosuch: nobody listens' \
			"$PLATTER" log $verb --session nosuch
	done
}

@test "mark, pause and resume answer in JSON" {
	need_fuse
	disk raw
	run "$PLATTER" log record -q -f raw --log run.log disk -- sh -c '
		platter log mark --output json one | jq -c .
		platter log pause --output json | jq -c .
		platter log resume --output json | jq -c .'
	assert_output '{"mark":"one"}
{"paused":true}
{"resumed":true}'
}

# --- how it ends ----------------------------------------------------------

@test "the exit status is the command's" {
	need_fuse
	disk raw
	run "$PLATTER" log record -q -f raw --log run.log disk -- sh -c 'exit 7'
	assert_failure 7
	assert_output ''
	"$PLATTER" log check run.log
	nothing_left
}

@test "a command that is killed gives 128 and the signal" {
	need_fuse
	disk raw
	fails 137 'sh: killed by signal 9' "$PLATTER" log record -q -f raw \
		--log run.log disk -- sh -c 'kill -9 $$'
	"$PLATTER" log check run.log
	nothing_left
}

@test "a command that is not found gives 127, and nothing is made" {
	disk raw
	run -127 --separate-stderr "$PLATTER" log record -f raw --log run.log \
		--base-copy disk -- nosuch-command {}
	complained 'nosuch-command: command not found'
	assert_equal "$(echo run.log*)" 'run.log*'
	nothing_left
}

@test "a command that cannot be executed gives 126, and nothing is made" {
	disk raw
	echo text >script
	fails 126 'script: it cannot be executed' "$PLATTER" log record \
		-f raw --log run.log disk -- ./script {}
	[ ! -e run.log ]
	nothing_left
}

@test "a program of no known kind gives 126, and nothing is made" {
	need_fuse
	disk raw
	echo 'exit 3' >script
	chmod +x script
	fails 126 'script: Exec format error' "$PLATTER" log record -f raw \
		--log run.log disk -- ./script {}
	[ ! -e run.log ]
	nothing_left
}

@test "SIGTERM goes to the command, and the log has its end" {
	need_fuse
	disk raw
	"$PLATTER" log record -q -f raw --log run.log disk -- sh -c '
		trap "dd if=/dev/urandom of={} bs=4k count=1 conv=notrunc \
			status=none; exit 3" TERM
		: >started
		while :; do sleep 0.05; done' &
	local recorder=$! code=0
	until [ -e started ]; do sleep 0.05; done
	kill "$recorder"
	wait "$recorder" || code=$?
	assert_equal "$code" 3
	"$PLATTER" log marks run.log | grep -w dm-log-writes-end
	same_after_replay
	nothing_left
}

@test "a second signal kills the command, and the log has its end" {
	need_fuse
	disk raw
	"$PLATTER" log record -q -f raw --log run.log disk -- sh -c '
		trap ": >first" TERM
		: >started
		while :; do sleep 0.05; done' &
	local recorder=$! code=0
	until [ -e started ]; do sleep 0.05; done
	kill "$recorder"
	until [ -e first ]; do sleep 0.05; done
	kill "$recorder"
	wait "$recorder" || code=$?
	assert_equal "$code" 137
	"$PLATTER" log marks run.log | grep -w dm-log-writes-end
	nothing_left
}

@test "Ctrl-C is the command's to act on" {
	need_fuse
	need python3
	disk raw
	run ctrl_c "$PLATTER" log record -q -f raw \
		--log run.log disk -- sh -c '
		trap "echo bye | dd of={} bs=512 conv=notrunc,sync \
			status=none; exit 5" INT
		: >started
		while :; do sleep 0.05; done'
	assert_output 5
	same_after_replay
	"$PLATTER" log marks run.log | grep -w dm-log-writes-end
	nothing_left
}

@test "Ctrl-C with NBD is the command's to act on, too" {
	need_nbd
	need python3 qemu-io
	disk raw
	run ctrl_c "$PLATTER" log record -q -f raw \
		--log run.log disk -- sh -c '
		trap "qemu-io -f raw -c \"write -P 9 0 4k\" {nbd}; exit 5" INT
		: >started
		while :; do sleep 0.05; done'
	assert_output 5
	same_after_replay
	assert_equal "$(byte_at disk 0)" 09
	nothing_left
}

@test "--stop-after TIME ends the command" {
	need_fuse
	disk raw
	fails 124 'stopped, as --stop-after was reached' "$PLATTER" log record \
		-q -f raw --log run.log --stop-after 0.3s disk -- sleep 600
	"$PLATTER" log marks run.log | grep -w dm-log-writes-end
	nothing_left
}

@test "--stop-after SIZE ends the command, and the log is whole" {
	need_fuse
	disk raw
	# Far more than that, and slow enough to be caught in the middle.
	fails 124 'stopped' "$PLATTER" log record -q -f raw --log run.log \
		--stop-after 2M disk -- dd if=/dev/urandom of={} bs=4k \
		count=10000 oflag=dsync conv=notrunc status=none
	assert [ "$(stat -c %s run.log)" -ge 2097152 ]
	same_after_replay
	nothing_left
}

@test "a bad --stop-after is a usage error" {
	disk raw
	for limit in 0 x 5x -1 0s; do
		usage_error stop-after "$PLATTER" log record --stop-after \
			"$limit" disk -- true
	done
}

@test "a process that still has the file open is told of" {
	need_fuse
	disk raw
	run --separate-stderr "$PLATTER" log record -q -f raw --log run.log \
		disk -- sh -c 'exec 4<{}; sleep 60 >&- 2>&- 3>&- & echo $!'
	assert_success
	local pid=$output
	complained "process $pid still has it open"
	kill "$pid"
	"$PLATTER" log check run.log
	nothing_left
}

@test "a file that is unmounted under the command is an error" {
	need_fuse
	disk raw
	fails 2 'was unmounted while the command ran' "$PLATTER" log record \
		-q -f raw --log run.log disk -- fusermount3 -u {}
	"$PLATTER" log check run.log
	nothing_left
}

@test "an image that cannot be written to is told of, and nothing is made" {
	need_nobody
	disk raw
	chmod 444 disk
	chmod 777 . "$TMPDIR"
	fails 2 'disk' setpriv --reuid 65534 --clear-groups "$PLATTER" \
		log record -f raw --log run.log disk -- true
	[[ $stderr == *'Permission denied'* ]]
	[ ! -e run.log ]
	nothing_left
}

@test "a folder for mounts that cannot be made is told of" {
	disk raw
	fails 2 'set TMPDIR to another place' env TMPDIR=/nosuch "$PLATTER" \
		log record -f raw --log run.log disk -- true
	[ ! -e run.log ]
}

@test "a missing nbdkit is told of, and nothing is made" {
	need_nbd
	disk raw
	mkdir bin
	ln -s "$(type -P true)" bin/true
	fails 2 nbdkit env PATH="$PWD/bin" "$PLATTER" log record -f raw \
		--nbd --log run.log disk -- true
	[ ! -e run.log ]
	nothing_left
}

@test "a missing /dev/fuse is told of, and nothing is made" {
	need_own_mounts
	need_fuse
	disk raw
	mkdir dev
	cp -a /dev/null /dev/zero /dev/urandom dev
	fails 2 /dev/fuse unshare -m sh -c '
		mount --bind dev /dev &&
		exec "$PLATTER" log record -f raw --log run.log disk -- true'
	[ ! -e run.log ]
	nothing_left
}

# on_small COMMAND...: with a file system of 1 MiB at small/.
on_small()
{
	mkdir small
	unshare -m sh -c 'mount -t tmpfs -o size=1M tmpfs small && "$@"; code=$?
		cp small/run.log . && exit $code' sh "$@"
}

@test "a full disk under the log is told of, and the log is sound" {
	need_own_mounts
	need_fuse
	disk raw
	run on_small "$PLATTER" log record -q -f raw --log small/run.log disk \
		-- dd if=/dev/urandom of={} bs=64k count=40 conv=notrunc \
		status=none
	assert_failure 2
	assert_output --partial 'No space left on device'
	assert_line --partial 'platter: '
	"$PLATTER" log check run.log
	nothing_left
}

@test "a full disk under the log of an NBD export is told of" {
	need_own_mounts
	need_nbd
	need qemu-io
	disk raw
	run on_small "$PLATTER" log record -q -f raw --log small/run.log disk \
		-- qemu-io -f raw -c 'write 0 2M' {nbd}
	assert_failure 2
	assert_line --partial 'platter: '
	"$PLATTER" log check run.log
	nothing_left
}

@test "two logs of one name are refused" {
	two_disks
	fails 2 'it exists' "$PLATTER" log record -f raw --log a=x --log b=x \
		--disk a=a.img --disk b=b.img -- true
	[ ! -e x ]
}

@test "the image itself is not taken for a log" {
	need_fuse
	disk raw
	local sum
	sum=$(sha256sum disk)
	run "$PLATTER" log record -f raw --force --log disk disk -- true
	assert_failure 2
	assert_equal "$(sha256sum disk)" "$sum"
}

@test "words that are missing are usage errors" {
	disk raw
	usage_error 'COMMAND is missing' "$PLATTER" log record disk
	usage_error 'COMMAND is missing' "$PLATTER" log record disk --
	usage_error 'IMAGE is missing' "$PLATTER" log record -- true
	usage_error 'exclude each other' "$PLATTER" log record \
		--disk a=disk disk -- true
	usage_error "unexpected argument 'x'" "$PLATTER" log record disk x -- true
	[ ! -e disk.log ]
}

@test "options that exclude each other are usage errors" {
	disk raw
	usage_error exclude "$PLATTER" log record --append --force disk -- true
	usage_error exclude "$PLATTER" log record --append --base-copy disk \
		-- true
	usage_error exclude "$PLATTER" log record --overlay --base-copy disk \
		-- true
}

# --- what is told ---------------------------------------------------------

@test "the summary tells what was logged and how to go on" {
	need_fuse
	disk raw
	run --separate-stderr "$PLATTER" log record -f raw --log run.log \
		--base-copy disk -- dd if=/dev/urandom of={} bs=4k count=3 \
		conv=notrunc,fsync status=none
	assert_success
	assert_output ''
	[[ ${stderr_lines[0]} == 'run.log: '*' writes '*' flushes, '*' marks: '* ]]
	assert_equal "${stderr_lines[1]}" \
		'replay with: platter replay run.log TARGET --base run.log.base'
}

@test "the summary in JSON agrees with the log" {
	need_fuse
	disk raw
	run --separate-stderr "$PLATTER" log record -f raw --log run.log \
		--output json disk -- sh -c 'echo noise; exec qemu-io -f raw \
		-c "write 0 64k" -c "write -f 64k 4k" -c flush \
		-c "discard 0 4k" {}'
	assert_success
	[[ $stderr == *noise* ]]
	"$PLATTER" log info --output json run.log >info
	for name in entries writes flushes discards marks data-bytes; do
		assert_equal "$name $(jq ".disks[0].\"$name\"" <<<"$output")" \
			"$name $(jq ".\"$name\"" info)"
	done
	assert_equal "$(jq '."exit-status"' <<<"$output")" 0
}

@test "-p tells how it goes" {
	need_fuse
	disk raw
	run --separate-stderr "$PLATTER" log record -p -f raw --log run.log \
		disk -- true
	assert_success
	[[ ${stderr_lines[0]} == *' entries, '*' written, '*'/s, log '* ]]
}

@test "SIGUSR1 tells how it goes" {
	need_fuse
	disk raw
	"$PLATTER" log record -q -f raw --log run.log disk -- sh -c '
		: >started; until [ -e go ]; do sleep 0.05; done' 2>told &
	local recorder=$!
	until [ -e started ]; do sleep 0.05; done
	kill -USR1 "$recorder"
	until [ -s told ]; do sleep 0.05; done
	: >go
	wait "$recorder"
	grep '^platter: .* entries, .* written, .*/s, log ' told
}

# --- counts, by others ------------------------------------------------------

# tally: compares what standard input says was done with the summary in $output:
# a line "OP OFFSET LENGTH FUA" a request. $own flushes are platter's own.
tally()
{
	local -i begin end data=0 discarded=0
	local -i writes=0 fuas=0 flushes=${own-0} discards=0
	local op offset len fua

	while read -r op offset len fua; do
		# A log has whole sectors.
		begin=$((offset / 512 * 512))
		end=$(((offset + len + 511) / 512 * 512))
		case $op in
		Write) writes+=1 fuas+=fua data+=end-begin ;;
		# With FUA these are the request and a flush.
		Zero) writes+=1 flushes+=fua data+=end-begin ;;
		Trim) discards+=1 flushes+=fua discarded+=end-begin ;;
		Flush) flushes+=1 ;;
		*) fail "what is $op?" ;;
		esac
	done
	# Nothing is soon equal to nothing.
	assert [ "$writes" -ge 5 ]
	assert [ "$flushes" -ge 2 ]
	diff - <(jq -r '.disks[0] | "writes \(.writes)", "FUA \(.fuas)",
		"flushes \(.flushes)", "discards \(.discards)",
		"bytes \(."data-bytes")", "discarded \(."discard-bytes")"' \
		<<<"$output") <<-END
		writes $writes
		FUA $fuas
		flushes $flushes
		discards $discards
		bytes $data
		discarded $discarded
	END
}

need_log_filter()
{
	need_nbd
	nbdkit --filter=log nbd --version >/dev/null 2>&1 ||
		skip "nbdkit has no filter log, or no plugin nbd"
	front="nbd+unix:///?socket=$PWD/front"
}

# nbdkit_counts COMMAND...: what that does at $front, to an nbdkit between it
# and the recording, the log of that nbdkit counts as the summary does.
nbdkit_counts()
{
	rm -f pid front witness
	run --separate-stderr "$PLATTER" log record -f "$format" \
		--log run.log --output json disk -- sh -c '
		nbdkit -f -P pid -U "$PWD/front" --filter=log nbd uri="$1" \
			logfile=witness &
		until [ -s pid ]; do
			kill -0 $! || exit
			sleep 0.05
		done
		shift
		"$@"
		code=$?
		kill $!
		wait $! && exit $code' sh {nbd} "$@"
	assert_success
	[[ $stderr != *failed* ]]
	refute grep -e return=-1 witness
	sed -nE -e 's/.* (Write|Zero|Trim) id=[0-9]+ offset=([^ ]+) '`
		`'count=([^ ]+) .*fua=([01]) .*/\1 \2 \3 \4/p' \
		-e 's/.* (Flush) id=.*/\1 0 0 0/p' witness >requests
	tally <requests
	same_after_replay
}

@test "what qemu-io does by NBD is counted as nbdkit counts it" {
	need qemu-io
	need_log_filter
	load()
	{
		nbdkit_counts qemu-io -t writeback -f raw \
			-c 'write -P 1 0 64k' -c 'write -f -P 2 64k 4k' \
			-c 'write -z 128k 64k' -c 'write -z -u 256k 1M' \
			-c flush -c 'write 3 1000' -c 'discard 600k 64k' \
			-c 'write -z -f 5M 32k' -c flush -c flush \
			-c 'write -f 7M 513' -c 'aio_write 8M 1M' \
			-c 'aio_write 10M 1M' -c 'write -z 12M 20M' "$front"
		assert [ "$(grep -c Trim requests)" -ge 1 ]
		assert [ "$(grep -c Zero requests)" -ge 4 ]
	}
	nbd_on_both load
}

@test "a random load by NBD is counted as nbdkit counts it" {
	local -i at len i seed=$RANDOM
	local -a commands=()
	local aligned

	need qemu-io
	need_log_filter
	echo "seed $seed"
	RANDOM=$seed
	for ((i = 0; i < 200; i++)); do
		at=$((RANDOM * RANDOM % (40 << 20)))
		len=$((RANDOM * 3 + 1))
		# Those of whole sectors.
		aligned="$((at / 512 * 512)) $((len / 512 * 512 + 512))"
		case $((RANDOM % 10)) in
		[0-3]) commands+=(-c "write -P $((i % 251)) $at $len") ;;
		4) commands+=(-c "write -f -P $((i % 251)) $at $len") ;;
		5) commands+=(-c "aio_write -P $((i % 251)) $at $len") ;;
		6) commands+=(-c "write -z $aligned") ;;
		7) commands+=(-c "write -z -f -u $aligned") ;;
		8) commands+=(-c "discard $aligned") ;;
		9) commands+=(-c flush) ;;
		esac
	done
	load()
	{
		nbdkit_counts qemu-io -t writeback -f raw "${commands[@]}" \
			"$front"
	}
	nbd_on_both load
}

@test "what two fio jobs do by NBD is counted as nbdkit counts it" {
	need fio
	fio --enghelp | grep -q nbd || skip "fio was built without libnbd"
	need_log_filter
	load()
	{
		nbdkit_counts fio --ioengine=nbd --name=load --uri="$front" \
			--rw=randrw --bsrange=512-32k --size=8m --io_size=3m \
			--iodepth=8 --fsync=16 --numjobs=2 --minimal
		assert [ "$(grep -c ' Connect ' witness)" -ge 2 ]
	}
	nbd_on_both load
}

# strace_counts COMMAND...: what that, of one thread, does to {}, strace counts
# as the summary does.
strace_counts()
{
	need_fuse
	need strace
	strace -o trace true 2>/dev/null || skip "nothing can be traced here"
	run --separate-stderr "$PLATTER" log record -f "$format" \
		--log run.log --output json disk -- strace -s 0 -o trace \
		-P {} -e trace=desc "$@"
	assert_success
	refute grep -E '^(pwritev|writev|mmap|copy_file|sendfile|splice)' trace
	sed -nE -e 's/^write\(.*\) += ([0-9]+)$/Write 0 \1 0/p' \
		-e 's/^pwrite64\(.*, ([0-9]+)\) += ([0-9]+)$/Write \1 \2 0/p' \
		-e 's/^fallocate\(.*, ([0-9]+), ([0-9]+)\) += 0$/Zero \1 \2 0/p' \
		-e 's/^f(data)?sync\(.*\) += 0$/Flush 0 0 0/p' trace >requests
	# One is that of the unmounting.
	own=1 tally <requests
	same_after_replay
}

@test "what dd does with conv=fsync is counted as strace counts it" {
	load()
	{
		strace_counts dd if=/dev/urandom of={} bs=64k count=20 seek=3 \
			conv=notrunc,fsync
	}
	on_both load
}

@test "a random load of one thread is counted as strace counts it" {
	local -i at len i seed=$RANDOM
	local -a commands=()

	need xfs_io
	echo "seed $seed"
	RANDOM=$seed
	for ((i = 0; i < 150; i++)); do
		# What begins inside a page that it has not got, the kernel
		# writes in two pieces.
		at=$((RANDOM % 10240 * 4096))
		len=$((RANDOM * 2 + 1))
		case $((RANDOM % 8)) in
		[0-3]) commands+=(-c "pwrite -S $i -b 64k $at $len") ;;
		4) commands+=(-c "fpunch $((at + i)) $len") ;;
		5) commands+=(-c "fzero -k $((at + i)) $len") ;;
		6) commands+=(-c fsync) ;;
		7) commands+=(-c fdatasync) ;;
		esac
	done
	load()
	{
		strace_counts xfs_io "${commands[@]}" {}
		assert [ "$(grep -c Zero requests)" -ge 1 ]
	}
	on_both load
}
