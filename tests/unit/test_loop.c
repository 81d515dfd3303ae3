/* SPDX-License-Identifier: MIT */
/*
 * test_loop - lib/loop.c: every kind of event, freed from where it hurts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/loop.h"
#include "lib/proc.h"
#include "lib/util.h"

static struct loop *loop;
static struct loop_event *events[4];
static unsigned fired[4];
static int status_seen;

static int setup(void **state)
{
	(void)state;
	memset(events, 0, sizeof(events));
	memset(fired, 0, sizeof(fired));
	loop = loop_new();
	return loop ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	loop = loop_free(loop);
	return 0;
}

static unsigned idx_of(void *arg)
{
	return (unsigned)(uintptr_t)arg;
}

static void stop(void *arg)
{
	fired[idx_of(arg)]++;
	loop_stop(loop);
}

static void on_fd(int fd, unsigned what, void *arg)
{
	char c[8];

	fired[idx_of(arg)]++;
	if (what & LOOP_READ)
		assert_true(read(fd, c, sizeof(c)) >= 0);
	loop_stop(loop);
}

static void descriptors(void **state)
{
	int sv[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	events[0] = loop_fd(loop, sv[0], LOOP_READ, on_fd, (void *)0);
	assert_int_equal(loop_once(loop, 0), 0);
	assert_int_equal(fired[0], 0);
	assert_int_equal(write(sv[1], "x", 1), 1);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(fired[0], 1);
	assert_int_equal(loop_fd_set(events[0], LOOP_WRITE), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(fired[0], 2);
	assert_int_equal(loop_fd_set(events[0], 0), 0);
	assert_int_equal(write(sv[1], "x", 1), 1);
	assert_int_equal(loop_once(loop, 1), 0);
	assert_int_equal(fired[0], 2);
	assert_null(loop_event_free(events[0]));
	assert_null(loop_event_free(NULL));
	close(sv[0]);
	close(sv[1]);
}

static void on_hup(int fd, unsigned what, void *arg)
{
	(void)fd;
	assert_int_equal(what, LOOP_HUP);
	fired[idx_of(arg)]++;
}

/* a peer that closes with unread bytes is an error to the kernel, not an end */
static void hang_up(bool unread)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	fired[0] = 0;
	events[0] = loop_fd(loop, sv[0], LOOP_HUP, on_hup, (void *)0);
	assert_int_equal(write(sv[1], "x", 1), 1);
	if (unread)
		assert_int_equal(write(sv[0], "x", 1), 1);
	loop_once(loop, 0);
	assert_int_equal(fired[0], 0);
	close(sv[1]);
	loop_once(loop, 1000);
	assert_int_equal(fired[0], 1);
	loop_once(loop, 0); /* told once, and the loop doesn't spin on it */
	assert_int_equal(fired[0], 1);
	loop_event_free(events[0]);
	close(sv[0]);
}

static void hang_ups(void **state)
{
	(void)state;
	hang_up(false);
	hang_up(true);
}

static void free_both(int fd, unsigned what, void *arg)
{
	(void)fd;
	(void)what;
	fired[idx_of(arg)]++;
	events[0] = loop_event_free(events[0]);
	events[1] = loop_event_free(events[1]);
}

/* two are ready in one round; whichever comes first frees the other and itself */
static void freed_by_a_neighbour(void **state)
{
	static const unsigned kinds[] = { LOOP_READ, LOOP_HUP };
	size_t k;

	(void)state;
	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		int a[2], b[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, a), 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, b), 0);
		fired[0] = 0;
		events[0] = loop_fd(loop, a[0], kinds[k], free_both, (void *)0);
		events[1] = loop_fd(loop, b[0], kinds[k], free_both, (void *)0);
		close(a[1]);
		close(b[1]);
		loop_once(loop, 1000);
		loop_once(loop, 0);
		assert_int_equal(fired[0], 1);
		close(a[0]);
		close(b[0]);
	}
}

