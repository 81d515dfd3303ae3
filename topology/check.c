/* SPDX-License-Identifier: MIT */
/*
 * check - rules between objects: names that nodes share, addresses that only
 * one may have; and the warnings about what is legal but can't do what it seems
 * meant for.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/mutant.h"
#include "lib/util.h"
#include "topology/fill.h"

/* ---- names of nodes ---- */

static bool comes_before(const struct where *a, const struct where *b)
{
	return a->pos.line != b->pos.line ? a->pos.line < b->pos.line :
					    a->pos.column < b->pos.column;
}

void check_node_names(struct fill *f)
{
	const struct index *ix = &f->r->nodes;

	for (size_t i = 1; i < ix->n; i++) {
		const struct node_ref *a = ix->v[i - 1].object, *b = ix->v[i].object;

		if (strcmp(a->name, b->name) != 0)
			continue;
		if (comes_before(b->at, a->at)) {
			b = a;
			a = ix->v[i].object;
		}
		fault_at(f->r, FAMILY_DUPLICATE, b->at->pos, b->at->path, "InvalidParameterValue",
			 "the name %s is taken by %s (names of nodes are unique in the lab)",
			 b->name, a->at->path);
	}
}

/* ---- addresses ---- */

static int claim_cmp(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int r;

	if (x->vpc != y->vpc)
		return x->vpc < y->vpc ? -1 : 1;
	r = addr_cmp(&x->addr, &y->addr);
	if (r)
		return r;
	return comes_before(&x->at, &y->at) ? -1 : comes_before(&y->at, &x->at);
}

void check_claims(struct fill *f)
{
	if (f->n_claims)
		qsort(f->claims, f->n_claims, sizeof(*f->claims), claim_cmp);
	for (size_t i = 1; i < f->n_claims; i++) {
		const struct claim *a = &f->claims[i - 1], *b = &f->claims[i];

		if (a->vpc == b->vpc && addr_equal(&a->addr, &b->addr))
			fault_at(f->r, FAMILY_OVERLAP, b->at.pos, b->at.path, b->code,
				 "Address %s is in use (%s)", addr_str(&b->addr), a->at.path);
	}
}

/* ---- warnings ---- */

static bool leads_to_gateway(const struct route_table *t)
{
	for (size_t i = 0; t && i < t->n_routes; i++)
		if (t->routes[i].target == TARGET_INTERNET_GATEWAY)
			return true;
	return false;
}

static void warn_nat(struct fill *f, const struct place *p, const struct vpc *v,
		     const struct nat_gateway *g)
{
	if (g->private_connectivity)
		return;
	if (!v->internet_gateway)
		hint(f->r, p, "nat-without-igw",
		     "Network %s has no Internet gateway attached: the NAT gateway will be failed "
		     "(Gateway.NotAttached)",
		     v->name);
	else if (g->subnet && !leads_to_gateway(g->subnet->route_table))
		hint(f->r, p, "nat-in-private-subnet",
		     "subnet %s has no route to the internet gateway: nothing gets out through the "
		     "NAT gateway",
		     g->subnet->name);
}

/* ---- peerings and ACLs whose answers can't come back ---- */

static bool leads_to_peering(const struct vpc *v, const struct peering *g)
{
	for (size_t i = 0; i < v->n_route_tables; i++)
		for (size_t j = 0; j < v->route_tables[i].n_routes; j++)
			if (v->route_tables[i].routes[j].peering == g)
				return true;
	return false;
}

static void warn_peerings(struct fill *f, const struct place *top)
{
	struct place map = place_member(top, "peerings");
	size_t i = 0;

	PLACE_EACH(p, &map) {
		const struct peering *g;
		bool there, back;

		if (i == f->lab->n_peerings)
			break;
		g = &f->lab->peerings[i++];
		if (!g->requester || !g->accepter)
			continue;
		there = leads_to_peering(g->requester, g);
		back = leads_to_peering(g->accepter, g);
		if (there != back)
			hint(f->r, &p, "peering-one-sided-route",
			     "VPC %s has a route to it, VPC %s has none: answers are lost (PCX-3)",
			     there ? g->requester->name : g->accepter->name,
			     there ? g->accepter->name : g->requester->name);
	}
}

