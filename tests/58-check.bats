# SPDX-License-Identifier: LGPL-2.1-or-later
# platter check: finds what qemu-img finds, and says it in its words.

load lib/damage

setup_file()
{
	sound_images
}

setup()
{
	common_setup
	need qemu-img qemu-io jq
}

# judge KIND SOUND: that damage gets qemu-img's verdict.
judge()
{
	damaged "$1" "$2" x.qcow2
	verdict expected qemu-img check x.qcow2
	verdict got "$PLATTER" check x.qcow2
	same_verdict "$1 of $2" expected got
}

# judged REGEX: each damage of these kinds does.
judged()
{
	each_kind "$1" judge
}

@test "images without damage are judged as by qemu-img" {
	judged none
}

@test "leaked clusters are judged as by qemu-img" {
	judged 'leaks?.*'
}

@test "wrong refcounts are judged as by qemu-img" {
	judged 'refcount-.*'
}

@test "damaged L1 entries are judged as by qemu-img" {
	judged 'l1-.*'
}

@test "damaged L2 entries are judged as by qemu-img" {
	judged '(l2|data|zero|compressed)-.*'
}

@test "wrong COPIED flags are judged as by qemu-img" {
	judged 'copied-.*'
}

@test "what lies behind the end of the file is judged as by qemu-img" {
	judged 'past-end-.*|cut'
}

@test "damaged refcount tables are judged as by qemu-img" {
	judged 'reftable-.*|refblock-.*'
}

@test "damaged snapshot tables are judged as by qemu-img" {
	judged 'snapshots?-.*'
}

@test "damaged bitmaps are judged as by qemu-img" {
	judged 'bitmap-.*'
}

@test "damaged subclusters are judged as by qemu-img" {
	judged 'sub-.*'
}

@test "images marked dirty or corrupt are judged as by qemu-img" {
	judged '(corrupt|dirty)-.*'
}

@test "a sound image gets qemu-img's words and exit code 0" {
	cp "$SOUND/full.qcow2" .
	qemu-img check full.qcow2 >expected
	succeeds "$PLATTER" check full.qcow2
	assert_output "$(cat expected)"
	assert_line --index 0 'No errors were found on the image.'
}

@test "leaks get qemu-img's words and exit code 3" {
	damaged leak full x.qcow2
	run -3 --separate-stderr "$PLATTER" check x.qcow2
	assert_equal "$stderr" ''
	assert_line --regexp '^Leaked cluster [0-9]+ refcount=1 reference=0$'
	assert_line '1 leaked clusters were found on the image.'
	assert_line 'This means waste of disk space, but no harm to data.'
	assert_line --regexp '^Image end offset: [0-9]+$'
}

@test "corruption gets qemu-img's words and exit code 2" {
	damaged refcount-low full x.qcow2
	run -2 --separate-stderr "$PLATTER" check x.qcow2
	assert_equal "$stderr" ''
	assert_line --regexp '^ERROR cluster [0-9]+ refcount=1 reference=2$'
	assert_line '2 errors were found on the image.'
	assert_line --regexp '^[0-9]+/1536 = [0-9.]+% allocated, '
}

@test "--quiet leaves the exit code only" {
	damaged leak full x.qcow2
	run -3 --separate-stderr "$PLATTER" check -q x.qcow2
	assert_output ''
	assert_equal "$stderr" ''
}

@test "an image that cannot be checked in full is exit code 1" {
	damaged refblock-unaligned full x.qcow2
	run -1 --separate-stderr "$PLATTER" check -q x.qcow2
	complained 'could not be checked'
}

@test "a format without a check is exit code 63, as from qemu-img" {
	truncate -s 1M x.raw
	run -63 qemu-img check -f raw x.raw
	fails 63 'This image format does not support checks' \
		"$PLATTER" check -f raw x.raw
	fails 63 'This image format does not support checks' \
		"$PLATTER" check -r all x.raw
}

@test "an unknown kind of repair is a usage error" {
	usage_error 'leaks or all' "$PLATTER" check -r some x.qcow2
}

@test "--repair and --force-share exclude each other" {
	usage_error '--force-share' "$PLATTER" check -r all -U x.qcow2
}

@test "--list in JSON names each damaged place" {
	damaged refcount-mixed full x.qcow2
	run -2 --separate-stderr "$PLATTER" check --list --output=json x.qcow2
	run jq -r '.places[] | "\(.kind) \(.leak) \(.fixed)"' <<<"$output"
	assert_line --index 0 'refcount-low false false'
	assert_line --index 1 'refcount-leak true false'
	assert_line --index 2 'copied-flag false false'
}

@test "--list says where in the file and in the guest a place is" {
	damaged l2-reserved-low full x.qcow2
	run -2 --separate-stderr "$PLATTER" check --list --output=json x.qcow2
	jq -c '.places[0]' <<<"$output" >place
	run jq '."guest-offset"' place
	assert_output 4096
	# The entry that differs from the sound image's is at that offset.
	run jq '.offset' place
	assert_equal $((output + 7)) \
		$(($(cmp -l x.qcow2 "$SOUND/full.qcow2" | awk '{print $1}') - 1))
}

@test "--list for people has a line for each place" {
	damaged leaks-many full x.qcow2
	run -3 --separate-stderr "$PLATTER" check --list x.qcow2
	run grep -c '^refcount-leak: cluster [0-9]* refcount=2 reference=0, at ' \
		<<<"$output"
	assert_output 5
}

@test "the counts of clusters are the same without --list" {
	damaged leak full x.qcow2
	verdict with "$PLATTER" check --list x.qcow2
	verdict without "$PLATTER" check x.qcow2
	same_verdict leak with without 'del(.places)'
}

@test "a missing backing file does not keep an image from being checked" {
	qemu-img create -q -f qcow2 base.qcow2 1M
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 x.qcow2
	rm base.qcow2
	succeeds "$PLATTER" check x.qcow2
}

@test "a check changes nothing" {
	for kind in dirty-refcounts corrupt-refcounts snapshot-extra-missing; do
		damaged "$kind" full x.qcow2
		sha256sum x.qcow2 >sum
		run -2 "$PLATTER" check x.qcow2
		sha256sum --quiet -c sum
	done
}

@test "a sparse file of a terabyte takes no more memory than a small one" {
	if [ -n "$SANITIZERS" ]; then
		skip "sanitizers have their own memory"
	fi
	qemu-img create -q -f qcow2 x.qcow2 1T
	qemu-io -f qcow2 -c 'write -q 0 64k' -c 'write -q 512G 64k' x.qcow2
	truncate -s 1T x.qcow2
	run peak-memory peak "$PLATTER" check x.qcow2
	assert_success
	(($(cat peak) < 32768))
}
