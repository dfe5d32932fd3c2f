/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The error functions under the names the library uses. */
#ifndef PLT_BASE_ERROR_H
#define PLT_BASE_ERROR_H

#include <errno.h>
#include <stddef.h>

#include <platter/error.h>

#define plt_err_set	platter_error_set
#define plt_err_errno	platter_error_errno
#define plt_err_prefix	platter_error_prefix

/* The one message for a failed allocation; returns -ENOMEM. */
int plt_err_nomem(struct platter_error *err, size_t bytes);

#endif
