# SPDX-License-Identifier: LGPL-2.1-or-later
# Platter's own checkers: file systems, images, databases, and what was
# acknowledged. Each is to raise no false alarm on what a crash may leave, and
# an alarm on what it may not.
# shellcheck disable=SC1083,SC2016,SC2154

load lib/record

setup_file()
{
	export LOGS=$BATS_FILE_TMPDIR

	log_file kernel-6.1-ext4 "$LOGS/ext4"
	log_file kernel-6.1-nobar "$LOGS/nobar"
	# The rename and the unlink behind mark fsync-8 take these two away.
	for log in ext4 nobar; do
		cp "$top_srcdir/tests/images/write-logs/kernel-6.1-$log.md5" \
			"$LOGS/$log.md5"
		printf '# removed fsync-8 /mnt/d%d/f\n' 1 3 >>"$LOGS/$log.md5"
	done
}

setup()
{
	record_setup
	PATH=$PATH:/usr/sbin:/sbin
}

teardown()
{
	record_teardown
}

explore()
{
	"$PLATTER" crash explore --strategy prefixes,2cp "$@"
}

# at POINT OPTION...: the one state with all that was written by then.
at()
{
	"$PLATTER" crash explore --strategy prefixes --from "$1" --to "$1" \
		"${@:2}" run.log
}

# reasons FILE: why states failed, each once.
reasons()
{
	jq -r 'select(.verdict == "fail") | .reason' "$1" | sort -u
}

# recorded SCRIPT: run.log is what it writes to {}, a disk of 16 MiB of zeros.
recorded()
{
	need_fuse
	rm -f disk run.log
	truncate -s "${size:-16M}" disk
	"$PLATTER" log record -q -f raw --log run.log disk -- sh -ec "$1"
}

# --- ext4 -------------------------------------------------------------------

@test "every state of an ext4 that was recorded from the kernel recovers" {
	need e2fsck
	run explore --fs ext4 --from mark:fsync-6 "$LOGS/ext4"
	assert_success
	assert_output --partial ' 0 failed'
	[ -z "$(ls -A "$TMPDIR")" ]
}

@test "without barriers there are states in which an ext4 is damaged" {
	need e2fsck jq
	run -1 explore --fs ext4 --from 148 --to 149 --jsonl run.jsonl \
		"$LOGS/nobar"
	run reasons run.jsonl
	assert_output --partial 'e2fsck -fn: exit status 4: errors are left'
}

@test "what e2fsck would mend is a failure" {
	need mkfs.ext4 e2fsck debugfs jq
	recorded 'mkfs.ext4 -q {}; sync {}; platter log mark made
		debugfs -w -R "clri <11>" {} 2>/dev/null; sync {}'
	run -1 explore --fs ext4 --from mark:made --size 16M \
		--jsonl run.jsonl run.log
	run reasons run.jsonl
	assert_output 'e2fsck -fn: exit status 4: errors are left'
	run jq -r 'select(.verdict == "fail") | .output' run.jsonl
	assert_output --partial 'Pass 1: Checking inodes'
}

@test "inodes that were unlinked while open are no damage" {
	need mkfs.ext4 e2fsck debugfs
	recorded 'mkfs.ext4 -q {}; head -c 9000 /dev/zero >f
		debugfs -w -f - {} <<-END 2>/dev/null
			write f f
			sif f links_count 0
			sif f dtime 0
			unlink f
			ssv last_orphan 12
		END
		sync {}; platter log mark orphan'
	run -4 e2fsck -fn disk
	run explore --fs ext4 --from mark:orphan --size 16M run.log
	assert_success
}

# --- acknowledged -----------------------------------------------------------

@test "no acknowledged file is lost by an ext4 with barriers" {
	need e2fsck debugfs
	run explore --acked "$LOGS/ext4.md5@fsync-%" --from mark:fsync-7 \
		"$LOGS/ext4"
	assert_success
}

@test "without barriers files are lost from the first mark on" {
	need e2fsck debugfs jq
	run -1 explore --acked "$LOGS/nobar.md5@fsync-%" --from mark:mkfs \
		--to mark:mkfs+3 --jsonl run.jsonl "$LOGS/nobar"
	run jq -r 'select(.type == "state") |
		"\(.state) \(.verdict) \(.reason // "")"' run.jsonl
	assert_line --index 0 '32 pass '
	assert_line --index 1 \
		'33 fail /mnt/d1/f, acknowledged by mark fsync-1, is missing'
}

@test "hashes are in files that are named after their marks" {
	need e2fsck debugfs jq
	mkdir acked
	tr -d '\r' <"$LOGS/ext4.md5" >list
	sed -n 4p list >acked/fsync-4.md5
	sed -n 5p list | sed 's/^./f/' >acked/fsync-5.md5
	run -1 explore --acked acked --from mark:fsync-4 --to mark:fsync-5 \
		--jsonl run.jsonl "$LOGS/ext4"
	run jq -r 'select(.verdict == "fail") | "\(.point) \(.reason)"' \
		run.jsonl
	assert_output \
		'93 /mnt/d5/f, acknowledged by mark fsync-5, has another content'
}

