/* SPDX-License-Identifier: MIT */
/*
 * test_proc - lib/proc.c: what a spawned program gets, what it doesn't, and what
 * is told when a step fails.  Programs report through a pipe.
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
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/proc.h"
#include "lib/util.h"

static char sh[] = "sh", dash_c[] = "-c";

/* runs a script with its output read into "ret"; wait status */
static int run(struct proc_spec *s, const char *script, char *ret, size_t size)
{
	char text[512];
	char *argv[] = { sh, dash_c, text, NULL };
	int p[2], pidfd = -1, status = -1, fds[3] = { -1, -1, 2 };
	struct err e = { 0 };
	size_t n = 0;
	ssize_t r;
	pid_t pid;

	snprintf(text, sizeof(text), "%s", script);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	s->argv = argv;
	if (!s->fds) {
		fds[1] = p[1];
		s->fds = fds;
		s->n_fds = 3;
	}
	if (!s->path && s->exec_fd <= 0)
		s->path = "/bin/sh";
	if (proc_spawn(s, &pid, &pidfd, &e) < 0)
		fail_msg("%s", e.msg);
	close(p[1]);
	while (n + 1 < size && (r = read(p[0], ret + n, size - n - 1)) > 0)
		n += (size_t)r;
	ret[n] = '\0';
	close(p[0]);
	assert_int_equal(proc_wait(pidfd, 20000, &status), 0);
	close(pidfd);
	s->fds = NULL;
	return status;
}

static void gets_what_is_given(void **state)
{
	char e1[] = "ONLY=this one", path[] = "PATH=/usr/bin:/bin", out[4096];
	char *envp[] = { e1, path, NULL };
	struct proc_spec s = { .envp = envp, .cwd = "/", .session = true };
	int status;

	(void)state;
	setenv("LEAKS", "yes", 1);
	status = run(&s, "echo \"[$ONLY][$LEAKS][$(pwd)]\"; exit 3", out, sizeof(out));
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	assert_string_equal(out, "[this one][][/]\n");
	/* the leader of a session of its own */
	run(&s,
	    "read pid comm st parent group session rest < /proc/$$/stat; "
	    "[ $pid = $session ] && echo leads",
	    out, sizeof(out));
	assert_string_equal(out, "leads\n");
	unsetenv("LEAKS");
}

/* no descriptor but those given, in their order, whatever their numbers here */
static void descriptors(void **state)
{
	int sv[2], leak = open("/dev/null", O_RDONLY), fds[5], pidfd = -1, status;
	char text[] =
		"ls /proc/self/fd | tr '\\n' ' ' >&3; echo second >&4; read x <&0 || echo end >&4";
	char path[] = "PATH=/usr/bin:/bin", out[256] = "";
	char *argv[] = { sh, dash_c, text, NULL }, *envp[] = { path, NULL };
	struct proc_spec s = { .path = "/bin/sh", .argv = argv, .envp = envp };
	struct err e = { 0 };
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(sv, O_CLOEXEC), 0);
	fds[0] = fds[1] = fds[2] = -1;
	fds[3] = fds[4] = sv[1];
	s.fds = fds;
	s.n_fds = ARRAY_SIZE(fds);
	if (proc_spawn(&s, &pid, &pidfd, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
	close(sv[1]);
	assert_int_equal(proc_wait(pidfd, 20000, &status), 0);
	close(pidfd);
	assert_true(read(sv[0], out, sizeof(out) - 1) > 0);
	/* 5 is the listing's own */
	assert_string_equal(out, "0 1 2 3 4 5 second\nend\n");
	close(sv[0]);
	close(leak);
}

/* also when sources and targets cross */
static void descriptors_cross(void **state)
{
	char path[] = "PATH=/usr/bin:/bin", text[] = "echo three >&3; echo four >&4";
	char *argv[] = { sh, dash_c, text, NULL }, *envp[] = { path, NULL };
	struct proc_spec s = { .path = "/bin/sh", .argv = argv, .envp = envp };
	int a[2], b[2], fds[5] = { -1, -1, -1 }, pidfd = -1;
	char out[16] = "";
	struct err e = { 0 };
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(a, O_CLOEXEC), 0);
	assert_int_equal(pipe2(b, O_CLOEXEC), 0);
	fds[3] = b[1];
	fds[4] = a[1];
	s.fds = fds;
	s.n_fds = ARRAY_SIZE(fds);
	assert_int_equal(proc_spawn(&s, &pid, &pidfd, &e), 0);
	assert_int_equal(proc_wait(pidfd, 20000, NULL), 0);
	close(pidfd);
	assert_int_equal(read(b[0], out, sizeof(out)), 6);
	assert_memory_equal(out, "three\n", 6);
	assert_int_equal(read(a[0], out, sizeof(out)), 5);
	assert_memory_equal(out, "four\n", 5);
	close(a[0]);
	close(a[1]);
	close(b[0]);
	close(b[1]);
}

static void nothing(int sig)
{
	(void)sig;
}

