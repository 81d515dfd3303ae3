/* SPDX-License-Identifier: MIT */
/*
 * fill - values that objects of several kinds have: references, addresses,
 * CIDRs, elastic addresses, protocols, lists of groups; and who has claimed
 * which address.
 */
#include "topology/fill.h"

#include <stdlib.h>
#include <string.h>

#include "lib/mutant.h"
#include "topology/format.h"

/* groups of one interface */
#define GROUPS_MAX 5 /* of an interface: AWS's default quota (ENI-8) */

const char *fill_vpc_title(struct fill *f, const struct vpc *v)
{
	return TEXT(f->r, "VPC %.63s", v->name);
}

const void *fill_reference(struct fill *f, const struct place *p, const struct index *names,
			   const char *what, const char *whose, const char *code)
{
	const char *name = place_str(p);
	const void *found = name ? index_find(names, name) : NULL;

	if (name && *name && !found)
		fault(f->r, FAMILY_REFERENCE, p, code, "the %s '%s' does not exist (%s has: %s)",
		      what, name, whose, index_list(f->r, names));
	return found;
}

/* ---- addresses ---- */

static bool within(const struct addr *a, const char *cidr)
{
	struct prefix p;

	return prefix_parse(cidr, &p, NULL) == 0 && prefix_has(&p, a);
}

bool fill_is_public(const struct addr *a)
{
	static const char *const others[] = { "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16",
					      "224.0.0.0/3" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (within(a, others[i]))
			return false;
	return !addr_is_rfc1918(a) && !addr_is_rfc6598(a);
}

bool fill_address_text(struct fill *f, const struct place *p, const char *s, struct addr *ret)
{
	struct addr a;

	*ret = (struct addr){ 0 };
	if (addr_parse(s, &a) < 0) {
		fault(f->r, FAMILY_CIDR, p, "InvalidParameterValue",
		      "Value (%s) is invalid. This is not a valid address. "
		      "(allowed: an IPv4 address such as 10.0.1.10)",
		      s);
		return false;
	}
	if (a.family != AF_INET) {
		refuse(f->r, p, "%s: IPv6 isn't supported", s);
		return false;
	}
	*ret = a;
	return true;
}

bool fill_address(struct fill *f, const struct place *p, struct addr *ret)
{
	const char *s = place_str(p);

	*ret = (struct addr){ 0 };
	return s && *s && fill_address_text(f, p, s, ret);
}

bool fill_cidr_text(struct fill *f, const struct place *p, const char *s, struct prefix *ret)
{
	bool host_bits = false;
	struct prefix cidr;

	*ret = (struct prefix){ 0 };
	if (prefix_parse(s, &cidr, &host_bits) < 0) {
		fault(f->r, FAMILY_CIDR, p, "InvalidParameterValue",
		      "Value (%s) for parameter cidrBlock is invalid. This is not a valid "
		      "CIDR block. (allowed: an IPv4 CIDR such as 10.0.0.0/16)",
		      s);
		return false;
	}
	if (cidr.addr.family != AF_INET) {
		refuse(f->r, p, "%s: IPv6 isn't supported", s);
		return false;
	}
	if (host_bits && !MUTANT("host-bits"))
		hint(f->r, p, "cidr-host-bits", "%s has host bits set; it is taken as %s", s,
		     prefix_str(&cidr));
	*ret = cidr;
	return true;
}

bool fill_cidr(struct fill *f, const struct place *p, struct prefix *ret)
{
	const char *s = place_str(p);

	*ret = (struct prefix){ 0 };
	return s && *s && fill_cidr_text(f, p, s, ret);
}

void fill_claim(struct fill *f, const struct place *p, const struct vpc *vpc,
		const struct addr *addr, const char *code)
{
	if (f->n_claims == f->cap_claims) {
		size_t more = f->cap_claims ? f->cap_claims * 2 : 64;
		struct claim *bigger = NEW(f->r, more, struct claim);

		if (f->n_claims)
			memcpy(bigger, f->claims, f->n_claims * sizeof(*bigger));
		f->claims = bigger;
		f->cap_claims = more;
	}
	f->claims[f->n_claims++] = (struct claim){
		.vpc = vpc, .addr = *addr, .at = place_where(f->r, p), .code = code
	};
}

struct elastic fill_elastic(struct fill *f, const struct place *p)
{
	const char *s = place_str(p);
	struct elastic e = { 0 };

	if (!s || !*s)
		return e;
	e.set = true;
	if (strcmp(s, "auto") == 0) {
		e.automatic = true;
		return e;
	}
	if (addr_parse(s, &e.addr) == 0 && e.addr.family == AF_INET6)
		refuse(f->r, p, "%s: IPv6 isn't supported", s);
	else if (!addr_is_set(&e.addr) || !fill_is_public(&e.addr))
		fault(f->r, FAMILY_CIDR, p, "InvalidParameterValue",
		      "%s can't be an elastic address (allowed: auto, or a public IPv4 address)",
		      s);
	else
		fill_claim(f, p, NULL, &e.addr, "Resource.AlreadyAssociated");
	return e;
}

bool fill_private_address(struct fill *f, const struct place *p, const struct subnet *subnet,
			  struct addr *ret)
{
	const struct prefix *cidr = subnet ? &subnet->cidr_block : NULL;
	uint32_t first, last, a;

	if (!fill_address(f, p, ret) || !cidr || !addr_is_set(&cidr->addr))
		return false;
	if (!prefix_has(cidr, ret)) {
		fault(f->r, FAMILY_CIDR, p, "InvalidParameterValue",
		      "Address %s does not fall within the subnet's address range (%s: %s)",
		      addr_str(ret), subnet->name, prefix_str(cidr));
		return false;
	}
	first = addr_to_v4(&cidr->addr);
	last = first + (uint32_t)(prefix_n_addrs(cidr) - 1);
	a = addr_to_v4(ret);
	if (a - first < 4 || a == last) {
		fault(f->r, FAMILY_CIDR, p, "InvalidParameterValue",
		      "Address %s is in subnet's reserved address range "
		      "(the first four and the last of %s)",
		      addr_str(ret), prefix_str(cidr));
		return false;
	}
	fill_claim(f, p, subnet->vpc, ret, "InvalidIPAddress.InUse");
	return true;
}

/* ---- protocols and groups ---- */

/* PROTOCOL_UNREADABLE for what the shape pass has refused */
int fill_protocol(const struct place *rule)
{
	static const struct {
		const char *word;
		int number;
	} words[] = {
		{ "tcp", IPPROTO_TCP },	      { "udp", IPPROTO_UDP }, { "icmp", IPPROTO_ICMP },
		{ "icmpv6", IPPROTO_ICMPV6 }, { "all", -1 },	      { "-1", -1 },
	};
	struct place p = place_member(rule, "protocol");
	const char *s = place_str(&p);
	double v;

	if (place_num(&p, &v))
		return v >= -1 && v <= 255 ? (int)v : PROTOCOL_UNREADABLE;
	if (!s || !format_protocol.match(s))
		return PROTOCOL_UNREADABLE;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].word, s) == 0)
			return words[i].number;
	return (int)strtol(s, NULL, 10);
}

