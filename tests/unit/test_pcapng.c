/* SPDX-License-Identifier: MIT */
/*
 * test_pcapng - lib/pcapng.c: a file is a row of blocks whose lengths agree, each a
 * multiple of four, with what was put in where a reader looks for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "lib/pcapng.h"

static uint32_t word(const struct buf *b, size_t at)
{
	uint32_t v;

	assert_true(at + 4 <= b->len);
	memcpy(&v, b->s + at, 4);
	return v;
}

static void test_blocks(void **state)
{
	static const char frame[61] = "0123456789abcdef";
	auto_buf struct buf b = BUF_INIT;
	uint32_t types[4];
	size_t at = 0, starts[4], n = 0;

	(void)state;
	pcapng_begin(&b, "why it failed");
	pcapng_interface(&b, "router.main/eth0", NULL);
	pcapng_packet(&b, 0, 0x123456789aULL, true, frame, sizeof(frame), 1500);
	pcapng_packet(&b, 0, 7, false, frame, 0, 0);
	assert_int_equal(buf_error(&b), 0);
	for (; at < b.len; at += word(&b, at + 4)) {
		uint32_t length = word(&b, at + 4);

		assert_true(n < 4 && length >= 12 && length % 4 == 0);
		assert_int_equal(word(&b, at + length - 4), length);
		starts[n] = at;
		types[n++] = word(&b, at);
	}
	assert_int_equal(at, b.len);
	assert_int_equal(n, 4);
	assert_int_equal(types[0], 0x0a0d0d0a);
	assert_int_equal(word(&b, starts[0] + 8), 0x1a2b3c4d);
	assert_memory_equal(b.s + starts[0] + 28, "why it failed", 13);
	assert_int_equal(types[1], 1);
	assert_memory_equal(b.s + starts[1] + 20, "router.main/eth0", 16);
	assert_int_equal(types[2], 6);
	assert_int_equal(word(&b, starts[2] + 12), 0x12);
	assert_int_equal(word(&b, starts[2] + 16), 0x3456789a);
	assert_int_equal(word(&b, starts[2] + 20), sizeof(frame));
	assert_int_equal(word(&b, starts[2] + 24), 1500);
	assert_memory_equal(b.s + starts[2] + 28, frame, sizeof(frame));
	/* padded to 64, then the flags: outbound */
	assert_int_equal(word(&b, starts[2] + 28 + 64 + 4), 2);
	assert_int_equal(word(&b, starts[3] + 28 + 4), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_blocks) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
