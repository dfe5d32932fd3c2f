# SPDX-License-Identifier: LGPL-2.1-or-later
# Measuring memory, for a log of any length: needs lib/logs.

# long_log ENTRIES FILE: nearly every write to a place of its own, which is
# what an index needs most memory for. 128 bytes of log an entry.
long_log()
{
	mklog --sector-size 64 --write-size 64 --device-size 1G \
		--flush-every 500 --mark-every 1000 --generate "$1" "$2"
}

no_sanitizers()
{
	if [ -n "${SANITIZERS:-}" ]; then
		skip "sanitizers have their own memory"
	fi
}

# peak COMMAND...: MiB, rounded up
peak()
{
	peak-memory peak "$PLATTER" "$@" >/dev/null
	echo $((($(cat peak) + 1023) / 1024))
}

# within MIB COMMAND...
within()
{
	local limit=$1 used

	shift
	used=$(peak "$@")
	echo "# $used MiB of $limit: platter $*" >&3
	((used <= limit))
}
