/* SPDX-License-Identifier: MIT */
/*
 * proc - spawning by clone(CLONE_VM | CLONE_VFORK | CLONE_PIDFD) and exec (proc.h).
 *
 * The child runs on a stack of its own in the caller's memory while the caller
 * stands still; it copies no page tables, so starting a program costs the same
 * whatever the size of the daemon.  It may do nothing but system calls: child()
 * is a straight list of them, each noted before it is tried, and what failed is
 * read by the caller from the shared "struct job".  All signals are blocked
 * around it, because a handler in the child would run in the caller's memory.
 */
#include "lib/proc.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/memfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/util.h"

#ifndef MFD_NOEXEC_SEAL /* headers before Linux 6.3 */
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define STACK_SIZE (64 * 1024)
#define N_SIGNALS 64

/* code before exec must leave no marks of a sanitizer in the caller's memory */
#define PLAIN __attribute__((no_sanitize("address", "undefined")))

enum step {
	STEP_CLONE,
	STEP_CGROUP,
	STEP_SESSION,
	STEP_FDS,
	STEP_CWD,
	STEP_GROUPS,
	STEP_GID,
	STEP_UID,
	STEP_SIGNALS,
	STEP_EXEC
};
static const char *const step_names[] = {
	[STEP_CLONE] = "clone",
	[STEP_CGROUP] = "join cgroup",
	[STEP_SESSION] = "setsid",
	[STEP_FDS] = "pass descriptors",
	[STEP_CWD] = "chdir",
	[STEP_GROUPS] = "setgroups",
	[STEP_GID] = "setresgid",
	[STEP_UID] = "setresuid",
	[STEP_SIGNALS] = "reset signals",
	[STEP_EXEC] = "exec",
};

struct job {
	const struct proc_spec *spec;
	int null_fd;
	size_t n_fds;	       /* >= 3 */
	int fds[PROC_FDS_MAX]; /* copies above all targets */
	int exec_fd;
	volatile enum step step;
	volatile int errnum;
};

/* dup to above all targets, so that no target overwrites a source */
PLAIN static int lift_fds(struct job *j)
{
	const struct proc_spec *s = j->spec;
	size_t i;

	for (i = 0; i < j->n_fds; i++) {
		int fd = i < s->n_fds && s->fds[i] >= 0 ? s->fds[i] : j->null_fd;

		j->fds[i] = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, (long)j->n_fds);
		if (j->fds[i] < 0)
			return -1;
	}
	if (s->path)
		return 0;
	j->exec_fd = (int)syscall(SYS_fcntl, s->exec_fd, F_DUPFD_CLOEXEC, (long)j->n_fds);
	return j->exec_fd < 0 ? -1 : 0;
}

PLAIN static int place_fds(struct job *j)
{
	size_t i;

	if (lift_fds(j) < 0)
		return -1;
	for (i = 0; i < j->n_fds; i++)
		if (syscall(SYS_dup3, j->fds[i], (int)i, 0) < 0)
			return -1;
	return (int)syscall(SYS_close_range, (unsigned)j->n_fds, ~0U, CLOSE_RANGE_CLOEXEC);
}

PLAIN static int reset_signals(void)
{
	/* all zero is SIG_DFL without flags, whatever the members' order */
	unsigned long zero[8] = { 0 };
	int i;

	for (i = 1; i <= N_SIGNALS; i++)
		if (i != SIGKILL && i != SIGSTOP &&
		    syscall(SYS_rt_sigaction, i, zero, NULL, N_SIGNALS / 8) < 0)
			return -1;
	return (int)syscall(SYS_rt_sigprocmask, SIG_SETMASK, zero, NULL, N_SIGNALS / 8);
}

PLAIN static int take_identity(struct job *j)
{
	const struct proc_spec *s = j->spec;

	/* raw calls: the C library's would look for other threads */
	j->step = STEP_GROUPS;
	if (syscall(SYS_setgroups, 0, NULL) < 0)
		return -1;
	j->step = STEP_GID;
	if (syscall(SYS_setresgid, s->gid, s->gid, s->gid) < 0)
		return -1;
	j->step = STEP_UID;
	return (int)syscall(SYS_setresuid, s->uid, s->uid, s->uid);
}

PLAIN static int prepare(struct job *j)
{
	const struct proc_spec *s = j->spec;
	size_t i;

	j->step = STEP_CGROUP;
	for (i = 0; i < s->n_cgroup_fds; i++)
		if (syscall(SYS_write, s->cgroup_fds[i], "0", 1) < 0)
			return -1;
	j->step = STEP_SESSION;
	if (s->session && syscall(SYS_setsid) < 0)
		return -1;
	j->step = STEP_FDS;
	if (place_fds(j) < 0)
		return -1;
	j->step = STEP_CWD;
	if (s->cwd && syscall(SYS_chdir, s->cwd) < 0)
		return -1;
	if (s->drop && take_identity(j) < 0)
		return -1;
	j->step = STEP_SIGNALS;
	return reset_signals();
}

