# SPDX-License-Identifier: LGPL-2.1-or-later
# Logs recorded here and now by QEMU's blklogwrites: of file systems at work,
# of a recorder that is killed, and of platter itself.

load lib/logs

setup()
{
	common_setup
}

teardown()
{
	if [ -n "${daemon-}" ]; then
		umount disk 2>/dev/null || true
		kill "$daemon" 2>/dev/null || true
		wait "$daemon" || true
	fi
}

# record FS SIZE: makes log, log.start and log.end
record()
{
	local code=0

	"$top_srcdir/tests/tools/record-fs" "$1" "$2" log >said 2>&1 || code=$?
	if ((code == 77)); then
		skip "$(tail -n 1 said)"
	fi
	((code == 0)) || fail "$(cat said)"
}

same_disk()
{
	assert_equal "$(stat -c %s "$1")" "$(stat -c %s "$2")"
	assert_equal "$(naive-replay --hash "$1")" \
		"$(naive-replay --hash "$2")"
}

# all_of_it: that replaying `log` on log.start gives log.end, in every way, and
# that any two ways agree half-way
all_of_it()
{
	local half

	succeeds platter log check log
	half=$(($(json .entries platter log info log) / 2))
	((half >= 1000))

	succeeds platter replay -q log disk --base log.start --base-format raw
	same_disk disk log.end
	succeeds platter replay -q log disk --base log.start \
		--base-format raw --in-order --verify
	same_disk disk log.end
	cp --sparse=always log.start disk
	succeeds platter replay -q -f raw log disk
	same_disk disk log.end
	platter convert --image-opts \
		driver=writelog,log=log,base.driver=raw,base.file=log.start \
		disk
	same_disk disk log.end

	platter replay -q log disk --base log.start --base-format raw \
		--to "$half"
	platter replay -q log other --base log.start --base-format raw \
		--to "$half" --in-order
	same_disk disk other
	naive-replay log log.start "$half"
	same_disk disk log.start
	platter replay -q -f raw log disk --from "$half"
	same_disk disk log.end
}

@test "replaying what ext4 wrote gives the disk that it left" {
	record ext4 64M
	all_of_it
	run e2fsck -fn disk
	assert_success
}

@test "replaying what xfs wrote gives the disk that it left" {
	record xfs 320M
	all_of_it
	need xfs_repair
	run xfs_repair -n -f disk
	assert_success
}

@test "replaying what btrfs wrote gives the disk that it left" {
	record btrfs 256M
	all_of_it
	need btrfs
	run btrfs check disk
	assert_success
}

@test "replaying what ext4 wrote, in log sectors of 4096 bytes" {
	export RECORD_SECTOR=4096 RECORD_ROUNDS=60
	record ext4 64M
	told 4096 '."sector-size"' platter log info log
	succeeds platter replay -q log disk --base log.start --base-format raw
	same_disk disk log.end
}

# What qemu-io opens to work on `disk` and record into `log`.
recorder=driver=blklogwrites,file.driver=file,file.filename=disk
recorder+=,log.driver=file,log.filename=log

# prompted N: qemu-io has asked for its N-th command.
prompted()
{
	for ((i = 0; i < 100; i++)); do
		if (($(grep -o 'qemu-io>' said | wc -l) >= $1)); then
			return
		fi
		sleep 0.05
	done
	fail "qemu-io said: $(cat said)"
}

# killed COMMAND...: qemu-io runs the commands and is killed
killed()
{
	local command
	local -i io asked=1

	mkfifo commands
	# Its words are to come when it has them, not when it ends.
	stdbuf -o0 qemu-io -t "${cache:-writeback}" --image-opts "$recorder" \
		<commands >said 2>&1 3>&- &
	io=$!
	exec {input}>commands
	for command; do
		# It takes one line at a time.
		prompted $asked
		echo "$command" >&"$input"
		asked+=1
	done
	prompted $asked
	kill -KILL "$io"
	{ wait "$io"; } 2>/dev/null || true
	exec {input}>&-
	rm commands
}

@test "a recorder killed before its first flush leaves its entries" {
	need qemu-io
	truncate -s 1M disk
	: >log
	killed 'write -P 0x11 0 4k' 'write -P 0x22 8k 512'
	assert_equal "$(byte_at log 0 32)" "$(printf '00%.0s' {1..32})"
	told '[2,2,false]' '[.entries, .recovered, ."super-valid"]' \
		platter log info log
	platter replay -q log got
	run cmp got <(head -c 8704 disk)
	assert_success
}

