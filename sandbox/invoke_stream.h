/* SPDX-License-Identifier: MIT */
/*
 * invoke_stream - AWS's InvokeWithResponseStream (INV-5): a response as it comes,
 * in an event stream.
 *
 * PayloadChunk for each piece, then InvokeComplete with the error of the function
 * (ErrorCode: its type, ErrorDetails: its body) and, if asked for, the log's tail.
 * The answer begins with the first piece, so that whatever is refused before has its
 * own status.  LIMIT_STREAM_BURST bytes go as fast as they come, then
 * LIMIT_STREAM_RATE a second; a client that takes less holds back the function.
 */
#ifndef INVOKE_STREAM_H
#define INVOKE_STREAM_H

#include "sandbox/env.h"

/* makes "i", which is about to be given to an environment, one that streams; "done" and
 * "piece" are ours from now on.  0, -ENOMEM */
int invoke_stream_prepare(struct invocation *i, struct loop *loop);
/* undoes it: the invocation never ran */
void invoke_stream_cancel(struct invocation *i);

#endif
