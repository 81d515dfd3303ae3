/* SPDX-License-Identifier: MIT */
/*
 * pick - see pick.h.  What has been picked of a node is a set of bits: one for
 * each interface of a function in a VPC, one in all for any other node.  The
 * sets of all nodes stand in one array beside the reader's nodes, which is clear
 * between two lists: it is too large to be made for each.
 */
#include "topology/pick.h"

#include <string.h>
#include <strings.h>

#include "lib/mutant.h"

#define BITS_MAX 32 /* more than a function has subnets */

struct picked {
	const struct node_ref *node; /* NULL: an address or a DNS name */
	const char *text;	     /* as written; NULL: by a selector */
	uint32_t bits;
};

struct pick {
	struct fill *f;
	enum pick_role role;
	uint32_t *bits, *selected; /* beside the reader's nodes: picked, and by a selector */
	struct picked *v;
	size_t n, cap;
	bool faulty; /* some word was: what is left says nothing */
};

enum selector_kind { SELECT_ALL, SELECT_VPC, SELECT_SUBNET, SELECT_GROUP };

struct selector {
	enum selector_kind kind;
	const struct vpc *vpc;
	const void *object; /* struct subnet, security_group */
};

static bool is_over(const struct fill *f)
{
	return f->n_cases > LAB_CASES_MAX;
}

/* ---- words that fail ---- */

static void no_such_node(struct pick *k, const struct place *p, const char *name)
{
	k->faulty = true;
	if (strchr(name, ':'))
		fault(k->f->r, FAMILY_REFERENCE, p, "InvalidParameterValue",
		      "'%s' is no selector (allowed: *, vpc:V, subnet:V/S, security_group:V/G)",
		      name);
	else
		fault(k->f->r, FAMILY_REFERENCE, p, "InvalidNode.NotFound",
		      "the node '%s' does not exist (the lab has: %s)", name,
		      index_list(k->f->r, &k->f->r->nodes));
}

static void no_such_object(struct pick *k, const struct place *p, const char *code,
			   const char *what, const char *name, const char *whose,
			   const struct index *names)
{
	k->faulty = true;
	fault(k->f->r, FAMILY_REFERENCE, p, code, "the %s '%s' does not exist (%s has: %s)", what,
	      name, whose, index_list(k->f->r, names));
}

/* ---- selectors ---- */

static const char *after(const char *s, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(s, prefix, len) == 0 ? s + len : NULL;
}

bool pick_is_selector(const char *s)
{
	return *s == '!' || strcmp(s, "*") == 0 || after(s, "vpc:") || after(s, "subnet:") ||
	       after(s, "security_group:");
}

static bool find_vpc(struct pick *k, const struct place *p, const char *name, struct selector *ret)
{
	ret->vpc = index_find(&k->f->vpcs, name);
	if (!ret->vpc)
		no_such_object(k, p, "InvalidVpcID.NotFound", "VPC", name, "the lab", &k->f->vpcs);
	return ret->vpc != NULL;
}

/* "V/NAME" */
static bool find_in_vpc(struct pick *k, const struct place *p, const char *s, struct selector *ret)
{
	bool subnet = ret->kind == SELECT_SUBNET;
	const char *slash = strchr(s, '/'), *whose;
	const struct vpc_names *names;
	const struct index *ix;

	if (!slash) {
		k->faulty = true;
		fault(k->f->r, FAMILY_REFERENCE, p,
		      subnet ? "InvalidSubnetID.NotFound" : "InvalidGroup.NotFound",
		      "'%s' names no VPC (allowed: %s:VPC/NAME)", s,
		      subnet ? "subnet" : "security_group");
		return false;
	}
	if (!find_vpc(k, p, TEXT(k->f->r, "%.*s", (int)(slash - s), s), ret))
		return false;
	names = fill_names(k->f, ret->vpc);
	ix = subnet ? &names->subnets : &names->security_groups;
	whose = fill_vpc_title(k->f, ret->vpc);
	ret->object = index_find(ix, slash + 1);
	if (!ret->object && subnet)
		no_such_object(k, p, "InvalidSubnetID.NotFound", "subnet", slash + 1, whose, ix);
	else if (!ret->object)
		no_such_object(k, p, "InvalidGroup.NotFound", "security group", slash + 1, whose,
			       ix);
	return ret->object != NULL;
}

