/* SPDX-License-Identifier: MIT */
/*
 * hostile - a program that tries to get out of the sandbox that it runs in, by each way it knows.
 * Static, for it has to run wherever there is a kernel.
 *
 *   hostile list
 *   hostile victim PORT                 what others must not reach; works until its input ends
 *   hostile try [NAME=VALUE ...]        each attempt in a child of its own; JSON on stdout:
 *                                       {"name": {"result": "reached"|"refused"|"absent", "how": "..."}}
 *
 * "reached": the attempt did what it was after, or got past every check of permissions (where doing it would
 * harm: an argument is wrong on purpose, and the kernel complains of that).  "absent": this kernel or machine
 * hasn't got it, so nothing is proven.  The same program runs as root in namespaces of a scratch kind, where
 * each attempt must reach what it is after: or its refusal elsewhere would prove nothing.
 *
 * Values: canary= a file outside; run= a run directory with the daemons' sockets; pid= a process outside;
 * port= the victim's; only= one attempt.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/aio_abi.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MARK "vpclab-hostile-victim"
#define SHM_KEY 0x76706c62
#define MEMORY_MB 640
#define PROCESSES 1200
#define DESCRIPTORS 2000
#define ATTEMPT_S 20

/* what an attempt returns: 0 reached, -errno refused, ABSENT */
#define ABSENT (-100000)

static const char *canary, *run_dir;
static pid_t outside_pid;
static int victim_port;

static int result(long r)
{
	return r < 0 ? -errno : 0;
}

/* the kernel complained of the argument, not of who asks */
static int past_checks(long r, int complaint)
{
	return r >= 0 || errno == complaint ? 0 : -errno;
}

static int open_only(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);

	return result(fd);
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : result(write(fd, text, strlen(text)));
}

/* ---- files of the host ---- */

static int read_canary(void)
{
	return canary ? open_only(canary, O_RDONLY) : ABSENT;
}

static int write_canary(void)
{
	return canary ? open_only(canary, O_WRONLY) : ABSENT;
}

/* outside, these lie in a mount namespace of the attempt's own, and are put back */
static int write_below(const char *folder)
{
	char path[200];
	int fd, r;

	(void)snprintf(path, sizeof(path), "%s/" MARK, folder);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	r = result(fd);
	if (fd >= 0)
		(void)unlink(path);
	return r;
}

static int write_usr(void)
{
	return write_below("/usr/bin");
}

static int write_etc(void)
{
	return write_below("/etc");
}

static int write_root(void)
{
	return write_below("/");
}

static int write_opt(void)
{
	return write_below("/opt");
}

static int remount_writable(void)
{
	return result(mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL));
}

static int read_shadow(void)
{
	return open_only("/etc/shadow", O_RDONLY);
}

static int file_by_handle(void)
{
	struct {
		struct file_handle h;
		unsigned char room[128];
	} h = { .h = { .handle_bytes = 128 } };
	int id, fd;

	if (name_to_handle_at(AT_FDCWD, "/tmp", &h.h, &id, 0) < 0)
		return errno == EOPNOTSUPP ? ABSENT : -errno;
	fd = open("/tmp", O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return -errno;
	return result(open_by_handle_at(fd, &h.h, O_RDONLY));
}

static int make_device(void)
{
	const char *path = "/tmp/" MARK "-device";
	int r;

	(void)unlink(path);
	if (mknod(path, S_IFCHR | 0600, makedev(1, 5)) < 0)
		return -errno;
	r = open_only(path, O_RDONLY);
	(void)unlink(path);
	return r;
}

static int devices(void)
{
	static const char *const paths[] = { "/dev/mem",	 "/dev/kmsg",  "/dev/vda",
					     "/dev/sda",	 "/dev/kvm",   "/dev/fuse",
					     "/dev/net/tun",	 "/dev/loop0", "/dev/port",
					     "/dev/loop-control" };
	int last = ABSENT;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		int r = open_only(paths[i], O_RDONLY);

		if (r == 0)
			return 0;
		if (last == ABSENT || r != -ENOENT)
			last = r;
	}
	return last;
}

/* ---- processes ---- */

