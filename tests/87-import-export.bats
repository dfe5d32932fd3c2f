# SPDX-License-Identifier: LGPL-2.1-or-later
# Logs as text for other programs, and text of other programs as logs.

load lib/logs

setup()
{
	common_setup
	texts=$top_srcdir/tests/images/text
}

script()
{
	printf '%s\n' "$@" | mklog log
}

small()
{
	script 'write 0 8' flush 'fua 8 8' 'mark a b' 'discard 0 8'
}

# entries LOG: number by number what log list says, less places in the log.
entries()
{
	platter log list --output=json "$1" |
		jq -r '.[] | [.offset, .length, .flags, .mark // ""] | @tsv'
}

# imports FORMAT TEXT [OPTION...]: into `new`, whose first mark is left out of
# what entries shows.
imports()
{
	local format=$1 text=$2

	shift 2
	succeeds platter log import -q --format "$format" -o new "$text" "$@"
	entries new | tail -n +2
}

# --- export ---------------------------------------------------------------

@test "export --format blkparse prints a Q and a C event an entry" {
	small
	run platter log export log --format blkparse --device 8,16
	assert_success
	assert_output - <<-'EOF'
	  8,16   0        1     0.000000000     0  Q   W 0 + 8 [platter]
	  8,16   0        2     0.000000000     0  C   W 0 + 8 [0]
	  8,16   0        3     1.000000000     0  Q  FN [platter]
	  8,16   0        4     1.000000000     0  C  FN 0 [0]
	  8,16   0        5     2.000000000     0  Q  WF 8 + 8 [platter]
	  8,16   0        6     2.000000000     0  C  WF 8 + 8 [0]
	  8,16   0        0     3.000000000     0  m   N a b
	  8,16   0        7     4.000000000     0  Q   D 0 + 8 [platter]
	  8,16   0        8     4.000000000     0  C   D 0 + 8 [0]
	EOF
}

@test "export --format fio3 has the entries' numbers for times" {
	small
	run platter log export log --format fio3
	assert_success
	assert_output - <<-'EOF'
	fio version 3 iolog
	0 disk add
	0 disk open
	0 disk write 0 4096
	1 disk sync 0 0
	2 disk write 4096 4096
	2 disk datasync 0 0
	4 disk trim 0 4096
	4 disk close
	EOF
}

@test "export --format tsv has all of log list" {
	need jq
	small
	platter log export log --format tsv | tail -n +2 |
		cut -f 1-7,11 >ours
	platter log list --output=json log |
		jq -r '.[] | [.entry, ."log-offset", .offset, .length, .sector,
			.sectors, .flags, .mark // ""] | @tsv' >theirs
	diff ours theirs
}

@test "export --format jsonl is log list's JSON, a line each" {
	need jq
	log_file kernel-6.1-ext4 log
	platter log export log --format jsonl >ours
	assert_equal "$(jq -c . ours | sha256_of)" \
		"$(platter log list --output=json log | jq -c '.[]' | sha256_of)"
}

@test "--from and --to choose what is exported" {
	small
	run platter log export log --format fio --from 1 --to flush:1
	assert_output - <<-'EOF'
	fio version 2 iolog
	disk add
	disk open
	disk sync 0 0
	disk close
	EOF
}

@test "-o makes a new file, and replaces none" {
	small
	succeeds platter log export log --format tsv -o out
	[ "$(wc -l <out)" -eq 6 ]
	echo mine >out
	fails 2 'exists' platter log export log --format tsv -o out
	assert_equal "$(cat out)" mine
	fails 2 'is the log itself' platter log export log --format tsv \
		-o log --force
}

@test "export needs a format, and one that can be written" {
	small
	usage_error '--format is missing' platter log export log
	usage_error 'none of blkparse' platter log export log --format nbdkit
}

@test "fio does what an exported log says" {
	local version

	need fio
	script 'write 0 8' flush 'fua 8 8' 'write 100 16'
	truncate -s 1M disk
	for version in fio fio3; do
		platter log export log --format "$version" -o iolog --force
		fio --name=again --read_iolog=iolog --output=said \
			--output-format=json
		run jq -c '.jobs[0].write | [.total_ios, .io_bytes]' said
		assert_output '[3,16384]'
	done
}

# --- there and back -------------------------------------------------------

@test "a log exported as JSON lines and imported has the same entries" {
	need jq
	local log

	for log in kernel-6.1-ext4 qemu-7.2-trims; do
		[ -e "$top_srcdir/tests/images/write-logs/$log.dmlw.xz" ] ||
			continue
		log_file "$log" log
		platter log export log --format jsonl -o text --force
		imports jsonl text --data zero --force >after
		entries log >before
		diff before after
	done
	[ -s before ]
}

