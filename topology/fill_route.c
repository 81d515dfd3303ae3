/* SPDX-License-Identifier: MIT */
/*
 * fill_route - route tables: destinations (RT-4, RT-6, RT-12), targets, edge
 * tables (RT-13), duplicates after host bits are cleared (RT-14).
 */
#include <stdlib.h>
#include <string.h>

#include "topology/fill.h"

#define ROUTES_MAX 1000 /* of a table: AWS's highest quota (VPC-15) */

#define TARGETS                                                           \
	"local, internet_gateway, nat_gateway:N, peering:P, instance:I, " \
	"network_interface:E, blackhole"

static const struct {
	const char *word;
	enum route_target target;
} kinds[] = {
	{ "local", TARGET_LOCAL },
	{ "internet_gateway", TARGET_INTERNET_GATEWAY },
	{ "blackhole", TARGET_BLACKHOLE },
	{ "nat_gateway:", TARGET_NAT_GATEWAY },
	{ "peering:", TARGET_PEERING },
	{ "instance:", TARGET_INSTANCE },
	{ "network_interface:", TARGET_NETWORK_INTERFACE },
};

/* splits "nat_gateway:N"; NULL (and a fault) if it is no target at all */
static const char *target_name(struct fill *f, const struct place *p, enum route_target *ret)
{
	const char *s = place_str(p);

	if (!s || !*s)
		return NULL;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = strlen(kinds[i].word);
		bool named = kinds[i].word[len - 1] == ':';

		if (named ? strncmp(s, kinds[i].word, len) != 0 : strcmp(s, kinds[i].word) != 0)
			continue;
		*ret = kinds[i].target;
		return s + len;
	}
	fault(f->r, FAMILY_REFERENCE, p, "InvalidParameterValue",
	      "\"%s\" is no route target (allowed: " TARGETS ")", s);
	return NULL;
}

/* like fill_reference(), for the name inside a target */
static const void *target_object(struct fill *f, const struct place *p, const struct index *names,
				 const char *what, const char *whose, const char *name,
				 const char *code)
{
	const void *found = index_find(names, name);

	if (!found)
		fault(f->r, FAMILY_REFERENCE, p, code, "the %s '%s' does not exist (%s has: %s)",
		      what, name, whose, index_list(f->r, names));
	return found;
}

static void target_peering(struct fill *f, const struct place *p, const struct vpc *v,
			   struct route *rt)
{
	const struct peering *g;

	g = target_object(f, p, &f->peerings, "peering", "the lab", rt->target_name,
			  "InvalidVpcPeeringConnectionID.NotFound");
	rt->peering = g;
	if (g && g->requester != v && g->accepter != v)
		fault(f->r, FAMILY_REFERENCE, p, "InvalidVpcPeeringConnectionID.NotFound",
		      "peering %s isn't one of VPC %s (allowed: a peering that it is part of)",
		      g->name, v->name);
}

static void target_instance(struct fill *f, const struct place *p, const struct vpc *v,
			    struct route *rt)
{
	rt->instance =
		target_object(f, p, &fill_names(f, v)->instances, "instance", fill_vpc_title(f, v),
			      rt->target_name, "InvalidInstanceID.NotFound");
	if (rt->instance && instance_n_interfaces(rt->instance) > 1)
		fault(f->r, FAMILY_REFERENCE, p, "InvalidInstanceID",
		      "There are multiple interfaces attached to instance '%s'. Please specify "
		      "an interface ID for the operation instead. (allowed: network_interface:E)",
		      rt->instance->name);
}

static void target_resolve(struct fill *f, const struct place *p, const struct vpc *v,
			   struct route *rt)
{
	const struct vpc_names *names = fill_names(f, v);

