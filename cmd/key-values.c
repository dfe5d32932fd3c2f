/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Options of formats: what -o gives, and the list that `-o help` prints.
 *
 * A list of "key=value" strings in the order they were given. The strings are
 * the command line's, or the caller's.
 */
#include <string.h>

#include "cmd.h"

int cmd_key_values_append(struct cmd_key_values *kv, char *item,
			  struct platter_error *err)
{
	char **list = reallocarray(kv->list, kv->count + 2, sizeof(*list));

	if (!list)
		return platter_error_errno(err, -ENOMEM, "an option");
	kv->list = list;
	list[kv->count++] = item;
	list[kv->count] = NULL;
	return 0;
}

/* What follows `key` and its '=', or NULL when `item` is another. */
static const char *value_of(const char *item, const char *key)
{
	size_t len = strlen(key);

	if (strncmp(item, key, len))
		return NULL;
	if (!item[len])
		return "on";
	return item[len] == '=' ? item + len + 1 : NULL;
}

const char *cmd_key_values_get(const struct cmd_key_values *kv,
			       const char *key)
{
	for (size_t i = kv->count; i-- > 0;) {
		const char *value = value_of(kv->list[i], key);

		if (value)
			return value;
	}
	return NULL;
}

static void remove_at(struct cmd_key_values *kv, size_t i)
{
	memmove(kv->list + i, kv->list + i + 1,
		(kv->count - i) * sizeof(*kv->list));
	kv->count--;
}

void cmd_key_values_drop(struct cmd_key_values *kv, const char *key)
{
	for (size_t i = kv->count; i-- > 0;)
		if (value_of(kv->list[i], key))
			remove_at(kv, i);
}

static bool same_key(const char *a, const char *b)
{
	size_t len = strcspn(a, "=");

	return len == strcspn(b, "=") && !strncmp(a, b, len);
}

void cmd_key_values_last(struct cmd_key_values *kv)
{
	for (size_t i = kv->count; i-- > 0;) {
		for (size_t j = i; j-- > 0;) {
			if (same_key(kv->list[i], kv->list[j])) {
				remove_at(kv, j);
				i--;
			}
		}
	}
}

bool cmd_key_values_wants_help(const struct cmd_key_values *kv)
{
	for (size_t i = 0; i < kv->count; i++)
		if (!strcmp(kv->list[i], "help") || !strcmp(kv->list[i], "?"))
			return true;
	return false;
}

bool cmd_option_table_has(const struct platter_option *table, const char *name)
{
	for (; table->name; table++)
		if (!strcmp(table->name, name))
			return true;
	return false;
}

int cmd_option_table_print(struct cmd *cmd, const struct platter_option *table,
			   const char *format, struct platter_error *err)
{
	static const char *const types[] = {
		[PLATTER_OPTION_STRING] = "str",
		[PLATTER_OPTION_SIZE] = "size",
		[PLATTER_OPTION_NUMBER] = "num",
		[PLATTER_OPTION_BOOL] = "bool (on/off)",
	};
	struct platter_printer *out;
	int rc;

	if (!table)
		return platter_error_set(err, -EINVAL, "\"%s\" is no format "
					 "that has such options", format);
	rc = cmd_printer(cmd, PLATTER_OUTPUT_HUMAN, &out, err);
	if (rc)
		return rc;
	platter_out_text(out, "Supported %s options:\n", format);
	for (; table->name; table++) {
		char name[64];

		snprintf(name, sizeof(name), "%s=<%s>", table->name,
			 types[table->type]);
		platter_out_text(out, "  %-22s - %s\n", name, table->help);
	}
	return 0;
}
