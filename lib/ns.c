/* SPDX-License-Identifier: MIT */
/*
 * ns - network namespaces pinned without a process.
 *
 *   host's mount table            private mount namespace ("home")
 *   RUN/home      (onto itself)   RUN/ns            tmpfs
 *   RUN/home/mnt  -> home         RUN/ns/LAB/NAME   one bind mount a namespace
 *
 * The two lines on the left are all that the host ever has.  RUN/home is private,
 * because a file of a mount namespace can't be propagated.  Inside, everything is
 * a slave of the host's mounts: what the host unmounts goes here too.  The home
 * outlives its maker; whoever comes next enters it by the pin.  It is pinned
 * last, when it is ready, so a crash in between leaves nothing half made.
 *
 * lib/nl and lib/nft take their sockets from here; nothing else calls setns().
 */
#include "lib/ns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>

#include "lib/util.h"

#define CPU_TRIES 64
#define SYSCTL_PATH_MAX 256

static struct {
	char *run;    /* absolute; NULL: not entered */
	int host_mnt; /* the mount namespace that we came from */
} home = { .host_mnt = -1 };
static int home_net = -1; /* the network namespace that every visit ends in */

/* ---- faults ---- */

static unsigned long fault_at, fault_n;

void fault_set(unsigned long n)
{
#ifdef VPCLAB_TESTING
	fault_at = n ? fault_n + n : 0;
#else
	(void)n;
#endif
}

unsigned long fault_count(void)
{
	return fault_n;
}

int fault_hit(void)
{
#ifdef VPCLAB_TESTING
	fault_n++;
	if (fault_at && fault_n == fault_at) {
		fault_at = 0;
		return -EIO;
	}
#else
	(void)fault_at;
#endif
	return 0;
}

/* ---- paths and files ---- */

