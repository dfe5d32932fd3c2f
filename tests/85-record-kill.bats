# SPDX-License-Identifier: LGPL-2.1-or-later
# A recorder that is killed under load has lost nothing that was durable.
# shellcheck disable=SC1083,SC2016,SC2034,SC2119,SC2317

load lib/record

setup()
{
	record_setup
	need_fuse
	need pgrep
	truncate -s 16M before.raw
	victim=platter target={}
}

teardown()
{
	record_teardown
}

# times COUNT OPTION...: kill it that many times.
times()
{
	local i count=$1

	shift
	for ((i = 0; i < count; i++)); do
		killed_under_load "$@"
	done
}

@test "a recorder killed under load on a raw image has lost nothing" {
	format=raw
	times 7
}

@test "a recorder killed under load on a qcow2 image has lost nothing" {
	format=qcow2
	times 7
}

@test "a recorder in nbdkit that is killed has lost nothing" {
	need_nbd
	victim=nbdkit target={nbd}
	format=raw
	times 5
	format=qcow2
	times 4
}

@test "a file served by a recorder in nbdkit that is killed has lost nothing" {
	need_nbd
	format=raw victim=nbdkit
	times 2 --nbd
}

@test "a log can be appended to after its recorder was killed" {
	format=raw
	times 1
	# As an image that is to be right again has to be: from the log.
	mv after.raw disk
	"$PLATTER" log record -q -f raw --append --log run.log disk -- \
		dd if=/dev/urandom of={} bs=4k count=5 conv=notrunc,fsync \
		status=none
	"$PLATTER" log check run.log
	same_after_replay
}
