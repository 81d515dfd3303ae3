/* SPDX-License-Identifier: MIT */
/*
 * jail - capabilities and the system call filter (jail.h).
 *
 * The filter is a list of what is refused, with a reason each, because what a
 * function may run is any program of the host's: an allow-list would be a list
 * of what programs happen to call, and what isn't here is guarded by having no
 * capability and no other user's process in sight.
 */
#include "lib/jail.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "lib/util.h"

#define CAP(name) ((uint64_t)1 << CAP_##name)

uint64_t jail_program_caps(void)
{
	return CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FSETID) | CAP(FOWNER) | CAP(NET_RAW) |
	       CAP(SETGID) | CAP(SETUID) | CAP(SETFCAP) | CAP(SETPCAP) | CAP(NET_BIND_SERVICE) |
	       CAP(SYS_CHROOT) | CAP(KILL) | CAP(AUDIT_WRITE) | CAP(NET_ADMIN);
}

static void choose_caps(uint64_t caps, bool of_root)
{
	unsigned i;

	capng_clear(CAPNG_SELECT_BOTH);
	for (i = 0; i < 64 && i <= CAP_LAST_CAP; i++)
		if (caps & ((uint64_t)1 << i)) {
			(void)capng_update(CAPNG_ADD, CAPNG_BOUNDING_SET, i);
			if (of_root)
				(void)capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, i);
		}
}

int jail_ids(uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups, uint64_t caps)
{
	/* the bounding set first: it needs CAP_SETPCAP */
	choose_caps(caps, uid == 0);
	if (capng_apply(CAPNG_SELECT_BOUNDS) < 0)
		return -EPERM;
	if (setgroups(n_groups, groups) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		return -errno;
	return capng_apply(CAPNG_SELECT_CAPS) < 0 ? -EPERM : 0;
}

/* ---- the filter ---- */

/* refused to all */
static const int host_calls[] = {
	/* keyrings aren't namespaced */
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	/* programs in the kernel, its events, its modules, its image */
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	/* faults handled by user space hold kernel code up at a chosen place */
	SCMP_SYS(userfaultfd),
	/* the host's clock, swap, accounting, log, name */
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(clock_adjtime),
	SCMP_SYS(adjtimex),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(acct),
	SCMP_SYS(syslog),
	SCMP_SYS(reboot),
	SCMP_SYS(quotactl),
	/* namespaces and mounts are the init's */
	SCMP_SYS(unshare),
	SCMP_SYS(setns),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsmount),
	SCMP_SYS(fsconfig),
	SCMP_SYS(fspick),
	SCMP_SYS(move_mount),
	SCMP_SYS(open_tree),
	SCMP_SYS(mount_setattr),
	/* files by handle pass by every path's permissions */
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(name_to_handle_at),
	/* io_uring does what these filters would have refused */
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	/* ports and tables of old hardware and binaries */
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(vm86),
	SCMP_SYS(modify_ldt),
	SCMP_SYS(lookup_dcookie),
	SCMP_SYS(nfsservctl),
	SCMP_SYS(uselib),
	SCMP_SYS(_sysctl),
};

/* refused to functions, too */
static const int function_calls[] = {
	/* LN-6; and the init has the same user */
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(kcmp),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(process_madvise),
	/* pages of others, and placement on nodes of memory */
	SCMP_SYS(move_pages),
	SCMP_SYS(migrate_pages),
	SCMP_SYS(mbind),
	SCMP_SYS(set_mempolicy),
	SCMP_SYS(chroot),
	SCMP_SYS(fanotify_init),
	SCMP_SYS(vhangup),
	SCMP_SYS(personality),
};

static int deny(scmp_filter_ctx ctx, const int *calls, size_t n)
{
	size_t i;
	int r = 0;

	for (i = 0; i < n && !r; i++) {
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
		/* a call that this machine hasn't */
		if (r == -EDOM || r == -EINVAL)
			r = 0;
	}
	return r;
}

/* a user namespace would bring all capabilities, and the kernel's code behind them */
static int deny_namespaces(scmp_filter_ctx ctx)
{
	static const unsigned long flags[] = {
		CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWNET,    CLONE_NEWPID,
		CLONE_NEWUTS,  CLONE_NEWIPC, CLONE_NEWCGROUP,
	};
	size_t i;
	int r = 0;

	for (i = 0; i < ARRAY_SIZE(flags) && !r; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
	/* its flags are in memory, where a filter can't look: glibc falls back to clone */
	return r ? r : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

/* typing into a terminal that somebody else reads */
static int deny_terminal(scmp_filter_ctx ctx)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
				SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffU, TIOCSTI));
}

/* LN-6: TCP and UDP only; families beside these are code that no function needs */
static int deny_sockets(scmp_filter_ctx ctx)
{
	static const int types[] = { SOCK_RAW, SOCK_PACKET, SOCK_RDM, SOCK_DCCP, SOCK_SEQPACKET };
	static const int families[] = { AF_INET, AF_INET6 };
	int r, family;
	size_t i, j;

	for (family = 0, r = 0; family < AF_MAX && !r; family++)
		if (family != AF_UNIX && family != AF_INET && family != AF_INET6 &&
		    family != AF_NETLINK)
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
					     SCMP_A0(SCMP_CMP_EQ, (unsigned)family));
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_GE, AF_MAX));
	for (i = 0; i < ARRAY_SIZE(families); i++)
		for (j = 0; j < ARRAY_SIZE(types) && !r; j++)
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 2,
					     SCMP_A0(SCMP_CMP_EQ, (unsigned)families[i]),
					     SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, (unsigned)types[j]));
	return r;
}

/* families that no network namespace holds: they'd lead past the lab to the hypervisor
 * and to the host's radios */
static int deny_host_sockets(scmp_filter_ctx ctx)
{
	static const int families[] = {
		AF_VSOCK, AF_BLUETOOTH, AF_NFC, AF_ISDN, AF_IUCV, AF_QIPCRTR
	};
	size_t i;
	int r = 0;

	for (i = 0; i < ARRAY_SIZE(families) && !r; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffffU,
					     (unsigned)families[i]));
	return r;
}

int jail_filter(enum jail_filter f)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r;

	if (!ctx)
		return -ENOMEM;
	/* other architectures' calls (32-bit, x32) are killed: the library's default */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, f == JAIL_FUNCTION);
	if (!r)
		r = deny(ctx, host_calls, ARRAY_SIZE(host_calls));
	if (!r)
		r = deny_namespaces(ctx);
	if (!r)
		r = deny_terminal(ctx);
	if (!r && f == JAIL_FUNCTION)
		r = deny(ctx, function_calls, ARRAY_SIZE(function_calls));
	if (!r && f == JAIL_FUNCTION)
		r = deny_sockets(ctx);
	if (!r && f == JAIL_PROGRAM)
		r = deny_host_sockets(ctx);
	if (!r)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}
