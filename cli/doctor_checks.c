/* SPDX-License-Identifier: MIT */
/*
 * doctor_checks - the needs, each tried with the code that the daemons use
 * (lib/nl, lib/nft, lib/cgroup), so that what doctor finds is what they will
 * find.  Namespaces that a check makes go with its process.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/daemons.h"
#include "cli/doctor.h"
#include "lib/cgroup.h"
#include "lib/nft.h"
#include "lib/nl.h"
#include "lib/proc.h"
#include "lib/program.h"
#include "lib/util.h"

#define KERNEL_MAJOR 5
#define KERNEL_MINOR 10
#define FILES_MIN 4096 /* one daemon: sockets, pidfds, namespaces */

static int found(char *ret, size_t size, const char *text)
{
	(void)snprintf(ret, size, "%s", text);
	return 0;
}

static int broken(char *ret, size_t size, const struct err *e)
{
	(void)snprintf(ret, size, "%s", e->msg);
	return e->errnum ? -e->errnum : -EIO;
}

static int failed(char *ret, size_t size, const char *what)
{
	int r = -errno;

	(void)snprintf(ret, size, "%s: %s", what, strerror(-r));
	return r;
}

/* ---- the kernel ---- */

static int check_kernel(char *ret, size_t size)
{
	struct utsname u;
	unsigned major, minor;

	if (uname(&u) < 0)
		return failed(ret, size, "uname");
	(void)found(ret, size, u.release);
	if (sscanf(u.release, "%u.%u", &major, &minor) != 2)
		return -EINVAL;
	return major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR) ? 0 :
											  -ENOSYS;
}

static int check_root(char *ret, size_t size)
{
	if (geteuid() != 0) {
		(void)snprintf(ret, size, "user id %u", geteuid());
		return -EPERM;
	}
	/* root of a container may lack it: the calls that need it tell */
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		return failed(ret, size, "namespaces");
	return 0;
}

static int check_namespaces(char *ret, size_t size)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC) < 0)
		return failed(ret, size, "unshare");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return failed(ret, size, "private mounts");
	if (mount("doctor", "/proc/self/fdinfo", "tmpfs", MS_NOSUID | MS_NODEV, "size=4k") < 0)
		return failed(ret, size, "tmpfs");
	return found(ret, size, "network, mount, pid, uts, ipc");
}

static int check_sysctls(char *ret, size_t size)
{
	auto_close int fd = open("/proc/sys/net/ipv4/ip_forward", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return failed(ret, size, "/proc/sys/net");
	if (write(fd, "1", 1) != 1)
		return failed(ret, size, "net.ipv4.ip_forward");
	return 0;
}

static int check_memfd(char *ret, size_t size)
{
	auto_close int fd = proc_memfd("doctor", "x", 1);

	if (fd < 0) {
		(void)snprintf(ret, size, "%s", strerror(-fd));
		return fd;
	}
	return 0;
}

static int check_pidfd(char *ret, size_t size)
{
	auto_close int fd = proc_open(getpid());

	if (fd < 0) {
		(void)snprintf(ret, size, "%s", strerror(-fd));
		return fd;
	}
	return 0;
}

static int check_seccomp(char *ret, size_t size)
{
	unsigned action = SECCOMP_RET_ERRNO;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
		return failed(ret, size, "seccomp filters");
	return 0;
}

static int check_files(char *ret, size_t size)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return failed(ret, size, "getrlimit");
	(void)snprintf(ret, size, "%llu", (unsigned long long)l.rlim_max);
	return l.rlim_max >= FILES_MIN ? 0 : -EMFILE;
}

static int check_programs(char *ret, size_t size)
{
	static const char *const names[] = { "netd", "sandboxd", "responder", "vpclab-init" };
	size_t i, n = 0;

	*ret = '\0';
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		auto_free char *path = daemon_program(names[i]);

		if (!path)
			n += (size_t)snprintf(ret + n, size - n, "%s%s", n ? ", " : "no ",
					      names[i]);
	}
	return n ? -ENOENT : 0;
}

/* ---- cgroups ---- */

static int check_cgroups(char *ret, size_t size)
{
	char scratch[] = "/tmp/vpclab-doctor-XXXXXX";
	struct cgroups *g = NULL;
	struct err e = { 0 }, ignored = { 0 };
	int r;

	if (!mkdtemp(scratch))
		return failed(ret, size, scratch);
	r = cgroups_open(scratch, &g, &e);
	if (r < 0) {
		(void)broken(ret, size, &e);
	} else {
		(void)found(ret, size, cgroups_describe(g));
		(void)cgroups_remove(g, 1000, &ignored); /* empty: nothing can hold it */
		cgroups_close(g);
	}
	(void)rm_rf(scratch);
	return r;
}

/* ---- the network ---- */

struct pair {
	struct nl *here, *there;
	int there_fd;
};

static int peer_fd(const char *ns, void *arg)
{
	(void)ns;
	return ((struct pair *)arg)->there_fd;
}

static struct nl *peer_nl(const char *ns, void *arg)
{
	(void)ns;
	return ((struct pair *)arg)->there;
}

