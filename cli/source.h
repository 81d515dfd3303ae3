/* SPDX-License-Identifier: MIT */
/*
 * source - the lab file that a verb was given: read, patched (--merge), renamed
 * (--lab), checked here before any daemon hears of it.
 */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include "cli/cli.h"
#include "lib/json.h"
#include "topology/lab.h"

/* the options that go with a file, for a verb's table */
#define SOURCE_OPTS                                                                     \
	{ "lab", 0, "NAME", "takes the place of the file's \"lab\"" },                  \
	{                                                                               \
		"merge", 0, "FILE|JSON", "a merge patch over the file; may be repeated" \
	}

struct source {
	char *file; /* owns; as given: "-" is standard input */
	char *text; /* owns; what a daemon is sent */
	size_t size;
	char *base;	      /* owns; absolute: what relative paths count from */
	struct lab *lab;      /* owns; NULL with errors */
	struct issues issues; /* owns; file and position are those of the file or patch at fault */
	struct source_doc *docs; /* owns; the file and its patches, where there are patches */
	size_t n_docs;
};

/* a FILE rather than a LAB: "-", or has a '/', or ends in ".json" */
bool source_is_file(const char *word);
/*
 * source_open() - reads "file", applies --merge and --lab of "a" (may be NULL)
 * and checks it.  0 also when the file has
 * faults: they are in "ret"->issues then and ->lab is NULL.  Else the exit
 * status (it was told).  source_done() in either case.
 */
int source_open(const struct cli *c, const char *file, const struct args *a, struct source *ret);
/* the same, where a fault of the file is told and ends the verb; warnings too with --strict */
int source_load(const struct cli *c, const char *file, const struct args *a, struct source *ret);
/*
 * source_load_lab() - the same for the document of a lab as it runs ("text" is
 * copied; its faults are named by "lab").  --merge may bring other expectations
 * and scenarios and nothing else: a lab that is looked at isn't changed.
 */
int source_load_lab(const struct cli *c, const char *lab, const char *text, size_t size,
		    const struct args *a, struct source *ret);
/* the same, asked for; "verb" is who asks, for messages */
int source_of_lab(struct cli *c, const char *verb, const char *lab, const struct args *a,
		  struct source *ret);
/*
 * source_patch() - "document", that of a running lab of that name, with a merge
 * patch over it.  "base": what its relative paths count from; NULL: none is known.
 * All are copied.  0 or exit status, told; source_done() in either case.
 */
struct source_text {
	const char *name; /* for messages; the lab's for a document */
	const char *text; /* NUL-terminated */
	size_t size;
};
int source_patch(const struct cli *c, const struct source_text *document, const char *base,
		 const struct source_text *patch, struct source *ret);
/* a file, or standard input for "-", as it is; "ret" owned by the caller.  0 or
 * exit status, told */
int source_text(const struct cli *c, const char *file, char **ret, size_t *ret_size);
void source_done(struct source *s);
/* warnings as JSON; owns; NULL: no memory */
cJSON *source_warnings(const struct source *s);

/* where a value of the merged document was written: in the last patch that has it,
 * else in the file; left alone where neither is known */
void source_place(const struct source *s, const char *path, const char **ret_file,
		  struct json_pos *ret_pos);

/* pure, for tests: where "path" (vpcs.main.routes["0.0.0.0/0"], a[0].b) leads
 * from "root"; the deepest value that is there, and in "ret_depth" how many
 * steps that took; "ret_whole": it is all of the path */
const cJSON *source_find(const cJSON *root, const char *path, size_t *ret_depth, bool *ret_whole);

#endif
