# SPDX-License-Identifier: LGPL-2.1-or-later
# platter map, against qemu-img's where that has an answer.

load lib/common

setup()
{
	common_setup
	truncate -s 3M disk.raw
	local i
	for i in 0 3 4 9 40; do
		head -c 65536 /dev/zero | tr '\0' "$((i % 8))" |
			dd of=disk.raw bs=64K seek="$i" conv=notrunc \
				status=none
	done
}

@test "JSON of a sparse raw file is qemu-img's" {
	same_json map disk.raw
	same_json map -f raw disk.raw
}

@test "JSON of a file without holes is one extent, as qemu-img's" {
	head -c 1M /dev/urandom >full.raw
	same_json map full.raw
}

@test "JSON of a file that is one hole is qemu-img's" {
	truncate -s 7T hole.raw || skip "no files of 7 TiB here"
	same_json map hole.raw
}

@test "JSON of a file of odd size is qemu-img's" {
	head -c 1000 /dev/urandom >odd.raw
	same_json map odd.raw
	truncate -s 1000 odd-hole.raw
	same_json map odd-hole.raw
}

@test "JSON of an empty file is qemu-img's" {
	: >empty.raw
	same_json map empty.raw
}

@test "JSON of a block device is qemu-img's" {
	need_root
	need losetup
	device=$(losetup -f --show disk.raw) || skip "no loop devices here"
	same_json map "$device" || status=$?
	losetup -d "$device"
	((${status:-0} == 0))
}

@test "-s and -l clip as qemu-img's do" {
	same_json map -s 100 -l 1000 disk.raw
	same_json map -s 64K disk.raw
	same_json map -l 300K disk.raw
	same_json map --start-offset=200K --max-length=1M disk.raw
}

@test "a range beyond the end is one empty extent, as in qemu-img" {
	same_json map -s 3M disk.raw
	same_json map -s 1G -l 1M disk.raw
	same_json map -l 0 disk.raw
	same_text map -s 1G disk.raw
}

@test "text is qemu-img's" {
	same_text map disk.raw
	same_text map -s 64K -l 300K disk.raw
}

@test "a file of ten thousand holes has each extent once" {
	need jq
	truncate -s 160M holes.raw
	for ((i = 0; i < 2500; i++)); do
		echo "write $((i * 128)) 8 fill=1"
	done | mklog many.log
	"$PLATTER" replay -q many.log holes.raw
	same_json map holes.raw
}

@test "rows are printed a line each" {
	run "$PLATTER" map --output=json disk.raw
	assert_line --index 0 --regexp '^\[\{ "start": 0, .*\},$'
	assert_line --index 1 --regexp '^\{ "start": 65536, .*\},$'
}

@test "a log maps to where its data is in the log" {
	printf '%s\n' 'write 8 8 fill=1' 'discard 32 8' | mklog log
	need jq
	run jq -c '.[] | [.start, .length, .data, .zero, .offset]' \
		<("$PLATTER" map --output=json log)
	# Super block and header are a sector each.
	assert_line '[4096,4096,true,false,1024]'
	assert_line '[16384,4096,false,true,null]'
}

@test "text of a log names the log" {
	printf '%s\n' 'write 8 8 fill=1' | mklog log
	run "$PLATTER" map log
	assert_line --regexp '^0x1000 +0x1000 +0x400 +log$'
}

@test "XML says the same as JSON" {
	need xmllint
	"$PLATTER" map --output=xml disk.raw >map.xml
	run xmllint --nonet --xpath 'count(/map/extent)' map.xml
	assert_output "$("$PLATTER" map --output=json disk.raw | wc -l)"
}

@test "a file that is not there is exit 1" {
	fails 1 'gone: No such file or directory' "$PLATTER" map gone
}

@test "an image another program writes is mapped with -U only" {
	hold hold-image w disk.raw
	fails 1 'lock' "$PLATTER" map -f raw disk.raw
	succeeds "$PLATTER" map -U -f raw disk.raw
	release
}
