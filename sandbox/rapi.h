/* SPDX-License-Identifier: MIT */
/*
 * rapi - AWS's Runtime API 2018-06-01 as a state machine over bytes (RAPI-1..5):
 * no descriptors in here, so that it is tested and fuzzed as it is.  The init
 * owns the connections; it feeds what it reads and writes what stands in "out".
 *
 *   STARTING --next--> WAITING --rapi_invoke()--> RUNNING --response/error--> ANSWERED
 *      |                  ^                          |                         ^ |
 *      |                  |                          +-response--> STREAMING --+ |
 *      +--init/error--> FAILED (until rapi_reset())        +-------next----------+
 *
 * A response with Lambda-Runtime-Function-Response-Mode: streaming is told as it
 * comes; trailers at its end say whether the function failed in its middle, and
 * one that breaks off is Runtime.TruncatedResponse.
 */
#ifndef RAPI_H
#define RAPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

enum rapi_state {
	RAPI_STARTING,
	RAPI_WAITING,
	RAPI_RUNNING,
	RAPI_STREAMING,
	RAPI_ANSWERED,
	RAPI_FAILED
};

#define RAPI_ID_SIZE 64

struct rapi_conn;

/* what happens; strings and bytes borrow, valid during the call */
struct rapi_ops {
	void (*next)(void *arg); /* the runtime asks for an invocation */
	void (*response)(const char *id, const char *body, size_t size, void *arg);
	void (*error)(const char *id, const char *type, const char *body, size_t size, void *arg);
	void (*init_error)(const char *type, const char *body, size_t size, void *arg);
	void (*too_large)(const char *id, void *arg);
	/* a response in pieces: its content type ("": none told), bytes, then its end
	 * once; "type" NULL: it is whole, else the error's, and its body in base64 ("": none) */
	void (*stream)(const char *id, const char *content_type, void *arg);
	void (*stream_piece)(const char *id, const char *data, size_t size, void *arg);
	void (*stream_end)(const char *id, const char *type, const char *body, void *arg);
};

struct extensions;

struct rapi {
	struct extensions *extensions; /* borrows; NULL: nobody serves their API */
	enum rapi_state state;
	char id[RAPI_ID_SIZE];	  /* of the invocation that was given last */
	struct rapi_conn *parked; /* who waits in "next"; borrows */
	const struct rapi_ops *ops;
	void *arg;
};

struct rapi_invocation {
	const char *id, *arn, *trace_id;
	const char *client_context; /* "": none */
	int64_t deadline_ms;	    /* wall clock */
	const char *payload;
	size_t size;
};

struct rapi_conn {
	struct rapi *api;
	struct hparse *parser;
	struct buf in;	/* pipelined requests that wait for their turn */
	struct buf out; /* what has to be written */
	bool close;	/* after "out" has been written */
	bool waits;	/* in a "next": what it sends after that has to wait */
	bool streaming; /* a response comes on it in pieces: not read while they can't be told */
};

void rapi_init(struct rapi *a, const struct rapi_ops *ops, void *arg);
/* the runtime's processes are gone: its next life begins; connections are the
 * caller's to free before */
void rapi_reset(struct rapi *a);
/* hands an invocation to who waits; only in RAPI_WAITING.  0, -ENOMEM */
int rapi_invoke(struct rapi *a, const struct rapi_invocation *i);

struct rapi_conn *rapi_conn_new(struct rapi *a); /* NULL: no memory */
struct rapi_conn *rapi_conn_free(struct rapi_conn *c);
/* bytes that were read; answers are appended to "out" */
void rapi_conn_feed(struct rapi_conn *c, const char *data, size_t size);
/* the peer sends no more */
void rapi_conn_end(struct rapi_conn *c);

/* for extension.c, which answers on the same connections */
void rapi_answer_error(struct rapi_conn *c, const char *status, const char *type,
		       const char *message);
void rapi_answer_accepted(struct rapi_conn *c);
void rapi_park(struct rapi_conn *c);
void rapi_unpark(struct rapi_conn *c); /* what it sent meanwhile is taken */

/* the type as logs and metrics show it (RAPI-4): one of ours, or collapsed to
 * Runtime.Unknown or Function.Unknown */
const char *rapi_error_type(const char *type, char *ret, size_t size);

#endif
