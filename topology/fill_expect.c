/* SPDX-License-Identifier: MIT */
/*
 * fill_expect - expectations (interface.md 1.2): who they are about must exist,
 * and what they ask for must be something a probe can find.
 */
#include <stdlib.h>
#include <string.h>

#include "topology/fill.h"
#include "topology/format.h"
#include "topology/pick.h"

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
	"INGRESS_RTB_NO_PUBLIC_IP",
	"INGRESS_RTB_TRAFFIC_REDIRECTION",
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

/* ---- targets ---- */

static const struct node_ref *find_node(struct fill *f, const char *name)
{
	return index_find(&f->r->nodes, name);
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

/* would each of the sources probe itself? what a selector picked doesn't */
static bool all_probe_themselves(const struct endpoints *from, const struct endpoints *to)
{
	for (size_t i = 0; i < from->n; i++)
		for (size_t j = 0; j < to->n; j++) {
			const struct endpoint *a = &from->v[i], *b = &to->v[j];

			if (!b->node || !(a->selected || b->selected) ||
			    strcmp(a->node, b->node) != 0)
				return false;
		}
	return true;
}

/* the first target, and port of it, that can't tell whom it saw; NULL: none */
static const struct node_ref *dumb_target(struct fill *f, const struct expect *e,
					  const struct expect_port **ret_port)
{
	for (size_t i = 0; i < e->to.n; i++) {
		const struct endpoints one = { &e->to.v[i], 1 };
		const char *name = one.v->node;
		const struct node_ref *node = name ? find_node(f, name) : NULL;

		if (node && all_probe_themselves(&e->from, &one))
			continue;
		for (size_t j = 0; node && j < e->n_ports; j++)
			if (!served(node, &e->ports[j].port)) {
				*ret_port = &e->ports[j];
				return node;
			}
	}
	return NULL;
}

static bool has_icmp(const struct expect *e)
{
	for (size_t i = 0; i < e->n_ports; i++)
		if (e->ports[i].port.proto == IPPROTO_ICMP)
			return true;
	return false;
}

static void seen_as_rules(struct fill *f, const struct place *x, const struct expect *e)
{
	struct place p = place_member(x, "seen_as");
	const struct expect_port *port = NULL;
	const struct node_ref *target;
	struct prefix cidr;
	struct addr a;

	if (!e->seen_as || !*e->seen_as)
		return;
	if (e->result && strcmp(e->result, "open") != 0)
		fault(f->r, FAMILY_REFERENCE, &p, "InvalidParameterCombination",
		      "nobody is seen when the result is %s (allowed: with open)", e->result);
	else if (has_icmp(e))
		fault(f->r, FAMILY_REFERENCE, &p, "InvalidParameterCombination",
		      "an answer to icmp doesn't tell whom the target saw (allowed: tcp/N, udp/N)");
	else if ((target = dumb_target(f, e, &port)))
		fault(f->r, FAMILY_REFERENCE, &p, "InvalidParameterCombination",
		      "%s doesn't serve %s, so it can't tell whom it saw (\"serve\" of the target)",
		      target->name, port->text);
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
	if (!e->has_only_from && e->result && strcmp(e->result, "open") == 0)
		fault(f->r, FAMILY_REFERENCE, &p, "InvalidParameterCombination",
		      "nothing is dropped when the result is open (allowed: with timeout, refused, "
		      "unreachable)");
}

/* ---- lists ---- */

struct word {
	const char *s;
	size_t idx;
};

static int word_cmp(const void *a, const void *b)
{
	const struct word *x = a, *y = b;
	int r = strcmp(x->s, y->s);

	return r ? r : x->idx < y->idx ? -1 : 1;
}

/* a word that a list repeats is a slip of the pen, and costs time to no end */
static void words_once(struct fill *f, const struct place *list)
{
	size_t n = 0, all = cJSON_IsArray(list->item) ? place_n_children(list) : 0;
	struct word *v;
	bool *again;

	if (all < 2)
		return;
	v = NEW(f->r, all, struct word);
	again = NEW(f->r, all, bool);
	PLACE_EACH(p, list)
		if (place_str(&p))
			v[n++] = (struct word){ place_str(&p), p.idx };
	qsort(v, n, sizeof(*v), word_cmp);
	for (size_t i = 1; i < n; i++)
		again[v[i].idx] = strcmp(v[i - 1].s, v[i].s) == 0;
	PLACE_EACH(p, list)
		if (again[p.idx])
			fault(f->r, FAMILY_DUPLICATE, &p, "InvalidParameterValue",
			      "\"%s\" is there twice", place_str(&p));
}

static bool is_product(const struct place *p)
{
	return cJSON_IsArray(p->item) || (place_str(p) && pick_is_selector(place_str(p)));
}

static void add_port(const struct place *p, struct expect *e)
{
	struct expect_port *port = &e->ports[e->n_ports];

	port->text = place_str(p);
	if (port->text && port_parse(port->text, &port->port) == 0)
		e->n_ports++; /* else the shape's fault */
}

static void fill_ports(struct fill *f, const struct place *p, struct expect *e)
{
	if (!cJSON_IsArray(p->item)) {
		e->ports = NEW(f->r, 1, struct expect_port);
		add_port(p, e);
		return;
	}
	e->ports = NEW(f->r, place_n_children(p), struct expect_port);
	PLACE_EACH(one, p)
		add_port(&one, e);
}

/* ---- cases ---- */

/* counts cases; the lab's limit is a fault of the first expectation beyond it */
static void count_cases(struct fill *f, const struct place *x, size_t sources, size_t targets,
			size_t ports)
{
	size_t n;

	if (f->n_cases > LAB_CASES_MAX)
		return;
	if (__builtin_mul_overflow(sources, targets, &n) || __builtin_mul_overflow(n, ports, &n) ||
	    n > LAB_CASES_MAX)
		n = LAB_CASES_MAX + 1;
	f->n_cases += n;
	if (f->n_cases > LAB_CASES_MAX)
		fault(f->r, FAMILY_RANGE, x, "TestCaseLimitExceeded",
		      "with it the expectations make more than %d test cases (%zu sources, %zu "
		      "targets, %zu ports here)",
		      LAB_CASES_MAX, sources, targets, ports);
}

static void fill_ends(struct fill *f, const struct place *x, struct expect *e)
{
	struct place from = place_member(x, e->has_only_from ? "only_from" : "from");
	struct place to = place_member(x, "to"), port = place_member(x, "port");
	size_t n_errors = f->r->issues->n_errors;

	words_once(f, &from);
	words_once(f, &to);
	words_once(f, &port);
	fill_ports(f, &port, e);
	if (from.item)
		e->from =
			pick_endpoints(f, &from, PICK_SOURCES, e->has_only_from ? &e->rest : NULL);
	if (to.item)
		e->to = pick_endpoints(f, &to, PICK_TARGETS, NULL);
	e->product =
		is_product(&to) || is_product(&port) || (!e->has_only_from && is_product(&from));
	if (f->n_cases <= LAB_CASES_MAX && n_errors == f->r->issues->n_errors &&
	    (e->from.n || e->has_only_from) && e->to.n && all_probe_themselves(&e->from, &e->to) &&
	    all_probe_themselves(&e->rest, &e->to))
		fault(f->r, FAMILY_REFERENCE, x, "InvalidParameterValue",
		      "there is nobody but the target itself, which a selector leaves out: what "
		      "is said about nobody always holds");
	count_cases(f, x, e->from.n + e->rest.n, e->to.n, e->n_ports);
}

static void fill_probe(struct fill *f, const struct place *x, struct expect *e)
{
	e->has_only_from = cJSON_IsArray(place_member(x, "only_from").item);
	e->result = e->has_only_from ? "open" : read_str(x, "result");
	e->seen_as = read_str(x, "seen_as");
	e->address = read_str(x, "address");
	e->timeout = read_num(x, "timeout");
	e->within = read_num(x, "within");
	fill_ends(f, x, e);
	seen_as_rules(f, x, e);
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
	count_cases(f, x, 1, 1, 1);
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

/* ---- records of flow logs ---- */

/* "pkt_srcaddr" is ${pkt-srcaddr}; the action has a member of its own */
static bool is_flow_member(const char *name)
{
	char field[64];
	enum flow_field found;
	size_t i;

	if (strcmp(name, "flow_log") == 0)
		return true;
	for (i = 0; name[i] && i < sizeof(field) - 1; i++)
		field[i] = name[i] == '_' ? '-' : name[i];
	return !strchr(name, '-') && flow_field_find(field, i, &found) == 0 && found != FLOW_ACTION;
}

static const struct flow_log *find_flow_log(const struct fill *f, const char *name)
{
	for (size_t i = 0; i < f->lab->n_vpcs; i++) {
		const struct vpc *v = &f->lab->vpcs[i];
		size_t len = strlen(v->name);

		for (size_t k = 0; k < v->n_flow_logs; k++)
			if (!name || (strncmp(name, v->name, len) == 0 && name[len] == '/' &&
				      strcmp(name + len + 1, v->flow_logs[k].name) == 0))
				return &v->flow_logs[k];
	}
	return NULL;
}

static void fill_flow(struct fill *f, const struct place *x, struct expect *e)
{
	struct place flow = place_member(x, "flow");

	e->flow = flow.item;
	e->action = read_str(x, "action");
	e->within = read_num(x, "within");
	count_cases(f, x, 1, 1, 1);
	if (!find_flow_log(f, NULL))
		fault(f->r, FAMILY_REFERENCE, &flow, "InvalidFlowLogId.NotFound",
		      "no VPC has a flow log, so there is no record (vpcs.V.flow_logs)");
	if (!cJSON_IsObject(flow.item))
		return;
	PLACE_EACH(p, &flow) {
		const char *s = place_str(&p);

		if (!is_flow_member(p.key))
			fault(f->r, FAMILY_UNKNOWN_MEMBER, &p, "InvalidParameterValue",
			      "\"%s\" is no field of a record (allowed: fields of a log's format "
			      "but "
			      "action, with _ for -, and flow_log)",
			      p.key);
		else if (s && strcmp(p.key, "flow_log") == 0 && !find_flow_log(f, s))
			fault(f->r, FAMILY_REFERENCE, &p, "InvalidFlowLogId.NotFound",
			      "the flow log '%s' does not exist (VPC/L)", s);
	}
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
	else if (cJSON_GetObjectItemCaseSensitive(x->item, "flow"))
		fill_flow(f, x, e);
	else
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