@test "issue number and time survive JSON lines" {
	need jq
	truncate -s 1M disk
	: >log
	image-io --image-opts \
		-c 'write 0 4k' -c flush \
		driver=blklogwrites,file.driver=raw,file.file.filename=disk,log.driver=raw,log.file.filename=log
	platter log export log --format jsonl -o text
	imports jsonl text >/dev/null
	assert_equal \
		"$(jq -c '[.issue, ."time-ns"]' text)" \
		"$(platter log export new --format jsonl --from 1 |
			jq -c '[.issue, ."time-ns"]')"
}

@test "a log exported to blkparse and imported has the same entries" {
	need jq
	log_file kernel-6.1-ext4 log
	platter log export log --format blkparse -o text
	imports blkparse text --data zero >after
	# An empty flush has a place in the log, but in no trace.
	entries log | awk -F '\t' -v OFS='\t' '!$2 { $1 = 0 } { print }' >before
	diff before after
}

@test "a log exported to fio's iolog has the same writes and flushes" {
	need jq
	local version

	small
	for version in fio fio3; do
		platter log export log --format "$version" -o text --force
		run imports fio text --force
		assert_output $'0\t4096\t\t\n0\t0\tFLUSH\t\n4096\t4096\t\t\n0\t0\tFLUSH\t\n0\t4096\tDISCARD\t'
	done
}

@test "an imported log exported and imported again is the same, byte for byte" {
	small
	platter log export log --format jsonl -o text
	platter log import -q --format jsonl -o one text --seed 5
	platter log export one --format jsonl -o text --force
	platter log import -q --format jsonl -o two text --seed 5
	cmp one two
}

# --- import ---------------------------------------------------------------

@test "blkparse's completions become entries" {
	need jq
	run imports blkparse "$texts/blkparse.txt"
	assert_output - <<-'EOF'
	0	0	MARK	cfq697S / alloced
	114426880	12288		
	0	0	FLUSH	
	153600000	4096	FUA	
	2097152	1048576	DISCARD	
	32768	4096	METADATA	
	EOF
}

@test "blkparse's times become the entries'" {
	need jq
	imports blkparse "$texts/blkparse.txt" >/dev/null
	run jq '."time-ns"' <(platter log export new --format jsonl --from 2)
	assert_line --index 0 20000000
	assert_line --index 1 21000000
}

@test "of a trace without completions the queued requests are taken" {
	need jq
	grep -v ' C ' "$texts/blkparse.txt" >text
	run imports blkparse text
	assert_line --index 0 $'114426880\t4096\t\t'
	assert_line --index 1 $'153600000\t4096\tFLUSH|FUA\t'
	assert_equal "${#lines[@]}" 3
}

@test "what fio logged becomes entries" {
	need jq
	run imports fio "$texts/fio3.txt"
	assert_output - <<-'EOF'
	0	4096		
	45056	4096		
	0	0	FLUSH	
	24576	4096	DISCARD	
	57344	8192		
	0	0	FLUSH	
	EOF
}

@test "what nbdkit logged becomes entries as requests end" {
	need jq
	run imports nbdkit "$texts/nbdkit.txt"
	assert_output - <<-'EOF'
	4096	4096	FUA	
	0	4096		
	0	0	FLUSH	
	8192	4096	DISCARD	
	16384	8192		
	EOF
}

@test "requests that did not end are counted" {
	run platter log import --format nbdkit -o new "$texts/nbdkit.txt"
	assert_success
	assert_line 'left out: 1 requests that did not end'
}

@test "what nbdkit logs of a client becomes a log" {
	need nbdkit qemu-io jq
	# shellcheck disable=SC2016 # nbdkit sets it
	nbdkit -U - --filter=log memory 1M logfile=text --run \
		'qemu-io -t writeback -f raw -c "write 0 4k" -c "write -f 4k 4k" -c flush -c "discard 8k 4k" "$uri"' \
		>said
	run imports nbdkit text
	assert_line --index 0 $'0\t4096\t\t'
	assert_line --index 1 $'4096\t4096\tFUA\t'
	assert_line --index 2 $'0\t0\tFLUSH\t'
	assert_line --index 3 $'8192\t4096\tDISCARD\t'
}

@test "an imported log is sound and says what it is" {
	need jq
	platter log import -q --format fio -o new "$texts/fio3.txt" --seed 9
	succeeds platter log check new
	told '["import","fio data=pattern seed=9"]' '[.writer, .imported]' \
		platter log info new
	run platter log info new
	assert_line 'imported: fio data=pattern seed=9'
}

