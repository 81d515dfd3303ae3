/* SPDX-License-Identifier: MIT */
/*
 * daemons - the daemons of a run directory as the command line sees them: where
 * their programs are, whether they answer, starting and stopping them.
 */
#ifndef CLI_DAEMONS_H
#define CLI_DAEMONS_H

#include <sys/types.h>

#include "cli/cli.h"
#include "lib/json.h"

enum daemon { DAEMON_NETD, DAEMON_SANDBOXD, N_DAEMONS };

const char *daemon_name(enum daemon d);
/* RUN/NAME.sock; caller frees; NULL: no memory */
char *daemon_sock(const struct cli *c, enum daemon d);
/* pid if it holds its lock, else 0 */
pid_t daemon_pid(const struct cli *c, enum daemon d);

/* both answer, or are started (as root, unless --no-start); 0 or exit status */
int daemons_need(struct cli *c);
/* how those that are started are started; NULL: the default */
struct daemon_wishes {
	const char *group;
	const char *listen; /* ADDRESS:PORT, sandboxd's, as those that follow */
	const char *idle;   /* seconds */
	const char *memory; /* MB */
	const char *allow;  /* ADDRESS:PORT,... */
};
/* 0 also if both ran before, however they were started */
int daemons_start(struct cli *c, const struct daemon_wishes *w);
/* ends sandboxd, then netd, and waits for their end; 0 also if neither ran */
int daemons_stop(struct cli *c);

#endif
