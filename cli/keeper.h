/* SPDX-License-Identifier: MIT */
/*
 * keeper - runs a command so that nothing of it outlives us, even when we are
 * killed outright.
 *
 *   vpclab            asks, waits, takes the lab down
 *    `- keeper        a fork of ours in a process group of its own: neither ^C nor
 *        |            kill -9 of our group reaches it
 *        `- command   in our process group and session, so a terminal is its own
 *            `- ...
 *
 * The keeper is the parent of all that the command leaves behind (a subreaper).
 * When the command has ended, or we have (the socket between us closes), it kills
 * what is left.  Is the keeper itself killed, the command dies with it
 * (PR_SET_PDEATHSIG), though not what the command started.
 *
 * Mechanism: returns -errno and says nothing.
 */
#ifndef CLI_KEEPER_H
#define CLI_KEEPER_H

#include <signal.h>
#include <sys/types.h>

struct keeper_spec {
	char *const *argv, *const *envp; /* NULL-terminated; found by PATH of ours */
	const sigset_t *mask;		 /* what the command has blocked */
	/* in the keeper, when we ended without keeper_dismiss(); may be NULL */
	void (*abandoned)(void *arg);
	void *arg;
};

struct keeper {
	pid_t pid;
	int sock; /* owns; readable when the keeper has something to tell */
};

struct keeper_event {
	enum { KEEPER_FAILED = 1, KEEPER_ENDED } what;
	int value; /* errno of exec; status as of waitpid() */
};

/* 0 and "ret"; -EOPNOTSUPP: this kernel has no /proc/PID/task/TID/children */
int keeper_start(const struct keeper_spec *spec, struct keeper *ret);
/* to the command, unless it has ended */
int keeper_signal(const struct keeper *k, int sig);
/* the next of its two events, waiting; -EPIPE: the keeper is gone */
int keeper_read(const struct keeper *k, struct keeper_event *ret);
/* all is done: the keeper ends, and is waited for */
void keeper_dismiss(struct keeper *k);

#endif
