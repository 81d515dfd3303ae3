/* SPDX-License-Identifier: MIT */
/*
 * Tests of sandbox/invoke.c's scan of payloads: what is JSON and what isn't,
 * held against cJSON's verdict (behind lib/json.h) on the same text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/json.h"
#include "sandbox/invoke.h"

static void verdicts(void **state)
{
	static const struct {
		const char *text;
		bool json;
	} cases[] = {
		{ "{}", true },
		{ "[]", true },
		{ "null", true },
		{ " true ", true },
		{ "-1.5e+3", true },
		{ "\"a\\u00e9\\n\"", true },
		{ "{\"a\":[1,{\"b\":[]}],\"c\":{}}", true },
		{ "[[[[]]],{}]", true },
		{ "0", true },
		{ "[1, 2 ,3]", true },
		{ "{ \"a\" : 1 }", true },
		{ "", false },
		{ " ", false },
		{ "{", false },
		{ "[1", false },
		{ "[1,]", false },
		{ "{\"a\"}", false },
		{ "{\"a\":}", false },
		{ "{\"a\":1,}", false },
		{ "{a:1}", false },
		{ "{} {}", false },
		{ "[}", false },
		{ "{]", false },
		{ "01", false },
		{ "1.", false },
		{ "-", false },
		{ "1e", false },
		{ "tru", false },
		{ "nulls", false },
		{ "\"a", false },
		{ "\"\\x\"", false },
		{ "\"a\nb\"", false },
		{ "]", false },
		{ ",", false },
		{ "[,]", false },
		{ "{,}", false },
		{ "'a'", false },
		{ "NaN", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t size = strlen(cases[i].text);
		cJSON *v = json_parse(cases[i].text, size, NULL);
		const char *why = NULL;

		if (invoke_is_json(cases[i].text, size, &why) != cases[i].json)
			fail_msg("%s: %s", cases[i].text, why);
		if (!v == cases[i].json)
			fail_msg("lib/json.h thinks otherwise of %s", cases[i].text);
		cJSON_Delete(v);
	}
}

static void deep(void **state)
{
	char text[4000];
	const char *why = NULL;

	(void)state;
	memset(text, '[', sizeof(text));
	assert_false(invoke_is_json(text, sizeof(text), &why));
	assert_string_equal(why, "too many levels");
	memset(text, '[', 500);
	memset(text + 500, ']', 500);
	assert_true(invoke_is_json(text, 1000, &why));
}

static void paths(void **state)
{
	(void)state;
	assert_true(invoke_is_path("/2015-03-31/functions/f/invocations"));
	assert_false(invoke_is_path("/v1/labs"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts),
		cmocka_unit_test(deep),
		cmocka_unit_test(paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
