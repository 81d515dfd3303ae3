/* SPDX-License-Identifier: MIT */
/*
 * netd - what the parts of the network daemon share: one of these a process,
 * made by main.c, borrowed by all.
 */
#ifndef NETD_H
#define NETD_H

#include <stdbool.h>
#include <sys/queue.h>

#include "lib/db.h"
#include "lib/http.h"
#include "lib/loop.h"
#include "lib/sock.h"
#include "netd/responder_link.h"

/* limits of what a client can grow; printed by GET /v1/status */
#define NETD_LABS_MAX 1000
#define NETD_WAITING_MAX 64	   /* requests that wait for their turn, a lab */
#define NETD_ATTACHMENTS_MAX 16000 /* of an egress namespace: STORE_PLACES_MAX */
#define NETD_EVENTS_MAX 10000	   /* kept in the ring */
#define NETD_POLLS_MAX 256	   /* long polls at a time */
#define NETD_FLOWS_MAX 1000	   /* of one question for drops */
#define NETD_SLICE_US 5000	   /* kernel work before the loop has its turn */

struct claims;
struct events;
struct netlab;

struct netd {
	struct loop *loop;
	struct rundir dir;
	struct db *db;
	char *seed; /* of ids; owns */
	struct http_server *http;
	struct responder_link *responder;
	struct events *events;
	struct claims *claims;
	LIST_HEAD(, netlab) labs;
	size_t n_labs;
};

#endif
