/* SPDX-License-Identifier: MIT */
/*
 * init_view - the file system that a sandbox sees, made from the plan's lines
 * in their order, in a mount namespace of its own that nobody else shares:
 *
 *   root DIR          an empty tmpfs on DIR becomes the future root
 *   dir PATH MODE     file PATH TEXT     link PATH TARGET
 *   ro PATH SOURCE    rw PATH SOURCE     bind mounts of the host's
 *   over PATH LOWER   a read-only union of LOWER and the host's PATH
 *   lower PATH SOURCE  union PATH    a read-only union of the sources that were named, first over last
 *   skeleton         what comes until "image" is made apart ...
 *   image            ... and is the top of a union with the lowers, which is the future root
 *   tmpfs PATH OPTS   proc PATH          devs PATH
 *   guard PATH        what of /proc isn't namespaced, out of reach
 *   pivot             the future root is the root, read-only; the host's is gone
 *   host              the host's whole tree, read-only, instead of all that
 *
 * All paths below the future root are relative to it while it is made, so no
 * link of the host's can lead elsewhere: the tree is ours alone until "pivot".
 */
#include "sandbox/init.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/util.h"

#ifndef MS_BIND
#define MS_RDONLY 1
#define MS_NOSUID 2
#define MS_NODEV 4
#define MS_NOEXEC 8
#define MS_REMOUNT 32
#define MS_BIND 4096
#define MS_REC 16384
#define MS_PRIVATE (1 << 18)
#define MS_SLAVE (1 << 19)
#endif
#define UMOUNT_DETACH 2

/* <sys/mount.h> and <linux/mount.h> of Debian 12 don't go together */
static int mount_(const char *src, const char *dst, const char *type, unsigned long flags,
		  const char *opts)
{
	return syscall(SYS_mount, src, dst, type, flags, opts) < 0 ? -errno : 0;
}

/* "./etc/x" for "/etc/x"; folders above it are made */
static int below(const char *path, char *ret, size_t size)
{
	char *s;

	if (snprintf(ret, size, "./%s", path[0] == '/' ? path + 1 : path) >= (int)size)
		return -ENAMETOOLONG;
	for (s = ret + 2; (s = strchr(s, '/')); s++) {
		*s = '\0';
		if (mkdir(ret, 0755) < 0 && errno != EEXIST)
			return -errno;
		*s = '/';
	}
	return 0;
}

static int make_dir(const char *path, const char *mode)
{
	char at[PATH_MAX];
	unsigned long m = *mode ? strtoul(mode, NULL, 8) : 0755;
	int r = below(path, at, sizeof(at));

	if (r < 0)
		return r;
	if (mkdir(at, 0755) < 0 && errno != EEXIST)
		return -errno;
	return chmod(at, (mode_t)m) < 0 ? -errno : 0;
}

