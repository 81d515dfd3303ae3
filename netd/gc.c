/* SPDX-License-Identifier: MIT */
/*
 * gc - clears a run directory (gc.h).
 *
 * It takes the daemon's own lock, so no netd can start meanwhile.  Only what
 * the run directory itself leads to is touched: the home of the namespaces by
 * its pin, the responder by the lock that it holds.  Every step is tried, the
 * first failure is told.
 */
#include "netd/gc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/db.h"
#include "lib/mutant.h"
#include "lib/ns.h"
#include "lib/sock.h"
#include "lib/util.h"
#include "netd/responder_link.h"
#include "netd/state.h"

static void remove_files(const char *run)
{
	static const char *const files[] = {
		"netd.sock",	 "netd.claims",	   "responder.sock",
		"responder.pid", "responder.lock", "responder.log",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		auto_free char *path = rundir_file(run, files[i]);

		if (path)
			(void)unlink(path); /* one that isn't there is what we want */
	}
}

static int forget_labs(const char *state, struct err *e)
{
	auto_free char *path = rundir_file(state, "netd.db");
	struct db *d;
	int r;

	if (!path)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	if (access(path, F_OK) < 0)
		return 0;
	r = state_open(state, &d, e);
	if (r < 0)
		return r;
	r = state_clear(d, e);
	db_close(d);
	return r;
}

/* what labs wrote for people: sandboxd's half of gc came before, nobody writes any more */
static int remove_folders(const char *state, struct err *e)
{
	auto_free char *path = rundir_file(state, RUNDIR_LABS);
	int r = path ? rm_rf(path) : -ENOMEM;

	return r < 0 && r != -ENOENT ?
		       err_set(e, ERR_STATE, -r, "%s/" RUNDIR_LABS ": %s", state, strerror(-r)) :
		       0;
}

int gc_run(const char *run, const char *state, struct err *e)
{
	struct err first = { .code = ERR_NONE }, next = { .code = ERR_NONE };
	struct rundir dir;
	int r;

	if (access(run, F_OK) < 0 && access(state, F_OK) < 0)
		return 0;
	r = rundir_open(run, state, "netd", &dir, e);
	if (r < 0)
		return r;
	r = responder_link_kill(run);
	if (r < 0)
		err_set(&first, ERR_KERNEL, -r, "the responder doesn't end: %s", strerror(-r));
	if (ns_home_exists(run) && ns_home_remove(run, &next) < 0 && !first.code)
		first = next;
	if (forget_labs(state, &next) < 0 && !first.code)
		first = next;
	if (!MUTANT("gc-folders") && remove_folders(state, &next) < 0 && !first.code)
		first = next;
	if (!first.code)
		remove_files(run);
	rundir_done(&dir);
	if (first.code)
		*e = first;
	return first.code ? -(first.errnum ? first.errnum : EIO) : 0;
}
