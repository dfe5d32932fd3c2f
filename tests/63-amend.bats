# SPDX-License-Identifier: LGPL-2.1-or-later
# platter amend and platter resize: what they change, what they leave, and what
# they refuse.

load lib/common

setup()
{
	common_setup
}

# make OPTIONS: i.qcow2 with data, zeros with and without a cluster, and holes;
# before.raw is what the disk holds.
make()
{
	rm -f i.qcow2 d.raw
	qemu-img create -q -f qcow2 -o "$1" i.qcow2 8M
	qemu-io -c 'write -P 1 0 100k' -c 'write -P 2 1M 64k' \
		-c 'write -z 2M 128k' -c 'write -P 3 4M 64k' \
		-c 'write -z 4M 64k' -c 'write -P 5 5M 1M' \
		-c 'write -z -u 5M 64k' i.qcow2 >out
	qemu-img convert -O raw i.qcow2 before.raw
}

# facts IMAGE: what qemu-img tells of it, less the space it takes.
facts()
{
	qemu-img info --output=json "$1" |
		jq -cS 'del(.filename, ."actual-size")'
}

# amended CREATED CHANGE: an image made with the one becomes, by the other,
# what qemu-img makes of it, holds what it held, and is whole.
amended()
{
	make "$1"
	cp i.qcow2 theirs.qcow2
	qemu-img amend -o "$2" theirs.qcow2 || fail "qemu-img: $1, $2"
	succeeds "$PLATTER" amend -o "$2" i.qcow2
	assert_equal "$1, $2: $(facts i.qcow2)" "$1, $2: $(facts theirs.qcow2)"
	qemu-img check -q i.qcow2 || fail "check: $1, $2"
	qemu-img compare -q i.qcow2 before.raw || fail "content: $1, $2"
	qemu-io -c 'write -P 9 3M 300k' -c 'discard 0 64k' i.qcow2 >out
	qemu-img check -q i.qcow2 || fail "check after writing: $1, $2"
}

# amend_refused TEXT CREATED CHANGE: both refuse, and ours changes nothing.
amend_refused()
{
	make "$2"
	cp i.qcow2 same.qcow2
	run qemu-img amend -o "$3" i.qcow2
	assert_failure 1
	fails 1 "$1" "$PLATTER" amend -o "$3" i.qcow2
	cmp i.qcow2 same.qcow2
}

# --- amend ----------------------------------------------------------------

@test "versions are changed both ways" {
	need qemu-img qemu-io jq
	for size in 512 64k; do
		amended "compat=1.1,cluster_size=$size" compat=0.10
		amended "compat=0.10,cluster_size=$size" compat=1.1
	done
	amended compat=1.1,lazy_refcounts=on compat=v2
	amended compat=0.10 compat=v3,lazy_refcounts=on
}

@test "refcounts are given every width" {
	need qemu-img qemu-io jq
	for bits in 1 2 4 8 16 32 64; do
		amended cluster_size=1k,refcount_bits=1 "refcount_bits=$bits"
	done
	amended refcount_bits=64 refcount_bits=1
	amended cluster_size=512 refcount_bits=64
}

@test "version and refcounts are changed together" {
	need qemu-img qemu-io jq
	amended compat=0.10 refcount_bits=8,compat=1.1
	amended cluster_size=4k,refcount_bits=1 refcount_bits=16,compat=0.10
	amended compat=1.1 refcount_bits=16,compat=0.10
}

@test "lazy refcounts are turned on and off" {
	need qemu-img qemu-io jq
	amended compat=1.1 lazy_refcounts=on
	amended lazy_refcounts=on lazy_refcounts=off
}

@test "the data file is named anew" {
	need qemu-img qemu-io jq
	make data_file=d.raw
	mv d.raw e.raw
	cp e.raw keep.raw
	succeeds "$PLATTER" amend --image-opts -o data_file=e.raw \
		driver=qcow2,file.filename=i.qcow2,data-file.filename=e.raw
	qemu-img compare -q i.qcow2 before.raw
	make data_file=d.raw,data_file_raw=on
	succeeds "$PLATTER" amend -o data_file_raw=off i.qcow2
	run facts i.qcow2
	assert_output --partial '"data-file-raw":false'
	qemu-img check -q i.qcow2
}

@test "the size is amended" {
	need qemu-img qemu-io jq
	make compat=1.1
	succeeds "$PLATTER" amend -o size=16M i.qcow2
	run facts i.qcow2
	assert_output --partial '"virtual-size":16777216'
	succeeds "$PLATTER" amend -o size=4M i.qcow2
	truncate -s 4M before.raw
	qemu-img compare -q -s i.qcow2 before.raw ||
		qemu-img compare -q i.qcow2 before.raw
	qemu-img check -q i.qcow2
}

