/* SPDX-License-Identifier: MIT */
/*
 * egress - where functions' sandboxes hang: a namespace that translates their
 * link-local addresses to the one that the world sees.  In VPC mode one for each
 * distinct (subnet, set of groups), whose uplink is the shared interface (LN-8);
 * in default mode one, "service", whose uplink is the lab's internet.
 *
 * Sandboxes can't see one another, carry TCP and UDP only, and nothing can open
 * a connection to them (LN-5, LN-6).
 */
#ifndef EGRESS_H
#define EGRESS_H

#include "lib/program.h"
#include "topology/store.h"

/* the namespace and its uplink, and its places */
void egress_compile(const struct s_egress *g, struct program *p);
/* one place: its namespace, its link, and what the egress namespace has for it */
void egress_compile_place(const struct s_egress *g, const struct s_place *pl, struct program *p);

#endif
