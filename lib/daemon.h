/* SPDX-License-Identifier: MIT */
/*
 * daemon - what the daemons' mains have in common: their options, the group that
 * their sockets are opened to, and the number of descriptors.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/log.h"

/* an option with a value that only one program has; the table ends with name NULL */
struct daemon_own {
	const char *name;
	const char *value; /* NULL: not given; borrows from argv */
};
#define DAEMON_OWN_MAX 8

struct daemon_options {
	const char *run, *state, *group; /* NULL: the default; borrow from argv */
	bool gc;
	enum log_level level;
};

/*
 * daemon_options() - reads "argv" of "program"; "usage" is what --help prints.
 * "own": at most DAEMON_OWN_MAX options that only this program has.  "o" and "own" hold
 * the defaults.
 * Returns -1: go on; else the exit status (0 after --help, 2 on a mistake, told).
 */
int daemon_options(int argc, char **argv, const char *program, const char *usage,
		   struct daemon_own *own, struct daemon_options *o);
/* as many descriptors as the host gives, at most a million */
void daemon_files_raise(void);
/* blocks as large as a lab come and go with each change: giving them back to the kernel in
 * between costs more than all else that a small change does */
void daemon_memory_keep(void);
/* gid of group "name"; (gid_t)-1 for NULL; ERR_INVALID_PARAMETER if there is none */
int daemon_group(const char *name, gid_t *ret, struct err *e);

#endif
