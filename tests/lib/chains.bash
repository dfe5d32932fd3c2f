# SPDX-License-Identifier: LGPL-2.1-or-later
# Chains of overlays, for the verbs that work on them. After lib/common.

# chain [CLUSTER_SIZE [SIZE...]]: base.raw <- mid.qcow2 <- top.qcow2, of those
# sizes, each with data and zeros of its own; `other.qcow2` is over base.raw,
# too. before.raw is what top.qcow2 reads as.
chain()
{
	local cluster=${1:-65536} base=${2:-4M} mid=${3:-4M} top=${4:-4M}

	need qemu-img qemu-io
	truncate -s "$base" base.raw
	qemu-io -f raw -c 'write -P 1 0 3M' base.raw >io.out
	overlay mid.qcow2 base.raw raw "$cluster" "$mid" \
		-c 'write -P 2 1M 700k' -c 'write -z 100k 50k' \
		-c 'write -P 3 3500k 4k'
	overlay top.qcow2 mid.qcow2 qcow2 "$cluster" "$top" \
		-c 'write -P 4 1500k 500k' -c 'write -P 5 5k 512' \
		-c 'write -z -u 2500k 200k'
	overlay other.qcow2 base.raw raw "$cluster" "$mid" \
		-c 'write -P 6 1200k 400k' -c 'write -P 2 1M 64k' \
		-c 'write -P 7 2500k 200k'
	qemu-img convert -O raw top.qcow2 before.raw
}

# Writes that lie behind the end of a short image are left out.
# overlay NAME BACKING FORMAT CLUSTER_SIZE SIZE QEMU-IO-ARGUMENT...
overlay()
{
	local name=$1

	qemu-img create -q -f qcow2 -o "cluster_size=$4" -b "$2" -F "$3" \
		"$name" "$5"
	shift 5
	qemu-io "$@" "$name" >io.out || :
}

# both VERB ARGUMENT...: platter here, qemu-img on a copy of it in theirs/; all
# files are the same for the guest then, and no qcow2 is damaged.
both()
{
	rm -rf theirs
	mkdir theirs
	cp ./*.* theirs
	run --separate-stderr "$PLATTER" "$@"
	assert_success
	(cd theirs && qemu-img "$@" >out)
	same_files
}

same_files()
{
	local f

	for f in ./*.qcow2; do
		check_clean "$f"
		qemu-img compare -q "$f" "theirs/$f"
		diff <(facts "$f") <(cd theirs && facts "$f")
	done
	cmp base.raw theirs/base.raw
}

# facts IMAGE: what info says about its sizes and its backing file.
facts()
{
	qemu-img info "$1" |
		grep -E '^(image|virtual size|cluster_size|backing)'
}

check_clean()
{
	qemu-img check -q "$1"
}

# unharmed IMAGE...: leaks may be, damage not.
unharmed()
{
	local f code

	for f; do
		code=0
		qemu-img check -q "$f" >check.out 2>&1 || code=$?
		[ "$code" -eq 0 ] || [ "$code" -eq 3 ] || {
			cat check.out
			return 1
		}
	done
}

# reads_as_before [IMAGE]
reads_as_before()
{
	qemu-img compare -f qcow2 -F raw -q "${1:-top.qcow2}" before.raw
}

# killed_at MS COMMAND...: SIGKILL after so many milliseconds, if it still runs.
# It is gone, and its locks with it, when this returns.
killed_at()
{
	local pid

	"${@:2}" >out 2>&1 3>&- &
	pid=$!
	sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
	kill -KILL "$pid" 2>/dev/null || :
	wait "$pid" 2>/dev/null || :
}

# logged IMAGE: the file of IMAGE as a spec that writes its writes to `log`
logged()
{
	echo "driver=blklogwrites,file.driver=file,file.filename=$1," \
		"log.driver=file,log.filename=log" | tr -d ' '
}

# below PREFIX SPEC: the same as the options of the node PREFIX
below()
{
	# shellcheck disable=SC2001 # two patterns
	sed "s/\(^\|,\)/\1$1./g" <<<"$2"
}

# survives_power_cuts IMAGE COMMAND...: the command writes to the file of IMAGE
# through logged. Whatever a power cut leaves of it has leaks at most, and
# top.qcow2 reads as before.
survives_power_cuts()
{
	local image=$1

	shift
	cp "$image" old.qcow2
	truncate -s 0 log
	run "$@"
	assert_success
	"$PLATTER" log list log | grep -q FLUSH
	run crash-states log old.qcow2 "$image" "
		qemu-img check $image >check.out 2>&1
		case \$? in 0 | 3) ;; *) cat check.out; exit 1 ;; esac
		qemu-img compare -f qcow2 -F raw -q top.qcow2 before.raw"
	assert_success
	# shellcheck disable=SC2154 # set by run
	(($(sed -n 's/ states, .*//p' <<<"$output") > 2)) || fail "$output"
}
