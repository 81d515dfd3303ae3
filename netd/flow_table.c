/* SPDX-License-Identifier: MIT */
/*
 * flow_table - see flow_table.h: an array of records with an index by hash.
 */
#include "netd/flow_table.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mutant.h"
#include "lib/util.h"

#define KEY_SIZE 40 /* flags, kind, interface, two addresses, protocol, ports: padded to 4 */

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* FL-8: ACK tells only beside SYN, the others not at all */
static uint8_t flags_shown(uint8_t flags)
{
	uint8_t shown = flags & 0x07;

	if (MUTANT("flow-flags-shown"))
		return flags & 0x17;
	return flags & 0x02 ? shown | (flags & 0x10) : shown;
}

int flow_key_parse(const void *key, size_t size, struct flow_count *ret, char ret_link[16])
{
	const uint8_t *k = key;
	uint32_t kind;

	if (size != KEY_SIZE)
		return -EINVAL;
	*ret = (struct flow_count){ .tcp_flags = flags_shown(k[0]) };
	memcpy(&kind, k + 4, sizeof(kind));
	ret->kind = (enum flow_kind)kind;
	memcpy(ret_link, k + 8, 16);
	ret_link[15] = '\0';
	ret->saddr = be32(k + 24);
	ret->daddr = be32(k + 28);
	ret->proto = k[32];
	ret->sport = (uint16_t)(k[36] << 8 | k[37]);
	ret->dport = (uint16_t)(k[38] << 8 | k[39]);
	if (ret->proto != IPPROTO_TCP && ret->proto != IPPROTO_UDP && !MUTANT("flow-icmp-ports"))
		ret->sport = ret->dport = 0;
	return 0;
}

/* one 5-tuple, direction, interface and verdict is one record, by whichever way it went */
static bool same(const void *x, const void *y)
{
	const struct flow_count *a = x, *b = y;

	return a->eni == b->eni && a->saddr == b->saddr && a->daddr == b->daddr &&
	       a->sport == b->sport && a->dport == b->dport && a->proto == b->proto &&
	       flow_kind_is_egress(a->kind) == flow_kind_is_egress(b->kind) &&
	       (a->kind & 1) == (b->kind & 1);
}

static uint64_t hash(const void *elem)
{
	const struct flow_count *c = elem;
	const struct {
		const void *eni;
		uint32_t a[5];
	} k = { c->eni,
		{ c->saddr, c->daddr, (uint32_t)c->sport << 16 | c->dport, c->proto,
		  (uint32_t)flow_kind_is_egress(c->kind) << 1 | (c->kind & 1) } };
	uint8_t bytes[sizeof(k.eni) + sizeof(k.a)]; /* without padding */

	memcpy(bytes, &k.eni, sizeof(k.eni));
	memcpy(bytes + sizeof(k.eni), k.a, sizeof(k.a));
	return hash64(bytes, sizeof(bytes), 0);
}

static const struct flow_index_kind kind = { sizeof(struct flow_count), 64, hash, same };

static struct flow_seen *seen(struct flow_table *t, const struct flow_eni *eni)
{
	struct flow_seen *s = (struct flow_seen *)(uintptr_t)flow_table_seen(t, eni);

	if (s)
		return s;
	if (t->n_seen == t->cap_seen) {
		size_t cap = t->cap_seen ? 2 * t->cap_seen : 8;

		s = reallocarray(t->seen, cap, sizeof(*s));
		if (!s)
			return NULL;
		t->seen = s;
		t->cap_seen = cap;
	}
	s = &t->seen[t->n_seen++];
	*s = (struct flow_seen){ .eni = eni };
	return s;
}

const struct flow_seen *flow_table_seen(const struct flow_table *t, const struct flow_eni *eni)
{
	size_t i;

	for (i = 0; i < t->n_seen; i++)
		if (t->seen[i].eni == eni)
			return &t->seen[i];
	return NULL;
}

void flow_table_skip(struct flow_table *t, const struct flow_eni *eni)
{
	struct flow_seen *s = seen(t, eni);

	if (s)
		s->skipped = true;
	else
		t->skipped = true;
}

static struct flow_count *add_new(struct flow_table *t, const struct flow_count *c)
{
	struct flow_count *v;
	struct flow_seen *s;

	if (t->n == FLOW_RECORDS_MAX && !MUTANT("flow-records-max"))
		return NULL;
	v = flow_index_room(&t->index, &kind, t->v, t->n, &t->cap);
	if (!v)
		return NULL;
	t->v = v;
	s = seen(t, c->eni);
	if (!s)
		return NULL;
	s->data = true;
	t->index.slots[flow_index_slot(&t->index, &kind, v, c)] = (uint32_t)t->n + 1;
	v[t->n++] = *c;
	return &v[t->n - 1];
}

void flow_table_add(struct flow_table *t, const struct flow_count *c)
{
	uint32_t place = t->n ? t->index.slots[flow_index_slot(&t->index, &kind, t->v, c)] : 0;
	struct flow_count *at = place ? &t->v[place - 1] : NULL;

	if (!at || MUTANT("flow-merge")) {
		if (!add_new(t, c))
			flow_table_skip(t, c->eni);
		return;
	}
	at->packets += c->packets;
	at->bytes += c->bytes;
	at->tcp_flags |= c->tcp_flags;
	at->kind = c->kind;
	if (c->last_ms > at->last_ms)
		at->last_ms = c->last_ms;
}

void flow_table_done(struct flow_table *t)
{
	free(t->v);
	free(t->index.slots);
	free(t->seen);
	*t = (struct flow_table){ .v = NULL };
}
