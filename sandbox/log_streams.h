/* SPDX-License-Identifier: MIT */
/*
 * log_streams - whose the lines of a function's log are.  All environments write into one
 * file, as people read it; beside it stands NAME.log.streams, a line "OFFSET STREAM" where
 * the text of another environment than before begins.  A stream is AWS's:
 * YYYY/MM/DD/[VERSION]ID, an environment each (LOG-1).
 */
#ifndef LOG_STREAMS_H
#define LOG_STREAMS_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/buf.h"

#define LOG_STREAM_SIZE 72

/* where a writer's last piece ended: what begins there is its own, too */
struct log_place {
	ino_t ino;
	off_t end;
};

/* "YYYY/MM/DD/[VERSION]ID" of today (UTC) */
void log_stream_name(const char *version, const char *id, char ret[LOG_STREAM_SIZE]);
/* from "at" on the log at "path" is the stream's; a failure leaves it the one's before */
void log_streams_mark(const char *path, off_t at, const char *stream);
/* the log went to "to" */
void log_streams_move(const char *path, const char *to);
void log_streams_remove(const char *path);
/* the names, a line each, as they begin.  0 or -errno */
int log_streams_list(const char *path, struct buf *b);
/* what "stream" wrote of the log at "path", at most "most" bytes of its end; it is named
 * whole or by its ID.  0; -ENOENT: there is no such stream; or -errno */
int log_streams_read(const char *path, const char *stream, size_t most, struct buf *b);

#endif
