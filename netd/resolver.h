/* SPDX-License-Identifier: MIT */
/*
 * resolver - what a VPC's resolver knows, and how it answers a DNS message.
 *
 * Pure: bytes in, bytes out, no socket and no clock, which is what tests/fuzz
 * drives.  The responder owns the sockets (responder.c) and hands each query
 * here with the view that its socket belongs to.
 *
 * It answers as a recursive resolver that forwards nothing: A, CNAME and PTR of
 * the names it holds; every other type of a name that exists has no data; every
 * other name doesn't exist.
 */
#ifndef RESOLVER_H
#define RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESOLVER_UDP_SIZE 512	   /* bytes; what a client without EDNS takes */
#define RESOLVER_EDNS_SIZE 1232	   /* bytes; never more by datagram, so nothing fragments */
#define RESOLVER_MESSAGE_MAX 65535 /* bytes; by stream */
#define RESOLVER_QUERY_MAX 4096	   /* bytes; no honest query is longer */
#define RESOLVER_NAMES_MAX 200000  /* of a zone, with the names above them */
#define RESOLVER_TTL 60		   /* s */

struct zone;

/*
 * zone_parse() - a view from its JSON text: {NAME:{"a":[ADDRESS],"cname":NAME,
 * "ptr":NAME}}, names without the final dot.  NULL: malformed, too many names or
 * out of memory.  The caller owns it: zone_free().
 */
struct zone *zone_parse(const char *text, size_t size);
struct zone *zone_free(struct zone *z);

/*
 * resolver_answer() - writes the answer to "query" into "ret" ("room" bytes, at
 * least RESOLVER_UDP_SIZE).  "z" NULL: SERVFAIL.  "stream": asked over TCP, so
 * the answer may fill the room; by datagram it is cut to what the client takes,
 * and says so.  Returns its size; 0: deserves no answer (an answer itself, or
 * shorter than a header).
 */
size_t resolver_answer(const struct zone *z, const uint8_t *query, size_t size, bool stream,
		       uint8_t *ret, size_t room);

#endif
