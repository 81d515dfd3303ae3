/* SPDX-License-Identifier: MIT */
/*
 * private - an instance of the product for one command (run --private): its run
 * directory lies beside the one that the command line names, as RUN-XXXXXX, with
 * its state inside; its daemons are started by the first request.
 *
 * Who owns it holds a lock in it: vpclab, and its keeper, which takes the instance
 * down when vpclab was killed.  Were both killed, nobody holds the lock, and the
 * next run --private or gc beside it takes it down.
 */
#ifndef CLI_PRIVATE_H
#define CLI_PRIVATE_H

#include "cli/cli.h"

struct private
{
	struct cli *c;
	char *run; /* owns; NULL: there is none */
	int lock;  /* owns */
};

/* made, and "c" is of it from here on; 0 or exit status, told */
int private_open(struct cli *c, struct private *ret);
/* labs, daemons, folders: all gone.  0 or exit status, told */
int private_close(struct private *p);
/* the same, in the keeper ("arg": struct private) */
void private_abandoned(void *arg);
/* takes down those beside "c"'s run directory that nobody owns any more; 0 or the
 * first failure, told */
int private_sweep(struct cli *c);

#endif
