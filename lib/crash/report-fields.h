/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading fields of JSON objects of which nothing is believed. Each is -EINVAL
 * with a message that has the key and what was expected.
 */
#ifndef PLT_CRASH_REPORT_FIELDS_H
#define PLT_CRASH_REPORT_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <platter/error.h>

/* From 0 to `max`, which is at most INT64_MAX. */
int plt_field_number(const json_t *o, const char *key, uint64_t max,
		     uint64_t *out, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* The same for one that may be missing, or null: *out stays then. */
int plt_field_optional(const json_t *o, const char *key, uint64_t max,
		       uint64_t *out, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Missing is false. */
int plt_field_flag(const json_t *o, const char *key, bool *out,
		   struct platter_error *err) PLATTER_MUST_CHECK;
/* Of at most `max` bytes; it lives as long as the object. */
int plt_field_text(const json_t *o, const char *key, size_t max,
		   const char **out, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* The same; NULL when it is missing, or null. */
int plt_field_optional_text(const json_t *o, const char *key, size_t max,
			    const char **out, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_field_seconds(const json_t *o, const char *key, uint64_t *ns,
		      struct platter_error *err) PLATTER_MUST_CHECK;
/* As many bytes, two digits each. */
int plt_field_hex(const json_t *o, const char *key, uint8_t *bytes, size_t len,
		  struct platter_error *err) PLATTER_MUST_CHECK;
/* Which of `names` it is. */
int plt_field_word(const json_t *o, const char *key, const char *const *names,
		   unsigned int nr, unsigned int *out,
		   struct platter_error *err) PLATTER_MUST_CHECK;

#endif
