/* SPDX-License-Identifier: MIT */
/*
 * store_peering - peerings between VPCs (PCX-1, 2): one object with two sides.  One
 * that nobody accepted has its id and no link.
 */
#include <string.h>

#include "lib/fmt.h"
#include "lib/mutant.h"
#include "topology/store_internal.h"

static bool same_name(const struct vpc *a, const struct vpc *b)
{
	return !strcmp(a->name, b->name);
}

/* is the VPC that "def" names another one now than the side "old" had? */
static bool other_vpc(const struct store *s, const struct vpc *def, const struct s_peer *old)
{
	return strcmp(store_vpc_of(s, def)->o.id, old->vpc->o.id) != 0;
}

static void compare(const struct store *s, const struct s_peering *old, const struct peering *def,
		    struct change *c)
{
	if (!same_name(old->def->requester, def->requester))
		change_note(c->fixed, sizeof(c->fixed), "requester");
	if (!same_name(old->def->accepter, def->accepter))
		change_note(c->fixed, sizeof(c->fixed), "accepter");
	if (!c->fixed[0] && (other_vpc(s, def->requester, &old->ends[0]) ||
			     other_vpc(s, def->accepter, &old->ends[1])))
		change_note(c->fixed, sizeof(c->fixed), "vpc");
	/* what was accepted once can't be pending again: that is another request */
	if (old->def->auto_accept && !def->auto_accept)
		change_note(c->fixed, sizeof(c->fixed), "auto_accept");
	else if (old->def->auto_accept != def->auto_accept)
		change_note(c->free_, sizeof(c->free_), "auto_accept");
}

static void make_peering(struct build *b, struct s_peering *p, const struct peering *def)
{
	const struct s_peering *old =
		b->old ? (const void *)store_find(b->old, OBJECT_PEERING, def->name) : NULL;
	struct s_vpc *sides[] = { store_vpc_of(b->s, def->requester),
				  store_vpc_of(b->s, def->accepter) };
	struct change c = { 0 };
	const char *hex;
	size_t i;

	p->def = def;
	p->active = def->auto_accept || MUTANT("peering-pending");
	p->o = build_object_head(b, OBJECT_PEERING, NULL, def->name, def->at.path);
	p->o.state = p->active ? "active" : "pending-acceptance";
	if (old)
		compare(b->s, old, def, &c);
	build_object_make(b, &p->o, p->o.name, old ? &old->o : NULL, &c);
	hex = build_id_hex(p->o.id);
	p->link = pool_printf(b->pool, "pcx-%.11s", hex);
	for (i = 0; i < 2; i++) {
		p->ends[i] = (struct s_peer){
			.peering = p,
			.vpc = sides[i],
			.other = sides[1 - i],
			.mac = build_mac_of(b, i ? "06" : "02", hex),
		};
		sides[i]->peers[sides[i]->n_peers++] = &p->ends[i];
	}
}

int build_peerings(struct build *b)
{
	struct store *s = b->s;
	size_t i, k, n;

	for (i = 0; i < s->n_vpcs; i++) {
		for (k = n = 0; k < b->lab->n_peerings; k++)
			n += b->lab->peerings[k].requester == s->vpcs[i].def ||
			     b->lab->peerings[k].accepter == s->vpcs[i].def;
		s->vpcs[i].peers = pool_alloc(b->pool, (n + 1) * sizeof(struct s_peer *));
		if (!s->vpcs[i].peers)
			return build_no_memory(b);
	}
	for (i = 0; i < s->n_peerings; i++)
		make_peering(b, &s->peerings[i], &b->lab->peerings[i]);
	return 0;
}
