/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libplatter: image formats, block write logs and block jobs.
 *
 * This header includes the whole public interface. A program makes one
 * context, opens images and logs under it, and frees it last.
 *
 * Threads: a context and the nodes opened under it may be used by any number
 * of threads at once; opening and closing one object is the caller's to order.
 */
#ifndef PLATTER_PLATTER_H
#define PLATTER_PLATTER_H

#include <platter/crash.h>
#include <platter/error.h>
#include <platter/image.h>
#include <platter/job.h>
#include <platter/log.h>
#include <platter/out.h>
#include <platter/record.h>

#endif
