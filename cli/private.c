/* SPDX-License-Identifier: MIT */
/*
 * private - see private.h.
 */
#include "cli/private.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "cli/api.h"
#include "cli/daemons.h"
#include "cli/down.h"
#include "cli/gc.h"
#include "cli/out.h"
#include "lib/mutant.h"
#include "lib/sock.h"
#include "lib/util.h"

#define LOCK "private.lock"
#define SUFFIX "-XXXXXX" /* mkdtemp(3) */
#define TRIES 16	 /* a sweeper that took a folder before its lock was ours */
#define DOWN_TRIES 5	 /* of who is the last to take an instance down */

/* the lock of "run", and that it is still there; fd, -EWOULDBLOCK, -errno */
static int lock(const char *run, int flags)
{
	auto_free char *path = rundir_file(run, LOCK);
	auto_close int fd = -1;
	struct stat st;

	if (!path)
		return -ENOMEM;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0)
		return -errno;
	return st.st_nlink ? steal_fd(&fd) : -ESTALE;
}

/* "c" is of another instance now; takes "run" */
static int change_to(struct cli *c, char *run)
{
	char *state = rundir_default_state(run, NULL);

	if (!state) {
		free(run);
		return out_no_memory(c);
	}
	free(c->run);
	free(c->state);
	c->run = run;
	c->state = state;
	c->checked = false;
	return 0;
}

static int make(const struct cli *c, char **ret_run, int *ret_lock)
{
	auto_free char *run = NULL;
	unsigned i;
	int fd = -ESTALE;

	for (i = 0; i < TRIES && fd < 0; i++) {
		free(run);
		if (asprintf(&run, "%s" SUFFIX, c->run) < 0) {
			run = NULL;
			return -ENOMEM;
		}
		/* users of sandboxes pass through it, as through any run directory */
		if (!mkdtemp(run) || chmod(run, 0755) < 0)
			return -errno;
		fd = lock(run, O_CREAT | O_EXCL);
	}
	if (fd < 0)
		return fd;
	*ret_lock = fd;
	*ret_run = steal_ptr(&run);
	return 0;
}

int private_open(struct cli *c, struct private *ret)
{
	char *run = NULL, *mine;
	int r, fd = -1;

	if (geteuid() != 0)
		return out_fail(c, ERR_DENIED, "run --private: only root can start daemons");
	/* what others left is no reason not to run */
	(void)private_sweep(c);
	r = make(c, &run, &fd);
	if (r < 0)
		return out_fail(c, ERR_STATE, "%s" SUFFIX ": %s", c->run, strerror(-r));
	mine = strdup(run);
	r = mine ? change_to(c, MUTANT("private") ? strdup(c->run) : run) : out_no_memory(c);
	if (r) {
		free(mine);
		close(fd);
		return r;
	}
	*ret = (struct private){ .c = c, .run = mine, .lock = fd };
	return 0;
}

/* each step is tried; the first failure decides the status */
static int take_down(struct cli *c)
{
	int r = 0, one;

	if (daemon_pid(c, DAEMON_SANDBOXD) && daemon_pid(c, DAEMON_NETD))
		r = down_everything(c);
	one = daemons_stop(c);
	r = r ? r : one;
	one = gc_run(c);
	r = r ? r : one;
	/* the lock goes last, with its folder: what fails before is swept again */
	if (r)
		return r;
	one = rm_rf(c->run);
	return one < 0 ? out_fail(c, ERR_STATE, "%s: %s", c->run, strerror(-one)) : 0;
}

int private_close(struct private *p)
{
	int r = take_down(p->c);

	close(p->lock);
	free(p->run);
	*p = (struct private){ .lock = -1 };
	return r;
}

void private_abandoned(void *arg)
{
	struct private *p = arg;
	unsigned i;

	/* the loop and its descriptors are those of the process that was killed */
	p->c->httpc = NULL;
	p->c->loop = NULL;
	p->c->interrupted = 0;
	/* what fails tells why; but for a sweep one day, nobody else tries again */
	for (i = 0; i < DOWN_TRIES && take_down(p->c); i++)
		;
}

static int sweep(const struct cli *like, const char *run)
{
	auto_close int fd = lock(run, 0);
	struct cli c = *like;
	int r;

	/* owned, half made, or no instance at all */
	if (fd < 0)
		return 0;
	c.httpc = NULL;
	c.loop = NULL;
	c.checked = false;
	c.run = strdup(run);
	c.state = c.run ? rundir_default_state(run, NULL) : NULL;
	r = c.state ? take_down(&c) : out_no_memory(&c);
	api_done(&c);
	free(c.run);
	free(c.state);
	return r;
}

int private_sweep(struct cli *c)
{
	auto_free char *pattern = NULL;
	glob_t found;
	size_t i;
	int r = 0, one;

	if (asprintf(&pattern, "%s-??????", c->run) < 0) {
		pattern = NULL;
		return out_no_memory(c);
	}
	/* characters that mean something to glob(3) in the folder's own name match
	 * themselves too: at worst others are looked at, which have no lock of ours */
	if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
		return 0;
	for (i = 0; i < found.gl_pathc; i++) {
		one = sweep(c, found.gl_pathv[i]);
		r = r ? r : one;
	}
	globfree(&found);
	return r;
}
