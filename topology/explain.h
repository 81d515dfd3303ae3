/* SPDX-License-Identifier: MIT */
/*
 * explain - who reaches whom, by the model alone: a packet is walked through the
 * objects of a store, hop by hop, and its answer back.  Pure, and on purpose a
 * second reading of the lab beside the compiled program, which it never looks at:
 * so model and packets can be held against each other, and a file explains itself
 * with no daemon.
 *
 * The order of checks in a router is AWS's: the sender's groups, its subnet's network
 * ACL, route, gateway, the ACL of the receiver's subnet, source/dest check, the
 * receiver's groups.  Groups and gateways remember what they let through; ACLs, routes
 * and checks hold for the answer, too.
 *
 * A node's own programs are known only as far as the file tells ("serve", "ready"):
 * a port that a node's "command" may or may not listen on is taken for closed, and
 * "assumed" says so.
 */
#ifndef EXPLAIN_H
#define EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/err.h"
#include "lib/json.h"
#include "topology/lab.h"
#include "topology/store.h"

#define EXPLAIN_QUESTIONS_MAX 200 /* of one request: a daemon answers them in one go */
#define EXPLAIN_NAMESPACES_MAX 32 /* told of one walk */
#define EXPLAIN_HOPS_MAX 400	  /* kept of one walk: a loop ends by its packet's TTL */
#define EXPLAIN_ALIASES_MAX 7	  /* a NAT gateway's addresses but for one */

struct explain_question {
	const char *from; /* node, or FUNCTION@SUBNET */
	const char *to;	  /* node, address or DNS name */
	struct port port;
	const char *address; /* of an instance: "private", "public"; NULL: as probes choose */
};

enum explain_action {
	EXPLAIN_SEND,
	EXPLAIN_ALLOW,	   /* a rule of a group */
	EXPLAIN_ROUTE,	   /* a route table's choice */
	EXPLAIN_TRANSLATE, /* an address is replaced */
	EXPLAIN_FORWARD,   /* passed on as it is */
	EXPLAIN_DELIVER,
	EXPLAIN_DROP,
	EXPLAIN_REJECT /* answered with an ICMP error */
};
const char *explain_action_name(enum explain_action a); /* "send", ... */

struct explain_hop {
	const char *component; /* borrows from the store: "db", "main/public", "service" */
	const char *kind;      /* a singular of the file's kinds, "service", "internet" */
	enum explain_action action;
	bool answer;	  /* on the way back */
	const char *code; /* REACH-1; NULL */
	const char *direction;
	char rule[200];		/* what it did and why, "" */
	const struct where *at; /* in the lab file; borrows; NULL: nothing there */
};

/* one flow: from one interface to one address */
struct explain_part {
	char interface[200]; /* "" where there is a single one: as probes name them */
	const char *result;  /* "open", "refused", "timeout", "unreachable" */
	struct addr to;	     /* the address that was asked for */
	struct addr seen_as; /* whom the target sees; unset if nothing arrives */
	/* whom it may see as well: a NAT gateway takes its addresses in turn (NAT-4) */
	struct addr aliases[EXPLAIN_ALIASES_MAX];
	size_t n_aliases;
	bool varies;		  /* with another of its addresses, "result" is another */
	bool assumed;		  /* the file doesn't tell whether a program listens */
	struct explain_hop *hops; /* owns */
	size_t n_hops;
	/* where the packet and its answer are to be seen, by the names of namespaces; borrow */
	const char *namespaces[EXPLAIN_NAMESPACES_MAX];
	size_t n_namespaces;
	ssize_t decided; /* the hop that stops it; -1: nothing does */
	ssize_t allowed; /* the last rule that let the question through; -1 */
};

struct explain {
	struct explain_part *parts; /* owns */
	size_t n_parts;
	const char *result; /* of all parts, or "mixed" */
};

/*
 * explain_ask() - answers one question; explain_done() frees "ret", which is
 * empty on failure.  What it holds borrows from the store.
 * ERR_NO_NODE: nobody of that name, or a name that "from" can't resolve;
 * ERR_INVALID_PARAMETER: the address asked for isn't there; ERR_LIMIT.
 */
int explain_ask(const struct store *s, const struct explain_question *q, struct explain *ret,
		struct err *e);
void explain_done(struct explain *x);

/* as "why" prints it (interface.md 4), with "path", and "parts" where there are
 * several; owns; NULL: no memory */
cJSON *explain_json(const struct explain_question *q, const struct explain *x);
/*
 * explain_answers() - a list of questions as a client writes them,
 * [{"from","to","port","address"}], answered one by one: explain_json()'s or
 * {"error":{"code","message"}} for each, in their order.  Owns; NULL: no memory.
 * How many there may be is the caller's affair.
 */
cJSON *explain_answers(const struct store *s, const cJSON *questions);
/* "plain > service > internet > igw main > db": what the question passes */
void explain_path(const struct explain_part *p, struct buf *b);

#endif
