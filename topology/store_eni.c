/* SPDX-License-Identifier: MIT */
/*
 * store_eni - the interfaces that the service makes: of instances and NAT gateways,
 * and those that functions share; what those of the file have beside their object;
 * and the combinations of groups they all have.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "topology/store_internal.h"

/* ---- interfaces ---- */

static bool push(struct build *b, void *pp, size_t *n, size_t *cap, void *item)
{
	void ***v = pp;

	if (*n == *cap) {
		size_t want = *cap ? *cap * 2 : 16;
		void **r = pool_alloc(b->pool, want * sizeof(void *));

		if (!r)
			return false;
		if (*n)
			memcpy(r, *v, *n * sizeof(void *));
		*v = r;
		*cap = want;
	}
	(*v)[(*n)++] = item;
	return true;
}

/* names that follow from the id; copied where the same interface had them */
static void eni_names(struct build *b, struct s_eni *e, const struct s_eni *old)
{
	const char *hex = build_id_hex(e->o.id);

	if (old) {
		e->mac = pool_strdup(b->pool, old->mac);
		e->router_mac = pool_strdup(b->pool, old->router_mac);
		e->router_interface = pool_strdup(b->pool, old->router_interface);
		return;
	}
	e->mac = build_mac_of(b, "02", hex);
	e->router_mac = build_mac_of(b, "06", hex);
	e->router_interface = pool_printf(b->pool, "eni-%.11s", hex);
}

/* what every interface has; its object has an id already */
static bool eni_init(struct build *b, struct s_eni *e, struct s_vpc *v, enum eni_type type,
		     struct s_subnet *subnet, const struct s_eni *old)
{
	if (!push(b, &v->enis, &v->n_enis, &v->cap_enis, e))
		return false;
	eni_names(b, e, old);
	e->type = type;
	e->vpc = v;
	e->subnet = subnet;
	e->idle = store_idle_default;
	e->source_dest_check = true;
	e->description = "";
	e->device = "eth0";
	e->index = STORE_INDEX;
	return true;
}

/* one that the service makes.  "old": the interface as the store before had it, if it
 * is the same one */
static struct s_eni *eni_make(struct build *b, struct s_vpc *v, enum eni_type type,
			      struct s_subnet *subnet, const struct s_eni *old, const char *key,
			      const char *path)
{
	struct s_eni *e = pool_alloc(b->pool, sizeof(*e));

	if (!e)
		return NULL;
	e->o = (struct object){
		.kind = OBJECT_NETWORK_INTERFACE,
		.origin = ORIGIN_SERVICE,
		.incarnation = 1,
		.path = path,
		.state = "in-use",
	};
	e->o.id = old ? pool_strdup(b->pool, old->o.id) :
			build_make_id(b, OBJECT_NETWORK_INTERFACE, key, 1);
	e->o.name = e->o.id;
	build_index_object(b, &e->o);
	return eni_init(b, e, v, type, subnet, old) ? e : NULL;
}

/* automatic where none is given */
static int eni_addresses(struct build *b, struct s_eni *e, const struct addr *v, size_t n)
{
	e->n_private_ips = n ? n : 1;
	e->private_ips = pool_alloc(b->pool, e->n_private_ips * sizeof(*e->private_ips));
	if (!e->private_ips)
		return build_no_memory(b);
	if (n)
		memcpy(e->private_ips, v, n * sizeof(*e->private_ips));
	return 0;
}

/* the groups by number, each once */
static int eni_groups(struct build *b, struct s_eni *e, const struct security_group *const *defs,
		      size_t n)
{
	size_t i, k;

	e->groups = pool_alloc(b->pool, (n + 1) * sizeof(struct s_group *));
	if (!e->groups)
		return build_no_memory(b);
	for (i = 0; i < n; i++) {
		struct s_group *g = store_group_of(b->s, defs[i]);

		for (k = e->n_groups; k > 0 && e->groups[k - 1]->number > g->number; k--)
			;
		if (k && e->groups[k - 1] == g)
			continue;
		memmove(&e->groups[k + 1], &e->groups[k],
			(e->n_groups - k) * sizeof(struct s_group *));
		e->groups[k] = g;
		e->n_groups++;
	}
	return 0;
}

