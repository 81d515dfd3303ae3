/* SPDX-License-Identifier: MIT */
/*
 * store - see store.h: the life of a store, look-ups, places.  Building one is
 * store_build.c, comparing store_compare.c, saving store_text.c.
 */
#include "topology/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "topology/store_internal.h"

const char *op_action_name(enum op_action a)
{
	static const char *const names[] = { "create", "update", "replace", "delete" };

	return names[a];
}

const char *eni_type_name(enum eni_type t)
{
	static const char *const names[] = { "interface", "nat_gateway", "lambda" };

	return names[t];
}

static const struct addr unset;

const struct addr *eni_public_ip(const struct s_eni *e, size_t i)
{
	if (!i)
		return &e->public_ip;
	return e->secondary_publics ? &e->secondary_publics[i].addr : &unset;
}

bool eni_is_public(const struct s_eni *e)
{
	size_t i;

	for (i = 0; i < e->n_private_ips; i++)
		if (addr_is_set(eni_public_ip(e, i)))
			return true;
	return false;
}

const struct addr *eni_public_of(const struct s_eni *e, const struct addr *private_ip)
{
	size_t i;

	for (i = 0; i < e->n_private_ips; i++)
		if (addr_equal(&e->private_ips[i], private_ip))
			return eni_public_ip(e, i);
	return &unset;
}

const struct addr *eni_private_of(const struct s_eni *e, const struct addr *public_ip)
{
	size_t i;

	for (i = 0; i < e->n_private_ips; i++)
		if (addr_is_set(eni_public_ip(e, i)) && addr_equal(eni_public_ip(e, i), public_ip))
			return &e->private_ips[i];
	return &unset;
}

const char *store_key(char ret[160], enum object_kind kind, const char *name)
{
	(void)fmt_print(ret, 160, "%s\t%s", object_kind_name(kind), name);
	return ret;
}

/* ---- life ---- */

void ops_done(struct ops *o)
{
	free(o->v);
	free(o->warnings);
	pool_free(o->arena);
	*o = (struct ops){ 0 };
}

static void place_free(struct s_place *p)
{
	if (p)
		free(p->token);
	free(p);
}

struct store *store_free(struct store *s)
{
	size_t i, k;

	if (!s)
		return NULL;
	for (i = 0; i < s->n_egresses; i++) {
		struct s_egress *g = s->egresses[i];

		for (k = 0; k < g->n_places; k++)
			place_free(g->places[k]);
		free(g->places);
	}
	if (s->index) {
		strmap_done(&s->index->by_name);
		strmap_done(&s->index->by_id);
		strmap_done(&s->index->lambda);
		strmap_done(&s->index->notes);
		free(s->index->list);
		free(s->index);
	}
	if (s->past)
		strmap_done(&s->past->map);
	free(s->past);
	alloc_free(s->alloc);
	pool_free(s->arena);
	lab_free(s->owned);
	free(s);
	return NULL;
}

int store_plan(const struct store *old, const struct lab *new, const char *seed,
	       const struct store_keep *keep, struct ops *ret, struct err *e)
{
	struct store *s;
	int r = store_build(old, NULL, new, seed, keep, &s, ret, e);

	if (!r)
		store_free(s);
	return r;
}

int store_commit(const struct store *old, struct lab *lab, const char *seed,
		 const struct store_keep *keep, struct store **ret, struct ops *ret_ops,
		 struct err *e)
{
	int r = store_build(old, NULL, lab, seed, keep, ret, ret_ops, e);

	if (!r)
		(*ret)->owned = lab;
	return r;
}

/* ---- look-ups ---- */

const struct object *store_find(const struct store *s, enum object_kind kind, const char *name)
{
	char key[160];

	return strmap_get(&s->index->by_name, store_key(key, kind, name));
}

const struct object *store_by_id(const struct store *s, const char *id)
{
	return strmap_get(&s->index->by_id, id);
}

/* the object is the first member of its struct, and structs are writable */
static void *find(const struct store *s, enum object_kind kind, const char *name)
{
	char key[160];

	return strmap_get(&s->index->by_name, store_key(key, kind, name));
}

struct s_instance *store_instance(const struct store *s, const char *name)
{
	return find(s, OBJECT_INSTANCE, name);
}

struct s_host *store_host(const struct store *s, const char *name)
{
	return find(s, OBJECT_HOST, name);
}

struct s_function *store_function(const struct store *s, const char *name)
{
	return find(s, OBJECT_FUNCTION, name);
}

