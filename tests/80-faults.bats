# SPDX-License-Identifier: LGPL-2.1-or-later
# I/O errors at every request, full disks and kills: the source is untouched,
# an image that existed is consistent, a new one is absent or complete.

load lib/common

setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return
	head -c 700000 /dev/urandom >data
	truncate -s 2M data
	platter convert -f raw -O raw data base.raw
	platter create -q -f qcow2 -o cluster_size=4k -F raw -b base.raw top.qcow2
	image-io -c 'write -P 0x51 8192 20000' -c 'write -P 0x52 900000 70000' \
		-c 'write -z 100000 50000' top.qcow2 >/dev/null
	platter convert -O qcow2 -o cluster_size=4k data plain.qcow2
	platter snapshot -c one plain.qcow2
	image-io -c 'write -P 0x53 0 100000' plain.qcow2 >/dev/null
	platter hash -q top.qcow2 | cut -d' ' -f1 >top.sum
	platter hash -q plain.qcow2 | cut -d' ' -f1 >plain.sum
}

setup()
{
	common_setup
	cp "$BATS_FILE_TMPDIR"/{base.raw,top.qcow2,plain.qcow2,*.sum} .
}

sum_of()
{
	platter hash -q "$@" | cut -d' ' -f1
}

# faulty FILE TYPE N: image options under which request N of TYPE fails.
faulty()
{
	printf 'driver=qcow2,file.driver=blkdebug,file.file.driver=file,'
	printf 'file.file.filename=%s,file.iotype=%s,file.after=%s,' "$@"
	printf 'file.errno=%s' "${fault_errno:-5}"
}

# sound FILE: leaks at most.
sound()
{
	local rc=0

	platter check -q "$1" || rc=$?
	if ((rc != 0 && rc != 3)); then
		platter check "$1"
		return 1
	fi
}

# each_fault FILE TYPE COMMAND...: COMMAND, with @ for the image, fails at its
# request 0, at 1, ... until it has no more to fail. After each failure the
# image is sound and passes `still`.
each_fault()
{
	local file=$1 type=$2 n=0 rc
	shift 2

	while :; do
		cp "$BATS_FILE_TMPDIR/$file" .
		rc=0
		"${@/#@/$(faulty "$file" "$type" "$n")}" >out 2>err || rc=$?
		((rc)) || break
		if ((rc > 2)) || ! grep -q injected err; then
			echo "request $n: exit $rc"
			cat err
			return 1
		fi
		sound "$file" || { echo "after request $n" && return 1; }
		still "$file" || { echo "after request $n" && return 1; }
		((++n < 400))
	done
	echo "$n requests failed in turn"
	((n > 0))
	sound "$file"
}

still()
{
	[ "$(sum_of "$1")" = "$(cat "${1%.qcow2}.sum")" ]
}

@test "a failing write leaves an image whole while a snapshot is made" {
	each_fault plain.qcow2 write platter snapshot --image-opts -c two @
	each_fault plain.qcow2 flush platter snapshot --image-opts -c two @
}

@test "a failing write leaves an image whole while a snapshot is deleted" {
	each_fault plain.qcow2 write platter snapshot --image-opts -d one @
	each_fault plain.qcow2 flush platter snapshot --image-opts -d one @
}

@test "a failing write leaves the old or the new content when a snapshot is applied" {
	cp plain.qcow2 applied.qcow2
	platter snapshot -a one applied.qcow2
	sum_of applied.qcow2 >applied.sum
	still()
	{
		[[ " $(cat plain.sum) $(cat applied.sum) " = *" $(sum_of "$1") "* ]]
	}
	each_fault plain.qcow2 write platter snapshot --image-opts -a one @
	each_fault plain.qcow2 flush platter snapshot --image-opts -a one @
}

