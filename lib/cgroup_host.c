/* SPDX-License-Identifier: MIT */
/*
 * cgroup_host - finds the host's cgroup hierarchies and makes (or finds) the root
 * of an instance of the product in each that is used.
 *
 * Which hierarchy serves what: memory, cpu and pids wherever the host has the
 * controller; freezing and killing in a cgroup2 tree if one is mounted, also
 * one without controllers.
 *
 * The root is /vpclab-HASH in each, also for a unit of systemd, whose own group
 * could be delegated: programs outlive the daemon, so groups with controllers
 * would stay below the unit's, and v2 takes no process into a group that has such:
 * systemd couldn't start the unit again (219/CGROUP; what helps, DelegateSubgroup=,
 * came with version 254).  And so a daemon finds the same groups whoever starts it.
 *
 * RUN/cgroups has a line "VERSION USES PATH" for each root ever made; it is
 * written before anything is put into them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cgroup_int.h"
#include "lib/util.h"

#define LEAF "probe"
#define TEXT_MAX (1024 * 1024)

/* a mounted hierarchy */
struct mount {
	int version;
	char *point;   /* owns */
	char *options; /* owns; v1: its controllers are among them */
};

struct host {
	struct mount mounts[32];
	size_t n_mounts;
};

const char *cgroup_use_name(enum cgroup_use use)
{
	static const char *const names[] = { "memory", "cpu", "pids", "freezer" };

	return names[use];
}

bool cgroup_has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	while (*list) {
		size_t len = strcspn(list, ", \n");

		if (len == n && memcmp(list, word, n) == 0)
			return true;
		list += len;
		list += strspn(list, ", \n");
	}
	return false;
}

/* ---- what is mounted ---- */

static void host_done(struct host *h)
{
	size_t i;

	for (i = 0; i < h->n_mounts; i++) {
		free(h->mounts[i].point);
		free(h->mounts[i].options);
	}
}

/* \ooo of mountinfo, in place */
static void unescape(char *s)
{
	char *o = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*o++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*o++ = *s;
		}
	}
	*o = '\0';
}

/* "36 35 98:0 ROOT POINT rw,... [tags] - cgroup2 SOURCE OPTIONS" */
static int mount_line(struct host *h, char *line)
{
	char *field[6], *tail = strstr(line, " - "), *save = NULL, *type, *options;
	struct mount *m = &h->mounts[h->n_mounts];
	size_t i;

	if (!tail || h->n_mounts == ARRAY_SIZE(h->mounts))
		return 0;
	*tail = '\0';
	for (i = 0; i < ARRAY_SIZE(field); i++) {
		field[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!field[i])
			return 0;
	}
	type = strtok_r(tail + 3, " ", &save);
	strtok_r(NULL, " ", &save); /* source */
	options = strtok_r(NULL, " ", &save);
	if (!type || !options || strncmp(type, "cgroup", 6) != 0)
		return 0;
	unescape(field[4]);
	m->version = strcmp(type, "cgroup2") == 0 ? 2 : 1;
	m->point = strdup(field[4]);
	m->options = strdup(options);
	h->n_mounts++;
	return m->point && m->options ? 0 : -ENOMEM;
}

static int host_read(const char *mountinfo, struct host *h)
{
	auto_free char *text = NULL;
	char *line, *save = NULL;
	size_t size;
	int r;

	r = read_file(mountinfo, TEXT_MAX, &text, &size);
	if (r < 0)
		return r;
	for (line = strtok_r(text, "\n", &save); line && r >= 0; line = strtok_r(NULL, "\n", &save))
		r = mount_line(h, line);
	return r;
}

/* ---- roots ---- */

static const struct mount *find_mount(const struct host *h, enum cgroup_use use)
{
	char list[1024];
	size_t i;

	for (i = 0; i < h->n_mounts; i++) {
		const struct mount *m = &h->mounts[i];

		if (use == USE_FREEZER ?
			    m->version == 2 :
			    m->version == 1 && cgroup_has_word(m->options, cgroup_use_name(use)))
			return m;
	}
	for (i = 0; i < h->n_mounts; i++) {
		const struct mount *m = &h->mounts[i];
		auto_close int fd = -1;

		if (use == USE_FREEZER) {
			if (m->version == 1 && cgroup_has_word(m->options, "freezer"))
				return m;
			continue;
		}
		if (m->version != 2)
			continue;
		fd = open(m->point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && cgroup_read(fd, "cgroup.controllers", list, sizeof(list)) == 0 &&
		    cgroup_has_word(list, cgroup_use_name(use)))
			return m;
	}
	return NULL;
}

/* the hierarchy's entry in "c", made if it is new; NULL when there is no room */
static struct hier *hier_for(struct cgroups *c, const char *path, int version)
{
	struct hier *h;
	size_t i;

