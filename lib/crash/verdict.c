/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verdicts, results, and the ends of checkers and presenters. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/crash.h"

static const char *const names[] = {
	[PLATTER_CRASH_PASS] = "pass",
	[PLATTER_CRASH_FAIL] = "fail",
	[PLATTER_CRASH_SKIP] = "skip",
	[PLATTER_CRASH_FLAKY] = "flaky",
	[PLATTER_CRASH_ERROR] = "error",
};

const char *platter_crash_verdict_name(enum platter_crash_verdict verdict)
{
	return (size_t)verdict < PLT_ARRAY_SIZE(names) ? names[verdict] : "?";
}

int platter_crash_verdict_parse(enum platter_crash_verdict *out,
				const char *name, struct platter_error *err)
{
	for (size_t i = 0; i < PLT_ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], name))
			continue;
		*out = (enum platter_crash_verdict)i;
		return 0;
	}
	return plt_err_set(err, -EINVAL, "'%s' is not pass, fail, skip, flaky "
			   "or error", name);
}

void platter_crash_result_clear(struct platter_crash_result *result)
{
	free(result->output);
	*result = (struct platter_crash_result){ .status = -1 };
}

void platter_crash_checker_free(struct platter_crash_checker *checker)
{
	if (checker)
		checker->free(checker);
}

void platter_crash_presenter_free(struct platter_crash_presenter *presenter)
{
	if (presenter)
		presenter->free(presenter);
}
