/* SPDX-License-Identifier: MIT */
/*
 * claims - which places are whose, in RUN/netd.claims, so that a netd that was
 * restarted knows the ready ones from the claimed ones and from those given back.
 *
 * A line a change, written before it is answered and never synced: it need not
 * outlive a crash of the machine, for the places don't either.  A place that the
 * file doesn't name was ready.  Without the file every place counts as claimed.
 */
#ifndef CLAIMS_H
#define CLAIMS_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/json.h"

struct claims;

/* reads what an earlier netd wrote, and starts it anew; out of memory or an
 * unwritable directory is an error */
int claims_open(const char *run, struct claims **ret, struct err *e);
struct claims *claims_close(struct claims *c);
void claims_remove(const char *run);

/* how a place found in the kernel stands: {"function","subnet","token"},
 * {"released":true}, or NULL: ready ("claims_is_known()": unless nothing is known).
 * Borrows */
const cJSON *claims_find(const struct claims *c, const char *lab, const char *place);
bool claims_is_known(const struct claims *c);

/* 0 or -errno: then the change must not be answered */
int claims_taken(struct claims *c, const char *lab, const char *place, const char *function,
		 const char *subnet, const char *token);
int claims_released(struct claims *c, const char *lab, const char *place);

#endif
