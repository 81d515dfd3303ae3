/* SPDX-License-Identifier: MIT */
/*
 * show - a lab as one document (show.h).  Objects that live in a VPC stand in
 * it, under their name there.  A failed allocation sticks, and there is no
 * document then: never one that lacks a part.
 */
#include "netd/show.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/mutant.h"
#include "lib/mutant.h"
#include "lib/nl.h"
#include "lib/ns.h"
#include "lib/util.h"
#include "netd/counts.h"
#include "netd/flows.h"
#include "netd/jobs.h"
#include "netd/metrics.h"

/* "<role-id>:<...>": who asked for functions' interfaces (LN-42) */
#define LAMBDA_REQUESTER "AROAVPCLABVPCLABVPCLA:123456789012"

struct show {
	struct netlab *l;
	const struct store *s;
	bool failed; /* out of memory */
};

/* ---- writing ---- */

static cJSON *kept(struct show *w, cJSON *v)
{
	if (!v)
		w->failed = true;
	return v;
}

/* takes "v" */
static void put(struct show *w, cJSON *o, const char *name, cJSON *v)
{
	if (!kept(w, v) || !cJSON_AddItemToObject(o, name, v)) {
		w->failed = true;
		cJSON_Delete(v);
	}
}

static void put_text(struct show *w, cJSON *o, const char *name, const char *s)
{
	put(w, o, name, s ? cJSON_CreateString(s) : cJSON_CreateNull());
}

static void put_addr(struct show *w, cJSON *o, const char *name, const struct addr *a)
{
	put_text(w, o, name, a && addr_is_set(a) ? addr_str(a) : NULL);
}

static void put_bool(struct show *w, cJSON *o, const char *name, bool v)
{
	put(w, o, name, cJSON_CreateBool(v));
}

static void put_number(struct show *w, cJSON *o, const char *name, double v)
{
	put(w, o, name, cJSON_CreateNumber(v));
}

static cJSON *put_object(struct show *w, cJSON *o, const char *name)
{
	return kept(w, cJSON_AddObjectToObject(o, name));
}

static cJSON *put_array(struct show *w, cJSON *o, const char *name)
{
	return kept(w, cJSON_AddArrayToObject(o, name));
}

static void push_text(struct show *w, cJSON *list, const char *s)
{
	cJSON *v = kept(w, cJSON_CreateString(s));

	if (!v || !cJSON_AddItemToArray(list, v)) {
		w->failed = true;
		cJSON_Delete(v);
	}
}

static cJSON *push_object(struct show *w, cJSON *list)
{
	cJSON *o = kept(w, cJSON_CreateObject());

	if (!o || cJSON_AddItemToArray(list, o))
		return o;
	w->failed = true;
	cJSON_Delete(o);
	return NULL;
}

static void put_namespace(struct show *w, cJSON *o, const char *ns)
{
	auto_free char *path =
		ns ? ns_path(w->l->netd->dir.run, (int)getpid(), w->l->name, ns) : NULL;

	if (ns && !path)
		w->failed = true;
	put_text(w, o, "namespace", path);
}

/* the name of an object inside its VPC */
static const char *short_name(const struct object *o)
{
	const char *slash = strchr(o->name, '/');

	return slash ? slash + 1 : o->name;
}

static cJSON *put_common(struct show *w, cJSON *map, const struct object *obj)
{
	cJSON *o = put_object(w, map, short_name(obj));

	put_text(w, o, "id", obj->id);
	put_text(w, o, "name", obj->name);
	put_text(w, o, "kind", object_kind_name(obj->kind));
	put_text(w, o, "state", obj->state);
	return o;
}

static void put_groups(struct show *w, cJSON *o, struct s_group *const *v, size_t n)
{
	cJSON *list = put_array(w, o, "security_groups");
	size_t i;

	for (i = 0; i < n; i++)
		push_text(w, list, short_name(&v[i]->o));
}

static void put_private_ips(struct show *w, cJSON *o, const struct s_eni *e)
{
	cJSON *list = put_array(w, o, "private_ips");
	size_t i;

	for (i = 0; e && i < e->n_private_ips; i++)
		push_text(w, list, addr_str(&e->private_ips[i]));
}

/* each address that has a public one, with it */
static void put_public_ips(struct show *w, cJSON *o, const struct s_eni *e)
{
	cJSON *map = put_object(w, o, "public_ips");
	size_t i;

	for (i = 0; i < e->n_private_ips; i++)
		if (addr_is_set(eni_public_ip(e, i)))
			put_addr(w, map, addr_str(&e->private_ips[i]), eni_public_ip(e, i));
}

