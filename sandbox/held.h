/* SPDX-License-Identifier: MIT */
/*
 * held - connections (TCP, or a UDP flow) that are opened in a node's network,
 * kept, and asked now and then whether they still carry anything.  Nothing runs
 * in the node; a function's stand in a place made as its environments' are.
 *
 * A held connection is its client's: it ends with the process that asked for
 * it, with its lab, and with sandboxd.
 */
#ifndef HELD_H
#define HELD_H

#include "sandbox/sandboxd.h"

/* POST .../connections {"connection","from","to","port","timeout"}: answers with
 * the result, "open" if it is kept from now on */
void held_open(struct sandboxd *sd, struct http_req *r, const char *lab);
/* POST .../connections/NAME {"timeout"}: sends a message with a number of its own,
 * answers "alive", "reset", "closed" or "silent" */
void held_check(struct sandboxd *sd, struct http_req *r, const char *lab, const char *name);
/* GET .../connections: [{"connection","from","to","port","address"}] */
void held_list(struct sandboxd *sd, struct http_req *r, const char *lab);
/* DELETE .../connections/NAME */
void held_close(struct sandboxd *sd, struct http_req *r, const char *lab, const char *name);
/* all of the lab end: it is being deleted */
void held_end_lab(const struct slab *l);

#endif
