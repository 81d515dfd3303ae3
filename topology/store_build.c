/* SPDX-License-Identifier: MIT */
/*
 * store_build - a document becomes the objects of a store, beside those of the
 * store before it.
 *
 * First come the objects that a person named, each matched by kind and name with
 * its predecessor: kept (same id and numbers), or replaced or new (another
 * incarnation, another id).  Then the interfaces that the service makes for them,
 * then numbers: what a person fixed, what living owners had, what is new, in this
 * order and in the file's.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "topology/store_internal.h"

#define FIRST_INDEX 16 /* of links that come and go, in any namespace */
#define LAST_INDEX 0x7fffffff

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

struct build {
	const struct store *old;
	const struct saved *saved;
	const struct lab *lab;
	struct store *s;
	struct pool *pool;
	struct ops *ops;
	struct err *e;
	struct strmap combinations; /* "VPC-ID SG-ID,..." -> struct s_combination */
	bool failed;		    /* out of memory, seen at the end */
};

static int no_memory(struct build *b)
{
	return err_set(b->e, ERR_INTERNAL, ENOMEM, "store: out of memory");
}

/* a fault of what stands at "path" of the file */
__attribute__((format(printf, 5, 6))) static int
fail_at(struct build *b, const char *path, enum err_code code, int errnum, const char *fmt, ...)
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

static const struct alloc *old_alloc(const struct build *b)
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

static void warning_add(struct build *b, const struct object *o)
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

static const char *make_id(struct build *b, enum object_kind kind, const char *key,
			   unsigned incarnation)
{
	char hex[18];

	hash_hex(hex, 17, "%s\n%s\n%s\n%s\n%u", b->s->seed, b->lab->name, kind_names[kind], key,
		 incarnation);
	return pool_printf(b->pool, "%s%s", id_prefixes[kind], hex);
}

/* the text after the id's prefix */
static const char *id_hex(const char *id)
{
	return strrchr(id, '-') + 1;
}

static void index_object(struct build *b, struct object *o)
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

static unsigned past_get(const struct store_past *p, const char *key)
{
	return p ? (unsigned)(uintptr_t)strmap_get(&p->map, key) : 0;
}

static const struct store_past *old_past(const struct build *b)
{
	return b->old ? b->old->past : b->saved ? b->saved->past : NULL;
}

/*
 * Gives an object its incarnation and id.  "old": its predecessor; "c": how it
 * differs from it.  A saved store's objects are what they were.
 */
static void object_make(struct build *b, struct object *o, const char *key,
			const struct object *old, const struct change *c)
{
	char text[260], past_key[160];
	unsigned last;

	(void)store_key(past_key, o->kind, key);
	last = past_get(old_past(b), past_key);
	if (old && !c->fixed[0])
		o->incarnation = old->incarnation;
	else if (b->saved && last)
		o->incarnation = last;
	else
		o->incarnation = last + 1;
	strmap_put(&b->s->past->map, pool_strdup(b->pool, past_key),
		   (void *)(uintptr_t)o->incarnation);
	o->id = old && !c->fixed[0] ? pool_strdup(b->pool, old->id) :
				      make_id(b, o->kind, key, o->incarnation);
	if (!o->name)
		o->name = o->id;
	if (!o->state)
		o->state = "available";
	index_object(b, o);
	if (!old) {
		op_add(b, OP_CREATE, o, "");
	} else if (c->fixed[0] || c->free_[0]) {
		(void)snprintf(text, sizeof(text), "%s changed", c->fixed[0] ? c->fixed : c->free_);
		op_add(b, c->fixed[0] ? OP_REPLACE : OP_UPDATE, o, text);
	}
}

/* is the object, whose predecessor is "old", another one now? */
static bool replaced(const struct object *o, const struct object *old)
{
	return old && o->incarnation != old->incarnation;
}

static struct object object_head(struct build *b, enum object_kind kind, const char *vpc,
				 const char *name, const char *path)
{
	struct object o = { .kind = kind, .origin = ORIGIN_FILE };

	o.name = vpc ? pool_printf(b->pool, "%s/%s", vpc, name) : pool_strdup(b->pool, name);
	o.path = pool_strdup(b->pool, path ? path : "");
	return o;
}

