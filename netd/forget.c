/* SPDX-License-Identifier: MIT */
/*
 * forget - deletes tracked connections by address (forget.h), in the router of
 * the VPC and in its NAT gateways, and only where an interface has let go of an
 * address: all others' connections live on.
 */
#include "netd/forget.h"

#include <string.h>

#include "lib/log.h"
#include "lib/nft.h"

static void forget_in(struct netlab *l, const char *ns, const struct addr *a)
{
	struct err e = { .code = ERR_NONE };
	int fd, r;

	if (!program_find(&l->actual, ns, ITEM_NS, ""))
		return;
	fd = spaces_fd(l->spaces, ns, &e);
	r = fd < 0 ? fd : ct_forget(fd, addr_to_v4(a));
	if (r < 0)
		log_warn("lab=%s ns=%s ignoring connections of %s that stay: %s", l->name, ns,
			 addr_str(a), strerror(-r));
}

static void forget_in_vpc(struct netlab *l, const struct s_vpc *v, const struct addr *a)
{
	size_t i;

	forget_in(l, v->ns, a);
	for (i = 0; i < v->n_nats; i++)
		if (v->nats[i].eni)
			forget_in(l, v->nats[i].ns, a);
}

static bool has_private(const struct s_eni *e, const struct addr *a)
{
	size_t i;

	for (i = 0; i < e->n_private_ips; i++)
		if (addr_equal(&e->private_ips[i], a))
			return true;
	return false;
}

static void forget_eni(struct netlab *l, const struct s_eni *e, const struct s_vpc *v,
		       const struct store *now)
{
	const struct object *o = store_by_id(now, e->o.id);
	const struct s_eni *same = o ? (const void *)o : NULL; /* its first member */
	size_t i;

	for (i = 0; i < e->n_private_ips; i++)
		if (!same || !has_private(same, &e->private_ips[i]))
			forget_in_vpc(l, v, &e->private_ips[i]);
	if (addr_is_set(&e->public_ip) && (!same || !addr_is_set(&same->public_ip) ||
					   !addr_equal(&same->public_ip, &e->public_ip)))
		forget_in(l, v->ns, &e->public_ip);
}

void forget_moved(struct netlab *l, const struct store *old, const struct store *now)
{
	size_t i, k;

	for (i = 0; i < old->n_vpcs; i++) {
		const struct s_vpc *was = &old->vpcs[i];
		const struct s_vpc *v = store_vpc(now, was->def->name);

		/* a router that is new has tracked nothing */
		if (!v || strcmp(v->o.id, was->o.id) != 0)
			continue;
		for (k = 0; k < was->n_enis; k++)
			forget_eni(l, was->enis[k], v, now);
	}
}
