/* SPDX-License-Identifier: MIT */
/* lib/ns: two lines in the host's mount table, everything else out of sight, found
 * again by whoever comes next, gone without a trace; settings; a full way back */
#include "tests/kernel/kernel_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define SYSCTLS                                                      \
	"net.ipv4.ip_forward=1\nnet.ipv4.conf.default.rp_filter=0\n" \
	"net.ipv6.conf.all.disable_ipv6=1\n"

static char run[300];

/* a run directory with a space in it, 200 characters and more */
static int setup(void **state)
{
	(void)state;
	snprintf(run, sizeof(run), "%s/a b", test_run);
	while (strlen(run) < 230)
		strcat(run, "x");
	return mkdir(run, 0700);
}

static int teardown(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_ok(ns_home_remove(run, &e), e);
	return rmdir(run);
}

static size_t count_mounts(const char *what)
{
	auto_fclose FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096];
	size_t n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, what) != NULL;
	return n;
}

/* in a child: enters, makes "n" namespaces, stays till killed or ends at once */
static pid_t spawn(int n, bool stay)
{
	int pipefd[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct err e = { 0 };
		int i, fd, r = ns_home_enter(run, &e);

		/* a failed test must not leave a child that holds its output open */
		prctl(PR_SET_PDEATHSIG, SIGKILL);

		for (i = 0; !r && i < n; i++) {
			char name[16];

			snprintf(name, sizeof(name), "n%d", i);
			r = ns_create("lab", name, SYSCTLS, &fd, &e);
		}
		if (r)
			fprintf(stderr, "%s\n", e.msg);
		if (write(pipefd[1], r ? "-" : "+", 1) != 1)
			_exit(1);
		if (stay)
			pause();
		_exit(0);
	}
	close(pipefd[1]);
	assert_int_equal(read(pipefd[0], &c, 1), 1);
	assert_int_equal(c, '+');
	close(pipefd[0]);
	if (!stay)
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	return pid;
}

static int nothing_cb(void *arg)
{
	(void)arg;
	return 7;
}

static void test_two_lines(void **state)
{
	auto_free char *path = NULL;
	auto_close int fd = -1;
	pid_t pid;

	(void)state;
	assert_false(ns_home_exists(run));
	pid = spawn(50, true);
	/* the caller here plays the host: it never entered */
	assert_int_equal(count_mounts(test_run), 2);
	assert_true(ns_home_exists(run));
	path = ns_path(run, pid, "lab", "n7");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ns_do(fd, nothing_cb, NULL), 7);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(count_mounts(test_run), 2);
}

static int count_cb(const char *name, void *arg)
{
	(void)name;
	(*(int *)arg)++;
	return 0;
}

static void test_found_again(void **state)
{
	struct err e = { 0 };
	int fd, n = 0, labs = 0;

	(void)state;
	spawn(20, false);
	assert_ok(ns_home_enter(run, &e), e);
	assert_ok(ns_home_enter(run, &e), e);
	assert_int_equal(ns_each(NULL, count_cb, &labs), 0);
	assert_int_equal(labs, 1);
	assert_int_equal(ns_each("lab", count_cb, &n), 0);
	assert_int_equal(n, 20);
	assert_int_equal(ns_open("lab", "n3", &fd), 0);
	close(fd);
	assert_int_equal(ns_open("lab", "nope", &fd), -ENOENT);
	assert_int_equal(ns_drop("lab", "n3"), 0);
	assert_int_equal(ns_drop("lab", "n3"), 0);
	assert_int_equal(ns_open("lab", "n3", &fd), -ENOENT);
	assert_int_equal(ns_drop_lab("lab"), 0);
	assert_int_equal(ns_drop_lab("lab"), 0);
	labs = 0;
	assert_int_equal(ns_each(NULL, count_cb, &labs), 0);
	assert_int_equal(labs, 0);
	assert_int_equal(ns_create("lab", "../up", "", &fd, &e), -EINVAL);
}

