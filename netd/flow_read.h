/* SPDX-License-Identifier: MIT */
/*
 * flow_read - takes what a router has counted for flow logs out of the kernel, each
 * packet once (flow_kind.h: two sets, of which one is written).
 *
 *	1  the other set is written from now on (a transaction), and no packet is still
 *	   on its way through the rules as they were (nft_settle())
 *	2  what isn't written any more is read, in pieces, as often as it takes until no
 *	   element was told twice
 *	3  it is emptied (a transaction that makes the set anew and fills its chains: its
 *	   size is the same however many elements there are)
 *	4  what was read is told
 *
 * A daemon that is killed before 3 has told nobody, and the next one finds all of it:
 * it begins with 2 and 3 for the set that isn't written.  What fails leaves all where it
 * is, to be told the next time.
 */
#ifndef FLOW_READ_H
#define FLOW_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netd/labs.h"

struct flow_read;

struct flow_read_ops {
	/* an element of the set of flows (flow_key_parse()) */
	void (*flow)(const void *key, size_t size, uint64_t left_ms, uint64_t packets,
		     uint64_t bytes, void *arg);
	/* an interface some of whose flows found no room */
	void (*skip)(const char *link, void *arg);
	/* all was told; "lost": but something is missing, nobody knows of whom */
	void (*over)(bool lost, void *arg);
};

/* of the router "ns" of "l", which it borrows; NULL: out of memory */
struct flow_read *flow_read_new(struct netlab *l, const char *ns, const struct flow_read_ops *ops,
				void *arg);
struct flow_read *flow_read_free(struct flow_read *r); /* what is under way isn't told */
/* begins, unless it is under way; "over" may be called before it returns */
void flow_read_start(struct flow_read *r);
/* all of it, at once: what is under way, or from the beginning */
void flow_read_finish(struct flow_read *r);
/* what there is, at once and without emptying: the tables are about to be replaced.
 * Until they have been, what is found is lost: nobody knows how much of it is new */
void flow_read_last(struct flow_read *r);
void flow_read_replaced(struct flow_read *r);
bool flow_read_is_busy(const struct flow_read *r);

#endif
