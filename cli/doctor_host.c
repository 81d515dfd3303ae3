/* SPDX-License-Identifier: MIT */
/*
 * doctor_host - what processes, files and limits the product needs, tried with
 * the daemons' own code where there is any (lib/cgroup, lib/proc, lib/jail).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/daemons.h"
#include "cli/doctor.h"
#include "lib/cgroup.h"
#include "lib/jail.h"
#include "lib/nft.h"
#include "lib/proc.h"
#include "lib/util.h"

#define KERNEL_MAJOR 5
#define KERNEL_MINOR 11 /* CLOSE_RANGE_CLOEXEC */
#define NEIGHBOURS_MIN \
	1024	       /* the kernel's default: some 500 pairs of nodes that talk within a subnet */
#define FILES_MIN 4096 /* one daemon: sockets, pidfds, namespaces */
#define NAMESPACES_MIN 256  /* of a kind: a lab of a hundred nodes with its environments */
#define ROOM_MIN (16 << 20) /* bytes: logs, code, the state's database */
#define SCRATCH ".vpclab-doctor-XXXXXX"

/* ---- the kernel's calls ---- */

static int check_kernel(struct doctor *d)
{
	struct utsname u;
	unsigned major, minor;

	if (uname(&u) < 0)
		return doctor_failed(d, "uname");
	(void)doctor_found(d, u.release);
	if (sscanf(u.release, "%u.%u", &major, &minor) != 2)
		return -EINVAL;
	return major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR) ? 0 :
											  -ENOSYS;
}

static int check_pidfd(struct doctor *d)
{
	auto_close int fd = proc_open(getpid());

	return doctor_result(d, "pidfd_open", fd);
}

static int check_close_range(struct doctor *d)
{
	if (syscall(SYS_close_range, ~0U, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return doctor_failed(d, "close_range");
	return 0;
}

static int check_openat2(struct doctor *d)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
	auto_close int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how));

	return fd < 0 ? doctor_failed(d, "openat2") : 0;
}

static int check_memfd(struct doctor *d)
{
	auto_close int fd = proc_memfd("doctor", "x", 1);

	return doctor_result(d, "memfd_create", fd);
}

static int check_seccomp(struct doctor *d)
{
	unsigned action = SECCOMP_RET_ERRNO;
	auto_close int fd = -1;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
		return doctor_failed(d, "seccomp");
	fd = jail_filter_compile(JAIL_FUNCTION);
	return doctor_result(d, "filter of functions",
			     fd < 0 ? fd : jail_filter_load(fd, JAIL_FUNCTION));
}

static int check_inotify(struct doctor *d)
{
	auto_close int fd = inotify_init1(IN_CLOEXEC);

	return fd < 0 ? doctor_failed(d, "inotify_init1") : 0;
}

static int check_membarrier(struct doctor *d)
{
	return doctor_result(d, "membarrier", nft_settle());
}

/* ---- rights ---- */

static int check_root(struct doctor *d)
{
	if (geteuid() != 0) {
		(void)snprintf(d->detail, sizeof(d->detail), "user id %u", geteuid());
		return -EPERM;
	}
	return 0;
}

static uint64_t caps_of(const char *status, const char *which)
{
	const char *at = strstr(status, which);

	return at ? strtoull(at + strlen(which), NULL, 16) : 0;
}

/* what daemons use themselves, and what they must have to hand it to nodes' programs */
static int check_caps(struct doctor *d)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {
		{ CAP_SYS_ADMIN, "sys_admin" },
		{ CAP_NET_ADMIN, "net_admin" },
		{ CAP_NET_RAW, "net_raw" },
		{ CAP_NET_BIND_SERVICE, "net_bind_service" },
		{ CAP_CHOWN, "chown" },
		{ CAP_DAC_OVERRIDE, "dac_override" },
		{ CAP_FOWNER, "fowner" },
		{ CAP_FSETID, "fsetid" },
		{ CAP_KILL, "kill" },
		{ CAP_SETGID, "setgid" },
		{ CAP_SETUID, "setuid" },
		{ CAP_SETPCAP, "setpcap" },
		{ CAP_SETFCAP, "setfcap" },
		{ CAP_SYS_CHROOT, "sys_chroot" },
		{ CAP_AUDIT_WRITE, "audit_write" },
	};
	const uint64_t want = jail_program_caps() | UINT64_C(1) << CAP_SYS_ADMIN;
	auto_free char *status = NULL;
	uint64_t lacks;
	size_t i, n = 0;
	int r = read_file("/proc/self/status", 1 << 16, &status, NULL);

	if (r < 0)
		return doctor_result(d, "/proc/self/status", r);
	lacks = want & ~(caps_of(status, "CapEff:\t") & caps_of(status, "CapBnd:\t"));
	for (i = 0; i < ARRAY_SIZE(names) && n < sizeof(d->detail); i++)
		if (lacks & UINT64_C(1) << names[i].bit)
			n += (size_t)snprintf(d->detail + n, sizeof(d->detail) - n, "%s%s",
					      n ? ", " : "no ", names[i].name);
	return lacks ? -EPERM : 0;
}

