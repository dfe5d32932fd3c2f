# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for platter. All it knows it asks the command for:
# "platter __complete WORD..." prints a line for each way to go on with the
# last word, and ":files" where file names are wanted.

_platter()
{
	local line=${COMP_LINE:0:COMP_POINT}
	local -a words lines
	local cur head word

	# bash splits words at "=" and ":"; platter does not. A backslash in
	# front of a blank keeps a word together.
	# shellcheck disable=SC2162 # that is what backslashes are for
	read -a words <<<"$line"
	[[ $line == *[!\\][[:blank:]] ]] && words+=("")
	words=("${words[@]//[\"\']/}")
	words=("${words[@]/#\~\//$HOME/}")
	cur=${words[-1]}
	mapfile -t lines < <(
		"${words[0]}" __complete "${words[@]:1}" 2>/dev/null
	)

	# What stands before the last "=" or ":" is not for us to repeat.
	head=
	[[ $cur == *[=:]* ]] && head=${cur%"${cur##*[=:]}"}
	COMPREPLY=()
	for word in "${lines[@]}"; do
		if [[ $word == :files ]]; then
			compopt -o filenames
			mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(
				compgen -f -- "${cur#"$head"}"
			)
			continue
		fi
		word=${word%%$'\t'*}
		[[ $word == *[=:] ]] && compopt -o nospace
		printf -v word %q "${word#"$head"}"
		COMPREPLY+=("$word")
	done
}

complete -F _platter platter
