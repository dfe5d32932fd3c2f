# SPDX-License-Identifier: LGPL-2.1-or-later
# platter create: the same images as qemu-img makes of the same words, the same
# refusals, and nothing half done.

load lib/common

setup()
{
	common_setup
	truncate -s 5M base.raw
}

# facts IMAGE: what qemu-img tells of it, less its name and the space it takes.
facts()
{
	qemu-img info --output=json "$1" |
		jq -cS 'del(.filename, ."actual-size",
			."full-backing-filename")'
}

# alike ARGUMENTS...: the image both make with these, before TARGET and SIZE,
# is the same one, and it stands being written to by qemu.
alike()
{
	rm -rf ours theirs
	mkdir ours theirs
	cp --sparse=always base.raw ours
	cp --sparse=always base.raw theirs
	(cd ours && "$PLATTER" create -q "$@" i 4M) || fail "platter: $*"
	(cd theirs && qemu-img create -q "$@" i 4M) || fail "qemu-img: $*"
	assert_equal "$*: $(facts ours/i)" "$*: $(facts theirs/i)"
	(cd ours && qemu-img check -q i) || fail "check: $*"
	(cd ours && qemu-io -c 'write -P 7 100k 300k' -c 'write -P 8 3M 1k' \
		-c 'read -P 7 100k 300k' i) | grep -q 'wrote 307200' ||
		fail "writing: $*"
	(cd ours && qemu-img check -q i) || fail "check after writing: $*"
}

# refused TEXT ARGUMENTS...: neither makes such an image; ours says TEXT.
refused()
{
	local text=$1

	shift
	run qemu-img create -q -f qcow2 "$@" x 4M
	assert_failure
	rm -f x d.raw
	fails 1 "$text" "$PLATTER" create -f qcow2 "$@" x 4M
	[ ! -e x ] && [ ! -e d.raw ]
	run find . -name '*.part'
	assert_output ''
}

# printed ARGUMENTS...: both print the same line.
printed()
{
	local theirs

	theirs=$(qemu-img create "$@")
	succeeds "$PLATTER" create "$@"
	assert_output "$theirs"
}

# --- the same as qemu-img -------------------------------------------------

@test "raw images are as qemu-img's" {
	need qemu-img
	for size in 0 512 1000 5M 1.5G 3T 0x1000; do
		"$PLATTER" create -q ours.raw "$size"
		qemu-img create -q theirs.raw "$size"
		assert_equal "$(stat -c %s ours.raw)" \
			"$(stat -c %s theirs.raw)"
	done
}

@test "qcow2 images of every cluster size are as qemu-img's" {
	need qemu-img qemu-io jq
	for size in 512 1k 2k 4k 8k 16k 32k 64k 128k 256k 512k 1M 2M; do
		alike -f qcow2 -o "cluster_size=$size"
	done
}

@test "qcow2 images of every refcount width are as qemu-img's" {
	need qemu-img qemu-io jq
	for bits in 1 2 4 8 16 32 64; do
		alike -f qcow2 -o "refcount_bits=$bits,cluster_size=512"
	done
}

@test "qcow2 images of both versions and with every feature are as qemu-img's" {
	need qemu-img qemu-io jq
	for o in compat=0.10 compat=v2 compat=1.1 compat=v3 \
		lazy_refcounts=on compression_type=zlib compression_type=zstd \
		extended_l2=on extended_l2=on,cluster_size=16k \
		data_file=d.raw data_file=d.raw,data_file_raw=on nocow=on \
		extended_l2=on,data_file=d.raw,compression_type=zstd \
		compat=0.10,refcount_bits=16,lazy_refcounts=off; do
		alike -f qcow2 -o "$o"
	done
}

@test "overlays are as qemu-img's" {
	need qemu-img qemu-io jq
	alike -f qcow2 -b base.raw -F raw
	alike -f qcow2 -o backing_file=base.raw,backing_fmt=raw
	qemu-img create -q -f qcow2 -u -b none.raw -F qcow2 theirs.qcow2 4M
	"$PLATTER" create -q -f qcow2 -u -b none.raw -F qcow2 ours.qcow2 4M
	assert_equal "$(facts ours.qcow2)" "$(facts theirs.qcow2)"
}

