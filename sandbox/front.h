/* SPDX-License-Identifier: MIT */
/*
 * front - labs as a whole: one change of a lab at a time, from one document to
 * the next or to none.
 *
 *   PUT      parse, copy code, row (intended), netd takes the document, nodes'
 *            programs start, all is ready -> row (in force), programs that are
 *            gone are stopped, functions change
 *   failure  netd takes the old document again, changed programs restart as they
 *            were, row (intended) goes; a first document: netd deletes the lab
 *   DELETE   row (deleting), programs and environments end, netd deletes, files go
 *   restart  each row: deleting -> DELETE; intended -> PUT of it, else of what was
 *            in force; else what runs is taken up (instances.h), and places of
 *            environments that ended with the last daemon are given back
 */
#ifndef FRONT_H
#define FRONT_H

#include "sandbox/sandboxd.h"

/* each answers the request, at once or later */
void front_put(struct sandboxd *sd, struct http_req *r, const char *lab);
void front_plan(struct sandboxd *sd, struct http_req *r, const char *lab);
void front_delete(struct sandboxd *sd, struct http_req *r, const char *lab);

/* names a lab's document as it is, for If-Match: 32 hex characters in quotes */
#define FRONT_ETAG_SIZE 35
void front_etag(const char *document, size_t size, char ret[FRONT_ETAG_SIZE]);

/* takes up all rows; "done" when the last lab has been (or netd isn't there) */
int front_restore(struct sandboxd *sd, struct err *e);
/* the daemon ends: labs stay as they are */
void front_release(struct sandboxd *sd);
/* an environment of the lab is gone */
void front_env_gone(struct slab *l);

#endif
