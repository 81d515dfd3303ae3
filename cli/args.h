/* SPDX-License-Identifier: MIT */
/*
 * args - the words of a command line: options by getopt_long, before or after
 * the words they belong to; the options that every verb takes; and what follows
 * "--".  Pure: it prints nothing and ends nothing.
 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arg_opt {
	const char *name; /* "timeout" */
	char letter;	  /* 0: none */
	const char *arg;  /* "SECONDS"; "[PID]": a number, may be left out; NULL: a flag */
	const char *help;
};

#define ARG_OPTS_MAX 20 /* of a verb; more is a mistake of ours */

struct arg_spec {
	const char *verb;	     /* for messages; NULL: before the verb */
	const struct arg_opt *opts;  /* ends with a NULL name; NULL: none */
	size_t min_words, max_words; /* max 0: none, SIZE_MAX: any number */
	const char *usage;	     /* "FILE", "LAB NODE -- CMD..." */
	/* words after which the next one starts a command of its own, which is
	 * not read for options (exec LAB NODE CMD...); 0: no such thing */
	size_t command_after;
};

struct arg_value {
	const struct arg_opt *opt;
	const char *value; /* "" for a flag */
};

/* borrows from argv */
struct args {
	const char **words; /* owns the array */
	size_t n_words;
	struct arg_value *values; /* owns the array; in the order given */
	size_t n_values;
	char **rest; /* after "--"; NULL-terminated; NULL: none */
};

/* what every verb takes; ends with a NULL name */
extern const struct arg_opt ARG_GLOBALS[];

/*
 * args_parse() - reads argv[1..]; argv[0] is skipped.  With "spec"->verb NULL
 * it stops at the first word, whose place in argv is "ret_used".
 * Everything is read even after a mistake, so that a later "-o json" counts.
 * Returns 0; -EINVAL with the first mistake in "ret_why"; -ENOMEM.
 * "ret" is filled in either case: args_done().
 */
int args_parse(const struct arg_spec *spec, int argc, char **argv, struct args *ret, int *ret_used,
	       char *ret_why, size_t size);
void args_done(struct args *a);

/* the last value given; NULL: not given, "" for a flag */
const char *args_get(const struct args *a, const char *name);
bool args_has(const struct args *a, const char *name);
/* the "idx"-th time it was given; NULL past the end */
const char *args_nth(const struct args *a, const char *name, size_t idx);
/* a number in [min, max]: 0 and "ret" ("def" if not given); -EINVAL */
int args_number(const struct args *a, const char *name, uint64_t min, uint64_t max, uint64_t def,
		uint64_t *ret);
/* seconds, a fraction allowed: "0.5"; 0, -EINVAL */
int args_seconds(const struct args *a, const char *name, double min, double max, double def,
		 double *ret);
int parse_seconds(const char *s, double min, double max, double *ret);

#endif
