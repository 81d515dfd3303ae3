/* SPDX-License-Identifier: MIT */
/*
 * fill_expect - expectations (interface.md 1.2): who they are about must exist,
 * and what they ask for must be something a probe can find.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "topology/fill.h"
#include "topology/format.h"

/* REACH-1 */
static const char *const reach_codes[] = {
	"BAD_STATE_ROUTE",
	"CANNOT_ROUTE",
	"ENI_ADDRESS_RESTRICTION",
	"ENI_SG_RULES_MISMATCH",
	"ENI_SOURCE_DEST_CHECK_RESTRICTION",
	"GATEWAY_REJECTS_SPOOFED_TRAFFIC",
	"HIGHER_PRIORITY_ROUTE",
	"IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS",
	"IGW_DESTINATION_ADDRESS_NOT_IN_RFC6598_EGRESS",
	"IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS",
	"IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS",
	"IGW_SOURCE_ADDRESS_NOT_IN_RFC1918_INGRESS",
	"IGW_SOURCE_ADDRESS_NOT_IN_RFC6598_INGRESS",
	"MORE_SPECIFIC_ROUTE",
	"NGW_REQUIRES_SOURCE_IN_VPC",
	"NGW_SOURCE_ADDRESS_REASSIGN",
	"NO_POSSIBLE_DESTINATION",
	"NO_ROUTE_TO_DESTINATION",
	"PCX_REQUIRES_ADDRESS_IN_VPC_CIDR",
	"PROTOCOL_RESTRICTION",
	"REMAP_EPHEMERAL_PORT",
	"SG_HAS_NO_RULES",
	"SG_REFERENCES_NOT_PRESERVED",
	"SUBNET_ACL_RESTRICTION",
	"UNKNOWN_DESTINATION",
	"VPCE_GATEWAY_PROTOCOL_RESTRICTION",
	"VPC_LOCAL_ROUTE_CIDR_RESTRICTION",
};

bool reach_code_known(const char *code)
{
	for (size_t i = 0; i < sizeof(reach_codes) / sizeof(reach_codes[0]); i++)
		if (strcmp(reach_codes[i], code) == 0)
			return true;
	return false;
}

static const char *reach_code_list(struct fill *f)
{
	const char *s = "";

	for (size_t i = 0; i < sizeof(reach_codes) / sizeof(reach_codes[0]); i++)
		s = TEXT(f->r, "%s%s%s", s, i ? ", " : "", reach_codes[i]);
	return s;
}

/* ---- nodes ---- */

static const struct node_ref *find_node(struct fill *f, const char *name)
{
	return index_find(&f->r->nodes, name);
}

