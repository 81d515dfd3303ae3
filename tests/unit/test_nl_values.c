/* SPDX-License-Identifier: MIT */
/* the words of links, addresses, routes, rules and neighbours: what is
 * understood, and that nothing half understood passes */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "lib/nl_internal.h"
#include "lib/util.h"

static void test_link(void **state)
{
	static const char val[] =
		"index 7 peer eth0 peer-ns app.1 peer-index 2 "
		"mac 02:00:00:aa:bb:0C peer-mac 02:00:00:00:00:02 mtu 9001 alias eni-1 "
		"proxy_arp 1 proxy_delay 0 peer-alias x";
	static const char *const bad[] = {
		"",
		"index 7",
		"peer eth0",
		"index 7 peer eth0 peer-ns",
		"peer eth0 peer-ns n mtu 65536",
		"peer eth0 peer-ns n index -1",
		"peer eth0 peer-ns n mac 02:00:00:00:00",
		"peer eth0 peer-ns n mac 0200:00:00:00:001",
		"peer eth0 peer-ns n proxy_arp 2",
		"peer eth0 peer-ns n proxy_delay 5",
		"peer eth0 peer-ns n colour red",
		"peer 0123456789abcdef peer-ns n",
	};
	struct nl_link l;
	size_t i;

	(void)state;
	assert_int_equal(nl_parse_link("eni-0123456789a", val, &l), 0);
	assert_string_equal(l.name, "eni-0123456789a");
	assert_string_equal(l.peer, "eth0");
	assert_string_equal(l.peer_ns, "app.1");
	assert_int_equal(l.index, 7);
	assert_int_equal(l.peer_index, 2);
	assert_int_equal(l.mtu, 9001);
	assert_int_equal(l.mac[5], 0x0c);
	assert_int_equal(l.peer_mac[5], 2);
	assert_int_equal(l.proxy_arp, 1);
	assert_true(l.proxy_delay);
	assert_string_equal(l.alias, "eni-1");
	assert_string_equal(l.peer_alias, "x");
	assert_int_equal(nl_parse_link("x", "peer eth0 peer-ns n", &l), 0);
	assert_int_equal(l.proxy_arp, -1);
	assert_false(l.proxy_delay);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(nl_parse_link("x", bad[i], &l), -EINVAL);
	assert_int_equal(nl_parse_link("0123456789abcdef", "peer eth0 peer-ns n", &l), -EINVAL);
}

static void test_link_matches(void **state)
{
	static const char want[] =
		"index 7 peer eth0 peer-ns app peer-index 2 mac 02:00:00:00:00:01 "
		"mtu 9001 alias eni-1 proxy_arp 1";

	(void)state;
	assert_true(nl_link_matches("index 7 mac 02:00:00:00:00:01 mtu 9001 alias eni-1 up 1 "
				    "peer-index 2",
				    want));
	assert_false(nl_link_matches("index 7 mac 02:00:00:00:00:01 mtu 9001 alias eni-1 up 0 "
				     "peer-index 2",
				     want));
	assert_false(nl_link_matches("index 7 mac 02:00:00:00:00:01 mtu 1500 alias eni-1 up 1 "
				     "peer-index 2",
				     want));
	assert_false(nl_link_matches("index 7 mac 02:00:00:00:00:01 mtu 9001 up 1 "
				     "peer-index 2",
				     want));
	assert_false(nl_link_matches("index 7 mac 02:00:00:00:00:01 mtu 9001 alias eni-1 up 1 "
				     "peer-index 3",
				     want));
}

static void test_addr(void **state)
{
	struct nl_addr4 a;

	(void)state;
	assert_int_equal(nl_parse_addr("eth0 10.0.1.5/24", "", &a), 0);
	assert_string_equal(a.dev, "eth0");
	assert_int_equal(ntohl(a.addr), 0x0a000105);
	assert_int_equal(a.len, 24);
	assert_int_equal(nl_parse_addr("eth0 10.0.1.5", "", &a), -EINVAL);
	assert_int_equal(nl_parse_addr("eth0 10.0.1.5/33", "", &a), -EINVAL);
	assert_int_equal(nl_parse_addr("eth0 10.0.1/24", "", &a), -EINVAL);
	assert_int_equal(nl_parse_addr("10.0.1.5/24", "", &a), -EINVAL);
	assert_int_equal(nl_parse_addr("eth0 10.0.1.5/24 more", "", &a), -EINVAL);
	assert_int_equal(nl_parse_addr("eth0 10.0.1.5/24", "label x", &a), -EINVAL);
}

