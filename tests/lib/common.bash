# SPDX-License-Identifier: LGPL-2.1-or-later
# What every test of the command may use. In a .bats file:
#
#	load lib/common
#	setup() { common_setup; }
#
# The command is "$PLATTER"; the tests' own programs are in the PATH.

bats_require_minimum_version 1.5.0

# As built, not as installed.
# shellcheck disable=SC2154 # set by run-bats
export PLATTER_NBDKIT_PLUGIN=$top_builddir/serve/.libs/nbdkit-platter-plugin.so

# setup(): the assertions, and a current folder that is the test's own.
common_setup()
{
	bats_load_library bats-support
	bats_load_library bats-assert
	cd "$BATS_TEST_TMPDIR" || return
}

# fails CODE TEXT COMMAND...: that exit code, nothing on standard output, and
# on standard error one line, which has TEXT in it.
fails()
{
	local code=$1 text=$2

	shift 2
	run --separate-stderr "$@"
	assert_failure "$code"
	assert_output ''
	complained "$text"
}

# complained TEXT: what `run --separate-stderr` left is one line with TEXT.
complained()
{
	# shellcheck disable=SC2154 # set by run
	assert_equal "${#stderr_lines[@]}" 1
	# shellcheck disable=SC2154
	if [[ $stderr != 'platter: '*"$1"* ]]; then
		fail "'$1' is not in: $stderr"
	fi
}

# usage_error TEXT COMMAND...: exit code 1, nothing on standard output, and on
# standard error a line with TEXT and one that says where help is.
usage_error()
{
	local text=$1

	shift
	run --separate-stderr "$@"
	assert_failure 1
	assert_output ''
	assert_equal "${#stderr_lines[@]}" 2
	if [[ ${stderr_lines[0]} != 'platter: '*"$text"* ]]; then
		fail "'$text' is not in: ${stderr_lines[0]}"
	fi
	[[ ${stderr_lines[1]} == "Try 'platter"*" --help' for more information." ]]
}

# succeeds COMMAND...: exit code 0 and nothing on standard error, which some
# programs take for a failure.
succeeds()
{
	run --separate-stderr "$@"
	assert_success
	assert_equal "$stderr" ''
}

# same_json VERB ARGUMENT...: platter and qemu-img say the same, as parsed.
same_json()
{
	local verb=$1 ours theirs

	shift
	need qemu-img jq
	ours=$("$PLATTER" "$verb" --output=json "$@") || return
	theirs=$(qemu-img "$verb" --output=json "$@") || return
	diff <(jq -S . <<<"$ours") <(jq -S . <<<"$theirs")
}

# same_text VERB ARGUMENT...: and for people.
same_text()
{
	local verb=$1 ours theirs

	shift
	need qemu-img
	ours=$("$PLATTER" "$verb" "$@") || return
	theirs=$(qemu-img "$verb" "$@") || return
	diff <(echo "$ours") <(echo "$theirs")
}

# same_content IMAGE [ARGUMENT...]: platter reads what qemu-img reads.
same_content()
{
	need qemu-img
	rm -f "$BATS_TEST_TMPDIR"/.ours "$BATS_TEST_TMPDIR"/.theirs
	"$PLATTER" convert -O raw "$@" "$BATS_TEST_TMPDIR/.ours"
	qemu-img convert -O raw "$@" "$BATS_TEST_TMPDIR/.theirs"
	cmp "$BATS_TEST_TMPDIR/.ours" "$BATS_TEST_TMPDIR/.theirs"
}

# byte_at FILE OFFSET [COUNT]: as hexadecimal digits.
byte_at()
{
	od -An -v -tx1 -j "$2" -N "${3:-1}" "$1" | tr -d ' \n'
}

# put FILE OFFSET HEX: changes bytes in place.
put()
{
	# shellcheck disable=SC2001
	printf '%b' "$(sed 's/../\\x&/g' <<<"$3")" |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# log_file NAME OUT: unpacks one of the shipped logs.
log_file()
{
	# shellcheck disable=SC2154 # set by run-bats
	xz -dc "$top_srcdir/tests/images/write-logs/$1.dmlw.xz" >"$2"
}

# hold COMMAND...: starts a program that keeps an image open until release, or
# the end of the test. It prints a line with "open" when it has it, as
# hold-image does.
hold()
{
	local i

	mkfifo input
	"$@" <input >held 2>&1 3>&- &
	holder=$!
	exec {holder_input}>input
	rm input
	for ((i = 0; i < 300; i++)); do
		if grep -q open held; then
			return 0
		fi
		sleep 0.1
	done
	fail "$1 did not open the image: $(cat held)"
}

release()
{
	if [ -n "${holder:-}" ]; then
		exec {holder_input}>&-
		wait "$holder" || true
		holder=
	fi
}

# traced ARGS...: strace -f; a program looks for leaks by tracing itself when it
# was built with a sanitizer, which cannot be done twice.
traced()
{
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 \
		strace -f "$@"
}

need_root()
{
	if [ "$(id -u)" -ne 0 ]; then
		skip "needs root"
	fi
}

# Mounts that only the test sees: not in a chroot that is no mount point.
need_own_mounts()
{
	need_root
	need unshare
	unshare -m true 2>/dev/null || skip "there can be no mounts of one's own"
}

# User 65534 must get at the programs, which may lie in somebody's home.
need_nobody()
{
	need_root
	need setpriv
	setpriv --reuid 65534 --regid 65534 --clear-groups "$PLATTER" \
		--version >/dev/null 2>&1 ||
		skip "user 65534 cannot run what is built here"
}

# need PROGRAM...: skips the test, and says so, where one is missing.
need()
{
	local tool

	for tool; do
		type -P "$tool" >/dev/null || skip "$tool was not found"
	done
}
