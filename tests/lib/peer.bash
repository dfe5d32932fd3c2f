# SPDX-License-Identifier: LGPL-2.1-or-later
# For tests that hold platter against qemu-img: the same call of both, each in
# its own copy of the same folder.
#
#	load lib/common
#	load lib/peer
#	setup_file() { peer_images; }
#
# $IMAGES has the images listed in peer_images, made by qemu-img.

# $OURS is platter under the name qemu-img, $THEIRS the real one.
peer_setup_file()
{
	bats_require_minimum_version 1.5.0
	if ! type -P qemu-img >/dev/null || ! type -P qemu-io >/dev/null; then
		skip "qemu-img and qemu-io were not both found"
	fi
	OURS=$BATS_FILE_TMPDIR/bin/qemu-img
	THEIRS=$(type -P qemu-img)
	IMAGES=$BATS_FILE_TMPDIR/images
	export OURS THEIRS IMAGES
	mkdir -p "$BATS_FILE_TMPDIR/bin" "$IMAGES"
	ln -sf "$PLATTER" "$OURS"
}

# some_writes FILE: data, zeros, a hole, data; what lies behind the end is left
# out.
some_writes()
{
	qemu-io -f qcow2 -d unmap -c 'write -P 17 0 200k' \
		-c 'write -P 34 1M 1000' -c 'write -z 64k 64k' \
		-c 'write -P 51 2M 300k' -c 'discard 2112k 64k' \
		-c 'write -P 68 3145728 512' -c 'write -z -u 1536k 70k' \
		"$1" >/dev/null || true
}

# qcow2_image NAME SIZE [OPTIONS [CREATE-WORD...]]
qcow2_image()
{
	local name=$1 size=$2 options=${3:-compat=1.1}

	shift 2
	shift $(($# ? 1 : 0))
	qemu-img create -q -f qcow2 -o "$options" "$@" "$name" "$size"
	some_writes "$name"
}

# The matrix. Names say what is special.
peer_images()
{
	peer_setup_file
	cd "$IMAGES" || return
	seq 200000 | head -c 1000000 >disk.raw
	truncate -s 3146240 disk.raw
	seq 1 20000 >odd.raw
	: >empty.raw
	truncate -s 4M hole.raw
	qcow2_image v3.qcow2 4M
	qcow2_image v2.qcow2 4M compat=0.10
	qcow2_image small.qcow2 4M cluster_size=512
	qcow2_image big.qcow2 5M cluster_size=2M
	qcow2_image refs1.qcow2 4M refcount_bits=1
	qcow2_image refs64.qcow2 4M refcount_bits=64,cluster_size=4k
	qcow2_image sub.qcow2 4M extended_l2=on,cluster_size=128k
	qcow2_image lazy.qcow2 4M lazy_refcounts=on
	qcow2_image meta.qcow2 4M preallocation=metadata
	qcow2_image top.qcow2 6M cluster_size=64k -b disk.raw -F raw
	qcow2_image mid.qcow2 4M cluster_size=4k -b v2.qcow2 -F qcow2
	qcow2_image chain.qcow2 4M compat=1.1 -b mid.qcow2 -F qcow2
	qcow2_image plain.qcow2 3146240 compat=1.1 -b disk.raw -F raw
	qcow2_image snap.qcow2 4M
	qemu-img snapshot -c one snap.qcow2
	qemu-io -f qcow2 -c 'write -P 9 100k 200k' snap.qcow2 >/dev/null
	qemu-img snapshot -c 'two words' snap.qcow2
	qemu-img convert -c -O qcow2 disk.raw packed.qcow2
	qemu-img convert -c -O qcow2 -o compression_type=zstd,cluster_size=4k \
		disk.raw zstd.qcow2
	qcow2_image bits.qcow2 4M
	qemu-img bitmap --add bits.qcow2 first
	qemu-img bitmap --add -g 4k bits.qcow2 second
	qemu-img bitmap --disable bits.qcow2 second
	qcow2_image odd.qcow2 1234432 cluster_size=4k
	qemu-img create -q -f qcow2 none.qcow2 0
}

# As a word list, for loops.
peer_qcow2='v3 v2 small big refs1 refs64 sub lazy meta top mid chain plain snap
	packed zstd bits odd none'

# same_json WORD...: parsed, both say the same, with the same exit code.
same_json()
{
	local rc1=0 rc2=0

	"$OURS" "$@" --output=json >ours.json 2>ours.err || rc1=$?
	"$THEIRS" "$@" --output=json >theirs.json 2>theirs.err || rc2=$?
	if ((rc1 != rc2)); then
		fail "exit codes $rc1 and $rc2: $*: $(cat ours.err theirs.err)"
	fi
	diff <(jq -S . ours.json) <(jq -S . theirs.json) || fail "differ: $*"
}

# fresh_copy FOLDER WORD...: the images among the words, and what lies below.
fresh_copy()
{
	local folder=$1 word

	shift
	rm -rf "$folder"
	mkdir "$folder"
	for word in disk.raw v2.qcow2 mid.qcow2 "$@"; do
		word=${word##*=}
		if [ -n "$word" ] && [ -f "$IMAGES/$word" ]; then
			cp "$IMAGES/$word" "$folder"
		fi
	done
}

# exits CODE WORD...: both exit with that code, each in a fresh copy of the
# images. Where it is not 0, both say why; where it is, ours complains not. What
# is wrong is told, and fails the test at its end, in exits_agree.
exits()
{
	local code=$1 rc1=0 rc2=0

	shift
	fresh_copy copy.ours "$@"
	fresh_copy copy.theirs "$@"
	(cd copy.ours && "$OURS" "$@") >ours.out 2>ours.err </dev/null || rc1=$?
	(cd copy.theirs && "$THEIRS" "$@") >theirs.out 2>theirs.err \
		</dev/null || rc2=$?
	if ((rc1 != code || rc2 != code)); then
		wrong "ours exits with $rc1, theirs with $rc2, not $code: $*" \
			"($(head -qn 1 ours.err theirs.err | tr '\n' ' '))"
	elif ((rc1)) && [ ! -s ours.err ] && [ ! -s ours.out ] &&
		[ -s theirs.err ]; then
		wrong "exit code $rc1 without a message: $*"
	elif ((!rc1)) && [ -s ours.err ]; then
		wrong "a message with exit code 0: $*: $(cat ours.err)"
	fi
}

wrong()
{
	echo "$*" >&2
	echo "$*" >>"$BATS_TEST_TMPDIR/wrong"
}

exits_agree()
{
	[ ! -e "$BATS_TEST_TMPDIR/wrong" ]
}
