/* SPDX-License-Identifier: MIT */
/*
 * expect - what a lab expects of itself (interface.md 1.2): which cases there
 * are, what to ask for each, and whether an answer holds.  Pure: who asks is
 * trial.c.
 */
#ifndef CLI_EXPECT_H
#define CLI_EXPECT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/json.h"
#include "topology/lab.h"

/* one test case: an invocation, or one source, target and port of an expectation */
struct expect_case {
	const struct expect *x; /* borrows from the lab, as all but "name" */
	char *name;		/* owns */
	bool named;		/* "name" is the file's, and doesn't say from, to and port */
	const char *from;	/* NULL: an invocation or a flow's record, as the next two */
	const char *to, *port;
	const char *result;  /* NULL: neither open nor refused */
	const char *address; /* of the target: "private", "public"; NULL: no choice */
};

/* "show": the lab as it runs (what public addresses there are); NULL: as the
 * file has it.  "ret" owns: expect_cases_free(); 0 or -ENOMEM */
int expect_cases(const struct lab *l, const cJSON *show, struct expect_case **ret, size_t *ret_n);
void expect_cases_free(struct expect_case *cases, size_t n);

/* the request of a probe: {"from","to","port","address","timeout"}; owns */
cJSON *expect_probe(const struct expect_case *k);
/* the report's "expected"; owns */
cJSON *expect_expected(const struct expect_case *k);

#define EXPECT_WHY_SIZE 600

struct expect_verdict {
	bool ok;
	cJSON *got;		   /* owns: the report's "got" */
	char why[EXPECT_WHY_SIZE]; /* what didn't hold, "" if all did */
};

/* "result": of one probe, as sandboxd answered; "show" as above */
void expect_judge_probe(const struct lab *l, const cJSON *show, const struct expect_case *k,
			const cJSON *result, struct expect_verdict *ret);

/* one answer of the Invoke API; borrows */
struct expect_call {
	int status;		/* HTTP */
	const char *error_type; /* x-amzn-ErrorType; NULL: none */
	bool function_error;	/* X-Amz-Function-Error was there */
	const char *body;	/* NUL-terminated */
	size_t size;
	const char *log; /* its tail; NULL: none */
};
void expect_judge_calls(const struct expect_case *k, const struct expect_call *calls, size_t n,
			struct expect_verdict *ret);

/* "records": of all logs, as flow_records_object() makes them.  "got" is the nearest */
void expect_judge_flow(const struct expect_case *k, const cJSON *records,
		       struct expect_verdict *ret);

/* is "word" (an address, CIDR, node, nat_gateway:V/N, service) who "seen" is? */
bool expect_is_seen(const struct lab *l, const cJSON *show, const char *word, const char *seen);
/* every member given in "want" is there and equal, objects member by member */
bool expect_matches(const cJSON *got, const cJSON *want);

#endif
