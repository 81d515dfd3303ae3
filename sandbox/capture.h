/* SPDX-License-Identifier: MIT */
/*
 * capture - packet sockets in namespaces of a lab, for a client that reads them
 * itself (op "capture" of sandboxd.fd).
 */
#ifndef CAPTURE_H
#define CAPTURE_H

#include <stddef.h>

#include "lib/err.h"
#include "lib/json.h"
#include "sandbox/sandboxd.h"

#define CAPTURES_MAX 64 /* namespaces of one request */

/*
 * capture_names() - appends the namespaces of a node to "list" (names as netd has them; ones that are
 * in it already, too).  "node" is an instance, a host of the internet, a function (the egress
 * namespaces that what its sandboxes send passes), "router:VPC", "nat_gateway:VPC/NAME" or
 * "internet"; "show" is netd's document of the lab.  0, or -ENOENT: it has no such node.
 * capture_all_names(): those of all instances, hosts and functions.
 */
int capture_names(const cJSON *show, const char *node, cJSON *list);
void capture_all_names(const cJSON *show, cJSON *list);

/*
 * capture_open() - a socket for each of "names" (namespaces as netd names them, an
 * array), which from now on holds every frame on every device there, with the
 * kernel's time stamps.  "ret_fds" has room for CAPTURES_MAX; the caller closes
 * "ret_n" of them.  On failure none is open.
 * ERR_INVALID_PARAMETER, ERR_LIMIT, ERR_NO_OBJECT: there is no such namespace.
 */
int capture_open(const struct sandboxd *sd, const char *lab, const cJSON *names, int *ret_fds,
		 size_t *ret_n, struct err *e);

#endif
