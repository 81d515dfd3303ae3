/* SPDX-License-Identifier: MIT */
/*
 * test_alloc - topology/alloc.c and topology/pool.c: numbers given once and kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/util.h"
#include "topology/alloc.h"
#include "topology/pool.h"

static uint32_t lowest(struct alloc *a, const char *owner)
{
	uint32_t v = 0;

	assert_int_equal(alloc_lowest(a, "s", owner, 4, 9, &v), 0);
	return v;
}

static void test_lowest_free(void **state)
{
	struct alloc *a = alloc_new();
	uint32_t v;

	(void)state;
	assert_int_equal(lowest(a, "x"), 4);
	assert_int_equal(alloc_take(a, "s", "fixed", 5), 0);
	assert_int_equal(lowest(a, "y"), 6);
	assert_int_equal(lowest(a, "x"), 4);
	assert_int_equal(alloc_take(a, "s", "z", 5), -EADDRINUSE);
	assert_int_equal(alloc_take(a, "s", "x", 9), -EEXIST);
	assert_int_equal(alloc_take(a, "s", "fixed", 5), 0);
	assert_string_equal(alloc_owner(a, "s", 5), "fixed");
	assert_null(alloc_owner(a, "s", 7));
	assert_null(alloc_owner(a, "other", 5));
	assert_int_equal(lowest(a, "a"), 7);
	assert_int_equal(lowest(a, "b"), 8);
	assert_int_equal(lowest(a, "c"), 9);
	assert_int_equal(alloc_lowest(a, "s", "d", 4, 9, &v), -ENOSPC);
	assert_int_equal(alloc_lowest(a, "t", "d", 4, 9, &v), 0);
	assert_int_equal(v, 4);
	alloc_free(a);
}

static void test_kept_while_the_owner_lives(void **state)
{
	struct alloc *old = alloc_new(), *a = alloc_new();

	(void)state;
	assert_int_equal(lowest(old, "x"), 4);
	assert_int_equal(lowest(old, "y"), 5);
	assert_int_equal(lowest(old, "z"), 6);
	/* y is gone, w is new: it gets y's number */
	assert_int_equal(alloc_keep(a, old, "s", "x"), 0);
	assert_int_equal(alloc_keep(a, old, "s", "z"), 0);
	assert_int_equal(alloc_keep(a, old, "s", "w"), 0);
	assert_int_equal(lowest(a, "w"), 5);
	assert_int_equal(lowest(a, "z"), 6);
	assert_int_equal(alloc_keep(a, old, "s", "y"), -EADDRINUSE);
	assert_int_equal(alloc_keep(a, NULL, "s", "y"), 0);
	alloc_free(old);
	alloc_free(a);
}

static void test_next_never_goes_back(void **state)
{
	struct alloc *old = alloc_new(), *a = alloc_new();
	uint32_t v;

	(void)state;
	assert_int_equal(alloc_next(old, "i", "x", 10, 13, &v), 0);
	assert_int_equal(v, 10);
	assert_int_equal(alloc_next(old, "i", "y", 10, 13, &v), 0);
	assert_int_equal(v, 11);
	/* x and y are gone, but their numbers aren't used at once */
	assert_int_equal(alloc_keep(a, old, "i", "z"), 0);
	assert_int_equal(alloc_next(a, "i", "z", 10, 13, &v), 0);
	assert_int_equal(v, 12);
	assert_int_equal(alloc_next(a, "i", "u", 10, 13, &v), 0);
	assert_int_equal(v, 13);
	/* until there is no other */
	assert_int_equal(alloc_next(a, "i", "v", 10, 13, &v), 0);
	assert_int_equal(v, 10);
	assert_int_equal(alloc_next(a, "i", "w", 10, 13, &v), 0);
	assert_int_equal(v, 11);
	assert_int_equal(alloc_next(a, "i", "t", 10, 13, &v), -ENOSPC);
	alloc_free(old);
	alloc_free(a);
}

static void test_text(void **state)
{
	struct alloc *a = alloc_new(), *b = alloc_new();
	auto_buf struct buf one = BUF_INIT, two = BUF_INIT;
	char owner[20], *line, *save = NULL;
	uint32_t v;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(owner, sizeof(owner), "owner %d", i);
		assert_int_equal(alloc_lowest(a, i % 3 ? "p" : "q", owner, 0, 5000, &v), 0);
	}
	alloc_print(a, &one);
	auto_free char *copy = strdup(buf_str(&one));
	for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		assert_int_equal(alloc_parse_line(b, line), 0);
	alloc_print(b, &two);
	assert_string_equal(buf_str(&one), buf_str(&two));
	assert_true(alloc_find(b, "q", "owner 999", &v));
	assert_int_equal(v, 333);
	assert_int_equal(alloc_parse_line(b, "p"), -EINVAL);
	assert_int_equal(alloc_parse_line(b, "p\tx"), -EINVAL);
	assert_int_equal(alloc_parse_line(b, "p\tx\t-1"), -EINVAL);
	assert_int_equal(alloc_parse_line(b, "p\tx\t5000000000"), -EINVAL);
	assert_int_equal(alloc_parse_line(b, "p\tother\t0"), -EADDRINUSE);
	alloc_free(a);
	alloc_free(b);
}

static void count(const char *key, void *value, void *arg)
{
	assert_string_equal(key, value);
	++*(int *)arg;
}

static void test_pool_and_map(void **state)
{
	struct pool *p = pool_new();
	struct strmap m = { 0 };
	int n = 0;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		const char *s = pool_printf(p, "key %d", i);

		strmap_put(&m, s, s);
		strmap_put(&m, s, s);
	}
	assert_int_equal(pool_error(p), 0);
	assert_int_equal(m.n, 5000);
	assert_string_equal(strmap_get(&m, "key 4711"), "key 4711");
	assert_null(strmap_get(&m, "key 5000"));
	strmap_each(&m, count, &n);
	assert_int_equal(n, 5000);
	assert_int_equal((uintptr_t)pool_alloc(p, 100000) % 16, 0);
	assert_string_equal(pool_strdup(p, ""), "");
	strmap_done(&m);
	assert_null(strmap_get(&m, "key 1"));
	pool_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lowest_free),
		cmocka_unit_test(test_kept_while_the_owner_lives),
		cmocka_unit_test(test_next_never_goes_back),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_pool_and_map),
	};

	return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
