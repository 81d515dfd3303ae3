/* SPDX-License-Identifier: MIT */
/*
 * compile_sg - security groups in a router: two independent gates in the forward
 * hook, the sender's egress and the receiver's ingress.
 *
 * Each gate looks up the combination of groups in the mark and goes to its chain,
 * which asks tracking (compile_track.c), then jumps to each group's and ends in a
 * drop.  A group's rules by address are one interval set, named by its content, so
 * that an edit fills a fresh one and switches to it; a reference is a rule on the
 * other group's set of members.  So joining a group touches one element, and no cost
 * depends on how many there are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "nat/emit.h"
#include "netd/boxes.h"
#include "netd/compile.h"
#include "netd/compile_track.h"

/* a direction of a group */
struct side {
	const struct s_group *g;
	const struct sg_rule *rules;
	size_t n;
	bool ingress;
	const char *field;  /* the peer's address: "ip saddr" of ingress */
	const char *suffix; /* "in", "out" */
};

static struct side side_of(const struct s_group *g, bool ingress)
{
	struct side s = { .g = g, .ingress = ingress };

	s.rules = ingress ? g->def->ingress : g->def->egress;
	s.n = ingress ? g->def->n_ingress : g->def->n_egress;
	s.field = ingress ? "ip saddr" : "ip daddr";
	s.suffix = ingress ? "in" : "out";
	return s;
}

static const char *side_name(const struct side *s)
{
	return s->ingress ? "ingress" : "egress";
}

static bool has_ports(int protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

static const char *protocol_name(int protocol, char ret[8])
{
	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_ICMP)
		return protocol == IPPROTO_TCP ? "tcp" : protocol == IPPROTO_UDP ? "udp" : "icmp";
	(void)fmt_print(ret, 8, "%d", protocol & 255);
	return ret;
}

/* ---- interval sets ---- */

/* a set of these elements (a line each in "text"), named by its content; the name
 * is left in "ret" */
static void content_set(const struct emit *f, const struct side *s, const char *what,
			const char *type, const struct buf *text, char ret[48])
{
	const char *line = buf_str(text);
	char hash[9];

	hash_hex(hash, 8, "%s", line);
	(void)fmt_print(ret, 48, "g%u_%s%s_%s", s->g->number, s->suffix, what, hash);
	emit_set(f, ret, type);
	while (*line) {
		size_t n = strcspn(line, "\n");

		emit_elem(f, ret, "", "%.*s", (int)n, line);
		line += n + 1;
	}
}

static size_t count_cidrs(const struct side *s)
{
	size_t i, n = 0;

	for (i = 0; i < s->n; i++)
		n += s->rules[i].n_cidr_blocks;
	return n;
}

/* rules of TCP and UDP by address: one look-up for all */
static void port_rules(const struct emit *f, const struct side *s, struct buf *b)
{
	auto_free struct box *in = calloc(count_cidrs(s) + 1, sizeof(*in));
	auto_free struct box *out = NULL;
	auto_buf struct buf text = BUF_INIT;
	size_t i, k, n = 0, n_out = 0;
	char name[48], proto[8];

	for (i = 0; in && i < s->n; i++)
		for (k = 0; has_ports(s->rules[i].protocol) && k < s->rules[i].n_cidr_blocks; k++)
			in[n++] = (struct box){
				.protocol = s->rules[i].protocol,
				.ports = { (uint32_t)s->rules[i].from_port,
					   (uint32_t)s->rules[i].to_port },
				.addrs = range_of_prefix(&s->rules[i].cidr_blocks[k]),
			};
	if (!in || boxes_cut(in, n, &out, &n_out)) {
		f->p->failed = true;
		return;
	}
	if (!n_out)
		return;
	for (i = 0; i < n_out; i++) {
		range_print(&out[i].addrs, &text);
		buf_printf(&text, " . %s . %u", protocol_name(out[i].protocol, proto),
			   out[i].ports.from);
		if (out[i].ports.to != out[i].ports.from && !MUTANT("cells-ports"))
			buf_printf(&text, "-%u", out[i].ports.to);
		buf_adds(&text, "\n");
	}
	if (buf_error(&text))
		f->p->failed = true;
	content_set(f, s, "", "type ipv4_addr . inet_proto . inet_service; flags interval;", &text,
		    name);
	emit_rule(b, "%s . meta l4proto . th dport @%s accept comment \"%s, %s by address\"",
		  s->field, name, s->g->o.id, side_name(s));
}

