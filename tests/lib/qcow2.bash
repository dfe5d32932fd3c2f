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

# encrypted_image FILE FORMAT[,OPTION=VALUE...]: one of 1 MiB, by qemu-img, with
# FORMAT aes or luks and its options. The key derivation of LUKS is timed, which
# on a busy machine may not come off; it is tried again then.
encrypted_image()
{
	local file=$1 options=key-secret=s,format=$2 i

	need qemu-img
	case $2 in
	luks*) options+=,iter-time=10 ;;
	esac
	for ((i = 0; i < 20; i++)); do
		rm -f "$file"
		run qemu-img create -q -f qcow2 --object secret,id=s,data=abc \
			-o "encrypt.${options//,/,encrypt.}" "$file" 1M
		# shellcheck disable=SC2154 # set by run
		[[ $output == *'Unable to get accurate CPU usage'* ]] || break
	done
	assert_success
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
