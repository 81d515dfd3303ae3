/* SPDX-License-Identifier: MIT */
/*
 * instances - see instances.h.
 */
#include "sandbox/instances.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "lib/proc.h"
#include "lib/util.h"
#include "sandbox/limits.h"
#include "sandbox/logs.h"
#include "sandbox/notice.h"
#include "sandbox/view.h"

#define TCP_LISTEN_STATE 0x0a

static void start(struct node *n);

/* ---- look-ups ---- */

struct node *instances_find(const struct slab *l, const char *name)
{
	struct node *n;

	LIST_FOREACH(n, &l->nodes, link)
		if (!strcmp(n->name, name))
			return n;
	return NULL;
}

pid_t instances_pid(const struct slab *l, const char *name)
{
	const struct node *n = instances_find(l, name);

	return n && n->child && n->started && !n->stopping ? n->pid : 0;
}

const struct programs *instances_programs(const struct lab *lab, const char *name)
{
	const struct instance *i = lab_instance(lab, name);
	const struct host *h = i ? NULL : lab_host(lab, name);

	return i ? &i->programs : h ? &h->programs : NULL;
}

bool instances_any(const struct slab *l)
{
	const struct node *n;

	LIST_FOREACH(n, &l->nodes, link)
		if (n->child)
			return true;
	return false;
}

/* ---- what runs, on disk ---- */

static char *record_path(const struct node *n)
{
	char *path;

	return asprintf(&path, "%s/nodes/%s/%s/init", n->slab->sd->dir.run, n->slab->name,
			n->name) < 0 ?
		       NULL :
		       path;
}

static const char *ns_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int write_record(const struct node *n)
{
	auto_free char *path = record_path(n), *text = NULL;
	uint64_t began;

	if (!path || proc_start_time(n->pid, &began) < 0 ||
	    asprintf(&text, "%d %" PRIu64 " %s %s\n", n->pid, began, n->digest, ns_name(n->ns)) <
		    0) {
		text = NULL;
		return -ESRCH;
	}
	return write_file_atomic(path, text, strlen(text), 0600);
}

struct record {
	int pid;
	uint64_t began;
	char digest[65], ns[200];
};

static int read_record(const struct node *n, struct record *ret)
{
	auto_free char *path = record_path(n), *text = NULL;
	int r = path ? read_file(path, 4096, &text, NULL) : -ENOMEM;

	if (r < 0)
		return r;
	return sscanf(text, "%d %" SCNu64 " %64s %199s", &ret->pid, &ret->began, ret->digest,
		      ret->ns) == 4 ?
		       0 :
		       -EBADMSG;
}

/* ---- nodes ---- */

static struct node *node_new(struct slab *l, const char *name)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->slab = l;
	n->pair = -1;
	n->name = strdup(name);
	n->ns = strdup("");
	if (!n->name || !n->ns) {
		free(n->name);
		free(n->ns);
		free(n);
		return NULL;
	}
	LIST_INSERT_HEAD(&l->nodes, n, link);
	return n;
}

static void close_pair(struct node *n)
{
	n->pair_event = loop_event_free(n->pair_event);
	if (n->pair >= 0)
		close(n->pair);
	n->pair = -1;
	wire_in_done(&n->in);
}

static void node_free(struct node *n)
{
	LIST_REMOVE(n, link);
	close_pair(n);
	cgroup_close(n->cgroup);
	loop_event_free(n->child);
	free(n->name);
	free(n->ns);
	free(n);
}

