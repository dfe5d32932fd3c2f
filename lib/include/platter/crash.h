/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Crash states: what a disk may hold after a power cut, by its write log.
 *
 * At a point of the log (see <platter/log.h>) a write is durable when a flush
 * logged behind it and before the point covers it, or when it is FUA; every
 * other write so far is pending. A crash state takes, for each atomic unit of
 * the disk, what is durable there or any of the pending versions of it.
 * doc/man/platter-crash.7.scd tells the whole model and its words.
 *
 *	open -> walk (which states are there)     -> names, images
 *	     -> harness (where they are checked)  -> explore, shrink, bisect
 *
 * Threads: a platter_crash is immutable once open, and so is a state; any
 * number of threads may use both. A walk belongs to one thread. Of a harness,
 * each slot belongs to one thread at a time.
 */
#ifndef PLATTER_CRASH_H
#define PLATTER_CRASH_H

#include <platter/crash-check.h>
#include <platter/crash-explore.h>
#include <platter/crash-report.h>
#include <platter/crash-shrink.h>
#include <platter/crash-state.h>
#include <platter/crash-walk.h>

#endif
