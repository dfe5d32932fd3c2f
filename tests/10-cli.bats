# SPDX-License-Identifier: LGPL-2.1-or-later
# The command line itself: verbs, options, help, messages and exit codes.

load lib/common

setup()
{
	common_setup
	truncate -s 1M disk.raw
	truncate -s 2M other.raw
}

# verbs: every verb but the hidden ones, a line each: "info", "log list", ...
verbs()
{
	local verb

	for verb in $("$PLATTER" __complete '' | cut -f1); do
		case $verb in
		help) ;;
		log) "$PLATTER" __complete log '' | cut -f1 |
			sed -n '/^help$/!s/^/log /p' ;;
		*) echo "$verb" ;;
		esac
	done
}

# each_verb COMMAND...: runs COMMAND once for each verb, its words behind it.
each_verb()
{
	local verb
	local -i count=0

	while read -r -a verb; do
		"$@" "${verb[@]}"
		count+=1
	done < <(verbs)
	((count >= 14))
}

# --- help and version -----------------------------------------------------

@test "--version prints name and version" {
	succeeds "$PLATTER" --version
	assert_output --regexp '^platter [0-9]+\.[0-9]+(\.[0-9]+)?$'
}

@test "-V is --version" {
	succeeds "$PLATTER" -V
	assert_output "$("$PLATTER" --version)"
}

@test "every verb takes --version" {
	check()
	{
		[ "$("$PLATTER" "$@" --version)" = "$("$PLATTER" -V)" ]
	}
	each_verb check
}

@test "--help lists every verb" {
	succeeds "$PLATTER" --help
	local verb
	for verb in $("$PLATTER" __complete '' | cut -f1); do
		assert_line --regexp "^  $verb "
	done
}

@test "log --help lists the verbs on logs" {
	succeeds "$PLATTER" log --help
	local verb
	for verb in info list marks stat blame check repair cut index; do
		assert_line --regexp "^  $verb "
	done
}

@test "-h is --help" {
	diff <("$PLATTER" -h) <("$PLATTER" --help)
	diff <("$PLATTER" map -h) <("$PLATTER" map --help)
}

@test "hidden verbs are not listed" {
	run "$PLATTER" --help
	refute_output --partial __complete
}

@test "every verb's --help has examples" {
	check()
	{
		"$PLATTER" "$@" --help | sed -n '/^Examples:$/,$p' |
			grep -q "^  platter $*"
	}
	each_verb check
}

@test "every verb's --help fits 80 columns, but for its examples" {
	check()
	{
		! "$PLATTER" "$@" --help | sed '/^Examples:$/,$d' |
			grep -E '.{81}'
	}
	each_verb check
}

@test "every verb's --help says what each option does" {
	check()
	{
		! "$PLATTER" "$@" --help | sed '/^Examples:$/,$d' |
			awk '/^ +-/ && bare { print bare }
				{ bare = /^ +(-., )?--[^ ]+$/ ? $0 : "" }
				END { print bare }' | grep .
	}
	each_verb check
}

@test "every verb's --usage is short and names the verb" {
	check()
	{
		run --separate-stderr "$PLATTER" "$@" --usage
		assert_success
		assert_line --index 0 --partial "Usage: platter $*"
	}
	each_verb check
}

@test "help VERB is VERB --help" {
	check()
	{
		diff <("$PLATTER" help "$@") <("$PLATTER" "$@" --help)
	}
	each_verb check
}

@test "log help VERB is log VERB --help" {
	diff <("$PLATTER" log help cut) <("$PLATTER" log cut --help)
}

@test "help and log help alone are the lists" {
	diff <("$PLATTER" help) <("$PLATTER" --help)
	diff <("$PLATTER" log help) <("$PLATTER" log --help)
}

@test "help of a verb that is not there is a usage error" {
	usage_error "has no verb 'infp'; did you mean 'info'?" \
		"$PLATTER" help infp
}

@test "--help wins over what is wrong besides" {
	succeeds "$PLATTER" info --help
	assert_line --index 0 'Usage: platter info [OPTION...] FILE'
}

@test "ARGP_HELP_FMT does not change the help" {
	diff <("$PLATTER" map --help) \
		<(ARGP_HELP_FMT=rmargin=40,no-usage-indent "$PLATTER" map --help)
}

