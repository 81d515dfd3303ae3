/* SPDX-License-Identifier: MIT */
/*
 * pcapng - a capture file (draft-ietf-opsawg-pcapng) written block by block into a
 * buffer: one section, interfaces as they appear, packets of Ethernet.  Pure.
 */
#ifndef PCAPNG_H
#define PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

#define PCAPNG_SNAPLEN 65535

/* the section header; "comment" may be NULL */
void pcapng_begin(struct buf *b, const char *comment);
/* an interface; they count from 0 in the order of these calls.  "description" may be NULL */
void pcapng_interface(struct buf *b, const char *name, const char *description);
/* a packet of interface "idx": "ns" since the epoch; "size" bytes of "length" on the wire */
void pcapng_packet(struct buf *b, uint32_t idx, uint64_t ns, bool outgoing, const void *data,
		   size_t size, size_t length);

#endif
