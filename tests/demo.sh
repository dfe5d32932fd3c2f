#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# platter's main job on a log that Linux recorded: look at it, bring the disk
# back to the moment of an fsync, and see that nothing acknowledged is lost; then
# the same for every state a power cut could have left, and where it is not so.
#
#   demo.sh PLATTER       (the built command; "./bootstrap demo" calls this)
set -euo pipefail
platter=${1:?usage: demo.sh PLATTER}
here=$(cd "$(dirname "$0")" && pwd)
logs=$here/images/write-logs
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PATH=$PATH:/usr/sbin:/sbin

show() {
	printf '\n$ platter %s\n' "$*"
	(cd "$work" && "$platter" "$@")
}

echo "== A write log: every write of ext4 under fsync load, recorded by Linux =="
xz -dc "$logs/kernel-6.1-ext4.dmlw.xz" >"$work/run.log"
show log info run.log
show log marks run.log

echo
echo "== The disk as it was when the third fsync had returned =="
show replay run.log disk.img --to mark:fsync-3 --verify

echo
echo "== Power is back: e2fsck recovers the journal, then checks everything =="
echo '$ e2fsck -fy disk.img; e2fsck -fn disk.img'
recovery=0
e2fsck -fy "$work/disk.img" >"$work/recovery" 2>&1 || recovery=$?
sed "s|$work/||" "$work/recovery"
if [ "$recovery" -gt 1 ]; then
	echo "e2fsck could not recover it: exit $recovery" >&2
	exit 1
fi
e2fsck -fn "$work/disk.img" 2>/dev/null | sed "s|$work/||"
echo "e2fsck: clean after journal recovery"

echo
echo "== The file that fsync acknowledged, against its md5 at that time =="
echo '$ debugfs -R "cat /d3/f" disk.img | md5sum'
got=$(debugfs -R 'cat /d3/f' "$work/disk.img" 2>/dev/null | md5sum |
	cut -d' ' -f1)
want=$(tr -d '\r' <"$logs/kernel-6.1-ext4.md5" |
	sed -n 's|  /mnt/d3/f$||p')
echo "found    $got"
echo "expected $want"
if [ "$got" != "$want" ]; then
	echo "the acknowledged file was lost" >&2
	exit 1
fi
echo "the acknowledged file is intact"

echo
echo "== Every state a power cut could have left after mkfs: do all recover? =="
mkdir "$work/promises"
sed -n '4s|/mnt||p' "$logs/kernel-6.1-ext4.md5" >"$work/promises/fsync-4.md5"
show crash explore --from mark:mkfs --unit 4096 run.log --fs ext4 \
	--acked promises

echo
echo "== The same load with -o nobarrier: is the fourth file there? =="
xz -dc "$logs/kernel-6.1-nobar.dmlw.xz" >"$work/nobar.log"
sed -n '4s|/mnt||p' "$logs/kernel-6.1-nobar.md5" >"$work/promises/fsync-4.md5"
lost=0
show crash explore --from mark:mkfs+80 --strategy 2cp nobar.log \
	--acked promises || lost=$?
if [ "$lost" != 1 ]; then
	echo "no lost file was found: exit $lost" >&2
	exit 1
fi

echo
echo "== Which write was to blame? =="
show crash shrink nobar.log 149-70 --acked promises
