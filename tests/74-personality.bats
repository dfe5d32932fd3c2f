# SPDX-License-Identifier: LGPL-2.1-or-later
# The command under the name qemu-img: what programs that call that see.

load lib/common

setup()
{
	common_setup
	mkdir bin
	ln -s "$PLATTER" bin/qemu-img
	theirs=$(type -P qemu-img || true)
	ours=$BATS_TEST_TMPDIR/bin/qemu-img
	seq 100000 >disk.raw
	truncate -s 4M disk.raw
}

# refused TEXT WORD...: exit code 1, nothing on standard output, and a line
# that begins with the name.
refused()
{
	local text=$1

	shift
	run --separate-stderr "$ours" "$@"
	assert_failure 1
	assert_output ''
	if [[ ${stderr_lines[0]} != 'qemu-img: '*"$text"* ]]; then
		fail "'$text' is not in: ${stderr_lines[0]}"
	fi
}

# --- who it is -------------------------------------------------------------

@test "the first line of --version is one that version checks match" {
	run --separate-stderr "$ours" --version
	assert_success
	assert_equal "$stderr" ''
	[[ ${lines[0]} =~ ^qemu-img\ version\ ([0-9.]*) ]]
	assert_equal "${BASH_REMATCH[1]}" 7.2.0
	[[ ${lines[0]} == *"($("$PLATTER" --version))"* ]]
}

@test "the version has as many numbers as the real one's" {
	[ -n "$theirs" ] || skip "qemu-img was not found"
	diff <("$ours" -V | sed -nE '1s/^(qemu-img version [0-9]+\.[0-9]+\.).*/\1/p') \
		<("$theirs" -V |
		sed -nE '1s/^(qemu-img version [0-9]+\.[0-9]+\.).*/\1/p')
}

@test "a path in front of the name makes no difference" {
	run bash -c 'exec -a /opt/x/qemu-img "$PLATTER" --version'
	assert_line --index 0 --partial 'qemu-img version'
	run bash -c 'exec -a qemu-img "$PLATTER" --version'
	assert_line --index 0 --partial 'qemu-img version'
}

@test "another name is platter" {
	ln -s "$PLATTER" bin/qemu-image
	run bin/qemu-image --version
	assert_output "$("$PLATTER" --version)"
}

# --- help ------------------------------------------------------------------

@test "--help begins with version and usage and lists the formats in one line" {
	run --separate-stderr "$ours" --help
	assert_success
	assert_equal "$stderr" ''
	[[ ${lines[0]} == 'qemu-img version '* ]]
	assert_line --index 1 --partial 'usage: qemu-img '
	assert_line --partial 'Command syntax:'
	assert_line --regexp '^Supported formats:.* raw .*'
	assert_line --regexp '^Supported formats:.* qcow2'
	run "$ours" -h
	assert_line --index 1 --partial 'usage: qemu-img '
}

@test "--help has a line for each command, with the options scripts look for" {
	run "$ours" --help
	assert_line --regexp '^  convert .*\[-f fmt\].*\[-O fmt\]|^  convert .*\[-O fmt\].*\[-f fmt\]'
	assert_line --regexp '^  convert .*--target-is-zero'
	assert_line --regexp '^  convert .*\[-o options\]'
	assert_line --regexp '^  create .*\[-F fmt\]'
	assert_line --regexp '^  create .*\[-o options\]'
	assert_line --regexp '^  info .*--output=ofmt.*'
	assert_line --regexp '^  info .*--backing-chain'
	assert_line --regexp '^  info .*\[-U\]'
	assert_line --regexp '^  resize .*--shrink'
}

@test "the commands are those of qemu-img, and no others" {
	[ -n "$theirs" ] || skip "qemu-img was not found"
	diff <("$ours" --help | sed -n '/^Command syntax/,/^$/s/^  \([a-z]*\) .*/\1/p' |
		sort) \
		<("$theirs" --help |
		sed -n '/^Command syntax/,/^$/s/^  \([a-z]*\) .*/\1/p' |
		grep -vx bitmap | sort)
}

@test "verbs that qemu-img lacks are unknown" {
	refused "no verb 'log'" log info x
	refused "no verb 'hash'" hash disk.raw
	refused "no verb 'replay'" replay x y
	refused "no verb 'help'" help
}

@test "the verb of completion is not offered under that name" {
	refused "no verb '__complete'" __complete ''
}

@test "a verb has its own help" {
	run "$ours" info --help
	assert_success
	assert_line --index 0 --partial 'qemu-img info'
	assert_output --partial --backing-chain
}

# --- errors ----------------------------------------------------------------

@test "what is no command exits with 1" {
	refused "'nosuch'" nosuch
	refused 'verb is missing'
}

