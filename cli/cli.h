/* SPDX-License-Identifier: MIT */
/*
 * cli - what a verb is given, and the table that it stands in.
 *
 * A verb is one file with one "struct verb"; main.c lists them.  The command
 * line is the top band of errors: a function here that fails has told why
 * (out.h) and returns vpclab's exit status, which its caller just passes on;
 * 0 is success.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/args.h"

enum {
	EXIT_HELD = 0,	      /* done, all held */
	EXIT_FAILED = 1,      /* an expectation, or a function error */
	EXIT_USAGE = 2,	      /* usage, or an invalid lab file */
	EXIT_NOTHING = 3,     /* nothing to do the job on */
	EXIT_UNSUPPORTED = 4, /* this host or build can't */
	EXIT_OPERATION = 5,   /* the operation itself failed */
	EXIT_CANT_RUN = 125
};

struct loop;
struct httpc;

struct cli {
	char *run, *state; /* own; absolute */
	bool json;	   /* -o json */
	bool quiet, verbose, no_start;
	bool color_out, color_err;
	bool progress;	   /* standard error is a terminal, and not -q */
	struct loop *loop; /* owns; made by the first request (api.c) */
	struct httpc *httpc;
	bool checked;		  /* the daemons of "run" were there, or have been started */
	volatile int interrupted; /* the signal that asked us to end; 0: none */
};

struct verb {
	const char *name;
	const char *usage;	     /* "FILE..." */
	const char *summary;	     /* one line, for help */
	const char *more;	     /* NULL, or further lines for "help VERB" */
	const struct arg_opt *opts;  /* ends with a NULL name; NULL: none */
	size_t min_words, max_words; /* as in struct arg_spec */
	size_t command_after;
	int (*fn)(struct cli *c, const struct args *a);
};

/* NULL: there is none */
const struct verb *verb_find(const char *name);
/* the verbs in the manual's order; NULL past the last */
const struct verb *verb_nth(size_t n);
/* to standard output; NULL: the list of all */
void verb_help(const struct verb *v);

/* each file's verb */
extern const struct verb VERB_CHECK, VERB_PLAN, VERB_UP, VERB_PATCH, VERB_TEST, VERB_RUN, VERB_DOWN,
	VERB_LS, VERB_SHOW, VERB_EXEC, VERB_PROBE, VERB_WHY, VERB_MATRIX, VERB_INVOKE, VERB_LOGS,
	VERB_BILL, VERB_FLOWS, VERB_CAPTURE, VERB_GRAPH, VERB_EVENTS, VERB_ENV, VERB_GC,
	VERB_DOCTOR, VERB_DAEMON, VERB_INIT, VERB_COMPLETION, VERB_VERSION, VERB_HELP,
	VERB_COMPLETE;

#endif
