/* SPDX-License-Identifier: MIT */
/*
 * igw - the internet gateway: 1:1 translation between private and public
 * addresses by two maps, in the router, on the link to the lab's internet.
 *
 * What enters or leaves there is tracked in a zone of its own, or a middlebox
 * before the gateway would break translation: its first pass would bind the
 * connection without one.
 */
#ifndef IGW_H
#define IGW_H

#include "nat/emit.h"
#include "topology/store.h"

/* the link, its routes in the internet namespace, sets, maps and chains; "f" is
 * the router's, "mark" what comes in gets: the table that routes it.  Nothing if the
 * VPC has no gateway */
void igw_compile(const struct s_vpc *v, unsigned mark, const struct emit *f);

#endif