@test "preallocated images are as qemu-img's" {
	need qemu-img qemu-io jq
	for o in preallocation=off preallocation=metadata \
		preallocation=metadata,compat=0.10 \
		preallocation=metadata,cluster_size=512,refcount_bits=64 \
		preallocation=metadata,cluster_size=2M \
		preallocation=metadata,extended_l2=on \
		preallocation=metadata,data_file=d.raw; do
		alike -f qcow2 -o "$o"
	done
	alike -f qcow2 -o preallocation=metadata,extended_l2=on \
		-b base.raw -F raw
}

@test "what is preallocated is allocated, and reads as zeros" {
	need qemu-img jq
	for o in metadata falloc full; do
		"$PLATTER" create -q -f qcow2 -o "preallocation=$o" i 4M
		run jq -c '[."allocated-clusters", ."check-errors"]' \
			<(qemu-img check --output=json i)
		assert_output '[64,0]'
		truncate -s 4M zero.raw
		qemu-img compare -f qcow2 -F raw i zero.raw
	done
}

@test "falloc and full take the space, metadata does not" {
	for o in falloc full; do
		"$PLATTER" create -q -f qcow2 -o "preallocation=$o" i 4M
		(($(stat -c %b i) >= 8192)) || fail "$o"
		rm -f d.raw
		"$PLATTER" create -q -f qcow2 \
			-o "preallocation=$o,data_file=d.raw" i 4M
		(($(stat -c %b d.raw) >= 8192)) || fail "$o d.raw"
		"$PLATTER" create -q -o "preallocation=$o" i 4M
		(($(stat -c %b i) >= 8192)) || fail "$o raw"
	done
	"$PLATTER" create -q -f qcow2 -o preallocation=metadata i 4M
	(($(stat -c %b i) < 1024))
}

@test "tables of a large disk with small clusters are whole" {
	need qemu-img
	"$PLATTER" create -q -f qcow2 -o cluster_size=512,refcount_bits=64 i \
		100G
	qemu-img check -q i
	"$PLATTER" create -q -f qcow2 i 2000T
	qemu-img check -q i
}

@test "the line that is printed is qemu-img's" {
	need qemu-img
	printed i.raw 1000
	printed -o preallocation=full i.raw 1.5M
	printed -o extent_size_hint=2M,nocow=on i.raw 1000
	printed -f qcow2 i 10M
	printed -f qcow2 -o cluster_size=8k -o refcount_bits=0x20 \
		-o nocow=on,lazy_refcounts=on,compat=1.1 i 1M
	printed -f qcow2 -o 'data_file=x,,y' i 1M
	printed -f qcow2 -b base.raw -F raw i
	printed -f qcow2 -b base.raw -F raw i 7M
	printed -f qcow2 -o size=7M,compression_type=zstd i
}

@test "of an option given twice the last counts" {
	need qemu-img
	printed -f qcow2 -o cluster_size=4k -o cluster_size=8k i 1M
	printed -f qcow2 -b nix -o backing_file=c -b base.raw -F raw i 1M
}

@test "-q prints nothing" {
	succeeds "$PLATTER" create -q -f qcow2 i 1M
	assert_output ''
}

@test "options are taken in any order and glued to their letters" {
	succeeds "$PLATTER" create i -fqcow2 4M -onocow=on -q
	run "$PLATTER" info i
	assert_line 'file format: qcow2'
}

@test "-o help lists what there is" {
	for name in backing_file backing_fmt cluster_size compat \
		compression_type data_file data_file_raw extended_l2 \
		lazy_refcounts preallocation refcount_bits size; do
		succeeds "$PLATTER" create -f qcow2 -o help
		assert_line --regexp "^  $name=<.*> *- "
	done
	succeeds "$PLATTER" create -o help
	assert_line --regexp '^  preallocation='
}

# --- what is refused ------------------------------------------------------

@test "values qemu-img refuses are refused" {
	need qemu-img
	refused '"foo" is not one of' -o compat=foo
	refused '256 is not a power of two' -o cluster_size=256
	refused '3000 is not a power of two' -o cluster_size=3000
	refused '4194304 is not a power of two' -o cluster_size=4M
	refused '3 is not a power of two' -o refcount_bits=3
	refused '128 is not a power of two' -o refcount_bits=128
	refused '"abc" is not a number' -o refcount_bits=abc
	refused '"foo" is not one of' -o preallocation=foo
	refused '"lz" is not one of' -o compression_type=lz
	refused "must be 'on' or 'off'" -o lazy_refcounts=x
	refused "must be 'on' or 'off'" -o nocow=x
}

