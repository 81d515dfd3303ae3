/* SPDX-License-Identifier: MIT */
/*
 * flow_index - finds elements of a growing array by hash: what flow_batch and
 * flow_table have in common.  The array is the caller's.  Pure.
 */
#ifndef FLOW_INDEX_H
#define FLOW_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flow_index {
	uint32_t *slots; /* owns; 1 + place in the array; 0: free */
	size_t n_slots;
};

/* of elements of one kind */
struct flow_index_kind {
	size_t size;  /* of an element */
	size_t first; /* room for so many at first */
	uint64_t (*hash)(const void *elem);
	bool (*same)(const void *a, const void *b);
};

/* the slot of "elem" (only what hash and same look at must be set): the one that holds its
 * like in "v", or the free one for it.  There must be slots */
size_t flow_index_slot(const struct flow_index *x, const struct flow_index_kind *k, const void *v,
		       const void *elem);
/* room for one more than "n", with at most half of the slots taken; the array, moved or not,
 * and *cap; NULL without memory: array, *cap and index are as they were */
void *flow_index_room(struct flow_index *x, const struct flow_index_kind *k, void *v, size_t n,
		      size_t *cap);

#endif
