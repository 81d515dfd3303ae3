/* SPDX-License-Identifier: MIT */
/*
 * async - asynchronous invocation (AS-1..8): events from their 202 to the last delivery.
 *
 *   accepted -> due -> runs -> again, later
 *                        +---> deliveries (destinations, dead letter) -> gone
 *
 * Each arrow is a transaction: an event that was answered 202 is on disk until everything that
 * it leads to is, and whatever ends the daemon in between, the next one goes on there.  So each
 * happens at least once, and after a kill perhaps twice.  Transactions wait for the end of the
 * loop's round, to share one sync of the disk.
 */
#ifndef ASYNC_H
#define ASYNC_H

#include "sandbox/sandboxd.h"

/* what was there before goes on; labs are known already */
int async_open(struct sandboxd *sd, struct err *e);
void async_close(struct sandboxd *sd);
/* "qualifier": "", or what runs it, looked up when it does.
 * Answers "r" with 202 once the event is on disk, or 4xx or 5xx */
void async_accept(struct func *f, const char *qualifier, struct http_req *r);
/* the lab goes, and what waits with it (the rows go with the lab's): how many events and
 * deliveries */
size_t async_end_lab(struct slab *l);
/* events of "f" that wait or run, and deliveries of its */
size_t async_count(const struct func *f);

#endif
