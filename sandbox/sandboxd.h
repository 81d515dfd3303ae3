/* SPDX-License-Identifier: MIT */
/*
 * sandboxd - what the parts of the function service share: one "struct
 * sandboxd" a process, made by main.c, borrowed by all.
 *
 *   serve     routes requests                front      documents, whole or not at all
 *   functions what may be invoked            env        environments' lives
 *   invoke    AWS's Invoke API               instances  nodes' programs
 *   prober    who reaches whom               exec       commands in nodes, and logs -f
 *   held      connections that are kept
 *   view      plans for inits                logs       files of output
 *   code      copies of code                 package    all of a function's
 *   rows      what survives                  wire       the init's messages
 *   runtime   managed runtimes               lease      labs that go with their client
 *   async     events that nobody waits for
 *   throttle  concurrency and rates            room       idle environments that go
 *   listen    the Invoke API on a TCP port   configuration  functions in AWS's words
 *   invoke_stream  responses in pieces       memory     what an environment used
 *   states    how a function stands          endpoint   the Invoke API inside a lab
 *   capture   sockets for captures           follow     captures that go on
 *   notice    what netd's events say of us
 *   versions  published versions, aliases, provisioned concurrency
 *
 * What survives a trip through the loop is looked up again or freed together
 * with what refers to it: a lab waits for its change, a function for its
 * environments.
 */
#ifndef SANDBOXD_H
#define SANDBOXD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/cgroup.h"
#include "lib/db.h"
#include "lib/http.h"
#include "lib/jail.h"
#include "lib/json.h"
#include "lib/loop.h"
#include "lib/sock.h"
#include "sandbox/throttle.h"
#include "topology/lab.h"

#define SANDBOXD_UIDS 65536 /* of the block; the first is nobody's */
#define ACCOUNT "123456789012"

struct env;
struct lease;
struct node;
struct async_queue;
struct change;
struct door;
struct follow;
struct probe_job;
struct version_doc;

/* what a change that is under way does with a function */
enum func_phase { FUNC_SETTLED, FUNC_PENDING, FUNC_UPDATING };

struct func_failure {
	char code[40], reason[300]; /* AWS's; "": none */
};

struct func {
	LIST_ENTRY(func) link;
	struct slab *slab;
	const struct lab *lab;	     /* of a pending one the change's, else slab->lab */
	const struct function *spec; /* borrows from it */
	enum func_phase phase;
	struct func_failure failed, update_failed;
	cJSON *places;		 /* netd's, of what is in force: its ways; owns; NULL */
	char *name;		 /* owns */
	char version[12];	 /* "$LATEST", or of a published one the number (versions.h) */
	struct func *latest;	 /* $LATEST, also of itself; NULL: it or the function is gone */
	unsigned number;	 /* of a published one; 0: $LATEST */
	struct version_doc *doc; /* of a published one: what it was published from */
	size_t provisioned;	 /* environments that are to be ready */
	char provisioned_failed[300]; /* why they can't be; "" */
	char digest[65];	      /* of all that makes new environments needed */
	char code[65];		      /* digest of its package; "": no code */
	int64_t modified_ms;	      /* of AWS's LastModified */
	LIST_HEAD(, env) envs;
	size_t n_running;    /* invocations */
	size_t n_async;	     /* of them, events */
	uint64_t n_accepted; /* events */
	struct bucket requests, ramp;
	char settings[17]; /* digest of what needs no new environments */
	size_t next_subnet;
	bool gone; /* not in the document any more: freed with its last env */
};

struct slab {
	LIST_ENTRY(slab) link;
	struct sandboxd *sd;
	char *name; /* owns */
	int64_t created_ms;
	char *document, *base; /* own; NULL while the first PUT is under way */
	size_t size;
	struct lab *lab; /* owns; the document, parsed */
	cJSON *show;	 /* owns; netd's, as of the last change */
	LIST_HEAD(, func) funcs;
	LIST_HEAD(, node) nodes;
	struct change *change; /* that runs; NULL: none */
	STAILQ_HEAD(, change) waiting;
	size_t n_waiting;
	bool failed;		 /* neither the old document nor the new one holds */
	struct http_server *api; /* on the lab's internet (endpoint.h); owns; NULL: none */
	char api_addr[48];	 /* where */
	bool held;		 /* netd keeps the ways of before the change that runs */
	bool going;		 /* it is being deleted: nothing new begins in it */
	size_t n_running;	 /* invocations */
	size_t n_users;		 /* probes and execs under way, connections held */
	struct lease *lease;	 /* owns; NULL: none */
};

struct sandboxd {
	struct loop *loop;
	struct rundir dir;
	struct db *db;
	struct http_server *http;
	struct http_server *tcp; /* --listen; NULL: off */
	char endpoint[64];	 /* of it: "http://127.0.0.1:9001", "" */
	uint8_t key[32];	 /* what labs' secrets are made from */
	struct httpc *httpc;
	struct cgroups *cgroups;
	struct cgroup *envs;	       /* the group above all environments' */
	TAILQ_HEAD(, env) idle;	       /* environments, least recently used first */
	uint64_t memory_most;	       /* bytes; above it idle environments go */
	unsigned idle_s;	       /* of AWS's time */
	struct async_queue *async;     /* owns */
	const char *allow_endpoint;    /* "HOST:PORT,..."; NULL: none */
	char *netd;		       /* path of its socket; owns */
	cJSON *notices;		       /* that netd wasn't told yet; owns; NULL: none */
	bool noticing;		       /* it is being told */
	char *root;		       /* RUN/root: where inits mount; owns */
	int init_fd;		       /* vpclab-init */
	int filters[JAIL_PROGRAM + 1]; /* compiled, by enum jail_filter */
	uint32_t uid_base;
	uint8_t uids[SANDBOXD_UIDS / 8];
	LIST_HEAD(, slab) labs;
	LIST_HEAD(, door) doors;
	LIST_HEAD(, follow) follows; /* captures that go on; their doors' */
	struct loop_event *door_event, *rotate;
	int door_fd;
	size_t n_labs, n_envs, n_invocations, n_execs, n_doors;
	uint64_t seq; /* of names made here */
	bool ready;   /* what was there before has been taken up */
	bool stopping;
};

struct slab *slab_find(const struct sandboxd *sd, const char *name); /* NULL: none */
/* $LATEST of a function; NULL: none */
struct func *func_find(const struct slab *l, const char *name);
/* netd's object of a node in its show of a lab: an instance or an internet host;
 * NULL: there is none */
const cJSON *show_node(const cJSON *show, const char *name);
/* of router:V, nat_gateway:V/N, internet; NULL: none, or another kind of name */
const cJSON *show_network(const cJSON *show, const char *name);
/* show_node() in the cached one */
const cJSON *slab_node(const struct slab *l, const char *name);
/* opens a namespace by the path that netd tells, whichever netd runs now;
 * fd or -errno */
int sandboxd_open_ns(const struct sandboxd *sd, const char *path);
/* new 32 hex characters; the kernel's randomness */
void sandboxd_random_id(char ret[33]);

#endif
