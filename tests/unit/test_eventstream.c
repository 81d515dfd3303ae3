/* SPDX-License-Identifier: MIT */
/* AWS's event stream: what is put is read again, and no damaged byte passes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/eventstream.h"
#include "lib/util.h"

static void messages(struct buf *b)
{
	eventstream_put(b, "PayloadChunk", "application/octet-stream", "a\0b", 3);
	eventstream_put(b, "InvokeComplete", "application/json", "{}", 2);
	assert_int_equal(buf_error(b), 0);
}

static void test_round_trip(void **state)
{
	auto_buf struct buf b = BUF_INIT;
	struct eventstream_event e;
	size_t used, first, n;

	(void)state;
	messages(&b);
	assert_int_equal(eventstream_next(b.s, b.len, &first, &e), 1);
	assert_string_equal(e.type, "PayloadChunk");
	assert_int_equal(e.size, 3);
	assert_memory_equal(e.payload, "a\0b", 3);
	assert_int_equal(eventstream_next(b.s + first, b.len - first, &used, &e), 1);
	assert_string_equal(e.type, "InvokeComplete");
	assert_int_equal(first + used, b.len);
	for (n = 0; n < first; n++)
		assert_int_equal(eventstream_next(b.s, n, &used, &e), 0);
}

static void test_damage(void **state)
{
	auto_buf struct buf b = BUF_INIT;
	struct eventstream_event e;
	size_t used, first, i;

	(void)state;
	messages(&b);
	assert_int_equal(eventstream_next(b.s, b.len, &first, &e), 1);
	for (i = 0; i < first; i++) {
		b.s[i] ^= 1;
		assert_int_equal(eventstream_next(b.s, b.len, &used, &e), -EBADMSG);
		b.s[i] ^= 1;
	}
}

static void test_base64(void **state)
{
	static const char *const texts[] = { "", "a", "ab", "abc", "abcd" };
	size_t i, size;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		auto_free char *coded = base64(texts[i], strlen(texts[i]));
		auto_free char *back = base64_decode(coded, strlen(coded), &size);

		assert_non_null(back);
		assert_int_equal(size, strlen(texts[i]));
		assert_string_equal(back, texts[i]);
	}
	assert_null(base64_decode("e30", 3, &size));
	assert_null(base64_decode("*+-/", 4, &size));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_base64),
	};

	return cmocka_run_group_tests_name("eventstream", tests, NULL, NULL);
}