/* false: not a selector that stands for anything, and a fault */
static bool read_selector(struct pick *k, const struct place *p, const char *s,
			  struct selector *ret)
{
	const char *rest;

	*ret = (struct selector){ .kind = SELECT_ALL };
	if (strcmp(s, "*") == 0)
		return true;
	if ((rest = after(s, "vpc:"))) {
		ret->kind = SELECT_VPC;
		return find_vpc(k, p, rest, ret);
	}
	rest = after(s, "subnet:");
	ret->kind = rest ? SELECT_SUBNET : SELECT_GROUP;
	return find_in_vpc(k, p, rest ? rest : after(s, "security_group:"), ret);
}

/* ---- nodes ---- */

static size_t n_interfaces(const struct node_ref *n)
{
	const struct function *fn = n->object;

	if (n->kind != NODE_FUNCTION || !fn->n_subnets)
		return 1;
	return fn->n_subnets < BITS_MAX ? fn->n_subnets : BITS_MAX;
}

static uint32_t all_of(const struct node_ref *n)
{
	return (uint32_t)((UINT64_C(1) << n_interfaces(n)) - 1);
}

static bool has_group(const struct security_group *const *v, size_t n, const void *group)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] == group)
			return true;
	return false;
}

static bool instance_is_in(const struct instance *i, const struct selector *s)
{
	switch (s->kind) {
	case SELECT_ALL:
		return true;
	case SELECT_VPC:
		return i->vpc == s->vpc;
	case SELECT_SUBNET:
		return i->subnet == s->object;
	case SELECT_GROUP:
		return has_group(i->security_groups, i->n_security_groups, s->object);
	}
	return false;
}

static uint32_t function_in(const struct node_ref *n, const struct selector *s)
{
	const struct function *fn = n->object;
	uint32_t bits = 0;

	switch (s->kind) {
	case SELECT_ALL:
		return all_of(n);
	case SELECT_VPC:
		return fn->vpc == s->vpc ? all_of(n) : 0;
	case SELECT_SUBNET:
		for (size_t i = 0; i < n_interfaces(n) && i < fn->n_subnets; i++)
			if (fn->subnets[i] == s->object)
				bits |= UINT32_C(1) << i;
		return bits;
	case SELECT_GROUP:
		return has_group(fn->security_groups, fn->n_security_groups, s->object) ?
			       all_of(n) :
			       0;
	}
	return 0;
}

/* what of the node the selector stands for */
static uint32_t node_in(const struct node_ref *n, const struct selector *s)
{
	if (n->kind == NODE_FUNCTION)
		return function_in(n, s);
	if (n->kind == NODE_INSTANCE)
		return instance_is_in(n->object, s) ? 1 : 0;
	return s->kind == SELECT_ALL ? 1 : 0;
}

/* "inside@private": one of a function's interfaces */
static const struct node_ref *interface_of(struct pick *k, const struct place *p, const char *s,
					   uint32_t *ret_bits)
{
	const char *at = strchr(s, '@');
	const char *name = TEXT(k->f->r, "%.*s", (int)(at - s), s);
	const struct node_ref *node = index_find(&k->f->r->nodes, name);
	const struct function *fn;

	if (!node) {
		no_such_node(k, p, name);
		return NULL;
	}
	fn = node->object;
	for (size_t i = 0; node->kind == NODE_FUNCTION && i < n_interfaces(node); i++)
		if (i < fn->n_subnets && strcmp(fn->subnets[i]->name, at + 1) == 0) {
			*ret_bits = UINT32_C(1) << i;
			return node;
		}
	k->faulty = true;
	if (node->kind == NODE_FUNCTION)
		fault(k->f->r, FAMILY_REFERENCE, p, "InvalidSubnetID.NotFound",
		      "function %s isn't in a subnet '%s' (allowed: a subnet of its vpc_config)",
		      name, at + 1);
	else
		fault(k->f->r, FAMILY_REFERENCE, p, "InvalidNode.NotFound",
		      "%s isn't a function (FUNCTION@SUBNET picks one of its interfaces)", name);
	return NULL;
}

