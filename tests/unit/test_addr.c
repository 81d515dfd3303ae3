/* SPDX-License-Identifier: MIT */
/*
 * test_addr - lib/addr.c: text, order and arithmetic of both families.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "lib/addr.h"
#include "lib/util.h"

static struct addr A(const char *s) {
	struct addr a;

	assert_int_equal(addr_parse(s, &a), 0);
	return a;
}

static struct prefix
P(const char *s) {
	struct prefix p;

	assert_int_equal(prefix_parse(s, &p, NULL), 0);
	return p;
}

static void
test_text(void **state)
{
	static const char *const good[] = { "0.0.0.0", "10.0.0.1", "255.255.255.255",
					    "::",      "fd00::1",  "2001:db8::ffff:1" };
	static const char *const bad[] = { "",		"10.0.0",    "10.0.0.256", "10.0.0.01",
					   " 10.0.0.1", "10.0.0.1 ", "10.0.0.1/8", "0x0a000001",
					   "fd00:::1",	"a",	     "10.0.0.1\n" };
	struct addr a = { .family = 77 }, none = { 0 };
	char text[ADDR_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		a = A(good[i]);
		assert_string_equal(addr_str(&a), good[i]);
	}
	a.family = 77;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(addr_parse(bad[i], &a), -EINVAL);
	assert_int_equal(a.family, 77); /* untouched on failure */
	assert_string_equal(addr_format(&none, text, sizeof(text)), "-");
	assert_false(addr_is_set(&none));
}

static void test_str_ring(void **state)
{
	struct addr one = A("10.0.0.1"), two = A("10.0.0.2");
	const char *a = addr_str(&one), *b = addr_str(&two);

	(void)state;
	assert_string_equal(a, "10.0.0.1");
	assert_string_equal(b, "10.0.0.2");
}

static void test_order(void **state)
{
	struct addr a = A("10.0.0.2"), b = A("10.0.0.10"), c = A("9.255.255.255"), six = A("::");

	(void)state;
	assert_true(addr_cmp(&a, &b) < 0);
	assert_true(addr_cmp(&b, &c) > 0);
	assert_true(addr_cmp(&a, &six) < 0);
	assert_true(addr_equal(&a, &a));
	assert_false(addr_equal(&a, &b));
}

static void test_add(void **state)
{
	struct addr a, r = { 0 };

	(void)state;
	a = A("10.0.0.255");
	assert_int_equal(addr_add(&a, 1, &r), 0);
	assert_string_equal(addr_str(&r), "10.0.1.0");
	a = A("0.0.0.0");
	assert_int_equal(addr_add(&a, 0xffffffff, &r), 0);
	assert_string_equal(addr_str(&r), "255.255.255.255");
	assert_int_equal(addr_add(&a, 0x100000000, &r), -ERANGE);
	assert_int_equal(addr_add(&r, 1, &r), -ERANGE);
	assert_string_equal(addr_str(&r), "255.255.255.255");
	a = A("::ffff:ffff:ffff:ffff");
	assert_int_equal(addr_add(&a, 1, &r), 0);
	assert_string_equal(addr_str(&r), "0:0:0:1::");
	a = A("fd00::ff");
	assert_int_equal(addr_add(&a, 0, &r), 0);
	assert_true(addr_equal(&a, &r));
}

static void test_v4(void **state)
{
	struct addr a = addr_v4(0xc0000201);

	(void)state;
	assert_string_equal(addr_str(&a), "192.0.2.1");
	assert_int_equal(addr_to_v4(&a), 0xc0000201);
}