/* rules of all protocols by address */
static void all_rules(const struct emit *f, const struct side *s, struct buf *b)
{
	auto_free struct range *v = calloc(count_cidrs(s) + 1, sizeof(*v));
	auto_buf struct buf text = BUF_INIT;
	size_t i, k, n = 0;
	char name[48];

	for (i = 0; v && i < s->n; i++)
		for (k = 0; s->rules[i].protocol < 0 && k < s->rules[i].n_cidr_blocks; k++)
			v[n++] = range_of_prefix(&s->rules[i].cidr_blocks[k]);
	if (!v) {
		f->p->failed = true;
		return;
	}
	n = ranges_merge(v, n);
	if (!n)
		return;
	if (n == 1 && !v[0].from && v[0].to == UINT32_MAX) {
		emit_rule(b, "accept comment \"%s, %s: all\"", s->g->o.id, side_name(s));
		return;
	}
	for (i = 0; i < n; i++) {
		range_print(&v[i], &text);
		buf_adds(&text, "\n");
	}
	if (buf_error(&text))
		f->p->failed = true;
	content_set(f, s, "_all", "type ipv4_addr; flags interval;", &text, name);
	emit_rule(b, "%s @%s accept comment \"%s, %s: all, by address\"", s->field, name,
		  s->g->o.id, side_name(s));
}

/* ---- rules of their own ---- */

/* "tcp dport 80-90 " and the like, "" for all protocols */
static void rule_match(const struct sg_rule *r, char *ret, size_t size)
{
	char proto[8];

	ret[0] = '\0';
	if (r->protocol < 0)
		return;
	if (has_ports(r->protocol)) {
		if (r->from_port == r->to_port)
			(void)fmt_print(ret, size, "%s dport %d ",
					protocol_name(r->protocol, proto), r->from_port);
		else
			(void)fmt_print(ret, size, "%s dport %d-%d ",
					protocol_name(r->protocol, proto), r->from_port,
					r->to_port);
	} else if (r->protocol != IPPROTO_ICMP || r->from_port < 0) {
		(void)fmt_print(ret, size, "meta l4proto %s ", protocol_name(r->protocol, proto));
	} else if (r->to_port < 0) {
		(void)fmt_print(ret, size, "icmp type %d ", r->from_port);
	} else {
		(void)fmt_print(ret, size, "icmp type %d icmp code %d ", r->from_port, r->to_port);
	}
}

/* ICMP and other protocols by address: ports mean nothing there, and in the
 * interval sets they would read a checksum */
static void other_rule(const struct side *s, size_t i, struct buf *b)
{
	const struct sg_rule *r = &s->rules[i];
	char match[48];
	size_t k;

	if (r->protocol < 0 || has_ports(r->protocol))
		return;
	rule_match(r, match, sizeof(match));
	for (k = 0; k < r->n_cidr_blocks; k++) {
		const struct prefix *p = &r->cidr_blocks[k];

		if (p->len)
			emit_rule(b, "%s %s %saccept comment \"%s, %s rule %zu\"", s->field,
				  prefix_str(p), match, s->g->o.id, side_name(s), i + 1);
		else
			emit_rule(b, "%saccept comment \"%s, %s rule %zu\"", match, s->g->o.id,
				  side_name(s), i + 1);
	}
}

/* of a group of a peer's VPC: only what comes over that peering bears its addresses */
static void far_rule(const struct emit *f, const struct side *s, size_t i, size_t k,
		     const char *match, struct buf *b)
{
	const struct sg_rule *r = &s->rules[i];
	char set[COMPILE_SET], from[40] = "";

	if (MUTANT("peering-references") ||
	    !compile_far_group(s->g, r->via[k], r->security_groups[k], f, set))
		return;
	if (s->ingress && !MUTANT("peering-reference-link"))
		(void)fmt_print(from, sizeof(from), "iifname \"%s\" ",
				store_peer_of(s->g->vpc, r->via[k])->peering->link);
	emit_rule(b, "%s%s @%s %saccept comment \"%s, %s rule %zu: %s/%s\"", from, s->field, set,
		  match, s->g->o.id, side_name(s), i + 1, r->via[k]->name,
		  r->security_groups[k]->name);
}

