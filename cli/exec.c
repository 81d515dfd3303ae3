/* SPDX-License-Identifier: MIT */
/*
 * exec - runs a command in a node.  The command gets our own standard
 * descriptors (or, with -t, a pseudo-terminal of ours, whose other end we carry
 * to and from the terminal), signals that we get are passed on, and its status
 * becomes ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>

#include "cli/cli.h"
#include "cli/door.h"
#include "cli/out.h"
#include "lib/util.h"

static const int PASSED_ON[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };

struct session {
	int door, signals, master; /* own; -1 */
	bool raw, in_open;
	struct termios before;
};

static void session_done(struct session *s)
{
	if (s->raw)
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &s->before); /* may be gone */
	auto_close_fn(&s->door);
	auto_close_fn(&s->signals);
	auto_close_fn(&s->master);
}
#define auto_session __attribute__((cleanup(session_done)))

static int catch_signals(const struct cli *c, struct session *s)
{
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < ARRAY_SIZE(PASSED_ON); i++)
		sigaddset(&set, PASSED_ON[i]);
	sigaddset(&set, SIGWINCH);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return out_fail(c, ERR_INTERNAL, "exec: signals: %s", strerror(errno));
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals < 0)
		return out_fail(c, ERR_INTERNAL, "exec: signals: %s", strerror(errno));
	return 0;
}

/* ---- the terminal ---- */

static void copy_size(const struct session *s)
{
	struct winsize w;

	if (s->master >= 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &w) == 0)
		(void)ioctl(s->master, TIOCSWINSZ, &w); /* only a look */
}

/* "ret_slave": the command's end */
static int open_terminal(const struct cli *c, struct session *s, int *ret_slave)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &s->before) < 0)
		return out_fail_usage(c, "exec: -t: standard input is no terminal");
	s->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (s->master < 0 || grantpt(s->master) < 0 || unlockpt(s->master) < 0)
		return out_fail(c, ERR_STATE, "exec: pseudo-terminal: %s", strerror(errno));
	*ret_slave = ioctl(s->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*ret_slave < 0)
		return out_fail(c, ERR_STATE, "exec: pseudo-terminal: %s", strerror(errno));
	copy_size(s);
	raw = s->before;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) < 0)
		return out_fail(c, ERR_STATE, "exec: terminal: %s", strerror(errno));
	s->raw = true;
	return 0;
}

/* false: nothing more comes */
static bool carry(int from, int to)
{
	char bytes[16384];
	ssize_t n = read(from, bytes, sizeof(bytes));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	return n > 0 && write_all(to, bytes, (size_t)n) == 0;
}

/* the command ended: what it printed last is still in the pseudo-terminal */
static void drain(struct session *s)
{
	struct pollfd p = { .fd = s->master, .events = POLLIN };

	while (s->master >= 0 && poll(&p, 1, 0) > 0 && p.revents & POLLIN)
		if (!carry(s->master, STDOUT_FILENO))
			break;
}

/* ---- the request ---- */

static cJSON *environment(bool tty)
{
	cJSON *env = cJSON_CreateObject();
	const char *term = getenv("TERM");

	if (tty && term)
		cJSON_AddStringToObject(env, "TERM", term);
	return env;
}

static int ask(const struct cli *c, const struct args *a, struct session *s)
{
	int fds[3] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO };
	bool tty = args_has(a, "tty");
	auto_close int slave = -1;
	cJSON *q, *argv;
	double timeout;
	char **word;
	int r;

	if (args_seconds(a, "timeout", 0.001, 86400 * 365, 0, &timeout) < 0)
		return out_fail_usage(c, "exec: --timeout %s: not a number of seconds",
				      args_get(a, "timeout"));
	r = tty ? open_terminal(c, s, &slave) : 0;
	if (r)
		return r;
	if (tty)
		fds[0] = fds[1] = fds[2] = slave;
	q = cJSON_CreateObject();
	cJSON_AddStringToObject(q, "op", "exec");
	cJSON_AddStringToObject(q, "lab", a->words[0]);
	cJSON_AddStringToObject(q, "node", a->words[1]);
	argv = cJSON_AddArrayToObject(q, "argv");
	for (word = a->rest; *word; word++)
		cJSON_AddItemToArray(argv, cJSON_CreateString(*word));
	cJSON_AddItemToObject(q, "env", environment(tty));
	cJSON_AddBoolToObject(q, "tty", tty);
	if (timeout > 0)
		cJSON_AddNumberToObject(q, "timeout", timeout);
	return door_send(c, s->door, q, fds, 3);
}

