/* SPDX-License-Identifier: MIT */
/*
 * exec - see exec.h.  One "struct door" a connection, which runs at most one
 * command.  The command is below an init in its third role (init_run.c), in a
 * cgroup of its own (exec/LAB.ID), so that the client's end can end all of it.
 */
#include "sandbox/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/proc.h"
#include "lib/util.h"
#include "sandbox/capture.h"
#include "sandbox/follow.h"
#include "sandbox/front.h"
#include "sandbox/instances.h"
#include "sandbox/limits.h"
#include "sandbox/logs.h"
#include "sandbox/view.h"
#include "sandbox/wire.h"

#define FDS_MAX 253
#define STATUS_TIMEOUT 124
#define STATUS_CANT_RUN 125
#define STATUS_NOT_EXECUTABLE 126
#define STATUS_NOT_FOUND 127
#define PATH_ENV "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct door {
	LIST_ENTRY(door) link;
	struct sandboxd *sd;
	int fd; /* -1: the client is gone */
	struct loop_event *event;
	/* of the command; "slab" NULL: none */
	struct slab *slab;
	cJSON *request; /* owns, until it runs */
	int std[3];	/* own, until it runs; -1 */
	char id[33];
	char *attachment; /* owns; of a function's place */
	bool waiting;	  /* for netd's answer */
	bool host_view, timed_out, told;
	pid_t pid;
	int pair;
	struct wire_in in;
	struct wire_out out;
	struct cgroup *cgroup;
	struct loop_event *child, *pair_event, *timer;
	struct follow *follow; /* a capture that goes on; owns; NULL: none */
};

static void door_check(struct door *d);

/* ---- answers ---- */

static void tell(struct door *d, cJSON *o, const int *fds, size_t n_fds)
{
	auto_json cJSON *own = o;
	auto_free char *text = json_print(own);

	if (d->fd < 0 || !text)
		return;
	/* a client that doesn't read loses its own answer */
	(void)sock_send_fds(d->fd, text, strlen(text), fds, n_fds);
}

static void tell_number(struct door *d, const char *name, int n)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, name, n);
	tell(d, o, NULL, 0);
}

static void tell_error(struct door *d, const struct err *e, int status)
{
	cJSON *o = cJSON_CreateObject(), *in = cJSON_AddObjectToObject(o, "error");

	if (d->told)
		cJSON_Delete(o);
	if (d->told)
		return;
	d->told = true;
	cJSON_AddStringToObject(in, "code", err_code_name(e->code));
	cJSON_AddStringToObject(in, "message", e->msg);
	cJSON_AddNumberToObject(in, "exit", status ? status : err_code_exit(e->code));
	tell(d, o, NULL, 0);
}

static void tell_status(struct door *d, int status)
{
	if (d->told)
		return;
	d->told = true;
	if (d->timed_out)
		tell_number(d, "status", STATUS_TIMEOUT);
	else if (WIFSIGNALED(status))
		tell_number(d, "status", 128 + WTERMSIG(status));
	else
		tell_number(d, "status", WEXITSTATUS(status));
}

/* ---- ends ---- */

static void close_std(struct door *d)
{
	size_t i;

	for (i = 0; i < 3; i++) {
		if (d->std[i] >= 0)
			close(d->std[i]);
		d->std[i] = -1;
	}
}

static void close_pair(struct door *d)
{
	d->pair_event = loop_event_free(d->pair_event);
	if (d->pair >= 0)
		close(d->pair);
	d->pair = -1;
	wire_in_done(&d->in);
	wire_out_done(&d->out);
}

static void on_detached(struct httpc_answer *a, void *arg)
{
	(void)a; /* the lab's end takes it along */
	(void)arg;
}

/* the folder of a function's place goes with it */
static char *place_name(const struct door *d, const char *function)
{
	char *name;

	return asprintf(&name, "%s.%s", function, d->id) < 0 ? NULL : name;
}

