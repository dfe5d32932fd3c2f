# SPDX-License-Identifier: LGPL-2.1-or-later
# Crash states of qcow2 images under a load of 2,000 operations, with snapshots,
# discards and a bitmap: platter's, and QEMU's to compare.

load ../lib/record

setup()
{
	record_setup
	need jq qemu-img qemu-io
	need_fuse
}

teardown()
{
	record_teardown
}

@test "no state after 2000 operations by platter is corrupt" {
	qcow2_explored 2000 ours
	echo "# $(number unique) states" >&3
	assert_equal "$code" 0
}

@test "states after 2000 operations by QEMU are counted" {
	qcow2_explored 2000 qemu
	echo "# $(number unique) states, $(number fail) corrupt" >&3
}