# --- options and names ----------------------------------------------------

@test "options may stand before, between and behind names" {
	succeeds "$PLATTER" compare -s disk.raw -f raw disk.raw -F raw
	assert_output 'Images are identical.'
}

@test "a short option's value may be glued to it" {
	succeeds "$PLATTER" convert -fraw -Oraw disk.raw copy.raw
	cmp disk.raw copy.raw
}

@test "short options without values may be run together" {
	succeeds "$PLATTER" compare -qs disk.raw disk.raw
	assert_output ''
}

@test "a long option's value may be the next word" {
	diff <("$PLATTER" info --output json disk.raw) \
		<("$PLATTER" info --output=json disk.raw)
}

@test "a long option may be cut short while it is unique" {
	diff <("$PLATTER" info --out=json disk.raw) \
		<("$PLATTER" info --output=json disk.raw)
}

@test "-- ends the options" {
	cp disk.raw ./--help
	succeeds "$PLATTER" info -- --help
	assert_line 'image: --help'
}

@test "of an option given twice the last counts" {
	succeeds "$PLATTER" info --output=xml --output=human disk.raw
	assert_line --index 0 'image: disk.raw'
}

# --- usage errors ---------------------------------------------------------

@test "no verb is a usage error" {
	usage_error 'a verb is missing' "$PLATTER"
	usage_error 'a verb is missing' "$PLATTER" log
	usage_error 'a verb is missing' "$PLATTER" --
}

@test "the hint names the verb" {
	run "$PLATTER" log cut
	assert_line "Try 'platter log cut --help' for more information."
}

@test "an unknown verb is a usage error, with the nearest one" {
	usage_error "'platter' has no verb 'conver'; did you mean 'convert'?" \
		"$PLATTER" conver
	usage_error "'platter log' has no verb 'mraks'; did you mean 'marks'?" \
		"$PLATTER" log mraks
}

@test "a verb of log is suggested where it was left out" {
	usage_error "did you mean 'log repair'?" "$PLATTER" repair
}

@test "a word like no verb has nothing suggested" {
	usage_error "'platter' has no verb 'xyzzy'" "$PLATTER" xyzzy
	assert_equal "${stderr_lines[0]}" \
		"platter: 'platter' has no verb 'xyzzy'"
}

@test "an unknown option is a usage error of every verb" {
	check()
	{
		usage_error "unrecognized option '--no-such-option'" \
			"$PLATTER" "$@" --no-such-option
		usage_error "unrecognized option '-Y'" "$PLATTER" "$@" -Y
	}
	each_verb check
}

@test "an unknown option has the nearest one suggested" {
	usage_error "unrecognized option '--ouptut'; did you mean '--output'?" \
		"$PLATTER" info --ouptut=json disk.raw
}

@test "an option without its value is a usage error" {
	usage_error "option '--output' needs a value, human|json|xml" \
		"$PLATTER" info disk.raw --output
	usage_error "option '-f' needs a value, FORMAT" \
		"$PLATTER" info disk.raw -f
}

@test "a value for an option that takes none is a usage error" {
	usage_error "option '--force-share' takes no value" \
		"$PLATTER" info --force-share=yes disk.raw
}

@test "an option cut too short is a usage error" {
	usage_error "option '--t' is ambiguous" \
		"$PLATTER" replay --t a b
}

@test "the first of several bad options is told" {
	usage_error "unrecognized option '--one'" \
		"$PLATTER" info disk.raw -f raw --one -Z --two
}

@test "a name too few is a usage error that says which" {
	usage_error 'FILE is missing' "$PLATTER" info
	usage_error 'FILE2 is missing' "$PLATTER" compare disk.raw
	usage_error 'TARGET is missing' "$PLATTER" replay log
	usage_error 'LOG is missing' "$PLATTER" log list
}

@test "a name too many is a usage error" {
	usage_error "unexpected argument 'more'" "$PLATTER" info disk.raw more
	usage_error "unexpected argument 'more'" \
		"$PLATTER" log cut a b more
	usage_error "unexpected argument 'more'" "$PLATTER" help info more
}

