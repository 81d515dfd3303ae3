/* SPDX-License-Identifier: MIT */
/*
 * sock - unix sockets, descriptors in messages, and the run directory (sock.h).
 *
 * A socket's address holds 107 characters, run directories may have many more:
 * the directory is opened and the socket is named /proc/self/fd/N/NAME, always,
 * so that the long way is the tested way.
 *
 * A daemon's lock is an open-file-description lock and not flock(): who only
 * asks whether a daemon runs (rundir_pid()) can then do so without taking the
 * lock, and never makes a starting daemon fail.  It goes with the process,
 * however that ends.
 */
#include "lib/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/util.h"

#define FDS_MAX 253 /* SCM_MAX_FD of the kernel */

/* opens the directory of "path" and names the socket through it */
static int sock_name(const char *path, int *ret_dir, const char **ret_base, struct sockaddr_un *ret)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	auto_free char *dir = NULL;
	int fd, n;

	if (!*base)
		return -EINVAL;
	dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	if (!dir)
		return -ENOMEM;
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", fd, base);
	if (n < 0 || (size_t)n >= sizeof(ret->sun_path)) {
		close(fd);
		return -ENAMETOOLONG;
	}
	*ret_dir = fd;
	*ret_base = base;
	return 0;
}

/* removes a socket that nobody listens on; -EADDRINUSE if somebody does */
static int remove_stale(int dir, const char *base, const struct sockaddr_un *a, int type)
{
	auto_close int fd = -1;
	struct stat st;

	if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* EAGAIN: its queue is full, so it is alive; EPROTOTYPE: of another type */
	if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno != ECONNREFUSED)
		return -EADDRINUSE;
	if (unlinkat(dir, base, 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* bound with no rights for others, so that no moment has too many */
static int bind_private(int fd, const struct sockaddr_un *a)
{
	mode_t old = umask(0177);
	int r = bind(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 ? -errno : 0;

	umask(old);
	return r;
}

int sock_listen(const char *path, int type, int mode, gid_t gid)
{
	auto_close int dir = -1, fd = -1;
	struct sockaddr_un a;
	const char *base;
	int r;

	r = sock_name(path, &dir, &base, &a);
	if (r < 0)
		return r;
	r = remove_stale(dir, base, &a, type);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = bind_private(fd, &a);
	if (r < 0)
		return r;
	if ((gid != (gid_t)-1 && fchownat(dir, base, (uid_t)-1, gid, AT_SYMLINK_NOFOLLOW) < 0) ||
	    fchmodat(dir, base, (mode_t)mode, 0) < 0 || listen(fd, SOMAXCONN) < 0) {
		r = -errno;
		unlinkat(dir, base, 0);
		return r;
	}
	return steal_fd(&fd);
}

int sock_connect(const char *path, int type)
{
	auto_close int dir = -1, fd = -1;
	struct sockaddr_un a;
	const char *base;
	int r;

	r = sock_name(path, &dir, &base, &a);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	while (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		if (errno != EINTR)
			return -errno;
	return steal_fd(&fd);
}

int sock_listen_tcp(const struct addr *a, uint16_t *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(*port) };
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(in);
	int one = 1;

	in.sin_addr.s_addr = htonl(addr_to_v4(a));
	/* a port that was ours a moment ago may have connections in TIME_WAIT */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0 || listen(fd, SOMAXCONN) < 0 ||
	    getsockname(fd, (struct sockaddr *)&in, &size) < 0)
		return -errno;
	*port = ntohs(in.sin_port);
	return steal_fd(&fd);
}

ssize_t sock_send_fds(int sock, const void *data, size_t size, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} c;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (n_fds > FDS_MAX)
		return -EINVAL;
	if (n_fds) {
		struct cmsghdr *h;

		memset(&c, 0, sizeof(c));
		m.msg_control = c.buf;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(h), fds, n_fds * sizeof(int));
	}
	do
		n = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* moves what came into "fds"; what has no room is closed.  Number there was */
static size_t take_fds(struct msghdr *m, int *fds, size_t room)
{
	struct cmsghdr *h;
	size_t n = 0;

	for (h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		size_t i, here;

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		here = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < here; i++, n++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			if (n < room)
				fds[n] = fd;
			else
				close(fd);
		}
	}
	return n;
}

