/* SPDX-License-Identifier: MIT */
/*
 * explain_acl - what a subnet's network ACL says of a packet that leaves the subnet
 * or enters it: the entry with the lowest number that matches decides, else the
 * final deny (NACL-1).  It knows no connections, so the answer is asked like the
 * question (NACL-3).  Read from the parsed lab, entry by entry.
 */
#include "topology/explain_internal.h"

#include <stdio.h>

#include "lib/mutant.h"

static bool entry_takes(const struct acl_entry *e, const struct gate_form *f,
			const struct addr *peer)
{
	if (!prefix_has(&e->cidr_block, peer))
		return false;
	if (e->protocol < 0)
		return true;
	if (e->protocol != f->protocol)
		return false;
	if (e->protocol == IPPROTO_ICMP)
		return (e->icmp_type < 0 || e->icmp_type == f->from) &&
		       (e->icmp_code < 0 || e->icmp_code == f->to);
	if (e->protocol == IPPROTO_TCP || e->protocol == IPPROTO_UDP)
		return e->from_port <= f->from && f->from <= e->to_port;
	return true; /* ports mean nothing (NACL-6) */
}

static void entry_words(const struct acl_entry *e, char *ret, size_t size)
{
	bool icmp = e->protocol == IPPROTO_ICMP;

	gate_protocol_words(e->protocol, icmp ? e->icmp_type : e->from_port,
			    icmp ? e->icmp_code : e->to_port, ret, size);
}

bool gate_list(struct walk *w, const struct s_subnet *s, bool ingress)
{
	const struct s_acl *a = s->acl;
	const struct acl_entry *v = ingress ? a->def->ingress : a->def->egress;
	size_t n = ingress ? a->def->n_ingress : a->def->n_egress, i;
	const struct addr *peer = ingress ? &w->p.src : &w->p.dst;
	const char *direction = ingress ? "ingress" : "egress", *way = ingress ? "from" : "to";
	enum reach_drop_number drop = ingress ? DROP_ACL_INGRESS : DROP_ACL_EGRESS;
	struct gate_form f = gate_form(w);
	char words[32];

	/* the one that every VPC has lets all pass: nothing in the file to point at */
	if (a->def->implicit || (MUTANT("explain-acl-answer") && w->p.answer))
		return true;
	for (i = 0; i < n && !entry_takes(&v[i], &f, peer); i++)
		;
	if (i == n) {
		bool port = f.protocol != IPPROTO_ICMP && w->p.answer;

		/* which of its ports the client takes, nobody knows */
		gate_protocol_words(f.protocol, port ? 1024 : f.from, port ? 65535 : f.to, words,
				    sizeof(words));
		walk_stop(w, drop, "network_acl", a->o.name, &a->def->at,
			  "%s rule *: no rule for %s%s %s %s", direction, words,
			  port ? ", where answers go," : "", way, addr_str(peer));
		return false;
	}
	entry_words(&v[i], words, sizeof(words));
	if (v[i].allow)
		walk_hop(w, EXPLAIN_ALLOW, "network_acl", a->o.name, &v[i].at,
			 "%s rule %d: %s %s %s", direction, v[i].rule_number, words, way,
			 prefix_str(&v[i].cidr_block));
	else
		walk_stop(w, drop, "network_acl", a->o.name, &v[i].at, "%s rule %d denies %s %s %s",
			  direction, v[i].rule_number, words, way, prefix_str(&v[i].cidr_block));
	return v[i].allow;
}