/* a reference holds for what comes from the member's own interface: a middlebox
 * between the two loses it (SG-10) */
static void reference_rule(const struct s_vpc *v, const struct emit *f, const struct side *s,
			   size_t i, struct buf *b)
{
	const struct sg_rule *r = &s->rules[i];
	const char *own =
		s->ingress && !MUTANT("references-preserved") ? "iifname . ip saddr @src_ok " : "";
	char match[48];
	size_t k;

	if (MUTANT("references"))
		return;
	rule_match(r, match, sizeof(match));
	if (r->self)
		emit_rule(b, "%s%s @g%u_m %saccept comment \"%s, %s rule %zu: itself\"", own,
			  s->field, s->g->number, match, s->g->o.id, side_name(s), i + 1);
	for (k = 0; k < r->n_security_groups; k++) {
		const struct s_group *peer;

		if (r->via[k]) {
			far_rule(f, s, i, k, match, b);
			continue;
		}
		peer = &v->groups[r->security_groups[k] - v->def->security_groups];
		emit_rule(b, "%s%s @g%u_m %saccept comment \"%s, %s rule %zu: %s\"", own, s->field,
			  peer->number, match, s->g->o.id, side_name(s), i + 1, peer->o.id);
	}
}

static bool has_references(const struct side *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->rules[i].self || s->rules[i].n_security_groups)
			return true;
	return false;
}

/* who would be a member but for the way it comes or is called by; the drop is written
 * out, since a jump would have the kernel walk the whole table at each edit */
static void lost_reference(const struct side *s, const struct s_group *peer, const char *match,
			   struct buf *b)
{
	const struct reach_drop *d =
		reach_drop(s->ingress ? DROP_SG_REFERENCE_INGRESS : DROP_SG_REFERENCE_EGRESS);
	const char *kinds = s->ingress ? "mp" : "p";

	/* a rule each: notes are left out where rules are printed for nft(8) */
	for (; *kinds && !MUTANT("references-public"); kinds++) {
		char who[80];

		(void)fmt_print(who, sizeof(who), "%s @g%u_%c %s", s->field, peer->number, *kinds,
				match);
		emit_rule(b, "%supdate @drops { 0x%02x . %s counter }", who, d->number, d->field);
		emit_rule(b,
			  "%supdate @notes { 0x%02x . %s . ip saddr . ip daddr . meta l4proto . "
			  "th ports timeout 30s }",
			  who, d->number, d->field);
		emit_rule(b, "%sdrop comment \"%s, %s\"", who, d->code, d->direction);
	}
}

static void lost_references(const struct s_vpc *v, const struct side *s, const struct emit *f,
			    struct buf *b)
{
	char match[48], name[32];
	size_t i, k;

	if (!has_references(s))
		return;
	emit_chain(b, "");
	for (i = 0; i < s->n; i++) {
		const struct sg_rule *r = &s->rules[i];

		rule_match(r, match, sizeof(match));
		if (r->self)
			lost_reference(s, s->g, match, b);
		for (k = 0; k < r->n_security_groups; k++)
			if (!r->via[k])
				lost_reference(
					s,
					&v->groups[r->security_groups[k] - v->def->security_groups],
					match, b);
	}
	(void)fmt_print(name, sizeof(name), "g%u_%s_lost", s->g->number, s->suffix);
	emit_chain_end(f, name, b);
}

/* the rules that let flows pass untracked (CT-1), apart: only they may be asked by
 * an interface whose other direction lets every answer pass */
