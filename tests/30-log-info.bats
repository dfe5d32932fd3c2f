# SPDX-License-Identifier: LGPL-2.1-or-later
# platter log info. The numbers of the shipped logs are those of a reader that
# is no part of this project.

load lib/logs

setup_file()
{
	unpack_all
}

setup()
{
	common_setup
}

# counts LOG: sector size, entries, recovered, writes, discards, marks, empty,
# flushes, fuas, metadata
counts()
{
	json '[."sector-size", .entries, .recovered, .writes, .discards,
		.marks, .empty, .flushes, .fuas, .metadata]' \
		platter log info "$1"
}

# bytes LOG: data, discards, device, log, where the last entry ends
bytes()
{
	json '[."data-bytes", ."discard-bytes", ."device-size", ."log-size",
		."log-end"]' platter log info "$1"
}

epochs()
{
	json '.epochs | [.count, .median, .largest]' platter log info "$1"
}

@test "info counts the entries of kernel-6.1-ext4" {
	run counts "$LOGS/kernel-6.1-ext4"
	assert_output '[512,179,0,141,2,11,25,25,19,117]'
}

@test "info counts the entries of kernel-6.1-ext4-4k in sectors of 4096" {
	run counts "$LOGS/kernel-6.1-ext4-4k"
	assert_output '[4096,183,0,143,2,11,27,27,19,117]'
}

@test "info counts the entries of kernel-6.1-ext4-discard" {
	run counts "$LOGS/kernel-6.1-ext4-discard"
	assert_output '[512,189,0,149,3,11,26,26,19,117]'
}

@test "info counts the entries of kernel-6.1-nobar" {
	run counts "$LOGS/kernel-6.1-nobar"
	assert_output '[512,161,0,143,2,11,5,5,0,107]'
}

@test "info counts the entries of kernel-6.1-xfs" {
	run counts "$LOGS/kernel-6.1-xfs"
	assert_output '[512,212,0,184,1,11,16,16,13,60]'
}

@test "info counts the entries of metadata-flag-1entry" {
	run counts "$LOGS/metadata-flag-1entry"
	assert_output '[512,1,0,1,0,0,0,0,0,1]'
}

@test "info counts the entries of qemu-7.2-basic" {
	run counts "$LOGS/qemu-7.2-basic"
	assert_output '[512,11,0,5,1,0,5,5,0,0]'
}

@test "info counts the entries of qemu-7.2-killed-no-super" {
	run counts "$LOGS/qemu-7.2-killed-no-super"
	assert_output '[512,3,0,2,0,0,1,1,0,0]'
}

@test "info counts the entries of qemu-7.2-write-during-flush" {
	run counts "$LOGS/qemu-7.2-write-during-flush"
	assert_output '[512,4,0,2,0,0,2,2,0,0]'
}

@test "info counts the entry beyond the count as recovered" {
	run counts "$LOGS/qemu-7.2-acked-fua-not-counted"
	assert_output '[512,3,1,2,0,0,1,1,0,0]'
}

@test "info counts one entry of a log whose rest is of an older one" {
	run counts "$LOGS/qemu-7.2-stale-super-reused-file"
	assert_output '[512,1,0,1,0,0,0,0,0,0]'
}

@test "info adds up the bytes of kernel-6.1-ext4" {
	run bytes "$LOGS/kernel-6.1-ext4"
	assert_output '[5038080,33558528,33554432,5130240,5130240]'
}

@test "info adds up the bytes of kernel-6.1-ext4-4k" {
	run bytes "$LOGS/kernel-6.1-ext4-4k"
	assert_output '[7127040,33558528,33554432,7880704,7880704]'
}

@test "info adds up the bytes of kernel-6.1-ext4-discard" {
	run bytes "$LOGS/kernel-6.1-ext4-discard"
	assert_output '[9240576,67145728,67108864,9337856,9337856]'
}

@test "info adds up the bytes of kernel-6.1-nobar" {
	run bytes "$LOGS/kernel-6.1-nobar"
	assert_output '[7127040,33558528,33554432,7209984,7209984]'
}

@test "info adds up the bytes of kernel-6.1-xfs" {
	run bytes "$LOGS/kernel-6.1-xfs"
	assert_output '[70119424,335544320,335544320,70228480,70228480]'
}

@test "info adds up the bytes of qemu-7.2-basic" {
	run bytes "$LOGS/qemu-7.2-basic"
	assert_output '[139776,1048576,2097152,145920,145920]'
}

@test "the bytes of a recovered entry count" {
	run bytes "$LOGS/qemu-7.2-acked-fua-not-counted"
	assert_output '[8192,0,12288,10240,10240]'
}

@test "what lies behind the last provable entry does not count" {
	run bytes "$LOGS/qemu-7.2-stale-super-reused-file"
	assert_output '[512,0,512,145920,1536]'
}

@test "a discard counts for the device's size" {
	mklog l <<-'END'
	write 0 8
	discard 1000 24
	END
	told 524288 '."device-size"' platter log info l
}

