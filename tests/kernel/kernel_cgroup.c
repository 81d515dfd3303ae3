/* SPDX-License-Identifier: MIT */
/*
 * kernel_cgroup - lib/cgroup and lib/proc on the running kernel (root).  All is
 * below the root of a run directory made here, and gone at the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cgroup_int.h"
#include "lib/proc.h"
#include "lib/util.h"

#define WAIT_MS 10000

static char run[] = "/tmp/kernel_cgroup.XXXXXX";
static struct cgroups *c;

static int setup(void **state)
{
	struct err e = { 0 };

	(void)state;
	if (!mkdtemp(run))
		return -1;
	if (cgroups_open(run, &c, &e) < 0) {
		print_error("%s\n", e.msg);
		return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	struct err e = { 0 };
	int r = 0;

	(void)state;
	r = cgroups_remove(c, WAIT_MS, &e);
	if (r < 0)
		print_error("%s\n", e.msg);
	c = cgroups_close(c);
	return rm_rf(run) < 0 ? -1 : r;
}

/* a shell in group "g" (NULL: none) */
static int shell_in(struct cgroup *g, const char *script, pid_t *ret_pid)
{
	char sh[] = "sh", dash_c[] = "-c", env[] = "PATH=/usr/bin:/bin", text[400];
	char *argv[] = { sh, dash_c, text, NULL }, *envp[] = { env, NULL };
	int fds[CGROUP_JOIN_MAX], pidfd = -1;
	struct proc_spec s = { .path = "/bin/sh", .argv = argv, .envp = envp };
	struct err e = { 0 };

	snprintf(text, sizeof(text), "%s", script);
	if (g) {
		assert_int_equal(cgroup_join_fds(g, fds, &s.n_cgroup_fds), 0);
		s.cgroup_fds = fds;
	}
	if (proc_spawn(&s, ret_pid, &pidfd, &e) < 0)
		fail_msg("%s", e.msg);
	if (g)
		cgroup_join_done(fds, s.n_cgroup_fds);
	return pidfd;
}