static const char *mac_of(struct build *b, const char *first, const char *hex)
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
	object_make(b, o, b->lab->name, old, &c);
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
	h->o = object_head(b, OBJECT_HOST, NULL, def->name, def->at.path);
	if (old)
		compare_host(old->def, def, &c);
	object_make(b, &h->o, h->o.name, old ? &old->o : NULL, &c);
	h->ns = pool_printf(b->pool, "%s.%.8s", def->name, id_hex(h->o.id));
	h->link = pool_printf(b->pool, "host-%.8s", id_hex(h->o.id));
	h->mac = mac_of(b, "02", id_hex(h->o.id));
	h->router_mac = mac_of(b, "06", id_hex(h->o.id));
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
	v->igw.id = make_id(b, OBJECT_INTERNET_GATEWAY, v->o.id, 1);
	v->igw.name = v->igw.id;
	index_object(b, &v->igw);
	v->igw_link = pool_printf(b->pool, "igw-%.8s", id_hex(v->igw.id));
	v->igw_mac = mac_of(b, "02", id_hex(v->igw.id));
	v->internet_mac = mac_of(b, "06", id_hex(v->igw.id));
}

static void make_vpc(struct build *b, struct s_vpc *v, const struct vpc *def)
{
	const struct s_vpc *old;
	struct change c = { 0 };
	struct addr base = prefix_first(&def->cidr_block);

	v->def = def;
	v->o = object_head(b, OBJECT_VPC, NULL, def->name, def->at.path);
	old = old_vpc(b, v);
	if (old)
		compare_vpc(old->def, def, &c);
	object_make(b, &v->o, v->o.name, old ? &old->o : NULL, &c);
	v->ns = pool_printf(b->pool, "router.%s", def->name);
	(void)addr_add(&base, 2, &v->resolver); /* a VPC has 16 addresses or more */
	make_igw(b, v);
}

/* the objects of a replaced VPC or subnet are replaced, too */
static void note_parent(struct change *c, const struct object *parent, const struct object *old)
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
	g->o = object_head(b, OBJECT_SECURITY_GROUP, v->def->name, def->name, def->at.path);
	if (old) {
		compare_group(old->def, def, &c);
		note_parent(&c, &v->o, &old->vpc->o);
	}
	if (def->implicit)
		g->o.origin = ORIGIN_SERVICE;
	object_make(b, &g->o, g->o.name, old ? &old->o : NULL, &c);
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
	a->o = object_head(b, OBJECT_NETWORK_ACL, v->def->name, def->name, def->at.path);
	if (def->implicit)
		a->o.origin = ORIGIN_SERVICE;
	if (old) {
		compare_acl(old->def, def, &c);
		note_parent(&c, &v->o, &old->vpc->o);
	}
	object_make(b, &a->o, a->o.name, old ? &old->o : NULL, &c);
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
	(void)addr_add(&base, 1, &sn->router);
	sn->o = object_head(b, OBJECT_SUBNET, v->def->name, def->name, def->at.path);
	if (old) {
		compare_subnet(old->def, def, &c);
		note_parent(&c, &v->o, &old->vpc->o);
	}
	object_make(b, &sn->o, sn->o.name, old ? &old->o : NULL, &c);
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
	t->o = object_head(b, OBJECT_ROUTE_TABLE, v->def->name, def->name, def->at.path);
	key = t->o.name;
	if (!def->name[0]) {
		t->o.origin = ORIGIN_SERVICE;
		t->o.name = NULL; /* the implicit main table goes by its id */
	}
	if (old) {
		compare_table(old->def, def, &c);
		note_parent(&c, &v->o, &old->vpc->o);
	}
	object_make(b, &t->o, key, old ? &old->o : NULL, &c);
}

static void fail_nat(struct build *b, struct s_nat *n)
{
	n->o.state = "failed";
	n->o.failure_code = "Gateway.NotAttached";
	n->o.failure_message =
		pool_printf(b->pool, "Network %s has no Internet gateway attached", n->vpc->o.id);
	warning_add(b, &n->o);
}

