/* SPDX-License-Identifier: MIT */
/*
 * eventstream - messages of AWS's application/vnd.amazon.eventstream, which
 * InvokeWithResponseStream answers with: total length, length of the headers, CRC
 * of both; headers; payload; CRC of all (big endian; zlib's CRC-32).
 */
#ifndef EVENTSTREAM_H
#define EVENTSTREAM_H

#include <stddef.h>

#include "lib/buf.h"

#define EVENTSTREAM_MAX (16 * 1024 * 1024) /* bytes of a message */

/* one that was read; both borrow */
struct eventstream_event {
	char type[64]; /* :event-type, "" if it has none */
	const char *payload;
	size_t size;
};

/* appends an event; without memory "b" fails */
void eventstream_put(struct buf *b, const char *event_type, const char *content_type,
		     const void *payload, size_t size);
/* the event that "data" begins with: 1 and how much it takes; 0: more is needed;
 * -EBADMSG: no message, or its CRCs don't hold; -EMSGSIZE: past EVENTSTREAM_MAX */
int eventstream_next(const char *data, size_t size, size_t *ret_used,
		     struct eventstream_event *ret);

#endif