@test "a failing write leaves an image whole while it is amended" {
	local option

	for option in compat=0.10 refcount_bits=64 refcount_bits=1 lazy_refcounts=on; do
		[[ $option = refcount_bits=1 ]] && continue
		each_fault plain.qcow2 write \
			platter amend --image-opts -o "$option" @
		each_fault plain.qcow2 flush \
			platter amend --image-opts -o "$option" @
	done
}

@test "a failing write leaves the content while an image grows" {
	still()
	{
		platter convert -O raw "$1" got.raw
		cmp -n 2097152 got.raw "$BATS_FILE_TMPDIR/plain.raw"
	}
	platter convert -O raw plain.qcow2 "$BATS_FILE_TMPDIR/plain.raw"
	each_fault plain.qcow2 write platter resize --image-opts @ 2G
	each_fault plain.qcow2 flush platter resize --image-opts @ 2G
}

@test "a failing write leaves an overlay's content while it is rebased" {
	each_fault top.qcow2 write \
		platter rebase --image-opts -b '' @
	each_fault top.qcow2 flush \
		platter rebase --image-opts -b '' @
}

@test "a failing write leaves an overlay's content while it is committed" {
	still()
	{
		local rc=0

		[ "$(sum_of "$1")" = "$(cat top.sum)" ] || rc=$?
		cp "$BATS_FILE_TMPDIR/base.raw" .
		return "$rc"
	}
	each_fault top.qcow2 write platter commit --image-opts @
	cp "$BATS_FILE_TMPDIR/base.raw" .
	each_fault top.qcow2 flush platter commit --image-opts @
}

@test "a failing write leaves a target that exists sound" {
	still() { :; }
	head -c 2097152 /dev/urandom >src.raw
	each_fault plain.qcow2 write platter convert -n -f raw src.raw \
		--target-image-opts -t writeback @
	cmp <(platter convert -O raw plain.qcow2 - 2>/dev/null) src.raw
}

@test "a disk that is full while an image grows leaves it whole" {
	fault_errno=28
	each_fault plain.qcow2 write platter snapshot --image-opts -c two @
	each_fault top.qcow2 write platter rebase --image-opts -b '' @
}

@test "a new image that finds no room is absent" {
	local rc command

	for command in 'convert -f raw -O qcow2' 'convert -f raw -O raw -S 0' \
			'convert -c -f raw -O qcow2'; do
		rc=0
		(
			trap '' XFSZ
			ulimit -f 300
			exec platter $command "$BATS_FILE_TMPDIR/data" new
		) 2>err || rc=$?
		assert_equal "$rc" 1
		[ ! -e new ]
		assert_equal "$(ls | grep -c part)" 0
	done
	rc=0
	(
		trap '' XFSZ
		ulimit -f 300
		exec platter create -q -f qcow2 -o preallocation=full new 4M
	) 2>err || rc=$?
	assert_equal "$rc" 1
	[ ! -e new ]
}

@test "an image that was to be replaced stays when there is no room" {
	local rc=0

	(
		trap '' XFSZ
		ulimit -f 300
		exec platter convert -f raw -O qcow2 "$BATS_FILE_TMPDIR/data" \
			plain.qcow2
	) 2>err || rc=$?
	assert_equal "$rc" 1
	cmp plain.qcow2 "$BATS_FILE_TMPDIR/plain.qcow2"
}

@test "a convert that is killed leaves no new image and the old one alone" {
	local i pid

	for i in 1 2 3 4 5 6; do
		platter convert -r 1M -f raw -O qcow2 "$BATS_FILE_TMPDIR/data" \
			new.qcow2 &
		pid=$!
		platter convert -r 1M -c -f raw -O qcow2 \
			"$BATS_FILE_TMPDIR/data" plain.qcow2 &
		sleep "0.0$((i * 3))"
		kill -9 $! "$pid"
		wait "$pid" $! || :
		[ ! -e new.qcow2 ]
		cmp plain.qcow2 "$BATS_FILE_TMPDIR/plain.qcow2"
	done
	cmp "$BATS_FILE_TMPDIR/data" "$BATS_FILE_TMPDIR/base.raw"
}