	for (i = 0; i < c->n; i++)
		if (strcmp(c->h[i].path, path) == 0)
			return &c->h[i];
	if (c->n == ARRAY_SIZE(c->h))
		return NULL;
	h = &c->h[c->n];
	*h = (struct hier){ .ops = version == 2 ? &cgroup_v2 : &cgroup_v1, .fd = -1 };
	h->path = strdup(path);
	if (!h->path)
		return NULL;
	c->n++;
	return h;
}

static int choose_one(struct cgroups *c, const struct host *host, enum cgroup_use use,
		      const char *name, struct err *e)
{
	const struct mount *m = find_mount(host, use);
	auto_free char *path = NULL;
	struct hier *h;

	if (!m)
		return err_set(e, ERR_HOST, ENOTSUP,
			       "this host has no cgroup controller \"%s\", neither v1 nor v2",
			       cgroup_use_name(use));
	if (asprintf(&path, "%s/%s", m->point, name) < 0)
		path = NULL;
	h = path ? hier_for(c, path, m->version) : NULL;
	if (!h)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	h->uses |= USE_BIT(use);
	return 0;
}

static int choose(struct cgroups *c, const struct host *host, struct err *e)
{
	char name[] = "vpclab-00000000";
	int r = 0, use;

	hash_hex(name + strlen(name) - 8, 8, "%s", c->run);
	for (use = 0; use < N_USES && r >= 0; use++)
		r = choose_one(c, host, (enum cgroup_use)use, name, e);
	return r;
}

/* "+memory +cpu" for the limits in "uses" */
static void enable_text(unsigned uses, char *ret, size_t size)
{
	size_t n = 0;
	int use;

	*ret = '\0';
	for (use = 0; use < USE_FREEZER; use++)
		if (uses & USE_BIT(use) && n < size)
			n += (size_t)snprintf(ret + n, size - n, "%s+%s", n ? " " : "",
					      cgroup_use_name((enum cgroup_use)use));
}

int cgroup_enable(int dir, unsigned uses)
{
	char text[64], now[256];
	int r, use;
	bool all = true;

	r = cgroup_read(dir, "cgroup.subtree_control", now, sizeof(now));
	if (r < 0)
		return r;
	for (use = 0; use < USE_FREEZER; use++)
		if (uses & USE_BIT(use) &&
		    !cgroup_has_word(now, cgroup_use_name((enum cgroup_use)use)))
			all = false;
	if (all)
		return 0;
	enable_text(uses, text, sizeof(text));
	return cgroup_write(dir, "cgroup.subtree_control", text);
}

/* v2: are the limits there?  Nothing above our root is ours to change */
static int check_controllers(const struct hier *h, struct err *e)
{
	char list[1024], want[64], parent[512];
	int use, r;

	if (h->ops->version != 2 || !(h->uses & USE_LIMITS))
		return 0;
	r = cgroup_read(h->fd, "cgroup.controllers", list, sizeof(list));
	if (r < 0)
		return err_set(e, ERR_HOST, -r, "%s/cgroup.controllers: %s", h->path, strerror(-r));
	for (use = 0; use < USE_FREEZER; use++)
		if (h->uses & USE_BIT(use) &&
		    !cgroup_has_word(list, cgroup_use_name((enum cgroup_use)use)))
			break;
	if (use == USE_FREEZER)
		return 0;
	snprintf(parent, sizeof(parent), "%s", h->path);
	*strrchr(parent, '/') = '\0';
	enable_text(h->uses, want, sizeof(want));
	return err_set(e, ERR_HOST, ENOTSUP,
		       "cgroup controller \"%s\" is off; turn it on with: echo \"%s\" > "
		       "%s/cgroup.subtree_control",
		       cgroup_use_name((enum cgroup_use)use), want, parent);
}

/* what the controllers offer is seen in a group only, so in a leaf made for it */
static int check_files(const struct hier *h, int group, struct err *e)
{
	int use;

	for (use = 0; use < N_USES; use++) {
		const char *file = h->ops->file[use];

		if (h->uses & USE_BIT(use) && faccessat(group, file, F_OK, 0) < 0)
			return err_set(e, ERR_HOST, ENOTSUP,
				       "this kernel's cgroups have no %s (below %s)", file,
				       h->path);
	}
	return 0;
}