static void remove_folder(const struct door *d)
{
	auto_free char *name = place_name(d, json_str(d->request, "function", "?")), *path = NULL;

	path = name ? view_node_path(d->sd, d->slab->name, name) : NULL;
	if (path)
		(void)rm_rf(path); /* or with the lab's */
}

static void detach(struct door *d)
{
	auto_free char *path = NULL;

	if (!d->attachment)
		return;
	remove_folder(d);
	if (asprintf(&path, "/v1/labs/%s/attachments/%s", d->slab->name, d->attachment) < 0)
		path = NULL;
	if (path)
		(void)httpc_start(d->sd->httpc, d->sd->netd, "DELETE", path, NULL, NULL, 0, 10000,
				  on_detached, NULL); /* as above */
	free(d->attachment);
	d->attachment = NULL;
}

/* the command is over: its traces go */
static void command_end(struct door *d)
{
	struct slab *l = d->slab;

	if (!l)
		return;
	close_pair(d);
	close_std(d);
	d->timer = loop_event_free(d->timer);
	if (d->cgroup) {
		(void)cgroup_remove(d->cgroup, 0); /* what it left behind in a node stays */
		d->cgroup = cgroup_close(d->cgroup);
	}
	detach(d);
	cJSON_Delete(d->request);
	d->request = NULL;
	d->slab = NULL;
	l->n_users--;
	d->sd->n_execs--;
	front_env_gone(l);
}

static void door_free(struct door *d)
{
	LIST_REMOVE(d, link);
	d->sd->n_doors--;
	loop_event_free(d->event);
	follow_free(d->follow);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}

/* frees what nobody needs any more */
static void door_check(struct door *d)
{
	if (d->child || d->waiting)
		return;
	command_end(d);
	if (d->fd < 0)
		door_free(d);
}

static void on_pair(int fd, unsigned what, void *arg);

/* the init's last words: its end may be seen before them */
static void hear_out(struct door *d)
{
	struct pollfd p = { .fd = d->pair, .events = POLLIN };

	while (d->pair >= 0 && poll(&p, 1, 0) > 0)
		on_pair(d->pair, LOOP_READ, d);
}

