/* SPDX-License-Identifier: MIT */
/*
 * logs - files of output below RUN/logs/LAB.  A function's log is written by
 * sandboxd, in pieces, and turned over at LIMIT_LOG_FILE (NAME.log.1 keeps what
 * was before); a node's is the standard output and error of its programs, and
 * emptied when it grows past LIMIT_PROGRAM_LOG.
 */
#ifndef LOGS_H
#define LOGS_H

#include "lib/buf.h"
#include "sandbox/log_streams.h"
#include "sandbox/sandboxd.h"

/* RUN/logs/LAB/NAME.log; caller frees */
char *logs_path(const struct sandboxd *sd, const char *lab, const char *name);
/* RUN/logs/LAB, which the first log makes; caller frees */
char *logs_folder(const struct sandboxd *sd, const char *lab);
/* opens it for appending (made with its folder); fd or -errno */
int logs_open(const struct sandboxd *sd, const char *lab, const char *name);
/* appends to a function's log, as its stream's, whose last piece ended "at" (changed);
 * a failure (a full disk) loses output, not invocations */
void logs_append(const struct sandboxd *sd, const char *lab, const char *name, const char *stream,
		 struct log_place *at, const char *data, size_t size);
/* empties nodes' logs past their limit; for a timer */
void logs_bound(const struct sandboxd *sd);
void logs_remove_lab(const struct sandboxd *sd, const char *lab);
void logs_remove(const struct sandboxd *sd, const char *lab, const char *name);
/* the text of a node's log into "b", or of all nodes with lines prefixed "NODE| ";
 * a node without output has none.  0 or -errno */
int logs_read(const struct slab *l, const char *node, struct buf *b);
/* the names of a function's streams, a line each, or with "stream" what that one wrote;
 * 0, -ENOENT: there is no such stream, or -errno */
int logs_read_streams(const struct slab *l, const char *function, const char *stream,
		      struct buf *b);

#endif
