/* SPDX-License-Identifier: MIT */
/* jail - ids and capabilities, by libcap-ng, and the load of a filter (jail.h) */
#include "lib/jail.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

static int load(struct sock_filter *program, size_t size)
{
	struct sock_fprog p = { .len = (unsigned short)(size / sizeof(*program)),
				.filter = program };

	if (!size || size % sizeof(*program) || size / sizeof(*program) > BPF_MAXINSNS)
		return -EINVAL;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p) < 0 ? -errno : 0;
}

int jail_filter_load(int fd, enum jail_filter f)
{
	struct jail_filters *all;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)sizeof(*all))
		return -EINVAL;
	all = malloc((size_t)st.st_size);
	if (!all)
		return -ENOMEM;
	/* at an offset: inits that start at once share the descriptor's position */
	r = pread(fd, all, (size_t)st.st_size, 0) == st.st_size &&
			    (uint64_t)st.st_size ==
				    sizeof(*all) + (uint64_t)all->size[0] + all->size[1] ?
		    0 :
		    -EINVAL;
	if (!r && f == JAIL_FUNCTION && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (!r)
		r = load(all->program, all->size[0]);
	if (!r)
		r = load(all->program + all->size[0] / sizeof(struct sock_filter), all->size[1]);
	free(all);
	return r;
}
