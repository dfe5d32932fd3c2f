// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Sizes. The vectors are what qemu-img 7.2 makes of the same text (measure
 * --size) and prints for the same size (info).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <platter/image.h>

#include "base/mem.h"

static void reads_sizes(void **state)
{
	static const struct { const char *text; int rc; uint64_t size; } v[] = {
		{ "0", 0, 0 },
		{ "512", 0, 512 },
		{ "0777", 0, 777 },
		{ "1b", 0, 1 },
		{ "1B", 0, 1 },
		{ "1k", 0, 1024 },
		{ "1K", 0, 1024 },
		{ "1M", 0, 1048576 },
		{ "64m", 0, 67108864 },
		{ "1.5G", 0, 1610612736 },
		{ "1T", 0, UINT64_C(1) << 40 },
		{ "1P", 0, UINT64_C(1) << 50 },
		{ "1E", 0, UINT64_C(1) << 60 },
		{ "7E", 0, UINT64_C(7) << 60 },
		{ "0.1K", 0, 102 },
		{ "0.0005k", 0, 0 },
		{ "1.99999k", 0, 2047 },
		{ "5.k", 0, 5120 },
		{ "1.", 0, 1 },
		{ "1.0", 0, 1 },
		{ "1.000b", 0, 1 },
		{ "1.1T", 0, UINT64_C(1209462790553) },
		{ "3.14159265358979323846M", 0, 3294198 },
		{ "0x20", 0, 32 },
		{ "0X1f", 0, 31 },
		{ "0x1B", 0, 27 },
		{ "0x7fffffffffffffff", 0, INT64_MAX },
		{ "9223372036854775807", 0, INT64_MAX },
		{ "9223372036854775808", -ERANGE, 0 },
		{ "0x8000000000000000", -ERANGE, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
		{ "0x10000000000000000", -ERANGE, 0 },
		{ "8E", -ERANGE, 0 },
		{ "7.9999999999999999999999E", -ERANGE, 0 },
		{ "16E", -ERANGE, 0 },
		{ "9007199254740992k", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "k", -EINVAL, 0 },
		{ ".", -EINVAL, 0 },
		{ ".5k", -EINVAL, 0 },
		{ "0x", -EINVAL, 0 },
		{ "0x20M", -EINVAL, 0 },
		{ "0x1.8", -EINVAL, 0 },
		{ "1.5", -EINVAL, 0 },
		{ "1.5b", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
		{ "1KB", -EINVAL, 0 },
		{ "1KiB", -EINVAL, 0 },
		{ "1 k", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1,5G", -EINVAL, 0 },
		{ "1x", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		struct platter_error err = PLATTER_ERROR_INIT;
		uint64_t size = 4711;
		int rc = platter_size_parse(&size, v[i].text, &err);

		if (rc != v[i].rc || size != (rc ? 4711 : v[i].size))
			fail_msg("'%s': %d, %ju", v[i].text, rc,
				 (uintmax_t)size);
		assert_int_equal(err.code, rc);
		if (rc)
			assert_non_null(strstr(err.msg, v[i].text));
	}
}

static void reads_ranges(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t offset, length;
	} v[] = {
		{ "0", 0, 0, 512 },
		{ "4k", 0, 4096, 512 },
		{ "4k+1M", 0, 4096, 1048576 },
		{ "0x10+0x20", 0, 16, 32 },
		{ "9223372036854775806+1", 0, INT64_MAX - 1, 1 },
		{ "9223372036854775807+1", -ERANGE, 0, 0 },
		{ "7E+7E", -ERANGE, 0, 0 },
		{ "1+0", -EINVAL, 0, 0 },
		{ "1+", -EINVAL, 0, 0 },
		{ "+1", -EINVAL, 0, 0 },
		{ "1+2+3", -EINVAL, 0, 0 },
		{ "1-2", -EINVAL, 0, 0 },
		{ "", -EINVAL, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		struct platter_error err = PLATTER_ERROR_INIT;
		uint64_t offset = 0;
		uint64_t length = 0;
		int rc = platter_range_parse(&offset, &length, 512, v[i].text,
					     &err);

		if (rc != v[i].rc || offset != v[i].offset ||
		    length != v[i].length)
			fail_msg("'%s': %d, %ju+%ju", v[i].text, rc,
				 (uintmax_t)offset, (uintmax_t)length);
		assert_int_equal(err.code, rc);
	}
}

static void prints_sizes(void **state)
{
	static const struct { uint64_t size; const char *text; } v[] = {
		{ 0, "0 B" },
		{ 1, "1 B" },
		{ 512, "512 B" },
		{ 999, "999 B" },
		{ 1000, "0.977 KiB" },
		{ 1024, "1 KiB" },
		{ 10240, "10 KiB" },
		{ 65536, "64 KiB" },
		{ 1022976, "999 KiB" },
		{ 1023488, "1e+03 KiB" },
		{ 1023999, "1e+03 KiB" },
		{ 1024000, "0.977 MiB" },
		{ 1048576, "1 MiB" },
		{ 1048576000, "0.977 GiB" },
		{ 1072693248, "0.999 GiB" },
		{ 1073741824, "1 GiB" },
		{ 1536000000, "1.43 GiB" },
		{ 1610612736, "1.5 GiB" },
		{ UINT64_C(10737418240), "10 GiB" },
		{ UINT64_C(12345679360), "11.5 GiB" },
		{ UINT64_C(998000000128), "929 GiB" },
		{ UINT64_C(1) << 40, "1 TiB" },
		{ UINT64_C(5) << 40, "5 TiB" },
		{ UINT64_C(1) << 50, "1 PiB" },
		{ UINT64_C(1) << 60, "1 EiB" },
		{ INT64_MAX, "8 EiB" },
		{ UINT64_MAX, "16 EiB" },
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		char text[PLATTER_SIZE_TEXT_MAX];

		assert_ptr_equal(platter_size_text(text, v[i].size), text);
		assert_string_equal(text, v[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_sizes),
		cmocka_unit_test(reads_ranges),
		cmocka_unit_test(prints_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