static void every(void *arg)
{
	if (++fired[idx_of(arg)] == 3) {
		events[0] = loop_event_free(events[0]);
		loop_stop(loop);
	}
}

static void timers(void **state)
{
	struct mono start = mono_now();

	(void)state;
	events[0] = loop_timer(loop, 5, stop, (void *)0);
	loop_run(loop);
	assert_int_equal(fired[0], 1);
	assert_true(mono_ms_since(start) >= 4.9);
	assert_int_equal(loop_once(loop, 1), 0);
	assert_int_equal(fired[0], 1);
	loop_event_free(events[0]);
	fired[0] = 0;
	events[0] = loop_every(loop, 1, every, (void *)0);
	loop_run(loop);
	assert_int_equal(fired[0], 3);
	/* in the past is at once */
	events[1] = loop_timer(loop, -5, stop, (void *)1);
	loop_run(loop);
	assert_int_equal(fired[1], 1);
	loop_event_free(events[1]);
}

static struct mono made, rang;

static void ring(void *arg)
{
	rang = mono_now();
	stop(arg);
}

static void work_then_timer(void *arg)
{
	struct mono start = mono_now();

	(void)arg;
	while (mono_ms_since(start) < 20)
		;
	made = mono_now();
	events[1] = loop_timer(loop, 10, ring, (void *)1);
}

/* a timer made after long work counts from then, not from the start of the round */
static void timer_after_long_work(void **state)
{
	(void)state;
	events[0] = loop_timer(loop, 0, work_then_timer, NULL);
	loop_run(loop);
	assert_true(rang.ns - made.ns >= 9 * 1000000LL);
}

static void stop_before_run(void **state)
{
	(void)state;
	loop_stop(loop);
	assert_int_equal(loop_run(loop), 0);
}

static void on_signal(int sig, void *arg)
{
	assert_int_equal(sig, SIGUSR1);
	stop(arg);
}

static void signals(void **state)
{
	(void)state;
	events[0] = loop_signal(loop, SIGUSR1, on_signal, (void *)0);
	raise(SIGUSR1);
	loop_run(loop);
	assert_int_equal(fired[0], 1);
	loop_event_free(events[0]);
}

static void on_child(pid_t pid, int status, void *arg)
{
	assert_true(pid > 0);
	status_seen = status;
	events[0] = loop_event_free(events[0]); /* allowed, and no more than a wish */
	stop(arg);
}

static int child_status(const char *script)
{
	char sh[] = "sh", dash_c[] = "-c", text[64];
	char *argv[] = { sh, dash_c, text, NULL };
	struct proc_spec s = { .path = "/bin/sh", .argv = argv };
	struct err e = { 0 };
	int pidfd = -1;
	pid_t pid;

	strcpy(text, script);
	if (proc_spawn(&s, &pid, &pidfd, &e) < 0)
		fail_msg("%s", e.msg);
	status_seen = 0;
	events[0] = loop_child(loop, pid, pidfd, on_child, (void *)0);
	assert_non_null(events[0]);
	loop_run(loop);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1); /* reaped */
	return status_seen;
}

static void children(void **state)
{
	int status, pidfd;

	(void)state;
	status = child_status("exit 7");
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	status = child_status("kill -TERM $$");
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	/* freed with the loop, the child unreaped by it */
	pidfd = proc_open(getpid());
	assert_true(pidfd >= 0);
	assert_non_null(loop_child(loop, getpid(), pidfd, on_child, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(hang_ups, setup, teardown),
		cmocka_unit_test_setup_teardown(freed_by_a_neighbour, setup, teardown),
		cmocka_unit_test_setup_teardown(timers, setup, teardown),
		cmocka_unit_test_setup_teardown(timer_after_long_work, setup, teardown),
		cmocka_unit_test_setup_teardown(stop_before_run, setup, teardown),
		cmocka_unit_test_setup_teardown(signals, setup, teardown),
		cmocka_unit_test_setup_teardown(children, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
