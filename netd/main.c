/* SPDX-License-Identifier: MIT */
/*
 * netd - the network daemon: owns every namespace, link, route and rule of its
 * labs.  One thread, one event loop; no child but the responder.
 *
 * Start: lock of the run directory, state, responder, the namespaces' home, the
 * labs as they are found, and last the door: whoever gets in finds all of it.
 * Stop: the door first; labs stay up, and so does the responder, unless there is
 * no lab: then nothing is left behind.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "lib/log.h"
#include "lib/ns.h"
#include "lib/util.h"
#include "netd/api.h"
#include "netd/claims.h"
#include "netd/events.h"
#include "netd/gc.h"
#include "netd/labs.h"
#include "netd/netd.h"
#include "netd/state.h"

static const char usage[] =
	"usage: netd [--run-dir DIR] [--state-dir DIR] [--group NAME] [--id-seed SEED] [-v]\n"
	"       netd --gc [--run-dir DIR] [--state-dir DIR]\n"
	"\n"
	"The network daemon of vpclab, in the foreground.\n"
	"\n"
	"  --run-dir DIR    sockets and namespaces (default $VPCLAB_RUN_DIR or /run/vpclab)\n"
	"  --state-dir DIR  what survives a reboot (default /var/lib/vpclab or RUN/state)\n"
	"  --group NAME     opens the socket to a group, which is as good as root then\n"
	"  --id-seed SEED   what ids are made from, for reproducible ones\n"
	"  --gc             removes what a daemon that is gone has left, and forgets its labs\n"
	"  --foreground     accepted; it never leaves it\n"
	"  -v               more in the log; twice: each step\n"
	"  --version, --help\n";

/* who may connect must be able to get there, too */
static int listen_open(struct netd *d, gid_t gid, struct err *e)
{
	auto_free char *path = rundir_file(d->dir.run, "netd.sock");
	int fd;

	if (!path)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	fd = sock_listen(path, SOCK_STREAM, gid == (gid_t)-1 ? 0600 : 0660, gid);
	if (fd < 0)
		return err_set(e, ERR_STATE, -fd, "%s: %s", path, strerror(-fd));
	d->http = http_server_new(d->loop, fd, api_handle, d);
	return d->http ? 0 : err_set(e, ERR_INTERNAL, ENOMEM, "%s: no HTTP server", path);
}

static void stop(int sig, void *arg)
{
	(void)sig;
	loop_stop(arg);
}

static int netd_start(struct netd *d, const struct daemon_options *o, const char *seed,
		      struct err *e)
{
	uint64_t last;
	gid_t gid;
	int r;

	r = daemon_group(o->group, &gid, e);
	if (r == 0)
		r = state_open(d->dir.state, &d->db, e);
	if (r == 0)
		r = state_seed(d->db, seed, &d->seed, e);
	if (r == 0)
		r = state_events(d->db, &last, e);
	if (r < 0)
		return r;
	d->loop = loop_new();
	d->events = d->loop ? events_new(d->loop, NETD_EVENTS_MAX, last) : NULL;
	if (!d->events || !loop_signal(d->loop, SIGTERM, stop, d->loop) ||
	    !loop_signal(d->loop, SIGINT, stop, d->loop))
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	/* before the home: the responder then stays in the host's mount namespace */
	r = responder_link_open(d->loop, d->dir.run, labs_responder_new, d, &d->responder, e);
	if (r == 0)
		r = ns_home_enter(d->dir.run, e);
	if (r == 0)
		r = claims_open(d->dir.run, &d->claims, e);
	if (r == 0)
		r = labs_adopt(d, e);
	return r < 0 ? r : listen_open(d, gid, e);
}

/* "adopted": what is in d->labs is all there is */
static void netd_stop(struct netd *d, bool adopted)
{
	auto_free char *path = rundir_file(d->dir.run, "netd.sock");
	struct err e = { .code = ERR_NONE };
	bool empty = adopted && d->n_labs == 0;

	d->http = http_server_free(d->http);
	if (path)
		(void)unlink(path); /* there only if we came that far */
	labs_close(d);
	if (empty && d->responder)
		responder_link_stop(d->responder);
	d->responder = responder_link_close(d->responder);
	if (empty && ns_home_exists(d->dir.run) && ns_home_remove(d->dir.run, &e) < 0)
		log_warn("%s", e.msg);
	d->claims = claims_close(d->claims);
	if (empty)
		claims_remove(d->dir.run);
	/* on failure numbers have a gap */
	if (d->events && state_events_end(d->db, events_last(d->events), &e) < 0)
		log_warn("%s", e.msg);
	d->events = events_free(d->events);
	d->loop = loop_free(d->loop);
	d->db = db_close(d->db);
	free(d->seed);
}

static int report(const struct err *e)
{
	log_err("%s", e->msg);
	return err_code_exit(e->code);
}

static int netd_run(const struct daemon_options *o, const char *seed, const char *run,
		    const char *state)
{
	struct err e = { .code = ERR_NONE };
	struct netd d = { .loop = NULL };
	int rc = 0;

	LIST_INIT(&d.labs);
	if (rundir_open(run, state, "netd", &d.dir, &e) < 0)
		return report(&e);
	daemon_files_raise();
	daemon_memory_keep();
	if (netd_start(&d, o, seed, &e) < 0) {
		rc = report(&e);
	} else {
		log_info("ready run_dir=%s labs=%zu", d.dir.run, d.n_labs);
		notify_ready();
		if (loop_run(d.loop) < 0)
			rc = 5;
		log_info("stopping labs=%zu", d.n_labs);
	}
	netd_stop(&d, rc == 0);
	rundir_done(&d.dir);
	return rc;
}

int main(int argc, char **argv)
{
	struct daemon_options o = { .level = LOG_INFO };
	auto_free char *run = NULL, *state = NULL;
	struct err e = { .code = ERR_NONE };
	struct daemon_own own[] = { { "id-seed", NULL }, { 0 } };
	int rc = daemon_options(argc, argv, "netd", usage, own, &o);

	if (rc >= 0)
		return rc;
	log_init("netd", o.level);
	(void)signal(SIGPIPE, SIG_IGN); /* can't fail for this signal */
	umask(0077);
	run = rundir_default(o.run);
	state = run ? rundir_default_state(run, o.state) : NULL;
	if (!state)
		err_set(&e, ERR_INTERNAL, ENOMEM, "out of memory");
	else if (geteuid() != 0)
		err_set(&e, ERR_DENIED, EPERM, "netd needs root's privileges");
	if (e.code)
		return report(&e);
	if (!o.gc)
		return netd_run(&o, own[0].value, run, state);
	return gc_run(run, state, &e) < 0 ? report(&e) : 0;
}
