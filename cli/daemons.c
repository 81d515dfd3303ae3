/* SPDX-License-Identifier: MIT */
/*
 * daemons - a daemon runs when its lock is held, and serves when its socket
 * takes a connection.  Starting: a session of its own, output to RUN/NAME.log,
 * then wait until the socket serves or the process is gone.  Two commands that
 * start at once both win: the second daemon ends by itself ("busy"), and its
 * starter then waits for the first one's socket.
 */
#include "cli/daemons.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cli/out.h"
#include "lib/proc.h"
#include "lib/sock.h"
#include "lib/util.h"

#define START_LIMIT_MS 15000
#define STOP_LIMIT_MS 15000
#define LOOK_AGAIN_MS 20 /* bind(2) is seen by inotify, listen(2) isn't */
#define TAIL_SIZE 600	 /* bytes of a log that an error shows */

extern char **environ;

static const char *const NAMES[N_DAEMONS] = { "netd", "sandboxd" };

const char *daemon_name(enum daemon d)
{
	return NAMES[d];
}

static char *daemon_file(const struct cli *c, enum daemon d, const char *suffix)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "%s.%s", NAMES[d], suffix);
	return rundir_file(c->run, name);
}

char *daemon_sock(const struct cli *c, enum daemon d)
{
	return daemon_file(c, d, "sock");
}

pid_t daemon_pid(const struct cli *c, enum daemon d)
{
	return rundir_pid(c->run, NAMES[d]);
}

