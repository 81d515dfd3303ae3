/* SPDX-License-Identifier: MIT */
/*
 * edit - a document that differs from the one in force in the rules of one
 * security group, and in nothing else.  Rules are what tests change again and
 * again, and by design they touch elements of sets only (design.md 4); so the
 * change is read by itself and the lab changes in place, at a cost that doesn't
 * depend on how large the lab is.  Whatever else a new document changes is read
 * whole, by lab_parse().  Pure.
 *
 *	edit_read()	is it such a document?  nothing changes yet
 *	edit_swap()	the lab is as the new document says; again: as it was
 *	edit_keep()	for good; the lab owns what it got
 *	edit_free()	not at all, or not any more
 *
 * At most one edit of a lab is under way at a time, and the lab isn't replaced
 * meanwhile.  lab->doc keeps the rules that were read first: only expectations
 * and functions borrow from it.
 */
#ifndef EDIT_H
#define EDIT_H

#include <stddef.h>

#include "topology/lab.h"

struct edit;
struct edit_text;

/*
 * edit_read() - "lab" is what "old" ("old_size" bytes) says.
 * Returns 0 and "ret" (owns); -ENOENT: "new" says more than that, or has a fault
 * or a warning, or the lab had one: it is to be read whole; -ENOMEM.
 */
int edit_read(struct lab *lab, const char *old, size_t old_size, const char *new, size_t size,
	      struct edit **ret);
void edit_swap(struct edit *x);
/* of an edit that was swapped in; frees it, and what the group had before */
void edit_keep(struct edit *x);
/* swaps back what was swapped in; NULL is nothing; returns NULL */
struct edit *edit_free(struct edit *x);

/* the group in the lab, and what it has on the other side of a swap (name, VPC and
 * description are the same there) */
const struct security_group *edit_group(const struct edit *x);
const struct security_group *edit_other(const struct edit *x);

/* for lab_free(); NULL is nothing */
void edit_text_free(struct edit_text *t);

#endif
