/* SPDX-License-Identifier: MIT */
/*
 * addr - addresses and prefixes of either family; arithmetic, text, order.
 * IPv4 addresses use the first 4 of the 16 bytes, the rest is zero.
 */
#ifndef ADDR_H
#define ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDR_TEXT_SIZE INET6_ADDRSTRLEN /* 46 */
#define PREFIX_TEXT_SIZE (INET6_ADDRSTRLEN + 4)

struct addr {
	uint8_t family; /* AF_INET, AF_INET6; 0: none */
	uint8_t b[16];	/* network order */
};
struct prefix {
	struct addr addr;
	uint8_t len; /* bits */
};

static inline bool addr_is_set(const struct addr *a)
{
	return a->family != 0;
}

int addr_parse(const char *s, struct addr *ret);		       /* 0, -EINVAL */
const char *addr_format(const struct addr *a, char *ret, size_t size); /* "-" if none */
const char *addr_str(const struct addr *a); /* one of 8 static buffers, for printf */
int addr_cmp(const struct addr *a, const struct addr *b);
bool addr_equal(const struct addr *a, const struct addr *b);
struct addr addr_v4(uint32_t host_order);
uint32_t addr_to_v4(const struct addr *a); /* host order */
/* "a" + "n"; -ERANGE past the end of the family's space */
int addr_add(const struct addr *a, uint64_t n, struct addr *ret);
bool addr_is_rfc1918(const struct addr *a);
bool addr_is_rfc6598(const struct addr *a); /* 100.64.0.0/10 */

/* "A/L" with L required; host bits are cleared, "ret_host_bits" (may be NULL)
 * tells that there were some (VPC-2); 0, -EINVAL */
int prefix_parse(const char *s, struct prefix *ret, bool *ret_host_bits);
const char *prefix_format(const struct prefix *p, char *ret, size_t size);
const char *prefix_str(const struct prefix *p);			/* one of 8 static buffers */
int prefix_cmp(const struct prefix *a, const struct prefix *b); /* address, then length */
bool prefix_equal(const struct prefix *a, const struct prefix *b);
bool prefix_has(const struct prefix *p, const struct addr *a);
bool prefix_covers(const struct prefix *wide, const struct prefix *narrow);
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);
struct addr prefix_first(const struct prefix *p);
struct addr prefix_last(const struct prefix *p);
uint64_t prefix_n_addrs(const struct prefix *p); /* saturates at 2^63 */
struct prefix prefix_host(const struct addr *a); /* /32 or /128 */

#endif