@test "a recorder killed with a used file: no entry is made of old data" {
	local entries

	need qemu-io
	truncate -s 1M disk
	: >log
	# Payload that looks like anything but a header, and then real headers.
	qemu-io -c 'write -P 0x11 0 64k' -c 'write -P 0x22 64k 64k' \
		-c flush --image-opts "$recorder" >/dev/null
	told 4 .entries platter log info log
	killed 'write -P 0x33 4k 512'
	told '[[0,4096,512]]' '[.[] | [.entry, .offset, .length]]' \
		platter log list log
	ends_early platter replay -q log got
	assert_equal "$(byte_at got 4096 2)" 3333
	assert_equal "$(byte_at got 0 2)" 0000
}

@test "a recorder killed behind a flush: what came after it is recovered" {
	need qemu-io
	truncate -s 1M disk
	: >log
	killed 'write -P 0x11 0 4k' flush 'write -P 0x22 8k 4k'
	told '[3,1]' '[.entries, .recovered]' platter log info log
	succeeds platter replay -q log got
	assert_equal "$(byte_at got 12287)" 22
}

@test "a recorder killed when a FUA write was acknowledged has that write" {
	need qemu-io
	truncate -s 1M disk
	: >log
	# QEMU makes it a write and a flush, and may forget to log the flush.
	cache=writethrough
	killed 'write -P 0x11 0 4k' flush 'write -P 0x22 8k 4k'
	succeeds platter replay -q log got
	run cmp got <(head -c 12288 disk)
	assert_success
	assert_equal "$(byte_at got 12287)" 22
}

# QEMU logs no flush when nothing was written since the last.
one_flush()
{
	awk '/FLUSH/ && last ~ /FLUSH/ { next } { print; last = $0 }'
}

@test "what replay --in-order does is in the order of the log" {
	need_root
	need qemu-storage-daemon mountpoint
	[ -c /dev/fuse ] || skip "no /dev/fuse"
	for i in {1..60}; do
		echo "write $((i * 37 % 1000 * 8)) 8"
		echo "write $((i * 37 % 500 * 8)) 8"
		echo "write $((i * 11 % 1000 * 8)) 8 flags=$((i % 4))"
		((i % 5)) || echo flush
		((i % 7)) || printf 'emptyflushfua 8\nfua 8 8\n'
		((i % 9)) || echo "mark $i"
	done | mklog original
	truncate -s 4M backing
	: >log
	: >disk
	qemu-storage-daemon \
		--blockdev driver=file,node-name=f,filename=backing \
		--blockdev driver=file,node-name=l,filename=log \
		--blockdev driver=blklogwrites,node-name=rec,file=f,log=l \
		--export type=fuse,id=e,node-name=rec,mountpoint=disk,writable=on \
		2>said 3>&- &
	daemon=$!
	for ((i = 0; i < 100; i++)); do
		if mountpoint -q disk; then
			break
		fi
		kill -0 "$daemon" 2>/dev/null || skip "$(tail -n 1 said)"
		sleep 0.1
	done
	succeeds platter replay original disk --in-order -t writeback
	umount disk
	kill "$daemon"
	wait "$daemon" || true
	daemon=
	# A flush goes before the data it comes with, and FUA is one behind it.
	# What a kernel logs as an empty FLUSH|FUA is one flush.
	json '.[] | select(.flags != "MARK") |
		if .flags | contains("FLUSH") then [0, 0, "FLUSH"]
		else empty end,
		if .length > 0 then [.offset, .length, ""] else empty end,
		if .length > 0 and (.flags | contains("FUA"))
		then [0, 0, "FLUSH"] else empty end' \
		platter log list original | one_flush >want.list
	json '.[] | [.offset, .length, .flags]' platter log list log |
		one_flush >got.list
	# At the end there may be flushes of closing the file.
	run diff want.list <(head -n "$(wc -l <want.list)" got.list)
	assert_success
	run sed "1,$(wc -l <want.list)d;/^.0,0,.FLUSH..$/d" got.list
	assert_output ''
	naive-replay original want all
	assert_equal "$(naive-replay --hash backing)" \
		"$(naive-replay --hash want)"
}
