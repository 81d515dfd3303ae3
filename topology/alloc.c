/* SPDX-License-Identifier: MIT */
/*
 * alloc - see alloc.h.  One array of entries and two open-addressing tables over
 * it, by owner and by number; the store builds on this for every allocation.
 */
#include "topology/alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

struct scope {
	char *name;
	uint32_t lowest;  /* no free number below it */
	uint32_t highest; /* ever given */
};

struct entry {
	uint32_t scope, value;
	char *owner;
};

struct alloc {
	struct scope *scopes;
	size_t n_scopes, cap_scopes;
	struct entry *entries;
	size_t n, cap;
	uint32_t *by_owner, *by_value, *by_scope; /* index + 1; 0: free */
	size_t cap_table, cap_scope_table;	  /* powers of two */
	uint32_t last_scope; /* index + 1 of the one looked up last: mostly it is the next, too */
};

struct alloc *alloc_new(void)
{
	return calloc(1, sizeof(struct alloc));
}

struct alloc *alloc_free(struct alloc *a)
{
	size_t i;

	if (!a)
		return NULL;
	for (i = 0; i < a->n_scopes; i++)
		free(a->scopes[i].name);
	for (i = 0; i < a->n; i++)
		free(a->entries[i].owner);
	free(a->scopes);
	free(a->entries);
	free(a->by_owner);
	free(a->by_value);
	free(a->by_scope);
	free(a);
	return NULL;
}

static uint64_t hash_str(uint64_t h, const char *s)
{
	while (*s)
		h = (h ^ (unsigned char)*s++) * 0x100000001b3u;
	return h ^ h >> 31;
}

static bool is_last_scope(const struct alloc *a, const char *name)
{
	return a->last_scope && !strcmp(a->scopes[a->last_scope - 1].name, name);
}

static uint32_t *scope_slot(const struct alloc *a, const char *name)
{
	size_t i = hash_str(0xcbf29ce484222325u, name) & (a->cap_scope_table - 1);

	for (;; i = (i + 1) & (a->cap_scope_table - 1))
		if (!a->by_scope[i] || !strcmp(a->scopes[a->by_scope[i] - 1].name, name))
			return &a->by_scope[i];
}

static uint32_t *owner_slot(const struct alloc *a, uint32_t scope, const char *owner)
{
	size_t i = hash_str(0xcbf29ce484222325u + scope, owner) & (a->cap_table - 1);

	for (; a->by_owner[i]; i = (i + 1) & (a->cap_table - 1)) {
		const struct entry *e = &a->entries[a->by_owner[i] - 1];

		if (e->scope == scope && !strcmp(e->owner, owner))
			break;
	}
	return &a->by_owner[i];
}

static uint32_t *value_slot(const struct alloc *a, uint32_t scope, uint32_t value)
{
	uint64_t h = ((uint64_t)scope << 32 | value) * 0x9e3779b97f4a7c15u;
	size_t i = (h >> 20) & (a->cap_table - 1);

	for (; a->by_value[i]; i = (i + 1) & (a->cap_table - 1)) {
		const struct entry *e = &a->entries[a->by_value[i] - 1];

		if (e->scope == scope && e->value == value)
			break;
	}
	return &a->by_value[i];
}

static bool grow_array(void *pp, size_t *cap, size_t size)
{
	size_t n = *cap ? *cap * 2 : 32;
	void *p = realloc(*(void **)pp, n * size);

	if (!p)
		return false;
	*(void **)pp = p;
	*cap = n;
	return true;
}

static bool grow_scopes(struct alloc *a)
{
	uint32_t *t;
	size_t i;

	if (a->n_scopes == a->cap_scopes &&
	    !grow_array(&a->scopes, &a->cap_scopes, sizeof(*a->scopes)))
		return false;
	if ((a->n_scopes + 1) * 2 <= a->cap_scope_table)
		return true;
	t = calloc(a->cap_scopes * 4, sizeof(*t));
	if (!t)
		return false;
	free(a->by_scope);
	a->by_scope = t;
	a->cap_scope_table = a->cap_scopes * 4;
	for (i = 0; i < a->n_scopes; i++)
		*scope_slot(a, a->scopes[i].name) = (uint32_t)i + 1;
	return true;
}

static bool grow_entries(struct alloc *a)
{
	uint32_t *o, *v;
	size_t i, cap;

	if (a->n == a->cap && !grow_array(&a->entries, &a->cap, sizeof(*a->entries)))
		return false;
	if ((a->n + 1) * 2 <= a->cap_table)
		return true;
	cap = a->cap * 4;
	o = calloc(cap, sizeof(*o));
	v = calloc(cap, sizeof(*v));
	if (!o || !v) {
		free(o);
		free(v);
		return false;
	}
	free(a->by_owner);
	free(a->by_value);
	a->by_owner = o;
	a->by_value = v;
	a->cap_table = cap;
	for (i = 0; i < a->n; i++) {
		const struct entry *e = &a->entries[i];

		*owner_slot(a, e->scope, e->owner) = (uint32_t)i + 1;
		*value_slot(a, e->scope, e->value) = (uint32_t)i + 1;
	}
	return true;
}

/* index of the scope, which is made; -ENOMEM */
static int scope_get(struct alloc *a, const char *name)
{
	uint32_t *slot;

	if (is_last_scope(a, name))
		return (int)a->last_scope - 1;
	if (!grow_scopes(a))
		return -ENOMEM;
	slot = scope_slot(a, name);
	if (!*slot) {
		struct scope *s = &a->scopes[a->n_scopes];

		*s = (struct scope){ .name = strdup(name) };
		if (!s->name)
			return -ENOMEM;
		*slot = (uint32_t)++a->n_scopes;
	}
	a->last_scope = *slot;
	return (int)*slot - 1;
}

