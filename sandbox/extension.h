/* SPDX-License-Identifier: MIT */
/*
 * extension - AWS's Extensions API 2020-01-01 as a state machine over requests (RAPI-6):
 * no descriptors and no processes in here.  rapi.c gives it the requests below its base;
 * the init owns the processes.
 *
 *   STARTED --register--> REGISTERED --event/next--> READY --event--> RUNNING
 *                                                      ^ ---event/next---+
 *   each --init/error, exit/error--> FAILED
 *
 * External ones are files of /opt/extensions, known before they register; whatever else
 * registers, while the runtime has not asked for its first event, is an internal one.
 */
#ifndef EXTENSION_H
#define EXTENSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define EXTENSIONS_MAX 10 /* RAPI-6 */
#define EXTENSION_NAME_MAX 128

enum extension_state { EXT_STARTED, EXT_REGISTERED, EXT_READY, EXT_RUNNING, EXT_FAILED };
enum { EXT_INVOKE = 1, EXT_SHUTDOWN = 2 };

struct rapi_conn;
struct rapi_invocation;
struct hparse_request;

/* what happens; strings and bytes borrow, valid during the call */
struct extension_ops {
	void (*moved)(void *arg); /* one registered, or asks for its next event */
	/* the function's name, version and handler, for who registers */
	const char *(*variable)(const char *name, void *arg);
	void (*failed)(const char *name, bool init, const char *type, const char *body, size_t size,
		       void *arg);
};

struct extension {
	char name[EXTENSION_NAME_MAX + 1];
	char id[37]; /* "": not registered */
	bool external;
	unsigned events; /* EXT_INVOKE, EXT_SHUTDOWN */
	enum extension_state state;
	struct rapi_conn *parked; /* who waits in "next"; borrows */
	bool shutdown_due;	  /* it is told when it asks next */
	pid_t pid;		  /* the owner's; 0: ended, or an internal one's */
};

struct extensions {
	struct extension v[EXTENSIONS_MAX];
	size_t n;
	bool closed;	     /* the runtime has asked for its first event */
	const char *reason;  /* of the shutdown; a constant */
	int64_t deadline_ms; /* of the shutdown, wall clock */
	const struct extension_ops *ops;
	void *arg;
};

void extension_init(struct extensions *x, const struct extension_ops *ops, void *arg);
/* all processes are gone; connections are the caller's to free before */
void extension_reset(struct extensions *x);
/* an external one was found; NULL: there are too many */
struct extension *extension_add(struct extensions *x, const char *name);
/* a request whose path, below the API's base, is "path"; answers it or parks it */
void extension_request(struct extensions *x, struct rapi_conn *c, const struct hparse_request *r,
		       const char *path);
/* a connection goes: who waits on it may ask again */
void extension_forget(struct extensions *x, const struct rapi_conn *c);

bool extension_all_registered(const struct extensions *x); /* external ones, that is */
bool extension_all_ready(const struct extensions *x);
/* tells who wants to know of an invocation; all are ready.  0, -ENOMEM */
int extension_invoke(struct extensions *x, const struct rapi_invocation *i);
/* tells who wants to know of the end: "spindown", "timeout" or "failure" (a constant) */
int extension_shutdown(struct extensions *x, const char *reason, int64_t deadline_ms);

const char *extension_state_name(const struct extension *e); /* "Ready" */

#endif