struct s_vpc *store_vpc(const struct store *s, const char *name)
{
	return find(s, OBJECT_VPC, name);
}

struct s_vpc *store_vpc_of(const struct store *s, const struct vpc *def)
{
	return &s->vpcs[def - s->lab->vpcs];
}

struct s_subnet *store_subnet_of(const struct store *s, const struct subnet *def)
{
	return &store_vpc_of(s, def->vpc)->subnets[def - def->vpc->subnets];
}

struct s_table *store_table_of(const struct s_vpc *v, const struct route_table *def)
{
	return &v->tables[def - v->def->route_tables];
}

struct s_group *store_group_of(const struct store *s, const struct security_group *def)
{
	return &store_vpc_of(s, def->vpc)->groups[def - def->vpc->security_groups];
}

struct s_acl *store_acl_of(const struct s_vpc *v, const struct network_acl *def)
{
	return &v->acls[def - v->def->network_acls];
}

struct s_instance *store_instance_of(const struct store *s, const struct instance *def)
{
	return &store_vpc_of(s, def->vpc)->instances[def - def->vpc->instances];
}

struct s_nat *store_nat_of(const struct s_vpc *v, const struct nat_gateway *def)
{
	return &v->nats[def - v->def->nat_gateways];
}

const struct s_peer *store_peer_of(const struct s_vpc *v, const struct peering *def)
{
	size_t i;

	for (i = 0; i < v->n_peers; i++)
		if (v->peers[i]->peering->def == def)
			return v->peers[i];
	return NULL;
}

const struct s_peer *store_peer_by_link(const struct s_vpc *v, const char *link)
{
	size_t i;

	for (i = 0; i < v->n_peers; i++)
		if (v->peers[i]->peering->active && !strcmp(v->peers[i]->peering->link, link))
			return v->peers[i];
	return NULL;
}

struct s_eni *store_interface_of(const struct s_vpc *v, const struct network_interface *def)
{
	return v->network_interfaces[def - v->def->network_interfaces];
}

static const char *nat_namespace(const struct store *s, const char *name)
{
	const struct s_nat *n = find(s, OBJECT_NAT_GATEWAY, name);

	return n && n->eni ? n->ns : NULL;
}

const char *store_namespace(const struct store *s, const char *node)
{
	const struct s_instance *in;
	const struct s_host *h;
	const struct s_vpc *v;

	if (!strncmp(node, "router:", 7)) {
		v = store_vpc(s, node + 7);
		return v ? v->ns : NULL;
	}
	if (!strncmp(node, "nat_gateway:", 12))
		return nat_namespace(s, node + 12);
	if (!strcmp(node, "internet"))
		return "internet";
	in = store_instance(s, node);
	if (in)
		return in->ns;
	h = store_host(s, node);
	return h ? h->ns : NULL;
}

struct s_eni *store_eni_by_private(const struct s_vpc *v, const struct addr *a)
{
	size_t i, k;

	for (i = 0; i < v->n_enis; i++)
		for (k = 0; k < v->enis[i]->n_private_ips; k++)
			if (addr_equal(&v->enis[i]->private_ips[k], a))
				return v->enis[i];
	return NULL;
}

struct s_eni *store_eni_by_public(const struct store *s, const struct addr *a)
{
	size_t v, i;

	for (v = 0; v < s->n_vpcs; v++)
		for (i = 0; i < s->vpcs[v].n_enis; i++)
			if (s->vpcs[v].enis[i]->ns &&
			    addr_is_set(eni_private_of(s->vpcs[v].enis[i], a)))
				return s->vpcs[v].enis[i];
	return NULL;
}

struct s_eni *store_eni_by_link(const struct s_vpc *v, const char *router_interface)
{
	size_t i;

	for (i = 0; i < v->n_enis; i++)
		if (!strcmp(v->enis[i]->router_interface, router_interface))
			return v->enis[i];
	return NULL;
}

bool store_route_active(const struct s_vpc *v, const struct route *r)
{
	const struct s_peer *p;

	switch (r->target) {
	case TARGET_LOCAL:
	case TARGET_INSTANCE:
		return true;
	case TARGET_INTERNET_GATEWAY:
		return v->igw.id != NULL;
	case TARGET_NAT_GATEWAY:
		return store_nat_of(v, r->nat_gateway)->eni != NULL;
	case TARGET_PEERING:
		p = store_peer_of(v, r->peering);
		return p && p->peering->active;
	case TARGET_NETWORK_INTERFACE:
		return store_interface_of(v, r->network_interface)->ns != NULL;
	case TARGET_BLACKHOLE:
		break;
	}
	return false;
}