static void on_child(pid_t pid, int status, void *arg)
{
	struct door *d = arg;
	struct err e = { 0 };

	(void)pid;
	d->child = NULL;
	hear_out(d);
	if (d->timed_out)
		tell_status(d, 0);
	(void)err_set(&e, ERR_INTERNAL, 0, "the init of the command ended (%s %d)",
		      WIFSIGNALED(status) ? "signal" : "status",
		      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	tell_error(d, &e, STATUS_CANT_RUN);
	if (d->host_view && d->cgroup)
		(void)cgroup_kill(d->cgroup);
	door_check(d);
}

static void client_gone(struct door *d)
{
	d->event = loop_event_free(d->event);
	d->follow = follow_free(d->follow);
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	if (d->child && d->cgroup && !d->told)
		(void)cgroup_kill(d->cgroup);
	door_check(d);
}

static void on_timeout(void *arg)
{
	struct door *d = arg;

	d->timer = loop_event_free(d->timer);
	d->timed_out = true;
	if (d->cgroup)
		(void)cgroup_kill(d->cgroup);
}

/* ---- what the init tells ---- */

static void on_failed(struct door *d, const struct wire_msg *m)
{
	struct err e = { 0 };
	char step[200];
	long errnum;
	int status = STATUS_CANT_RUN;

	if (wire_text(m, 0, step, sizeof(step)) < 0 || wire_number(m, 1, &errnum) < 0)
		return;
	if (!strcmp(step, "exec")) {
		status = errnum == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
		(void)snprintf(step, sizeof(step), "%.190s",
			       json_get(d->request, "argv")->child ?
				       json_get(d->request, "argv")->child->valuestring :
				       "?");
	}
	(void)err_set(&e, ERR_INTERNAL, (int)errnum, "%s: %s", step, strerror((int)errnum));
	tell_error(d, &e, status);
}

static void take(struct door *d, const struct wire_msg *m)
{
	long n;

	if (m->type == WIRE_FAIL)
		on_failed(d, m);
	else if (m->type == WIRE_STARTED)
		tell_number(d, "started", d->pid);
	else if (m->type == WIRE_STATUS && wire_number(m, 0, &n) == 0)
		tell_status(d, (int)n);
}

static void on_pair(int fd, unsigned what, void *arg)
{
	struct door *d = arg;
	struct wire_msg m;
	long n = wire_in_read(&d->in, fd);

	(void)what;
	if (n == -EAGAIN)
		return;
	while (n > 0 && wire_in_next(&d->in, &m) > 0)
		take(d, &m);
	if (n <= 0)
		close_pair(d);
}

/* ---- starting ---- */

static int open_ns(pid_t pid, const char *name)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* the namespaces of a node's init, in the order that init.h names */
static int open_namespaces(pid_t pid, int fds[4])
{
	static const char *const names[] = { "mnt", "uts", "ipc", "pid" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		fds[i] = open_ns(pid, names[i]);
		if (fds[i] < 0)
			return fds[i];
	}
	return 0;
}

static void add_env(struct buf *b, const struct programs *p, const char *node, const cJSON *env)
{
	const cJSON *v;
	size_t i;

	plan_add(b, "env", PATH_ENV, NULL);
	plan_add(b, "env", "HOME=/root", NULL);
	plan_addf(b, "env", "HOSTNAME=%s", node);
	for (i = 0; p && i < p->n_environment; i++)
		plan_addf(b, "env", "%s=%s", p->environment[i].name, p->environment[i].value);
	cJSON_ArrayForEach(v, env)
		if (cJSON_IsString(v))
			plan_addf(b, "env", "%s=%s", v->string, v->valuestring);
}

static int add_view(struct door *d, struct buf *b, const char *node, const struct programs *p,
		    bool join, struct err *e)
{
	auto_free char *folder = NULL;
	int r;

	if (join) {
		plan_add(b, "join", NULL, NULL);
		return 0;
	}
	if (d->host_view) {
		view_host(b);
		return 0;
	}
	if (d->attachment) {
		/* a place has a folder of its own, as environments have */
		auto_free char *name = place_name(d, node);

		r = name ? view_node_folder(d->slab, name, NULL, &folder) : -ENOMEM;
	} else {
		r = view_node_folder(d->slab, node, p, &folder);
	}
	if (r < 0)
		return err_set(e, ERR_STATE, -r, "the node's folder: %s", strerror(-r));
	view_node(b, d->sd, folder, node, p);
	return 0;
}

static int make_plan(struct door *d, const char *node, const struct programs *p, bool join,
		     struct err *e)
{
	auto_buf struct buf b = BUF_INIT;
	const cJSON *v;
	int r;

	plan_add(&b, "role", "exec", NULL);
	r = add_view(d, &b, node, p, join, e);
	if (r < 0)
		return r;
	r = view_user(&b, p ? p->user : "root");
	if (r < 0)
		return err_set(e, ERR_INVALID_PARAMETER, -r, "user %s: no such user", p->user);
	plan_add(&b, "cwd", p ? p->working_directory : "/", NULL);
	add_env(&b, p, node, json_get(d->request, "env"));
	cJSON_ArrayForEach(v, json_get(d->request, "argv"))
		plan_add(&b, "arg", v->valuestring, NULL);
	if (json_bool(d->request, "tty", false))
		plan_add(&b, "tty", NULL, NULL);
	if (b.failed)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	r = proc_memfd("plan", b.s, b.len);
	return r < 0 ? err_set(e, ERR_INTERNAL, -r, "plan: %s", strerror(-r)) : r;
}

static int spawn(struct door *d, int plan, int far, int ns_fd, const int *ns_fds, struct err *e)
{
	static char *const argv[] = { (char *)"vpclab-init", NULL };
	const int fds[] = { d->std[0],
			    d->std[1],
			    d->std[2],
			    plan,
			    far,
			    d->sd->filters[JAIL_PROGRAM],
			    ns_fd,
			    ns_fds ? ns_fds[0] : -1,
			    ns_fds ? ns_fds[1] : -1,
			    ns_fds ? ns_fds[2] : -1,
			    ns_fds ? ns_fds[3] : -1 };
	const struct cgroup_limits limits = { .pids = LIMIT_NODE_PIDS };
	int join[CGROUP_JOIN_MAX], pidfd, r;
	char path[160];
	struct proc_spec spec = {
		.exec_fd = d->sd->init_fd,
		.argv = argv,
		.fds = fds,
		.n_fds = ns_fds ? 11 : 7,
		.cgroup_fds = join,
		.session = true,
		.clone_flags = ns_fds ? 0 :
			       d->host_view ?
					CLONE_NEWNS :
					CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC,
	};

	(void)snprintf(path, sizeof(path), "exec/%s.%s", d->slab->name, d->id);
	r = cgroup_make(d->sd->cgroups, path, &limits, &d->cgroup, e);
	if (r < 0)
		return r;
	r = cgroup_join_fds(d->cgroup, join, &spec.n_cgroup_fds);
	if (r < 0)
		return err_set(e, ERR_KERNEL, -r, "cgroup: %s", strerror(-r));
	r = proc_spawn(&spec, &d->pid, &pidfd, e);
	cgroup_join_done(join, spec.n_cgroup_fds);
	if (r < 0)
		return r;
	d->child = loop_child(d->sd->loop, d->pid, pidfd, on_child, d);
	d->pair_event = loop_fd(d->sd->loop, d->pair, LOOP_READ, on_pair, d);
	return d->child && d->pair_event ? 0 : err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
}

static int run(struct door *d, const char *node, const char *ns_path, struct err *e)
{
	const struct programs *p = instances_programs(d->slab->lab, node);
	pid_t init = d->attachment || d->host_view ? 0 : instances_pid(d->slab, node);
	auto_close int plan = -1, far = -1, ns_fd = -1;
	int ns_fds[4] = { -1, -1, -1, -1 }, pair[2], r;
	double timeout = json_num(d->request, "timeout", 0);
	size_t i;

	ns_fd = sandboxd_open_ns(d->sd, ns_path);
	if (ns_fd < 0)
		return err_set(e, ERR_STATE, -ns_fd, "%s: %s", ns_path, strerror(-ns_fd));
	plan = make_plan(d, node, p, init != 0, e);
	if (plan < 0)
		return plan;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, ERR_INTERNAL, errno, "socket pair: %s", strerror(errno));
	d->pair = pair[0];
	far = pair[1];
	r = init ? open_namespaces(init, ns_fds) : 0;
	if (r < 0)
		(void)err_set(e, ERR_STATE, -r, "%s: its init: %s", node, strerror(-r));
	else
		r = spawn(d, plan, far, ns_fd, init ? ns_fds : NULL, e);
	for (i = 0; i < 4; i++)
		if (ns_fds[i] >= 0)
			close(ns_fds[i]);
	if (r < 0)
		return r;
	close_std(d);
	if (timeout > 0)
		d->timer = loop_timer(d->sd->loop, (int64_t)(timeout * 1000), on_timeout, d);
	return 0;
}