static const char *groups_text(struct build *b, struct s_group *const *groups, size_t n)
{
	auto_buf struct buf text = BUF_INIT;
	size_t i;

	for (i = 0; i < n; i++)
		buf_printf(&text, "%s%s", i ? "," : "", groups[i]->o.id);
	return buf_error(&text) ? "" : pool_strdup(b->pool, buf_str(&text));
}

const struct s_idle store_idle_default = { STORE_TCP_ESTABLISHED, STORE_UDP_STREAM, STORE_UDP };

static struct s_idle idle_of(const struct tracking *t)
{
	struct s_idle r = store_idle_default;

	if (t->tcp_established_timeout)
		r.tcp_established = t->tcp_established_timeout;
	if (t->udp_stream_timeout)
		r.udp_stream = t->udp_stream_timeout;
	if (t->udp_timeout)
		r.udp = t->udp_timeout;
	return r;
}

/* of the interface's groups and tracking: by this name its number is kept */
static const char *combination_text(struct build *b, const struct s_eni *e)
{
	const char *groups = groups_text(b, e->groups, e->n_groups);
	const struct s_idle *t = &e->idle;

	if (!s_idle_equal(t, &store_idle_default))
		groups = pool_printf(b->pool, "%s idle %u %u %u", groups, t->tcp_established,
				     t->udp_stream, t->udp);
	if (e->type == ENI_LAMBDA)
		return pool_printf(b->pool, "%s lambda", groups);
	if (!e->source_dest_check)
		return pool_printf(b->pool, "%s %s", groups, e->o.id);
	return groups;
}

/* the combination of the interface's groups; numbers are given later */
static int eni_combination(struct build *b, struct s_eni *e)
{
	const char *owner = combination_text(b, e);
	const char *key = pool_printf(b->pool, "%s %s", e->vpc->o.id, owner);
	struct s_combination *c = strmap_get(&b->combinations, key);

	if (!c) {
		c = pool_alloc(b->pool, sizeof(*c));
		if (!c || !push(b, &e->vpc->combinations, &e->vpc->n_combinations,
				&e->vpc->cap_combinations, c))
			return build_no_memory(b);
		c->owner = owner;
		c->middlebox = e->source_dest_check ? NULL : &e->o;
		c->idle = e->idle;
		c->always = e->type == ENI_LAMBDA;
		c->groups = e->groups;
		c->n_groups = e->n_groups;
		strmap_put(&b->combinations, key, c);
	}
	e->combination = c;
	return 0;
}

/* whoever had a number keeps it before anybody gets a new one */
static int build_slots(struct build *b, struct s_vpc *v)
{
	const char *scope = pool_printf(b->pool, "slot %s", v->o.id);
	size_t i;
	int r = 0;

	for (i = 0; i < v->n_combinations && !r; i++)
		if (v->combinations[i]->middlebox)
			r = alloc_keep(b->s->alloc, build_old_alloc(b), scope,
				       v->combinations[i]->middlebox->id);
	for (i = 0; i < v->n_combinations && !r; i++) {
		struct s_combination *c = v->combinations[i];
		uint32_t n = 0;

		if (!c->middlebox)
			continue;
		r = alloc_lowest(b->s->alloc, scope, c->middlebox->id, 1, STORE_SLOTS_MAX, &n);
		c->slot = n;
	}
	if (!r)
		return 0;
	return r == -ENOMEM ? build_no_memory(b) :
			      build_fail_at(b, v->o.path, ERR_LIMIT, -r,
					    "more than %d interfaces of a VPC with "
					    "source_dest_check off",
					    STORE_SLOTS_MAX);
}