@test "features that version 2 lacks are refused with it" {
	need qemu-img
	for o in lazy_refcounts=on refcount_bits=8 compression_type=zstd \
		extended_l2=on data_file=d.raw; do
		refused 'compat 1.1' -o "compat=0.10,$o"
	done
}

@test "combinations qemu-img refuses are refused" {
	need qemu-img
	refused 'needs a data_file' -o data_file_raw=on
	refused 'cannot be used together' -b base.raw -F raw \
		-o data_file=d.raw,data_file_raw=on
	refused 'at least 16384' -o extended_l2=on,cluster_size=8k
	for mode in metadata falloc full; do
		refused 'extended_l2 only' -b base.raw -F raw \
			-o "preallocation=$mode"
	done
}

@test "encryption is refused with a clear line" {
	for o in encryption=on encrypt.format=luks encrypt.format=aes; do
		fails 1 'encrypted qcow2 images cannot be made yet' \
			"$PLATTER" create -f qcow2 -o "$o" x 4M
	done
	[ ! -e x ]
}

@test "an unknown option is named, and those there are" {
	need qemu-img
	refused "unknown option 'foo'; format qcow2 has " -o foo=1
	fails 1 'cluster_size, extended_l2' \
		"$PLATTER" create -f qcow2 -o foo=1 x 4M
	fails 1 "unknown option 'cluster_size'; format raw has size, pre" \
		"$PLATTER" create -o cluster_size=1 x 4M
}

@test "an unknown format is an error" {
	fails 1 'unknown format "qcow9"' "$PLATTER" create -f qcow9 x 4M
}

@test "a disk too large for its clusters is refused" {
	need qemu-img
	for arguments in 'cluster_size=512 200G' 'cluster_size=64k 3E' \
		'cluster_size=2M 7E'; do
		# shellcheck disable=SC2086
		set -- $arguments
		run qemu-img create -q -f qcow2 -o "$1" x "$2"
		assert_failure
		rm -f x
		fails 1 'larger cluster_size' \
			"$PLATTER" create -f qcow2 -o "$1" x "$2"
		[ ! -e x ]
	done
}

@test "the size must be given once, and be one" {
	fails 1 'the size is missing' "$PLATTER" create -f qcow2 x
	fails 1 'given twice' "$PLATTER" create -o size=3M x 4M
	fails 1 "'1x' is not a size" "$PLATTER" create x 1x
	fails 1 'over the limit' "$PLATTER" create x 8E
	usage_error "unexpected argument '2'" "$PLATTER" create x 1 2
	fails 1 'TARGET is missing' "$PLATTER" create
	[ ! -e x ]
}

# --- backing files --------------------------------------------------------

@test "a backing file needs its format" {
	need qemu-img
	refused 'without its format; say -F' -b base.raw
	refused 'without its format' -u -b base.raw
	refused 'no use without a backing file' -F raw
}

@test "a backing file must be there and of its format, unless -u" {
	need qemu-img
	refused 'No such file' -b nix.raw -F raw
	refused 'base.raw' -b base.raw -F qcow2
	refused 'unknown driver' -b base.raw -F nix
	refused 'is empty' -o backing_file=,backing_fmt=raw
	succeeds "$PLATTER" create -q -f qcow2 -u -b nix.raw -F raw x 4M
}

@test "without a size it is that of the backing file" {
	"$PLATTER" create -q -f qcow2 base.qcow2 7M
	"$PLATTER" create -q -f qcow2 -b base.qcow2 -F qcow2 x
	run "$PLATTER" info x
	assert_line 'virtual size: 7 MiB (7340032 bytes)'
	fails 1 'the size is missing' \
		"$PLATTER" create -f qcow2 -u -b base.qcow2 -F qcow2 y
}