@test "an empty flush does not count for the device's size" {
	mklog l <<-'END'
	write 0 8
	emptyflushfua 1000
	END
	told 4096 '."device-size"' platter log info l
}

@test "info measures the epochs of kernel-6.1-ext4" {
	run epochs "$LOGS/kernel-6.1-ext4"
	assert_output '[20,9,26]'
}

@test "info measures the epochs of kernel-6.1-nobar" {
	run epochs "$LOGS/kernel-6.1-nobar"
	assert_output '[4,9,109]'
}

@test "info measures the epochs of kernel-6.1-xfs" {
	run epochs "$LOGS/kernel-6.1-xfs"
	assert_output '[15,2,130]'
}

@test "writes and discards make an epoch, marks and empty flushes do not" {
	mklog l <<-'END'
	flush
	mark a
	flush
	write 0 1
	mark b
	discard 0 1
	flush
	flush
	END
	run epochs l
	assert_output '[1,2,2]'
}

@test "a flush that carries data belongs to the epoch it begins" {
	mklog l <<-'END'
	write 0 1
	write 1 1
	write 2 1
	write 3 1 flags=1
	END
	run epochs l
	assert_output '[2,1,3]'
}

@test "of an even number of epochs the smaller middle one is the median" {
	{
		for n in 7 1 5 3; do
			yes 'write 0 1 hole' | head -n "$n"
			echo flush
		done
	} | mklog l
	run epochs l
	assert_output '[4,3,7]'
}

@test "epochs beyond 65535 writes are measured" {
	{
		for n in 70000 5 65536 66000 65537; do
			yes 'write 0 1 hole' | head -n "$n"
			echo flush
		done
	} | mklog --sector-size 32 l
	run epochs l
	assert_output '[5,65537,70000]'
}

@test "info tells the kernel's logs from QEMU's" {
	local name

	for name in kernel-6.1-ext4 kernel-6.1-nobar kernel-6.1-xfs; do
		told kernel .writer platter log info "$LOGS/$name"
	done
	for name in qemu-7.2-basic qemu-7.2-killed-no-super \
		qemu-7.2-write-during-flush; do
		told qemu .writer platter log info "$LOGS/$name"
	done
}

@test "info does not guess who wrote a log without entries" {
	mklog l </dev/null
	told unknown .writer platter log info l
}

@test "the rule for what a flush covers is another for QEMU's logs" {
	run json '."flush-cover"' platter log info "$LOGS/kernel-6.1-ext4"
	assert_output --partial 'covers every write logged before it'
	run json '."flush-cover"' platter log info "$LOGS/qemu-7.2-basic"
	assert_output --partial 'not be covered'
}

@test "info says whether the kernel closed the log" {
	told true '."clean-end"' platter log info "$LOGS/kernel-6.1-ext4"
	told false '."clean-end"' platter log info "$LOGS/qemu-7.2-basic"
}

@test "a sound log has no problems" {
	told '[false,[]]' '[.damaged, .problems]' \
		platter log info "$LOGS/kernel-6.1-ext4"
}

@test "info lists a problem with its place and entry" {
	told '["damage",1536,1]' '.problems[] |
		[.severity, ."log-offset", .entry]' \
		platter log info "$LOGS/qemu-7.2-stale-super-reused-file"
}

@test "info of a log that ends early prints it all and exits with 1" {
	run --separate-stderr platter log info --output=json \
		"$LOGS/qemu-7.2-stale-super-reused-file"
	assert_failure 1
	assert_equal "$(jq .entries <<<"$output")" 1
}

@test "info of a log with recovered entries exits with 0" {
	run platter log info "$LOGS/qemu-7.2-acked-fua-not-counted"
	assert_success
}

@test "info for people says the same" {
	succeeds platter log info "$LOGS/kernel-6.1-ext4"
	assert_line 'sector size: 512'
	assert_line 'entries: 179 (0 recovered)'
	assert_line --regexp '^smallest device: .*\(33554432 bytes\)$'
}

@test "info in XML is well formed and says the same" {
	need xmllint
	platter log info --output=xml "$LOGS/kernel-6.1-ext4" >x.xml
	run xmllint --xpath 'string(//entries)' x.xml
	assert_output 179
}

@test "info of a file that is no log is one line and exit 2" {
	head -c 4096 "$top_srcdir/configure.ac" >text
	fails 2 'text: not a write log' platter log info text
}

@test "info of a file that is not there is one line and exit 2" {
	fails 2 'none: No such file' platter log info none
}

@test "info of a folder is one line and exit 2" {
	mkdir folder
	fails 2 folder platter log info folder
}

@test "info without a log is a usage error" {
	usage_error 'LOG is missing' platter log info
}

@test "info does not write beside the log" {
	cp "$LOGS/qemu-7.2-basic" l
	platter log info l
	assert_equal "$(files)" l
}
