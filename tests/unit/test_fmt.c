/* SPDX-License-Identifier: MIT */
/*
 * fmt_print() says what snprintf() says: the same text, length and cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/fmt.h"

#define SAME(...)                                                            \
	do {                                                                 \
		size_t size_;                                                \
		char a_[80], b_[80];                                         \
		for (size_ = 0; size_ <= sizeof(a_); size_++) {              \
			memset(a_, 'x', sizeof(a_));                         \
			memset(b_, 'x', sizeof(b_));                         \
			assert_int_equal(snprintf(a_, size_, __VA_ARGS__),   \
					 fmt_print(b_, size_, __VA_ARGS__)); \
			assert_memory_equal(a_, b_, sizeof(a_));             \
		}                                                            \
	} while (0)

static void texts(void **state)
{
	static const char no_nul[4] = { 'a', 'b', 'c', 'd' };

	(void)state;
	SAME("plain");
	SAME("%s", "");
	SAME("%s and %s%%", "one", "two");
	SAME("%.3s|%.0s|%.*s", "abcdef", "x", 4, no_nul);
	SAME("%.*s", -1, "whole");
	SAME("%10s|%c|%3c", "right", 'c', 'd');
	SAME("%-10s|", "left");
}

static void numbers(void **state)
{
	(void)state;
	SAME("%d %d %d", 0, -1, INT32_MIN);
	SAME("%u 0x%x %08x %02x", 4294967295u, 0xffff0000u, 0x1au, 0x100u);
	SAME("%ld %lu %lld %llu", -5L, 5UL, INT64_MIN + 0LL, UINT64_MAX + 0ULL);
	SAME("%zu %zd", (size_t)17, (ptrdiff_t)-17);
	SAME("%5d|%05d|%05d|%5u", -42, -42, 7, 7u);
	SAME("%.3d %+d %#x %X %o %.15g", 7, 7, 7u, 0xabu, 8u, 1.5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
