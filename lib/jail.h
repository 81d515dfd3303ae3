/* SPDX-License-Identifier: MIT */
/*
 * jail - giving up privileges for good, in the order in which each step still
 * may: groups and ids, capabilities (libcap-ng), no_new_privs, seccomp
 * (libseccomp).  For the init, before it starts code of others; nothing of it
 * can be taken back.  Mechanism: 0 or -errno.
 */
#ifndef JAIL_H
#define JAIL_H

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
int jail_filter(enum jail_filter f); /* sets no_new_privs for JAIL_FUNCTION */

#endif