static void run_or_tell(struct door *d, const char *node, const char *ns_path)
{
	struct err e = { 0 };

	if (run(d, node, ns_path, &e) < 0) {
		tell_error(d, &e, e.code == ERR_NO_NODE ? 0 : STATUS_CANT_RUN);
		door_check(d);
	}
}

static void on_place(struct httpc_answer *a, void *arg)
{
	struct door *d = arg;
	auto_json cJSON *place = a->status == 200 ? json_parse(a->body, a->size, NULL) : NULL;
	struct err e = { 0 };

	d->waiting = false;
	if (place)
		d->attachment = strdup(json_str(place, "attachment", ""));
	if (d->fd < 0 || d->slab->going) {
		client_gone(d);
	} else if (!d->attachment) {
		(void)err_set(&e, ERR_UNAVAILABLE, 0, "no place: netd: %s",
			      a->status ? a->body : a->error);
		tell_error(d, &e, STATUS_CANT_RUN);
		door_check(d);
	} else {
		run_or_tell(d, json_str(d->request, "function", "?"),
			    json_str(place, "namespace", ""));
	}
}

/* "fn" or "fn@subnet" */
static int ask_place(struct door *d, const char *node, struct err *e)
{
	size_t len = strcspn(node, "@");
	auto_free char *name = strndup(node, len), *path = NULL, *text = NULL;
	auto_json cJSON *q = cJSON_CreateObject();
	int r;

	if (!name || asprintf(&path, "/v1/labs/%s/attachments", d->slab->name) < 0) {
		path = NULL;
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	if (!func_find(d->slab, name))
		return err_set(e, ERR_NO_NODE, ENOENT, "lab %s has no node %s", d->slab->name,
			       node);
	cJSON_AddStringToObject(d->request, "function", name);
	cJSON_AddStringToObject(q, "function", name);
	cJSON_AddItemToObject(q, "subnet",
			      node[len] ? cJSON_CreateString(node + len + 1) : cJSON_CreateNull());
	cJSON_AddStringToObject(q, "token", d->id);
	text = json_print(q);
	if (!text)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	r = httpc_start(d->sd->httpc, d->sd->netd, "POST", path, NULL, text, strlen(text), 10000,
			on_place, d);
	if (r < 0)
		return err_set(e, ERR_UNAVAILABLE, -r, "netd: %s", strerror(-r));
	d->waiting = true;
	return 0;
}

static int exec_start(struct door *d, struct err *e)
{
	const char *lab = json_str(d->request, "lab", ""), *node = json_str(d->request, "node", "");
	const cJSON *o, *v;
	struct slab *l = slab_find(d->sd, lab);

	if (!l || !l->lab || !l->show || l->going)
		return err_set(e, ERR_NO_LAB, ENOENT, "there is no lab %s", lab);
	if (d->sd->n_execs >= LIMIT_EXECS)
		return err_set(e, ERR_LIMIT, 0, "%d commands run already", LIMIT_EXECS);
	if (!cJSON_GetArraySize(json_get(d->request, "argv")))
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL, "no command");
	cJSON_ArrayForEach(v, json_get(d->request, "argv"))
		if (!cJSON_IsString(v))
			return err_set(e, ERR_INVALID_PARAMETER, EINVAL, "argv: strings only");
	d->slab = l;
	l->n_users++;
	d->sd->n_execs++;
	sandboxd_random_id(d->id);
	/* a node of that name comes first */
	o = slab_node(l, node);
	if (!o && !func_find(l, node)) {
		o = show_network(l->show, node);
		d->host_view = o != NULL;
	}
	if (o) {
		run_or_tell(d, d->host_view ? "vpclab" : node, json_str(o, "namespace", ""));
		return 0;
	}
	return ask_place(d, node, e);
}

