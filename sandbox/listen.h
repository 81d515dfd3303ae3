/* SPDX-License-Identifier: MIT */
/*
 * listen - AWS's Lambda API on a TCP port of this host's loopback, for clients that
 * can't use a unix socket (interface.md 3).  Whoever may open a connection there is
 * nobody: a request counts only if it is signed (lib/sigv4.h) with the secret of the
 * lab that its access key id names, for service "lambda" in the lab's region.
 */
#ifndef LISTEN_H
#define LISTEN_H

#include "lib/sigv4.h"
#include "sandbox/sandboxd.h"

/* "where": ADDRESS:PORT, an IPv4 address of 127.0.0.0/8, port 0: any that is free.
 * 0 and sd->endpoint, or "e" */
int listen_open(struct sandboxd *sd, const char *where, struct err *e);
void listen_close(struct sandboxd *sd);
/* the secret of a lab: the same as long as it is up, also after a restart */
void listen_secret(const struct slab *l, char ret[SIGV4_SECRET_SIZE]);
/* GET /v1/labs/LAB/credentials: what a client signs with, and where it goes */
void listen_credentials(const struct slab *l, struct http_req *r);

/* answers a request that AWS's client signed; "only": with this lab's key (NULL: any) */
void listen_answer(struct sandboxd *sd, const struct slab *only, struct http_req *r);

#endif