/* every address that reaches an instance, by whichever of its interfaces */
static void put_addresses(struct show *w, cJSON *o, const struct s_instance *in)
{
	cJSON *map = put_object(w, o, "addresses");
	size_t k, i;

	for (k = 0; k < in->n_enis; k++)
		for (i = 0; i < in->enis[k]->n_private_ips; i++)
			put_addr(w, map, addr_str(&in->enis[k]->private_ips[i]),
				 eni_public_ip(in->enis[k], i));
}

/* LN-42: nobody's that a user could manage (LN-43) */
static void put_lambda_attachment(struct show *w, cJSON *o, const struct s_eni *e)
{
	cJSON *x = put_object(w, o, "attachment");
	char id[40];

	(void)snprintf(id, sizeof(id), "ela-attach-%s", strchr(e->o.id, '-') + 1);
	put_text(w, x, "attachment_id", id);
	put_text(w, x, "instance_owner_id", "amazon-aws");
	put_number(w, x, "device_index", 1);
	put_bool(w, x, "delete_on_termination", false);
}

static void put_attachment(struct show *w, cJSON *o, const struct s_eni *e)
{
	cJSON *x;

	if (e->type == ENI_LAMBDA && !MUTANT("lambda-attachment")) {
		put_lambda_attachment(w, o, e);
		return;
	}
	if (e->type != ENI_INTERFACE || !e->owner) {
		put(w, o, "attachment", cJSON_CreateNull());
		return;
	}
	x = put_object(w, o, "attachment");
	put_text(w, x, "instance", e->owner->name);
	put_text(w, x, "instance_id", e->owner->id);
	put_number(w, x, "device_index", e->device_index);
	put_text(w, x, "device", e->device);
}

/* VPC-9 */
static double free_addresses(const struct s_subnet *s)
{
	double n = (double)prefix_n_addrs(&s->def->cidr_block) - 5;
	size_t i;

	for (i = 0; i < s->vpc->n_enis; i++)
		if (s->vpc->enis[i]->subnet == s)
			n -= (double)s->vpc->enis[i]->n_private_ips;
	return n;
}

/* ---- what a VPC holds ---- */

static void show_subnet(struct show *w, cJSON *map, const struct s_subnet *s)
{
	cJSON *o = put_common(w, map, &s->o);

	put_text(w, o, "vpc", s->vpc->def->name);
	put_text(w, o, "cidr_block", prefix_str(&s->def->cidr_block));
	put_text(w, o, "availability_zone", s->def->availability_zone);
	put_text(w, o, "route_table", short_name(&s->table->o));
	put_text(w, o, "network_acl", s->def->network_acl ? s->def->network_acl->name : NULL);
	put_bool(w, o, "map_public_ip_on_launch", s->def->map_public_ip_on_launch);
	put_number(w, o, "available_ip_address_count", free_addresses(s));
}

/* the local routes are there from the table's creation, and keep that origin when they
 * are led elsewhere (RT-15) */
static void show_route(struct show *w, cJSON *list, const struct prefix *to, const char *target,
		       bool active, bool local)
{
	cJSON *o = push_object(w, list);

	put_text(w, o, "destination", prefix_str(to));
	put_text(w, o, "target", target);
	put_text(w, o, "state", active ? "active" : "blackhole");
	put_text(w, o, "origin",
		 local && !MUTANT("route-origin") ? "CreateRouteTable" : "CreateRoute");
}

/* the local route of a CIDR of the VPC: the file may lead it elsewhere */
static void show_local(struct show *w, cJSON *list, const struct s_table *t,
		       const struct prefix *cidr)
{
	char target[128];
	size_t i;

	for (i = 0; i < t->def->n_routes; i++) {
		const struct route *r = &t->def->routes[i];

		if (!prefix_equal(&r->destination, cidr))
			continue;
		show_route(w, list, cidr, route_target_words(r, target, sizeof(target)),
			   store_route_active(t->vpc, r), true);
		return;
	}
	show_route(w, list, cidr, "local", true, true);
}

static bool is_local(const struct vpc *v, const struct prefix *p)
{
	size_t i;

	for (i = 0; i < v->n_secondary_cidr_blocks; i++)
		if (prefix_equal(&v->secondary_cidr_blocks[i], p))
			return true;
	return prefix_equal(&v->cidr_block, p);
}