@test "without zero clusters an overlay still hides its backing file" {
	need qemu-img qemu-io
	head -c 8M /dev/urandom >base.raw
	qemu-img create -q -f qcow2 -b base.raw -F raw i.qcow2
	qemu-io -c 'write -z 1M 1M' -c 'write -P 3 4M 64k' \
		-c 'write -z 4M 64k' i.qcow2 >out
	qemu-img convert -O raw i.qcow2 before.raw
	succeeds "$PLATTER" amend -o compat=0.10 i.qcow2
	qemu-img check -q i.qcow2
	qemu-img compare -q i.qcow2 before.raw
}

# with_snapshots CLUSTER: i.qcow2 shares tables and clusters with two
# snapshots; s1.raw, s2.raw and now.raw are what they hold.
with_snapshots()
{
	head -c 4M /dev/urandom >base.raw
	qemu-img create -q -f qcow2 -o "cluster_size=$1" -b base.raw -F raw \
		i.qcow2
	qemu-io -c 'write -P 1 0 1M' -c 'write -z 1M 256k' -c 'write -P 2 3M 512k' \
		i.qcow2 >out
	qemu-img snapshot -c s1 i.qcow2
	# Zeros that keep a cluster which a snapshot sees data in.
	qemu-io -c 'write -z 0 128k' -c 'write -P 4 2M 64k' i.qcow2 >out
	qemu-img snapshot -c s2 i.qcow2
	qemu-io -c 'write -z 3M 64k' -c 'write -P 5 1M 64k' i.qcow2 >out
	qemu-img convert -O raw -l s1 i.qcow2 s1.raw
	qemu-img convert -O raw -l s2 i.qcow2 s2.raw
	qemu-img convert -O raw i.qcow2 now.raw
	rm -f old.qcow2
}

snapshots_kept()
{
	qemu-img check -q i.qcow2 || fail "check"
	for name in s1 s2; do
		qemu-img convert -O raw -l $name i.qcow2 out.raw
		cmp out.raw $name.raw
	done
	qemu-img compare -q i.qcow2 now.raw
}

@test "a downgrade leaves snapshots as they were" {
	need qemu-img qemu-io
	for size in 512 64k; do
		rm -f i.qcow2
		with_snapshots $size
		succeeds "$PLATTER" amend -o compat=0.10 i.qcow2
		snapshots_kept
		succeeds "$PLATTER" amend -o compat=1.1 i.qcow2
		snapshots_kept
	done
}

@test "refcounts of snapshots keep their values in another width" {
	need qemu-img qemu-io
	with_snapshots 4k
	for bits in 64 2 8 32 4 16; do
		succeeds "$PLATTER" amend -o refcount_bits=$bits i.qcow2
		snapshots_kept
	done
	cp i.qcow2 same.qcow2
	fails 1 'which does not fit into 1 bits' \
		"$PLATTER" amend -o refcount_bits=1 i.qcow2
	cmp i.qcow2 same.qcow2
}

@test "refcounts of an image with holes of its own keep them" {
	need qemu-img qemu-io
	qemu-img create -q -f qcow2 -o cluster_size=512 i.qcow2 64M
	qemu-io -c 'write -P 1 0 30M' -c 'discard 1M 28M' i.qcow2 >out
	qemu-img convert -O raw i.qcow2 before.raw
	for bits in 64 1 16; do
		succeeds "$PLATTER" amend -o refcount_bits=$bits i.qcow2
		qemu-img check -q i.qcow2
		qemu-img compare -q i.qcow2 before.raw
	done
}

@test "what qemu-img does not amend is refused, with nothing changed" {
	need qemu-img qemu-io
	amend_refused 'requires refcount_bits=16, not 8' refcount_bits=8 \
		compat=0.10
	amend_refused 'requires refcount_bits=16, not 8' compat=0.10 \
		refcount_bits=8
	amend_refused 'needs compat 1.1' compat=0.10 lazy_refcounts=on
	amend_refused 'not a power of two' compat=1.1 refcount_bits=3
	amend_refused '"9" is not one of' compat=1.1 compat=9
	amend_refused 'extended L2' extended_l2=on compat=0.10
	amend_refused 'with a data file' data_file=d.raw compat=0.10
	amend_refused 'have a data file' compat=1.1 data_file=x.raw
	amend_refused 'cannot be set' data_file=d.raw data_file_raw=on
	amend_refused 'platter rebase' compat=1.1 backing_file=x
	amend_refused 'platter rebase' compat=1.1 backing_fmt=raw
	amend_refused 'only for creating' compat=1.1 cluster_size=4k
	amend_refused 'only for creating' compat=1.1 preallocation=full
	amend_refused 'is not encrypted' compat=1.1 encryption=on
	amend_refused 'is not encrypted' compat=1.1 encrypt.state=active
	amend_refused "unknown option 'foo'; qcow2 has size" compat=1.1 foo=1
}

