# SPDX-License-Identifier: LGPL-2.1-or-later
# platter hash: of what the guest sees, in any format, in every shape.

load lib/common

setup()
{
	common_setup
	# 5 MiB and a bit: data, a hole, data, zeros that are written.
	seq 200000 | head -c 1300000 >disk.raw
	truncate -s 3M disk.raw
	seq 7 90000 | head -c 300000 >>disk.raw
	truncate -s 5243392 disk.raw
}

hashes()
{
	"$PLATTER" hash "$@"
}

# The hash of a file by another program, "sha256" by sha256sum.
peer()
{
	"$1sum" "$2" | cut -d' ' -f1
}

@test "a raw image is hashed as sha256sum hashes the file" {
	run hashes disk.raw
	assert_output "$(sha256sum disk.raw)"
}

@test "every algorithm gives what the tool of its name gives" {
	local name

	for name in md5 sha1 sha224 sha256 sha384 sha512; do
		run hashes -a "$name" disk.raw
		assert_output "$(peer "$name" disk.raw)  disk.raw"
	done
}

@test "several algorithms in one run are told apart by tags, as with --tag" {
	run hashes -a md5 -a sha1,sha256 disk.raw
	assert_output "$(for name in md5 sha1 sha256; do
		"${name}sum" --tag disk.raw
	done)"
}

@test "an algorithm named twice is computed once" {
	run hashes -a md5,md5 -a md5 disk.raw
	assert_output "$(md5sum disk.raw)"
}

@test "several images are hashed in their order" {
	head -c 1M disk.raw >other.raw
	run hashes other.raw disk.raw other.raw
	assert_output "$(sha256sum other.raw disk.raw other.raw)"
}

@test "an empty image has the hash of nothing" {
	: >empty.raw
	run hashes empty.raw
	assert_output "$(sha256sum empty.raw)"
}

@test "the same content has the same hash in every format and layout" {
	need qemu-img
	local want spec

	qemu-img convert -O qcow2 disk.raw plain.qcow2
	qemu-img convert -c -O qcow2 -o cluster_size=4k disk.raw packed.qcow2
	qemu-img convert -S 0 -O qcow2 -o compat=0.10 disk.raw full.qcow2
	qemu-img convert -O qcow2 -o extended_l2=on disk.raw sub.qcow2
	qemu-img create -q -f qcow2 -b disk.raw -F raw top.qcow2
	want=$(peer sha256 disk.raw)
	for spec in plain packed full sub top; do
		run hashes "$spec.qcow2"
		assert_output "$want  $spec.qcow2"
	done
}

@test "a chain is hashed as what it shows, zeros over data being zeros" {
	need qemu-img qemu-io

	qemu-img create -q -f qcow2 -b disk.raw -F raw top.qcow2
	qemu-io -f qcow2 -c 'write -z 0 512k' -c 'write -P 9 2000000 3000' \
		top.qcow2 >io.log
	qemu-img convert -O raw top.qcow2 flat.raw
	run hashes top.qcow2
	assert_output "$(peer sha256 flat.raw)  top.qcow2"
}

@test "a byte that changes changes the hash" {
	local before

	before=$(hashes disk.raw)
	put disk.raw 5243391 01
	[ "$(hashes disk.raw)" != "$before" ]
}

@test "zeros are hashed without being read" {
	need strace
	truncate -s 64M disk.raw
	traced -e trace=pread64,read,preadv,preadv2 -o trace \
		"$PLATTER" hash disk.raw >out
	assert_equal "$(cut -d' ' -f1 out)" "$(peer sha256 disk.raw)"
	# 1.6 MB are data; the libraries take the rest.
	awk '{ n += $NF } END { exit !(n > 1600000 && n < 4000000) }' trace
}

@test "one thread or sixteen, the hash is the same" {
	local want

	want=$(peer sha256 disk.raw)
	for workers in 1 2 16; do
		run hashes -m "$workers" disk.raw
		assert_output "$want  disk.raw"
	done
}

# --- pieces ----------------------------------------------------------------

