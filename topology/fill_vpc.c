/* SPDX-License-Identifier: MIT */
/*
 * fill_vpc - VPCs and what is plain in them: CIDRs (VPC-1, 2, 6, 8), subnets,
 * NAT gateways and the private zone.  Routes, groups, ACLs, nodes and flow logs
 * have files of their own.
 */
#include <string.h>

#include "lib/mutant.h"
#include "topology/fill.h"
#include "topology/format.h"

#define CIDRS_MAX 5	 /* of a VPC: AWS's default quota (VPC-3) */
#define PEERINGS_MAX 125 /* active ones of a VPC, with AWS's raised quota (PCX-5) */
#define NATS_MAX 5	 /* NAT gateways of a zone (NAT-22) */

/* ---- CIDRs of a VPC ---- */

static bool in_block(const struct prefix *p, const char *block)
{
	struct prefix b;

	return prefix_parse(block, &b, NULL) == 0 && prefix_covers(&b, p);
}

static bool overlaps_block(const struct prefix *p, const char *block)
{
	struct prefix b;

	return prefix_parse(block, &b, NULL) == 0 && prefix_overlaps(&b, p);
}

/* VPC-1, and what no VPC can ever have; false (and a fault) if it can't be one's */
static bool vpc_cidr_fits(struct fill *f, const struct place *p, const struct prefix *c)
{
	static const char *const never[] = { "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16",
					     "224.0.0.0/3" };

	if (c->len < 16 || c->len > 28) {
		fault(f->r, FAMILY_CIDR, p, "InvalidVpc.Range",
		      "The CIDR '%s' is invalid. (allowed: a block size between a /16 and a /28)",
		      prefix_str(c));
		return false;
	}
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (overlaps_block(c, never[i])) {
			fault(f->r, FAMILY_CIDR, p, "InvalidVpc.Range",
			      "The CIDR '%s' is invalid. (it lies in %s, which is never a VPC's)",
			      prefix_str(c), never[i]);
			return false;
		}
	return true;
}

/* which of RFC 1918's blocks; 0: none */
static int private_block(const struct prefix *p)
{
	if (in_block(p, "10.0.0.0/8"))
		return 1;
	if (in_block(p, "172.16.0.0/12"))
		return 2;
	return in_block(p, "192.168.0.0/16") ? 3 : 0;
}

/* VPC-6: why "b" can't join a VPC that has "a"; NULL if it can */
static const char *restriction(const struct prefix *a, const struct prefix *b)
{
	int block_a = private_block(a), block_b = private_block(b);

	if (block_a && block_b && block_a != block_b)
		return "blocks of two different RFC 1918 ranges don't mix";
	if ((block_a && in_block(b, "198.19.0.0/16")) || (block_b && in_block(a, "198.19.0.0/16")))
		return "198.19.0.0/16 doesn't mix with RFC 1918 ranges";
	if (in_block(a, "10.0.0.0/15") && in_block(b, "10.0.0.0/16"))
		return "nothing of 10.0.0.0/16 joins a VPC in 10.0.0.0/15";
	if (block_a == 2 && in_block(b, "172.31.0.0/16"))
		return "172.31.0.0/16 doesn't join a VPC in 172.16.0.0/12";
	return NULL;
}

/* may "c" stand beside "other" in one VPC? */
static bool secondary_fits(struct fill *f, const struct place *p, const struct prefix *other,
			   const struct prefix *c)
{
	const char *why;

	if (!addr_is_set(&other->addr))
		return true;
	if (prefix_overlaps(other, c)) {
		fault(f->r, FAMILY_OVERLAP, p, "InvalidVpc.Range",
		      "The CIDR '%s' conflicts with the VPC's %s", prefix_str(c),
		      prefix_str(other));
		return false;
	}
	why = restriction(other, c);
	if (why)
		fault(f->r, FAMILY_CIDR, p, "InvalidVpc.Range",
		      "The CIDR '%s' is restricted: the VPC has %s, and %s", prefix_str(c),
		      prefix_str(other), why);
	return !why;
}

