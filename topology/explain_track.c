/* SPDX-License-Identifier: MIT */
/*
 * explain_track - what an interface remembers of a question (CT-1 to CT-5), as AWS
 * has it: each interface by itself, and only if the flow is tracked.
 */
#include "topology/explain_internal.h"

#include "lib/mutant.h"

/* a packet that goes round in a circle meets an interface again, which knows it by then */
static bool met_before(const struct walk *w, const struct s_eni *e, bool ingress, unsigned zone)
{
	size_t i;

	for (i = 0; i < w->n_gates && !addr_is_set(&w->p.about); i++) {
		const struct gate_memory *m = &w->gates[i];

		if (m->eni == e && m->ingress == ingress && m->zone == zone &&
		    addr_equal(&m->src, &w->p.src) && addr_equal(&m->dst, &w->p.dst))
			return true;
	}
	return false;
}

bool track_knows(const struct walk *w, const struct s_eni *e, bool ingress, unsigned zone)
{
	size_t i;

	if (met_before(w, e, ingress, zone))
		return true;
	for (i = 0; w->p.answer && i < w->n_gates; i++) {
		const struct gate_memory *m = &w->gates[i];

		/* a middlebox may have passed the question on to the internet gateway,
		 * whose answers are the sender's all the same; an answer that leaves by it
		 * to a question from elsewhere is none that it knows */
		if ((m->eni == e || MUTANT("explain-tracking")) && m->ingress != ingress &&
		    (m->zone == zone || (ingress && m->zone < zone)) &&
		    addr_equal(&m->dst, walk_asked(&w->p)) && addr_equal(&m->src, &w->p.dst))
			return true;
	}
	return false;
}

static bool from_everybody(const struct sg_rule *r)
{
	size_t i;

	for (i = 0; i < r->n_cidr_blocks; i++)
		if (!r->cidr_blocks[i].len)
			return true;
	return false;
}

/* a rule open to all that takes the packet, or ("answers") any answer to it */
static bool has_open_rule(const struct walk *w, const struct s_eni *e, bool ingress, bool answers)
{
	size_t i, k;

	for (i = 0; i < e->n_groups; i++) {
		const struct security_group *g = e->groups[i]->def;
		const struct sg_rule *rules = ingress ? g->ingress : g->egress;
		size_t n = ingress ? g->n_ingress : g->n_egress;

		for (k = 0; k < n; k++) {
			const struct sg_rule *r = &rules[k];
			int from = answers ? 0 : w->p.dport, to = answers ? 65535 : w->p.dport;

			if (from_everybody(r) &&
			    (r->protocol < 0 || (r->protocol == w->p.proto &&
						 r->from_port <= from && r->to_port >= to)))
				return true;
		}
	}
	return false;
}

void track_remember(struct walk *w, const struct s_eni *e, bool ingress, unsigned zone,
		    const struct s_eni *far)
{
	bool ports = w->p.proto == IPPROTO_TCP || w->p.proto == IPPROTO_UDP;
	bool always = e->type == ENI_LAMBDA || (far && far->type != ENI_INTERFACE);

	/* an ICMP error makes no tracked flow of what it tells of */
	if (addr_is_set(&w->p.about) || w->n_gates == WALK_MEMORY)
		return;
	if (ports && !always && has_open_rule(w, e, ingress, false) &&
	    has_open_rule(w, e, !ingress, true))
		return;
	w->gates[w->n_gates++] = (struct gate_memory){ e, ingress, zone, w->p.src, w->p.dst };
}
