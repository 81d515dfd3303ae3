/* SPDX-License-Identifier: MIT */
/*
 * sandboxd - the function service, and the front of labs: owns every process of
 * its labs.  One thread, one event loop.
 *
 * Start: lock of the run directory, state, cgroups, what an earlier daemon's
 * environments left is killed, labs are taken up (front.h), then the doors open.
 * Stop: the doors close first; programs of nodes run on, environments end.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "lib/log.h"
#include "lib/proc.h"
#include "lib/util.h"
#include "sandbox/async.h"
#include "sandbox/env.h"
#include "sandbox/exec.h"
#include "sandbox/front.h"
#include "sandbox/functions.h"
#include "sandbox/limits.h"
#include "sandbox/listen.h"
#include "sandbox/logs.h"
#include "sandbox/notice.h"
#include "sandbox/room.h"
#include "sandbox/rows.h"
#include "sandbox/serve.h"

enum { OWN_LISTEN, OWN_IDLE, OWN_MEMORY, OWN_ALLOW, OWN_END };

#define ROTATE_MS 30000
#define RESTORE_MS 8000 /* for labs to be taken up before the doors open */
#define GC_MS 5000

static const char usage[] =
	"usage: sandboxd [--run-dir DIR] [--state-dir DIR] [--group NAME]\n"
	"                [--listen ADDRESS:PORT] [--idle SECONDS] [--memory MB]\n"
	"                [--allow-endpoint ADDRESS:PORT,...] [-v]\n"
	"       sandboxd --gc [--run-dir DIR] [--state-dir DIR]\n"
	"\n"
	"The function service of vpclab, in the foreground.\n"
	"\n"
	"  --run-dir DIR    sockets and logs (default $VPCLAB_RUN_DIR or /run/vpclab)\n"
	"  --state-dir DIR  what survives a reboot (default /var/lib/vpclab or RUN/state)\n"
	"  --group NAME     opens the sockets to a group, which is as good as root then\n"
	"  --listen A:PORT  Lambda's API on a port of the loopback, too, for signed requests\n"
	"                   (port 0: any that is free)\n"
	"  --idle SECONDS   of AWS's time that an environment without work lives (default 300)\n"
	"  --memory MB      that all environments together may use before idle ones go\n"
	"                   (default 80 % of the host's)\n"
	"  --allow-endpoint A:PORT,...  where queues and topics may be outside of labs\n"
	"  --gc             removes what a daemon that is gone has left, and forgets its labs\n"
	"  --foreground     accepted; it never leaves it\n"
	"  -v               more in the log; twice: each step\n"
	"  --version, --help\n";

static int init_open(struct err *e)
{
	auto_free char *path = proc_beside("vpclab-init");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	return fd >= 0 ? fd : err_set(e, ERR_HOST, ENOENT, "vpclab-init isn't beside sandboxd");
}

static int filters_compile(struct sandboxd *sd, struct err *e)
{
	for (int f = JAIL_FUNCTION; f <= JAIL_PROGRAM; f++) {
		sd->filters[f] = jail_filter_compile(f);
		if (sd->filters[f] < 0)
			return err_set(e, ERR_KERNEL, -sd->filters[f], "filter of calls: %s",
				       strerror(-sd->filters[f]));
	}
	return 0;
}

/* a block of user ids that belongs to this run directory */
static uint32_t uid_base(const char *run)
{
	char hex[4];

	hash_hex(hex, 3, "uids %s", run);
	return 0x60000000U + ((uint32_t)strtoul(hex, NULL, 16) << 16);
}

static int folders_make(struct sandboxd *sd, struct err *e)
{
	auto_free char *nodes = NULL;
	int r;

	sd->root = rundir_file(sd->dir.run, "root");
	sd->netd = rundir_file(sd->dir.run, "netd.sock");
	if (!sd->root || !sd->netd)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	r = mkdir_p(sd->root, 0755);
	if (r < 0)
		return err_set(e, ERR_STATE, -r, "%s: %s", sd->root, strerror(-r));
	/* nodes have a /tmp for everybody there: everybody inside, nobody of the host's */
	nodes = rundir_file(sd->dir.run, "nodes");
	r = nodes ? mkdir_p(nodes, 0700) : -ENOMEM;
	if (!r && chmod(nodes, 0700) < 0)
		r = -errno;
	return r < 0 ? err_set(e, ERR_STATE, -r, "%s: %s", nodes ? nodes : "nodes", strerror(-r)) :
		       0;
}

static void on_rotate(void *arg)
{
	logs_bound(arg);
	(void)room_make(arg); /* whoever wants room asks again */
}