#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_LAST 60999 /* of Linux; AWS's own ranges are wider (NACL-3) */

static bool takes_port(const struct acl_entry *e, int protocol, int port)
{
	return e->protocol == -1 ||
	       (e->protocol == protocol && e->from_port <= port && port <= e->to_port);
}

/* whether anybody gets through with it: what only some may not doesn't count */
static bool lets_port(const struct acl_entry *v, size_t n, int protocol, int port)
{
	for (size_t i = 0; i < n; i++)
		if (takes_port(&v[i], protocol, port) && (v[i].allow || !v[i].cidr_block.len))
			return v[i].allow;
	return false;
}

/* made for answers to what goes the other way, not for connections */
static bool is_for_answers(const struct acl_entry *e)
{
	return e->from_port >= 1024 && e->from_port <= EPHEMERAL_LAST &&
	       e->to_port >= EPHEMERAL_FIRST;
}

static bool lets_connections(const struct acl_entry *v, size_t n, int protocol)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].allow && (v[i].protocol == -1 || v[i].protocol == protocol) &&
		    !is_for_answers(&v[i]) &&
		    lets_port(v, n, protocol, v[i].protocol == -1 ? 0 : v[i].from_port))
			return true;
	return false;
}

/* the ports that answers go to; what the list says of a port changes only where an
 * entry begins or ends */
static bool lets_answers(const struct acl_entry *v, size_t n, int protocol)
{
	if (!lets_port(v, n, protocol, EPHEMERAL_FIRST))
		return false;
	for (size_t i = 0; i < n; i++) {
		const int ends[] = { v[i].from_port, v[i].to_port + 1 };

		for (size_t k = 0; k < 2; k++)
			if (ends[k] > EPHEMERAL_FIRST && ends[k] <= EPHEMERAL_LAST &&
			    !lets_port(v, n, protocol, ends[k]))
				return false;
	}
	return true;
}

static bool loses_answers(const struct acl_entry *there, size_t n_there,
			  const struct acl_entry *back, size_t n_back)
{
	static const int protocols[] = { IPPROTO_TCP, IPPROTO_UDP };

	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (lets_connections(there, n_there, protocols[i]) &&
		    !lets_answers(back, n_back, protocols[i]))
			return true;
	return false;
}

static void warn_acl(struct fill *f, const struct place *p, const struct network_acl *a)
{
	if (loses_answers(a->ingress, a->n_ingress, a->egress, a->n_egress))
		hint(f->r, p, "acl-no-return-ports",
		     "lets connections in, but not all answers out: ports %d-%d (NACL-3)",
		     EPHEMERAL_FIRST, EPHEMERAL_LAST);
	else if (loses_answers(a->egress, a->n_egress, a->ingress, a->n_ingress))
		hint(f->r, p, "acl-no-return-ports",
		     "lets connections out, but not all answers in: ports %d-%d (NACL-3)",
		     EPHEMERAL_FIRST, EPHEMERAL_LAST);
}

static void warn_vpcs(struct fill *f, const struct place *top)
{
	struct place vpcs = place_member(top, "vpcs");
	size_t i = 0;

	PLACE_EACH(p, &vpcs) {
		struct place nats = place_member(&p, "nat_gateways");
		struct place acls = place_member(&p, "network_acls");
		const struct vpc *v;
		size_t j = 0, k = 0;

		if (i == f->lab->n_vpcs)
			break;
		v = &f->lab->vpcs[i++];
		PLACE_EACH(nat, &nats)
			if (j < v->n_nat_gateways) {
				warn_nat(f, &nat, v, &v->nat_gateways[j]);
				j++;
			}
		PLACE_EACH(acl, &acls)
			if (k < v->n_network_acls && !v->network_acls[k].implicit) {
				warn_acl(f, &acl, &v->network_acls[k]);
				k++;
			}
	}
}