int build_combinations(struct build *b, struct s_vpc *v)
{
	const char *scope = pool_printf(b->pool, "combination %s", v->o.id);
	size_t i;
	uint32_t n;
	int r = 0;

	for (i = 0; i < v->n_combinations && !r; i++)
		r = alloc_keep(b->s->alloc, build_old_alloc(b), scope, v->combinations[i]->owner);
	for (i = 0; i < v->n_combinations && !r; i++) {
		struct s_combination *c = v->combinations[i];

		r = alloc_lowest(b->s->alloc, scope, c->owner, 1, STORE_COMBINATIONS_MAX, &n);
		c->number = n;
	}
	if (!r)
		return build_slots(b, v);
	return r == -ENOMEM ?
		       build_no_memory(b) :
		       err_set(b->e, ERR_LIMIT, -r, "more than %d combinations of groups in a VPC",
			       STORE_COMBINATIONS_MAX);
}

static int make_instance_eni(struct build *b, struct s_instance *in)
{
	const struct instance *def = in->def;
	const struct s_instance *old = b->old ? (const void *)store_by_id(b->old, in->o.id) : NULL;
	struct s_eni *e;
	char key[ID_SIZE + 8];
	int r;

	(void)fmt_print(key, sizeof(key), "%s/eth0", in->o.id);
	e = eni_make(b, in->vpc, ENI_INTERFACE, store_subnet_of(b->s, def->subnet),
		     old ? old->eni : NULL, key, in->o.path);
	if (!e)
		return build_no_memory(b);
	in->eni = e;
	e->owner = &in->o;
	e->ns = in->ns;
	e->idle = idle_of(&def->connection_tracking);
	e->source_dest_check = def->source_dest_check;
	in->enis = pool_alloc(b->pool, instance_n_interfaces(def) * sizeof(struct s_eni *));
	if (!in->enis)
		return build_no_memory(b);
	in->enis[in->n_enis++] = e;
	r = eni_addresses(b, e, def->private_ips, def->n_private_ips);
	if (!r)
		r = eni_groups(b, e, def->security_groups, def->n_security_groups);
	return r ? r : eni_combination(b, e);
}

/* by device index; the instance's own is the first */
static void attach(struct build *b, struct s_eni *e, struct s_instance *in)
{
	size_t k = in->n_enis++;

	e->owner = &in->o;
	e->ns = in->ns;
	e->device_index = (unsigned)e->def->device_index;
	e->device = pool_printf(b->pool, "eth%u", e->device_index);
	e->index = STORE_INDEX + e->device_index;
	for (; k > 1 && in->enis[k - 1]->device_index > e->device_index; k--)
		in->enis[k] = in->enis[k - 1];
	in->enis[k] = e;
}

static int make_own_eni(struct build *b, struct s_vpc *v, struct s_eni *e)
{
	const struct network_interface *def = e->def;
	int r;

	if (!eni_init(b, e, v, ENI_INTERFACE, store_subnet_of(b->s, def->subnet), NULL))
		return build_no_memory(b);
	e->idle = idle_of(&def->connection_tracking);
	e->source_dest_check = def->source_dest_check;
	r = eni_addresses(b, e, def->private_ips, def->n_private_ips);
	if (r)
		return r;
	if (def->n_elastic_ips) {
		e->secondary_publics =
			pool_alloc(b->pool, e->n_private_ips * sizeof(*e->secondary_publics));
		if (!e->secondary_publics)
			return build_no_memory(b);
	}
	r = eni_groups(b, e, def->security_groups, def->n_security_groups);
	return r ? r : eni_combination(b, e);
}

/* a private address for each elastic one (NAT-4); the file may choose the first */
static int nat_addresses(struct build *b, struct s_eni *e, const struct nat_gateway *def)
{
	e->n_private_ips = 1 + def->n_secondary_elastic_ips;
	e->private_ips = pool_alloc(b->pool, e->n_private_ips * sizeof(*e->private_ips));
	if (!e->private_ips)
		return build_no_memory(b);
	e->private_ips[0] = def->private_ip;
	if (e->n_private_ips == 1)
		return 0;
	e->secondary_publics =
		pool_alloc(b->pool, e->n_private_ips * sizeof(*e->secondary_publics));
	return e->secondary_publics ? 0 : build_no_memory(b);
}