static void signals_are_default(void **state)
{
	char path[] = "PATH=/usr/bin:/bin", out[256];
	char *envp[] = { path, NULL };
	struct proc_spec s = { .envp = envp };
	sigset_t set, now;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, nothing);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	run(&s, "grep -E '^Sig(Blk|Ign)' /proc/self/status | cut -f2 | tr '\\n' ' '", out,
	    sizeof(out));
	assert_string_equal(out, "0000000000000000 0000000000000000 ");
	/* and ours are what they were */
	sigprocmask(SIG_SETMASK, NULL, &now);
	assert_true(sigismember(&now, SIGTERM) && !sigismember(&now, SIGUSR2));
	assert_ptr_equal(signal(SIGUSR1, SIG_DFL), nothing);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void by_descriptor(void **state)
{
	struct proc_spec s = { .exec_fd = open("/bin/sh", O_RDONLY | O_CLOEXEC) };
	char out[64];
	int status;

	(void)state;
	assert_true(s.exec_fd > 0);
	status = run(&s, "echo inside", out, sizeof(out));
	assert_int_equal(status, 0);
	assert_string_equal(out, "inside\n");
	close(s.exec_fd);
}

static void fails(struct proc_spec *s, int errnum, const char *step)
{
	char *argv[] = { sh, NULL };
	struct err e = { 0 };
	int pidfd = -7;
	pid_t pid = -7;

	s->argv = argv;
	assert_int_equal(proc_spawn(s, &pid, &pidfd, &e), -errnum);
	assert_int_equal(e.errnum, errnum);
	if (!strstr(e.msg, step))
		fail_msg("no \"%s\" in: %s", step, e.msg);
	assert_int_equal(pid, -7);
	assert_int_equal(pidfd, -7);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
	assert_int_equal(errno, ECHILD);
}

static void failures_name_their_step(void **state)
{
	int bad[1] = { 12345 };
	struct proc_spec missing = { .path = "/no/such/program" };
	struct proc_spec not_program = { .path = "/etc/passwd" };
	struct proc_spec cwd = { .path = "/bin/sh", .cwd = "/no/such/folder" };
	struct proc_spec fds = { .path = "/bin/sh", .fds = bad, .n_fds = 1 };
	struct proc_spec cgroup = { .path = "/bin/sh", .cgroup_fds = bad, .n_cgroup_fds = 1 };
	struct proc_spec many = { .path = "/bin/sh", .fds = bad, .n_fds = PROC_FDS_MAX + 1 };
	struct proc_spec flags = { .path = "/bin/sh", .clone_flags = CLONE_THREAD };
	struct proc_spec drop = { .path = "/bin/sh", .drop = true, .uid = 1, .gid = 1 };

	(void)state;
	fails(&missing, ENOENT, "/no/such/program: exec");
	fails(&not_program, EACCES, "exec");
	fails(&cwd, ENOENT, "chdir");
	fails(&fds, EBADF, "pass descriptors");
	fails(&cgroup, EBADF, "join cgroup");
	fails(&many, EINVAL, "too many descriptors");
	fails(&flags, EINVAL, "clone flags");
	if (geteuid() != 0)
		fails(&drop, EPERM, "setgroups");
}

static void identity_and_namespaces(void **state)
{
	char path[] = "PATH=/usr/bin:/bin", out[256];
	char *envp[] = { path, NULL };
	struct proc_spec s = { .envp = envp,
			       .drop = true,
			       .uid = 12345,
			       .gid = 23456,
			       .clone_flags = CLONE_NEWPID | CLONE_NEWUTS };

	(void)state;
	if (geteuid() != 0)
		skip();
	run(&s, "echo $$; id -u; id -G", out, sizeof(out));
	assert_string_equal(out, "1\n12345\n23456\n");
}

static void signalled_and_waited_for(void **state)
{
	char text[] = "while :; do :; done";
	char *argv[] = { sh, dash_c, text, NULL };
	struct proc_spec s = { .path = "/bin/sh", .argv = argv };
	struct err e = { 0 };
	int pidfd = -1, other, status = 0;
	pid_t pid = 0;

	(void)state;
	assert_int_equal(proc_spawn(&s, &pid, &pidfd, &e), 0);
	assert_int_equal(proc_wait(pidfd, 1, &status), -ETIMEDOUT);
	other = proc_open(pid);
	assert_true(other >= 0);
	assert_int_equal(proc_signal(other, SIGKILL), 0);
	assert_int_equal(proc_wait(pidfd, -1, &status), 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(proc_signal(other, SIGKILL), -ESRCH);
	close(other);
	close(pidfd);
}

static void sealed(void **state)
{
	int fd = proc_memfd("plan", "hello", 5);
	char text[8] = "";

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	assert_string_equal(text, "hello");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gets_what_is_given),
		cmocka_unit_test(descriptors),
		cmocka_unit_test(descriptors_cross),
		cmocka_unit_test(signals_are_default),
		cmocka_unit_test(by_descriptor),
		cmocka_unit_test(failures_name_their_step),
		cmocka_unit_test(identity_and_namespaces),
		cmocka_unit_test(signalled_and_waited_for),
		cmocka_unit_test(sealed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
