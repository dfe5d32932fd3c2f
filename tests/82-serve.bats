# SPDX-License-Identifier: LGPL-2.1-or-later
# Images as files: serve, mount and umount.

load lib/record

setup_file()
{
	log_file kernel-6.1-ext4 "$BATS_FILE_TMPDIR/log"
}

setup()
{
	record_setup
	need_fuse
	server=
	truncate -s 16M disk.raw
}

teardown()
{
	if [ -n "${server-}" ]; then
		kill "$server" 2>/dev/null || true
	fi
	record_teardown
}

# mounted FILE [ARGUMENT...]: mounts disk.raw there.
mounted()
{
	local file=$1

	shift
	succeeds "$PLATTER" mount -f raw "$@" disk.raw "$file"
	assert_output ''
}

unmounted()
{
	succeeds "$PLATTER" umount "$1"
	assert_output ''
	assert_equal "$(mounts)" ''
}

# serving ARGUMENT...: `platter serve` in the background, when it is ready.
serving()
{
	"$PLATTER" serve "$@" >said 2>errors 3>&- &
	server=$!
	until [ -s said ]; do
		kill -0 "$server" || fail "$(cat errors)"
		sleep 0.02
	done
}

# ends CODE: `platter serve` does, with nothing left behind.
ends()
{
	local code=0

	wait "$server" || code=$?
	server=
	assert_equal "$code" "$1"
	nothing_left
}

# random_bytes SIZE OFFSET FILE ARGUMENT...: of dd
random_bytes()
{
	local size=$1 offset=$2 file=$3

	shift 3
	head -c "$size" /dev/urandom |
		dd of="$file" bs=64k iflag=fullblock oflag=seek_bytes \
			seek="$offset" conv=notrunc status=none "$@"
}

fill()
{
	head -c 16M /dev/urandom >disk.raw
}

# --- what is read and written -------------------------------------------------

@test "a file system made on the file is in a raw image" {
	need mkfs.ext4 e2fsck debugfs
	mounted m.img
	mkfs.ext4 -q m.img
	echo hello >in
	debugfs -w -R 'write in in' m.img
	run e2fsck -fn m.img
	assert_success
	unmounted m.img
	run debugfs -R 'cat in' disk.raw
	assert_output --partial hello
}

@test "a file system made on the file is in a qcow2 image" {
	need mkfs.ext4 e2fsck qemu-img
	"$PLATTER" create -q -f qcow2 disk.qcow2 64M
	succeeds "$PLATTER" mount disk.qcow2 m.img
	mkfs.ext4 -q m.img
	cp m.img copy.raw
	unmounted m.img
	qemu-img check -q disk.qcow2
	qemu-img compare -q -f raw -F qcow2 copy.raw disk.qcow2
	run e2fsck -fn copy.raw
	assert_success
}

@test "dd conv=fsync writes to the image" {
	need qemu-img
	mounted m.img
	random_bytes 3M 5000000 m.img conv=notrunc,fsync
	cp m.img copy.raw
	cmp copy.raw disk.raw
	unmounted m.img
	qemu-img compare -q -f raw -F raw copy.raw disk.raw
}

@test "the file has the size of the disk, to the byte" {
	head -c 1000001 /dev/urandom >disk.raw
	cp disk.raw before.raw
	succeeds "$PLATTER" mount --image-opts driver=file,filename=disk.raw m.img
	assert_equal "$(stat -c %s m.img)" 1000001
	cmp m.img before.raw
	printf x | dd of=m.img bs=1 seek=1000000 conv=notrunc status=none
	unmounted m.img
	assert_equal "$(stat -c %s disk.raw)" 1000001
	assert_equal "$(tail -c 1 disk.raw)" x
}

@test "writing past the end is ENOSPC" {
	mounted m.img
	run random_bytes 8k 16773120 m.img
	assert_failure
	assert_output --partial 'No space left on device'
	unmounted m.img
	assert_equal "$(stat -c %s disk.raw)" 16777216
}

@test "opening the file with O_TRUNC leaves the disk as it is" {
	fill
	cp disk.raw before.raw
	mounted m.img
	: >m.img
	assert_equal "$(stat -c %s m.img)" 16777216
	cmp m.img before.raw
	head -c 512 /dev/zero >m.img
	unmounted m.img
	cmp -n 512 disk.raw /dev/zero
	cmp -i 512 disk.raw before.raw
}

