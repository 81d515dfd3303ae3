/* SPDX-License-Identifier: MIT */
/*
 * test_boxes - netd/boxes.c against brute force: what is cut covers the same and
 * overlaps nowhere; longest prefixes win.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "netd/boxes.h"

#define SIDE 16 /* of the small world in which every point is tried */

static unsigned next(uint64_t *s, unsigned n)
{
	*s = *s * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*s >> 33) % n;
}

static int covering(const struct box *v, size_t n, int protocol, uint32_t port, uint32_t addr)
{
	int r = 0;

	for (size_t i = 0; i < n; i++)
		r += v[i].protocol == protocol && v[i].ports.from <= port &&
		     port <= v[i].ports.to && v[i].addrs.from <= addr && addr <= v[i].addrs.to;
	return r;
}

static void test_boxes_against_every_point(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct box in[12], *out;
		size_t n = next(&seed, 13), n_out;

		for (size_t i = 0; i < n; i++) {
			uint32_t p = next(&seed, SIDE), a = next(&seed, SIDE);

			in[i] = (struct box){ next(&seed, 2) ? 6 : 17,
					      { p, p + next(&seed, SIDE - p) },
					      { a, a + next(&seed, SIDE - a) } };
		}
		assert_int_equal(boxes_cut(in, n, &out, &n_out), 0);
		for (uint32_t x = 0; x < 2 * SIDE * SIDE; x++) {
			int protocol = x & 1 ? 6 : 17;
			uint32_t port = x / 2 % SIDE, addr = x / 2 / SIDE;

			assert_int_equal(covering(out, n_out, protocol, port, addr),
					 covering(in, n, protocol, port, addr) > 0);
		}
		free(out);
	}
}

static void test_boxes_join(void **state)
{
	const struct box in[] = {
		{ 6, { 80, 80 }, { 10, 19 } },
		{ 6, { 81, 90 }, { 10, 19 } },
		{ 6, { 80, 90 }, { 20, 29 } },
		{ 6, { 85, 85 }, { 12, 13 } },
	};
	struct box *out;
	size_t n;

	(void)state;
	assert_int_equal(boxes_cut(in, ARRAY_SIZE(in), &out, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(out[0].ports.to, 90);
	assert_int_equal(out[0].addrs.to, 29);
	free(out);
	assert_int_equal(boxes_cut(NULL, 0, &out, &n), 0);
	assert_int_equal(n, 0);
	free(out);
}

/* the whole of both: no overflow at the ends */
static void test_boxes_everything(void **state)
{
	const struct box in[] = {
		{ 6, { 0, 65535 }, { 0, UINT32_MAX } },
		{ 6, { 80, 80 }, { 5, UINT32_MAX } },
	};
	struct box *out;
	size_t n;

	(void)state;
	assert_int_equal(boxes_cut(in, ARRAY_SIZE(in), &out, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(out[0].ports.to, 65535);
	assert_int_equal(out[0].addrs.to, UINT32_MAX);
	free(out);
}

static void test_print(void **state)
{
	static const struct {
		struct range r;
		const char *text;
	} cases[] = {
		{ { 0, UINT32_MAX }, "0.0.0.0/0" },
		{ { 0x0a000000, 0x0affffff }, "10.0.0.0/8" },
		{ { 0x0a000001, 0x0a000001 }, "10.0.0.1" },
		{ { 0x0a000001, 0x0a000002 }, "10.0.0.1-10.0.0.2" },
		{ { 0x0a000002, 0x0a000003 }, "10.0.0.2/31" },
		{ { 0x0a000080, 0x0a00017f }, "10.0.0.128-10.0.1.127" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_buf struct buf b = BUF_INIT;

		range_print(&cases[i].r, &b);
		assert_string_equal(buf_str(&b), cases[i].text);
	}
}

static struct prefix prefix(const char *s)
{
	struct prefix p;

	assert_int_equal(prefix_parse(s, &p, NULL), 0);
	return p;
}

static int winner(const struct lpm_route *v, size_t n, uint32_t a)
{
	struct addr addr = addr_v4(a);
	int best = -1, value = -1;

	for (size_t i = 0; i < n; i++)
		if (prefix_has(&v[i].destination, &addr) && v[i].destination.len > best) {
			best = v[i].destination.len;
			value = v[i].value;
		}
	return value;
}

static void test_longest_prefix_against_every_address(void **state)
{
	uint64_t seed = 11;

	(void)state;
	for (int round = 0; round < 1000; round++) {
		struct lpm_route v[10];
		size_t n = next(&seed, 11), n_out, used = 0;
		struct range *out;

		for (size_t i = 0; i < n; i++) {
			struct lpm_route x = { .value = (int)next(&seed, 2) };
			bool twice = false;

			x.destination.len = (uint8_t)(24 + next(&seed, 9));
			x.destination.addr =
				addr_v4(0x0a000000 + (next(&seed, 256) &
						      ~((1u << (32 - x.destination.len)) - 1)));
			for (size_t k = 0; k < used; k++)
				twice = twice || prefix_equal(&v[k].destination, &x.destination);
			if (!twice)
				v[used++] = x;
		}
		assert_int_equal(lpm_segments(v, used, 1, &out, &n_out), 0);
		for (uint32_t a = 0x0a000000; a < 0x0a000100; a++) {
			int in = 0;

			for (size_t i = 0; i < n_out; i++)
				in += out[i].from <= a && a <= out[i].to;
			assert_int_equal(in, winner(v, used, a) == 1);
		}
		free(out);
	}
}

static void test_longest_prefix_whole(void **state)
{
	const struct lpm_route v[] = {
		{ prefix("0.0.0.0/0"), 1 },
		{ prefix("10.0.0.0/16"), 0 },
		{ prefix("10.0.5.0/24"), 1 },
		{ prefix("255.255.255.255/32"), 0 },
	};
	auto_buf struct buf b = BUF_INIT;
	struct range *out;
	size_t n;

	(void)state;
	assert_int_equal(lpm_segments(v, ARRAY_SIZE(v), 1, &out, &n), 0);
	for (size_t i = 0; i < n; i++) {
		range_print(&out[i], &b);
		buf_adds(&b, " ");
	}
	assert_string_equal(buf_str(&b), "0.0.0.0-9.255.255.255 10.0.5.0/24 "
					 "10.1.0.0-255.255.255.254 ");
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boxes_against_every_point),
		cmocka_unit_test(test_boxes_join),
		cmocka_unit_test(test_boxes_everything),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_longest_prefix_against_every_address),
		cmocka_unit_test(test_longest_prefix_whole),
	};

	return cmocka_run_group_tests_name("boxes", tests, NULL, NULL);
}
