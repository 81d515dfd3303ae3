/* SPDX-License-Identifier: MIT */
/* Tests of what flow logs are made of, without a kernel: netd/flow_batch.c, flow_table.c and
 * flow_line.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "netd/flow_batch.h"
#include "netd/flow_line.h"
#include "netd/flow_table.h"

/* ---- flow_batch ---- */

static void a_batch_knows_what_it_was_told(void **state)
{
	struct flow_batch b = { .v = NULL };
	uint8_t key[FLOW_BATCH_KEY_MAX + 1] = { 0 };
	uint32_t i;

	(void)state;
	for (i = 0; i < 5000; i++) {
		memcpy(key, &i, sizeof(i));
		assert_int_equal(flow_batch_add(&b, key, 40, i, i + 1, 2 * i), 1);
	}
	/* of whatever size its table was when it came */
	for (i = 0; i < 5000; i++) {
		memcpy(key, &i, sizeof(i));
		assert_int_equal(flow_batch_add(&b, key, 40, 0, 9, 9), 0);
		assert_int_equal(b.v[i].packets, i + 1);
		assert_int_equal(b.v[i].bytes, 2 * i);
		assert_int_equal(b.v[i].left_ms, i);
	}
	/* a shorter key that begins alike is another */
	assert_int_equal(flow_batch_add(&b, key, 16, 0, 1, 1), 1);
	assert_int_equal(flow_batch_add(&b, key, sizeof(key), 0, 1, 1), -EINVAL);
	assert_int_equal(b.n, 5001);
	flow_batch_done(&b);
	assert_int_equal(b.n, 0);
	assert_int_equal(flow_batch_add(&b, key, 40, 0, 1, 1), 1);
	flow_batch_done(&b);
}

static void a_batch_has_a_limit(void **state)
{
	struct flow_batch b = { .v = NULL };
	uint32_t i;

	(void)state;
	for (i = 0; i < FLOW_BATCH_MAX; i++)
		assert_int_equal(flow_batch_add(&b, &i, sizeof(i), 0, 1, 1), 1);
	assert_int_equal(flow_batch_add(&b, &i, sizeof(i), 0, 1, 1), -ENOSPC);
	i = 0;
	assert_int_equal(flow_batch_add(&b, &i, sizeof(i), 0, 1, 1), 0);
	flow_batch_done(&b);
}

/* ---- flow_table ---- */

/* an element's key as the kernel has it: flags, kind, link, addresses, protocol, ports */
static void key_make(uint8_t k[40], uint8_t flags, uint32_t kind, uint8_t proto)
{
	static const uint8_t rest[] = { 10, 0, 2, 20, 10, 0, 1, 20 };

	memset(k, 0, 40);
	k[0] = flags;
	memcpy(k + 4, &kind, sizeof(kind));
	memcpy(k + 8, "eni-0123456789a", 15);
	memcpy(k + 24, rest, sizeof(rest));
	k[32] = proto;
	k[36] = 0x9c, k[37] = 0x40, k[39] = 80;
}

static void a_key_is_taken_apart(void **state)
{
	struct flow_count c;
	uint8_t k[40];
	char link[16];

	(void)state;
	key_make(k, 0x02, FLOW_KIND_OUT_IGW_REJECT, IPPROTO_TCP);
	assert_int_equal(flow_key_parse(k, sizeof(k), &c, link), 0);
	assert_string_equal(link, "eni-0123456789a");
	assert_int_equal(c.kind, FLOW_KIND_OUT_IGW_REJECT);
	assert_int_equal(c.saddr, 0x0a000214);
	assert_int_equal(c.daddr, 0x0a000114);
	assert_int_equal(c.proto, IPPROTO_TCP);
	assert_int_equal(c.sport, 40000);
	assert_int_equal(c.dport, 80);
	assert_int_equal(flow_key_parse(k, 39, &c, link), -EINVAL);
	assert_int_equal(flow_key_parse(k, 16, &c, link), -EINVAL);
}

/* ids: FL-8; kind: state; mutant: flow-flags-shown */
static void flags_are_those_of_beginning_and_end(void **state)
{
	static const uint8_t pairs[][2] = { { 0x02, 2 }, { 0x12, 18 }, { 0x10, 0 },
					    { 0x18, 0 }, { 0x11, 1 },  { 0x14, 4 },
					    { 0x19, 1 }, { 0xc2, 2 },  { 0x03, 3 } };
	struct flow_count c;
	uint8_t k[40];
	char link[16];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		key_make(k, pairs[i][0], FLOW_KIND_IN, IPPROTO_TCP);
		assert_int_equal(flow_key_parse(k, sizeof(k), &c, link), 0);
		assert_int_equal(c.tcp_flags, pairs[i][1]);
	}
}