@test "usage errors exit with 1 and say where help is" {
	refused "'--nosuch'" info --nosuch disk.raw
	refused "'--nosuch'" --nosuch
	refused 'missing' info
	refused 'missing' convert disk.raw
	refused 'unexpected' info disk.raw other.raw
	refused 'needs a value' info -f
	[[ ${stderr_lines[1]} == "Try 'qemu-img info --help'"* ]]
}

@test "errors begin with the name and have the words clients search" {
	refused 'No such file or directory' info nosuch.raw
	refused 'nosuch.raw' info nosuch.raw
}

@test "--output is human or json, and xml a usage error" {
	refused 'human or json' info --output=xml disk.raw
	"$PLATTER" info --output=xml disk.raw >out
}

@test "a standard output that is full exits with 1" {
	[ -c /dev/full ] || skip "no /dev/full"
	run bash -c '"$0" info disk.raw >/dev/full' "$ours"
	assert_failure 1
	assert_output --partial 'qemu-img: '
}

# --- options of every command ----------------------------------------------

@test "-T and --trace in front of a command are accepted" {
	for words in '-T x' -Tx '--trace x' --trace=x '-T x --trace=y -Tz'; do
		# shellcheck disable=SC2086
		succeeds "$ours" $words info disk.raw
		assert_line 'image: disk.raw'
	done
	refused 'needs a value' -T
}

@test "-T in front of a verb is no option of platter" {
	usage_error "'-T'" "$PLATTER" -T x info disk.raw
}

@test "--object secret is accepted, anything else is not" {
	succeeds "$ours" info --object secret,id=s0,data=abc disk.raw
	succeeds "$ours" info --object=secret,id=s0,file=x disk.raw
	refused "'nosuch'" info --object nosuch,id=x disk.raw
	refused 'no id' info --object secret,data=abc disk.raw
}

# --- progress --------------------------------------------------------------

# The regular expression of KubeVirt's importer.
percent='\(([0-9]?[0-9]\.[0-9][0-9])/100%\)'

@test "-p prints percentages to standard output though it is a pipe" {
	"$ours" convert -p -O raw disk.raw out.raw 2>err | tr '\r' '\n' >out
	[ ! -s err ]
	grep -qE "$percent" out
	grep -qF '(100.00/100%)' out
}

@test "-p ends as the real one ends" {
	[ -n "$theirs" ] || skip "qemu-img was not found"
	"$ours" convert -p -O raw disk.raw out.raw | tail -c 20 >a
	"$theirs" convert -p -O raw disk.raw out.raw | tail -c 20 >b
	diff <(od -c a) <(od -c b)
}

@test "without -p nothing is shown, and -q wins" {
	succeeds "$ours" convert -O raw disk.raw out.raw
	assert_output ''
	succeeds "$ours" convert -q -p -O raw disk.raw out.raw
	assert_output ''
}

@test "-p with compare is on standard output too" {
	cp disk.raw copy.raw
	succeeds "$ours" compare -p disk.raw copy.raw
	assert_output --partial '(100.00/100%)'
	assert_output --partial 'Images are identical.'
}

# --- files named in images -------------------------------------------------

outside()
{
	need qemu-img
	mkdir -p away here
	cp disk.raw away/base.raw
	(cd here && "$theirs" create -q -f qcow2 -b ../away/base.raw -F raw \
		top.qcow2)
}

@test "a backing file elsewhere is opened under the name, not as platter" {
	outside
	succeeds "$ours" compare here/top.qcow2 disk.raw
	fails 2 'outside its own directory' "$PLATTER" compare here/top.qcow2 \
		disk.raw
}

@test "--follow=any opens it as platter, --follow=beneath refuses it as both" {
	outside
	succeeds "$PLATTER" compare --follow=any here/top.qcow2 disk.raw
	fails 2 'outside its own directory' "$PLATTER" compare \
		--follow=beneath here/top.qcow2 disk.raw
	run --separate-stderr "$ours" compare --follow=beneath here/top.qcow2 \
		disk.raw
	assert_failure 2
	[[ $stderr == *'outside its own directory'* ]]
}

@test "--follow=none opens not even what lies beside the image" {
	need qemu-img
	"$theirs" create -q -f qcow2 -b disk.raw -F raw top.qcow2
	succeeds "$PLATTER" compare top.qcow2 disk.raw
	run --separate-stderr "$PLATTER" compare --follow=none top.qcow2 disk.raw
	assert_failure 2
	complained 'disk.raw'
}

@test "a word that --follow does not know is a usage error" {
	usage_error "'some' is not none, beneath or any" "$PLATTER" info \
		--follow=some disk.raw
}
