# SPDX-License-Identifier: LGPL-2.1-or-later
# A run of crash states in shards or in several goes, and their results as of
# one run; the ways to spread them that the documentation has.
# shellcheck disable=SC2016,SC2154 # top_srcdir is set by run-bats

load lib/logs
load lib/spread

setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return
	export RUN=$BATS_FILE_TMPDIR
	spread_fixtures
	explore --jsonl whole.jsonl -- ./check {} >/dev/null || [ $? -eq 1 ]
}

setup()
{
	common_setup
	cp "$RUN"/{start.img,run.log,run.log.idx,check} .
}

# explore ARGUMENT...
explore()
{
	platter crash explore --base start.img run.log -j 1 "$@"
}

# shards N: runs them all, into shard-I.jsonl.
shards()
{
	local i

	for ((i = 0; i < $1; i++)); do
		explore -q --shard "$i/$1" --jsonl "shard-$i.jsonl" \
			-- ./check {} >/dev/null || [ $? -eq 1 ]
	done
}

@test "shards merged equal one run" {
	local n files

	for n in 1 2 3 7; do
		rm -f shard-*
		shards "$n"
		# In any order.
		mapfile -t files < <(printf '%s\n' shard-* | sort -R)
		run platter crash merge "${files[@]}" --jsonl all.jsonl
		assert_failure 1
		diff <(timeless "$RUN/whole.jsonl") <(timeless all.jsonl)
	done
}

@test "a state is in one shard" {
	shards 3
	jq -r 'select(.type == "state").state' shard-*.jsonl | sort >got
	jq -r 'select(.type == "state").state' "$RUN/whole.jsonl" | sort |
		diff - got
}

@test "there may be more shards than states" {
	local n

	n=$(grep -c '"type": "state"' "$RUN/whole.jsonl")
	explore -q --shard "$((n + 5))/$((n + 6))" --jsonl empty.jsonl -- true
	run jq -r .type empty.jsonl
	assert_output $'run\nend'
	succeeds platter crash merge <(sed 's/"shard": [0-9]*, "shards": [0-9]*/"shard": 0, "shards": 1/; s/"unique": [0-9]*/"unique": 0/' \
		empty.jsonl)
}

@test "shards of two crashes merged equal one run" {
	local i
	local -a twice=(--strategy boundaries --recover
		'dd if=/dev/zero of={} bs=512 count=1 conv=notrunc,fsync')

	for i in 0/1 0/2 1/2; do
		explore -q "${twice[@]}" --shard "$i" --jsonl "${i/\//-}" \
			-- ./check {} >/dev/null || [ $? -eq 1 ]
	done
	grep -q '"depth": 2}' 0-1
	run platter crash merge 1-2 0-2 --jsonl all
	assert_failure 1
	diff <(timeless 0-1) <(timeless all)
}

@test "a shard that is missing or doubled is named" {
	shards 5
	fails 2 'the run has 5 shards; missing: 1, 4' platter crash merge \
		shard-{0,2,3}.jsonl
	fails 2 'the run has 5 shards; given more than once: 3' \
		platter crash merge shard-{0,1,2,3,3,4}.jsonl
}

@test "shards of different runs are not merged" {
	explore -q --shard 0/2 --jsonl a.jsonl -- true
	explore -q --shard 1/2 --jsonl b.jsonl -- ./check {} >/dev/null ||
		[ $? -eq 1 ]
	fails 2 "the checker is 'true' in one, './check {}' in the other" \
		platter crash merge a.jsonl b.jsonl
	explore -q --shard 1/2 --strategy prefixes --jsonl b.jsonl -- true
	fails 2 "strategies are 'prefixes,2cp,tears' in one, 'prefixes' in" \
		platter crash merge a.jsonl b.jsonl
	cp start.img other.img
	platter crash explore --base other.img run.log -q --shard 1/2 \
		--jsonl b.jsonl -- true
	fails 2 'the base is start.img in one, other.img in the other' \
		platter crash merge a.jsonl b.jsonl
}

