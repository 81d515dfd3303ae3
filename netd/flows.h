/* SPDX-License-Identifier: MIT */
/*
 * flows - flow logs of a lab: reads what its routers count (compile_flow.c), and makes
 * AWS's lines of it.
 *
 *   every 30 s, and when an interval ends	a router's set is drained, in slices, and
 *						what was counted added to each log's table
 *   interval over, set drained since		the table becomes lines, in slices: into
 *						the log's file and the lab's ring
 *
 * What a daemon that stops has read is written before it goes.  What one that is killed
 * had taken out of the kernel and not written is lost, as is what nobody read for longer
 * than an idle element lives; the next daemon finds that in the lab's folder (LAB/.flows)
 * and says SKIPDATA for the interval.  What was never read waits in the kernel.
 */
#ifndef FLOWS_H
#define FLOWS_H

#include "lib/http.h"
#include "netd/labs.h"

#define FLOW_LINES_MAX 50000	 /* of a lab, kept for "vpclab flows"; older ones go */
#define FLOW_FILE_MAX (64 << 20) /* bytes of a log's file; then it is NAME.1, a new one begins */
#define FLOW_ANSWER_MAX 5000	 /* lines of one answer */

struct flows;

/* can this kernel do what the logs of "s" need?  0; ERR_UNSUPPORTED names the first */
int flows_check(const struct store *s, struct err *e);
/* the lab's store is another one, or the first; "adopted": a daemon before this one had it */
void flows_settle(struct netlab *l, bool adopted);
/* reads all that was counted until now: some of what is counted is about to go */
void flows_drain(struct netlab *l);
/* the tables of the router "ns" are about to be replaced as they are; they have been.
 * What can't be read is SKIPDATA */
void flows_last(struct netlab *l, const char *ns);
void flows_replaced(struct netlab *l, const char *ns);
/* writes what is there, frees; "remove": the lab goes, and its files with it */
void flows_close(struct netlab *l, bool remove);

/*
 * flows_answer() - {"records":[{"seq","flow_log","line"}],"flow_logs":{NAME:{"fields":[]}},
 * "seq","more"} with the lines after "after" of log "log" ("VPC/L"; NULL: of all).
 * "close": ends the intervals first, so that all that has happened is in it.  "wait_ms":
 * how long to wait for a line if there is none.  0: "r" is or will be answered; -errno: "e"
 */
int flows_answer(struct netlab *l, struct http_req *r, const char *log, uint64_t after, bool close,
		 int64_t wait_ms, struct err *e);

/* the end of a file's path of a log, "LAB/NAME" below the state folder; of "show" */
struct flow_state {
	double records; /* lines since the daemon started */
	double interval_ms;
};
struct flow_state flows_state(const struct netlab *l, const char *id);

#endif
