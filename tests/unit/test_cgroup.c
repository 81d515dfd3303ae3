/* SPDX-License-Identifier: MIT */
/*
 * test_cgroup - lib/cgroup*.c on a tree of plain files: which hierarchy serves
 * what, where the root is, which words are written where, and what is refused.
 * No root; the running kernel is tested by tests/kernel/kernel_cgroup.c.
 *
 * A plain directory has no control files of its own: put() makes those that a
 * case needs before the code gets there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cgroup_int.h"
#include "lib/sock.h"
#include "lib/util.h"

static char dir[] = "/tmp/test_cgroup.XXXXXX";
static char root[32]; /* /vpclab-HASH */
static char text[4096];

static int setup(void **state)
{
	(void)state;
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	strcpy(root, "/vpclab-");
	hash_hex(root + strlen(root), 8, "%s", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return rm_rf(dir);
}

/* writes a file below the test's directory */
static void put(const char *content, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(const char *content, const char *fmt, ...)
{
	char name[512], path[1024], *slash;
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(mkdir_p(path, 0700), 0);
	*slash = '/';
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(content, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static const char *get(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static const char *get(const char *fmt, ...)
{
	char name[512], path[1024];
	auto_free char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (read_file(path, sizeof(text) - 1, &s, NULL) < 0)
		return "(none)";
	strcpy(text, s);
	return text;
}

/* a mount line for "point" below the test's directory */
static void mounted(struct buf *b, const char *type, const char *point, const char *options)
{
	buf_printf(b, "30 20 0:26 / %s/%s rw,nosuid shared:9 - %s cgroup rw,%s\n", dir, point, type,
		   options);
}

static int open_on(struct buf *mounts, struct cgroups **ret, struct err *e)
{
	auto_free char *m = rundir_file(dir, "mountinfo");

	put(buf_str(mounts), "mountinfo");
	return cgroups_open_from(m, dir, ret, e);
}

/* the files of a v1 group "name" */
static void v1_files(const char *hierarchy, const char *name)
{
	static const char *const files[] = {
		"memory.limit_in_bytes",
		"memory.max_usage_in_bytes",
		"cpu.cfs_quota_us",
		"cpu.cfs_period_us",
		"pids.max",
		"freezer.state",
		"cgroup.procs",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++)
		put("", "%s%s/%s/%s", hierarchy, root, name, files[i]);
}

static void v2_files(const char *point, const char *name)
{
	static const char *const files[] = {
		"memory.max",	 "memory.swap.max",
		"memory.peak",	 "memory.events",
		"cpu.max",	 "pids.max",
		"cgroup.freeze", "cgroup.procs",
		"cgroup.events", "cgroup.subtree_control",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++)
		put("", "%s%s/%s/%s", point, root, name, files[i]);
}

static struct cgroup *make(struct cgroups *c, const char *path, double cpus)
{
	struct cgroup_limits l = { .memory = 1000000, .cpus = cpus, .pids = 7 };
	struct cgroup *g = NULL;
	struct err e = { 0 };

	if (cgroup_make(c, path, &l, &g, &e) < 0)
		fail_msg("%s", e.msg);
	return g;
}

static void hybrid_host(void **state)
{
	static const char *const names[] = { "mem ory", "cpu,cpuacct", "pids", "freezer" };
	auto_buf struct buf m = BUF_INIT;
	struct cgroups *c = NULL;
	struct cgroup *g;
	struct err e = { 0 };
	size_t i, n;
	int fds[CGROUP_JOIN_MAX];

	(void)state;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		v1_files(names[i], "probe");
		v1_files(names[i], "env/a");
	}
	v2_files("unified", "probe");
	v2_files("unified", "env/a");
	mounted(&m, "cgroup", "mem\\040ory", "memory");
	mounted(&m, "cgroup", "cpu,cpuacct", "cpu,cpuacct");
	mounted(&m, "cgroup", "pids", "pids");
	mounted(&m, "cgroup", "freezer", "freezer");
	mounted(&m, "cgroup2", "unified", "nsdelegate");
	buf_adds(&m, "31 20 0:27 / /proc rw - proc proc rw\nshort line\n");
	if (open_on(&m, &c, &e) < 0)
		fail_msg("%s", e.msg);
	assert_non_null(strstr(cgroups_describe(c), "memory v1, cpu v1, pids v1, freezer v2"));
	assert_non_null(strstr(cgroups_describe(c), root));
	g = make(c, "env/a", 0.5);
	assert_string_equal(get("mem ory%s/env/a/memory.limit_in_bytes", root), "1000000");
	assert_string_equal(get("cpu,cpuacct%s/env/a/cpu.cfs_period_us", root), "20000");
	assert_string_equal(get("cpu,cpuacct%s/env/a/cpu.cfs_quota_us", root), "10000");
	assert_string_equal(get("pids%s/env/a/pids.max", root), "7");
	/* each control is written where its controller is, and nowhere else */
	assert_string_equal(get("pids%s/env/a/memory.limit_in_bytes", root), "");
	assert_string_equal(get("unified%s/env/a/memory.max", root), "");
	assert_string_equal(get("unified%s/env/cgroup.subtree_control", root), "(none)");
	assert_int_equal(cgroup_freeze(g), 0);
	assert_string_equal(get("unified%s/env/a/cgroup.freeze", root), "1");
	assert_string_equal(get("freezer%s/env/a/freezer.state", root), "");
	assert_int_equal(cgroup_thaw(g), 0);
	assert_string_equal(get("unified%s/env/a/cgroup.freeze", root), "0");
	put("populated 1\nfrozen 1\n", "unified%s/env/a/cgroup.events", root);
	assert_int_equal(cgroup_is_frozen(g), 1);
	assert_int_equal(cgroup_join_fds(g, fds, &n), 0);
	assert_int_equal(n, 4);
	cgroup_join_done(fds, n);
	assert_int_equal(cgroup_attach(g, 4321), 0);
	assert_string_equal(get("unified%s/env/a/cgroup.procs", root), "4321");
	assert_string_equal(get("mem ory%s/env/a/cgroup.procs", root), "4321");
	cgroup_close(g);
	cgroups_close(c);
}

static void v1_host(void **state)
{
	auto_buf struct buf m = BUF_INIT;
	struct cgroups *c = NULL;
	struct cgroup *g;
	struct err e = { 0 };
	uint64_t n;

	(void)state;
	v1_files("all", "probe");
	v1_files("all", "a");
	mounted(&m, "cgroup", "all", "memory,cpu,pids,freezer");
	if (open_on(&m, &c, &e) < 0)
		fail_msg("%s", e.msg);
	g = make(c, "a", 0.01);
	/* below a millisecond a period: the period grows instead */
	assert_string_equal(get("all%s/a/cpu.cfs_period_us", root), "100000");
	assert_string_equal(get("all%s/a/cpu.cfs_quota_us", root), "1000");
	assert_int_equal(cgroup_freeze(g), 0);
	assert_string_equal(get("all%s/a/freezer.state", root), "FROZEN");
	assert_int_equal(cgroup_is_frozen(g), 1);
	assert_int_equal(cgroup_thaw(g), 0);
	assert_string_equal(get("all%s/a/freezer.state", root), "THAWED");
	put("4096\n", "all%s/a/memory.max_usage_in_bytes", root);
	assert_int_equal(cgroup_memory_peak(g, &n), 0);
	assert_int_equal(n, 4096);
	put("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "all%s/a/memory.oom_control", root);
	assert_int_equal(cgroup_oom_kills(g, &n), 0);
	assert_int_equal(n, 3);
	cgroup_close(g);
	cgroups_close(c);
}

/* a v2 host whose controllers are on for the groups below its root */
static void v2_host(struct buf *m)
{
	put("cpuset cpu io memory pids\n", "cg/cgroup.controllers");
	put("cpu memory pids\n", "cg/cgroup.subtree_control");
	put("cpu memory pids\n", "cg%s/cgroup.controllers", root);
	put("", "cg%s/cgroup.subtree_control", root);
	v2_files("cg", "probe");
	v2_files("cg", "env/a");
	put("", "cg%s/env/cgroup.subtree_control", root);
	mounted(m, "cgroup2", "cg", "nsdelegate,memory_recursiveprot");
}

static void v2_only(void **state)
{
	auto_buf struct buf m = BUF_INIT;
	struct cgroups *c = NULL;
	struct cgroup *g;
	struct err e = { 0 };
	uint64_t n;

	(void)state;
	v2_host(&m);
	if (open_on(&m, &c, &e) < 0)
		fail_msg("%s", e.msg);
	/* ours, and only ours */
	assert_string_equal(get("cg%s/cgroup.subtree_control", root), "+memory +cpu +pids");
	assert_string_equal(get("cg/cgroup.subtree_control"), "cpu memory pids\n");
	g = make(c, "env/a", 2);
	assert_string_equal(get("cg%s/env/cgroup.subtree_control", root), "+memory +cpu +pids");
	assert_string_equal(get("cg%s/env/a/cgroup.subtree_control", root), "");
	assert_string_equal(get("cg%s/env/a/memory.max", root), "1000000");
	assert_string_equal(get("cg%s/env/a/memory.swap.max", root), "0");
	assert_string_equal(get("cg%s/env/a/cpu.max", root), "40000 20000");
	put("low 0\noom 1\noom_kill 2\noom_group_kill 0\n", "cg%s/env/a/memory.events", root);
	assert_int_equal(cgroup_oom_kills(g, &n), 0);
	assert_int_equal(n, 2);
	cgroup_close(g);
	cgroups_close(c);
}

static void others_control_is_not_ours(void **state)
{
	auto_buf struct buf m = BUF_INIT;
	struct cgroups *c = NULL;
	struct err e = { 0 };
	char want[256];

	(void)state;
	v2_host(&m);
	put("cpu\n", "cg/cgroup.subtree_control");
	put("cpu\n", "cg%s/cgroup.controllers", root);
	assert_true(open_on(&m, &c, &e) < 0);
	assert_int_equal(e.code, ERR_HOST);
	assert_int_equal(err_code_exit(e.code), 4);
	snprintf(want, sizeof(want), "echo \"+memory +cpu +pids\" > %s/cg/cgroup.subtree_control",
		 dir);
	assert_non_null(strstr(e.msg, want));
	assert_non_null(strstr(e.msg, "\"memory\""));
	assert_string_equal(get("cg/cgroup.subtree_control"), "cpu\n");
	assert_string_equal(get("cg%s/cgroup.subtree_control", root), "");
}

static void what_the_host_lacks(void **state)
{
	auto_buf struct buf none = BUF_INIT, some = BUF_INIT, old = BUF_INIT;
	struct cgroups *c = NULL;
	struct err e = { 0 };

	(void)state;
	assert_true(open_on(&none, &c, &e) < 0);
	assert_int_equal(e.code, ERR_HOST);
	assert_non_null(strstr(e.msg, "\"memory\""));
	mounted(&some, "cgroup", "m", "memory");
	mounted(&some, "cgroup", "c", "cpu");
	assert_true(open_on(&some, &c, &e) < 0);
	assert_non_null(strstr(e.msg, "\"pids\""));
	/* a kernel without bandwidth control */
	v1_files("all", "probe");
	snprintf(text, sizeof(text), "%s/all%s/probe/cpu.cfs_quota_us", dir, root);
	assert_int_equal(unlink(text), 0);
	mounted(&old, "cgroup", "all", "memory,cpu,pids,freezer");
	assert_true(open_on(&old, &c, &e) < 0);
	assert_int_equal(e.code, ERR_HOST);
	assert_non_null(strstr(e.msg, "cpu.cfs_quota_us"));
	assert_null(c);
}

static void paths_stay_below(void **state)
{
	static const char *const bad[] = { "",	 "/",	 "/a",	   "a/",   "a//b",
					   "..", "../a", "a/../b", "a/.b", "." };
	auto_buf struct buf m = BUF_INIT;
	struct cgroups *c = NULL;
	struct cgroup *g = NULL;
	struct err e = { 0 };
	size_t i;

	(void)state;
	v2_host(&m);
	assert_int_equal(open_on(&m, &c, &e), 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(cgroup_make(c, bad[i], NULL, &g, &e), -EINVAL);
		assert_int_equal(cgroup_find(c, bad[i], &g), -EINVAL);
	}
	assert_int_equal(cgroup_find(c, "env/b", &g), -ENOENT);
	assert_int_equal(cgroup_find(c, "env/a", &g), 0);
	cgroup_close(g);
	cgroups_close(c);
}

static void failure_leaves_nothing(void **state)
{
	auto_buf struct buf m = BUF_INIT;
	struct cgroup_limits l = { .memory = 1 };
	struct cgroups *c = NULL;
	struct cgroup *g = NULL;
	struct err e = { 0 };

	(void)state;
	v2_host(&m);
	assert_int_equal(open_on(&m, &c, &e), 0);
	/* a plain directory has no memory.max */
	assert_int_equal(cgroup_make(c, "env/new", &l, &g, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "env/new: limit memory"));
	assert_int_equal(cgroup_find(c, "env/new", &g), -ENOENT);
	cgroups_close(c);
}

static int collect(const char *name, void *arg)
{
	strcat(arg, name);
	strcat(arg, " ");
	return 0;
}

static void found_again(void **state)
{
	auto_buf struct buf m = BUF_INIT;
	struct cgroups *c = NULL, *again = NULL;
	struct err e = { 0 };
	char names[64] = "";

	(void)state;
	assert_int_equal(cgroups_find(dir, &again, &e), -ENOENT);
	v2_host(&m);
	assert_int_equal(open_on(&m, &c, &e), 0);
	assert_int_equal(cgroups_find(dir, &again, &e), 0);
	assert_string_equal(cgroups_describe(again), cgroups_describe(c));
	assert_int_equal(cgroup_each(again, "env", collect, names), 0);
	assert_string_equal(names, "a ");
	cgroups_close(again);
	/* a second start writes no second line */
	cgroups_close(c);
	assert_int_equal(open_on(&m, &c, &e), 0);
	cgroups_close(c);
	assert_null(strchr(strchr(get("cgroups"), '\n') + 1, '\n'));
	put("rubbish\n1 2\n9 9 relative\n2 15 /no/such/group\n", "cgroups");
	assert_int_equal(cgroups_find(dir, &again, &e), -ENOENT);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(hybrid_host),
		CASE(v1_host),
		CASE(v2_only),
		CASE(others_control_is_not_ours),
		CASE(what_the_host_lacks),
		CASE(paths_stay_below),
		CASE(failure_leaves_nothing),
		CASE(found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