static void stop(int sig, void *arg)
{
	struct sandboxd *sd = arg;

	(void)sig;
	sd->stopping = true;
	loop_stop(sd->loop);
}

static int doors_open(struct sandboxd *sd, gid_t gid, struct err *e)
{
	auto_free char *path = rundir_file(sd->dir.run, "sandboxd.sock");
	int fd, r = exec_open(sd, gid, e);

	if (r < 0)
		return r;
	if (!path)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	fd = sock_listen(path, SOCK_STREAM, gid == (gid_t)-1 ? 0600 : 0660, gid);
	if (fd < 0)
		return err_set(e, ERR_STATE, -fd, "%s: %s", path, strerror(-fd));
	sd->http = http_server_new(sd->loop, fd, serve_request, sd);
	return sd->http ? 0 : err_set(e, ERR_INTERNAL, ENOMEM, "%s: no HTTP server", path);
}

static int loop_make(struct sandboxd *sd, struct err *e)
{
	sd->loop = loop_new();
	sd->httpc = sd->loop ? httpc_new(sd->loop) : NULL;
	if (!sd->httpc || !loop_signal(sd->loop, SIGTERM, stop, sd) ||
	    !loop_signal(sd->loop, SIGINT, stop, sd))
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	sd->rotate = loop_every(sd->loop, ROTATE_MS, on_rotate, sd);
	return sd->rotate ? 0 : err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
}

/* labs are taken up before anybody may ask; but a netd that doesn't come up must
 * not keep the doors closed */
static void restore_wait(struct sandboxd *sd)
{
	struct mono begin = mono_now();

	while (!sd->ready && !sd->stopping && mono_ms_since(begin) < RESTORE_MS)
		if (loop_once(sd->loop, 100) < 0)
			return;
	if (!sd->ready)
		log_warn("some labs aren't taken up yet: netd does not answer for them");
}

static int sandboxd_start(struct sandboxd *sd, const struct daemon_options *o,
			  const struct daemon_own *own, struct err *e)
{
	gid_t gid;
	int r = daemon_group(o->group, &gid, e);

	if (!r)
		r = folders_make(sd, e);
	if (!r)
		r = rows_open(sd->dir.state, &sd->db, e);
	if (!r)
		r = cgroups_open(sd->dir.run, &sd->cgroups, e);
	if (r < 0)
		return r;
	sd->allow_endpoint = own[OWN_ALLOW].value;
	sd->uid_base = uid_base(sd->dir.run);
	sd->init_fd = init_open(e);
	if (sd->init_fd < 0)
		return sd->init_fd;
	r = filters_compile(sd, e);
	if (!r)
		r = room_open(sd, own[OWN_IDLE].value, own[OWN_MEMORY].value, e);
	if (!r)
		r = loop_make(sd, e);
	if (r < 0)
		return r;
	env_clean(sd);
	r = rows_key(sd->db, sd->key, e);
	if (!r)
		r = front_restore(sd, e);
	if (r < 0)
		return r;
	r = async_open(sd, e);
	if (r < 0)
		return r;
	restore_wait(sd);
	functions_sweep(sd);
	/* first, for whoever waits for the doors takes them for all that was asked for */
	r = own[OWN_LISTEN].value ? listen_open(sd, own[OWN_LISTEN].value, e) : 0;
	return r ? r : doors_open(sd, gid, e);
}

static void sandboxd_stop(struct sandboxd *sd)
{
	static const char *const socks[] = { "sandboxd.sock", "sandboxd.fd" };
	static const char *const folders[] = { "root", "nodes", "logs" };
	bool empty = sd->db && sd->n_labs == 0;
	struct err e = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(socks); i++) {
		auto_free char *path = rundir_file(sd->dir.run, socks[i]);

		if (path)
			(void)unlink(path); /* there only if we came that far */
	}
	/* requests under way lose their connection: first what would answer them */
	sd->httpc = httpc_free(sd->httpc);
	notice_end(sd);
	async_close(sd);
	exec_close(sd);
	front_release(sd);
	room_close(sd);
	if (sd->cgroups)
		env_clean(sd);
	sd->http = http_server_free(sd->http);
	listen_close(sd);
	if (empty && sd->cgroups && cgroups_remove(sd->cgroups, GC_MS, &e) < 0)
		log_warn("%s", e.msg);
	sd->cgroups = cgroups_close(sd->cgroups);
	loop_event_free(sd->rotate);
	sd->loop = loop_free(sd->loop);
	sd->db = db_close(sd->db);
	if (sd->init_fd >= 0)
		close(sd->init_fd);
	for (i = 0; i < ARRAY_SIZE(sd->filters); i++)
		if (sd->filters[i] >= 0)
			close(sd->filters[i]);
	/* folders that hold nothing any more */
	for (i = 0; i < ARRAY_SIZE(folders); i++) {
		auto_free char *path = rundir_file(sd->dir.run, folders[i]);

		if (path)
			(void)rmdir(path);
	}
	free(sd->root);
	free(sd->netd);
}

