# SPDX-License-Identifier: LGPL-2.1-or-later
# What 85-record-kill.bats does a few times, 200 times.
# shellcheck disable=SC1083,SC2016,SC2034,SC2119,SC2317

# shellcheck disable=SC2154 # set by run-bats
load "$top_srcdir/tests/lib/record"

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

@test "a recorder killed at 200 moments under load has lost nothing" {
	for ((i = 0; i < 60; i++)); do
		format=raw killed_under_load
		format=qcow2 killed_under_load
	done
	need_nbd
	victim=nbdkit target={nbd}
	for ((i = 0; i < 40; i++)); do
		format=raw killed_under_load
		format=qcow2 killed_under_load
	done
}
