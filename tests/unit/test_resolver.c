/* SPDX-License-Identifier: MIT */
/*
 * test_resolver - DNS answers from a zone, and heads of HTTP requests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/nameser.h>
#include <stdio.h>
#include <string.h>

#include "lib/util.h"
#include "netd/resolver.h"
#include "netd/responder.h"

static const char text[] = "{\"api.example.com\":{\"a\":[\"198.51.100.10\",\"198.51.100.11\"]},"
			   "\"www.example.com\":{\"cname\":\"api.example.com\"},"
			   "\"loop.a\":{\"cname\":\"loop.b\"},\"loop.b\":{\"cname\":\"loop.a\"},"
			   "\"out.a\":{\"cname\":\"nowhere.example.net\"},"
			   "\"10.1.0.10.in-addr.arpa\":{\"ptr\":\"ip-10-0-1-10.ec2.internal\"}}";

static size_t query(uint8_t *q, const char *name, unsigned type, unsigned flags, bool edns)
{
	size_t n = NS_HFIXEDSZ;

	memset(q, 0, NS_HFIXEDSZ);
	ns_put16(77, q);
	ns_put16(flags, q + 2);
	ns_put16(1, q + 4);
	ns_put16(edns, q + 10);
	while (*name) {
		size_t len = strcspn(name, ".");

		q[n++] = (uint8_t)len;
		memcpy(q + n, name, len);
		n += len;
		name += len + (name[len] == '.');
	}
	q[n++] = 0;
	ns_put16(type, q + n);
	ns_put16(ns_c_in, q + n + 2);
	n += 4;
	if (edns) {
		memset(q + n, 0, 11);
		ns_put16(ns_t_opt, q + n + 1);
		ns_put16(4096, q + n + 3);
		n += 11;
	}
	return n;
}

/* ids: DNS-9; kind: state; mutant: dns-recursion */
static void test_answers(void **state)
{
	static const struct {
		const char *name;
		unsigned type, flags;
		int rcode, answers;
	} cases[] = {
		{ "api.example.com", ns_t_a, 0x100, ns_r_noerror, 2 },
		{ "API.Example.COM", ns_t_a, 0x100, ns_r_noerror, 2 },
		{ "api.example.com", ns_t_aaaa, 0x100, ns_r_noerror, 0 },
		{ "www.example.com", ns_t_a, 0x100, ns_r_noerror, 3 },
		{ "www.example.com", ns_t_cname, 0x100, ns_r_noerror, 1 },
		{ "out.a", ns_t_a, 0x100, ns_r_nxdomain, 1 },
		{ "loop.a", ns_t_a, 0x100, ns_r_servfail, 0 },
		{ "example.com", ns_t_a, 0x100, ns_r_noerror, 0 },
		{ "nothing.example.com", ns_t_a, 0x100, ns_r_nxdomain, 0 },
		{ "10.1.0.10.in-addr.arpa", ns_t_ptr, 0x100, ns_r_noerror, 1 },
		{ "api.example.com", ns_t_a, 0, ns_r_refused, 0 }, /* DNS-9 */
		{ "api.example.com", ns_t_a, 0x2900, ns_r_notimpl, 0 },
	};
	struct zone *z = zone_parse(text, strlen(text));
	uint8_t q[512], a[RESOLVER_MESSAGE_MAX];
	size_t i;

	(void)state;
	assert_non_null(z);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = query(q, cases[i].name, cases[i].type, cases[i].flags, false);
		ns_msg m;

		n = resolver_answer(z, q, n, false, a, sizeof(a));
		assert_int_equal(ns_initparse(a, (int)n, &m), 0);
		assert_int_equal(ns_msg_id(m), 77);
		assert_int_equal(ns_msg_getflag(m, ns_f_rcode), cases[i].rcode);
		assert_int_equal(ns_msg_count(m, ns_s_an), cases[i].answers);
	}
	zone_free(z);
}

static void test_large_answers_are_cut_by_datagram_only(void **state)
{
	char big[20000] = "{\"many.x\":{\"a\":[";
	uint8_t q[512], a[RESOLVER_MESSAGE_MAX];
	struct zone *z;
	size_t len, n;
	ns_msg m;
	int i;

	(void)state;
	len = strlen(big);
	for (i = 0; i < 600; i++)
		len += (size_t)snprintf(big + len, sizeof(big) - len, "%s\"10.0.%d.%d\"",
					i ? "," : "", i / 250, i % 250);
	(void)snprintf(big + len, sizeof(big) - len, "]}}");
	z = zone_parse(big, strlen(big));
	assert_non_null(z);
	n = query(q, "many.x", ns_t_a, 0x100, true);
	len = resolver_answer(z, q, n, false, a, sizeof(a));
	assert_true(len > 0 && len <= RESOLVER_EDNS_SIZE);
	assert_int_equal(ns_initparse(a, (int)len, &m), 0);
	assert_int_equal(ns_msg_getflag(m, ns_f_tc), 1);
	assert_int_equal(ns_msg_count(m, ns_s_an), 0);
	len = resolver_answer(z, q, n, true, a, sizeof(a));
	assert_int_equal(ns_initparse(a, (int)len, &m), 0);
	assert_int_equal(ns_msg_getflag(m, ns_f_tc), 0);
	assert_int_equal(ns_msg_count(m, ns_s_an), 600);
	assert_int_equal(ns_msg_count(m, ns_s_ar), 1);
	zone_free(z);
}

static void test_what_deserves_no_answer(void **state)
{
	uint8_t q[512], a[RESOLVER_UDP_SIZE];
	size_t n = query(q, "api.example.com", ns_t_a, 0x8100, false);

	(void)state;
	assert_int_equal(resolver_answer(NULL, q, n, false, a, sizeof(a)), 0);
	assert_int_equal(resolver_answer(NULL, q, 5, false, a, sizeof(a)), 0);
	n = query(q, "api.example.com", ns_t_a, 0x100, false);
	n = resolver_answer(NULL, q, n, false, a, sizeof(a));
	assert_int_equal(a[3] & 15, ns_r_servfail);
	assert_null(zone_parse("[]", 2));
	assert_null(zone_parse("{\"x\":{\"a\":[\"10.0.0\"]}}", 22));
}

static void test_heads(void **state)
{
	static const struct {
		const char *head;
		int status;
		bool close, body, no_answer_body;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200, false, false, false },
		{ "GET / HTTP/1.0\r\n\r\n", 200, true, false, false },
		{ "HEAD / HTTP/1.1\r\n\r\n", 200, false, false, true },
		{ "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 200, true, false, false },
		{ "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 200, false, false, false },
		{ "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n", 200, true, true, false },
		{ "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 200, true, true, false },
		{ "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, false, false, false },
		{ "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400, false,
		  false, false },
		{ "GET / HTTP/2.0\r\n\r\n", 505, false, false, false },
		{ "GET /\r\n\r\n", 400, false, false, false },
		{ "GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, false, false, false },
		{ "\r\n\r\n", 400, false, false, false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_head h = { false, false, false };

		assert_int_equal(http_head_parse(cases[i].head, strlen(cases[i].head), &h),
				 cases[i].status);
		assert_int_equal(h.close, cases[i].close);
		assert_int_equal(h.body, cases[i].body);
		assert_int_equal(h.no_answer_body, cases[i].no_answer_body);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_large_answers_are_cut_by_datagram_only),
		cmocka_unit_test(test_what_deserves_no_answer),
		cmocka_unit_test(test_heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