static int report(const struct err *e)
{
	log_err("%s", e->msg);
	return err_code_exit(e->code);
}

static int sandboxd_run(const struct daemon_options *o, const struct daemon_own *own,
			const char *run, const char *state)
{
	static struct sandboxd sd;
	struct err e = { 0 };
	int rc = 0;

	sd = (struct sandboxd){ .init_fd = -1, .door_fd = -1, .filters = { -1, -1 } };
	LIST_INIT(&sd.labs);
	LIST_INIT(&sd.doors);
	LIST_INIT(&sd.follows);
	TAILQ_INIT(&sd.idle);
	if (rundir_open(run, state, "sandboxd", &sd.dir, &e) < 0)
		return report(&e);
	daemon_files_raise();
	daemon_memory_keep();
	if (sandboxd_start(&sd, o, own, &e) < 0) {
		rc = report(&e);
	} else {
		log_info("ready run_dir=%s labs=%zu", sd.dir.run, sd.n_labs);
		notify_ready();
		if (!sd.stopping && loop_run(sd.loop) < 0)
			rc = 5;
		log_info("stopping labs=%zu", sd.n_labs);
	}
	sandboxd_stop(&sd);
	rundir_done(&sd.dir);
	return rc;
}

/* ---- leftovers ---- */

static int gc_files(const struct rundir *d, struct err *e)
{
	static const char *const names[] = { "nodes", "logs", "root", "sandboxd.sock",
					     "sandboxd.fd" };
	static const char *const rows[] = { "sandboxd.db", "sandboxd.db-wal", "sandboxd.db-shm",
					    "code" };
	auto_free char *path = NULL;
	size_t i;
	int r = 0;

	for (i = 0; i < ARRAY_SIZE(names) + ARRAY_SIZE(rows) && !r; i++) {
		bool run = i < ARRAY_SIZE(names);

		free(path);
		if (asprintf(&path, "%s/%s", run ? d->run : d->state,
			     run ? names[i] : rows[i - ARRAY_SIZE(names)]) < 0) {
			path = NULL;
			return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		}
		r = rm_rf(path);
		if (r == -ENOENT)
			r = 0;
	}
	return r < 0 ? err_set(e, ERR_STATE, -r, "%s: %s", path, strerror(-r)) : 0;
}

static int sandboxd_gc(const char *run, const char *state)
{
	struct cgroups *groups = NULL;
	struct rundir d = { 0 };
	struct err e = { 0 };
	int r = rundir_open(run, state, "sandboxd", &d, &e);

	if (r < 0)
		return report(&e);
	r = cgroups_find(d.run, &groups, &e);
	if (r == -ENOENT)
		r = 0;
	else if (!r)
		r = cgroups_remove(groups, GC_MS, &e);
	cgroups_close(groups);
	if (!r)
		r = gc_files(&d, &e);
	rundir_done(&d);
	return r < 0 ? report(&e) : 0;
}

int main(int argc, char **argv)
{
	struct daemon_options o = { .level = LOG_INFO };
	struct daemon_own own[] = {
		[OWN_LISTEN] = { "listen", NULL },
		[OWN_IDLE] = { "idle", NULL },
		[OWN_MEMORY] = { "memory", NULL },
		[OWN_ALLOW] = { "allow-endpoint", NULL },
		[OWN_END] = { 0 },
	};
	auto_free char *run = NULL, *state = NULL;
	struct err e = { 0 };
	int rc = daemon_options(argc, argv, "sandboxd", usage, own, &o);

	if (rc >= 0)
		return rc;
	log_init("sandboxd", o.level);
	(void)signal(SIGPIPE, SIG_IGN); /* can't fail for this signal */
	umask(0022);			/* folders are bound into sandboxes of other users */
	run = rundir_default(o.run);
	state = run ? rundir_default_state(run, o.state) : NULL;
	if (!state)
		(void)err_set(&e, ERR_INTERNAL, ENOMEM, "out of memory");
	else if (geteuid() != 0)
		(void)err_set(&e, ERR_DENIED, EPERM, "sandboxd needs root's privileges");
	if (e.code)
		return report(&e);
	return o.gc ? sandboxd_gc(run, state) : sandboxd_run(&o, own, run, state);
}
