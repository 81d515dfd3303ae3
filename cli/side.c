/* SPDX-License-Identifier: MIT */
/*
 * side - a job in a child of its own sends its results through a pipe as one
 * JSON document and ends with the job's status.  Children are process groups of
 * their own: a ^C reaches them once, from here, and each takes its copy down.
 */
#include "cli/side.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "cli/api.h"
#include "cli/daemons.h"
#include "cli/out.h"
#include "cli/report.h"
#include "lib/buf.h"
#include "lib/mutant.h"
#include "lib/util.h"

static const char *const OPTIONS[SIDE_FILES] = { "junit", "tap", "json" };

int side_open(const struct cli *c, const struct args *a, struct side_files *ret)
{
	size_t i;

	for (i = 0; i < SIDE_FILES; i++) {
		ret->names[i] = args_get(a, OPTIONS[i]);
		ret->fds[i] = -1;
	}
	for (i = 0; i < SIDE_FILES; i++) {
		if (!ret->names[i])
			continue;
		ret->fds[i] = open(ret->names[i], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (ret->fds[i] < 0)
			return out_fail_usage(c, "test: --%s %s: %s", OPTIONS[i], ret->names[i],
					      strerror(errno));
	}
	return 0;
}

static void add_json(const cJSON *labs, struct buf *b)
{
	auto_json cJSON *doc = report_json(labs);
	auto_free char *text = doc ? json_print(doc) : NULL;

	buf_adds(b, text ? text : "null");
	buf_adds(b, "\n");
}

int side_write(const struct cli *c, const struct side_files *s, const cJSON *labs)
{
	size_t i;
	int r;

	for (i = 0; i < SIDE_FILES; i++) {
		auto_buf struct buf b = BUF_INIT;

		if (s->fds[i] < 0 || (i > 0 && MUTANT("report-several")))
			continue;
		if (i == 0)
			report_junit(labs, &b);
		else if (i == 1)
			report_tap(labs, &b);
		else
			add_json(labs, &b);
		r = buf_error(&b);
		if (!r)
			r = write_all(s->fds[i], buf_str(&b), b.len);
		if (r < 0)
			return out_fail(c, ERR_STATE, "test: %s: %s", s->names[i], strerror(-r));
	}
	return 0;
}

void side_done(struct side_files *s)
{
	size_t i;

	for (i = 0; i < SIDE_FILES; i++)
		auto_close_fn(&s->fds[i]);
}

/* ---- jobs side by side ---- */

struct child {
	pid_t pid; /* 0: not started, or reaped */
	int fd;	   /* owns; -1: nothing more comes */
	struct buf text;
	int status; /* of vpclab */
	bool ended;
};

struct pool {
	struct cli *c;
	struct test *t;
	struct child *children; /* own */
	struct pollfd *polls;	/* own; the last is the signals' */
	size_t next, running, told;
	int signals; /* owns */
	int interrupted;
};

static void pool_done(struct pool *p)
{
	size_t i;

	for (i = 0; i < p->t->n_jobs && p->children; i++) {
		auto_close_fn(&p->children[i].fd);
		buf_done(&p->children[i].text);
	}
	free(p->children);
	free(p->polls);
	auto_close_fn(&p->signals);
}
#define auto_pool __attribute__((cleanup(pool_done)))

/* never returns */
static void child_main(struct pool *p, struct test_job *j, int fd, pid_t parent)
{
	auto_free char *text = NULL;
	cJSON *lab = NULL;
	sigset_t none;
	int r;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL); /* cannot fail with these */
	p->c->progress = false;
	r = test_catch_signals(p->c);
	/* when it is killed outright, nobody else tells us to take our copy down */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* cannot fail with a signal */
	if (!r && getppid() != parent)
		r = 128 + SIGTERM;
	if (!r)
		r = test_run_job(p->c, p->t, j, &lab);
	text = lab ? json_print(lab) : NULL;
	if (!r && text && write_all(fd, text, strlen(text)) < 0)
		r = EXIT_OPERATION;
	fflush(stderr);
	_exit(r);
}