/* all that makes other programs of them; the namespace's name has the node's id in it */
static void programs_digest(const struct programs *p, const char *ns, char ret[65])
{
	auto_buf struct buf b = BUF_INIT;
	size_t i;

	buf_printf(&b, "%s\n%s\n%s\n", ns_name(ns), p->user, p->working_directory);
	for (i = 0; i < p->command.n; i++)
		buf_printf(&b, "%zu:%s\n", strlen(p->command.v[i]), p->command.v[i]);
	for (i = 0; i < p->n_environment; i++)
		buf_printf(&b, "%s=%zu:%s\n", p->environment[i].name,
			   strlen(p->environment[i].value), p->environment[i].value);
	for (i = 0; i < p->n_files; i++)
		buf_printf(&b, "%s %zu:%s\n", p->files[i].path, strlen(p->files[i].text),
			   p->files[i].text);
	sha256_hex(buf_str(&b), b.len, ret);
}

/* ---- ends ---- */

static void on_gone(pid_t pid, int status, void *arg)
{
	struct node *n = arg;

	(void)status;
	n->child = NULL;
	n->pid = 0;
	close_pair(n);
	if (n->cgroup) {
		(void)cgroup_kill(n->cgroup);
		(void)cgroup_remove(n->cgroup, 200); /* the next start takes it as it is */
		n->cgroup = cgroup_close(n->cgroup);
	}
	if (!n->stopping) {
		log_warn("lab=%s node=%s init=%d ended", n->slab->name, n->name, pid);
		notice_node(n->slab, "failed", n->name, "its init ended, and its programs with it");
	}
	if (!n->started && !n->stopping && !n->error[0])
		(void)snprintf(n->error, sizeof(n->error), "its init ended at once");
	n->digest[0] = '\0';
	if (n->stopping && n->want) {
		n->stopping = false;
		notice_node(n->slab, "restarted", n->name, "its programs are others");
		start(n);
	} else if (n->stopping) {
		auto_free char *folder = view_node_path(n->slab->sd, n->slab->name, n->name);

		if (folder)
			(void)rm_rf(folder); /* or with the lab's */
		node_free(n);
	}
}

static void stop(struct node *n)
{
	if (n->stopping)
		return;
	n->stopping = true;
	n->started = false;
	if (!n->child) {
		node_free(n);
		return;
	}
	if (n->cgroup)
		(void)cgroup_kill(n->cgroup);
	else
		(void)kill(n->pid, SIGKILL); /* watched by its pidfd: it is still this one */
}

/* ---- starting ---- */

static void failed(struct node *n, const char *what, int errnum)
{
	(void)snprintf(n->error, sizeof(n->error), "%s: %s", what, strerror(errnum));
}

static void on_pair(int fd, unsigned what, void *arg)
{
	struct node *n = arg;
	struct wire_msg m;
	char step[200];
	long errnum = 0, size = wire_in_read(&n->in, fd);

	(void)what;
	if (size == -EAGAIN)
		return;
	while (size > 0 && wire_in_next(&n->in, &m) > 0) {
		if (m.type == WIRE_READY) {
			n->started = true;
			n->since = mono_now();
		} else if (m.type == WIRE_FAIL && wire_text(&m, 0, step, sizeof(step)) == 0 &&
			   wire_number(&m, 1, &errnum) == 0) {
			failed(n, step, (int)errnum);
		}
	}
	if (size <= 0 || n->started)
		close_pair(n);
}

