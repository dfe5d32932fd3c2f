# SPDX-License-Identifier: LGPL-2.1-or-later
# Image locks: two programs on one image, platter and qemu in both orders. The
# words in quotes are qemu's, which programs around it search for.

load lib/common

setup()
{
	common_setup
	truncate -s 1M disk
	truncate -s 1M other
}

teardown()
{
	release
}

# qemu_holds r|w: qemu-io has `disk` open.
qemu_holds()
{
	need qemu-io
	# It says something only when it is asked to.
	# shellcheck disable=SC2016 # for the inner shell
	hold sh -c '{ echo "length"; cat; } |
		stdbuf -oL qemu-io $1 -f raw disk |
		sed -u "s/^.*1 MiB/open/"' sh "$([ "$1" = w ] || echo -r)"
}

@test "while qemu writes to an image, converting it is refused" {
	qemu_holds w
	fails 1 'Failed to get shared "write" lock' \
		"$PLATTER" convert -f raw -O raw disk out
	complained 'disk'
	complained '-U'
	[ ! -e out ]
}

@test "while qemu writes to an image, writing to it is refused" {
	qemu_holds w
	fails 1 'lock' "$PLATTER" convert -n -f raw -O raw other disk
}

@test "while qemu writes to an image, -U reads it" {
	qemu_holds w
	succeeds "$PLATTER" convert -U -f raw -O raw disk out
	cmp disk out
}

@test "while qemu writes to an image, info looks at it" {
	qemu_holds w
	succeeds "$PLATTER" info -f raw disk
}

@test "while qemu reads an image, converting it works" {
	qemu_holds r
	succeeds "$PLATTER" convert -f raw -O raw disk out
}

@test "while qemu-storage-daemon serves an image, writing to it is refused" {
	need qemu-storage-daemon
	# shellcheck disable=SC2016 # for the inner shell
	hold sh -c 'qemu-storage-daemon \
		--blockdev driver=file,node-name=f,filename=disk \
		--nbd-server addr.type=unix,addr.path=nbd \
		--export nbd,id=e,node-name=f,writable=off \
		--pidfile pid &
		until [ -s pid ]; do sleep 0.1; done
		echo open
		cat >/dev/null
		kill $!'
	fails 1 'lock' "$PLATTER" convert -n -f raw -O raw other disk
	succeeds "$PLATTER" convert -f raw -O raw disk out
}

@test "while platter writes to an image, qemu is refused" {
	need qemu-io qemu-img
	hold hold-image w disk
	run qemu-io -f raw -c 'write 0 512' disk
	assert_failure 1
	assert_output --partial 'Failed to get "write" lock'
	run qemu-img convert -f raw -O raw disk out
	assert_failure 1
	assert_output --partial 'Failed to get shared "write" lock'
	run qemu-img resize -f raw disk 2M
	assert_failure 1
	assert_output --partial 'Failed to get "write" lock'
}

@test "while platter reads an image, qemu reads it and does not write" {
	need qemu-io qemu-img
	hold hold-image r disk
	run qemu-img convert -f raw -O raw disk out
	assert_success
	run qemu-io -f raw -c 'write 0 512' disk
	assert_failure 1
	assert_output --partial 'Failed to get "write" lock'
}

@test "when platter is done, qemu may have the image" {
	need qemu-io
	hold hold-image w disk
	release
	run qemu-io -f raw -c 'write 0 512' disk
	assert_success
}

@test "two platters read one image" {
	hold hold-image r disk
	succeeds "$PLATTER" convert -f raw -O raw disk out
}

@test "two platters do not write to one image" {
	hold hold-image w disk
	fails 1 'disk: Failed to get "write" lock' \
		"$PLATTER" convert -n -f raw -O raw other disk
	fails 1 'disk: Failed to get shared "write" lock' \
		"$PLATTER" convert -f raw -O raw disk out
}
