/* SPDX-License-Identifier: MIT */
/*
 * graph - see graph.h.  Both languages have nested boxes, nodes and edges, so a lab is
 * walked once for either.  Graphviz has no edges of boxes: an invisible node in each
 * subnet stands for it.  Ids are of places in the file ("v0_s1"), labels hold the names.
 */
#include "topology/graph.h"

#include <stdio.h>
#include <string.h>

#include "lib/mutant.h"
#include "lib/util.h"

enum kind {
	KIND_VPC,
	KIND_PUBLIC,
	KIND_PRIVATE,
	KIND_INTERNET,
	KIND_SERVICE,
	KIND_INSTANCE,
	KIND_FUNCTION,
	KIND_GATEWAY,
	KIND_GROUP,
	KIND_HOST,
	KIND_INTERFACE,
};

/* AWS's own colours of such things, light behind text */
static const struct {
	const char *fill, *line, *shape;
} looks[] = {
	[KIND_VPC] = { "#fbf9ff", "#8c4fff", "" },
	[KIND_PUBLIC] = { "#f2f6e8", "#7aa116", "" },
	[KIND_PRIVATE] = { "#e6f6f7", "#00a4a6", "" },
	[KIND_INTERNET] = { "#f4f4f4", "#7d8998", "" },
	[KIND_SERVICE] = { "#fff6ec", "#ed7100", "" },
	[KIND_INSTANCE] = { "#ffffff", "#ed7100", "box" },
	[KIND_FUNCTION] = { "#fdebd8", "#ed7100", "ellipse" },
	[KIND_GATEWAY] = { "#ece2ff", "#8c4fff", "hexagon" },
	[KIND_GROUP] = { "#fdecec", "#dd344c", "note" },
	[KIND_HOST] = { "#ffffff", "#7d8998", "box" },
	[KIND_INTERFACE] = { "#ffffff", "#8c4fff", "box" },
};

struct out {
	const struct lab *lab;
	enum graph_format format;
	struct buf *b;
	unsigned depth;
};

static void indent(const struct out *o)
{
	unsigned i;

	for (i = 0; i < o->depth; i++)
		buf_adds(o->b, "  ");
}

/* '\n' is a new line in the picture */
static void add_label(const struct out *o, const char *s)
{
	const bool dot = o->format == GRAPH_DOT;

	for (; *s; s++)
		if (*s == '\n')
			buf_adds(o->b, dot ? "\\n" : "<br/>");
		else if (*s == '"')
			buf_adds(o->b, dot ? "\\\"" : "#quot;");
		else if (*s == '\\' && dot)
			buf_adds(o->b, "\\\\");
		else if (!dot && (*s == '<' || *s == '>'))
			buf_adds(o->b, *s == '<' ? "#lt;" : "#gt;");
		else
			buf_add(o->b, s, 1);
}

static void box_begin(struct out *o, const char *id, enum kind k, const char *label)
{
	indent(o);
	o->depth++;
	if (o->format == GRAPH_DOT) {
		buf_printf(o->b, "subgraph \"cluster_%s\" {\n", id);
		indent(o);
		buf_printf(o->b,
			   "style=\"rounded,filled\"; color=\"%s\"; fillcolor=\"%s\"; label=\"",
			   looks[k].line, looks[k].fill);
		add_label(o, label);
		buf_adds(o->b, "\"\n");
		return;
	}
	buf_printf(o->b, "subgraph %s[\"", id);
	add_label(o, label);
	buf_adds(o->b, "\"]\n");
}

static void box_end(struct out *o)
{
	o->depth--;
	indent(o);
	buf_adds(o->b, o->format == GRAPH_DOT ? "}\n" : "end\n");
}

static void node(const struct out *o, const char *id, enum kind k, const char *label)
{
	static const char *const open[] = { [KIND_FUNCTION] = "([\"",
					    [KIND_GATEWAY] = "{{\"",
					    [KIND_GROUP] = ">\"",
					    [KIND_INTERFACE] = "[\"" };
	static const char *const end[] = { [KIND_FUNCTION] = "\"])",
					   [KIND_GATEWAY] = "\"}}",
					   [KIND_GROUP] = "\"]",
					   [KIND_INTERFACE] = "\"]" };

	indent(o);
	if (o->format == GRAPH_DOT) {
		buf_printf(o->b, "\"%s\" [shape=%s color=\"%s\" fillcolor=\"%s\" label=\"", id,
			   looks[k].shape, looks[k].line, looks[k].fill);
		add_label(o, label);
		buf_adds(o->b, "\"]\n");
		return;
	}
	buf_printf(o->b, "%s%s", id, open[k] ? open[k] : "[\"");
	add_label(o, label);
	buf_printf(o->b, "%s\n", end[k] ? end[k] : "\"]");
}

