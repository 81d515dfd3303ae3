/* SPDX-License-Identifier: MIT */
/*
 * invoke - AWS's Lambda Invoke API (INV-1..4, INV-6, INV-7): headers, limits
 * and errors in AWS's words.
 */
#ifndef INVOKE_H
#define INVOKE_H

#include "sandbox/sandboxd.h"

/*
 * POST /2015-03-31/functions/NAME/invocations, and GET of functions; answers, at once
 * or later.  "lab": whose they are; NULL: as the request's headers say
 */
void invoke_handle(struct sandboxd *sd, struct http_req *r, const char *lab);
/* answers with an error in AWS's form: {"Type","message","Message"} */
void invoke_refuse(struct http_req *r, int status, const char *type, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* 202: the event is kept (INV-2) */
void invoke_accepted(struct http_req *r, const char *id);
/* is the path one of Lambda's API? */
bool invoke_is_path(const char *path);
/* is "text" one JSON value?  Quick, keeps nothing; "why" says what is wrong */
bool invoke_is_json(const char *text, size_t size, const char **why);

#endif
