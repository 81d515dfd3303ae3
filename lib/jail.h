/* SPDX-License-Identifier: MIT */
/*
 * jail - giving up privileges for good, in the order in which each step still
 * may: groups and ids, capabilities (libcap-ng), no_new_privs, the system
 * call filter.  For the init, before it starts code of others; nothing of it can be
 * taken back.  What the filter's rules are, and the compiler for them (libseccomp),
 * is jail_filter.c: a filter takes some 4 ms to compile and is the same for all, so
 * sandboxd does it once and each init loads the result.  Mechanism: 0 or -errno.
 */
#ifndef JAIL_H
#define JAIL_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum jail_filter {
	JAIL_FUNCTION, /* nobody trusts it: no raw sockets, no ptrace, no namespaces ... */
	JAIL_PROGRAM   /* a node's program: what its capabilities would allow, less what
			 * reaches the whole host */
};

/* capabilities of a node's program: docker's without MKNOD, with NET_ADMIN and NET_RAW */
uint64_t jail_program_caps(void);
/* bounding and inheritable sets become "caps", also across the change of ids */
int jail_ids(uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups, uint64_t caps);
/* a compiled filter: two programs, one after the other.  A call passes if both let it */
struct jail_filters {
	uint32_t size[2]; /* bytes */
	struct sock_filter program[];
};

/* compiles; a sealed memfd (the caller closes it) or -errno */
int jail_filter_compile(enum jail_filter f);
/* puts a compiled filter on this thread and what it starts; no_new_privs for JAIL_FUNCTION,
 * else it needs CAP_SYS_ADMIN.  On failure a part of it may be in force: end */
int jail_filter_load(int fd, enum jail_filter f);

#endif
