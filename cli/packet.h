/* SPDX-License-Identifier: MIT */
/*
 * packet - a frame in one line, much as tcpdump -n writes it.  Pure: whatever the
 * bytes are, nothing behind their end is read.
 */
#ifndef CLI_PACKET_H
#define CLI_PACKET_H

#include <stddef.h>

#include "lib/buf.h"

/* an Ethernet frame, of which "size" bytes are there: "10.0.0.4:1000 > 10.0.1.4:80 tcp S,
 * 0 bytes", "arp who has 10.0.0.1? 10.0.0.4 asks", "ethertype 0x86dd, 90 bytes" */
void packet_words(const void *frame, size_t size, struct buf *b);

#endif