/* a node or one interface of it; NULL: neither (and no fault unless it has an "@") */
static const struct node_ref *named_node(struct pick *k, const struct place *p, const char *s,
					 uint32_t *ret_bits)
{
	const struct node_ref *node;

	if (strchr(s, '@'))
		return interface_of(k, p, s, ret_bits);
	node = index_find(&k->f->r->nodes, s);
	if (node)
		*ret_bits = all_of(node);
	return node;
}

/* ---- addresses and names ---- */

static bool named_by(const struct strings *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (strcasecmp(names->v[i], name) == 0)
			return true;
	return false;
}

static bool ends_with(const char *s, const char *tail)
{
	size_t a = strlen(s), b = strlen(tail);

	return a >= b && strcasecmp(s + a - b, tail) == 0;
}

static bool in_private_zone(const struct vpc *v, const char *name)
{
	for (size_t i = 0; i < v->n_private_zone; i++)
		if (strcasecmp(v->private_zone[i].name, name) == 0)
			return true;
	return false;
}

/* can any resolver of the lab know the name? AWS's own names depend on addresses
 * that are given out later */
static bool dns_name_known(const struct lab *l, const char *name)
{
	if (ends_with(name, ".amazonaws.com") || ends_with(name, ".compute.internal") ||
	    ends_with(name, ".ec2.internal"))
		return true;
	for (size_t i = 0; i < l->n_hosts; i++)
		if (named_by(&l->hosts[i].dns_names, name))
			return true;
	for (size_t i = 0; i < l->n_vpcs; i++) {
		const struct vpc *v = &l->vpcs[i];

		if (in_private_zone(v, name))
			return true;
		for (size_t j = 0; j < v->n_instances; j++) {
			const struct instance *in = &v->instances[j];
			size_t len = strlen(in->name), vlen = strlen(v->name);

			if (named_by(&in->dns_names, name))
				return true;
			if (strncasecmp(name, in->name, len) == 0 && name[len] == '.' &&
			    strncasecmp(name + len + 1, v->name, vlen) == 0 &&
			    strcasecmp(name + len + 1 + vlen, ".internal") == 0)
				return true;
		}
	}
	return false;
}

/* false, and a fault: a target that is nothing of the lab's */
static bool is_address_or_name(struct pick *k, const struct place *p, const char *s)
{
	struct addr a;

	if (addr_parse(s, &a) == 0) {
		if (a.family == AF_INET)
			return true;
		k->faulty = true;
		refuse(k->f->r, p, "%s: IPv6 isn't supported", s);
		return false;
	}
	if (!strchr(s, '.')) {
		no_such_node(k, p, s);
		return false;
	}
	if (dns_name_known(k->f->lab, s))
		return true;
	k->faulty = true;
	fault(k->f->r, FAMILY_REFERENCE, p, "InvalidNode.NotFound",
	      "nothing in the lab is called '%s' (allowed: a node, an IPv4 address, or a "
	      "name in dns_names or NAME.VPC.internal)",
	      s);
	return false;
}

/* ---- picking ---- */

static size_t idx_of(const struct pick *k, const struct node_ref *n)
{
	return (size_t)(n - k->f->node_refs);
}

static void add(struct pick *k, const struct node_ref *node, const char *text, uint32_t bits)
{
	if (k->n == k->cap) {
		size_t cap = k->cap ? 2 * k->cap : 8;
		struct picked *v = NEW(k->f->r, cap, struct picked);

		if (k->n)
			memcpy(v, k->v, k->n * sizeof(*v));
		k->v = v;
		k->cap = cap;
	}
	k->v[k->n++] = (struct picked){ .node = node, .text = text, .bits = bits };
}