	switch (rt->target) {
	case TARGET_INTERNET_GATEWAY:
		if (!v->internet_gateway)
			fault(f->r, FAMILY_REFERENCE, p, "InvalidInternetGatewayID.NotFound",
			      "VPC %s has no internet gateway (set internet_gateway to true)",
			      v->name);
		break;
	case TARGET_NAT_GATEWAY:
		rt->nat_gateway =
			target_object(f, p, &names->nat_gateways, "NAT gateway",
				      fill_vpc_title(f, v), rt->target_name, "NatGatewayNotFound");
		break;
	case TARGET_PEERING:
		target_peering(f, p, v, rt);
		break;
	case TARGET_INSTANCE:
		target_instance(f, p, v, rt);
		break;
	case TARGET_NETWORK_INTERFACE:
		rt->network_interface =
			target_object(f, p, &names->network_interfaces, "network interface",
				      fill_vpc_title(f, v), rt->target_name,
				      "InvalidNetworkInterfaceID.NotFound");
		break;
	case TARGET_LOCAL:
	case TARGET_BLACKHOLE:
		break;
	}
}

/* ---- where a route may lead ---- */

static bool is_vpc_cidr(const struct vpc *v, const struct prefix *d)
{
	const struct prefix *block;

	for (size_t i = 0; (block = vpc_cidr(v, i)); i++)
		if (prefix_equal(block, d))
			return true;
	return false;
}

static bool inside_vpc_cidr(const struct vpc *v, const struct prefix *d)
{
	const struct prefix *block;

	for (size_t i = 0; (block = vpc_cidr(v, i)); i++)
		if (prefix_covers(block, d))
			return true;
	return false;
}

static bool is_subnet_cidr(const struct vpc *v, const struct prefix *d)
{
	for (size_t i = 0; i < v->n_subnets; i++)
		if (prefix_equal(&v->subnets[i].cidr_block, d))
			return true;
	return false;
}

/* may stand in for "local": what has an interface in the VPC, or had one */
static bool replaces_local(enum route_target t)
{
	return t == TARGET_NAT_GATEWAY || t == TARGET_INSTANCE || t == TARGET_NETWORK_INTERFACE ||
	       t == TARGET_BLACKHOLE;
}

/* RT-4, RT-12 */
static void local_rules(struct fill *f, const struct place *p, const struct vpc *v,
			const struct route *rt)
{
	const struct prefix *d = &rt->destination;

	if (is_vpc_cidr(v, d)) {
		if (rt->target != TARGET_LOCAL && !replaces_local(rt->target))
			fault(f->r, FAMILY_CIDR, p, "InvalidParameterValue",
			      "the local route %s can't lead there (allowed: local, nat_gateway:N, "
			      "instance:I, network_interface:E, blackhole)",
			      prefix_str(d));
		return;
	}
	if (rt->target == TARGET_LOCAL) {
		fault(f->r, FAMILY_CIDR, p, "InvalidParameterValue",
		      "%s isn't local (allowed: the VPC's own %s)", prefix_str(d),
		      prefix_str(&v->cidr_block));
		return;
	}
	if (!inside_vpc_cidr(v, d))
		return;
	if (!is_subnet_cidr(v, d) || !replaces_local(rt->target))
		fault(f->r, FAMILY_CIDR, p, "InvalidParameterValue",
		      "%s is more specific than local (allowed: the whole CIDR of a subnet, to "
		      "nat_gateway:N, instance:I or network_interface:E)",
		      prefix_str(d));
}

/* RT-13 */
static void edge_rules(struct fill *f, const struct place *p, const struct vpc *v,
		       const struct route *rt)
{
	const struct prefix *d = &rt->destination;

	if (!is_vpc_cidr(v, d) && !is_subnet_cidr(v, d))
		fault(f->r, FAMILY_CIDR, p, "InvalidParameterValue",
		      "%s in a gateway's route table (allowed: the VPC's CIDR, or a subnet's)",
		      prefix_str(d));
	else if (rt->target != TARGET_LOCAL && rt->target != TARGET_INSTANCE &&
		 rt->target != TARGET_NETWORK_INTERFACE && rt->target != TARGET_BLACKHOLE)
		fault(f->r, FAMILY_CIDR, p, "InvalidParameterValue",
		      "a gateway's route table can't lead there (allowed: local, instance:I, "
		      "network_interface:E, blackhole)");
}

