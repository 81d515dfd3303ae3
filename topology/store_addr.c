/* SPDX-License-Identifier: MIT */
/*
 * store_addr - addresses and indexes of links: first what a person fixed, then what
 * living owners had, then what is new, in the file's order.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "topology/store_internal.h"

#define FIRST_INDEX (2 * STORE_INDEX)
#define LAST_INDEX 0x7fffffff

/* ---- addresses ---- */

/* "WHAT ID" of texts that live as long as the store; neighbours mostly share it */
static const char *scope_of(struct build *b, const char *what, const char *id)
{
	if (b->scope_what != what || b->scope_id != id) {
		b->scope = pool_printf(b->pool, "%s %s", what, id);
		b->scope_what = what;
		b->scope_id = id;
	}
	return b->scope;
}

static const char *ip_scope(struct build *b, const struct s_eni *e)
{
	static const char what[] = "ip";

	return scope_of(b, what, e->subnet->o.id);
}

/* a further address of a NAT gateway, by the elastic one that it is for, so that it
 * stays when others come and go */
static const char *nat_owner(struct build *b, const struct s_nat *n, size_t i)
{
	const struct elastic *all = n->def->secondary_elastic_ips;
	size_t k, automatic = 1;

	if (!all[i - 1].automatic)
		return pool_printf(b->pool, "%s/%s", n->eni->o.id, addr_str(&all[i - 1].addr));
	for (k = 0; k + 1 < i; k++)
		automatic += all[k].automatic;
	return pool_printf(b->pool, "%s/auto-%zu", n->eni->o.id, automatic);
}

static const char *ip_owner(struct build *b, const struct s_eni *e, size_t i)
{
	if (i && e->type == ENI_NAT_GATEWAY)
		return nat_owner(b, (const void *)e->owner, i);
	return i ? pool_printf(b->pool, "%s/%zu", e->o.id, i) : e->o.id;
}

static const char *holder(const struct s_eni *e)
{
	return e->def || !e->owner ? e->o.name : e->owner->name;
}

/* "wants" asks for an address that "has" has */
static int ip_in_use(struct build *b, const struct s_eni *wants, const struct s_eni *has,
		     const struct addr *a)
{
	return build_fail_at(b, wants->o.path, ERR_ADDRESS_IN_USE, EADDRINUSE, "%s is in use by %s",
			     addr_str(a), has ? holder(has) : "another interface");
}

/* the interface that has a number of a subnet now */
static const struct s_eni *ip_holder(struct build *b, const char *scope, uint32_t at)
{
	const char *owner = alloc_owner(b->s->alloc, scope, at);
	char id[ID_SIZE];

	if (!owner)
		return NULL;
	(void)fmt_print(id, sizeof(id), "%.*s", (int)strcspn(owner, "/"), owner);
	return (const void *)store_by_id(b->s, id);
}

static int take_fixed(struct build *b, struct s_eni *e)
{
	struct addr base = prefix_first(&e->subnet->def->cidr_block);
	const char *scope = ip_scope(b, e);
	size_t i;
	int r;

	for (i = 0; i < e->n_private_ips; i++) {
		uint32_t at;

		if (!addr_is_set(&e->private_ips[i]))
			continue;
		at = addr_to_v4(&e->private_ips[i]) - addr_to_v4(&base);
		r = alloc_take(b->s->alloc, scope, ip_owner(b, e, i), at);
		if (r == -EADDRINUSE)
			return ip_in_use(b, e, ip_holder(b, scope, at), &e->private_ips[i]);
		if (r)
			return build_no_memory(b);
	}
	return 0;
}

static int keep_one(struct build *b, struct s_eni *e, size_t i)
{
	struct addr base = prefix_first(&e->subnet->def->cidr_block), a;
	const char *scope = ip_scope(b, e), *owner = ip_owner(b, e, i);
	uint32_t at = 0;
	int r;

	if (addr_is_set(&e->private_ips[i]))
		return 0;
	r = alloc_keep(b->s->alloc, build_old_alloc(b), scope, owner);
	if (!r)
		return 0;
	if (r != -EADDRINUSE || !alloc_find(build_old_alloc(b), scope, owner, &at))
		return build_no_memory(b);
	/* who fixed the address asks for one that this one has had */
	a = addr_v4(addr_to_v4(&base) + at);
	return ip_in_use(b, ip_holder(b, scope, at), e, &a);
}

static int keep_automatic(struct build *b, struct s_eni *e)
{
	size_t i;
	int r = 0;

	for (i = 0; i < e->n_private_ips && !r; i++)
		r = keep_one(b, e, i);
	return r;
}

