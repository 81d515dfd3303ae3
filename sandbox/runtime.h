/* SPDX-License-Identifier: MIT */
/*
 * runtime - the managed runtimes: our own clients of the Runtime API, one folder a
 * language in runtimes/, each with a program "bootstrap" that the host's interpreter
 * runs.  Environments see theirs as /var/runtime, as on AWS.  The version in a
 * runtime's name isn't looked at: it is the host's.
 */
#ifndef RUNTIME_H
#define RUNTIME_H

#include "lib/buf.h"
#include "sandbox/sandboxd.h"

/* "python3.11", "nodejs20.x": one of ours? */
bool runtime_is_managed(const char *name);
/* has this host, and this build, what functions of "l" run by?  0; ERR_HOST with the
 * function's path and what to install */
int runtime_check(const struct lab *l, struct err *e);
/* the lines of a plan that bring a managed runtime into a view; "b" fails where its
 * folder isn't there */
void runtime_view(struct buf *b, const char *name);
/* variables that only managed runtimes have (EX-12) */
void runtime_environment(struct buf *b, const char *name);

#endif
