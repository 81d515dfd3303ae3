/* SPDX-License-Identifier: MIT */
/*
 * store_build - a document becomes the objects of a store, beside those of the
 * store before it.
 *
 * First come the objects that a person named, each matched by kind and name with
 * its predecessor: kept (same id and numbers), or replaced or new (another
 * incarnation, another id).  Then the interfaces that the service makes for them
 * (store_eni.c), then numbers (store_addr.c).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "topology/edit.h"
#include "topology/store_internal.h"

static const char *const kind_names[OBJECT_N_KINDS] = {
#define OBJECT_NAME(sym, name, prefix) name,
	OBJECT_KINDS(OBJECT_NAME)
#undef OBJECT_NAME
};
static const char *const id_prefixes[OBJECT_N_KINDS] = {
#define OBJECT_PREFIX(sym, name, prefix) prefix,
	OBJECT_KINDS(OBJECT_PREFIX)
#undef OBJECT_PREFIX
};

const char *object_kind_name(enum object_kind k)
{
	return (unsigned)k < OBJECT_N_KINDS ? kind_names[k] : "?";
}

int build_no_memory(struct build *b)
{
	return err_set(b->e, ERR_INTERNAL, ENOMEM, "store: out of memory");
}

int build_fail_at(struct build *b, const char *path, enum err_code code, int errnum,
		  const char *fmt, ...)
{
	char msg[300];
	va_list ap;
	int r;

	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	r = err_set(b->e, code, errnum, "%s", msg);
	err_path(b->e, "%s", path);
	return r;
}

const struct alloc *build_old_alloc(const struct build *b)
{
	return b->old ? b->old->alloc : b->saved ? b->saved->alloc : NULL;
}

/* ---- operations ---- */

static void op_add(struct build *b, enum op_action action, const struct object *o,
		   const char *because)
{
	struct ops *ops = b->ops;

	if (!ops || o->origin != ORIGIN_FILE || o->kind == OBJECT_FUNCTION)
		return;
	if (ops->n == ops->cap) {
		size_t cap = ops->cap ? ops->cap * 2 : 32;
		struct op *v = realloc(ops->v, cap * sizeof(*v));

		if (!v) {
			b->failed = true;
			return;
		}
		ops->v = v;
		ops->cap = cap;
	}
	ops->v[ops->n++] = (struct op){
		.action = action,
		.kind = o->kind,
		.name = pool_strdup(ops->arena, o->name),
		.id = pool_strdup(ops->arena, o->id),
		.because = pool_strdup(ops->arena, because),
	};
}

/* nothing where nothing changed */
static void op_changed(struct build *b, const struct object *o, const struct change *c)
{
	const char *members = c->fixed[0] ? c->fixed : c->free_;
	char text[260];

	if (!members[0])
		return;
	(void)fmt_print(text, sizeof(text), "%s changed", members);
	op_add(b, c->fixed[0] ? OP_REPLACE : OP_UPDATE, o, text);
}

void build_warn(struct build *b, const struct object *o)
{
	struct ops *ops = b->ops;

	if (!ops)
		return;
	if (ops->n_warnings == ops->cap_warnings) {
		size_t cap = ops->cap_warnings ? ops->cap_warnings * 2 : 8;
		struct store_warning *v = realloc(ops->warnings, cap * sizeof(*v));

		if (!v) {
			b->failed = true;
			return;
		}
		ops->warnings = v;
		ops->cap_warnings = cap;
	}
	ops->warnings[ops->n_warnings++] = (struct store_warning){
		.path = pool_strdup(ops->arena, o->path),
		.code = pool_strdup(ops->arena, o->failure_code),
		.msg = pool_strdup(ops->arena, o->failure_message),
	};
}

/* ---- objects ---- */

const char *build_make_id(struct build *b, enum object_kind kind, const char *key,
			  unsigned incarnation)
{
	char hex[18];

	hash_hex(hex, 17, "%s\n%s\n%s\n%s\n%u", b->s->seed, b->lab->name, kind_names[kind], key,
		 incarnation);
	return pool_printf(b->pool, "%s%s", id_prefixes[kind], hex);
}