static void make_nat(struct build *b, struct s_vpc *v, size_t i)
{
	const struct nat_gateway *def = &v->def->nat_gateways[i];
	struct s_nat *n = &v->nats[i];
	const struct s_vpc *old_v = old_vpc(b, v);
	const struct nat_gateway *old_def = old_v ? vpc_nat_gateway(old_v->def, def->name) : NULL;
	const struct s_nat *old = old_def ? store_nat_of(old_v, old_def) : NULL;
	bool works = def->private_connectivity || v->def->internet_gateway;
	struct change c = { 0 };

	n->def = def;
	n->vpc = v;
	n->o = object_head(b, OBJECT_NAT_GATEWAY, v->def->name, def->name, def->at.path);
	if (old) {
		const struct s_subnet *sn = store_subnet_of(b->s, def->subnet);

		compare_nat(old->def, def, &c);
		note_parent(&c, &sn->o, &store_subnet_of(b->old, old->def->subnet)->o);
		if (works != (old->eni != NULL))
			change_note(c.fixed, sizeof(c.fixed), "internet_gateway");
	}
	object_make(b, &n->o, n->o.name, old ? &old->o : NULL, &c);
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
	in->o = object_head(b, OBJECT_INSTANCE, NULL, def->name, def->at.path);
	in->o.state = "running";
	if (old) {
		compare_instance(old->def, def, &old->eni->private_ips[0], &c);
		if (!c.fixed[0])
			note_parent(&c, &store_subnet_of(b->s, def->subnet)->o,
				    &store_subnet_of(b->old, old->def->subnet)->o);
	}
	object_make(b, &in->o, in->o.name, old ? &old->o : NULL, &c);
	in->ns = pool_printf(b->pool, "%s.%.8s", def->name, id_hex(in->o.id));
}

/* ---- numbers ---- */

