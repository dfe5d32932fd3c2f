/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading requests from text: what the kinds of text share. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "wlog/text.h"

static const struct plt_wlog_text_ops *const kinds[] = {
	[PLATTER_LOG_TEXT_BLKPARSE] = &plt_wlog_text_blkparse,
	[PLATTER_LOG_TEXT_FIO] = &plt_wlog_text_fio,
	[PLATTER_LOG_TEXT_FIO3] = &plt_wlog_text_fio,
	[PLATTER_LOG_TEXT_JSONL] = &plt_wlog_text_jsonl,
	[PLATTER_LOG_TEXT_NBDKIT] = &plt_wlog_text_nbdkit,
};

int plt_wlog_parser_new(struct plt_wlog_parser **out,
			enum platter_log_text format, const char *device,
			struct platter_error *err)
{
	struct plt_wlog_parser *p;

	if ((size_t)format >= PLT_ARRAY_SIZE(kinds) || !kinds[format])
		return plt_err_set(err, -ENOTSUP,
				   "this format of text can only be written");
	p = plt_calloc(1, sizeof(*p), err);
	if (!p)
		return -ENOMEM;
	p->ops = kinds[format];
	p->given = device;
	p->state = plt_calloc(1, p->ops->state_size, err);
	if (device)
		p->device = plt_strdup(device, err);
	if (!p->state || (device && !p->device)) {
		plt_wlog_parser_free(p);
		return -ENOMEM;
	}
	*out = p;
	return 0;
}

void plt_wlog_parser_free(struct plt_wlog_parser *p)
{
	if (!p)
		return;
	if (p->ops->free && p->state)
		p->ops->free(p);
	free(p->state);
	free(p->device);
	free(p);
}

void plt_wlog_parser_rewind(struct plt_wlog_parser *p)
{
	p->again = true;
	p->unfinished = 0;
	if (p->ops->rewind)
		p->ops->rewind(p);
}

int plt_wlog_parser_line(struct plt_wlog_parser *p, char *line,
			 struct plt_wlog_request *req,
			 struct platter_error *err)
{
	*req = (struct plt_wlog_request){ .flags = 0 };
	return p->ops->line(p, line, req, err);
}

char *plt_wlog_word(char **rest)
{
	char *word = *rest + strspn(*rest, " \t\r");
	char *end = word + strcspn(word, " \t\r");

	if (word == end)
		return NULL;
	*rest = *end ? end + 1 : end;
	*end = '\0';
	return word;
}

bool plt_wlog_number(const char *text, int base, uint64_t *out)
{
	char *end;

	/* strtoull() would take blanks and signs. */
	if (!strchr("0123456789abcdefABCDEF", *text) || !*text)
		return false;
	errno = 0;
	*out = strtoull(text, &end, base);
	return !errno && !*end && end != text;
}

int plt_wlog_parser_device(struct plt_wlog_parser *p, const char *name,
			   struct platter_error *err)
{
	if (!p->device) {
		p->device = plt_strdup(name, err);
		return p->device ? 0 : -ENOMEM;
	}
	if (!strcmp(p->device, name))
		return 0;
	if (p->given)
		return 1;
	return plt_err_set(err, -EINVAL,
			   "requests to %.100s, and before to %.100s: choose one with --device",
			   name, p->device);
}