/* the text after the id's prefix */
const char *build_id_hex(const char *id)
{
	return strrchr(id, '-') + 1;
}

void build_index_object(struct build *b, struct object *o)
{
	struct store_index *x = b->s->index;
	char key[160];

	strmap_put(&x->by_name, pool_strdup(b->pool, store_key(key, o->kind, o->name)), o);
	strmap_put(&x->by_id, o->id, o);
	if (o->origin != ORIGIN_FILE)
		return;
	if (x->n == x->cap) {
		size_t cap = x->cap ? x->cap * 2 : 64;
		struct object **v = realloc(x->list, cap * sizeof(struct object *));

		if (!v) {
			x->by_id.failed = true;
			return;
		}
		x->list = v;
		x->cap = cap;
	}
	x->list[x->n++] = o;
}

unsigned build_past_get(const struct store_past *p, const char *key)
{
	return p ? (unsigned)(uintptr_t)strmap_get(&p->map, key) : 0;
}

const struct store_past *build_old_past(const struct build *b)
{
	return b->old ? b->old->past : b->saved ? b->saved->past : NULL;
}

void build_object_make(struct build *b, struct object *o, const char *key, const struct object *old,
		       const struct change *c)
{
	char past_key[160];
	unsigned last;

	(void)store_key(past_key, o->kind, key);
	last = build_past_get(build_old_past(b), past_key);
	if (old && !c->fixed[0])
		o->incarnation = old->incarnation;
	else if (b->saved && last)
		o->incarnation = last;
	else
		o->incarnation = last + 1;
	strmap_put(&b->s->past->map, pool_strdup(b->pool, past_key),
		   (void *)(uintptr_t)o->incarnation);
	o->id = old && !c->fixed[0] ? pool_strdup(b->pool, old->id) :
				      build_make_id(b, o->kind, key, o->incarnation);
	if (!o->name)
		o->name = o->id;
	if (!o->state)
		o->state = "available";
	build_index_object(b, o);
	if (!old)
		op_add(b, OP_CREATE, o, "");
	else
		op_changed(b, o, c);
}

/* is the object, whose predecessor is "old", another one now? */
static bool replaced(const struct object *o, const struct object *old)
{
	return old && o->incarnation != old->incarnation;
}

struct object build_object_head(struct build *b, enum object_kind kind, const char *vpc,
				const char *name, const char *path)
{
	struct object o = { .kind = kind, .origin = ORIGIN_FILE };

	o.name = vpc ? pool_printf(b->pool, "%s/%s", vpc, name) : pool_strdup(b->pool, name);
	o.path = pool_strdup(b->pool, path ? path : "");
	return o;
}

const char *build_mac_of(struct build *b, const char *first, const char *hex)
{
	return pool_printf(b->pool, "%s:%.2s:%.2s:%.2s:%.2s:%.2s", first, hex, hex + 2, hex + 4,
			   hex + 6, hex + 8);
}

static void make_lab(struct build *b)
{
	const struct object *old = b->old ? store_find(b->old, OBJECT_LAB, b->lab->name) : NULL;
	struct object *o = pool_alloc(b->pool, sizeof(*o));
	struct change c = { 0 };

	if (!o)
		return;
	*o = (struct object){ .kind = OBJECT_LAB, .origin = ORIGIN_SERVICE };
	o->name = pool_strdup(b->pool, b->lab->name);
	o->path = "";
	build_object_make(b, o, b->lab->name, old, &c);
	b->s->id = o->id;
	if (!b->old)
		return;
	compare_lab(b->old->lab, b->lab, &c);
	if (c.free_[0]) {
		struct object shown = *o;

		shown.origin = ORIGIN_FILE; /* its members are the file's */
		op_add(b, OP_UPDATE, &shown, pool_printf(b->pool, "%s changed", c.free_));
	}
}