static int path_fmt(char ret[PATH_MAX], const char *a, const char *b, const char *c, const char *d)
{
	int n = snprintf(ret, PATH_MAX, "%s%s%s%s%s%s%s", a, *b ? "/" : "", b, *c ? "/" : "", c,
			 *d ? "/" : "", d);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static bool name_ok(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/') && strlen(name) <= NAME_MAX;
}

/* RUN/ns[/LAB[/NAME]] */
static int pin_path(char ret[PATH_MAX], const char *lab, const char *name)
{
	if (!home.run)
		return -ENOTCONN;
	if ((lab && !name_ok(lab)) || (name && !name_ok(name)))
		return -EINVAL;
	return path_fmt(ret, home.run, "ns", lab ? lab : "", name ? name : "");
}

static bool is_mount_root(const char *path)
{
	struct statx st;

	return !statx(AT_FDCWD, path, AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW, 0, &st) &&
	       (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* opens a pin; -ENOENT also for the empty file that a crash left in its place */
static int open_pin(const char *path, int type)
{
	struct statfs fs;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) || fs.f_type != NSFS_MAGIC || ioctl(fd, NS_GET_NSTYPE) != type) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

static int make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int bind_fd(int fd, const char *path)
{
	char from[40];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	return mount(from, path, NULL, MS_BIND, NULL) ? -errno : 0;
}

static int unmount(const char *path)
{
	if (!umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW))
		return 0;
	/* EINVAL: not a mount point */
	return errno == ENOENT || errno == EINVAL ? 0 : -errno;
}

static int open_own(const char *what)
{
	int fd = open(what, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* ---- the home ---- */

static int home_open(const char *run)
{
	char path[PATH_MAX];
	int r = path_fmt(path, run, "home", "mnt", "");

	return r ? r : open_pin(path, CLONE_NEWNS);
}

/* binds RUN/home onto itself, private */
static int home_anchor(const char *run)
{
	char path[PATH_MAX], pin[PATH_MAX];
	int r = path_fmt(path, run, "home", "", "");

	if (!r)
		r = path_fmt(pin, run, "home", "mnt", "");
	if (r)
		return r;
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	if (!is_mount_root(path) && mount(path, path, NULL, MS_BIND, NULL))
		return -errno;
	if (mount(NULL, path, NULL, MS_PRIVATE, NULL))
		return -errno;
	return make_file(pin);
}

/* what a fresh mount namespace, the caller's, needs */
static int home_furnish(const char *run)
{
	char path[PATH_MAX];
	int r = path_fmt(path, run, "ns", "", "");

	if (r)
		return r;
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
		return -errno;
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	if (mount("vpclab", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return -errno;
	/* the pins must be seen by nobody: a mount below a shared parent would be copied */
	return mount(NULL, path, NULL, MS_PRIVATE, NULL) ? -errno : 0;
}

/* makes a mount namespace, furnishes and pins it; the caller is back in "host" */
static int home_make_once(const char *run, int host)
{
	auto_close int fd = -1;
	char pin[PATH_MAX];
	int r = path_fmt(pin, run, "home", "mnt", "");

	if (r)
		return r;
	if (unshare(CLONE_NEWNS))
		return -errno;
	r = home_furnish(run);
	if (!r) {
		fd = open_own("/proc/thread-self/ns/mnt");
		r = fd < 0 ? fd : 0;
	}
	if (setns(host, CLONE_NEWNS))
		abort(); /* lost in a namespace that nobody will find */
	return r ? r : bind_fd(fd, pin);
}

/*
 * The kernel lets a mount namespace be bound only in an older one, and from 6.18
 * on tells age by numbers that each CPU deals out by itself: EINVAL may mean no
 * more than "made on the wrong CPU".
 */
static int home_make(const char *run, int host)
{
	cpu_set_t all, one;
	int cpu, r, tries = 0;

	r = home_make_once(run, host);
	if (r != -EINVAL || sched_getaffinity(0, sizeof(all), &all))
		return r;
	/* also those that we were not started on: it is for a moment */
	for (cpu = 0; cpu < CPU_SETSIZE && r == -EINVAL && tries < CPU_TRIES; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one))
			continue; /* no such CPU, or not for us */
		tries++;
		r = home_make_once(run, host);
	}
	(void)sched_setaffinity(0, sizeof(all), &all); /* it was ours a moment ago */
	return r;
}

static int home_unpin(const char *run);

static int home_find_or_make(const char *run, int host, struct err *e)
{
	int fd = home_open(run), r;

	if (fd >= 0)
		return fd;
	if (fd != -ENOENT)
		return err_set(e, ERR_HOST, -fd, "%.150s/home/mnt: %s", run, strerror(-fd));
	/* entering a mount namespace leads to its own root: out of a chroot, for good */
	if (!is_mount_root("/"))
		return err_set(e, ERR_HOST, EPERM,
			       "this is a chroot, which a private mount namespace would leave "
			       "(a container with a root of its own will do)");
	r = home_anchor(run);
	if (r)
		return err_set(e, ERR_HOST, -r, "%.150s/home: bind mount: %s", run, strerror(-r));
	r = home_make(run, host);
	if (r) {
		(void)home_unpin(run); /* what failed is told; what was made for it goes */
		return err_set(e, ERR_HOST, -r, "private mount namespace of %.150s: %s", run,
			       strerror(-r));
	}
	fd = home_open(run);
	if (fd < 0)
		return err_set(e, ERR_HOST, -fd, "%.150s/home/mnt: %s", run, strerror(-fd));
	return fd;
}

static int home_net_open(void)
{
	int fd;

	if (home_net >= 0)
		return 0;
	fd = open_own("/proc/thread-self/ns/net");
	if (fd < 0)
		return fd;
	home_net = fd;
	return 0;
}

/* entering a mount namespace leads to its root: back to the folder of that name */
static void back_to(char **cwd)
{
	if (*cwd && chdir(*cwd))
		errno = 0; /* it isn't seen from here: the root will do */
	free(*cwd);
}
#define auto_cwd __attribute__((cleanup(back_to)))

int ns_home_enter(const char *run, struct err *e)
{
	auto_cwd char *cwd = getcwd(NULL, 0);
	auto_free char *abs = NULL;
	auto_close int host = -1, fd = -1;
	int r;

	abs = realpath(run, NULL);
	if (!abs)
		return err_set(e, ERR_HOST, errno, "%.200s: %s", run, strerror(errno));
	if (home.run && !strcmp(home.run, abs))
		return 0;
	if (home.run)
		return err_set(e, ERR_INTERNAL, EBUSY, "already in the home of %.200s", home.run);
	r = home_net_open();
	if (r)
		return err_set(e, ERR_HOST, -r, "own network namespace: %s", strerror(-r));
	host = open_own("/proc/thread-self/ns/mnt");
	if (host < 0)
		return err_set(e, ERR_HOST, -host, "own mount namespace: %s", strerror(-host));
	fd = home_find_or_make(abs, host, e);
	if (fd < 0)
		return fd;
	if (setns(fd, CLONE_NEWNS)) {
		r = -errno;
		return err_set(e, ERR_HOST, -r, "entering %.200s/home/mnt: %s", abs, strerror(-r));
	}
	home.run = steal_ptr(&abs);
	home.host_mnt = steal_fd(&host);
	return 0;
}

static void home_forget(void)
{
	if (home.host_mnt >= 0)
		close(home.host_mnt);
	home.host_mnt = -1;
	free(home.run);
	home.run = NULL;
}

static int drop_lab_cb(const char *lab, void *arg)
{
	(void)arg;
	return ns_drop_lab(lab);
}

/* in the home: lets go of every namespace */
static int home_empty(void)
{
	char path[PATH_MAX];
	int r = pin_path(path, NULL, NULL);

	if (!r)
		r = ns_each(NULL, drop_lab_cb, NULL);
	return r ? r : unmount(path);
}

/* in the host's mount namespace: takes the two lines away */
static int home_unpin(const char *run)
{
	char path[PATH_MAX];
	int r;

	r = path_fmt(path, run, "home", "mnt", "");
	if (!r)
		r = unmount(path);
	if (r)
		return r;
	if (unlink(path) && errno != ENOENT && errno != ENOTDIR)
		return -errno;
	r = path_fmt(path, run, "home", "", "");
	if (!r)
		r = unmount(path);
	if (r)
		return r;
	if (rmdir(path) && errno != ENOENT)
		return -errno;
	r = path_fmt(path, run, "ns", "", "");
	if (r)
		return r;
	return rmdir(path) && errno != ENOENT ? -errno : 0;
}

int ns_home_remove(const char *run, struct err *e)
{
	auto_cwd char *cwd = getcwd(NULL, 0);
	auto_free char *abs = realpath(run, NULL);
	int r = 0;

	if (!abs)
		return errno == ENOENT ?
			       0 :
			       err_set(e, ERR_HOST, errno, "%.200s: %s", run, strerror(errno));
	if (ns_home_exists(abs)) {
		r = ns_home_enter(abs, e);
		if (r)
			return r;
		r = home_empty();
		if (setns(home.host_mnt, CLONE_NEWNS))
			abort();
		home_forget();
	}
	if (!r)
		r = home_unpin(abs);
	if (r)
		return err_set(e, ERR_HOST, -r, "unpinning the namespaces of %.200s: %s", abs,
			       strerror(-r));
	return 0;
}

bool ns_home_exists(const char *run)
{
	auto_free char *abs = realpath(run, NULL);
	auto_close int fd = -1;

	if (!abs)
		return false;
	/* from inside the pin can't be seen: it is below a private mount */
	if (home.run && !strcmp(home.run, abs))
		return true;
	fd = home_open(abs);
	return fd >= 0;
}

char *ns_path(const char *run, int netd_pid, const char *lab, const char *name)
{
	auto_free char *abs = realpath(run, NULL);
	char *ret;

	if (asprintf(&ret, "/proc/%d/root%s/ns/%s/%s", netd_pid, abs ? abs : run, lab, name) < 0)
		return NULL;
	return ret;
}

/* ---- visits ---- */

static void go_home(void)
{
	/* whatever came next would happen to the wrong namespace, or to the host */
	if (setns(home_net, CLONE_NEWNET))
		abort();
}

int ns_do(int ns_fd, int (*fn)(void *arg), void *arg)
{
	int r = home_net_open();

	if (r)
		return r;
	if (setns(ns_fd, CLONE_NEWNET))
		return -errno;
	r = fn(arg);
	go_home();
	return r;
}

struct sock_req {
	int domain, type, protocol;
};

static int socket_cb(void *arg)
{
	const struct sock_req *q = arg;
	int fd = socket(q->domain, q->type | SOCK_CLOEXEC, q->protocol);

	return fd < 0 ? -errno : fd;
}

int ns_socket(int ns_fd, int domain, int type, int protocol)
{
	struct sock_req q = { .domain = domain, .type = type, .protocol = protocol };

	return ns_do(ns_fd, socket_cb, &q);
}

/* ---- namespaces ---- */

/*
 * Settings of connection tracking are there once its module is, which nothing may
 * have asked for since the host was booted; the kernel loads it for this question.
 */
static void load_tracking(void)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
	} ask = {
		.h = { .nlmsg_len = sizeof(ask),
		       .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET_STATS,
		       .nlmsg_flags = NLM_F_REQUEST },
		.g = { .nfgen_family = AF_INET, .version = NFNETLINK_V0 },
	};
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	/* what comes of it shows where the setting is opened again */
	if (fd >= 0)
		(void)sendto(fd, &ask, sizeof(ask), 0, (struct sockaddr *)&kernel, sizeof(kernel));
}

static int sysctl_write(const char *name, size_t name_len, const char *val, size_t val_len)
{
	char path[SYSCTL_PATH_MAX];
	auto_close int fd = -1;
	size_t i;

	/* only what belongs to the network namespace, nothing of the host's */
	if (strncmp(name, "net.", 4) || memchr(name, '/', name_len) ||
	    name_len + sizeof("/proc/sys/") > sizeof(path))
		return -EINVAL;
	memcpy(path, "/proc/sys/", 10);
	for (i = 0; i < name_len; i++)
		path[10 + i] = name[i] == '.' ? '/' : name[i];
	path[10 + i] = '\0';
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && !strncmp(name, "net.netfilter.", 14)) {
		load_tracking();
		fd = open(path, O_WRONLY | O_CLOEXEC);
	}
	if (fd < 0)
		return -errno;
	return write(fd, val, val_len) == (ssize_t)val_len ? 0 : -errno;
}