@test "the pattern names entry and sector" {
	platter log import -q --format fio -o new "$texts/fio3.txt" --seed 9
	platter replay -q new disk
	run head -c 61 <(tail -c +45057 disk)
	assert_output 'entry          2 sector               88 seed               9'
	run head -c 61 <(tail -c +61953 disk)
	assert_output 'entry          5 sector              121 seed               9'
}

@test "the same seed gives the same log, another one another" {
	platter log import -q --format fio -o one "$texts/fio3.txt" --seed 9
	platter log import -q --format fio -o two "$texts/fio3.txt" --seed 9
	platter log import -q --format fio -o three "$texts/fio3.txt"
	cmp one two
	run cmp -s one three
	assert_failure
}

@test "--data source takes what an image holds" {
	head -c 65536 /dev/urandom >disk
	"$PLATTER" convert -q -O qcow2 disk disk.qcow2
	platter log import -q --format fio -o new "$texts/fio3.txt" \
		--data source=disk.qcow2
	platter replay -q new replayed
	cmp -n 4096 disk replayed
	cmp -n 8192 -i 57344 disk replayed
	run byte_at replayed 8192 4
	assert_output 00000000
}

@test "a write beyond the end of the source is an error" {
	truncate -s 8K disk
	fails 2 'fio3.txt: line 5: a write that ends at 49152; the source has 8192' \
		platter log import --format fio -o new "$texts/fio3.txt" \
		--data source=disk
	[ ! -e new ]
}

@test "--data zero takes no room" {
	printf '%s\n' 'fio version 2 iolog' 'd write 0 67108864' >text
	platter log import -q --format fio -o new text --data zero
	[ "$(stat -c %s new)" -gt 67108864 ]
	[ "$(stat -c %b new)" -lt 1000 ]
}

@test "several devices need --device" {
	need jq
	sed 's/8,0 /8,1 /' "$texts/blkparse.txt" | head -n 9 >text
	head -n 15 "$texts/blkparse.txt" >>text
	fails 2 'choose one with --device' \
		platter log import --format blkparse -o new text
	run imports blkparse text --device 8,1
	assert_equal "${#lines[@]}" 2
}

# bad FORMAT TEXT PART: a text that ends in a line that is an error.
bad()
{
	printf '%b' "$2" >text
	fails 2 "$3" platter log import --format "$1" -o new text
	assert_equal "$(files)" text
}

@test "a bad line is an error with its number, and nothing is made" {
	bad fio 'fio version 4 iolog\n' 'text: line 1: '
	bad fio 'fio version 2 iolog\nd frob 0 1\n' "line 2: 'frob' is no action"
	bad fio 'fio version 2 iolog\nd write 0 -1\n' 'line 2: '
	bad fio 'fio version 2 iolog\nd write 0 100\n' 'is not in log sectors'
	bad fio 'fio version 2 iolog\nd write 0 1099511627776\n' 'over the limit'
	bad fio 'fio version 2 iolog\nd trim 9223372036854775296 512\n' 'largest'
	bad fio 'fio version 3 iolog\nd add\n' 'no time in microseconds'
	bad fio 'fio version 2 iolog\nd write 0\0 512\n' 'NUL byte'
	bad blkparse '8,0 1 1 0.0 1 C W 0 + 8 [0]\n' 'no time in seconds'
	bad blkparse '8,0 1 1\n' 'the line has 3 fields'
	bad blkparse 'hello\n' 'is no event'
	bad nbdkit 'hello\n' 'no date and time'
	bad nbdkit '2026-03-01 08:13:11.937557 connection=1 Write id=1 ...\n' \
		'has no offset='
	bad jsonl '{"flags": ""}\nnonsense\n' 'line 2: no JSON object'
	bad jsonl '{"flags": "FROB"}\n' "'FROB' is none of"
	bad jsonl '{"flags": "MARK"}\n' '"mark" is a text'
	bad jsonl '{"flags": "", "length": -512}\n' '"length" is no number'
	bad jsonl "{\"flags\": \"MARK\", \"mark\": \"$(bytes_of 480 170)\"}\\n" \
		'a log sector of 512 holds 479'
}

@test "a log that exists is not replaced" {
	echo mine >new
	fails 2 'exists' platter log import --format fio -o new \
		"$texts/fio3.txt"
	assert_equal "$(cat new)" mine
	succeeds platter log import -q --format fio -o new "$texts/fio3.txt" \
		--force
	platter log check -q new
}

@test "a pipe is no text" {
	mkfifo text
	cat "$texts/fio3.txt" >text 3>&- &
	fails 2 'has to be a file' platter log import --format fio -o new text
	wait
}

@test "import needs a format and a name" {
	usage_error '--format is missing' platter log import text
	usage_error 'the new log, is missing' platter log import text \
		--format fio
	usage_error '--seed is for --data pattern' platter log import text \
		--format fio -o new --data zero --seed 1
}