/* ---- limits ---- */

static int check_files(struct doctor *d)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return doctor_failed(d, "getrlimit");
	(void)snprintf(d->detail, sizeof(d->detail), "%llu", (unsigned long long)l.rlim_max);
	return l.rlim_max >= FILES_MIN ? 0 : -EMFILE;
}

static int check_counts(struct doctor *d)
{
	static const char *const kinds[] = { "net", "mnt", "pid", "uts", "ipc", "cgroup" };
	char path[80];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		auto_free char *text = NULL;
		int r;

		(void)snprintf(path, sizeof(path), "/proc/sys/user/max_%s_namespaces", kinds[i]);
		r = read_file(path, 64, &text, NULL);
		if (r < 0)
			return doctor_result(d, path, r);
		if (strtoul(text, NULL, 10) >= NAMESPACES_MIN)
			continue;
		(void)snprintf(d->detail, sizeof(d->detail), "user.max_%s_namespaces is %lu",
			       kinds[i], strtoul(text, NULL, 10));
		return -ENOSPC;
	}
	return 0;
}

/* one table for all namespaces; in those of others the host's limit can't be read */
static int check_neighbours(struct doctor *d)
{
	auto_free char *text = NULL;
	int r = read_file("/proc/sys/net/ipv4/neigh/default/gc_thresh3", 64, &text, NULL);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return doctor_result(d, "gc_thresh3", r);
	(void)snprintf(d->detail, sizeof(d->detail), "%lu at a time", strtoul(text, NULL, 10));
	return strtoul(text, NULL, 10) >= NEIGHBOURS_MIN ? 0 : -ENOSPC;
}

/* ---- files and folders ---- */

static int check_programs(struct doctor *d)
{
	static const char *const names[] = { "netd", "sandboxd", "responder", "vpclab-init" };
	size_t i, n = 0;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		auto_free char *path = proc_beside(names[i]);

		if (!path)
			n += (size_t)snprintf(d->detail + n, sizeof(d->detail) - n, "%s%s",
					      n ? ", " : "no ", names[i]);
	}
	return n ? -ENOENT : 0;
}

static int check_proc(struct doctor *d)
{
	char self[32] = "";

	if (readlink("/proc/self", self, sizeof(self) - 1) < 0)
		return doctor_failed(d, "/proc/self");
	/* another pid namespace's /proc shows other processes under our numbers */
	if (atoi(self) != getpid()) {
		(void)snprintf(d->detail, sizeof(d->detail), "/proc is of another pid namespace");
		return -ESRCH;
	}
	if (access("/proc/self/ns/net", R_OK) < 0)
		return doctor_failed(d, "/proc/self/ns/net");
	return 0;
}

static int check_devices(struct doctor *d)
{
	static const char *const paths[] = { "/dev/null",   "/dev/zero",    "/dev/full",
					     "/dev/random", "/dev/urandom", "/dev/tty" };
	struct stat st;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		if (stat(paths[i], &st) < 0)
			return doctor_failed(d, paths[i]);
		if (!S_ISCHR(st.st_mode)) {
			errno = ENODEV;
			return doctor_failed(d, paths[i]);
		}
	}
	return 0;
}

