/* SPDX-License-Identifier: MIT */
/*
 * counts - drop counters of a namespace (counts.h).
 */
#include "netd/counts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/nft.h"
#include "topology/reach.h"

#define KEY_SIZE 20 /* number of the reason (4), interface (16) */

static void add(const void *key, size_t size, uint64_t packets, struct counts *c)
{
	const struct reach_drop *why;
	uint32_t number;

	if (size < KEY_SIZE || packets == 0)
		return;
	memcpy(&number, key, sizeof(number));
	why = reach_drop(number);
	if (!why)
		return; /* of another version of ours; its rules are about to go */
	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 64;
		struct count *v = reallocarray(c->v, cap, sizeof(*v));

		if (!v) {
			c->failed = true;
			return;
		}
		c->v = v;
		c->cap = cap;
	}
	c->v[c->n] = (struct count){ .code = why->code, .packets = packets };
	memcpy(c->v[c->n].link, (const char *)key + sizeof(number), sizeof(c->v->link) - 1);
	c->n++;
}

static void elem(const void *key, size_t size, uint64_t packets, uint64_t bytes, void *arg)
{
	(void)bytes;
	add(key, size, packets, arg);
}

int counts_read(struct netlab *l, const char *ns, const char *table, struct counts *ret,
		struct err *e)
{
	struct nft *nft = spaces_nft(l->spaces, ns, e);
	struct counts c = { NULL, 0, 0, false };
	const struct carried *old;
	char set[64];
	int r;

	if (!nft)
		return -EIO;
	r = nft_each_elem(nft, table, "drops", elem, &c);
	if (r < 0) {
		counts_done(&c);
		return err_set(e, ERR_KERNEL, -r, "%s: reading the drops: %s", ns, strerror(-r));
	}
	snprintf(set, sizeof(set), "%s drops", table);
	LIST_FOREACH(old, &l->carried, link)
		if (strcmp(old->ns, ns) == 0 && strcmp(old->set, set) == 0)
			add(old->key, old->size, old->packets, &c);
	if (c.failed) {
		counts_done(&c);
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	*ret = c;
	return 0;
}

void counts_done(struct counts *c)
{
	free(c->v);
	*c = (struct counts){ NULL, 0, 0, false };
}

uint64_t counts_sum(const struct counts *c, const char *link, const char *code)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < c->n; i++)
		if ((!link || strcmp(c->v[i].link, link) == 0) &&
		    (!code || strcmp(c->v[i].code, code) == 0))
			sum += c->v[i].packets;
	return sum;
}

cJSON *counts_json(const struct counts *c, const char *link)
{
	cJSON *o = cJSON_CreateObject();
	size_t i;

	for (i = 0; o && i < c->n; i++) {
		const struct count *at = &c->v[i];

		if ((link && strcmp(at->link, link) != 0) || json_get(o, at->code))
			continue;
		if (!cJSON_AddNumberToObject(o, at->code, (double)counts_sum(c, link, at->code))) {
			cJSON_Delete(o);
			return NULL;
		}
	}
	return o;
}
