/* SPDX-License-Identifier: MIT */
/*
 * flow_line - a record as AWS writes it: a flow log's fields in a row (FL-2 to FL-13).
 * Pure.
 */
#ifndef FLOW_LINE_H
#define FLOW_LINE_H

#include "lib/buf.h"
#include "netd/flow_table.h"
#include "topology/flow_field.h"

#define FLOW_ACCOUNT_ID_TEXT "123456789012"

/* what stands in a line; "count" NULL: no packets, "status" says why */
struct flow_line {
	const struct flow_format *format;
	const char *region;
	const struct flow_eni *eni;
	const struct flow_count *count;
	const char *status; /* "OK", "NODATA", "SKIPDATA" (FL-10) */
	int64_t start_ms, end_ms;
};

/* without newline; appends */
void flow_line_print(const struct flow_line *l, struct buf *b);
/* "us-east-1", "us-east-1b" -> "use1-az2" */
void flow_az_id(const char *region, const char *zone, char *ret, size_t size);

#endif
