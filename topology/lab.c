/* SPDX-License-Identifier: MIT */
/*
 * lab - reads a lab file: the order of the passes (read.h, fill.h), the lab's
 * life, and look-ups in it.
 */
#include "topology/lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "topology/edit.h"
#include "topology/fill.h"
#include "topology/format.h"
#include "topology/unsupported.h"

/* there is no memory to tell it in */
static struct issue no_memory = { .file = "",
				  .pos = { 1, 1 },
				  .path = "",
				  .msg = "out of memory",
				  .code = "InternalError",
				  .exit = 2 };

static void json_issue(struct json_pos pos, const char *path, const char *code, const char *msg,
		       void *arg)
{
	bool duplicate = strcmp(code, "duplicate-key") == 0;

	fault_at(arg, duplicate ? FAMILY_DUPLICATE : FAMILY_FILE, pos, path, code, "%s", msg);
}

/* ---- of members with one key, the first stays ---- */

struct keyed {
	cJSON *item;
	size_t idx;
};

static int keyed_cmp(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;
	int r = strcmp(x->item->string, y->item->string);

	return r ? r : x->idx < y->idx ? -1 : 1;
}

static void drop_duplicates(struct reader *r, cJSON *item)
{
	struct keyed *v;
	size_t n = 0;

	for (cJSON *c = item->child; c; c = c->next) {
		drop_duplicates(r, c);
		n++;
	}
	if (!cJSON_IsObject(item) || n < 2)
		return;
	v = NEW(r, n, struct keyed);
	n = 0;
	for (cJSON *c = item->child; c; c = c->next) {
		v[n] = (struct keyed){ c, n };
		n++;
	}
	qsort(v, n, sizeof(*v), keyed_cmp);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(v[i - 1].item->string, v[i].item->string) != 0)
			continue;
		cJSON_Delete(cJSON_DetachItemViaPointer(item, v[i].item));
		v[i] = v[i - 1];
	}
}

/* false: there is nothing to look at */
static bool read_document(struct reader *r, const char *text, size_t size)
{
	int err;

	if (size > LAB_SIZE_MAX) {
		fault_at(r, FAMILY_FILE, (struct json_pos){ 1, 1 }, "", "file-too-large",
			 "the file is larger than %d MiB (%zu bytes)", LAB_SIZE_MAX >> 20, size);
		return false;
	}
	err = json_doc_parse(text, size, LAB_DEPTH_MAX, json_issue, r, &r->lab->doc);
	if (err == -ENOMEM)
		longjmp(r->no_memory, 1);
	if (err == -EBADMSG && r->lab->doc.root)
		drop_duplicates(r, r->lab->doc.root);
	return r->lab->doc.root != NULL;
}

/* a name given by the caller replaces the file's, and may be longer: copies have
 * a tail of their own */
