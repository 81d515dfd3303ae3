/* SPDX-License-Identifier: MIT */
/*
 * cgroup - groups of processes below an instance's root (cgroup.h).  A group is
 * a directory of the same name in every hierarchy in use (at most five), so
 * every operation is a walk over them; what v1 and v2 do differently is in
 * cgroup_ops.c, where the roots are in cgroup_host.c.
 *
 * Killing: cgroup.kill where a v2 tree is in use, which takes frozen processes
 * too.  Else the group is frozen (or a fork bomb wins the race), every process
 * gets SIGKILL through a pidfd that is checked to be still in the group, and
 * the group is thawed, because v1's frozen processes don't die.
 *
 * Removing: a directory goes when its last process is gone, which is after that
 * process died.  Waiting is for the process, by pidfd, and not for time.
 */
#include "lib/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cgroup_int.h"
#include "lib/proc.h"
#include "lib/util.h"

#define DEPTH_MAX 16
#define KILL_PASSES 100

struct cgroup {
	struct cgroups *c;
	char *path;    /* below the root, owns */
	int freeze_fd; /* kept open: it is written around every invocation */
};

struct pids {
	pid_t *pid; /* owns */
	size_t n, cap;
};

const struct hier *cgroup_hier(const struct cgroups *c, enum cgroup_use use)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (c->h[i].uses & USE_BIT(use))
			return &c->h[i];
	return NULL;
}

const char *cgroups_describe(const struct cgroups *c)
{
	return c->text;
}

struct cgroups *cgroups_close(struct cgroups *c)
{
	size_t i;

	if (!c)
		return NULL;
	for (i = 0; i < c->n; i++) {
		if (c->h[i].fd >= 0) {
			cgroup_root_prune(&c->h[i]);
			close(c->h[i].fd);
		}
		free(c->h[i].path);
	}
	free(c->run);
	free(c);
	return NULL;
}

static int open_dir(int at, const char *path)
{
	int fd = openat(at, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* names of directories below "at"/"path"; "fn" non-zero ends it and is returned */
static int each_dir(int at, const char *path, int (*fn)(int dir, const char *name, void *arg),
		    void *arg)
{
	int fd = open_dir(at, path), r = 0;
	struct dirent *d;
	DIR *dir;

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		close(fd);
		return r;
	}
	while (r == 0 && (d = readdir(dir)))
		if (d->d_type == DT_DIR && strcmp(d->d_name, ".") != 0 &&
		    strcmp(d->d_name, "..") != 0)
			r = fn(dirfd(dir), d->d_name, arg);
	closedir(dir);
	return r;
}

/* ---- processes ---- */

static int pids_add(struct pids *p, pid_t pid)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 64;
		pid_t *more = reallocarray(p->pid, cap, sizeof(*more));

		if (!more)
			return -ENOMEM;
		p->pid = more;
		p->cap = cap;
	}
	p->pid[p->n++] = pid;
	return 0;
}

