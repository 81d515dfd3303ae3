/* SPDX-License-Identifier: MIT */
/*
 * test - what the verb's parts share: its options, its jobs, and how one job is
 * run (test.c) in this process or in a child (side.c).
 */
#ifndef CLI_TEST_H
#define CLI_TEST_H

#include "cli/cli.h"
#include "cli/copy.h"
#include "cli/source.h"
#include "lib/json.h"

enum test_format { FORMAT_TEXT, FORMAT_TAP, FORMAT_JUNIT, FORMAT_JSON };

struct test_job {
	char *word;		  /* owns; as given */
	bool is_lab;		  /* runs already */
	struct source source;	  /* owns */
	char name[COPY_NAME_MAX]; /* of the copy; "": there is none */
	/* NULL: the lab's expectations; else this scenario, and "source" borrows */
	const struct scenario *scenario;
};

struct test {
	const struct args *args;
	enum test_format format;
	struct test_job *jobs; /* owns */
	size_t n_jobs;
	size_t parallel;
	unsigned repeat;
	bool keep, keep_failed, fail_fast;
	cJSON *labs;	  /* owns; results so far */
	size_t n_pending; /* scenarios of the last of them whose results are still to come */
};

/* SIGINT, SIGTERM and SIGHUP set c->interrupted; 0 or exit status */
int test_catch_signals(struct cli *c);
/* one job from up to down; "ret" is the lab's results (owns), also on failure */
int test_run_job(struct cli *c, const struct test *t, struct test_job *j, cJSON **ret);
/* takes "lab"; prints it if the format is text, once its scenarios are there too */
void test_take_result(const struct cli *c, struct test *t, cJSON *lab);

#endif