static int make_nat_eni(struct build *b, struct s_nat *n)
{
	struct s_eni *e;

	if (n->o.failure_code)
		return 0;
	e = eni_make(b, n->vpc, ENI_NAT_GATEWAY, store_subnet_of(b->s, n->def->subnet), NULL,
		     n->o.id, n->o.path);
	if (!e)
		return build_no_memory(b);
	n->eni = e;
	e->owner = &n->o;
	e->ns = n->ns;
	e->source_dest_check = false;
	if (!MUTANT("nat-interface"))
		e->description = pool_printf(b->pool, "Interface for NAT Gateway %s", n->o.id);
	return nat_addresses(b, e, n->def);
}

/* NAT gateways, instances and interfaces of a VPC in the order in which the file names
 * them; one of these is set */
struct wish {
	struct json_pos pos;
	struct s_nat *nat;
	struct s_instance *instance;
	struct s_eni *eni;
};

static int wish_cmp(const void *a, const void *b)
{
	const struct wish *x = a, *y = b;

	if (x->pos.line != y->pos.line)
		return x->pos.line < y->pos.line ? -1 : 1;
	return (x->pos.column > y->pos.column) - (x->pos.column < y->pos.column);
}

static int make_wish(struct build *b, struct s_vpc *v, const struct wish *w)
{
	return w->nat	   ? make_nat_eni(b, w->nat) :
	       w->instance ? make_instance_eni(b, w->instance) :
			     make_own_eni(b, v, w->eni);
}

int build_enis(struct build *b, struct s_vpc *v)
{
	size_t n = v->n_nats + v->n_instances + v->n_network_interfaces, at = 0, i;
	auto_free struct wish *w = calloc(n + 1, sizeof(*w));
	int r = 0;

	if (!w)
		return build_no_memory(b);
	for (i = 0; i < v->n_nats; i++)
		w[at++] = (struct wish){ .pos = v->nats[i].def->at.pos, .nat = &v->nats[i] };
	for (i = 0; i < v->n_instances; i++)
		w[at++] = (struct wish){ .pos = v->instances[i].def->at.pos,
					 .instance = &v->instances[i] };
	for (i = 0; i < v->n_network_interfaces; i++)
		w[at++] = (struct wish){ .pos = v->network_interfaces[i]->def->at.pos,
					 .eni = v->network_interfaces[i] };
	qsort(w, n, sizeof(*w), wish_cmp);
	for (i = 0; i < n && !r; i++)
		r = make_wish(b, v, &w[i]);
	/* an interface may stand before its instance in the file */
	for (i = 0; i < v->n_network_interfaces && !r; i++)
		if (v->network_interfaces[i]->def->attach_to)
			attach(b, v->network_interfaces[i],
			       store_instance_of(b->s, v->network_interfaces[i]->def->attach_to));
	return r;
}

/* ---- functions ---- */

static struct s_egress *egress_add(struct build *b, const char *ns, struct s_eni *e)
{
	struct s_egress *g = pool_alloc(b->pool, sizeof(*g));

	if (!g || !push(b, &b->s->egresses, &b->s->n_egresses, &b->s->cap_egresses, g))
		return NULL;
	g->ns = ns;
	g->eni = e;
	return g;
}

struct s_egress *build_service_egress(struct build *b)
{
	struct s_egress *g = store_egress(b->s, "service");

	if (g)
		return g;
	g = egress_add(b, "service", NULL);
	if (!g)
		return NULL;
	g->address = b->lab->service_ip;
	g->mac = build_mac_of(b, "02", build_id_hex(b->s->id));
	g->router_mac = build_mac_of(b, "06", build_id_hex(b->s->id));
	return g;
}

/* a description is its first function's, for as long as the interface lives */
static const char *lambda_description(struct build *b, const struct s_eni *e, const char *name)
{
	const struct strmap *notes = b->old   ? &b->old->index->notes :
				     b->saved ? b->saved->notes :
						NULL;
	const char *kept = notes ? strmap_get(notes, e->o.id) : NULL;
	char u[33];

	if (kept)
		return pool_strdup(b->pool, kept);
	hash_hex(u, 32, "uuid\n%s", e->o.id);
	return pool_printf(b->pool, "AWS Lambda VPC ENI-%s-%.8s-%.4s-4%.3s-a%.3s-%.12s", name, u,
			   u + 8, u + 13, u + 17, u + 20);
}

