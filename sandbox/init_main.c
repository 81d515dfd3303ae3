/* SPDX-License-Identifier: MIT */
/*
 * vpclab-init - pid 1 of a sandbox (init.h).  In this order, each step needing
 * what the next ones give up: network namespace, names, mounts and pivot,
 * (role) listening socket, resource limits, ids and capabilities, no_new_privs
 * and seccomp.  Nothing that a user wrote runs before the last of them.
 */
#include "sandbox/init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/jail.h"
#include "lib/util.h"
#include "sandbox/limits.h"

void init_flush(struct init *i)
{
	struct pollfd p = { .fd = INIT_FD_PAIR, .events = POLLOUT };
	int r;

	while ((r = wire_flush(&i->out, INIT_FD_PAIR)) == 1)
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			break;
	if (r < 0)
		wire_out_done(&i->out); /* nobody listens any more: the caller sees the end */
}

void init_fail(struct init *i, const char *step, int errnum)
{
	char number[16];

	(void)snprintf(number, sizeof(number), "%d", errnum);
	(void)wire_put_strs(&i->out, WIRE_FAIL, step, number, NULL);
	init_flush(i);
	_exit(125);
}

/* ---- the plan ---- */

static int add_string(char ***list, size_t *n, const char *s)
{
	char **more = reallocarray(*list, *n + 2, sizeof(*more));

	if (!more)
		return -ENOMEM;
	more[*n] = (char *)s;
	more[++*n] = NULL;
	*list = more;
	return 0;
}

/* the function's own may replace one of ours: PATH, LANG, NODE_PATH (EX-12) */
static int add_variable(struct init *i, const char *text)
{
	size_t len = strcspn(text, "="), n;

	for (n = 0; n < i->n_envp; n++)
		if (!strncmp(i->envp[n], text, len + 1)) {
			i->envp[n] = (char *)text;
			return 0;
		}
	return add_string(&i->envp, &i->n_envp, text);
}

static int take_line(struct init *i, const struct plan_line *l)
{
	if (!strcmp(l->key, "role")) {
		i->role = l->a;
	} else if (!strcmp(l->key, "runtime")) {
		i->runtime = l->a;
	} else if (!strcmp(l->key, "cwd")) {
		i->cwd = l->a;
	} else if (!strcmp(l->key, "seccomp")) {
		i->seccomp = l->a;
	} else if (!strcmp(l->key, "user")) {
		i->uid = (uid_t)strtoul(l->a, NULL, 10);
		i->gid = (gid_t)strtoul(l->b, NULL, 10);
	} else if (!strcmp(l->key, "group") && i->n_groups < INIT_GROUPS_MAX) {
		i->groups[i->n_groups++] = (gid_t)strtoul(l->a, NULL, 10);
	} else if (!strcmp(l->key, "caps")) {
		i->caps = jail_program_caps();
	} else if (!strcmp(l->key, "join")) {
		i->join = true;
	} else if (!strcmp(l->key, "tty")) {
		i->tty = true;
	} else if (!strcmp(l->key, "arg")) {
		return add_string(&i->argv, &i->n_argv, l->a);
	} else if (!strcmp(l->key, "env")) {
		return add_variable(i, l->a);
	}
	return 0;
}

static int read_plan(struct init *i)
{
	struct plan_line l;
	size_t pos = 0;
	int r = read_fd(INIT_FD_PLAN, LIMIT_MESSAGE, &i->plan, &i->plan_size);

	close(INIT_FD_PLAN);
	while (!r && (r = plan_next(i->plan, i->plan_size, &pos, &l)) > 0)
		r = take_line(i, &l);
	if (!r && (!i->role || (!i->envp && add_string(&i->envp, &i->n_envp, "TERM=dumb") < 0)))
		r = -EBADMSG;
	return r;
}

/* the plan's lines of one key, applied */
static int each_line(const struct init *i, const char *key, int (*fn)(const struct plan_line *l))
{
	struct plan_line l;
	size_t pos = 0;
	int r;

	while ((r = plan_next(i->plan, i->plan_size, &pos, &l)) > 0)
		if (!strcmp(l.key, key)) {
			r = fn(&l);
			if (r < 0)
				return r;
		}
	return r;
}

static int set_name(const struct plan_line *l)
{
	return sethostname(l->a, strlen(l->a)) < 0 ? -errno : 0;
}