static void fill_secondary_cidrs(struct fill *f, const struct place *vpc, struct vpc *v)
{
	struct place list = place_member(vpc, "secondary_cidr_blocks");
	size_t n = 0, most = 49; /* the shape's limit; more is its fault */

	if (!cJSON_IsArray(list.item))
		return;
	/* VPC-3 */
	if (place_n_children(&list) >= CIDRS_MAX)
		fault(f->r, FAMILY_RANGE, &list, "CidrLimitExceeded",
		      "%zu blocks with the primary one (allowed in a VPC: %d)",
		      place_n_children(&list) + 1, CIDRS_MAX);
	v->secondary_cidr_blocks = NEW(f->r, most, struct prefix);
	PLACE_EACH(p, &list) {
		struct prefix c;
		bool fits;

		if (n == most)
			break;
		if (!fill_cidr(f, &p, &c) || !vpc_cidr_fits(f, &p, &c))
			continue;
		fits = secondary_fits(f, &p, &v->cidr_block, &c);
		for (size_t i = 0; fits && i < n; i++)
			fits = secondary_fits(f, &p, &v->secondary_cidr_blocks[i], &c);
		v->secondary_cidr_blocks[n++] = c;
	}
	v->n_secondary_cidr_blocks = n;
}

/* ---- subnets ---- */

static bool inside_vpc(const struct vpc *v, const struct prefix *c)
{
	const struct prefix *block;

	for (size_t i = 0; (block = vpc_cidr(v, i)); i++)
		if (prefix_covers(block, c))
			return true;
	return false;
}

/* VPC-8 */
static void subnet_cidr(struct fill *f, const struct place *p, const struct vpc *v,
			struct subnet *s)
{
	struct prefix c;

	if (!fill_cidr(f, p, &c))
		return;
	if (c.len < 16 || c.len > 28) {
		fault(f->r, FAMILY_CIDR, p, "InvalidSubnet.Range",
		      "The CIDR '%s' is invalid. (allowed: a block size between a /16 and a /28)",
		      prefix_str(&c));
		return;
	}
	s->cidr_block = c;
	if (!addr_is_set(&v->cidr_block.addr))
		return;
	if (!inside_vpc(v, &c)) {
		fault(f->r, FAMILY_CIDR, p, "InvalidSubnet.Range", "%s is outside the VPC's %s",
		      prefix_str(&c), prefix_str(&v->cidr_block));
		return;
	}
	for (const struct subnet *o = v->subnets; o < s; o++)
		if (addr_is_set(&o->cidr_block.addr) && prefix_overlaps(&o->cidr_block, &c)) {
			fault(f->r, FAMILY_OVERLAP, p, "InvalidSubnet.Conflict",
			      "The CIDR '%s' conflicts with another subnet (%s: %s)",
			      prefix_str(&c), o->name, prefix_str(&o->cidr_block));
			return;
		}
}

static void availability_zone(struct fill *f, const struct place *subnet, struct subnet *s)
{
	const char *region = f->lab->region, *zone = read_str(subnet, "availability_zone");
	struct place p = place_member(subnet, "availability_zone");
	size_t len = strlen(region);

	s->availability_zone = zone && *zone ? zone : TEXT(f->r, "%sa", region);
	if (!zone || !*zone)
		return;
	if (strncmp(zone, region, len) != 0 || zone[len] < 'a' || zone[len] > 'z' || zone[len + 1])
		fault(f->r, FAMILY_NAME, &p, "InvalidParameterValue",
		      "Value (%s) for parameter availabilityZone is invalid. "
		      "(allowed: %sa to %sz)",
		      zone, region, region);
}

static void fill_subnet(struct fill *f, const struct place *p, struct vpc *v, struct subnet *s)
{
	const struct vpc_names *names = fill_names(f, v);
	const char *whose = fill_vpc_title(f, v);
	struct place cidr = place_member(p, "cidr_block");
	struct place table = place_member(p, "route_table"), acl = place_member(p, "network_acl");

	s->vpc = v;
	subnet_cidr(f, &cidr, v, s);
	availability_zone(f, p, s);
	s->route_table = fill_reference(f, &table, &names->route_tables, "route table", whose,
					"InvalidRouteTableID.NotFound");
	s->explicit_route_table = s->route_table != NULL;
	if (!s->route_table)
		s->route_table = v->main_route_table;
	s->network_acl = fill_reference(f, &acl, &names->network_acls, "network ACL", whose,
					"InvalidNetworkAclID.NotFound");
	if (!s->network_acl)
		s->network_acl = index_find(&names->network_acls, "default");
	s->map_public_ip_on_launch = read_bool(p, "map_public_ip_on_launch");
}

