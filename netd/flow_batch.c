/* SPDX-License-Identifier: MIT */
/*
 * flow_batch - see flow_batch.h: an array with an index by hash.
 */
#include "netd/flow_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

static size_t slot_of(const struct flow_batch *b, const void *key, size_t size)
{
	size_t i = hash64(key, size, 0) % b->n_slots;

	for (; b->slots[i]; i = (i + 1) % b->n_slots) {
		const struct flow_elem *e = &b->v[b->slots[i] - 1];

		if (e->size == size && memcmp(e->key, key, size) == 0)
			break;
	}
	return i;
}

/* at most half of the slots are taken */
static int room(struct flow_batch *b)
{
	size_t cap = b->cap ? 2 * b->cap : 256, i;
	struct flow_elem *v;
	uint32_t *slots;

	if (b->n == FLOW_BATCH_MAX)
		return -ENOSPC;
	if (b->n < b->cap)
		return 0;
	v = reallocarray(b->v, cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	b->v = v;
	slots = calloc(2 * cap, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(b->slots);
	b->slots = slots;
	b->n_slots = 2 * cap;
	b->cap = cap;
	for (i = 0; i < b->n; i++)
		slots[slot_of(b, v[i].key, v[i].size)] = (uint32_t)i + 1;
	return 0;
}

int flow_batch_add(struct flow_batch *b, const void *key, size_t size, uint64_t left_ms,
		   uint64_t packets, uint64_t bytes)
{
	struct flow_elem *e;
	size_t at;
	int r;

	if (size > FLOW_BATCH_KEY_MAX)
		return -EINVAL;
	if (b->n_slots && b->slots[slot_of(b, key, size)])
		return 0;
	r = room(b);
	if (r < 0)
		return r;
	at = slot_of(b, key, size);
	e = &b->v[b->n++];
	*e = (struct flow_elem){
		.size = (uint8_t)size, .left_ms = left_ms, .packets = packets, .bytes = bytes
	};
	memcpy(e->key, key, size);
	b->slots[at] = (uint32_t)b->n;
	return 1;
}

void flow_batch_done(struct flow_batch *b)
{
	free(b->v);
	free(b->slots);
	*b = (struct flow_batch){ .v = NULL };
}