/* ---- while it runs ---- */

static int pass_signal(const struct cli *c, struct session *s)
{
	struct signalfd_siginfo info;
	cJSON *m;

	if (read(s->signals, &info, sizeof(info)) != sizeof(info))
		return 0;
	if (info.ssi_signo == SIGWINCH) {
		copy_size(s);
		return 0;
	}
	m = cJSON_CreateObject();
	cJSON_AddNumberToObject(m, "signal", info.ssi_signo);
	return door_send(c, s->door, m, NULL, 0);
}

/* -1: not yet; else vpclab's exit status */
static int hear(const struct cli *c, const struct args *a, struct session *s, bool *started)
{
	auto_json cJSON *m = NULL;
	char what[200];
	int r = door_receive(c, s->door, &m, NULL, NULL);

	(void)snprintf(what, sizeof(what), "exec %s %s", out_safe(a->words[0]),
		       out_safe(a->words[1]));
	if (r > 0)
		return r;
	if (r < 0)
		return out_fail(c, ERR_UNAVAILABLE,
				*started ? "%s: sandboxd is gone: the command runs on, but its "
					   "status is lost" :
					   "%s: sandboxd is gone",
				what);
	if (json_get(m, "error")) {
		drain(s);
		return door_fail(c, what, json_get(m, "error"));
	}
	if (json_get(m, "started"))
		*started = true;
	if (!json_get(m, "status"))
		return -1;
	drain(s);
	return (int)json_num(m, "status", EXIT_CANT_RUN) & 0xff;
}

static int run(const struct cli *c, const struct args *a, struct session *s)
{
	struct pollfd p[4] = {
		{ .fd = s->door, .events = POLLIN },
		{ .fd = s->signals, .events = POLLIN },
		{ .fd = s->master, .events = POLLIN },
		{ .fd = s->master >= 0 ? STDIN_FILENO : -1, .events = POLLIN },
	};
	bool started = false;
	int r;

	for (;;) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return out_fail(c, ERR_INTERNAL, "exec: poll: %s", strerror(errno));
		if (p[1].revents) {
			r = pass_signal(c, s);
			if (r)
				return r;
		}
		if (p[2].revents && !carry(s->master, STDOUT_FILENO))
			p[2].fd = -1; /* EIO: the last holder of its other end is gone */
		if (p[3].revents && !carry(STDIN_FILENO, s->master))
			p[3].fd = -1;
		if (p[0].revents) {
			r = hear(c, a, s, &started);
			if (r >= 0)
				return r;
		}
	}
}

static int exec_verb(struct cli *c, const struct args *a)
{
	auto_session struct session s = { .door = -1, .signals = -1, .master = -1 };
	int r = catch_signals(c, &s);

	if (!r)
		r = door_open(c, &s.door);
	if (!r)
		r = ask(c, a, &s);
	return r ? r : run(c, a, &s);
}

static const struct arg_opt OPTS[] = {
	{ "timeout", 0, "SECONDS", "ends it, with status 124" },
	{ "tty", 't', NULL, "a terminal of its own" },
	{ 0 },
};

const struct verb VERB_EXEC = {
	.name = "exec",
	.usage = "LAB NODE -- CMD...",
	.summary = "run a command in a node; exits with its status",
	.more = "NODE may also be router:VPC, nat_gateway:VPC/NAME or internet.\n"
		"124: timed out, 125: could not run it, 126: not executable, 127: not found,\n"
		"128+N: killed by signal N.",
	.opts = OPTS,
	.min_words = 2,
	.max_words = 2,
	.command_after = 2,
	.fn = exec_verb,
};