/* which of the interfaces with this key ever: another one each time that none was there */
static unsigned lambda_incarnation(struct build *b, const char *key)
{
	const char *past_key = pool_printf(b->pool, "lambda\t%s", key);
	unsigned n = build_past_get(build_old_past(b), past_key);

	if (!n || (b->old && !strmap_get(&b->old->index->lambda, key)))
		n++;
	strmap_put(&b->s->past->map, past_key, (void *)(uintptr_t)n);
	return n;
}

struct s_egress *build_lambda_egress(struct build *b, struct s_subnet *sn,
				     const struct security_group *const *groups, size_t n,
				     const char *name, const char *path)
{
	struct s_eni probe = { .vpc = sn->vpc }, *e;
	struct s_egress *g;
	const char *key;

	if (eni_groups(b, &probe, groups, n))
		return NULL;
	key = pool_printf(b->pool, "%s %s", sn->o.id, groups_text(b, probe.groups, probe.n_groups));
	g = strmap_get(&b->s->index->lambda, key);
	if (g)
		return g;
	e = eni_make(b, sn->vpc, ENI_LAMBDA, sn, NULL,
		     pool_printf(b->pool, "lambda %s %u", key, lambda_incarnation(b, key)), path);
	if (!e)
		return NULL;
	e->groups = probe.groups;
	e->n_groups = probe.n_groups;
	e->n_private_ips = 1;
	e->private_ips = pool_alloc(b->pool, sizeof(*e->private_ips));
	e->description = lambda_description(b, e, name);
	strmap_put(&b->s->index->notes, e->o.id, e->description);
	e->ns = pool_printf(b->pool, "egress.%.8s", build_id_hex(e->o.id));
	if (!e->private_ips || eni_combination(b, e))
		return NULL;
	g = egress_add(b, e->ns, e);
	if (g) {
		g->key = key;
		g->mac = e->mac;
		g->router_mac = e->router_mac;
		strmap_put(&b->s->index->lambda, key, g);
	}
	return g;
}

/* ---- whether its network can be made (LN-27) ---- */

static const char *lambda_key(struct build *b, const struct s_subnet *sn,
			      const struct function *def)
{
	struct s_eni probe = { .vpc = sn->vpc };

	if (eni_groups(b, &probe, def->security_groups, def->n_security_groups))
		return NULL;
	return pool_printf(b->pool, "%s %s", sn->o.id,
			   groups_text(b, probe.groups, probe.n_groups));
}

/* was its interface there before?  What has an address keeps it before anybody new gets one */
static bool was_there(struct build *b, const struct s_subnet *sn, const char *key)
{
	const char *id;
	uint32_t at;

	if (b->old)
		return strmap_get(&b->old->index->lambda, key) != NULL;
	if (!b->saved)
		return false;
	id = build_make_id(b, OBJECT_NETWORK_INTERFACE,
			   pool_printf(b->pool, "lambda %s %u", key, lambda_incarnation(b, key)),
			   1);
	return alloc_find(b->saved->alloc, pool_printf(b->pool, "ip %s", sn->o.id), id, &at);
}

/* VPC-9: five of a subnet are nobody's */
static size_t free_addresses(const struct s_subnet *sn)
{
	size_t n = (size_t)prefix_n_addrs(&sn->def->cidr_block) - 5, used = 0, i;

	for (i = 0; i < sn->vpc->n_enis; i++)
		if (sn->vpc->enis[i]->subnet == sn)
			used += sn->vpc->enis[i]->n_private_ips;
	return n > used ? n - used : 0;
}

static size_t n_lambda_enis(const struct s_vpc *v)
{
	size_t n = 0, i;

	for (i = 0; i < v->n_enis; i++)
		n += v->enis[i]->type == ENI_LAMBDA;
	return n;
}

static void fail_function(struct s_function *f, const char *code, const char *why)
{
	f->o.state = "Failed";
	f->o.failure_code = code;
	f->o.failure_message = why;
}