static void test_removed(void **state)
{
	struct err e = { 0 };

	(void)state;
	spawn(5, false);
	assert_ok(ns_home_remove(run, &e), e);
	assert_int_equal(count_mounts(test_run), 0);
	assert_false(ns_home_exists(run));
	assert_int_equal(rmdir(run), 0); /* nothing is left in it */
	assert_int_equal(mkdir(run, 0700), 0);
	assert_ok(ns_home_remove(run, &e), e);
	/* from within, too, and made anew by the same process */
	assert_ok(ns_home_enter(run, &e), e);
	test_ns("x", "");
	assert_ok(ns_home_remove(run, &e), e);
	assert_int_equal(count_mounts(test_run), 0);
	assert_ok(ns_home_enter(run, &e), e);
}

/* on whatever CPU the host's mount namespace and ours are made */
static void test_any_cpu(void **state)
{
	struct err e = { 0 };
	cpu_set_t all, one, after;
	int cpu, i;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	for (i = 0; i < 8; i++) {
		for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
			if (!CPU_ISSET(cpu, &all))
				continue;
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
			assert_ok(ns_home_enter(run, &e), e);
			assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
			assert_true(CPU_EQUAL(&one, &after));
			assert_ok(ns_home_remove(run, &e), e);
		}
	}
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

static void test_settings(void **state)
{
	auto_buf struct buf b = BUF_INIT;
	struct err e = { 0 };
	auto_close int fd = -1;
	int none;

	(void)state;
	assert_ok(ns_home_enter(run, &e), e);
	fd = test_ns("s", SYSCTLS);
	assert_int_equal(test_in(fd, &b,
				 "cd /proc/sys/net; cat ipv4/ip_forward "
				 "ipv4/conf/default/rp_filter ipv6/conf/all/disable_ipv6; "
				 "ip -br link show lo"),
			 0);
	assert_has(&b, "1\n0\n1\nlo ");
	assert_has(&b, "<LOOPBACK,UP,LOWER_UP>");
	/* what can't be set is an error that names it, and leaves nothing */
	assert_int_equal(ns_create("t", "bad", "net.ipv4.no_such=1\n", &none, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "net.ipv4.no_such"));
	assert_int_equal(ns_create("t", "bad", "kernel.hostname=x\n", &none, &e), -EINVAL);
	assert_int_equal(ns_create("t", "bad", "net.ipv4.ip_forward=abc\n", &none, &e), -EINVAL);
	assert_int_equal(ns_open("t", "bad", &none), -ENOENT);
	assert_int_equal(ns_create("t", "s", "", &none, &e), -EEXIST);
}

static ino_t own_net(void)
{
	struct stat st;

	assert_int_equal(stat("/proc/thread-self/ns/net", &st), 0);
	return st.st_ino;
}

static void test_faults(void **state)
{
	struct err e = { 0 };
	ino_t before = own_net();
	unsigned long n;
	int fd = -1, r;

	(void)state;
	assert_ok(ns_home_enter(run, &e), e);
	for (n = 1;; n++) {
		fault_set(n);
		r = ns_create("t", "f", SYSCTLS, &fd, &e);
		assert_int_equal(own_net(), before);
		if (!r)
			break;
		assert_int_equal(r, -EIO);
		assert_int_equal(ns_open("t", "f", &fd), -ENOENT);
	}
	fault_set(0);
	close(fd);
	if (fault_count())
		assert_int_equal(n, 1 + 3 + 1 + 1 + 1); /* unshare, sysctls, lo, bind; none */
}

static void test_speed(void **state)
{
	struct mono t;
	struct err e = { 0 };
	int i;

	(void)state;
	assert_ok(ns_home_enter(run, &e), e);
	t = mono_now();
	for (i = 0; i < 50; i++) {
		char name[16];

		snprintf(name, sizeof(name), "s%d", i);
		close(test_ns(name, SYSCTLS));
	}
	printf("# a namespace: %.2f ms\n", mono_ms_since(t) / 50);
	t = mono_now();
	assert_int_equal(ns_drop_lab("t"), 0);
	printf("# dropped: %.2f ms each\n", mono_ms_since(t) / 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_two_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_found_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_cpu, setup, teardown),
		cmocka_unit_test_setup_teardown(test_settings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_speed, setup, teardown),
	};
	int ret;

	test_setup();
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	test_cleanup();
	return ret;
}