# debugfs writes without the journal, so only single states are looked at.
@test "marks promise files by their text, and take promises back" {
	need mkfs.ext4 e2fsck debugfs
	export sum
	seq 3000 >f
	sum=$(sha256sum f)
	sum=${sum%% *}
	recorded 'mkfs.ext4 -q {}; sync {}
		debugfs -w -R "write f d" {} 2>/dev/null; sync {}
		platter log mark "acked sha256=$sum path=/d"
		platter log mark "e acked sha256=$sum path=/the e"
		debugfs -w -R "write f \"the e\"" {} 2>/dev/null; sync {}
		platter log mark "removed path=/d"
		debugfs -w -R "rm d" {} 2>/dev/null; sync {}'
	run at "mark:acked sha256=$sum path=/d" --acked '' --size 16M
	assert_success
	run -1 at "mark:e acked sha256=$sum path=/the e" --acked '' --size 16M
	assert_output --partial \
		'fail: /the e, acknowledged by mark e, is missing'
	run at end --acked '' --size 16M
	assert_success
}

@test "a promise that is not understood is an error that shows how it is made" {
	mklog run.log <<-'END'
	write 0 8 fill=0x11
	mark acked sha256=12 path=f
	END
	truncate -s 4k base
	fails 2 'acked sha256=HEX path=/FILE' explore --base base \
		--base-format raw --acked '' run.log
}

@test "a list for a mark that is not there is an error" {
	mkdir acked
	tail -n 3 "$LOGS/ext4.md5" | head -n 1 >acked/nosuch.md5
	fails 2 'has no mark "nosuch"' explore --acked acked "$LOGS/ext4"
}

# --- the other file systems -------------------------------------------------

@test "every state of an xfs that was recorded from the kernel recovers" {
	need xfs_repair xfs_logprint
	log_file kernel-6.1-xfs run.log
	run explore --fs xfs --from mark:last-2 --to mark:last+8 run.log
	assert_success
	assert_output --partial ' 0 failed'
	[ -z "$(ls -A "$TMPDIR")" ]
}

@test "without root a dirty xfs raises no alarm" {
	need_nobody
	need xfs_repair xfs_logprint
	log_file kernel-6.1-xfs run.log
	chmod 644 run.log
	chmod 777 . "$TMPDIR"
	chmod 755 "$BATS_RUN_TMPDIR"
	run setpriv --reuid 65534 --clear-groups "$PLATTER" crash explore \
		--strategy prefixes,2cp --present copy --fs xfs \
		--from mark:last --to mark:last+6 run.log
	assert_success
	assert_output --partial ' 0 failed'
}

@test "an xfs without its inodes is a failure" {
	need mkfs.xfs xfs_repair xfs_logprint jq
	size=320M recorded 'mkfs.xfs -q {}; sync {}; platter log mark made
		head -c 64k /dev/urandom | dd of={} bs=4k seek=16 \
			conv=notrunc,fsync status=none'
	run -1 explore --fs xfs --from end --size 320M run.log
	assert_output --regexp 'fail: (it cannot be mounted|xfs_repair)'
}

@test "files are written to vfat, and states are no failures" {
	need mkfs.vfat fsck.fat mcopy mmd
	export MTOOLS_SKIP_CHECK=1
	seq 5000 >f
	recorded 'mkfs.vfat {} >/dev/null; sync {}; platter log mark made
		mmd -i {} ::/d; mcopy -i {} f ::/d/f; sync {}
		sum=$(md5sum <f); sum=${sum%% *}
		platter log mark "one acked md5=$sum path=/d/f"
		mcopy -i {} f ::/g; sync {}'
	run explore --fs vfat --acked '' --from mark:made --size 16M run.log
	assert_success
	assert_output --partial ' 0 failed'
}

@test "files are written to ntfs, and states are no failures" {
	need mkntfs ntfscp ntfsfix ntfscat
	seq 5000 >f
	recorded 'mkntfs -qFQ {} >/dev/null 2>&1; sync {}
		platter log mark made
		ntfscp -q {} f f; sync {}; sum=$(md5sum <f); sum=${sum%% *}
		platter log mark "one acked md5=$sum path=/f"
		ntfscp -q {} f g; sync {}'
	run explore --fs ntfs --acked '' --from mark:made --size 16M run.log
	assert_success
	assert_output --partial ' 0 failed'
}

@test "a btrfs is checked as it was committed" {
	need mkfs.btrfs btrfs
	size=112M recorded 'mkfs.btrfs -q {} 2>/dev/null; sync {}
		platter log mark made
		printf garbage | dd of={} bs=1 seek=65600 conv=notrunc,fsync \
			status=none'
	run explore --fs btrfs --from mark:made --to mark:made --size 112M \
		run.log
	assert_success
	run -1 explore --fs btrfs --from end --size 112M run.log
	assert_output --partial 'btrfs check --readonly: exit status 1'
}

@test "a file system that is not known is an error that lists those that are" {
	fails 2 'unknown file system "zfs"; there are ext4' \
		explore --fs zfs "$LOGS/ext4"
}

