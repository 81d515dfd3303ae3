/* SPDX-License-Identifier: MIT */
/*
 * cgroup_int - what lib/cgroup*.c share and nobody else sees.
 *
 * cgroup_host.c finds hierarchies and makes the root, cgroup_ops.c is what v1
 * and v2 do differently, cgroup.c is the groups.
 */
#ifndef CGROUP_INT_H
#define CGROUP_INT_H

#include "lib/cgroup.h"

enum cgroup_use { USE_MEMORY, USE_CPU, USE_PIDS, USE_FREEZER, N_USES };
#define USE_BIT(use) (1U << (use))
#define USE_LIMITS (USE_BIT(USE_MEMORY) | USE_BIT(USE_CPU) | USE_BIT(USE_PIDS))

/* "dir" is a descriptor of a group's directory; each returns 0 or -errno */
struct cgroup_ops {
	int version;
	const char *file[N_USES]; /* must be in a group for the use to work */
	int (*set_memory)(int dir, uint64_t bytes);
	int (*set_cpu)(int dir, double cpus);
	int (*set_pids)(int dir, uint64_t n);
	const char *freeze_on, *freeze_off; /* for file[USE_FREEZER] */
	int (*is_frozen)(int dir);
	int (*kill)(int dir); /* all at once; -ENOSYS: no such file */
	int (*memory)(int dir, uint64_t *ret);
	int (*memory_peak)(int dir, uint64_t *ret);
	int (*memory_mapped)(int dir, uint64_t *ret);
	int (*oom_kills)(int dir, uint64_t *ret);
};
extern const struct cgroup_ops cgroup_v1, cgroup_v2;

/* one hierarchy in use */
struct hier {
	const struct cgroup_ops *ops;
	unsigned uses; /* bits */
	char *path;    /* of our root in it, owns */
	int fd;	       /* of that directory */
};

struct cgroups {
	struct hier h[CGROUP_JOIN_MAX];
	size_t n;
	char *run; /* owns */
	char text[400];
};

const char *cgroup_use_name(enum cgroup_use use);
/* the hierarchy that has "use"; NULL if none */
const struct hier *cgroup_hier(const struct cgroups *c, enum cgroup_use use);

/* one write() of "text"; -errno */
int cgroup_write(int dir, const char *name, const char *text);
/* whole content, NUL-terminated; -EFBIG if it doesn't fit */
int cgroup_read(int dir, const char *name, char *ret, size_t size);
/* turns on the limits of "uses" for the groups below "dir" (v2) */
int cgroup_enable(int dir, unsigned uses);
bool cgroup_has_word(const char *list, const char *word);

/* makes the hierarchy's root and turns its controllers on; also again, when the
 * last of another daemon's groups took it along */
int cgroup_root_make(struct hier *h, struct err *e);
/* removes the root where nothing is in it */
void cgroup_root_prune(struct hier *h);

/* cgroups_open() on a given copy of /proc/self/mountinfo: for tests */
int cgroups_open_from(const char *mountinfo, const char *run, struct cgroups **ret, struct err *e);

#endif
