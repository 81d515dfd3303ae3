/* SPDX-License-Identifier: MIT */
/*
 * flow_records - the records of a lab's flow logs, as netd keeps them.
 */
#ifndef CLI_FLOW_RECORDS_H
#define CLI_FLOW_RECORDS_H

#include <stdint.h>

#include "cli/cli.h"
#include "lib/json.h"

struct flow_records {
	const char *lab;
	const char *log; /* "VPC/L"; NULL: all */
	uint64_t after;	 /* the number of the last one known */
	bool close;	 /* ends the intervals first */
	int64_t wait_ms; /* for a record, if there is none */
};

/* one answer: {"records","flow_logs","seq","more"}; owns.  0 or exit status, told */
int flow_records_get(struct cli *c, const struct flow_records *q, cJSON **ret);
/* a record of "answer" as an object: {"flow_log","version","srcaddr",...}, names with
 * "_", numbers as numbers, null for "-"; owns; NULL: no memory */
cJSON *flow_records_object(const cJSON *answer, const cJSON *record);

#endif
