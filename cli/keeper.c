/* SPDX-License-Identifier: MIT */
/*
 * keeper - see keeper.h.  The keeper has one thread and no loop; what it does
 * between fork and exec of the command are system calls alone.
 */
#include "cli/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/mutant.h"
#include "lib/util.h"

#define CHILDREN "/proc/thread-self/children"
#define LOOK_AGAIN_MS 20 /* that a grandchild has become a child isn't announced */

enum { DISMISSED = -1 }; /* what we send: this, or a signal's number */

struct keeping {
	const struct keeper_spec *spec;
	int sock, ends; /* ends: signalfd of SIGCHLD */
	pid_t command;	/* 0: has been reaped */
	pid_t group;
};

/* ---- the command ---- */

static int tell(int sock, int what, int value)
{
	struct keeper_event ev = { .what = what, .value = value };

	return send(sock, &ev, sizeof(ev), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* never returns */
static void command_main(const struct keeping *k, pid_t keeper)
{
	/* our group is gone with us: there is nobody to run it for */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != keeper || setpgid(0, k->group) < 0)
		_exit(125);
	(void)signal(SIGPIPE, SIG_DFL); /* these can't fail */
	(void)sigprocmask(SIG_SETMASK, k->spec->mask, NULL);
	execvpe(k->spec->argv[0], k->spec->argv, k->spec->envp);
	(void)tell(k->sock, KEEPER_FAILED, errno);
	_exit(127);
}

/* ---- all that is left of it ---- */

static void kill_children(void)
{
	auto_free char *text = NULL;
	char *at, *end;
	size_t size;
	pid_t pid;

	if (read_file(CHILDREN, 1 << 20, &text, &size) < 0)
		return;
	for (at = text;; at = end) {
		pid = (pid_t)strtol(at, &end, 10);
		if (end == at)
			return;
		(void)kill(pid, SIGKILL); /* a child that isn't reaped: the number is its own */
	}
}

/* children that die leave theirs to us, until there are none */
static void kill_all(const struct keeping *k)
{
	struct pollfd p = { .fd = k->ends, .events = POLLIN };
	struct signalfd_siginfo info;
	pid_t pid;

	while (!MUTANT("keeper")) {
		kill_children();
		do
			pid = waitpid(-1, NULL, WNOHANG);
		while (pid > 0);
		if (pid < 0 && errno == ECHILD)
			return;
		(void)poll(&p, 1, LOOK_AGAIN_MS);
		(void)!read(k->ends, &info, sizeof(info)); /* only a wake-up */
	}
}

static void reap(struct keeping *k)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	(void)!read(k->ends, &info, sizeof(info)); /* says no more than that there are some */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != k->command)
			continue;
		k->command = 0;
		kill_all(k);
		(void)tell(k->sock, KEEPER_ENDED, status); /* if we are there to hear it */
		return;
	}
}

/* ---- the keeper ---- */

/* 1: goes on, 0: dismissed, -1: we are gone */
static int hear(struct keeping *k)
{
	int word;
	ssize_t n = recv(k->sock, &word, sizeof(word), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 1;
	if (n != sizeof(word))
		return -1;
	if (word == DISMISSED)
		return 0;
	if (k->command)
		(void)kill(k->command, word); /* not reaped: still the command */
	return 1;
}

/* never returns */
static void keeper_main(struct keeping *k)
{
	struct pollfd p[2] = { { .fd = k->sock, .events = POLLIN },
			       { .fd = k->ends, .events = POLLIN } };
	pid_t self = getpid();
	int r = 1;

	(void)prctl(PR_SET_NAME, "vpclab-keeper"); /* for ps(1) */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || setpgid(0, 0) < 0)
		_exit(125);
	k->command = fork();
	if (k->command == 0)
		command_main(k, self);
	if (k->command < 0) {
		(void)tell(k->sock, KEEPER_FAILED, errno);
		k->command = 0;
	}
	while (r > 0) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0)
			continue; /* EINTR: all but SIGSTOP and SIGKILL are blocked */
		if (p[1].revents)
			reap(k);
		if (p[0].revents)
			r = hear(k);
	}
	kill_all(k);
	if (r < 0 && k->spec->abandoned)
		k->spec->abandoned(k->spec->arg);
	_exit(0);
}

int keeper_start(const struct keeper_spec *spec, struct keeper *ret)
{
	struct keeping k = { .spec = spec, .group = getpgrp() };
	sigset_t all, before, ends;
	int socks[2], r = 0;
	pid_t pid;

	if (access(CHILDREN, R_OK) < 0)
		return -EOPNOTSUPP;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) < 0)
		return -errno;
	sigemptyset(&ends);
	sigaddset(&ends, SIGCHLD);
	k.sock = socks[1];
	k.ends = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
	if (k.ends < 0) {
		r = -errno;
		close(socks[0]);
		close(socks[1]);
		return r;
	}
	/* the keeper hears none, from its first moment on */
	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before); /* can't fail with these */
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(socks[0]);
		keeper_main(&k);
	}
	r = pid < 0 ? -errno : 0;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	close(socks[1]);
	close(k.ends);
	if (r < 0) {
		close(socks[0]);
		return r;
	}
	*ret = (struct keeper){ .pid = pid, .sock = socks[0] };
	return 0;
}

static int send_word(const struct keeper *k, int word)
{
	return send(k->sock, &word, sizeof(word), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int keeper_signal(const struct keeper *k, int sig)
{
	return send_word(k, sig);
}

int keeper_read(const struct keeper *k, struct keeper_event *ret)
{
	ssize_t n;

	do
		n = recv(k->sock, ret, sizeof(*ret), 0);
	while (n < 0 && errno == EINTR);
	return n == sizeof(*ret) ? 0 : -EPIPE;
}

void keeper_dismiss(struct keeper *k)
{
	if (k->sock < 0)
		return;
	(void)send_word(k, DISMISSED); /* it may be gone */
	close(k->sock);
	k->sock = -1;
	while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
