# SPDX-License-Identifier: LGPL-2.1-or-later
# fish completion for platter. All it knows it asks the command for:
# "platter __complete WORD..." prints a line for each way to go on with the
# last word, and ":files" where file names are wanted.

function __platter_complete
    set -l words (commandline -opc)
    set -l cur (commandline -ct)
    set -l platter $words[1]
    set -e words[1]

    for line in ($platter __complete $words $cur 2>/dev/null)
        if test "$line" != :files
            printf '%s\n' $line
            continue
        end
        # In --name=FILE the name is part of what is completed.
        set -l head (string match -r -- '^--[^=]*=' $cur)
        for path in (__fish_complete_path (string sub -s (math 1 + (string length -- "$head")) -- "$cur"))
            printf '%s\n' "$head$path"
        end
    end
end

complete -c platter -f -a '(__platter_complete)'