static void make_host(struct build *b, struct s_host *h, const struct host *def)
{
	const struct s_host *old = b->old ? store_host(b->old, def->name) : NULL;
	struct change c = { 0 };

	h->def = def;
	h->o = build_object_head(b, OBJECT_HOST, NULL, def->name, def->at.path);
	if (old)
		compare_host(old->def, def, &c);
	build_object_make(b, &h->o, h->o.name, old ? &old->o : NULL, &c);
	h->ns = pool_printf(b->pool, "%s.%.8s", def->name, build_id_hex(h->o.id));
	h->link = pool_printf(b->pool, "host-%.8s", build_id_hex(h->o.id));
	h->mac = build_mac_of(b, "02", build_id_hex(h->o.id));
	h->router_mac = build_mac_of(b, "06", build_id_hex(h->o.id));
}

/* ---- objects of a VPC ---- */

static const struct s_vpc *old_vpc(const struct build *b, const struct s_vpc *v)
{
	return b->old ? store_vpc(b->old, v->def->name) : NULL;
}

static void make_igw(struct build *b, struct s_vpc *v)
{
	if (!v->def->internet_gateway)
		return;
	v->igw = (struct object){
		.kind = OBJECT_INTERNET_GATEWAY,
		.origin = ORIGIN_SERVICE,
		.incarnation = 1,
		.state = "available",
		.path = v->o.path,
	};
	v->igw.id = build_make_id(b, OBJECT_INTERNET_GATEWAY,
				  MUTANT("gateway-of-a-vpc") ? "" : v->o.id, 1);
	v->igw.name = v->igw.id;
	build_index_object(b, &v->igw);
	v->igw_link = pool_printf(b->pool, "igw-%.8s", build_id_hex(v->igw.id));
	v->igw_mac = build_mac_of(b, "02", build_id_hex(v->igw.id));
	v->internet_mac = build_mac_of(b, "06", build_id_hex(v->igw.id));
}

static void make_vpc(struct build *b, struct s_vpc *v, const struct vpc *def)
{
	const struct s_vpc *old;
	struct change c = { 0 };
	struct addr base = prefix_first(&def->cidr_block);

	v->def = def;
	v->o = build_object_head(b, OBJECT_VPC, NULL, def->name, def->at.path);
	old = old_vpc(b, v);
	if (old)
		compare_vpc(old->def, def, &c);
	build_object_make(b, &v->o, v->o.name, old ? &old->o : NULL, &c);
	v->time_scale = b->lab->time_scale;
	v->ns = pool_printf(b->pool, "router.%s", def->name);
	(void)addr_add(&base, MUTANT("resolver-address") ? 3 : 2,
		       &v->resolver); /* a VPC has 16 addresses or more */
	make_igw(b, v);
}

/* the route of a table as it was, if the table still has one to there; NULL */
static const struct route *kept_route(const struct route_table *old, const struct route_table *now,
				      const struct prefix *within)
{
	size_t i, k;

	for (i = 0; i < old->n_routes; i++)
		for (k = 0; k < now->n_routes; k++)
			if (prefix_covers(within, &old->routes[i].destination) &&
			    prefix_equal(&old->routes[i].destination, &now->routes[k].destination))
				return &now->routes[k];
	return NULL;
}

/* VPC-5: a block that joins a VPC is narrower than every route that it meets there */
static int check_joining(struct build *b, const struct vpc *old, const struct vpc *now,
			 const struct prefix *block)
{
	size_t i;

	for (i = 0; i < now->n_route_tables; i++) {
		const struct route_table *t = &now->route_tables[i];
		const struct route_table *was = vpc_route_table(old, t->name);
		const struct route *r = was ? kept_route(was, t, block) : NULL;

		if (r)
			return build_fail_at(
				b, r->at.path, ERR_VPC_RANGE, EEXIST,
				"The CIDR '%s' can't join VPC %s: it is as wide as the "
				"route to %s, or wider (take the route away first)",
				prefix_str(block), now->name, prefix_str(&r->destination));
	}
	return 0;
}

static bool had_block(const struct vpc *v, const struct prefix *block)
{
	const struct prefix *p;
	size_t i;

	for (i = 0; (p = vpc_cidr(v, i)); i++)
		if (prefix_equal(p, block))
			return true;
	return false;
}