static bool is_selector(const char *s)
{
	static const char *const prefixes[] = { "*", "!", "vpc:", "subnet:", "security_group:" };

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(s, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

static void no_such_node(struct fill *f, const struct place *p, const char *name)
{
	fault(f->r, FAMILY_REFERENCE, p, "InvalidNode.NotFound",
	      "the node '%s' does not exist (the lab has: %s)", name,
	      index_list(f->r, &f->r->nodes));
}

/* "inside@private": one of a function's interfaces */
static const struct node_ref *node_at_subnet(struct fill *f, const struct place *p, const char *s)
{
	const char *at = strchr(s, '@');
	const char *name = TEXT(f->r, "%.*s", (int)(at - s), s);
	const struct node_ref *node = find_node(f, name);
	const struct function *fn;

	if (!node) {
		no_such_node(f, p, name);
		return NULL;
	}
	if (node->kind != NODE_FUNCTION) {
		fault(f->r, FAMILY_REFERENCE, p, "InvalidNode.NotFound",
		      "%s isn't a function (FUNCTION@SUBNET picks one of its interfaces)", name);
		return node;
	}
	fn = node->object;
	for (size_t i = 0; i < fn->n_subnets; i++)
		if (strcmp(fn->subnets[i]->name, at + 1) == 0)
			return node;
	fault(f->r, FAMILY_REFERENCE, p, "InvalidSubnetID.NotFound",
	      "function %s isn't in a subnet '%s' (allowed: a subnet of its vpc_config)", name,
	      at + 1);
	return node;
}

/* a node, or a function at a subnet; NULL: neither (and a fault) */
static const struct node_ref *expect_node(struct fill *f, const struct place *p)
{
	const char *s = place_str(p);
	const struct node_ref *node;

	if (!s || !*s || is_selector(s))
		return NULL;
	if (strchr(s, '@'))
		return node_at_subnet(f, p, s);
	node = find_node(f, s);
	if (!node)
		no_such_node(f, p, s);
	return node;
}

/* ---- targets ---- */

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

/* "to": the node, or NULL for an address, a DNS name, or nothing (and a fault) */
static const struct node_ref *expect_target(struct fill *f, const struct place *p)
{
	const char *s = place_str(p);
	const struct node_ref *node;
	struct addr a;

	if (!s || !*s || is_selector(s))
		return NULL;
	if (strchr(s, '@'))
		return node_at_subnet(f, p, s);
	node = find_node(f, s);
	if (node)
		return node;
	if (addr_parse(s, &a) == 0) {
		if (a.family != AF_INET)
			refuse(f->r, p, "%s: IPv6 isn't supported", s);
		return NULL;
	}
	if (!strchr(s, '.'))
		no_such_node(f, p, s);
	else if (!dns_name_known(f->lab, s))
		fault(f->r, FAMILY_REFERENCE, p, "InvalidNode.NotFound",
		      "nothing in the lab is called '%s' (allowed: a node, an IPv4 address, or a "
		      "name in dns_names or NAME.VPC.internal)",
		      s);
	return NULL;
}

static const struct programs *node_programs(const struct node_ref *node)
{
	if (node->kind == NODE_HOST)
		return &((const struct host *)node->object)->programs;
	if (node->kind == NODE_INSTANCE)
		return &((const struct instance *)node->object)->programs;
	return NULL;
}

static bool served(const struct node_ref *node, const struct port *port)
{
	const struct programs *p = node_programs(node);

	for (size_t i = 0; p && i < p->n_serve; i++)
		if (p->serve[i].proto == port->proto && p->serve[i].port == port->port)
			return true;
	return false;
}

/* ---- reachability ---- */

static void nat_gateway_ref(struct fill *f, const struct place *p, const char *s)
{
	const char *slash = strchr(s, '/');
	const struct vpc *v =
		slash ? index_find(&f->vpcs, TEXT(f->r, "%.*s", (int)(slash - s), s)) : NULL;

	if (!v || !index_find(&fill_names(f, v)->nat_gateways, slash + 1))
		fault(f->r, FAMILY_REFERENCE, p, "NatGatewayNotFound",
		      "the NAT gateway '%s' does not exist (nat_gateway:VPC/NAME)", s);
}

static void seen_as_rules(struct fill *f, const struct place *x, const struct expect *e,
			  const struct node_ref *target)
{
	struct place p = place_member(x, "seen_as");
	struct prefix cidr;
	struct addr a;

	if (!e->seen_as || !*e->seen_as)
		return;
	if (e->result && strcmp(e->result, "open") != 0)
		fault(f->r, FAMILY_REFERENCE, &p, "InvalidParameterCombination",
		      "nobody is seen when the result is %s (allowed: with open)", e->result);
	else if (e->port.proto == IPPROTO_ICMP)
		fault(f->r, FAMILY_REFERENCE, &p, "InvalidParameterCombination",
		      "an answer to icmp doesn't tell whom the target saw (allowed: tcp/N, udp/N)");
	else if (target && e->port.port && !served(target, &e->port))
		fault(f->r, FAMILY_REFERENCE, &p, "InvalidParameterCombination",
		      "%s doesn't serve %s, so it can't tell whom it saw (\"serve\" of the target)",
		      target->name, e->port_text);
	if (strcmp(e->seen_as, "service") == 0)
		return;
	if (strncmp(e->seen_as, "nat_gateway:", 12) == 0) {
		nat_gateway_ref(f, &p, e->seen_as + 12);
	} else if (addr_parse(e->seen_as, &a) == 0 || prefix_parse(e->seen_as, &cidr, NULL) == 0) {
		if (strchr(e->seen_as, ':'))
			refuse(f->r, &p, "%s: IPv6 isn't supported", e->seen_as);
	} else if (!find_node(f, e->seen_as)) {
		fault(f->r, FAMILY_REFERENCE, &p, "InvalidNode.NotFound",
		      "\"%s\" is nobody (allowed: an address, a CIDR, a node, nat_gateway:V/N, "
		      "service)",
		      e->seen_as);
	}
}

static void because_code(struct fill *f, const struct place *p, struct expect *e)
{
	const char *s = place_str(p);

	if (!s || !*s)
		return;
	e->because.v[e->because.n++] = s;
	if (!reach_code_known(s))
		fault(f->r, FAMILY_REFERENCE, p, "InvalidParameterValue",
		      "\"%s\" is no REACH-1 code (allowed: %s)", s, reach_code_list(f));
}

static void fill_because(struct fill *f, const struct place *x, struct expect *e)
{
	struct place p = place_member(x, "because");

	if (!p.item)
		return;
	e->because.v = NEW(f->r, place_n_children(&p) + 1, const char *);
	if (cJSON_IsArray(p.item))
		PLACE_EACH(code, &p)
			because_code(f, &code, e);
	else
		because_code(f, &p, e);
	if (e->result && strcmp(e->result, "open") == 0)
		fault(f->r, FAMILY_REFERENCE, &p, "InvalidParameterCombination",
		      "nothing is dropped when the result is open (allowed: with timeout, refused, "
		      "unreachable)");
}

/* a value, or (refused elsewhere) a list of them: checks each, gives the value */
static const struct node_ref *each_node(struct fill *f, const struct place *p, bool target)
{
	if (!cJSON_IsArray(p->item))
		return target ? expect_target(f, p) : expect_node(f, p);
	PLACE_EACH(one, p) {
		if (target)
			(void)expect_target(f, &one);
		else
			(void)expect_node(f, &one);
	}
	return NULL;
}

static void fill_probe(struct fill *f, const struct place *x, struct expect *e)
{
	struct place from = place_member(x, "from"), to = place_member(x, "to");
	struct place only = place_member(x, "only_from");
	const struct node_ref *target;

	e->from = place_str(&from);
	e->to = place_str(&to);
	e->port_text = read_str(x, "port");
	if (e->port_text && port_parse(e->port_text, &e->port) < 0)
		e->port = (struct port){ 0 }; /* the shape's fault */
	e->result = read_str(x, "result");
	e->seen_as = read_str(x, "seen_as");
	e->address = read_str(x, "address");
	e->timeout = read_num(x, "timeout");
	e->within = read_num(x, "within");
	(void)each_node(f, &from, false);
	target = each_node(f, &to, true);
	e->has_only_from = cJSON_IsArray(only.item);
	e->only_from = read_strings(f->r, x, "only_from");
	PLACE_EACH(p, &only)
		(void)expect_node(f, &p);
	seen_as_rules(f, x, e, target);
	fill_because(f, x, e);
}

/* ---- invocation ---- */

static const cJSON *member_item(const struct place *x, const char *key)
{
	return place_member(x, key).item;
}

static void fill_invocation(struct fill *f, const struct place *x, struct expect *e)
{
	struct place invoke = place_member(x, "invoke"), parallel = place_member(x, "parallel");
	const struct node_ref *node;

	e->invoke = place_str(&invoke);
	node = e->invoke ? find_node(f, e->invoke) : NULL;
	if (e->invoke && *e->invoke && (!node || node->kind != NODE_FUNCTION))
		fault(f->r, FAMILY_REFERENCE, &invoke, "ResourceNotFoundException",
		      "the function '%s' does not exist", e->invoke);
	e->payload = member_item(x, "payload");
	e->returns = member_item(x, "returns");
	e->matches = member_item(x, "matches");
	e->outcomes = member_item(x, "outcomes");
	e->type = read_str(x, "type");
	e->qualifier = read_str(x, "qualifier");
	e->error = read_str(x, "error");
	e->status = (long)read_num(x, "status");
	e->log = read_str(x, "log");
	e->times = (unsigned)read_num(x, "times");
	e->parallel = (unsigned)read_num(x, "parallel");
	if (e->parallel > e->times && cJSON_IsNumber(parallel.item))
		fault(f->r, FAMILY_RANGE, &parallel, "InvalidParameterValue",
		      "%u at once of %u invocations (allowed: 1..%u)", e->parallel, e->times,
		      e->times);
}

void fill_expect(struct fill *f, const struct place *x, struct expect *e)
{
	e->at = place_where(f->r, x);
	e->name = read_str(x, "name");
	e->times = 1;
	e->parallel = 1;
	e->timeout = 1;
	if (cJSON_GetObjectItemCaseSensitive(x->item, "invoke"))
		fill_invocation(f, x, e);
	else if (!cJSON_GetObjectItemCaseSensitive(x->item, "flow"))
		fill_probe(f, x, e);
}

void fill_expects(struct fill *f, const struct place *top)
{
	struct place list = place_member(top, "expect");

	if (!cJSON_IsArray(list.item))
		return;
	f->lab->expects = NEW(f->r, place_n_children(&list), struct expect);
	PLACE_EACH(x, &list)
		fill_expect(f, &x, &f->lab->expects[f->lab->n_expects++]);
}
