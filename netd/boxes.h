/* SPDX-License-Identifier: MIT */
/*
 * boxes - arithmetic on ranges for nftables' interval sets, which refuse
 * overlaps that people may write.  Pure.
 */
#ifndef BOXES_H
#define BOXES_H

#include <stddef.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/buf.h"

/* addresses and ports as inclusive ranges, host order */
struct range {
	uint32_t from, to;
};
struct box {
	int protocol;
	struct range ports, addrs;
};

/* any boxes -> disjoint boxes that cover the same, sorted by protocol, port and
 * address; neighbours joined where that is simple.  "ret" is allocated; 0, -ENOMEM */
int boxes_cut(const struct box *in, size_t n, struct box **ret, size_t *ret_n);
/* any ranges -> disjoint, not adjacent, sorted; in place; returns how many */
size_t ranges_merge(struct range *v, size_t n);
/* what is in "v" (merged) but not in "without" (merged); "ret" is allocated */
int ranges_subtract(const struct range *v, size_t n, const struct range *without, size_t n_without,
		    struct range **ret, size_t *ret_n);

struct range range_of_prefix(const struct prefix *p);
/* "10.0.0.0/8" if it is a prefix, an address alone, else "a-b" */
void range_print(const struct range *r, struct buf *b);

/* one route of a table */
struct lpm_route {
	struct prefix destination;
	int value;
};
/* the addresses whose longest matching route has "value", merged; allocated */
int lpm_segments(const struct lpm_route *routes, size_t n, int value, struct range **ret,
		 size_t *ret_n);

#endif
