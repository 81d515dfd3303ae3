/* SPDX-License-Identifier: MIT */
/*
 * natgw - the NAT gateway: a namespace with one interface of the VPC, source
 * translation to its private address (the internet gateway then makes that the
 * elastic one, NAT-2), limits and idle times.  Nothing comes in unasked.
 */
#ifndef NATGW_H
#define NATGW_H

#include "lib/program.h"
#include "topology/store.h"

/* all of the namespace, and the link in the router; nothing for one that failed */
void natgw_compile(const struct store *s, const struct s_nat *n, struct program *p);

#endif
