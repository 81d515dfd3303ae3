/* SPDX-License-Identifier: MIT */
/*
 * compile_track - what interfaces remember of flows (CT-1 to CT-5), as AWS does: each
 * by itself, and only of flows that a rule let pass which isn't open to all.
 *
 * The kernel tracks a flow once for a whole router.  Its labels say which interfaces
 * do: of an interface's pair of labels the first is set when a rule has let in the
 * flow's first direction or let out its second one, the second label the other way
 * round; either lets the same direction, and its answers, pass.  Interfaces whose
 * packets are their own share one pair: at most one of them sends a flow and at
 * most one receives it.  Others (no source/dest check) have a pair each, their "slot".
 *
 *	a combination's chain	1 known by label, and not idle for too long
 *				  (compile_idle.h): accept
 *				2 TCP, UDP: any answer if all may pass; rules open to
 *				  all if all answers to them may pass: accept
 *				3 "to be tracked" in the mark; all rules: accept; else drop
 *	sg_ingress_track	behind the gate: a marked packet's flow gets the label
 *
 * ICMP errors about a flow pass where its labels let it pass (L2-7), else by rules.
 * So an untracked flow's packets and answers are asked for rules each time, and end
 * with their rule, while a tracked one lives on.  Rules stay free of jumps: a jump
 * would have the kernel walk the whole table at each edit.
 */
#ifndef COMPILE_TRACK_H
#define COMPILE_TRACK_H

#include "nat/emit.h"

#define MARK_COMBINATION "0x7fff0000" /* of a mark */
#define MARK_TRACK "0x80000000"	      /* a rule let it pass: its flow gets a label */

/* may a flow that this rule lets pass be untracked, if its answers may pass anyway? */
bool track_is_open(const struct sg_rule *r);
/* a combination's chain up to its groups: steps 1, 2 and the mark of step 3 */
void track_known(const struct s_combination *c, bool ingress, struct buf *b);
/* what a combination with a slot or idle times of its own adds: the chain that sets its
 * labels */
void track_own(const struct s_vpc *v, const struct s_combination *c, bool ingress,
	       const struct emit *f, struct buf *b);
/* what a gate lets pass before it asks groups: a RST that ended its flow for the kernel on its way to a
 * middlebox, from there; nothing in a VPC without one */
void track_reset(const struct s_vpc *v, struct buf *b);
/* of a VPC: the chains behind the gates, and who is always tracked */
void track_compile(const struct s_vpc *v, const struct emit *f);

#endif
