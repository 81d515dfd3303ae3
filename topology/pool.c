/* SPDX-License-Identifier: MIT */
/*
 * pool - see pool.h.
 */
#include "topology/pool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fmt.h"

#define CHUNK_SIZE (32 * 1024)
#define ALIGN 16

struct chunk {
	struct chunk *next;
	size_t used, cap;
	_Alignas(ALIGN) char data[];
};

struct pool {
	struct chunk *chunks;
	bool failed;
};

struct pool *pool_new(void)
{
	return calloc(1, sizeof(struct pool));
}

struct pool *pool_free(struct pool *p)
{
	if (!p)
		return NULL;
	while (p->chunks) {
		struct chunk *next = p->chunks->next;

		free(p->chunks);
		p->chunks = next;
	}
	free(p);
	return NULL;
}

static void *take(struct pool *p, size_t size, size_t align)
{
	struct chunk *c = p->chunks;
	size_t at = c ? (c->used + align - 1) & ~(align - 1) : 0;

	if (!c || at > c->cap || c->cap - at < size) {
		size_t cap = size > CHUNK_SIZE ? size : CHUNK_SIZE;

		c = malloc(sizeof(*c) + cap);
		if (!c) {
			p->failed = true;
			return NULL;
		}
		c->next = p->chunks;
		c->cap = cap;
		p->chunks = c;
		at = 0;
	}
	c->used = at + size;
	return c->data + at;
}

void *pool_alloc(struct pool *p, size_t size)
{
	void *r = take(p, size, ALIGN);

	return r ? memset(r, 0, size) : NULL;
}

const char *pool_strdup(struct pool *p, const char *s)
{
	size_t size = strlen(s) + 1;
	char *r = take(p, size, 1);

	return r ? memcpy(r, s, size) : "";
}

const char *pool_printf(struct pool *p, const char *fmt, ...)
{
	struct chunk *c = p->chunks;
	size_t room = c ? c->cap - c->used : 0;
	va_list ap;
	char *r;
	int n;

	/* mostly it fits where the next piece of text would go anyway */
	va_start(ap, fmt);
	n = fmt_vprint(c ? c->data + c->used : NULL, room, fmt, ap);
	va_end(ap);
	r = n < 0 ? NULL : take(p, (size_t)n + 1, 1);
	if (!r) {
		p->failed = true;
		return "";
	}
	if ((size_t)n < room)
		return r;
	va_start(ap, fmt);
	(void)fmt_vprint(r, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return r;
}

int pool_error(const struct pool *p)
{
	return p->failed ? -ENOMEM : 0;
}

/* ---- text -> pointer ---- */

struct strmap_slot {
	const char *key; /* NULL: free */
	void *value;
	uint64_t hash;
};

static uint64_t hash_of(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	return h ^ h >> 31;
}

static struct strmap_slot *slot_of(const struct strmap *m, const char *key, uint64_t hash)
{
	size_t i;

	for (i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1))
		if (!m->slot[i].key || (m->slot[i].hash == hash && !strcmp(m->slot[i].key, key)))
			return &m->slot[i];
}

static bool strmap_resize(struct strmap *m, size_t cap)
{
	struct strmap r = { .cap = cap };
	size_t i;

	r.slot = calloc(r.cap, sizeof(*r.slot));
	if (!r.slot)
		return false;
	for (i = 0; i < m->cap; i++)
		if (m->slot[i].key)
			*slot_of(&r, m->slot[i].key, m->slot[i].hash) = m->slot[i];
	free(m->slot);
	m->slot = r.slot;
	m->cap = r.cap;
	return true;
}

void strmap_reserve(struct strmap *m, size_t n)
{
	size_t cap = 64;

	while (cap < n * 2)
		cap *= 2;
	if (cap > m->cap)
		(void)strmap_resize(m, cap); /* else it grows as it is filled */
}

void strmap_put(struct strmap *m, const char *key, const void *value)
{
	struct strmap_slot *s;
	uint64_t hash;

	if (m->failed || ((m->n + 1) * 2 > m->cap && !strmap_resize(m, m->cap ? m->cap * 2 : 64))) {
		m->failed = true;
		return;
	}
	hash = hash_of(key);
	s = slot_of(m, key, hash);
	if (!s->key) {
		s->key = key;
		s->hash = hash;
		m->n++;
	}
	s->value = (void *)(uintptr_t)value;
}

void *strmap_get(const struct strmap *m, const char *key)
{
	return m->n ? slot_of(m, key, hash_of(key))->value : NULL;
}

void strmap_each(const struct strmap *m, void (*fn)(const char *key, void *value, void *arg),
		 void *arg)
{
	size_t i;

	for (i = 0; i < m->cap; i++)
		if (m->slot[i].key)
			fn(m->slot[i].key, m->slot[i].value, arg);
}

void strmap_done(struct strmap *m)
{
	free(m->slot);
	*m = (struct strmap){ 0 };
}