static int add_plan(struct node *n, const struct programs *p, struct buf *b)
{
	auto_free char *folder = NULL;
	struct record rec;
	size_t i;
	int r;

	/* another node by that name was here: what it left isn't this one's */
	folder = view_node_path(n->slab->sd, n->slab->name, n->name);
	if (folder && (read_record(n, &rec) < 0 || strcmp(rec.ns, ns_name(n->ns)) != 0))
		(void)rm_rf(folder); /* making it anew tells */
	free(folder);
	folder = NULL;
	r = view_node_folder(n->slab, n->name, p, &folder);
	if (r < 0) {
		failed(n, "its folder", -r);
		return r;
	}
	plan_add(b, "role", "program", NULL);
	view_node(b, n->slab->sd, folder, n->name, p);
	r = view_user(b, p->user);
	if (r < 0) {
		(void)snprintf(n->error, sizeof(n->error), "user %s: no such user", p->user);
		return r;
	}
	plan_add(b, "cwd", p->working_directory, NULL);
	plan_add(b, "env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		 NULL);
	plan_addf(b, "env", "HOSTNAME=%s", n->name);
	plan_add(b, "env", "HOME=/root", NULL);
	for (i = 0; i < p->n_environment; i++)
		plan_addf(b, "env", "%s=%s", p->environment[i].name, p->environment[i].value);
	for (i = 0; i < p->command.n; i++)
		plan_add(b, "arg", p->command.v[i], NULL);
	return buf_error(b);
}

static int make_cgroup(struct node *n, struct err *e)
{
	const struct cgroup_limits limits = { .pids = LIMIT_NODE_PIDS };
	char path[200];

	(void)snprintf(path, sizeof(path), "node/%s.%s", n->slab->name, n->name);
	return cgroup_make(n->slab->sd->cgroups, path, &limits, &n->cgroup, e);
}

static int spawn(struct node *n, int plan, int far, int ns_fd, struct err *e)
{
	static char *const argv[] = { (char *)"vpclab-init", NULL };
	struct sandboxd *sd = n->slab->sd;
	auto_close int log = logs_open(sd, n->slab->name, n->name);
	const int fds[] = { -1, log, log, plan, far, sd->filters[JAIL_PROGRAM], ns_fd };
	int join[CGROUP_JOIN_MAX], pidfd, r;
	struct proc_spec spec = {
		.exec_fd = sd->init_fd,
		.argv = argv,
		.fds = fds,
		.n_fds = ARRAY_SIZE(fds),
		.cgroup_fds = join,
		.session = true,
		.clone_flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC,
	};

	if (log < 0)
		return err_set(e, ERR_STATE, -log, "its log: %s", strerror(-log));
	r = make_cgroup(n, e);
	if (r < 0)
		return r;
	r = cgroup_join_fds(n->cgroup, join, &spec.n_cgroup_fds);
	if (r < 0)
		return err_set(e, ERR_KERNEL, -r, "cgroup: %s", strerror(-r));
	r = proc_spawn(&spec, &n->pid, &pidfd, e);
	cgroup_join_done(join, spec.n_cgroup_fds);
	if (r < 0)
		return r;
	n->child = loop_child(sd->loop, n->pid, pidfd, on_gone, n);
	return n->child ? 0 : err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
}

static void start(struct node *n)
{
	auto_close int plan = -1, far = -1, ns_fd = -1;
	auto_buf struct buf b = BUF_INIT;
	struct err e = { 0 };
	int pair[2];

	n->error[0] = '\0';
	n->started = false;
	if (add_plan(n, n->want, &b) < 0) {
		if (!n->error[0])
			failed(n, "its plan", ENOMEM);
		return;
	}
	plan = proc_memfd("plan", b.s, b.len);
	ns_fd = sandboxd_open_ns(n->slab->sd, n->ns);
	if (plan < 0 || ns_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		failed(n, n->ns, plan < 0 ? -plan : ns_fd < 0 ? -ns_fd : errno);
		return;
	}
	n->pair = pair[0];
	far = pair[1];
	n->since = mono_now();
	if (spawn(n, plan, far, ns_fd, &e) < 0) {
		(void)snprintf(n->error, sizeof(n->error), "%s", e.msg);
		close_pair(n);
		return;
	}
	memcpy(n->digest, n->want_digest, sizeof(n->digest));
	n->pair_event = loop_fd(n->slab->sd->loop, n->pair, LOOP_READ, on_pair, n);
	if (!n->pair_event || write_record(n) < 0)
		failed(n, "what runs could not be written down", EIO);
}

static void apply_one(struct slab *l, const char *name, const struct programs *p)
{
	const char *ns;
	struct node *n;
	char digest[65], *copy;

	if (!p->command.n)
		return;
	ns = json_str(slab_node(l, name), "namespace", "");
	n = instances_find(l, name);
	programs_digest(p, ns, digest);
	if (!n)
		n = node_new(l, name);
	copy = strdup(ns);
	if (!n || !copy) {
		free(copy);
		return; /* instances_ready() misses it */
	}
	free(n->ns);
	n->ns = copy;
	n->want = p;
	memcpy(n->want_digest, digest, sizeof(digest));
	if (n->child && !n->stopping && !strcmp(n->digest, digest))
		return;
	if (!n->child)
		start(n);
	else
		stop(n); /* on_gone() starts it anew */
}

void instances_apply(struct slab *l, const struct lab *lab)
{
	size_t i, j;

	for (i = 0; i < lab->n_hosts; i++)
		apply_one(l, lab->hosts[i].name, &lab->hosts[i].programs);
	for (i = 0; i < lab->n_vpcs; i++)
		for (j = 0; j < lab->vpcs[i].n_instances; j++)
			apply_one(l, lab->vpcs[i].instances[j].name,
				  &lab->vpcs[i].instances[j].programs);
}

void instances_prune(struct slab *l, const struct lab *lab)
{
	struct node *n, *next;

	for (n = LIST_FIRST(&l->nodes); n; n = next) {
		const struct programs *p = lab ? instances_programs(lab, n->name) : NULL;

		next = LIST_NEXT(n, link);
		if (p && p->command.n)
			continue;
		n->want = NULL;
		if (!lab || lab_instance(lab, n->name) == NULL)
			logs_remove(l->sd, l->name, n->name);
		stop(n);
	}
}

/* ---- readiness ---- */

/* lines of /proc/PID/net/{tcp,tcp6,udp,udp6}: "sl: ADDR:PORT ADDR:PORT ST ..." */
static bool table_has(pid_t pid, const char *table, unsigned port, bool tcp)
{
	auto_free char *text = NULL;
	char path[48], *line, *save = NULL;
	unsigned p, st;

	(void)snprintf(path, sizeof(path), "/proc/%d/net/%s", pid, table);
	if (read_file(path, 4 << 20, &text, NULL) < 0)
		return false;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, " %*[^:]: %*[0-9A-Fa-f]:%x %*[^ ] %x", &p, &st) == 2 &&
		    p == port && (!tcp || st == TCP_LISTEN_STATE))
			return true;
	return false;
}