static int see_processes(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	static char text[1 << 16];
	char path[300];

	if (!proc)
		return -errno;
	while ((d = readdir(proc))) {
		ssize_t n;
		int fd;

		(void)snprintf(path, sizeof(path), "/proc/%s/environ", d->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		n = read(fd, text, sizeof(text));
		close(fd);
		if (n > 0 && memmem(text, (size_t)n, "SECRET=" MARK, strlen("SECRET=" MARK)))
			return 0;
	}
	return -ENOENT;
}

static int signal_outside(void)
{
	return outside_pid ? result(kill(outside_pid, 0)) : ABSENT;
}

static int trace_self(void)
{
	return result(ptrace(PTRACE_TRACEME, 0, 0, 0));
}

/* pid 1 has the secrets of the sandbox: its descriptors, what it was told */
static int memory_of_first(void)
{
	return open_only("/proc/1/mem", O_RDWR);
}

static int root_of_first(void)
{
	return open_only("/proc/1/root", O_RDONLY | O_DIRECTORY);
}

static int environ_of_first(void)
{
	return open_only("/proc/1/environ", O_RDONLY);
}

static int descriptors_of_first(void)
{
	return open_only("/proc/1/fd", O_RDONLY | O_DIRECTORY);
}

static int read_first(void)
{
	char here[8];
	struct iovec to = { here, sizeof(here) },
		     from = { (void *)(uintptr_t)0x400000, sizeof(here) };

	return past_checks(syscall(SYS_process_vm_readv, 1, &to, 1, &from, 1, 0), EFAULT);
}

static int become_root(void)
{
	return result(setresuid(0, 0, 0));
}

static int all_groups(void)
{
	gid_t g = 0;

	return result(setgroups(1, &g));
}

static int real_time(void)
{
	struct sched_param p = { .sched_priority = 1 };
	int r = result(sched_setscheduler(0, SCHED_FIFO, &p));

	p.sched_priority = 0;
	if (r == 0)
		(void)sched_setscheduler(0, SCHED_OTHER, &p);
	return r;
}

static int higher_priority(void)
{
	int r = result(setpriority(PRIO_PROCESS, 0, -10));

	if (r == 0)
		(void)setpriority(PRIO_PROCESS, 0, 0);
	return r;
}

static int raise_limit(void)
{
	struct rlimit l = { 1 << 16, 1 << 16 };

	return result(setrlimit(RLIMIT_NOFILE, &l));
}

static int old_layout(void)
{
	return personality(0xffffffff) < 0 ? -errno : result(personality(ADDR_NO_RANDOMIZE));
}

/* ---- other sandboxes: the victim is one ---- */

static int shared_memory(void)
{
	int id = shmget(SHM_KEY, 0, 0);

	return id < 0 ? -errno : result((long)shmat(id, NULL, SHM_RDONLY) == -1 ? -1 : 0);
}

static int queue_of_others(void)
{
	return result(mq_open("/" MARK, O_RDONLY));
}

static int file_of_others(void)
{
	return open_only("/tmp/" MARK, O_RDONLY);
}

static int memory_file_of_others(void)
{
	return open_only("/dev/shm/" MARK, O_RDONLY);
}

static int connect_unix(const char *path, int type, bool abstract)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	size_t len = strlen(path);

	if (fd < 0)
		return -errno;
	if (len + 1 >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path + abstract, path, len);
	return result(
		connect(fd, (struct sockaddr *)&a,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + abstract + len)));
}

static int abstract_socket(void)
{
	return connect_unix(MARK, SOCK_STREAM, true);
}

static int loopback_of_others(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)victim_port),
				 .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!victim_port)
		return ABSENT;
	return fd < 0 ? -errno : result(connect(fd, (struct sockaddr *)&a, sizeof(a)));
}

/* ---- the daemons ---- */

static int daemon_socket(const char *name, int type)
{
	char path[108];

	if (!run_dir)
		return ABSENT;
	(void)snprintf(path, sizeof(path), "%s/%s", run_dir, name);
	return connect_unix(path, type, false);
}

static int netd_socket(void)
{
	return daemon_socket("netd.sock", SOCK_STREAM);
}

static int sandboxd_socket(void)
{
	return daemon_socket("sandboxd.sock", SOCK_STREAM);
}

