# SPDX-License-Identifier: LGPL-2.1-or-later
# Who may include whom: tests/layers.txt has the order, tests/tools/check-layers
# the rules. Each rule is also seen to fail, on a copy with a bad line put in.

load lib/common

setup()
{
	common_setup
	check=$top_srcdir/tests/tools/check-layers
	tree=$PWD/tree
}

copy_tree()
{
	local top

	mkdir -p "$tree/tests"
	cp "$top_srcdir/tests/layers.txt" "$tree/tests"
	for top in lib formats serve cmd; do
		if [ -d "$top_srcdir/$top" ]; then
			cp -R "$top_srcdir/$top" "$tree"
		fi
	done
}

# add FILE LINE: puts a line in front of FILE of the copy.
add()
{
	[ -f "$tree/$1" ]
	printf '%s\n' "$2" | cat - "$tree/$1" >"$tree/new"
	mv "$tree/new" "$tree/$1"
}

# refused FILE:LINE TEXT: the copy is refused for that, and for nothing else.
refused()
{
	run "$check" "$tree"
	assert_failure 1
	assert_line --index 0 "$1: $2"
	assert_equal "${#lines[@]}" 1
}

@test "every include follows the order of the layers" {
	run "$check" "$top_srcdir"
	assert_output ''
	assert_success
}

@test "the picture in architecture.md is the order of the layers" {
	run diff \
		<(sed -n '/^```$/,/^```$/s/^ \([a-z][^ ]*\) .*/\1/p' \
			"$top_srcdir/doc/architecture.md") \
		<(grep -v '^#' "$top_srcdir/tests/layers.txt")
	assert_output ''
	assert_success
}

@test "an unchanged copy of the source passes" {
	copy_tree
	run "$check" "$tree"
	assert_output ''
	assert_success
}

@test "base including core is refused" {
	copy_tree
	add lib/base/io.c '#include "core/core.h"'
	refused lib/base/io.c:1 \
		'lib/base may not use lib/core: core/core.h'
}

@test "core including wlog is refused, however it is spelled" {
	copy_tree
	add lib/core/map.c '#include "../wlog/wlog.h"'
	refused lib/core/map.c:1 \
		'lib/core may not use lib/wlog: ../wlog/wlog.h'
}

@test "an include in angle brackets is refused like any other" {
	copy_tree
	add lib/wlog/stat.c ' #  include <copy/copy.h>'
	refused lib/wlog/stat.c:1 \
		'lib/wlog may not use lib/copy: copy/copy.h'
}

@test "the library including a header of formats is refused" {
	copy_tree
	add lib/core/open.c '#include "drivers.h"'
	refused lib/core/open.c:1 \
		'lib/core may not use formats: drivers.h'
}

@test "the library including a header of cmd is refused" {
	copy_tree
	add lib/out/text.c '#include "cmd.h"'
	refused lib/out/text.c:1 'lib/out may not use cmd: cmd.h'
}

@test "a public header including an internal one is refused" {
	copy_tree
	add lib/include/platter/job.h '#include "base/error.h"'
	refused lib/include/platter/job.h:1 \
		'lib/include/platter may not use lib/base: base/error.h'
}

@test "cmd including an internal header is refused" {
	copy_tree
	add cmd/info.c '#include "base/mem.h"'
	refused cmd/info.c:1 \
		'cmd may use public headers only: base/mem.h'
}

@test "cmd including the driver interface is refused" {
	copy_tree
	add cmd/info.c '#include <platter/sys/driver.h>'
	refused cmd/info.c:1 \
		'cmd may not use the driver interface: platter/sys/driver.h'
}

@test "serve including an internal header is refused" {
	copy_tree
	mkdir -p "$tree/serve"
	echo '#include "core/core.h"' >"$tree/serve/layers-test.c"
	refused serve/layers-test.c:1 \
		'serve may use public headers only: core/core.h'
}

@test "an include that a macro names is refused" {
	copy_tree
	add formats/disk/raw.c '#include RAW_HEADER'
	refused formats/disk/raw.c:1 \
		'cannot tell what is included: #include RAW_HEADER'
}

@test "a header that is not in the tree is refused" {
	copy_tree
	add lib/base/io.c '#include "base/gone.h"'
	refused lib/base/io.c:1 'base/gone.h is not in the tree'
}

@test "a folder that is in no layer is refused" {
	copy_tree
	mkdir "$tree/lib/extra"
	echo 'int x;' >"$tree/lib/extra/x.c"
	refused lib/extra/x.c 'is in no layer of tests/layers.txt'
}

@test "a driver that names another is refused" {
	copy_tree
	add formats/disk/raw.c 'extern int plt_null_driver;'
	refused formats/disk/raw.c 'names 2 drivers'
}

@test "the library naming a driver is refused" {
	copy_tree
	add lib/core/probe.c 'extern int plt_raw_driver;'
	refused lib/core/probe.c 'names a driver'
}

@test "a driver that builtin.c does not name is refused" {
	copy_tree
	sed '/plt_null_driver/d' "$tree/formats/builtin.c" >"$tree/new"
	mv "$tree/new" "$tree/formats/builtin.c"
	refused formats/builtin.c 'does not name plt_null_driver'
}
