/* SPDX-License-Identifier: MIT */
/*
 * jail_filter - the system call filter (jail.h), by libseccomp.
 *
 * An allow list: each group below says why what runs needs it, and what stands in
 * none is refused, also what kernels to come will add.  The answer then is ENOSYS,
 * as of a kernel without it: C libraries fall back to an older call.  What programs
 * do call and must not have is answered EPERM ("refused", with a reason each), so
 * that they say what happened.  After containers' default profile (docker's and
 * podman's), less what gives no capability here a meaning.
 */
#include "lib/jail.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "lib/mutant.h"
#include "lib/proc.h"
#include "lib/util.h"

#define CALL(name) SCMP_SYS(name)

/* ---- allowed to all ---- */

/* a program's own memory */
static const int memory[] = {
	CALL(brk),	     CALL(mmap),	  CALL(mmap2),
	CALL(munmap),	     CALL(mremap),	  CALL(mprotect),
	CALL(madvise),	     CALL(mincore),	  CALL(msync),
	CALL(mlock),	     CALL(mlock2),	  CALL(mlockall),
	CALL(munlock),	     CALL(munlockall),	  CALL(membarrier),
	CALL(memfd_create),  CALL(pkey_alloc),	  CALL(pkey_free),
	CALL(pkey_mprotect), CALL(get_mempolicy), CALL(remap_file_pages),
};

/* files of its root, read-only but for its own: permissions and mounts guard them */
static const int files[] = {
	CALL(open),
	CALL(openat),
	CALL(openat2),
	CALL(creat),
	CALL(close),
	CALL(close_range),
	CALL(read),
	CALL(readv),
	CALL(pread64),
	CALL(preadv),
	CALL(preadv2),
	CALL(write),
	CALL(writev),
	CALL(pwrite64),
	CALL(pwritev),
	CALL(pwritev2),
	CALL(lseek),
	CALL(_llseek),
	CALL(stat),
	CALL(stat64),
	CALL(lstat),
	CALL(lstat64),
	CALL(fstat),
	CALL(fstat64),
	CALL(fstatat64),
	CALL(newfstatat),
	CALL(statx),
	CALL(statfs),
	CALL(statfs64),
	CALL(fstatfs),
	CALL(fstatfs64),
	CALL(access),
	CALL(faccessat),
	CALL(faccessat2),
	CALL(readlink),
	CALL(readlinkat),
	CALL(getcwd),
	CALL(chdir),
	CALL(fchdir),
	CALL(mkdir),
	CALL(mkdirat),
	CALL(rmdir),
	CALL(unlink),
	CALL(unlinkat),
	CALL(link),
	CALL(linkat),
	CALL(symlink),
	CALL(symlinkat),
	CALL(rename),
	CALL(renameat),
	CALL(renameat2),
	CALL(chmod),
	CALL(fchmod),
	CALL(fchmodat),
	CALL(chown),
	CALL(fchown),
	CALL(lchown),
	CALL(fchownat),
	CALL(chown32),
	CALL(fchown32),
	CALL(lchown32),
	CALL(umask),
	CALL(mknod),
	CALL(mknodat),
	CALL(truncate),
	CALL(truncate64),
	CALL(ftruncate),
	CALL(ftruncate64),
	CALL(fallocate),
	CALL(fadvise64),
	CALL(fadvise64_64),
	CALL(readahead),
	CALL(sync),
	CALL(syncfs),
	CALL(fsync),
	CALL(fdatasync),
	CALL(sync_file_range),
	CALL(flock),
	CALL(fcntl),
	CALL(fcntl64),
	CALL(dup),
	CALL(dup2),
	CALL(dup3),
	CALL(pipe),
	CALL(pipe2),
	CALL(getdents),
	CALL(getdents64),
	CALL(utime),
	CALL(utimes),
	CALL(futimesat),
	CALL(utimensat),
	CALL(utimensat_time64),
	CALL(copy_file_range),
	CALL(sendfile),
	CALL(sendfile64),
	CALL(splice),
	CALL(tee),
	CALL(getxattr),
	CALL(lgetxattr),
	CALL(fgetxattr),
	CALL(listxattr),
	CALL(llistxattr),
	CALL(flistxattr),
	CALL(setxattr),
	CALL(lsetxattr),
	CALL(fsetxattr),
	CALL(removexattr),
	CALL(lremovexattr),
	CALL(fremovexattr),
	CALL(inotify_init),
	CALL(inotify_init1),
	CALL(inotify_add_watch),
	CALL(inotify_rm_watch),
	CALL(io_setup),
	CALL(io_submit),
	CALL(io_cancel),
	CALL(io_getevents),
	CALL(io_destroy),
	CALL(fanotify_mark),
};

