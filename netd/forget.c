/* SPDX-License-Identifier: MIT */
/*
 * forget - deletes tracked connections of the addresses that store_forgotten()
 * names, where it names them: all others' connections live on.
 */
#include "netd/forget.h"

#include <string.h>

#include "lib/log.h"
#include "lib/nft.h"
#include "lib/util.h"

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

void forget_moved(struct netlab *l, const struct store *old, const struct store *now)
{
	auto_free struct store_forgotten *moved = NULL;
	size_t i, n = 0;

	if (store_forgotten(old, now, &moved, &n) < 0) {
		log_warn("lab=%s ignoring connections that stay: out of memory", l->name);
		return;
	}
	for (i = 0; i < n; i++)
		forget_in(l, moved[i].ns, &moved[i].addr);
}
