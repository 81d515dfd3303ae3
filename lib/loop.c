/* SPDX-License-Identifier: MIT */
/*
 * loop - libevent's core as the one event loop of a process (loop.h).
 *
 * Time is read afresh for every timer (no cached clock: after a long handler a
 * cached one lets new timers fire early) and timers are precise to less than a
 * millisecond.
 *
 * LOOP_HUP doesn't use libevent's EV_CLOSED: that misses a peer that closed
 * with unread data (EPOLLERR is turned into "readable, writable", which an
 * event waiting for EV_CLOSED alone never gets, and the loop spins).  All such
 * watches sit in an epoll of their own, one-shot, which libevent watches as a
 * single readable descriptor.
 */
#include "lib/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/util.h"

/* hang-ups told in one round; the rest comes in the next */
#define HUPS_PER_ROUND 64

enum event_kind { EVENT_FD, EVENT_TIMER, EVENT_SIGNAL, EVENT_CHILD };

struct loop_event {
	LIST_ENTRY(loop_event) link;
	struct loop *loop;
	enum event_kind kind;
	struct event *ev; /* NULL: of a descriptor watched for LOOP_HUP only */
	int fd;		  /* child: pidfd, owned */
	unsigned what;
	pid_t pid;
	bool firing; /* child: "fn" runs, the event goes after it */
	union {
		loop_fd_fn fd;
		loop_timer_fn timer;
		loop_signal_fn sig;
		loop_child_fn child;
	} fn;
	void *arg;
};

struct loop {
	struct event_base *base;
	int hup_fd; /* epoll of the LOOP_HUP watches */
	struct event *hup_ev;
	bool stop;
	LIST_HEAD(, loop_event) events;
};

static void hup_fire(evutil_socket_t fd, short what, void *arg)
{
	struct epoll_event ev;
	int i;

	(void)what;
	(void)arg;
	/* one at a time: a handler may free the event that would come next */
	for (i = 0; i < HUPS_PER_ROUND; i++) {
		struct loop_event *e;

		if (epoll_wait(fd, &ev, 1, 0) <= 0)
			return;
		e = ev.data.ptr;
		e->fn.fd(e->fd, LOOP_HUP, e->arg);
	}
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));
	struct event_config *cfg;

	if (!l)
		return NULL;
	l->hup_fd = -1;
	LIST_INIT(&l->events);
	cfg = event_config_new();
	if (!cfg)
		return loop_free(l);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV |
					   EVENT_BASE_FLAG_NO_CACHE_TIME |
					   EVENT_BASE_FLAG_PRECISE_TIMER);
	l->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (!l->base)
		return loop_free(l);
	l->hup_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->hup_fd < 0)
		return loop_free(l);
	l->hup_ev = event_new(l->base, l->hup_fd, EV_READ | EV_PERSIST, hup_fire, l);
	if (!l->hup_ev || event_add(l->hup_ev, NULL) < 0)
		return loop_free(l);
	return l;
}

struct loop *loop_free(struct loop *l)
{
	if (!l)
		return NULL;
	while (!LIST_EMPTY(&l->events)) {
		struct loop_event *e = LIST_FIRST(&l->events);

		e->firing = false;
		loop_event_free(e);
	}
	if (l->hup_ev)
		event_free(l->hup_ev);
	if (l->hup_fd >= 0)
		close(l->hup_fd);
	if (l->base)
		event_base_free(l->base);
	free(l);
	return NULL;
}

int loop_run(struct loop *l)
{
	int r = 0;

	while (!l->stop && r >= 0)
		r = event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
	l->stop = false;
	return r < 0 ? -EIO : 0;
}

static void once_expired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg; /* its firing ends the round */
}

int loop_once(struct loop *l, int timeout_ms)
{
	struct event *limit = NULL;
	int flags = EVLOOP_ONCE;
	int r;

	if (timeout_ms == 0) {
		flags |= EVLOOP_NONBLOCK;
	} else if (timeout_ms > 0) {
		struct timeval tv = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };

		limit = event_new(l->base, -1, 0, once_expired, NULL);
		if (!limit || event_add(limit, &tv) < 0) {
			if (limit)
				event_free(limit);
			return -ENOMEM;
		}
	}
	r = event_base_loop(l->base, flags);
	if (limit)
		event_free(limit);
	return r < 0 ? -EIO : 0;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}

void *loop_base(struct loop *l)
{
	return l->base;
}

static struct loop_event *event_make(struct loop *l, enum event_kind kind, void *arg)
{
	struct loop_event *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->loop = l;
	e->kind = kind;
	e->fd = -1;
	e->arg = arg;
	LIST_INSERT_HEAD(&l->events, e, link);
	return e;
}

struct loop_event *loop_event_free(struct loop_event *e)
{
	if (!e || e->firing)
		return NULL;
	if (e->kind == EVENT_FD && e->what & LOOP_HUP)
		epoll_ctl(e->loop->hup_fd, EPOLL_CTL_DEL, e->fd, NULL);
	if (e->ev)
		event_free(e->ev);
	if (e->kind == EVENT_CHILD && e->fd >= 0)
		close(e->fd);
	LIST_REMOVE(e, link);
	free(e);
	return NULL;
}

static void fd_fire(evutil_socket_t fd, short what, void *arg)
{
	struct loop_event *e = arg;

	e->fn.fd(fd, (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0), e->arg);
}