@test "truncate to a smaller size is refused" {
	mounted m.img
	run truncate -s 1M m.img
	assert_failure
	assert_output --partial 'Operation not permitted'
	truncate -s 16M m.img
	unmounted m.img
}

@test "truncate to a larger size makes a raw image larger" {
	mounted m.img
	truncate -s 20M m.img
	assert_equal "$(stat -c %s m.img)" 20971520
	printf end | dd of=m.img bs=1 seek=20971517 conv=notrunc status=none
	unmounted m.img
	assert_equal "$(tail -c 3 disk.raw)" end
}

@test "a hole that is punched reads as zeros and takes no space" {
	need fallocate
	fill
	sync disk.raw
	mounted m.img
	cat m.img >/dev/null
	before=$(stat -c %b disk.raw)
	fallocate -p -o 1M -l 4M m.img
	cmp -i 1M:0 -n 4M m.img /dev/zero
	cmp m.img disk.raw
	[ "$(stat -c %b disk.raw)" -le $((before - 8192)) ]
	[ "$(stat -c %b m.img)" -le $((before - 8192)) ]
	unmounted m.img
}

@test "a range that is zeroed reads as zeros" {
	need xfs_io
	fill
	mounted m.img
	cat m.img >/dev/null
	xfs_io -c 'fzero -k 1000 70000' m.img
	cmp -i 1000:0 -n 70000 m.img /dev/zero
	cmp m.img disk.raw
	unmounted m.img
}

@test "fallocate inside the disk changes nothing, and behind it is ENOSPC" {
	need fallocate
	fill
	cp disk.raw before.raw
	mounted m.img
	fallocate -l 16M m.img
	cmp m.img before.raw
	run fallocate -l 17M m.img
	assert_failure
	assert_output --partial 'No space left on device'
	unmounted m.img
}

@test "SEEK_DATA and SEEK_HOLE tell what the map tells" {
	need xfs_io
	"$PLATTER" create -q -f qcow2 disk.qcow2 16M
	succeeds "$PLATTER" mount disk.qcow2 m.img
	random_bytes 64k 1M m.img
	random_bytes 128k 8M m.img
	run xfs_io -r -c 'seek -a -r 0' m.img
	assert_success
	assert_output "$(printf '%s\n' 'Whence	Result' 'HOLE	0' \
		'DATA	1048576' 'HOLE	1114112' 'DATA	8388608' \
		'HOLE	8519680')"
	unmounted m.img
}

@test "what is written through mmap is in the image" {
	need xfs_io
	fill
	mounted m.img
	xfs_io -c 'mmap -rw 0 1m' -c 'mread 0 4096' \
		-c 'mwrite -S 0x61 5000 10000' -c 'msync -s 0 1m' m.img \
		>/dev/null
	head -c 10000 /dev/zero | tr '\0' a >as
	cmp -i 5000:0 -n 10000 disk.raw as
	cmp m.img disk.raw
	unmounted m.img
}

@test "what is written through mmap and not synced is in the image at the end" {
	need xfs_io
	mounted m.img
	xfs_io -c 'mmap -rw 0 1m' -c 'mwrite -S 0x61 5000 10000' m.img
	unmounted m.img
	head -c 10000 /dev/zero | tr '\0' a >as
	cmp -i 5000:0 -n 10000 disk.raw as
}

@test "O_DSYNC is FUA, and fsync is a flush" {
	: >run.log
	succeeds "$PLATTER" mount --image-opts "driver=blklogwrites,file.driver=raw,file.file.filename=disk.raw,log.filename=run.log" m.img
	random_bytes 4k 0 m.img
	random_bytes 4k 64k m.img oflag=dsync,seek_bytes
	random_bytes 4k 128k m.img conv=notrunc,fsync
	unmounted m.img
	run jq -r '.[] | select(.length > 0) | "\(.offset) \(.flags | index("FUA") != null)"' \
		<("$PLATTER" log list --output=json run.log)
	assert_success
	assert_output "$(printf '%s\n' '0 false' '65536 true' '131072 false')"
	"$PLATTER" log list run.log | grep FLUSH
}

@test "many jobs at once read what they wrote" {
	need fio
	mounted m.img
	fio --name=x --filename=m.img --ioengine=psync --rw=randwrite \
		--bs=4k --size=2M --numjobs=8 --offset_increment=2M \
		--verify=crc32c --do_verify=1 --thread >out
	unmounted m.img
	fio --name=x --filename=disk.raw --ioengine=psync --rw=randwrite \
		--bs=4k --size=2M --numjobs=8 --offset_increment=2M \
		--verify=crc32c --verify_only --thread >out
}