static int make_file(const char *path, const char *text)
{
	char at[PATH_MAX];
	int r = below(path, at, sizeof(at));
	auto_close int fd = -1;

	if (r < 0)
		return r;
	fd = open(at, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	return write_all(fd, text, strlen(text));
}

static int make_link(const char *path, const char *target)
{
	char at[PATH_MAX];
	int r = below(path, at, sizeof(at));

	if (r < 0)
		return r;
	return symlink(target, at) < 0 && errno != EEXIST ? -errno : 0;
}

/* a mount point of the source's kind */
static int make_point(const char *at, const char *source)
{
	struct stat st;
	int fd;

	if (stat(source, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return mkdir(at, 0755) < 0 && errno != EEXIST ? -errno : 0;
	fd = open(at, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd >= 0)
		close(fd);
	else if (errno != EROFS && errno != EEXIST)
		return -errno;
	return 0;
}

static int bind_(const char *path, const char *source, unsigned long flags)
{
	char at[PATH_MAX];
	int r = below(path, at, sizeof(at));

	if (!r)
		r = make_point(at, source);
	if (!r)
		r = mount_(source, at, NULL, MS_BIND, NULL);
	if (!r && flags)
		r = mount_(NULL, at, NULL, MS_REMOUNT | MS_BIND | flags, NULL);
	return r;
}

static int mount_over(const char *path, const char *lower)
{
	char at[PATH_MAX], opts[2 * PATH_MAX];
	int r = below(path, at, sizeof(at));

	if (!r && mkdir(at, 0755) < 0 && errno != EEXIST)
		r = -errno;
	if (!r && snprintf(opts, sizeof(opts), "lowerdir=%s:%s", lower, path) >= (int)sizeof(opts))
		r = -ENAMETOOLONG;
	return r ? r : mount_("overlay", at, "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, opts);
}

/*
 * Sources of the next union, as links in a folder of the future root: their own paths
 * may hold what divides the mount's options, and many of them are more than fits.
 */
#define LOWER_DIR "./.lower"
static unsigned n_lowers;

static int add_lower(const char *source)
{
	char at[64];

	if (!n_lowers && mkdir(LOWER_DIR, 0700) < 0)
		return -errno;
	(void)snprintf(at, sizeof(at), LOWER_DIR "/%u", n_lowers);
	if (symlink(source, at) < 0)
		return -errno;
	n_lowers++;
	return 0;
}

static int drop_lowers(void)
{
	char at[64];

	while (n_lowers) {
		(void)snprintf(at, sizeof(at), LOWER_DIR "/%u", --n_lowers);
		if (unlink(at) < 0)
			return -errno;
	}
	return rmdir(LOWER_DIR) < 0 ? -errno : 0;
}

static int mount_lowers(const char *at, const char *top)
{
	char opts[4096];
	size_t len = (size_t)snprintf(opts, sizeof(opts), "lowerdir=%s", top);
	unsigned i;

	for (i = 0; i < n_lowers && len < sizeof(opts); i++)
		len += (size_t)snprintf(opts + len, sizeof(opts) - len, "%s" LOWER_DIR "/%u",
					i || *top ? ":" : "", i);
	if (len >= sizeof(opts))
		return -ENAMETOOLONG;
	return mount_("overlay", at, "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, opts);
}

static int make_skeleton(void)
{
	if (mkdir("./top", 0755) < 0 || mkdir("./image", 0755) < 0 || chdir("./top") < 0)
		return -errno;
	return 0;
}

static int mount_image(void)
{
	int r = mount_lowers("../image", ".");

	if (!r && n_lowers)
		r = drop_lowers();
	return r < 0 ? r : chdir("../image") < 0 ? -errno : 0;
}

static int mount_union(const char *path)
{
	char at[PATH_MAX];
	int r = below(path, at, sizeof(at));

	if (!r && mkdir(at, 0755) < 0 && errno != EEXIST)
		r = -errno;
	if (r)
		return r;
	if (n_lowers == 1) {
		/* a union of one is none to the kernel */
		r = mount_(LOWER_DIR "/0", at, NULL, MS_BIND, NULL);
		if (!r)
			r = mount_(NULL, at, NULL,
				   MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL);
		return r ? r : drop_lowers();
	}
	r = mount_lowers(at, "");
	return r ? r : drop_lowers();
}

static int mount_fs(const char *type, const char *path, unsigned long flags, const char *opts)
{
	char at[PATH_MAX];
	int r = below(path, at, sizeof(at));

	if (!r && mkdir(at, 0755) < 0 && errno != EEXIST)
		r = -errno;
	return r ? r : mount_(type, at, type, flags, *opts ? opts : NULL);
}

/* only what every program expects, and nothing that leads to the host's hardware */
static int make_devs(const char *path)
{
	static const char *const nodes[] = { "null", "zero", "full", "random", "urandom", "tty" };
	static const char *const links[][2] = {
		{ "fd", "/proc/self/fd" },	 { "stdin", "/proc/self/fd/0" },
		{ "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
		{ "ptmx", "pts/ptmx" },
	};
	char at[PATH_MAX], source[64];
	size_t i;
	int r = mount_fs("tmpfs", path, MS_NOSUID | MS_NOEXEC, "mode=755,size=64k,nr_inodes=256");

	for (i = 0; i < ARRAY_SIZE(nodes) && !r; i++) {
		(void)snprintf(at, sizeof(at), "%s/%s", path, nodes[i]);
		(void)snprintf(source, sizeof(source), "/dev/%s", nodes[i]);
		r = bind_(at, source, 0);
	}
	for (i = 0; i < ARRAY_SIZE(links) && !r; i++) {
		(void)snprintf(at, sizeof(at), "%s/%s", path, links[i][0]);
		r = make_link(at, links[i][1]);
	}
	(void)snprintf(at, sizeof(at), "%s/console", path);
	if (!r)
		r = make_file(at, ""); /* where exec's terminal goes */
	(void)snprintf(at, sizeof(at), "%s/pts", path);
	if (!r)
		r = mount_fs("devpts", at, MS_NOSUID | MS_NOEXEC,
			     "newinstance,ptmxmode=0666,mode=0620,gid=5");
	(void)snprintf(at, sizeof(at), "%s/shm", path);
	return r ? r : mount_fs("tmpfs", at, MS_NOSUID | MS_NODEV, "mode=1777,size=64m");
}

/* settings of the whole host, and what tells of it */
static int guard_proc(const char *path)
{
	static const char *const closed[] = { "sys", "sysrq-trigger", "irq", "bus", "fs" };
	static const char *const hidden[] = { "kcore", "keys", "timer_list", "kallsyms" };
	char source[PATH_MAX];
	size_t i;
	int r = 0;

	for (i = 0; i < ARRAY_SIZE(closed) && !r; i++) {
		(void)snprintf(source, sizeof(source), ".%s/%s", path, closed[i]);
		if (access(source, F_OK) == 0)
			r = bind_(source + 1, source, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
	}
	for (i = 0; i < ARRAY_SIZE(hidden) && !r; i++) {
		(void)snprintf(source, sizeof(source), ".%s/%s", path, hidden[i]);
		if (access(source, F_OK) == 0)
			r = mount_("/dev/null", source, NULL, MS_BIND, NULL);
	}
	return r;
}

static int make_root(const char *dir)
{
	int r = mount_(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);

	if (!r)
		r = mount_("root", dir, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=16m");
	if (r)
		return r;
	return chdir(dir) < 0 ? -errno : 0;
}

static int pivot(void)
{
	if (syscall(SYS_pivot_root, ".", ".") < 0 || syscall(SYS_umount2, ".", UMOUNT_DETACH) < 0 ||
	    chdir("/") < 0)
		return -errno;
	return mount_(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV,
		      NULL);
}

static int host_readonly(void)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	int r = mount_(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);

	if (r)
		return r;
	return syscall(SYS_mount_setattr, -1, "/", AT_RECURSIVE, &attr, sizeof(attr)) < 0 ? -errno :
											    0;
}

static int carry_out(const struct plan_line *l)
{
	const unsigned long safe = MS_NOSUID | MS_NODEV;

	if (!strcmp(l->key, "root"))
		return make_root(l->a);
	if (!strcmp(l->key, "dir"))
		return make_dir(l->a, l->b);
	if (!strcmp(l->key, "file"))
		return make_file(l->a, l->b);
	if (!strcmp(l->key, "link"))
		return make_link(l->a, l->b);
	if (!strcmp(l->key, "ro"))
		return bind_(l->a, l->b, safe | MS_RDONLY);
	if (!strcmp(l->key, "rosuid"))
		return bind_(l->a, l->b, MS_NODEV | MS_RDONLY);
	if (!strcmp(l->key, "rw"))
		return bind_(l->a, l->b, safe);
	if (!strcmp(l->key, "over"))
		return mount_over(l->a, l->b);
	if (!strcmp(l->key, "lower"))
		return add_lower(l->b);
	if (!strcmp(l->key, "union"))
		return mount_union(l->a);
	if (!strcmp(l->key, "skeleton"))
		return make_skeleton();
	if (!strcmp(l->key, "image"))
		return mount_image();
	if (!strcmp(l->key, "tmpfs"))
		return mount_fs("tmpfs", l->a, safe, l->b);
	if (!strcmp(l->key, "proc"))
		return mount_fs("proc", l->a, safe | MS_NOEXEC, "");
	if (!strcmp(l->key, "devs"))
		return make_devs(l->a);
	if (!strcmp(l->key, "guard"))
		return guard_proc(l->a);
	if (!strcmp(l->key, "pivot"))
		return pivot();
	if (!strcmp(l->key, "host"))
		return host_readonly();
	return 0; /* not a line of the view */
}

int init_view(struct init *i)
{
	static char step[PATH_MAX];
	struct plan_line l;
	size_t pos = 0;
	int r;

	while ((r = plan_next(i->plan, i->plan_size, &pos, &l)) > 0) {
		(void)snprintf(step, sizeof(step), "%s %s", l.key, l.a);
		i->step = step;
		r = carry_out(&l);
		if (r < 0)
			return r;
	}
	return r;
}
