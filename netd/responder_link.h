/* SPDX-License-Identifier: MIT */
/*
 * responder_link - netd's end of the responder: starts or finds it, opens the
 * sockets of "sock" items in their namespaces and hands them over.
 *
 * The responder outlives netd, so everything here is said as "what ought to be":
 * adding a socket that is there replaces it, deleting one that is gone is
 * success, and after a restart of either side the whole table is compared.
 */
#ifndef RESPONDER_LINK_H
#define RESPONDER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/json.h"
#include "lib/loop.h"
#include "lib/program.h"

struct responder_link;
/* a responder was started anew: it knows nothing; give it its sockets again */
typedef void (*responder_link_fn)(void *arg);

/*
 * responder_link_open() - connects to the responder of run directory "run"
 * (absolute), or starts one.  "fn" is called from the loop whenever a dead one
 * has been replaced.  ERR_UNAVAILABLE: it can't be started.
 */
int responder_link_open(struct loop *l, const char *run, responder_link_fn fn, void *arg,
			struct responder_link **ret, struct err *e);
/* lets go of it; it runs on */
struct responder_link *responder_link_close(struct responder_link *k);
/* ends it and removes what it has in the run directory */
void responder_link_stop(struct responder_link *k);
pid_t responder_link_pid(const struct responder_link *k);

/*
 * responder_link_add() - opens the sockets of "n" items (ITEM_SOCK, all of one
 * namespace, whose descriptor is "ns_fd") and hands them over; returns how many
 * the responder has taken.  Fewer than "n": items[return] failed, "e" says why.
 */
size_t responder_link_add(struct responder_link *k, const char *lab, int ns_fd,
			  const struct item *const *items, size_t n, struct err *e);
/* closes those items' sockets (of any namespaces of the lab); gone is success */
int responder_link_del(struct responder_link *k, const char *lab, const struct item *const *items,
		       size_t n, struct err *e);
/* the same by their keys there, an array of strings */
int responder_link_del_keys(struct responder_link *k, const char *lab, const cJSON *keys,
			    struct err *e);
int responder_link_drop_lab(struct responder_link *k, const char *lab, struct err *e);
/* the names that resolvers in namespace "view" know; "zone" (borrowed):
 * {NAME:{"a":[],"cname","ptr"}} */
int responder_link_view(struct responder_link *k, const char *lab, const char *view,
			const cJSON *zone, struct err *e);
/* {LAB:[KEY]} as the responder has them; caller owns */
int responder_link_list(struct responder_link *k, cJSON **ret, struct err *e);
/* a socket's key there: "NAMESPACE ITEM-KEY VALUE"; caller frees; NULL: no memory */
char *responder_link_key(const struct item *it);

/* gc: ends the responder whose lock RUN/responder.lock is held, if any; 0 or -errno */
int responder_link_kill(const char *run);

#endif
