/* SPDX-License-Identifier: MIT */
/*
 * jobs - changes of a lab, one at a time, in slices.
 *
 * A job prepares what ought to be ("want"); apply.c carries it into the kernel
 * between the loop's other duties.  If a step fails, the way back is the diff
 * from what the kernel acknowledged to the lab's program before; the job ends
 * with the first failure when that is done.  If even that fails, the lab is
 * "failed" and observe.c repairs it until it holds.
 */
#ifndef JOBS_H
#define JOBS_H

#include "netd/apply.h"
#include "netd/labs.h"

struct job;

struct job_ops {
	/* its turn has come.  1: "want" is made, apply it; 0: over, nothing to apply;
	 * negative: failed */
	int (*begin)(struct job *j, struct err *e);
	/* the kernel has it all; a failure undoes it.  NULL: nothing to do */
	int (*commit)(struct job *j, struct err *e);
	/* over: "e" NULL when it succeeded; frees the job.  The lab's program is
	 * "want" by now, or what it was */
	void (*end)(struct job *j, const struct err *e);
	bool background; /* no client waits: not counted by the tests' faults */
	bool no_undo;	 /* a failure leaves what was done */
};

/* embedded first in what each kind of job needs */
struct job {
	TAILQ_ENTRY(job) link;
	const struct job_ops *ops;
	struct netlab *lab;
	struct program want;
	struct apply *apply;
	bool undoing;
	struct err why; /* what is being undone */
};

/* runs it now or when its turn comes; fails it with ERR_LIMIT if too many wait.
 * The lab may be gone afterwards */
void job_submit(struct netlab *l, struct job *j, const struct job_ops *ops);
/* ends all that waits and what runs (not undone: the caller drops the lab) */
void job_cancel_all(struct netlab *l, const struct err *why);
/* runs a job to its end at once; for start-up, before there is a loop to go back to */
void job_run(struct netlab *l, struct job *j, const struct job_ops *ops);

/* "want" is the lab's, for a job that changes a part of it (program_replace()) */
int job_want_begin(struct job *j, struct err *e);

/* starts what waits, or frees a lab that is none any more */
void job_kick(struct netlab *l);

/* is the link one that will go by itself? */
bool job_link_is_left(const struct netlab *l, const char *ns, const char *name);
void job_left_clear(struct netlab *l);

/* faults of test builds hit requests' work only: background work is done between these */
void job_faults_pause(void);
void job_faults_resume(void);
void job_faults_set(unsigned long n);
unsigned long job_faults_count(void);

#endif
