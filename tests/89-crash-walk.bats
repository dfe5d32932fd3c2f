# SPDX-License-Identifier: LGPL-2.1-or-later
# `platter crash list`: which states there are, in what order, how complete.

load lib/logs

setup_file()
{
	unpack kernel-6.1-ext4 kernel-6.1-nobar
}

setup()
{
	common_setup
	need jq
}

# list LOG OPTION...: of a recorded log.
list()
{
	local log=$1

	shift
	platter crash list --index none "$LOGS/$log" --from mark:mkfs "$@" \
		2>/dev/null
}

# census FILTER LOG OPTION...
census()
{
	local filter=$1

	shift
	list "$@" --census --output json | jq -c ".census | $filter"
}

# small: a log with an epoch of three writes, of two, one and two sectors.
small()
{
	mklog small.log <<-'END'
	write 0 2 fill=0x11
	flush
	mark a
	write 4 2 fill=0x22
	write 8 1 fill=0x33
	write 0 2 fill=0x44
	flush
	mark b
	write 8 1 fill=0x55
	END
	truncate -s 8192 base.img
}

# names OPTION...: of its states, in one line.
names()
{
	platter crash list --index none --output json small.log "$@" \
		2>/dev/null | jq -r '[.states[].state] | join(" ")'
}

@test "prefixes and 2cp of a kernel's log are the known number of states" {
	# As the prototype: 299 with the marks fsync-1 to -8 alone; the log has
	# two more behind them, and a state counts once for each.
	run census '[.made, .unique]' kernel-6.1-ext4 --strategy prefixes,2cp
	assert_output '[362,301]'
	run census '[.made, .unique, .hidden]' kernel-6.1-nobar \
		--strategy prefixes,2cp
	assert_output '[362,354,4]'
}

@test "prefixes are every point between two points" {
	small
	run names --strategy prefixes --from 2 --to 6
	assert_output '2 3 4 5 6'
}

@test "2cp makes none, all, each alone and all but each" {
	# None of them is what there was behind the mark.
	small
	run names --strategy 2cp --from 3 --to 6
	assert_output '3 6 6+3 6-3 6+4 6-4 6+5 6-5'
}

@test "boundaries are everything and what is durable" {
	small
	run names --strategy boundaries --from 4 --to 7
	assert_output '6 6+'
}

@test "subsets are dropped and kept" {
	small
	run names --strategy subsets=2 --from 4 --to 6
	assert_output '6 6+ 6-3 6+3 6-4 6+4 6-5 6+5'
}

@test "a torn write has its first half, its last half or neither neighbour" {
	mklog small.log <<<'write 0 4 fill=0x11'
	run names --strategy tears
	assert_output '1-0[2:4] 1-0[0:2] 1-0[1],0[3] 1-0[0] 1-0[1] 1-0[2] 1-0[3]'
}

@test "an atomic unit is whole or missing" {
	mklog small.log <<<'write 6 4 fill=0x11'
	run names --strategy tears --unit 4096
	assert_output '1-0[2:4] 1-0[0:2]'
}

@test "exhaustive makes each legal state once" {
	small
	run names --strategy exhaustive=12 --from 4 --to 6
	[ "$(tr ' ' '\n' <<<"$output" | sort -u | wc -l)" -eq 32 ]
	run bash -c 'platter crash list --index none --census --output json \
		--strategy exhaustive=12 --from 4 --to 6 small.log 2>&- |
		jq -c ".census.strategies[0], .census.completeness"'
	assert_line --index 0 \
		'{"strategy":"exhaustive","made":32,"possible":32,"points":1,"complete":1}'
	assert_line --index 1 '"all legal states"'
}

@test "exhaustive passes over a point with too many states, and says so" {
	small
	run platter crash list --index none --census --strategy exhaustive=4 \
		--from 4 --to 6 small.log
	assert_success
	assert_line --regexp '^exhaustive +0 +32 +1 +0$'
	assert_line 'all legal states at 0 of 1 crash points; too many to make all of: exhaustive'
}

@test "an epoch of 20000 writes is walked without making all its subsets" {
	mklog --generate 20000 --pattern random4k big.log
	run platter crash list --index none --census \
		--strategy subsets=3,exhaustive=20 big.log
	assert_success
	assert_line --regexp '^subsets +4[0-9]{4} +too many +1 +0$'
	assert_line --regexp '^exhaustive +0 +too many +1 +0$'
}

@test "random states are the same for a seed, and others for another" {
	small
	run names --strategy random=5 --seed 7 --from 4
	local first=$output
	run names --strategy random=5,seed=7 --from 4
	assert_output "$first"
	run names --strategy random=5 --seed 8 --from 4
	refute_output "$first"
}