@test "what the node cannot do is told the program, and not by umount again" {
	succeeds "$PLATTER" mount --image-opts "driver=blkdebug,iotype=write,once=on,file.driver=file,file.filename=disk.raw" m.img
	run random_bytes 4k 0 m.img
	assert_failure
	assert_output --partial 'Input/output error'
	random_bytes 4k 0 m.img
	cmp m.img disk.raw
	unmounted m.img
}

@test "a flush that fails is an error of the fsync" {
	succeeds "$PLATTER" mount --image-opts "driver=blkdebug,iotype=flush,once=on,file.driver=file,file.filename=disk.raw" m.img
	run random_bytes 4k 0 m.img conv=notrunc,fsync
	assert_failure
	assert_output --partial 'Input/output error'
	unmounted m.img
}

@test "what is cached is right after zeroing has failed half-way" {
	need xfs_io
	fill
	"$PLATTER" convert -q -f raw -O qcow2 disk.raw disk.qcow2
	succeeds "$PLATTER" mount --image-opts "driver=qcow2,file.driver=blkdebug,file.iotype=write,file.after=1,file.file.driver=file,file.file.filename=disk.qcow2" m.img
	cat m.img >/dev/null
	run xfs_io -c 'fzero -k 1000 200000' m.img
	assert_output --partial 'Input/output error'
	dd if=m.img of=direct.raw iflag=direct bs=64k status=none
	run cmp disk.raw direct.raw
	assert_failure
	cmp m.img direct.raw
	succeeds "$PLATTER" umount --lazy m.img
}

# --- what can only be read ----------------------------------------------------

@test "a file that is read-only refuses to be written" {
	fill
	mounted m.img -r
	assert_equal "$(stat -c %A m.img | tr -d r-)" ''
	run random_bytes 4k 0 m.img
	assert_failure
	assert_output --partial 'Read-only file system'
	cmp m.img disk.raw
	unmounted m.img
}

@test "a moment of a log is a file that can be read" {
	spec=driver=writelog,log=$BATS_FILE_TMPDIR/log,at=mark:fsync-3
	"$PLATTER" convert --image-opts -O raw "$spec" then.raw
	succeeds "$PLATTER" mount --image-opts "$spec" m.img
	cmp m.img then.raw
	run random_bytes 4k 0 m.img
	assert_failure
	unmounted m.img
}

@test "an image that is only guessed to be raw is not served for writing" {
	fails 2 'say -f raw' "$PLATTER" mount disk.raw m.img
	[ ! -e m.img ]
	succeeds "$PLATTER" mount -r disk.raw m.img
	unmounted m.img
}

# --- the mount point ----------------------------------------------------------

@test "a file that was made for it is gone at the end" {
	mounted m.img
	unmounted m.img
	[ ! -e m.img ]
}

@test "a file that is covered is there again at the end" {
	echo mine >m.img
	mounted m.img
	assert_equal "$(stat -c %s m.img)" 16777216
	unmounted m.img
	assert_equal "$(cat m.img)" mine
}

@test "an image can be mounted over itself" {
	"$PLATTER" create -q -f qcow2 disk.qcow2 16M
	succeeds "$PLATTER" mount disk.qcow2 disk.qcow2
	assert_equal "$(stat -c %s disk.qcow2)" 16777216
	random_bytes 1M 3M disk.qcow2
	cp disk.qcow2 copy.raw
	unmounted disk.qcow2
	"$PLATTER" check -q disk.qcow2
	"$PLATTER" compare -q -f raw -F qcow2 copy.raw disk.qcow2
}

@test "in a folder the image is a file" {
	mkdir folder
	fill
	mounted folder
	assert_equal "$(ls folder)" disk
	cmp folder/disk disk.raw
	run touch folder/other
	assert_failure
	[ ! -e folder/nosuch ]
	unmounted folder
}

@test "a mount point in use is an error" {
	mounted m.img
	cp disk.raw other.raw
	fails 2 'is a mount point already' \
		"$PLATTER" mount -f raw other.raw m.img
	unmounted m.img
}

