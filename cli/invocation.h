/* SPDX-License-Identifier: MIT */
/*
 * invocation - Lambda's Invoke API as a client: one call, or many of the same,
 * a number of them side by side.
 */
#ifndef CLI_INVOCATION_H
#define CLI_INVOCATION_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/cli.h"
#include "lib/http.h"

struct invocation {
	const char *lab, *function;
	const char *qualifier; /* NULL: none */
	const char *type;      /* "RequestResponse", "Event", "DryRun"; NULL: the first */
	bool tail;	       /* the log's last 4 KB come with the answer */
	const void *payload;
	size_t size;
	/* gets the body of an answer of status 2xx as it comes, AWS's event stream, and
	 * makes it InvokeWithResponseStream; NULL: Invoke */
	httpc_piece_fn piece;
	void *piece_arg;
};

/* one, blocking; an answer of any HTTP status is 0; "ret": httpc_answer_done() */
int invocation_run(struct cli *c, const struct invocation *i, struct httpc_answer *ret);
/* "n" of them, at most "parallel" at once; "ret" has room for n answers, each to
 * be given to httpc_answer_done() also on failure; "ret_ms" (n): how long each took */
int invocation_run_many(struct cli *c, const struct invocation *i, size_t n, size_t parallel,
			struct httpc_answer *ret, double *ret_ms);
/* the decoded log of an answer; NULL: it has none; caller frees */
char *invocation_log(const struct httpc_answer *a);

#endif
