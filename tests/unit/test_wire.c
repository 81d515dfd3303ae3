/* SPDX-License-Identifier: MIT */
/*
 * Tests of sandbox/wire.c: messages, whole and in pieces, what is refused, and
 * the plan's lines.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "sandbox/limits.h"
#include "sandbox/wire.h"

static void over_a_pair(void **state)
{
	struct wire_out out = { 0 };
	struct wire_in in = { 0 };
	struct wire_msg m;
	char *big = calloc(1, 1 << 20), text[16];
	struct wire_field f[2] = { wire_bytes("id", 2), wire_bytes(big, 1 << 20) };
	int pair[2], r = 0;
	long number;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(wire_put_strs(&out, WIRE_EXIT, "256", NULL), 0);
	assert_int_equal(wire_put(&out, WIRE_RESPONSE, 2, f), 0);
	assert_int_equal(wire_flush(&out, pair[0]), 1); /* more than the pair holds */
	assert_true(wire_in_read(&in, pair[1]) > 0);
	assert_int_equal(wire_in_next(&in, &m), 1);
	assert_int_equal(m.type, WIRE_EXIT);
	assert_int_equal(wire_number(&m, 0, &number), 0);
	assert_int_equal(number, 256);
	assert_int_equal(wire_number(&m, 1, &number), -EBADMSG);
	while ((r = wire_in_next(&in, &m)) == 0) {
		(void)wire_flush(&out, pair[0]);
		assert_true(wire_in_read(&in, pair[1]) > 0);
	}
	assert_int_equal(r, 1);
	assert_int_equal(m.n, 2);
	assert_int_equal(wire_text(&m, 0, text, sizeof(text)), 0);
	assert_string_equal(text, "id");
	assert_int_equal(m.field[1].size, 1 << 20);
	assert_memory_equal(m.field[1].data, big, 1 << 20);
	assert_int_equal(wire_in_read(&in, pair[1]), -EAGAIN);
	close(pair[0]);
	assert_int_equal(wire_in_read(&in, pair[1]), 0);
	close(pair[1]);
	wire_in_done(&in);
	wire_out_done(&out);
	free(big);
}

static void refused(void **state)
{
	static const struct {
		uint32_t size;
		uint8_t rest[16];
		size_t n;
	} cases[] = {
		{ 0, { 0, 0, 0, 0 }, 4 },			 /* no type */
		{ 0, { WIRE_TYPES, 0, 0, 0 }, 4 },		 /* unknown type */
		{ 0, { WIRE_LOG, 9, 0, 0 }, 4 },		 /* too many fields */
		{ 0, { WIRE_LOG, 0, 1, 0 }, 4 },		 /* not zero */
		{ LIMIT_MESSAGE + 1, { WIRE_LOG, 1, 0, 0 }, 4 }, /* too large */
		{ 4, { WIRE_LOG, 0, 0, 0, 1, 2, 3, 4 }, 8 },	 /* bytes of no field */
		{ 4, { WIRE_LOG, 1, 0, 0, 1, 0, 0, 0 }, 8 },	 /* a field past the end */
		{ 4, { WIRE_LOG, 2, 0, 0, 0, 0, 0, 0 }, 8 },	 /* a field missing */
	};
	struct wire_msg m;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wire_in in = { 0 };

		assert_int_equal(wire_in_feed(&in, &cases[i].size, 4), 0);
		assert_int_equal(wire_in_feed(&in, cases[i].rest, cases[i].n), 0);
		assert_int_equal(wire_in_next(&in, &m), -EBADMSG);
		wire_in_done(&in);
	}
}

static void texts(void **state)
{
	struct wire_msg m = { .type = WIRE_LOG, .n = 4 };
	char text[8];
	long number;

	(void)state;
	m.field[0] = wire_bytes("a\nb", 3);
	m.field[1] = wire_bytes("12345678", 8);
	m.field[2] = wire_bytes("12x", 3);
	m.field[3] = wire_bytes("a\0b", 3);
	assert_int_equal(wire_text(&m, 0, text, sizeof(text)), -EBADMSG);
	assert_int_equal(wire_text(&m, 1, text, sizeof(text)), -EBADMSG);
	assert_int_equal(wire_number(&m, 2, &number), -EBADMSG);
	assert_int_equal(wire_text(&m, 3, text, sizeof(text)), -EBADMSG);
	assert_int_equal(wire_text(&m, 4, text, sizeof(text)), -EBADMSG);
}

static void plans(void **state)
{
	struct buf b = BUF_INIT;
	struct plan_line l;
	size_t pos = 0;

	(void)state;
	plan_add(&b, "role", "function", NULL);
	plan_addf(&b, "env", "A=%d\n", 5);
	plan_add(&b, "ro", "/x", "/a b");
	assert_int_equal(plan_next(b.s, b.len, &pos, &l), 1);
	assert_string_equal(l.key, "role");
	assert_string_equal(l.b, "");
	assert_int_equal(plan_next(b.s, b.len, &pos, &l), 1);
	assert_string_equal(l.a, "A=5\n");
	assert_int_equal(plan_next(b.s, b.len, &pos, &l), 1);
	assert_string_equal(l.b, "/a b");
	assert_int_equal(plan_next(b.s, b.len, &pos, &l), 0);
	pos = 0;
	assert_int_equal(plan_next(b.s, 7, &pos, &l), -EBADMSG);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(over_a_pair),
		cmocka_unit_test(refused),
		cmocka_unit_test(texts),
		cmocka_unit_test(plans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
