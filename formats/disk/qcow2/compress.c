/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compressed clusters: reading them, and compressing.
 *
 * A cluster that is read whole is decompressed straight into the caller's
 * buffer, by as many threads as call. For smaller reads a few decompressed
 * clusters are kept, or reading a cluster in steps of 4 KiB would decompress it
 * 16 times. A kept cluster is found by its guest offset and by where its
 * compressed bytes lie; the core tells of every write, which forgets it.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "base/checked.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/qcow2.h"

#define KEPT_BYTES	(4u << 20)	/* of decompressed clusters ... */
#define KEPT_MIN	4u		/* ... but at least so many */
#define KEPT_MAX	64u
#define NOWHERE		UINT64_MAX

struct kept {
	uint64_t guest;		/* NOWHERE: nothing, or not to be found */
	uint64_t host;
	uint64_t used;		/* the larger, the later */
	unsigned int users;	/* who copy from it, or fill it */
	bool loading;
	uint8_t *data;
};

/* Room for a cluster, and for what it is compressed to. */
struct scratch {
	struct scratch *next;
	uint8_t *packed, *plain;
	uint8_t room[];
};

struct plt_qcow2_inflated {
	struct plt_codec *codec;
	_Atomic unsigned int any;	/* something was ever kept */
	pthread_mutex_t lock;
	pthread_cond_t loaded;
	/* Guarded by `lock`. */
	uint64_t clock;
	struct scratch *scratch;
	unsigned int nr;
	struct kept kept[];
};

int plt_qcow2_inflated_new(struct plt_qcow2 *s, struct platter_error *err)
{
	unsigned int nr = PLT_MIN(KEPT_BYTES >> s->cluster_bits, KEPT_MAX);
	struct plt_qcow2_inflated *f;
	int rc;

	nr = PLT_MAX(nr, KEPT_MIN);
	f = plt_calloc(1, sizeof(*f) + nr * sizeof(f->kept[0]), err);
	if (!f)
		return -ENOMEM;
	rc = plt_codec_new(&f->codec, s->h.compression ==
			   QCOW2_COMPRESSION_ZSTD ? PLT_CODEC_ZSTD :
			   PLT_CODEC_DEFLATE, err);
	if (rc < 0) {
		free(f);
		return rc;
	}
	f->nr = nr;
	for (unsigned int i = 0; i < nr; i++)
		f->kept[i].guest = NOWHERE;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->loaded, NULL);
	s->inflated = f;
	return 0;
}