/* processes and threads of its own pid namespace, less new namespaces (deny_namespaces) */
static const int processes[] = {
	CALL(fork),
	CALL(vfork),
	CALL(execve),
	CALL(execveat),
	CALL(exit),
	CALL(exit_group),
	CALL(wait4),
	CALL(waitid),
	CALL(waitpid),
	CALL(kill),
	CALL(tkill),
	CALL(tgkill),
	CALL(pidfd_open),
	CALL(pidfd_send_signal),
	CALL(getpid),
	CALL(getppid),
	CALL(gettid),
	CALL(getpgid),
	CALL(setpgid),
	CALL(getpgrp),
	CALL(getsid),
	CALL(setsid),
	CALL(set_tid_address),
	CALL(set_robust_list),
	CALL(get_robust_list),
	CALL(rseq),
	CALL(arch_prctl),
	CALL(set_thread_area),
	CALL(get_thread_area),
	CALL(prctl),
	CALL(getrlimit),
	CALL(ugetrlimit),
	CALL(setrlimit),
	CALL(prlimit64),
	CALL(getrusage),
	CALL(times),
	CALL(getpriority),
	CALL(setpriority),
	CALL(ioprio_get),
	CALL(ioprio_set),
	CALL(sched_yield),
	CALL(sched_getaffinity),
	CALL(sched_setaffinity),
	CALL(sched_getparam),
	CALL(sched_setparam),
	CALL(sched_getscheduler),
	CALL(sched_setscheduler),
	CALL(sched_getattr),
	CALL(sched_setattr),
	CALL(sched_get_priority_max),
	CALL(sched_get_priority_min),
	CALL(sched_rr_get_interval),
	CALL(sched_rr_get_interval_time64),
	CALL(getcpu),
	CALL(restart_syscall),
};

/* ids: without capabilities only those that it has */
static const int ids[] = {
	CALL(getuid),	 CALL(getuid32),    CALL(geteuid),   CALL(geteuid32),
	CALL(getgid),	 CALL(getgid32),    CALL(getegid),   CALL(getegid32),
	CALL(getresuid), CALL(getresuid32), CALL(getresgid), CALL(getresgid32),
	CALL(getgroups), CALL(getgroups32), CALL(setuid),    CALL(setuid32),
	CALL(setgid),	 CALL(setgid32),    CALL(setreuid),  CALL(setreuid32),
	CALL(setregid),	 CALL(setregid32),  CALL(setresuid), CALL(setresuid32),
	CALL(setresgid), CALL(setresgid32), CALL(setgroups), CALL(setgroups32),
	CALL(setfsuid),	 CALL(setfsuid32),  CALL(setfsgid),  CALL(setfsgid32),
	CALL(capget),	 CALL(capset),
};

/* signals, clocks and timers; sleeping and waiting */
static const int waiting[] = {
	CALL(rt_sigaction),
	CALL(rt_sigprocmask),
	CALL(rt_sigpending),
	CALL(rt_sigsuspend),
	CALL(rt_sigtimedwait),
	CALL(rt_sigtimedwait_time64),
	CALL(rt_sigqueueinfo),
	CALL(rt_tgsigqueueinfo),
	CALL(rt_sigreturn),
	CALL(sigaction),
	CALL(sigprocmask),
	CALL(sigpending),
	CALL(sigsuspend),
	CALL(sigreturn),
	CALL(signal),
	CALL(sigaltstack),
	CALL(signalfd),
	CALL(signalfd4),
	CALL(pause),
	CALL(alarm),
	CALL(getitimer),
	CALL(setitimer),
	CALL(nanosleep),
	CALL(clock_nanosleep),
	CALL(clock_nanosleep_time64),
	CALL(clock_gettime),
	CALL(clock_gettime64),
	CALL(clock_getres),
	CALL(clock_getres_time64),
	CALL(gettimeofday),
	CALL(time),
	CALL(timer_create),
	CALL(timer_delete),
	CALL(timer_getoverrun),
	CALL(timer_gettime),
	CALL(timer_gettime64),
	CALL(timer_settime),
	CALL(timer_settime64),
	CALL(timerfd_create),
	CALL(timerfd_gettime),
	CALL(timerfd_gettime64),
	CALL(timerfd_settime),
	CALL(timerfd_settime64),
	CALL(futex),
	CALL(futex_time64),
	CALL(futex_waitv),
	CALL(poll),
	CALL(ppoll),
	CALL(ppoll_time64),
	CALL(select),
	CALL(_newselect),
	CALL(pselect6),
	CALL(pselect6_time64),
	CALL(epoll_create),
	CALL(epoll_create1),
	CALL(epoll_ctl),
	CALL(epoll_wait),
	CALL(epoll_pwait),
	CALL(epoll_pwait2),
	CALL(eventfd),
	CALL(eventfd2),
};

