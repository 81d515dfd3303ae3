/* SPDX-License-Identifier: MIT */
/*
 * attach - places for sandboxes: a namespace with a link to its function's
 * egress namespace each.
 *
 * A few are kept ready for each egress namespace, filled off the path of any
 * answer, so that a cold start pays for a process and not for a network.  A
 * place belongs to the token that claimed it and is never used twice; those
 * given back go in groups.  Places aren't in the state: after a restart they
 * are found in the kernel by their names, whose they are is in claims.c's file,
 * and sandboxd deletes those that it doesn't know.
 */
#ifndef ATTACH_H
#define ATTACH_H

#include "netd/labs.h"

#define ATTACH_READY 2 /* places kept ready, an egress namespace */

/* "subnet" NULL: the function's first.  "egress": that one, also if the function is on
 * others by now (a change that is under way), NULL: the function's.  The answer is
 * HACKING.md's */
void attach_claim(struct netlab *l, const char *function, const char *subnet, const char *egress,
		  const char *token, labs_fn fn, void *arg);
void attach_release(struct netlab *l, const char *attachment, labs_fn fn, void *arg);
cJSON *attach_list(const struct netlab *l); /* NULL: out of memory */

/* start-up: if "ns", found in the kernel, is a place of "s", it is one again */
int attach_found(struct netlab *l, struct store *s, const char *ns, struct err *e);
/* after a change: forgets what went with its egress namespace, and fills up */
void attach_settle(struct netlab *l);
void attach_clear(struct netlab *l);

#endif
