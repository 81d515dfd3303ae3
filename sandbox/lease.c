/* SPDX-License-Identifier: MIT */
/*
 * lease - see lease.h.
 */
#include "sandbox/lease.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/mutant.h"
#include "lib/proc.h"
#include "lib/util.h"

#define PID_LIMIT (1 << 22) /* PID_MAX_LIMIT of 64-bit kernels */

struct lease {
	pid_t pid;
	uint64_t began; /* clock ticks since boot */
	int pidfd;	/* owns; -1: the connection decides */
	struct loop_event *ended;
	struct http_hold *hold; /* NULL: the process decides */
	bool by_connection, over;
	lease_fn fn;
	void *arg;
};

struct lease *lease_free(struct lease *l)
{
	if (!l)
		return NULL;
	loop_event_free(l->ended);
	auto_close_fn(&l->pidfd);
	http_hold_free(l->hold);
	free(l);
	return NULL;
}

static void end(struct lease *l)
{
	l->ended = loop_event_free(l->ended);
	if (l->over || MUTANT("lease"))
		return;
	l->over = true;
	if (l->fn)
		l->fn(l->arg);
}

static void on_ended(int fd, unsigned what, void *arg)
{
	(void)fd;
	(void)what;
	end(arg);
}

static void on_closed(void *arg)
{
	if (!MUTANT("lease-connection"))
		end(arg);
}

/* the process is watched; -ESRCH: it is gone */
static int watch_process(struct lease *l, struct loop *loop)
{
	l->pidfd = proc_open(l->pid);
	if (l->pidfd < 0)
		return l->pidfd;
	l->ended = loop_fd(loop, l->pidfd, LOOP_READ, on_ended, l);
	return l->ended ? 0 : -ENOMEM;
}

/* lease=PID: the client itself; root may name another */
static int read_query(struct lease *l, const char *query, pid_t peer, uid_t uid, struct err *e)
{
	uint64_t pid;

	l->pid = peer;
	l->by_connection = !strcmp(query, "connection");
	if (l->by_connection)
		return 0;
	if (parse_u64(query, 1, PID_LIMIT, &pid) < 0)
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL,
			       "lease=%s: a process id, or \"connection\"", query);
	if ((pid_t)pid != peer && uid != 0)
		return err_set(e, ERR_DENIED, EPERM, "lease=%s: only root may name another process",
			       query);
	l->pid = (pid_t)pid;
	return 0;
}

static int begin(struct lease *l, struct loop *loop, struct http_req *r, pid_t peer)
{
	int er;

	/* when it started is read behind the pidfd: whom both name is the same */
	er = l->by_connection ? 0 : watch_process(l, loop);
	if (!er && proc_start_time(l->pid, &l->began) < 0 && !l->by_connection)
		er = -ESRCH;
	/* who asks for itself and closes the connection before the answer is dying */
	if (!er && l->pid == peer)
		er = http_hold(r, on_closed, l, &l->hold);
	return er;
}

int lease_new(struct loop *loop, struct http_req *r, struct lease **ret, struct err *e)
{
	const char *query = http_query(r, "lease");
	struct lease *l;
	pid_t peer;
	uid_t uid;
	int er;

	*ret = NULL;
	if (!query)
		return 0;
	if (http_peer(r, &peer, &uid) < 0)
		return err_set(e, ERR_DENIED, EPERM, "lease: who asks isn't known");
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	l->pidfd = -1;
	er = read_query(l, query, peer, uid, e);
	if (er < 0) {
		lease_free(l);
		return er;
	}
	er = begin(l, loop, r, peer);
	if (er < 0) {
		lease_free(l);
		if (er == -ESRCH || er == -ENOTCONN)
			return err_set(e, ERR_NO_OBJECT, ESRCH, "lease=%s: it is gone", query);
		return err_set(e, ERR_INTERNAL, -er, "lease=%s: %s", query, strerror(-er));
	}
	*ret = l;
	return 0;
}

int lease_restore(struct loop *loop, const char *text, struct lease **ret)
{
	struct lease *l;
	uint64_t now;
	int r;

	*ret = NULL;
	if (!text || !*text)
		return 0;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->pidfd = -1;
	r = sscanf(text, "%d %" SCNu64, &l->pid, &l->began) == 2 && l->pid > 0 ? 0 : -ESRCH;
	if (!r)
		r = watch_process(l, loop);
	/* another process by now has its number */
	if (!r && (proc_start_time(l->pid, &now) < 0 || now != l->began))
		r = -ESRCH;
	if (r < 0) {
		lease_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

void lease_watch(struct lease *l, lease_fn fn, void *arg)
{
	l->fn = fn;
	l->arg = arg;
}

bool lease_is_over(const struct lease *l)
{
	return l->over;
}

void lease_settle(struct lease *l)
{
	if (!l->by_connection)
		l->hold = http_hold_free(l->hold);
}

void lease_text(const struct lease *l, char *ret, size_t size)
{
	(void)snprintf(ret, size, "%d %" PRIu64, l->pid, l->began);
}
