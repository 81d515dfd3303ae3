/* SPDX-License-Identifier: MIT */
/*
 * side - beside the main line of test: report files, and jobs side by side.
 */
#ifndef CLI_SIDE_H
#define CLI_SIDE_H

#include "cli/cli.h"
#include "cli/test.h"

#define SIDE_FILES 3

struct side_files {
	const char *names[SIDE_FILES]; /* NULL: not wanted */
	int fds[SIDE_FILES];	       /* own; -1 */
};

/* opened before the tests, so that a wrong name is told at once; 0 or exit
 * status; side_done() in either case */
int side_open(const struct cli *c, const struct args *a, struct side_files *ret);
int side_write(const struct cli *c, const struct side_files *s, const cJSON *labs);
void side_done(struct side_files *s);

/* runs t's jobs in up to t->parallel children; results in the jobs' order; 0
 * or the first failing job's exit status */
int side_run_parallel(struct cli *c, struct test *t);

#endif