static void open_rules(const struct emit *f, const struct side *s, struct buf *b)
{
	auto_free struct box *in = calloc(s->n + 1, sizeof(*in));
	auto_free struct box *out = NULL;
	auto_buf struct buf text = BUF_INIT;
	size_t i, n = 0, n_out = 0;
	bool all = false;
	char name[48], proto[8];

	for (i = 0; in && i < s->n; i++) {
		const struct sg_rule *r = &s->rules[i];

		if (!track_is_open(r))
			continue;
		all |= r->protocol < 0;
		if (has_ports(r->protocol))
			in[n++] = (struct box){
				.protocol = r->protocol,
				.ports = { (uint32_t)r->from_port, (uint32_t)r->to_port },
				.addrs = { 0, UINT32_MAX },
			};
	}
	if (!in || boxes_cut(in, n, &out, &n_out)) {
		f->p->failed = true;
		return;
	}
	if (!n && !all)
		return;
	emit_chain(b, "");
	if (all)
		emit_rule(b, "accept comment \"%s, %s: all, untracked\"", s->g->o.id, side_name(s));
	for (i = 0; i < n_out && !all; i++) {
		buf_printf(&text, "%s . %u", protocol_name(out[i].protocol, proto),
			   out[i].ports.from);
		if (out[i].ports.to != out[i].ports.from)
			buf_printf(&text, "-%u", out[i].ports.to);
		buf_adds(&text, "\n");
	}
	if (buf_error(&text))
		f->p->failed = true;
	if (!all) {
		content_set(f, s, "_open", "type inet_proto . inet_service; flags interval;", &text,
			    name);
		emit_rule(b, "meta l4proto . th dport @%s accept comment \"%s, %s: untracked\"",
			  name, s->g->o.id, side_name(s));
	}
	(void)fmt_print(name, sizeof(name), "g%u_%s_open", s->g->number, s->suffix);
	emit_chain_end(f, name, b);
}

static void group_side(const struct s_vpc *v, const struct s_group *g, bool ingress,
		       const struct emit *f, struct buf *b)
{
	struct side s = side_of(g, ingress);
	char name[32];
	size_t i;

	emit_chain(b, "");
	all_rules(f, &s, b);
	port_rules(f, &s, b);
	for (i = 0; i < s.n; i++) {
		other_rule(&s, i, b);
		reference_rule(v, f, &s, i, b);
	}
	(void)fmt_print(name, sizeof(name), "g%u_%s", g->number, s.suffix);
	emit_chain_end(f, name, b);
	open_rules(f, &s, b);
	lost_references(v, &s, f, b);
}

static void members(const struct s_vpc *v, const struct emit *f)
{
	char name[32];
	size_t i, k, a;

	for (i = 0; i < v->n_groups; i++) {
		(void)fmt_print(name, sizeof(name), "g%u_m", v->groups[i].number);
		emit_set(f, name, "type ipv4_addr;");
		(void)fmt_print(name, sizeof(name), "g%u_p", v->groups[i].number);
		emit_set(f, name, "type ipv4_addr;");
	}
	for (i = 0; i < v->n_enis; i++)
		for (k = 0; k < v->enis[i]->n_groups; k++) {
			(void)fmt_print(name, sizeof(name), "g%u_m", v->enis[i]->groups[k]->number);
			for (a = 0; a < v->enis[i]->n_private_ips; a++)
				emit_elem(f, name, "", "%s", addr_str(&v->enis[i]->private_ips[a]));
			(void)fmt_print(name, sizeof(name), "g%u_p", v->enis[i]->groups[k]->number);
			/* the public address of what is attached to nothing is nobody's */
			for (a = 0; v->enis[i]->ns && a < v->enis[i]->n_private_ips; a++)
				if (addr_is_set(eni_public_ip(v->enis[i], a)))
					emit_elem(f, name, "", "%s",
						  addr_str(eni_public_ip(v->enis[i], a)));
		}
}

/* ---- combinations and gates ---- */

static bool combination_has_rules(const struct s_combination *c, bool ingress)
{
	size_t i;

	for (i = 0; i < c->n_groups; i++)
		if (side_of(c->groups[i], ingress).n)
			return true;
	return false;
}

