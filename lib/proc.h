/* SPDX-License-Identifier: MIT */
/*
 * proc - starting a program: clone with CLONE_VM | CLONE_VFORK | CLONE_PIDFD,
 * nothing but system calls in the child, then exec.  The child shares the
 * caller's memory until then, so a failing step is told by writing its name and
 * errno there; the caller waits for the exec and so knows that it happened.
 *
 * In the child, in this order: cgroups, session, descriptors, working
 * directory, identity, signals (default, none blocked), exec.
 */
#ifndef PROC_H
#define PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"

#define PROC_FDS_MAX 32
#define PROC_CGROUPS_MAX 8

/* zeroed means: no more than exec, with all three standard descriptors /dev/null */
struct proc_spec {
	const char *path;      /* program; borrowed, as all pointers here */
	int exec_fd;	       /* program by descriptor when "path" is NULL; may be CLOEXEC */
	char *const *argv;     /* NULL-terminated */
	char *const *envp;     /* NULL-terminated; NULL: empty */
	const int *fds;	       /* the child's descriptor i is fds[i]; -1: /dev/null */
	size_t n_fds;	       /* <= PROC_FDS_MAX; 0..2 not given: /dev/null; all others close */
	uint64_t clone_flags;  /* CLONE_NEW* only */
	const int *cgroup_fds; /* cgroup_join_fds(): joined before anything else */
	size_t n_cgroup_fds;
	const char *cwd; /* NULL: the caller's */
	bool session;	 /* setsid() */
	bool drop;	 /* becomes "uid":"gid" with no further groups */
	uid_t uid;
	gid_t gid;
};

/*
 * proc_spawn() - starts it.  "ret_pid", "ret_pidfd" (owned by the caller, CLOEXEC,
 * fit for loop_child()) are set on success only, when the program has been
 * entered.  On failure no process is left and "e" names the step: a missing
 * program has errnum ENOENT, one that may not be run EACCES.
 */
int proc_spawn(const struct proc_spec *s, pid_t *ret_pid, int *ret_pidfd, struct err *e);

/* sends "sig" to the process of "pidfd"; 0 or -errno (-ESRCH: gone) */
int proc_signal(int pidfd, int sig);
/* waits at most "timeout_ms" (-1: no limit) for the end and reaps; "ret_status"
 * (may be NULL) as of waitpid(); -ETIMEDOUT, -errno */
int proc_wait(int pidfd, int timeout_ms, int *ret_status);
/* a pidfd of a running process; fd or -errno (-ESRCH) */
int proc_open(pid_t pid);
/* when it started, in clock ticks since boot: with the pid it names a process for
 * good.  -ESRCH */
int proc_start_time(pid_t pid, uint64_t *ret);
/* the path of what lies beside this program, or below ../lib/vpclab/ of it, and may be
 * run or entered; caller frees, NULL: there is none, or no memory */
char *proc_beside(const char *name);
/* a sealed, read-only memfd with a copy of "data", CLOEXEC; fd or -errno */
int proc_memfd(const char *name, const void *data, size_t size);

#endif