bool instances_listens(pid_t pid, const struct port *p)
{
	if (p->proto == IPPROTO_UDP)
		return table_has(pid, "udp", p->port, false) ||
		       table_has(pid, "udp6", p->port, false);
	return table_has(pid, "tcp", p->port, true) || table_has(pid, "tcp6", p->port, true);
}

static int node_ready(const struct slab *l, const char *name, const struct programs *p, char *why,
		      size_t size)
{
	const struct node *n;
	size_t i;

	if (!p->command.n)
		return 1;
	n = instances_find(l, name);
	if (!n || n->error[0]) {
		(void)snprintf(why, size, "%s: %s", name, n ? n->error : "out of memory");
		return -EIO;
	}
	if (!n->child || n->stopping || !n->started) {
		(void)snprintf(why, size, "%s to start", name);
		return 0;
	}
	for (i = 0; i < p->n_ready; i++) {
		if (instances_listens(n->pid, &p->ready[i]))
			continue;
		(void)snprintf(why, size, "%s to listen on %s/%u", name,
			       p->ready[i].proto == IPPROTO_UDP ? "udp" : "tcp", p->ready[i].port);
		return mono_ms_since(n->since) > p->ready_timeout * 1000 ? -ETIMEDOUT : 0;
	}
	return 1;
}