@test "a write that changes nothing makes no state" {
	mklog small.log <<-'END'
	write 0 1 fill=0x11
	flush
	write 0 1 fill=0x11
	write 1 1 fill=0x22
	END
	run names --strategy 2cp --from 2
	assert_output '4+ 4'
	run bash -c 'platter crash list --index none --census --output json \
		--from 2 small.log 2>&- | jq ".census.\"no-ops\""'
	assert_output 1
}

@test "a write that a later one covers makes no state without it" {
	mklog small.log <<-'END'
	write 0 1 fill=0x11
	write 0 2 fill=0x22
	END
	run names --strategy 2cp
	assert_output '2+ 2 2-1'
	run bash -c 'platter crash list --index none --census --output json \
		--strategy 2cp small.log 2>&- | jq .census.hidden'
	assert_output 1
}

@test "a FUA write is present while earlier ones are missing" {
	mklog small.log <<-'END'
	write 0 1 fill=0x11
	fua 1 1 fill=0x22
	END
	run names --strategy boundaries
	assert_output '2 2+'
}

@test "model prefix makes prefixes only" {
	small
	run names --model prefix --strategy prefixes,2cp,tears --from 4 --to 6
	assert_output '4 5 6'
}

@test "model epoch tears nothing" {
	small
	run names --model epoch --strategy tears,prefixes --from 4 --to 6
	assert_output '4 5 6'
}

@test "models shorn and garbage add sectors that are half written or trashed" {
	mklog small.log <<<'write 0 1 fill=0x11'
	run names --model shorn --strategy boundaries
	assert_output '1 1+ 1-0s'
	run names --model garbage --strategy boundaries
	assert_output '1 1+ 1-0s 1-0g'
}

@test "early writes are those behind a mark, up to the next flush" {
	mklog small.log <<-'END'
	write 0 1 fill=0x11
	mark a
	write 1 1 fill=0x22
	flush
	END
	run names --strategy boundaries --early-writes --from 2 --to 2
	assert_output '2 2+ 2^2 2+^2'
}

@test "discards leave what was there, or what nobody wrote, when asked" {
	mklog small.log <<-'END'
	write 0 1 fill=0x11
	discard 0 1
	flush
	END
	run names --strategy prefixes --discard zero,old,pattern --from 3
	assert_output '3 3~old 3~pattern'
}

@test "a region has strategies of its own" {
	small
	run names --strategy prefixes --region a..b=2cp
	assert_output '0 1 3 6 6+3 6-3 6+4 6-4 6+5 6-5 8 9'
}

@test "a region between marks the log has not is refused" {
	small
	fails 2 'region "a..c=2cp": small.log: no mark' platter crash list \
		--index none --base base.img --base-format raw small.log \
		--region a..c=2cp
}

@test "an unknown strategy is refused with the names there are" {
	small
	fails 2 'strategy "3cp" is none of boundaries, prefixes, 2cp' \
		platter crash list --index none --base base.img \
		--base-format raw small.log --strategy 3cp
}

@test "shards have each state once, with its index" {
	local i

	small
	for i in 0 1 2; do
		platter crash list --index none --output json small.log \
			--shard "$i/3" 2>/dev/null | jq -c '.states[]'
	done | sort -V >shards
	platter crash list --index none --output json small.log 2>/dev/null |
		jq -c '.states[]' | sort -V >whole
	cmp shards whole
	[ "$(jq .index whole | wc -l)" -gt 9 ]
}

@test "the hash of a state is that of its content" {
	small
	run bash -c 'platter crash list --index none --output json small.log \
		--strategy prefixes,2cp,tears 2>&- | jq -r ".states[] | .hash + \" \" + .state"'
	local hash name sum
	while read -r hash name; do
		platter crash export --index none small.log "$name" out.raw \
			2>/dev/null
		sum=$(md5sum <out.raw)
		rm out.raw
		printf '%s %s\n' "$hash" "$sum"
	done <<<"$output" | sort -u >both
	# As many pairs as either has of its own: they go together.
	[ "$(wc -l <both)" -eq "$(cut -d' ' -f1 both | sort -u | wc -l)" ]
	[ "$(wc -l <both)" -eq "$(cut -d' ' -f2 both | sort -u | wc -l)" ]
}

@test "a log that ends early is listed as far as it goes, with exit code 1" {
	small
	truncate -s -256 small.log
	run --separate-stderr platter crash list --index none small.log
	assert_failure 1
	[[ $stderr == *'ends early'* ]]
}
