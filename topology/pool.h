/* SPDX-License-Identifier: MIT */
/*
 * pool - memory that goes all at once, and a map from text to pointers; what the
 * store is made of.  A failed allocation sticks: pool_error() tells, and until
 * then callers get usable (empty) memory or NULL where a pointer is asked for.
 */
#ifndef POOL_H
#define POOL_H

#include <stdbool.h>
#include <stddef.h>

struct pool;
struct pool *pool_new(void); /* NULL: out of memory */
struct pool *pool_free(struct pool *p);
void *pool_alloc(struct pool *p, size_t size);		/* zeroed; NULL on failure */
const char *pool_strdup(struct pool *p, const char *s); /* "" on failure */
const char *pool_printf(struct pool *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int pool_error(const struct pool *p); /* 0 or -ENOMEM */

/* keys are borrowed: they live as long as the map */
struct strmap {
	struct strmap_slot *slot; /* owns */
	size_t n, cap;
	bool failed;
};
void strmap_reserve(struct strmap *m, size_t n);		       /* room for "n" in all */
void strmap_put(struct strmap *m, const char *key, const void *value); /* replaces */
void *strmap_get(const struct strmap *m, const char *key);	       /* NULL: absent */
void strmap_each(const struct strmap *m, void (*fn)(const char *key, void *value, void *arg),
		 void *arg);
void strmap_done(struct strmap *m);

#endif
