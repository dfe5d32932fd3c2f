# SPDX-License-Identifier: LGPL-2.1-or-later
# The calls of programs that call qemu-img, in their spelling, and what they
# search the answers for. Each is done with qemu-img too; the images must be
# the same.

load lib/common
load lib/peer

setup_file()
{
	peer_images
}

setup()
{
	common_setup
	need jq
	mkdir theirs.bin
	ln -s "$THEIRS" theirs.bin/qemu-img
}

# session COMMANDS FILE...: in a folder of its own with the images named as
# inputs (everything before --), once with each program. What stands behind --
# are the images that come of it: same content, same facts, clean.
session()
{
	local commands=$1 side bin file
	local -a inputs=()

	shift
	while (($#)) && [ "$1" != -- ]; do
		inputs+=("$1")
		shift
	done
	shift $(($# ? 1 : 0))
	for side in ours theirs; do
		bin=$PWD/theirs.bin
		[ "$side" = theirs ] || bin=${OURS%/*}
		fresh_copy "$side" "${inputs[@]}"
		(cd "$side" && PATH=$bin:$PATH && eval "set -e; $commands") \
			>"$side.out" 2>"$side.err" </dev/null ||
			fail "$side: $commands: $(cat "$side.err")"
		if [ "$side" = ours ]; then
			# Some take any byte there for a failure.
			assert_equal "$(cat "$side.err")" ''
		fi
	done
	for file; do
		same_image "$file"
	done
}

same_image()
{
	"$THEIRS" compare "ours/$1" "theirs/$1"
	diff <(facts "ours/$1") <(facts "theirs/$1")
	case $1 in
	*.qcow2)
		(cd ours && "$THEIRS" check "$1") >check.out ||
			fail "check of $1: $(cat check.out)"
		;;
	esac
}

# What info says, but for the name and how much is stored.
facts()
{
	(cd "${1%/*}" && "$THEIRS" info --output=json "${1##*/}") |
		jq -S 'del(.["actual-size"]) | del(.. | .["date-sec"]?,
			.["date-nsec"]?, .["vm-state-size"]?)'
}

# --- what they call --------------------------------------------------------

# Address space is what sanitizers take most of.
need_limits()
{
	need prlimit
	if [ -n "$SANITIZERS" ]; then
		skip "sanitizers have their own memory"
	fi
}

@test "nova: info under a limit of a gibibyte and 30 seconds" {
	need_limits
	cd "$IMAGES"
	for name in v3 chain packed; do
		succeeds prlimit --as=1073741824 --cpu=30 -- env LC_ALL=C \
			LANG=C "$OURS" info "$name.qcow2" --force-share \
			--output=json -f qcow2
		jq -e '.format == "qcow2" and .["virtual-size"] > 0' \
			<<<"$output"
	done
}

@test "nova: the message of a missing disk has the words it looks for" {
	run "$OURS" info nosuch.qcow2 --force-share --output=json
	assert_failure 1
	assert_output --partial 'No such file or directory'
}

@test "nova: create on a backing file, resize, rebase, convert" {
	session 'qemu-img create -f qcow2 -o backing_file=disk.raw,backing_fmt=raw new.qcow2
		qemu-img resize -f qcow2 new.qcow2 8589934592
		qemu-img rebase -b "" -F raw new.qcow2
		qemu-img convert -t writeback -O raw -f qcow2 new.qcow2 new.raw' \
		-- new.qcow2 new.raw
}

@test "glance: info and convert in two seconds of CPU, silent on success" {
	need_limits
	cd "$IMAGES"
	succeeds prlimit --as=1073741824 --cpu=2 -- "$OURS" info -f qcow2 \
		--output=json v3.qcow2
	succeeds "$OURS" convert -f qcow2 -O raw v3.qcow2 \
		"$BATS_TEST_TMPDIR/out.raw"
	assert_output ''
}

@test "cinder: the version is read with its regular expression" {
	[[ $("$OURS" --version) =~ ^qemu-img\ version\ ([0-9\.]*) ]]
	# It wants 2.10.0 at least.
	printf '%s\n' 2.10.0 "${BASH_REMATCH[1]}" | sort -VC
}

@test "cinder: convert past the page cache" {
	session 'qemu-img convert -O raw -t none -T none -f qcow2 -W v3.qcow2 new.raw
		qemu-img convert -O qcow2 -t none -f raw new.raw new.qcow2' \
		v3.qcow2 -- new.raw new.qcow2
}

@test "cinder: an unused secret and --image-opts" {
	session 'printf secret >key
		qemu-img info --object secret,id=s,format=raw,file=key \
			--image-opts driver=qcow2,file.filename=v3.qcow2 --output=json
		qemu-img convert --object secret,id=s,format=raw,file=key \
			--image-opts driver=qcow2,file.driver=file,file.filename=v3.qcow2 \
			-O raw new.raw' v3.qcow2 -- new.raw
}

@test "ironic: convert under two gibibytes with few arenas" {
	need_limits
	session 'MALLOC_ARENA_MAX=3 prlimit --as=2147483648 -- qemu-img convert -f qcow2 \
		-O raw -t writeback -S 0 -W v3.qcow2 new.raw' v3.qcow2 -- new.raw
}

@test "KubeVirt: import, with percentages on standard output" {
	session 'qemu-img convert -o preallocation=falloc -t writeback -p -O raw v3.qcow2 a.raw
		qemu-img convert -S 0 -t none -p -O raw v3.qcow2 b.raw
		qemu-img resize --preallocation=off -f raw a.raw 6442450944
		qemu-img resize --preallocation=falloc -f raw b.raw 5M
		qemu-img create -f raw c.raw 1073741824' \
		v3.qcow2 -- a.raw b.raw c.raw
	tr '\r' '\n' <ours.out | grep -qE '\(([0-9]?[0-9]\.[0-9][0-9])/100%\)'
}

@test "KubeVirt: rebase and commit of a delta, with -p" {
	session 'qemu-img rebase -p -u -F raw -b disk.raw plain.qcow2
		qemu-img commit -p plain.qcow2' plain.qcow2 -- plain.qcow2 disk.raw
}

@test "Lima: info, a conversion to raw, a larger disk" {
	session 'qemu-img info --output=json --force-share packed.qcow2
		qemu-img convert -O raw packed.qcow2 new.raw
		qemu-img create -f qcow2 new.qcow2 100G
		qemu-img resize -f qcow2 new.qcow2 200G' \
		packed.qcow2 -- new.raw new.qcow2
}

@test "Proxmox: its defaults, measure, resize, dd" {
	session 'qemu-img info --output=json v3.qcow2 -f qcow2
		qemu-img measure --output=json --size 32768K -O qcow2
		qemu-img create -o extended_l2=on,cluster_size=128k -f qcow2 new.qcow2 4194304K
		qemu-img resize --preallocation=metadata -f qcow2 new.qcow2 5368709120
		qemu-img dd bs=64k if=disk.raw -f raw -O raw of=new.raw' \
		v3.qcow2 -- new.qcow2 new.raw
}

@test "oVirt: create, convert into what exists, rebase, bitmaps" {
	session 'qemu-img create -q -f qcow2 -o compat=1.1 new.qcow2 4194304
		qemu-img convert -p -c -f qcow2 -O qcow2 v3.qcow2 packed.qcow2
		qemu-img convert -t none -T none -W -n --target-is-zero -f qcow2 -O qcow2 \
			v3.qcow2 new.qcow2
		qemu-img create -q -f qcow2 -u -b v2.qcow2 -F qcow2 -o compat=1.1 top.qcow2 4M
		qemu-img rebase -q -u -f qcow2 -b v3.qcow2 -F qcow2 top.qcow2
		qemu-img convert -f qcow2 -O qcow2 --bitmaps --skip-broken-bitmaps \
			bits.qcow2 copy.qcow2' \
		v3.qcow2 bits.qcow2 -- new.qcow2 packed.qcow2 top.qcow2 copy.qcow2
}

@test "oVirt: compare answers with 0, 1 and 2" {
	cd "$IMAGES"
	run "$OURS" compare disk.raw packed.qcow2
	assert_success
	run "$OURS" compare disk.raw v3.qcow2
	assert_failure 1
	run "$OURS" compare disk.raw nosuch
	assert_failure 2
}

@test "virt-v2v: info of json: with an offset tells whether that is known" {
	cd "$IMAGES"
	succeeds "$OURS" info \
		'json:{"file":{"driver":"raw","offset":512,"file":{"driver":"file","filename":"disk.raw"}}}'
	run "$OURS" info 'json:{"file":{"driver":"raw","nosuch":512,"file":{"driver":"file","filename":"disk.raw"}}}'
	assert_failure 1
}

@test "packer: create, convert with its options, resize" {
	session 'qemu-img create -f qcow2 new.qcow2 40960M
		qemu-img convert -c -O qcow2 v3.qcow2 packed.qcow2
		qemu-img resize -f qcow2 packed.qcow2 10G' \
		v3.qcow2 -- new.qcow2 packed.qcow2
}

@test "packer: a locked image has the words it tries again for" {
	need hold-image
	cd "$BATS_TEST_TMPDIR"
	cp "$IMAGES/v3.qcow2" held.qcow2
	coproc hold-image w held.qcow2
	read -r <&"${COPROC[0]}"
	run "$OURS" convert -O qcow2 held.qcow2 new.qcow2
	kill "$COPROC_PID"
	assert_failure 1
	assert_output --partial 'Failed to get shared "write" lock'
}

@test "vagrant: the backing file from the text, and a rebase onto nothing" {
	cd "$IMAGES"
	run bash -c '"$OURS" info top.qcow2 | grep "backing file:" | cut -d: -f2'
	assert_output "$("$THEIRS" info top.qcow2 | grep 'backing file:' |
		cut -d: -f2)"
	cd "$BATS_TEST_TMPDIR"
	session 'qemu-img rebase -p -b "" plain.qcow2' plain.qcow2 -- plain.qcow2
}

@test "cloud-image-utils: awk finds the format" {
	cd "$IMAGES"
	run bash -c '"$OURS" info v3.qcow2 | awk "/^file format:/ {print \$3}"'
	assert_output qcow2
	run bash -c '"$OURS" info disk.raw | awk "/^file format:/ {print \$3}"'
	assert_output raw
}

@test "mkosi: options glued to their values" {
	session 'qemu-img convert -onocow=on -fraw -Oqcow2 disk.raw new.qcow2' \
		-- new.qcow2
}

@test "autopkgtest and sbuild: an overlay by absolute path, snapshots" {
	session 'qemu-img create -f qcow2 -F qcow2 -b "$PWD/v3.qcow2" new.qcow2
		qemu-img snapshot -c clean new.qcow2
		qemu-img snapshot -l new.qcow2
		qemu-img rebase -u -F qcow2 -b v3.qcow2 new.qcow2' \
		v3.qcow2 -- new.qcow2
}

@test "vmdb2, kiwi, grml-debootstrap: create without a format" {
	session 'qemu-img create new.raw 100M
		qemu-img create -f raw other.raw 1G' -- new.raw other.raw
}

@test "libvirt: a resize in bytes, options behind names" {
	session 'qemu-img create -f qcow2 new.qcow2 1048576 -o compat=1.1,lazy_refcounts
		qemu-img resize new.qcow2 2097152' -- new.qcow2
}

# --- what they read --------------------------------------------------------

@test "oslo: the text of info gives the same keys and values" {
	cd "$IMAGES"
	for name in v3 top snap packed; do
		diff <("$OURS" info "$name.qcow2" | sed -nE \
			's/^([[:alnum:] _-]+):(.*)$/\1|\2/p') \
			<("$THEIRS" info "$name.qcow2" | sed -nE \
			's/^([[:alnum:] _-]+):(.*)$/\1|\2/p')
	done
}

@test "oslo: sizes are found in parentheses, and the backing file's path" {
	cd "$IMAGES"
	"$OURS" info top.qcow2 >"$BATS_TEST_TMPDIR/text"
	cd "$BATS_TEST_TMPDIR"
	grep -qE '^virtual size: [0-9.]+ [KMGT]?i?B \([0-9]+ bytes\)$' text
	grep -qE '^disk size: [0-9.]+ [KMGT]?i?B$' text
	grep -qE '^cluster_size: [0-9]+$' text
	grep -qE '^backing file: .*' text
}

@test "oslo: the list of snapshots has six columns behind a line with ID" {
	cd "$IMAGES"
	"$OURS" info snap.qcow2 >"$BATS_TEST_TMPDIR/text"
	cd "$BATS_TEST_TMPDIR"
	grep -qx 'Snapshot list:' text
	sed -n '/^Snapshot list:/,$p' text | sed -n 2p | grep -q '^ID'
	run bash -c "sed -n '/^Snapshot list:/,\$p' text | sed -n 3p | wc -w"
	[ "$output" -ge 6 ]
}

@test "oslo: JSON has the keys it reads, with their types" {
	cd "$IMAGES"
	"$OURS" info --output=json top.qcow2 | jq -e '
		(.filename | type) == "string" and
		(."backing-filename" | type) == "string" and
		(."backing-filename-format" | type) == "string" and
		(.format == "qcow2") and
		(."virtual-size" | type) == "number" and
		(."actual-size" | type) == "number" and
		(."cluster-size" | type) == "number" and
		(."format-specific".data.compat | type) == "string"'
	"$OURS" info --output=json snap.qcow2 | jq -e '
		(.snapshots | length) == 2 and .snapshots[0].name == "one"'
}

@test "JSON has one key to a line, and no size twice" {
	cd "$IMAGES"
	run "$OURS" info --output=json v3.qcow2
	assert_equal "$(grep -c '"virtual-size"' <<<"$output")" 1
	[[ ${lines[1]} == '    "'* ]]
}
