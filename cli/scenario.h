/* SPDX-License-Identifier: MIT */
/*
 * scenario - things over time (interface.md 1.1): each scenario on a copy of the
 * lab of its own, one step after the other.  The first step that fails ends it;
 * the later ones are skipped.  To "test" a scenario is a job of its own, so that
 * scenarios run side by side as files do; its results join those of its lab.
 */
#ifndef CLI_SCENARIO_H
#define CLI_SCENARIO_H

#include "cli/cli.h"
#include "cli/test.h"
#include "lib/json.h"

/* puts a job for each scenario that --filter lets through behind the job of its
 * lab, whose source it borrows; 0 or exit status, told */
int scenario_add_jobs(const struct cli *c, struct test *t);
/* test_run_job() of such a job: copy up, steps, copy down, however it ends */
int scenario_run_job(struct cli *c, const struct test *t, struct test_job *j, cJSON **ret);
/* adds the names of the job's cases to an array of strings */
int scenario_list(const struct cli *c, const struct test *t, const struct test_job *j,
		  cJSON *names);
/* moves the results of a scenario's document "from" to its lab's and counts anew */
void scenario_merge(cJSON *lab, cJSON *from);
/* how many scenario jobs belong to the lab that is the "idx"-th of all */
size_t scenario_n_jobs(const struct test *t, size_t idx);

#endif
