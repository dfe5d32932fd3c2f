/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small pictures as PNG (ISO/IEC 15948): indexed colours, a byte a pixel, no
 * filter. Long runs of a colour are what zlib is good at.
 */
#include <string.h>

#include <zlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/report.h"

#define CHUNK_FRAME	12u	/* bytes: length, type, checksum */

static const unsigned char signature[8] = {
	0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n',
};

static void put_be32(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)(v >> 24);
	p[1] = (unsigned char)(v >> 16);
	p[2] = (unsigned char)(v >> 8);
	p[3] = (unsigned char)v;
}

/* Around `len` bytes that are at p + 8 already; returns where it ends. */
static unsigned char *chunk(unsigned char *p, const char *type, uint32_t len)
{
	put_be32(p, len);
	memcpy(p + 4, type, 4);
	put_be32(p + 8 + len, (uint32_t)crc32(0, p + 4, len + 4));
	return p + CHUNK_FRAME + len;
}

static unsigned char *put_header(unsigned char *p, const struct plt_png *png)
{
	unsigned char *data = p + 8;

	put_be32(data, png->width);
	put_be32(data + 4, png->height);
	data[8] = 8;		/* bits of a pixel */
	data[9] = 3;		/* indexed */
	data[10] = data[11] = data[12] = 0;
	return chunk(p, "IHDR", 13);
}

static unsigned char *put_palette(unsigned char *p, const struct plt_png *png)
{
	for (unsigned int i = 0; i < PLT_PNG_COLOURS; i++)
		memcpy(p + 8 + 3 * i, png->palette[i], 3);
	p = chunk(p, "PLTE", 3 * PLT_PNG_COLOURS);
	for (unsigned int i = 0; i < PLT_PNG_COLOURS; i++)
		p[8 + i] = png->palette[i][3];
	return chunk(p, "tRNS", PLT_PNG_COLOURS);
}

/* Rows as zlib takes them, each with the number of its filter in front. */
static unsigned char *rows(const struct plt_png *png, size_t *len,
			   struct platter_error *err)
{
	const size_t row = png->width + (size_t)1;
	unsigned char *raw = plt_calloc(png->height, row, err);

	if (!raw)
		return NULL;
	for (uint32_t y = 0; y < png->height; y++)
		memcpy(raw + y * row + 1,
		       png->pixels + (size_t)y * png->width, png->width);
	*len = png->height * row;
	return raw;
}

int plt_png_encode(const struct plt_png *png, unsigned char **out, size_t *len,
		   struct platter_error *err)
{
	unsigned char *raw plt_auto_free = NULL;
	unsigned char *file, *p;
	uLongf packed;
	size_t raw_len;

	raw = rows(png, &raw_len, err);
	if (!raw)
		return -ENOMEM;
	packed = compressBound((uLong)raw_len);
	file = plt_calloc(1, sizeof(signature) + 5 * CHUNK_FRAME + 13 +
			     4 * PLT_PNG_COLOURS + packed, err);
	if (!file)
		return -ENOMEM;
	memcpy(file, signature, sizeof(signature));
	p = put_header(file + sizeof(signature), png);
	p = put_palette(p, png);
	if (compress2(p + 8, &packed, raw, (uLong)raw_len,
		      Z_BEST_COMPRESSION) != Z_OK) {
		free(file);
		return plt_err_nomem(err, raw_len);
	}
	p = chunk(p, "IDAT", (uint32_t)packed);
	p = chunk(p, "IEND", 0);
	*out = file;
	*len = (size_t)(p - file);
	return 0;
}
