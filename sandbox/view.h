/* SPDX-License-Identifier: MIT */
/*
 * view - plans for inits: what a sandbox sees of the host, its limits, its
 * identity (design.md section 6).  Lines of wire.h's plan, in init_view.c's words.
 */
#ifndef VIEW_H
#define VIEW_H

#include "lib/buf.h"
#include "sandbox/sandboxd.h"

/* the resolver of every place and node: link-local, the same in each VPC */
#define VIEW_RESOLVER "169.254.169.253"

/* an environment of "f": root, /var/task, /tmp, user, limits, filter */
void view_function(struct buf *b, const struct func *f, uint32_t uid);
/* of a function whose code is an image: arguments, folder and variables; else nothing */
void view_image(struct buf *b, const struct func *f);
/*
 * a node's programs: the host's system files read-only; "folder" (made by
 * view_node_folder()) holds what is the node's own.  "name": the host name; "p":
 * NULL for a place of a function
 */
void view_node(struct buf *b, const struct sandboxd *sd, const char *folder, const char *name,
	       const struct programs *p);
/* the host's whole tree read-only: exec in a router */
void view_host(struct buf *b);
/* capabilities, filter and user of a node's program; "user": a name of the
 * host's, or numbers UID[:GID].  0, -ENOENT: no such user */
int view_user(struct buf *b, const char *user);

/* RUN/nodes/LAB/NAME with tmp, run, var and the files of "p" (may be NULL); 0 or -errno */
int view_node_folder(const struct slab *l, const char *name, const struct programs *p, char **ret);
char *view_node_path(const struct sandboxd *sd, const char *lab, const char *name);

#endif
