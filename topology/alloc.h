/* SPDX-License-Identifier: MIT */
/*
 * alloc - numbers that are given once and kept while their owner lives:
 * addresses (as offsets into a block), numbers of subnets and tables, indexes of
 * links.  A number belongs to a scope ("ip subnet-0a1b...") and an owner (an id);
 * both are text without tabs and newlines, so that the whole prints and parses.
 *
 * Nothing is freed one by one: the next state is a new alloc, into which each
 * living owner's number is carried over before new ones are given.
 */
#ifndef ALLOC_H
#define ALLOC_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/buf.h"

struct alloc;

struct alloc *alloc_new(void); /* NULL: out of memory */
struct alloc *alloc_free(struct alloc *a);

/* a number of the owner's choice; -EADDRINUSE when another owner has it,
 * -EEXIST when this owner has another one, 0 also when it is so already */
int alloc_take(struct alloc *a, const char *scope, const char *owner, uint32_t value);
/* the owner's number, else the lowest free one of min..max; -ENOSPC, -ENOMEM */
int alloc_lowest(struct alloc *a, const char *scope, const char *owner, uint32_t min, uint32_t max,
		 uint32_t *ret);
/* the owner's number, else one past the highest ever given (kernel objects that
 * vanish late must not meet a namesake); -ENOSPC, -ENOMEM */
int alloc_next(struct alloc *a, const char *scope, const char *owner, uint32_t min, uint32_t max,
	       uint32_t *ret);
/* carries the owner's number, if "old" (may be NULL) has one, into "a"; carries
 * the scope's highest number, too.  -EADDRINUSE: taken meanwhile */
int alloc_keep(struct alloc *a, const struct alloc *old, const char *scope, const char *owner);
bool alloc_find(const struct alloc *a, const char *scope, const char *owner, uint32_t *ret);
/* who has the number; NULL if nobody */
const char *alloc_owner(const struct alloc *a, const char *scope, uint32_t value);

/* a line each: "SCOPE\tOWNER\tVALUE\n", and "SCOPE\t\tHIGHEST\n" */
void alloc_print(const struct alloc *a, struct buf *b);
int alloc_parse_line(struct alloc *a, const char *line); /* 0, -EINVAL, -ENOMEM */

#endif
