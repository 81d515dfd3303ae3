/* SPDX-License-Identifier: MIT */
/*
 * natmetrics - what a NAT gateway counts: CloudWatch's metrics of AWS/NATGateway
 * (NAT-23).  Rules of its namespace count into the elements of a set, so nothing is
 * lost while no daemon runs; netd reads them (netd/metrics.h).
 *
 * A connection has begun with its first packet, is established with the first answer
 * (of TCP with SYN and ACK), and is closed by a FIN or RST.  What was established, isn't
 * closed and isn't tracked any more was idle for too long.
 */
#ifndef NATMETRICS_H
#define NATMETRICS_H

#include "nat/emit.h"

/* numbers of the set's elements */
enum natmetric {
	NATMETRIC_IN_FROM_SOURCE = 1,
	NATMETRIC_IN_FROM_DESTINATION,
	NATMETRIC_OUT_TO_SOURCE,
	NATMETRIC_OUT_TO_DESTINATION,
	NATMETRIC_ATTEMPT,
	NATMETRIC_ESTABLISHED,
	NATMETRIC_CLOSED,
	NATMETRIC_INVALID, /* dropped for no reason that drops have a code for */
	NATMETRIC_END
};

#define NATMETRICS_SET "metrics"
/* states of a connection: bits of its mark */
#define NATMETRICS_MASK 0x3
#define NATMETRICS_MARK_ESTABLISHED 0x1
#define NATMETRICS_MARK_CLOSED 0x2

/* a statement that counts the packet, for within a rule */
const char *natmetrics_count(enum natmetric m);
/* the set, and the chains that count what comes in and what goes out; "own": the
 * gateway's addresses as nft(8) writes a list */
void natmetrics_compile(const struct emit *f, const char *own, struct buf *b);
/* into the forward chain, in front of what accepts established connections */
void natmetrics_connections(struct buf *b);

#endif
