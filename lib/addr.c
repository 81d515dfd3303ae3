/* SPDX-License-Identifier: MIT */
/*
 * addr - arithmetic on addresses as byte strings, so that both families are one code.
 */
#include "lib/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/fmt.h"
#include "lib/util.h"

static size_t bytes_of(const struct addr *a)
{
	return a->family == AF_INET6 ? 16 : 4;
}

int addr_parse(const char *s, struct addr *ret)
{
	struct addr a = { 0 };

	a.family = strchr(s, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(a.family, s, a.b) != 1)
		return -EINVAL;
	*ret = a;
	return 0;
}

const char *addr_format(const struct addr *a, char *ret, size_t size)
{
	int n = (int)size;

	if (a->family == AF_INET)
		n = fmt_print(ret, size, "%u.%u.%u.%u", a->b[0], a->b[1], a->b[2], a->b[3]);
	else if (addr_is_set(a) && inet_ntop(a->family, a->b, ret, (socklen_t)size))
		return ret;
	if ((size_t)n >= size)
		fmt_print(ret, size, "-");
	return ret;
}

const char *addr_str(const struct addr *a)
{
	static char ring[8][ADDR_TEXT_SIZE];
	static unsigned next;

	return addr_format(a, ring[next++ % 8], ADDR_TEXT_SIZE);
}

int addr_cmp(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, 16);
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return addr_cmp(a, b) == 0;
}

struct addr addr_v4(uint32_t host_order)
{
	struct addr a = { .family = AF_INET };
	uint32_t n = htonl(host_order);

	memcpy(a.b, &n, 4);
	return a;
}

uint32_t addr_to_v4(const struct addr *a)
{
	uint32_t n;

	memcpy(&n, a->b, 4);
	return ntohl(n);
}

int addr_add(const struct addr *a, uint64_t n, struct addr *ret)
{
	struct addr r = *a;

	for (size_t i = bytes_of(a); i-- > 0 && n;) {
		n += r.b[i];
		r.b[i] = (uint8_t)n;
		n >>= 8;
	}
	if (n)
		return -ERANGE;
	*ret = r;
	return 0;
}

static bool in_v4(const struct addr *a, uint32_t net, unsigned len)
{
	return a->family == AF_INET && (addr_to_v4(a) ^ net) >> (32 - len) == 0;
}

bool addr_is_rfc1918(const struct addr *a)
{
	return in_v4(a, 0x0a000000, 8) || in_v4(a, 0xac100000, 12) || in_v4(a, 0xc0a80000, 16);
}

bool addr_is_rfc6598(const struct addr *a)
{
	return in_v4(a, 0x64400000, 10);
}

/* byte "i" of the mask of "len" bits */
static uint8_t mask_byte(unsigned len, size_t i)
{
	if (len >= 8 * (i + 1))
		return 0xff;
	if (len <= 8 * i)
		return 0;
	return (uint8_t)(0xff00 >> (len - 8 * i));
}

int prefix_parse(const char *s, struct prefix *ret, bool *ret_host_bits)
{
	char text[ADDR_TEXT_SIZE];
	const char *slash = strchr(s, '/');
	struct prefix p = { 0 };
	bool host_bits = false;
	uint64_t len;

	if (!slash || (size_t)(slash - s) >= sizeof(text))
		return -EINVAL;
	memcpy(text, s, (size_t)(slash - s));
	text[slash - s] = 0;
	if (addr_parse(text, &p.addr) < 0)
		return -EINVAL;
	if ((slash[1] == '0' && slash[2]) ||
	    parse_u64(slash + 1, 0, 8 * bytes_of(&p.addr), &len) < 0)
		return -EINVAL;
	p.len = (uint8_t)len;
	for (size_t i = 0; i < bytes_of(&p.addr); i++) {
		uint8_t m = mask_byte(p.len, i);

		if (p.addr.b[i] & (uint8_t)~m)
			host_bits = true;
		p.addr.b[i] &= m;
	}
	*ret = p;
	if (ret_host_bits)
		*ret_host_bits = host_bits;
	return 0;
}

const char *prefix_format(const struct prefix *p, char *ret, size_t size)
{
	char text[ADDR_TEXT_SIZE];

	if (!addr_is_set(&p->addr))
		fmt_print(ret, size, "-");
	else
		fmt_print(ret, size, "%s/%u", addr_format(&p->addr, text, sizeof(text)), p->len);
	return ret;
}

const char *prefix_str(const struct prefix *p)
{
	static char ring[8][PREFIX_TEXT_SIZE];
	static unsigned next;

	return prefix_format(p, ring[next++ % 8], PREFIX_TEXT_SIZE);
}

int prefix_cmp(const struct prefix *a, const struct prefix *b)
{
	int r = addr_cmp(&a->addr, &b->addr);

	return r ? r : (int)a->len - (int)b->len;
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return prefix_cmp(a, b) == 0;
}

bool prefix_has(const struct prefix *p, const struct addr *a)
{
	if (p->addr.family != a->family)
		return false;
	for (size_t i = 0; i < bytes_of(a); i++)
		if ((p->addr.b[i] ^ a->b[i]) & mask_byte(p->len, i))
			return false;
	return true;
}

bool prefix_covers(const struct prefix *wide, const struct prefix *narrow)
{
	return wide->len <= narrow->len && prefix_has(wide, &narrow->addr);
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return prefix_covers(a, b) || prefix_covers(b, a);
}

struct addr prefix_first(const struct prefix *p)
{
	return p->addr;
}

struct addr prefix_last(const struct prefix *p)
{
	struct addr a = p->addr;

	for (size_t i = 0; i < bytes_of(&a); i++)
		a.b[i] |= (uint8_t)~mask_byte(p->len, i);
	return a;
}

uint64_t prefix_n_addrs(const struct prefix *p)
{
	unsigned bits = (unsigned)(8 * bytes_of(&p->addr)) - p->len;

	return (uint64_t)1 << (bits > 63 ? 63 : bits);
}

struct prefix prefix_host(const struct addr *a)
{
	return (struct prefix){ *a, (uint8_t)(8 * bytes_of(a)) };
}
