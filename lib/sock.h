/* SPDX-License-Identifier: MIT */
/*
 * sock - unix sockets with paths of any length (bind and connect through
 * /proc/self/fd/N/), descriptors in messages, the run directory and its lock.
 */
#ifndef SOCK_H
#define SOCK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/addr.h"
#include "lib/err.h"

/* listens on "path" (a stale socket there is replaced); mode e.g. 0600, "gid"
 * -1: unchanged; "type" SOCK_STREAM or SOCK_SEQPACKET.  fd or -errno */
int sock_listen(const char *path, int type, int mode, gid_t gid);
int sock_connect(const char *path, int type);
/* listens on a TCP port of this host; "port" in: the one, 0 any; out: which.  fd or
 * -errno */
int sock_listen_tcp(const struct addr *a, uint16_t *port);
/* sends/receives one message with descriptors; n_fds <= 253 */
ssize_t sock_send_fds(int sock, const void *data, size_t size, const int *fds, size_t n_fds);
/* received fds are CLOEXEC; "n_fds" in: room, out: number */
ssize_t sock_recv_fds(int sock, void *data, size_t size, int *fds, size_t *n_fds);
int sock_peer(int sock, pid_t *ret_pid, uid_t *ret_uid);

/* below the state folder: LAB/NAME, what labs write for people (flow logs, outcomes of events) */
#define RUNDIR_LABS "labs"

/*
 * rundir - of one instance of the product.
 * rundir_open() makes the directories, takes RUN/PROGRAM.lock and writes
 * RUN/PROGRAM.pid.  A second daemon gets ERR_BUSY naming the pid that holds it;
 * an unwritable directory ERR_DENIED or ERR_STATE with its name.
 */
struct rundir {
	char *run;	/* owns; absolute */
	char *state;	/* owns; absolute */
	char *pid_file; /* owns */
	int lock_fd;
};
int rundir_open(const char *run, const char *state, const char *program, struct rundir *ret,
		struct err *e);
void rundir_done(struct rundir *r); /* removes the pid file, lets go of the lock */
/* default run directory: "opt" or $VPCLAB_RUN_DIR or /run/vpclab; default state
 * directory by interface.md; both absolute, caller frees */
char *rundir_default(const char *opt);
char *rundir_default_state(const char *run, const char *opt);
char *rundir_file(const char *run, const char *name); /* RUN/NAME, caller frees */
/* pid in RUN/PROGRAM.pid if its lock is held, else 0 */
pid_t rundir_pid(const char *run, const char *program);
/* systemd's READY=1 over $NOTIFY_SOCKET; nothing without one */
void notify_ready(void);

#endif