static const char *lab_name(struct fill *f, const struct place *top)
{
	const char *own = read_str(top, "lab"), *given = f->r->name;
	struct place p = place_member(top, "lab");

	if (!given)
		return own ? own : "";
	if (!format_lab.match(TEXT(f->r, "%.31s", given)) ||
	    strspn(given, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(given))
		fault(f->r, FAMILY_NAME, &p, "ValidationException",
		      "\"%s\" has the wrong form (allowed: %s)", given, format_lab.title);
	return TEXT(f->r, "%s", given);
}

static void fill_lab(struct fill *f, const struct place *top)
{
	struct lab *l = f->lab;
	const char *region = read_str(top, "region");

	l->name = lab_name(f, top);
	l->description = read_str(top, "description");
	l->region = region;
	l->time_scale = read_num(top, "time_scale");
	l->concurrent_executions = (unsigned)read_num(top, "concurrent_executions");
	l->eni_linger = read_num(top, "eni_linger");
	declare_lab(f, top);
	arena_set_nodes(f->r->arena, &f->r->nodes);
	fill_internet(f, top);
	fill_roles(f, top);
	fill_peerings(f, top);
	fill_vpcs(f, top);
	check_peerings(f, top);
	fill_functions(f, top);
	fill_expects(f, top);
	check_node_names(f);
	check_claims(f);
	check_flow_logs(f, top);
	check_quotas(f, top);
	check_warnings(f, top);
	unsupported_check(f->r, top);
	fill_scenarios(f, top);
}

/* everything that may jump on want of memory; -ENOMEM then */
static int run(struct reader *r, struct fill *f, const char *text, size_t size)
{
	struct place top;

	if (setjmp(r->no_memory))
		return -ENOMEM;
	r->file = arena_printf(r, r->issue_arena, "%s", r->file);
	if (!read_document(r, text, size))
		return 0;
	top = place_top(r->lab->doc.root);
	shape_check(r, &top);
	if (cJSON_IsObject(top.item))
		fill_lab(f, &top);
	if (r->issues->n_errors >= LAB_ISSUES_MAX)
		r->issues->errors[LAB_ISSUES_MAX - 1].msg = "and more faults, which aren't listed";
	return 0;
}

struct lab *lab_read(const char *text, size_t size, const char *file, const char *name,
		     struct issues *ret_issues, struct fill *ret_fill)
{
	struct reader r = { .file = file, .name = name, .issues = ret_issues };
	int err = -ENOMEM;

	*ret_issues = (struct issues){ 0 };
	r.issue_arena = arena_new();
	r.arena = arena_new();
	r.lab = calloc(1, sizeof(*r.lab));
	if (r.lab)
		r.lab->arena = r.arena;
	ret_issues->arena = r.issue_arena;
	*ret_fill = (struct fill){ .r = &r, .lab = r.lab };
	if (r.issue_arena && r.arena && r.lab)
		err = run(&r, ret_fill, text, size);
	else if (!r.lab)
		r.arena = arena_free(r.arena);
	if (err) {
		issues_done(ret_issues);
		ret_issues->errors = &no_memory;
		ret_issues->n_errors = 1;
	}
	ret_fill->r = NULL;
	issues_sort(ret_issues);
	if (ret_issues->n_errors)
		return lab_free(r.lab);
	r.lab->n_warnings = ret_issues->n_warnings;
	return r.lab;
}

struct lab *lab_parse(const char *text, size_t size, const char *file, const char *name,
		      struct issues *ret_issues)
{
	struct fill f;

	return lab_read(text, size, file, name, ret_issues, &f);
}

struct lab *lab_free(struct lab *lab)
{
	if (!lab)
		return NULL;
	edit_texts_free(lab);
	for (size_t i = 0; i < lab->n_patched; i++)
		(void)lab_free(lab->patched[i]);
	cJSON_Delete(lab->bare);
	json_doc_done(&lab->doc);
	(void)arena_free(lab->arena);
	free(lab);
	return NULL;
}

/* ---- look-ups ---- */

#define FIND(v, n, key)                                      \
	do {                                                 \
		for (size_t i = 0; i < (n); i++)             \
			if (strcmp((v)[i].name, (key)) == 0) \
				return &(v)[i];              \
		return NULL;                                 \
	} while (0)

/* nodes can be many, so they are looked up by the index that parsing made */
static const void *find_node(const struct lab *l, const char *name, enum node_kind kind)
{
	const struct node_ref *n = index_find(arena_nodes(l->arena), name);

	return n && n->kind == kind ? n->object : NULL;
}

const struct host *lab_host(const struct lab *l, const char *name)
{
	return find_node(l, name, NODE_HOST);
}

const struct instance *lab_instance(const struct lab *l, const char *name)
{
	return find_node(l, name, NODE_INSTANCE);
}

const struct function *lab_function(const struct lab *l, const char *name)
{
	return find_node(l, name, NODE_FUNCTION);
}

const struct vpc *lab_vpc(const struct lab *l, const char *name)
{
	FIND(l->vpcs, l->n_vpcs, name);
}

const struct subnet *vpc_subnet(const struct vpc *v, const char *name)
{
	FIND(v->subnets, v->n_subnets, name);
}

const struct security_group *vpc_security_group(const struct vpc *v, const char *name)
{
	FIND(v->security_groups, v->n_security_groups, name);
}

const struct nat_gateway *vpc_nat_gateway(const struct vpc *v, const char *name)
{
	FIND(v->nat_gateways, v->n_nat_gateways, name);
}

const struct route_table *vpc_route_table(const struct vpc *v, const char *name)
{
	FIND(v->route_tables, v->n_route_tables, name);
}

bool route_table_names(const struct route_table *t, const struct prefix *destination)
{
	size_t i;

	for (i = 0; i < t->n_routes; i++)
		if (prefix_equal(&t->routes[i].destination, destination))
			return true;
	return false;
}

const struct network_interface *vpc_network_interface(const struct vpc *v, const char *name)
{
	FIND(v->network_interfaces, v->n_network_interfaces, name);
}

const struct prefix *vpc_cidr(const struct vpc *v, size_t i)
{
	if (!i)
		return &v->cidr_block;
	return i <= v->n_secondary_cidr_blocks ? &v->secondary_cidr_blocks[i - 1] : NULL;
}

const struct prefix *vpc_cidr_of(const struct vpc *v, const struct addr *a)
{
	const struct prefix *p;

	for (size_t i = 0; (p = vpc_cidr(v, i)); i++)
		if (addr_is_set(&p->addr) && prefix_has(p, a))
			return p;
	return NULL;
}

/* ---- small things about nodes and expectations ---- */

size_t instance_n_interfaces(const struct instance *in)
{
	const struct vpc *v = in->vpc;
	size_t n = 1;

	for (size_t i = 0; i < v->n_network_interfaces; i++)
		n += v->network_interfaces[i].attach_to == in;
	return n;
}

static bool has_port(const struct port *v, size_t n, const struct port *port)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].proto == port->proto && v[i].port == port->port)
			return true;
	return false;
}

bool programs_serve(const struct programs *p, const struct port *port)
{
	return has_port(p->serve, p->n_serve, port) || has_port(p->ready, p->n_ready, port);
}

int port_parse(const char *s, struct port *ret)
{
	struct port p = { 0 };

	if (strcmp(s, "icmp") == 0) {
		*ret = (struct port){ .proto = IPPROTO_ICMP };
		return 0;
	}
	if (!format_serve.match(s))
		return -EINVAL;
	p.proto = s[0] == 'u' ? IPPROTO_UDP : IPPROTO_TCP;
	p.http = s[0] == 'h';
	p.port = (uint16_t)strtoul(strchr(s, '/') + 1, NULL, 10);
	*ret = p;
	return 0;
}

const char *route_target_words(const struct route *r, char *ret, size_t size)
{
	static const char *const kinds[] = {
		[TARGET_LOCAL] = "local",
		[TARGET_INTERNET_GATEWAY] = "internet_gateway",
		[TARGET_NAT_GATEWAY] = "nat_gateway",
		[TARGET_PEERING] = "peering",
		[TARGET_INSTANCE] = "instance",
		[TARGET_NETWORK_INTERFACE] = "network_interface",
		[TARGET_BLACKHOLE] = "blackhole",
	};
	const char *name = r->target_name ? r->target_name : "";

	(void)snprintf(ret, size, "%s%s%s", kinds[r->target], *name ? ":" : "", name);
	return ret;
}