static int scope_find(const struct alloc *a, const char *name)
{
	uint32_t slot;

	if (!a || !a->n_scopes)
		return -1;
	if (is_last_scope(a, name))
		return (int)a->last_scope - 1;
	slot = *scope_slot(a, name);
	if (slot) /* a cache: nobody can tell */
		((struct alloc *)(uintptr_t)a)->last_scope = slot;
	return (int)slot - 1;
}

static int give(struct alloc *a, int scope, const char *owner, uint32_t value)
{
	struct entry *e;

	if (!grow_entries(a))
		return -ENOMEM;
	e = &a->entries[a->n];
	*e = (struct entry){ .scope = (uint32_t)scope, .value = value, .owner = strdup(owner) };
	if (!e->owner)
		return -ENOMEM;
	*owner_slot(a, e->scope, owner) = (uint32_t)a->n + 1;
	*value_slot(a, e->scope, value) = (uint32_t)a->n + 1;
	a->n++;
	if (value > a->scopes[scope].highest)
		a->scopes[scope].highest = value;
	return 0;
}

bool alloc_find(const struct alloc *a, const char *scope, const char *owner, uint32_t *ret)
{
	int s = scope_find(a, scope);
	uint32_t i;

	if (s < 0 || !a->n)
		return false;
	i = *owner_slot(a, (uint32_t)s, owner);
	if (i)
		*ret = a->entries[i - 1].value;
	return i != 0;
}

const char *alloc_owner(const struct alloc *a, const char *scope, uint32_t value)
{
	int s = scope_find(a, scope);
	uint32_t i;

	if (s < 0 || !a->n)
		return NULL;
	i = *value_slot(a, (uint32_t)s, value);
	return i ? a->entries[i - 1].owner : NULL;
}

int alloc_take(struct alloc *a, const char *scope, const char *owner, uint32_t value)
{
	const char *other = alloc_owner(a, scope, value);
	uint32_t has;
	int s;

	if (other)
		return strcmp(other, owner) ? -EADDRINUSE : 0;
	if (alloc_find(a, scope, owner, &has))
		return -EEXIST;
	s = scope_get(a, scope);
	return s < 0 ? s : give(a, s, owner, value);
}

int alloc_lowest(struct alloc *a, const char *scope, const char *owner, uint32_t min, uint32_t max,
		 uint32_t *ret)
{
	uint32_t v;
	int s, r;

	if (alloc_find(a, scope, owner, ret))
		return 0;
	s = scope_get(a, scope);
	if (s < 0 || !grow_entries(a))
		return -ENOMEM;
	v = a->scopes[s].lowest > min ? a->scopes[s].lowest : min;
	while (v <= max && *value_slot(a, (uint32_t)s, v))
		v++;
	a->scopes[s].lowest = v;
	if (v > max)
		return -ENOSPC;
	r = give(a, s, owner, v);
	if (!r)
		*ret = v;
	return r;
}

int alloc_next(struct alloc *a, const char *scope, const char *owner, uint32_t min, uint32_t max,
	       uint32_t *ret)
{
	uint32_t v, tried;
	int s, r;

	if (alloc_find(a, scope, owner, ret))
		return 0;
	s = scope_get(a, scope);
	if (s < 0 || !grow_entries(a))
		return -ENOMEM;
	v = a->scopes[s].highest + 1;
	for (tried = 0; tried <= max - min; tried++, v++) {
		if (v < min || v > max)
			v = min;
		if (*value_slot(a, (uint32_t)s, v))
			continue;
		r = give(a, s, owner, v);
		if (!r)
			*ret = v;
		return r;
	}
	return -ENOSPC;
}

int alloc_keep(struct alloc *a, const struct alloc *old, const char *scope, const char *owner)
{
	int from = scope_find(old, scope), to;
	uint32_t v;

	if (from < 0)
		return 0;
	to = scope_get(a, scope);
	if (to < 0)
		return to;
	if (old->scopes[from].highest > a->scopes[to].highest)
		a->scopes[to].highest = old->scopes[from].highest;
	return alloc_find(old, scope, owner, &v) ? alloc_take(a, scope, owner, v) : 0;
}

void alloc_print(const struct alloc *a, struct buf *b)
{
	size_t i;

	for (i = 0; i < a->n_scopes; i++)
		buf_printf(b, "%s\t\t%u\n", a->scopes[i].name, a->scopes[i].highest);
	for (i = 0; i < a->n; i++)
		buf_printf(b, "%s\t%s\t%u\n", a->scopes[a->entries[i].scope].name,
			   a->entries[i].owner, a->entries[i].value);
}

int alloc_parse_line(struct alloc *a, const char *line)
{
	const char *owner = strchr(line, '\t'), *value = owner ? strchr(owner + 1, '\t') : NULL;
	auto_free char *copy = NULL;
	uint64_t v;
	int s;

	if (!value || parse_u64(value + 1, 0, UINT32_MAX, &v))
		return -EINVAL;
	copy = strdup(line);
	if (!copy)
		return -ENOMEM;
	copy[owner - line] = '\0';
	copy[value - line] = '\0';
	if (copy[owner - line + 1])
		return alloc_take(a, copy, copy + (owner - line) + 1, (uint32_t)v);
	s = scope_get(a, copy);
	if (s < 0)
		return s;
	a->scopes[s].highest = (uint32_t)v;
	return 0;
}
