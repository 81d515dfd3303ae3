/* SPDX-License-Identifier: MIT */
/* flow_index - see flow_index.h: open addressing */
#include "netd/flow_index.h"

#include <stdlib.h>

size_t flow_index_slot(const struct flow_index *x, const struct flow_index_kind *k, const void *v,
		       const void *elem)
{
	size_t i = k->hash(elem) % x->n_slots;

	while (x->slots[i] && !k->same((const char *)v + (x->slots[i] - 1) * k->size, elem))
		i = (i + 1) % x->n_slots;
	return i;
}

void *flow_index_room(struct flow_index *x, const struct flow_index_kind *k, void *v, size_t n,
		      size_t *cap)
{
	size_t wider = *cap ? 2 * *cap : k->first, i;
	struct flow_index next = { .n_slots = 2 * wider };

	if (n < *cap)
		return v;
	next.slots = calloc(next.n_slots, sizeof(*next.slots));
	v = next.slots ? reallocarray(v, wider, k->size) : NULL;
	if (!v) {
		free(next.slots);
		return NULL;
	}
	for (i = 0; i < n; i++)
		next.slots[flow_index_slot(&next, k, v, (char *)v + i * k->size)] = (uint32_t)i + 1;
	free(x->slots);
	*x = next;
	*cap = wider;
	return v;
}
