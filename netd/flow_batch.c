/* SPDX-License-Identifier: MIT */
/*
 * flow_batch - see flow_batch.h: an array with an index by hash.
 */
#include "netd/flow_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

static uint64_t hash(const void *elem)
{
	const struct flow_elem *e = elem;

	return hash64(e->key, e->size, 0);
}

static bool same(const void *a, const void *b)
{
	const struct flow_elem *x = a, *y = b;

	return x->size == y->size && memcmp(x->key, y->key, x->size) == 0;
}

static const struct flow_index_kind kind = { sizeof(struct flow_elem), 256, hash, same };

int flow_batch_add(struct flow_batch *b, const void *key, size_t size, uint64_t left_ms,
		   uint64_t packets, uint64_t bytes)
{
	struct flow_elem e = { .left_ms = left_ms, .packets = packets, .bytes = bytes };
	struct flow_elem *v;

	if (size > FLOW_BATCH_KEY_MAX)
		return -EINVAL;
	e.size = (uint8_t)size;
	memcpy(e.key, key, size);
	if (b->n && b->index.slots[flow_index_slot(&b->index, &kind, b->v, &e)])
		return 0;
	if (b->n == FLOW_BATCH_MAX)
		return -ENOSPC;
	v = flow_index_room(&b->index, &kind, b->v, b->n, &b->cap);
	if (!v)
		return -ENOMEM;
	b->v = v;
	b->index.slots[flow_index_slot(&b->index, &kind, v, &e)] = (uint32_t)b->n + 1;
	v[b->n++] = e;
	return 1;
}

void flow_batch_done(struct flow_batch *b)
{
	free(b->v);
	free(b->index.slots);
	*b = (struct flow_batch){ .v = NULL };
}