@test "a mount point in a folder that is not there is an error" {
	fails 2 'mount point nosuch/m.img: No such file' \
		"$PLATTER" mount -f raw disk.raw nosuch/m.img
	fails 2 'neither a regular file nor a directory' \
		"$PLATTER" mount -f raw disk.raw /dev/null
}

@test "an image that is not there leaves nothing behind" {
	fails 2 'nosuch.raw' "$PLATTER" mount -f raw nosuch.raw m.img
	[ ! -e m.img ]
	nothing_left
}

@test "without /dev/fuse there is one clear line" {
	need_own_mounts
	mkdir empty
	fails 2 "/dev/fuse is missing: load the module with 'modprobe fuse'" \
		unshare -m sh -c 'mount --bind empty /dev &&
			exec "$PLATTER" mount -f raw disk.raw m.img'
	[ ! -e m.img ]
}

# --- the end ------------------------------------------------------------------

@test "a file in use is not unmounted" {
	mounted m.img
	exec 9<m.img
	run --separate-stderr "$PLATTER" umount m.img
	assert_failure 2
	[[ ${stderr,,} == *'in use'* || ${stderr,,} == *busy* ]]
	exec 9<&-
	unmounted m.img
}

@test "umount --lazy takes a file in use away" {
	mounted m.img
	exec 9<>m.img
	succeeds "$PLATTER" umount --lazy m.img
	assert_equal "$(mounts)" ''
	echo late >&9
	exec 9>&-
	until [ ! -e m.img ]; do sleep 0.02; done
	assert_equal "$(head -c 5 disk.raw)" late
}

@test "umount waits until the image can be opened for writing" {
	mounted m.img
	for i in 1 2 3 4 5; do
		random_bytes 1M 0 m.img
		succeeds "$PLATTER" umount m.img
		mounted m.img
	done
	unmounted m.img
}

@test "umount tells of an error of the server" {
	need xfs_io
	succeeds "$PLATTER" mount --image-opts "driver=blkdebug,iotype=write,file.driver=file,file.filename=disk.raw" m.img
	run xfs_io -c 'mmap -rw 0 1m' -c 'mwrite -S 0x61 5000 10000' m.img
	fails 2 'm.img: ' "$PLATTER" umount m.img
	[[ $stderr == *'injected write error'* ]]
	assert_equal "$(mounts)" ''
}

@test "umount tells that the last flush has failed" {
	succeeds "$PLATTER" mount --image-opts "driver=blkdebug,iotype=flush,file.driver=file,file.filename=disk.raw" m.img
	random_bytes 4k 0 m.img
	fails 2 'm.img: ' "$PLATTER" umount m.img
	[[ $stderr == *'injected flush error'* ]]
	assert_equal "$(mounts)" ''
	[ ! -e m.img ]
	fails 2 'nothing is mounted there' "$PLATTER" umount m.img
}

@test "umount of what nobody serves any more frees it, and says so" {
	mounted m.img
	pid=$(sed -n "s|^platter:\([0-9]*\)-[^ ]* $BATS_TEST_TMPDIR/m.img .*|\1|p" \
		/proc/self/mounts)
	kill -9 "$pid"
	until ! stat m.img >/dev/null 2>&1; do sleep 0.02; done
	fails 2 'umount m.img' "$PLATTER" mount -f raw disk.raw m.img
	fails 2 'its server had gone' "$PLATTER" umount m.img
	assert_equal "$(mounts)" ''
}

@test "umount of something else is an error" {
	fails 2 'nothing is mounted there' "$PLATTER" umount disk.raw
	fails 2 'nothing is mounted there' "$PLATTER" umount nosuch/file
	fails 2 'not platter' "$PLATTER" umount /proc
}

@test "umount of others ends the server" {
	mounted m.img
	random_bytes 4k 0 m.img
	umount m.img 2>/dev/null || fusermount3 -u m.img
	until [ ! -e m.img ]; do sleep 0.02; done
}

@test "SIGTERM ends serve, and everything is written" {
	serving -f raw disk.raw --fuse m.img
	assert_equal "$(cat said)" "$BATS_TEST_TMPDIR/m.img"
	random_bytes 5M 1M m.img
	cp m.img copy.raw
	kill "$server"
	ends 0
	cmp copy.raw disk.raw
	[ ! -e m.img ]
	assert_equal "$(cat errors)" ''
}