@test "one wrong option of several changes nothing" {
	need qemu-img qemu-io
	make compat=0.10
	cp i.qcow2 same.qcow2
	fails 1 'multiple of 512' "$PLATTER" amend \
		-o compat=1.1,refcount_bits=8,size=1000001 i.qcow2
	cmp i.qcow2 same.qcow2
}

@test "zstd clusters and bitmaps are not lost in a downgrade" {
	need qemu-img qemu-io
	make compression_type=zstd
	fails 1 'compression type' "$PLATTER" amend -o compat=0.10 i.qcow2
	make compat=1.1
	qemu-img bitmap --add i.qcow2 b
	fails 1 '1 bitmaps' "$PLATTER" amend -o compat=0.10 i.qcow2
	run qemu-img info i.qcow2
	assert_output --partial 'name: b'
	succeeds "$PLATTER" amend --force -o compat=0.10 i.qcow2
	run qemu-img info i.qcow2
	assert_output --partial 'compat: 0.10'
	refute_output --partial 'name: b'
}

@test "a snapshot of another size is not lost in a downgrade" {
	need qemu-img qemu-io
	make compat=1.1
	qemu-img snapshot -c s1 i.qcow2
	qemu-img resize -q i.qcow2 9M
	run qemu-img amend -o compat=0.10 i.qcow2
	assert_failure
	fails 1 'snapshot "s1" is of a disk of 8388608 bytes' \
		"$PLATTER" amend -o compat=0.10 i.qcow2
}

@test "only qcow2 is amended" {
	truncate -s 1M i.raw
	fails 1 'does not support option amendment' \
		"$PLATTER" amend -f raw -o size=2M i.raw
	usage_error '-o is missing' "$PLATTER" amend i.raw
	usage_error 'IMAGE is missing' "$PLATTER" amend -o size=2M
	usage_error '-U' "$PLATTER" amend -U -o size=2M i.raw
}

@test "amend -o help lists what can be amended" {
	succeeds "$PLATTER" amend -f qcow2 -o help
	for name in compat data_file data_file_raw lazy_refcounts \
		refcount_bits size; do
		assert_line --regexp "^  $name=<.*> *- "
	done
	refute_output --partial 'cluster_size'
}

@test "amend -p prints percentages" {
	need qemu-img qemu-io
	make compat=1.1
	run --separate-stderr "$PLATTER" amend -p -o compat=0.10 i.qcow2
	assert_success
	assert_output --partial '(100.00/100%)'
}

@test "a full disk while amending leaves the image as it was" {
	need qemu-img qemu-io
	make cluster_size=512
	size=$(stat -c %s i.qcow2)
	(ulimit -f $((size / 1024)); fails 1 'File too large' \
		"$PLATTER" amend -o refcount_bits=64 i.qcow2)
	qemu-img compare -q i.qcow2 before.raw
	run qemu-img check i.qcow2
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ]
	run qemu-img info i.qcow2
	assert_output --partial 'refcount bits: 16'
}

# --- resize ---------------------------------------------------------------

# resized IMAGE FORMAT SIZE [OPTION...]: both get the same disk.
resized()
{
	local image=$1 format=$2 size=$3

	shift 3
	cp --sparse=always "$image" theirs
	cp --sparse=always "$image" ours
	qemu-img resize -q -f "$format" "$@" theirs "$size"
	succeeds "$PLATTER" resize -f "$format" "$@" ours "$size"
	assert_output 'Image resized.'
	assert_equal "$size: $(facts ours)" "$size: $(facts theirs)"
	qemu-img compare -q -f "$format" -F "$format" ours theirs ||
		fail "content: $size"
}

@test "a raw image gets the size qemu-img gives it" {
	need qemu-img jq
	head -c 3M /dev/urandom >i.raw
	for size in 5M +1M 3M +0 0x400000; do
		resized i.raw raw "$size"
	done
	for size in 1M -1M -512 2M; do
		resized i.raw raw "$size" --shrink
	done
}

