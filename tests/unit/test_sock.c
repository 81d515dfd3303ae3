/* SPDX-License-Identifier: MIT */
/*
 * test_sock - lib/sock.c: long paths, stale sockets, descriptors in messages, the
 * run directory and its lock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/sock.h"
#include "lib/util.h"

static char dir[] = "/tmp/test_sock.XXXXXX";
static char *deep; /* more than 200 characters, with spaces */

static int make_dir(void **state)
{
	char part[101];

	(void)state;
	memset(part, 'd', 100);
	part[10] = ' ';
	part[100] = '\0';
	if (!mkdtemp(dir) || asprintf(&deep, "%s/%s/%s", dir, part, part) < 0)
		return -1;
	return mkdir_p(deep, 0700);
}

static int remove_dir(void **state)
{
	(void)state;
	free(deep);
	return rm_rf(dir);
}

static void long_paths(void **state)
{
	auto_free char *path = rundir_file(deep, "x.sock");
	auto_close int l = -1, c = -1, s = -1, again = -1;
	struct stat st;
	pid_t pid = 0;
	uid_t uid = 0;

	(void)state;
	l = sock_listen(path, SOCK_STREAM, 0640, (gid_t)-1);
	assert_true(l >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	c = sock_connect(path, SOCK_STREAM);
	assert_true(c >= 0);
	assert_int_equal(fcntl(c, F_GETFD), FD_CLOEXEC);
	s = accept(l, NULL, NULL);
	assert_true(s >= 0);
	assert_int_equal(sock_peer(s, &pid, &uid), 0);
	assert_int_equal(pid, getpid());
	assert_int_equal(uid, geteuid());
	/* somebody listens: it stays his, also asked with another type */
	assert_int_equal(sock_listen(path, SOCK_STREAM, 0600, (gid_t)-1), -EADDRINUSE);
	assert_int_equal(sock_listen(path, SOCK_SEQPACKET, 0600, (gid_t)-1), -EADDRINUSE);
	close(steal_fd(&l));
	assert_int_equal(sock_connect(path, SOCK_STREAM), -ECONNREFUSED);
	again = sock_listen(path, SOCK_SEQPACKET, 0600, (gid_t)-1);
	assert_true(again >= 0);
}

static void bad_paths(void **state)
{
	auto_free char *file = rundir_file(dir, "file"), *none = rundir_file(dir, "none/x");
	auto_free char *slash = rundir_file(dir, ""), *wide = NULL;
	char name[151];

	(void)state;
	memset(name, 'n', 150);
	name[150] = '\0';
	wide = rundir_file(dir, name);
	assert_int_equal(write_file_atomic(file, "x", 1, 0600), 0);
	assert_int_equal(sock_listen(file, SOCK_STREAM, 0600, (gid_t)-1), -EEXIST);
	assert_int_equal(sock_listen(none, SOCK_STREAM, 0600, (gid_t)-1), -ENOENT);
	assert_int_equal(sock_listen(slash, SOCK_STREAM, 0600, (gid_t)-1), -EINVAL);
	assert_int_equal(sock_listen(wide, SOCK_STREAM, 0600, (gid_t)-1), -ENAMETOOLONG);
	assert_int_equal(sock_connect(none, SOCK_STREAM), -ENOENT);
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino &&
	       x.st_dev == y.st_dev;
}

static size_t n_open(void)
{
	size_t n = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			n++;
	return n;
}

static void descriptors_in_messages(void **state)
{
	int sv[2], out[253], in[253];
	char text[16];
	size_t n, i, before;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	for (i = 0; i < ARRAY_SIZE(out); i++)
		out[i] = sv[i % 2];
	before = n_open();
	assert_int_equal(sock_send_fds(sv[0], "hello", 5, out, ARRAY_SIZE(out)), 5);
	n = ARRAY_SIZE(in);
	assert_int_equal(sock_recv_fds(sv[1], text, sizeof(text), in, &n), 5);
	assert_int_equal(n, ARRAY_SIZE(out));
	assert_true(same_file(in[0], sv[0]) && same_file(in[1], sv[1]));
	for (i = 0; i < n; i++) {
		assert_int_equal(fcntl(in[i], F_GETFD), FD_CLOEXEC);
		close(in[i]);
	}
	/* more than there is room for: refused, and none is left open */
	for (i = 0; i < 4; i++) {
		assert_int_equal(sock_send_fds(sv[0], "hello", 5, out, 5), 5);
		n = i;
		assert_int_equal(sock_recv_fds(sv[1], text, sizeof(text), in, i ? &n : NULL),
				 -EMSGSIZE);
	}
	/* a message that is cut */
	assert_int_equal(sock_send_fds(sv[0], "0123456789abcdefg", 17, out, 1), 17);
	n = 4;
	assert_int_equal(sock_recv_fds(sv[1], text, sizeof(text), in, &n), -EMSGSIZE);
	assert_int_equal(n_open(), before);
	/* none */
	assert_int_equal(sock_send_fds(sv[0], "x", 1, NULL, 0), 1);
	assert_int_equal(sock_recv_fds(sv[1], text, sizeof(text), in, &n), 1);
	assert_int_equal(n, 0);
	assert_int_equal(sock_send_fds(sv[0], "x", 1, out, 254), -EINVAL);
	close(sv[1]);
	assert_int_equal(sock_send_fds(sv[0], "x", 1, NULL, 0), -EPIPE);
	close(sv[0]);
}

static void second_daemon(void **state)
{
	auto_free char *run = rundir_file(deep, "run"), *state_dir = rundir_file(deep, "st");
	auto_free char *pid_file = rundir_file(run, "netd.pid");
	struct rundir a, b;
	struct err e = { 0 };
	char want[64];
	int p[2], status;
	pid_t pid;
	char c;

	(void)state;
	assert_int_equal(rundir_pid(run, "netd"), 0);
	assert_int_equal(pipe(p), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(p[0]);
		if (rundir_open(run, state_dir, "netd", &a, &e) < 0)
			_exit(1);
		if (write(p[1], "x", 1) != 1)
			_exit(2);
		pause();
		_exit(3);
	}
	close(p[1]);
	assert_int_equal(read(p[0], &c, 1), 1);
	close(p[0]);
	assert_int_equal(rundir_pid(run, "netd"), pid);
	assert_int_equal(rundir_pid(run, "sandboxd"), 0);
	assert_int_equal(rundir_open(run, state_dir, "netd", &a, &e), -EBUSY);
	assert_int_equal(e.code, ERR_BUSY);
	snprintf(want, sizeof(want), "pid %d", (int)pid);
	assert_non_null(strstr(e.msg, want));
	/* another program of the same instance */
	assert_int_equal(rundir_open(run, state_dir, "sandboxd", &b, &e), 0);
	rundir_done(&b);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* its pid file is still there, its lock isn't */
	assert_int_equal(access(pid_file, F_OK), 0);
	assert_int_equal(rundir_pid(run, "netd"), 0);
	assert_int_equal(rundir_open(run, state_dir, "netd", &a, &e), 0);
	assert_int_equal(rundir_pid(run, "netd"), getpid());
	assert_int_equal(a.run[0], '/');
	rundir_done(&a);
	assert_int_equal(access(pid_file, F_OK), -1);
	assert_int_equal(rundir_pid(run, "netd"), 0);
}

static void bad_directories(void **state)
{
	auto_free char *file = rundir_file(dir, "plain"), *below = rundir_file(dir, "plain/x");
	auto_free char *open_dir = rundir_file(dir, "open"), *ok = rundir_file(dir, "ok");
	struct rundir d;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(write_file_atomic(file, "x", 1, 0600), 0);
	assert_true(rundir_open(file, ok, "netd", &d, &e) < 0);
	assert_int_equal(e.code, ERR_STATE);
	assert_non_null(strstr(e.msg, file));
	assert_int_equal(rundir_open(below, ok, "netd", &d, &e), -ENOTDIR);
	assert_non_null(strstr(e.msg, below));
	assert_int_equal(rundir_open(ok, below, "netd", &d, &e), -ENOTDIR);
	assert_int_equal(rundir_pid(ok, "netd"), 0); /* the lock was let go */
	assert_int_equal(rundir_open("/proc/1/nowhere", ok, "netd", &d, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "/proc/1/nowhere"));
	assert_int_equal(mkdir(open_dir, 0700), 0);
	assert_int_equal(chmod(open_dir, 0777), 0);
	assert_int_equal(rundir_open(open_dir, ok, "netd", &d, &e), -EPERM);
	assert_int_equal(e.code, ERR_DENIED);
	if (geteuid() == 0)
		return;
	assert_int_equal(chmod(open_dir, 0500), 0);
	assert_int_equal(rundir_open(open_dir, ok, "netd", &d, &e), -EACCES);
	assert_int_equal(e.code, ERR_DENIED);
}

static void assert_default(const char *opt, const char *want)
{
	auto_free char *got = rundir_default(opt);

	assert_string_equal(got, want);
}

static void defaults(void **state)
{
	auto_free char *cwd = getcwd(NULL, 0), *rel = NULL, *link = rundir_file(dir, "link");
	auto_free char *through = rundir_file(link, "a/b/"), *want = rundir_file(dir, "a/b");
	auto_free char *st = NULL, *st2 = NULL, *st3 = NULL;

	(void)state;
	unsetenv("VPCLAB_RUN_DIR");
	assert_default(NULL, "/run/vpclab");
	assert_default("", "/run/vpclab");
	setenv("VPCLAB_RUN_DIR", "/nowhere/at all", 1);
	assert_default(NULL, "/nowhere/at all");
	assert_default("/", "/");
	unsetenv("VPCLAB_RUN_DIR");
	assert_true(asprintf(&rel, "%s/not there", cwd) > 0);
	assert_default("not there", rel);
	/* the same before it is made as after */
	assert_int_equal(symlink(dir, link), 0);
	assert_default(through, want);
	assert_int_equal(mkdir_p(want, 0700), 0);
	assert_default(through, want);
	st = rundir_default_state("/run/vpclab", NULL);
	assert_string_equal(st, "/var/lib/vpclab");
	st2 = rundir_default_state("/x", NULL);
	assert_string_equal(st2, "/x/state");
	st3 = rundir_default_state("/x", "/y");
	assert_string_equal(st3, "/y");
}

static void ready_is_told(void **state)
{
	auto_free char *path = rundir_file(dir, "notify");
	auto_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char text[16] = "";

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	notify_ready();
	strcpy(a.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	setenv("NOTIFY_SOCKET", path, 1);
	notify_ready();
	assert_int_equal(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT), 7);
	assert_string_equal(text, "READY=1");
	unsetenv("NOTIFY_SOCKET");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(long_paths),
		cmocka_unit_test(bad_paths),
		cmocka_unit_test(descriptors_in_messages),
		cmocka_unit_test(second_daemon),
		cmocka_unit_test(bad_directories),
		cmocka_unit_test(defaults),
		cmocka_unit_test(ready_is_told),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