static int give_one(struct build *b, struct s_eni *e, size_t i)
{
	const struct prefix *p = &e->subnet->def->cidr_block;
	struct addr base = prefix_first(p);
	uint32_t at;
	int r;

	if (addr_is_set(&e->private_ips[i]))
		return 0;
	/* VPC-9: base..base+3 and the last are nobody's */
	r = alloc_lowest(b->s->alloc, ip_scope(b, e), ip_owner(b, e, i),
			 MUTANT("five-reserved") ? 3 : 4, (uint32_t)prefix_n_addrs(p) - 2, &at);
	if (r == -ENOSPC) {
		return build_fail_at(b, e->o.path, ERR_NO_ADDRESS, ENOSPC,
				     "subnet %s has no free address left", e->subnet->o.name);
	}
	if (r)
		return build_no_memory(b);
	e->private_ips[i] = addr_v4(addr_to_v4(&base) + at);
	return 0;
}

static int give_automatic(struct build *b, struct s_eni *e)
{
	size_t i;
	int r = 0;

	for (i = 0; i < e->n_private_ips && !r; i++)
		r = give_one(b, e, i);
	return r;
}

typedef int (*eni_fn)(struct build *b, struct s_eni *e);

static int each_eni(struct build *b, eni_fn fn)
{
	size_t v, i;
	int r = 0;

	for (v = 0; v < b->s->n_vpcs; v++)
		for (i = 0; i < b->s->vpcs[v].n_enis && !r; i++)
			r = fn(b, b->s->vpcs[v].enis[i]);
	return r;
}

/* the wish for a public address of one of an interface's addresses */
struct elastic_wish {
	bool wanted, fixed, elastic;
	struct addr addr;
	const char *owner; /* in the allocation */
};

static const char *elastic_scope(struct build *b, const struct lab *l)
{
	return pool_printf(b->pool, "elastic %s", prefix_str(&l->address_pool));
}

static const char *launch_owner(struct build *b, const struct s_instance *in)
{
	return pool_printf(b->pool, "%s/public", in->o.id);
}

/* an instance that was there before this document */
static bool lived_before(struct build *b, const struct s_instance *in)
{
	char key[160];

	(void)store_key(key, OBJECT_INSTANCE, in->o.name);
	return build_past_get(build_old_past(b), key) == in->o.incarnation;
}

/*
 * Is it given an address at its launch (ENI-10)?  What the subnet says counts when the
 * instance comes, and so does whether it has one interface; one that loses its elastic
 * address is given one again.
 */
static bool launch_address(struct build *b, const struct s_instance *in)
{
	const struct instance *def = in->def;
	bool flag = def->associate_public_ip_address && in->n_enis == 1;
	const struct s_instance *old;
	uint32_t at;

	if (MUTANT("launch-address"))
		return false;
	old = b->old ? store_instance(b->old, in->o.name) : NULL;
	if (!def->inherits_public_ip_address || !lived_before(b, in) ||
	    (old && !old->def->inherits_public_ip_address) || MUTANT("launch-later"))
		return flag;
	if (alloc_find(build_old_alloc(b), elastic_scope(b, b->old ? b->old->lab : b->lab),
		       launch_owner(b, in), &at))
		return true;
	return old && old->def->elastic_ip.set && flag;
}

static void wish_of_instance(struct build *b, const struct s_instance *in, struct elastic_wish *w)
{
	const struct elastic *x = &in->def->elastic_ip;

	w->elastic = x->set;
	w->wanted = x->set || launch_address(b, in);
	w->fixed = x->set && !x->automatic;
	w->addr = x->addr;
	w->owner = x->set ? pool_printf(b->pool, "%s/elastic", in->o.id) : launch_owner(b, in);
}

static void wish_of_nat(struct build *b, const struct s_nat *n, size_t i, struct elastic_wish *w)
{
	const struct elastic *x = i ? &n->def->secondary_elastic_ips[i - 1] : &n->def->elastic_ip;

	w->elastic = true;
	w->wanted = !n->def->private_connectivity;
	w->fixed = x->set && !x->automatic;
	w->addr = x->addr;
	w->owner = i ? pool_printf(b->pool, "%s/elastic", nat_owner(b, n, i)) :
		       pool_printf(b->pool, "%s/elastic", n->o.id);
}

/* by the address that it is for, so that it stays when others come and go */
static void wish_of_interface(struct build *b, const struct s_eni *e, size_t i,
			      struct elastic_wish *w)
{
	size_t k;