static int number(struct build *b, const char *scope, const struct object *o, uint32_t max,
		  unsigned *ret)
{
	uint32_t v;
	int r = alloc_keep(b->s->alloc, old_alloc(b), scope, o->id);

	if (!r)
		r = alloc_lowest(b->s->alloc, scope, o->id, 1, max, &v);
	if (r == -ENOMEM)
		return no_memory(b);
	if (r) {
		return fail_at(b, o->path, ERR_LIMIT, -r, "more than %u of kind %s in a VPC", max,
			       object_kind_name(o->kind));
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

		r = alloc_keep(b->s->alloc, old_alloc(b), scope, o->id);
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
	for (i = 0; i < v->n_tables; i++)
		make_table(b, v, i);
	return number_vpc(b, v);
}

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
static void eni_names(struct build *b, struct s_eni *e, const struct s_eni *old, const char *key)
{
	const char *hex;

	if (old) {
		e->o.id = pool_strdup(b->pool, old->o.id);
		e->mac = pool_strdup(b->pool, old->mac);
		e->router_mac = pool_strdup(b->pool, old->router_mac);
		e->router_interface = pool_strdup(b->pool, old->router_interface);
		return;
	}
	e->o.id = make_id(b, OBJECT_NETWORK_INTERFACE, key, 1);
	hex = id_hex(e->o.id);
	e->mac = mac_of(b, "02", hex);
	e->router_mac = mac_of(b, "06", hex);
	e->router_interface = pool_printf(b->pool, "eni-%.11s", hex);
}

/* "old": the interface as the store before had it, if it is the same one */
static struct s_eni *eni_make(struct build *b, struct s_vpc *v, enum eni_type type,
			      struct s_subnet *subnet, const struct s_eni *old, const char *key,
			      const char *path)
{
	struct s_eni *e = pool_alloc(b->pool, sizeof(*e));

	if (!e || !push(b, &v->enis, &v->n_enis, &v->cap_enis, e))
		return NULL;
	e->o = (struct object){
		.kind = OBJECT_NETWORK_INTERFACE,
		.origin = ORIGIN_SERVICE,
		.incarnation = 1,
		.path = path,
		.state = "in-use",
	};
	eni_names(b, e, old, key);
	e->o.name = e->o.id;
	index_object(b, &e->o);
	e->type = type;
	e->vpc = v;
	e->subnet = subnet;
	e->source_dest_check = true;
	e->description = "";
	e->device = "eth0";
	e->index = 2;
	return e;
}

/* the groups by number, each once */
static int eni_groups(struct build *b, struct s_eni *e, const struct security_group *const *defs,
		      size_t n)
{
	size_t i, k;

	e->groups = pool_alloc(b->pool, (n + 1) * sizeof(struct s_group *));
	if (!e->groups)
		return no_memory(b);
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

/* the combination of the interface's groups; numbers are given later */
static int eni_combination(struct build *b, struct s_eni *e)
{
	const char *owner = groups_text(b, e->groups, e->n_groups);
	const char *key = pool_printf(b->pool, "%s %s", e->vpc->o.id, owner);
	struct s_combination *c = strmap_get(&b->combinations, key);

	if (!c) {
		c = pool_alloc(b->pool, sizeof(*c));
		if (!c || !push(b, &e->vpc->combinations, &e->vpc->n_combinations,
				&e->vpc->cap_combinations, c))
			return no_memory(b);
		c->groups = e->groups;
		c->n_groups = e->n_groups;
		strmap_put(&b->combinations, key, c);
	}
	e->combination = c;
	return 0;
}

static int number_combinations(struct build *b, struct s_vpc *v)
{
	const char *scope = pool_printf(b->pool, "combination %s", v->o.id);
	size_t i;
	uint32_t n;
	int r = 0;

	for (i = 0; i < v->n_combinations && !r; i++)
		r = alloc_keep(b->s->alloc, old_alloc(b), scope,
			       groups_text(b, v->combinations[i]->groups,
					   v->combinations[i]->n_groups));
	for (i = 0; i < v->n_combinations && !r; i++) {
		struct s_combination *c = v->combinations[i];

		r = alloc_lowest(b->s->alloc, scope, groups_text(b, c->groups, c->n_groups), 1,
				 65534, &n);
		c->number = n;
	}
	if (!r)
		return 0;
	return r == -ENOMEM ? no_memory(b) :
			      err_set(b->e, ERR_LIMIT, -r,
				      "more than 65534 combinations of groups in a VPC");
}

static int make_instance_eni(struct build *b, struct s_instance *in)
{
	const struct instance *def = in->def;
	const struct s_instance *old = b->old ? (const void *)store_by_id(b->old, in->o.id) : NULL;
	struct s_eni *e;
	char key[ID_SIZE + 8];
	int r;

	(void)snprintf(key, sizeof(key), "%s/eth0", in->o.id);
	e = eni_make(b, in->vpc, ENI_INTERFACE, store_subnet_of(b->s, def->subnet),
		     old ? old->eni : NULL, key, in->o.path);
	if (!e)
		return no_memory(b);
	in->eni = e;
	e->owner = &in->o;
	e->ns = in->ns;
	e->source_dest_check = def->source_dest_check;
	e->n_private_ips = def->n_private_ips ? def->n_private_ips : 1;
	e->private_ips = pool_alloc(b->pool, e->n_private_ips * sizeof(*e->private_ips));
	if (!e->private_ips)
		return no_memory(b);
	if (def->n_private_ips)
		memcpy(e->private_ips, def->private_ips,
		       def->n_private_ips * sizeof(*e->private_ips));
	r = eni_groups(b, e, def->security_groups, def->n_security_groups);
	return r ? r : eni_combination(b, e);
}

static int make_nat_eni(struct build *b, struct s_nat *n)
{
	struct s_eni *e;

	if (n->o.failure_code)
		return 0;
	e = eni_make(b, n->vpc, ENI_NAT_GATEWAY, store_subnet_of(b->s, n->def->subnet), NULL,
		     n->o.id, n->o.path);
	if (!e)
		return no_memory(b);
	n->eni = e;
	e->owner = &n->o;
	e->ns = n->ns;
	e->source_dest_check = false;
	e->description = pool_printf(b->pool, "Interface for NAT Gateway %s", n->o.id);
	e->n_private_ips = 1;
	e->private_ips = pool_alloc(b->pool, sizeof(*e->private_ips));
	if (!e->private_ips)
		return no_memory(b);
	e->private_ips[0] = n->def->private_ip;
	return 0;
}

/* NAT gateways and instances of a VPC in the order in which the file names them */
struct wish {
	struct json_pos pos;
	struct s_nat *nat;
	struct s_instance *instance;
};

static int wish_cmp(const void *a, const void *b)
{
	const struct wish *x = a, *y = b;

	if (x->pos.line != y->pos.line)
		return x->pos.line < y->pos.line ? -1 : 1;
	return (x->pos.column > y->pos.column) - (x->pos.column < y->pos.column);
}

static int make_enis(struct build *b, struct s_vpc *v)
{
	size_t n = v->n_nats + v->n_instances, i;
	auto_free struct wish *w = calloc(n + 1, sizeof(*w));
	int r = 0;

	if (!w)
		return no_memory(b);
	for (i = 0; i < v->n_nats; i++)
		w[i] = (struct wish){ v->nats[i].def->at.pos, &v->nats[i], NULL };
	for (i = 0; i < v->n_instances; i++)
		w[v->n_nats + i] =
			(struct wish){ v->instances[i].def->at.pos, NULL, &v->instances[i] };
	qsort(w, n, sizeof(*w), wish_cmp);
	for (i = 0; i < n && !r; i++)
		r = w[i].nat ? make_nat_eni(b, w[i].nat) : make_instance_eni(b, w[i].instance);
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

static struct s_egress *service_egress(struct build *b)
{
	struct s_egress *g = store_egress(b->s, "service");

	if (g)
		return g;
	g = egress_add(b, "service", NULL);
	if (!g)
		return NULL;
	g->address = b->lab->service_ip;
	g->mac = mac_of(b, "02", id_hex(b->s->id));
	g->router_mac = mac_of(b, "06", id_hex(b->s->id));
	return g;
}

/* a description is its first function's, for as long as the interface lives */
static const char *lambda_description(struct build *b, const struct s_eni *e,
				      const struct function *f)
{
	const struct strmap *notes = b->old   ? &b->old->index->notes :
				     b->saved ? b->saved->notes :
						NULL;
	const char *kept = notes ? strmap_get(notes, e->o.id) : NULL;
	char u[33];

	if (kept)
		return pool_strdup(b->pool, kept);
	hash_hex(u, 32, "uuid\n%s", e->o.id);
	return pool_printf(b->pool, "AWS Lambda VPC ENI-%s-%.8s-%.4s-4%.3s-a%.3s-%.12s", f->name, u,
			   u + 8, u + 13, u + 17, u + 20);
}

/* the interface that all functions with this subnet and these groups share (LN-8) */
static struct s_egress *lambda_egress(struct build *b, struct s_function *f, struct s_subnet *sn)
{
	struct s_eni probe = { .vpc = sn->vpc }, *e;
	const char *key, *past_key;
	struct s_egress *g;
	unsigned incarnation;

	if (eni_groups(b, &probe, f->def->security_groups, f->def->n_security_groups))
		return NULL;
	key = pool_printf(b->pool, "%s %s", sn->o.id, groups_text(b, probe.groups, probe.n_groups));
	g = strmap_get(&b->s->index->lambda, key);
	if (g)
		return g;
	past_key = pool_printf(b->pool, "lambda\t%s", key);
	incarnation = past_get(old_past(b), past_key);
	if (!incarnation || (b->old && !strmap_get(&b->old->index->lambda, key)))
		incarnation++;
	strmap_put(&b->s->past->map, past_key, (void *)(uintptr_t)incarnation);
	e = eni_make(b, sn->vpc, ENI_LAMBDA, sn, NULL,
		     pool_printf(b->pool, "lambda %s %u", key, incarnation), f->o.path);
	if (!e)
		return NULL;
	e->groups = probe.groups;
	e->n_groups = probe.n_groups;
	e->n_private_ips = 1;
	e->private_ips = pool_alloc(b->pool, sizeof(*e->private_ips));
	e->description = lambda_description(b, e, f->def);
	strmap_put(&b->s->index->notes, e->o.id, e->description);
	e->ns = pool_printf(b->pool, "egress.%.8s", id_hex(e->o.id));
	if (!e->private_ips || eni_combination(b, e))
		return NULL;
	g = egress_add(b, e->ns, e);
	if (g) {
		g->mac = e->mac;
		g->router_mac = e->router_mac;
		strmap_put(&b->s->index->lambda, key, g);
	}
	return g;
}

static int make_function(struct build *b, struct s_function *f, const struct function *def)
{
	const struct s_function *old = b->old ? store_function(b->old, def->name) : NULL;
	struct change c = { 0 };
	size_t i;

	f->def = def;
	f->o = object_head(b, OBJECT_FUNCTION, NULL, def->name, def->at.path);
	f->o.state = "Active";
	object_make(b, &f->o, f->o.name, old ? &old->o : NULL, &c);
	f->n_egresses = def->vpc ? def->n_subnets : 1;
	f->egresses = pool_alloc(b->pool, (f->n_egresses + 1) * sizeof(struct s_egress *));
	if (!f->egresses)
		return no_memory(b);
	for (i = 0; i < f->n_egresses; i++) {
		f->egresses[i] =
			def->vpc ? lambda_egress(b, f, store_subnet_of(b->s, def->subnets[i])) :
				   service_egress(b);
		if (!f->egresses[i])
			return no_memory(b);
	}
	return 0;
}

/* ---- addresses ---- */

static const char *ip_scope(struct build *b, const struct s_eni *e)
{
	return pool_printf(b->pool, "ip %s", e->subnet->o.id);
}

static const char *ip_owner(struct build *b, const struct s_eni *e, size_t i)
{
	return i ? pool_printf(b->pool, "%s/%zu", e->o.id, i) : e->o.id;
}

static const char *holder(const struct s_eni *e)
{
	return e->owner ? e->owner->name : e->o.id;
}

/* "wants" asks for an address that "has" has */
static int ip_in_use(struct build *b, const struct s_eni *wants, const struct s_eni *has,
		     const struct addr *a)
{
	return fail_at(b, wants->o.path, ERR_ADDRESS_IN_USE, EADDRINUSE, "%s is in use by %s",
		       addr_str(a), has ? holder(has) : "another interface");
}

/* the interface that has a number of a subnet now */
static const struct s_eni *ip_holder(struct build *b, const char *scope, uint32_t at)
{
	const char *owner = alloc_owner(b->s->alloc, scope, at);
	char id[ID_SIZE];

	if (!owner)
		return NULL;
	(void)snprintf(id, sizeof(id), "%.*s", (int)strcspn(owner, "/"), owner);
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
			return no_memory(b);
	}
	return 0;
}

static int keep_automatic(struct build *b, struct s_eni *e)
{
	struct addr base = prefix_first(&e->subnet->def->cidr_block), a;
	const char *scope = ip_scope(b, e), *owner = ip_owner(b, e, 0);
	uint32_t at = 0;
	int r;

	if (addr_is_set(&e->private_ips[0]))
		return 0;
	r = alloc_keep(b->s->alloc, old_alloc(b), scope, owner);
	if (!r)
		return 0;
	if (r != -EADDRINUSE || !alloc_find(old_alloc(b), scope, owner, &at))
		return no_memory(b);
	/* who fixed the address asks for one that this one has had */
	a = addr_v4(addr_to_v4(&base) + at);
	return ip_in_use(b, ip_holder(b, scope, at), e, &a);
}

static int give_automatic(struct build *b, struct s_eni *e)
{
	const struct prefix *p = &e->subnet->def->cidr_block;
	struct addr base = prefix_first(p);
	uint32_t at;
	int r;

	if (addr_is_set(&e->private_ips[0]))
		return 0;
	/* VPC-9: base..base+3 and the last are nobody's */
	r = alloc_lowest(b->s->alloc, ip_scope(b, e), ip_owner(b, e, 0), 4,
			 (uint32_t)prefix_n_addrs(p) - 2, &at);
	if (r == -ENOSPC) {
		return fail_at(b, e->o.path, ERR_NO_ADDRESS, ENOSPC,
			       "subnet %s has no free address left", e->subnet->o.name);
	}
	if (r)
		return no_memory(b);
	e->private_ips[0] = addr_v4(addr_to_v4(&base) + at);
	return 0;
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

/* the wish for a public address that an interface's owner has */
struct elastic_wish {
	bool wanted, fixed, elastic;
	struct addr addr;
	const char *owner; /* in the allocation */
};

static struct elastic_wish elastic_of(struct build *b, const struct s_eni *e)
{
	struct elastic_wish w = { 0 };
	const struct elastic *x = NULL;

	if (e->type == ENI_INTERFACE && e->owner) {
		const struct s_instance *in = (const void *)e->owner;

		x = &in->def->elastic_ip;
		w.wanted = x->set || in->def->associate_public_ip_address;
	} else if (e->type == ENI_NAT_GATEWAY) {
		const struct s_nat *n = (const void *)e->owner;

		x = &n->def->elastic_ip;
		w.wanted = !n->def->private_connectivity;
		w.elastic = true;
	}
	if (!w.wanted)
		return w;
	w.elastic = w.elastic || x->set;
	w.fixed = x->set && !x->automatic;
	if (w.fixed)
		w.addr = x->addr;
	w.owner = pool_printf(b->pool, "%s/%s", e->owner->id, w.elastic ? "elastic" : "public");
	return w;
}

static const char *elastic_scope(struct build *b)
{
	return pool_printf(b->pool, "elastic %s", prefix_str(&b->lab->address_pool));
}

/* an address of the pool that somebody fixed is not given to another */
static int pool_take(struct build *b, const struct addr *a, const char *owner, const char *path)
{
	const struct prefix *p = &b->lab->address_pool;
	struct addr base = prefix_first(p);
	int r;

	if (!addr_is_set(a) || !prefix_has(p, a))
		return 0;
	r = alloc_take(b->s->alloc, elastic_scope(b), owner, addr_to_v4(a) - addr_to_v4(&base));
	if (r == -EADDRINUSE) {
		return fail_at(b, path, ERR_ADDRESS_IN_USE, EADDRINUSE, "%s is in use in this lab",
			       addr_str(a));
	}
	return r ? no_memory(b) : 0;
}

static int elastic_take(struct build *b, struct s_eni *e)
{
	struct elastic_wish w = elastic_of(b, e);

	if (!w.fixed)
		return 0;
	e->public_ip = w.addr;
	return pool_take(b, &w.addr, w.owner, e->o.path);
}

static int elastic_keep(struct build *b, struct s_eni *e)
{
	struct elastic_wish w = elastic_of(b, e);
	int r;

	if (!w.wanted || w.fixed)
		return 0;
	r = alloc_keep(b->s->alloc, old_alloc(b), elastic_scope(b), w.owner);
	if (r == -EADDRINUSE) {
		return fail_at(b, e->o.path, ERR_ADDRESS_IN_USE, EADDRINUSE,
			       "the automatic public address of %s was given to another",
			       e->owner->name);
	}
	return r ? no_memory(b) : 0;
}

static int elastic_give(struct build *b, struct s_eni *e)
{
	const struct prefix *p = &b->lab->address_pool;
	struct addr base = prefix_first(p);
	struct elastic_wish w = elastic_of(b, e);
	uint64_t n = prefix_n_addrs(p);
	uint32_t at;
	char hex[18];
	int r;

	if (!w.wanted)
		return 0;
	if (w.elastic) {
		hash_hex(hex, 17, "eipalloc\n%s", e->owner->id);
		e->public_ip_id = pool_printf(b->pool, "eipalloc-%s", hex);
	}
	if (w.fixed)
		return 0;
	r = n < 3 ? -ENOSPC :
		    alloc_lowest(b->s->alloc, elastic_scope(b), w.owner, 1, (uint32_t)(n - 2), &at);
	if (r == -ENOSPC) {
		return fail_at(b, e->o.path, ERR_LIMIT, ENOSPC,
			       "address_pool %s has no free address left", prefix_str(p));
	}
	if (r)
		return no_memory(b);
	e->public_ip = addr_v4(addr_to_v4(&base) + at);
	return 0;
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

static int give_addresses(struct build *b)
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
	return r;
}

/* ---- indexes of links ---- */

static int give_index(struct build *b, const char *ns, const char *link, unsigned *ret)
{
	const char *scope = pool_printf(b->pool, "ifindex %s", ns);
	uint32_t v;
	int r = alloc_keep(b->s->alloc, old_alloc(b), scope, link);

	if (!r)
		r = alloc_next(b->s->alloc, scope, link, FIRST_INDEX, LAST_INDEX, &v);
	if (r)
		return no_memory(b);
	*ret = v;
	return 0;
}

static int index_eni(struct build *b, struct s_eni *e)
{
	return give_index(b, e->vpc->ns, e->router_interface, &e->router_index);
}

static int give_indexes(struct build *b)
{
	struct store *s = b->s;
	size_t i;
	int r = each_eni(b, index_eni);

	for (i = 0; i < s->n_hosts && !r; i++)
		r = give_index(b, "internet", s->hosts[i].link, &s->hosts[i].router_index);
	for (i = 0; i < s->n_vpcs && !r; i++)
		if (s->vpcs[i].igw.id)
			r = give_index(b, "internet", s->vpcs[i].igw_link, &s->vpcs[i].igw_index);
	for (i = 0; i < s->n_egresses && !r; i++) {
		struct s_egress *g = s->egresses[i];

		if (!g->eni)
			r = give_index(b, "internet", "svc", &g->router_index);
		else
			g->address = g->eni->private_ips[0];
	}
	return r;
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
				return no_memory(b);
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
	v->subnets = pool_alloc(p, (v->n_subnets + 1) * sizeof(*v->subnets));
	v->tables = pool_alloc(p, (v->n_tables + 1) * sizeof(*v->tables));
	v->groups = pool_alloc(p, (v->n_groups + 1) * sizeof(*v->groups));
	v->acls = pool_alloc(p, (v->n_acls + 1) * sizeof(*v->acls));
	v->nats = pool_alloc(p, (v->n_nats + 1) * sizeof(*v->nats));
	v->instances = pool_alloc(p, (v->n_instances + 1) * sizeof(*v->instances));
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
			return no_memory(b);
	for (i = 0; i < s->n_vpcs && !r; i++) {
		make_vpc(b, &s->vpcs[i], &b->lab->vpcs[i]);
		r = make_vpc_objects(b, &s->vpcs[i]);
	}
	return r;
}

static int make_all(struct build *b)
{
	struct store *s = b->s;
	size_t i;
	int r = make_file_objects(b);

	for (i = 0; i < s->n_vpcs && !r; i++)
		r = make_enis(b, &s->vpcs[i]);
	for (i = 0; i < s->n_functions && !r; i++)
		r = make_function(b, &s->functions[i], &b->lab->functions[i]);
	for (i = 0; i < s->n_vpcs && !r; i++)
		r = number_combinations(b, &s->vpcs[i]);
	if (!r)
		r = give_addresses(b);
	if (!r)
		r = give_indexes(b);
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
	s->n_functions = lab->n_functions;
	s->hosts = pool_alloc(s->arena, (s->n_hosts + 1) * sizeof(*s->hosts));
	s->vpcs = pool_alloc(s->arena, (s->n_vpcs + 1) * sizeof(*s->vpcs));
	s->functions = pool_alloc(s->arena, (s->n_functions + 1) * sizeof(*s->functions));
	return pool_error(s->arena) ? store_free(s) : s;
}

int store_build(const struct store *old, const struct saved *saved, const struct lab *lab,
		const char *seed, struct store **ret, struct ops *ops, struct err *e)
{
	struct build b = { .old = old, .saved = saved, .lab = lab, .ops = ops, .e = e };
	const struct store_index *x;
	int r;

	if (ops) {
		*ops = (struct ops){ .arena = pool_new() };
		if (!ops->arena)
			return no_memory(&b);
	}
	b.s = store_empty(lab, seed);
	if (!b.s) {
		if (ops)
			ops_done(ops);
		return no_memory(&b);
	}
	b.pool = b.s->arena;
	if (old_past(&b))
		strmap_each(&old_past(&b)->map, copy_past, &b);
	r = make_all(&b);
	x = b.s->index;
	if (!r && (pool_error(b.pool) || x->by_name.failed || x->by_id.failed || x->lambda.failed ||
		   x->notes.failed || b.s->past->map.failed || b.combinations.failed || b.failed ||
		   (ops && pool_error(ops->arena))))
		r = no_memory(&b);
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