static void show_table(struct show *w, cJSON *map, const struct s_table *t)
{
	cJSON *o = put_common(w, map, &t->o);
	cJSON *list = put_array(w, o, "routes");
	const struct vpc *v = t->vpc->def;
	char target[128];
	size_t i;

	put_text(w, o, "vpc", v->name);
	put_bool(w, o, "main", v->main_route_table == t->def);
	show_local(w, list, t, &v->cidr_block);
	for (i = 0; i < v->n_secondary_cidr_blocks; i++)
		show_local(w, list, t, &v->secondary_cidr_blocks[i]);
	for (i = 0; i < t->def->n_routes; i++) {
		const struct route *r = &t->def->routes[i];

		if (!is_local(v, &r->destination))
			show_route(w, list, &r->destination,
				   route_target_words(r, target, sizeof(target)),
				   store_route_active(t->vpc, r), false);
	}
}

static void put_protocol(struct show *w, cJSON *o, int protocol)
{
	static const struct {
		int number;
		const char *name;
	} names[] = { { -1, "-1" },
		      { IPPROTO_TCP, "tcp" },
		      { IPPROTO_UDP, "udp" },
		      { IPPROTO_ICMP, "icmp" } };
	char text[16];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].number == protocol) {
			put_text(w, o, "protocol", names[i].name);
			return;
		}
	snprintf(text, sizeof(text), "%d", protocol);
	put_text(w, o, "protocol", text);
}

/* "G", or "P/G" across a peering; those of one that isn't active are stale, too (SG-11) */
static void show_reference(struct show *w, cJSON *groups, cJSON *stale, const struct s_vpc *v,
			   const struct sg_rule *r, size_t k)
{
	const struct peering *via = r->via[k];
	const struct s_peer *s = via ? store_peer_of(v, via) : NULL;
	char text[160];

	snprintf(text, sizeof(text), "%s%s%s", via ? via->name : "", via ? "/" : "",
		 r->security_groups[k]->name);
	push_text(w, groups, text);
	if (s && !s->peering->active)
		push_text(w, stale, text);
}

static void show_rules(struct show *w, cJSON *o, const char *name, const struct s_vpc *v,
		       const struct sg_rule *r, size_t n)
{
	cJSON *list = put_array(w, o, name);
	size_t i, k;

	for (i = 0; i < n; i++) {
		cJSON *x = push_object(w, list), *cidrs, *groups, *stale;

		put_protocol(w, x, r[i].protocol);
		put_number(w, x, "from_port", r[i].from_port);
		put_number(w, x, "to_port", r[i].to_port);
		cidrs = put_array(w, x, "cidr_blocks");
		for (k = 0; k < r[i].n_cidr_blocks; k++)
			push_text(w, cidrs, prefix_str(&r[i].cidr_blocks[k]));
		groups = put_array(w, x, "security_groups");
		stale = put_array(w, x, "stale_security_groups");
		for (k = 0; k < r[i].n_security_groups; k++)
			show_reference(w, groups, stale, v, &r[i], k);
		put_bool(w, x, "self", r[i].self);
		put_text(w, x, "description", r[i].description);
	}
}

static void show_group(struct show *w, cJSON *map, const struct s_group *g)
{
	cJSON *o = put_common(w, map, &g->o);

	put_text(w, o, "vpc", g->vpc->def->name);
	put_text(w, o, "description", g->def->description);
	show_rules(w, o, "ingress", g->vpc, g->def->ingress, g->def->n_ingress);
	show_rules(w, o, "egress", g->vpc, g->def->egress, g->def->n_egress);
}

static void show_entry(struct show *w, cJSON *list, const struct acl_entry *e)
{
	cJSON *x = push_object(w, list);

	put_number(w, x, "rule_number", e->rule_number);
	put_text(w, x, "rule_action", e->allow ? "allow" : "deny");
	put_protocol(w, x, e->protocol);
	put_text(w, x, "cidr_block", prefix_str(&e->cidr_block));
	put_number(w, x, "from_port", e->from_port);
	put_number(w, x, "to_port", e->to_port);
	put_number(w, x, "icmp_type", e->icmp_type);
	put_number(w, x, "icmp_code", e->icmp_code);
}

