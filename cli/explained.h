/* SPDX-License-Identifier: MIT */
/*
 * explained - what the model says of a probe (topology/explain.h, as JSON) in
 * words, for "why" and for reports.  Pure.
 */
#ifndef CLI_EXPLAINED_H
#define CLI_EXPLAINED_H

#include "lib/buf.h"
#include "lib/json.h"

/*
 * One hop or decider: "security group main.db, ingress rule 1 (lab.json:31:17): tcp
 * 5432 from 0.0.0.0/0"; a code goes before it.  "o": {"component","kind","detail" or
 * "rule","code","file","line","column"}
 */
void explained_rule(const cJSON *o, struct buf *b);
/* what lets it through or stops it, and its name: "allowed", "denied"; NULL: neither */
const char *explained_deciding(const cJSON *part, struct buf *b);
/* may the target see "seen"?  The model names one address, and in "aliases" others that a
 * NAT gateway gives in turn */
bool explained_may_see(const cJSON *part, const char *seen);
/* the flows of an answer: its parts, or itself; an array that is the caller's */
cJSON *explained_parts(const cJSON *answer);

#endif