/* 0: it takes connections; -errno */
static int daemon_answers(const struct cli *c, enum daemon d)
{
	auto_free char *path = daemon_sock(c, d);
	int fd;

	if (!path)
		return -ENOMEM;
	fd = sock_connect(path, SOCK_STREAM);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* ---- starting ---- */

struct starting {
	enum daemon d;
	int log_fd, pidfd, watch_fd; /* own; -1 */
	off_t log_from;		     /* where its own lines begin */
	char *log;		     /* owns */
};

static void starting_done(struct starting *s)
{
	auto_close_fn(&s->log_fd);
	auto_close_fn(&s->pidfd);
	auto_close_fn(&s->watch_fd);
	free(s->log);
}
#define auto_starting __attribute__((cleanup(starting_done)))

static int open_log(const struct cli *c, struct starting *s)
{
	struct stat st;
	int r;

	r = mkdir_p(c->run, 0755);
	if (r < 0)
		return out_fail(c, r == -EACCES ? ERR_DENIED : ERR_STATE, "%s: %s", c->run,
				strerror(-r));
	s->log = daemon_file(c, s->d, "log");
	if (!s->log)
		return out_no_memory(c);
	s->log_fd = open(s->log, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->log_fd < 0 || fstat(s->log_fd, &st) < 0) {
		r = errno;
		return out_fail(c, r == EACCES ? ERR_DENIED : ERR_STATE, "%s: %s", s->log,
				strerror(r));
	}
	s->log_from = st.st_size;
	return 0;
}

/* the end of what the daemon wrote, as one line */
static void log_tail(const struct starting *s, char *ret, size_t size)
{
	struct stat st;
	off_t from = s->log_from;
	ssize_t n;
	size_t i;

	*ret = '\0';
	if (fstat(s->log_fd, &st) < 0)
		return;
	if (st.st_size - from > (off_t)size - 1)
		from = st.st_size - ((off_t)size - 1);
	n = pread(s->log_fd, ret, size - 1, from);
	n = n < 0 ? 0 : n;
	while (n > 0 && ret[n - 1] == '\n')
		n--;
	ret[n] = '\0';
	for (i = 0; ret[i]; i++)
		if (ret[i] == '\n')
			ret[i] = '|';
}

static int spawn(const struct cli *c, struct starting *s, const struct daemon_wishes *w)
{
	auto_free char *program = proc_beside(NAMES[s->d]);
	char *argv[16] = { (char *)NAMES[s->d], (char *)"--run-dir", c->run, (char *)"--state-dir",
			   c->state };
	size_t n = 5;
	const int fds[] = { -1, s->log_fd, s->log_fd };
	struct proc_spec spec = {
		.path = program,
		.argv = argv,
		.envp = environ,
		.fds = fds,
		.n_fds = ARRAY_SIZE(fds),
		.cwd = "/",
		.session = true,
	};
	struct err e = { 0 };
	pid_t pid;

	if (w->group) {
		argv[n++] = (char *)"--group";
		argv[n++] = (char *)w->group;
	}
	if (s->d == DAEMON_SANDBOXD) {
		const char *const own[][2] = { { "--listen", w->listen },
					       { "--idle", w->idle },
					       { "--memory", w->memory },
					       { "--allow-endpoint", w->allow } };

		for (size_t i = 0; i < ARRAY_SIZE(own); i++)
			if (own[i][1]) {
				argv[n++] = (char *)own[i][0];
				argv[n++] = (char *)own[i][1];
			}
	}
	if (!program)
		return out_fail(c, ERR_STATE,
				"%s: not found beside vpclab or in ../lib/vpclab (is it built?)",
				NAMES[s->d]);
	if (proc_spawn(&spec, &pid, &s->pidfd, &e) < 0) {
		err_wrap(&e, "%s", NAMES[s->d]);
		return out_fail_err(c, &e);
	}
	return 0;
}

/* the process ended before it served: its own status decides whose fault it is */
static int tell_end(const struct cli *c, const struct starting *s)
{
	char tail[TAIL_SIZE], how[40] = "";
	int status = 0;

	if (proc_wait(s->pidfd, 0, &status) == 0 && WIFEXITED(status))
		(void)snprintf(how, sizeof(how), " (status %d)", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		(void)snprintf(how, sizeof(how), " (signal %d)", WTERMSIG(status));
	log_tail(s, tail, sizeof(tail));
	return out_fail(c,
			WIFEXITED(status) && WEXITSTATUS(status) == EXIT_UNSUPPORTED ?
				ERR_HOST :
				ERR_UNAVAILABLE,
			"%s: did not start%s: %s", NAMES[s->d], how, *tail ? tail : s->log);
}

static int wait_for(const struct cli *c, struct starting *s)
{
	struct mono start = mono_now();
	struct pollfd p[2] = { { .fd = s->watch_fd, .events = POLLIN },
			       { .fd = s->pidfd, .events = POLLIN } };
	char drain[4096], tail[TAIL_SIZE];
	bool ended;

	while (mono_ms_since(start) < START_LIMIT_MS) {
		/* looked at before the connection, so that an end in between isn't missed */
		ended = poll(&p[1], 1, 0) > 0;
		if (daemon_answers(c, s->d) == 0)
			return 0;
		/* another one holds the lock: it is that one's socket we wait for */
		if (ended && daemon_pid(c, s->d) == 0)
			return tell_end(c, s);
		(void)poll(p, ended ? 1 : 2, LOOK_AGAIN_MS);
		(void)!read(s->watch_fd, drain, sizeof(drain)); /* only a wake-up */
	}
	log_tail(s, tail, sizeof(tail));
	return out_fail(c, ERR_TIMEOUT, "%s: did not serve within %d s: %s", NAMES[s->d],
			START_LIMIT_MS / 1000, *tail ? tail : s->log);
}

static int start_one(const struct cli *c, enum daemon d, const struct daemon_wishes *w)
{
	auto_starting struct starting s = { .d = d, .log_fd = -1, .pidfd = -1, .watch_fd = -1 };
	int r;

	out_progress(c, "starting %s ...", NAMES[d]);
	r = open_log(c, &s);
	if (r)
		return r;
	s.watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (s.watch_fd < 0 || inotify_add_watch(s.watch_fd, c->run, IN_CREATE | IN_MOVED_TO) < 0)
		return out_fail(c, ERR_STATE, "%s: inotify: %s", c->run, strerror(errno));
	r = daemon_pid(c, d) ? 0 : spawn(c, &s, w);
	if (!r)
		r = wait_for(c, &s);
	out_progress(c, "%s", "");
	return r;
}

int daemons_start(struct cli *c, const struct daemon_wishes *w)
{
	enum daemon d;
	int r;

	if (geteuid() != 0)
		return out_fail(c, ERR_DENIED,
				"daemons: only root can start them: sudo vpclab "
				"--run-dir %s daemon start",
				out_safe(c->run));
	/* netd first: sandboxd asks it for what was there before */
	for (d = 0; d < N_DAEMONS; d++) {
		if (daemon_answers(c, d) == 0)
			continue;
		r = start_one(c, d, w);
		if (r)
			return r;
	}
	return 0;
}

int daemons_need(struct cli *c)
{
	enum daemon d;
	int r = 0;

	for (d = 0; d < N_DAEMONS && !r; d++)
		r = daemon_answers(c, d);
	if (!r)
		return 0;
	if (r == -EACCES || r == -EPERM)
		return out_fail(c, ERR_DENIED,
				"%s: not permitted: run vpclab as root, or join the "
				"group that the daemons were started with (--group)",
				c->run);
	if (r != -ENOENT && r != -ECONNREFUSED && r != -ENOTDIR)
		return out_fail(c, ERR_UNAVAILABLE, "%s: %s", c->run, strerror(-r));
	if (geteuid() != 0)
		return out_fail(c, ERR_DENIED,
				"%s: no daemon runs there, and only root can start "
				"it: sudo vpclab --run-dir %s daemon start",
				c->run, out_safe(c->run));
	if (c->no_start)
		return out_fail(c, ERR_UNAVAILABLE,
				"%s: no daemon runs there, and --no-start "
				"forbids to start it",
				c->run);
	return daemons_start(c, &(struct daemon_wishes){ 0 });
}

/* ---- stopping ---- */

static int stop_one(const struct cli *c, enum daemon d)
{
	pid_t pid = daemon_pid(c, d);
	auto_close int pidfd = -1;
	struct pollfd p;
	int r;

	if (!pid)
		return 0;
	pidfd = proc_open(pid);
	/* it may have ended, and its number gone to another, since the lock was looked at */
	if (pidfd == -ESRCH || daemon_pid(c, d) != pid)
		return 0;
	if (pidfd < 0)
		return out_fail(c, ERR_STATE, "%s: pid %d: %s", NAMES[d], pid, strerror(-pidfd));
	r = proc_signal(pidfd, SIGTERM);
	if (r == -EPERM)
		return out_fail(c, ERR_DENIED, "%s: only root can stop it", NAMES[d]);
	if (r < 0 && r != -ESRCH)
		return out_fail(c, ERR_STATE, "%s: pid %d: %s", NAMES[d], pid, strerror(-r));
	p = (struct pollfd){ .fd = pidfd, .events = POLLIN };
	do
		r = poll(&p, 1, STOP_LIMIT_MS);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		return out_fail(c, ERR_TIMEOUT, "%s: pid %d did not end within %d s", NAMES[d], pid,
				STOP_LIMIT_MS / 1000);
	return 0;
}

int daemons_stop(struct cli *c)
{
	int r = stop_one(c, DAEMON_SANDBOXD);

	return r ? r : stop_one(c, DAEMON_NETD);
}
