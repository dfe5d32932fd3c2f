# SPDX-License-Identifier: LGPL-2.1-or-later
# Driver blklogwrites: its options, what it logs and how, going on with logs of
# others, and what happens when it cannot log.

load lib/logs

setup()
{
	common_setup
	truncate -s 2M disk source
	: >log
}

teardown()
{
	if [ -n "${mounted-}" ]; then
		umount small
	fi
	off_loop
}

# spec [OPTION...]: the disk recorded to log, as a spec
spec()
{
	local text=driver=blklogwrites,file.driver=raw,file.file=disk,log=log

	printf %s "$text" "${@/#/,}"
}

# record [OPTION...]: does to the disk what standard input says
record()
{
	image-io -d unmap --image-opts "$(spec "$@")"
}

# flags: a word for each entry, the text of marks as it is
flags()
{
	platter log list --output=json log >entries.json || true
	jq -r '.[] | .mark // (if .flags == "" then "write" else .flags end)' \
		entries.json | paste -sd ' '
}

# replays_to_disk [BASE]: the log, replayed by someone else on zeros or BASE,
# makes the disk
replays_to_disk()
{
	cp "${1:-/dev/null}" replayed
	naive-replay log replayed "$(json .entries platter log info log)"
	truncate -s "$(stat -c %s disk)" replayed
	cmp replayed disk
}

qemu_append()
{
	need qemu-io
	qemu-io -c 'write -P 0x99 8k 4k' -c flush --image-opts \
		driver=blklogwrites,file.driver=file,file.filename=disk,`
		`log.driver=file,log.filename=log,log-append=on
}

# ---- options ----

@test "a log sector size that is no power of two is refused" {
	for size in 0 1000 256 16M; do
		fails 1 'power of two from 512 to 8388608' platter convert -n \
			--image-opts --target-image-opts \
			driver=raw,file=source "$(spec log-sector-size=$size)"
	done
}

@test "an update interval of zero is refused" {
	fails 1 'log-super-update-interval must be at least 1' \
		platter convert -n --image-opts --target-image-opts \
		driver=raw,file=source "$(spec log-super-update-interval=0)"
}

@test "an option that is unknown is refused" {
	fails 1 'log-sectors' platter convert -n --image-opts \
		--target-image-opts driver=raw,file=source \
		"$(spec log-sectors=512)"
}

@test "the super block says the log sector size that was asked for" {
	record log-sector-size=4096 <<<'write -P 1 4096 4096'
	told 4096 '.["sector-size"]' platter log info log
	assert_equal "$(stat -c %s log)" $((4096 + 4096 + 4096 + 4096))
}

@test "the super block is written after as many entries as were asked for" {
	printf '%s\n' 'write 0 512' 'write 512 512' 'write 1024 512' abort |
		record log-super-update-interval=2
	assert_equal "$(byte_at log 16)" 02
	assert_equal "$(flags)" 'write write write'
}

@test "without an update interval it is written after 4096 entries" {
	for ((i = 0; i < 4100; i++)); do
		echo "write $((i * 512)) 512"
	done >script
	echo abort >>script
	record <script
	assert_equal "$(byte_at log 16 2)" 0010
}

# ---- what is logged ----

@test "replaying the log gives the disk" {
	record <<-'END'
	write -P 1 0 64k
	write -P 2 3 1000
	write -z 8k 3000
	write -z -u 20k 8k
	write -f -P 3 40k 512
	discard 41k 9k
	flush
	write -P 4 2047k 1k
	write -z 1M 512k
	END
	replays_to_disk
	succeeds platter log check log
}

@test "replaying the log gives the disk where it did not start as zeros" {
	head -c 2M /dev/urandom >disk
	cp disk base
	record log-sector-size=4096 <<-'END'
	write -P 2 3 1000
	discard 64k 512k
	write -z 1000001 99999
	write -z -u 1500001 99999
	discard 1001 30000
	END
	replays_to_disk base
}

@test "xfstests' replay-log gives the disk" {
	need replay-log
	record <<-'END'
	write -P 1 0 64k
	mark here
	discard 4k 4k
	write -f -P 3 40k 512
	END
	truncate -s 2M replayed
	replay-log --log log --replay replayed
	cmp replayed disk
}

