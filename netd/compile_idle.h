/* SPDX-License-Identifier: MIT */
/*
 * compile_idle - how long an interface remembers what is idle (CT-6, CT-7, CT-10).
 *
 * The kernel has one timer a flow, and AWS one an interface.  So the kernel's are the
 * longest that AWS knows, scaled, and what is shorter is an element of a set with a
 * time-out, keyed by the flow's addresses and ports as its first packet had them, that
 * each packet begins anew.  Interfaces whose packets are their own share two sets, "sends"
 * and "receives", as they share labels (compile_track.h); one with a slot has its own.
 *
 *	default times	only UDP of less than two exchanges has an element: whoever
 *			lives by the kernel's timer costs no look-up
 *	others		all TCP and UDP has one.  A third label says that it did: a flow
 *			from before the interface got its times lives on, and has one
 *			from its next packet on
 *
 * Exchanges are counted a flow of the router: what passes through a middlebox counts
 * twice there, so that one exchange has the time of several.
 *
 * TCP that isn't established yet has the kernel's times, which are sooner (CT-10).
 */
#ifndef COMPILE_IDLE_H
#define COMPILE_IDLE_H

#include "nat/emit.h"
#include "topology/store.h"

/* AWS's time until an idle flow is forgotten, as the lab has it: s, at least 1 */
unsigned idle_scaled(const struct s_vpc *v, unsigned aws);
/* the kernel's own timers: lines of a router's namespace item */
void idle_sysctls(const struct s_vpc *v, struct buf *b);

#define IDLE_CHAIN 64 /* bytes of a chain's name */

/*
 * What a combination remembers in one role.  "sends": as the sender of flows, else as
 * their receiver; one with a slot has one memory for both.  "answer": the packet goes
 * the flow's second direction.
 *
 * idle_chain() - the chain that accepts a packet of a flow whose label is set, and
 * returns if it has been idle for too long.
 * idle_begin() - what begins the time of a flow that a rule let pass: rules for the
 * chain in "b", each for packets of that direction only.  They end the chain; a packet
 * whose flow finds no room is dropped (CT-8).
 */
void idle_chain(const struct s_combination *c, bool sends, bool answer, char ret[IDLE_CHAIN]);
void idle_begin(const struct s_vpc *v, const struct s_combination *c, bool sends, bool answer,
		struct buf *b);
/* of a VPC: the sets, and the chains that idle_chain() names */
void idle_compile(const struct s_vpc *v, const struct emit *f);

#endif