/* a new folder on the file system where "dir" is or would be; caller frees */
static char *scratch_in(struct doctor *d, const char *dir)
{
	auto_free char *at = strdup(dir);
	char *path, *slash;

	while (at && access(at, F_OK) < 0 && (slash = strrchr(at, '/')))
		*(slash == at ? slash + 1 : slash) = '\0';
	if (!at || asprintf(&path, "%s/" SCRATCH, strcmp(at, "/") ? at : "") < 0)
		return NULL;
	if (mkdtemp(path))
		return path;
	(void)doctor_failed(d, at);
	free(path);
	return NULL;
}

static int has_room(struct doctor *d, const char *dir)
{
	struct statvfs fs;

	if (statvfs(dir, &fs) < 0)
		return doctor_failed(d, dir);
	if ((uint64_t)fs.f_bavail * fs.f_frsize >= ROOM_MIN)
		return 0;
	(void)snprintf(d->detail, sizeof(d->detail), "%llu bytes free",
		       (unsigned long long)fs.f_bavail * fs.f_frsize);
	return -ENOSPC;
}

static int try_socket(struct doctor *d, const char *dir)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || chdir(dir) < 0)
		return doctor_failed(d, dir);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "s");
	return bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 ?
		       doctor_failed(d, "a socket in it") :
		       0;
}

static int check_run(struct doctor *d)
{
	auto_free char *dir = scratch_in(d, d->run);
	int r;

	if (!dir)
		return -EACCES;
	r = has_room(d, dir);
	r = r ? r : try_socket(d, dir);
	if (rm_rf(dir) < 0 && !r)
		r = doctor_failed(d, "removing what was tried");
	return r ? r : doctor_found(d, d->run);
}

static int check_state(struct doctor *d)
{
	auto_free char *dir = scratch_in(d, d->state), *path = NULL;
	auto_close int fd = -1;
	int r;

	if (!dir)
		return -EACCES;
	r = has_room(d, dir);
	if (!r && asprintf(&path, "%s/f", dir) < 0)
		r = -ENOMEM;
	if (!r) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || write(fd, "x", 1) != 1 || flock(fd, LOCK_EX) < 0 || fsync(fd) < 0)
			r = doctor_failed(d, "a file in it");
	}
	if (rm_rf(dir) < 0 && !r)
		r = doctor_failed(d, "removing what was tried");
	return r ? r : doctor_found(d, d->state);
}

/* ---- namespaces and mounts ---- */

static int check_namespaces(struct doctor *d)
{
	static const struct {
		int flag;
		const char *name;
	} kinds[] = {
		{ CLONE_NEWNET, "network" }, { CLONE_NEWNS, "mount" },
		{ CLONE_NEWPID, "pid" },     { CLONE_NEWUTS, "uts" },
		{ CLONE_NEWIPC, "ipc" },     { CLONE_NEWCGROUP, "cgroup" },
	};
	size_t i, n = 0;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (unshare(kinds[i].flag) < 0)
			return doctor_failed(d, kinds[i].name);
		else
			n += (size_t)snprintf(d->detail + n, sizeof(d->detail) - n, "%s%s",
					      n ? ", " : "", kinds[i].name);
	return 0;
}

/* a namespace that is held by a mount, as those of labs are */
static int check_pins(struct doctor *d)
{
	auto_free char *dir = scratch_in(d, d->run), *pin = NULL;
	auto_close int fd = -1;
	int r = 0;

	if (!dir)
		return -EACCES;
	if (asprintf(&pin, "%s/pin", dir) < 0) {
		pin = NULL;
		r = -ENOMEM;
	}
	if (!r) {
		fd = open(pin, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || mount("/proc/self/ns/net", pin, NULL, MS_BIND, NULL) < 0)
			r = doctor_failed(d, "bind mount of a namespace");
		else if (umount(pin) < 0)
			r = doctor_failed(d, "umount");
	}
	(void)rm_rf(dir); /* "r" tells of what is wrong with the folder */
	return r;
}

