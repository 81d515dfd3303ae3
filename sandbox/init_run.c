/* SPDX-License-Identifier: MIT */
/*
 * init_run - the init's other two roles.
 *
 * program: pid 1 of a node.  It starts the node's command, reaps, starts it
 * again when it ends (after 0.1 s, doubled up to 10 s; 10 s of running begin
 * anew), and writes what happened into the node's log, which is its standard
 * error.  After it has told sandboxd that it started it needs no daemon.  A
 * SIGTERM of the host's, which is how a shutdown asks whatever runs, is passed on
 * and is the end of starting again: else each shutdown waited 90 s for it.
 *
 * exec: runs one command with the caller's descriptors and tells its status;
 * what runs lives on when sandboxd dies.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/init.h"
#include "lib/util.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_LAST_MS 10000

/* in the child; the errno of a failed exec goes into "why_fd" */
static void run(struct init *i, int why_fd) __attribute__((noreturn));
static void run(struct init *i, int why_fd)
{
	sigset_t none;
	int r;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL); /* can't fail */
	(void)setsid();				     /* EPERM: it leads a session already */
	if (i->tty)
		(void)ioctl(0, TIOCSCTTY, 0); /* a terminal that isn't one runs without */
	environ = i->envp;
	if (chdir(i->cwd) == 0)
		execvp(i->argv[0], i->argv);
	r = errno;
	if (write(why_fd, &r, sizeof(r)) < 0)
		_exit(126);
	_exit(r == ENOENT ? 127 : 126);
}

/* starts the command; pid or -errno (of the exec, too) */
static pid_t start(struct init *i)
{
	int why[2], r = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(why, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (!pid)
		run(i, why[1]);
	r = pid < 0 ? -errno : 0;
	close(why[1]);
	do
		n = r ? 0 : read(why[0], &r, sizeof(r));
	while (n < 0 && errno == EINTR);
	close(why[0]);
	if (n != sizeof(r))
		return r ? r : pid;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return -r;
}

static void describe(int status, char *ret, size_t size)
{
	if (WIFSIGNALED(status))
		(void)snprintf(ret, size, "killed by signal %d", WTERMSIG(status));
	else
		(void)snprintf(ret, size, "status %d", WEXITSTATUS(status));
}

static void note_end(const char *how, int ms)
{
	char line[300];
	int n = snprintf(line, sizeof(line),
			 "vpclab-init: the program ended (%s), started again "
			 "in %d ms\n",
			 how, ms);

	if (n > 0 && write(2, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1) < 0)
		return; /* a full disk: the program goes on all the same */
}

/* reaps; the status of "pid" when it ended, else -1; *ret_asked: the host asks for the end */
static int reap(int signal_fd, pid_t pid, bool *ret_asked)
{
	struct signalfd_siginfo info;
	int status, got = -1;
	pid_t p;

	/* sender 0: of another pid namespace; what runs here has no business to end its init */
	while (read(signal_fd, &info, sizeof(info)) > 0)
		if (info.ssi_signo == SIGTERM && info.ssi_pid == 0)
			*ret_asked = true;
	while ((p = waitpid(-1, &status, WNOHANG)) > 0)
		if (p == pid)
			got = status;
	return got;
}

static int block_signals(bool term)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (term)
		sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* reaps while the back-off lasts */
static void pause_for(int signal_fd, int ms, bool *ret_asked)
{
	struct pollfd p = { .fd = signal_fd, .events = POLLIN };
	struct mono begin = mono_now();
	int left;

	while (!*ret_asked && (left = ms - (int)mono_ms_since(begin)) > 0)
		if (poll(&p, 1, left) > 0)
			(void)reap(signal_fd, -1, ret_asked); /* none of them is ours */
}

static void keep_running(struct init *i, int signal_fd) __attribute__((noreturn));
static void keep_running(struct init *i, int signal_fd)
{
	struct pollfd p = { .fd = signal_fd, .events = POLLIN };
	int backoff = BACKOFF_FIRST_MS, status;
	bool asked = false, told;
	struct mono began;
	char how[200];
	pid_t pid;

	for (;;) {
		began = mono_now();
		pid = start(i);
		status = -1;
		told = false;
		while (pid > 0 && status < 0) {
			if (poll(&p, 1, -1) > 0)
				status = reap(signal_fd, pid, &asked);
			if (asked && !told && status < 0)
				told = kill(pid, SIGTERM) == 0; /* not reaped: still this one */
		}
		if (asked)
			_exit(0);
		if (pid < 0)
			(void)snprintf(how, sizeof(how), "cannot run %.120s: %s", i->argv[0],
				       strerror(-pid));
		else
			describe(status, how, sizeof(how));
		if (mono_ms_since(began) > BACKOFF_LAST_MS)
			backoff = BACKOFF_FIRST_MS;
		note_end(how, backoff);
		pause_for(signal_fd, backoff, &asked);
		if (asked)
			_exit(0);
		backoff = backoff * 2 < BACKOFF_LAST_MS ? backoff * 2 : BACKOFF_LAST_MS;
	}
}

void init_program(struct init *i)
{
	int signal_fd, r = init_drop(i);

	if (r < 0)
		init_fail(i, i->step, -r);
	signal_fd = block_signals(true);
	if (signal_fd < 0)
		init_fail(i, "block signals", -signal_fd);
	(void)wire_put_strs(&i->out, WIRE_READY, NULL); /* without memory it counts as failed */
	init_flush(i);
	close(INIT_FD_PAIR);
	keep_running(i, signal_fd);
}

/* ---- exec ---- */

static void take_messages(struct init *i, pid_t pid, bool *open)
{
	struct wire_msg m;
	long sig, n = wire_in_read(&i->in, INIT_FD_PAIR);

	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		/* sandboxd is gone: what runs goes on, its status is lost */
		*open = false;
		return;
	}
	while (wire_in_next(&i->in, &m) > 0)
		if (m.type == WIRE_SIGNAL && wire_number(&m, 0, &sig) == 0 && sig > 0 && sig < 65)
			(void)kill(-pid, (int)sig); /* it may have ended */
}

static void tell_status(struct init *i, int status) __attribute__((noreturn));
static void tell_status(struct init *i, int status)
{
	char number[16];

	(void)snprintf(number, sizeof(number), "%d", status);
	(void)wire_put_strs(&i->out, WIRE_STATUS, number, NULL);
	init_flush(i);
	_exit(0);
}

void init_exec(struct init *i)
{
	struct pollfd p[2] = { { .events = POLLIN }, { .fd = INIT_FD_PAIR, .events = POLLIN } };
	bool open = true, asked = false;
	int status = -1, r;
	char number[16];
	pid_t pid;

	r = init_drop(i);
	if (r < 0)
		init_fail(i, i->step, -r);
	p[0].fd = block_signals(false);
	if (p[0].fd < 0 || fcntl(INIT_FD_PAIR, F_SETFL, O_NONBLOCK) < 0)
		init_fail(i, "block signals", errno);
	pid = start(i);
	if (pid < 0)
		init_fail(i, "exec", -pid);
	(void)snprintf(number, sizeof(number), "%d", pid);
	(void)wire_put_strs(&i->out, WIRE_STARTED, number, NULL);
	init_flush(i);
	/* descriptors of the caller's: its pipes must end with the command */
	for (r = 0; r < 3; r++)
		close(r);
	while (status < 0) {
		p[1].fd = open ? INIT_FD_PAIR : -1;
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents)
			take_messages(i, pid, &open);
		if (p[0].revents)
			status = reap(p[0].fd, pid, &asked);
	}
	tell_status(i, status);
}