@test "a backing file is relative to the new image" {
	mkdir sub
	succeeds "$PLATTER" create -q -f qcow2 -b ../base.raw -F raw sub/x
	fails 1 'sub/base.raw' \
		"$PLATTER" create -f qcow2 -b base.raw -F raw sub/y
	[ ! -e sub/y ]
}

@test "what the user names may be anywhere" {
	mkdir -p a/b c
	"$PLATTER" create -q -f qcow2 c/base.qcow2 1M
	succeeds "$PLATTER" create -q -f qcow2 -b ../../c/base.qcow2 -F qcow2 \
		a/b/x
	succeeds "$PLATTER" create -q -f qcow2 -b "$PWD/c/base.qcow2" \
		-F qcow2 a/b/y
}

@test "a backing name is taken literally" {
	fails 1 'no driver for json' "$PLATTER" create -f qcow2 \
		-b 'json:{"driver":"null-co","size":512}' -F raw x
}

@test "an image is not its own backing file" {
	need qemu-img
	"$PLATTER" create -q -f qcow2 x 4M
	ln x y
	fails 1 'the same file' \
		"$PLATTER" create -f qcow2 -b x -F qcow2 x 4M
	fails 1 'the same file' \
		"$PLATTER" create -f qcow2 -b y -F qcow2 x 4M
	qemu-img check -q x
}

@test "raw has no backing file" {
	fails 1 "unknown option 'backing_f" \
		"$PLATTER" create -b base.raw -F raw x 4M
}

# --- nothing half done ----------------------------------------------------

@test "an image that is there is replaced" {
	"$PLATTER" create -q -f qcow2 x 4M
	"$PLATTER" create -q x 1M
	assert_equal "$(stat -c %s x)" 1048576
	run find . -name '*.part'
	assert_output ''
}

@test "a create that fails leaves what was there" {
	head -c 100000 /dev/urandom >x
	cp x before
	fails 1 'No such file' \
		"$PLATTER" create -f qcow2 -b nix -F raw x 4M
	fails 1 'larger cluster_size' \
		"$PLATTER" create -f qcow2 -o cluster_size=512 x 1P
	(ulimit -f 64; fails 1 'File too large' \
		"$PLATTER" create -f qcow2 -o preallocation=full x 4M)
	cmp x before
	run find . -name '*.part'
	assert_output ''
}

@test "a create that fails leaves the data file that was there" {
	head -c 100000 /dev/urandom >d.raw
	cp d.raw before
	(ulimit -f 64; fails 1 'File too large' "$PLATTER" create -f qcow2 \
		-o data_file=d.raw,preallocation=full x 4M)
	cmp d.raw before
	[ ! -e x ]
	run find . -name '*.part'
	assert_output ''
}

@test "an image in use is not replaced" {
	"$PLATTER" create -q x 4M
	cp x before
	hold hold-image w x
	fails 1 'lock' "$PLATTER" create -f qcow2 x 1M
	release
	cmp x before
	succeeds "$PLATTER" create -q -f qcow2 x 1M
}

@test "a data file is made beside the image" {
	mkdir sub
	"$PLATTER" create -q -f qcow2 -o data_file=d.raw sub/x 4M
	[ -e sub/d.raw ]
	assert_equal "$(stat -c %s sub/d.raw)" 4194304
	fails 1 'the same file' \
		"$PLATTER" create -f qcow2 -o data_file=y y 4M
}

@test "names that cannot be made are an error" {
	fails 1 'No such file' "$PLATTER" create no/such/x 1M
	mkdir folder
	fails 1 'folder' "$PLATTER" create folder 1M
	fails 1 'empty' "$PLATTER" create '' 1M
}

@test "a block device is written in place" {
	need_root
	need losetup qemu-img
	head -c 20M /dev/urandom >disk
	device=$(losetup -f --show disk) || skip 'no loop devices'
	for o in preallocation=off preallocation=full \
		cluster_size=512,preallocation=metadata; do
		"$PLATTER" create -q -f qcow2 -o "$o" "$device" 10M &&
			qemu-img check -q "$device" && truncate -s 10M zero &&
			qemu-img compare -q "$device" zero || code=$?
	done
	"$PLATTER" create -q "$device" 30M 2>errors && code=2
	losetup -d "$device"
	[ -z "${code:-}" ]
	grep -q 'too small' errors
}
