/* SPDX-License-Identifier: MIT */
/*
 * exec - RUN/sandboxd.fd: messages with descriptors.  Commands in nodes, in
 * places of functions, in routers, gateways and the internet; and the files of
 * logs for who follows them.  HACKING.md has the protocol.
 */
#ifndef EXEC_H
#define EXEC_H

#include "sandbox/sandboxd.h"

int exec_open(struct sandboxd *sd, gid_t gid, struct err *e);
/* the daemon ends: what runs goes on, its status is lost */
void exec_close(struct sandboxd *sd);
/* ends all that runs in the lab, also what an earlier daemon started */
void exec_end_lab(struct slab *l);

#endif