/* the marks of the data plane have eight bits for each */
static void limit(struct fill *f, const struct place *vpc, const char *key, size_t n)
{
	struct place p = place_member(vpc, key);

	if (n > LAB_SUBNETS_MAX)
		refuse(f->r, &p, "%zu %s: this build supports at most %d in a VPC", n, key,
		       LAB_SUBNETS_MAX);
}

static void fill_subnets(struct fill *f, const struct place *vpc, struct vpc *v)
{
	struct place map = place_member(vpc, "subnets");
	size_t i = 0;

	limit(f, vpc, "subnets", v->n_subnets);
	if (v->n_subnets > LAB_SUBNETS_MAX * 4) /* refused; don't compare a million pairs */
		return;
	PLACE_EACH(p, &map)
		if (i < v->n_subnets)
			fill_subnet(f, &p, v, &v->subnets[i++]);
}

/* ---- NAT gateways ---- */

static void nat_elastic(struct fill *f, const struct place *p, struct nat_gateway *g)
{
	struct place one = place_member(p, "elastic_ip");
	struct place more = place_member(p, "secondary_elastic_ips");

	if (g->private_connectivity) {
		if (one.item || place_n_children(&more))
			fault(f->r, FAMILY_REFERENCE, one.item ? &one : &more,
			      "InvalidParameterCombination",
			      "a private NAT gateway has no elastic address "
			      "(allowed: connectivity_type public)");
		return;
	}
	g->elastic_ip = one.item ? fill_elastic(f, &one) :
				   (struct elastic){ .set = true, .automatic = true };
	g->secondary_elastic_ips = NEW(f->r, place_n_children(&more), struct elastic);
	PLACE_EACH(e, &more)
		g->secondary_elastic_ips[g->n_secondary_elastic_ips++] = fill_elastic(f, &e);
}

static void fill_nat_gateway(struct fill *f, const struct place *p, struct vpc *v,
			     struct nat_gateway *g)
{
	struct place subnet = place_member(p, "subnet"), ip = place_member(p, "private_ip");
	const char *type = read_str(p, "connectivity_type");

	g->vpc = v;
	g->subnet = fill_reference(f, &subnet, &fill_names(f, v)->subnets, "subnet",
				   fill_vpc_title(f, v), "InvalidSubnetID.NotFound");
	g->private_connectivity = strcmp(type, "private") == 0;
	nat_elastic(f, p, g);
	(void)fill_private_address(f, &ip, g->subnet, &g->private_ip); /* unset: automatic */
	g->max_connections_per_destination =
		(unsigned)read_num(p, "max_connections_per_destination");
	g->idle_timeout = read_num(p, "idle_timeout");
}

static void fill_nat_gateways(struct fill *f, const struct place *vpc, struct vpc *v)
{
	struct place map = place_member(vpc, "nat_gateways");
	size_t i = 0;

	PLACE_EACH(p, &map)
		if (i < v->n_nat_gateways)
			fill_nat_gateway(f, &p, v, &v->nat_gateways[i++]);
}

/* ---- private zone ---- */

static void fill_private_zone(struct fill *f, const struct place *vpc, struct vpc *v)
{
	struct place map = place_member(vpc, "private_zone");

	if (!cJSON_IsObject(map.item))
		return;
	if (!v->enable_dns_support || !v->enable_dns_hostnames)
		hint(f->r, &map, "private-zone-without-dns",
		     "its names don't resolve: enable_dns_support and enable_dns_hostnames aren't "
		     "both true (DNS-3)");
	v->private_zone = NEW(f->r, place_n_children(&map), struct private_record);
	PLACE_EACH(p, &map) {
		struct private_record *rec = &v->private_zone[v->n_private_zone];
		const char *s = place_str(&p);

		if (!s || !*s)
			continue;
		rec->name = p.key;
		if (strncmp(s, "CNAME:", 6) == 0) {
			rec->cname = s + 6;
			if (!format_dns.match(rec->cname))
				fault(f->r, FAMILY_NAME, &p, "InvalidParameterValue",
				      "\"%s\" has the wrong form (allowed: %s)", rec->cname,
				      format_dns.title);
		} else if (!fill_address(f, &p, &rec->addr)) {
			continue;
		}
		v->n_private_zone++;
	}
}

