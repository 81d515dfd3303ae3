/* SPDX-License-Identifier: MIT */
/* the grammar of lib/nft.h: bytecode of each form that matters, and that a rule
 * with a word too many, too few or out of place is refused with the place */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/nft_internal.h"
#include "lib/util.h"

static struct program all;

static int setup(void **state)
{
	static const struct {
		const char *key, *val;
	} sets[] = {
		{ "ip vpc eni_mark", "type ifname : mark;" },
		{ "ip vpc src_ok", "type ifname . ipv4_addr;" },
		{ "ip vpc out", "type mark : verdict;" },
		{ "ip vpc eip", "type ipv4_addr : ipv4_addr;" },
		{ "ip vpc sg", "type ipv4_addr . inet_proto . inet_service; flags interval;" },
		{ "ip vpc drops", "type mark . ifname; flags dynamic; size 64;" },
		{ "ip vpc notes", "type mark . ifname . ipv4_addr . ipv4_addr . inet_proto . mark; "
				  "flags dynamic,timeout;" },
		{ "ip vpc plain", "type ipv4_addr;" },
		{ "ip vpc macs", "type ether_addr . ifname;" },
		{ "arp a own", "type ifname . ipv4_addr;" },
	};
	struct err e;
	size_t i;

	(void)state;
	program_init(&all);
	for (i = 0; i < ARRAY_SIZE(sets); i++)
		program_add(&all, "x", ITEM_SET, sets[i].key, sets[i].val);
	return program_seal(&all, &e);
}

static int teardown(void **state)
{
	(void)state;
	program_done(&all);
	return 0;
}

/* what libnftnl prints has trailing blanks, and ours are the lines */
static void explains(const char *table, const char *rule, const char *want)
{
	auto_buf struct buf b = BUF_INIT;
	struct err e = { 0 };

	if (nft_explain_rule(rule, &all, "x", table, &b, &e))
		fail_msg("%s", e.msg);
	assert_string_equal(buf_str(&b), want);
}

static void test_bytecode(void **state)
{
	(void)state;
	explains("ip vpc", "meta mark & 0xffff0000 vmap @out",
		 "[ meta load mark => reg 8 ]\n"
		 "[ bitwise reg 8 = ( reg 8 & 0xffff0000 ) ^ 0x00000000 ]\n"
		 "[ lookup reg 8 set out dreg 0 ]\n");
	explains("ip vpc", "iifname . ip saddr != @src_ok drop",
		 "[ meta load iifname => reg 8 ]\n"
		 "[ payload load 4b @ network header + 12 => reg 12 ]\n"
		 "[ lookup reg 8 set src_ok 0x1 ]\n"
		 "[ immediate reg 0 drop ]\n");
	explains("ip vpc", "meta mark set iifname map @eni_mark",
		 "[ meta load iifname => reg 8 ]\n"
		 "[ lookup reg 8 set eni_mark dreg 8 ]\n"
		 "[ meta set mark with reg 8 ]\n");
	explains("ip vpc", "meta mark set mark & 0xffff00ff | 0xfe00",
		 "[ meta load mark => reg 8 ]\n"
		 "[ bitwise reg 8 = ( reg 8 & 0xffff00ff ) ^ 0x0000fe00 ]\n"
		 "[ meta set mark with reg 8 ]\n");
	explains("ip vpc", "meta mark set numgen inc mod 3 offset 65536",
		 "[ numgen reg 8 = inc mod 3 offset 65536 ]\n"
		 "[ meta set mark with reg 8 ]\n");
	explains("ip vpc", "ip saddr . meta l4proto . th dport @sg accept",
		 "[ payload load 4b @ network header + 12 => reg 8 ]\n"
		 "[ meta load l4proto => reg 9 ]\n"
		 "[ payload load 2b @ transport header + 2 => reg 10 ]\n"
		 "[ lookup reg 8 set sg ]\n"
		 "[ immediate reg 0 accept ]\n");
	explains("ip vpc", "iifname \"eni-*\" goto c",
		 "[ meta load iifname => reg 8 ]\n"
		 "[ cmp eq reg 8 0x2d696e65 ]\n"
		 "[ immediate reg 0 goto -> c ]\n");
	explains("ip vpc", "ct original packets > 2 accept",
		 "[ ct load packets => reg 8 , dir original ]\n"
		 "[ byteorder reg 8 = hton(reg 8, 8, 8) ]\n"
		 "[ cmp gt reg 8 0x00000000 0x02000000 ]\n"
		 "[ immediate reg 0 accept ]\n");
	explains("ip vpc", "ether saddr . iifname != @macs drop",
		 "[ meta load iiftype => reg 8 ]\n"
		 "[ cmp eq reg 8 0x00000001 ]\n"
		 "[ payload load 6b @ link header + 6 => reg 8 ]\n"
		 "[ meta load iifname => reg 10 ]\n"
		 "[ lookup reg 8 set macs 0x1 ]\n"
		 "[ immediate reg 0 drop ]\n");
	explains("arp a", "arp operation request iifname . arp saddr ip @own accept",
		 "[ payload load 2b @ network header + 6 => reg 8 ]\n"
		 "[ cmp eq reg 8 0x00000100 ]\n"
		 "[ meta load iifname => reg 8 ]\n"
		 "[ payload load 4b @ network header + 14 => reg 12 ]\n"
		 "[ lookup reg 8 set own ]\n"
		 "[ immediate reg 0 accept ]\n");
}

