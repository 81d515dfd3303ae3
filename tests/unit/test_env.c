/* SPDX-License-Identifier: MIT */
/*
 * test_env - cli/env.c: names of variables, words of a shell.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cli/env.h"
#include "lib/buf.h"
#include "lib/util.h"

static void test_names(void **state)
{
	static const struct {
		const char *node, *name;
	} cases[] = {
		{ "db", "IP_DB" },
		{ "b-1", "IP_B_1" },
		{ "B_1", "IP_B_1" },
		{ "0", "IP_0" },
	};
	char name[64];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		env_name(name, sizeof(name), "IP", cases[i].node);
		assert_string_equal(name, cases[i].name);
	}
}

static void test_quotes(void **state)
{
	static const struct {
		const char *word, *quoted;
	} cases[] = {
		{ "", "''" },
		{ "a b", "'a b'" },
		{ "$HOME`x`\"\\\n", "'$HOME`x`\"\\\n'" },
		{ "it's", "'it'\\''s'" },
		{ "''", "''\\'''\\'''" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_buf struct buf b = BUF_INIT;

		env_quote(&b, cases[i].word);
		assert_string_equal(buf_str(&b), cases[i].quoted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_quotes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
