/* SPDX-License-Identifier: MIT */
/*
 * flow_batch - the elements of a router's sets as they are read, before anybody counts
 * them: whether one was told twice is known when it is, whether that was all only at
 * the end (lib/nft.h, nft_dump).  Pure.
 */
#ifndef FLOW_BATCH_H
#define FLOW_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "netd/flow_index.h"
#include "netd/flow_kind.h"

#define FLOW_BATCH_KEY_MAX 40		       /* bytes of an element's key */
#define FLOW_BATCH_MAX (FLOW_SET_SIZE + 65536) /* a set of flows and one of interfaces */

struct flow_elem {
	uint8_t key[FLOW_BATCH_KEY_MAX];
	uint8_t size; /* of the key */
	uint64_t left_ms, packets, bytes;
};

struct flow_batch {
	struct flow_elem *v; /* owns */
	size_t n, cap;
	struct flow_index index;
};

/* 1: new; 0: its key is there already, the batch stays as it was; -EINVAL (key too long),
 * -ENOSPC, -ENOMEM */
int flow_batch_add(struct flow_batch *b, const void *key, size_t size, uint64_t left_ms,
		   uint64_t packets, uint64_t bytes);
void flow_batch_done(struct flow_batch *b); /* empty again */

#endif