/* what lies behind the IP header is read only of packets that have it */
static void test_protocol_first(void **state)
{
	(void)state;
	explains("ip vpc", "tcp dport 443 accept",
		 "[ meta load l4proto => reg 8 ]\n"
		 "[ cmp eq reg 8 0x00000006 ]\n"
		 "[ payload load 2b @ transport header + 2 => reg 8 ]\n"
		 "[ cmp eq reg 8 0x0000bb01 ]\n"
		 "[ immediate reg 0 accept ]\n");
	explains("ip vpc", "icmp type 3 icmp code 4 accept",
		 "[ meta load l4proto => reg 8 ]\n"
		 "[ cmp eq reg 8 0x00000001 ]\n"
		 "[ payload load 1b @ transport header + 0 => reg 8 ]\n"
		 "[ cmp eq reg 8 0x00000003 ]\n"
		 "[ payload load 1b @ transport header + 1 => reg 8 ]\n"
		 "[ cmp eq reg 8 0x00000004 ]\n"
		 "[ immediate reg 0 accept ]\n");
	/* once is enough */
	explains("ip vpc", "meta l4proto tcp reject with tcp reset",
		 "[ meta load l4proto => reg 8 ]\n"
		 "[ cmp eq reg 8 0x00000006 ]\n"
		 "[ reject type 1 code 0 ]\n");
	explains("ip vpc", "meta l4proto tcp tcp option maxseg size set 8460",
		 "[ meta load l4proto => reg 8 ]\n"
		 "[ cmp eq reg 8 0x00000006 ]\n"
		 "[ immediate reg 8 0x00000c21 ]\n"
		 "[ exthdr write tcpopt reg 8 => 2b @ 2 + 2 ]\n");
}

static void test_actions(void **state)
{
	(void)state;
	explains("ip vpc", "snat to 10.0.0.5:1024-65535",
		 "[ immediate reg 8 0x0500000a ]\n"
		 "[ immediate reg 9 0x00000004 ]\n"
		 "[ immediate reg 10 0x0000ffff ]\n"
		 "[ nat snat ip addr_min reg 8 proto_min reg 9 proto_max reg 10 flags 0x2 ]\n");
	explains("ip vpc", "dnat to ip daddr map @eip",
		 "[ payload load 4b @ network header + 16 => reg 8 ]\n"
		 "[ lookup reg 8 set eip dreg 8 ]\n"
		 "[ nat dnat ip addr_min reg 8 ]\n");
	explains("ip vpc", "ct zone set 1",
		 "[ immediate reg 8 0x00000001 ]\n"
		 "[ ct set zone with reg 8 ]\n");
	explains("ip vpc", "update @drops { 0x3 . iifname counter }",
		 "[ immediate reg 8 0x00000003 ]\n"
		 "[ meta load iifname => reg 9 ]\n"
		 "[ dynset update reg_key 8 set drops expr [ counter pkts 0 bytes 0 ] ]\n");
	explains("ip vpc", "ip saddr set 10.0.0.1",
		 "[ immediate reg 8 0x0100000a ]\n"
		 "[ payload write reg 8 => 4b @ network header + 12 csum_type 1 csum_off 10 "
		 "csum_flags 0x1 ]\n");
	explains("ip vpc", "meta nftrace set 1",
		 "[ immediate reg 8 0x00000001 ]\n"
		 "[ meta set nftrace with reg 8 ]\n");
	explains("ip vpc", "fib daddr . mark oif missing drop",
		 "[ fib daddr . mark oif present => reg 8 ]\n"
		 "[ cmp eq reg 8 0x00000000 ]\n"
		 "[ immediate reg 0 drop ]\n");
}

