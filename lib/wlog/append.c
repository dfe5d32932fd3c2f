/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Appending to a write log: the queue.
 *
 * Threads queue up with their entries. The first writes all that are there by
 * then, with as few calls as it can (append-write.c), while others come and
 * wait; then it wakes those it has written for, and the next in the queue, who
 * does the same. With one thread nobody waits for anybody; the more there are,
 * the longer the batches become.
 *
 * An error ends it: what is behind the last whole entry is cut off, and all
 * who wait, and all who come, get the error.
 */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "wlog/append.h"

int plt_wlog_appender_check(struct plt_wlog_appender *a,
			    struct platter_error *err)
{
	if (!a->broken)
		return 0;
	PLT_LOCK_SCOPE(&a->lock);
	return plt_err_set(err, a->failed.code, "%s", a->failed.msg);
}

/* The lock is held. Those of the batch up to `good` are in the log. */
static void finish(struct plt_wlog_appender *a, const struct plt_wlog_batch *b,
		   const struct plt_wlog_append *self)
{
	struct plt_wlog_append *e = b->first, *next;

	a->end = b->end;
	a->entries = b->entries;
	a->counted = b->counted;
	a->first = b->last->next;
	if (!a->first)
		a->last = NULL;
	for (bool more = true; more; e = next) {
		/* Once it is told, its owner may take it away. */
		next = e->next;
		more = e != b->last;
		e->done = true;
		if (e != self)
			pthread_cond_signal(&e->wake);
	}
	if (a->first)
		pthread_cond_signal(&a->first->wake);
}

/* The first in the queue; the lock is held but for the writing. */
static void lead(struct plt_wlog_appender *a, struct plt_wlog_append *self)
{
	struct plt_wlog_batch b = {
		.first = self,
		.last = a->last,
		.end = a->end,
		.entries = a->entries,
		.counted = a->counted,
	};
	struct platter_error e = PLATTER_ERROR_INIT;

	if (!a->failed.code) {
		pthread_mutex_unlock(&a->lock);
		if (plt_wlog_write_batch(a, &b, &e) &&
		    plt_wlog_cut_at(a, b.end, NULL))
			plt_err_prefix(&e, e.code, "the log's tail could not "
				       "be cut off");
		pthread_mutex_lock(&a->lock);
		a->failed = e;
		a->broken = e.code;
	}
	finish(a, &b, self);
}

static int result(const struct plt_wlog_appender *a,
		  const struct plt_wlog_append *entry,
		  struct platter_error *err)
{
	if (!a->failed.code ||
	    entry->number < (entry->counted ? a->counted : a->entries))
		return 0;
	return plt_err_set(err, a->failed.code, "%s", a->failed.msg);
}

int plt_wlog_appender_add(struct plt_wlog_appender *a,
			  struct plt_wlog_append *entry,
			  struct platter_error *err)
{
	int rc;

	entry->next = NULL;
	entry->done = false;
	entry->number = UINT64_MAX;
	pthread_cond_init(&entry->wake, NULL);
	pthread_mutex_lock(&a->lock);
	if (a->last)
		a->last->next = entry;
	else
		a->first = entry;
	a->last = entry;
	while (!entry->done && a->first != entry)
		pthread_cond_wait(&entry->wake, &a->lock);
	if (!entry->done)
		lead(a, entry);
	rc = result(a, entry, err);
	pthread_mutex_unlock(&a->lock);
	pthread_cond_destroy(&entry->wake);
	return rc;
}
