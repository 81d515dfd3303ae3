/* SPDX-License-Identifier: MIT */
/*
 * compile_peering - peerings: a link between two routers, unnumbered as all of
 * theirs, and what may pass it.
 *
 * Addresses stay as they are.  A peering carries what one VPC's own addresses send
 * to the other's and nothing else (PCX-4): the sender's router drops the rest after
 * the sender's groups and list, as a gateway does, and the receiver's lets none of it
 * in.  What comes in has a gateway's mark, so that no route table is asked: from a
 * peering there is a way to the VPC's interfaces only.
 *
 * Each router has a connection's state for itself; an answer needs a route of its own
 * (PCX-3), which may lead elsewhere (PCX-5: nobody looks whether it leads back).
 */
#include <stdio.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "nat/emit.h"
#include "netd/compile.h"

/* made from the requester's side, which is ends[0] */
static void link_item(const struct s_peering *p, struct program *ret)
{
	const struct s_peer *a = &p->ends[0], *b = &p->ends[1];

	program_addf(ret, a->vpc->ns, ITEM_LINK, p->link,
		     "index %u peer %s peer-ns %s peer-index %u mac %s peer-mac %s mtu %d "
		     "alias %s proxy_arp 0 peer-alias %s",
		     a->index, p->link, b->vpc->ns, b->index, a->mac, b->mac,
		     MUTANT("peering-mtu") ? MTU_INTERNET : MTU_VPC, p->o.id, p->o.id);
}

static const struct prefix *block(const struct vpc *v, size_t n)
{
	return n ? &v->secondary_cidr_blocks[n - 1] : &v->cidr_block;
}

static void side_items(const struct s_peer *s, const struct emit *f)
{
	const struct s_peering *p = s->peering;
	const struct s_peer *far = &p->ends[s == &p->ends[0]];
	char key[80];
	size_t i;

	if (s == &p->ends[0])
		link_item(p, f->p);
	(void)fmt_print(key, sizeof(key), "%s " GATEWAY_INTERNET, p->link);
	program_addf(f->p, f->ns, ITEM_NEIGH, key, "lladdr %s", far->mac);
	for (i = 0; i <= s->other->def->n_secondary_cidr_blocks; i++)
		emit_elem(f, "pcx_far", "", "%s . %s", p->link,
			  prefix_str(block(s->other->def, i)));
}

/* "10.0.0.0/16, 10.4.0.0/16": what belongs to the VPC */
static void own_blocks(const struct s_vpc *v, struct buf *b)
{
	size_t i;

	for (i = 0; i <= v->def->n_secondary_cidr_blocks && !(i && MUTANT("cells-peer-blocks"));
	     i++)
		emit_list_add(b, prefix_str(block(v->def, i)));
	(void)emit_list_end(b);
}

static void chains(const struct s_vpc *v, const struct emit *f, struct buf *b)
{
	auto_buf struct buf own = BUF_INIT;

	own_blocks(v, &own);
	if (buf_error(&own))
		f->p->failed = true;

	emit_chain(b, "");
	emit_rule(b, "meta mark set 0xffff comment \"from a peering: no table, no subnet\"");
	emit_rule(b, "iifname . ip saddr != @pcx_far goto %s comment \"not the peer's address\"",
		  emit_drop(DROP_PEERING_INGRESS));
	emit_rule(b, "ip daddr != %s goto %s comment \"%s: not its address\"", buf_str(&own),
		  emit_drop(DROP_PEERING_INGRESS), v->o.id);
	emit_rule(b,
		  "fib daddr . mark oif missing fib daddr type != local goto %s "
		  "comment \"%s: nobody has the address\"",
		  emit_drop(DROP_UNKNOWN_DESTINATION), v->o.id);
	emit_rule(b, "accept");
	emit_chain_end(f, "from_peering", b);

	emit_chain(b, "type filter hook forward priority -13; policy accept;");
	if (!MUTANT("peering-blocks")) {
		emit_rule(b,
			  "oifname \"pcx-*\" oifname . ip daddr != @pcx_far goto %s "
			  "comment \"not the peer's address\"",
			  emit_drop(DROP_PEERING_EGRESS));
		emit_rule(b,
			  "oifname \"pcx-*\" ip saddr != %s goto %s comment \"%s: not its "
			  "address\"",
			  buf_str(&own), emit_drop(DROP_PEERING_EGRESS), v->o.id);
	}
	emit_chain_end(f, "peering", b);
}

bool compile_has_peering(const struct s_vpc *v)
{
	size_t i;

	for (i = 0; i < v->n_peers; i++)
		if (v->peers[i]->peering->active)
			return true;
	return false;
}

void compile_peerings(const struct s_vpc *v, struct program *p)
{
	static const enum reach_drop_number drops[] = { DROP_PEERING_EGRESS, DROP_PEERING_INGRESS };
	struct emit f = { p, v->ns, "ip vpc" };
	auto_buf struct buf b = BUF_INIT;
	size_t i;

	if (!compile_has_peering(v))
		return;
	emit_set(&f, "pcx_far", "type ifname . ipv4_addr; flags interval;");
	for (i = 0; i < v->n_peers; i++)
		if (v->peers[i]->peering->active)
			side_items(v->peers[i], &f);
	emit_drop_chains(&f, drops, ARRAY_SIZE(drops));
	chains(v, &f, &b);
}

/* ---- groups across a peering ---- */

/* the other side's interfaces that are in a group */
static void members(const struct s_peer *s, const struct security_group *g, const char *set,
		    const struct emit *f)
{
	size_t i, k, a;

	for (i = 0; i < s->other->n_enis; i++) {
		const struct s_eni *e = s->other->enis[i];

		for (k = 0; k < e->n_groups; k++)
			if (e->groups[k]->def == g)
				for (a = 0; a < e->n_private_ips; a++)
					emit_elem(f, set, "", "%s", addr_str(&e->private_ips[a]));
	}
}

bool compile_far_group(const struct s_group *g, const struct peering *via,
		       const struct security_group *far, const struct emit *f,
		       char ret[COMPILE_SET])
{
	const struct s_peer *s = store_peer_of(g->vpc, via);

	/* a rule is stale while its peering isn't active, and stays (SG-11) */
	if (!s || (!s->peering->active && !MUTANT("peering-stale")))
		return false;
	(void)fmt_print(ret, COMPILE_SET, "g%u_%s_g%u_m", g->number, s->peering->link,
			s->other->groups[far - s->other->def->security_groups].number);
	emit_set(f, ret, "type ipv4_addr;");
	members(s, far, ret, f);
	return true;
}
