# SPDX-License-Identifier: LGPL-2.1-or-later
# What platter replay must never do to a target, and logs that wear it out. The
# oracle is tests/tools/naive-replay, which plays entry after entry.

load lib/common

setup()
{
	common_setup
}

mixed_log()
{
	mklog --generate "$1" --pattern mixed --device-size 32M \
		--seed "$2" disk.log
}

# script LOG: a log from the lines on standard input.
script()
{
	mklog "$1" >/dev/null
}

noise()
{
	head -c "$1" /dev/urandom
}

# blocks FILE: the blocks of 1 KiB it takes
blocks()
{
	du -k "$1" | cut -f1
}

# ---- the same disk, whichever way ----

@test "merged and in order give what plain replaying gives, at many points" {
	mixed_log 800 3
	for to in 0 1 13 200 417 799 800; do
		noise 40M | tee a b >want
		naive-replay disk.log want "$to" >/dev/null
		succeeds "$PLATTER" replay -qf raw --verify --to "$to" \
			disk.log a
		succeeds "$PLATTER" replay -qf raw --verify --in-order \
			--to "$to" disk.log b
		cmp a want
		cmp b want
	done
}

@test "a base and a start point give what plain replaying gives" {
	mixed_log 800 4
	noise 20M >base
	for points in 0:800 100:700 500:500; do
		from=${points%:*} to=${points#*:}
		cp base want
		naive-replay --from "$from" disk.log want "$to" >/dev/null
		for how in --verify --in-order; do
			rm -f disk
			succeeds "$PLATTER" replay -q --verify "$how" \
				--from "$from" --to "$to" -b base \
				--base-format raw disk.log disk
			truncate -s "$(stat -c %s disk)" want
			cmp disk want
		done
	done
}

@test "--range changes nothing outside it, with and without a base" {
	mixed_log 800 5
	noise 32M | tee a b base >want
	cp base full
	naive-replay disk.log full all >/dev/null
	# No multiple of anything but sectors.
	dd if=full of=want bs=512 skip=4001 seek=4001 count=33333 \
		conv=notrunc status=none
	range=$((4001 * 512))+$((33333 * 512))
	succeeds "$PLATTER" replay -qf raw --verify --range $range disk.log a
	succeeds "$PLATTER" replay -qf raw --in-order --range $range disk.log b
	succeeds "$PLATTER" replay -q --verify --range $range -b base \
		--base-format raw disk.log c
	cmp a want
	cmp b want
	cmp c want
}

@test "a log of 4 KiB sectors gives what plain replaying gives" {
	mklog --sector-size 4096 --generate 500 --pattern nested \
		--device-size 16M disk.log
	noise 16M | tee a b >want
	naive-replay disk.log want all >/dev/null
	succeeds "$PLATTER" replay -qf raw --verify disk.log a
	succeeds "$PLATTER" replay -qf raw --verify --in-order disk.log b
	cmp a want
	cmp b want
}

@test "a discard of more than 128 MiB takes effect on a regular file" {
	script disk.log <<-'EOF'
		write 0 8
		discard 8 600000
		write 700000 8
	EOF
	for how in --verify --in-order; do
		noise 300M >disk
		succeeds "$PLATTER" replay -qf raw --verify "$how" \
			--to 2 disk.log disk
		run cmp -n $((600000 * 512)) -i 4096:0 disk /dev/zero
		assert_success
		[ "$(blocks disk)" -lt 10000 ]
	done
}

@test "a discard of 8 TiB takes no time and no space" {
	script disk.log <<-'EOF'
		write 0 8
		write 2000000 8
		discard 0 17179869184
		write 100 8
	EOF
	for how in --verify --in-order; do
		rm -f disk
		succeeds timeout 60 "$PLATTER" replay -q --verify "$how" \
			disk.log disk
		assert_equal "$(stat -c %s disk)" $((8 << 40))
		[ "$(blocks disk)" -lt 64 ]
	done
}

@test "long writes are the same, in place and on a base" {
	mklog --generate 300 --pattern nested --device-size 64M disk.log
	noise 64M | tee a base >want
	naive-replay disk.log want all >/dev/null
	succeeds "$PLATTER" replay -qf raw --verify disk.log a
	succeeds "$PLATTER" replay -q --verify -b base --base-format raw \
		disk.log b
	cmp a want
	cmp b want
}

@test "logged zeros are holes of a new target" {
	script disk.log <<-'EOF'
		write 0 8192 fill=0
		write 8192 8
	EOF
	succeeds "$PLATTER" replay -q --verify disk.log disk
	[ "$(blocks disk)" -lt 64 ]
}

@test "a log of 0 entries makes a target of 0 bytes" {
	script disk.log </dev/null
	succeeds "$PLATTER" replay -q --verify disk.log disk
	assert_equal "$(stat -c %s disk)" 0
	succeeds "$PLATTER" replay -q --in-order --verify disk.log disk2
	assert_equal "$(stat -c %s disk2)" 0
}

@test "a target that is too small grows, and keeps the rest of its bytes" {
	script disk.log <<-'EOF'
		write 4096 8
	EOF
	noise 64K | tee disk >want
	naive-replay disk.log want all >/dev/null
	succeeds "$PLATTER" replay -qf raw --verify disk.log disk
	cmp disk want
}

# ---- what is refused, before anything is written ----

@test "the log is refused as the target, by any name" {
	mixed_log 20 1
	cp disk.log before
	ln -s disk.log symbolic
	ln disk.log hard
	for name in disk.log ./disk.log symbolic hard; do
		fails 2 'is the log as well' \
			"$PLATTER" replay -f raw disk.log "$name"
	done
	cmp disk.log before
}

@test "the base is refused as the target, by any name" {
	mixed_log 20 1
	noise 1M | tee base >before
	ln base hard
	for name in base hard; do
		fails 2 'is the base as well' "$PLATTER" replay -f raw \
			--base-format raw -b base disk.log "$name"
	done
	cmp base before
}

@test "another write log is refused as the target, with a base too" {
	mixed_log 20 1
	cp disk.log other.log
	noise 1M >base
	fails 2 'say -f raw to overwrite' \
		"$PLATTER" replay disk.log other.log
	fails 2 'say -f raw to overwrite' \
		"$PLATTER" replay -b base disk.log other.log
	cmp disk.log other.log
}

@test "a range beyond the device is refused and nothing is made" {
	mixed_log 20 1
	fails 2 'reaches beyond the device' \
		"$PLATTER" replay --range 31M+2M disk.log disk
	fails 2 'reaches beyond the device' \
		"$PLATTER" replay --range 7E+4K disk.log disk
	[ ! -e disk ]
}

@test "what is no file or block device is refused" {
	mixed_log 20 1
	mkdir folder
	mkfifo pipe
	for name in folder pipe /dev/null; do
		fails 2 'neither a regular file nor a block device' \
			"$PLATTER" replay disk.log "$name"
	done
}

@test "a block device that is too small is refused and not written" {
	need_root
	need losetup
	mixed_log 400 1
	noise 1M | tee back >before
	dev=$(losetup -f --show back 2>/dev/null) || skip "no loop devices"
	run --separate-stderr "$PLATTER" replay -f raw disk.log "$dev"
	losetup -d "$dev"
	assert_failure 2
	complained 'are too few'
	cmp back before
}

@test "a block device gets the state in place" {
	need_root
	need losetup
	mixed_log 800 6
	noise 34M | tee back >want
	naive-replay disk.log want all >/dev/null
	dev=$(losetup -f --show back 2>/dev/null) || skip "no loop devices"
	run "$PLATTER" replay -q -f raw -t none --verify disk.log "$dev"
	losetup -d "$dev"
	assert_success
	assert_output ''
	cmp back want
}

# ---- when it does not come to its end ----

@test "a full disk is one line, exit 2, and no target" {
	need_root
	mklog --generate 2000 --pattern random4k --device-size 16M disk.log
	mkdir small
	mount -t tmpfs -o size=1M none small || skip "no mounts here"
	run --separate-stderr "$PLATTER" replay disk.log small/disk
	merged=$status files=$(ls -A small)
	run --separate-stderr "$PLATTER" replay --in-order disk.log small/disk
	files+=$(ls -A small)
	umount small
	assert_equal "$merged" 2
	assert_failure 2
	complained 'No space left on device'
	assert_equal "$files" ''
}

# killed_after MS COMMAND...: true when it was killed, false when it had ended.
killed_after()
{
	local pid ms

	printf -v ms %03d "$1"
	shift
	"$@" &
	pid=$!
	sleep "0.$ms"
	kill -9 "$pid" 2>/dev/null || true
	! wait "$pid" 2>/dev/null
}

@test "kill -9 leaves nothing half done under a new target's name" {
	mklog --generate 30000 --pattern random4k --device-size 128M disk.log
	"$PLATTER" replay -q disk.log want
	killed=0
	for ms in 2 5 10 20 40 80 160; do
		if killed_after "$ms" "$PLATTER" replay -q disk.log disk; then
			((killed += 1))
			# It may come between the rename and the exit.
			[ ! -e disk ] || cmp disk want
		fi
		rm -f disk
	done
	[ "$killed" -gt 0 ]
	succeeds "$PLATTER" replay -q --verify disk.log disk
}

@test "kill -9 leaves a target that is made from a base as it was" {
	mklog --generate 30000 --pattern random4k --device-size 128M disk.log
	noise 8M >base
	noise 1M >before
	remake=("$PLATTER" replay -q -f raw --base-format raw -b base disk.log)
	"${remake[@]}" want
	for ms in 5 20 40 80; do
		cp before disk
		killed_after "$ms" "${remake[@]}" disk || true
		cmp -s disk before || cmp disk want
	done
	succeeds "${remake[@]}" --verify disk
	cmp disk want
}

@test "a target changed in place is right after being killed and run again" {
	mklog --generate 30000 --pattern random4k --device-size 128M disk.log
	noise 128M | tee disk >want
	naive-replay disk.log want all >/dev/null
	killed_after 50 "$PLATTER" replay -q -f raw disk.log disk || true
	succeeds "$PLATTER" replay -q -f raw --verify disk.log disk
	cmp disk want
}
