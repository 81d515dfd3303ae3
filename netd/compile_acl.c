/* SPDX-License-Identifier: MIT */
/*
 * compile_acl - network ACLs in a router: two gates in the forward hook, where a
 * packet leaves a subnet and where it enters one (NACL-2).  Neither looks at
 * connection tracking, so an answer needs its own rule (NACL-3) and a change cuts
 * what is open at once (NACL-12).
 *
 *	lists_out	mark's subnet -> s<N>_out	inside the subnet? else a<K>_out
 *	lists_in	mark's subnet -> s<N>_in	inside the subnet? else a<K>_in
 *	lists_lost	mark's subnet -> s<N>_lost	as lists_out, of what has no route
 *
 * s<N>_m holds the links of subnet N, and is all that an interface that comes or
 * goes touches; another list for a subnet changes its three chains, an entry of
 * list K one of its two.  Entries stay rules in a row: they overlap, their order
 * decides, and there are few (NACL-9).
 */
#include <stdio.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "nat/emit.h"
#include "netd/compile.h"

/* ---- entries ---- */

/* "tcp dport 80-90 " and the like, "" for all protocols; ports mean nothing with
 * other protocols (NACL-6) */
static void entry_match(const struct acl_entry *e, char *ret, size_t size)
{
	ret[0] = '\0';
	if (e->protocol < 0 || MUTANT("acl-protocol"))
		return;
	if (e->protocol == IPPROTO_TCP || e->protocol == IPPROTO_UDP) {
		const char *name = e->protocol == IPPROTO_TCP ? "tcp" : "udp";

		if (e->from_port == e->to_port || MUTANT("cells-acl-ports"))
			(void)fmt_print(ret, size, "%s dport %d ", name, e->from_port);
		else
			(void)fmt_print(ret, size, "%s dport %d-%d ", name, e->from_port,
					e->to_port);
	} else if (e->protocol == IPPROTO_ICMP && e->icmp_type >= 0 && !MUTANT("acl-icmp")) {
		int n = fmt_print(ret, size, "icmp type %d ", e->icmp_type);

		if (e->icmp_code >= 0)
			(void)fmt_print(ret + n, size - (size_t)n, "icmp code %d ", e->icmp_code);
	} else {
		(void)fmt_print(ret, size, "meta l4proto %d ", e->protocol);
	}
}

/* "accept" ends the gate alone: whoever comes after it has its say */
static void entry_rule(const struct s_acl *a, const struct acl_entry *e, bool ingress,
		       struct buf *b)
{
	const char *drop = emit_drop(ingress ? DROP_ACL_INGRESS : DROP_ACL_EGRESS);
	char peer[64] = "", match[48];

	entry_match(e, match, sizeof(match));
	if (e->cidr_block.len)
		(void)fmt_print(peer, sizeof(peer), "ip %s %s ", ingress ? "saddr" : "daddr",
				prefix_str(&e->cidr_block));
	emit_rule(b, "%s%s%s%s comment \"%s, %s rule %d\"", peer, match,
		  e->allow ? "accept" : "goto ", e->allow ? "" : drop, a->o.id,
		  ingress ? "ingress" : "egress", e->rule_number);
}

static void list(const struct s_acl *a, bool ingress, const struct emit *f, struct buf *b)
{
	const struct acl_entry *v = ingress ? a->def->ingress : a->def->egress;
	size_t n = ingress ? a->def->n_ingress : a->def->n_egress, i;
	char name[32];

	emit_chain(b, "");
	if (MUTANT("acl-stateless"))
		emit_rule(b, "ct state established,related accept");
	for (i = 0; i < n; i++)
		entry_rule(a, &v[MUTANT("acl-order") ? n - 1 - i : i], ingress, b);
	if (!MUTANT("acl-final"))
		emit_rule(b, "goto %s comment \"%s, %s rule *\"",
			  emit_drop(ingress ? DROP_ACL_INGRESS : DROP_ACL_EGRESS), a->o.id,
			  ingress ? "ingress" : "egress");
	(void)fmt_print(name, sizeof(name), "a%u_%s", a->number, ingress ? "in" : "out");
	emit_chain_end(f, name, b);
}

/* ---- subnets ---- */

