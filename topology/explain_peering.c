/* SPDX-License-Identifier: MIT */
/*
 * explain_peering - what a peering takes and lets in, and who of a group on its
 * other side is meant by a rule.  Read from the parsed lab.
 */
#include "topology/explain_internal.h"

#include <stdio.h>

#include "lib/mutant.h"

static bool vpc_has(const struct vpc *v, const struct addr *a)
{
	size_t i;

	for (i = 0; i < v->n_secondary_cidr_blocks; i++)
		if (prefix_has(&v->secondary_cidr_blocks[i], a))
			return true;
	return prefix_has(&v->cidr_block, a);
}

bool peering_takes(struct walk *w, const struct s_peer *from)
{
	const struct object *o = &from->peering->o;
	const struct where *at = &from->peering->def->at;

	if (MUTANT("explain-peering"))
		return true;
	if (!vpc_has(from->other->def, &w->p.dst))
		walk_stop(w, DROP_PEERING_EGRESS, "peering", o->name, at,
			  "%s isn't an address of VPC %s, and a peering leads no further",
			  addr_str(&w->p.dst), from->other->o.name);
	else if (!vpc_has(from->vpc->def, &w->p.src))
		walk_stop(w, DROP_PEERING_EGRESS, "peering", o->name, at,
			  "%s isn't an address of VPC %s", addr_str(&w->p.src), from->vpc->o.name);
	return w->place != PLACE_END;
}

bool peering_member(const struct walk *w, const struct s_vpc *v, const struct peering *via,
		    const struct security_group *g, const struct addr *a, bool ingress)
{
	const struct s_peer *s = store_peer_of(v, via);
	const struct s_eni *e;
	size_t i;

	if (!s || !s->peering->active || (ingress && w->peer != s))
		return false;
	e = store_eni_by_private(s->other, a);
	for (i = 0; e && i < e->n_groups; i++)
		if (e->groups[i]->def == g)
			return true;
	return false;
}