/* ---- the whole ---- */

static void fill_gateway(struct fill *f, const struct place *vpc, struct vpc *v)
{
	struct place p = place_member(vpc, "internet_gateway");
	struct place table;

	if (!cJSON_IsObject(p.item)) {
		v->internet_gateway = cJSON_IsTrue(p.item);
		return;
	}
	v->internet_gateway = true;
	table = place_member(&p, "route_table");
	v->edge_route_table =
		fill_reference(f, &table, &fill_names(f, v)->route_tables, "route table",
			       fill_vpc_title(f, v), "InvalidRouteTableID.NotFound");
}

static void fill_main_route_table(struct fill *f, const struct place *vpc, struct vpc *v)
{
	struct place p = place_member(vpc, "main_route_table");

	v->main_route_table = fill_reference(f, &p, &fill_names(f, v)->route_tables, "route table",
					     fill_vpc_title(f, v), "InvalidRouteTableID.NotFound");
	/* the implicit one is last, and there unless the file names one */
	if (!v->main_route_table && v->n_route_tables)
		v->main_route_table = &v->route_tables[v->n_route_tables - 1];
	else if (v->main_route_table && v->main_route_table == v->edge_route_table)
		fault(f->r, FAMILY_REFERENCE, &p, "InvalidParameterValue",
		      "%s is the internet gateway's (allowed: another table, or none)",
		      v->edge_route_table->name);
}

static void fill_vpc(struct fill *f, const struct place *p, struct vpc *v)
{
	struct place cidr = place_member(p, "cidr_block");

	if (fill_cidr(f, &cidr, &v->cidr_block) && !vpc_cidr_fits(f, &cidr, &v->cidr_block))
		v->cidr_block = (struct prefix){ 0 };
	fill_secondary_cidrs(f, p, v);
	fill_gateway(f, p, v);
	v->enable_dns_support = read_bool(p, "enable_dns_support");
	v->enable_dns_hostnames = read_bool(p, "enable_dns_hostnames");
	fill_main_route_table(f, p, v);
	fill_network_acls(f, p, v);
	fill_subnets(f, p, v);
	fill_security_groups(f, p, v);
	fill_nat_gateways(f, p, v);
	fill_instances(f, p, v);
	fill_network_interfaces(f, p, v);
	limit(f, p, "route_tables", fill_names(f, v)->route_tables.n);
	fill_route_tables(f, p, v);
	fill_private_zone(f, p, v);
	fill_flow_logs(f, p, v);
}

static const char *zone_of(const struct nat_gateway *g)
{
	return g->subnet && g->subnet->availability_zone ? g->subnet->availability_zone : "";
}

/* how many NAT gateways stand in the zone of "g" before it */
static size_t zone_before(const struct fill *f, const struct nat_gateway *g)
{
	const char *zone = zone_of(g);
	size_t n = 0;

	for (size_t i = 0; *zone && i < f->lab->n_vpcs; i++)
		for (size_t k = 0; k < f->lab->vpcs[i].n_nat_gateways; k++) {
			if (&f->lab->vpcs[i].nat_gateways[k] == g)
				return n;
			n += strcmp(zone_of(&f->lab->vpcs[i].nat_gateways[k]), zone) == 0;
		}
	return n;
}

/* NAT-22: the lab is an account, and so has a zone's NAT gateways in all its VPCs.  The
 * first one too many of a zone is told */
static void zones_nats(struct fill *f, const struct place *vpcs)
{
	size_t i = 0;

	if (MUTANT("nat-zone"))
		return;
	PLACE_EACH(vpc, vpcs) {
		struct place map = place_member(&vpc, "nat_gateways");
		const struct vpc *v = &f->lab->vpcs[i];
		size_t k = 0;

		if (i++ == f->lab->n_vpcs)
			break;
		PLACE_EACH(p, &map) {
			if (k == v->n_nat_gateways)
				break;
			if (zone_before(f, &v->nat_gateways[k]) == NATS_MAX)
				fault(f->r, FAMILY_RANGE, &p, "NatGatewayLimitExceeded",
				      "Performing this operation would exceed the limit of %d NAT "
				      "gateways (of zone %s)",
				      NATS_MAX, zone_of(&v->nat_gateways[k]));
			k++;
		}
	}
}

