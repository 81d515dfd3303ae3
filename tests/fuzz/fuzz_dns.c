/* SPDX-License-Identifier: MIT */
/*
 * fuzz_dns - netd/resolver.c with any bytes as a query, by datagram and by
 * stream: the answer fits, repeats the id, is an answer, and can be parsed.
 */
#include <arpa/nameser.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "netd/resolver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] = "{\"api.example.com\":{\"a\":[\"198.51.100.10\",\"198.51.100.11\"]},"
			   "\"www.example.com\":{\"cname\":\"api.example.com\"},"
			   "\"loop.a\":{\"cname\":\"loop.b\"},\"loop.b\":{\"cname\":\"loop.a\"},"
			   "\"out.a\":{\"cname\":\"nowhere.example.net\"},"
			   "\"10.1.0.10.in-addr.arpa\":{\"ptr\":\"ip-10-0-1-10.ec2.internal\"}}";

static void check(const uint8_t *query, size_t size, bool stream)
{
	static struct zone *zone;
	static uint8_t ret[RESOLVER_MESSAGE_MAX];
	ns_msg msg;
	size_t n;

	if (!zone)
		zone = zone_parse(text, strlen(text));
	if (!zone)
		abort();
	n = resolver_answer(zone, query, size, stream, ret, sizeof(ret));
	if (n == 0)
		return;
	if (n < NS_HFIXEDSZ || (!stream && n > RESOLVER_EDNS_SIZE))
		abort();
	if (memcmp(ret, query, 2) != 0 || !(ret[2] & 0x80))
		abort();
	if (ns_initparse(ret, (int)n, &msg) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > RESOLVER_QUERY_MAX)
		return 0;
	check(data, size, false);
	check(data, size, true);
	return 0;
}
