# SPDX-License-Identifier: LGPL-2.1-or-later
# What is reported of crash states: JSON lines, JUnit, TAP, HTML, and the
# summary, as the programs they are for read them.
# shellcheck disable=SC2154 # top_srcdir is set by run-bats

load lib/logs

# One run for all tests, with each verdict in it and output of every kind.
setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return
	export RUN=$BATS_FILE_TMPDIR
	mklog run.log <<-'END'
	write 0 8 fill=0x11
	mark begin <&> "x"
	write 4 8 fill=0x22
	write 40 2 fill=0x33
	discard 2 4
	flush
	fua 3 1 fill=0x44
	write 9 2 fill=0x55
	write 700 2 fill=0x66
	mark end
	END
	cat >check <<-'END'
	#!/bin/sh
	printf 'state %s\n' "$PLATTER_STATE"
	printf '\033[31m<b>red & "bold"</b>\033[0m \001\377 \303\244\n# --- \\\n'
	case $PLATTER_STATE in
	4) exit 4 ;;
	5) exit 125 ;;
	8) kill -SEGV $$ ;;
	7) echo; [ ! -e "$RUN/once" ] || exit 0; : >"$RUN/once"; exit 1 ;;
	esac
	END
	chmod +x check
	truncate -s 1M start.img
	platter crash explore -j 1 --confirm 1 --base start.img run.log \
		--jsonl run.jsonl --junit run.xml --tap=run.tap \
		--html run.html -- ./check >run.out 2>run.err || [ $? -eq 1 ]
}

setup()
{
	common_setup
	cp "$RUN"/run.* .
}

# python_with MODULE: $python is then one that has it.
python_with()
{
	for python in python3 /usr/bin/python3; do
		if "$python" -c "import $1" 2>/dev/null; then
			return
		fi
	done
	skip "no python3 with $1 was found"
}

# of FILTER: what jq makes of the lines of states.
of()
{
	jq -cr "select(.type == \"state\") | $1" run.jsonl
}

# ---- JSON lines ----