static int sandboxd_descriptors(void)
{
	return daemon_socket("sandboxd.fd", SOCK_SEQPACKET);
}

static int run_folder(void)
{
	return run_dir ? open_only(run_dir, O_RDONLY | O_DIRECTORY) : ABSENT;
}

/* ---- proc and sys ---- */

static int write_sysctl(void)
{
	return put("/proc/sys/net/ipv4/ip_forward", "1");
}

static int open_sysctl(void)
{
	return open_only("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static int open_sysrq(void)
{
	return open_only("/proc/sysrq-trigger", O_WRONLY);
}

static int open_sys(void)
{
	static const char *const paths[] = { "/sys/kernel/mm/transparent_hugepage/enabled",
					     "/sys/kernel/mm/ksm/run", "/sys/power/state",
					     "/sys/class/net/lo/tx_queue_len" };
	int last = ABSENT;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		last = open_only(paths[i], O_WRONLY);
		if (last == 0)
			return 0;
	}
	return last;
}

static int open_cgroup(void)
{
	static const char *const paths[] = { "/sys/fs/cgroup/cgroup.procs",
					     "/sys/fs/cgroup/pids/cgroup.procs",
					     "/sys/fs/cgroup/unified/cgroup.procs" };
	int last = ABSENT;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		last = open_only(paths[i], O_WRONLY);
		if (last == 0)
			return 0;
	}
	return last;
}

static int kernel_addresses(void)
{
	char line[64] = "";
	int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? ABSENT : -errno;
	if (read(fd, line, 16) < 16)
		return -EIO;
	return strncmp(line, "0000000000000000", 16) == 0 ? -EPERM : 0;
}

/* ---- mounts, namespaces ---- */

static int mount_tmpfs(void)
{
	int r = result(mount("none", "/tmp", "tmpfs", 0, NULL));

	if (r == 0)
		(void)umount2("/tmp", MNT_DETACH);
	return r;
}

static int mount_proc(void)
{
	int r = result(mount("none", "/tmp", "proc", 0, NULL));

	if (r == 0)
		(void)umount2("/tmp", MNT_DETACH);
	return r;
}

static int mount_bind(void)
{
	int r = result(mount("/", "/tmp", NULL, MS_BIND, NULL));

	if (r == 0)
		(void)umount2("/tmp", MNT_DETACH);
	return r;
}

static int unmount(void)
{
	return past_checks(umount2("/proc", MNT_DETACH), EINVAL);
}

static int mount_new_calls(void)
{
	return result(syscall(SYS_fsopen, "tmpfs", 0));
}

static int open_tree_clone(void)
{
	return result(syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */));
}

static int pivot(void)
{
	return past_checks(syscall(SYS_pivot_root, "/", "/"), EBUSY) == 0 ? 0 :
	       errno == EINVAL						  ? 0 :
									    -errno;
}

static int change_root(void)
{
	return result(chroot("/tmp"));
}

static int user_namespace(void)
{
	return result(unshare(CLONE_NEWUSER));
}

static int net_namespace(void)
{
	return result(unshare(CLONE_NEWNET));
}

static int mount_namespace(void)
{
	return result(unshare(CLONE_NEWNS));
}

/* by clone's flags, not through the C library */
static int user_namespace_by_clone(void)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int user_namespace_by_clone3(void)
{
	struct clone_args a = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	long pid = syscall(SYS_clone3, &a, sizeof(a));

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int enter_namespace(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : result(setns(fd, CLONE_NEWNET));
}

static int host_name(void)
{
	char name[80];

	return gethostname(name, sizeof(name)) < 0 ? -errno :
						     result(sethostname(name, strlen(name)));
}

/* ---- sockets and the network ---- */

static int try_socket(int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);

	if (fd < 0 &&
	    (errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT || errno == ESOCKTNOSUPPORT))
		return -errno;
	return result(fd);
}