	for (k = 0; k < e->def->n_elastic_ips; k++) {
		const struct elastic *x = &e->def->elastic_ips[k].eip;

		if (!addr_equal(&e->def->elastic_ips[k].private_ip, &e->private_ips[i]))
			continue;
		w->elastic = w->wanted = true;
		w->fixed = !x->automatic;
		w->addr = x->addr;
		w->owner = pool_printf(b->pool, "%s/elastic/%s", e->o.id,
				       addr_str(&e->private_ips[i]));
	}
}

static struct elastic_wish elastic_of(struct build *b, const struct s_eni *e, size_t i)
{
	struct elastic_wish w = { 0 };

	if (e->def)
		wish_of_interface(b, e, i, &w);
	else if (!i && e->type == ENI_INTERFACE)
		wish_of_instance(b, (const void *)e->owner, &w);
	else if (e->type == ENI_NAT_GATEWAY)
		wish_of_nat(b, (const void *)e->owner, i, &w);
	return w;
}

/* an address of the pool that somebody fixed is not given to another */
static int pool_take(struct build *b, const struct addr *a, const char *owner, const char *path)
{
	const struct prefix *p = &b->lab->address_pool;
	struct addr base = prefix_first(p);
	int r;

	if (!addr_is_set(a) || !prefix_has(p, a))
		return 0;
	r = alloc_take(b->s->alloc, elastic_scope(b, b->lab), owner,
		       addr_to_v4(a) - addr_to_v4(&base));
	if (r == -EADDRINUSE) {
		return build_fail_at(b, path, ERR_ADDRESS_IN_USE, EADDRINUSE,
				     "%s is in use in this lab", addr_str(a));
	}
	return r ? build_no_memory(b) : 0;
}

static void set_public(struct s_eni *e, size_t i, const struct addr *a)
{
	if (i)
		e->secondary_publics[i].addr = *a;
	else
		e->public_ip = *a;
}

static int elastic_take(struct build *b, struct s_eni *e)
{
	size_t i;
	int r = 0;

	for (i = 0; i < e->n_private_ips && !r; i++) {
		struct elastic_wish w = elastic_of(b, e, i);

		if (!w.wanted || !w.fixed)
			continue;
		set_public(e, i, &w.addr);
		r = pool_take(b, &w.addr, w.owner, e->o.path);
	}
	return r;
}

static int elastic_keep(struct build *b, struct s_eni *e)
{
	size_t i;
	int r = 0;

	for (i = 0; i < e->n_private_ips && !r; i++) {
		struct elastic_wish w = elastic_of(b, e, i);

		if (!w.wanted || w.fixed)
			continue;
		r = alloc_keep(b->s->alloc, build_old_alloc(b), elastic_scope(b, b->lab), w.owner);
		if (r == -EADDRINUSE) {
			return build_fail_at(
				b, e->o.path, ERR_ADDRESS_IN_USE, EADDRINUSE,
				"the automatic public address of %s was given to another",
				holder(e));
		}
	}
	return r ? build_no_memory(b) : 0;
}

/* AWS's id of an elastic address: the address's where a person chose it, so that it
 * moves along with it */
static void elastic_name(struct build *b, struct s_eni *e, size_t i, const struct elastic_wish *w)
{
	const char *id;
	char hex[18];

	hash_hex(hex, 17, "eipalloc\n%s\n%s", b->s->id, w->fixed ? addr_str(&w->addr) : w->owner);
	id = pool_printf(b->pool, "eipalloc-%s", hex);
	if (i)
		e->secondary_publics[i].id = id;
	else
		e->public_ip_id = id;
}

static int elastic_new(struct build *b, struct s_eni *e, size_t i, const struct elastic_wish *w)
{
	const struct prefix *p = &b->lab->address_pool;
	struct addr base = prefix_first(p), a;
	uint64_t n = prefix_n_addrs(p);
	uint32_t at = 0;
	int r;

	r = n < 3 ? -ENOSPC :
		    alloc_lowest(b->s->alloc, elastic_scope(b, b->lab), w->owner, 1,
				 (uint32_t)(n - 2), &at);
	if (r == -ENOSPC) {
		return build_fail_at(b, e->o.path, ERR_LIMIT, ENOSPC,
				     "address_pool %s has no free address left", prefix_str(p));
	}
	if (r)
		return build_no_memory(b);
	a = addr_v4(addr_to_v4(&base) + at);
	set_public(e, i, &a);
	return 0;
}

