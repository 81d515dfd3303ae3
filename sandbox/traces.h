/* SPDX-License-Identifier: MIT */
/*
 * traces - asks netd to have the kernel trace a probe's packets while it runs
 * (POST /v1/labs/LAB/traces).  Whoever begins one ends it, whether its client still
 * waits or not; if this daemon dies meanwhile, netd's own time-out ends it.
 */
#ifndef TRACES_H
#define TRACES_H

#include "lib/json.h"
#include "sandbox/sandboxd.h"
#include "topology/lab.h"

#define TRACES_ID_SIZE 32
#define TRACES_TIMEOUT_MAX 20000 /* ms of silence that a traced probe may wait for */

/* "id": borrowed, NULL: "error" says why not */
typedef void (*traces_begun_fn)(const char *id, const char *error, void *arg);
/* "trails": one a flow, in their order, borrowed; NULL: "error" */
typedef void (*traces_ended_fn)(const cJSON *trails, const char *error, void *arg);

/* "addresses": takes; empty: any.  "fn" is called once, maybe at once */
void traces_begin(struct sandboxd *sd, const char *lab, const struct port *port, cJSON *addresses,
		  traces_begun_fn fn, void *arg);
/* "flows" (taken) as netd's drops has them */
void traces_end(struct sandboxd *sd, const char *lab, const char *id, cJSON *flows,
		traces_ended_fn fn, void *arg);

#endif
