/* SPDX-License-Identifier: MIT */
/*
 * follow - captures that go on: which namespaces of a lab a client has sockets of, and those that
 * come by a change, before anything in them is started.  The lab needn't be there yet.
 */
#ifndef FOLLOW_H
#define FOLLOW_H

#include <stddef.h>

#include "lib/err.h"
#include "lib/json.h"
#include "sandbox/sandboxd.h"

#define FOLLOW_NAMESPACES_MAX 1000 /* of one client */

struct follow;

/*
 * What a client is told, "o" (the callee's) with "n" descriptors beside (the caller closes them):
 * {"captures":[names]} with a socket of each, "more":true in all but the last of a group;
 * {"gone":[names]}; {"missed":[names]}: they came and can't be captured, with "message".
 * It must not free the follow.
 */
typedef void (*follow_fn)(cJSON *o, const int *fds, size_t n, void *arg);

/*
 * follow_new() - tells the sockets of what is there of "nodes" now (an array of words as
 * capture_names() reads them, of which those up to the first that is none of the lab's count; NULL:
 * every node), and then of what comes.  The last of the first group has "nodes": how many of the words
 * were nodes.  0 and "ret" (owns: follow_free()), ERR_LIMIT, ERR_INTERNAL or capture_open()'s errors.
 */
int follow_new(struct sandboxd *sd, const char *lab, const cJSON *nodes, follow_fn fn, void *arg,
	       struct follow **ret, struct err *e);
struct follow *follow_free(struct follow *f);

/* the lab's network is as netd's "show" says, and nothing that is new in it has begun */
void follow_changed(const struct sandboxd *sd, const char *lab, const cJSON *show);
/* nor is anything left of what "show" doesn't have */
void follow_settled(const struct sandboxd *sd, const char *lab, const cJSON *show);

#endif
