/* SPDX-License-Identifier: MIT */
/*
 * async_rows - events and what is to be delivered, on disk (STATE/sandboxd.db).  A
 * payload or a body is written once and read when it is needed.  The caller begins
 * and commits: many at once cost one sync of the disk.
 */
#ifndef ASYNC_ROWS_H
#define ASYNC_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/db.h"
#include "topology/lab.h"

struct event_row {
	int64_t id;
	const char *lab, *function, *request; /* of the invocation: its id */
	int64_t accepted_ms, due_ms;
	unsigned attempts;
	unsigned hops; /* events that it came from, one by the other */
};

struct delivery_row {
	int64_t id;
	const char *lab, *function, *target;
	enum destination_kind kind;
	int64_t begun_ms;
};

int async_rows_add(struct db *d, const struct event_row *v, const void *payload, size_t size,
		   struct err *e);
int async_rows_again(struct db *d, const struct event_row *v, struct err *e);
int async_rows_drop(struct db *d, int64_t id, struct err *e);
int async_rows_deliver(struct db *d, const struct delivery_row *v, const void *body, size_t size,
		       struct err *e);
int async_rows_delivered(struct db *d, int64_t id, struct err *e);
/* those of labs that are no more go */
int async_rows_sweep(struct db *d, struct err *e);
/* all of a lab's go */
int async_rows_forget(struct db *d, const char *lab, struct err *e);
/* appends the payload of an event, the body of a delivery; -ENOENT if there is none */
int async_rows_payload(struct db *d, int64_t id, struct buf *ret, struct err *e);
int async_rows_body(struct db *d, int64_t id, struct buf *ret, struct err *e);
/* each, oldest first; strings are valid in "fn" only */
int async_rows_each(struct db *d, int (*event)(const struct event_row *v, void *arg),
		    int (*delivery)(const struct delivery_row *v, void *arg), void *arg,
		    struct err *e);

#endif