ssize_t sock_recv_fds(int sock, void *data, size_t size, int *fds, size_t *n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} c;
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = c.buf,
			    .msg_controllen = sizeof(c.buf) };
	size_t room = n_fds ? *n_fds : 0, got, i;
	ssize_t n;

	do
		n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	got = take_fds(&m, fds, room);
	if (got > room || m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		for (i = 0; i < got && i < room; i++)
			close(fds[i]);
		return -EMSGSIZE;
	}
	if (n_fds)
		*n_fds = got;
	return n;
}

int sock_peer(int sock, pid_t *ret_pid, uid_t *ret_uid)
{
	struct ucred u;
	socklen_t size = sizeof(u);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &u, &size) < 0)
		return -errno;
	if (ret_pid)
		*ret_pid = u.pid;
	if (ret_uid)
		*ret_uid = u.uid;
	return 0;
}

/* ---- run directory ---- */

/*
 * absolute and without links as far as the path exists; what doesn't exist yet
 * is kept as it is, so that the name is the same before and after it was made
 */
static char *absolute(const char *path)
{
	auto_free char *head = strdup(path);
	const char *rest = path + strlen(path);
	char *ret = NULL, *real;

	if (!head || !*path)
		return NULL;
	for (;;) {
		char *slash;

		real = realpath(*head ? head : (*path == '/' ? "/" : "."), NULL);
		if (real || !*head)
			break;
		slash = strrchr(head, '/');
		*(slash ? slash : head) = '\0';
		rest = path + strlen(head);
	}
	if (!real)
		return NULL;
	while (*rest == '/')
		rest++;
	if (asprintf(&ret, "%s%s%s", strcmp(real, "/") == 0 && *rest ? "" : real, *rest ? "/" : "",
		     rest) < 0)
		ret = NULL;
	free(real);
	if (ret) /* no slash at the end of a name that doesn't exist yet */
		for (size_t n = strlen(ret); n > 1 && ret[n - 1] == '/'; n--)
			ret[n - 1] = '\0';
	return ret;
}

char *rundir_default(const char *opt)
{
	const char *dir = opt;

	if (!dir || !*dir)
		dir = getenv("VPCLAB_RUN_DIR");
	if (!dir || !*dir)
		dir = "/run/vpclab";
	return absolute(dir);
}

char *rundir_default_state(const char *run, const char *opt)
{
	if (opt && *opt)
		return absolute(opt);
	if (strcmp(run, "/run/vpclab") == 0)
		return strdup("/var/lib/vpclab");
	return rundir_file(run, "state");
}

char *rundir_file(const char *run, const char *name)
{
	char *ret;

	return asprintf(&ret, "%s/%s", run, name) < 0 ? NULL : ret;
}

static char *program_file(const char *run, const char *program, const char *suffix)
{
	char *ret;

	return asprintf(&ret, "%s/%s.%s", run, program, suffix) < 0 ? NULL : ret;
}

static int dir_err(struct err *e, int r, const char *what, const char *path)
{
	bool denied = r == -EACCES || r == -EPERM || r == -EROFS;

	return err_set(e, denied ? ERR_DENIED : ERR_STATE, -r, "%s %s: %s", what, path,
		       strerror(-r));
}

