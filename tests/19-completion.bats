# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion: what the command answers, and each shell with its script.

load lib/common

setup()
{
	common_setup
	completions=$top_srcdir/completions
	log_file kernel-6.1-ext4 'a log'
	mkdir folder
	: >folder/disk.raw
}

# answers WORD...: what could become of the last word, without explanations.
answers()
{
	run --separate-stderr "$PLATTER" __complete "$@"
	assert_success
	assert_equal "$stderr" ''
	output=$(cut -f1 <<<"$output")
	mapfile -t lines <<<"$output"
}

# --- the command ----------------------------------------------------------

@test "verbs are offered, each with its summary" {
	run "$PLATTER" __complete co
	assert_output "$(printf '%s\t%s\n' \
		convert 'copy an image into a new one' \
		compare 'compare the content of two images' \
		commit "write an overlay's data into its backing file")"
}

@test "verbs of log are offered behind log" {
	answers log rep
	assert_output repair
}

@test "help is offered the verbs" {
	answers help con
	assert_output convert
	answers help log che
	assert_output check
	answers log help che
	assert_output check
}

@test "options are offered, with = where they need a value" {
	answers info --
	assert_line --output=
	assert_line --image-opts
	assert_line --help
	refute_line -f
}

@test "letters are offered behind one dash" {
	answers info -
	assert_line -f
	assert_line --output=
}

@test "options that are there for old scripts only are not offered" {
	answers compare --a
	assert_output --all
}

@test "every option of every verb is offered" {
	local verb
	for verb in info map convert compare replay 'log list' 'log cut'; do
		# shellcheck disable=SC2086 # two words
		answers $verb --
		local offered=$output
		# shellcheck disable=SC2086
		"$PLATTER" $verb --help | grep -oE '^ +(-., )?--[a-z-]+' |
			grep -oE -- '--[a-z-]+' | while read -r option; do
			grep -qE -- "^$option=?$" <<<"$offered"
		done
	done
}

@test "values of --output are offered in either spelling" {
	answers info --output=
	assert_output "$(printf -- '--output=%s\n' human json xml)"
	answers info --output j
	assert_output json
}

@test "formats are offered, glued or not" {
	answers info -f writel
	assert_output writelog
	answers info -fwritel
	assert_output -fwritelog
	answers convert -qO ra
	assert_output raw
}

@test "cache modes are offered, and each is one" {
	answers convert -t ''
	assert_equal "${#lines[@]}" 5
	local mode
	for mode in "${lines[@]}"; do
		truncate -s 4K disk
		"$PLATTER" replay -t "$mode" nosuch disk 2>&1 |
			grep -q 'No such file'
	done
}

@test "flags are offered after a comma, too" {
	answers log list log --flags FUA,DIS
	assert_output FUA,DISCARD
}

@test "the marks of the log on the line are offered as points" {
	answers log list 'a log' --from mark:fsync-
	assert_line --index 0 mark:fsync-1
	assert_line --index 7 mark:fsync-8
	answers replay 'a log' target --to=mark:l
	assert_output --to=mark:last
}

@test "a mark is offered as it has to be typed" {
	printf '%s\n' 'mark a\x20b\x0a' | mklog odd
	answers log list odd --to mark:
	assert_output 'mark:a b\x0a'
	"$PLATTER" log list odd --to "$output"
}

@test "without a log the other points are offered" {
	answers replay --to ''
	assert_output "$(printf '%s\n' end flush: fua:)"
	answers log list nosuch --to ''
	assert_output "$(printf '%s\n' end flush: fua:)"
}

@test "the operands of dd are offered" {
	answers dd s
	assert_line skip=
	assert_line seek=
	answers dd if=x.raw co
	assert_line count=
	assert_line conv=notrunc
}

@test "file names are asked of the shell" {
	answers info ''
	assert_output :files
	answers replay --base=
	assert_output :files
	answers log list --index=
	assert_line :files
	assert_line --index=none
}

@test "a name too many is offered nothing" {
	answers info disk ''
	assert_output ''
}

@test "behind -- options are not offered" {
	answers info -- -
	assert_output :files
}

@test "nonsense is offered nothing, without a word" {
	answers nosuch ''
	assert_output ''
	answers
	assert_output ''
	answers info --nosuch=
	assert_output ''
}

# --- bash -----------------------------------------------------------------

