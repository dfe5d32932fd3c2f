/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Codecs: a method, and its states that no thread is using just now. */
#include <pthread.h>

#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"

struct idle {
	struct idle *next;
	void *state;
};

struct plt_codec {
	const struct plt_codec_method *method;
	pthread_mutex_t lock;
	struct idle *idle;
};

static const struct plt_codec_method *find_method(enum plt_codec_kind kind)
{
	switch (kind) {
	case PLT_CODEC_DEFLATE:
		return &plt_deflate_method;
	case PLT_CODEC_ZSTD:
#ifdef HAVE_ZSTD
		return &plt_zstd_method;
#else
		break;
#endif
	}
	return NULL;
}

int plt_codec_new(struct plt_codec **out, enum plt_codec_kind kind,
		  struct platter_error *err)
{
	const struct plt_codec_method *method = find_method(kind);
	struct plt_codec *codec;

	if (!method)
		return plt_err_set(err, -ENOTSUP, "this build of platter has "
				   "no zstd compression");
	codec = plt_calloc(1, sizeof(*codec), err);
	if (!codec)
		return -ENOMEM;
	codec->method = method;
	pthread_mutex_init(&codec->lock, NULL);
	*out = codec;
	return 0;
}

void plt_codec_free(struct plt_codec *codec)
{
	if (!codec)
		return;
	while (codec->idle) {
		struct idle *next = codec->idle->next;

		codec->method->state_free(codec->idle->state);
		free(codec->idle);
		codec->idle = next;
	}
	pthread_mutex_destroy(&codec->lock);
	free(codec);
}

static struct idle *take_state(struct plt_codec *codec,
			       struct platter_error *err)
{
	struct idle *one;

	pthread_mutex_lock(&codec->lock);
	one = codec->idle;
	if (one)
		codec->idle = one->next;
	pthread_mutex_unlock(&codec->lock);
	if (one)
		return one;
	one = plt_calloc(1, sizeof(*one), err);
	if (!one)
		return NULL;
	one->state = codec->method->state_new(err);
	if (!one->state) {
		free(one);
		return NULL;
	}
	return one;
}

static void give_state(struct plt_codec *codec, struct idle *one)
{
	PLT_LOCK_SCOPE(&codec->lock);
	one->next = codec->idle;
	codec->idle = one;
}

int plt_codec_compress(struct plt_codec *codec, const void *in, size_t len,
		       void *out, size_t room, size_t *out_len,
		       struct platter_error *err)
{
	struct idle *one = take_state(codec, err);
	int rc;

	if (!one)
		return -ENOMEM;
	rc = codec->method->compress(one->state, in, len, out, room, out_len,
				     err);
	give_state(codec, one);
	return rc;
}

int plt_codec_expand(struct plt_codec *codec, const void *in, size_t len,
		     void *out, size_t room, struct platter_error *err)
{
	struct idle *one = take_state(codec, err);
	int rc;

	if (!one)
		return -ENOMEM;
	rc = codec->method->expand(one->state, in, len, out, room, err);
	give_state(codec, one);
	return rc;
}