/* rlimit NUMBER SOFT:HARD */
static int set_limit(const struct plan_line *l)
{
	struct rlimit rl;
	char *end;

	rl.rlim_cur = strtoull(l->b, &end, 10);
	rl.rlim_max = *end == ':' ? strtoull(end + 1, NULL, 10) : rl.rlim_cur;
	return setrlimit((__rlimit_resource_t)atoi(l->a), &rl) < 0 ? -errno : 0;
}

/* ---- entering ---- */

static int join_namespaces(struct init *i)
{
	/* the mount namespace last: it takes /proc away from under us; pid concerns
	 * children only */
	static const int order[] = { INIT_FD_NS + 1, INIT_FD_NS + 2, INIT_FD_NS + 3, INIT_FD_NS };
	size_t n;

	i->step = "enter the node";
	for (n = 0; n < ARRAY_SIZE(order); n++) {
		if (setns(order[n], 0) < 0)
			return -errno;
		close(order[n]);
	}
	return 0;
}

/* exec's terminal comes from the host's devpts, which a node's view lacks.  Taken out
 * while it is in reach, it becomes the view's /dev/console, as in other containers:
 * that is where ttyname(3) looks.  -1: none, and isatty(3) does without */
static int take_terminal(const struct init *i)
{
	struct stat have, named;
	char path[32];

	if (!i->tty || fstat(0, &have) < 0 || !S_ISCHR(have.st_mode))
		return -1;
	(void)snprintf(path, sizeof(path), "/dev/pts/%u", minor(have.st_rdev));
	if (stat(path, &named) < 0 || named.st_dev != have.st_dev || named.st_ino != have.st_ino)
		return -1;
	return (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

/* in a mount namespace of this command's own: others of the node don't get to see it */
static int put_terminal(const struct init *i, int terminal)
{
	if (i->join && unshare(CLONE_NEWNS) < 0)
		return -errno;
	if (syscall(SYS_move_mount, terminal, "", AT_FDCWD, "/dev/console",
		    MOVE_MOUNT_F_EMPTY_PATH) < 0 &&
	    errno != ENOENT)
		return -errno;
	return 0;
}

static int enter_node(struct init *i)
{
	int r;

	i->step = "enter the network namespace";
	if (setns(INIT_FD_NET, CLONE_NEWNET) < 0)
		return -errno;
	close(INIT_FD_NET);
	if (i->join)
		return join_namespaces(i);
	i->step = "unshare the cgroup namespace";
	if (unshare(CLONE_NEWCGROUP) < 0)
		return -errno;
	i->step = "set the host name";
	r = each_line(i, "hostname", set_name);
	return r ? r : init_view(i);
}

static int enter(struct init *i)
{
	int terminal = take_terminal(i);
	int r = enter_node(i);

	if (terminal < 0)
		return r;
	if (!r) {
		i->step = "give the node the terminal";
		r = put_terminal(i, terminal);
	}
	close(terminal);
	return r;
}

static int filter(struct init *i, enum jail_filter f)
{
	int r;

	i->step = "load the system call filter";
	r = jail_filter_load(INIT_FD_FILTER, f);
	close(INIT_FD_FILTER);
	return r;
}

int init_drop(struct init *i)
{
	bool function = i->seccomp && !strcmp(i->seccomp, "function");
	int r;

	i->step = "set resource limits";
	r = each_line(i, "rlimit", set_limit);
	/* without no_new_privs the filter needs the capabilities that go next */
	if (!r && !function)
		r = filter(i, JAIL_PROGRAM);
	if (r)
		return r;
	i->step = "drop privileges";
	r = jail_ids(i->uid, i->gid, i->groups, i->n_groups, i->caps);
	if (r || !function)
		return r;
	/* its user is the function's: no look into this process, and it ends with sandboxd
	 * even while it is frozen */
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return filter(i, JAIL_FUNCTION);
}

int main(void)
{
	struct init i = { .step = "read the plan", .cwd = "/", .runtime = "", .role = NULL };
	int r;

	umask(022);
	if (fcntl(INIT_FD_PAIR, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(INIT_FD_FILTER, F_SETFD, FD_CLOEXEC) < 0)
		return 125;
	r = read_plan(&i);
	if (!r)
		r = enter(&i);
	if (r < 0)
		init_fail(&i, i.step, -r);
	if (!strcmp(i.role, "function"))
		init_env(&i);
	if (!strcmp(i.role, "program"))
		init_program(&i);
	init_exec(&i);
}
