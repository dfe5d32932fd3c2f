# SPDX-License-Identifier: LGPL-2.1-or-later
# platter check -r: repairs what qemu-img repairs, and loses nothing.

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

# What qemu-img makes worse, or does not finish, is repaired in another way:
#   data-is-l1, l1-is-data, l2-unaligned: it changes flags in what may be the
#	guest's data, as it lies where a table should
#   reftable-reserved, refblock-unaligned: it fails in the middle
#   refblock-*past-end: it makes the file larger instead
#   snapshot-l1-large, snapshots-past-end, cut: it fails, or writes a new
#	snapshot table for one that cannot be read
#   bitmap-data-shared: it stores the bitmap in the guest's cluster
#   sub-compressed: the image cannot be read any more
other='l1-is-data|l2-unaligned|reftable-reserved|refblock-unaligned'
other+='|refblock-past-end|refblock-spare-past-end|snapshot-l1-large'
other+='|snapshots-past-end|cut|bitmap-data-shared|sub-compressed'

# repair MODE KIND SOUND: with that damage, platter's repair and qemu-img's have
# the same result, and content that was there still is.
repair()
{
	local what="$2 of $3"

	damaged "$2" "$3" x.qcow2
	content x.qcow2 before
	verdict got "$PLATTER" check -r "$1" x.qcow2
	content x.qcow2 after
	nothing_lost "$what" before after
	if [[ $2 =~ ^($other)$ ]]; then
		return
	fi
	verdict left qemu-img check x.qcow2
	damaged "$2" "$3" y.qcow2
	verdict expected qemu-img check -r "$1" y.qcow2
	verdict left-by-qemu qemu-img check y.qcow2
	# What is made anew lies elsewhere: behind all else.
	same_verdict "$what" expected got 'del(."image-end-offset")'
	same_verdict "$what, afterwards" left-by-qemu left \
		'del(."image-end-offset")'
	content y.qcow2 after-qemu
	cmp after after-qemu
}

# repaired MODE REGEX: each damage of these kinds is.
repaired()
{
	each_kind "$2" repair "$1"
}

some='none|leaks?.*|refcount-.*'
entries='(l1|l2|data|zero|compressed|copied|past|sub)-.*|cut'
tables='(reftable|refblock|snapshots?|bitmap|corrupt|dirty)-.*'

@test "-r leaks does to refcounts what qemu-img does" {
	repaired leaks "$some"
}

@test "-r leaks does to table entries what qemu-img does" {
	repaired leaks "$entries"
}

@test "-r leaks does to damaged tables what qemu-img does" {
	repaired leaks "$tables"
}

@test "-r all does to refcounts what qemu-img does" {
	repaired all "$some"
}

@test "-r all does to table entries what qemu-img does" {
	repaired all "$entries"
}

@test "-r all does to damaged tables what qemu-img does" {
	repaired all "$tables"
}

# mended KIND: -r all, and both find nothing any more.
mended()
{
	damaged "$1" full x.qcow2
	run --separate-stderr "$PLATTER" check -q -r all x.qcow2
	assert_success
	run qemu-img check x.qcow2
	assert_success
	succeeds "$PLATTER" check x.qcow2
}

@test "a refcount table entry with reserved bits is mended" {
	mended reftable-reserved
}

@test "an unaligned refcount block is mended" {
	mended refblock-unaligned
}

@test "a refcount block behind the end of the file is mended" {
	mended refblock-past-end
	# ... without making the file that long.
	(($(stat -c %s x.qcow2) < $(stat -c %s "$SOUND/full.qcow2") + 16384))
}

@test "data in a cluster that an L1 entry takes for a table is left alone" {
	damaged l1-is-data full x.qcow2
	qemu-io -f qcow2 -r -c 'read -q -P 5 4096 4096' x.qcow2
	run -2 "$PLATTER" check -q -r all x.qcow2
	qemu-io -f qcow2 -r -c 'read -q -P 5 4096 4096' x.qcow2
}

@test "snapshots of an image with bitmaps survive a repair" {
	cp "$SOUND/full.qcow2" x.qcow2
	qemu-img bitmap --add -g 4096 x.qcow2 bits
	qcow2-damage leak x.qcow2
	run --separate-stderr "$PLATTER" check -r leaks x.qcow2
	assert_success
	run qemu-img snapshot -l x.qcow2
	assert_output --partial one
	qemu-img info --output=json x.qcow2 |
		jq -e '."format-specific".data.bitmaps[0].name == "bits"'
}

