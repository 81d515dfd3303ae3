/* SPDX-License-Identifier: MIT */
/*
 * trial - the expectations of a lab, tried on the lab as it runs.  All probes go
 * out in one batch, so that their time-outs overlap; those that may take a
 * while to hold ("within") are sent again until they do; invocations follow, in
 * the file's order.
 */
#ifndef CLI_TRIAL_H
#define CLI_TRIAL_H

#include "cli/cli.h"
#include "lib/json.h"
#include "topology/lab.h"

struct trial {
	const char *lab;	   /* as it runs */
	const struct lab *file;	   /* its expectations */
	const char *filter, *skip; /* globs on a case's name; NULL: none */
	bool fail_fast;
	unsigned round, rounds; /* of --repeat, from 1 */
};

/*
 * trial_run() - adds a result a case to "results" (an array; interface.md 4).
 * "ret_n": cases that the filter let through.  0 or exit status, told; what was
 * found before a failure stays in "results".
 */
int trial_run(struct cli *c, const struct trial *t, cJSON *results, size_t *ret_n);
/* the names of the cases, as they would be run; an array of strings */
int trial_list(const struct cli *c, const struct trial *t, cJSON *names);

#endif
