/* SPDX-License-Identifier: MIT */
/*
 * notice - what sandboxd has to say in netd's ring of events ("vpclab events").
 */
#ifndef NOTICE_H
#define NOTICE_H

#include "sandbox/sandboxd.h"

#define NOTICES_MAX 1000 /* that wait for netd; further ones are lost, and logged */

/*
 * notice() - says it as soon as netd listens; nobody waits for it.  "kind" and "name" as in the list
 * of changes of a document, "detail" NULL: none; the id
 * is the object's of netd's "show", if it has one.  Strings are copied.
 */
void notice(struct slab *l, const char *event, const char *kind, const char *name,
	    const char *detail);
/* the same of an instance or a host of the internet */
void notice_node(struct slab *l, const char *event, const char *node, const char *detail);
/* entries of such a list, as it has them from "first" on */
void notice_changes(struct slab *l, const cJSON *changes, int first);
/* the daemon ends: what waits is lost */
void notice_end(struct sandboxd *sd);

#endif