/* ---- logs ---- */

struct files {
	cJSON *names;
	int fds[FDS_MAX];
	size_t n;
};

static void add_file(const struct slab *l, const char *node, struct files *f)
{
	auto_free char *path = logs_path(l->sd, l->name, node);
	int fd;

	/* made if it isn't there yet, so that it can be waited for */
	fd = logs_open(l->sd, l->name, node);
	if (fd < 0 || !path || f->n == FDS_MAX)
		return;
	close(fd);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	f->fds[f->n++] = fd;
	cJSON_AddItemToArray(f->names, cJSON_CreateString(node));
}

static int send_logs(struct door *d, const cJSON *q, struct err *e)
{
	const char *lab = json_str(q, "lab", ""), *node = json_str(q, "node", NULL);
	struct slab *l = slab_find(d->sd, lab);
	struct files f = { .n = 0 };
	const struct lab *def = l ? l->lab : NULL;
	cJSON *o;
	size_t i, j;

	if (!def)
		return err_set(e, ERR_NO_LAB, ENOENT, "there is no lab %s", lab);
	if (node && !instances_programs(def, node) && !lab_function(def, node))
		return err_set(e, ERR_NO_NODE, ENOENT, "lab %s has no node %s", lab, node);
	o = cJSON_CreateObject();
	f.names = cJSON_AddArrayToObject(o, "files");
	if (node)
		add_file(l, node, &f);
	for (i = 0; !node && i < def->n_hosts; i++)
		add_file(l, def->hosts[i].name, &f);
	for (i = 0; !node && i < def->n_vpcs; i++)
		for (j = 0; j < def->vpcs[i].n_instances; j++)
			add_file(l, def->vpcs[i].instances[j].name, &f);
	for (i = 0; !node && i < def->n_functions; i++)
		add_file(l, def->functions[i].name, &f);
	tell(d, o, f.fds, f.n);
	for (i = 0; i < f.n; i++)
		close(f.fds[i]);
	return 0;
}