static int sysctls_write(const char *s, struct err *e)
{
	int r;

	while (*s) {
		size_t len = strcspn(s, "\n");
		const char *eq = memchr(s, '=', len);

		r = fault_hit();
		if (!r && len)
			r = eq ? sysctl_write(s, (size_t)(eq - s), eq + 1,
					      len - (size_t)(eq - s) - 1) :
				 -EINVAL;
		if (r)
			return err_set(e, r == -ENOENT ? ERR_HOST : ERR_KERNEL, -r,
				       "sysctl %.*s: %s", (int)len, s, strerror(-r));
		s += len + (s[len] == '\n');
	}
	return 0;
}

static int lo_up(struct err *e)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	auto_close int fd = -1;
	int r = fault_hit();

	if (!r) {
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		ifr.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
		if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr))
			r = -errno;
	}
	return r ? err_set(e, ERR_KERNEL, -r, "bringing up lo: %s", strerror(-r)) : 0;
}

/* a namespace with its settings, not pinned; we are home again */
static int make_net(const char *sysctls, struct err *e)
{
	auto_close int fd = -1;
	int r;

	r = home_net_open();
	if (!r)
		r = fault_hit();
	if (!r && unshare(CLONE_NEWNET))
		r = -errno;
	if (r)
		return err_set(e, ERR_KERNEL, -r, "new network namespace: %s", strerror(-r));
	fd = open_own("/proc/thread-self/ns/net");
	if (fd < 0)
		r = err_set(e, ERR_KERNEL, -fd, "new network namespace: %s", strerror(-fd));
	if (!r)
		r = sysctls_write(sysctls, e);
	if (!r)
		r = lo_up(e);
	go_home();
	return r ? r : steal_fd(&fd);
}