@test "the machines may keep the same files in other folders" {
	explore -q --shard 0/2 --jsonl a.jsonl -- true
	mkdir there
	cp start.img run.log there
	(cd there && platter crash explore --base "$PWD/start.img" -q \
		--shard 1/2 --jsonl ../b.jsonl "$PWD/run.log" -- true)
	succeeds platter crash merge a.jsonl b.jsonl
}

@test "merge exits as explore does" {
	explore -q --shard 0/2 --jsonl a.jsonl -- true
	explore -q --shard 1/2 --jsonl b.jsonl -- true
	run platter crash merge a.jsonl b.jsonl
	assert_success
	explore -q --shard 1/2 --max-states 1 --jsonl b.jsonl -- true \
		>/dev/null || [ $? -eq 3 ]
	run platter crash merge a.jsonl b.jsonl
	assert_failure 3
	explore -q --shard 0/2 --jsonl a.jsonl -- false >/dev/null ||
		[ $? -eq 1 ]
	explore -q --shard 1/2 --jsonl b.jsonl -- false >/dev/null ||
		[ $? -eq 1 ]
	run platter crash merge a.jsonl b.jsonl
	assert_failure 1
}

@test "an interrupted shard is merged as far as it goes, and said" {
	explore -q --shard 0/2 --jsonl a.jsonl -- true
	explore -q --shard 1/2 --jsonl b.jsonl -- true
	head -c 2000 b.jsonl >cut.jsonl
	run --separate-stderr platter crash merge a.jsonl cut.jsonl \
		--jsonl all.jsonl
	assert_failure 2
	assert_output --partial 'broken off'
	complained 'cut.jsonl: the run did not come to its end'
	assert_equal "$(grep -c '"type": "state"' all.jsonl)" \
		"$(($(grep -c '"type": "state"' a.jsonl) +
			$(head -c 2000 b.jsonl | grep -c '"type": "state".*}$')))"
	run grep -c '"type": "end"' all.jsonl
	assert_output 0
}

@test "a failure in an interrupted run is a failure" {
	shards 2
	grep -v '"type": "end"' shard-0.jsonl >cut.jsonl
	run platter crash merge cut.jsonl shard-1.jsonl
	assert_failure 1
}

@test "shards that have the same state twice are not merged" {
	local hash

	shards 2
	hash=$(jq -r 'select(.index == 4).hash' shard-0.jsonl)
	jq -c "(select(.index == 3).hash) = \"$hash\"" shard-1.jsonl >other
	fails 2 'number 3 in one, 2+, is number 4 in the other, 2-0[4:8];' \
		platter crash merge other shard-0.jsonl
}

# ---- in several goes ----

# known FILTER: run.jsonl is the first 20 states of the whole run, with a change.
known()
{
	jq -c 'select(.type != "end" and .index < 20)' "$RUN/whole.jsonl" |
		jq -c "$1" >run.jsonl
	cp run.jsonl before
}

# refused TEXT [ARGUMENT...]: nothing is run, and run.jsonl stays.
refused()
{
	fails 2 "run.jsonl: $1" explore "${@:2}" --resume run.jsonl \
		-- ./check {}
	cmp run.jsonl before
}

other='another run, start again without --resume:'

@test "a result under another state's number is not taken" {
	known '(select(.index == 4).state) = "9-8"'
	refused "$other state 4 is 9-8 there and $(jq -r \
		'select(.index == 4).state' "$RUN/whole.jsonl") now"
}

@test "a result of a state with another content is not taken" {
	known '(select(.index == 4).hash) |= "ff" + .[2:]'
	refused "$other the content of state 4, 2-0[4:8], has the hash ff"
	[[ $stderr =~ [0-9a-f]{30}' there and '[0-9a-f]{32}' now' ]]
}

@test "a result of a state after another mark is not taken" {
	known '(select(.index == 19) | .mark, .["mark-entry"]) = null'
	refused "$other the last mark of state 19, "
	[[ $stderr == *', is none there and a at entry 1 now' ]]
}

@test "results that were swapped are not taken" {
	known .
	jq -cs '.[5].index = 5 | .[6].index = 4 |
		.[:5][], .[6], .[5], .[7:][]' run.jsonl >swapped
	mv swapped run.jsonl
	cp run.jsonl before
	refused "$other state 4 is "
}