/* in the order in which they are asked, and what is asked last (NACL-1) */
static void show_entries(struct show *w, cJSON *o, const char *name, const struct acl_entry *v,
			 size_t n)
{
	const struct acl_entry final = { .rule_number = 32767,
					 .protocol = -1,
					 .cidr_block = { .addr = addr_v4(0) },
					 .from_port = -1,
					 .to_port = -1,
					 .icmp_type = -1,
					 .icmp_code = -1 };
	cJSON *list = put_array(w, o, name);
	size_t i;

	for (i = 0; i < n; i++)
		show_entry(w, list, &v[i]);
	if (!MUTANT("acl-show"))
		show_entry(w, list, &final);
}

static void show_acl(struct show *w, cJSON *map, const struct s_acl *a)
{
	cJSON *o = put_common(w, map, &a->o);

	cJSON *subnets;
	size_t i;

	put_text(w, o, "vpc", a->vpc->def->name);
	put_bool(w, o, "is_default", !strcmp(a->def->name, "default"));
	subnets = put_array(w, o, "subnets");
	for (i = 0; i < a->vpc->n_subnets; i++)
		if (a->vpc->subnets[i].acl == a)
			push_text(w, subnets, a->vpc->subnets[i].def->name);
	show_entries(w, o, "ingress", a->def->ingress, a->def->n_ingress);
	show_entries(w, o, "egress", a->def->egress, a->def->n_egress);
}

static void show_instance(struct show *w, cJSON *map, const struct s_instance *in)
{
	cJSON *o = put_common(w, map, &in->o), *list;
	const struct s_eni *e = in->eni;
	size_t i;

	put_addr(w, o, "private_ip", e && e->n_private_ips ? &e->private_ips[0] : NULL);
	put_private_ips(w, o, e);
	put_addr(w, o, "public_ip", e ? &e->public_ip : NULL);
	put_text(w, o, "subnet", in->def->subnet->name);
	put_text(w, o, "vpc", in->vpc->def->name);
	put_groups(w, o, e ? e->groups : NULL, e ? e->n_groups : 0);
	put_text(w, o, "network_interface_id", e ? e->o.id : NULL);
	list = put_array(w, o, "network_interface_ids");
	for (i = 0; i < in->n_enis; i++)
		push_text(w, list, in->enis[i]->o.id);
	put_addresses(w, o, in);
	put(w, o, "pid", cJSON_CreateNull()); /* sandboxd knows it */
	put_namespace(w, o, in->ns);
}

/* ---- what the kernel counted ---- */

/* one namespace's drops; without it (gone, being repaired) nothing was counted */
static struct counts read_counts(struct show *w, const char *ns, const char *table)
{
	struct counts c = { NULL, 0, 0, false };
	struct err ignored = { .code = ERR_NONE };

	(void)counts_read(w->l, ns, table, &c, &ignored);
	return c;
}

static void put_dropped(struct show *w, cJSON *o, const struct counts *c, const char *link)
{
	put(w, o, "dropped", counts_json(c, link));
}

/* the router's end counts from the other side */
static void put_counters(struct show *w, cJSON *o, const struct s_eni *e,
			 const struct counts *dropped, const char *link)
{
	struct err ignored = { .code = ERR_NONE };
	struct nl *nl = e->ns ? spaces_nl(w->l->spaces, e->vpc->ns, &ignored) : NULL;
	cJSON *x = put_object(w, o, "counters");
	struct nl_counters n = { 0 };

	if (nl && nl_link_counters(nl, e->router_interface, &n) < 0)
		n = (struct nl_counters){ 0 }; /* it is being made again */
	put_number(w, x, "rx_packets", (double)n.tx_packets);
	put_number(w, x, "rx_bytes", (double)n.tx_bytes);
	put_number(w, x, "tx_packets", (double)n.rx_packets);
	put_number(w, x, "tx_bytes", (double)n.rx_bytes);
	put_dropped(w, x, dropped, link);
}

/* adds the counts of a gateway's own namespace to those of its interface */
static void merge_counts(struct show *w, struct counts *to, const struct counts *from,
			 const char *link)
{
	size_t i;

	for (i = 0; i < from->n; i++) {
		struct count *v = reallocarray(to->v, to->n + 1, sizeof(*v));

		if (!v) {
			w->failed = true;
			return;
		}
		to->v = v;
		to->v[to->n] = from->v[i];
		snprintf(to->v[to->n].link, sizeof(to->v->link), "%s", link);
		to->n++;
	}
	to->cap = to->n;
}

