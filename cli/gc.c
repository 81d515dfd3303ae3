/* SPDX-License-Identifier: MIT */
/*
 * gc - removes what daemons that are gone left behind.  Each daemon's program
 * knows its own leftovers, so gc runs both with --gc: processes first, then the
 * network that they were in.
 */
#include "cli/gc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/cli.h"
#include "cli/daemons.h"
#include "cli/out.h"
#include "cli/private.h"
#include "lib/proc.h"
#include "lib/util.h"

extern char **environ;

static int run_gc(const struct cli *c, const char *name)
{
	auto_free char *program = proc_beside(name);
	char *argv[] = { (char *)name, (char *)"--run-dir", c->run, (char *)"--state-dir",
			 c->state,     (char *)"--gc",	    NULL };
	/* what it says is no result of ours: all of it goes to standard error */
	const int fds[] = { -1, STDERR_FILENO, STDERR_FILENO };
	struct proc_spec spec = { .path = program,
				  .argv = argv,
				  .envp = environ,
				  .fds = fds,
				  .n_fds = ARRAY_SIZE(fds),
				  .cwd = "/" };
	auto_close int pidfd = -1;
	struct err e = { 0 };
	pid_t pid;
	int status = 0, r;

	if (!program)
		return out_fail(c, ERR_STATE, "%s: not found beside vpclab or in ../lib/vpclab",
				name);
	if (proc_spawn(&spec, &pid, &pidfd, &e) < 0) {
		err_wrap(&e, "%s", name);
		return out_fail_err(c, &e);
	}
	r = proc_wait(pidfd, -1, &status);
	if (r < 0)
		return out_fail(c, ERR_INTERNAL, "%s --gc: %s", name, strerror(-r));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return out_fail(c, ERR_STATE, "%s --gc: ended with %s %d", name,
			WIFEXITED(status) ? "status" : "signal",
			WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

int gc_run(const struct cli *c)
{
	int r = run_gc(c, "sandboxd");

	return r ? r : run_gc(c, "netd");
}

static int gc(struct cli *c, const struct args *a)
{
	enum daemon d;
	pid_t pid;
	int r;

	(void)a;
	if (geteuid() == 0) {
		r = private_sweep(c);
		if (r)
			return r;
	}
	for (d = 0; d < N_DAEMONS; d++) {
		pid = daemon_pid(c, d);
		if (pid)
			return out_fail(c, ERR_BUSY,
					"gc: %s runs (pid %d): remove labs with down, or "
					"stop the daemons first",
					daemon_name(d), pid);
	}
	if (geteuid() != 0)
		return out_fail(c, ERR_DENIED, "gc: only root can: sudo vpclab --run-dir %s gc",
				out_safe(c->run));
	r = gc_run(c);
	if (!r && c->json)
		r = out_json(c, cJSON_CreateObject());
	return r;
}

const struct verb VERB_GC = {
	.name = "gc",
	.usage = "",
	.summary = "remove leftovers of daemons that are gone, and forget their labs",
	.fn = gc,
};