static int hier_open(struct hier *h)
{
	int fd = open(h->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (h->fd >= 0)
		close(h->fd);
	h->fd = fd;
	return 0;
}

/* a group that stays empty, to look at */
static int make_leaf(const struct hier *h)
{
	int fd;

	if (mkdirat(h->fd, LEAF, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(h->fd, LEAF, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int cgroup_root_make(struct hier *h, struct err *e)
{
	auto_close int leaf = -1;
	int r = 0;

	if (mkdir(h->path, 0755) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0)
		r = hier_open(h);
	if (r < 0)
		return err_set(e, r == -EACCES || r == -EPERM ? ERR_DENIED : ERR_HOST, -r,
			       "cgroup %s: %s", h->path, strerror(-r));
	r = check_controllers(h, e);
	if (r < 0)
		return r;
	if (h->ops->version == 2 && h->uses & USE_LIMITS)
		r = cgroup_enable(h->fd, h->uses & USE_LIMITS);
	if (r == 0) {
		leaf = make_leaf(h);
		r = leaf < 0 ? leaf : 0;
	}
	if (r < 0)
		return err_set(e, ERR_HOST, -r, "cgroup %s: turn controllers on: %s", h->path,
			       strerror(-r));
	return check_files(h, leaf, e);
}

void cgroup_root_prune(struct hier *h)
{
	/* both fail while anything is in them, as they should */
	unlinkat(h->fd, LEAF, AT_REMOVEDIR);
	rmdir(h->path);
}

static void describe(struct cgroups *c)
{
	const struct hier *h = NULL;
	size_t n = 0;
	int use;

	for (use = 0; use < N_USES; use++) {
		h = cgroup_hier(c, (enum cgroup_use)use);
		if (h && n < sizeof(c->text))
			n += (size_t)snprintf(c->text + n, sizeof(c->text) - n, "%s%s v%d",
					      n ? ", " : "", cgroup_use_name((enum cgroup_use)use),
					      h->ops->version);
	}
	if (c->n && n < sizeof(c->text)) {
		/* the same name in every hierarchy */
		snprintf(c->text + n, sizeof(c->text) - n, " (%s)", strrchr(c->h[0].path, '/'));
	}
}

/* ---- RUN/cgroups ---- */

static int roots_write(const struct cgroups *c, struct err *e)
{
	auto_free char *path = NULL, *old = NULL;
	auto_buf struct buf b = BUF_INIT;
	size_t i, size;
	int r;

	if (asprintf(&path, "%s/cgroups", c->run) < 0)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	if (read_file(path, TEXT_MAX, &old, &size) == 0)
		buf_adds(&b, old); /* where else the host had its hierarchies */
	for (i = 0; i < c->n; i++) {
		const struct hier *h = &c->h[i];
		auto_buf struct buf line = BUF_INIT;

		buf_printf(&line, "%d %u %s\n", h->ops->version, h->uses, h->path);
		if (!strstr(buf_str(&b), buf_str(&line)))
			buf_adds(&b, buf_str(&line));
	}
	r = buf_error(&b);
	if (r == 0)
		r = write_file_atomic(path, buf_str(&b), b.len, 0644);
	return r < 0 ? err_set(e, ERR_STATE, -r, "%s: %s", path, strerror(-r)) : 0;
}

static int roots_line(struct cgroups *c, const char *line)
{
	unsigned version, uses;
	struct hier *h;
	int at = 0, r;

	if (sscanf(line, "%u %u %n", &version, &uses, &at) < 2 || !at || line[at] != '/' ||
	    version < 1 || version > 2)
		return 0;
	h = hier_for(c, line + at, (int)version);
	if (!h)
		return -ENOMEM;
	h->uses |= uses;
	if (h->fd >= 0)
		return 0;
	r = hier_open(h);
	if (r < 0) { /* gone, as after a reboot */
		free(h->path);
		c->n--;
	}
	return r == -ENOENT ? 0 : r;
}

static struct cgroups *cgroups_new(const char *run)
{
	struct cgroups *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->run = strdup(run);
	return c->run ? c : cgroups_close(c);
}

int cgroups_find(const char *run, struct cgroups **ret, struct err *e)
{
	struct cgroups *c = cgroups_new(run);
	auto_free char *path = NULL, *text = NULL;
	char *line, *save = NULL;
	size_t size;
	int r;

	if (!c || asprintf(&path, "%s/cgroups", run) < 0) {
		cgroups_close(c);
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	r = read_file(path, TEXT_MAX, &text, &size);
	for (line = text ? strtok_r(text, "\n", &save) : NULL; line && r >= 0;
	     line = strtok_r(NULL, "\n", &save))
		r = roots_line(c, line);
	if (r == 0 && !c->n)
		r = -ENOENT;
	if (r < 0) {
		cgroups_close(c);
		return err_set(e, ERR_STATE, -r, "%s: %s", path, strerror(-r));
	}
	describe(c);
	*ret = c;
	return 0;
}

int cgroups_open_from(const char *mountinfo, const char *run, struct cgroups **ret, struct err *e)
{
	struct cgroups *c = cgroups_new(run);
	struct host host = { 0 };
	size_t i;
	int r;

	if (!c)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	r = host_read(mountinfo, &host);
	if (r < 0)
		err_set(e, ERR_HOST, -r, "read the host's cgroups: %s", strerror(-r));
	else
		r = choose(c, &host, e);
	if (r >= 0)
		r = roots_write(c, e);
	for (i = 0; i < c->n && r >= 0; i++)
		r = cgroup_root_make(&c->h[i], e);
	host_done(&host);
	if (r < 0) {
		cgroups_close(c);
		return r;
	}
	describe(c);
	*ret = c;
	return 0;
}

int cgroups_open(const char *run, struct cgroups **ret, struct err *e)
{
	return cgroups_open_from("/proc/self/mountinfo", run, ret, e);
}
