/* SPDX-License-Identifier: MIT */
/*
 * test_buf - lib/buf.c: growing, the failure that sticks, quoting, UTF-8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/util.h"

static void test_empty(void **state)
{
	struct buf b = BUF_INIT;
	char *s;

	(void)state;
	assert_string_equal(buf_str(&b), "");
	s = buf_steal(&b);
	assert_string_equal(s, "");
	free(s);
	assert_null(b.s);
	buf_add(&b, NULL, 0);
	assert_int_equal(buf_error(&b), 0);
	buf_done(&b);
	buf_done(&b);
}

static void test_grows(void **state)
{
	auto_buf struct buf b = BUF_INIT;

	(void)state;
	for (int i = 0; i < 10000; i++)
		buf_printf(&b, "%04d.", i);
	assert_int_equal(b.len, 50000);
	assert_int_equal(strlen(buf_str(&b)), 50000);
	assert_memory_equal(buf_str(&b) + 49990, "9998.9999.", 10);
	buf_clear(&b);
	assert_string_equal(buf_str(&b), "");
	buf_adds(&b, "again");
	assert_string_equal(buf_str(&b), "again");
}

static void test_holds_nul_bytes(void **state)
{
	auto_buf struct buf b = BUF_INIT;

	(void)state;
	buf_add(&b, "a\0b", 3);
	buf_adds(&b, "c");
	assert_int_equal(b.len, 4);
	assert_memory_equal(b.s, "a\0bc", 5);
}

static void test_failure_sticks(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	buf_adds(&b, "kept");
	buf_add(&b, "x", SIZE_MAX / 2);
	assert_int_equal(buf_error(&b), -ENOMEM);
	buf_adds(&b, "more");
	assert_string_equal(buf_str(&b), "kept");
	assert_null(buf_steal(&b));
	/* stealing gives the memory back, and the buffer is as new */
	assert_int_equal(buf_error(&b), 0);
	buf_done(&b);
}

static void test_json(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ NULL, "null" },
		{ "", "\"\"" },
		{ "plain \xc3\xa9 \xf0\x9f\x98\x80", "\"plain \xc3\xa9 \xf0\x9f\x98\x80\"" },
		{ "q\"b\\s/", "\"q\\\"b\\\\s/\"" },
		{ "n\nt\tr\r\x1b[31m\x7f", "\"n\\nt\\tr\\u000d\\u001b[31m\\u007f\"" },
		/* C1's CSI is as good as ESC [ to some terminals */
		{ "\xc2\x9b"
		  "31m \xc2\xa0",
		  "\"\\u009b31m \xc2\xa0\"" },
		{ "a\xff"
		  "b\xc3",
		  "\"a\\ufffdb\\ufffd\"" },
		{ "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_buf struct buf b = BUF_INIT;

		buf_json(&b, cases[i].in);
		assert_string_equal(buf_str(&b), cases[i].out);
	}
}

static void test_utf8(void **state)
{
	static const struct {
		const char *s;
		size_t size, len;
	} cases[] = {
		{ "", 0, 0 },
		{ "a", 1, 1 },
		{ "\0", 1, 1 },
		{ "\x80", 1, 0 },
		{ "\xc2\x80", 2, 2 },
		{ "\xc2\x80", 1, 0 }, /* cut off */
		{ "\xc1\xbf", 2, 0 }, /* longer than needed */
		{ "\xe0\x9f\xbf", 3, 0 },
		{ "\xe0\xa0\x80", 3, 3 },
		{ "\xed\x9f\xbf", 3, 3 },
		{ "\xed\xa0\x80", 3, 0 }, /* half a surrogate pair */
		{ "\xf0\x8f\xbf\xbf", 4, 0 },
		{ "\xf4\x8f\xbf\xbf", 4, 4 }, /* U+10FFFF */
		{ "\xf4\x90\x80\x80", 4, 0 },
		{ "\xf8\x88\x80\x80\x80", 5, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(utf8_len(cases[i].s, cases[i].size), cases[i].len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_holds_nul_bytes),
		cmocka_unit_test(test_failure_sticks),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
