/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cache modes: their names, and what they mean for a file descriptor.
 *
 * Source for names and meaning: qemu's -drive cache= and qemu-img -t.
 */
#include <fcntl.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"

static const struct {
	const char *name;
	enum platter_cache cache;
} modes[] = {
	{ "writeback", PLATTER_CACHE_WRITEBACK },
	{ "none", PLATTER_CACHE_NONE },
	{ "off", PLATTER_CACHE_NONE },
	{ "writethrough", PLATTER_CACHE_WRITETHROUGH },
	{ "directsync", PLATTER_CACHE_DIRECTSYNC },
	{ "unsafe", PLATTER_CACHE_UNSAFE },
};

int platter_cache_parse(enum platter_cache *out, const char *name,
			struct platter_error *err)
{
	for (size_t i = 0; i < PLT_ARRAY_SIZE(modes); i++) {
		if (!strcmp(name, modes[i].name)) {
			*out = modes[i].cache;
			return 0;
		}
	}
	return plt_err_set(err, -EINVAL,
			   "cache mode \"%s\" is not one of none, off, "
			   "writeback, writethrough, directsync, unsafe", name);
}

int plt_cache_open_flags(enum platter_cache cache)
{
	switch (cache) {
	case PLATTER_CACHE_NONE:
		return O_DIRECT;
	case PLATTER_CACHE_DIRECTSYNC:
		return O_DIRECT | O_DSYNC;
	case PLATTER_CACHE_WRITETHROUGH:
		return O_DSYNC;
	case PLATTER_CACHE_WRITEBACK:
	case PLATTER_CACHE_UNSAFE:
		break;
	}
	return 0;
}
