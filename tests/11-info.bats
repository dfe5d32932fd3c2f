# SPDX-License-Identifier: LGPL-2.1-or-later
# platter info, against qemu-img's where that has an answer.

load lib/common

setup()
{
	common_setup
	truncate -s 3M disk.raw
	printf hello | dd of=disk.raw bs=1 seek=1M conv=notrunc status=none
}

@test "JSON of a sparse raw file is qemu-img's" {
	same_json info disk.raw
	same_json info -f raw disk.raw
}

@test "JSON of a raw file of odd size is qemu-img's" {
	truncate -s 1000 odd.raw
	same_json info odd.raw
}

@test "JSON of an empty file is qemu-img's" {
	: >empty.raw
	same_json info empty.raw
}

@test "JSON of a very large sparse file is qemu-img's" {
	truncate -s 5T huge.raw || skip "no files of 5 TiB here"
	same_json info huge.raw
}

@test "JSON of a block device is qemu-img's" {
	need_root
	need losetup
	device=$(losetup -f --show disk.raw) || skip "no loop devices here"
	same_json info "$device" || status=$?
	losetup -d "$device"
	((${status:-0} == 0))
}

@test "JSON of a file with a name that needs escapes is qemu-img's" {
	cp disk.raw 'a "b" \c.raw'
	same_json info 'a "b" \c.raw'
}

@test "JSON has the keys of qemu-img 7.2 and no children" {
	need jq
	run jq -r 'keys_unsorted | join(" ")' \
		<("$PLATTER" info --output=json disk.raw)
	assert_output \
		'virtual-size filename format actual-size dirty-flag'
}

@test "text of a raw file is qemu-img's" {
	same_text info disk.raw
	truncate -s 1536M big.raw
	same_text info big.raw
}

@test "the name may follow the options of image-opts" {
	succeeds "$PLATTER" info --output=json --image-opts \
		driver=raw,offset=512,size=1024,file.filename=disk.raw
	need jq
	run jq '."virtual-size"' <<<"$output"
	assert_output 1024
}

@test "a json: name is read as image options" {
	succeeds "$PLATTER" info --output=json \
		'json:{"driver": "raw", "offset": 512,
			"file": {"driver": "file", "filename": "disk.raw"}}'
	need jq
	run jq '."virtual-size"' <<<"$output"
	assert_output $((3 * 1024 * 1024 - 512))
}

@test "an unknown image option is an error" {
	fails 1 "unknown option 'nosuch'" "$PLATTER" info --image-opts \
		driver=raw,file.filename=disk.raw,nosuch=1
}

@test "an unknown format is an error" {
	fails 1 'nosuch' "$PLATTER" info -f nosuch disk.raw
}

@test "a file that is not there is exit 1, in the words clients look for" {
	fails 1 'gone.raw: No such file or directory' \
		"$PLATTER" info --output=json gone.raw
}

@test "a folder is an error" {
	fails 1 'regular file' "$PLATTER" info .
}

@test "--backing-chain is a list, from the image down" {
	need jq
	run jq -r '.[].filename' \
		<("$PLATTER" info --backing-chain --output=json disk.raw)
	assert_output disk.raw
}

@test "a log is described as the disk it makes" {
	need jq
	log_file kernel-6.1-ext4 log
	run jq -c '[.format, ."virtual-size", ."format-specific".type,
		."format-specific".data.entries]' \
		<("$PLATTER" info --output=json log)
	assert_output '["writelog",33554432,"writelog",179]'
}

@test "a log at a point is described so" {
	need jq
	log_file kernel-6.1-ext4 log
	run jq '."format-specific".data.at' \
		<("$PLATTER" info --output=json --image-opts \
			driver=writelog,log=log,at=mark:mkfs)
	assert_output 32
}

@test "text has a section for what only the format knows" {
	log_file kernel-6.1-ext4 log
	succeeds "$PLATTER" info log
	assert_line 'Format specific information:'
	assert_line '    entries: 179'
}

@test "-f raw sees a log as plain bytes" {
	log_file kernel-6.1-ext4 log
	same_json info -f raw log
}

@test "XML says the same as JSON" {
	need xmllint
	"$PLATTER" info --output=xml disk.raw >info.xml
	run xmllint --nonet --xpath 'string(/info/virtual-size)' info.xml
	assert_output 3145728
	run xmllint --nonet --xpath 'string(/info/filename)' info.xml
	assert_output disk.raw
}

@test "info runs in 1 GiB of address space and 2 s of processor time" {
	if [ -n "$SANITIZERS" ]; then
		skip "sanitizers need more address space"
	fi
	log_file kernel-6.1-xfs log
	(
		ulimit -v $((1024 * 1024)) -t 2
		"$PLATTER" info --output=json disk.raw
		"$PLATTER" info --output=json log
	)
}
