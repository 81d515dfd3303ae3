/* SPDX-License-Identifier: MIT */
/*
 * edit - see edit.h.  What two documents have in common at both ends is compared
 * byte by byte; if all the rest lies inside the value of one object, and that
 * value in the new document is a whole JSON value again, then nothing outside of
 * it is read otherwise than before.
 */
#include "topology/edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mutant.h"
#include "topology/fill.h"
#include "topology/unsupported.h"

/* levels of the document above an object's value: top, vpcs, a VPC, the kind's map */
#define LEVELS_ABOVE 4

struct edit_text {
	struct arena *arena; /* owns */
	struct json_doc doc; /* owns */
};

union object {
	struct security_group group;
	struct network_acl acl;
	struct route_table table;
};

struct edit {
	struct lab *lab;
	enum edit_kind kind;
	const struct vpc *vpc;
	void *object;	    /* in the lab */
	union object other; /* what it isn't now */
	bool in_force;
};

static const struct {
	const char *map;  /* of a VPC */
	const char *path; /* in the words of unsupported.c */
	size_t size, value;
} kinds[] = {
	[EDIT_GROUP] = { "security_groups", "vpcs/*/security_groups/*",
			 sizeof(struct security_group), offsetof(struct security_group, value) },
	[EDIT_ACL] = { "network_acls", "vpcs/*/network_acls/*", sizeof(struct network_acl),
		       offsetof(struct network_acl, value) },
	[EDIT_TABLE] = { "route_tables", "vpcs/*/route_tables/*", sizeof(struct route_table),
			 offsetof(struct route_table, value) },
};

static struct value_text *value_of(enum edit_kind k, void *object)
{
	return (void *)((char *)object + kinds[k].value);
}

/* a VPC's i-th object of the kind; NULL past the last */
static void *object_at(const struct vpc *v, enum edit_kind k, size_t i)
{
	const size_t n[] = {
		[EDIT_GROUP] = v->n_security_groups,
		[EDIT_ACL] = v->n_network_acls,
		[EDIT_TABLE] = v->n_route_tables,
	};
	char *const first[] = {
		[EDIT_GROUP] = (void *)v->security_groups,
		[EDIT_ACL] = (void *)v->network_acls,
		[EDIT_TABLE] = (void *)v->route_tables,
	};

	return i < n[k] ? first[k] + i * kinds[k].size : NULL;
}

/* calls "fn" for the value of everything that can be edited until it returns false */
static void each_value(const struct lab *lab,
		       bool (*fn)(const struct vpc *v, enum edit_kind k, void *object, void *arg),
		       void *arg)
{
	void *o;

	for (size_t i = 0; i < lab->n_vpcs; i++)
		for (enum edit_kind k = 0; k < EDIT_N_KINDS; k++)
			for (size_t n = 0; (o = object_at(&lab->vpcs[i], k, n)); n++)
				if (!fn(&lab->vpcs[i], k, o, arg))
					return;
}

static void text_free(struct edit_text *t)
{
	if (!t)
		return;
	json_doc_done(&t->doc);
	(void)arena_free(t->arena);
	free(t);
}

static bool free_value(const struct vpc *v, enum edit_kind k, void *object, void *arg)
{
	(void)v;
	(void)arg;
	text_free(value_of(k, object)->own);
	return true;
}

void edit_texts_free(const struct lab *lab)
{
	each_value(lab, free_value, NULL);
}

static struct edit_text *text_new(void)
{
	struct edit_text *t = calloc(1, sizeof(*t));

	if (t)
		t->arena = arena_new();
	if (t && !t->arena) {
		free(t);
		return NULL;
	}
	return t;
}

/* ---- where two texts differ ---- */

static size_t common_start(const char *a, const char *b, size_t max)
{
	size_t i = 0;

	while (max - i >= 64 && memcmp(a + i, b + i, 64) == 0)
		i += 64;
	while (i < max && a[i] == b[i])
		i++;
	return i;
}

/* of the "max" bytes before "a" and "b" */
static size_t common_end(const char *a, const char *b, size_t max)
{
	size_t i = 0;

	while (max - i >= 64 && memcmp(a - i - 64, b - i - 64, 64) == 0)
		i += 64;
	while (i < max && a[-(ptrdiff_t)i - 1] == b[-(ptrdiff_t)i - 1])
		i++;
	return i;
}

/* the bytes of "old" that "new" has others for */
static struct json_span changed_span(const char *old, size_t old_size, const char *new, size_t size)
{
	size_t max = old_size < size ? old_size : size;
	size_t start = common_start(old, new, max);
	size_t end = common_end(old + old_size, new + size, max - start);

	return (struct json_span){ start, old_size - end };
}

struct around {
	struct json_span changed;
	struct edit *x;
};

