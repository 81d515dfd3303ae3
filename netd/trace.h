/* SPDX-License-Identifier: MIT */
/*
 * trace - the kernel's own account of a flow: for as long as a trace runs, a table of
 * ours in each router, gateway, egress and internet namespace marks packets to and
 * from the addresses asked for, and the kernel tells which rules they meet.
 *
 * One of these a lab at a time; it ends by itself after its time-out, and a daemon
 * that finds such a table at its start replaces the namespace's tables (nft_adoptable()),
 * so that nothing stays of whoever began it.
 */
#ifndef TRACE_H
#define TRACE_H

#include "netd/labs.h"

/* namespaces of one trace: all of a lab's that filter or translate, or the way has holes; each costs a
 * small transaction at the beginning and at the end */
#define TRACE_SPACES_MAX 1024
#define TRACE_ADDRESSES_MAX 32
#define TRACE_SECONDS_MAX 60 /* of a trace that nobody ends */

struct trace;

/*
 * trace_begin() - "o": {"protocol","port","addresses":[A,...],"timeout":S}; without
 * addresses any.  From its return on packets are traced; "ret": {"trace":ID}.
 * ERR_INVALID_PARAMETER, ERR_LIMIT (another runs), ERR_UNSUPPORTED, ERR_KERNEL.
 */
int trace_begin(struct netlab *l, const cJSON *o, cJSON **ret, struct err *e);
/*
 * trace_end() - takes the tables away; "flows" as in drops.h: "ret" (the caller's)
 * {"trails":[...]} as trail.h has them, one a flow.  ERR_NO_OBJECT: no such trace, or it
 * has ended by itself.
 */
int trace_end(struct netlab *l, const char *id, const cJSON *flows, cJSON **ret, struct err *e);
/* ends what runs, if anything does; for a lab that goes */
void trace_stop(struct netlab *l);

#endif
