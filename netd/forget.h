/* SPDX-License-Identifier: MIT */
/*
 * forget - connections of addresses that changed hands: what was tracked for the
 * interface that had an address must not be its next holder's.
 */
#ifndef FORGET_H
#define FORGET_H

#include "netd/labs.h"

/* after a change from "old" to "now", whose namespaces are in force.  A namespace
 * where it fails is logged: its entries end by their own time */
void forget_moved(struct netlab *l, const struct store *old, const struct store *now);

#endif