static int raw_socket(void)
{
	return try_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static int raw_socket6(void)
{
	return try_socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
}

static int packet_socket(void)
{
	return try_socket(AF_PACKET, SOCK_RAW, 0);
}

static int packet_socket_old(void)
{
	return try_socket(AF_INET, SOCK_PACKET, 0);
}

/* the upper half of the register: a filter that compares 64 bits would miss it */
static int packet_socket_high(void)
{
	return result(syscall(SYS_socket, AF_PACKET | (1UL << 32), (long)SOCK_RAW, 0L));
}

static int crypto_socket(void)
{
	return try_socket(AF_ALG, SOCK_SEQPACKET, 0);
}

static int hypervisor_socket(void)
{
	return try_socket(AF_VSOCK, SOCK_STREAM, 0);
}

static int filter_socket(void)
{
	return try_socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
}

static int express_socket(void)
{
	return try_socket(AF_XDP, SOCK_RAW, 0);
}

static int set_mark(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), mark = 7;

	return fd < 0 ? -errno : result(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)));
}

static int foreign_source(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;

	return fd < 0 ? -errno :
			result(setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)));
}

/* one change by rtnetlink; the kernel's answer */
static int change(struct nlmsghdr *h)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		char rest[200];
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (send(fd, h, h->nlmsg_len, 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0)
		return -errno;
	return answer.h.nlmsg_type == NLMSG_ERROR ? answer.e.error : 0;
}

static int add_address(void)
{
	struct {
		struct nlmsghdr h;
		struct ifaddrmsg a;
		struct rtattr r;
		uint8_t address[4];
	} m = { .h = { sizeof(m), RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, 0, 0 },
		.a = { AF_INET, 32, 0, 0, if_nametoindex("lo") },
		.r = { sizeof(m.r) + 4, IFA_LOCAL },
		.address = { 127, 66, 0, 1 } };

	return change(&m.h);
}

static int link_down(void)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} m = { .h = { sizeof(m), RTM_NEWLINK, 0, 0, 0 },
		.i = { .ifi_index = (int)if_nametoindex("lo"), .ifi_change = IFF_PROMISC } };

	return change(&m.h);
}

static int add_route(void)
{
	struct {
		struct nlmsghdr h;
		struct rtmsg r;
		struct rtattr a;
		uint8_t to[4];
	} m = { .h = { sizeof(m), RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, 0, 0 },
		.r = { .rtm_family = AF_INET,
		       .rtm_dst_len = 32,
		       .rtm_table = RT_TABLE_MAIN,
		       .rtm_protocol = RTPROT_STATIC,
		       .rtm_type = RTN_BLACKHOLE },
		.a = { sizeof(m.a) + 4, RTA_DST },
		.to = { 203, 0, 113, 99 } };

	return change(&m.h);
}

/* ---- the kernel's doors ---- */

static int load_bpf(void)
{
	union bpf_attr a = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1
	};

	return result(syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof(a)));
}

static int watch_events(void)
{
	struct perf_event_attr a = { .type = PERF_TYPE_SOFTWARE,
				     .size = sizeof(a),
				     .config = PERF_COUNT_SW_CPU_CLOCK };

	return result(syscall(SYS_perf_event_open, &a, -1, 0, -1, 0));
}

static int add_key(void)
{
	long key = syscall(SYS_add_key, "user", MARK, "x", 1, KEY_SPEC_PROCESS_KEYRING);

	return result(key);
}

static int session_keyring(void)
{
	return result(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1));
}

static int user_faults(void)
{
	return result(syscall(SYS_userfaultfd, O_CLOEXEC));
}

static int io_uring(void)
{
	unsigned char params[120] = { 0 };

	return result(syscall(SYS_io_uring_setup, 4, params));
}

static int load_module(void)
{
	return past_checks(syscall(SYS_finit_module, -1, "", 0), EBADF);
}

static int unload_module(void)
{
	return past_checks(syscall(SYS_delete_module, MARK, O_NONBLOCK), ENOENT);
}

static int load_kernel(void)
{
	return past_checks(syscall(SYS_kexec_load, 0UL, 1000UL, NULL, 0x12UL), EINVAL);
}

/* the magic numbers are wrong */
static int restart(void)
{
	return past_checks(syscall(SYS_reboot, 1, 2, RB_AUTOBOOT, NULL), EINVAL);
}

static int set_clock(void)
{
	struct timex t = { .modes = 0 };

	if (adjtimex(&t) < 0)
		return -errno;
	t.modes = ADJ_TICK; /* as it is */
	return result(adjtimex(&t));
}