static int check_blocks(struct build *b, const struct s_vpc *v)
{
	const struct s_vpc *old = old_vpc(b, v);
	size_t i;
	int r = 0;

	if (!old || v->o.incarnation != old->o.incarnation || MUTANT("block-over-route"))
		return 0;
	for (i = 0; i < v->def->n_secondary_cidr_blocks && !r; i++)
		if (!had_block(old->def, &v->def->secondary_cidr_blocks[i]))
			r = check_joining(b, old->def, v->def, &v->def->secondary_cidr_blocks[i]);
	return r;
}

void build_note_parent(struct change *c, const struct object *parent, const struct object *old)
{
	if (replaced(parent, old))
		change_note(c->fixed, sizeof(c->fixed), object_kind_name(parent->kind));
}

static void make_group(struct build *b, struct s_vpc *v, size_t i)
{
	const struct security_group *def = &v->def->security_groups[i];
	struct s_group *g = &v->groups[i];
	const struct s_vpc *old_v = old_vpc(b, v);
	const struct security_group *old_def =
		old_v ? vpc_security_group(old_v->def, def->name) : NULL;
	const struct s_group *old = old_def ? store_group_of(b->old, old_def) : NULL;
	struct change c = { 0 };

	g->def = def;
	g->vpc = v;
	g->o = build_object_head(b, OBJECT_SECURITY_GROUP, v->def->name, def->name, def->at.path);
	if (old) {
		compare_group(old->def, def, &c);
		build_note_parent(&c, &v->o, &old->vpc->o);
	}
	if (def->implicit)
		g->o.origin = ORIGIN_SERVICE;
	build_object_make(b, &g->o, g->o.name, old ? &old->o : NULL, &c);
}

static void make_acl(struct build *b, struct s_vpc *v, size_t i)
{
	const struct network_acl *def = &v->def->network_acls[i];
	struct s_acl *a = &v->acls[i];
	const struct s_vpc *old_v = old_vpc(b, v);
	const struct s_acl *old = NULL;
	struct change c = { 0 };
	size_t k;

	for (k = 0; old_v && k < old_v->n_acls; k++)
		if (!strcmp(old_v->acls[k].def->name, def->name))
			old = &old_v->acls[k];
	a->def = def;
	a->vpc = v;
	a->o = build_object_head(b, OBJECT_NETWORK_ACL, v->def->name, def->name, def->at.path);
	if (def->implicit)
		a->o.origin = ORIGIN_SERVICE;
	if (old) {
		compare_acl(old->def, def, &c);
		build_note_parent(&c, &v->o, &old->vpc->o);
	}
	build_object_make(b, &a->o, a->o.name, old ? &old->o : NULL, &c);
}

static void make_subnet(struct build *b, struct s_vpc *v, size_t i)
{
	const struct subnet *def = &v->def->subnets[i];
	struct s_subnet *sn = &v->subnets[i];
	const struct s_vpc *old_v = old_vpc(b, v);
	const struct subnet *old_def = old_v ? vpc_subnet(old_v->def, def->name) : NULL;
	const struct s_subnet *old = old_def ? store_subnet_of(b->old, old_def) : NULL;
	struct change c = { 0 };
	struct addr base = prefix_first(&def->cidr_block);

	sn->def = def;
	sn->vpc = v;
	sn->table = store_table_of(v, def->route_table);
	sn->acl = &v->acls[def->network_acl - v->def->network_acls];
	(void)addr_add(&base, 1, &sn->router);
	sn->o = build_object_head(b, OBJECT_SUBNET, v->def->name, def->name, def->at.path);
	if (old) {
		compare_subnet(old->def, def, &c);
		build_note_parent(&c, &v->o, &old->vpc->o);
	}
	build_object_make(b, &sn->o, sn->o.name, old ? &old->o : NULL, &c);
}