# in_bash LINE: the replies of the script, a line each.
in_bash()
{
	run bash --norc -c '
		compopt() { :; }
		source "$1"
		COMP_LINE=$2 COMP_POINT=${#2}
		_platter platter
		printf "%s\n" "${COMPREPLY[@]}"
	' -- "$completions/platter.bash" "$1"
	assert_success
}

@test "bash: the script registers for platter" {
	run bash --norc -c 'source "$1"; complete -p platter' -- \
		"$completions/platter.bash"
	assert_output 'complete -F _platter platter'
}

@test "bash: verbs and options" {
	in_bash 'platter inf'
	assert_output info
	in_bash 'platter log '
	assert_line repair
	in_bash 'platter info --out'
	assert_output --output=
}

@test "bash: what stands before = or : is not repeated" {
	in_bash 'platter info --output=j'
	assert_output json
	in_bash 'platter log list a\ log --from mark:la'
	assert_output last
	ln -s 'a log' log
	in_bash 'platter log list "log" --from=mark:la'
	assert_output last
}

@test "bash: file names" {
	in_bash 'platter info folder/di'
	assert_output folder/disk.raw
	in_bash 'platter replay log disk --base=folder/d'
	assert_output folder/disk.raw
}

@test "bash: a mark with a blank is quoted" {
	printf '%s\n' 'mark a\x20b' | mklog odd
	in_bash 'platter log list odd --to mark:'
	assert_output 'a\ b'
}

@test "bash: a real command line is completed" {
	need script
	printf '%s\n' "source '$completions/platter.bash'; PS1=" >rc
	# readline needs a terminal; the tab is typed, then the line is run.
	printf 'platter info --outp\tjs\tfolder/d\t\n exit\n' |
		script -qec "bash --noprofile --rcfile rc -i" /dev/null >typed
	grep -q '"format": "raw"' typed
}

# --- zsh ------------------------------------------------------------------

# in_zsh LINE: what LINE becomes by a tab in a real zsh.
in_zsh()
{
	need zsh
	cat >drive.zsh <<-'END'
		zmodload zsh/zpty || exit 77
		zpty z 'TERM=dumb zsh -f -i'
		zpty -w z "PROMPT=; fpath=('$1' \$fpath); autoload -U compinit"
		zpty -w z "compinit -u -D; bindkey '^I' complete-word; stty -echo"
		zpty -w z "report() { print -r -- \"<\$BUFFER>\" }; zle -N report"
		zpty -w z "bindkey '^X' report; print rea''dy"
		zpty -r -m z seen '*ready*'
		zpty -w -n z "$2"$'\t\x18'
		zpty -r -m z seen '*<*>*'
		print -r -- "$seen"
	END
	run timeout 20 zsh -f drive.zsh "$completions" "$1"
	((status != 77)) || skip "zsh has no zpty here"
	assert_success
	output=$(grep -o '<.*>' <<<"$output" | tail -n 1)
}

@test "zsh: verbs and options" {
	in_zsh 'platter inf'
	assert_output '<platter info >'
	in_zsh 'platter info --outp'
	assert_output '<platter info --output=>'
}

@test "zsh: values and marks" {
	in_zsh 'platter info --output=j'
	assert_output '<platter info --output=json >'
	in_zsh 'platter log list a\ log --from mark:la'
	assert_output '<platter log list a\ log --from mark:last >'
}

@test "zsh: file names" {
	in_zsh 'platter replay log disk --base=folder/d'
	assert_output '<platter replay log disk --base=folder/disk.raw >'
}

# --- fish -----------------------------------------------------------------

in_fish()
{
	need fish
	run env HOME="$BATS_TEST_TMPDIR" fish --no-config -c '
		source $argv[1]/platter.fish
		complete -C $argv[2]
	' "$completions" "$1"
	assert_success
	output=$(cut -f1 <<<"$output")
}

@test "fish: verbs and options" {
	in_fish 'platter inf'
	assert_output info
	in_fish 'platter info --outp'
	assert_output --output=
}

@test "fish: values and marks" {
	in_fish 'platter info --output=j'
	assert_output --output=json
	in_fish 'platter log list "a log" --from mark:la'
	assert_output mark:last
	in_fish 'platter log list a\ log --from=mark:la'
	assert_output --from=mark:last
}

@test "fish: file names" {
	in_fish 'platter info folder/di'
	assert_output folder/disk.raw
	in_fish 'platter replay log disk --base=folder/d'
	assert_output --base=folder/disk.raw
}

# --- installation ---------------------------------------------------------

@test "make install installs each shell's script" {
	env -u MAKEFLAGS -u MFLAGS make -s -C "$top_builddir" \
		DESTDIR="$BATS_TEST_TMPDIR/root" \
		install-dist_bashcompletionDATA \
		install-dist_zshcompletionDATA install-dist_fishcompletionDATA
	run find root -type f -printf '%f\n'
	assert_line platter.bash
	assert_line _platter
	assert_line platter.fish
}