static int read_log(void)
{
	char text[256];

	return result(syscall(SYS_syslog, 3 /* READ_ALL */, text, sizeof(text)));
}

static int swap_on(void)
{
	int r = swapon("/" MARK, 0);

	return past_checks(r, ENOENT);
}

static int accounting(void)
{
	return past_checks(acct("/" MARK), ENOENT);
}

static int ports(void)
{
#ifdef SYS_iopl
	return result(syscall(SYS_iopl, 3));
#else
	return ABSENT;
#endif
}

/* calls of another architecture, which a filter by number would take for others */
static int old_calls(void)
{
#ifdef __x86_64__
	long r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(20L /* getpid */)
			 : "memory", "r8", "r9", "r10", "r11");
	return r == getpid() ? 0 : -ENOSYS;
#else
	return ABSENT;
#endif
}

static int old_x32(void)
{
#ifdef __x86_64__
	return syscall(0x40000000L + SYS_getpid) == getpid() ? 0 : -errno;
#else
	return ABSENT;
#endif
}

/* a call that no profile knows: the last of today's numbers and beyond */
static int newest_calls(void)
{
	/* mseal, a number after this program was written about: harmless, with no length */
	return past_checks(syscall(462, 0UL, 0UL, 0UL), EINVAL);
}

static int watch_all_files(void)
{
	return result(syscall(SYS_fanotify_init, 0, O_RDONLY));
}

static int type_ahead(void)
{
	/* of no terminal: ENOTTY says that the kernel was asked */
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : past_checks(ioctl(fd, TIOCSTI, "x"), ENOTTY);
}

static int type_ahead_high(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return past_checks(syscall(SYS_ioctl, (long)fd, TIOCSTI | (1UL << 32), "x"), ENOTTY);
}

/* ---- exhaustion ---- */

static int fork_bomb(void)
{
	int end[2], n, r = 0;

	if (pipe2(end, O_CLOEXEC) < 0)
		return -errno;
	for (n = 0; n < PROCESSES; n++) {
		pid_t pid = fork();

		if (pid < 0) {
			r = -errno;
			break;
		}
		if (!pid) {
			char c;

			close(end[1]);
			if (read(end[0], &c, 1) < 0)
				_exit(1);
			_exit(0);
		}
	}
	close(end[1]); /* they end */
	while (waitpid(-1, NULL, 0) > 0)
		;
	return r;
}

static int many_descriptors(void)
{
	for (int n = 0; n < DESCRIPTORS; n++)
		if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
			return -errno;
	return 0;
}

static int lock_memory(void)
{
	size_t size = 8 << 20;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -errno : result(mlock(p, size));
}