# pieces SIZE: what md5sum makes of each piece of disk.raw.
pieces()
{
	local at=0 size end

	size=$(stat -c %s disk.raw)
	while ((at < size)); do
		end=$((at + $1 < size ? at + $1 : size))
		printf '%s  disk.raw offset %d-%d\n' "$(tail -c "+$((at + 1))" \
			disk.raw | head -c "$1" | md5sum | cut -d' ' -f1)" \
			"$at" "$((end - 1))"
		at=$end
	done
}

@test "pieces are hashed one by one, the last being shorter" {
	run hashes -a md5 --piecewise 300k disk.raw
	assert_output "$(pieces 307200)"
}

@test "pieces of an odd size are those of a file cut at the same places" {
	run hashes -a md5 --piecewise 70001 disk.raw
	assert_output "$(pieces 70001)"
}

@test "a piece larger than the image is the image" {
	run hashes -a md5 --piecewise 1G disk.raw
	assert_output "$(peer md5 disk.raw)  disk.raw offset 0-5243391"
}

@test "pieces are hashdeep's" {
	need hashdeep
	run hashes -a md5,sha256 --piecewise 1M --output=hashdeep disk.raw
	assert_success
	diff <(grep -v '^##' <<<"$output") \
		<(hashdeep -p 1M -c md5,sha256 disk.raw | grep -v '^##')
}

@test "a tebibyte of zeros in pieces takes a moment" {
	truncate -s 1T big.raw
	run timeout 20 "$PLATTER" hash -a md5 --piecewise 256M big.raw
	assert_success
	assert_equal "${#lines[@]}" 4096
	assert_equal "$(sed 's/ .*//' <<<"$output" | sort -u)" \
		"$(head -c 256M /dev/zero | md5sum | cut -d' ' -f1)"
}

# --- shapes ----------------------------------------------------------------

@test "JSON has an object for each image" {
	need jq
	hashes -a md5,sha256 --output=json disk.raw >out
	assert_equal "$(jq -c '.[0] | [.filename, .format, ."virtual-size",
		.md5, .sha256]' out)" \
		"[\"disk.raw\",\"raw\",5243392,\"$(peer md5 disk.raw)\",\"$(
		peer sha256 disk.raw)\"]"
}

@test "JSON has a row for each piece" {
	need jq
	hashes -a md5 --piecewise 2M --output=json disk.raw >out
	assert_equal "$(jq -r '.[0].pieces[] | "\(.md5)  disk.raw offset " +
		"\(.offset)-\(.offset + .length - 1)"' out)" "$(pieces 2097152)"
}

@test "XML has the same" {
	need xmllint
	hashes -a md5 --output=xml disk.raw >out
	assert_equal "$(xmllint --xpath 'string(/hash/item/md5)' out)" \
		"$(peer md5 disk.raw)"
}

@test "the audit of hashdeep passes with our list, and fails when changed" {
	need hashdeep
	hashes -a md5,sha256 --output=hashdeep disk.raw >known
	run hashdeep -a -k known disk.raw
	assert_output 'hashdeep: Audit passed'
	put disk.raw 1000 ff
	run hashdeep -a -k known disk.raw
	assert_output 'hashdeep: Audit failed'
}

@test "the list for hashdeep has its columns in hashdeep's order" {
	run hashes -a sha256,md5 --output=hashdeep disk.raw
	assert_line --index 0 '%%%% HASHDEEP-1.0'
	assert_line --index 1 '%%%% size,md5,sha256,filename'
	assert_line "5243392,$(peer md5 disk.raw),$(peer sha256 disk.raw),$(
		realpath disk.raw)"
}

# xml FILE XPATH: the value there; namespaces are left out of account.
xml()
{
	xmllint --nonet --xpath "string($2)" "$1"
}

# path NAME...: an XPath from the root.
path()
{
	printf "/*[local-name()='%s']" "$@"
}