static bool is_around(const struct vpc *v, enum edit_kind k, void *object, void *arg)
{
	struct json_span span = value_of(k, object)->span;
	struct around *a = arg;

	if (!span.to || a->changed.from <= span.from ||
	    (a->changed.to >= span.to && !MUTANT("edit-bounds")))
		return true;
	a->x->kind = k;
	a->x->vpc = v;
	a->x->object = object;
	return false;
}

/* the object in whose value, between its braces, "changed" lies */
static bool find_around(struct edit *x, struct json_span changed)
{
	struct around a = { changed, x };

	each_value(x->lab, is_around, &a);
	/* what a gateway's own table says is in more than the table (RT-13) */
	return x->object && x->object != x->vpc->edge_route_table;
}

/* ---- reading the new value ---- */

static void any_fault(struct json_pos pos, const char *path, const char *code, const char *msg,
		      void *arg)
{
	(void)pos;
	(void)path;
	(void)code;
	(void)msg;
	(void)arg; /* the document is read whole, which tells it all */
}

/* names that a value of the kind may speak of */
static void index_names(struct fill *f, const struct edit *x)
{
	const struct lab *l = f->lab;

	f->names = NEW(f->r, l->n_vpcs, struct vpc_names);
	index_build(f->r, &f->peerings, l->peerings, l->n_peerings, sizeof(*l->peerings));
	for (size_t i = 0; x->kind == EDIT_GROUP && i < l->n_vpcs; i++)
		index_build(f->r, &f->names[i].security_groups, l->vpcs[i].security_groups,
			    l->vpcs[i].n_security_groups, sizeof(struct security_group));
	if (x->kind == EDIT_TABLE) {
		const struct vpc *v = x->vpc;
		struct vpc_names *n = &f->names[v - l->vpcs];

		index_build(f->r, &n->nat_gateways, v->nat_gateways, v->n_nat_gateways,
			    sizeof(*v->nat_gateways));
		index_build(f->r, &n->instances, v->instances, v->n_instances,
			    sizeof(*v->instances));
		index_build(f->r, &n->network_interfaces, v->network_interfaces,
			    v->n_network_interfaces, sizeof(*v->network_interfaces));
	}
}

/* the entry "key" of the map "up"; item NULL if there is none */
static struct place entry(const struct place *up, const char *key)
{
	PLACE_EACH(p, up)
		if (strcmp(p.key, key) == 0)
			return p;
	return (struct place){ .up = up };
}

/* a part was placed by the object's value alone: in the file again.  Parts that the
 * file doesn't name stand where the object does */
static void place_again(struct where *at, const struct where *object)
{
	if (at->path == object->path)
		return;
	if (at->pos.line == 1)
		at->pos.column += object->pos.column - 1;
	at->pos.line += object->pos.line - 1;
}

static void place_parts(struct edit *x)
{
	struct security_group *g = x->object;
	struct network_acl *a = x->object;
	struct route_table *t = x->object;
	size_t i;

	switch (x->kind) {
	case EDIT_GROUP:
		for (i = 0; i < g->n_ingress; i++)
			place_again(&g->ingress[i].at, &g->at);
		for (i = 0; i < g->n_egress; i++)
			place_again(&g->egress[i].at, &g->at);
		break;
	case EDIT_ACL:
		for (i = 0; i < a->n_ingress; i++)
			place_again(&a->ingress[i].at, &a->at);
		for (i = 0; i < a->n_egress; i++)
			place_again(&a->egress[i].at, &a->at);
		break;
	case EDIT_TABLE:
		for (i = 0; i < t->n_routes; i++)
			place_again(&t->routes[i].at, &t->at);
		break;
	case EDIT_N_KINDS:
		break;
	}
}

static void fill_object(struct fill *f, const struct place *top, const struct place *p,
			const struct edit *x)
{
	struct security_group *g = x->object;

	switch (x->kind) {
	case EDIT_GROUP:
		g->n_ingress = g->n_egress = 0;
		fill_security_group(f, p, g);
		return; /* no warning is about rules and something else */
	case EDIT_ACL:
		fill_network_acl(f, p, x->object);
		break;
	case EDIT_TABLE:
		fill_route_table(f, p, x->vpc, x->object);
		break;
	case EDIT_N_KINDS:
		break;
	}
	check_warnings(f, top);
}

/* false: a fault or a warning */
static bool fill(struct reader *r, const struct place *top, const struct place *p,
		 const struct edit *x)
{
	struct fill f = { .r = r, .lab = r->lab };

	index_names(&f, x);
	shape_check(r, p);
	unsupported_check_below(r, p, kinds[x->kind].path);
	if (r->issues->n_errors || r->issues->n_warnings)
		return false;
	fill_object(&f, top, p, x);
	return (!r->issues->n_errors && !r->issues->n_warnings) || MUTANT("edit-faults");
}

