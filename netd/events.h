/* SPDX-License-Identifier: MIT */
/*
 * events - what happened, in a ring with sequence numbers, and long polls that
 * wait for the next.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <stdint.h>

#include "lib/http.h"
#include "lib/loop.h"

struct events;

#define EVENTS_REPLY_MAX (1 << 20) /* bytes: who reads slowly holds no more of us */

/* "max" are kept; the first is numbered "last" + 1.  NULL: out of memory */
struct events *events_new(struct loop *l, size_t max, uint64_t last);
uint64_t events_last(const struct events *v); /* the number of the newest */
/* polls that still wait are answered */
struct events *events_free(struct events *v);

/* adds one; strings are copied, NULL: null.  An event that doesn't find memory
 * is lost, its number isn't */
void events_add(struct events *v, const char *lab, const char *event, const char *kind,
		const char *name, const char *id, const char *detail);
void events_addf(struct events *v, const char *lab, const char *event, const char *kind,
		 const char *name, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 7, 8)));
/*
 * events_poll() - answers "r" with the events after "after" (of "lab"; NULL: of
 * all) as JSON lines, at once if there are any or "wait_ms" is 0, else as soon
 * as one comes, else empty.  Header Vpclab-Seq is what to ask after next (one
 * answer is at most EVENTS_REPLY_MAX bytes and a line), Vpclab-Lost how many
 * came after "after" that the ring no longer holds, if any.
 * ERR_LIMIT: too many wait already ("r" is untouched).
 */
int events_poll(struct events *v, struct http_req *r, uint64_t after, const char *lab,
		int64_t wait_ms, struct err *e);

#endif