/* a way out of the subnet or in; "inside": what never crosses its border */
static void border(const struct s_subnet *s, const char *way, const char *inside, const char *side,
		   const struct emit *f, struct buf *b)
{
	char chain[32], map[32], verdict[48];

	(void)fmt_print(chain, sizeof(chain), "s%u_%s", s->number, way);
	emit_chain(b, "");
	if (!MUTANT("acl-same-subnet"))
		emit_rule(b, "%s accept comment \"%s: stays inside\"", inside, s->o.id);
	emit_rule(b, "goto a%u_%s comment \"%s %s\"", s->acl->number, side, s->acl->o.id,
		  s->acl->o.name);
	emit_chain_end(f, chain, b);
	(void)fmt_print(map, sizeof(map), "acl_%s", way);
	(void)fmt_print(verdict, sizeof(verdict), "goto %s", chain);
	emit_elem(f, map, verdict, "0x%x", s->number);
}

static void borders(const struct s_subnet *s, const struct emit *f, struct buf *b)
{
	char members[32], inside[80];

	(void)fmt_print(members, sizeof(members), "s%u_m", s->number);
	emit_set(f, members, "type ifname;");
	(void)fmt_print(inside, sizeof(inside), "oifname @%s", members);
	border(s, "out", inside, "out", f, b);
	(void)fmt_print(inside, sizeof(inside), "iifname @%s", members);
	border(s, "in", inside, MUTANT("cells-acl-side") ? "out" : "in", f, b);
	/* nobody in the subnet has the address: that is no crossing either */
	(void)fmt_print(inside, sizeof(inside), "ip daddr %s", prefix_str(&s->def->cidr_block));
	border(s, "lost", inside, "out", f, b);
}

/* ---- gates ---- */

static void gate(const char *way, enum reach_drop_number drop, const struct emit *f, struct buf *b)
{
	char name[32];

	(void)fmt_print(name, sizeof(name), "acl_%s", way);
	emit_set(f, name, "type mark : verdict;");
	emit_chain(b, "");
	emit_rule(b, "meta mark & 0xff vmap @%s", name);
	emit_rule(b, "goto %s comment \"a subnet that is no more\"", emit_drop(drop));
	(void)fmt_print(name, sizeof(name), "lists_%s", way);
	emit_chain_end(f, name, b);
}

void compile_acl_items(const struct s_acl *a, struct program *p)
{
	struct emit f = { p, a->vpc->ns, "ip vpc" };
	auto_buf struct buf b = BUF_INIT;

	list(a, true, &f, &b);
	list(a, false, &f, &b);
}

void compile_acls(const struct s_vpc *v, struct program *p)
{
	static const enum reach_drop_number drops[] = { DROP_ACL_EGRESS, DROP_ACL_INGRESS };
	struct emit f = { p, v->ns, "ip vpc" };
	auto_buf struct buf b = BUF_INIT;
	char members[32];
	size_t i;

	compile_drop_chains(v, &f, drops, sizeof(drops) / sizeof(drops[0]));
	for (i = 0; i < v->n_acls; i++)
		compile_acl_items(&v->acls[i], p);
	for (i = 0; i < v->n_subnets; i++)
		borders(&v->subnets[i], &f, &b);
	for (i = 0; i < v->n_enis; i++) {
		(void)fmt_print(members, sizeof(members), "s%u_m", v->enis[i]->subnet->number);
		emit_elem(&f, members, "", "%s", v->enis[i]->router_interface);
	}
	gate("out", DROP_ACL_EGRESS, &f, &b);
	gate("in", DROP_ACL_INGRESS, &f, &b);
	gate("lost", DROP_ACL_EGRESS, &f, &b);
	/* after the sender's groups (-20), while the mark still is the sender's */
	emit_chain(&b, MUTANT("acl-priority") ?
			       "type filter hook forward priority -25; policy accept;" :
			       "type filter hook forward priority -15; policy accept;");
	if (!MUTANT("acl-egress"))
		emit_rule(&b, "iifname \"eni-*\" goto lists_out");
	emit_chain_end(&f, "acl_egress", &b);
	/* the mark is the receiver's (-12); its groups come after (0) */
	emit_chain(&b, MUTANT("acl-priority") ?
			       "type filter hook forward priority 10; policy accept;" :
			       "type filter hook forward priority -10; policy accept;");
	if (!MUTANT("acl-ingress"))
		emit_rule(&b, "oifname \"eni-*\" goto lists_in");
	emit_chain_end(&f, "acl_ingress", &b);
}