static void make_table(struct build *b, struct s_vpc *v, size_t i)
{
	const struct route_table *def = &v->def->route_tables[i];
	struct s_table *t = &v->tables[i];
	const struct s_vpc *old_v = old_vpc(b, v);
	const struct route_table *old_def = old_v ? vpc_route_table(old_v->def, def->name) : NULL;
	const struct s_table *old = old_def ? store_table_of(old_v, old_def) : NULL;
	struct change c = { 0 };
	const char *key;

	t->def = def;
	t->vpc = v;
	t->o = build_object_head(b, OBJECT_ROUTE_TABLE, v->def->name, def->name, def->at.path);
	key = t->o.name;
	if (!def->name[0]) {
		t->o.origin = ORIGIN_SERVICE;
		t->o.name = NULL; /* the implicit main table goes by its id */
	}
	if (old) {
		compare_table(old->def, def, &c);
		build_note_parent(&c, &v->o, &old->vpc->o);
	}
	build_object_make(b, &t->o, key, old ? &old->o : NULL, &c);
}

static void fail_nat(struct build *b, struct s_nat *n)
{
	n->o.state = "failed";
	if (n->def->no_room) {
		n->o.failure_code = "InsufficientFreeAddressesInSubnet";
		n->o.failure_message =
			"Subnet has insufficient free addresses to create this NAT gateway";
	} else {
		n->o.failure_code = "Gateway.NotAttached";
		n->o.failure_message = pool_printf(
			b->pool, "Network %s has no Internet gateway attached", n->vpc->o.id);
	}
	build_warn(b, &n->o);
}

static void make_nat(struct build *b, struct s_vpc *v, size_t i)
{
	const struct nat_gateway *def = &v->def->nat_gateways[i];
	struct s_nat *n = &v->nats[i];
	const struct s_vpc *old_v = old_vpc(b, v);
	const struct nat_gateway *old_def = old_v ? vpc_nat_gateway(old_v->def, def->name) : NULL;
	const struct s_nat *old = old_def ? store_nat_of(old_v, old_def) : NULL;
	bool works = (def->private_connectivity || v->def->internet_gateway ||
		      MUTANT("nat-without-gateway")) &&
		     (!def->no_room || MUTANT("nat-without-room"));
	struct change c = { 0 };

	n->def = def;
	n->vpc = v;
	n->o = build_object_head(b, OBJECT_NAT_GATEWAY, v->def->name, def->name, def->at.path);
	if (old) {
		const struct s_subnet *sn = store_subnet_of(b->s, def->subnet);

		compare_nat(old->def, def, &c);
		build_note_parent(&c, &sn->o, &store_subnet_of(b->old, old->def->subnet)->o);
		if (works != (old->eni != NULL))
			change_note(c.fixed, sizeof(c.fixed),
				    old->def->no_room != def->no_room ? "room in subnet" :
									"internet_gateway");
	}
	build_object_make(b, &n->o, n->o.name, old ? &old->o : NULL, &c);
	n->ns = pool_printf(b->pool, "nat.%s.%s", v->def->name, def->name);
	if (!works)
		fail_nat(b, n);
}

static void make_instance(struct build *b, struct s_vpc *v, size_t i)
{
	const struct instance *def = &v->def->instances[i];
	struct s_instance *in = &v->instances[i];
	const struct s_instance *old = b->old ? store_instance(b->old, def->name) : NULL;
	struct change c = { 0 };

	in->def = def;
	in->vpc = v;
	in->o = build_object_head(b, OBJECT_INSTANCE, NULL, def->name, def->at.path);
	in->o.state = "running";
	if (old) {
		compare_instance(old->def, def, &old->eni->private_ips[0], &c);
		if (!c.fixed[0])
			build_note_parent(&c, &store_subnet_of(b->s, def->subnet)->o,
					  &store_subnet_of(b->old, old->def->subnet)->o);
	}
	build_object_make(b, &in->o, in->o.name, old ? &old->o : NULL, &c);
	in->ns = pool_printf(b->pool, "%s.%.8s", def->name, build_id_hex(in->o.id));
}

/* is the instance that an interface was attached to another one now, of the same name? */
static bool instance_replaced(const struct build *b, const struct network_interface *old,
			      const struct network_interface *now)
{
	const struct s_instance *was, *is;

	if (!old->attach_to || !now->attach_to)
		return false;
	was = store_instance(b->old, old->attach_to->name);
	is = store_instance(b->s, now->attach_to->name);
	return was && is && !strcmp(was->o.name, is->o.name) &&
	       was->o.incarnation != is->o.incarnation;
}