static const struct route *find_route(const struct route_table *t, const struct prefix *d)
{
	for (size_t i = 0; i < t->n_routes; i++)
		if (prefix_equal(&t->routes[i].destination, d))
			return &t->routes[i];
	return NULL;
}

/* NAT gateways of two zones do the same, so only the kind of target counts */
static bool routes_differ(const struct route_table *a, const struct route_table *b)
{
	if (a == b || !a || !b)
		return false;
	if (a->n_routes != b->n_routes)
		return true;
	for (size_t i = 0; i < a->n_routes; i++) {
		const struct route *o = find_route(b, &a->routes[i].destination);

		if (!o || o->target != a->routes[i].target)
			return true;
	}
	return false;
}

static void warn_function(struct fill *f, const struct place *p, const struct function *fn)
{
	struct place config = place_member(p, "vpc_config");
	struct place subnets = place_member(&config, "subnets");
	size_t i = 0;

	PLACE_EACH(s, &subnets) {
		const struct subnet *subnet;

		if (i == fn->n_subnets)
			break;
		subnet = fn->subnets[i++];
		if (leads_to_gateway(subnet->route_table))
			hint(f->r, &s, "lambda-public-subnet",
			     "%s is a public subnet: a function's interface never has a public "
			     "address, so nothing it sends reaches the internet (LN-3)",
			     subnet->name);
		if (i > 1 && routes_differ(fn->subnets[0]->route_table, subnet->route_table))
			hint(f->r, &s, "function-subnets-differ",
			     "%s and %s lead to different places, and an environment is in either",
			     fn->subnets[0]->name, subnet->name);
	}
}

/* ---- quotas ---- */

struct zone {
	const char *name;
	size_t interfaces;
};

static struct zone *zone_of(struct zone *v, size_t *n, const struct subnet *s)
{
	size_t i;

	for (i = 0; i < *n; i++)
		if (strcmp(v[i].name, s->availability_zone) == 0)
			return &v[i];
	v[*n].name = s->availability_zone;
	return &v[(*n)++];
}

static size_t count_subnets(const struct lab *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_vpcs; i++)
		n += l->vpcs[i].n_subnets;
	return n;
}

/* what the file makes; of functions the service shares interfaces, as many as it needs */
static void count_interfaces(const struct vpc *v, struct zone *zones, size_t *n)
{
	for (size_t i = 0; i < v->n_instances; i++)
		if (v->instances[i].subnet)
			zone_of(zones, n, v->instances[i].subnet)->interfaces++;
	for (size_t i = 0; i < v->n_network_interfaces; i++)
		if (v->network_interfaces[i].subnet)
			zone_of(zones, n, v->network_interfaces[i].subnet)->interfaces++;
	for (size_t i = 0; i < v->n_nat_gateways; i++)
		if (v->nat_gateways[i].subnet)
			zone_of(zones, n, v->nat_gateways[i].subnet)->interfaces++;
}

void check_quotas(struct fill *f, const struct place *top)
{
	struct zone *zones = NEW(f->r, count_subnets(f->lab), struct zone);
	struct place vpcs = place_member(top, "vpcs");
	size_t n = 0;

	for (size_t i = 0; i < f->lab->n_vpcs; i++)
		count_interfaces(&f->lab->vpcs[i], zones, &n);
	for (size_t i = 0; i < n && !MUTANT("interface-quota"); i++)
		if (zones[i].interfaces > LAB_ZONE_INTERFACES_MAX)
			fault(f->r, FAMILY_RANGE, &vpcs, "NetworkInterfaceLimitExceeded",
			      "%zu network interfaces in %s (allowed in an Availability Zone: %d)",
			      zones[i].interfaces, zones[i].name, LAB_ZONE_INTERFACES_MAX);
}

void check_warnings(struct fill *f, const struct place *top)
{
	struct place functions = place_member(top, "functions");
	size_t i = 0;

	warn_vpcs(f, top);
	warn_peerings(f, top);
	PLACE_EACH(p, &functions)
		if (i < f->lab->n_functions) {
			warn_function(f, &p, &f->lab->functions[i]);
			i++;
		}
}