@test "a qcow2 image gets the size qemu-img gives it" {
	need qemu-img qemu-io jq
	for options in cluster_size=512 compat=0.10 extended_l2=on \
		data_file=d.raw; do
		make "$options"
		for size in 9M +1G 8M; do
			resized i.qcow2 qcow2 "$size"
			qemu-img check -q ours
		done
		[ "$options" != data_file=d.raw ] || continue
		for size in 1M -3M -512 5130k; do
			resized i.qcow2 qcow2 "$size" --shrink
			qemu-img check -q ours
		done
	done
}

@test "what grows past a larger backing file reads as zeros" {
	need qemu-img qemu-io jq
	head -c 8M /dev/urandom >base.raw
	qemu-img create -q -f qcow2 -b base.raw -F raw i.qcow2 3M
	resized i.qcow2 qcow2 6M
	truncate -s 6M zero.raw
	dd if=base.raw of=zero.raw bs=1M count=3 conv=notrunc status=none
	qemu-img compare -q ours zero.raw
	qemu-img check -q ours
}

@test "what grows is preallocated" {
	need qemu-img jq
	for mode in metadata falloc full; do
		"$PLATTER" create -q -f qcow2 i.qcow2 2M
		succeeds "$PLATTER" resize --preallocation=$mode i.qcow2 4M
		qemu-img check -q i.qcow2
		run jq '."allocated-clusters"' \
			<(qemu-img check --output=json i.qcow2)
		assert_output 32
		truncate -s 4M zero.raw
		qemu-img compare -q i.qcow2 zero.raw
	done
	(($(stat -c %b i.qcow2) >= 4096))
	for mode in falloc full; do
		rm -f i.raw
		truncate -s 1M i.raw
		succeeds "$PLATTER" resize -f raw --preallocation=$mode i.raw \
			+2M
		(($(stat -c %b i.raw) >= 4096)) || fail "$mode"
	done
	fails 1 'Unsupported preallocation mode' \
		"$PLATTER" resize -f raw --preallocation=metadata i.raw +1M
	assert_equal "$(stat -c %s i.raw)" 3145728
}

@test "nothing is preallocated where nothing is added" {
	truncate -s 1M i.raw
	fails 1 'Preallocation can only be used for growing images' \
		"$PLATTER" resize -f raw --preallocation=falloc i.raw 1M
	fails 1 'Preallocation can only be used for growing images' \
		"$PLATTER" resize -f raw --shrink --preallocation=full i.raw 1k
	usage_error '"foo" is not one of' \
		"$PLATTER" resize -f raw --preallocation=foo i.raw 2M
}

@test "shrinking needs --shrink" {
	head -c 1M /dev/urandom >i.raw
	cp i.raw before.raw
	for size in 512k -512k -1; do
		fails 1 'Use the --shrink option to perform a shrink' \
			"$PLATTER" resize -f raw i.raw "$size"
	done
	cmp i.raw before.raw
}

@test "a size may begin with a minus, wherever it stands" {
	truncate -s 4M i.raw
	succeeds "$PLATTER" resize -q -f raw i.raw -1M --shrink
	assert_equal "$(stat -c %s i.raw)" 3145728
	succeeds "$PLATTER" resize -f raw --shrink -q -- i.raw -1M
	assert_equal "$(stat -c %s i.raw)" 2097152
	succeeds "$PLATTER" resize -fraw --shrink i.raw -10k
	assert_equal "$(stat -c %s i.raw)" 2086912
	usage_error 'given twice' "$PLATTER" resize -f raw i.raw 5M -1M
	usage_error 'given twice' "$PLATTER" resize -f raw i.raw -5M -1M
}

@test "a size must be left" {
	truncate -s 1M i.raw
	for size in 0 -1M -50M; do
		fails 1 'New image size must be positive' \
			"$PLATTER" resize --shrink -f raw i.raw "$size"
	done
	fails 1 "'1x' is not a size" "$PLATTER" resize -f raw i.raw 1x
	fails 1 'is not a size' "$PLATTER" resize -f raw i.raw +-5M
	fails 1 'over the limit' "$PLATTER" resize -f raw i.raw 1000E
	fails 1 'over the limit' "$PLATTER" resize -f raw i.raw \
		+9223372036854775807
	usage_error 'SIZE is missing' "$PLATTER" resize -f raw i.raw
	usage_error 'unexpected argument' "$PLATTER" resize i.raw 1M 2M
	usage_error 'IMAGE is missing' "$PLATTER" resize
	usage_error '-U' "$PLATTER" resize -U -f raw i.raw 5M
	assert_equal "$(stat -c %s i.raw)" 1048576
}

