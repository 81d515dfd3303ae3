/* SPDX-License-Identifier: MIT */
/*
 * flow_kind - how a router's rules count for flow logs, shared by who writes the rules
 * (compile_flow.c) and who reads what they count (flow_read.c, flow_table.c).
 *
 * There are two sets of flows, and two of interfaces whose flows found the first full.
 * A packet goes into the second ones while FLOW_SECOND has an element, else into the
 * first.  So what is to be read isn't written any more, and stays where it is until it
 * was read: nothing is lost between reading and emptying, nothing counted twice.
 */
#ifndef FLOW_KIND_H
#define FLOW_KIND_H

#include <stdbool.h>

#define FLOW_TABLE "ip vpc"
#define FLOW_SECOND "flow_second" /* a set: which are written, "" or FLOW_SECOND_ELEM */
#define FLOW_SECOND_ELEM "ipv4"
#define FLOW_SETS "flows_%u" /* 1 and 2 */
#define FLOW_SKIPS "flow_skips_%u"
#define FLOW_SET_SIZE 262144 /* elements of each; a full one makes SKIPDATA */
/* an idle element goes after this many s, read or not; far more than netd takes to come
 * and read it, as long as there is a netd */
#define FLOW_IDLE_S 3600

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