@test "the first line is the run, the last its end, a state between each" {
	run jq -r .type run.jsonl
	assert_line --index 0 run
	assert_equal "${lines[-1]}" end
	assert_equal "$(printf '%s\n' "${lines[@]}" | grep -cx state)" \
		"$((${#lines[@]} - 2))"
	((${#lines[@]} > 20))
}

@test "a line has the state, its mark and its verdict" {
	run of 'select(.state == "4") | [.point, .mark, ."mark-entry",
		.verdict, .reason, ."exit-status"]'
	assert_output '[4,"begin <&> \"x\"",1,"fail","exit status 4",4]'
	run of 'select(.state == "8") | [.verdict, .signal]'
	assert_output '["fail",11]'
	run of 'select(.state == "5") | [.verdict, ."exit-status"]'
	assert_output '["skip",125]'
}

@test "output of any bytes can be turned back" {
	of 'select(.state == "4") | .output' >escaped
	# shellcheck disable=SC2059 # it is a format
	printf "$(sed 's/%/%%/g' escaped)" >got
	PLATTER_STATE=4 "$RUN/check" >want || true
	diff got want
}

@test "states that passed have no output" {
	run of 'select(.verdict == "pass" and .output)'
	assert_output ''
}

@test "the end counts what the lines have" {
	local verdict

	for verdict in pass fail skip flaky error; do
		run jq "select(.type == \"end\") | .$verdict" run.jsonl
		assert_output "$(of "select(.verdict == \"$verdict\")" | wc -l)"
	done
}

@test "a report that is read and written again is the same" {
	run platter crash merge run.jsonl --jsonl again.jsonl
	assert_failure 1
	cmp run.jsonl again.jsonl
}

@test "a report that is damaged is refused with the line" {
	sed '5s/"point": [0-9]*/"point": 1000/' run.jsonl >bad.jsonl
	fails 2 'bad.jsonl: line 5: "point" is no number from 0 to 10' \
		platter crash merge bad.jsonl
	echo '{}' >bad.jsonl
	fails 2 'bad.jsonl: line 1: "type" is missing' \
		platter crash merge bad.jsonl
	fails 2 'start.img: line 1: ' platter crash merge "$RUN/start.img"
	: >bad.jsonl
	fails 2 'is this a report' platter crash merge bad.jsonl
}

@test "the manual has every name in a line" {
	local page=$top_srcdir/doc/man/platter-crash-merge.1.scd name

	jq -r '[paths | last | strings] | unique[]' run.jsonl | sort -u >names
	platter crash merge run.jsonl --output json >x.json || [ $? -eq 1 ]
	jq -r '[paths | last | strings] | unique[]' x.json >>names
	while read -r name; do
		grep -q "_${name}_" "$page" || fail "$name is not in $page"
	done <names
	grep -qx not-passed names
}

# ---- the summary ----

@test "merge prints the summary that explore printed" {
	run platter crash merge run.jsonl
	assert_failure 1
	# Behind it explore says what to do next.
	diff <(sed '/^FAILED/q' "$RUN/run.out") <(printf '%s\n' "${lines[@]}")
}

@test "the summary names what failed, and why" {
	run platter crash merge run.jsonl
	assert_line --regexp '^  4  fail: exit status 4, after mark begin <&> "x"$'
	assert_line --regexp '^  8  fail: .*signal 11'
	assert_line --regexp '^FAILED\. [0-9]+ states: [0-9]+ passed, 2 failed'
}

@test "the JSON has the run, what did not pass and the summary" {
	run json '[.run.checker, .summary.fail,
		(."not-passed" | map(.state) | contains(["4", "8"]))]' \
		platter crash merge run.jsonl
	assert_output '["./check",2,true]'
}

@test "what a terminal would obey is not printed" {
	sed '2,$s/"mark": "begin[^,]*"/"mark": "\\u001b[2J"/' run.jsonl >x.jsonl
	run platter crash merge x.jsonl
	assert_failure 1
	refute_output --partial $'\033'
	assert_output --partial 'after mark \x1b[2J'
}

@test "a file of a report is replaced only when it is whole" {
	echo old >kept.xml
	fails 2 nosuch platter crash merge nosuch.jsonl --junit kept.xml
	assert_equal "$(cat kept.xml)" old
	run platter crash merge run.jsonl --junit kept.xml
	assert_failure 1
	run ! grep -qx old kept.xml
	assert_equal "$(files)" 'kept.xml run.err run.html run.jsonl run.log run.out run.tap run.xml'
}

@test "a report may go to a pipe" {
	run bash -c 'platter crash merge run.jsonl --junit /dev/fd/3 \
		3> >(cat >piped.xml) >/dev/null; wait $!'
	until grep -q '</testsuites>' piped.xml; do sleep 0.1; done
}

@test "TAP and JSON cannot both have standard output" {
	usage_error '--tap=FILE' platter crash merge run.jsonl --tap \
		--output json
}

# ---- JUnit ----

@test "what bats writes and what we write are of one schema" {
	need xmllint
	# bats would take these for tests of its own.
	sed 's/^%/@test/' >x.bats <<-'END'
	% "passes" { true; }
	% "fails" { echo out; false; }
	% "skips" { skip "why"; }
	END
	bats --formatter junit x.bats >bats.xml || true
	xmllint --noout --relaxng "$top_srcdir/tests/lib/junit.rng" bats.xml
	xmllint --noout --relaxng "$top_srcdir/tests/lib/junit.rng" run.xml
	sed 's/failures="[0-9]*"/failures="many"/' run.xml >bad.xml
	run ! xmllint --noout --relaxng "$top_srcdir/tests/lib/junit.rng" bad.xml
}

@test "junitparser finds every state with its verdict" {
	python_with junitparser
	"$python" - run.xml >got <<-'END'
	import sys
	from junitparser import JUnitXml
	kinds = {"Failure": "fail", "Skipped": "skip"}
	for suite in JUnitXml.fromfile(sys.argv[1]):
	    assert suite.tests == len(list(suite))
	    assert suite.failures == sum(
	        any(type(r).__name__ == "Failure" for r in c.result)
	        for c in suite)
	    for case in suite:
	        r = case.result[0] if case.result else None
	        kind = kinds[type(r).__name__] if r else "pass"
	        if kind == "fail" and r.type != "failure":
	            kind = r.type
	        print(case.name, kind)
	END
	of '"\(.state) \(.verdict)"' | diff got -
}

@test "JUnit has what a failing checker printed, less what XML forbids" {
	python_with junitparser
	"$python" - run.xml >got <<-'END'
	import sys
	from junitparser import JUnitXml
	for suite in JUnitXml.fromfile(sys.argv[1]):
	    for case in suite:
	        if case.name == "4":
	            print(case.result[0].message)
	            print(case.result[0].text, end="")
	END
	cat >want <<-'END'
	exit status 4
	after mark begin <&> "x"
	state 4
	�[31m<b>red & "bold"</b>�[0m �� ä
	# --- \
	END
	diff got want
}

@test "JUnit says what the run was" {
	python_with junitparser
	run "$python" -c 'if True:
		import sys
		from junitparser import JUnitXml
		for suite in JUnitXml.fromfile(sys.argv[1]):
		    for p in suite.properties():
		        print(p.name, p.value)' run.xml
	assert_line 'checker ./check'
	assert_line 'strategies prefixes,2cp,tears'
	assert_line "completeness $(jq -r 'select(.type == "end").completeness' \
		run.jsonl)"
}

# ---- TAP ----

@test "prove accepts the TAP, and counts as many failures" {
	need prove
	run prove --exec cat run.tap
	assert_failure 1
	assert_output --partial "Failed $(of \
		'select(.verdict != "pass" and .verdict != "skip")' |
		wc -l)/$(of . | wc -l) subtests"
	refute_output --partial 'Parse errors'
}

@test "prove is content with states that all pass" {
	need prove
	platter crash explore --base "$RUN/start.img" run.log --tap=ok.tap \
		-q -- true
	run prove --exec cat ok.tap
	assert_success
	assert_line 'All tests successful.'
}

@test "prove sees what was skipped" {
	need prove
	run prove --verbose --exec cat run.tap
	assert_line --regexp '^ok [0-9]+ - 5 # SKIP exit status 125$'
}

@test "prove reads the diagnostics of failures" {
	need prove
	perl -MTAP::Parser - run.tap >got <<-'END'
	my $p = TAP::Parser->new({ source => $ARGV[0] });
	while (my $r = $p->next) {
		next unless $r->is_yaml;
		my $d = $r->data;
		print "$d->{severity}: $d->{message}: $d->{output}[0]\n";
	}
	print scalar($p->parse_errors), " errors\n";
	END
	run cat got
	assert_line 'fail: exit status 4: state 4'
	assert_line '0 errors'
}

@test "the diagnostics are YAML" {
	python_with yaml
	"$python" - run.tap >got <<-'END'
	import re, sys, yaml
	text = open(sys.argv[1], encoding="utf-8").read()
	for block in re.findall(r"^  ---\n(.*?)^  \.\.\.\n", text, re.S | re.M):
	    d = yaml.safe_load(block)
	    print(d["severity"], d["message"], d["mark"], len(d["output"]))
	END
	run cat got
	assert_line 'fail exit status 4 begin <&> "x" 3'
}

@test "--tap without a file takes the place of the summary" {
	run --separate-stderr platter crash merge run.jsonl --tap
	assert_failure 1
	diff run.tap <(printf '%s\n' "$output")
}

# ---- HTML ----

# page: what a reader of the page finds in it, a line each.
page()
{
	python_with html.parser
	"$python" - "${1:-run.html}" <<-'END'
	import base64, re, struct, sys, zlib
	from html.parser import HTMLParser

	VOID = {"meta", "img", "br"}

	def png(url):
	    raw = base64.b64decode(url.split(",", 1)[1], validate=True)
	    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
	    at, data = 8, b""
	    while at < len(raw):
	        n, kind = struct.unpack(">I4s", raw[at:at + 8])
	        body = raw[at + 8:at + 8 + n]
	        assert zlib.crc32(kind + body) == struct.unpack(
	            ">I", raw[at + 8 + n:at + 12 + n])[0]
	        if kind == b"IHDR":
	            w, h = struct.unpack(">II", body[:8])
	        if kind == b"IDAT":
	            data += body
	        at += 12 + n
	    pixels = zlib.decompress(data)
	    assert len(pixels) == h * (w + 1)
	    colours = {p for y in range(h)
	               for p in pixels[y * (w + 1) + 1:(y + 1) * (w + 1)]}
	    return "%dx%d %s" % (w, h, " ".join(map(str, sorted(colours))))

	class Page(HTMLParser):
	    def __init__(self):
	        super().__init__()
	        self.open = []
	    def handle_starttag(self, tag, attrs):
	        if tag not in VOID:
	            self.open.append(tag)
	        for name, value in attrs:
	            if name in ("src", "href") and value.startswith("data:"):
	                print("image", dict(attrs)["class"], png(value))
	            elif name in ("src", "href") or name.startswith("on"):
	                print("refers", tag, name, value)
	        if tag in ("script", "link", "iframe", "object", "b"):
	            print("foreign", tag)
	    def handle_endtag(self, tag):
	        assert self.open.pop() == tag, self.getpos()
	    def handle_data(self, data):
	        if self.open and self.open[-1] != "style" and data.strip():
	            print(self.open[-1], data.strip())

	p = Page()
	p.feed(open(sys.argv[1], encoding="utf-8").read())
	assert not p.open
	END
}

@test "the page is whole, and refers to nothing" {
	run page
	assert_success
	refute_line --regexp '^(refers|foreign) '
	run grep -cE 'https?://|@import|url\(' run.html
	assert_output 0
}

@test "the page begins with the verdict" {
	run page
	assert_line --index 2 --regexp '^p 2 of [0-9]+ states fail'
}

@test "the page shows failing states first, with their output" {
	run page
	assert_line 'h2 What did not pass'
	assert_line 'code 4'
	assert_line --partial 'red & "bold"'
	assert_line 'td begin <&> "x"'
	run grep -n -e '>What did not pass<' -e '>All states<' run.html
	assert_equal "${#lines[@]}" 2
	assert_line --index 0 --partial 'What did not pass'
}

@test "the picture has the writes, the FUA write, the discard and a failure" {
	# Colours of report-picture.h: discard 3, write 4, FUA 6, fail 12.
	run page
	assert_line --regexp '^image log [0-9]+x[0-9]+ .*\<3 4 6\>'
	assert_line --regexp '^image verdicts [0-9]+x[0-9]+ .*\<12$'
	assert_line --regexp '^image strip [0-9]+x1 0 7$'
	assert_line --regexp '^image strip [0-9]+x1 0 8$'
}

@test "without the log the page has the verdicts alone" {
	run platter crash merge run.jsonl --html merged.html
	run page merged.html
	assert_line --regexp '^image verdicts '
	refute_line --regexp '^image log '
}

@test "with the log the page is the same as explore's" {
	run platter crash merge run.jsonl --html merged.html --log run.log
	assert_failure 1
	diff run.html merged.html
}

@test "another log than the run's is refused" {
	unpack kernel-6.1-ext4
	fails 2 'not the log the run was of' platter crash merge run.jsonl \
		--html x.html --log "$LOGS/kernel-6.1-ext4"
	usage_error '--log needs --html' platter crash merge run.jsonl \
		--log run.log
}
