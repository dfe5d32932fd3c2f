/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory, descriptors and locks that are released when their scope ends. */
#ifndef PLT_BASE_MEM_H
#define PLT_BASE_MEM_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <platter/error.h>

static inline void plt_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void plt_cleanup_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void plt_cleanup_unlock(pthread_mutex_t **m)
{
	pthread_mutex_unlock(*m);
}

#define plt_auto_free	__attribute__((cleanup(plt_cleanup_free)))
#define plt_auto_fd	__attribute__((cleanup(plt_cleanup_fd)))

#define PLT_CONCAT_(a, b) a##b
#define PLT_CONCAT(a, b) PLT_CONCAT_(a, b)

/* Hold `mutex` until the end of the enclosing scope. */
#define PLT_LOCK_SCOPE(mutex)						\
	pthread_mutex_t *PLT_CONCAT(plt_lock_, __LINE__)		\
		__attribute__((cleanup(plt_cleanup_unlock), unused)) = (mutex); \
	pthread_mutex_lock(PLT_CONCAT(plt_lock_, __LINE__))

/* Hand a scope-owned pointer or descriptor to someone else. */
#define plt_steal(p)							\
	({ __typeof__(p) plt_tmp_ = (p); (p) = NULL; plt_tmp_; })
#define plt_steal_fd(fd)						\
	({ int plt_tmp_ = (fd); (fd) = -1; plt_tmp_; })

#define PLT_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PLT_MIN(a, b)							\
	({ __typeof__(a) plt_a_ = (a); __typeof__(b) plt_b_ = (b);	\
	   plt_a_ < plt_b_ ? plt_a_ : plt_b_; })
#define PLT_MAX(a, b)							\
	({ __typeof__(a) plt_a_ = (a); __typeof__(b) plt_b_ = (b);	\
	   plt_a_ > plt_b_ ? plt_a_ : plt_b_; })

/*
 * Make room for `need` elements of `size` bytes in *array, growing by half so
 * that appending is linear overall. -ENOMEM leaves the array as it was.
 */
int plt_grow(void *array, size_t *room, size_t need, size_t size,
	     struct platter_error *err) PLATTER_MUST_CHECK;

/* Zeroed, overflow-checked; NULL with a message in `err` when there is none. */
void *plt_calloc(size_t count, size_t size, struct platter_error *err);
char *plt_strdup(const char *text, struct platter_error *err);
char *plt_asprintf(struct platter_error *err, const char *fmt, ...)
	PLATTER_PRINTF(2, 3);
/* For O_DIRECT: `align` is a power of two. Freed with free(). */
void *plt_memalign(size_t align, size_t size, struct platter_error *err);

#endif
