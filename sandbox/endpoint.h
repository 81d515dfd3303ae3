/* SPDX-License-Identifier: MIT */
/*
 * endpoint - AWS's own endpoint on a lab's internet (LN-45): lambda.REGION.amazonaws.com,
 * plain HTTP, answered as at --listen's port: only what is signed with the lab's own
 * secret, which its functions have.  Who has a way to the internet reaches it.
 *
 * The socket is in the lab's internet namespace and never in the host's.  It is the one
 * place where sandboxd reads HTTP that function code wrote: by the same parser, with the
 * same limits, and for LIMIT_API_CONNECTIONS connections a lab at most.
 */
#ifndef ENDPOINT_H
#define ENDPOINT_H

#include "sandbox/sandboxd.h"

/* after a change: it listens where netd's show has it, or no more; a failure is logged,
 * and clients see a refused connection */
void endpoint_settle(struct slab *l);
void endpoint_close(struct slab *l);

#endif
