# SPDX-License-Identifier: LGPL-2.1-or-later
# Macros of configure.ac.

# PLT_CFLAG(FLAG): adds FLAG to PLT_CFLAGS when the compiler takes it. A
# compiler warns about an unknown -Wno-x only beside another warning, so the
# positive form is what is tried.
AC_DEFUN([PLT_CFLAG], [
	AS_VAR_PUSHDEF([cache], [plt_cv_cflag_$1])
	AC_CACHE_CHECK([whether $CC accepts $1], [cache], [
		plt_save_CFLAGS=$CFLAGS
		CFLAGS="$CFLAGS -Werror `AS_ECHO(["$1"]) | sed 's/^-Wno-/-W/'`"
		AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
			[AS_VAR_SET([cache], [yes])],
			[AS_VAR_SET([cache], [no])])
		CFLAGS=$plt_save_CFLAGS
	])
	AS_VAR_IF([cache], [yes], [AS_VAR_APPEND([PLT_CFLAGS], [" $1"])])
	AS_VAR_POPDEF([cache])
])

# PLT_TRY_LINK(WHAT, CFLAGS, SOURCE): an error unless SOURCE links.
AC_DEFUN([PLT_TRY_LINK], [
	AC_MSG_CHECKING([whether $CC can link with $1])
	plt_save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS $2"
	AC_LINK_IFELSE([AC_LANG_SOURCE([$3])], [AC_MSG_RESULT([yes])], [
		AC_MSG_RESULT([no])
		AC_MSG_ERROR([$CC cannot link a program with $1])
	])
	CFLAGS=$plt_save_CFLAGS
])

# PLT_OPTIONAL(NAME, VARIABLE, MODULE, WHAT): --with-NAME, on when found; sets
# plt_have_NAME.
AC_DEFUN([PLT_OPTIONAL], [
	AC_ARG_WITH([$1],
		[AS_HELP_STRING([--with-$1], [$4 @<:@when found@:>@])],
		[], [with_$1=auto])
	AS_IF([test "x$with_$1" != xno], [
		PKG_CHECK_MODULES([$2], [$3], [plt_have_$1=yes], [
			plt_have_$1=no
			AS_IF([test "x$with_$1" != xauto],
				[AC_MSG_ERROR([--with-$1: $3 was not found])])
		])
	], [plt_have_$1=no])
	AS_IF([test "x$plt_have_$1" = xyes], [
		AC_DEFINE([HAVE_$2], [1], [Define to 1 for $4.])
	])
])
