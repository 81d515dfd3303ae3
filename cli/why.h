/* SPDX-License-Identifier: MIT */
/*
 * why - the model's answers to questions about a running lab (from netd, which has
 * its addresses) or a file (from here), for "why", "matrix" and reports.
 */
#ifndef CLI_WHY_H
#define CLI_WHY_H

#include "cli/cli.h"
#include "cli/source.h"
#include "lib/json.h"

/* "questions": an array of {"from","to","port","address"}; "ret": an answer or
 * {"error"} for each, in their order (owns); 0 or exit status, told */
int why_lab(struct cli *c, const char *lab, const cJSON *questions, cJSON **ret);
/* the same from a file alone; takes the lab out of "s", but for what places need */
int why_file(const struct cli *c, struct source *s, const cJSON *questions, cJSON **ret);
/* adds "file" to what has a place, and the line and column there: what netd says of a
 * lab's lines may be a document old, for an edit of rules alone reads nothing else */
void why_place(const struct source *s, cJSON *answers);

/* the question, or the probe, of a result's "expected"; owns */
cJSON *why_question(const cJSON *expected);
/* the results of probes that failed get their "why"; "s": where the lab comes from.
 * 0 or exit status, told */
int why_attach(struct cli *c, const char *lab, const struct source *s, cJSON *results);

#endif