static const char *object_name(const struct edit *x)
{
	return x->kind == EDIT_GROUP ? ((const struct security_group *)x->object)->name :
	       x->kind == EDIT_ACL   ? ((const struct network_acl *)x->object)->name :
				       ((const struct route_table *)x->object)->name;
}

/*
 * Reads the value in "t" into the object itself, since it may speak of itself; the
 * caller takes it out again.  Jumps are caught here: nothing the caller changes
 * is in a register.
 */
static int read_value(const struct edit *x, struct edit_text *t)
{
	struct lab view = *x->lab;
	struct issues issues = { 0 };
	struct reader r = { .lab = &view, .arena = t->arena, .file = "", .issues = &issues };
	struct place top = place_top(x->lab->doc.root), vpcs, vpc, map, p;
	volatile int err = -ENOMEM;

	view.doc = t->doc;
	r.issue_arena = arena_new();
	if (r.issue_arena && !setjmp(r.no_memory)) {
		vpcs = place_member(&top, "vpcs");
		vpc = entry(&vpcs, x->vpc->name);
		map = place_member(&vpc, kinds[x->kind].map);
		p = entry(&map, object_name(x));
		p.item = t->doc.root;
		err = fill(&r, &top, &p, x) ? 0 : -ENOENT;
	}
	(void)arena_free(r.issue_arena);
	return err;
}

/* what can't be changed makes another object of it */
static bool is_another(const struct edit *x)
{
	return x->kind == EDIT_GROUP &&
	       strcmp(((const struct security_group *)x->object)->description,
		      x->other.group.description) != 0;
}

static int read_new(struct edit *x, struct json_span span, const char *new)
{
	struct edit_text *t = text_new();
	union object now;
	int r;

	if (!t)
		return -ENOMEM;
	r = json_doc_parse(new + span.from, span.to - span.from, LAB_DEPTH_MAX - LEVELS_ABOVE,
			   any_fault, NULL, &t->doc);
	memcpy(&x->other, x->object, kinds[x->kind].size);
	if (r == 0)
		r = read_value(x, t);
	if (r == 0 && is_another(x))
		r = -ENOENT;
	if (r == 0)
		place_parts(x);
	memcpy(&now, x->object, kinds[x->kind].size);
	memcpy(x->object, &x->other, kinds[x->kind].size);
	if (r < 0) {
		text_free(t);
		return r == -EBADMSG ? -ENOENT : r;
	}
	x->other = now;
	*value_of(x->kind, &x->other) = (struct value_text){ span, t };
	return 0;
}

int edit_read(struct lab *lab, const char *old, size_t old_size, const char *new, size_t size,
	      struct edit **ret)
{
	struct json_span span;
	struct edit *x;
	int r = -ENOENT;

	/* what patches of scenarios make of the new value is known by reading it whole */
	if (lab->n_warnings || lab->n_scenarios || size > LAB_SIZE_MAX)
		return -ENOENT;
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->lab = lab;
	if (find_around(x, changed_span(old, old_size, new, size)) && !MUTANT("edit-short-way")) {
		span = value_of(x->kind, x->object)->span;
		span.to += size - old_size; /* modulo: it may be less */
		r = read_new(x, span, new);
	}
	if (r < 0) {
		free(x);
		return r;
	}
	*ret = x;
	return 0;
}

/* ---- in and out ---- */

struct shift {
	size_t behind, by;
};

static bool shift_span(const struct vpc *v, enum edit_kind k, void *object, void *arg)
{
	struct json_span *s = &value_of(k, object)->span;
	const struct shift *m = arg;

	(void)v;
	if (s->from > m->behind) {
		s->from += m->by; /* modulo: "by" may be below 0 */
		s->to += m->by;
	}
	return true;
}

void edit_swap(struct edit *x)
{
	struct json_span was = value_of(x->kind, x->object)->span;
	struct shift m = { was.from, value_of(x->kind, &x->other)->span.to - was.to };
	union object now;

	each_value(x->lab, shift_span, &m);
	memcpy(&now, x->object, kinds[x->kind].size);
	memcpy(x->object, &x->other, kinds[x->kind].size);
	x->other = now;
	x->in_force = !x->in_force;
}

void edit_keep(struct edit *x)
{
	text_free(value_of(x->kind, &x->other)->own);
	free(x);
}

struct edit *edit_free(struct edit *x)
{
	if (!x)
		return NULL;
	if (x->in_force)
		edit_swap(x);
	edit_keep(x);
	return NULL;
}

enum edit_kind edit_kind(const struct edit *x)
{
	return x->kind;
}

const struct vpc *edit_vpc(const struct edit *x)
{
	return x->vpc;
}

const void *edit_object(const struct edit *x)
{
	return x->object;
}

const void *edit_other(const struct edit *x)
{
	return &x->other;
}
