/* SPDX-License-Identifier: MIT */
/*
 * report - test results in the forms that people and machines read.  The input
 * is the JSON of interface.md 4 ("test"), a lab each.  Pure.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <stdbool.h>

#include "lib/buf.h"
#include "lib/json.h"

/* counts "results" into "passed", "failed", "skipped" of the lab's document */
void report_count(cJSON *lab);
/* labs in an array -> {"labs":[...],"passed","failed","skipped"}; one lab: itself.
 * A new value; owns */
cJSON *report_json(const cJSON *labs);
/* a line a case, more for one that failed; "quiet": only those and no last line */
void report_text(const cJSON *lab, bool color, bool quiet, struct buf *b);
/* TAP version 14; a lab's name goes before the case's where there are several */
void report_tap(const cJSON *labs, struct buf *b);
/* JUnit XML, a testsuite a lab; as strict readers want it, tests/junit.xsd.  "started"
 * (UTC, YYYY-MM-DDTHH:MM:SS) and "host" of a lab are its timestamp and hostname */
void report_junit(const cJSON *labs, struct buf *b);

#endif