/* ids: FL-13; kind: state; mutant: flow-icmp-ports */
static void only_tcp_and_udp_have_ports(void **state)
{
	static const uint8_t with[] = { IPPROTO_TCP, IPPROTO_UDP };
	static const uint8_t without[] = { IPPROTO_ICMP, IPPROTO_GRE, IPPROTO_SCTP, 0, 255 };
	struct flow_count c;
	uint8_t k[40];
	char link[16];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(with); i++) {
		key_make(k, 0, FLOW_KIND_IN, with[i]);
		assert_int_equal(flow_key_parse(k, sizeof(k), &c, link), 0);
		assert_int_equal(c.dport, 80);
	}
	for (i = 0; i < sizeof(without); i++) {
		key_make(k, 0, FLOW_KIND_IN, without[i]);
		assert_int_equal(flow_key_parse(k, sizeof(k), &c, link), 0);
		assert_int_equal(c.sport, 0);
		assert_int_equal(c.dport, 0);
	}
}

static const struct flow_eni one = { .link = "eni-1",
				     .id = "eni-0a",
				     .vpc = "vpc-0a",
				     .subnet = "subnet-0a",
				     .az_id = "use1-az1",
				     .primary = 0x0a000214 };
static const struct flow_eni two = { .link = "eni-2", .id = "eni-0b", .primary = 0x0a000114 };

static struct flow_count flow(const struct flow_eni *eni, enum flow_kind kind, uint16_t sport)
{
	return (struct flow_count){ .eni = eni,
				    .kind = kind,
				    .saddr = 0x0a000214,
				    .daddr = 0x0a000114,
				    .sport = sport,
				    .dport = 80,
				    .proto = IPPROTO_TCP,
				    .tcp_flags = 2,
				    .packets = 1,
				    .bytes = 40,
				    .first_ms = 1000,
				    .last_ms = 2000 };
}

/* ids: FL-4, FL-8; kind: state; mutant: flow-merge */
static void elements_of_a_flow_are_a_record(void **state)
{
	struct flow_table t = { .v = NULL };
	struct flow_count c = flow(&one, FLOW_KIND_OUT_VPC, 1);

	(void)state;
	flow_table_add(&t, &c);
	c.tcp_flags = 1;
	c.packets = 7;
	c.bytes = 700;
	c.last_ms = 1500;	    /* earlier than what is known */
	c.kind = FLOW_KIND_OUT_IGW; /* the same direction, another way */
	flow_table_add(&t, &c);
	assert_int_equal(t.n, 1);
	assert_int_equal(t.v[0].tcp_flags, 3);
	assert_int_equal(t.v[0].packets, 8);
	assert_int_equal(t.v[0].bytes, 740);
	assert_int_equal(t.v[0].first_ms, 1000);
	assert_int_equal(t.v[0].last_ms, 2000);
	/* the verdict, the direction, the interface and the ports tell flows apart */
	c = flow(&one, FLOW_KIND_OUT_VPC_REJECT, 1);
	flow_table_add(&t, &c);
	c = flow(&one, FLOW_KIND_IN, 1);
	flow_table_add(&t, &c);
	c = flow(&two, FLOW_KIND_OUT_VPC, 1);
	flow_table_add(&t, &c);
	c = flow(&one, FLOW_KIND_OUT_VPC, 2);
	flow_table_add(&t, &c);
	assert_int_equal(t.n, 5);
	assert_true(flow_table_seen(&t, &one)->data);
	assert_false(flow_table_seen(&t, &one)->skipped);
	flow_table_done(&t);
	assert_null(flow_table_seen(&t, &one));
}

/* ids: FL-10; kind: state; mutant: flow-records-max */
static void a_full_table_skips(void **state)
{
	struct flow_table t = { .v = NULL };
	struct flow_count c = flow(&one, FLOW_KIND_IN, 0);
	uint32_t i;

	(void)state;
	for (i = 0; i < FLOW_RECORDS_MAX; i++) {
		c.saddr = i;
		flow_table_add(&t, &c);
	}
	assert_int_equal(t.n, FLOW_RECORDS_MAX);
	assert_false(flow_table_seen(&t, &one)->skipped);
	flow_table_add(&t, &c); /* one that is known still fits */
	assert_int_equal(t.v[i - 1].packets, 2);
	assert_false(flow_table_seen(&t, &one)->skipped);
	c.saddr = i;
	flow_table_add(&t, &c);
	assert_int_equal(t.n, FLOW_RECORDS_MAX);
	assert_true(flow_table_seen(&t, &one)->skipped);
	assert_null(flow_table_seen(&t, &two));
	flow_table_skip(&t, &two);
	assert_true(flow_table_seen(&t, &two)->skipped);
	assert_false(flow_table_seen(&t, &two)->data);
	flow_table_done(&t);
}

/* ---- flow_line ---- */

