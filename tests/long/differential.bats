# SPDX-License-Identifier: LGPL-2.1-or-later
# 200 random sequences of 500 operations by platter and by qemu-img and
# qemu-io; each of the 20 kinds of images of random-ops comes ten times.

load ../lib/common

setup()
{
	common_setup
	need qemu-img qemu-io
	mkdir bin
	ln -s "$PLATTER" bin/qemu-img
}

# sequences FIRST: every twentieth seed, which is one kind of images.
sequences()
{
	local seed

	for ((seed = $1; seed < 200; seed += 20)); do
		DIFFERENTIAL_IMG=$PWD/bin/qemu-img run bash \
			"$top_srcdir/tests/tools/differential" "$seed" 500 work
		assert_success
		rm -rf work
	done
}

@test "all kinds of images agree with qemu after 500 operations" {
	local kind

	for kind in {0..19}; do
		sequences "$kind"
	done
}
