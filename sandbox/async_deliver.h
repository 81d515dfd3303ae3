/* SPDX-License-Identifier: MIT */
/*
 * async_deliver - brings one document to where it goes: a file of the lab's state folder, or a
 * queue or topic that answers HTTP on the lab's internet (or wherever --allow-endpoint lets it).
 */
#ifndef ASYNC_DELIVER_H
#define ASYNC_DELIVER_H

#include <stdbool.h>
#include <stddef.h>

#include "sandbox/sandboxd.h"

/* a line more in file "name"; a line that a kill has torn goes first.  0 or -errno: nothing of it
 * is in the file */
int deliver_file(const struct sandboxd *sd, const char *lab, const char *name, const void *line,
		 size_t size);
typedef void (*deliver_fn)(bool ok, const char *why, void *arg);
/* memory of one post, the caller's until "fn" was told */
struct deliver_post {
	deliver_fn fn;
	void *arg;
};
/* posts "body" (a form) to "url", signed for "service"; "fn" is told once, never from inside.
 * 0, or -errno and "e": there is no way to it */
int deliver_post(struct slab *l, const char *url, const char *service, const void *body,
		 size_t size, deliver_fn fn, void *arg, struct deliver_post *p, struct err *e);
/* is HOST:PORT of "url" in the daemon's list "HOST:PORT,..."? */
bool deliver_is_allowed(const char *list, const char *url);

#endif