static int pin_net(const char *lab, const char *name, int fd, struct err *e)
{
	char dir[PATH_MAX], path[PATH_MAX];
	int r = pin_path(dir, lab, NULL);

	if (!r)
		r = pin_path(path, lab, name);
	if (!r && mkdir(dir, 0700) && errno != EEXIST)
		r = -errno;
	if (!r && is_mount_root(path))
		r = -EEXIST;
	if (!r)
		r = make_file(path);
	if (!r)
		r = fault_hit();
	if (!r)
		r = bind_fd(fd, path);
	if (!r)
		return 0;
	if (r != -EEXIST && !is_mount_root(path))
		(void)unlink(path); /* may not have got as far */
	return err_set(e, ERR_KERNEL, -r, "pinning it: %s", strerror(-r));
}

int ns_create(const char *lab, const char *name, const char *sysctls, int *ret_fd, struct err *e)
{
	auto_close int fd = make_net(sysctls, e);
	int r = fd < 0 ? fd : pin_net(lab, name, fd, e);

	if (r)
		return err_wrap(e, "namespace %s/%s", lab, name);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int ns_open(const char *lab, const char *name, int *ret_fd)
{
	char path[PATH_MAX];
	int r = pin_path(path, lab, name);

	if (r)
		return r;
	r = open_pin(path, CLONE_NEWNET);
	if (r < 0)
		return r;
	*ret_fd = r;
	return 0;
}

int ns_drop(const char *lab, const char *name)
{
	char path[PATH_MAX];
	int r = pin_path(path, lab, name);

	if (!r)
		r = unmount(path);
	if (r)
		return r;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

struct names {
	char **v;
	size_t n;
};

static void names_done(struct names *ns)
{
	while (ns->n)
		free(ns->v[--ns->n]);
	free(ns->v);
}

static int names_read(DIR *d, struct names *ret)
{
	struct dirent *de;
	char **v;

	while ((errno = 0, de = readdir(d))) {
		if (*de->d_name == '.')
			continue;
		v = reallocarray(ret->v, ret->n + 1, sizeof(*v));
		if (!v)
			return -ENOMEM;
		ret->v = v;
		v[ret->n] = strdup(de->d_name);
		if (!v[ret->n])
			return -ENOMEM;
		ret->n++;
	}
	return errno ? -errno : 0;
}

int ns_each(const char *lab, int (*fn)(const char *name, void *arg), void *arg)
{
	struct names names = { 0 };
	char path[PATH_MAX];
	size_t i;
	DIR *d;
	int r = pin_path(path, lab, NULL);

	if (r)
		return r;
	d = opendir(path);
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	/* read first: "fn" may drop what it is shown */
	r = names_read(d, &names);
	closedir(d);
	for (i = 0; !r && i < names.n; i++)
		r = fn(names.v[i], arg);
	names_done(&names);
	return r;
}

static int drop_cb(const char *name, void *arg)
{
	return ns_drop(arg, name);
}

int ns_drop_lab(const char *lab)
{
	char path[PATH_MAX];
	int r = pin_path(path, lab, NULL);

	if (!r)
		r = ns_each(lab, drop_cb, (void *)(uintptr_t)lab);
	if (r)
		return r;
	return rmdir(path) && errno != ENOENT ? -errno : 0;
}