@test "the report of a repair is in qemu-img's words" {
	damaged leaks-many full x.qcow2
	run --separate-stderr "$PLATTER" check -r leaks x.qcow2
	assert_success
	assert_equal "$stderr" ''
	assert_line 'The following inconsistencies were found and repaired:'
	assert_line '    5 leaked clusters'
	assert_line '    0 corruptions'
	assert_line 'Double checking the fixed image now...'
	assert_line 'No errors were found on the image.'
}

@test "--list tells of each place whether it was repaired" {
	damaged refcount-mixed full x.qcow2
	run -2 --separate-stderr "$PLATTER" check -r leaks --list \
		--output=json x.qcow2
	run jq -c '.places[] | [.kind, .fixed]' <<<"$output"
	assert_line --index 0 '["refcount-low",false]'
	assert_line --index 1 '["refcount-leak",true]'
}

@test "-r leaks says when only -r all helps, and changes nothing" {
	damaged refcount-zero full x.qcow2
	cp x.qcow2 y.qcow2
	run -1 --separate-stderr "$PLATTER" check -q -r leaks x.qcow2
	complained "check -r all"
	cmp x.qcow2 y.qcow2
}

@test "an image left dirty is put in order when it is opened for writing" {
	damaged dirty-refcounts full x.qcow2
	image-io -f qcow2 -c "write -P 6 1M 4k" x.qcow2
	run qemu-img check x.qcow2
	assert_success
	run jq '."dirty-flag"' < <(qemu-img info --output=json x.qcow2)
	assert_output false
}

@test "a rebuild is in force with its last write, and not before" {
	damaged refblock-zeroed full x.qcow2
	cp x.qcow2 y.qcow2
	content x.qcow2 before
	run "$PLATTER" check -q -r all x.qcow2
	assert_success
	# All but the header and what is behind the old end is as it was, so
	# the image is what it was until the header is written.
	size=$(stat -c %s y.qcow2)
	cmp -n $((size - 4096)) -i 4096 x.qcow2 y.qcow2
	# The new structures with the old header: still as damaged as before.
	dd if=y.qcow2 of=x.qcow2 bs=4096 count=1 conv=notrunc status=none
	content x.qcow2 after
	cmp before after
	run "$PLATTER" check -q -r all x.qcow2
	assert_success
}

# interrupted KIND SOUND MODE: whatever a power cut leaves of a repair reads as
# before, and a second repair has the result of one that was not interrupted.
interrupted()
{
	damaged "$1" "$2" before.qcow2
	content before.qcow2 before
	cp before.qcow2 x.qcow2
	truncate -s 0 writes.log
	run "$PLATTER" check -q -r "$3" --image-opts driver=qcow2,`
		`file.driver=blklogwrites,file.file.driver=file,`
		`file.file.filename=x.qcow2,file.log.filename=writes.log
	assert_success
	cat >checker <<'EOS'
same() {
	qemu-img convert -f qcow2 -O raw --salvage "$1" now 2>/dev/null &&
		cmp -l before now | awk '$2 != 0 { exit 1 }'
}
same "$1" || exit 1
"$PLATTER" check -q -r "$2" "$1" || exit 2
same "$1" || exit 3
qemu-img check "$1" >/dev/null 2>&1 || exit 4
EOS
	export PLATTER
	run crash-states writes.log before.qcow2 state.qcow2 \
		"sh checker state.qcow2 $3"
	assert_success
	(($(sed -n 's/ states, .*//p' <<<"$output") >= $4))
}

@test "a repair of leaks survives a power cut" {
	interrupted leaks-many full leaks 2
}

@test "a repair of refcounts survives a power cut" {
	interrupted refcount-mixed full all 3
}

@test "a repair of flags survives a power cut" {
	interrupted copied-and-leak full all 3
}

@test "a repair of entries survives a power cut" {
	interrupted sub-zero-unaligned subclusters all 3
}

@test "a rebuild of the refcounts survives a power cut" {
	interrupted refblock-zeroed full all 4
}

@test "a rebuild of large refcounts survives a power cut" {
	interrupted refblock-zeroed wide all 4
}

@test "a repair of the snapshot table survives a power cut" {
	interrupted snapshot-extra-missing full all 4
}

@test "a repair of an image left dirty survives a power cut" {
	interrupted dirty-refcounts full all 4
}