static void test_refused(void **state)
{
	static const struct {
		const char *table, *rule, *named;
	} bad[] = {
		{ "ip vpc", "", "" },
		{ "ip vpc", "colour red", "colour" },
		{ "ip vpc", "ip saddr", "ip saddr" },
		{ "ip vpc", "ip saddr accept", "accept" },
		{ "ip vpc", "ip saddr 10.0.0.256 drop", "10.0.0.256" },
		{ "ip vpc", "ip saddr 10.0.0.1/8 drop", "10.0.0.1/8" },
		{ "ip vpc", "ip saddr 10.0.0.9-10.0.0.1 drop", "10.0.0.9-10.0.0.1" },
		{ "ip vpc", "ip saddr @nosuch drop", "no such set" },
		{ "ip vpc", "iifname @plain drop", "other types" },
		{ "ip vpc", "iifname . ip saddr @plain drop", "number of fields" },
		{ "ip vpc", "ip saddr @eip drop", "a map" },
		{ "ip vpc", "meta mark vmap @eni_mark", "types" },
		{ "ip vpc", "iifname vmap @eni_mark", "verdicts" },
		{ "ip vpc", "meta mark set ip saddr map @eip", "type of data" },
		{ "ip vpc", "meta mark set mark & 0xff | x", "not a mark" },
		{ "ip vpc", "meta mark set numgen inc mod 0 offset 1", "not a series" },
		{ "ip vpc", "meta mark set numgen random mod 2 offset 1", "not a series" },
		{ "ip vpc", "meta mark set numgen inc mod 2", "not a series" },
		{ "ip vpc", "add @plain { ip saddr }", "dynamic" },
		{ "ip vpc", "update @drops { 0x3 . iifname counter", "counter" },
		{ "ip vpc", "update @drops { 0x3 . iifname colour }", "colour" },
		{ "ip vpc", "ip saddr { 10.0.0.1, } drop", "}" },
		{ "ip vpc", "ip saddr { 10.0.0.1 drop", "drop" },
		{ "ip vpc", "iifname . ip saddr 10.0.0.1 drop", "several fields" },
		{ "ip vpc", "meta mark 1-5 drop", "1-5" },
		{ "ip vpc", "th dport 65536 drop", "65536" },
		{ "ip vpc", "iifname \"0123456789abcdef\" drop", "0123456789abcdef" },
		{ "ip vpc", "jump", "jump" },
		{ "ip vpc", "accept now", "now" },
		{ "ip vpc", "snat to 10.0.0.1:70000", "70000" },
		{ "ip vpc", "snat 10.0.0.1", "10.0.0.1" },
		{ "ip vpc", "reject", "reject" },
		{ "ip vpc", "limit rate over x/second drop", "x/second" },
		{ "ip vpc", "ct state shiny accept", "shiny" },
		{ "ip vpc", "ct state != new,related drop", "flags" },
		{ "ip vpc", "tcp dport 1 udp dport 2 drop", "udp" },
		{ "ip vpc", "drop comment \"open", "" },
		{ "ip vpc", "arp saddr ip 10.0.0.1 drop", "arp" },
		{ "arp a", "ip saddr 10.0.0.1 drop", "ip" },
		{ "ip vpc", "ct count over drop", "drop" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_buf struct buf b = BUF_INIT;
		struct err e = { 0 };

		if (nft_explain_rule(bad[i].rule, &all, "x", bad[i].table, &b, &e) != -EINVAL)
			fail_msg("taken: %s", bad[i].rule);
		if (!strstr(e.msg, bad[i].named))
			fail_msg("\"%s\" isn't in: %s", bad[i].named, e.msg);
	}
}

/* every beginning of a rule is refused or is a rule, and none reads past its end */
static void test_beginnings(void **state)
{
	static const char rule[] =
		"ct state invalid tcp flags & (syn|ack) == syn ip daddr { 10.0.0.1, "
		"10.0.0.0/8 } update @notes { 0x3 . iifname . ip saddr . ip daddr . meta l4proto . "
		"th "
		"ports timeout 30s } limit rate over 5/second burst 7 packets counter snat to "
		"10.0.0.1:1-2 fully-random comment \"a b\"";
	size_t n;

	(void)state;
	for (n = 0; n <= sizeof(rule) - 1; n++) {
		auto_buf struct buf b = BUF_INIT;
		auto_free char *part = strndup(rule, n);
		struct err e = { 0 };
		int r = nft_explain_rule(part, &all, "x", "ip vpc", &b, &e);

		assert_true(r == 0 || r == -EINVAL);
	}
}

static void test_sets(void **state)
{
	static const char *const bad[] = {
		"",
		"type ;",
		"type ipv4_addr . ;",
		"type shoe;",
		"type ipv4_addr : ;",
		"type ipv4_addr : verdict . mark;",
		"type ipv4_addr; flags shiny;",
		"type ipv4_addr; size x;",
		"type ipv4_addr; timeout 5;",
		"flags interval;",
		"type ipv4_addr; flags interval,dynamic;",
		"type ifname . ifname . ifname . ifname . mark;", /* 68 bytes */
		"type integer;",
	};
	struct nft_spec sp;
	size_t i;

	(void)state;
	assert_int_equal(nft_spec_parse("type ifname . ipv4_addr : mark; flags dynamic,timeout; "
					"size 10; timeout 30s; counter;",
					&sp),
			 0);
	assert_int_equal(sp.n_fields, 2);
	assert_int_equal(sp.key_size, 20);
	assert_int_equal(sp.data->id, T_MARK);
	assert_true(sp.dynamic && sp.timeout && sp.counter && !sp.interval);
	assert_int_equal(sp.size, 10);
	assert_int_equal(sp.timeout_ms, 30000);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (nft_spec_parse(bad[i], &sp) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytecode),   cmocka_unit_test(test_protocol_first),
		cmocka_unit_test(test_actions),	   cmocka_unit_test(test_refused),
		cmocka_unit_test(test_beginnings), cmocka_unit_test(test_sets),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
