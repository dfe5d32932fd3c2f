# SPDX-License-Identifier: LGPL-2.1-or-later
# The documentation says what the command does: the manual against --help and
# the JSON that is printed, the examples and the tour by running them, and the
# skeletons for programmers by compiling them.

load lib/common

setup()
{
	common_setup
	manual=$top_srcdir/doc/man
}

# is_group VERB: one that only has verbs below it.
is_group()
{
	[[ $1 == @(crash|log) ]]
}

# verbs: every verb but the hidden ones, a line each: "info", "log list", ...
verbs()
{
	local verb

	"$PLATTER" --help | listed | while read -r verb; do
		echo "$verb"
		if is_group "$verb"; then
			"$PLATTER" "$verb" --help | listed | sed "s/^/$verb /"
		fi
	done
}

# listed: the verbs in the help of a group on standard input.
listed()
{
	sed -n -e '/^Help:/q' -e 's/^  \([a-z]\{1,\}\) .*/\1/p'
}

# each_verb COMMAND...: runs COMMAND VERB PAGE for each verb, and shows what it
# prints. A verb is one word or two.
each_verb()
{
	local verb
	local -i count=0

	while read -r verb; do
		"$@" "$verb" "$manual/platter-${verb/ /-}.1.scd"
		count+=1
	done < <(verbs)
	((count >= 15))
}

# options VERB: a line for each option of --help: its names, a tab, its text.
options()
{
	# shellcheck disable=SC2086 # a verb may be two words
	"$PLATTER" $1 --help | awk '
		function flush() {
			if (names != "")
				print names "\t" text
			names = text = ""
		}
		/^Exit codes:/ || /^Examples:/ { exit }
		/^  +-/ {
			flush()
			sub(/^ +/, "")
			at = match($0, /  +/)
			names = at ? substr($0, 1, at - 1) : $0
			text = at ? substr($0, at + RLENGTH) : ""
			next
		}
		/^                    / && names != "" {
			sub(/^ +/, "")
			text = text (text == "" ? "" : " ") $0
			next
		}
		{ flush() }
		END { flush() }'
}

# documented PAGE: the same of the OPTIONS section of a page.
documented()
{
	awk '
		function flush() {
			if (names != "")
				print names "\t" text
			names = text = ""
		}
		/^# / { flush(); on = $2 == "OPTIONS"; next }
		!on { next }
		{ gsub(/[*_\\]/, "") }
		/^-/ { flush(); names = $0; next }
		/^\t/ && names != "" {
			sub(/^\t/, "")
			text = text (text == "" ? "" : " ") $0
			next
		}
		{ flush() }
		END { flush() }' "$1"
}

# make_page PAGE.scd: the page made of it, in the current folder.
make_page()
{
	page=$(basename "$1" .scd)
	scdoc <"$1" >"$page"
}

# fixtures: the files that examples name. The log has all marks they use.
fixtures()
{
	log_file kernel-6.1-ext4 disk.dmlw
	truncate -s 32M before.raw
	"$PLATTER" replay -q disk.dmlw disk.raw
	cp disk.raw copy.raw
}

# --- the manual -----------------------------------------------------------

@test "every verb has a man page" {
	check()
	{
		[ -f "$2" ] || echo "$1: $2 is missing"
	}
	run each_verb check
	assert_success
	assert_output ''
}

@test "every man page is built and installed" {
	local page

	for page in "$manual"/*.scd; do
		page=$(basename "$page" .scd)
		if ! grep -q "^	%D%/man/$page\( \\\\\)\?$" \
			"$top_srcdir/doc/local.mk"; then
			fail "doc/local.mk does not name $page"
		fi
	done
}

@test "every option stands in its man page, in the words of --help" {
	check()
	{
		# A group has no page of options but platter(1)'s.
		! is_group "$1" || return 0
		diff <(options "$1") <(documented "$2") || echo "$1 differs"
	}
	run each_verb check
	assert_success
	assert_output ''
}

@test "an option that a man page lacks is found" {
	sed '/^\*--verify\*/,+1d' "$manual/platter-replay.1.scd" >short.scd
	run diff <(options replay) <(documented short.scd)
	assert_failure
	assert_line --partial '< --verify'
}

@test "every verb stands in platter(1), or in the page of its group" {
	check()
	{
		local page=$manual/platter.1.scd

		if [[ $1 == *\ * ]]; then
			page=$manual/platter-${1% *}.1.scd
		fi
		grep -qx "\*${1#* }\*" "$page" || echo "$1 is not in $page"
	}
	run each_verb check
	assert_success
	assert_output ''
}

@test "every man page has the sections a reader looks for" {
	check()
	{
		local section

		for section in NAME SYNOPSIS DESCRIPTION 'EXIT STATUS' \
			EXAMPLES 'SEE ALSO'; do
			if is_group "$1" && [ "$section" = 'EXIT STATUS' ]; then
				continue
			fi
			grep -qx "# $section" "$2" ||
				echo "$1 has no section $section"
		done
	}
	run each_verb check
	assert_success
	assert_output ''
}