/* ---- captures ---- */

static void on_follow(cJSON *o, const int *fds, size_t n, void *arg)
{
	auto_json cJSON *own = o;
	auto_free char *text = json_print(own);
	struct door *d = arg;

	/* a client that doesn't read would miss namespaces without knowing: its end comes */
	if (!text || sock_send_fds(d->fd, text, strlen(text), fds, n) < 0)
		(void)shutdown(d->fd, SHUT_RDWR);
}

static int follow(struct door *d, const cJSON *q, struct err *e)
{
	const cJSON *nodes = json_get(q, "nodes");

	if (d->follow)
		return err_set(e, ERR_BUSY, EBUSY, "a capture runs on this connection already");
	if (!json_bool(q, "all", false) && !cJSON_IsArray(nodes))
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL,
			       "namespaces, nodes or all: one of them");
	/* all of a lab may be asked for before it is there */
	if (nodes && !slab_find(d->sd, json_str(q, "lab", "")))
		return err_set(e, ERR_NO_LAB, ENOENT, "there is no lab %s", json_str(q, "lab", ""));
	return follow_new(d->sd, json_str(q, "lab", ""), nodes, on_follow, d, &d->follow, e);
}

static int send_captures(struct door *d, const cJSON *q, struct err *e)
{
	const char *lab = json_str(q, "lab", "");
	const struct slab *l = slab_find(d->sd, lab);
	const cJSON *names = json_get(q, "namespaces");
	int fds[CAPTURES_MAX], r;
	size_t n = 0, i;
	cJSON *o;

	if (!names)
		return follow(d, q, e);
	if (!l || !l->lab)
		return err_set(e, ERR_NO_LAB, ENOENT, "there is no lab %s", lab);
	r = capture_open(d->sd, lab, names, fds, &n, e);
	if (r)
		return r;
	o = cJSON_CreateObject();
	cJSON_AddItemToObject(o, "captures", cJSON_Duplicate(names, true));
	tell(d, o, fds, n);
	for (i = 0; i < n; i++)
		close(fds[i]);
	return 0;
}

/* ---- messages of clients ---- */

static void pass_signal(struct door *d, int sig)
{
	char number[16];

	if (d->pair < 0)
		return;
	(void)snprintf(number, sizeof(number), "%d", sig);
	if (wire_put_strs(&d->out, WIRE_SIGNAL, number, NULL) == 0)
		(void)wire_flush(&d->out, d->pair); /* small: the pair has room, or it is gone */
}

static int take_request(struct door *d, cJSON *q, int *fds, size_t n_fds, struct err *e)
{
	const char *op = json_str(q, "op", "");
	size_t i;

	if (!strcmp(op, "logs"))
		return send_logs(d, q, e);
	if (!strcmp(op, "capture"))
		return send_captures(d, q, e);
	if (strcmp(op, "exec") != 0)
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL, "op %s: exec, logs or capture",
			       op);
	if (d->slab)
		return err_set(e, ERR_BUSY, EBUSY, "a command runs on this connection already");
	if (n_fds != 3)
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL, "three descriptors are needed");
	for (i = 0; i < 3; i++) {
		d->std[i] = fds[i];
		fds[i] = -1;
	}
	d->request = cJSON_Duplicate(q, true);
	d->told = d->timed_out = d->host_view = false;
	return d->request ? exec_start(d, e) : err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
}

