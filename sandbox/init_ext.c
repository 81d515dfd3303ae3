/* SPDX-License-Identifier: MIT */
/*
 * init_ext - the processes of external extensions (RAPI-6): each file of /opt/extensions,
 * in the order of their names, before the runtime starts.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/init.h"
#include "lib/mutant.h"
#include "lib/util.h"

#define EXTENSIONS_FOLDER "/opt/extensions"

static void run(const struct init *i, int log, char *path) __attribute__((noreturn));
static void run(const struct init *i, int log, char *path)
{
	char *argv[] = { path, NULL };
	sigset_t none;
	int r;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL); /* can't fail */
	/* standard input is the init's, which is closed to it */
	if (setsid() < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 || chdir("/") < 0)
		_exit(126);
	environ = i->envp;
	execv(path, argv);
	r = errno;
	(void)dprintf(2, "cannot run %s: %s\n", path, strerror(r)); /* nobody else to tell */
	_exit(126);
}

static int start(const struct init *i, struct extensions *x, const char *name, int log)
{
	struct extension *e;
	char path[512];
	struct stat st;

	(void)snprintf(path, sizeof(path), EXTENSIONS_FOLDER "/%s", name);
	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return 0; /* their own files, AWS passes by */
	if (access(path, X_OK) < 0)
		return -errno;
	e = extension_add(x, name);
	if (!e)
		return MUTANT("extensions-limit") ? 0 : -E2BIG;
	e->pid = fork();
	if (e->pid < 0) {
		e->pid = 0;
		return -errno;
	}
	if (!e->pid)
		run(i, log, path);
	return 0;
}

static int is_shown(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

int init_ext_start(const struct init *i, struct extensions *x, int log, char *ret_name, size_t size)
{
	struct dirent **list;
	int n = scandir(EXTENSIONS_FOLDER, &list, is_shown, alphasort), k, r = 0;

	if (n < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	for (k = 0; k < n; k++) {
		if (!r) {
			r = start(i, x, list[k]->d_name, log);
			if (r < 0)
				(void)snprintf(ret_name, size, "%s", list[k]->d_name);
		}
		free(list[k]);
	}
	free(list);
	return r;
}