@test "DFXML has the parts a report must have" {
	need xmllint
	SOURCE_DATE_EPOCH=1000000000 "$PLATTER" hash -a md5,sha1 \
		--output=dfxml disk.raw >out
	assert_equal "$(xml out "$(path dfxml)/@version")" 1.1.0
	assert_equal "$(xml out "namespace-uri(/*)")" \
'http://www.forensicswiki.org/wiki/Category:Digital_Forensics_XML'
	assert_equal "$(xml out "$(path dfxml metadata type)")" 'Hash List'
	assert_equal "$(xml out "$(path dfxml creator program)")" platter
	assert_equal "platter $(xml out "$(path dfxml creator version)")" \
		"$("$PLATTER" --version)"
	[ -n "$(xml out "$(path dfxml creator build_environment compiler)")" ]
	[ "$(xml out "$(path dfxml creator build_environment library)/@name")" \
		= libxml2 ]
	assert_equal "$(xml out "$(path dfxml creator execution_environment \
		command_line)")" \
		"$PLATTER hash -a md5,sha1 --output=dfxml disk.raw"
	assert_equal "$(xml out "$(path dfxml creator execution_environment \
		start_time)")" 2001-09-09T01:46:40Z
	assert_equal "$(xml out "$(path dfxml source image_filename)")" disk.raw
}

@test "DFXML has the hashes of the whole with the image" {
	need xmllint
	hashes -a md5,sha1 --output=dfxml disk.raw >out
	assert_equal "$(xml out "$(path dfxml fileobject filename)")" disk.raw
	assert_equal "$(xml out "$(path dfxml fileobject filesize)")" 5243392
	assert_equal "$(xml out "$(path dfxml fileobject byte_runs \
		byte_run)/@len")" 5243392
	for name in md5 sha1; do
		assert_equal "$(xml out "$(path dfxml fileobject \
			hashdigest)[@type='$name']")" "$(peer "$name" disk.raw)"
	done
}

@test "DFXML has the hashes of pieces with their places" {
	need xmllint
	hashes -a md5 --piecewise 1M --output=dfxml disk.raw >out
	run xml out "count($(path dfxml fileobject byte_runs byte_run))"
	assert_output 6
	assert_equal "$(xml out "$(path dfxml fileobject byte_runs \
		byte_run)[3]/@img_offset")" 2097152
	assert_equal "$(xml out "$(path dfxml fileobject byte_runs \
		byte_run)[3]/@len")" 1048576
	assert_equal "$(xml out "$(path dfxml fileobject byte_runs \
		byte_run)[6]$(path hashdigest)")" \
		"$(tail -c 512 disk.raw | md5sum | cut -d' ' -f1)"
}

@test "DFXML escapes a name that XML cannot hold" {
	need xmllint
	local name=$'a\001<b'

	mv disk.raw "$name"
	hashes --output=dfxml "$name" >out
	assert_equal "$(xml out "$(path dfxml fileobject filename)")" 'a\x01<b'
}

# --- errors ----------------------------------------------------------------

@test "an unknown algorithm is a usage error that lists them" {
	usage_error 'none of md5, sha1' "$PLATTER" hash -a crc32 disk.raw
}

@test "what hashdeep and DFXML do not know is a usage error" {
	usage_error 'no sha512' "$PLATTER" hash -a sha512 --output=dfxml disk.raw
	usage_error 'no sha224' "$PLATTER" hash -a md5,sha224 \
		--output=hashdeep disk.raw
}

@test "pieces of no bytes are a usage error" {
	usage_error 'size is 0' "$PLATTER" hash --piecewise 0 disk.raw
}

@test "no image is a usage error" {
	usage_error 'IMAGE is missing' "$PLATTER" hash
}

@test "a missing image is told of, behind the hashes before it" {
	run --separate-stderr "$PLATTER" hash disk.raw nosuch.raw
	assert_failure 2
	assert_output "$(sha256sum disk.raw)"
	complained 'nosuch.raw: No such file or directory'
}

@test "a full disk is an error in every shape" {
	[ -c /dev/full ] || skip "no /dev/full"
	for shape in human json hashdeep dfxml; do
		run bash -c '"$PLATTER" hash --output="$0" disk.raw >/dev/full' \
			"$shape"
		assert_failure 2
		assert_output --partial 'No space left on device'
	done
}
