/* SPDX-License-Identifier: MIT */
/*
 * flow_kind - what happened to the packets of an element of a router's set "flows", as
 * its key says it; shared by who writes the rules (compile_flow.c) and who reads the
 * set (flow_table.c).
 */
#ifndef FLOW_KIND_H
#define FLOW_KIND_H

#include <stdbool.h>

#define FLOW_SET_SIZE 262144 /* elements of one router; a full one makes SKIPDATA */
/* an idle element goes after this many s; it must have been read by then, so netd
 * reads each set at least three times as often */
#define FLOW_IDLE_S 90

/* the lowest bit: refused.  From 0x10 on: egress, the way in between */
enum flow_kind {
	FLOW_KIND_IN = 0x00,
	FLOW_KIND_IN_REJECT = 0x01,
	FLOW_KIND_OUT_LOST = 0x10, /* nowhere */
	FLOW_KIND_OUT_LOST_REJECT = 0x11,
	FLOW_KIND_OUT_VPC = 0x12,
	FLOW_KIND_OUT_VPC_REJECT = 0x13,
	FLOW_KIND_OUT_IGW = 0x14,
	FLOW_KIND_OUT_IGW_REJECT = 0x15,
	FLOW_KIND_OUT_PEERING = 0x16,
	FLOW_KIND_OUT_PEERING_REJECT = 0x17
};

static inline bool flow_kind_is_egress(enum flow_kind k)
{
	return k >= FLOW_KIND_OUT_LOST;
}

#endif
