# SPDX-License-Identifier: LGPL-2.1-or-later
# platter convert: options, targets, and what is left when it fails.

load lib/common

setup()
{
	common_setup
	truncate -s 3M disk.raw
	head -c 100000 /dev/urandom |
		dd of=disk.raw bs=64K seek=3 conv=notrunc status=none
}

# allocated FILE: KiB on disk
allocated()
{
	du -k "$1" | cut -f1
}

@test "a copy has the same bytes" {
	succeeds "$PLATTER" convert disk.raw copy.raw
	assert_output ''
	cmp disk.raw copy.raw
}

@test "a copy is as qemu-img's" {
	need qemu-img
	"$PLATTER" convert disk.raw ours.raw
	qemu-img convert disk.raw theirs.raw
	cmp ours.raw theirs.raw
}

@test "holes stay holes" {
	"$PLATTER" convert disk.raw copy.raw
	(($(allocated copy.raw) < 200))
}

@test "written zeros become holes" {
	head -c 3M /dev/zero >zeros.raw
	"$PLATTER" convert zeros.raw copy.raw
	(($(allocated copy.raw) < 100))
}

@test "-S 0 allocates all of the target" {
	"$PLATTER" convert -S 0 disk.raw copy.raw
	cmp disk.raw copy.raw
	(($(allocated copy.raw) >= 3072))
}

@test "-S takes multiples of 512 up to 16M only" {
	usage_error '-S: 100 is not a multiple of 512' \
		"$PLATTER" convert -S 100 disk.raw copy.raw
	usage_error '-S' "$PLATTER" convert -S 17M disk.raw copy.raw
	succeeds "$PLATTER" convert -S 16M disk.raw copy.raw
	succeeds "$PLATTER" convert -S 512 disk.raw copy.raw
}

@test "a target that is there is replaced" {
	head -c 5M /dev/urandom >copy.raw
	"$PLATTER" convert disk.raw copy.raw
	cmp disk.raw copy.raw
}

@test "-n writes into the target that is there" {
	head -c 3M /dev/urandom >copy.raw
	local inode
	inode=$(stat -c %i copy.raw)
	succeeds "$PLATTER" convert -n -f raw -O raw disk.raw copy.raw
	cmp disk.raw copy.raw
	assert_equal "$(stat -c %i copy.raw)" "$inode"
}

@test "-n leaves what is behind the end of the source" {
	head -c 4M /dev/urandom >copy.raw
	tail -c 1M copy.raw >tail
	"$PLATTER" convert -n -O raw disk.raw copy.raw
	cmp tail <(tail -c 1M copy.raw)
}

@test "-n needs a target that is there" {
	fails 1 'gone.raw: No such file or directory' \
		"$PLATTER" convert -n disk.raw gone.raw
	refute [ -e gone.raw ]
}

@test "-n needs a target that is large enough" {
	truncate -s 1M small.raw
	fails 1 'small.raw' "$PLATTER" convert -n -O raw disk.raw small.raw
}

@test "--target-is-zero and --target-image-opts need -n" {
	usage_error '--target-is-zero needs -n' \
		"$PLATTER" convert --target-is-zero disk.raw copy.raw
	usage_error '--target-image-opts needs -n' "$PLATTER" convert \
		--target-image-opts disk.raw driver=raw,file.filename=copy.raw
}

@test "--target-is-zero leaves zeros alone" {
	head -c 3M /dev/zero | tr '\0' x >copy.raw
	"$PLATTER" convert -n --target-is-zero -O raw disk.raw copy.raw
	run byte_at copy.raw 0
	assert_output 78
	run cmp -i 196608 -n 65536 disk.raw copy.raw
	assert_success
}

@test "--target-image-opts takes key=value as the target" {
	truncate -s 4M big.raw
	succeeds "$PLATTER" convert -n --target-image-opts disk.raw \
		driver=raw,offset=1M,size=3M,file.filename=big.raw
	cmp disk.raw <(tail -c 3M big.raw)
}

@test "-o is for a target that is made" {
	usage_error '-o has no effect with -n' \
		"$PLATTER" convert -n -o a=b disk.raw copy.raw
}

@test "an unknown -o option is an error and leaves no target" {
	fails 1 "'nosuch'" \
		"$PLATTER" convert -o nosuch=1 disk.raw copy.raw
	refute [ -e copy.raw ]
}

@test "an unknown target format is an error and leaves no target" {
	fails 1 '"nosuch"' "$PLATTER" convert -O nosuch disk.raw copy.raw
	refute [ -e copy.raw ]
}

@test "an image is not converted into itself" {
	cp disk.raw before.raw
	fails 1 'disk.raw' "$PLATTER" convert disk.raw disk.raw
	fails 1 'disk.raw' "$PLATTER" convert -n -O raw disk.raw disk.raw
	ln -s disk.raw link.raw
	fails 1 'link.raw' "$PLATTER" convert disk.raw link.raw
	cmp before.raw disk.raw
}

@test "a source that is not there leaves no target" {
	fails 1 'gone.raw: No such file or directory' \
		"$PLATTER" convert gone.raw copy.raw
	refute [ -e copy.raw ]
}

@test "every cache mode gives the same copy" {
	local mode
	for mode in writeback none writethrough directsync unsafe; do
		if ! "$PLATTER" convert -T "$mode" disk.raw x 2>err; then
			# No O_DIRECT in this file system.
			grep 'Invalid argument' err
			continue
		fi
		"$PLATTER" convert -t "$mode" -T "$mode" disk.raw "$mode.raw"
		cmp disk.raw "$mode.raw"
	done
}

@test "any number of workers gives the same copy" {
	head -c 20M /dev/urandom >large.raw
	local n
	for n in 1 2 16; do
		"$PLATTER" convert -W -m "$n" large.raw "$n.raw"
		cmp large.raw "$n.raw"
	done
}

@test "any moment of a log can be converted" {
	log_file kernel-6.1-ext4 log
	"$PLATTER" convert --image-opts \
		driver=writelog,log=log,at=mark:fsync-3 then.raw
	"$PLATTER" replay -q log replayed.raw --to mark:fsync-3
	cmp then.raw replayed.raw
}

@test "a full disk is one line, exit 1, and no target" {
	need_root
	mkdir small
	mount -t tmpfs -o size=1M none small || skip "no mounts here"
	head -c 2M /dev/urandom >large.raw
	run --separate-stderr "$PLATTER" convert large.raw small/copy.raw
	files=$(ls -A small)
	umount small
	assert_failure 1
	complained 'No space left on device'
	assert_equal "$files" ''
}

@test "-p prints percentages in qemu-img's form where there is no terminal" {
	succeeds "$PLATTER" convert -p disk.raw copy.raw
	run --separate-stderr bash -c '"$PLATTER" convert -p disk.raw c.raw |
		tr "\r" "\n" | sed "/^$/d"'
	assert_equal "$stderr" ''
	assert_line --index 0 '    (0.00/100%)'
	assert_line --index -1 '    (100.00/100%)'
	refute grep -vE '^    \([0-9]{1,3}\.[0-9]{2}/100%\)$' <<<"$output"
}

@test "-q takes -p back" {
	succeeds "$PLATTER" convert -p -q disk.raw copy.raw
	assert_output ''
}