/* a node that two words stand for is picked once */
static void add_node(struct pick *k, const struct node_ref *node, const char *text, uint32_t bits)
{
	size_t i = idx_of(k, node);
	uint32_t fresh = bits & ~k->bits[i];

	k->bits[i] |= bits;
	if (!text)
		k->selected[i] |= bits;
	if (fresh)
		add(k, node, fresh == bits ? text : NULL, fresh);
}

/* how many nodes that are */
static size_t add_selected(struct pick *k, const struct selector *s)
{
	size_t n = 0;

	for (size_t i = 0; i < k->f->n_node_refs; i++) {
		uint32_t bits = node_in(&k->f->node_refs[i], s);

		n += bits != 0;
		if (bits)
			add_node(k, &k->f->node_refs[i], NULL, bits);
	}
	return n;
}

static void pick_word(struct pick *k, const struct place *p, const char *s)
{
	const struct node_ref *node;
	struct selector sel;
	uint32_t bits = 0;

	if (pick_is_selector(s)) {
		if (!read_selector(k, p, s, &sel) || is_over(k->f) || add_selected(k, &sel))
			return;
		k->faulty = true;
		fault(k->f->r, FAMILY_REFERENCE, p, "InvalidParameterValue",
		      "%s stands for no node of the lab: what is said about nobody always holds",
		      s);
		return;
	}
	node = named_node(k, p, s, &bits);
	if (node)
		add_node(k, node, s, bits);
	else if (strchr(s, '@'))
		return;
	else if (k->role == PICK_SOURCES)
		no_such_node(k, p, s);
	else if (is_address_or_name(k, p, s))
		add(k, NULL, s, 1);
}

/* was anything of it picked? */
static bool take_bits(struct pick *k, const struct node_ref *node, uint32_t bits)
{
	size_t i = idx_of(k, node);
	bool any = (k->bits[i] & bits) != 0;

	if (!MUTANT("expect-exclusion"))
		k->bits[i] &= ~bits;
	return any;
}

/* "s": the word behind "!" */
static void take_out(struct pick *k, const struct place *p, const char *s)
{
	const struct node_ref *node;
	struct selector sel;
	uint32_t bits = 0;
	bool any = false;

	if (!*s || *s == '!' || strcmp(s, "*") == 0) {
		k->faulty = true;
		fault(k->f->r, FAMILY_NAME, p, "ValidationException",
		      "\"!%s\" takes nobody in particular out (allowed: ! before a node, "
		      "FUNCTION@SUBNET, vpc:V, subnet:V/S or security_group:V/G)",
		      s);
		return;
	}
	if (pick_is_selector(s)) {
		if (!read_selector(k, p, s, &sel))
			return;
		for (size_t i = 0; i < k->f->n_node_refs && !is_over(k->f); i++)
			any |= take_bits(k, &k->f->node_refs[i],
					 node_in(&k->f->node_refs[i], &sel));
	} else {
		node = named_node(k, p, s, &bits);
		if (!node && !strchr(s, '@'))
			no_such_node(k, p, s);
		if (!node)
			return;
		any = take_bits(k, node, bits);
	}
	if (!any && !k->faulty && !is_over(k->f))
		hint(k->f->r, p, "selector-takes-nothing-out",
		     "%s isn't among those that the other words stand for", s);
}

/* ---- words ---- */

static bool is_exclusion(const struct place *p)
{
	return place_str(p)[0] == '!';
}

static bool is_word(struct pick *k, const struct place *p)
{
	const char *s = place_str(p);

	if (s && *s)
		return true;
	k->faulty = true; /* the shape's fault */
	return false;
}

static void pick_words(struct pick *k, const struct place *list)
{
	static const struct selector everybody = { .kind = SELECT_ALL };
	bool positive = false, negative = false;

	PLACE_EACH(p, list) {
		if (!is_word(k, &p))
			continue;
		if (is_exclusion(&p)) {
			negative = true;
			continue;
		}
		positive = true;
		pick_word(k, &p, place_str(&p));
	}
	if (negative && !positive && !k->faulty && !is_over(k->f))
		(void)add_selected(k, &everybody);
	PLACE_EACH(p, list)
		if (is_word(k, &p) && is_exclusion(&p))
			take_out(k, &p, place_str(&p) + 1);
}

