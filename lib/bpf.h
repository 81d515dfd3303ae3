/* SPDX-License-Identifier: MIT */
/*
 * bpf - filters in tcpdump's language (libpcap), for packet sockets of Ethernet: in the
 * kernel, so that what doesn't match never comes.
 */
#ifndef BPF_H
#define BPF_H

#include <stdbool.h>
#include <stddef.h>

struct bpf;

/* "text" compiled; "" matches all.  0 and "ret" (owns: bpf_free()); -EINVAL and what is
 * wrong in "why"; -ENOPKG: libpcap isn't installed; -ENOMEM */
int bpf_compile(const char *text, struct bpf **ret, char *why, size_t size);
struct bpf *bpf_free(struct bpf *b);
/* from now on the socket gets nothing else; what it holds already may be.  0, -errno */
int bpf_attach(const struct bpf *b, int fd);
/* for what it held: "length" as it was on the wire, of which "size" bytes are there */
bool bpf_matches(const struct bpf *b, const void *frame, size_t size, size_t length);

#endif
