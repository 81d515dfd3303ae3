/* SPDX-License-Identifier: MIT */
/*
 * edit - a document that differs from the one in force in the rules of one
 * security group, the entries of one network ACL or the routes of one route table,
 * and in nothing else.  These are what tests change again and again, and by design
 * they touch little in the kernel; so the change is read by itself and the lab
 * changes in place, at a cost that doesn't depend on how many interfaces the lab
 * has.  Whatever else a new document changes is read whole, by lab_parse().  Pure.
 *
 *	edit_read()	is it such a document?  nothing changes yet
 *	edit_swap()	the lab is as the new document says; again: as it was
 *	edit_keep()	for good; the lab owns what it got
 *	edit_free()	not at all, or not any more
 *
 * At most one edit of a lab is under way at a time, and the lab isn't replaced
 * meanwhile.  lab->doc keeps the values that were read first: only expectations
 * and functions borrow from it.
 */
#ifndef EDIT_H
#define EDIT_H

#include <stddef.h>

#include "topology/lab.h"

struct edit;
struct edit_text;

/* what is edited; "const void *" below is a struct security_group, network_acl or
 * route_table by that */
enum edit_kind { EDIT_GROUP, EDIT_ACL, EDIT_TABLE, EDIT_N_KINDS };

/*
 * edit_read() - "lab" is what "old" ("old_size" bytes) says.
 * Returns 0 and "ret" (owns); -ENOENT: "new" says more than that, or has a fault
 * or a warning, or the lab had one: it is to be read whole; -ENOMEM.
 */
int edit_read(struct lab *lab, const char *old, size_t old_size, const char *new, size_t size,
	      struct edit **ret);
void edit_swap(struct edit *x);
/* of an edit that was swapped in; frees it, and what the object had before */
void edit_keep(struct edit *x);
/* swaps back what was swapped in; NULL is nothing; returns NULL */
struct edit *edit_free(struct edit *x);

enum edit_kind edit_kind(const struct edit *x);
/* its VPC; the object in the lab; and what that is on the other side of a swap (but for
 * rules, entries or routes the same) */
const struct vpc *edit_vpc(const struct edit *x);
const void *edit_object(const struct edit *x);
const void *edit_other(const struct edit *x);

/* for lab_free() */
void edit_texts_free(const struct lab *lab);

#endif
