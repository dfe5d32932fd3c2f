# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of check and repair: sound images by qemu-img, and damage that
# qcow2-damage does to them at known places.

load "$top_srcdir/tests/lib/common"

# sound_image NAME SNAPSHOT OPTIONS CLUSTER [no-compression]: 6 MiB. Guest
# clusters 0 to 5: data, of which 0 is the snapshot's too; compressed; zeros
# with a cluster; nothing. Then some at 2 MiB and at 3 MiB.
sound_image()
{
	local name=$1 snapshot=$2 options=$3 cluster=$4
	local io=(-c "write -q -P 1 0 $((2 * cluster))")

	if [ "${5-}" != no-compression ]; then
		io+=(-c "write -q -c -P 3 $((3 * cluster)) $cluster")
	fi
	io+=(-c "write -q -P 4 $((4 * cluster)) $cluster"
		-c "write -q -P 9 3M 64k")
	qemu-img create -q -f qcow2 -o "$options" "$name.qcow2" 6M
	qemu-io -f qcow2 "${io[@]}" "$name.qcow2"
	if [ "$snapshot" = snapshot ]; then
		qemu-img snapshot -c one "$name.qcow2"
	fi
	io=(-c "write -q -P 5 $cluster $((2 * cluster))"
		-c "write -q -P 7 2M 32k")
	if [[ $options != *compat=0.10* ]]; then
		io+=(-c "write -q -z $((4 * cluster)) $cluster")
	fi
	qemu-io -f qcow2 "${io[@]}" "$name.qcow2"
}

# sound_images: in setup_file(); they are in $SOUND, under the names that
# qcow2-damage --list has.
sound_images()
{
	type -P qemu-img qemu-io >/dev/null || return 0
	export SOUND=$BATS_FILE_TMPDIR/sound
	mkdir "$SOUND"
	cd "$SOUND" || return
	sound_image full snapshot cluster_size=4096 4096
	sound_image v2 snapshot compat=0.10,cluster_size=4096 4096
	sound_image wide snapshot cluster_size=4096,refcount_bits=64 4096
	sound_image one-bit - cluster_size=4096,refcount_bits=1 4096 \
		no-compression
	sound_image subclusters - extended_l2=on,cluster_size=16384 16384
	sound_image data-file - cluster_size=4096,data_file=data-file.data \
		4096 no-compression
	# Not together with a snapshot: qemu-img check -r loses that then.
	sound_image bitmaps - cluster_size=4096 4096
	qemu-img bitmap --add -g 4096 bitmaps.qcow2 bits
	qemu-io -f qcow2 -c 'write -q -P 8 3M 4096' bitmaps.qcow2
}

# damaged KIND SOUND OUT: a copy of that image with the damage.
damaged()
{
	cp "$SOUND/$2.qcow2" "$3"
	if [ "$2" = data-file ]; then
		cp --sparse=always "$SOUND/data-file.data" .
	fi
	qcow2-damage "$1" "$3"
}

# each_kind REGEX COMMAND...: with KIND and SOUND behind it, for each line of
# qcow2-damage --list whose kind REGEX matches in full.
each_kind()
{
	local regex=$1 kind sound nr=0

	shift
	while read -r kind sound; do
		[[ $kind =~ ^($regex)$ ]] || continue
		"$@" "$kind" "$sound"
		nr=$((nr + 1))
	done < <(qcow2-damage --list)
	((nr > 0)) || fail "no kind of damage is called $regex"
}

# verdict OUT COMMAND...: exit code and JSON, without the file name.
verdict()
{
	local out=$1 code=0

	shift
	"$@" --output=json >"$out.json" 2>"$out.err" || code=$?
	{
		echo "$code"
		jq -S 'del(.filename)' "$out.json"
	} >"$out"
}

# same_verdict WHAT A B [FILTER]: of the JSON, as FILTER leaves it.
same_verdict()
{
	local filter=${4-.}

	if ! diff <(head -1 "$2"; tail -n +2 "$2" | jq -S "$filter") \
		<(head -1 "$3"; tail -n +2 "$3" | jq -S "$filter") >differ; then
		fail "$1: $(cat differ; cat "$3.err")"
	fi
}

# content IMAGE OUT: what it reads as; zeros where it cannot be read.
content()
{
	if ! qemu-img convert -f qcow2 -O raw --salvage "$1" "$2" 2>/dev/null
	then
		truncate -s 0 "$2"
		truncate -s 6M "$2"
	fi
}

# nothing_lost WHAT BEFORE AFTER: each byte that was read is still there.
nothing_lost()
{
	local lost

	lost=$(cmp -l "$2" "$3" | awk '$2 != 0' | wc -l)
	[ "$lost" -eq 0 ] || fail "$1: $lost bytes are not what they were"
}

# mutant_images: those, and some more, of other shapes.
mutant_images()
{
	sound_images
	[ -n "${SOUND-}" ] || return 0
	sound_image small-clusters snapshot cluster_size=512 512
	sound_image large-clusters snapshot cluster_size=65536 65536
	sound_image zstd - compression_type=zstd,cluster_size=4096 4096
	sound_image lazy - lazy_refcounts=on,cluster_size=4096 4096
}