/* what an edge of a box hangs on; without it a box that holds nothing isn't drawn */
static void anchor(const struct out *o, const char *id)
{
	if (o->format != GRAPH_DOT)
		return;
	indent(o);
	buf_printf(o->b, "\"%s_at\" [shape=point style=invis width=0]\n", id);
}

/* on a ground of its own: Graphviz lets a curved edge run through its label */
static void edge_label(const struct out *o, const char *s)
{
	if (!*s) {
		buf_adds(o->b, "\"\"");
		return;
	}
	buf_adds(o->b, "<<table border=\"0\" cellspacing=\"0\" cellpadding=\"1\"><tr>"
		       "<td bgcolor=\"#ffffff\">");
	for (; *s; s++)
		if (*s == '&' || *s == '<' || *s == '>')
			buf_adds(o->b, *s == '&' ? "&amp;" : *s == '<' ? "&lt;" : "&gt;");
		else
			buf_add(o->b, s, 1);
	buf_adds(o->b, "</td></tr></table>>");
}

/* "from_box", "to_box": that end is a box */
static void edge(const struct out *o, const char *from, bool from_box, const char *to, bool to_box,
		 bool dashed, const char *label)
{
	indent(o);
	if (o->format == GRAPH_MERMAID) {
		buf_printf(o->b, "%s %s", from, dashed ? "-.->" : "-->");
		if (*label) {
			buf_adds(o->b, "|\"");
			add_label(o, label);
			buf_adds(o->b, "\"|");
		}
		buf_printf(o->b, " %s\n", to);
		return;
	}
	buf_printf(o->b, "\"%s%s\" -> \"%s%s\" [", from, from_box ? "_at" : "", to,
		   to_box ? "_at" : "");
	if (from_box)
		buf_printf(o->b, "ltail=\"cluster_%s\" ", from);
	if (to_box)
		buf_printf(o->b, "lhead=\"cluster_%s\" ", to);
	buf_printf(o->b, "style=%s label=", dashed ? "dashed" : "solid");
	edge_label(o, label);
	buf_adds(o->b, "]\n");
}

/* ---- ids: places in the file ---- */

struct id {
	char s[64];
};

static struct id id_of(const struct lab *lab, const struct vpc *v, char letter, size_t n)
{
	struct id r;

	(void)snprintf(r.s, sizeof(r.s), "v%zu_%c%zu", (size_t)(v - lab->vpcs), letter, n);
	return r;
}

static struct id id_subnet(const struct out *o, const struct subnet *s)
{
	return id_of(o->lab, s->vpc, 's', (size_t)(s - s->vpc->subnets));
}

static struct id id_top(char letter, size_t n)
{
	struct id r;

	(void)snprintf(r.s, sizeof(r.s), "%c%zu", letter, n);
	return r;
}

/* ---- labels ---- */

static void add_groups(struct buf *b, const struct security_group *const *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		buf_printf(b, "%s%s", i ? ", " : "\nsg: ", v[i]->name);
}

static void add_serve(struct buf *b, const struct programs *p)
{
	size_t i;

	for (i = 0; i < p->n_serve && i < 4; i++)
		buf_printf(b, "%s%s/%u", i ? " " : "\n",
			   p->serve[i].http	   ? "http" :
			   p->serve[i].proto == 17 ? "udp" :
						     "tcp",
			   p->serve[i].port);
	if (i < p->n_serve)
		buf_adds(b, " ...");
}

static void add_elastic(struct buf *b, const struct elastic *e)
{
	if (e->set)
		buf_printf(b, "\n%s", e->automatic ? "elastic address" : addr_str(&e->addr));
}