/* before anything of it is made: there is room for all its interfaces, or it fails */
static void check_room(struct build *b, struct s_function *f)
{
	const struct function *def = f->def;
	size_t i, more = 0;

	for (i = 0; i < def->n_subnets; i++) {
		const struct s_subnet *sn = store_subnet_of(b->s, def->subnets[i]);
		const char *key = lambda_key(b, sn, def);

		if (!key || strmap_get(&b->s->index->lambda, key))
			continue;
		more++;
		if (!free_addresses(sn) && !MUTANT("function-without-address"))
			fail_function(f, "SubnetOutOfIPAddresses",
				      "Lambda was not able to set up VPC access for the Lambda "
				      "function because one or more configured subnets has no "
				      "available IP addresses.");
	}
	if (more && n_lambda_enis(store_vpc_of(b->s, def->vpc)) + more > STORE_LAMBDA_MAX &&
	    !MUTANT("eni-quota"))
		fail_function(f, "EniLimitExceeded",
			      "Lambda was not able to create an elastic network interface in the "
			      "VPC, specified as part of Lambda function configuration, because "
			      "the limit for network interfaces has been reached.");
}

static struct s_egress *function_egress(struct build *b, struct s_function *f, size_t i)
{
	const struct function *def = f->def;

	if (!def->vpc)
		return build_service_egress(b);
	return build_lambda_egress(b, store_subnet_of(b->s, def->subnets[i]), def->security_groups,
				   def->n_security_groups, def->name, f->o.path);
}

static bool service_was_there(const struct build *b)
{
	return b->old && store_egress(b->old, "service");
}

/* the way that it has already, or that others with its subnet and groups have */
static int keep_ways(struct build *b, struct s_function *f)
{
	size_t i;

	if (!f->def->vpc && service_was_there(b) && !function_egress(b, f, 0))
		return build_no_memory(b);
	for (i = 0; i < f->def->n_subnets; i++) {
		const struct s_subnet *sn = store_subnet_of(b->s, f->def->subnets[i]);
		const char *key = lambda_key(b, sn, f->def);

		if (!key || (was_there(b, sn, key) && !function_egress(b, f, i)))
			return build_no_memory(b);
	}
	return 0;
}

static int make_ways(struct build *b, struct s_function *f)
{
	const struct s_function *old = b->old ? store_function(b->old, f->def->name) : NULL;
	size_t i;

	if (f->def->vpc)
		check_room(b, f);
	/* an update that fails leaves what was (LN-24): here, with all that came with it */
	if (f->o.failure_code && old && !old->o.failure_code)
		return build_fail_at(b, f->o.path,
				     strcmp(f->o.failure_code, "EniLimitExceeded") ?
					     ERR_NO_ADDRESS :
					     ERR_ENI_LIMIT,
				     ENOSPC, "%s", f->o.failure_message);
	if (f->o.failure_code) {
		build_warn(b, &f->o);
		return 0;
	}
	f->n_egresses = f->def->vpc ? f->def->n_subnets : 1;
	f->egresses = pool_alloc(b->pool, (f->n_egresses + 1) * sizeof(struct s_egress *));
	for (i = 0; f->egresses && i < f->n_egresses; i++) {
		f->egresses[i] = function_egress(b, f, i);
		if (!f->egresses[i])
			return build_no_memory(b);
	}
	return f->egresses ? 0 : build_no_memory(b);
}

static void make_function(struct build *b, struct s_function *f, const struct function *def)
{
	const struct s_function *old = b->old ? store_function(b->old, def->name) : NULL;
	struct change c = { 0 };

	f->def = def;
	f->o = build_object_head(b, OBJECT_FUNCTION, NULL, def->name, def->at.path);
	f->o.state = "Active";
	build_object_make(b, &f->o, f->o.name, old ? &old->o : NULL, &c);
}

int build_functions(struct build *b)
{
	struct store *s = b->s;
	size_t i;
	int r = 0;

	for (i = 0; i < s->n_functions; i++)
		make_function(b, &s->functions[i], &b->lab->functions[i]);
	for (i = 0; i < s->n_functions && !r; i++)
		r = keep_ways(b, &s->functions[i]);
	if (!r)
		r = build_idle(b);
	for (i = 0; i < s->n_functions && !r; i++)
		r = make_ways(b, &s->functions[i]);
	return r;
}
