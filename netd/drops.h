/* SPDX-License-Identifier: MIT */
/*
 * drops - what dropped a packet, read from the kernel's own notes (REACH-1): each
 * namespace that filters notes code, interface and tuple of what it drops.
 */
#ifndef DROPS_H
#define DROPS_H

#include "lib/nft.h"
#include "netd/labs.h"

/*
 * drops_find() - "flows": [{"namespace","protocol","saddr","sport","daddr",
 * "dport"}], of ICMP "sport" is the echo's id; "ret": {"drops":[{"code",
 * "component","direction"} or null]} in the same order, owned by the caller.
 * ERR_INVALID_PARAMETER, ERR_LIMIT.
 */
int drops_find(struct netlab *l, const cJSON *flows, cJSON **ret, struct err *e);

/* one of "flows"; "ret_ns": the namespace's name, borrowed.  0, -EINVAL */
int drops_flow_read(const cJSON *o, struct nft_flow *ret, const char **ret_ns);

#endif