/* of all interfaces of a VPC: its router's, its NAT gateways', its functions' */
static struct counts vpc_counts(struct show *w, const struct s_vpc *v)
{
	struct counts all = read_counts(w, v->ns, "ip vpc");
	size_t i;

	for (i = 0; i < v->n_nats; i++)
		if (v->nats[i].eni) {
			struct counts c = read_counts(w, v->nats[i].ns, "ip natgw");

			merge_counts(w, &all, &c, v->nats[i].eni->router_interface);
			counts_done(&c);
		}
	for (i = 0; i < w->s->n_egresses; i++) {
		const struct s_egress *g = w->s->egresses[i];

		if (g->eni && g->eni->vpc == v) {
			struct counts c = read_counts(w, g->ns, "ip egress");

			merge_counts(w, &all, &c, g->eni->router_interface);
			counts_done(&c);
		}
	}
	return all;
}

static void put_idle(struct show *w, cJSON *o, const struct s_idle *t)
{
	cJSON *x = put_object(w, o, "connection_tracking");

	put_number(w, x, "tcp_established_timeout", t->tcp_established);
	put_number(w, x, "udp_stream_timeout", t->udp_stream);
	put_number(w, x, "udp_timeout", MUTANT("show-idle") ? STORE_UDP : t->udp);
}

static void show_eni(struct show *w, cJSON *map, const struct s_eni *e,
		     const struct counts *dropped)
{
	cJSON *o = put_common(w, map, &e->o);

	put_addr(w, o, "private_ip", e->n_private_ips ? &e->private_ips[0] : NULL);
	put_private_ips(w, o, e);
	put_addr(w, o, "public_ip", &e->public_ip);
	put_public_ips(w, o, e);
	put_text(w, o, "subnet", e->subnet->def->name);
	put_text(w, o, "vpc", e->vpc->def->name);
	put_groups(w, o, e->groups, e->n_groups);
	put_text(w, o, "interface_type", eni_type_name(e->type));
	put_text(w, o, "description", e->description);
	put_text(w, o, "status", e->o.state);
	put_text(w, o, "owner", e->owner ? e->owner->id : NULL);
	put_attachment(w, o, e);
	put_text(w, o, "requester_id", e->type == ENI_LAMBDA ? LAMBDA_REQUESTER : NULL);
	put_bool(w, o, "requester_managed",
		 e->type == ENI_NAT_GATEWAY && !MUTANT("requester-managed"));
	put_bool(w, o, "source_dest_check", e->source_dest_check);
	put_idle(w, o, &e->idle);
	put_text(w, o, "mac_address", e->mac);
	put_text(w, o, "router_interface", e->router_interface);
	put_counters(w, o, e, dropped, e->router_interface);
}

/* beside the first ones, in the file's order */
static void put_secondary(struct show *w, cJSON *o, const struct s_eni *e)
{
	cJSON *private = put_array(w, o, "secondary_private_ips");
	cJSON *public = put_array(w, o, "secondary_public_ips");
	size_t i;

	for (i = 1; e && i < e->n_private_ips; i++) {
		push_text(w, private, addr_str(&e->private_ips[i]));
		push_text(w, public, addr_str(eni_public_ip(e, i)));
	}
}

static void show_nat(struct show *w, cJSON *map, const struct s_nat *n)
{
	cJSON *o = put_common(w, map, &n->o);
	const struct s_eni *e = n->eni;

	put_text(w, o, "failure_code", n->o.failure_code);
	put_text(w, o, "failure_message", n->o.failure_message);
	put_text(w, o, "connectivity_type", n->def->private_connectivity ? "private" : "public");
	put_text(w, o, "vpc", n->vpc->def->name);
	put_text(w, o, "subnet", n->def->subnet->name);
	put_addr(w, o, "private_ip", e && e->n_private_ips ? &e->private_ips[0] : NULL);
	put_addr(w, o, "public_ip", e ? &e->public_ip : NULL);
	put_secondary(w, o, e);
	put_text(w, o, "network_interface_id", e ? e->o.id : NULL);
	put_namespace(w, o, e ? n->ns : NULL);
	put(w, o, "metrics", metrics_json(w->l, n));
}