void fill_groups(struct fill *f, const struct place *list, const struct vpc *v,
		 const struct security_group ***ret, size_t *ret_n)
{
	const struct index *names = &fill_names(f, v)->security_groups;
	const struct security_group **groups, *g;
	size_t n = 0;

	if (!cJSON_IsArray(list->item)) {
		groups = NEW(f->r, 1, const struct security_group *);
		groups[n++] = index_find(names, "default");
		*ret = groups;
		*ret_n = n;
		return;
	}
	if (place_n_children(list) > GROUPS_MAX)
		fault(f->r, FAMILY_RANGE, list, "SecurityGroupsPerInterfaceLimitExceeded",
		      "%zu security groups of an interface (allowed: %d)", place_n_children(list),
		      GROUPS_MAX);
	groups = NEW(f->r, place_n_children(list), const struct security_group *);
	PLACE_EACH(p, list) {
		size_t i;

		g = fill_reference(f, &p, names, "security group", fill_vpc_title(f, v),
				   "InvalidGroup.NotFound");
		for (i = 0; g && i < n && groups[i] != g; i++)
			;
		if (g && i < n)
			fault(f->r, FAMILY_DUPLICATE, &p, "InvalidParameterValue",
			      "the group %s is named twice", g->name);
		else if (g)
			groups[n++] = g;
		if (n >= GROUPS_MAX) /* a fault already */
			break;
	}
	*ret = groups;
	*ret_n = n;
}