static bool has_pid(struct cgroup *g, pid_t pid)
{
	auto_free pid_t *pids = NULL;
	size_t n = 0, i;

	assert_int_equal(cgroup_pids(g, &pids, &n), 0);
	for (i = 0; i < n; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

static void spawned_inside_and_killed(void **state)
{
	struct cgroup_limits l = { .memory = 64 << 20, .cpus = 0.5, .pids = 32 };
	struct cgroup *g = NULL;
	struct err e = { 0 };
	int pidfd, status;
	pid_t pid;

	(void)state;
	assert_int_equal(cgroup_make(c, "env/one", &l, &g, &e), 0);
	pidfd = shell_in(g, "sleep 1000 & sleep 1000 & wait", &pid);
	assert_true(has_pid(g, pid));
	assert_int_equal(cgroup_remove(g, 0), -EBUSY);
	assert_int_equal(cgroup_kill(g), 0);
	assert_int_equal(proc_wait(pidfd, WAIT_MS, &status), 0);
	close(pidfd);
	assert_int_equal(cgroup_remove(g, WAIT_MS), 0);
	cgroup_close(g);
	assert_int_equal(cgroup_find(c, "env/one", &g), -ENOENT);
}

static int yield_until_frozen(struct cgroup *g)
{
	struct mono start = mono_now();

	while (cgroup_is_frozen(g) == 0 && mono_ms_since(start) < WAIT_MS)
		sched_yield();
	return cgroup_is_frozen(g);
}

static void frozen_and_killed(void **state)
{
	struct cgroup *g = NULL;
	struct err e = { 0 };
	int pidfd, status;
	pid_t pid;

	(void)state;
	assert_int_equal(cgroup_make(c, "env/two", NULL, &g, &e), 0);
	pidfd = shell_in(g, "while :; do :; done", &pid);
	assert_int_equal(cgroup_is_frozen(g), 0);
	assert_int_equal(cgroup_freeze(g), 0);
	assert_int_equal(yield_until_frozen(g), 1);
	assert_int_equal(cgroup_thaw(g), 0);
	assert_int_equal(cgroup_is_frozen(g), 0);
	assert_int_equal(cgroup_freeze(g), 0);
	assert_int_equal(yield_until_frozen(g), 1);
	assert_int_equal(cgroup_kill(g), 0);
	assert_int_equal(proc_wait(pidfd, WAIT_MS, &status), 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(pidfd);
	assert_int_equal(cgroup_remove(g, WAIT_MS), 0);
	cgroup_close(g);
}

/* the way of a host without a cgroup2 tree: v1's freezer, SIGKILL, thaw */
static void killed_by_list(void **state)
{
	struct cgroups copy;
	struct cgroup *g = NULL;
	struct err e = { 0 };
	int pidfd, status;
	size_t i;
	pid_t pid;

	(void)state;
	assert_int_equal(cgroup_make(c, "bomb", NULL, &g, &e), 0);
	copy = *c;
	for (i = 0; i < c->n; i++)
		if (c->h[i].ops->version == 2) {
			static struct cgroup_ops old;

			old = cgroup_v2;
			old.kill = cgroup_v1.kill;
			c->h[i].ops = &old;
		}
	pidfd = shell_in(g, "f() { :; while :; do sleep 1000 & wait $!; done; }; f & f & f", &pid);
	assert_int_equal(cgroup_kill(g), 0);
	assert_int_equal(proc_wait(pidfd, WAIT_MS, &status), 0);
	close(pidfd);
	assert_int_equal(cgroup_remove(g, WAIT_MS), 0);
	memcpy(c, &copy, sizeof(copy));
	cgroup_close(g);
}

static void limits_hold(void **state)
{
	struct cgroup_limits l = { .memory = 8 << 20, .cpus = 0.05, .pids = 5 };
	struct cgroup *g = NULL;
	struct err e = { 0 };
	uint64_t peak = 0, kills = 0;
	int pidfd, status;
	pid_t pid;

	(void)state;
	assert_int_equal(cgroup_make(c, "env/three", &l, &g, &e), 0);
	pidfd = shell_in(g, "x=0123456789abcdef; while :; do x=$x$x; done", &pid);
	assert_int_equal(proc_wait(pidfd, WAIT_MS, &status), 0);
	close(pidfd);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(cgroup_memory_peak(g, &peak), 0);
	assert_true(peak > (4 << 20) && peak <= (8 << 20));
	assert_int_equal(cgroup_oom_kills(g, &kills), 0);
	assert_true(kills >= 1);
	l = (struct cgroup_limits){ .memory = 128 << 20, .cpus = 3, .pids = 100 };
	assert_int_equal(cgroup_set_limits(g, &l, &e), 0);
	l = (struct cgroup_limits){ 0 };
	assert_int_equal(cgroup_set_limits(g, &l, &e), 0);
	assert_int_equal(cgroup_remove(g, WAIT_MS), 0);
	cgroup_close(g);
}

static int count(const char *name, void *arg)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

static void found_again_and_all_removed(void **state)
{
	struct cgroups *other = NULL;
	struct cgroup *g = NULL;
	struct err e = { 0 };
	int pidfd, status, n = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(cgroup_make(c, "env/four", NULL, &g, &e), 0);
	pidfd = shell_in(g, "while :; do :; done", &pid);
	assert_int_equal(cgroup_freeze(g), 0);
	cgroup_close(g);
	assert_int_equal(cgroups_find(run, &other, &e), 0);
	assert_int_equal(cgroup_each(other, "env", count, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(cgroups_remove(other, WAIT_MS, &e), 0);
	assert_int_equal(proc_wait(pidfd, WAIT_MS, &status), 0);
	close(pidfd);
	cgroups_close(other);
	assert_int_equal(cgroups_find(run, &other, &e), -ENOENT);
	/* the first handle makes the root again when it is needed */
	assert_int_equal(cgroup_make(c, "env/five", NULL, &g, &e), 0);
	assert_int_equal(cgroup_remove(g, 0), 0);
	cgroup_close(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spawned_inside_and_killed),
		cmocka_unit_test(frozen_and_killed),
		cmocka_unit_test(killed_by_list),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(found_again_and_all_removed),
	};

	if (geteuid()) {
		printf("1..0 # SKIP needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