static void show_igw(struct show *w, cJSON *o, const struct s_vpc *v, const struct counts *c)
{
	cJSON *x;

	if (!v->igw.id) {
		put(w, o, "internet_gateway", cJSON_CreateNull());
		return;
	}
	x = put_object(w, o, "internet_gateway");
	put_text(w, x, "id", v->igw.id);
	put_text(w, x, "name", v->igw.name);
	put_text(w, x, "kind", object_kind_name(v->igw.kind));
	put_text(w, x, "state", v->igw.state);
	put_text(w, x, "route_table",
		 v->def->edge_route_table ? v->def->edge_route_table->name : NULL);
	put_dropped(w, put_object(w, x, "counters"), c, "igw");
}

static void show_flow_log(struct show *w, cJSON *map, const struct s_flow_log *l)
{
	static const char *const traffic[] = { "ALL", "ACCEPT", "REJECT" };
	struct flow_state at = flows_state(w->l, l->o.id);
	cJSON *o = put_common(w, map, &l->o);
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s/%s/%s", w->l->netd->dir.state, RUNDIR_LABS,
		       w->l->name, l->def->destination ? l->def->destination : "");
	put_text(w, o, "vpc", l->vpc->def->name);
	put_text(w, o, "resource", l->def->resource);
	put_text(w, o, "traffic_type", traffic[l->def->traffic_type]);
	put_number(w, o, "max_aggregation_interval", l->def->max_aggregation_interval);
	put_text(w, o, "log_format", l->def->log_format);
	put_text(w, o, "destination", l->def->destination ? path : NULL);
	put_number(w, o, "interval_ms", at.interval_ms);
	put_number(w, o, "records", at.records);
}

static void show_vpc(struct show *w, cJSON *map, const struct s_vpc *v)
{
	struct counts dropped = vpc_counts(w, v);
	cJSON *o = put_common(w, map, &v->o), *m;
	size_t i;

	put_text(w, o, "cidr_block", prefix_str(&v->def->cidr_block));
	m = put_array(w, o, "secondary_cidr_blocks");
	for (i = 0; i < v->def->n_secondary_cidr_blocks; i++)
		push_text(w, m, prefix_str(&v->def->secondary_cidr_blocks[i]));
	put_bool(w, o, "enable_dns_support", v->def->enable_dns_support);
	put_bool(w, o, "enable_dns_hostnames", v->def->enable_dns_hostnames);
	put_addr(w, o, "resolver", &v->resolver);
	put_namespace(w, o, v->ns);
	show_igw(w, o, v, &dropped);
	m = put_object(w, o, "subnets");
	for (i = 0; i < v->n_subnets; i++)
		show_subnet(w, m, &v->subnets[i]);
	m = put_object(w, o, "route_tables");
	for (i = 0; i < v->n_tables; i++)
		show_table(w, m, &v->tables[i]);
	m = put_object(w, o, "security_groups");
	for (i = 0; i < v->n_groups; i++)
		show_group(w, m, &v->groups[i]);
	m = put_object(w, o, "network_acls");
	for (i = 0; i < v->n_acls; i++)
		show_acl(w, m, &v->acls[i]);
	m = put_object(w, o, "nat_gateways");
	for (i = 0; i < v->n_nats; i++)
		show_nat(w, m, &v->nats[i]);
	m = put_object(w, o, "instances");
	for (i = 0; i < v->n_instances; i++)
		show_instance(w, m, &v->instances[i]);
	m = put_object(w, o, "flow_logs");
	for (i = 0; i < v->n_flow_logs; i++)
		show_flow_log(w, m, &v->flow_logs[i]);
	m = put_object(w, o, "network_interfaces");
	for (i = 0; i < v->n_enis; i++)
		show_eni(w, m, v->enis[i], &dropped);
	counts_done(&dropped);
}

/* ---- peerings ---- */

static void show_peering(struct show *w, cJSON *map, const struct s_peering *p)
{
	cJSON *o = put_common(w, map, &p->o), *sides;
	size_t i;

	put_text(w, o, "requester", p->def->requester->name);
	put_text(w, o, "accepter", p->def->accepter->name);
	put_text(w, o, "router_interface", p->active ? p->link : NULL);
	sides = put_object(w, o, "counters");
	for (i = 0; p->active && i < 2; i++) {
		struct counts c = read_counts(w, p->ends[i].vpc->ns, "ip vpc");
		cJSON *side = put_object(w, sides, p->ends[i].vpc->o.name);

		put_dropped(w, side, &c, p->link);
		counts_done(&c);
	}
}

/* ---- functions and the internet ---- */