PLAIN static int child(void *arg)
{
	static char *const no_env[] = { NULL };
	struct job *j = arg;
	const struct proc_spec *s = j->spec;
	char *const *env = s->envp ? s->envp : no_env;

	if (prepare(j) == 0) {
		j->step = STEP_EXEC;
		if (s->path)
			syscall(SYS_execve, s->path, s->argv, env);
		else
			syscall(SYS_execveat, j->exec_fd, "", s->argv, env, AT_EMPTY_PATH);
	}
	j->errnum = errno;
	syscall(SYS_exit_group, 126);
	__builtin_unreachable();
}

static int job_err(const struct job *j, int errnum, struct err *e)
{
	const struct proc_spec *s = j->spec;
	enum err_code code = ERR_KERNEL;

	if (errnum == EPERM && j->step != STEP_EXEC)
		code = ERR_DENIED;
	return err_set(e, code, errnum, "start %s: %s: %s", s->path ? s->path : s->argv[0],
		       step_names[j->step], strerror(errnum));
}

static int clone_job(struct job *j, pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
	static char stack[STACK_SIZE] __attribute__((aligned(64)));
	const uint64_t allowed = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
				 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
	int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
	sigset_t all, old;
	int pidfd = -1, r = 0;
	pid_t pid;

	if (j->spec->clone_flags & ~allowed)
		return err_set(e, ERR_INTERNAL, EINVAL, "start %s: unknown clone flags",
			       j->spec->argv[0]);
	flags |= (int)j->spec->clone_flags;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = clone(child, stack + sizeof(stack), flags, j, &pidfd);
	if (pid < 0)
		r = -errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (r < 0)
		return job_err(j, -r, e);
	if (j->errnum) {
		proc_wait(pidfd, -1, NULL);
		close(pidfd);
		return job_err(j, j->errnum, e);
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}

int proc_spawn(const struct proc_spec *s, pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
	struct job j = { .spec = s, .exec_fd = -1, .step = STEP_CLONE };
	auto_close int null_fd = -1;

	assert(s->argv && s->argv[0]);
	if (s->n_fds > PROC_FDS_MAX || s->n_cgroup_fds > PROC_CGROUPS_MAX)
		return err_set(e, ERR_INTERNAL, EINVAL, "start %s: too many descriptors",
			       s->argv[0]);
	j.n_fds = s->n_fds < 3 ? 3 : s->n_fds;
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0) {
		j.step = STEP_FDS;
		return job_err(&j, errno, e);
	}
	j.null_fd = null_fd;
	return clone_job(&j, ret_pid, ret_pidfd, e);
}

int proc_signal(int pidfd, int sig)
{
	return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

int proc_open(pid_t pid)
{
	long fd = syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : (int)fd;
}

static int wait_readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct mono start = mono_now();
	int left = timeout_ms;

	for (;;) {
		int n = poll(&p, 1, left);

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
		if (timeout_ms >= 0) {
			left = timeout_ms - (int)mono_ms_since(start);
			if (left < 0)
				left = 0;
		}
	}
}

int proc_wait(int pidfd, int timeout_ms, int *ret_status)
{
	siginfo_t si = { 0 };
	int r = wait_readable(pidfd, timeout_ms);

	if (r < 0)
		return r;
	while (waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED) < 0)
		if (errno != EINTR)
			return -errno;
	if (ret_status)
		*ret_status = si.si_code == CLD_EXITED ?
				      (si.si_status & 0xff) << 8 :
				      (si.si_status & 0x7f) | (si.si_code == CLD_DUMPED ? 0x80 : 0);
	return 0;
}

int proc_memfd(const char *name, const void *data, size_t size)
{
	const int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
	auto_close int fd = -1;
	int r;

	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	r = write_all(fd, data, size);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
		return -errno;
	return steal_fd(&fd);
}

/* field 22 of /proc/PID/stat: the name before it may hold anything */
int proc_start_time(pid_t pid, uint64_t *ret)
{
	auto_free char *text = NULL;
	char path[40], *s;
	int i;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (read_file(path, 8192, &text, NULL) < 0)
		return -ESRCH;
	s = strrchr(text, ')');
	for (i = 0; s && i < 20; i++)
		s = strchr(s + 1, ' ');
	if (!s)
		return -ESRCH;
	*ret = strtoull(s + 1, NULL, 10);
	return 0;
}

char *proc_beside(const char *name)
{
	static const char *const places[] = { "", "../lib/vpclab/" };
	char self[PATH_MAX], *slash, *path;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t i;

	if (n < 0)
		return NULL;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return NULL;
	slash[1] = '\0';
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		if (asprintf(&path, "%s%s%s", self, places[i], name) < 0)
			return NULL;
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}
