/* SPDX-License-Identifier: MIT */
/*
 * prober - POST /v1/labs/LAB/probes: real packets from sockets opened in the
 * nodes' own network namespaces, all probes of a request at once.  Nothing runs
 * in a node; a function is probed from a place made as its environments' are.
 */
#ifndef PROBER_H
#define PROBER_H

#include "sandbox/sandboxd.h"

/* answers, once the last probe has its result */
void prober_handle(struct sandboxd *sd, struct http_req *r, const char *lab);
/* probes of the lab that are under way fail: it is being deleted */
void prober_end_lab(const struct slab *l);

#endif