static void show_function(struct show *w, cJSON *map, const struct s_function *f)
{
	cJSON *o = put_common(w, map, &f->o), *list, *places;
	size_t i;

	put_text(w, o, "state_reason_code", f->o.failure_code);
	put_text(w, o, "state_reason", f->o.failure_message);
	put_text(w, o, "runtime", f->def->runtime);
	put_text(w, o, "vpc", f->def->vpc ? f->def->vpc->name : NULL);
	list = put_array(w, o, "subnets");
	for (i = 0; i < f->def->n_subnets; i++)
		push_text(w, list, f->def->subnets[i]->name);
	list = put_array(w, o, "security_groups");
	for (i = 0; i < f->def->n_security_groups; i++)
		push_text(w, list, f->def->security_groups[i]->name);
	list = put_array(w, o, "network_interfaces");
	places = put_array(w, o, "places");
	for (i = 0; i < f->n_egresses; i++) {
		const struct s_egress *g = f->egresses[i];
		cJSON *x = push_object(w, places);

		if (g->eni)
			push_text(w, list, g->eni->o.id);
		put_text(w, x, "subnet", g->eni ? g->eni->subnet->def->name : NULL);
		put_text(w, x, "network_interface", g->eni ? g->eni->o.id : NULL);
		put_addr(w, x, "address", &g->address);
		put_text(w, x, "egress", g->ns);
	}
}

static void show_host(struct show *w, cJSON *map, const struct s_host *h)
{
	cJSON *o = put_common(w, map, &h->o), *names;
	size_t i;

	put_addr(w, o, "ip", &h->def->ip);
	put_addr(w, o, "private_ip", NULL);
	put_addr(w, o, "public_ip", &h->def->ip);
	names = put_array(w, o, "dns_names");
	for (i = 0; i < h->def->dns_names.n; i++)
		push_text(w, names, h->def->dns_names.v[i]);
	put(w, o, "pid", cJSON_CreateNull());
	put_namespace(w, o, h->ns);
}

static void show_internet(struct show *w, cJSON *doc)
{
	cJSON *o = put_object(w, doc, "internet"), *m;
	const struct s_egress *service = store_egress(w->s, "service");
	size_t i;

	put_addr(w, o, "service_ip", &w->s->lab->service_ip);
	put_text(w, o, "address_pool", prefix_str(&w->s->lab->address_pool));
	put_namespace(w, o, "internet");
	m = put_object(w, o, "endpoints");
	if (addr_is_set(&w->s->api))
		put_addr(w, m, w->s->api_name, &w->s->api);
	if (service) {
		struct counts c = read_counts(w, service->ns, "ip egress");
		cJSON *x = put_object(w, o, "service");

		put_addr(w, x, "address", &service->address);
		put_namespace(w, x, service->ns);
		put_dropped(w, put_object(w, x, "counters"), &c, NULL);
		counts_done(&c);
	}
	m = put_object(w, o, "hosts");
	for (i = 0; i < w->s->n_hosts; i++)
		show_host(w, m, &w->s->hosts[i]);
}

cJSON *show_lab(struct netlab *l, struct err *e)
{
	struct show w = { l, l->store, false };
	cJSON *doc, *m;
	size_t i;

	if (!l->store) {
		err_set(e, ERR_STATE, EIO, "lab %s could not be brought back", l->name);
		return NULL;
	}
	doc = kept(&w, cJSON_CreateObject());
	job_faults_pause();
	put_text(&w, doc, "lab", l->name);
	put_text(&w, doc, "id", l->store->id);
	put_text(&w, doc, "state", lab_state(l));
	put_text(&w, doc, "region", l->store->lab->region);
	put_number(&w, doc, "created", (double)l->created_ms);
	m = put_object(&w, doc, "vpcs");
	for (i = 0; i < l->store->n_vpcs; i++)
		show_vpc(&w, m, &l->store->vpcs[i]);
	m = put_object(&w, doc, "peerings");
	for (i = 0; i < l->store->n_peerings; i++)
		show_peering(&w, m, &l->store->peerings[i]);
	m = put_object(&w, doc, "functions");
	for (i = 0; i < l->store->n_functions; i++)
		show_function(&w, m, &l->store->functions[i]);
	show_internet(&w, doc);
	job_faults_resume();
	if (!l->job)
		spaces_trim(l->spaces);
	if (!w.failed)
		return doc;
	cJSON_Delete(doc);
	err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	return NULL;
}
