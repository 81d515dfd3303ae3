/* SPDX-License-Identifier: MIT */
/*
 * inspect - what one namespace of a lab looks like now, for people who look into a
 * failure: its rules, what they dropped, links and routes, tracked connections.
 */
#ifndef INSPECT_H
#define INSPECT_H

#include "netd/labs.h"

#define INSPECT_CONNECTIONS_MAX 10000 /* lines of one answer */

/*
 * inspect_namespace() - "ret" (the caller's): {"namespace","rules","rules_in_force",
 * "network","drops":[{"code","interface","packets"}],"connections"}.  "rules" is the
 * text that nft -f takes and "network" what the kernel has, as netd's programs have
 * it.  "rules_in_force": the kernel's stamp says that exactly these are; null where
 * there are none.  ERR_NO_OBJECT: no such namespace; ERR_KERNEL.
 */
int inspect_namespace(struct netlab *l, const char *ns, cJSON **ret, struct err *e);

#endif