@test "a base that has changed since is noticed" {
	known .
	printf x | dd of=start.img bs=1 seek=6000 conv=notrunc status=none
	refused "$other the content of state 15, 3, "
}

@test "a result that the run does not come to is noticed" {
	jq -cs '(.[-2] | .index += 1) as $more |
		.[:-1][], $more' "$RUN/whole.jsonl" >run.jsonl
	cp run.jsonl before
	refused "$other state $(jq .index run.jsonl | tail -n 1), "
	[[ $stderr == *' is there and not now' ]]
}

@test "a run with a gap is not gone on with" {
	known 'select(.index != 7)'
	refused 'state 7 is missing, and there are later ones'
}

@test "a result of a second crash is not taken for that of another state" {
	local -a twice=(--strategy boundaries --recover
		'dd if=/dev/zero of={} bs=512 count=1 conv=notrunc,fsync')

	explore -q "${twice[@]}" --jsonl whole -- ./check {} >/dev/null ||
		[ $? -eq 1 ]
	cp whole run.jsonl
	run explore "${twice[@]}" --resume run.jsonl -- ./check {}
	assert_failure 1
	diff <(timeless whole) <(timeless run.jsonl)
	jq -c '(select(.depth == 2 and .index == 1).state) |= "9" + .' whole \
		>run.jsonl
	cp run.jsonl before
	refused "$other 9" "${twice[@]}"
	[[ $stderr == *' is there as a second crash of state 1, which is '* ]]
}

@test "a limit below what is known loses nothing of it" {
	known .
	run explore --resume run.jsonl --max-states 5 -- ./check {}
	assert_output --partial '5 states:'
	cmp run.jsonl before
	run explore --resume run.jsonl --stop-on-first --jsonl first.jsonl \
		-- ./check {}
	assert_failure 1
	assert_output --partial '; stopped at the first'
	run platter crash merge first.jsonl
	assert_failure 1
	cmp run.jsonl before
	run explore --resume run.jsonl -- ./check {}
	assert_failure 1
	diff <(jq 'del(.. | .seconds?, .["check-seconds"]?)' run.jsonl) \
		<(jq 'del(.. | .seconds?, .["check-seconds"]?)' \
			"$RUN/whole.jsonl")
}

# ---- the documentation ----

@test "the line for GNU parallel does what it says" {
	need parallel
	# It asks to be cited; whoever runs it has been told.
	documented parallel | sed 's/^parallel /&--will-cite /' >line
	[ -s line ]
	run bash line
	assert_failure 1
	platter crash merge shard-?.jsonl --jsonl all.jsonl >/dev/null ||
		[ $? -eq 1 ]
	diff <(timeless "$RUN/whole.jsonl") <(timeless all.jsonl)
}

@test "the job for Kubernetes is an indexed one, and its command works" {
	local python i

	for python in python3 /usr/bin/python3; do
		"$python" -c 'import yaml' 2>/dev/null && break
		python=
	done
	[ -n "$python" ] || skip 'no python3 with yaml was found'
	sed -n '/^```yaml$/,/^```$/{ /^```/d; p; }' \
		"$top_srcdir/doc/crash-at-scale.md" >job.yaml
	"$python" - >pod.sh <<-'END'
	import sys, yaml
	job = yaml.safe_load(open("job.yaml"))
	assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
	spec = job["spec"]
	assert spec["completionMode"] == "Indexed"
	pod = spec["template"]["spec"]
	assert pod["restartPolicy"] == "Never"
	one = pod["containers"][0]
	assert one["command"] == ["sh", "-c"]
	assert "--shard /%d " % spec["completions"] in one["args"][0]
	mounts = {v["name"] for v in one["volumeMounts"]}
	assert mounts == {v["name"] for v in pod["volumes"]}
	print(one["args"][0])
	END
	for ((i = 0; i < 16; i++)); do
		JOB_COMPLETION_INDEX=$i sh -c "$(cat pod.sh)" >/dev/null 2>&1
	done
	platter crash merge shard-*.jsonl --jsonl all.jsonl >/dev/null ||
		[ $? -eq 1 ]
	diff <(timeless "$RUN/whole.jsonl") <(timeless all.jsonl)
}
