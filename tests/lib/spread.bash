# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of crash states that are spread over jobs. Where doc/ names
# files, they are called start.img, run.log and check here, too.

# spread_fixtures: makes them in the current folder.
spread_fixtures()
{
	mklog run.log <<-'END'
	write 0 8 fill=0x11
	mark a
	write 4 8 fill=0x22
	write 40 2 fill=0x33
	flush
	fua 3 1 fill=0x44
	write 9 2 fill=0x55
	write 12 2 fill=0x66
	write 13 3 fill=0x77
	flush
	mark b
	END
	# What fails, and what is put out, is a matter of the state alone.
	cat >check <<-'END'
	#!/bin/sh
	sum=$(cksum <"$1") || exit 99
	case $sum in
	*[13579]' '*) ;;
	*) echo "even: $sum"; exit 1 ;;
	esac
	END
	chmod +x check
	truncate -s 1M start.img
	# Jobs that begin at once must not all make it.
	"$PLATTER" log index run.log >/dev/null
}

# documented NAME: the script of doc/crash-at-scale.md that is called so.
documented()
{
	# shellcheck disable=SC2154 # set by run-bats
	sed -n "/^\`\`\`sh $1\$/,/^\`\`\`\$/{ /^\`\`\`/d; p; }" \
		"$top_srcdir/doc/crash-at-scale.md"
}

# timeless FILE: a report less its times.
timeless()
{
	sed -E 's/"(check-)?seconds": [0-9.]+//g' "$1"
}
