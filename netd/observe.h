/* SPDX-License-Identifier: MIT */
/*
 * observe - what is really there: at start, to take a running lab as it is, and
 * whenever somebody else changed something in a router, gateway, egress or
 * internet namespace, to put it right again.
 *
 * Links, addresses, routes, rules and neighbours are dumped.  nftables isn't: a
 * stamp tells whether the last commit was ours; if not, all our tables are
 * replaced in one transaction, and what their dynamic sets had counted is
 * remembered here.  Inside a workload's namespace only its link is looked at:
 * the rest belongs to the workload once it was made.
 */
#ifndef OBSERVE_H
#define OBSERVE_H

#include "netd/labs.h"

/*
 * observe_lab() - fills "l->actual" with what the kernel has of lab "l", as seen
 * from program "want"; foreign nftables commits are put right on the way.
 */
int observe_lab(struct netlab *l, const struct program *want, struct err *e);

/* spaces_foreign_fn; "arg" is the netlab */
void observe_foreign(const char *ns, bool nft, void *arg);
void observe_mark_all(struct netlab *l);
/* a job has ended: what was noticed meanwhile is looked at now; namespaces that
 * are new are watched */
void observe_rearm(struct netlab *l);
/* hears of foreign changes in all managed namespaces of "l->want" */
int observe_watch(struct netlab *l, struct err *e);
void observe_clear(struct netlab *l);

#endif