static void destination_rules(struct fill *f, const struct place *p, const struct vpc *v,
			      const struct route_table *t, const struct route *rt)
{
	struct prefix reserved;

	if (prefix_parse(LAB_NO_ROUTES, &reserved, NULL) == 0 &&
	    prefix_covers(&reserved, &rt->destination)) {
		fault(f->r, FAMILY_CIDR, p, "InvalidParameterValue",
		      "no route may lead into %s (RT-6)", prefix_str(&reserved));
		return;
	}
	if (!addr_is_set(&v->cidr_block.addr))
		return;
	if (t == v->edge_route_table)
		edge_rules(f, p, v, rt);
	else
		local_rules(f, p, v, rt);
}

/* ---- tables ---- */

static void fill_route(struct fill *f, const struct place *p, const struct vpc *v,
		       const struct route_table *t, struct route *rt)
{
	bool has_target;

	rt->at = place_where(f->r, p);
	rt->target_name = target_name(f, p, &rt->target);
	has_target = rt->target_name != NULL;
	if (has_target)
		target_resolve(f, p, v, rt);
	else
		rt->target_name = "";
	if (fill_cidr_text(f, p, p->key, &rt->destination) && has_target)
		destination_rules(f, p, v, t, rt);
}

static int route_cmp(const void *a, const void *b)
{
	const struct route *x = *(const struct route *const *)a;
	const struct route *y = *(const struct route *const *)b;
	int r = prefix_cmp(&x->destination, &y->destination);

	return r ? r : (x > y) - (x < y);
}

static void route_duplicates(struct fill *f, const struct route_table *t)
{
	const struct route **sorted = NEW(f->r, t->n_routes, const struct route *);
	size_t n = 0;

	for (size_t i = 0; i < t->n_routes; i++)
		if (addr_is_set(&t->routes[i].destination.addr))
			sorted[n++] = &t->routes[i];
	qsort(sorted, n, sizeof(const struct route *), route_cmp);
	for (size_t i = 1; i < n; i++)
		if (prefix_equal(&sorted[i - 1]->destination, &sorted[i]->destination))
			fault_at(f->r, FAMILY_DUPLICATE, sorted[i]->at.pos, sorted[i]->at.path,
				 "RouteAlreadyExists",
				 "The route identified by %s already exists (%s)",
				 prefix_str(&sorted[i]->destination), sorted[i - 1]->at.path);
}

void fill_route_table(struct fill *f, const struct place *p, const struct vpc *v,
		      struct route_table *t)
{
	struct place map = place_member(p, "routes");
	size_t n = place_n_children(&map);

	t->routes = NULL;
	t->n_routes = 0;
	if (!cJSON_IsObject(map.item))
		return;
	if (n > ROUTES_MAX)
		fault(f->r, FAMILY_RANGE, &map, "RouteLimitExceeded",
		      "%zu routes in a table (allowed: %d)", n, ROUTES_MAX);
	t->routes = NEW(f->r, n, struct route);
	PLACE_EACH(route, &map)
		fill_route(f, &route, v, t, &t->routes[t->n_routes++]);
	route_duplicates(f, t);
}

void fill_route_tables(struct fill *f, const struct place *vpc, struct vpc *v)
{
	struct place map = place_member(vpc, "route_tables");
	size_t i = 0, n = fill_names(f, v)->route_tables.n;

	PLACE_EACH(p, &map)
		if (i < n) {
			(void)json_doc_span(&f->lab->doc, p.item, &v->route_tables[i].value.span);
			fill_route_table(f, &p, v, &v->route_tables[i++]);
		}
}
