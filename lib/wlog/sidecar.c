/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The index kept beside a log, LOG.idx, for the next process.
 *
 * The file is a header page and the index's arrays as they lie in memory, in
 * the byte order of the machine that wrote it; another machine's is rebuilt.
 * It is believed only when it names the log's size, time of change and super
 * block and its hash is right, and even then an entry found through it is
 * decoded again from the log before it is used. The hash is taken by reading,
 * not by touching the mapping, so that memory stays with what is searched.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/newfile.h"
#include "wlog/wlog.h"

#define SIDECAR_MAGIC	"PLTWLIDX"
#define SIDECAR_VERSION	1u
#define SIDECAR_ENDIAN	UINT32_C(0x01020304)
#define SIDECAR_PAGE	4096u
#define HASH_CHUNK	(256u << 10)

struct sidecar_header {
	char magic[8];
	uint32_t version;
	uint32_t endian;
	uint64_t log_size;
	uint64_t log_seconds;		/* time of last change, 0 = unknown */
	uint64_t log_nanoseconds;
	uint8_t log_super[32];
	uint32_t sector_size;
	uint32_t unused;
	uint64_t end;
	uint64_t device_sectors;
	struct plt_wlog_counts counts;
	uint64_t payload_size;
	uint64_t payload_hash;
	uint64_t header_hash;		/* of all before */
};

/* What the log is now, with the index's own fields left zero. */
static void describe_log(const struct platter_log *log,
			 struct sidecar_header *h)
{
	struct stat st;

	memset(h, 0, sizeof(*h));
	memcpy(h->magic, SIDECAR_MAGIC, sizeof(h->magic));
	h->version = SIDECAR_VERSION;
	h->endian = SIDECAR_ENDIAN;
	h->log_size = log->size;
	if (!stat(log->name, &st) && S_ISREG(st.st_mode)) {
		h->log_seconds = st.st_mtim.tv_sec;
		h->log_nanoseconds = st.st_mtim.tv_nsec;
	}
	memcpy(h->log_super, log->super, sizeof(h->log_super));
	h->sector_size = log->sector_size;
}

static int hash_buffer(const void *buf, size_t len, uint64_t *digest,
		       struct platter_error *err)
{
	struct plt_xxh3 *hash;
	int rc;

	rc = plt_xxh3_new(&hash, err);
	if (rc)
		return rc;
	plt_xxh3_update(hash, buf, len);
	*digest = plt_xxh3_digest(hash);
	plt_xxh3_free(hash);
	return 0;
}

static int hash_file(int fd, uint64_t offset, uint64_t len, uint64_t *digest,
		     struct platter_error *err)
{
	plt_auto_free uint8_t *buf = plt_memalign(64, HASH_CHUNK, err);
	struct plt_xxh3 *hash;
	ssize_t got = 0;
	int rc;

	if (!buf)
		return -ENOMEM;
	rc = plt_xxh3_new(&hash, err);
	if (rc)
		return rc;
	while (len) {
		got = plt_pread(fd, buf, PLT_MIN(len, (uint64_t)HASH_CHUNK),
				offset);
		if (got <= 0)
			break;
		plt_xxh3_update(hash, buf, got);
		offset += got;
		len -= got;
	}
	*digest = plt_xxh3_digest(hash);
	plt_xxh3_free(hash);
	if (got < 0)
		return plt_err_errno(err, got, "reading the index");
	return len ? plt_err_set(err, -EUCLEAN, "the index is cut off") : 0;
}

static int mismatch(const struct platter_log *log, struct platter_error *err)
{
	return plt_err_set(err, -EUCLEAN, "%s: is not the index of %s",
			   log->index_path, log->name);
}

/* Are header and size those of this log's index, written on such a machine? */
static int check_header(const struct platter_log *log, int fd,
			struct sidecar_header *h, struct platter_error *err)
{
	struct plt_wlog_index measure;
	struct sidecar_header now;
	uint64_t digest, size;
	int rc;

	if (plt_pread(fd, h, sizeof(*h), 0) != sizeof(*h))
		return mismatch(log, err);
	describe_log(log, &now);
	if (memcmp(&now, h, offsetof(struct sidecar_header, end)))
		return mismatch(log, err);
	rc = hash_buffer(h, offsetof(struct sidecar_header, header_hash),
			 &digest, err);
	if (rc)
		return rc;
	rc = plt_fd_size(fd, &size);
	if (rc)
		return plt_err_errno(err, rc, "%s", log->index_path);
	if (digest != h->header_hash ||
	    h->counts.entries > PLT_WLOG_ENTRIES_MAX ||
	    h->counts.extents > h->counts.versions ||
	    h->counts.versions > h->counts.entries ||
	    h->counts.marks > h->counts.entries ||
	    size != SIDECAR_PAGE + h->payload_size ||
	    plt_wlog_index_layout(&measure, NULL, &h->counts) !=
	    h->payload_size)
		return mismatch(log, err);
	return 0;
}