static int start(struct pool *p)
{
	struct child *k = &p->children[p->next];
	pid_t self = getpid();
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return out_fail(p->c, ERR_INTERNAL, "test: pipe: %s", strerror(errno));
	fflush(stdout);
	k->pid = fork();
	if (k->pid == 0) {
		(void)setpgid(0, 0);
		close(fds[0]);
		child_main(p, &p->t->jobs[p->next], fds[1], self);
	}
	close(fds[1]);
	if (k->pid < 0) {
		k->pid = 0;
		close(fds[0]);
		return out_fail(p->c, ERR_INTERNAL, "test: fork: %s", strerror(errno));
	}
	(void)setpgid(k->pid, k->pid); /* both do: whoever comes first */
	k->fd = fds[0];
	p->next++;
	p->running++;
	return 0;
}

static void read_child(struct pool *p, struct child *k)
{
	char bytes[16384];
	ssize_t n = read(k->fd, bytes, sizeof(bytes));
	int status;

	if (n > 0) {
		buf_add(&k->text, bytes, (size_t)n);
		return;
	}
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	close(k->fd);
	k->fd = -1;
	while (waitpid(k->pid, &status, 0) < 0 && errno == EINTR)
		;
	k->status = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_OPERATION;
	k->pid = 0;
	k->ended = true;
	p->running--;
}

static void pass_signal(struct pool *p)
{
	struct signalfd_siginfo info;
	size_t i;

	if (read(p->signals, &info, sizeof(info)) != sizeof(info))
		return;
	p->interrupted = (int)info.ssi_signo;
	for (i = 0; i < p->next; i++)
		if (p->children[i].pid)
			(void)kill(p->children[i].pid, p->interrupted); /* ours, not yet reaped */
}

/* results come out in the jobs' order; 0 or the first failure */
static int take_results(struct pool *p)
{
	while (p->told < p->t->n_jobs && p->children[p->told].ended) {
		struct child *k = &p->children[p->told++];
		cJSON *lab;

		if (k->status)
			return k->status;
		lab = json_parse(buf_str(&k->text), k->text.len, NULL);
		if (!lab)
			return out_fail(p->c, ERR_INTERNAL, "test: a job's results are broken");
		test_take_result(p->c, p->t, lab);
	}
	return 0;
}

static void wait_round(struct pool *p)
{
	size_t i, n = p->t->n_jobs;

	for (i = 0; i < n; i++)
		p->polls[i] = (struct pollfd){ .fd = p->children[i].fd, .events = POLLIN };
	p->polls[n] = (struct pollfd){ .fd = p->signals, .events = POLLIN };
	if (poll(p->polls, n + 1, -1) < 0)
		return; /* EINTR */
	for (i = 0; i < n; i++)
		if (p->polls[i].revents)
			read_child(p, &p->children[i]);
	if (p->polls[n].revents)
		pass_signal(p);
}

static bool has_failed(const struct pool *p)
{
	const cJSON *lab;

	cJSON_ArrayForEach(lab, p->t->labs)
		if (p->t->fail_fast && json_num(lab, "failed", 0) > 0)
			return true;
	return false;
}

static int open_pool(struct pool *p)
{
	size_t i, n = p->t->n_jobs;
	sigset_t set;

	p->children = calloc(n, sizeof(*p->children));
	p->polls = calloc(n + 1, sizeof(*p->polls));
	if (!p->children || !p->polls)
		return out_no_memory(p->c);
	for (i = 0; i < n; i++)
		p->children[i].fd = -1;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return out_fail(p->c, ERR_INTERNAL, "test: signals: %s", strerror(errno));
	p->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return p->signals < 0 ? out_fail(p->c, ERR_INTERNAL, "test: signals: %s", strerror(errno)) :
				0;
}

int side_run_parallel(struct cli *c, struct test *t)
{
	auto_pool struct pool p = { .c = c, .t = t, .signals = -1 };
	int r = daemons_need(c), one;

	if (!r)
		r = open_pool(&p);
	/* a client with open descriptors isn't shared with children */
	api_done(c);
	while (!r || p.running) {
		while (!r && !p.interrupted && !has_failed(&p) && p.next < t->n_jobs &&
		       p.running < t->parallel)
			r = start(&p);
		if (!p.running)
			break;
		wait_round(&p);
		one = take_results(&p);
		r = r ? r : one;
	}
	return p.interrupted ? 128 + p.interrupted : r;
}
