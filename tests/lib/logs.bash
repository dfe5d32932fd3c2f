# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of write logs, on top of what all tests have.

load "$top_srcdir/tests/lib/common"

# unpack NAME...: in setup_file(); $LOGS/NAME is then the shipped log.
unpack()
{
	local name

	export LOGS=$BATS_FILE_TMPDIR
	for name; do
		log_file "$name" "$LOGS/$name"
	done
}

# unpack_all: every log there is.
unpack_all()
{
	local file

	for file in "$top_srcdir"/tests/images/write-logs/*.dmlw.xz; do
		unpack "$(basename "$file" .dmlw.xz)"
	done
}

# on_loop FILE: $loop is then a block device with its content. The file's
# teardown() calls off_loop.
on_loop()
{
	need_root
	need losetup
	loop=$(losetup --show -f "$1") || skip "no loop device is free"
}

off_loop()
{
	if [ -n "${loop-}" ]; then
		losetup -d "$loop"
	fi
}

# ends_early COMMAND...: exit 1 with a result, and one line that says why.
ends_early()
{
	run --separate-stderr "$@"
	assert_failure 1
	complained 'ends early'
}

# json FILTER COMMAND...: what jq's FILTER makes of the command's JSON. Only
# trouble is a failure here: exit 1 is an answer.
json()
{
	local filter=$1 code=0 text

	shift
	text=$("$@" --output=json 2>/dev/null) || code=$?
	((code < 2)) || return "$code"
	jq -cr "$filter" <<<"$text"
}

# told EXPECTED FILTER COMMAND...: the same, compared.
told()
{
	local expected=$1

	shift
	run json "$@"
	assert_success
	assert_output "$expected"
}

# bounded COMMAND...: in a minute, and 400 MB of address space where there is
# no sanitizer, which takes all there is.
bounded()
{
	(
		if [ -z "${SANITIZERS:-}" ]; then
			ulimit -v 400000
		fi
		exec timeout 60 "$@"
	)
}

# bytes_of COUNT BYTE: COUNT bytes of that value, in octal.
bytes_of()
{
	head -c "$1" /dev/zero | tr '\0' "\\$2"
}

sha256_of()
{
	sha256sum | cut -d' ' -f1
}

# files: the names in the current folder, less what `run` leaves there.
files()
{
	local name
	local -a names=()

	for name in * .[!.]*; do
		if [[ -e $name && $name != separate-stderr-* ]]; then
			names+=("$name")
		fi
	done
	echo "${names[*]}"
}