static void instance(const struct out *o, const struct vpc *v, const struct instance *i)
{
	const struct id id = id_of(o->lab, v, 'i', (size_t)(i - v->instances));
	auto_buf struct buf b = BUF_INIT;

	buf_printf(&b, "instance %s", i->name);
	if (i->n_private_ips)
		buf_printf(&b, "\n%s", addr_str(&i->private_ips[0]));
	add_elastic(&b, &i->elastic_ip);
	if (!i->elastic_ip.set && i->associate_public_ip_address)
		buf_adds(&b, "\npublic address");
	add_groups(&b, i->security_groups, i->n_security_groups);
	add_serve(&b, &i->programs);
	node(o, id.s, KIND_INSTANCE, buf_str(&b));
}

static void function(const struct out *o, const struct function *f)
{
	const struct id id = id_top('f', (size_t)(f - o->lab->functions));
	auto_buf struct buf b = BUF_INIT;

	buf_printf(&b, "function %s", f->name);
	add_groups(&b, f->security_groups, f->n_security_groups);
	node(o, id.s, KIND_FUNCTION, buf_str(&b));
}

static void nat(const struct out *o, const struct vpc *v, const struct nat_gateway *n)
{
	const struct id id = id_of(o->lab, v, 'n', (size_t)(n - v->nat_gateways));
	auto_buf struct buf b = BUF_INIT;

	buf_printf(&b, "%sNAT gateway\n%s", n->private_connectivity ? "private " : "", n->name);
	add_elastic(&b, &n->elastic_ip);
	node(o, id.s, KIND_GATEWAY, buf_str(&b));
}

static void interface(const struct out *o, const struct vpc *v, const struct network_interface *x)
{
	const struct id id = id_of(o->lab, v, 'x', (size_t)(x - v->network_interfaces));
	auto_buf struct buf b = BUF_INIT;

	buf_printf(&b, "interface\n%s", x->name);
	if (x->attach_to)
		buf_printf(&b, "\nof %s", x->attach_to->name);
	add_groups(&b, x->security_groups, x->n_security_groups);
	node(o, id.s, KIND_INTERFACE, buf_str(&b));
}

/* ---- boxes ---- */

static bool is_public(const struct subnet *s)
{
	size_t i;

	for (i = 0; i < s->route_table->n_routes; i++)
		if (s->route_table->routes[i].target == TARGET_INTERNET_GATEWAY)
			return true;
	return false;
}

static void subnet(struct out *o, const struct vpc *v, const struct subnet *s)
{
	const struct id id = id_subnet(o, s);
	auto_buf struct buf b = BUF_INIT;
	size_t i;

	buf_printf(&b, "subnet %s  %s", s->name, prefix_str(&s->cidr_block));
	if (*s->route_table->name)
		buf_printf(&b, "\nroute table %s", s->route_table->name);
	if (s->network_acl && !s->network_acl->implicit)
		buf_printf(&b, "\nnetwork ACL %s", s->network_acl->name);
	for (i = 0; i < s->route_table->n_routes && !MUTANT("graph-blackhole"); i++)
		if (s->route_table->routes[i].target == TARGET_BLACKHOLE)
			buf_printf(&b, "\n%s: blackhole",
				   prefix_str(&s->route_table->routes[i].destination));
	box_begin(o, id.s, is_public(s) ? KIND_PUBLIC : KIND_PRIVATE, buf_str(&b));
	anchor(o, id.s);
	for (i = 0; i < v->n_nat_gateways; i++)
		if (v->nat_gateways[i].subnet == s)
			nat(o, v, &v->nat_gateways[i]);
	for (i = 0; i < v->n_instances; i++)
		if (v->instances[i].subnet == s)
			instance(o, v, &v->instances[i]);
	for (i = 0; i < v->n_network_interfaces; i++)
		if (v->network_interfaces[i].subnet == s)
			interface(o, v, &v->network_interfaces[i]);
	for (i = 0; i < o->lab->n_functions; i++)
		if (o->lab->functions[i].n_subnets == 1 && o->lab->functions[i].subnets[0] == s)
			function(o, &o->lab->functions[i]);
	box_end(o);
}

static void rule_words(const struct sg_rule *r, struct buf *b)
{
	const char *name = r->protocol == 6  ? "tcp" :
			   r->protocol == 17 ? "udp" :
			   r->protocol == 1  ? "icmp" :
					       NULL;

	if (r->protocol < 0)
		buf_adds(b, "all");
	else if (name)
		buf_adds(b, name);
	else
		buf_printf(b, "protocol %d", r->protocol);
	if (r->protocol == 6 || r->protocol == 17)
		buf_printf(b, r->from_port == r->to_port ? " %d" : " %d-%d", r->from_port,
			   r->to_port);
}

