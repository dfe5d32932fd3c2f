# SPDX-License-Identifier: LGPL-2.1-or-later
# Crash states spread by Slurm, with a cluster of one node that is the test's
# own: its controller, its node and its munged have their files in the test's
# folder, and ports nobody else should have.

# shellcheck disable=SC2154 # set by run-bats
load "$top_srcdir/tests/lib/logs"
load "$top_srcdir/tests/lib/spread"

# Debian keeps the daemons where only root looks.
PATH=$PATH:/usr/sbin:/sbin

setup()
{
	common_setup
	daemons=()
}

teardown()
{
	local pid

	for pid in "${daemons[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	for pid in "${daemons[@]}"; do
		# A step's process may hold the node a little.
		for ((i = 0; i < 100; i++)); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.1
		done
		kill -KILL "$pid" 2>/dev/null || true
	done
}

# daemon NAME ARGUMENT...: starts one in the foreground of its own.
daemon()
{
	"$@" >"$1.out" 2>&1 3>&- &
	daemons+=("$!")
}

configure()
{
	local host port=$((20000 + $$ % 20000))

	host=$(hostname -s)
	mkdir state spool
	cat >slurm.conf <<-END
	ClusterName=spread
	SlurmctldHost=$host(127.0.0.1)
	AuthType=auth/munge
	AuthInfo=socket=$PWD/munge.socket
	SlurmUser=root
	SlurmdUser=root
	SlurmctldPort=$port
	SlurmdPort=$((port + 1))
	SlurmctldPidFile=$PWD/slurmctld.pid
	SlurmdPidFile=$PWD/slurmd.pid
	StateSaveLocation=$PWD/state
	SlurmdSpoolDir=$PWD/spool
	ProctrackType=proctrack/linuxproc
	TaskPlugin=task/none
	JobAcctGatherType=jobacct_gather/none
	AccountingStorageType=accounting_storage/none
	MpiDefault=none
	ReturnToService=2
	SlurmdParameters=config_overrides
	SelectType=select/cons_tres
	SelectTypeParameters=CR_CPU
	NodeName=$host NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
	PartitionName=all Nodes=$host Default=YES State=UP
	END
	export SLURM_CONF=$PWD/slurm.conf
}

start_cluster()
{
	local i

	need_root
	need munged slurmctld slurmd sbatch sinfo
	configure
	head -c 1024 /dev/urandom >key
	chmod 400 key
	daemon munged --foreground --force --key-file="$PWD/key" \
		--socket="$PWD/munge.socket" --pid-file="$PWD/munged.pid" \
		--log-file="$PWD/munged.log" --seed-file="$PWD/munged.seed"
	for ((i = 0; i < 100; i++)); do
		[ ! -S munge.socket ] || break
		sleep 0.1
	done
	daemon slurmctld -D -f "$SLURM_CONF"
	daemon slurmd -D -f "$SLURM_CONF"
	for ((i = 0; i < 120; i++)); do
		if timeout 10 sinfo -h -o %T 2>/dev/null | grep -qx idle; then
			return
		fi
		sleep 0.5
	done
	tail -n 20 ./*.out
	skip 'Slurm does not come up here'
}

@test "a Slurm array job gives what one run gives" {
	local code=0

	start_cluster
	spread_fixtures
	platter crash explore --base start.img run.log --jsonl whole.jsonl -q \
		-- ./check {} >/dev/null || [ $? -eq 1 ]
	documented slurm >crash.sh
	# Some states fail, and so does the job then.
	timeout 300 sbatch --wait crash.sh || code=$?
	cat slurm-*.out
	[ "$code" -eq 1 ]
	assert_equal "$(echo shard-*)" \
		'shard-0.jsonl shard-1.jsonl shard-2.jsonl shard-3.jsonl'
	run platter crash merge shard-*.jsonl --jsonl all.jsonl
	assert_failure 1
	diff <(timeless whole.jsonl) <(timeless all.jsonl)
}