/* makes a directory that is ours and that nobody else may write to; owned, absolute */
static int dir_make(const char *what, const char *path, int mode, char **ret, struct err *e)
{
	auto_free char *real = NULL;
	struct stat st;
	int r;

	r = mkdir_p(path, mode);
	if (r < 0)
		return dir_err(e, r, what, path);
	real = realpath(path, NULL);
	if (!real || stat(real, &st) < 0)
		return dir_err(e, -errno, what, path);
	if (!S_ISDIR(st.st_mode))
		return dir_err(e, -ENOTDIR, what, path);
	if ((st.st_uid != geteuid() && st.st_uid != 0) || st.st_mode & S_IWOTH)
		return err_set(e, ERR_DENIED, EPERM,
			       "%s %s: others may write to it (owner uid %u, mode %04o)", what,
			       path, (unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
	if (faccessat(AT_FDCWD, real, W_OK | X_OK, AT_EACCESS) < 0)
		return dir_err(e, -errno, what, path);
	*ret = steal_ptr(&real);
	return 0;
}

static pid_t read_pid(const char *run, const char *program)
{
	auto_free char *path = program_file(run, program, "pid"), *text = NULL;
	uint64_t pid;
	size_t n;

	if (!path || read_file(path, 32, &text, &n) < 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	return parse_u64(text, 1, INT_MAX, &pid) < 0 ? 0 : (pid_t)pid;
}

static int lock_take(const char *run, const char *program, int *ret_fd, struct err *e)
{
	auto_free char *path = program_file(run, program, "lock");
	struct flock lk = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	auto_close int fd = -1;
	pid_t pid;

	if (!path)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return dir_err(e, -errno, "lock file", path);
	if (fcntl(fd, F_OFD_SETLK, &lk) == 0) {
		*ret_fd = steal_fd(&fd);
		return 0;
	}
	if (errno != EAGAIN && errno != EACCES)
		return dir_err(e, -errno, "lock file", path);
	pid = read_pid(run, program);
	if (!pid)
		return err_set(e, ERR_BUSY, EBUSY, "another %s is just starting in %s", program,
			       run);
	return err_set(e, ERR_BUSY, EBUSY, "%s runs already in %s, pid %d", program, run, (int)pid);
}

static int pid_write(const char *run, const char *program, char **ret_path, struct err *e)
{
	auto_free char *path = program_file(run, program, "pid");
	char text[32];
	int r, n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (!path)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	r = write_file_atomic(path, text, (size_t)n, 0644);
	if (r < 0)
		return dir_err(e, r, "pid file", path);
	*ret_path = steal_ptr(&path);
	return 0;
}

static int rundir_fill(const char *run, const char *state, const char *program, struct rundir *d,
		       struct err *e)
{
	int r;

	r = dir_make("run directory", run, 0755, &d->run, e);
	if (r < 0)
		return r;
	r = lock_take(d->run, program, &d->lock_fd, e);
	if (r < 0)
		return r;
	/* not before the lock: a second daemon changes nothing */
	r = dir_make("state directory", state, 0700, &d->state, e);
	if (r < 0)
		return r;
	return pid_write(d->run, program, &d->pid_file, e);
}

int rundir_open(const char *run, const char *state, const char *program, struct rundir *ret,
		struct err *e)
{
	struct rundir d = { .lock_fd = -1 };
	int r;

	r = rundir_fill(run, state, program, &d, e);
	if (r < 0) {
		free(d.run);
		free(d.state);
		if (d.lock_fd >= 0)
			close(d.lock_fd);
		return r;
	}
	*ret = d;
	return 0;
}

void rundir_done(struct rundir *r)
{
	if (r->pid_file)
		unlink(r->pid_file);
	if (r->lock_fd >= 0)
		close(r->lock_fd); /* the lock file stays: removing it would race */
	free(r->run);
	free(r->state);
	free(r->pid_file);
	*r = (struct rundir){ .lock_fd = -1 };
}

pid_t rundir_pid(const char *run, const char *program)
{
	auto_free char *path = program_file(run, program, "lock");
	struct flock lk = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	auto_close int fd = -1;
	pid_t pid;

	if (!path)
		return 0;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		if (fcntl(fd, F_OFD_GETLK, &lk) < 0 || lk.l_type == F_UNLCK)
			return 0;
		return read_pid(run, program);
	}
	if (errno != EACCES)
		return 0;
	/* not root: the lock can't be asked, the process can */
	pid = read_pid(run, program);
	return pid && (kill(pid, 0) == 0 || errno == EPERM) ? pid : 0;
}

void notify_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_close int fd = -1;
	size_t n;

	n = path ? strlen(path) : 0;
	if (n < 2 || n >= sizeof(a.sun_path))
		return;
	memcpy(a.sun_path, path, n);
	if (*path == '@')
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* systemd's time-out tells of a message that was lost */
	(void)!sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&a,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}
