/* SPDX-License-Identifier: MIT */
/*
 * test_packet - cli/packet.c: frames in words, and frames that end too early.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/packet.h"
#include "lib/util.h"

#define MAC "\2\0\0\0\0\1\2\0\0\0\0\2"
#define ADDRS "\12\0\0\4\12\0\1\4"

static const struct {
	const char *bytes;
	size_t size;
	const char *words;
} frames[] = {
	{ MAC "\x08\0\x45\0\0\x2d\0\0\0\0\x40\6\0\0" ADDRS
	      "\x03\xe8\0\x50\0\0\0\0\0\0\0\0\x50\x18\0\0\0\0\0\0hello",
	  14 + 45, "10.0.0.4:1000 > 10.0.1.4:80 tcp P., 5 bytes" },
	{ MAC "\x08\0\x45\0\0\x1f\0\0\0\0\x40\x11\0\0" ADDRS "\x03\xe8\0\x35\0\x0b\0\0abc", 14 + 31,
	  "10.0.0.4:1000 > 10.0.1.4:53 udp, 3 bytes" },
	{ MAC "\x08\0\x45\0\0\x1c\0\0\0\0\x40\1\0\0" ADDRS "\x08\0\0\0\0\7\0\1", 14 + 28,
	  "10.0.0.4 > 10.0.1.4 icmp echo request, id 7, seq 1" },
	{ MAC "\x08\0\x45\0\0\x1c\0\0\0\0\x40\1\0\0" ADDRS "\3\4\0\0\0\0\0\0", 14 + 28,
	  "10.0.0.4 > 10.0.1.4 icmp type 3 code 4" },
	{ MAC "\x08\0\x45\0\0\x1c\0\0\0\1\x40\6\0\0" ADDRS "abcdefgh", 14 + 28,
	  "10.0.0.4 > 10.0.1.4 a later fragment, 8 bytes" },
	{ MAC "\x08\6\0\1\x08\0\6\4\0\1\2\0\0\0\0\2\12\0\0\4\0\0\0\0\0\0\12\0\0\1", 14 + 28,
	  "arp who has 10.0.0.1? 10.0.0.4 asks" },
	{ MAC "\x08\6\0\1\x08\0\6\4\0\2\2\0\0\0\0\2\12\0\0\4\0\0\0\0\0\0\12\0\0\1", 14 + 28,
	  "arp 10.0.0.4 is at 02:00:00:00:00:02" },
	{ MAC "\x86\xdd"
	      "abc",
	  17, "ethertype 0x86dd, 3 bytes" },
};

static void test_words(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(frames); i++) {
		auto_buf struct buf b = BUF_INIT;

		packet_words(frames[i].bytes, frames[i].size, &b);
		assert_string_equal(buf_str(&b), frames[i].words);
	}
}

/* copies of the exact size, so that a sanitizer sees what is read behind them */
static void test_cut_short(void **state)
{
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(frames); i++)
		for (n = 0; n < frames[i].size; n++) {
			auto_free char *copy = malloc(n + 1);
			auto_buf struct buf b = BUF_INIT;

			assert_non_null(copy);
			copy = realloc(copy, n ? n : 1);
			memcpy(copy, frames[i].bytes, n);
			packet_words(copy, n, &b);
			assert_true(b.len > 0 && !buf_error(&b));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_cut_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