# --- images -----------------------------------------------------------------

# cow BETWEEN: run.log is what somebody does to the file of an image whose guest
# writes the first sector of a cluster he has flushed: the cluster is copied
# with that sector changed, and then the table is changed to lead to the copy.
# BETWEEN is done in between. The table is at 256 KiB, the cluster at 320 KiB;
# the copy goes to 384 KiB, which counts as used from the beginning.
cow()
{
	need_fuse
	seq 20000 | head -c 64k >data
	truncate -s 1M data
	"$PLATTER" convert -q -f raw -O qcow2 data base.img
	[ "$(byte_at base.img 256k 8)" = 8000000000050000 ]
	truncate -s 448k base.img
	put base.img "$((128 * 1024 + 12))" 0001
	cp base.img disk
	export between=$1
	"$PLATTER" log record -q -f raw --log run.log disk -- sh -ec '
		dd if=base.img of={} bs=64k skip=5 seek=6 count=1 conv=notrunc \
			status=none
		head -c 512 /dev/zero | dd of={} bs=64k seek=6 conv=notrunc \
			status=none
		eval "$between"
		printf "\\200\\0\\0\\0\\0\\6\\0\\0" |
			dd of={} bs=64k seek=4 conv=notrunc status=none
		sync {}'
}

@test "guest data that was flushed and is not there is a failure" {
	cow true
	run -1 explore --image qcow2 --base base.img --base-format raw run.log
	assert_output --partial 'guest data at offset 512 had been flushed'
	assert_output --partial ' 1 failed'
}

@test "guest data that is copied in the right order is no failure" {
	cow 'sync "$PLATTER_PATH"'
	run explore --image qcow2 --base base.img --base-format raw run.log
	assert_success
}

@test "what platter writes to qcow2 is an image at every moment" {
	need_fuse
	"$PLATTER" create -q -f qcow2 -o cluster_size=4k base.img 4M
	truncate -s 16M base.img
	cp base.img disk
	"$PLATTER" log record -q -f raw --log run.log disk -- sh -ec '
		bench() { platter bench -f qcow2 -w -d 2 -s 3000 "$@" {} ; }
		bench -c 60 --flush-interval 8
		platter snapshot -c one {}
		bench -c 60 --flush-interval 8 -o 64k --pattern 7
		platter snapshot -a one {}
		bench -c 20 -o 8k --pattern 9 --flush-interval 4
		platter snapshot -d one {}' >/dev/null
	run "$PLATTER" crash explore --strategy prefixes,2cp,subsets=2 \
		--base base.img --base-format raw --image qcow2 run.log
	assert_success
	assert_output --partial ' 0 failed'
}

@test "an image that is damaged is a failure" {
	need_fuse
	"$PLATTER" create -q -f qcow2 base.img 4M
	truncate -s 1M base.img
	cp base.img disk
	# The reference count of the header becomes 0.
	"$PLATTER" log record -q -f raw --log run.log disk -- sh -ec '
		head -c 2 /dev/zero |
			dd of={} bs=1 seek=128k conv=notrunc,fsync status=none'
	run -1 explore --image qcow2 --base base.img --base-format raw run.log
	assert_output --partial 'corruptions'
}

@test "a format that is none is an error" {
	fails 2 '"nosuch" is not an image format' \
		explore --image nosuch "$LOGS/ext4"
}

# --- databases --------------------------------------------------------------

@test "a database in a file system is whole, and has what was promised" {
	need mkfs.ext4 e2fsck debugfs sqlite3
	sqlite3 t.db 'CREATE TABLE t(id); INSERT INTO t VALUES(1),(2);'
	recorded 'mkfs.ext4 -q {}; sync {}; platter log mark made
		debugfs -w -R "write t.db t.db" {} 2>/dev/null; sync {}
		platter log mark "acked sql=SELECT count(*) = 2 FROM t"
		platter log mark "three acked sql=SELECT count(*) >= 3 FROM t"'
	run at 'mark:acked sql=SELECT count(*) = 2 FROM t' --sqlite /t.db \
		--size 16M
	assert_success
	assert_output --partial '1 passed, 0 failed'
	run at mark:made --sqlite /t.db --size 16M
	assert_output --partial '1 skipped'
	run -1 at end --sqlite /t.db --size 16M
	assert_output --partial 'acknowledged by mark three'
}

@test "a disk may be a database" {
	need sqlite3
	sqlite3 t.db 'PRAGMA page_size=4096; CREATE TABLE t(id);
		INSERT INTO t SELECT value FROM generate_series(1, 3000);'
	recorded 'dd if=t.db of={} bs=4k conv=notrunc,fsync status=none
		platter log mark "acked sql=SELECT count(*) = 3000 FROM t"
		dd if=/dev/urandom of={} bs=4k seek=2 count=2 \
			conv=notrunc,fsync status=none'
	run at 'mark:acked sql=SELECT count(*) = 3000 FROM t' --sqlite '' \
		--size 16M
	assert_success
	run -1 at end --sqlite '' --size 16M
	assert_output --partial ' 1 failed'
}
