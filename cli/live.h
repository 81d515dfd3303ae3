/* SPDX-License-Identifier: MIT */
/*
 * live - a probe whose packets the kernel traces: which rules they met, hop by hop, and
 * what became of their addresses; for "why --live".
 */
#ifndef CLI_LIVE_H
#define CLI_LIVE_H

#include "cli/cli.h"
#include "cli/source.h"
#include "lib/buf.h"
#include "lib/json.h"

#define LIVE_TIMEOUT_MAX 20 /* seconds of silence that a traced probe waits for */

/* "question" as why_lab()'s, with "timeout"; "ret" (owns): the probe's result or {"error"},
 * with a "trail" (netd/trail.h) in it or in each of its "parts"; 0 or exit status, told */
int live_probe(struct cli *c, const char *lab, const cJSON *question, cJSON **ret);
/* rules that are objects of the file get "file", "line" and "column" */
void live_place(const struct source *s, cJSON *result);

/* pure: does the model say what was measured? "answer" is its, of the same question */
bool live_agrees(const cJSON *answer, const cJSON *result);
/* pure: result and trails in words; "all": also rules that decided nothing */
void live_words(const cJSON *result, bool all, struct buf *b);

#endif
