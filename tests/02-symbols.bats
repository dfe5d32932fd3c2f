# SPDX-License-Identifier: LGPL-2.1-or-later
# The library exports the functions that the public headers declare, and
# nothing else; and each of those headers can be used.

load lib/common

setup()
{
	common_setup
	headers=$top_srcdir/lib/include/platter
	library=$top_builddir/lib/.libs/libplatter.so
	# Two empty lists would be equal.
	declared "$headers" | grep -qx platter_image_open
}

# declared FOLDER: the functions that headers below FOLDER declare.
declared()
{
	find "$1" -name '*.h' -exec cat {} + |
		sed -e '/^#ifdef __cplusplus/,/^#endif/d' \
			-e ':join' -e '/\\$/{ N; s/\\\n//; b join' -e '}' |
		sed -e '/^[[:space:]]*#/d' -e 's|//.*||' |
		tr '\n' ' ' |
		sed -e 's|/\*\([^*]*\*\**[^*/]\)*[^*]*\**\*/| |g' |
		awk '
		{
			# Outside of braces only: members are not functions.
			depth = 0
			for (i = 1; i <= length($0); i++) {
				c = substr($0, i, 1)
				if (c == "{")
					depth++
				else if (c == "}")
					depth--
				else if (depth == 0)
					outer = outer c
			}
			while (match(outer, /[a-z_][a-z0-9_]*[ ]*\(/)) {
				name = substr(outer, RSTART, RLENGTH - 1)
				sub(/ +$/, "", name)
				if (name !~ /^__/)
					print name
				outer = substr(outer, RSTART + RLENGTH)
			}
		}' | sort -u
}

# exported LIBRARY: its dynamic symbols, but for the name of the version.
exported()
{
	nm -D --defined-only "$1" | awk '$2 != "A" { print $3 }' |
		sed 's/@.*//' | sort -u
}

need_library()
{
	if [ ! -e "$library" ]; then
		skip "no shared library was built"
	fi
	if ! type -P nm >/dev/null; then
		skip "nm was not found"
	fi
}

# make_library NAME: compiles standard input to NAME.so.
make_library()
{
	local cc

	for cc in "${CC:-cc}" gcc clang; do
		if $cc -v >/dev/null 2>&1; then
			$cc -shared -fPIC -o "$1.so" -xc -
			return
		fi
	done
	skip "no compiler was found"
}

# compiles_alone LANGUAGE COMPILER...: every public header, with the first of
# the compilers that is there.
compiles_alone()
{
	local language=$1 compiler header code=0

	shift
	compiler=$(type -P "$@" | head -n 1)
	[ -n "$compiler" ] || skip "no compiler was found"
	while read -r header; do
		"$compiler" -fsyntax-only -Wall -Wextra -Werror \
			-I"$headers/.." "-x$language" - \
			<<<"#include <platter/$header>" || code=1
	done < <(cd "$headers" && find . -name '*.h')
	[ "$code" -eq 0 ]
}

@test "the library exports what the public headers declare" {
	need_library
	run diff <(declared "$headers") <(exported "$library")
	assert_output ''
	assert_success
}

@test "every public function is called platter_ something" {
	run grep -v '^platter_' <(declared "$headers")
	assert_output ''
}

@test "every exported symbol is called platter_ something" {
	need_library
	run grep -v '^platter_' <(exported "$library")
	assert_output ''
}

@test "every exported symbol is a function" {
	need_library
	run awk '$2 != "A" && $2 != "T"' \
		<(nm -D --defined-only "$library")
	assert_output ''
}

@test "the symbol map lists the public functions in order" {
	run diff <(declared "$headers") \
		<(sed -n 's/^\t\(platter_.*\);$/\1/p' \
			"$top_srcdir/lib/libplatter.sym")
	assert_output ''
	assert_success
}

@test "every public header is installed" {
	run diff <(cd "$headers" && find . -name '*.h' | sort) \
		<(sed -n 's|^\t%D%/include/platter/\([^ ]*\.h\).*|./\1|p' \
			"$top_srcdir/lib/local.mk" | sort)
	assert_output ''
	assert_success
}

@test "every public header compiles alone" {
	compiles_alone c "${CC:-cc}" gcc clang
}

@test "every public header compiles alone in C++" {
	compiles_alone c++ "${CXX:-c++}" g++ clang++
}

@test "the declarations are read as the compiler reads them" {
	mkdir h
	cat >"h/a.h" <<-'END'
	#ifdef __cplusplus
	extern "C" {
	#endif
	/* platter_in_comment(1); * and / and ** */
	#define PLATTER_CALL(x) \
		platter_in_macro(x)
	struct platter_a {
		int (*platter_member)(int);
	};
	int platter_one(int a, /* platter_arg() */
			struct platter_a *b) __attribute__((unused));
	const char *const
	*platter_two(void);
	#ifdef __cplusplus
	}
	#endif
	END
	run declared h
	assert_output $'platter_one\nplatter_two'
}

@test "a symbol that is exported but not declared is found" {
	need_library
	cp -R "$headers" h
	sed '/^uint64_t platter_image_size(/d' "$headers/image.h" \
		>"h/image.h"
	run diff <(declared h) <(exported "$library")
	assert_failure 1
	assert_line '> platter_image_size'
	assert_equal "${#lines[@]}" 2
}

@test "a function that is declared but not exported is found" {
	need_library
	cp -R "$headers" h
	echo 'int platter_never_written(void);' >>"h/log.h"
	run diff <(declared h) <(exported "$library")
	assert_failure 1
	assert_line '< platter_never_written'
	assert_equal "${#lines[@]}" 2
}

@test "an internal function that is exported is found" {
	need_library
	make_library leaky <<-'END'
	int platter_open(void) { return 0; }
	int plt_leak(void) { return 0; }
	END
	run grep -v '^platter_' <(exported leaky.so)
	assert_output 'plt_leak'
}