static int pid_cmp(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

static void pids_sort(struct pids *p)
{
	size_t i, n = 0;

	if (p->n)
		qsort(p->pid, p->n, sizeof(*p->pid), pid_cmp);
	for (i = 0; i < p->n; i++)
		if (!n || p->pid[i] != p->pid[n - 1])
			p->pid[n++] = p->pid[i];
	p->n = n;
}

static bool pids_has(const struct pids *p, pid_t pid)
{
	return p->n && bsearch(&pid, p->pid, p->n, sizeof(pid), pid_cmp);
}

static int read_procs(int dir, struct pids *p)
{
	auto_close int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	auto_fclose FILE *f = NULL;
	int pid, r = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	f = fdopen(fd, "r");
	if (!f)
		return -errno;
	fd = -1;
	while (r == 0 && fscanf(f, "%d", &pid) == 1)
		if (pid > 0) /* 0: of a pid namespace that isn't ours */
			r = pids_add(p, pid);
	return r < 0 ? r : ferror(f) ? -EIO : 0;
}

static int tree_procs(int at, const char *name, void *arg)
{
	int fd = open_dir(at, name), r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = read_procs(fd, arg);
	if (r == 0)
		r = each_dir(fd, "", tree_procs, arg);
	close(fd);
	return r;
}

/* processes in any of the hierarchies, sorted; the caller frees p->pid */
static int all_procs(const struct cgroups *c, const char *path, struct pids *p)
{
	size_t i;
	int r = 0;

	for (i = 0; i < c->n && r == 0; i++)
		r = tree_procs(c->h[i].fd, path, p);
	pids_sort(p);
	return r;
}

/* SIGKILL to those of "p" that are not in "done" and not the caller; number sent */
static int kill_new(const struct cgroups *c, const char *path, const struct pids *p,
		    const struct pids *done)
{
	size_t i;
	int n = 0;

	for (i = 0; i < p->n; i++) {
		auto_close int fd = -1;
		struct pids now = { 0 };
		int r;

		if (p->pid[i] == getpid() || pids_has(done, p->pid[i]))
			continue;
		fd = proc_open(p->pid[i]);
		if (fd < 0)
			continue;
		/* the number may have gone to a stranger before the pidfd was made */
		r = all_procs(c, path, &now);
		if (r == 0 && pids_has(&now, p->pid[i]) && proc_signal(fd, SIGKILL) == 0)
			n++;
		free(now.pid);
		if (r < 0)
			return r;
	}
	return n;
}

static int set_frozen(const struct cgroups *c, const char *path, bool frozen)
{
	const struct hier *h = cgroup_hier(c, USE_FREEZER);
	auto_close int fd = -1;

	if (!h)
		return -ENOTSUP;
	fd = open_dir(h->fd, path);
	if (fd < 0)
		return fd;
	return cgroup_write(fd, h->ops->file[USE_FREEZER],
			    frozen ? h->ops->freeze_on : h->ops->freeze_off);
}

/* "stop": frozen meanwhile; never where the caller may be inside */
static int kill_listed(const struct cgroups *c, const char *path, bool stop)
{
	struct pids done = { 0 };
	int pass, n = 1, r = 0;

	/* best effort: without it the passes alone must win */
	if (stop)
		set_frozen(c, path, true);
	for (pass = 0; pass < KILL_PASSES && n > 0; pass++) {
		struct pids p = { 0 };

		r = all_procs(c, path, &p);
		n = r < 0 ? r : kill_new(c, path, &p, &done);
		free(done.pid);
		done = p;
	}
	free(done.pid);
	/* always: v1's frozen processes don't die */
	r = stop ? set_frozen(c, path, false) : 0;
	if (n < 0)
		return n;
	return r == -ENOENT ? 0 : r;
}

static int kill_path(const struct cgroups *c, const char *path)
{
	size_t i;

	for (i = 0; i < c->n; i++) {
		const struct hier *h = &c->h[i];
		auto_close int fd = -1;
		int r;

		if (h->ops->version != 2)
			continue;
		fd = open_dir(h->fd, path);
		if (fd == -ENOENT)
			break;
		if (fd < 0)
			return fd;
		r = h->ops->kill(fd);
		if (r == -ENOSYS)
			break;
		return r == -ENOENT || r == -ENODEV ? 0 : r;
	}
	return kill_listed(c, path, true);
}

/* ---- making and removing ---- */

static bool path_is_good(const char *path)
{
	unsigned depth = 1;
	const char *s;

	if (!*path || *path == '/' || strlen(path) >= 200)
		return false;
	for (s = path; *s; s++) {
		bool start = s == path || s[-1] == '/';

		if (start && (*s == '/' || *s == '.'))
			return false;
		if (*s == '/' && (!s[1] || ++depth > DEPTH_MAX))
			return false;
	}
	return true;
}

/* one directory of the path; controllers are passed on to what is made below it */
static int make_part(const struct hier *h, const char *part, bool leaf, bool *ret_made)
{
	auto_close int fd = -1;

	*ret_made = mkdirat(h->fd, part, 0755) == 0;
	if (!*ret_made && errno != EEXIST)
		return -errno;
	if (leaf || h->ops->version != 2 || !(h->uses & USE_LIMITS))
		return 0;
	fd = open_dir(h->fd, part);
	return fd < 0 ? fd : cgroup_enable(fd, h->uses & USE_LIMITS);
}

static int make_path(const struct hier *h, const char *path, bool *ret_made)
{
	auto_free char *part = strdup(path);
	char *slash;
	int r = 0;

	if (!part)
		return -ENOMEM;
	for (slash = strchr(part, '/'); slash && r == 0; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		r = make_part(h, part, false, ret_made);
		*slash = '/';
	}
	*ret_made = false;
	return r < 0 ? r : make_part(h, part, true, ret_made);
}

static int set_limits(const struct cgroups *c, const char *path, const struct cgroup_limits *l,
		      struct err *e)
{
	size_t i;

	for (i = 0; i < c->n; i++) {
		const struct hier *h = &c->h[i];
		auto_close int fd = open_dir(h->fd, path);
		const char *what = "memory";
		int r = 0;

		if (fd < 0)
			return err_set(e, ERR_KERNEL, -fd, "cgroup %s/%s: %s", h->path, path,
				       strerror(-fd));
		if (h->uses & USE_BIT(USE_MEMORY))
			r = h->ops->set_memory(fd, l->memory);
		if (r == 0 && h->uses & USE_BIT(USE_CPU)) {
			what = "cpu";
			r = h->ops->set_cpu(fd, l->cpus);
		}
		if (r == 0 && h->uses & USE_BIT(USE_PIDS)) {
			what = "pids";
			r = h->ops->set_pids(fd, l->pids);
		}
		if (r < 0)
			return err_set(e, ERR_KERNEL, -r, "cgroup %s/%s: limit %s: %s", h->path,
				       path, what, strerror(-r));
	}
	return 0;
}

static struct cgroup *handle(struct cgroups *c, const char *path)
{
	struct cgroup *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->c = c;
	g->freeze_fd = -1;
	g->path = strdup(path);
	return g->path ? g : cgroup_close(g);
}

struct cgroup *cgroup_close(struct cgroup *g)
{
	if (!g)
		return NULL;
	if (g->freeze_fd >= 0)
		close(g->freeze_fd);
	free(g->path);
	free(g);
	return NULL;
}

int cgroup_make(struct cgroups *c, const char *path, const struct cgroup_limits *l,
		struct cgroup **ret, struct err *e)
{
	struct cgroup *g = NULL;
	unsigned made = 0;
	size_t i;
	int r = 0;

	if (!path_is_good(path))
		return err_set(e, ERR_INTERNAL, EINVAL, "cgroup \"%s\": not a path", path);
	for (i = 0; i < c->n && r == 0; i++) {
		struct hier *h = &c->h[i];
		bool new = false;

		r = make_path(h, path, &new);
		if (r == -ENOENT) { /* the root itself is gone */
			r = cgroup_root_make(h, e);
			if (r < 0)
				break;
			r = make_path(h, path, &new);
		}
		if (new)
			made |= 1U << i;
		if (r < 0)
			err_set(e, ERR_KERNEL, -r, "cgroup %s/%s: %s", h->path, path, strerror(-r));
	}
	if (r == 0 && l)
		r = set_limits(c, path, l, e);
	if (r == 0) {
		g = handle(c, path);
		if (!g)
			r = err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	if (r < 0) {
		for (i = 0; i < c->n; i++)
			if (made & 1U << i)
				unlinkat(c->h[i].fd, path, AT_REMOVEDIR);
		return r;
	}
	*ret = g;
	return 0;
}

static bool exists(const struct cgroups *c, const char *path)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (faccessat(c->h[i].fd, path, F_OK, 0) == 0)
			return true;
	return false;
}

int cgroup_find(struct cgroups *c, const char *path, struct cgroup **ret)
{
	struct cgroup *g;

	if (!path_is_good(path))
		return -EINVAL;
	if (!exists(c, path))
		return -ENOENT;
	g = handle(c, path);
	if (!g)
		return -ENOMEM;
	*ret = g;
	return 0;
}

int cgroup_set_limits(struct cgroup *g, const struct cgroup_limits *l, struct err *e)
{
	return set_limits(g->c, g->path, l, e);
}

struct each_arg {
	struct cgroups *c;
	const char *path;
	size_t idx; /* hierarchy that is read */
	int (*fn)(const char *name, void *arg);
	void *arg;
};

/* what an earlier hierarchy has was told already */
static int each_name(int dir, const char *name, void *arg)
{
	struct each_arg *a = arg;
	char path[512];
	size_t i;

	(void)dir;
	if (snprintf(path, sizeof(path), "%s%s%s", a->path, *a->path ? "/" : "", name) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	for (i = 0; i < a->idx; i++)
		if (faccessat(a->c->h[i].fd, path, F_OK, 0) == 0)
			return 0;
	return a->fn(name, a->arg);
}

int cgroup_each(struct cgroups *c, const char *path, int (*fn)(const char *name, void *arg),
		void *arg)
{
	struct each_arg a = { .c = c, .path = path, .fn = fn, .arg = arg };
	int r = 0;

	for (a.idx = 0; a.idx < c->n && r == 0; a.idx++) {
		r = each_dir(c->h[a.idx].fd, path, each_name, &a);
		if (r == -ENOENT)
			r = 0;
	}
	return r;
}

static int remove_tree(int at, const char *name, void *arg)
{
	int fd = open_dir(at, name), r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = each_dir(fd, "", remove_tree, arg);
	close(fd);
	if (r < 0)
		return r;
	return unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

/* once, in all hierarchies; 0, or the last failure */
static int remove_once(const struct cgroups *c, const char *path)
{
	int r = 0;
	size_t i;

	for (i = 0; i < c->n; i++) {
		int s = *path ? remove_tree(c->h[i].fd, path, NULL) :
				each_dir(c->h[i].fd, "", remove_tree, NULL);

		if (s < 0)
			r = s;
	}
	return r;
}

/* waits for the end of one process of the group; -ETIMEDOUT */
static int wait_one(const struct cgroups *c, const char *path, int timeout_ms)
{
	struct pids p = { 0 };
	size_t i;
	int r;

	r = all_procs(c, path, &p);
	for (i = 0; i < p.n && r == 0; i++) {
		auto_close int fd = -1;
		struct pollfd pf;

		if (p.pid[i] == getpid())
			continue;
		fd = proc_open(p.pid[i]);
		if (fd < 0)
			continue;
		pf = (struct pollfd){ .fd = fd, .events = POLLIN };
		r = poll(&pf, 1, timeout_ms);
		r = r < 0 ? (errno == EINTR ? 0 : -errno) : r ? 0 : -ETIMEDOUT;
		break;
	}
	/* all have ended and the last is on its way out of the kernel */
	if (r == 0 && i == p.n)
		sched_yield();
	free(p.pid);
	return r;
}

static int remove_path(const struct cgroups *c, const char *path, int timeout_ms)
{
	struct mono start = mono_now();
	int r;

	for (;;) {
		int left = timeout_ms - (int)mono_ms_since(start);

		r = remove_once(c, path);
		if (r != -EBUSY && r != -ENOTEMPTY)
			return r;
		if (left <= 0)
			return -EBUSY;
		r = wait_one(c, path, left);
		if (r == -ETIMEDOUT)
			return -EBUSY;
		if (r < 0)
			return r;
	}
}

int cgroup_remove(struct cgroup *g, int timeout_ms)
{
	if (g->freeze_fd >= 0) {
		close(g->freeze_fd);
		g->freeze_fd = -1;
	}
	return remove_path(g->c, g->path, timeout_ms);
}

/* kills group after group: the caller may be in one of them, which is then
 * neither frozen nor killed as a whole */
static int kill_below(int dir, const char *name, void *arg)
{
	struct pids p = { 0 };
	bool inside;
	int r;

	(void)dir;
	r = all_procs(arg, name, &p);
	inside = pids_has(&p, getpid());
	free(p.pid);
	if (r < 0)
		return r;
	return inside ? kill_listed(arg, name, false) : kill_path(arg, name);
}

int cgroups_remove(struct cgroups *c, int timeout_ms, struct err *e)
{
	auto_free char *path = NULL;
	size_t i;
	int r = 0;

	for (i = 0; i < c->n && r == 0; i++)
		r = each_dir(c->h[i].fd, "", kill_below, c);
	if (r == 0)
		r = kill_listed(c, "", false);
	if (r == 0)
		r = remove_path(c, "", timeout_ms);
	for (i = 0; i < c->n && r == 0; i++)
		if (rmdir(c->h[i].path) < 0 && errno != ENOENT)
			r = -errno;
	if (r < 0)
		return err_set(e, r == -EBUSY ? ERR_BUSY : ERR_KERNEL, -r,
			       "remove cgroups below %s: %s", c->h[0].path, strerror(-r));
	if (asprintf(&path, "%s/cgroups", c->run) < 0)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	unlink(path);
	return 0;
}

/* ---- a group at work ---- */

int cgroup_join_fds(struct cgroup *g, int fds[CGROUP_JOIN_MAX], size_t *ret_n)
{
	size_t i;

	for (i = 0; i < g->c->n; i++) {
		auto_close int dir = open_dir(g->c->h[i].fd, g->path);

		fds[i] = dir < 0 ? dir : openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
		if (fds[i] < 0) {
			int r = dir < 0 ? dir : -errno;

			cgroup_join_done(fds, i);
			return r;
		}
	}
	*ret_n = i;
	return 0;
}

void cgroup_join_done(int *fds, size_t n)
{
	while (n)
		close(fds[--n]);
}

int cgroup_attach(struct cgroup *g, pid_t pid)
{
	char text[24];
	size_t i;
	int r = 0;

	snprintf(text, sizeof(text), "%d", (int)pid);
	for (i = 0; i < g->c->n && r == 0; i++) {
		auto_close int dir = open_dir(g->c->h[i].fd, g->path);

		r = dir < 0 ? dir : cgroup_write(dir, "cgroup.procs", text);
	}
	return r;
}

static int freeze(struct cgroup *g, bool on)
{
	const struct hier *h = cgroup_hier(g->c, USE_FREEZER);
	const char *word;

	if (!h)
		return -ENOTSUP;
	if (g->freeze_fd < 0) {
		auto_close int dir = open_dir(h->fd, g->path);

		if (dir < 0)
			return dir;
		g->freeze_fd = openat(dir, h->ops->file[USE_FREEZER], O_WRONLY | O_CLOEXEC);
		if (g->freeze_fd < 0)
			return -errno;
	}
	word = on ? h->ops->freeze_on : h->ops->freeze_off;
	return pwrite(g->freeze_fd, word, strlen(word), 0) < 0 ? -errno : 0;
}

int cgroup_freeze(struct cgroup *g)
{
	return freeze(g, true);
}

int cgroup_thaw(struct cgroup *g)
{
	return freeze(g, false);
}

/* the group's directory in the hierarchy of "use"; fd or -errno */
static int use_dir(struct cgroup *g, enum cgroup_use use, const struct hier **ret)
{
	*ret = cgroup_hier(g->c, use);
	return *ret ? open_dir((*ret)->fd, g->path) : -ENOTSUP;
}

int cgroup_is_frozen(struct cgroup *g)
{
	const struct hier *h;
	auto_close int fd = use_dir(g, USE_FREEZER, &h);

	return fd < 0 ? fd : h->ops->is_frozen(fd);
}

int cgroup_kill(struct cgroup *g)
{
	return kill_path(g->c, g->path);
}

int cgroup_pids(struct cgroup *g, pid_t **ret, size_t *ret_n)
{
	struct pids p = { 0 };
	int r = all_procs(g->c, g->path, &p);

	if (r < 0) {
		free(p.pid);
		return r;
	}
	*ret = p.pid;
	*ret_n = p.n;
	return 0;
}

int cgroup_memory(struct cgroup *g, uint64_t *ret)
{
	const struct hier *h;
	auto_close int fd = use_dir(g, USE_MEMORY, &h);

	return fd < 0 ? fd : h->ops->memory(fd, ret);
}

int cgroup_memory_peak(struct cgroup *g, uint64_t *ret)
{
	const struct hier *h;
	auto_close int fd = use_dir(g, USE_MEMORY, &h);

	return fd < 0 ? fd : h->ops->memory_peak(fd, ret);
}

int cgroup_memory_mapped(struct cgroup *g, uint64_t *ret)
{
	const struct hier *h;
	auto_close int fd = use_dir(g, USE_MEMORY, &h);

	return fd < 0 ? fd : h->ops->memory_mapped(fd, ret);
}

int cgroup_oom_kills(struct cgroup *g, uint64_t *ret)
{
	const struct hier *h;
	auto_close int fd = use_dir(g, USE_MEMORY, &h);

	return fd < 0 ? fd : h->ops->oom_kills(fd, ret);
}
