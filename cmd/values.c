/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The values options take: each type is parsed here and nowhere else.
 *
 * What is wrong with a value is a usage error, which cmd_usage() keeps until
 * argp is done.
 */
#include <string.h>

#include "cmd.h"

#define WORKERS_MAX	16u	/* as with qemu-img */

/* The library's message as a usage error. */
static error_t bad_value(const struct argp_state *state, const char *option,
			 const struct platter_error *e)
{
	return cmd_usage(state, "%s: %s", option, e->msg);
}

error_t cmd_parse_cache(const struct argp_state *state, const char *arg,
			enum platter_cache *out)
{
	struct platter_error e = PLATTER_ERROR_INIT;

	if (platter_cache_parse(out, arg, &e))
		return cmd_usage(state, "%s", e.msg);
	return 0;
}

error_t cmd_parse_size(const struct argp_state *state, const char *option,
		       const char *arg, uint64_t *out)
{
	struct platter_error e = PLATTER_ERROR_INIT;

	if (platter_size_parse(out, arg, &e))
		return bad_value(state, option, &e);
	return 0;
}

error_t cmd_parse_number(const struct argp_state *state, const char *option,
			 const char *arg, uint64_t min, uint64_t max,
			 uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(arg, &end, 0);
	if (arg[0] < '0' || arg[0] > '9' || *end)
		return cmd_usage(state, "%s: '%s' is not a number", option,
				 arg);
	if (errno || *out < min || *out > max)
		return cmd_usage(state, "%s: %s is not between %" PRIu64
				 " and %" PRIu64, option, arg, min, max);
	return 0;
}

error_t cmd_parse_time(const struct argp_state *state, const char *option,
		       const char *arg, bool may_be_none, uint64_t *out)
{
	static const struct {
		const char *unit;
		unsigned int seconds;
	} units[] = { { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 } };
	char *end;
	double value = strtod(arg, &end);

	for (size_t i = 0; i < CMD_ARRAY_SIZE(units); i++) {
		double ns = value * units[i].seconds * 1e9;

		if (end == arg || strcmp(end, units[i].unit) || !(ns < 9e18) ||
		    !(ns >= 1 || (may_be_none && ns == 0)))
			continue;
		*out = (uint64_t)ns;
		return 0;
	}
	return cmd_usage(state, "%s: %s is no time; write 90s, 5m or 2h",
			 option, arg);
}

error_t cmd_parse_sector_size(const struct argp_state *state, const char *arg,
			      uint32_t *out)
{
	uint64_t value;
	error_t rc = cmd_parse_size(state, "--sector-size", arg, &value);

	if (rc)
		return rc;
	if (!value || value > UINT32_MAX)
		return cmd_usage(state, "--sector-size: %s is not between 1 "
				 "and 4 GiB", arg);
	*out = (uint32_t)value;
	return 0;
}

error_t cmd_parse_workers(const struct argp_state *state, const char *arg,
			  unsigned int *out)
{
	uint64_t n;
	error_t rc = cmd_parse_number(state, "-m", arg, 1, WORKERS_MAX, &n);

	if (!rc)
		*out = (unsigned int)n;
	return rc;
}

error_t cmd_parse_range(const struct argp_state *state, const char *option,
			const char *arg, struct cmd_range *out)
{
	struct platter_error e = PLATTER_ERROR_INIT;

	if (platter_range_parse(&out->offset, &out->length, 1, arg, &e))
		return bad_value(state, option, &e);
	out->given = true;
	out->has_length = strchr(arg, '+');
	return 0;
}

static error_t kv_append(const struct argp_state *state,
			 struct cmd_key_values *kv, char *item)
{
	char **list = reallocarray(kv->list, kv->count + 2, sizeof(*list));

	if (!list)
		return cmd_usage(state, "no memory for an option");
	kv->list = list;
	list[kv->count++] = item;
	list[kv->count] = NULL;
	return 0;
}

error_t cmd_key_values_add(const struct argp_state *state,
			   struct cmd_key_values *kv, char *arg)
{
	char *item = arg, *to = arg;
	error_t rc = 0;

	for (char *p = arg; !rc; p++) {
		if (p[0] == ',' && p[1] == ',') {
			*to++ = *p++;
		} else if (*p && *p != ',') {
			*to++ = *p;
		} else {
			bool last = !*p;

			*to = 0;
			rc = kv_append(state, kv, item);
			if (last)
				break;
			item = to = p + 1;
		}
	}
	return rc;
}

void cmd_key_values_free(struct cmd_key_values *kv)
{
	free(kv->list);
	kv->list = NULL;
	kv->count = 0;
}