@test "every man page that is referred to is there" {
	local name

	grep -rhoE '\*platter[a-z-]*\*\([0-9]\)' "$manual" "$top_srcdir/doc" |
		tr -d '*)' | tr '(' '.' | sort -u >names
	[ -s names ]
	while read -r name; do
		if [ ! -f "$manual/$name.scd" ]; then
			fail "there is no page $name"
		fi
	done <names
}

@test "mandoc finds nothing wrong with the man pages" {
	need scdoc mandoc
	local source

	for source in "$manual"/*.scd; do
		make_page "$source"
		# scdoc puts a paragraph's macro after every heading.
		mandoc -T lint -W warning "$page" >found || true
		run grep -v 'WARNING: skipping paragraph macro: PP' found
		assert_output ''
	done
}

@test "man formats the man pages without warnings" {
	need scdoc man
	local source

	for source in "$manual"/*.scd; do
		make_page "$source"
		MANWIDTH=80 man --warnings -l "$page" 2>errors >text
		[ -s text ]
		run cat errors
		assert_output ''
	done
}

# example_images: the images the examples of verbs on images are about.
example_images()
{
	local name below=base

	for name in disk scratch before after base new-base; do
		"$PLATTER" convert -O qcow2 before.raw "$name.qcow2"
	done
	for name in middle top overlay; do
		"$PLATTER" create -q -f qcow2 -b "$below.qcow2" -F qcow2 \
			"$name.qcow2"
		below=$name
	done
	head -c 512 before.raw >boot.img
	xz -k disk.raw
	cp before.raw scratch.raw
	printf '#!/bin/sh\nexec cmp -s before.raw "$1"\n' >check
	chmod +x check
}

@test "the examples in the man pages work" {
	need debugfs e2fsck jq xz
	local source

	fixtures
	mkdir files
	mv disk.dmlw before.raw disk.raw copy.raw files
	(cd files && example_images)
	for source in "$manual"/*.1.scd; do
		page=$(basename "$source" .scd)
		# These serve, or wait for what others do.
		case $page in
		nbdkit-platter-plugin.1 | \
		platter-crash-serve.1 | \
		platter-log-follow.1 | platter-log-mark.1 | \
			platter-log-pause.1 | platter-log-record.1 | \
			platter-log-resume.1 | platter-mount.1 | \
			platter-serve.1 | platter-umount.1) continue ;;
		# These say so where states cannot be files of a mount.
		platter-crash*.1)
			(: <>/dev/fuse) 2>/dev/null || continue
			;;
		esac
		cp -R --reflink=auto --sparse=always files "$page.d"
		sed -n '/^# EXAMPLES/,/^# SEE ALSO/p' "$source" |
			sed -n '/^```$/,/^```$/p' |
			sed -e '/^```$/d' -e 's/\\\\$/\\/' >"$page.sh"
		[ -s "$page.sh" ]
		# A device of somebody's is not for us to write to.
		sed -i '/\/dev\//d' "$page.sh"
		(cd "$page.d" && bash "../$page.sh") >out 2>errors ||
			[ $? -eq 1 ] || fail "$page: $(<errors)"
		# Whatever fails says so; to differ is no failure.
		[ ! -s errors ] || fail "$page: $(<errors)"
	done
}

@test "every name in the JSON of a verb stands in its man page" {
	need e2fsck jq xz
	fixtures
	# A log with a problem, and marks that repeat.
	head -c 5130000 disk.dmlw >torn.dmlw
	cp disk.dmlw fresh.dmlw

	# names VERB ARGUMENT...: prints what the page of VERB lacks.
	names()
	{
		local verb=$1 name

		shift
		# shellcheck disable=SC2086 # a verb may be two words
		"$PLATTER" $verb --output=json "$@" >json 2>errors ||
			[ $? -eq 1 ]
		jq -r '[paths | last | strings] | unique[]' json >names
		[ -s names ] || echo "$verb prints no JSON"
		while read -r name; do
			grep -q "_${name}_" "$manual/platter-${verb/ /-}.1.scd" ||
				echo "$verb: $name"
		done <names
	}
	run names info disk.dmlw
	assert_output ''
	run names info --backing-chain disk.raw
	assert_output ''
	run names map disk.raw
	assert_output ''
	run names compare disk.raw before.raw
	assert_output ''
	"$PLATTER" create -q -f qcow2 new.qcow2 1M
	run names measure -O qcow2 new.qcow2
	assert_output ''
	run names replay disk.dmlw x.raw --in-order --verify
	assert_output ''
	run names 'log info' torn.dmlw
	assert_output ''
	run names 'log list' disk.dmlw
	assert_output ''
	run names 'log marks' disk.dmlw
	assert_output ''
	run names 'log stat' disk.dmlw
	assert_output ''
	run names 'log blame' disk.dmlw 44K+4K
	assert_output ''
	run names 'log check' torn.dmlw
	assert_output ''
	run names 'log repair' torn.dmlw clean.dmlw
	assert_output ''
	run names 'log cut' disk.dmlw part.dmlw --from 40 --squash
	assert_output ''
	run names 'log index' fresh.dmlw
	assert_output ''
	run names 'crash show' disk.dmlw 54-47,50
	assert_output ''
	run names 'crash list' --census --strategy prefixes disk.dmlw
	assert_output ''
	run names 'crash list' --from mark:last --strategy tears disk.dmlw
	assert_output ''
	run names 'crash bisect' disk.dmlw --run 'cmp -s before.raw {}'
	assert_output ''
	run names 'crash shrink' disk.dmlw '157-150[2]' --fs ext4
	assert_output ''
	# What explore prints is the same.
	"$PLATTER" crash explore -q --strategy prefixes --from mark:last \
		--jsonl run.jsonl disk.dmlw -- cmp -s before.raw {} >out ||
		[ $? -eq 1 ]
	run names 'crash merge' run.jsonl
	assert_output ''
}

# --- help and completion --------------------------------------------------

@test "every verb's --help has examples" {
	check()
	{
		# shellcheck disable=SC2086 # a verb may be two words
		"$PLATTER" $1 --help | sed -n '/^Examples:/,$p' |
			grep -q "^  platter $1 " || echo "$1 has no example"
	}
	run each_verb check
	assert_success
	assert_output ''
}

@test "completion offers every verb" {
	local first rest

	while read -r first rest; do
		if [ -n "$rest" ]; then
			"$PLATTER" __complete "$first" ''
		else
			"$PLATTER" __complete ''
		fi | cut -f1 | grep -qx "${rest:-$first}" ||
			fail "$first $rest is not offered"
	done < <(verbs)
}

@test "completion offers every long option of every verb" {
	check()
	{
		! is_group "$1" || return 0
		# shellcheck disable=SC2086 # a verb may be two words
		diff <(options "$1" | cut -f1 | grep -o -- '--[a-z-]*' | sort) \
			<("$PLATTER" __complete $1 -- | cut -f1 |
				sed 's/=$//' | sort) || echo "$1 differs"
	}
	run each_verb check
	assert_success
	assert_output ''
}

# --- README and hacking.md ------------------------------------------------

@test "the tour in README prints what it says" {
	need e2fsck fusermount3 mkfs.ext4 xz
	(: <>/dev/fuse) 2>/dev/null || skip "/dev/fuse cannot be opened"
	ln -s "$top_srcdir/tests" tests
	sed -n '/^```console$/,/^```$/{ /^```/d; p; }' \
		"$top_srcdir/README.md" >tour
	grep -c '^\$ ' tour
	while read -r line; do
		printf '$ %s\n' "$line"
		bash -c "$line"
	done < <(sed -n 's/^\$ //p' tour) >got
	run diff tour got
	assert_output ''
	assert_success
}

@test "the skeletons in hacking.md compile without a warning" {
	local cc code=0 file

	if [ ! -f "$top_builddir/config.h" ]; then
		skip "there is no config.h"
	fi
	cc=$(type -P "${CC:-cc}" gcc clang | head -n 1)
	[ -n "$cc" ] || skip "no compiler was found"
	awk '/^```c$/ { n++; on = 1; next }
		/^```$/ { on = 0 }
		on { print > ("skeleton-" n ".c") }' \
		"$top_srcdir/doc/hacking.md"
	for file in skeleton-*.c; do
		"$cc" -std=gnu11 -fsyntax-only -Wall -Wextra -Wshadow \
			-Wstrict-prototypes -Wmissing-prototypes -Wvla \
			-Wno-missing-field-initializers -Werror \
			-I"$top_builddir" -include config.h \
			-I"$top_srcdir/lib/include" -I"$top_srcdir/lib" \
			-I"$top_srcdir/formats" -I"$top_srcdir/cmd" "$file" ||
			code=1
	done
	[ "$code" -eq 0 ]
	[ -f skeleton-7.c ]
}

@test "every file that the documents name is there" {
	local name

	grep -hoE '`(lib|formats|cmd|tests|doc|completions)/[a-z0-9_/.-]*`' \
		"$top_srcdir"/README.md "$top_srcdir"/doc/*.md |
		tr -d '`' | sort -u >names
	[ -s names ]
	while read -r name; do
		case $(basename "$name") in
		# What hacking.md makes up.
		flat* | ramp.c | badrange.c | empty.c | log-flushes.c | \
			platter-empty* | fuzz-size*) continue ;;
		# Not there while there is no such test.
		long) continue ;;
		esac
		if [ ! -e "$top_srcdir/${name%/}" ]; then
			fail "there is no $name"
		fi
	done <names
}
