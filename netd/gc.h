/* SPDX-License-Identifier: MIT */
/*
 * gc - removes what a netd that is gone has left: its labs' namespaces, the
 * responder, sockets, and the labs' rows.
 */
#ifndef GC_H
#define GC_H

#include "lib/err.h"

/* "run" and "state" absolute; ERR_BUSY: netd runs.  Nothing to do is success */
int gc_run(const char *run, const char *state, struct err *e);

#endif