@test "SIGTERM ends serve while a program writes" {
	serving -f raw disk.raw --fuse m.img
	(while random_bytes 1M 0 m.img; do :; done) >/dev/null 2>&1 3>&- &
	load=$!
	sleep 0.2
	kill "$server"
	code=0
	wait "$server" || code=$?
	server=
	assert_equal "$code" 0
	kill "$load" 2>/dev/null || true
	wait "$load" || true
	assert_equal "$(mounts)" ''
}

@test "an unmount ends serve" {
	serving -f raw disk.raw --fuse m.img
	unmounted m.img
	ends 0
}

@test "serve says what it serves as JSON" {
	serving --output=json -f raw disk.raw --fuse m.img
	run jq -r '.path, .["read-only"], .filename' said
	assert_output "$BATS_TEST_TMPDIR/m.img
false
disk.raw"
	kill "$server"
	ends 0
}

# --- serve --run --------------------------------------------------------------

@test "serve --run ends with its command, and has its exit status" {
	run "$PLATTER" serve -f raw disk.raw --run 'stat -c %s {}; exit 7'
	assert_failure 7
	assert_output 16777216
	nothing_left
}

@test "serve --run gives the path in the environment, and quotes it" {
	mkdir "it's a folder"
	export TMPDIR="$PWD/it's a folder"
	run "$PLATTER" serve -f raw disk.raw \
		--run '[ {} = "$PLATTER_PATH" ] && cat {} | wc -c'
	assert_success
	assert_output 16777216
	nothing_left
}

@test "serve --run with a command that is killed or not found" {
	run "$PLATTER" serve -f raw disk.raw --run 'kill -TERM $$'
	assert_failure 143
	run -127 "$PLATTER" serve -f raw disk.raw --run 'no-such-command {}'
	nothing_left
}

@test "a signal goes to the command of serve --run" {
	"$PLATTER" serve -f raw disk.raw \
		--run 'trap "echo got it; exit 5" TERM; : >running
		while :; do sleep 0.02; done' >said 2>errors 3>&- &
	server=$!
	until [ -e running ]; do sleep 0.02; done
	kill "$server"
	ends 5
	assert_equal "$(cat said)" 'got it'
}

@test "the command of serve --run can unmount its file" {
	run "$PLATTER" serve -f raw disk.raw --run \
		'echo there >{}; "$PLATTER" umount {} && head -c 6 disk.raw'
	assert_success
	assert_output there
	nothing_left
}

# --- with NBD -----------------------------------------------------------------

@test "file and export show one disk" {
	need_nbd
	need nbdcopy
	serving -f raw disk.raw --fuse m.img --nbd sock
	uri=$(tail -n 1 said)
	random_bytes 1M 1M m.img
	nbdcopy "$uri" copy.raw
	cmp copy.raw disk.raw
	head -c 16M /dev/urandom >new.raw
	nbdcopy --flush new.raw "$uri"
	cmp m.img new.raw
	kill "$server"
	ends 0
	cmp disk.raw new.raw
	assert_equal "$(cat errors)" ''
}

@test "serve --nbd --run gives the export's URI" {
	need_nbd
	need nbdinfo
	run "$PLATTER" serve -f raw disk.raw --nbd sock \
		--run 'nbdinfo --size {nbd}; [ {nbd} = "$PLATTER_NBD" ]'
	assert_success
	assert_output 16777216
	nothing_left
}

# --- with a session -----------------------------------------------------------

# recording ARGUMENT...: serves a node that records, with a session.
recording()
{
	: >run.log
	serving --session sess --image-opts "$@" driver=blklogwrites,`
		`file.driver=raw,file.file.filename=disk.raw,log=run.log
}

