/* SPDX-License-Identifier: MIT */
/*
 * declare - the first walk over a file: makes the arrays of all objects, with
 * names and places, and the look-ups that later passes resolve references in.
 */
#include <string.h>

#include "topology/fill.h"

/* how every declared struct begins */
struct head {
	const char *name;
	struct where at;
};

/* an array with an element for each entry of "o"'s map "key", and "extra" more */
static void *declare(struct fill *f, const struct place *o, const char *key, size_t size,
		     size_t extra, size_t *ret_n)
{
	struct place map = place_member(o, key);
	bool is_map = cJSON_IsObject(map.item);
	size_t n = is_map ? place_n_children(&map) : 0, i = 0;
	char *array = arena_alloc(f->r, f->r->arena, n + extra, size);

	*ret_n = n;
	if (!is_map)
		return array;
	PLACE_EACH(p, &map) {
		struct head *h = (void *)(array + i++ * size);

		h->name = p.key;
		h->at = place_where(f->r, &p);
	}
	return array;
}

#define DECLARE(owner, place, field, extra) \
	((owner)->field =                   \
		 declare(f, place, #field, sizeof(*(owner)->field), extra, &(owner)->n_##field))
#define INDEX(ix, owner, field) \
	index_build(f->r, ix, (owner)->field, (owner)->n_##field, sizeof(*(owner)->field))

static bool has_member(const struct place *o, const char *map, const char *key)
{
	struct place m = place_member(o, map);

	return cJSON_IsObject(m.item) && cJSON_GetObjectItemCaseSensitive(m.item, key);
}

/* what a VPC has even if the file doesn't say so */
static void declare_implicit(struct vpc *v, const struct place *p)
{
	if (!has_member(p, "security_groups", "default"))
		v->security_groups[v->n_security_groups++] =
			(struct security_group){ .name = "default", .at = v->at, .implicit = true };
	if (!has_member(p, "network_acls", "default"))
		v->network_acls[v->n_network_acls++] =
			(struct network_acl){ .name = "default", .at = v->at, .implicit = true };
	if (!cJSON_IsString(place_member(p, "main_route_table").item))
		v->route_tables[v->n_route_tables++] =
			(struct route_table){ .name = "", .at = v->at };
}

static void declare_vpc(struct fill *f, const struct place *p, struct vpc *v,
			struct vpc_names *names)
{
	DECLARE(v, p, subnets, 0);
	DECLARE(v, p, route_tables, 1);
	DECLARE(v, p, nat_gateways, 0);
	DECLARE(v, p, security_groups, 1);
	DECLARE(v, p, network_acls, 1);
	DECLARE(v, p, instances, 0);
	DECLARE(v, p, network_interfaces, 0);
	DECLARE(v, p, flow_logs, 0);
	INDEX(&names->route_tables, v, route_tables); /* without the nameless one */
	declare_implicit(v, p);
	INDEX(&names->subnets, v, subnets);
	INDEX(&names->nat_gateways, v, nat_gateways);
	INDEX(&names->security_groups, v, security_groups);
	INDEX(&names->network_acls, v, network_acls);
	INDEX(&names->instances, v, instances);
	INDEX(&names->network_interfaces, v, network_interfaces);
}

static void declare_node(struct fill *f, enum node_kind kind, const char *name,
			 const struct where *at, const void *object)
{
	f->node_refs[f->n_node_refs++] =
		(struct node_ref){ .kind = kind, .name = name, .at = at, .object = object };
}

/* all nodes share one space of names */
static void declare_nodes(struct fill *f)
{
	struct reader *r = f->r;
	struct lab *l = f->lab;
	size_t n = l->n_hosts + l->n_functions;

	for (size_t i = 0; i < l->n_vpcs; i++)
		n += l->vpcs[i].n_instances;
	f->node_refs = NEW(r, n, struct node_ref);
	for (size_t i = 0; i < l->n_hosts; i++)
		declare_node(f, NODE_HOST, l->hosts[i].name, &l->hosts[i].at, &l->hosts[i]);
	for (size_t i = 0; i < l->n_vpcs; i++)
		for (size_t j = 0; j < l->vpcs[i].n_instances; j++) {
			const struct instance *in = &l->vpcs[i].instances[j];

			declare_node(f, NODE_INSTANCE, in->name, &in->at, in);
		}
	for (size_t i = 0; i < l->n_functions; i++)
		declare_node(f, NODE_FUNCTION, l->functions[i].name, &l->functions[i].at,
			     &l->functions[i]);
	r->nodes.v = NEW(r, n, struct index_entry);
	r->nodes.n = n;
	for (size_t i = 0; i < n; i++)
		r->nodes.v[i] = (struct index_entry){ f->node_refs[i].name, &f->node_refs[i] };
	index_sort(&r->nodes);
}

void declare_lab(struct fill *f, const struct place *top)
{
	struct lab *l = f->lab;
	struct place internet = place_member(top, "internet");
	struct place vpcs = place_member(top, "vpcs");
	size_t i = 0;

	DECLARE(l, &internet, hosts, 0);
	DECLARE(l, top, roles, 0);
	DECLARE(l, top, vpcs, 0);
	DECLARE(l, top, peerings, 0);
	DECLARE(l, top, functions, 0);
	INDEX(&f->roles, l, roles);
	INDEX(&f->vpcs, l, vpcs);
	INDEX(&f->peerings, l, peerings);
	INDEX(&f->functions, l, functions);
	f->names = NEW(f->r, l->n_vpcs, struct vpc_names);
	if (cJSON_IsObject(vpcs.item))
		PLACE_EACH(p, &vpcs) {
			declare_vpc(f, &p, &l->vpcs[i], &f->names[i]);
			i++;
		}
	declare_nodes(f);
}
