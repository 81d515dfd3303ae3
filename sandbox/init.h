/* SPDX-License-Identifier: MIT */
/*
 * init - what the parts of vpclab-init share.  One process, pid 1 of its
 * sandbox (or the parent of what exec runs); it starts as root with nothing
 * but these descriptors, makes the view, drops all privileges that the plan
 * doesn't give, and only then starts code of others.
 *
 *   0, 1, 2   standard descriptors (a program's log; exec's three)
 *   3         the plan, a sealed memfd
 *   4         the socket pair to sandboxd
 *   5         the compiled filter of system calls, a sealed memfd
 *   6         network namespace
 *   7..10     exec in a node whose init runs: its mount, UTS, IPC and pid namespaces
 */
#ifndef INIT_H
#define INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/extension.h"
#include "sandbox/wire.h"

enum { INIT_FD_PLAN = 3, INIT_FD_PAIR = 4, INIT_FD_FILTER = 5, INIT_FD_NET = 6, INIT_FD_NS = 7 };
#define INIT_GROUPS_MAX 64

struct init {
	char *plan; /* owns */
	size_t plan_size;
	const char *role; /* borrows from the plan, as all strings here */
	const char *runtime, *cwd, *seccomp;
	char **argv, **envp; /* own the arrays */
	size_t n_argv, n_envp;
	uid_t uid;
	gid_t gid;
	gid_t groups[INIT_GROUPS_MAX];
	size_t n_groups;
	uint64_t caps;
	bool join; /* exec: into the namespaces of descriptors 7..10 */
	bool tty;
	const char *step; /* what is being done, for WIRE_FAIL */
	struct wire_in in;
	struct wire_out out;
};

/* init_view.c: carries out the plan's lines of mounts in order; 0, -errno and "step" */
int init_view(struct init *i);
/* init_env.c: serves an environment until the pair closes; never returns */
void init_env(struct init *i) __attribute__((noreturn));
/* init_ext.c: starts every external extension, its output going to "log"; 0, or -errno and
 * in "ret_name" whose it is (those before it run) */
int init_ext_start(const struct init *i, struct extensions *x, int log, char *ret_name,
		   size_t size);
/* init_run.c: a node's program for as long as the node lives; what exec runs */
void init_program(struct init *i) __attribute__((noreturn));
void init_exec(struct init *i) __attribute__((noreturn));

/* init_main.c: gives up what the plan doesn't give */
int init_drop(struct init *i);
/* tells sandboxd that "step" failed, and ends; usable until the pair is closed */
void init_fail(struct init *i, const char *step, int errnum) __attribute__((noreturn));
/* sends all that is queued, waiting; the pair's end is the init's end, if "last" */
void init_flush(struct init *i);

#endif