const struct s_eni *store_route_eni(const struct s_vpc *v, const struct route *r)
{
	if (!store_route_active(v, r))
		return NULL;
	if (r->target == TARGET_NAT_GATEWAY)
		return store_nat_of(v, r->nat_gateway)->eni;
	if (r->target == TARGET_INSTANCE)
		return v->instances[r->instance - v->def->instances].eni;
	return r->target == TARGET_NETWORK_INTERFACE ? store_interface_of(v, r->network_interface) :
						       NULL;
}

/* ---- addresses that change hands ---- */

struct forgotten {
	struct store_forgotten *v;
	size_t n, cap;
	bool failed;
};

static void forget(struct forgotten *f, const char *ns, const struct addr *a)
{
	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 16;
		struct store_forgotten *v = realloc(f->v, cap * sizeof(*v));

		if (!v) {
			f->failed = true;
			return;
		}
		f->v = v;
		f->cap = cap;
	}
	f->v[f->n++] = (struct store_forgotten){ ns, *a };
}

/* in the router, and in the VPC's NAT gateways that stay, whose flows begin there */
static void forget_private(struct forgotten *f, const struct s_vpc *v, const struct store *new,
			   const struct addr *a)
{
	size_t i;

	forget(f, v->ns, a);
	for (i = 0; i < v->n_peers; i++)
		if (store_vpc(new, v->peers[i]->other->o.name))
			forget(f, v->peers[i]->other->ns, a);
	for (i = 0; i < v->n_nats; i++)
		if (v->nats[i].eni && nat_namespace(new, v->nats[i].o.name))
			forget(f, v->nats[i].ns, a);
}

static bool has_private(const struct s_eni *e, const struct addr *a)
{
	size_t i;

	for (i = 0; i < e->n_private_ips; i++)
		if (addr_equal(&e->private_ips[i], a))
			return true;
	return false;
}

static void forget_all(struct forgotten *f, const char *ns, const struct s_eni *e)
{
	size_t i;

	for (i = 0; i < e->n_private_ips; i++)
		forget(f, ns, &e->private_ips[i]);
}

/* an interface that is moved has other programs behind its addresses */
static bool is_elsewhere(const struct s_eni *e, const struct s_eni *now)
{
	return !now || (!MUTANT("moved-forgotten") &&
			strcmp(e->ns ? e->ns : "", now->ns ? now->ns : "") != 0);
}

static void forget_eni(struct forgotten *f, const struct s_eni *e, const struct store *new)
{
	const struct s_eni *now = (const void *)store_by_id(new, e->o.id);
	size_t i;

	for (i = 0; i < e->n_private_ips; i++) {
		const struct addr *a = &e->private_ips[i], *public = eni_public_ip(e, i);

		if (is_elsewhere(e, now) || !has_private(now, a))
			forget_private(f, e->vpc, new, a);
		if (addr_is_set(public) && !MUTANT("elastic-forgotten") &&
		    (is_elsewhere(e, now) || !addr_equal(eni_public_of(now, a), public)))
			forget(f, e->vpc->ns, public);
	}
}

/* a peering that goes takes along what each side's router knows of the other's
 * addresses: another peering may bring the same ones */
static void forget_peering(struct forgotten *f, const struct s_peering *p, const struct store *new)
{
	const struct s_peering *now = (const void *)store_by_id(new, p->o.id);
	size_t i, k;

	if (!p->active || (now && now->active))
		return;
	for (i = 0; i < 2; i++)
		for (k = 0; k < p->ends[i].other->n_enis && store_vpc(new, p->ends[i].vpc->o.name);
		     k++)
			forget_all(f, p->ends[i].vpc->ns, p->ends[i].other->enis[k]);
}

int store_forgotten(const struct store *old, const struct store *new, struct store_forgotten **ret,
		    size_t *ret_n)
{
	struct forgotten f = { 0 };
	size_t v, i;

	for (v = 0; v < old->n_vpcs; v++)
		if (store_vpc(new, old->vpcs[v].o.name))
			for (i = 0; i < old->vpcs[v].n_enis; i++)
				forget_eni(&f, old->vpcs[v].enis[i], new);
	for (i = 0; i < old->n_peerings; i++)
		forget_peering(&f, &old->peerings[i], new);
	if (f.failed) {
		free(f.v);
		return -ENOMEM;
	}
	*ret = f.v;
	*ret_n = f.n;
	return 0;
}

