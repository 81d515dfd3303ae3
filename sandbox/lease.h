/* SPDX-License-Identifier: MIT */
/*
 * lease - what a lab goes with: a process, or a client's connection.
 *
 * A lease is watched from the request that asks for it on, so that a client that
 * goes while its lab still comes up isn't waited for.  On disk stands the process
 * (pid and when it started, which together name it for good): after a restart of
 * sandboxd, which ends every connection, a lab goes with the process that held
 * the connection, unless its client asks for a new lease.
 */
#ifndef LEASE_H
#define LEASE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/http.h"
#include "lib/loop.h"

struct lease;
/* told once, from the loop; may free the lease */
typedef void (*lease_fn)(void *arg);

/*
 * lease_new() - what the request's "lease=" asks for: PID, or "connection".
 * 0 and "ret" (owned by the caller; NULL without such a query); ERR_DENIED for
 * another's process unless root asks, ERR_NO_OBJECT when it is over already.
 */
int lease_new(struct loop *loop, struct http_req *r, struct lease **ret, struct err *e);
/* from lease_text(); NULL or "": none.  0, -ESRCH: it is over, -errno */
int lease_restore(struct loop *loop, const char *text, struct lease **ret);
struct lease *lease_free(struct lease *l); /* NULL is fine; returns NULL */

/* who is told; before that nobody is */
void lease_watch(struct lease *l, lease_fn fn, void *arg);
bool lease_is_over(const struct lease *l);
/* the request is about to be answered: a process that asked for itself may now
 * close its connection */
void lease_settle(struct lease *l);
/* for lease_restore(); "size" >= 64 */
void lease_text(const struct lease *l, char *ret, size_t size);

#endif
