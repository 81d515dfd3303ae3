/* SPDX-License-Identifier: MIT */
/*
 * responder - owns every socket that answers inside labs: built-in servers and
 * resolvers.  A process of its own (responder_main.c), without privileges; it
 * outlives both daemons.
 *
 * netd opens the sockets in the labs' namespaces and hands them over, with what
 * each is (HACKING.md, responder); this end keeps them in a table by lab and
 * key.  Only root's processes are listened to.  responder_serve.c answers.
 */
#ifndef RESPONDER_H
#define RESPONDER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "lib/loop.h"
#include "netd/resolver.h"

#define RESPONDER_MESSAGE_MAX (128 * 1024)    /* bytes of a message to it */
#define RESPONDER_FDS_MAX 200		      /* descriptors of a message */
#define RESPONDER_ZONE_MAX (32 * 1024 * 1024) /* bytes of a view's text */
#define RESPONDER_CLIENTS_MAX 16
#define RESPONDER_CONNS_MAX 16384     /* open connections in all */
#define RESPONDER_SOCK_CONNS_MAX 4096 /* of one socket; the idlest makes room */
#define RESPONDER_IDLE_MS 60000	      /* of HTTP and DNS connections */
/* a test of a gateway's idle time (NAT-5: 350 s) must meet the gateway, not us */
#define RESPONDER_SERVE_IDLE_MS (3600 * 1000)
#define RESPONDER_HTTP_HEAD_MAX (16 * 1024) /* bytes of a request's head */

enum answer_kind { ANSWER_SERVE, ANSWER_HTTP, ANSWER_DNS };

struct conn;
struct server;

/* names that a set of resolvers answers from; lives as long as its lab */
struct view {
	LIST_ENTRY(view) link;
	char *lab, *name;  /* own */
	struct zone *zone; /* owns; NULL: nothing known yet */
};

/* one socket */
struct answerer {
	LIST_ENTRY(answerer) link;
	char *lab, *key; /* own */
	enum answer_kind kind;
	bool stream;
	char *node;		 /* owns; quoted for JSON; NULL for DNS */
	const struct view *view; /* borrows; NULL but for DNS */
	int fd;			 /* owns */
	struct loop_event *ev;
	struct server *server; /* borrows */
	LIST_HEAD(, conn) conns;
	size_t n_conns;
};

/* ---- responder.c ---- */

/* "listen_fd" (SOCK_SEQPACKET) is taken; NULL: out of memory */
struct responder *responder_new(struct loop *l, int listen_fd);
struct responder *responder_free(struct responder *r);

/* ---- responder_serve.c ---- */

struct server *server_new(struct loop *l); /* NULL: out of memory */
struct server *server_free(struct server *s);
/* starts answering on "a->fd"; 0 or -errno */
int server_start(struct server *s, struct answerer *a);
/* stops, closing its connections; "a->fd" stays open */
void server_stop(struct answerer *a);

/* what HTTP request "head" (complete, "size" bytes with the empty line) asks of
 * the connection; pure, for tests: HTTP status, 200 if well-formed */
struct http_head {
	bool close;	     /* no further request on this connection */
	bool body;	     /* one follows, to be thrown away */
	bool no_answer_body; /* HEAD */
};
int http_head_parse(const char *head, size_t size, struct http_head *ret);

#endif
