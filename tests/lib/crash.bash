# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of checkers on crash states, on top of those of recording.

# shellcheck disable=SC2154 # set by run-bats
load "$top_srcdir/tests/lib/record"

# small.log: 18 unique states by prefixes and 2cp, of a disk of 21 sectors.
crash_setup()
{
	record_setup
	mklog small.log <<-'END'
	write 0 2 fill=0x11
	mark begin
	write 4 2 fill=0x22
	flush
	write 0 2 fill=0x33
	write 8 4 fill=0x44
	mark one
	write 4 1 fill=0x55
	flush
	fua 20 1 fill=0x66
	mark two
	END
	truncate -s 10752 base.img
}

# explore OPTION... -- CHECKER...: on that log.
explore()
{
	"$PLATTER" crash explore --strategy prefixes,2cp --base base.img \
		--base-format raw small.log "$@"
}

# results FILE: the states of a report, a line each, with their verdicts.
results()
{
	jq -r 'select(.type == "state") | "\(.state) \(.verdict)"' "$1"
}

# comparable FILE: a report without what differs from run to run.
comparable()
{
	jq -c 'select(.type != "run") | del(.seconds, .time, .["check-time"])' \
		"$1" | grep '"state"'
}

# settled COMMAND...: that becomes true, sooner or later.
settled()
{
	local i

	for ((i = 0; i < 600; i++)); do
		if "$@"; then
			return 0
		fi
		sleep 0.05
	done
	fail "never: $*"
}

# no_process: none has $marker in its command line. What looks for it has not.
no_process()
{
	echo "$marker" >"$BATS_TEST_TMPDIR/marker"
	! grep -lsaF -f "$BATS_TEST_TMPDIR/marker" /proc/[0-9]*/cmdline
}

# all_gone: no mount, no private folder, no process of a checker; $marker is a
# word that only those have in their command lines.
all_gone()
{
	[ -z "$(mounts)" ] && [ -z "$(ls -A "$TMPDIR")" ] &&
		no_process
}