void fill_vpcs(struct fill *f, const struct place *top)
{
	struct place map = place_member(top, "vpcs");
	size_t i = 0;

	PLACE_EACH(p, &map)
		if (i < f->lab->n_vpcs)
			fill_vpc(f, &p, &f->lab->vpcs[i++]);
	zones_nats(f, &map);
}

/* ---- peerings ---- */

void fill_peerings(struct fill *f, const struct place *top)
{
	struct place map = place_member(top, "peerings");
	size_t i = 0;

	PLACE_EACH(p, &map) {
		struct place requester = place_member(&p, "requester");
		struct place accepter = place_member(&p, "accepter");
		struct peering *g;

		if (i == f->lab->n_peerings)
			break;
		g = &f->lab->peerings[i++];
		g->requester = fill_reference(f, &requester, &f->vpcs, "VPC", "the lab",
					      "InvalidVpcID.NotFound");
		g->accepter = fill_reference(f, &accepter, &f->vpcs, "VPC", "the lab",
					     "InvalidVpcID.NotFound");
		g->auto_accept = read_bool(&p, "auto_accept");
	}
}

static bool cidrs_overlap(const struct vpc *a, const struct vpc *b)
{
	for (size_t i = 0; i <= a->n_secondary_cidr_blocks; i++)
		for (size_t j = 0; j <= b->n_secondary_cidr_blocks; j++) {
			const struct prefix *x = vpc_cidr(a, i), *y = vpc_cidr(b, j);

			if (addr_is_set(&x->addr) && addr_is_set(&y->addr) && prefix_overlaps(x, y))
				return true;
		}
	return false;
}

static bool same_pair(const struct peering *a, const struct peering *b)
{
	return (a->requester == b->requester && a->accepter == b->accepter) ||
	       (a->requester == b->accepter && a->accepter == b->requester);
}

/* PCX-5 */
static void active_limit(struct fill *f, const struct place *p, const struct peering *g,
			 const struct vpc *v)
{
	size_t n = 0;

	for (const struct peering *o = f->lab->peerings; o <= g; o++)
		n += o->auto_accept && (o->requester == v || o->accepter == v);
	if (g->auto_accept && n == PEERINGS_MAX + 1)
		fault(f->r, FAMILY_RANGE, p, "ActiveVpcPeeringConnectionPerVpcLimitExceeded",
		      "VPC %s has more than %d active peerings", v->name, PEERINGS_MAX);
}

static void check_peering(struct fill *f, const struct place *p, const struct peering *g)
{
	if (!g->requester || !g->accepter)
		return;
	if (g->requester == g->accepter) {
		fault(f->r, FAMILY_REFERENCE, p, "InvalidParameterValue",
		      "requester and accepter are both %s (allowed: two VPCs)", g->requester->name);
		return;
	}
	active_limit(f, p, g, g->requester);
	active_limit(f, p, g, g->accepter);
	if (cidrs_overlap(g->requester, g->accepter))
		fault(f->r, FAMILY_OVERLAP, p, "InvalidParameterValue",
		      "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range "
		      "(CIDRs of %s and %s overlap)",
		      g->requester->name, g->accepter->name);
	for (const struct peering *o = f->lab->peerings; o < g; o++)
		if (same_pair(o, g)) {
			fault(f->r, FAMILY_DUPLICATE, p, "VpcPeeringConnectionAlreadyExists",
			      "%s and %s are peered already (peerings.%s)", g->requester->name,
			      g->accepter->name, o->name);
			return;
		}
}

void check_peerings(struct fill *f, const struct place *top)
{
	struct place map = place_member(top, "peerings");
	size_t i = 0;

	PLACE_EACH(p, &map)
		if (i < f->lab->n_peerings) {
			check_peering(f, &p, &f->lab->peerings[i]);
			i++;
		}
}
