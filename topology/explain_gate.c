/* SPDX-License-Identifier: MIT */
/*
 * explain_gate - what a router asks of a packet: security groups, route tables.
 * Read from the parsed lab rule by rule, as a person would; none of the sets and
 * maps that a program makes of them.
 */
#include "topology/explain_internal.h"

#include <stdio.h>
#include <string.h>

#include "lib/mutant.h"

/* ---- security groups ---- */

static bool has_ports(int protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/* a closed UDP port is told by ICMP */
struct gate_form gate_form(const struct walk *w)
{
	const struct packet *p = &w->p;

	if (addr_is_set(&p->about))
		return (struct gate_form){ IPPROTO_ICMP, 11, 0 };
	if (p->proto == IPPROTO_ICMP)
		return (struct gate_form){ IPPROTO_ICMP, p->answer ? 0 : 8, 0 };
	if (p->proto == IPPROTO_UDP && p->answer && w->refusing)
		return (struct gate_form){ IPPROTO_ICMP, 3, 3 };
	return (struct gate_form){ p->proto, p->dport, p->dport };
}

static bool rule_takes_protocol(const struct sg_rule *r, const struct gate_form *f)
{
	if (r->protocol < 0)
		return true;
	if (r->protocol != f->protocol)
		return false;
	if (has_ports(r->protocol))
		return f->from >= r->from_port && f->from <= r->to_port;
	if (r->protocol != IPPROTO_ICMP || r->from_port < 0)
		return true;
	return r->from_port == f->from && (r->to_port < 0 || r->to_port == f->to);
}

static bool is_member(const struct s_vpc *v, const struct addr *a, const struct security_group *g)
{
	const struct s_eni *e = store_eni_by_private(v, a);
	size_t i;

	for (i = 0; e && i < e->n_groups; i++)
		if (e->groups[i]->def == g)
			return true;
	return false;
}

/* who of the rule's peers the address is, in words; false: nobody.  "member": it has
 * come straight from its interface, so references hold */
static bool rule_takes_peer(const struct walk *w, const struct s_vpc *v,
			    const struct security_group *g, const struct sg_rule *r, bool ingress,
			    bool member, char *ret, size_t size)
{
	const struct addr *peer = ingress ? &w->p.src : &w->p.dst;
	size_t i;

	for (i = 0; i < r->n_cidr_blocks; i++)
		if (prefix_has(&r->cidr_blocks[i], peer)) {
			(void)snprintf(ret, size, "%s", prefix_str(&r->cidr_blocks[i]));
			return true;
		}
	if (MUTANT("explain-references"))
		return false;
	if (member && r->self && is_member(v, peer, g)) {
		(void)snprintf(ret, size, "itself");
		return true;
	}
	for (i = 0; i < r->n_security_groups; i++)
		if (r->via[i] ?
			    peering_member(w, v, r->via[i], r->security_groups[i], peer, ingress) :
			    member && is_member(v, peer, r->security_groups[i])) {
			(void)snprintf(ret, size, "security group %s%s%s",
				       r->via[i] ? r->via[i]->name : "", r->via[i] ? "/" : "",
				       r->security_groups[i]->name);
			return true;
		}
	return false;
}

void gate_protocol_words(int protocol, int from, int to, char *ret, size_t size)
{
	const char *name = protocol == IPPROTO_TCP  ? "tcp" :
			   protocol == IPPROTO_UDP  ? "udp" :
			   protocol == IPPROTO_ICMP ? "icmp" :
						      NULL;

	if (protocol < 0)
		(void)snprintf(ret, size, "all");
	else if (!name)
		(void)snprintf(ret, size, "protocol %d", protocol);
	else if (!has_ports(protocol) && from >= 0)
		(void)snprintf(ret, size, "icmp type %d", from);
	else if (!has_ports(protocol))
		(void)snprintf(ret, size, "%s", name);
	else if (from == to)
		(void)snprintf(ret, size, "%s %d", name, from);
	else
		(void)snprintf(ret, size, "%s %d-%d", name, from, to);
}

static void packet_words(const struct packet *p, char *ret, size_t size)
{
	if (has_ports(p->proto))
		(void)snprintf(ret, size, "%s %u", p->proto == IPPROTO_TCP ? "tcp" : "udp",
			       p->dport);
	else
		(void)snprintf(ret, size, "icmp");
}

/* would a reference hold, had the packet come straight from a member or been sent to
 * its private address (SG-10)? */
static bool reference_lost(const struct walk *w, const struct s_eni *e, bool ingress)
{
	const struct addr *peer = ingress ? &w->p.src : &w->p.dst;
	const struct s_eni *public = store_eni_by_public(w->s, peer);
	const struct addr *private = public && public->vpc == e->vpc ? &public->private_ips[0] :
				     ingress			     ? peer :
								       NULL;
	const struct gate_form form = gate_form(w);
	size_t i, k, m;

	for (i = 0; private && i < e->n_groups; i++) {
		const struct security_group *g = e->groups[i]->def;
		const struct sg_rule *rules = ingress ? g->ingress : g->egress;
		size_t n = ingress ? g->n_ingress : g->n_egress;

		for (k = 0; k < n; k++) {
			bool hit = rules[k].self && is_member(e->vpc, private, g);

			for (m = 0; m < rules[k].n_security_groups; m++)
				hit |= !rules[k].via[m] &&
				       is_member(e->vpc, private, rules[k].security_groups[m]);
			if (hit && rule_takes_protocol(&rules[k], &form))
				return true;
		}
	}
	return false;
}

static bool group_allows(struct walk *w, const struct s_eni *e, const struct s_group *g,
			 bool ingress, bool member)
{
	const struct security_group *def = g->def;
	const struct sg_rule *rules = ingress ? def->ingress : def->egress;
	size_t n = ingress ? def->n_ingress : def->n_egress, i;
	const struct gate_form form = gate_form(w);
	char words[32], who[180];

	for (i = 0; i < n; i++) {
		if (!rule_takes_protocol(&rules[i], &form) ||
		    !rule_takes_peer(w, e->vpc, def, &rules[i], ingress, member, who, sizeof(who)))
			continue;
		gate_protocol_words(rules[i].protocol, rules[i].from_port, rules[i].to_port, words,
				    sizeof(words));
		/* the rule that a group has when the file gives none stands at the group */
		walk_hop(w, EXPLAIN_ALLOW, "security_group", g->o.name,
			 rules[i].at.pos.line ? &rules[i].at : &def->at, "%s rule %zu: %s %s %s",
			 ingress ? "ingress" : "egress", i + 1, words, ingress ? "from" : "to",
			 who);
		if (!w->p.answer)
			w->part->allowed = (ssize_t)w->part->n_hops - 1;
		return true;
	}
	return false;
}

static bool any_rules(const struct s_eni *e, bool ingress)
{
	size_t i;

	for (i = 0; i < e->n_groups; i++)
		if (ingress ? e->groups[i]->def->n_ingress : e->groups[i]->def->n_egress)
			return true;
	return false;
}

bool gate_groups(struct walk *w, const struct s_eni *e, bool ingress, unsigned zone,
		 const struct s_eni *far)
{
	const char *direction = ingress ? "ingress" : "egress";
	bool any = any_rules(e, ingress), lost;
	bool member = !ingress || (far && store_eni_by_private(far->vpc, &w->p.src) == far);
	char words[32];
	size_t i;

	/* a NAT gateway's interface has no groups */
	if (!e->combination || track_knows(w, e, ingress, zone))
		return true;
	for (i = 0; i < e->n_groups; i++)
		if (group_allows(w, e, e->groups[i], ingress, member)) {
			track_remember(w, e, ingress, zone, far);
			return true;
		}
	packet_words(&w->p, words, sizeof(words));
	lost = reference_lost(w, e, ingress);
	walk_stop(w,
		  lost	  ? (ingress ? DROP_SG_REFERENCE_INGRESS : DROP_SG_REFERENCE_EGRESS) :
		  ingress ? (any ? DROP_SG_INGRESS : DROP_SG_NONE_INGRESS) :
			    (any ? DROP_SG_EGRESS : DROP_SG_NONE_EGRESS),
		  "security_group", e->groups[0]->o.name, &e->groups[0]->def->at,
		  any ? "no %s rule%s for %s %s %s" : "no %s rules%s at all: %s %s %s", direction,
		  e->n_groups > 1 ? " of its groups" : "", words, ingress ? "from" : "to",
		  addr_str(ingress ? &w->p.src : &w->p.dst));
	return false;
}

/* ---- routes ---- */

/* no route leads there, however wide it is (RT-6) */
static bool is_link_local_service(const struct addr *a)
{
	struct prefix p;

	return prefix_parse(LAB_NO_ROUTES, &p, NULL) == 0 && prefix_has(&p, a);
}

enum route_kind gate_route(const struct s_table *t, const struct addr *dst,
			   const struct route **ret_route, const struct s_eni **ret_eni)
{
	const struct s_vpc *v = t->vpc;
	const struct route *best = NULL;
	const struct prefix *local = vpc_cidr_of(v->def, dst);
	bool known = local && (local == &v->def->cidr_block || !MUTANT("explain-local-blocks"));
	int len = known ? local->len : -1;
	size_t i;

	*ret_route = NULL;
	*ret_eni = NULL;
	if (is_link_local_service(dst) && !MUTANT("explain-no-routes"))
		return ROUTE_NONE;
	/* a route with the VPC's own CIDR takes the local one's place */
	for (i = 0; i < t->def->n_routes; i++) {
		const struct route *r = &t->def->routes[i];

		if (!prefix_has(&r->destination, dst) || r->destination.len < len)
			continue;
		if (MUTANT("explain-local-route") &&
		    prefix_equal(&r->destination, &v->def->cidr_block))
			continue;
		if (MUTANT("explain-longest-prefix") && best)
			continue;
		best = r;
		len = r->destination.len;
	}
	*ret_route = best;
	if (!best)
		return len < 0 ? ROUTE_NONE : ROUTE_LOCAL;
	if (!store_route_active(v, best))
		return ROUTE_BAD;
	if (best->target == TARGET_LOCAL)
		return ROUTE_LOCAL;
	if (best->target == TARGET_INTERNET_GATEWAY)
		return ROUTE_IGW;
	if (best->target == TARGET_PEERING)
		return ROUTE_PEERING;
	*ret_eni = store_route_eni(v, best);
	return ROUTE_ENI;
}