static void test_private(void **state)
{
	static const struct {
		const char *s;
		bool rfc1918, rfc6598;
	} cases[] = {
		{ "9.255.255.255", false, false },  { "10.0.0.0", true, false },
		{ "10.255.255.255", true, false },  { "11.0.0.0", false, false },
		{ "172.15.255.255", false, false }, { "172.16.0.0", true, false },
		{ "172.31.255.255", true, false },  { "172.32.0.0", false, false },
		{ "192.168.0.0", true, false },	    { "192.169.0.0", false, false },
		{ "100.63.255.255", false, false }, { "100.64.0.0", false, true },
		{ "100.127.255.255", false, true }, { "100.128.0.0", false, false },
		{ "a00::", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct addr a = A(cases[i].s);

		assert_int_equal(addr_is_rfc1918(&a), cases[i].rfc1918);
		assert_int_equal(addr_is_rfc6598(&a), cases[i].rfc6598);
	}
}

static void test_prefix_text(void **state)
{
	static const struct {
		const char *in, *out;
		bool host_bits;
	} good[] = {
		{ "10.0.0.0/16", "10.0.0.0/16", false },
		{ "10.0.1.7/16", "10.0.0.0/16", true },
		{ "10.0.0.128/25", "10.0.0.128/25", false },
		{ "10.0.0.129/25", "10.0.0.128/25", true },
		{ "0.0.0.0/0", "0.0.0.0/0", false },
		{ "1.2.3.4/0", "0.0.0.0/0", true },
		{ "1.2.3.4/32", "1.2.3.4/32", false },
		{ "fd00:1:2:3::4/64", "fd00:1:2:3::/64", true },
		{ "::/0", "::/0", false },
	};
	static const char *const bad[] = { "10.0.0.0",		 "10.0.0.0/",	"10.0.0.0/33",
					   "10.0.0.0/-1",	 "10.0.0.0/08", "10.0.0.0/8 ",
					   "10.0.0.0/8/8",	 "/8",		"10.0.0/8",
					   "fd00::/129",	 "10.0.0.0/+8", "10.0.0.0/00",
					   "10.0.0.0/4294967304" };
	struct prefix p;
	bool host_bits;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(prefix_parse(good[i].in, &p, &host_bits), 0);
		assert_string_equal(prefix_str(&p), good[i].out);
		assert_int_equal(host_bits, good[i].host_bits);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(prefix_parse(bad[i], &p, NULL), -EINVAL);
}

static void test_prefix_sets(void **state)
{
	struct prefix all = P("0.0.0.0/0"), wide = P("10.0.0.0/16"), in = P("10.0.255.0/24"),
		      next = P("10.1.0.0/16"), six = P("::/0"), host = P("10.0.0.1/32");
	struct addr last = A("10.0.255.255"), out = A("10.1.0.0"), a6 = A("fd00::1");

	(void)state;
	assert_true(prefix_has(&wide, &last));
	assert_false(prefix_has(&wide, &out));
	assert_true(prefix_has(&all, &out));
	assert_false(prefix_has(&all, &a6));
	assert_true(prefix_has(&six, &a6));
	assert_true(prefix_covers(&wide, &in));
	assert_true(prefix_covers(&wide, &wide));
	assert_false(prefix_covers(&in, &wide));
	assert_true(prefix_overlaps(&in, &wide));
	assert_true(prefix_overlaps(&wide, &in));
	assert_false(prefix_overlaps(&wide, &next));
	assert_false(prefix_overlaps(&all, &six));
	assert_true(prefix_covers(&wide, &host));
	assert_true(prefix_cmp(&wide, &in) < 0);
	assert_true(prefix_cmp(&all, &wide) < 0);
	assert_true(prefix_equal(&wide, &wide));
}

static void test_prefix_range(void **state)
{
	struct prefix p = P("10.0.0.128/25"), all4 = P("0.0.0.0/0"), six = P("fd00::/64"),
		      wide6 = P("::/0"), host;
	struct addr a;

	(void)state;
	a = prefix_first(&p);
	assert_string_equal(addr_str(&a), "10.0.0.128");
	a = prefix_last(&p);
	assert_string_equal(addr_str(&a), "10.0.0.255");
	assert_int_equal(prefix_n_addrs(&p), 128);
	assert_int_equal(prefix_n_addrs(&all4), 0x100000000);
	a = prefix_last(&six);
	assert_string_equal(addr_str(&a), "fd00::ffff:ffff:ffff:ffff");
	assert_true(prefix_n_addrs(&six) == (uint64_t)1 << 63);
	assert_true(prefix_n_addrs(&wide6) == (uint64_t)1 << 63);
	host = prefix_host(&a);
	assert_int_equal(host.len, 128);
	assert_int_equal(prefix_n_addrs(&host), 1);
	a = A("10.0.0.1");
	host = prefix_host(&a);
	assert_string_equal(prefix_str(&host), "10.0.0.1/32");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),	     cmocka_unit_test(test_str_ring),
		cmocka_unit_test(test_order),	     cmocka_unit_test(test_add),
		cmocka_unit_test(test_v4),	     cmocka_unit_test(test_private),
		cmocka_unit_test(test_prefix_text),  cmocka_unit_test(test_prefix_sets),
		cmocka_unit_test(test_prefix_range),
	};

	return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
