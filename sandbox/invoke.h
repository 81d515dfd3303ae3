/* SPDX-License-Identifier: MIT */
/*
 * invoke - AWS's Lambda Invoke API (INV-1..4, INV-6, INV-7): headers, limits
 * and errors in AWS's words.
 */
#ifndef INVOKE_H
#define INVOKE_H

#include "sandbox/sandboxd.h"

/* POST /2015-03-31/functions/NAME/invocations; answers, at once or later */
void invoke_handle(struct sandboxd *sd, struct http_req *r);
/* is the path one of Lambda's API? */
bool invoke_is_path(const char *path);
/* is "text" one JSON value?  Quick, keeps nothing; "why" says what is wrong */
bool invoke_is_json(const char *text, size_t size, const char **why);

#endif
