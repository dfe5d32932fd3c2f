# SPDX-License-Identifier: LGPL-2.1-or-later
# JSON and exit codes, held against qemu-img.

load lib/common
load lib/peer

setup_file()
{
	peer_images
	# A cluster that nothing refers to, and an L2 entry that points nowhere.
	cp v3.qcow2 leak.qcow2
	cp v3.qcow2 broken.qcow2
	qemu-io -f qcow2 -c 'write -P 5 3200k 64k' leak.qcow2 >/dev/null
	put leak.qcow2 "$(l2_entry leak.qcow2 50)" 0000000000000000
	put broken.qcow2 "$(l2_entry broken.qcow2 0)" 80000000000a0200
}

setup()
{
	common_setup
	need jq
}

teardown()
{
	exits_agree
}

# l2_entry FILE INDEX: where it is; 64 KiB clusters.
l2_entry()
{
	local l1 l2

	l1=$((16#$(byte_at "$1" 40 8)))
	l2=$((16#$(byte_at "$1" "$l1" 8) & 0xfffffffffffe00))
	echo $((l2 + 8 * $2))
}

# --- JSON ------------------------------------------------------------------

# each_image COMMAND...: with every image of the matrix.
each_image()
{
	local name

	cd "$IMAGES" || return
	for name in $peer_qcow2; do
		"$@" "$name.qcow2"
	done
	for name in disk odd empty hole; do
		"$@" "$name.raw"
	done
}

@test "info is qemu-img's" {
	each_image same_json info
}

@test "info of a chain is qemu-img's" {
	each_image same_json info --backing-chain
}

@test "info with a format is qemu-img's" {
	cd "$IMAGES"
	same_json info -f qcow2 snap.qcow2
	same_json info -f raw snap.qcow2
	same_json info -U -f raw disk.raw
}

@test "map is qemu-img's, offsets and all" {
	each_image same_json map
}

@test "map of a part is qemu-img's" {
	cd "$IMAGES"
	for name in v3 v2 small sub top chain packed odd; do
		same_json map -s 70000 -l 1500000 "$name.qcow2"
		same_json map --start-offset=1M "$name.qcow2"
		same_json map --max-length=64k "$name.qcow2"
	done
}

@test "check is qemu-img's" {
	local name

	cd "$IMAGES"
	for name in $peer_qcow2 leak broken; do
		same_json check "$name.qcow2"
	done
}

@test "measure of an image is qemu-img's" {
	each_image same_json measure
	each_image same_json measure -O qcow2
	each_image same_json measure -O qcow2 -o cluster_size=4k,compat=0.10
	each_image same_json measure -O qcow2 -o extended_l2=on
}

@test "measure of a snapshot is qemu-img's" {
	cd "$IMAGES"
	same_json measure -l one -O qcow2 snap.qcow2
	same_json measure -l snapshot.id=2 -O raw snap.qcow2
}

@test "measure of a size is qemu-img's" {
	local size options

	for size in 0 1 512 1M 1234567 10G 3T; do
		same_json measure --size "$size"
		for options in cluster_size=64k cluster_size=512 \
			cluster_size=2M,refcount_bits=1 extended_l2=on \
			preallocation=full refcount_bits=64; do
			same_json measure --size "$size" -O qcow2 -o "$options"
		done
	done
}

@test "text of info is qemu-img's" {
	local name

	cd "$IMAGES"
	for name in $peer_qcow2; do
		diff <("$OURS" info "$name.qcow2") \
			<("$THEIRS" info "$name.qcow2") || fail "$name"
	done
}

@test "text of map is qemu-img's" {
	local name

	cd "$IMAGES"
	for name in v3 v2 small sub top chain odd; do
		diff <("$OURS" map "$name.qcow2") \
			<("$THEIRS" map "$name.qcow2") || fail "$name"
	done
}

# --- exit codes ------------------------------------------------------------

# bad_calls VERB OPERAND...: what no verb accepts.
bad_calls()
{
	local verb=$1

	shift
	exits 1 "$verb"
	exits 1 "$verb" --nosuch "$@"
	exits 1 "$verb" -Y "$@"
	exits 1 "$verb" --nosuch=x "$@"
}

@test "info: exit codes" {
	bad_calls info disk.raw
	exits 0 info disk.raw
	exits 0 info v3.qcow2
	exits 1 info nosuch.raw
	exits 1 info disk.raw v3.qcow2
	exits 1 info -f nosuch disk.raw
	exits 1 info -f qcow2 disk.raw
	exits 1 info -f
	exits 1 info --output=nosuch disk.raw
	exits 1 info --output=xml disk.raw
	exits 1 info .
	exits 0 info --image-opts driver=qcow2,file.filename=v3.qcow2
	exits 1 info --image-opts driver=qcow2,file.filename=nosuch.qcow2
	exits 1 info --image-opts driver=qcow2,nosuch=1,file.filename=v3.qcow2
	exits 1 info --image-opts nosuch
	exits 0 info 'json:{"driver":"raw","file":{"driver":"file","filename":"disk.raw"}}'
	exits 1 info 'json:{'
	exits 1 info -f qcow2 --image-opts driver=qcow2,file.filename=v3.qcow2
}

@test "map: exit codes" {
	bad_calls map disk.raw
	exits 0 map disk.raw
	exits 0 map -s 1M v3.qcow2
	exits 0 map -s 1G v3.qcow2
	exits 1 map -s 1x v3.qcow2
	exits 1 map -s -1 v3.qcow2
	exits 1 map nosuch.raw
	exits 1 map packed.qcow2
	exits 0 map --output=json packed.qcow2
	exits 1 map disk.raw v3.qcow2
}

@test "check: exit codes" {
	bad_calls check v3.qcow2
	exits 0 check v3.qcow2
	exits 63 check disk.raw
	exits 63 check -f raw v3.qcow2
	exits 1 check nosuch.qcow2
	exits 3 check leak.qcow2
	exits 2 check broken.qcow2
	exits 0 check -r leaks leak.qcow2
	exits 0 check -r all leak.qcow2
	exits 1 check -r nosuch leak.qcow2
	exits 1 check -U -r all leak.qcow2
	exits 1 check v3.qcow2 v2.qcow2
	exits 1 check -f qcow2 disk.raw
	exits 0 check -q v3.qcow2
	exits 0 check -T none v3.qcow2
	exits 1 check -T nosuch v3.qcow2
}

@test "compare: exit codes" {
	bad_calls compare disk.raw disk.raw
	exits 0 compare disk.raw disk.raw
	exits 0 compare disk.raw packed.qcow2
	exits 1 compare disk.raw v3.qcow2
	exits 1 compare -s disk.raw packed.qcow2
	exits 2 compare disk.raw nosuch.raw
	exits 2 compare nosuch.raw disk.raw
	exits 2 compare -f qcow2 disk.raw disk.raw
	exits 2 compare -F nosuch disk.raw disk.raw
	exits 1 compare disk.raw
	exits 1 compare disk.raw disk.raw disk.raw
	exits 1 compare empty.raw disk.raw
	exits 0 compare empty.raw hole.raw
	exits 1 compare -s empty.raw hole.raw
	exits 0 compare -q -p -U disk.raw disk.raw
}

@test "measure: exit codes" {
	# An unknown option is no error to qemu-img 7.2's, so that is left out.
	exits 1 measure
	exits 0 measure disk.raw
	exits 0 measure --size 1G
	exits 1 measure --size 1G disk.raw
	exits 1 measure --size x
	exits 1 measure -O nosuch --size 1G
	exits 1 measure -O qcow2 -o cluster_size=3k --size 1G
	exits 1 measure -O qcow2 -o nosuch=1 --size 1G
	exits 1 measure nosuch.raw
	exits 1 measure -l nosuch snap.qcow2
	exits 1 measure -l one --size 1G
}

@test "create: exit codes" {
	bad_calls create new.raw 1M
	exits 0 create new.raw 1M
	exits 0 create -f qcow2 new.qcow2 1M
	exits 1 create -f qcow2 new.qcow2
	exits 1 create -f nosuch new.raw 1M
	exits 1 create -f qcow2 new.qcow2 1x
	exits 1 create -f qcow2 new.qcow2 -1
	exits 1 create -f qcow2 -o nosuch=1 new.qcow2 1M
	exits 1 create -f qcow2 -o cluster_size=1000 new.qcow2 1M
	exits 1 create -f qcow2 -o refcount_bits=3 new.qcow2 1M
	exits 1 create -f qcow2 -o compat=2 new.qcow2 1M
	exits 1 create -f qcow2 -o compat=0.10,extended_l2=on new.qcow2 1M
	exits 1 create -f qcow2 -o preallocation=nosuch new.qcow2 1M
	exits 0 create -f qcow2 -b disk.raw -F raw new.qcow2
	exits 0 create -f qcow2 -b disk.raw -F raw new.qcow2 10M
	exits 1 create -f qcow2 -b disk.raw new.qcow2
	exits 1 create -f qcow2 -b nosuch.raw -F raw new.qcow2
	exits 1 create -f qcow2 -u -b nosuch.raw -F raw new.qcow2
	exits 0 create -f qcow2 -u -b nosuch.raw -F raw new.qcow2 1M
	exits 1 create -f qcow2 -b new.qcow2 -F qcow2 new.qcow2
	exits 1 create -f raw -b disk.raw -F raw new.raw
	exits 0 create -f qcow2 -o size=1M new.qcow2
	exits 1 create -f qcow2 nosuch/new.qcow2 1M
	exits 0 create -f qcow2 -o help
	exits 1 create -f raw new.raw 1M 2M
}

@test "resize: exit codes" {
	bad_calls resize v3.qcow2 5M
	exits 0 resize v3.qcow2 5M
	exits 0 resize v3.qcow2 +1M
	exits 1 resize v3.qcow2 1M
	exits 0 resize --shrink v3.qcow2 1M
	exits 0 resize --shrink v3.qcow2 -1M
	exits 1 resize --shrink v3.qcow2 -10M
	exits 1 resize v3.qcow2
	exits 1 resize v3.qcow2 x
	exits 1 resize nosuch.qcow2 1M
	exits 0 resize -f raw disk.raw 5M
	exits 1 resize -f raw disk.raw 1M
	exits 0 resize -f raw --shrink disk.raw 1M
	exits 1 resize -f qcow2 disk.raw 5M
	exits 0 resize --preallocation=metadata v3.qcow2 5M
	exits 0 resize --preallocation=falloc v3.qcow2 5M
	exits 1 resize --preallocation=nosuch v3.qcow2 5M
	exits 1 resize --preallocation=full --shrink v3.qcow2 1M
	exits 0 resize v3.qcow2 4M
}

@test "amend: exit codes" {
	bad_calls amend v3.qcow2
	exits 0 amend -o lazy_refcounts=on v3.qcow2
	exits 0 amend -o compat=0.10 v3.qcow2
	exits 0 amend -o compat=1.1 v2.qcow2
	exits 1 amend -o nosuch=1 v3.qcow2
	exits 1 amend -o cluster_size=4k v3.qcow2
	exits 1 amend -o compat=0.10 sub.qcow2
	exits 1 amend v3.qcow2
	exits 1 amend -o compat=1.1 nosuch.qcow2
	exits 1 amend -f raw -o size=1M disk.raw
	exits 0 amend -o refcount_bits=8 v3.qcow2
}

@test "snapshot: exit codes" {
	bad_calls snapshot snap.qcow2
	exits 0 snapshot -l snap.qcow2
	exits 0 snapshot snap.qcow2
	exits 0 snapshot -c three snap.qcow2
	exits 0 snapshot -a one snap.qcow2
	exits 0 snapshot -d one snap.qcow2
	exits 1 snapshot -a nosuch snap.qcow2
	exits 1 snapshot -d nosuch snap.qcow2
	exits 1 snapshot -c a -d b snap.qcow2
	exits 1 snapshot -c x refs1.qcow2
	exits 1 snapshot -c x disk.raw
	exits 1 snapshot -l nosuch.qcow2
}

@test "rebase: exit codes" {
	bad_calls rebase top.qcow2
	exits 0 rebase -b hole.raw -F raw top.qcow2
	exits 0 rebase -b '' top.qcow2
	exits 0 rebase -u -b nosuch.raw -F raw top.qcow2
	exits 1 rebase -b nosuch.raw -F raw top.qcow2
	exits 1 rebase top.qcow2
	exits 1 rebase -b disk.raw -F nosuch top.qcow2
	exits 1 rebase -b disk.raw -F raw nosuch.qcow2
	exits 1 rebase -f raw -b disk.raw -F raw disk.raw
}

@test "commit: exit codes" {
	bad_calls commit top.qcow2
	exits 0 commit top.qcow2
	exits 0 commit -d top.qcow2
	exits 0 commit -b v2.qcow2 chain.qcow2
	exits 1 commit v3.qcow2
	exits 1 commit -b nosuch chain.qcow2
	exits 1 commit nosuch.qcow2
	exits 1 commit -f raw disk.raw
	exits 1 commit -r x top.qcow2
	exits 0 commit -r 1G top.qcow2
	exits 0 commit -q -p -t writeback top.qcow2
}

@test "convert: exit codes" {
	bad_calls convert disk.raw new.raw
	exits 0 convert disk.raw new.raw
	exits 0 convert -O qcow2 disk.raw new.qcow2
	exits 1 convert disk.raw
	exits 1 convert nosuch.raw new.raw
	exits 1 convert -O nosuch disk.raw new.raw
	exits 1 convert -f nosuch disk.raw new.raw
	exits 1 convert -c disk.raw new.raw
	exits 0 convert -c -O qcow2 disk.raw new.qcow2
	exits 1 convert -c -S 4k -n -O qcow2 disk.raw nosuch.qcow2
	exits 1 convert -S 1 disk.raw new.raw
	exits 1 convert -S x disk.raw new.raw
	exits 1 convert -m 0 disk.raw new.raw
	exits 1 convert -m 17 disk.raw new.raw
	exits 0 convert -m 16 -W disk.raw new.raw
	exits 0 convert -c -W -O qcow2 disk.raw new.qcow2
	exits 1 convert -l nosuch snap.qcow2 new.raw
	exits 0 convert -l one snap.qcow2 new.raw
	exits 1 convert --target-is-zero disk.raw new.raw
	exits 0 convert -n --target-is-zero -O raw disk.raw hole.raw
	exits 1 convert -n disk.raw nosuch.raw
	exits 1 convert -n -o cluster_size=4k -O qcow2 disk.raw v3.qcow2
	exits 1 convert -n -O raw v3.qcow2 empty.raw
	exits 1 convert -O qcow2 -o nosuch=1 disk.raw new.qcow2
	exits 0 convert -O qcow2 disk.raw odd.raw new.qcow2
	exits 0 convert -O qcow2 --bitmaps bits.qcow2 new.qcow2
	exits 1 convert -O raw --bitmaps bits.qcow2 new.raw
	exits 1 convert --skip-broken-bitmaps -O qcow2 bits.qcow2 new.qcow2
	exits 0 convert -O qcow2 -B disk.raw -F raw plain.qcow2 new.qcow2
	exits 1 convert -O qcow2 -B disk.raw plain.qcow2 new.qcow2
	exits 1 convert -t nosuch disk.raw new.raw
	exits 1 convert -T nosuch disk.raw new.raw
	exits 0 convert --salvage disk.raw new.raw
	exits 1 convert -C -S 4k disk.raw new.raw
	exits 0 convert -C disk.raw new.raw
	exits 1 convert -C -c -O qcow2 disk.raw new.qcow2
	exits 1 convert -O raw disk.raw nosuch/new.raw
	exits 0 convert -r 100M disk.raw new.raw
}

@test "dd: exit codes" {
	# Without if= or of= ours takes standard input and output.
	exits 0 dd if=disk.raw of=new.raw
	exits 0 dd bs=64k count=3 skip=2 -O qcow2 if=disk.raw of=new.qcow2
	exits 1 dd bs=0 if=disk.raw of=new.raw
	exits 1 dd bs=x if=disk.raw of=new.raw
	exits 1 dd nosuch=1 if=disk.raw of=new.raw
	exits 1 dd if=nosuch.raw of=new.raw
	exits 1 dd -f nosuch if=disk.raw of=new.raw
	exits 1 dd -O nosuch if=disk.raw of=new.raw
	exits 1 dd --nosuch if=disk.raw of=new.raw
}

@test "bench: exit codes" {
	bad_calls bench v3.qcow2
	exits 0 bench -c 10 v3.qcow2
	exits 0 bench -c 10 -w -f qcow2 v3.qcow2
	exits 1 bench -c x v3.qcow2
	exits 1 bench -d 0x v3.qcow2
	exits 1 bench -t nosuch v3.qcow2
	exits 1 bench nosuch.qcow2
	exits 1 bench -c 10 --pattern=300 -w v3.qcow2
	exits 1 bench -c 10 --flush-interval=2 v3.qcow2
}