/* the mounts of a sandbox, in this process's own mount namespace */
static int furnish(struct doctor *d)
{
	static const struct {
		const char *type, *path, *options;
	} mounts[] = {
		{ "tmpfs", "tmp", "size=64k" },
		{ "devpts", "pts", "newinstance,ptmxmode=0666,mode=0620" },
		{ "proc", "proc", NULL },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(mounts); i++)
		if (mkdir(mounts[i].path, 0755) < 0 ||
		    mount(mounts[i].type, mounts[i].path, mounts[i].type, MS_NOSUID | MS_NOEXEC,
			  mounts[i].options) < 0)
			return doctor_failed(d, mounts[i].type);
	if (mkdir("usr", 0755) < 0 || mount("/usr", "usr", NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, "usr", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL) < 0)
		return doctor_failed(d, "read-only bind mount of /usr");
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return doctor_failed(d, "pivot_root");
	return umount2(".", MNT_DETACH) < 0 ? doctor_failed(d, "umount") : 0;
}

/* as pid 1 of a pid namespace: a fresh /proc is mounted in no other */
static int furnish_inside(struct doctor *d)
{
	int fds[2], status = 0;
	ssize_t n;
	pid_t pid;

	if (unshare(CLONE_NEWPID) < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return doctor_failed(d, "pid namespace");
	pid = fork();
	if (pid == 0) {
		/* its own: what the root of this one becomes is ours, too */
		int r = unshare(CLONE_NEWNS) < 0 ? doctor_failed(d, "mount namespace") : furnish(d);

		if (r < 0)
			(void)write_all(fds[1], d->detail, strlen(d->detail)); /* status tells */
		_exit(r < 0 ? 1 : 0);
	}
	close(fds[1]);
	n = pid > 0 ? read(fds[0], d->detail, sizeof(d->detail) - 1) : 0;
	d->detail[n > 0 ? n : 0] = '\0';
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return doctor_failed(d, "child");
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int check_roots(struct doctor *d)
{
	auto_free char *dir = scratch_in(d, d->run);
	int r;

	if (!dir)
		return -EACCES;
	if (mount("root", dir, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m") < 0 ||
	    chdir(dir) < 0)
		r = doctor_failed(d, "tmpfs");
	else
		r = furnish_inside(d);
	if (chdir("/") < 0 || umount2(dir, MNT_DETACH) < 0 || rmdir(dir) < 0)
		r = r ? r : doctor_failed(d, dir);
	return r;
}

static int check_overlay(struct doctor *d)
{
	auto_free char *dir = scratch_in(d, d->run), *options = NULL;
	int r = 0;

	if (!dir)
		return -EACCES;
	if (asprintf(&options, "lowerdir=%s:/etc", dir) < 0) {
		options = NULL;
		r = -ENOMEM;
	} else if (mount("overlay", "/etc", "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, options) <
		   0) {
		r = doctor_failed(d, "overlay");
	}
	(void)rm_rf(dir); /* the mount is this process's alone */
	return r;
}

static int check_cgroups(struct doctor *d)
{
	auto_free char *scratch = scratch_in(d, d->run);
	struct cgroups *g = NULL;
	struct err e = { 0 }, ignored = { 0 };
	int r;

	if (!scratch)
		return -EACCES;
	r = cgroups_open(scratch, &g, &e);
	if (r < 0) {
		(void)doctor_broken(d, &e);
	} else {
		(void)doctor_found(d, cgroups_describe(g));
		(void)cgroups_remove(g, 1000, &ignored); /* empty: nothing can hold it */
		cgroups_close(g);
	}
	(void)rm_rf(scratch);
	return r;
}

/* ---- programs of others ---- */

static int in_path(struct doctor *d, const char *const *names, size_t n_names)
{
	static const char *const folders[] = { "/usr/sbin", "/usr/bin", "/sbin", "/bin" };
	char path[64];
	size_t i, k, n = 0;

	for (i = 0; i < n_names; i++) {
		bool is = false;

		for (k = 0; k < ARRAY_SIZE(folders) && !is; k++) {
			(void)snprintf(path, sizeof(path), "%s/%s", folders[k], names[i]);
			is = access(path, X_OK) == 0;
		}
		if (!is)
			n += (size_t)snprintf(d->detail + n, sizeof(d->detail) - n, "%s%s",
					      n ? ", " : "no ", names[i]);
	}
	return n ? -ENOENT : 0;
}

static int check_tools(struct doctor *d)
{
	static const char *const names[] = { "nft", "ip", "ss", "ping" };

	return in_path(d, names, ARRAY_SIZE(names));
}

const struct doctor_check DOCTOR_HOST[] = {
	{ "kernel", "older ones lack calls that programs are started with", "Linux 5.11 or later",
	  .fn = check_kernel },
	{ "root", "namespaces, mounts and rules are root's to make", "run it as root (sudo)",
	  .fn = check_root },
	{ "capabilities", "a container's root may lack what namespaces and programs take",
	  "all capabilities (containers: --privileged)", .fn = check_caps },
	{ "programs", "vpclab starts its daemons, sandboxd the init of sandboxes",
	  "build them (make), or install the package", .fn = check_programs },
	{ "proc", "daemons find namespaces and processes there",
	  "mount -t proc proc /proc, in the pid namespace it runs in", .fn = check_proc },
	{ "devices", "sandboxes get them from the host",
	  "a /dev with the usual nodes (udev, or mknod)", .fn = check_devices },
	{ "run directory", "sockets, logs and pinned namespaces are there",
	  "a writable file system with 16 MiB (containers: --tmpfs /run; else --run-dir)",
	  .fn = check_run },
	{ "state directory", "what survives a reboot is there",
	  "a writable file system with 16 MiB (containers: -v vpclab:/var/lib/vpclab; else "
	  "--state-dir)",
	  .fn = check_state },
	{ "open files", "a daemon holds a few descriptors a node",
	  "ulimit -Hn 65536, or LimitNOFILE= of the unit (containers: --ulimit nofile=65536)",
	  .fn = check_files },
	{ "namespace limits", "a node has a network namespace, its programs five more",
	  "sysctl -w user.max_net_namespaces=4096, and the others likewise", .fn = check_counts },
	{ "neighbours",
	  "nodes of one subnet that talk have an entry for each other, in one table for the host",
	  "sysctl -w net.ipv4.neigh.default.gc_thresh3=1024, or more for labs in which hundreds of "
	  "nodes talk at once",
	  .fn = check_neighbours },
	{ "inotify", "vpclab waits for its daemons by it",
	  "sysctl -w fs.inotify.max_user_instances=512", .fn = check_inotify },
	{ "pidfd", "processes are watched and killed by it, never by a number",
	  "Linux 5.3 or later", .fn = check_pidfd },
	{ "close_range", "programs inherit no descriptor", "Linux 5.11 or later",
	  .fn = check_close_range },
	{ "openat2", "paths in a sandbox can't lead out of it", "Linux 5.6 or later",
	  .fn = check_openat2 },
	{ "memfd sealing", "plans of sandboxes and zones of DNS are handed over in it",
	  DOCTOR_KERNEL("CONFIG_MEMFD_CREATE"), .fn = check_memfd },
	{ "seccomp", "programs in sandboxes can't call what reaches the host",
	  DOCTOR_KERNEL("CONFIG_SECCOMP_FILTER"), .fn = check_seccomp },
	{ "membarrier", "flow logs are read when no packet is still on its way to be counted",
	  DOCTOR_KERNEL("CONFIG_MEMBARRIER") ", and no processor in nohz_full", .optional = true,
	  .fn = check_membarrier },
	{ "namespaces", "every node, router and gateway is one",
	  DOCTOR_KERNEL("CONFIG_NAMESPACES") ", all capabilities (containers: --privileged)", true,
	  .fn = check_namespaces },
	{ "pinned namespaces", "labs outlive their daemons",
	  "a run directory on a file system that can be mounted on (containers: --tmpfs /run)",
	  true, .fn = check_pins },
	{ "roots of sandboxes", "programs see their own root, read-only",
	  "tmpfs, devpts and proc mounts allowed (containers: --privileged)", true,
	  .fn = check_roots },
	{ "overlay", "a node's files below the host's folders lie over them",
	  DOCTOR_KERNEL("CONFIG_OVERLAY_FS"), true, .fn = check_overlay },
	{ "cgroups", "memory, processors and processes of functions are limited by them",
	  "mount cgroup2, or the v1 controllers memory, cpu, pids and freezer, writable "
	  "(containers: --privileged)",
	  true, .fn = check_cgroups },
	{ "tools", "exec finds them in nodes; nothing of vpclab's own needs them",
	  "apt-get install nftables iproute2 iputils-ping", .optional = true, .fn = check_tools },
	{ 0 },
};
