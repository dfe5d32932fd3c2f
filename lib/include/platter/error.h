/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Errors: a caller-owned message that every layer may prefix once.
 *
 * Every function that can fail returns 0 or a negative errno and takes, as its
 * last argument, a `struct platter_error *` that may be NULL. On failure it
 * holds one line of text without a newline; on success it is left alone.
 * Nothing is kept per thread: two threads need two errors.
 */
#ifndef PLATTER_ERROR_H
#define PLATTER_ERROR_H

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PLATTER_MUST_CHECK __attribute__((warn_unused_result))
#define PLATTER_PRINTF(f, a) __attribute__((format(printf, f, a)))

#define PLATTER_ERROR_MAX 512

struct platter_error {
	int code;			/* negative errno, 0 when unset */
	char msg[PLATTER_ERROR_MAX];	/* NUL-terminated, one line */
};

#define PLATTER_ERROR_INIT { 0, "" }

/*
 * Record an error. Control characters in the result are replaced by '?', so a
 * file name cannot forge a second line. Returns `code`, so that a function can
 * end in `return platter_error_set(err, -EINVAL, ...)`. `err` may be NULL.
 */
int platter_error_set(struct platter_error *err, int code, const char *fmt,
		      ...) PLATTER_PRINTF(3, 4);

/* The same with ": " and the text of errno value -code appended. */
int platter_error_errno(struct platter_error *err, int code, const char *fmt,
			...) PLATTER_PRINTF(3, 4);

/*
 * Put "text: " in front of a message a lower layer has set, and return `code`
 * unchanged. Does nothing but return when `code` is not negative.
 */
int platter_error_prefix(struct platter_error *err, int code, const char *fmt,
			 ...) PLATTER_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
