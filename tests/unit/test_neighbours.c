/* SPDX-License-Identifier: MIT */
/*
 * test_neighbours - sandbox/neighbours.c: the kernel's count, by its column's name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/util.h"
#include "sandbox/neighbours.h"

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		uint64_t sum;
	} cases[] = {
		{ "entries  allocs   table_fulls\n000004dc 000025ee 00003d19\n"
		  "000004dc 00002dc5 00003034\n",
		  0x3d19 + 0x3034 },
		{ "entries  table_fulls more\n000004dc 00000001 00000007\n", 1 },
		{ "table_fulls\n0000000f\n", 15 },
		{ "entries  table_fulls\n000004dc\n", 0 },
		{ "entries  table_full\n000004dc 00000001\n", 0 },
		{ "entries table_fulls", 0 },
		{ "", 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(neighbours_parse(cases[i].text), cases[i].sum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