/* in turns with nothing else: the whole sandbox may end */
static int much_memory(void)
{
	size_t mb = (size_t)1 << 20;
	char *p = mmap(NULL, MEMORY_MB * mb, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	for (size_t i = 0; i < MEMORY_MB * mb; i += 4096)
		p[i] = 1;
	return 0;
}

static int much_disk(void)
{
	static char block[1 << 20];
	int fd = open("/tmp/" MARK "-disk", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r = 0;

	if (fd < 0)
		return -errno;
	for (int mb = 0; mb < 600 && r == 0; mb++)
		r = result(write(fd, block, sizeof(block)));
	(void)unlink("/tmp/" MARK "-disk");
	return r;
}

static int much_shared_memory(void)
{
	int id = shmget(IPC_PRIVATE, (size_t)MEMORY_MB << 20, IPC_CREAT | 0600);
	char *p;

	if (id < 0)
		return -errno;
	p = shmat(id, NULL, 0);
	(void)shmctl(id, IPC_RMID, NULL);
	if (p == (void *)-1)
		return -errno;
	for (size_t i = 0; i < (size_t)MEMORY_MB << 20; i += 4096)
		p[i] = 1;
	return 0;
}

/* ---- all ---- */

static const struct {
	const char *name;
	int (*attempt)(void);
	bool alone; /* takes the sandbox down with it: only when it is asked for */
} attempts[] = {
	{ "read_canary", read_canary, false },
	{ "write_canary", write_canary, false },
	{ "write_etc", write_etc, false },
	{ "write_root", write_root, false },
	{ "write_opt", write_opt, false },
	{ "remount_writable", remount_writable, false },
	{ "write_usr", write_usr, false }, /* after what might have opened it */
	{ "read_shadow", read_shadow, false },
	{ "file_by_handle", file_by_handle, false },
	{ "make_device", make_device, false },
	{ "devices", devices, false },
	{ "see_processes", see_processes, false },
	{ "signal_outside", signal_outside, false },
	{ "trace_self", trace_self, false },
	{ "memory_of_first", memory_of_first, false },
	{ "root_of_first", root_of_first, false },
	{ "environ_of_first", environ_of_first, false },
	{ "descriptors_of_first", descriptors_of_first, false },
	{ "read_first", read_first, false },
	{ "become_root", become_root, false },
	{ "all_groups", all_groups, false },
	{ "real_time", real_time, false },
	{ "higher_priority", higher_priority, false },
	{ "raise_limit", raise_limit, false },
	{ "old_layout", old_layout, false },
	{ "shared_memory", shared_memory, false },
	{ "queue_of_others", queue_of_others, false },
	{ "file_of_others", file_of_others, false },
	{ "memory_file_of_others", memory_file_of_others, false },
	{ "abstract_socket", abstract_socket, false },
	{ "loopback_of_others", loopback_of_others, false },
	{ "netd_socket", netd_socket, false },
	{ "sandboxd_socket", sandboxd_socket, false },
	{ "sandboxd_descriptors", sandboxd_descriptors, false },
	{ "run_folder", run_folder, false },
	{ "write_sysctl", write_sysctl, false },
	{ "open_sysctl", open_sysctl, false },
	{ "open_sysrq", open_sysrq, false },
	{ "open_sys", open_sys, false },
	{ "open_cgroup", open_cgroup, false },
	{ "kernel_addresses", kernel_addresses, false },
	{ "mount_tmpfs", mount_tmpfs, false },
	{ "mount_proc", mount_proc, false },
	{ "mount_bind", mount_bind, false },
	{ "mount_new_calls", mount_new_calls, false },
	{ "open_tree_clone", open_tree_clone, false },
	{ "pivot", pivot, false },
	{ "change_root", change_root, false },
	{ "user_namespace", user_namespace, false },
	{ "net_namespace", net_namespace, false },
	{ "mount_namespace", mount_namespace, false },
	{ "user_namespace_by_clone", user_namespace_by_clone, false },
	{ "user_namespace_by_clone3", user_namespace_by_clone3, false },
	{ "enter_namespace", enter_namespace, false },
	{ "host_name", host_name, false },
	{ "raw_socket", raw_socket, false },
	{ "raw_socket6", raw_socket6, false },
	{ "packet_socket", packet_socket, false },
	{ "packet_socket_old", packet_socket_old, false },
	{ "packet_socket_high", packet_socket_high, false },
	{ "crypto_socket", crypto_socket, false },
	{ "hypervisor_socket", hypervisor_socket, false },
	{ "filter_socket", filter_socket, false },
	{ "express_socket", express_socket, false },
	{ "set_mark", set_mark, false },
	{ "foreign_source", foreign_source, false },
	{ "add_address", add_address, false },
	{ "link_down", link_down, false },
	{ "add_route", add_route, false },
	{ "load_bpf", load_bpf, false },
	{ "watch_events", watch_events, false },
	{ "add_key", add_key, false },
	{ "session_keyring", session_keyring, false },
	{ "user_faults", user_faults, false },
	{ "io_uring", io_uring, false },
	{ "load_module", load_module, false },
	{ "unload_module", unload_module, false },
	{ "load_kernel", load_kernel, false },
	{ "restart", restart, false },
	{ "set_clock", set_clock, false },
	{ "read_log", read_log, false },
	{ "swap_on", swap_on, false },
	{ "accounting", accounting, false },
	{ "ports", ports, false },
	{ "old_calls", old_calls, false },
	{ "old_x32", old_x32, false },
	{ "newest_calls", newest_calls, false },
	{ "watch_all_files", watch_all_files, false },
	{ "type_ahead", type_ahead, false },
	{ "type_ahead_high", type_ahead_high, false },
	{ "lock_memory", lock_memory, false },
	{ "many_descriptors", many_descriptors, false },
	{ "fork_bomb", fork_bomb, false },
	{ "unmount", unmount, false },
	{ "much_disk", much_disk, true },
	{ "much_shared_memory", much_shared_memory, true },
	{ "much_memory", much_memory, true },
};

/* in a child: what it breaks is its own, and a signal that ends it is an answer */
static void try(size_t i, const char *comma)
{
	int how[2], code = -EIO, status = 0;
	pid_t pid;

	if (pipe2(how, O_CLOEXEC) < 0)
		exit(1);
	pid = fork();
	if (!pid) {
		(void)alarm(ATTEMPT_S);
		code = attempts[i].attempt();
		_exit(write(how[1], &code, sizeof(code)) == sizeof(code) ? 0 : 1);
	}
	close(how[1]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		code = -errno;
	else if (read(how[0], &code, sizeof(code)) != sizeof(code))
		code = -EINTR;
	close(how[0]);
	printf("%s\"%s\": {\"result\": \"%s\", \"how\": \"", comma, attempts[i].name,
	       code == 0      ? "reached" :
	       code == ABSENT ? "absent" :
				"refused");
	if (WIFSIGNALED(status))
		printf("signal %d\"}", WTERMSIG(status));
	else
		printf("%s\"}", code == 0 || code == ABSENT ? "" : strerrorname_np(-code));
}

static int victim(const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)atoi(port)),
				 .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct sockaddr_un u = { .sun_family = AF_UNIX };
	int inet = socket(AF_INET, SOCK_STREAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0), fd, id;
	char c;

	memcpy(u.sun_path + 1, MARK, strlen(MARK));
	if (bind(inet, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(inet, 8) < 0 ||
	    bind(local, (struct sockaddr *)&u,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(MARK))) < 0 ||
	    listen(local, 8) < 0)
		return perror("sockets"), 1;
	fd = open("/tmp/" MARK, O_WRONLY | O_CREAT, 0666);
	if (fd < 0 || write(fd, "secret", 6) != 6)
		return perror("file"), 1;
	id = shmget(SHM_KEY, 4096, IPC_CREAT | 0666);
	if (id < 0)
		return perror("shmget"), 1;
	/* these two a sandbox may lack */
	fd = open("/dev/shm/" MARK, O_WRONLY | O_CREAT, 0666);
	if (fd >= 0)
		close(fd);
	fd = (int)mq_open("/" MARK, O_RDWR | O_CREAT, 0666, NULL);
	fprintf(stderr, "ready\n");
	while (read(0, &c, 1) > 0)
		;
	(void)unlink("/tmp/" MARK);
	(void)unlink("/dev/shm/" MARK);
	(void)mq_unlink("/" MARK);
	(void)shmctl(id, IPC_RMID, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	const char *comma = "", *only = NULL;
	size_t i;

	if (argc == 2 && !strcmp(argv[1], "list")) {
		for (i = 0; i < ARRAY_SIZE(attempts); i++)
			printf("%s%s\n", attempts[i].name, attempts[i].alone ? " alone" : "");
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "victim"))
		return victim(argv[2]);
	if (argc < 2 || strcmp(argv[1], "try")) {
		fprintf(stderr, "usage: hostile list|victim PORT|try [NAME=VALUE ...]\n");
		return 2;
	}
	for (int k = 2; k < argc; k++) {
		const char *value = strchr(argv[k], '=') ? strchr(argv[k], '=') + 1 : "";

		if (!strncmp(argv[k], "canary=", 7))
			canary = value;
		else if (!strncmp(argv[k], "run=", 4))
			run_dir = value;
		else if (!strncmp(argv[k], "pid=", 4))
			outside_pid = atoi(value);
		else if (!strncmp(argv[k], "port=", 5))
			victim_port = atoi(value);
		else if (!strncmp(argv[k], "only=", 5))
			only = value;
	}
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	printf("{");
	for (i = 0; i < ARRAY_SIZE(attempts); i++) {
		if (only ? strcmp(only, attempts[i].name) != 0 : attempts[i].alone)
			continue;
		fflush(stdout); /* a child must not print it again */
		try(i, comma);
		comma = ",\n ";
	}
	printf("}\n");
	return fflush(stdout) == 0 ? 0 : 1;
}