/* only what it is; what it has comes with the interfaces of the others (store_eni.c) */
static bool make_interface(struct build *b, struct s_vpc *v, size_t i)
{
	const struct network_interface *def = &v->def->network_interfaces[i], *old_def;
	const struct s_vpc *old_v = old_vpc(b, v);
	struct s_eni *e = pool_alloc(b->pool, sizeof(*e));
	const struct s_eni *old;
	struct change c = { 0 };

	if (!e)
		return false;
	v->network_interfaces[i] = e;
	e->def = def;
	e->o = build_object_head(b, OBJECT_NETWORK_INTERFACE, v->def->name, def->name,
				 def->at.path);
	e->o.state = def->attach_to ? "in-use" : "available";
	old_def = old_v ? vpc_network_interface(old_v->def, def->name) : NULL;
	old = old_def ? store_interface_of(old_v, old_def) : NULL;
	if (old) {
		compare_interface(old_def, def, &old->private_ips[0], &c);
		if (!c.fixed[0])
			build_note_parent(&c, &store_subnet_of(b->s, def->subnet)->o,
					  &old->subnet->o);
		if (instance_replaced(b, old_def, def))
			change_note(c.free_, sizeof(c.free_), "instance");
	}
	build_object_make(b, &e->o, e->o.name, old ? &old->o : NULL, &c);
	return true;
}

/* ---- numbers ---- */

static int number(struct build *b, const char *scope, const struct object *o, uint32_t max,
		  unsigned *ret)
{
	uint32_t v;
	int r = alloc_keep(b->s->alloc, build_old_alloc(b), scope, o->id);

	if (!r)
		r = alloc_lowest(b->s->alloc, scope, o->id, 1, max, &v);
	if (r == -ENOMEM)
		return build_no_memory(b);
	if (r) {
		return build_fail_at(b, o->path, ERR_LIMIT, -r, "more than %u of kind %s in a VPC",
				     max, object_kind_name(o->kind));
	}
	*ret = v;
	return 0;
}

/* keeps everybody's number before anybody gets a new one */
static int number_all(struct build *b, const char *what, struct s_vpc *v, uint32_t max, void *first,
		      size_t n, size_t size, size_t number_at)
{
	const char *scope = pool_printf(b->pool, "%s %s", what, v->o.id);
	size_t i;
	int r = 0;

	for (i = 0; i < n && !r; i++) {
		const struct object *o = (void *)((char *)first + i * size);

		r = alloc_keep(b->s->alloc, build_old_alloc(b), scope, o->id);
	}
	if (r)
		return err_set(b->e, ERR_STATE, -r, "%s: the saved numbers contradict", scope);
	for (i = 0; i < n && !r; i++) {
		char *at = (char *)first + i * size;

		r = number(b, scope, (void *)at, max, (unsigned *)(void *)(at + number_at));
	}
	return r;
}

static int number_vpc(struct build *b, struct s_vpc *v)
{
	int r = number_all(b, "subnet", v, LAB_SUBNETS_MAX, v->subnets, v->n_subnets,
			   sizeof(*v->subnets), offsetof(struct s_subnet, number));

	if (!r)
		r = number_all(b, "table", v, LAB_SUBNETS_MAX, v->tables, v->n_tables,
			       sizeof(*v->tables), offsetof(struct s_table, number));
	if (!r)
		r = number_all(b, "group", v, 65534, v->groups, v->n_groups, sizeof(*v->groups),
			       offsetof(struct s_group, number));
	if (!r)
		r = number_all(b, "acl", v, 65534, v->acls, v->n_acls, sizeof(*v->acls),
			       offsetof(struct s_acl, number));
	return r;
}