static void group(const struct out *o, const struct vpc *v, const struct security_group *g)
{
	const struct id id = id_of(o->lab, v, 'g', (size_t)(g - v->security_groups));
	auto_buf struct buf b = BUF_INIT;
	size_t i, k;

	buf_printf(&b, "security group %s", g->name);
	for (i = 0; i < g->n_ingress; i++)
		for (k = 0; k < g->ingress[i].n_cidr_blocks; k++) {
			buf_adds(&b, "\n");
			rule_words(&g->ingress[i], &b);
			buf_printf(&b, " from %s", prefix_str(&g->ingress[i].cidr_blocks[k]));
		}
	node(o, id.s, KIND_GROUP, buf_str(&b));
}

static void vpc(struct out *o, const struct vpc *v)
{
	const struct id id = id_top('v', (size_t)(v - o->lab->vpcs));
	auto_buf struct buf b = BUF_INIT;
	size_t i;

	buf_printf(&b, "VPC %s  %s", v->name, prefix_str(&v->cidr_block));
	for (i = 0; i < v->n_secondary_cidr_blocks; i++)
		buf_printf(&b, ", %s", prefix_str(&v->secondary_cidr_blocks[i]));
	box_begin(o, id.s, KIND_VPC, buf_str(&b));
	anchor(o, id.s);
	if (v->internet_gateway)
		node(o, id_of(o->lab, v, 'w', 0).s, KIND_GATEWAY, "internet gateway");
	for (i = 0; i < v->n_security_groups; i++)
		if (!v->security_groups[i].implicit)
			group(o, v, &v->security_groups[i]);
	for (i = 0; i < v->n_subnets; i++)
		subnet(o, v, &v->subnets[i]);
	for (i = 0; i < o->lab->n_functions; i++)
		if (o->lab->functions[i].vpc == v && o->lab->functions[i].n_subnets > 1)
			function(o, &o->lab->functions[i]);
	box_end(o);
}

static bool has_default_mode(const struct lab *lab)
{
	size_t i;

	for (i = 0; i < lab->n_functions; i++)
		if (!lab->functions[i].n_subnets)
			return true;
	return false;
}

static void outside(struct out *o)
{
	const struct lab *lab = o->lab;
	size_t i;

	box_begin(o, "internet", KIND_INTERNET, "internet");
	anchor(o, "internet");
	for (i = 0; i < lab->n_hosts; i++) {
		auto_buf struct buf b = BUF_INIT;

		buf_printf(&b, "host %s\n%s", lab->hosts[i].name, addr_str(&lab->hosts[i].ip));
		add_serve(&b, &lab->hosts[i].programs);
		node(o, id_top('h', i).s, KIND_HOST, buf_str(&b));
	}
	box_end(o);
	if (!has_default_mode(lab))
		return;
	box_begin(o, "service", KIND_SERVICE, "functions in no VPC");
	anchor(o, "service");
	for (i = 0; i < lab->n_functions; i++)
		if (!lab->functions[i].n_subnets)
			function(o, &lab->functions[i]);
	box_end(o);
}

/* ---- edges ---- */

static void route_edge(const struct out *o, const struct vpc *v, const char *from, bool from_box,
		       const struct route *r)
{
	struct id to;

	switch (r->target) {
	case TARGET_INTERNET_GATEWAY:
		to = id_of(o->lab, v, 'w', 0);
		break;
	case TARGET_NAT_GATEWAY:
		to = id_of(o->lab, v, 'n', (size_t)(r->nat_gateway - v->nat_gateways));
		break;
	case TARGET_INSTANCE:
		to = id_of(o->lab, v, 'i', (size_t)(r->instance - v->instances));
		break;
	case TARGET_NETWORK_INTERFACE:
		to = id_of(o->lab, v, 'x', (size_t)(r->network_interface - v->network_interfaces));
		break;
	case TARGET_PEERING:
		to = id_top('p', (size_t)(r->peering - o->lab->peerings));
		break;
	case TARGET_LOCAL:
	case TARGET_BLACKHOLE:
		return;
	}
	edge(o, from, from_box, to.s, false, false, prefix_str(&r->destination));
}