/* sockets: which ones, "socket" says for itself (deny_sockets) */
static const int sockets[] = {
	CALL(socketpair), CALL(bind),	    CALL(connect),     CALL(listen),
	CALL(accept),	  CALL(accept4),    CALL(getsockname), CALL(getpeername),
	CALL(getsockopt), CALL(setsockopt), CALL(shutdown),    CALL(send),
	CALL(sendto),	  CALL(sendmsg),    CALL(sendmmsg),    CALL(recv),
	CALL(recvfrom),	  CALL(recvmsg),    CALL(recvmmsg),    CALL(recvmmsg_time64),
};

/* System V's and POSIX's queues: of its own IPC namespace */
static const int ipc_calls[] = {
	CALL(ipc),
	CALL(shmget),
	CALL(shmat),
	CALL(shmdt),
	CALL(shmctl),
	CALL(semget),
	CALL(semop),
	CALL(semtimedop),
	CALL(semtimedop_time64),
	CALL(semctl),
	CALL(msgget),
	CALL(msgsnd),
	CALL(msgrcv),
	CALL(msgctl),
	CALL(mq_open),
	CALL(mq_unlink),
	CALL(mq_timedsend),
	CALL(mq_timedsend_time64),
	CALL(mq_timedreceive),
	CALL(mq_timedreceive_time64),
	CALL(mq_notify),
	CALL(mq_getsetattr),
};

/* what is this machine; random numbers; further locks onto oneself */
static const int machine[] = {
	CALL(uname),
	CALL(sysinfo),
	CALL(getrandom),
	CALL(seccomp),
	CALL(landlock_create_ruleset),
	CALL(landlock_add_rule),
	CALL(landlock_restrict_self),
};

/* ---- allowed to nodes' programs, which are containers' peers ---- */

/* debuggers among one user's processes, and their personality; chroot with docker's
 * CAP_SYS_CHROOT; placement of memory (databases call it at start) */
static const int program_calls[] = {
	CALL(ptrace),	   CALL(process_vm_readv), CALL(process_vm_writev), CALL(kcmp),
	CALL(pidfd_getfd), CALL(process_madvise),  CALL(process_mrelease),  CALL(chroot),
	CALL(mbind),	   CALL(set_mempolicy),	   CALL(memfd_secret),	    CALL(vhangup),
	CALL(sethostname), CALL(setdomainname),	   CALL(personality),
};

/* ---- refused with a word: programs try them ---- */

static const int refused[] = {
	/* keyrings aren't namespaced */
	CALL(keyctl),
	CALL(add_key),
	CALL(request_key),
	/* programs in the kernel, its events, its modules, its image */
	CALL(bpf),
	CALL(perf_event_open),
	CALL(init_module),
	CALL(finit_module),
	CALL(delete_module),
	CALL(kexec_load),
	CALL(kexec_file_load),
	/* faults handled by user space hold kernel code up at a chosen place */
	CALL(userfaultfd),
	/* the host's clock, swap, accounting, log, name */
	CALL(settimeofday),
	CALL(clock_settime),
	CALL(clock_adjtime),
	CALL(adjtimex),
	CALL(swapon),
	CALL(swapoff),
	CALL(acct),
	CALL(syslog),
	CALL(reboot),
	CALL(quotactl),
	/* namespaces and mounts are the init's */
	CALL(unshare),
	CALL(setns),
	CALL(mount),
	CALL(umount2),
	CALL(pivot_root),
	CALL(fsopen),
	CALL(fsmount),
	CALL(fsconfig),
	CALL(fspick),
	CALL(move_mount),
	CALL(open_tree),
	CALL(mount_setattr),
	/* files by handle pass by every path's permissions */
	CALL(open_by_handle_at),
	CALL(name_to_handle_at),
	/* io_uring does what this filter would have refused */
	CALL(io_uring_setup),
	CALL(io_uring_enter),
	CALL(io_uring_register),
	/* ports and tables of old hardware and binaries */
	CALL(iopl),
	CALL(ioperm),
	CALL(modify_ldt),
	/* pages of other processes; watching whole file systems */
	CALL(move_pages),
	CALL(migrate_pages),
	CALL(fanotify_init),
	CALL(vmsplice),
};

/* refused to functions, besides: LN-6 (ptrace), and the init has the same user */
static const int function_refused[] = {
	CALL(ptrace),	   CALL(process_vm_readv), CALL(process_vm_writev),
	CALL(kcmp),	   CALL(pidfd_getfd),	   CALL(process_madvise),
	CALL(mbind),	   CALL(set_mempolicy),	   CALL(chroot),
	CALL(vhangup),	   CALL(sethostname),	   CALL(setdomainname),
	CALL(personality),
};