/* ---- places ---- */

struct s_egress *store_egress(const struct store *s, const char *ns)
{
	size_t i;

	for (i = 0; i < s->n_egresses; i++)
		if (!strcmp(s->egresses[i]->ns, ns))
			return s->egresses[i];
	return NULL;
}

unsigned store_place_number(const struct s_egress *g, const char *ns)
{
	size_t len = strlen(g->ns);
	uint64_t n;

	if (strncmp(ns, g->ns, len) || strncmp(ns + len, ".p", 2) ||
	    parse_u64(ns + len + 2, 1, STORE_PLACES_MAX, &n))
		return 0;
	return (unsigned)n;
}

struct s_egress *store_egress_of_place(const struct store *s, const char *ns)
{
	size_t i;

	for (i = 0; i < s->n_egresses; i++)
		if (store_place_number(s->egresses[i], ns))
			return s->egresses[i];
	return NULL;
}

void place_init(const struct s_egress *g, struct s_place *p, unsigned number)
{
	*p = (struct s_place){ .number = number };
	(void)fmt_print(p->ns, sizeof(p->ns), "%s.p%u", g->ns, number);
	(void)fmt_print(p->mac, sizeof(p->mac), "02:00:00:01:%02x:%02x", number >> 8 & 255,
			number & 255);
	(void)fmt_print(p->egress_mac, sizeof(p->egress_mac), "02:00:00:02:%02x:%02x",
			number >> 8 & 255, number & 255);
}

static struct s_place *place_at(const struct s_egress *g, unsigned number)
{
	size_t i;

	for (i = 0; i < g->n_places; i++)
		if (g->places[i]->number == number)
			return g->places[i];
	return NULL;
}

static int set_token(struct s_place *p, const char *token)
{
	char *t = token ? strdup(token) : NULL;

	if (token && !t)
		return -ENOMEM;
	free(p->token);
	p->token = t;
	return 0;
}

static int place_make(struct s_egress *g, unsigned number, const char *token, struct s_place **ret)
{
	struct s_place *p;

	if (g->n_places == g->cap_places) {
		size_t cap = g->cap_places ? g->cap_places * 2 : 8;
		struct s_place **v = realloc(g->places, cap * sizeof(struct s_place *));

		if (!v)
			return -ENOMEM;
		g->places = v;
		g->cap_places = cap;
	}
	p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	place_init(g, p, number);
	if (set_token(p, token)) {
		free(p);
		return -ENOMEM;
	}
	g->places[g->n_places++] = p;
	if (ret)
		*ret = p;
	return 0;
}

int store_place_put(struct store *s, const char *egress, unsigned number, const char *token,
		    struct s_place **ret)
{
	struct s_egress *g = store_egress(s, egress);

	if (!g || !number || number > STORE_PLACES_MAX)
		return -ENOENT;
	if (place_at(g, number))
		return -EEXIST;
	if (number > g->last_place)
		g->last_place = number;
	return place_make(g, number, token, ret);
}

int store_place_add(struct store *s, const char *egress, const char *token, struct s_place **ret)
{
	struct s_egress *g = store_egress(s, egress);
	unsigned number, tried;

	if (!g)
		return -ENOENT;
	/* a number isn't used again soon: its link may still be going */
	for (number = g->last_place, tried = 0; tried < STORE_PLACES_MAX; tried++) {
		number = number % STORE_PLACES_MAX + 1;
		if (place_at(g, number))
			continue;
		g->last_place = number;
		return place_make(g, number, token, ret);
	}
	return -ENOSPC;
}

int store_place_take(struct store *s, const char *egress, const char *token, struct s_place **ret)
{
	struct s_egress *g = store_egress(s, egress);
	size_t i;
	int r;

	for (i = 0; g && i < g->n_places; i++) {
		if (g->places[i]->token)
			continue;
		r = set_token(g->places[i], token);
		if (!r && ret)
			*ret = g->places[i];
		return r;
	}
	return -ENOENT;
}

int store_place_remove(struct store *s, const char *egress, unsigned number)
{
	struct s_egress *g = store_egress(s, egress);
	size_t i;

	for (i = 0; g && i < g->n_places; i++) {
		if (g->places[i]->number != number)
			continue;
		place_free(g->places[i]);
		memmove(&g->places[i], &g->places[i + 1],
			(g->n_places - i - 1) * sizeof(struct s_place *));
		g->n_places--;
		return 0;
	}
	return -ENOENT;
}