static void take_message(struct door *d, const char *text, size_t size, int *fds, size_t n_fds)
{
	char why[200] = "";
	auto_json cJSON *q = json_parse(text, size, why);
	struct err e = { 0 };

	if (cJSON_IsNumber(json_get(q, "signal"))) {
		pass_signal(d, (int)json_num(q, "signal", 0));
		return;
	}
	d->told = d->slab ? d->told : false;
	if (!q)
		(void)err_set(&e, ERR_INVALID_PARAMETER, EBADMSG, "not JSON: %s", why);
	else if (take_request(d, q, fds, n_fds, &e) == 0)
		return;
	tell_error(d, &e, 0);
	if (!d->slab) {
		close_std(d);
		cJSON_Delete(d->request);
		d->request = NULL;
	}
	door_check(d);
}

static void on_message(int fd, unsigned what, void *arg)
{
	static char text[LIMIT_DOOR_MESSAGE];
	struct door *d = arg;
	int fds[8];
	size_t n = ARRAY_SIZE(fds), i;
	ssize_t size = sock_recv_fds(fd, text, sizeof(text), fds, &n);

	(void)what;
	if (size == -EAGAIN)
		return;
	if (size <= 0) {
		client_gone(d);
		return;
	}
	{
		size_t all = n;

		take_message(d, text, (size_t)size, fds, n);
		for (i = 0; i < all; i++)
			if (fds[i] >= 0)
				close(fds[i]);
	}
}

static void on_accept(int fd, unsigned what, void *arg)
{
	struct sandboxd *sd = arg;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct door *d;

	(void)what;
	if (client < 0)
		return;
	d = sd->n_doors < LIMIT_DOORS ? calloc(1, sizeof(*d)) : NULL;
	if (!d) {
		close(client);
		return;
	}
	d->sd = sd;
	d->fd = client;
	d->pair = -1;
	d->std[0] = d->std[1] = d->std[2] = -1;
	LIST_INSERT_HEAD(&sd->doors, d, link);
	sd->n_doors++;
	d->event = loop_fd(sd->loop, client, LOOP_READ, on_message, d);
	if (!d->event)
		client_gone(d);
}

int exec_open(struct sandboxd *sd, gid_t gid, struct err *e)
{
	auto_free char *path = rundir_file(sd->dir.run, "sandboxd.fd");

	if (!path)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	sd->door_fd = sock_listen(path, SOCK_SEQPACKET, gid == (gid_t)-1 ? 0600 : 0660, gid);
	if (sd->door_fd < 0)
		return err_set(e, ERR_STATE, -sd->door_fd, "%s: %s", path, strerror(-sd->door_fd));
	sd->door_event = loop_fd(sd->loop, sd->door_fd, LOOP_READ, on_accept, sd);
	return sd->door_event ? 0 : err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
}

void exec_close(struct sandboxd *sd)
{
	struct door *d;

	sd->door_event = loop_event_free(sd->door_event);
	if (sd->door_fd >= 0)
		close(sd->door_fd);
	sd->door_fd = -1;
	while ((d = LIST_FIRST(&sd->doors))) {
		d->child = loop_event_free(d->child);
		d->timer = loop_event_free(d->timer);
		close_pair(d);
		close_std(d);
		cgroup_close(d->cgroup);
		free(d->attachment);
		cJSON_Delete(d->request);
		door_free(d);
	}
}

static int end_group(const char *name, void *arg)
{
	struct slab *l = arg;
	struct cgroup *g = NULL;
	size_t len = strlen(l->name);
	char path[300];

	if (strncmp(name, l->name, len) != 0 || name[len] != '.')
		return 0;
	(void)snprintf(path, sizeof(path), "exec/%s", name);
	if (cgroup_find(l->sd->cgroups, path, &g) == 0) {
		(void)cgroup_kill(g);
		(void)cgroup_remove(g, 500); /* else gc's */
		cgroup_close(g);
	}
	return 0;
}

void exec_end_lab(struct slab *l)
{
	(void)cgroup_each(l->sd->cgroups, "exec", end_group, l);
}