@test "a bad value of a shared option is a usage error" {
	usage_error "'yaml' is none of human, json, xml" \
		"$PLATTER" map --output=yaml disk.raw
	usage_error "-s" "$PLATTER" map -s 1Q disk.raw
	usage_error "bogus" "$PLATTER" convert -t bogus disk.raw copy.raw
	usage_error "-m: 17 is not between 1 and 16" \
		"$PLATTER" convert -m 17 disk.raw copy.raw
	usage_error "-m: 'two' is not a number" \
		"$PLATTER" replay -m two a b
	usage_error "flag 'FLUS' is none of" \
		"$PLATTER" log list --flags FUA,FLUS a
	usage_error "--range" "$PLATTER" replay --range 4K a b
	usage_error "--touching" "$PLATTER" log list --touching x a
}

@test "options that need one another are a usage error alone" {
	usage_error '--base-format needs --base' \
		"$PLATTER" replay --base-format raw a b
	usage_error '--base needs --squash' "$PLATTER" log cut --base a b c
	usage_error '--index=none' "$PLATTER" log index --index=none a
}

# --- messages and streams -------------------------------------------------

@test "a message is one line, whatever is in a name" {
	fails 1 'no?such?file: No such file or directory' \
		"$PLATTER" info $'no\nsuch\x1bfile'
}

@test "nothing is on standard error on success" {
	log_file kernel-6.1-ext4 log
	succeeds "$PLATTER" info disk.raw
	succeeds "$PLATTER" map disk.raw
	succeeds "$PLATTER" convert disk.raw copy.raw
	succeeds "$PLATTER" compare disk.raw copy.raw
	succeeds "$PLATTER" log info log
	succeeds "$PLATTER" log list log
	succeeds "$PLATTER" log marks log
	succeeds "$PLATTER" log stat log
	succeeds "$PLATTER" log blame log 0
	succeeds "$PLATTER" log check log
	succeeds "$PLATTER" log index log
	succeeds "$PLATTER" log repair log repaired
	succeeds "$PLATTER" log cut log part --from 40 --squash
	succeeds "$PLATTER" replay log replayed
}

@test "a result that cannot be written is an error" {
	fails_to_full()
	{
		local code=$1
		shift
		run --separate-stderr bash -c '"$@" >/dev/full' -- "$@"
		assert_failure "$code"
		complained 'No space left on device'
	}
	log_file kernel-6.1-ext4 log
	fails_to_full 1 "$PLATTER" info disk.raw
	fails_to_full 1 "$PLATTER" map --output=json disk.raw
	fails_to_full 2 "$PLATTER" compare disk.raw disk.raw
	fails_to_full 2 "$PLATTER" log list log
	fails_to_full 2 "$PLATTER" --help
	fails_to_full 2 "$PLATTER" --version
}

@test "a closed pipe ends a listing without a word" {
	log_file kernel-6.1-ext4 log
	# More than a pipe holds.
	run --separate-stderr bash -o pipefail -c \
		'for i in {1..20}; do cat log; done >/dev/null
		 { "$PLATTER" log list --output=json log; \
		   "$PLATTER" log list --output=json log; \
		   "$PLATTER" log list --output=json log; } | true'
	assert_equal "$status" 141
	assert_equal "$stderr" ''
}

@test "a closed pipe is an error where it does not kill" {
	log_file kernel-6.1-ext4 log
	run --separate-stderr bash -o pipefail -c \
		'trap "" PIPE; { sleep 0.2; exec "$PLATTER" log list log; } | :'
	assert_failure 2
	complained 'Broken pipe'
}

@test "a closed pipe does not stop a job that has files in the making" {
	run bash -o pipefail -c \
		'{ sleep 0.2; exec "$PLATTER" convert -p disk.raw copy.raw; } | :'
	cmp disk.raw copy.raw
}

@test "what is printed does not land in an image when stdout is closed" {
	# The first file opened, here the target, gets the free number.
	run bash -c '"$PLATTER" convert -p -n --image-opts \
		driver=null,size=1M,read-zeroes=on disk.raw >&-'
	cmp disk.raw <(head -c 1M /dev/zero)
}

@test "a closed standard output is an error" {
	run --separate-stderr bash -c '"$PLATTER" info disk.raw >&-'
	assert_failure 1
	complained 'Bad file descriptor'
}
