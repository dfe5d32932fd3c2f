# SPDX-License-Identifier: LGPL-2.1-or-later
# Damaged logs through the command. tests/unit/wlog-damage.c does more of the
# same inside one process; here exit codes, messages and the disk made count.

load lib/logs

setup()
{
	common_setup
	# 32 bytes a sector: every kind of entry in 288 bytes.
	mklog --sector-size 32 small <<-'END'
	write 3 2
	flush
	fua 4 1 flags=0x12
	discard 3 1
	emptyflushfua 5
	END
	# Where each entry ends.
	ends=(32 128 160 224 256 288)
	[ "$(stat -c %s small)" -eq "${ends[-1]}" ]
}

# outcome COMMAND...: exit 0 without a word, or 1 or 2 with one line. A signal
# and what a sanitizer finds are other codes. Leaves `code`.
outcome()
{
	local -a said

	code=0
	"$@" >out 2>err || code=$?
	mapfile -t said <err
	if ((code > 2 || ${#said[@]} > 1)) ||
		[[ -n ${said[*]} && ${said[0]} != 'platter: '* ]]; then
		fail "$*: exit $code: $(cat err)"
	fi
}

# whole SIZE: the number of entries of `small` that lie within it
whole()
{
	local n=0

	while ((n + 1 < ${#ends[@]} && ends[n + 1] <= $1)); do
		n=$((n + 1))
	done
	echo "$n"
}

# cut_off FIRST STEP: check, info, list and replay, cut off at such bytes
cut_off()
{
	local n size

	for ((n = 0; n <= 5; n++)); do
		naive-replay small "want.$n" "$n"
		naive-replay --hash "want.$n" >"want.$n.hash"
	done
	for ((size = $1; size < ends[5]; size += $2)); do
		head -c "$size" small >l
		n=$(whole "$size")
		outcome "$PLATTER" log check l
		if ((size < 28)); then
			assert_equal "$code" 2
			outcome "$PLATTER" replay l got
			assert_equal "$code" 2
			[ ! -e got ]
			continue
		fi
		assert_equal "$size: $code" "$size: 1"
		outcome "$PLATTER" log info --output=json l
		assert_equal "$size: $code" "$size: 1"
		assert_equal "$size: $(jq .entries out)" "$size: $n"
		rm -f got
		outcome "$PLATTER" replay l got
		assert_equal "$size: $code" "$size: 1"
		assert_equal "$(cat err)" "$(sed -n '/ends early/p' err)"
		assert_equal "$size: $(naive-replay --hash got)" \
			"$size: $(cat "want.$n.hash")"
	done
}

@test "a log cut off at a byte is read up to there: bytes 0, 2, 4, ..." {
	cut_off 0 2
}

@test "a log cut off at a byte is read up to there: bytes 1, 3, 5, ..." {
	cut_off 1 2
}

# flipped SEED COUNT LOG: every verb on the log with a bit flipped
flipped()
{
	local bit

	cp "$3" l
	for bit in $(bitflip --seed "$1" --count "$2" l); do
		bitflip l "$bit"
		rm -f got new
		outcome "$PLATTER" log check l
		outcome "$PLATTER" log list --output=json l
		[ ! -s out ] || jq -e . out >/dev/null
		outcome "$PLATTER" log blame --output=json l 0+64K
		outcome "$PLATTER" replay -m 1 l got --range 0+512
		outcome "$PLATTER" log repair l new
		if ((code == 0)); then
			outcome "$PLATTER" log check new
			assert_equal "bit $bit: $code" "bit $bit: 0"
		fi
		bitflip l "$bit"
	done
	cmp l "$3"
}

@test "a flipped bit anywhere in a small log harms no verb, and is repaired" {
	flipped 1 100 small
}

@test "a flipped bit in the headers of a log harms no verb" {
	mklog big <<-'END'
	write 0 1 fill=0x11
	write 2 1 fill=0x22
	mark m
	discard 0 4
	flush
	END
	# Super block and first header: 2 KiB hold half of what can go wrong.
	flipped 2 40 big
}

@test "what could be read before a damaged header is the same with it" {
	local n

	for ((n = 1; n <= 5; n++)); do
		cp small l
		# The flags of entry n - 1.
		put l $((ends[n - 1] + 17)) 80
		told "$((n - 1))" .entries platter log info l
		rm -f got want
		naive-replay small want $((n - 1))
		outcome "$PLATTER" replay l got
		assert_equal "$code" 1
		assert_equal "$(naive-replay --hash got)" \
			"$(naive-replay --hash want)"
	done
}

@test "an unreadable log is one line and exit 2" {
	local name

	: >empty
	head -c 27 small >short
	head -c 4096 /dev/zero >zeros
	head -c 4096 /dev/urandom >noise
	for name in empty short zeros noise; do
		for verb in info list marks check stat index; do
			fails 2 "$name: not a write log" \
				platter log "$verb" "$name"
		done
		fails 2 "$name: not a write log" \
			platter log blame "$name" 0
		fails 2 "$name: not a write log" platter replay "$name" new
		fails 2 "$name: not a write log" \
			platter log repair "$name" new
		fails 2 "$name: not a write log" platter log cut "$name" new
	done
	[ ! -e new ]
}
