# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of qcow2 images, on top of what all tests have.

load "$top_srcdir/tests/lib/common"

# Everything there is in a qcow2 image: data, zeros, holes, compressed data.
# Compressed clusters are whole ones at any cluster size.
FILL=(
	-c 'write -P 1 0 300k'
	-c 'write -P 2 1000k 5k'
	-c 'write -z 64k 200k'
	-c 'write -c -P 3 2M 2M'
	-c 'discard 128k 32k'
	-c 'write -P 4 5M 700k'
	-c 'write -P 5 2100k 7k'
	-c 'write -z 5200k 100k'
)

# quietly COMMAND...: qemu-io says much, and all on standard output.
quietly()
{
	"$@" >/dev/null
}

# make_image FILE [CREATE-OPTION...]: one of 8 MiB and a bit, with FILL.
make_image()
{
	local file=$1

	shift
	need qemu-img qemu-io
	qemu-img create -q -f qcow2 "$@" "$file" 8390144
	quietly qemu-io -f qcow2 "${FILL[@]}" "$file"
}

# The same without compressed clusters, which a data file does not allow.
make_plain_image()
{
	local -a FILL=("${FILL[@]}")

	unset 'FILL[6]' 'FILL[7]'
	make_image "$@"
}

# be32 NUMBER, be64 NUMBER: as hexadecimal digits.
be32()
{
	printf '%08x' "$1"
}

be64()
{
	printf '%016x' "$1"
}

# io IMAGE COMMAND...: by qemu-io.
io()
{
	local file=$1 command
	local -a all=()

	shift
	for command; do
		all+=(-c "$command")
	done
	quietly qemu-io -d unmap "${all[@]}" "$file"
}
