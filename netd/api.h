/* SPDX-License-Identifier: MIT */
/*
 * api - netd's door (HACKING.md, netd): one table of method, path and handler.
 * A handler reads the request, calls a module and writes its answer; no policy.
 */
#ifndef API_H
#define API_H

#include "lib/http.h"
#include "netd/netd.h"

void api_handle(struct http_req *r, void *arg); /* http_fn; "arg" is the netd */

#endif
