/* SPDX-License-Identifier: MIT */
/*
 * probes - probes sent to sandboxd, in batches, and one result in words.
 */
#ifndef CLI_PROBES_H
#define CLI_PROBES_H

#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/json.h"

#define PROBES_BATCH_MAX 200

/* "probes": an array of {"from","to","port","address","timeout"}; "ret": an
 * array with a result or {"error"} for each, in their order (owns); 0 or exit
 * status, told */
int probes_run(struct cli *c, const char *lab, const cJSON *probes, cJSON **ret);

/* pure: "open in 0.4 ms; db saw 192.0.2.10", "timeout; dropped: CODE (ingress)" */
void probe_words(const cJSON *result, struct buf *b);

#endif