void plt_qcow2_inflated_free(struct plt_qcow2 *s)
{
	struct plt_qcow2_inflated *f = plt_steal(s->inflated);

	if (!f)
		return;
	while (f->scratch) {
		struct scratch *next = f->scratch->next;

		free(f->scratch);
		f->scratch = next;
	}
	for (unsigned int i = 0; i < f->nr; i++)
		free(f->kept[i].data);
	plt_codec_free(f->codec);
	pthread_cond_destroy(&f->loaded);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

void plt_qcow2_inflated_drop(struct plt_qcow2 *s, uint64_t offset,
			     uint64_t len)
{
	struct plt_qcow2_inflated *f = s->inflated;

	if (!f || !atomic_load(&f->any))
		return;
	PLT_LOCK_SCOPE(&f->lock);
	for (unsigned int i = 0; i < f->nr; i++) {
		struct kept *k = &f->kept[i];

		if (k->guest != NOWHERE && k->guest < offset + len &&
		    offset < k->guest + s->cluster_size)
			k->guest = NOWHERE;
	}
}

/* ---- scratch memory ---- */

static struct scratch *scratch_get(struct plt_qcow2 *s,
				   struct platter_error *err)
{
	struct plt_qcow2_inflated *f = s->inflated;
	/* The most a descriptor can say, see entry.c. */
	size_t packed = (size_t)(s->csize_mask + 1) * 512;
	struct scratch *room;

	pthread_mutex_lock(&f->lock);
	room = f->scratch;
	if (room)
		f->scratch = room->next;
	pthread_mutex_unlock(&f->lock);
	if (room)
		return room;
	room = plt_calloc(1, sizeof(*room) + packed + s->cluster_size, err);
	if (room) {
		room->packed = room->room;
		room->plain = room->room + packed;
	}
	return room;
}

static void scratch_put(struct plt_qcow2 *s, struct scratch *room)
{
	struct plt_qcow2_inflated *f = s->inflated;

	PLT_LOCK_SCOPE(&f->lock);
	room->next = f->scratch;
	f->scratch = room;
}

/* ---- decompressing ---- */

/* All of a cluster into `out`. The last one may end with the file. */
static int inflate_into(struct plt_qcow2 *s, const struct plt_qcow2_entry *e,
			uint8_t *packed, uint8_t *out,
			struct platter_error *err)
{
	uint64_t end = platter_image_size(s->file);
	size_t len = e->compressed_len;
	int rc;

	if (e->host >= end)
		return plt_err_set(err, -EIO, "compressed data at offset %"
				   PRIu64 " is beyond the end of the file, %"
				   PRIu64, e->host, end);
	len = PLT_MIN((uint64_t)len, end - e->host);
	rc = platter_image_pread(s->file, packed, len, e->host, err);
	if (rc == 0)
		rc = plt_codec_expand(s->inflated->codec, packed, len, out,
				      s->cluster_size, err);
	return rc;
}

static int inflate(struct plt_qcow2 *s, const struct plt_qcow2_entry *e,
		   uint64_t guest, uint8_t *out, struct platter_error *err)
{
	struct scratch *room = scratch_get(s, err);
	int rc;

	if (!room)
		return -ENOMEM;
	rc = inflate_into(s, e, room->packed, out, err);
	scratch_put(s, room);
	return rc < 0 ? plt_err_prefix(err, rc, "cluster at offset %" PRIu64
				       ", compressed at %" PRIu64, guest,
				       e->host) : 0;
}

/* ---- kept clusters ---- */

static struct kept *find(struct plt_qcow2_inflated *f, uint64_t guest,
			 uint64_t host)
{
	for (unsigned int i = 0; i < f->nr; i++) {
		if (f->kept[i].guest == guest && f->kept[i].host == host)
			return &f->kept[i];
	}
	return NULL;
}

/* The one that was used longest ago, or NULL while all are in use. */
static struct kept *victim(struct plt_qcow2_inflated *f)
{
	struct kept *best = NULL;

	for (unsigned int i = 0; i < f->nr; i++) {
		struct kept *k = &f->kept[i];

		if (k->users)
			continue;
		if (k->guest == NOWHERE)
			return k;
		if (!best || k->used < best->used)
			best = k;
	}
	return best;
}

/* Under `lock`, which is let go meanwhile. `k` is the caller's to fill. */
static int load(struct plt_qcow2 *s, struct kept *k, uint64_t guest,
		const struct plt_qcow2_entry *e, struct platter_error *err)
{
	struct plt_qcow2_inflated *f = s->inflated;
	int rc = 0;

	k->guest = guest;
	k->host = e->host;
	k->loading = true;
	atomic_store(&f->any, 1);
	pthread_mutex_unlock(&f->lock);
	if (!k->data)
		k->data = plt_calloc(1, s->cluster_size, err);
	if (!k->data)
		rc = -ENOMEM;
	else
		rc = inflate(s, e, guest, k->data, err);
	pthread_mutex_lock(&f->lock);
	k->loading = false;
	if (rc < 0)
		k->guest = NOWHERE;
	pthread_cond_broadcast(&f->loaded);
	return rc;
}

/* A cluster to copy from, with a user more; NULL in *out: none is free. */
static int get_kept(struct plt_qcow2 *s, uint64_t guest,
		    const struct plt_qcow2_entry *e, struct kept **out,
		    struct platter_error *err)
{
	struct plt_qcow2_inflated *f = s->inflated;
	struct kept *k;
	int rc = 0;

	PLT_LOCK_SCOPE(&f->lock);
	while ((k = find(f, guest, e->host)) && k->loading)
		pthread_cond_wait(&f->loaded, &f->lock);
	if (k) {
		k->users++;
	} else {
		k = victim(f);
		if (k) {
			k->users++;
			rc = load(s, k, guest, e, err);
		}
	}
	if (k)
		k->used = ++f->clock;
	if (k && rc < 0)
		k->users--;
	*out = k;
	return rc;
}

/* `len` bytes at `in` of a compressed cluster. */
static int read_compressed(struct plt_qcow2 *s, uint64_t guest,
			   const struct plt_qcow2_entry *e, uint8_t *buf,
			   uint32_t in, size_t len, struct platter_error *err)
{
	struct scratch *room;
	struct kept *k;
	int rc;

	if (len == s->cluster_size)
		return inflate(s, e, guest, buf, err);
	rc = get_kept(s, guest, e, &k, err);
	if (rc < 0)
		return rc;
	if (k) {
		memcpy(buf, k->data + in, len);
		PLT_LOCK_SCOPE(&s->inflated->lock);
		k->users--;
		return 0;
	}
	room = scratch_get(s, err);
	if (!room)
		return -ENOMEM;
	rc = inflate_into(s, e, room->packed, room->plain, err);
	if (rc == 0)
		memcpy(buf, room->plain + in, len);
	scratch_put(s, room);
	return rc;
}

/* ---- reading ---- */

/*
 * Somebody has written to the cluster since the core asked for the map: read
 * what is there now, which is not more than a cluster.
 */
static int read_changed(struct plt_qcow2 *s, uint8_t *buf, size_t len,
			uint64_t offset, struct platter_error *err)
{
	while (len) {
		struct platter_map m;
		size_t count = 1;
		uint64_t there = 0, from;
		int rc;

		rc = plt_qcow2_map(s->img, offset, len, &m, &count, err);
		if (rc < 0)
			return rc;
		if (m.kind == PLATTER_MAP_SPECIAL)
			return plt_qcow2_read_special(s->img, buf, len, offset,
						      err);
		from = m.kind == PLATTER_MAP_DATA ? m.offset : offset;
		if (m.child && m.kind != PLATTER_MAP_ZERO &&
		    from < platter_image_size(m.child))
			there = PLT_MIN(m.length,
					platter_image_size(m.child) - from);
		memset(buf + there, 0, m.length - there);
		rc = there ? platter_image_pread(m.child, buf, there, from,
						 err) : 0;
		if (rc < 0)
			return rc;
		buf += m.length;
		len -= m.length;
		offset += m.length;
	}
	return 0;
}

int plt_qcow2_read_special(struct platter_image *img, void *buf_, size_t len,
			   uint64_t offset, struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	uint8_t *buf = buf_;

	while (len) {
		uint32_t in = (uint32_t)(offset & (s->cluster_size - 1));
		size_t n = PLT_MIN(len, (size_t)(s->cluster_size - in));
		struct plt_qcow2_entry e;
		int rc;

		pthread_mutex_lock(&s->lock);
		rc = plt_qcow2_lookup(s, offset, &e, err);
		pthread_mutex_unlock(&s->lock);
		if (rc == 0 && e.kind == QCOW2_COMPRESSED)
			rc = read_compressed(s, offset - in, &e, buf, in, n,
					     err);
		else if (rc == 0)
			rc = read_changed(s, buf, n, offset, err);
		if (rc < 0)
			return rc;
		buf += n;
		len -= n;
		offset += n;
	}
	return 0;
}

/* ---- compressing ---- */

int plt_qcow2_compress(struct platter_image *img, const void *in, size_t len,
		       void *out, size_t *out_len, struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	struct scratch *room = NULL;
	int rc;

	if (s->data_file)
		return plt_err_set(err, -ENOTSUP, "an image with a data file "
				   "has no compressed clusters");
	if (len < s->cluster_size) {
		room = scratch_get(s, err);
		if (!room)
			return -ENOMEM;
		memcpy(room->plain, in, len);
		memset(room->plain + len, 0, s->cluster_size - len);
		in = room->plain;
	}
	rc = plt_codec_compress(s->inflated->codec, in, s->cluster_size, out,
				s->cluster_size - 1, out_len, err);
	if (room)
		scratch_put(s, room);
	return rc;
}