/* a word or a list of them */
static void pick_value(struct pick *k, const struct place *p)
{
	static const struct selector everybody = { .kind = SELECT_ALL };

	if (cJSON_IsArray(p->item)) {
		pick_words(k, p);
		return;
	}
	if (!is_word(k, p))
		return;
	if (!is_exclusion(p)) {
		pick_word(k, p, place_str(p));
		return;
	}
	if (!is_over(k->f))
		(void)add_selected(k, &everybody);
	take_out(k, p, place_str(p) + 1);
}

/* ---- the result ---- */

static void emit(struct pick *k, struct endpoints *ret, const struct node_ref *n, uint32_t bits,
		 bool selected)
{
	const struct function *fn = n->object;

	if (bits == all_of(n)) {
		ret->v[ret->n++] = (struct endpoint){ n->name, n->name, selected };
		return;
	}
	for (size_t i = 0; i < n_interfaces(n); i++)
		if (bits & UINT32_C(1) << i)
			ret->v[ret->n++] = (struct endpoint){ TEXT(k->f->r, "%s@%s", n->name,
								   fn->subnets[i]->name),
							      n->name, selected };
}

static size_t n_bits(uint32_t bits)
{
	return (size_t)__builtin_popcount(bits);
}

static struct endpoints emit_all(struct pick *k)
{
	struct endpoints ret = { 0 };
	size_t most = 0;

	for (size_t i = 0; i < k->n; i++)
		most += n_bits(k->v[i].bits);
	ret.v = NEW(k->f->r, most, struct endpoint);
	for (size_t i = 0; i < k->n; i++) {
		const struct picked *x = &k->v[i];
		uint32_t left = x->node ? x->bits & k->bits[idx_of(k, x->node)] : x->bits;
		bool selected = x->node && (left & k->selected[idx_of(k, x->node)]);

		if (x->text && left == x->bits)
			ret.v[ret.n++] = (struct endpoint){ x->text, x->node ? x->node->name : NULL,
							    selected };
		else if (left)
			emit(k, &ret, x->node, left, selected);
	}
	return ret;
}

static struct endpoints emit_rest(struct pick *k)
{
	struct endpoints ret = { 0 };
	size_t most = 0;

	if (is_over(k->f))
		return ret;
	for (size_t i = 0; i < k->f->n_node_refs; i++)
		most += n_bits(all_of(&k->f->node_refs[i]) & ~k->bits[i]);
	ret.v = NEW(k->f->r, most, struct endpoint);
	for (size_t i = 0; i < k->f->n_node_refs; i++) {
		uint32_t left = all_of(&k->f->node_refs[i]) & ~k->bits[i];

		if (left)
			emit(k, &ret, &k->f->node_refs[i], left, true);
	}
	return ret;
}

struct endpoints pick_endpoints(struct fill *f, const struct place *p, enum pick_role role,
				struct endpoints *ret_rest)
{
	struct pick k = { .f = f, .role = role };
	struct endpoints ret;

	if (!f->picked)
		f->picked = NEW(f->r, 2 * f->n_node_refs + 1, uint32_t);
	k.bits = f->picked;
	k.selected = f->picked + f->n_node_refs;
	pick_value(&k, p);
	ret = emit_all(&k);
	if (ret_rest)
		*ret_rest = emit_rest(&k);
	if (!ret.n && k.n && !k.faulty)
		fault(f->r, FAMILY_REFERENCE, p, "InvalidParameterValue",
		      "nobody is left of it: the words with ! take all out that the others stand "
		      "for");
	for (size_t i = 0; i < k.n; i++)
		if (k.v[i].node) {
			k.bits[idx_of(&k, k.v[i].node)] = 0;
			k.selected[idx_of(&k, k.v[i].node)] = 0;
		}
	return ret;
}
