# SPDX-License-Identifier: LGPL-2.1-or-later
# The memory each verb takes for a log of a million entries: 64 bytes an entry
# and 64 MiB, and for what only streams no more than for a short log.
# tests/long has ten million.

load lib/logs
load lib/memory

setup_file()
{
	export LOGS=$BATS_FILE_TMPDIR
	long_log 1000000 "$LOGS/long"
	long_log 2000 "$LOGS/short"
	cp "$LOGS/long" "$LOGS/indexed"
	platter log index -q "$LOGS/indexed"
}

setup()
{
	common_setup
	no_sanitizers
	long=$LOGS/long
	# In MiB.
	indexed=$((1000000 * 64 / 1024 / 1024 + 64))
}

# streams VERB... LOG-AND-ARGUMENTS: LOG stands for the log
streams()
{
	local short long

	short=$(peak "${@/LOG/$LOGS/short}")
	long=$(peak "${@/LOG/$LOGS/long}")
	((long <= short + 2)) || fail "$long MiB, for a short log $short"
}

@test "log info takes no more for a long log" {
	streams log info LOG
}

@test "log list takes no more for a long log" {
	streams log list LOG
}

@test "log list in JSON takes no more for a long log" {
	streams log list LOG --output=json --flags FUA,MARK,FLUSH
	streams log list LOG --output=json --to 200000
}

@test "log marks takes no more for a long log" {
	streams log marks LOG
}

@test "log check takes no more for a long log" {
	streams log check LOG
}

@test "log repair takes no more for a long log" {
	streams log repair LOG new --force
}

@test "log cut takes no more for a long log" {
	streams log cut LOG new --force --from 1000
}

@test "log cut --squash takes up to 64 bytes an entry and 64 MiB" {
	within $indexed log cut "$long" new --from 500000 --squash
}

@test "log stat takes up to 64 bytes an entry and 64 MiB" {
	within $indexed log stat "$long"
}

@test "log blame takes up to 64 bytes an entry and 64 MiB" {
	within $indexed log blame "$long" 0+128M
}

@test "log index takes up to 64 bytes an entry and 64 MiB" {
	within $indexed log index "$long" --index=idx
}

@test "replay takes up to 64 bytes an entry and 64 MiB" {
	within $indexed replay "$long" new --verify
	within $indexed replay "$long" other --in-order --to 50000
}

@test "a moment of a log takes up to 64 bytes an entry and 64 MiB" {
	within $indexed convert --image-opts \
		"driver=writelog,log=$long,at=500000" new
}

@test "with a ready index, reading one sector takes little" {
	within 64 log blame "$LOGS/indexed" 4096
}