static int map_payload(const struct platter_log *log, int fd,
		       const struct sidecar_header *h,
		       struct plt_wlog_index **out, struct platter_error *err)
{
	struct plt_wlog_index *ix;
	char *memory;

	ix = plt_calloc(1, sizeof(*ix), err);
	if (!ix)
		return -ENOMEM;
	ix->memory_size = SIDECAR_PAGE + h->payload_size;
	memory = mmap(NULL, ix->memory_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (memory == MAP_FAILED) {
		free(ix);
		return plt_err_errno(err, -errno, "%s", log->index_path);
	}
	ix->memory = memory;
	ix->mapped = true;
	ix->end = h->end;
	ix->device_sectors = h->device_sectors;
	plt_wlog_index_layout(ix, memory + SIDECAR_PAGE, &h->counts);
	*out = ix;
	return 0;
}

int plt_wlog_sidecar_load(struct platter_log *log, struct plt_wlog_index **out,
			  struct platter_error *err)
{
	plt_auto_fd int fd = -1;
	struct sidecar_header h;
	uint64_t digest;
	int rc;

	if (!log->index_path)
		return 1;
	fd = open(log->index_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 1 :
		       plt_err_errno(err, -errno, "%s", log->index_path);
	rc = check_header(log, fd, &h, err);
	if (rc)
		return rc;
	rc = hash_file(fd, SIDECAR_PAGE, h.payload_size, &digest, err);
	if (rc)
		return plt_err_prefix(err, rc, "%s", log->index_path);
	if (digest != h.payload_hash)
		return mismatch(log, err);
	return map_payload(log, fd, &h, out, err);
}

static int write_parts(int fd, const struct sidecar_header *h,
		       const struct plt_wlog_index *ix)
{
	const char *payload = ix->memory;
	char page[SIDECAR_PAGE] = { 0 };
	int rc;

	if (ix->mapped)
		payload += SIDECAR_PAGE;
	memcpy(page, h, sizeof(*h));
	rc = plt_pwrite(fd, page, sizeof(page), 0);
	if (!rc)
		rc = plt_pwrite(fd, payload, h->payload_size, SIDECAR_PAGE);
	return rc;
}

static int fill_header(const struct platter_log *log,
		       const struct plt_wlog_index *ix,
		       struct sidecar_header *h, struct platter_error *err)
{
	const char *payload = ix->memory;
	struct plt_wlog_index measure;
	int rc;

	describe_log(log, h);
	h->end = ix->end;
	h->device_sectors = ix->device_sectors;
	h->counts = (struct plt_wlog_counts){
		.entries = ix->nr_entries,
		.extents = ix->nr_extents,
		.versions = ix->nr_versions,
		.marks = ix->nr_marks,
	};
	h->payload_size = plt_wlog_index_layout(&measure, NULL, &h->counts);
	if (ix->mapped)
		payload += SIDECAR_PAGE;
	rc = hash_buffer(payload, h->payload_size, &h->payload_hash, err);
	if (!rc)
		rc = hash_buffer(h, offsetof(struct sidecar_header,
					     header_hash),
				 &h->header_hash, err);
	return rc;
}

int plt_wlog_sidecar_save(struct platter_log *log,
			  const struct plt_wlog_index *ix,
			  struct platter_error *err)
{
	struct plt_newfile *nf;
	struct sidecar_header h;
	int rc, fd;

	rc = fill_header(log, ix, &h, err);
	if (rc)
		return rc;
	rc = plt_newfile_new(&nf, log->index_path, true, err);
	if (rc)
		return rc;
	fd = open(plt_newfile_part(nf), O_WRONLY | O_CLOEXEC);
	if (fd < 0) {
		rc = plt_err_errno(err, -errno, "%s", plt_newfile_part(nf));
		goto out;
	}
	rc = write_parts(fd, &h, ix);
	if (close(fd) && !rc)
		rc = -errno;
	if (rc)
		plt_err_errno(err, rc, "%s", log->index_path);
	else
		rc = plt_newfile_commit(nf, false, err);
out:
	plt_newfile_free(nf);
	return rc;
}