static int fd_set_hup(struct loop_event *e, unsigned what)
{
	struct epoll_event ev = { .events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = e };
	bool was = e->what & LOOP_HUP, is = what & LOOP_HUP;

	if (was == is)
		return 0;
	if (!is) {
		epoll_ctl(e->loop->hup_fd, EPOLL_CTL_DEL, e->fd, NULL);
		e->what &= ~(unsigned)LOOP_HUP;
		return 0;
	}
	if (epoll_ctl(e->loop->hup_fd, EPOLL_CTL_ADD, e->fd, &ev) < 0)
		return -errno;
	e->what |= LOOP_HUP;
	return 0;
}

static int fd_set_io(struct loop_event *e, unsigned what)
{
	const unsigned io = LOOP_READ | LOOP_WRITE;
	short flags = EV_PERSIST;

	if ((e->what & io) == (what & io))
		return 0;
	if (e->ev) {
		event_free(e->ev);
		e->ev = NULL;
	}
	e->what &= ~io;
	if (!(what & io))
		return 0;
	flags |= (what & LOOP_READ ? EV_READ : 0) | (what & LOOP_WRITE ? EV_WRITE : 0);
	e->ev = event_new(e->loop->base, e->fd, flags, fd_fire, e);
	if (!e->ev)
		return -ENOMEM;
	if (event_add(e->ev, NULL) < 0) {
		event_free(e->ev);
		e->ev = NULL;
		return -EBADF;
	}
	e->what |= what & io;
	return 0;
}

int loop_fd_set(struct loop_event *e, unsigned what)
{
	int r = fd_set_hup(e, what);

	return r < 0 ? r : fd_set_io(e, what);
}

struct loop_event *loop_fd(struct loop *l, int fd, unsigned what, loop_fd_fn fn, void *arg)
{
	struct loop_event *e = event_make(l, EVENT_FD, arg);

	if (!e)
		return NULL;
	e->fd = fd;
	e->fn.fd = fn;
	if (loop_fd_set(e, what) < 0)
		return loop_event_free(e);
	return e;
}

static void timer_fire(evutil_socket_t fd, short what, void *arg)
{
	struct loop_event *e = arg;

	(void)fd;
	(void)what;
	e->fn.timer(e->arg);
}

static struct loop_event *timer_make(struct loop *l, int64_t ms, short flags, loop_timer_fn fn,
				     void *arg)
{
	struct loop_event *e = event_make(l, EVENT_TIMER, arg);
	struct timeval tv;

	if (!e)
		return NULL;
	if (ms < 0)
		ms = 0;
	tv = (struct timeval){ ms / 1000, ms % 1000 * 1000 };
	e->fn.timer = fn;
	e->ev = event_new(l->base, -1, flags, timer_fire, e);
	if (!e->ev || event_add(e->ev, &tv) < 0)
		return loop_event_free(e);
	return e;
}

struct loop_event *loop_timer(struct loop *l, int64_t ms, loop_timer_fn fn, void *arg)
{
	return timer_make(l, ms, 0, fn, arg);
}

struct loop_event *loop_every(struct loop *l, int64_t ms, loop_timer_fn fn, void *arg)
{
	/* a period of 0 would leave no round for anything else */
	return timer_make(l, ms > 0 ? ms : 1, EV_PERSIST, fn, arg);
}

static void signal_fire(evutil_socket_t sig, short what, void *arg)
{
	struct loop_event *e = arg;

	(void)what;
	e->fn.sig(sig, e->arg);
}

struct loop_event *loop_signal(struct loop *l, int sig, loop_signal_fn fn, void *arg)
{
	struct loop_event *e = event_make(l, EVENT_SIGNAL, arg);

	if (!e)
		return NULL;
	e->fn.sig = fn;
	e->ev = event_new(l->base, sig, EV_SIGNAL | EV_PERSIST, signal_fire, e);
	if (!e->ev || event_add(e->ev, NULL) < 0)
		return loop_event_free(e);
	return e;
}

/* a wait status from what waitid() says */
static int status_of(const siginfo_t *si)
{
	if (si->si_code == CLD_EXITED)
		return (si->si_status & 0xff) << 8;
	return (si->si_status & 0x7f) | (si->si_code == CLD_DUMPED ? 0x80 : 0);
}

static void child_fire(evutil_socket_t fd, short what, void *arg)
{
	struct loop_event *e = arg;
	siginfo_t si = { 0 };
	int status = -1;

	(void)what;
	if (waitid(P_PIDFD, (id_t)fd, &si, WEXITED | WNOHANG) == 0) {
		if (si.si_pid == 0)
			return; /* readable, yet not ours to reap: comes again */
		status = status_of(&si);
	}
	event_free(e->ev);
	e->ev = NULL;
	e->firing = true;
	e->fn.child(e->pid, status, e->arg);
	e->firing = false;
	loop_event_free(e);
}

struct loop_event *loop_child(struct loop *l, pid_t pid, int pidfd, loop_child_fn fn, void *arg)
{
	struct loop_event *e = event_make(l, EVENT_CHILD, arg);

	if (!e)
		return NULL;
	e->fd = pidfd;
	e->pid = pid;
	e->fn.child = fn;
	e->ev = event_new(l->base, pidfd, EV_READ | EV_PERSIST, child_fire, e);
	if (!e->ev || event_add(e->ev, NULL) < 0) {
		e->fd = -1; /* taken on success only */
		return loop_event_free(e);
	}
	return e;
}
