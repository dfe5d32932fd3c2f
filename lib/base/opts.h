/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Node options: a tree of strings, as `driver=raw,file.filename=x` or
 * json:{"driver": "raw", "file": {"filename": "x"}} spell it.
 *
 * The getters for drivers are in <platter/sys/driver.h>. Reading a key marks
 * it as known, so that what nobody read can be reported as unknown.
 */
#ifndef PLT_BASE_OPTS_H
#define PLT_BASE_OPTS_H

#include <stdbool.h>
#include <stddef.h>

#include <platter/sys/driver.h>

/* An empty tree; NULL with a message when there is no memory. */
struct platter_options *plt_options_new(struct platter_error *err);
void plt_options_free(struct platter_options *opts);	/* NULL is ok */

/*
 * "a=b,c.d=e": dots nest, a doubled comma stands for one, "a" alone is "a=on".
 * A key given twice, or as both a value and a tree, is -EINVAL.
 */
int plt_options_parse(struct platter_options **out, const char *text,
		      struct platter_error *err) PLATTER_MUST_CHECK;
/* An object of strings, numbers, booleans and objects; dots nest as above. */
int plt_options_parse_json(struct platter_options **out, const char *text,
			   struct platter_error *err) PLATTER_MUST_CHECK;
/* NULL-terminated "key=value" strings. `list` may be NULL. */
int plt_options_parse_list(struct platter_options **out,
			   const char *const *list, struct platter_error *err)
	PLATTER_MUST_CHECK;

int plt_options_set(struct platter_options *opts, const char *key,
		    const char *value, struct platter_error *err)
	PLATTER_MUST_CHECK;
bool plt_options_has(const struct platter_options *opts, const char *key);
/* The sub-tree under `key`, owned by `opts`, or NULL; marks it as known. */
struct platter_options *plt_options_tree(struct platter_options *opts,
					 const char *key);
/* -EINVAL naming the first key of this level that nobody has read. */
int plt_options_check_used(const struct platter_options *opts,
			   struct platter_error *err) PLATTER_MUST_CHECK;

#endif