static const struct {
	const int *calls;
	size_t n;
} allowed[] = {
	{ memory, ARRAY_SIZE(memory) },	      { files, ARRAY_SIZE(files) },
	{ processes, ARRAY_SIZE(processes) }, { ids, ARRAY_SIZE(ids) },
	{ waiting, ARRAY_SIZE(waiting) },     { sockets, ARRAY_SIZE(sockets) },
	{ ipc_calls, ARRAY_SIZE(ipc_calls) }, { machine, ARRAY_SIZE(machine) },
};

static int add(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t n)
{
	size_t i;
	int r = 0;

	for (i = 0; i < n && !r; i++) {
		r = seccomp_rule_add(ctx, action, calls[i], 0);
		/* a call that this machine hasn't */
		if (r == -EDOM || r == -EINVAL)
			r = 0;
	}
	return r;
}

/* which calls: everything else is ENOSYS */
static int list_calls(scmp_filter_ctx ctx, enum jail_filter f)
{
	static const int by_argument[] = { CALL(socket), CALL(clone), CALL(ioctl) };
	size_t i;
	int r;

	/* a tree of comparisons: some 300 in a row would be felt in each call */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (i = 0; i < ARRAY_SIZE(allowed) && !r; i++)
		r = add(ctx, SCMP_ACT_ALLOW, allowed[i].calls, allowed[i].n);
	if (!r)
		r = add(ctx, SCMP_ACT_ALLOW, by_argument, ARRAY_SIZE(by_argument));
	if (!r)
		r = add(ctx, SCMP_ACT_ERRNO(EPERM), refused, ARRAY_SIZE(refused));
	if (r)
		return r;
	if (f == JAIL_PROGRAM)
		return add(ctx, SCMP_ACT_ALLOW, program_calls, ARRAY_SIZE(program_calls));
	return add(ctx, SCMP_ACT_ERRNO(EPERM), function_refused, ARRAY_SIZE(function_refused));
}

/* ---- by argument: a filter of its own, for a rule without arguments outdoes those with ---- */

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
	return r; /* clone3's flags are in memory, where no filter can look: it isn't in the list */
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
	/* of netlink what C libraries read interfaces and addresses with */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPROTONOSUPPORT), SCMP_SYS(socket), 2,
				     SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
				     SCMP_A2(SCMP_CMP_NE, NETLINK_ROUTE));
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

/* ---- both ---- */

static int list_arguments(scmp_filter_ctx ctx, enum jail_filter f)
{
	int r = MUTANT("filter-arguments") ? 0 : deny_namespaces(ctx);

	if (!r)
		r = deny_terminal(ctx);
	if (!r)
		r = f == JAIL_FUNCTION ? deny_sockets(ctx) : deny_host_sockets(ctx);
	return r;
}

/* appends the program to "fd"; its size in bytes or -errno */
static int put(int fd, enum jail_filter f, uint32_t otherwise,
	       int (*rules)(scmp_filter_ctx ctx, enum jail_filter f))
{
	off_t begin = lseek(fd, 0, SEEK_END), end;
	/* other architectures' calls (32-bit, x32) are killed: the library's default */
	scmp_filter_ctx ctx = seccomp_init(otherwise);
	int r;

	if (!ctx)
		return -ENOMEM;
	r = rules(ctx, f);
	if (!r)
		r = seccomp_export_bpf(ctx, fd);
	seccomp_release(ctx);
	end = lseek(fd, 0, SEEK_END);
	if (!r && (begin < 0 || end <= begin))
		r = -EIO;
	return r ? r : (int)(end - begin);
}

int jail_filter_compile(enum jail_filter f)
{
	auto_close int scratch = memfd_create("filter", MFD_CLOEXEC);
	struct jail_filters *all;
	int arguments, list, r;

	if (scratch < 0)
		return -errno;
	arguments = put(scratch, f, SCMP_ACT_ALLOW, list_arguments);
	list = arguments < 0 ? arguments :
			       put(scratch, f,
				   MUTANT("filter-list") ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOSYS),
				   list_calls);
	if (list < 0)
		return list;
	all = calloc(1, sizeof(*all) + (size_t)(arguments + list));
	if (!all)
		return -ENOMEM;
	all->size[0] = (uint32_t)arguments;
	all->size[1] = (uint32_t)list;
	r = pread(scratch, all->program, (size_t)(arguments + list), 0) == arguments + list ?
		    proc_memfd("filter", all, sizeof(*all) + (size_t)(arguments + list)) :
		    -EIO;
	free(all);
	return r;
}
