/* SPDX-License-Identifier: MIT */
/*
 * neighbours - whether the kernel had room for a neighbour.  Its table is the
 * host's, one for all namespaces, and bounded (net.ipv4.neigh.default.gc_thresh3);
 * a packet to a neighbour that finds none is lost, and no rule has dropped it.
 */
#ifndef NEIGHBOURS_H
#define NEIGHBOURS_H

#include <stdint.h>

/* how often there was no room since the host was started; 0: the kernel doesn't
 * tell here (it tells the first network namespace alone) */
uint64_t neighbours_refused(void);
/* pure: the sum over all processors, of the text of /proc/net/stat/arp_cache */
uint64_t neighbours_parse(const char *text);

#endif