static int own_netns(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* carries "p"'s items of namespace "a" out in this namespace; the other end of
 * its links is in a second one */
static int apply_links(const struct program *p, struct pair *pair, struct err *e)
{
	struct step steps[16];
	bool done[16];
	size_t i, n = 0;

	for (i = 0; i < p->n && n < ARRAY_SIZE(steps); i++)
		steps[n++] = (struct step){ .op = STEP_ADD, .phase = 3, .new = &p->items[i] };
	return nl_apply(pair->here, steps, n, done, peer_fd, peer_nl, pair, e) == n ?
		       0 :
		       -(e->errnum ? e->errnum : EIO);
}

static int try_links(const struct program *p, struct err *e)
{
	auto_close int here = own_netns();
	struct pair pair = { .there_fd = -1 };
	int r;

	if (here < 0 || unshare(CLONE_NEWNET) < 0)
		return err_set(e, ERR_HOST, errno, "network namespace: %s", strerror(errno));
	pair.there_fd = own_netns();
	r = nl_open(here, &pair.here, e);
	if (!r)
		r = nl_open(pair.there_fd, &pair.there, e);
	if (!r)
		r = apply_links(p, &pair, e);
	nl_free(pair.here);
	nl_free(pair.there);
	if (pair.there_fd >= 0)
		close(pair.there_fd);
	return r;
}

static int check_links(char *ret, size_t size)
{
	struct program p;
	struct err e = { 0 };
	int r;

	/* in the order of their making: a program's own order is by name */
	program_init(&p);
	program_add(&p, "a", ITEM_LINK, "eni0",
		    "index 2 peer eth0 peer-ns b peer-index 2 "
		    "mac 02:00:00:00:00:01 peer-mac 02:00:00:00:00:02 mtu 9001 alias doctor");
	program_add(&p, "a", ITEM_ROUTE, "50 10.0.0.2/32", "dev eni0 scope link");
	program_add(&p, "a", ITEM_ROUTE, "101 10.0.0.0/16", "throw");
	program_add(&p, "a", ITEM_ROUTE, "101 0.0.0.0/0", "blackhole");
	program_add(&p, "a", ITEM_RULE, "100", "fwmark 0x100/0xff00 lookup 101");
	r = p.failed ? -ENOMEM : try_links(&p, &e);
	program_done(&p);
	return r < 0 ? broken(ret, size, &e) : found(ret, size, "veth, fwmark rules, throw routes");
}

/* one transaction with table "ip doctor", what "fill" adds, in this namespace */
static int try_nft(char *ret, size_t size, void (*fill)(struct program *p))
{
	auto_close int fd = own_netns();
	struct program p;
	struct nft *s = NULL;
	struct err e = { 0 };
	char hash[33];
	int r;

	program_init(&p);
	program_add(&p, "a", ITEM_TABLE, "ip vpclab", "");
	fill(&p);
	r = fd < 0 ? fd : program_seal(&p, &e);
	if (!r)
		r = nft_open(fd, &s, &e);
	if (!r) {
		program_nft_hash(&p, "a", hash);
		r = nft_replace(s, &p, "a", hash, &e);
	}
	nft_close(s);
	program_done(&p);
	return r < 0 ? broken(ret, size, &e) : 0;
}

#define FORWARD "type filter hook forward priority 0; policy drop;\n"
#define FILTER(p, rule) program_add(p, "a", ITEM_CHAIN, "ip vpclab forward", FORWARD rule)

static void fill_sets(struct program *p)
{
	program_add(p, "a", ITEM_SET, "ip vpclab rules",
		    "type inet_proto . inet_service . ipv4_addr; flags interval;");
	program_add(p, "a", ITEM_ELEM, "ip vpclab rules\ttcp . 80-90 . 10.0.0.0/8", "");
	FILTER(p, "meta l4proto . th dport . ip saddr @rules accept");
}

static void fill_maps(struct program *p)
{
	program_add(p, "a", ITEM_CHAIN, "ip vpclab one", "accept");
	program_add(p, "a", ITEM_SET, "ip vpclab marks", "type ifname : mark;");
	program_add(p, "a", ITEM_SET, "ip vpclab jumps", "type mark : verdict;");
	program_add(p, "a", ITEM_ELEM, "ip vpclab marks\teni0", "0x10101");
	program_add(p, "a", ITEM_ELEM, "ip vpclab jumps\t0x10000", "goto one");
	FILTER(p, "meta mark set iifname map @marks\nmeta mark & 0xffff0000 vmap @jumps");
}

static void fill_zones(struct program *p)
{
	program_add(p, "a", ITEM_CHAIN, "ip vpclab raw",
		    "type filter hook prerouting priority -300; policy accept;\n"
		    "iifname igw ct zone set 1");
	FILTER(p, "ct state established,related accept");
}

static void fill_fib(struct program *p)
{
	program_add(p, "a", ITEM_CHAIN, "ip vpclab pre",
		    "type filter hook prerouting priority -150; policy accept;\n"
		    "fib daddr type local accept");
}

static void fill_nat(struct program *p)
{
	program_add(p, "a", ITEM_SET, "ip vpclab out", "type ipv4_addr : ipv4_addr;");
	program_add(p, "a", ITEM_ELEM, "ip vpclab out\t10.0.0.1", "203.0.113.1");
	program_add(p, "a", ITEM_CHAIN, "ip vpclab post",
		    "type nat hook postrouting priority 100; policy accept;\n"
		    "oifname igw snat to ip saddr map @out");
}

static void fill_count(struct program *p)
{
	program_add(p, "a", ITEM_SET, "ip vpclab conns",
		    "type ipv4_addr . inet_proto . inet_service; flags dynamic; size 1024;");
	FILTER(p, "ct state new add @conns { ip daddr . meta l4proto . th dport "
		  "ct count over 55000 } drop");
}

static void fill_notes(struct program *p)
{
	program_add(p, "a", ITEM_SET, "ip vpclab notes",
		    "type ipv4_addr . ipv4_addr; flags dynamic,timeout; size 1024; timeout 30s; "
		    "counter;");
	FILTER(p, "update @notes { ip saddr . ip daddr counter } drop");
}

static void fill_reject(struct program *p)
{
	FILTER(p, "meta l4proto tcp reject with tcp reset");
}

static int check_sets(char *ret, size_t size)
{
	return try_nft(ret, size, fill_sets);
}

static int check_maps(char *ret, size_t size)
{
	return try_nft(ret, size, fill_maps);
}

static int check_zones(char *ret, size_t size)
{
	return try_nft(ret, size, fill_zones);
}

static int check_fib(char *ret, size_t size)
{
	return try_nft(ret, size, fill_fib);
}

static int check_nat(char *ret, size_t size)
{
	return try_nft(ret, size, fill_nat);
}

static int check_count(char *ret, size_t size)
{
	return try_nft(ret, size, fill_count);
}

static int check_notes(char *ret, size_t size)
{
	return try_nft(ret, size, fill_notes);
}

static int check_reject(char *ret, size_t size)
{
	return try_nft(ret, size, fill_reject);
}

static int check_conntrack(char *ret, size_t size)
{
	auto_close int fd = own_netns();
	int r = fd < 0 ? fd : ct_forget(fd, 0x0a000001);

	if (r < 0)
		(void)snprintf(ret, size, "%s", strerror(-r));
	return r;
}

#define KERNEL_FIX(option)                                                        \
	"a kernel with " option " (Debian's and Ubuntu's have it; where modules " \
	"can't be loaded, load it on the host)"

const struct doctor_check DOCTOR_CHECKS[] = {
	{ "kernel", "Linux 5.10 or later", .fn = check_kernel },
	{ "root", "run it as root, in a container with all capabilities (--privileged)",
	  .fn = check_root },
	{ "programs", "build them (make), or install the package", .fn = check_programs },
	{ "open files", "ulimit -Hn 65536, or LimitNOFILE= of the unit", .fn = check_files },
	{ "pidfd", "Linux 5.3 or later", .fn = check_pidfd },
	{ "memfd sealing", KERNEL_FIX("CONFIG_MEMFD_CREATE"), .fn = check_memfd },
	{ "seccomp", KERNEL_FIX("CONFIG_SECCOMP_FILTER"), .fn = check_seccomp },
	{ "namespaces", KERNEL_FIX("CONFIG_NAMESPACES"), true, .fn = check_namespaces },
	{ "sysctls of namespaces", "a writable /proc/sys (containers: --privileged)", true,
	  .fn = check_sysctls },
	{ "cgroups", "mount cgroup2, or the v1 controllers memory, cpu, pids and freezer", true,
	  .fn = check_cgroups },
	{ "links and routing", KERNEL_FIX("CONFIG_VETH and CONFIG_IP_MULTIPLE_TABLES"), true,
	  .fn = check_links },
	{ "nftables sets", KERNEL_FIX("CONFIG_NF_TABLES"), true, .fn = check_sets },
	{ "nftables maps", KERNEL_FIX("CONFIG_NF_TABLES"), true, .fn = check_maps },
	{ "nftables notes", KERNEL_FIX("CONFIG_NF_TABLES"), true, .fn = check_notes },
	{ "nftables conntrack zones", KERNEL_FIX("CONFIG_NFT_CT and CONFIG_NF_CONNTRACK_ZONES"),
	  true, .fn = check_zones },
	{ "nftables fib", KERNEL_FIX("CONFIG_NFT_FIB_IPV4"), true, .fn = check_fib },
	{ "nftables nat", KERNEL_FIX("CONFIG_NFT_NAT"), true, .fn = check_nat },
	{ "nftables connection limits", KERNEL_FIX("CONFIG_NFT_CONNLIMIT"), true,
	  .fn = check_count },
	{ "nftables reject", KERNEL_FIX("CONFIG_NFT_REJECT"), true, .fn = check_reject },
	{ "connection tracking", KERNEL_FIX("CONFIG_NF_CT_NETLINK"), true, .fn = check_conntrack },
	{ 0 },
};