static void combination(const struct s_vpc *v, const struct s_combination *c, bool ingress,
			const struct emit *f, struct buf *b)
{
	bool any = combination_has_rules(c, ingress);
	enum reach_drop_number drop = ingress ? (any ? DROP_SG_INGRESS : DROP_SG_NONE_INGRESS) :
						(any ? DROP_SG_EGRESS : DROP_SG_NONE_EGRESS);
	const char *suffix = ingress ? "in" : "out";
	char name[32], verdict[48];
	size_t i;

	emit_chain(b, "");
	track_known(c, ingress, b);
	for (i = 0; i < c->n_groups && !(i && MUTANT("cells-groups")); i++)
		emit_rule(b, "jump g%u_%s comment \"%s %s\"", c->groups[i]->number, suffix,
			  c->groups[i]->o.id, c->groups[i]->o.name);
	for (i = 0; i < c->n_groups; i++) {
		struct side side = side_of(c->groups[i], ingress);

		if (has_references(&side))
			emit_rule(b, "jump g%u_%s_lost", c->groups[i]->number, suffix);
	}
	emit_rule(b, "goto %s", emit_drop(drop));
	(void)fmt_print(name, sizeof(name), "c%u_%s", c->number, suffix);
	emit_chain_end(f, name, b);
	(void)fmt_print(verdict, sizeof(verdict), "goto %s", name);
	emit_elem(f, ingress ? "sg_in" : "sg_out", verdict, "0x%x", c->number << 16);
	track_own(v, c, ingress, f, b);
}

static void gate(const struct s_vpc *v, bool ingress, const struct emit *f, struct buf *b)
{
	bool open = MUTANT("egress-gate") ? !ingress : MUTANT("ingress-gate") ? ingress : false;
	const char *suffix = ingress ? "in" : "out";
	char name[32];

	emit_chain(b, "");
	if (!open) {
		emit_rule(b, "meta mark & " MARK_COMBINATION " vmap @sg_%s", suffix);
		emit_rule(b, "goto %s", emit_drop(ingress ? DROP_SG_INGRESS : DROP_SG_EGRESS));
	}
	(void)fmt_print(name, sizeof(name), "groups_%s", suffix);
	emit_chain_end(f, name, b);

	emit_chain(b, ingress ? "type filter hook forward priority 0; policy accept;" :
				"type filter hook forward priority -20; policy accept;");
	track_reset(v, b);
	emit_rule(b, "%s \"eni-*\" goto groups_%s", ingress ? "oifname" : "iifname", suffix);
	emit_chain_end(f, ingress ? "sg_ingress" : "sg_egress", b);
	(void)fmt_print(name, sizeof(name), "sg_%s", suffix);
	emit_set(f, name, "type mark : verdict;");
	/* a NAT gateway's interface has no groups */
	emit_elem(f, name, "accept", "0x0");
}

static void both_sides(const struct s_group *g, const struct emit *f, struct buf *b)
{
	group_side(g->vpc, g, true, f, b);
	group_side(g->vpc, g, false, f, b);
}

static void both_gates(const struct s_vpc *v, const struct s_combination *c, const struct emit *f,
		       struct buf *b)
{
	combination(v, c, true, f, b);
	combination(v, c, false, f, b);
}

static bool has_group(const struct s_combination *c, const struct s_group *g)
{
	size_t i;

	for (i = 0; i < c->n_groups; i++)
		if (c->groups[i] == g)
			return true;
	return false;
}

void compile_group_items(const struct s_group *g, struct program *p)
{
	const struct s_vpc *v = g->vpc;
	struct emit f = { p, v->ns, "ip vpc" };
	auto_buf struct buf b = BUF_INIT;
	size_t i;

	both_sides(g, &f, &b);
	for (i = 0; i < v->n_combinations; i++)
		if (has_group(v->combinations[i], g))
			both_gates(v, v->combinations[i], &f, &b);
}

void compile_groups(const struct s_vpc *v, struct program *p)
{
	struct emit f = { p, v->ns, "ip vpc" };
	auto_buf struct buf b = BUF_INIT;
	size_t i;

	members(v, &f);
	for (i = 0; i < v->n_groups; i++)
		both_sides(&v->groups[i], &f, &b);
	for (i = 0; i < v->n_combinations; i++)
		both_gates(v, v->combinations[i], &f, &b);
	gate(v, true, &f, &b);
	gate(v, false, &f, &b);
	track_compile(v, &f);
}
