/* SPDX-License-Identifier: MIT */
/* invocation - the making of one, whoever asked for it: a request (invoke) or an event (async) */
#ifndef INVOCATION_H
#define INVOCATION_H

#include "sandbox/env.h"

/*
 * invocation_new() - of "f" with a copy of "payload".  "id": its request id, NULL: a new one;
 * "qualifier": as it was asked for, "": none;
 * "context": the client's, decoded, NULL: none; "trace": the X-Ray header, NULL: a new one.
 * The caller sets "done" and its own members.  NULL: no memory.
 */
struct invocation *invocation_new(const struct func *f, const char *qualifier, const char *id,
				  const void *payload, size_t size, const char *context,
				  const char *trace);
void invocation_free(struct invocation *i); /* NULL is fine */

#endif