# CVE-2026-24708: the guest of a raw image wrote a qcow2 header into it, and a
# resize without a format did what that said.
@test "an image that could be raw is resized with its format only" {
	need qemu-img
	truncate -s 1M i.raw
	fails 1 'say -f raw' "$PLATTER" resize i.raw 2M
	assert_equal "$(stat -c %s i.raw)" 1048576
	qemu-img create -q -f qcow2 header.qcow2 10M
	dd if=header.qcow2 of=i.raw conv=notrunc status=none
	succeeds "$PLATTER" resize -q -f raw i.raw 2M
	assert_equal "$(stat -c %s i.raw)" 2097152
}

@test "a version 2 image with snapshots is not resized" {
	need qemu-img qemu-io
	make compat=0.10
	qemu-img snapshot -c a i.qcow2
	run qemu-img resize i.qcow2 9M
	assert_failure
	fails 1 'snapshot' "$PLATTER" resize i.qcow2 9M
}

@test "a full disk while growing leaves the disk as large as it was" {
	need qemu-img
	"$PLATTER" create -q -f qcow2 i.qcow2 1M
	(ulimit -f 1024; fails 1 'File too large' \
		"$PLATTER" resize --preallocation=full i.qcow2 8M)
	run qemu-img info i.qcow2
	assert_output --partial 'virtual size: 1 MiB'
	run qemu-img check i.qcow2
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ]
}

# --- when the power fails -------------------------------------------------

# recorded VERB WORD...: run with the word IMAGE standing for after.qcow2, a
# copy of before.qcow2; all that is written to the file is in writes.log.
recorded()
{
	local image=driver=qcow2,file.driver=blklogwrites

	image+=,file.file.driver=file,file.file.filename=after.qcow2
	image+=,file.log.filename=writes.log
	cp before.qcow2 after.qcow2
	truncate -s 0 writes.log
	succeeds "$PLATTER" "${@/#IMAGE/$image}" --image-opts
}

# survives VERB WORD...: whatever of it reaches the disk, the image is whole
# but for leaks, and holds the first 3 MiB of before.raw.
survives()
{
	recorded "$@"
	# The log does not tell that the file has grown; flushes cover that.
	cat >checker <<-'EOS'
	if [ "$(stat -c %s state.qcow2)" -lt "$(stat -c %s after.qcow2)" ]; then
		truncate -r after.qcow2 state.qcow2
	fi
	qemu-img check state.qcow2 >check.out 2>&1
	case $? in 0 | 3) ;; *) cat check.out; exit 1 ;; esac
	qemu-img convert -O raw state.qcow2 state.raw || exit 2
	cmp -n 3145728 state.raw before.raw
	EOS
	run crash-states writes.log before.qcow2 state.qcow2 'sh checker'
	assert_success
	(($(sed -n 's/ states, .*//p' <<<"$output") >= 2)) || fail "$output"
	! cmp -s before.qcow2 after.qcow2
	qemu-img check -q after.qcow2
}

@test "a power cut while refcounts get another width leaves the old or new" {
	need qemu-img qemu-io
	for change in 'cluster_size=4k 64' 'refcount_bits=64 1'; do
		# shellcheck disable=SC2086
		set -- $change
		make "$1"
		mv i.qcow2 before.qcow2
		survives amend -o "refcount_bits=$2" IMAGE
	done
}

@test "a power cut while the version changes leaves one of the two" {
	need qemu-img qemu-io
	make cluster_size=4k
	mv i.qcow2 before.qcow2
	survives amend -o compat=0.10 IMAGE
	make cluster_size=4k,compat=0.10
	qemu-img snapshot -c a i.qcow2
	mv i.qcow2 before.qcow2
	survives amend -o compat=1.1,refcount_bits=64 IMAGE
}

@test "a power cut while a shared table loses its zero clusters is harmless" {
	need qemu-img qemu-io
	with_snapshots 4k
	mv i.qcow2 before.qcow2
	mv now.raw before.raw
	survives amend -o compat=0.10 IMAGE
}

@test "a power cut while the size changes leaves one of the two" {
	need qemu-img qemu-io
	make cluster_size=64k
	mv i.qcow2 before.qcow2
	survives resize IMAGE 100M
	survives resize --preallocation=falloc IMAGE 9M
	survives resize --shrink IMAGE 3M
}