static int make_vpc_objects(struct build *b, struct s_vpc *v)
{
	size_t i;

	for (i = 0; i < v->n_groups; i++)
		make_group(b, v, i);
	for (i = 0; i < v->n_acls; i++)
		make_acl(b, v, i);
	for (i = 0; i < v->n_subnets; i++)
		make_subnet(b, v, i);
	for (i = 0; i < v->n_nats; i++)
		make_nat(b, v, i);
	for (i = 0; i < v->n_instances; i++)
		make_instance(b, v, i);
	for (i = 0; i < v->n_network_interfaces; i++)
		if (!make_interface(b, v, i))
			return build_no_memory(b);
	for (i = 0; i < v->n_tables; i++)
		make_table(b, v, i);
	build_flow_logs(b, v);
	return number_vpc(b, v);
}

/* ---- the whole ---- */

static int carry_places(struct build *b)
{
	size_t i, k;

	for (i = 0; b->old && i < b->old->n_egresses; i++) {
		const struct s_egress *from = b->old->egresses[i];
		struct s_egress *to = store_egress(b->s, from->ns);

		if (!to)
			continue;
		for (k = 0; k < from->n_places; k++)
			if (store_place_put(b->s, to->ns, from->places[k]->number,
					    from->places[k]->token, NULL))
				return build_no_memory(b);
		to->last_place = from->last_place;
	}
	return 0;
}

static void copy_past(const char *key, void *value, void *arg)
{
	struct build *b = arg;

	strmap_put(&b->s->past->map, pool_strdup(b->pool, key), value);
}

static void ops_for_deleted(struct build *b)
{
	const struct store_index *old = b->old ? b->old->index : NULL;
	size_t i;

	for (i = old ? old->n : 0; i-- > 0;) {
		const struct object *o = old->list[i];

		if (!store_find(b->s, o->kind, o->name))
			op_add(b, OP_DELETE, o, "");
	}
}

static bool alloc_arrays(struct build *b, struct s_vpc *v, const struct vpc *def)
{
	struct pool *p = b->pool;

	v->n_subnets = def->n_subnets;
	v->n_tables = def->n_route_tables;
	v->n_groups = def->n_security_groups;
	v->n_acls = def->n_network_acls;
	v->n_nats = def->n_nat_gateways;
	v->n_instances = def->n_instances;
	v->n_flow_logs = def->n_flow_logs;
	v->subnets = pool_alloc(p, (v->n_subnets + 1) * sizeof(*v->subnets));
	v->tables = pool_alloc(p, (v->n_tables + 1) * sizeof(*v->tables));
	v->groups = pool_alloc(p, (v->n_groups + 1) * sizeof(*v->groups));
	v->acls = pool_alloc(p, (v->n_acls + 1) * sizeof(*v->acls));
	v->nats = pool_alloc(p, (v->n_nats + 1) * sizeof(*v->nats));
	v->instances = pool_alloc(p, (v->n_instances + 1) * sizeof(*v->instances));
	v->n_network_interfaces = def->n_network_interfaces;
	v->network_interfaces =
		pool_alloc(p, (v->n_network_interfaces + 1) * sizeof(struct s_eni *));
	v->flow_logs = pool_alloc(p, (v->n_flow_logs + 1) * sizeof(*v->flow_logs));
	v->def = def;
	return !pool_error(p);
}

static int make_file_objects(struct build *b)
{
	struct store *s = b->s;
	size_t i;
	int r = 0;

	make_lab(b);
	for (i = 0; i < s->n_hosts; i++)
		make_host(b, &s->hosts[i], &b->lab->hosts[i]);
	for (i = 0; i < s->n_vpcs; i++)
		if (!alloc_arrays(b, &s->vpcs[i], &b->lab->vpcs[i]))
			return build_no_memory(b);
	for (i = 0; i < s->n_vpcs && !r; i++) {
		make_vpc(b, &s->vpcs[i], &b->lab->vpcs[i]);
		r = check_blocks(b, &s->vpcs[i]);
		if (!r)
			r = make_vpc_objects(b, &s->vpcs[i]);
	}
	return r;
}

static int make_all(struct build *b)
{
	struct store *s = b->s;
	size_t i;
	int r = make_file_objects(b);

	if (!r)
		r = build_peerings(b);
	for (i = 0; i < s->n_vpcs && !r; i++)
		r = build_enis(b, &s->vpcs[i]);
	if (!r)
		r = build_functions(b);
	for (i = 0; i < s->n_vpcs && !r; i++)
		r = build_combinations(b, &s->vpcs[i]);
	if (!r)
		r = build_addresses(b);
	if (!r)
		r = build_indexes(b);
	if (!r)
		r = carry_places(b);
	if (!r)
		ops_for_deleted(b);
	return r;
}