static int elastic_give(struct build *b, struct s_eni *e)
{
	size_t i;
	int r = 0;

	for (i = 0; i < e->n_private_ips && !r; i++) {
		struct elastic_wish w = elastic_of(b, e, i);

		if (!w.wanted)
			continue;
		if (w.elastic)
			elastic_name(b, e, i, &w);
		if (!w.fixed)
			r = elastic_new(b, e, i, &w);
	}
	return r;
}

static int reserve_internet(struct build *b)
{
	size_t i;
	int r = pool_take(b, &b->lab->service_ip, "service", "internet.service_ip");

	for (i = 0; i < b->s->n_hosts && !r; i++) {
		const struct s_host *h = &b->s->hosts[i];

		r = pool_take(b, &h->def->ip, h->o.id, h->o.path);
	}
	return r;
}

static bool is_public_of(const struct s_vpc *v, const struct addr *a)
{
	size_t i;

	for (i = 0; i < v->n_enis; i++)
		if (addr_is_set(eni_private_of(v->enis[i], a)))
			return true;
	return false;
}

static bool is_taken(const struct build *b, const struct addr *a)
{
	size_t i;

	if (addr_equal(&b->lab->service_ip, a) || prefix_has(&b->lab->address_pool, a))
		return true;
	for (i = 0; i < b->s->n_hosts; i++)
		if (addr_equal(&b->s->hosts[i].def->ip, a))
			return true;
	for (i = 0; i < b->s->n_vpcs; i++)
		if (is_public_of(&b->s->vpcs[i], a))
			return true;
	return false;
}

/* AWS's own endpoint: the first address of 192.0.2.11 to .254 that nobody has */
static void place_api(struct build *b)
{
	uint32_t i;

	if (!b->s->n_functions || MUTANT("api-endpoint"))
		return;
	for (i = 11; i < 255; i++) {
		struct addr a = addr_v4(0xc0000200u + i);

		if (is_taken(b, &a))
			continue;
		b->s->api = a;
		b->s->api_name = pool_printf(b->pool, "lambda.%s.amazonaws.com", b->lab->region);
		return;
	}
}

int build_addresses(struct build *b)
{
	int r = each_eni(b, take_fixed);

	if (!r)
		r = each_eni(b, keep_automatic);
	if (!r)
		r = each_eni(b, give_automatic);
	if (!r)
		r = reserve_internet(b);
	if (!r)
		r = each_eni(b, elastic_take);
	if (!r)
		r = each_eni(b, elastic_keep);
	if (!r)
		r = each_eni(b, elastic_give);
	if (!r)
		place_api(b);
	return r;
}

/* ---- indexes of links ---- */

static int give_index(struct build *b, const char *ns, const char *link, unsigned *ret)
{
	static const char what[] = "ifindex";
	const char *scope = scope_of(b, what, ns);
	uint32_t v;
	int r = alloc_keep(b->s->alloc, build_old_alloc(b), scope, link);

	if (!r)
		r = alloc_next(b->s->alloc, scope, link, FIRST_INDEX, LAST_INDEX, &v);
	if (r)
		return build_no_memory(b);
	*ret = v;
	return 0;
}

static int index_eni(struct build *b, struct s_eni *e)
{
	return give_index(b, e->vpc->ns, e->router_interface, &e->router_index);
}

static int index_peering(struct build *b, struct s_peering *p)
{
	int r = give_index(b, p->ends[0].vpc->ns, p->link, &p->ends[0].index);

	return r ? r : give_index(b, p->ends[1].vpc->ns, p->link, &p->ends[1].index);
}

int build_indexes(struct build *b)
{
	struct store *s = b->s;
	size_t i;
	int r = each_eni(b, index_eni);

	for (i = 0; i < s->n_hosts && !r; i++)
		r = give_index(b, "internet", s->hosts[i].link, &s->hosts[i].router_index);
	for (i = 0; i < s->n_vpcs && !r; i++)
		if (s->vpcs[i].igw.id)
			r = give_index(b, "internet", s->vpcs[i].igw_link, &s->vpcs[i].igw_index);
	for (i = 0; i < s->n_peerings && !r; i++)
		if (s->peerings[i].active)
			r = index_peering(b, &s->peerings[i]);
	for (i = 0; i < s->n_egresses && !r; i++) {
		struct s_egress *g = s->egresses[i];

		if (!g->eni)
			r = give_index(b, "internet", "svc", &g->router_index);
		else
			g->address = g->eni->private_ips[0];
	}
	return r;
}
