/* SPDX-License-Identifier: MIT */
/*
 * zone - the names that a view of the lab's resolvers knows.  Pure.
 *
 *   public   names of internet hosts; public names of instances -> public address
 *   a VPC's  the public ones, where its own instances' lead to the private
 *            address (DNS-5); NAME.VPC.internal; with enable_dns_hostnames also
 *            ip-A-B-C-D.ec2.internal (DNS-3, DNS-4) and the private zone
 */
#ifndef ZONE_H
#define ZONE_H

#include "lib/json.h"
#include "topology/store.h"

/* "v" NULL: the public view.  {NAME:{"a":[ADDRESS],"cname","ptr"}}, for
 * resolver.h; the caller owns it; NULL: out of memory */
cJSON *zone_make(const struct store *s, const struct s_vpc *v);
/* are the views of two stores the same, and for the same namespaces?  A "no" may be
 * overcautious; much cheaper than making and sending them */
bool zone_same(const struct store *a, const struct store *b);

#endif