static void reference_edges(const struct out *o, const struct vpc *v,
			    const struct security_group *g)
{
	const struct id to = id_of(o->lab, v, 'g', (size_t)(g - v->security_groups));
	size_t i, k;

	for (i = 0; i < g->n_ingress; i++)
		for (k = 0; k < g->ingress[i].n_security_groups; k++) {
			const struct security_group *from = g->ingress[i].security_groups[k];
			auto_buf struct buf b = BUF_INIT;

			if (from->implicit || g->implicit)
				continue;
			rule_words(&g->ingress[i], &b);
			edge(o,
			     id_of(o->lab, from->vpc, 'g',
				   (size_t)(from - from->vpc->security_groups))
				     .s,
			     false, to.s, false, true, buf_str(&b));
		}
}

static void vpc_edges(const struct out *o, const struct vpc *v)
{
	size_t i, k;

	for (i = 0; i < v->n_subnets && !MUTANT("graph-routes"); i++)
		for (k = 0; k < v->subnets[i].route_table->n_routes; k++)
			route_edge(o, v, id_subnet(o, &v->subnets[i]).s, true,
				   &v->subnets[i].route_table->routes[k]);
	for (k = 0;
	     v->edge_route_table && k < v->edge_route_table->n_routes && !MUTANT("graph-edge"); k++)
		route_edge(o, v, id_of(o->lab, v, 'w', 0).s, false,
			   &v->edge_route_table->routes[k]);
	for (i = 0; i < v->n_security_groups; i++)
		reference_edges(o, v, &v->security_groups[i]);
	if (v->internet_gateway)
		edge(o, id_of(o->lab, v, 'w', 0).s, false, "internet", true, false, "");
}

static void edges(const struct out *o)
{
	const struct lab *lab = o->lab;
	size_t i, k;

	for (i = 0; i < lab->n_vpcs; i++)
		vpc_edges(o, &lab->vpcs[i]);
	for (i = 0; i < lab->n_functions; i++)
		for (k = 0; lab->functions[i].n_subnets > 1 && k < lab->functions[i].n_subnets; k++)
			edge(o, id_top('f', i).s, false,
			     id_subnet(o, lab->functions[i].subnets[k]).s, true, true, "interface");
	if (has_default_mode(lab))
		edge(o, "service", true, "internet", true, false, addr_str(&lab->service_ip));
	for (i = 0; i < lab->n_peerings; i++) {
		const struct peering *p = &lab->peerings[i];
		const struct id id = id_top('p', i);

		/* from one to the other: Graphviz puts it between them */
		edge(o, id_top('v', (size_t)(p->requester - lab->vpcs)).s, true, id.s, false, false,
		     "requester");
		edge(o, id.s, false, id_top('v', (size_t)(p->accepter - lab->vpcs)).s, true, false,
		     "accepter");
	}
}

static void peerings(const struct out *o)
{
	size_t i;

	for (i = 0; i < o->lab->n_peerings; i++) {
		auto_buf struct buf b = BUF_INIT;

		buf_printf(&b, "peering\n%s", o->lab->peerings[i].name);
		node(o, id_top('p', i).s, KIND_GATEWAY, buf_str(&b));
	}
}

void graph_text(const struct lab *lab, enum graph_format format, struct buf *b)
{
	struct out o = { .lab = lab, .format = format, .b = b, .depth = 1 };
	size_t i;

	if (format == GRAPH_DOT) {
		buf_adds(b, "digraph lab {\n"
			    "  compound=true; rankdir=LR; nodesep=0.3; ranksep=0.9; pad=0.3;\n"
			    "  fontname=\"Helvetica\"; fontsize=13; labeljust=l;\n"
			    "  node [fontname=\"Helvetica\" fontsize=11 style=filled "
			    "margin=\"0.15,0.08\"];\n"
			    "  edge [fontname=\"Helvetica\" fontsize=10 color=\"#545b64\"];\n");
	} else {
		buf_adds(b, "flowchart LR\n");
	}
	for (i = 0; i < lab->n_vpcs; i++)
		vpc(&o, &lab->vpcs[i]);
	peerings(&o);
	outside(&o);
	edges(&o);
	if (format == GRAPH_DOT)
		buf_adds(b, "}\n");
}