int instances_ready(struct slab *l, const struct lab *lab, char *why, size_t size)
{
	size_t i, j;
	int r = 1;

	for (i = 0; i < lab->n_hosts && r > 0; i++)
		r = node_ready(l, lab->hosts[i].name, &lab->hosts[i].programs, why, size);
	for (i = 0; i < lab->n_vpcs; i++)
		for (j = 0; j < lab->vpcs[i].n_instances && r > 0; j++)
			r = node_ready(l, lab->vpcs[i].instances[j].name,
				       &lab->vpcs[i].instances[j].programs, why, size);
	return r;
}

/* ---- after a restart ---- */

static bool is_in_cgroup(struct cgroup *g, pid_t pid)
{
	auto_free pid_t *pids = NULL;
	size_t n = 0, i;

	if (cgroup_pids(g, &pids, &n) < 0)
		return false;
	for (i = 0; i < n; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

static void adopt_one(struct slab *l, const char *name, const struct programs *p)
{
	struct record rec;
	const char *ns;
	struct node *n;
	uint64_t began;
	char path[200];
	int pidfd;

	if (!p->command.n || instances_find(l, name))
		return;
	ns = json_str(slab_node(l, name), "namespace", "");
	n = node_new(l, name);
	if (!n)
		return;
	(void)snprintf(path, sizeof(path), "node/%s.%s", l->name, name);
	if (cgroup_find(l->sd->cgroups, path, &n->cgroup) < 0)
		n->cgroup = NULL;
	if (read_record(n, &rec) < 0 || !n->cgroup || (pidfd = proc_open(rec.pid)) < 0) {
		node_free(n);
		return;
	}
	/* the pidfd first: from here on the number can't go to another */
	if (proc_start_time(rec.pid, &began) < 0 || began != rec.began ||
	    !is_in_cgroup(n->cgroup, rec.pid)) {
		close(pidfd);
		node_free(n);
		return;
	}
	n->pid = rec.pid;
	n->started = true;
	n->want = p;
	memcpy(n->digest, rec.digest, sizeof(n->digest));
	free(n->ns);
	n->ns = strdup(ns);
	n->child = loop_child(l->sd->loop, n->pid, pidfd, on_gone, n);
	if (!n->child || !n->ns) {
		if (!n->child)
			close(pidfd);
		if (!n->ns)
			n->ns = strdup("");
		node_free(n);
	}
}

void instances_adopt(struct slab *l)
{
	size_t i, j;

	for (i = 0; i < l->lab->n_hosts; i++)
		adopt_one(l, l->lab->hosts[i].name, &l->lab->hosts[i].programs);
	for (i = 0; i < l->lab->n_vpcs; i++)
		for (j = 0; j < l->lab->vpcs[i].n_instances; j++)
			adopt_one(l, l->lab->vpcs[i].instances[j].name,
				  &l->lab->vpcs[i].instances[j].programs);
}

void instances_release(struct slab *l)
{
	while (!LIST_EMPTY(&l->nodes))
		node_free(LIST_FIRST(&l->nodes));
}

void instances_sweep_folders(const struct slab *l)
{
	auto_free char *all = NULL;
	struct dirent *d;
	DIR *dir;

	if (asprintf(&all, "%s/nodes/%s", l->sd->dir.run, l->name) < 0) {
		all = NULL;
		return;
	}
	dir = opendir(all);
	while (dir && (d = readdir(dir))) {
		auto_free char *path = NULL;

		/* a name with a dot is a place's; its command removes it */
		if (strchr(d->d_name, '.') || instances_programs(l->lab, d->d_name) ||
		    instances_find(l, d->d_name))
			continue;
		path = view_node_path(l->sd, l->name, d->d_name);
		if (path)
			(void)rm_rf(path); /* the next change tries again */
	}
	if (dir)
		closedir(dir);
}

void instances_remove_folders(const struct slab *l)
{
	auto_free char *path = NULL;

	if (asprintf(&path, "%s/nodes/%s", l->sd->dir.run, l->name) < 0)
		path = NULL;
	if (path)
		(void)rm_rf(path); /* what stays is gc's */
}