static void test_route(void **state)
{
	static const struct {
		const char *key, *val;
	} bad[] = {
		{ "254 10.0.0.0/8", "" },
		{ "254", "blackhole" },
		{ "0 10.0.0.0/8", "blackhole" },
		{ "main 10.0.0.0/8", "blackhole" },
		{ "254 10.0.0.0/8", "via 10.0.0.1" },
		{ "254 10.0.0.0/8", "dev" },
		{ "254 10.0.0.0/8", "dev eth0 scope host" },
		{ "254 10.0.0.0/8", "blackhole dev eth0" },
		{ "254 10.0.0.0/8", "via 10.0.0.256 dev eth0" },
		{ "254 10.0.0.0/8", "dev eth0 offload" },
		{ "254 10.0.0.0/8 x", "dev eth0" },
		{ "254 10.0.0.0/8", "type 7" },
	};
	struct nl_route rt;
	size_t i;

	(void)state;
	assert_int_equal(nl_parse_route("101 0.0.0.0/0",
					"via 169.254.0.2 dev igw onlink src 10.0.0.2 mtu 8500",
					&rt),
			 0);
	assert_int_equal(rt.mtu, 8500);
	assert_int_equal(rt.table, 101);
	assert_int_equal(rt.len, 0);
	assert_int_equal(ntohl(rt.via), 0xa9fe0002);
	assert_int_equal(ntohl(rt.src), 0x0a000002);
	assert_string_equal(rt.dev, "igw");
	assert_true(rt.onlink);
	assert_int_equal(rt.type, RTN_UNICAST);
	assert_int_equal(nl_parse_route("254 default", "dev lo scope link", &rt), 0);
	assert_true(rt.scope_link);
	assert_int_equal(nl_parse_route("70001 10.0.0.0/16", "throw", &rt), 0);
	assert_int_equal(rt.type, RTN_THROW);
	assert_int_equal(rt.table, 70001);
	assert_int_equal(nl_parse_route("7 10.0.0.1", "blackhole", &rt), 0);
	assert_int_equal(rt.type, RTN_BLACKHOLE);
	assert_int_equal(rt.len, 32);
	assert_int_equal(nl_parse_route("7 10.0.0.1/32#2", "unreachable metric 5", &rt), 0);
	assert_int_equal(rt.metric, 5);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (nl_parse_route(bad[i].key, bad[i].val, &rt) != -EINVAL)
			fail_msg("%s: %s", bad[i].key, bad[i].val);
}

static void test_rule(void **state)
{
	static const char *const bad[] = {
		"",
		"fwmark 0x0/0xffffffff",
		"fwmark 0x0 lookup 5",
		"lookup 0",
		"lookup main",
		"lookup 5 blackhole",
		"blackhole lookup 5",
		"iif lo",
		"from 10.0.0.0/8 lookup 5",
		"fwmark 0x0/0x100000000 lookup 5",
		"fwmark /0xff lookup 5",
	};
	struct nl_rule ru;
	size_t i;

	(void)state;
	assert_int_equal(nl_parse_rule("10", "iif lo fwmark 0x0/0xffffffff lookup 50", &ru), 0);
	assert_int_equal(ru.pref, 10);
	assert_string_equal(ru.iif, "lo");
	assert_true(ru.has_mark);
	assert_int_equal(ru.mark, 0);
	assert_int_equal(ru.mask, 0xffffffff);
	assert_int_equal(ru.table, 50);
	assert_int_equal(ru.action, FR_ACT_TO_TBL);
	assert_int_equal(ru.from, 0);
	assert_int_equal(nl_parse_rule("1100", "from 10.0.2.50 lookup 10001", &ru), 0);
	assert_int_equal(ntohl(ru.from), 0x0a000232);
	assert_int_equal(ru.table, 10001);
	assert_int_equal(nl_parse_rule("1100", "from 10.0.2.0/24 lookup 1", &ru), -EINVAL);
	assert_int_equal(nl_parse_rule("30001#2", "blackhole", &ru), 0);
	assert_int_equal(ru.action, FR_ACT_BLACKHOLE);
	assert_false(ru.has_mark);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (nl_parse_rule("10", bad[i], &ru) != -EINVAL)
			fail_msg("%s", bad[i]);
	assert_int_equal(nl_parse_rule("x", "blackhole", &ru), -EINVAL);
}

static void test_neigh(void **state)
{
	struct nl_neigh n;

	(void)state;
	assert_int_equal(nl_parse_neigh("eni-1 10.0.1.5", "lladdr 02:00:00:00:00:05", &n), 0);
	assert_string_equal(n.dev, "eni-1");
	assert_int_equal(ntohl(n.addr), 0x0a000105);
	assert_int_equal(n.mac[0], 2);
	assert_int_equal(n.mac[5], 5);
	assert_int_equal(nl_parse_neigh("eni-1 10.0.1.5", "lladdr 02:00:00:00:00:0g", &n), -EINVAL);
	assert_int_equal(nl_parse_neigh("eni-1 10.0.1.5", "", &n), -EINVAL);
	assert_int_equal(nl_parse_neigh("eni-1", "lladdr 02:00:00:00:00:05", &n), -EINVAL);
	assert_int_equal(nl_parse_neigh("eni-1 10.0.1.5", "lladdr 02:00:00:00:00:05 nud x", &n),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link), cmocka_unit_test(test_link_matches),
		cmocka_unit_test(test_addr), cmocka_unit_test(test_route),
		cmocka_unit_test(test_rule), cmocka_unit_test(test_neigh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
