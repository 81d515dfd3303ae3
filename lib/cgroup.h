/* SPDX-License-Identifier: MIT */
/*
 * cgroup - limits, freezing and killing of groups of processes, through cgroup
 * v1 or v2, whichever holds each controller on this host.
 *
 * All groups of an instance of the product are below one root: /vpclab-HASH in
 * each hierarchy, HASH being 8 hex digits of the run directory's digest.  The
 * roots in use are written to RUN/cgroups, which is how gc finds what a dead
 * daemon left.  The daemons themselves stay where they were started.
 *
 * A cgroup.subtree_control that we didn't make is never written: where a
 * controller is not turned on for us, opening fails with ERR_HOST and the line
 * to run.  Freezing and killing use any cgroup2 tree, also one without
 * controllers (hybrid hosts): 6 us against 200 us in v1's freezer.
 *
 * Paths of groups are relative to the root: "env/1a2b3c4d".
 */
#ifndef CGROUP_H
#define CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"

#define CGROUP_JOIN_MAX 5

struct cgroups; /* an instance's root */
struct cgroup;	/* one group below it */

struct cgroup_limits {
	uint64_t memory; /* bytes, swap included; 0: no limit */
	double cpus;	 /* CPUs, e.g. 0.07 or 2; 0: no limit */
	uint64_t pids;	 /* processes and threads; 0: no limit */
};

/*
 * cgroups_open() - finds the host's hierarchies and makes the root for run
 * directory "run" (absolute).  memory, cpu, pids and a freezer must be there:
 * ERR_HOST names what isn't.  For daemons (root).
 */
int cgroups_open(const char *run, struct cgroups **ret, struct err *e);
/* the roots that an instance made, for gc: nothing is made; -ENOENT if there are none */
int cgroups_find(const char *run, struct cgroups **ret, struct err *e);
struct cgroups *cgroups_close(struct cgroups *c); /* closes; groups stay */
/* one line for people: "memory v1, cpu v1, pids v1, freezer v2 (/vpclab-1a2b3c4d)"; borrows */
const char *cgroups_describe(const struct cgroups *c);
/*
 * cgroups_remove() - kills every process below the root except the caller and
 * removes it in all hierarchies; waits at most "timeout_ms" for them to be
 * gone (-EBUSY then).
 */
int cgroups_remove(struct cgroups *c, int timeout_ms, struct err *e);

/* makes group "path" (and those above it) and sets "l" (NULL: no limits); a group
 * that is there already is taken as it is.  On failure what was made is removed */
int cgroup_make(struct cgroups *c, const char *path, const struct cgroup_limits *l,
		struct cgroup **ret, struct err *e);
/* a group made before (by an earlier daemon); NULL and -ENOENT if there is none */
int cgroup_find(struct cgroups *c, const char *path, struct cgroup **ret);
struct cgroup *cgroup_close(struct cgroup *g); /* the handle; the group stays */
int cgroup_set_limits(struct cgroup *g, const struct cgroup_limits *l, struct err *e);
/* names of the groups directly below "path" ("": the root); calls fn for each */
int cgroup_each(struct cgroups *c, const char *path, int (*fn)(const char *name, void *arg),
		void *arg);

/* descriptors for proc_spec.cgroup_fds; the caller closes them: cgroup_join_done() */
int cgroup_join_fds(struct cgroup *g, int fds[CGROUP_JOIN_MAX], size_t *ret_n);
void cgroup_join_done(int *fds, size_t n);
int cgroup_attach(struct cgroup *g, pid_t pid); /* 0: the caller */

/* both return when it is asked for; the kernel stops the tasks within microseconds */
int cgroup_freeze(struct cgroup *g);
int cgroup_thaw(struct cgroup *g);
/* 1: all are stopped, 0: not yet or not asked for, -errno */
int cgroup_is_frozen(struct cgroup *g);
/* SIGKILL to every process of the group and those below it, frozen or not; does
 * not wait for their end.  Gone is success */
int cgroup_kill(struct cgroup *g);
/* processes of the group and those below it; caller frees */
int cgroup_pids(struct cgroup *g, pid_t **ret, size_t *ret_n);
/* what is charged to the group and those below it now, bytes */
int cgroup_memory(struct cgroup *g, uint64_t *ret);
int cgroup_memory_peak(struct cgroup *g, uint64_t *ret); /* bytes */
/* of files that processes map, as far as they are charged to the group; bytes */
int cgroup_memory_mapped(struct cgroup *g, uint64_t *ret);
int cgroup_oom_kills(struct cgroup *g, uint64_t *ret);
/*
 * cgroup_remove() - removes the group and those below it everywhere; waits at
 * most "timeout_ms" (0: not at all) for processes that were killed to be gone.
 * -EBUSY: some are still there.  Gone is success.  The handle stays valid.
 */
int cgroup_remove(struct cgroup *g, int timeout_ms);

#endif