# goes_through: what the session is told is in the log, and what it tells is
# what is there. The command writes block N of 4 KiB.
goes_through()
{
	dd if=/dev/urandom bs=4k count=1 status=none >block
	"$@" 1
	succeeds "$PLATTER" log mark --session sess 'step one'
	succeeds "$PLATTER" log pause --session sess
	"$@" 2
	succeeds "$PLATTER" log resume --session sess
	"$@" 3
	cat >stats.py <<-'END'
		import socket
		s = socket.socket(socket.AF_UNIX)
		s.connect('sess')
		s.send(b'stats 0\n')
		print(s.makefile().readline().strip())
	END
	timeout 60 python3 stats.py >stats
	# While it runs, all that was acknowledged is to be seen.
	"$PLATTER" log list -U --output=json run.log | jq -r '.[] |
		if .mark then .mark elif .length > 0 then .offset / 4096
		else empty end' >got
	printf '%s\n' 1 'step one' platter-pause 2 platter-resume 3 |
		diff - got
	"$PLATTER" log info -U --output=json run.log >info
	# Without what is of FUA.
	assert_equal "$(cut -d' ' -f1-5,7-9 stats)" "ok $(jq -r \
		'"\(.entries) \(."log-size") \(.writes) \(.flushes) '`
		`'\(.discards) \(.marks) \(."data-bytes")"' info)"
	kill "$server"
	ends 0
	[ ! -e sess ]
	naive-replay run.log replayed all
	truncate -s 16M replayed
	cmp replayed disk.raw
}

write_file()
{
	dd if=block of=m.img bs=4k seek="$1" conv=notrunc status=none
}

write_nbd()
{
	qemu-io -f raw -t writeback -c "write -s block $((4 * $1))k 4k" \
		"$uri" >written
}

@test "marks, pauses and numbers go through a session of serve" {
	need python3
	recording --fuse m.img
	goes_through write_file
}

@test "marks, pauses and numbers go through a session of serve --nbd" {
	need_nbd
	need python3 qemu-io
	recording --nbd sock
	uri=$(tail -n 1 said)
	goes_through write_nbd
}

@test "a session where nothing records refuses marks" {
	serving --session sess -f raw disk.raw --fuse m.img
	fails 2 'nothing records here' "$PLATTER" log mark --session sess x
	kill "$server"
	ends 0
}

# --- usage --------------------------------------------------------------------

@test "serve wants to be told how" {
	usage_error 'give --fuse PATH, --nbd SOCKET|PORT or --run COMMAND' \
		"$PLATTER" serve disk.raw
	usage_error '{nbd} in --run needs --nbd' \
		"$PLATTER" serve disk.raw --run 'nbdinfo {nbd}'
}

# --- not root -----------------------------------------------------------------

# as_nobody COMMAND...
as_nobody()
{
	setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

@test "other users are let in with --allow-other alone" {
	need_root
	need setpriv
	# What the file's mode forbids it forbids here, too.
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" .
	chmod 644 disk.raw
	as_nobody test -r disk.raw || skip "user 65534 cannot get here"
	fill
	mounted m.img
	run as_nobody cmp m.img disk.raw
	assert_failure
	assert_output --partial 'Permission denied'
	unmounted m.img
	mounted m.img --allow-other
	as_nobody cmp m.img disk.raw
	run as_nobody dd if=/dev/zero of=m.img count=1 conv=notrunc
	assert_failure
	assert_output --partial 'Permission denied'
	unmounted m.img
	serving -f raw disk.raw --fuse m.img --allow-other
	as_nobody cmp m.img disk.raw
	kill "$server"
	ends 0
}

# The file of /dev/fuse may be root's alone: as root, another is put there, for
# this test only.
@test "a user without rights mounts and unmounts" {
	need_own_mounts
	need mkfs.ext4 setpriv
	mkdir user
	mknod user/fuse c 10 229
	chmod 666 user/fuse
	cp "$PLATTER" "$top_builddir"/lib/.libs/libplatter.so.* user/
	cp --sparse=always disk.raw user/
	chown -R 65534:65534 user
	cat >script <<-'END'
		set -e
		cd /mnt
		export LD_LIBRARY_PATH=/mnt
		[ "$(id -u)" = 65534 ]
		./platter mount -f raw disk.raw m.img
		mkfs.ext4 -q m.img
		e2fsck -fn m.img >/dev/null 2>&1
		./platter umount m.img
		[ ! -e m.img ]
		e2fsck -fn disk.raw >/dev/null 2>&1
		./platter serve -f raw disk.raw --fuse disk.raw --run "e2fsck -fn {}" \
			>/dev/null 2>&1
		grep ' /mnt/.* fuse.platter ' /proc/self/mounts && exit 9
		: >locked
		chmod 400 locked
		./platter mount -f raw disk.raw locked
	END
	run --separate-stderr unshare -m sh -c 'mount --bind user/fuse /dev/fuse &&
		mount --bind user /mnt && exec setpriv --reuid=65534 \
			--regid=65534 --clear-groups sh script'
	assert_failure 2
	assert_equal "$stderr" "platter: /mnt/locked: fusermount3: failed to open /mnt/locked: Permission denied"
}
