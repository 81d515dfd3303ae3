/* SPDX-License-Identifier: MIT */
/*
 * serve - requests to sandboxd over HTTP (HACKING.md has the table): finds the
 * handler, answers what needs no state of its own, merges netd's view with ours.
 */
#ifndef SERVE_H
#define SERVE_H

#include "sandbox/sandboxd.h"

/* http_fn; "arg" is the struct sandboxd */
void serve_request(struct http_req *r, void *arg);

#endif