static struct store *store_empty(const struct lab *lab, const char *seed)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->lab = lab;
	s->arena = pool_new();
	s->alloc = alloc_new();
	s->past = calloc(1, sizeof(*s->past));
	s->index = calloc(1, sizeof(*s->index));
	if (!s->arena || !s->alloc || !s->past || !s->index)
		return store_free(s);
	s->seed = pool_strdup(s->arena, seed);
	s->n_hosts = lab->n_hosts;
	s->n_vpcs = lab->n_vpcs;
	s->n_peerings = lab->n_peerings;
	s->n_functions = lab->n_functions;
	s->hosts = pool_alloc(s->arena, (s->n_hosts + 1) * sizeof(*s->hosts));
	s->vpcs = pool_alloc(s->arena, (s->n_vpcs + 1) * sizeof(*s->vpcs));
	s->peerings = pool_alloc(s->arena, (s->n_peerings + 1) * sizeof(*s->peerings));
	s->functions = pool_alloc(s->arena, (s->n_functions + 1) * sizeof(*s->functions));
	return pool_error(s->arena) ? store_free(s) : s;
}

int store_build(const struct store *old, const struct saved *saved, const struct lab *lab,
		const char *seed, const struct store_keep *keep, struct store **ret,
		struct ops *ops, struct err *e)
{
	struct build b = { .old = old, .saved = saved, .lab = lab, .ops = ops, .e = e };
	const struct store_index *x;
	int r;

	if (ops) {
		*ops = (struct ops){ .arena = pool_new() };
		if (!ops->arena)
			return build_no_memory(&b);
	}
	b.s = store_empty(lab, seed);
	if (!b.s) {
		if (ops)
			ops_done(ops);
		return build_no_memory(&b);
	}
	b.pool = b.s->arena;
	if (keep)
		b.keep = *keep;
	if (old) {
		strmap_reserve(&b.s->index->by_name, old->index->by_name.n);
		strmap_reserve(&b.s->index->by_id, old->index->by_id.n);
		strmap_reserve(&b.s->past->map, old->past->map.n);
	}
	if (build_old_past(&b))
		strmap_each(&build_old_past(&b)->map, copy_past, &b);
	r = make_all(&b);
	x = b.s->index;
	if (!r && (pool_error(b.pool) || x->by_name.failed || x->by_id.failed || x->lambda.failed ||
		   x->notes.failed || b.s->past->map.failed || b.combinations.failed || b.failed ||
		   (ops && pool_error(ops->arena))))
		r = build_no_memory(&b);
	strmap_done(&b.combinations);
	if (r) {
		store_free(b.s);
		if (ops)
			ops_done(ops);
		return r;
	}
	*ret = b.s;
	return 0;
}

int store_edit_ops(const struct store *s, const struct edit *x, struct ops *ret, struct err *e)
{
	const void *was = edit_other(x), *is = edit_object(x);
	const struct s_vpc *v = store_vpc_of(s, edit_vpc(x));
	const struct object *o = NULL;
	struct build b = { .ops = ret };
	struct change c = { 0 };

	*ret = (struct ops){ .arena = pool_new() };
	if (!ret->arena)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	switch (edit_kind(x)) {
	case EDIT_GROUP:
		compare_group(was, is, &c);
		o = &store_group_of(s, is)->o;
		break;
	case EDIT_ACL:
		compare_acl(was, is, &c);
		o = &store_acl_of(v, is)->o;
		break;
	case EDIT_TABLE:
		compare_table(was, is, &c);
		o = &store_table_of(v, is)->o;
		break;
	case EDIT_N_KINDS:
		break;
	}
	if (o)
		op_changed(&b, o, &c);
	if (!b.failed && !pool_error(ret->arena))
		return 0;
	ops_done(ret);
	return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
}