@test "replaying gives a qcow2 disk, whatever is done to it" {
	need qemu-img
	qemu-img create -q -f qcow2 disk 8M
	cp disk base
	image-io -d unmap --image-opts "driver=qcow2,file.driver=`
		`blklogwrites,file.file.driver=file,file.file.filename=disk,`
		`file.log=log" <<-'END'
	write -P 1 0 3M
	write -z 1M 1M
	discard 64k 512k
	flush
	write -f -P 5 5M 64k
	END
	replays_to_disk base
	succeeds qemu-img check -q disk
}

@test "a write with FUA is one entry with that flag" {
	printf 'write -f -P 7 4096 4096\nabort\n' | record
	assert_equal "$(flags)" FUA
}

@test "a write with FUA is counted before it is acknowledged" {
	printf 'write 0 512\nwrite -f 4096 4096\nabort\n' | record
	assert_equal "$(byte_at log 16)" 02
}

@test "a flush is counted before it is acknowledged" {
	printf 'write 0 512\nflush\nabort\n' | record
	assert_equal "$(byte_at log 16)" 02
}

@test "a mark is counted before it is acknowledged" {
	printf 'write 0 512\nmark there\nabort\n' | record
	assert_equal "$(byte_at log 16)" 02
	assert_equal "$(flags)" 'write there'
}

@test "every entry but marks has the order and time of the request" {
	printf 'write 0 512\ndiscard 0 4k\nmark m\nflush\nabort\n' | record
	# Headers are at 512, 1536, 2048 and 2560.
	for at in 512 1536 2560; do
		assert_equal "$(byte_at log $((at + 32)) 16)" \
			0000000000000000706c747265787431
		refute [ "$(byte_at log $((at + 56)) 8)" = 0000000000000000 ]
	done
	assert_equal "$(byte_at log 512 56 | wc -c)" 112
	assert_equal "$(byte_at log $((512 + 48)))" 01
	assert_equal "$(byte_at log $((1536 + 48)))" 02
	assert_equal "$(byte_at log $((2048 + 32)) 3)" 6d0000
}

@test "zeros take no room in the log" {
	truncate -s 1G disk
	record <<<'write -z 0 1G'
	(($(stat -c %s log) > 1 << 30))
	(($(stat -c %b log) < 1024))
	assert_equal "$(flags)" 'write FLUSH'
}

@test "a log has 1.125 bytes for each byte written in 4 KiB" {
	for ((i = 0; i < 64; i++)); do
		echo "write $((i * 4096)) 4096"
	done >script
	echo abort >>script
	record <script
	assert_equal "$(stat -c %s log)" $((512 + 64 * (4096 + 512)))
}

@test "writes that fail are not logged" {
	local debug=driver=blklogwrites,log=log,file.driver=blkdebug

	debug+=,file.file.driver=raw,file.file.file=disk
	run image-io --image-opts -c 'write -P 1 0 512' \
		-c 'write -P 2 4096 512' -c 'write -f -P 2 4096 512' \
		-c 'write -P 3 8192 512' \
		"$debug,file.iotype=write,file.sector=8"
	assert_failure
	assert_equal "$(flags)" 'write write FLUSH'
	replays_to_disk
}

@test "a flush that fails is not logged" {
	local debug=driver=blklogwrites,log=log,file.driver=blkdebug

	debug+=,file.file.driver=raw,file.file.file=disk,file.iotype=flush
	run image-io --image-opts -c 'write 0 512' -c flush \
		-c 'write 512 512' "$debug,file.once=on"
	assert_failure
	assert_equal "$(flags)" 'write write FLUSH'
}

@test "a pause leaves marks, and what was written is made up for" {
	record <<-'END'
	write -P 1 0 4k
	pause
	write -P 2 2k 4k
	flush
	resume
	write -P 3 64k 4k
	END
	assert_equal "$(flags)" \
		'write platter-pause write platter-resume write FLUSH'
	replays_to_disk
}

@test "after the end nothing is written" {
	run record <<-'END'
	write -P 1 0 4k
	end
	write -P 2 0 4k
	END
	assert_failure
	assert_output --partial 'the recording has ended'
	assert_equal "$(flags)" 'write dm-log-writes-end'
	replays_to_disk
	told true '.["clean-end"]' platter log info log
}

@test "a recorder that is killed leaves all that was acknowledged" {
	printf 'write -P 1 0 4k\nwrite -P 2 4k 4k\nabort\n' | record
	assert_equal "$(flags)" 'write write'
	replays_to_disk
}

# ---- going on ----

@test "a log file that is used again shows nothing of the old log" {
	printf 'write 0 512\nwrite 0 512\nwrite 0 512\n' | record
	printf 'abort\n' | record
	assert_equal "$(stat -c %s log)" 512
	assert_equal "$(flags)" ''
	printf 'write 0 512\nabort\n' | record
	assert_equal "$(flags)" write
}

@test "a block device that is used again shows nothing of the old log" {
	truncate -s 4M device
	on_loop device
	rm log
	# shellcheck disable=SC2154 # set by on_loop
	ln -s "$loop" log
	for ((i = 0; i < 64; i++)); do
		echo "write $((i * 512)) 512"
	done >script
	record log.driver=host_device,log.filename=log <script ||
		record <script
	assert_equal "$(flags | wc -w)" 65
	printf 'write -P 9 0 512\nwrite -z 64k 256k\nabort\n' | record
	assert_equal "$(flags)" 'write write'
}

@test "an append goes on behind what is there" {
	printf 'write -P 1 0 4k\nmark one\n' | record
	printf 'write -P 2 0 4k\nmark two\n' | record log-append=on
	assert_equal "$(flags)" 'write one FLUSH write two FLUSH'
	replays_to_disk
}

@test "an append to an empty file begins a log" {
	record log-append=on <<<'write -P 1 0 4k'
	assert_equal "$(flags)" 'write FLUSH'
}

@test "an append takes the end mark away" {
	printf 'write -P 1 0 4k\nend\n' | record
	printf 'write -P 2 0 4k\nabort\n' | record log-append=on
	assert_equal "$(flags)" 'write write'
	replays_to_disk
}

@test "an append goes on behind entries that no super block counts" {
	printf 'write 0 512\nwrite -P 1 512 512\nabort\n' | record
	assert_equal "$(byte_at log 16)" 00
	printf 'write -P 2 1024 512\nabort\n' | record log-append=on
	assert_equal "$(byte_at log 16)" 02
	assert_equal "$(flags)" 'write write write'
	replays_to_disk
}

@test "an append cuts a torn entry off" {
	printf 'write 0 512\nwrite -P 1 512 4k\nabort\n' | record
	truncate -s -1k log
	printf 'write -P 2 1024 512\nabort\n' | record log-append=on
	assert_equal "$(stat -c %s log)" $((512 + 1024 + 1024))
	assert_equal "$(flags)" 'write write'
}

@test "an append to a log that has lost counted entries is refused" {
	printf 'write 0 512\nwrite -P 1 512 4k\nflush\n' | record
	truncate -s -4k log
	cp log before
	run record log-append=on <<<'write 0 512'
	assert_failure
	assert_output --partial 'platter log repair'
	cmp log before
}

@test "an append with another log sector size is refused" {
	record log-sector-size=4096 <<<'write 0 4k'
	cp log before
	run record log-append=on,log-sector-size=512 <<<'write 0 4k'
	assert_failure
	assert_output --partial \
		'has log sectors of 4096 bytes, log-sector-size says 512'
	cmp log before
}

@test "an append keeps the log sector size that is there" {
	record log-sector-size=4096 <<<'write 0 4k'
	record log-append=on <<<'write -P 1 4k 4k'
	told 4096 '.["sector-size"]' platter log info log
	assert_equal "$(flags)" 'write FLUSH write FLUSH'
}

@test "an append to what is no log is refused" {
	seq 1000 >log
	cp log before
	run record log-append=on <<<'write 0 4k'
	assert_failure
	assert_output --partial 'not a write log'
	cmp log before
}

@test "an append finds the end by the index" {
	printf 'write 0 512\nwrite 512 512\nwrite 1024 512\n' | record
	platter log index log
	printf 'write -P 2 1024 512\nabort\n' | record log-append=on
	assert_equal "$(flags)" 'write write write FLUSH write'
}

@test "an append goes on with a log of QEMU" {
	log_file qemu-7.2-basic log
	before=$(flags)
	truncate -s 1G disk
	printf 'write -P 2 1024 512\nabort\n' | record log-append=on
	assert_equal "$(flags)" "$before write"
}

@test "an append goes on with a log of QEMU that has no super block" {
	log_file qemu-7.2-killed-no-super log
	before=$(flags)
	printf 'write -P 2 1024 512\nabort\n' | record log-append=on
	assert_equal "$(flags)" "$before write"
	succeeds platter log info log
}

@test "an append goes on with a log of the kernel" {
	log_file kernel-6.1-ext4-4k log
	entries=$(json .entries platter log info log)
	truncate -s 1G disk
	printf 'write -P 2 4k 4k\nmark more\n' | record log-append=on
	# The end mark makes way for a write, a mark and a flush.
	assert_equal "$(json .entries platter log info log)" $((entries + 2))
	assert_equal "$(json .marks platter log info log)" \
		"$(log_file kernel-6.1-ext4-4k old
		json .marks platter log info old)"
	succeeds platter log check log
}

@test "QEMU appends to a log of ours, marks and all" {
	need qemu-io
	printf 'write -P 1 0 4k\nmark m\ndiscard 0 4k\nwrite -f 0 4k\n' |
		record
	run qemu_append
	assert_success
	assert_equal "$(flags)" 'write m DISCARD FUA FLUSH write FLUSH'
	replays_to_disk
	printf 'write -P 3 0 4k\nabort\n' | record log-append=on
	assert_equal "$(flags)" \
		'write m DISCARD FUA FLUSH write FLUSH write'
	replays_to_disk
}

# ---- a full log ----

# full TEXT: what image-io says of the second write, and what is left
full()
{
	assert_failure
	assert_line --partial 'the write log is full at 66048 bytes'
	assert_equal "$(stat -Lc %s log)" 66048
	assert_equal "$(flags)" write
}

@test "a full log fails the write, and reading goes on" {
	run bash -c 'trap "" XFSZ; ulimit -f 100; image-io --image-opts '`
		`'-c "write -P 1 0 65024" -c "write -P 2 32k 64k" '`
		`'-c "write -P 2 0 512" -c "read -P 1 512 31k" -c flush "$1"' \
		- "$(spec)"
	full
	refute_line --partial 'read'
	assert_line --partial 'write -P 2 0 512'
	assert_line --partial flush
}

@test "a full file system fails the write, and leaves a sound log" {
	need_root
	mkdir small
	mount -t tmpfs -o size=100k tmpfs small || skip "no tmpfs"
	mounted=1
	rm log
	: >small/log
	ln -s small/log log
	run image-io --image-opts -c 'write -P 1 0 65024' \
		-c 'write -P 2 64k 64k' -c 'write -P 2 0 512' "$(spec)"
	full
	# Nothing that the log has not got is done any more.
	run cmp -n 512 disk <(head -c 512 /dev/zero | tr '\0' '\1')
	assert_success
}

# ---- overlay ----

@test "with an overlay the image is not touched" {
	head -c 2M /dev/urandom >disk
	cp disk before
	chmod 444 disk
	record overlay=on <<-'END'
	write -P 1 0 64k
	write -P 2 3 1000
	write -z 1M 64k
	discard 1.5M 64k
	read -P 1 4k 60k
	read -P 2 3 1000
	read -P 0 1M 64k
	flush
	END
	cmp disk before
	naive-replay log before all
	succeeds platter compare --image-opts driver=raw,file=before \
		"driver=writelog,log=log,base.driver=raw,base.file=disk"
}

@test "with an overlay and append, what the log holds is there" {
	record overlay=on <<<'write -P 1 4k 64k'
	succeeds image-io --image-opts -c 'read -P 1 4k 64k' \
		-c 'read -P 0 0 4k' -c 'write -P 2 0 8k' -c 'read -P 2 0 8k' \
		-c 'read -P 1 8k 60k' "$(spec overlay=on log-append=on)"
}

@test "an overlay can be opened for reading, and copied" {
	head -c 2M /dev/urandom >disk
	record overlay=on <<<'write -P 1 4k 64k'
	cp disk expected
	naive-replay log expected all
	succeeds platter convert --image-opts \
		"$(spec overlay=on log-append=on)" out
	cmp out expected
	succeeds platter convert --image-opts "$(spec overlay=on)" out
	cmp out disk
	assert_equal "$(flags)" 'write FLUSH'
}

@test "a qcow2 image on an overlay grows there" {
	need qemu-img
	qemu-img create -q -f qcow2 disk 8M
	cp disk before
	image-io --image-opts -c 'write -P 1 0 3M' -c 'read -P 1 0 3M' \
		"driver=qcow2,file.driver=blklogwrites,file.file.driver=file,`
		`file.file.filename=disk,file.log=log,file.overlay=on"
	cmp disk before
	naive-replay log before all
	succeeds qemu-img check -q before
	succeeds qemu-io -c 'read -P 1 0 3M' before
}

@test "an overlay cannot be paused" {
	run record overlay=on <<<pause
	assert_failure
	assert_output --partial 'it cannot be paused'
}

# ---- who records ----

@test "the map is that of the image" {
	truncate -s 1M disk
	put disk 65536 616263
	assert_equal "$(platter map --output=json --image-opts "$(spec)")" \
		"$(platter map --output=json -f raw disk)"
}

@test "marks go to a recorder, and to nothing else" {
	run image-io -f raw -c 'mark x' disk
	assert_failure
	assert_output --partial 'nothing records here'
}
