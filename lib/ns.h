/* SPDX-License-Identifier: MIT */
/*
 * ns - network namespaces pinned without a process, in a private mount
 * namespace that is itself pinned by one bind mount in the run directory.
 * The one place that calls setns() for the network.  design.md section 3.
 */
#ifndef NS_H
#define NS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

/*
 * ns_home_enter() - makes (or finds, after a restart) the private mount
 * namespace of the run directory "run" and enters it: RUN/ns is a tmpfs there.
 * The caller's own working mounts become that namespace's.  Single-threaded
 * callers only.
 */
int ns_home_enter(const char *run, struct err *e);
/* unpins everything below RUN/ns and the home itself; leaves nothing in the
 * host's mount table.  For gc and the last "down"; tolerates what is gone */
int ns_home_remove(const char *run, struct err *e);
bool ns_home_exists(const char *run);

/* path of the pin of namespace "name" of "lab" as other processes see it while
 * netd ("pid") runs: /proc/PID/root/RUN/ns/LAB/NAME; caller frees */
char *ns_path(const char *run, int netd_pid, const char *lab, const char *name);

/* after ns_home_enter(): */
/* makes and pins a namespace; sysctl lines "net.ipv4.x=y\n" are written in
 * order; lo is brought up; returns an fd of it */
int ns_create(const char *lab, const char *name, const char *sysctls, int *ret_fd, struct err *e);
int ns_open(const char *lab, const char *name, int *ret_fd); /* -ENOENT */
int ns_drop(const char *lab, const char *name);		     /* gone is success */
/* names pinned for "lab" (NULL: the labs); calls fn for each */
int ns_each(const char *lab, int (*fn)(const char *name, void *arg), void *arg);
int ns_drop_lab(const char *lab); /* and its folder */

/* runs "fn" inside the network namespace and comes back or aborts; returns what
 * fn returns.  The only setns(CLONE_NEWNET) of a daemon */
int ns_do(int ns_fd, int (*fn)(void *arg), void *arg);
/* a socket that belongs to the namespace; fd or -errno */
int ns_socket(int ns_fd, int domain, int type, int protocol);

/* tests: the n-th kernel request from now fails with EIO (0: none); counts
 * requests of ns_create, nl and nft.  Only in builds with -DVPCLAB_TESTING:
 * elsewhere both do nothing.  fault_hit() is called before each request */
void fault_set(unsigned long n);
unsigned long fault_count(void); /* requests so far */
int fault_hit(void);		 /* 0 or -EIO */

#endif