static const enum flow_field version_2[] = {
	FLOW_VERSION, FLOW_ACCOUNT_ID, FLOW_INTERFACE_ID, FLOW_SRCADDR,	   FLOW_DSTADDR,
	FLOW_SRCPORT, FLOW_DSTPORT,    FLOW_PROTOCOL,	  FLOW_PACKETS,	   FLOW_BYTES,
	FLOW_START,   FLOW_END,	       FLOW_ACTION,	  FLOW_LOG_STATUS,
};

static void check_line(const enum flow_field *fields, size_t n, const struct flow_count *c,
		       const char *status, const char *want)
{
	struct flow_format format = { .n_fields = n, .version = 2 };
	struct flow_line l = { .format = &format,
			       .region = "us-east-1",
			       .eni = &one,
			       .count = c,
			       .status = status,
			       .start_ms = 1700000000999,
			       .end_ms = 1700000059001 };
	auto_buf struct buf b = BUF_INIT;

	memcpy(format.fields, fields, n * sizeof(*fields));
	flow_line_print(&l, &b);
	assert_string_equal(buf_str(&b), want);
}

/* ids: FL-2; kind: state; mutant: flow-account */
static void a_line_of_version_2(void **state)
{
	struct flow_count c = flow(&one, FLOW_KIND_OUT_VPC, 40000);
	const size_t n = sizeof(version_2) / sizeof(version_2[0]);

	(void)state;
	check_line(version_2, n, &c, "OK",
		   "2 123456789012 eni-0a 10.0.2.20 10.0.1.20 40000 80 6 1 40 1700000000 "
		   "1700000059 ACCEPT OK");
	c.kind = FLOW_KIND_OUT_VPC_REJECT;
	c.packets = UINT64_MAX;
	check_line(version_2, n, &c, "OK",
		   "2 123456789012 eni-0a 10.0.2.20 10.0.1.20 40000 80 6 18446744073709551615 40 "
		   "1700000000 1700000059 REJECT OK");
	check_line(version_2, n, NULL, "NODATA",
		   "2 123456789012 eni-0a - - - - - - - 1700000000 1700000059 - NODATA");
}

/* ids: FL-6, FL-9; kind: state; mutant: flow-primary */
static void its_own_side_shows_the_primary_address(void **state)
{
	static const enum flow_field f[] = { FLOW_SRCADDR,	  FLOW_DSTADDR,
					     FLOW_PKT_SRCADDR,	  FLOW_PKT_DSTADDR,
					     FLOW_FLOW_DIRECTION, FLOW_TRAFFIC_PATH,
					     FLOW_INSTANCE_ID,	  FLOW_AZ_ID };
	struct flow_count c = flow(&one, FLOW_KIND_OUT_IGW, 1);
	const size_t n = sizeof(f) / sizeof(f[0]);

	(void)state;
	c.saddr = 0x0a0002fe; /* its second one */
	check_line(f, n, &c, "OK", "10.0.2.20 10.0.1.20 10.0.2.254 10.0.1.20 egress 8 - use1-az1");
	c.kind = FLOW_KIND_OUT_PEERING;
	check_line(f, n, &c, "OK", "10.0.2.20 10.0.1.20 10.0.2.254 10.0.1.20 egress 4 - use1-az1");
	c.kind = FLOW_KIND_OUT_LOST;
	check_line(f, n, &c, "OK", "10.0.2.20 10.0.1.20 10.0.2.254 10.0.1.20 egress - - use1-az1");
	/* what passes through, and what is for it */
	c.kind = FLOW_KIND_IN;
	check_line(f, n, &c, "OK",
		   "10.0.2.254 10.0.2.20 10.0.2.254 10.0.1.20 ingress - - use1-az1");
}

static void zones_have_ids(void **state)
{
	static const char *const v[][3] = {
		{ "us-east-1", "us-east-1b", "use1-az2" },
		{ "ap-southeast-2", "ap-southeast-2a", "apse2-az1" },
		{ "us-gov-west-1", "us-gov-west-1c", "usgw1-az3" },
		{ "eu-central-1", "eu-central-1f", "euc1-az6" },
	};
	char id[32];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		flow_az_id(v[i][0], v[i][1], id, sizeof(id));
		assert_string_equal(id, v[i][2]);
	}
	flow_az_id("x", "", id, 4); /* too little room: cut, never more */
	assert_true(strlen(id) < 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_knows_what_it_was_told),
		cmocka_unit_test(a_batch_has_a_limit),
		cmocka_unit_test(a_key_is_taken_apart),
		cmocka_unit_test(flags_are_those_of_beginning_and_end),
		cmocka_unit_test(only_tcp_and_udp_have_ports),
		cmocka_unit_test(elements_of_a_flow_are_a_record),
		cmocka_unit_test(a_full_table_skips),
		cmocka_unit_test(a_line_of_version_2),
		cmocka_unit_test(its_own_side_shows_the_primary_address),
		cmocka_unit_test(zones_have_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
