/* SPDX-License-Identifier: MIT */
/*
 * reach - why packets are dropped: AWS's codes (REACH-1), each with the number
 * that a kernel's drop set and note set carry, the direction that is reported,
 * and whether the interface noted is the one a packet came from or goes to.
 */
#ifndef REACH_H
#define REACH_H

#include <stddef.h>

/* symbol, number, code, direction, which interface is noted.  Numbers are given out here and
 * nowhere else: a new one is the last one and one more; the compiler refuses one twice. */
#define REACH_DROPS(X)                                                                             \
	X(DROP_NO_ROUTE, 0x01, "NO_ROUTE_TO_DESTINATION", "egress", "iifname")                     \
	X(DROP_BAD_STATE_ROUTE, 0x02, "BAD_STATE_ROUTE", "egress", "iifname")                      \
	X(DROP_UNKNOWN_DESTINATION, 0x03, "UNKNOWN_DESTINATION", "egress", "iifname")              \
	X(DROP_ENI_ADDRESS, 0x04, "ENI_ADDRESS_RESTRICTION", "egress", "iifname")                  \
	X(DROP_SOURCE_DEST_CHECK, 0x05, "ENI_SOURCE_DEST_CHECK_RESTRICTION", "ingress", "oifname") \
	X(DROP_SG_EGRESS, 0x06, "ENI_SG_RULES_MISMATCH", "egress", "iifname")                      \
	X(DROP_SG_INGRESS, 0x07, "ENI_SG_RULES_MISMATCH", "ingress", "oifname")                    \
	X(DROP_SG_NONE_EGRESS, 0x08, "SG_HAS_NO_RULES", "egress", "iifname")                       \
	X(DROP_SG_NONE_INGRESS, 0x09, "SG_HAS_NO_RULES", "ingress", "oifname")                     \
	X(DROP_ACL_EGRESS, 0x0a, "SUBNET_ACL_RESTRICTION", "egress", "iifname")                    \
	X(DROP_ACL_INGRESS, 0x0b, "SUBNET_ACL_RESTRICTION", "ingress", "oifname")                  \
	X(DROP_IGW_NO_PUBLIC_IP, 0x0c, "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS", "egress",           \
	  "iifname")                                                                               \
	X(DROP_IGW_NOBODY, 0x0d, "IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS", "ingress", "iifname")   \
	X(DROP_IGW_TO_RFC1918, 0x0e, "IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS", "egress",    \
	  "iifname")                                                                               \
	X(DROP_IGW_TO_RFC6598, 0x0f, "IGW_DESTINATION_ADDRESS_NOT_IN_RFC6598_EGRESS", "egress",    \
	  "iifname")                                                                               \
	X(DROP_IGW_FROM_RFC1918, 0x10, "IGW_SOURCE_ADDRESS_NOT_IN_RFC1918_INGRESS", "ingress",     \
	  "iifname")                                                                               \
	X(DROP_IGW_FROM_RFC6598, 0x11, "IGW_SOURCE_ADDRESS_NOT_IN_RFC6598_INGRESS", "ingress",     \
	  "iifname")                                                                               \
	X(DROP_GATEWAY_SPOOFED, 0x12, "GATEWAY_REJECTS_SPOOFED_TRAFFIC", "ingress", "iifname")     \
	X(DROP_PROTOCOL, 0x13, "PROTOCOL_RESTRICTION", "egress", "iifname")                        \
	X(DROP_NO_POSSIBLE_DESTINATION, 0x14, "NO_POSSIBLE_DESTINATION", "ingress", "iifname")     \
	X(DROP_PORT_ALLOCATION, 0x15, "ErrorPortAllocation", "egress", "iifname")                  \
	X(DROP_NGW_SOURCE, 0x16, "NGW_REQUIRES_SOURCE_IN_VPC", "ingress", "iifname")               \
	X(DROP_EDGE_NO_PUBLIC_IP, 0x17, "INGRESS_RTB_NO_PUBLIC_IP", "ingress", "oifname")          \
	X(DROP_EDGE_REDIRECTION, 0x18, "INGRESS_RTB_TRAFFIC_REDIRECTION", "egress", "iifname")     \
	X(DROP_PEERING_EGRESS, 0x19, "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR", "egress", "iifname")      \
	X(DROP_PEERING_INGRESS, 0x1a, "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR", "ingress", "iifname")    \
	X(DROP_LINK_LOCAL_RATE, 0x1b, "linklocal_allowance_exceeded", "egress", "iifname")         \
	X(DROP_SG_REFERENCE_EGRESS, 0x1c, "SG_REFERENCES_NOT_PRESERVED", "egress", "iifname")      \
	X(DROP_SG_REFERENCE_INGRESS, 0x1d, "SG_REFERENCES_NOT_PRESERVED", "ingress", "oifname")    \
	X(DROP_TRACKING_FULL_EGRESS, 0x1e, "conntrack_allowance_exceeded", "egress", "iifname")    \
	X(DROP_TRACKING_FULL_INGRESS, 0x1f, "conntrack_allowance_exceeded", "ingress", "oifname")

enum reach_drop_number {
#define REACH_ENUM(sym, number, code, direction, field) sym = number,
	REACH_DROPS(REACH_ENUM)
#undef REACH_ENUM
};

struct reach_drop {
	unsigned number;
	const char *code;      /* "ENI_SG_RULES_MISMATCH" */
	const char *direction; /* "egress", "ingress" */
	const char *field;     /* "iifname", "oifname" */
	const char *chain;     /* "drop_ENI_SG_RULES_MISMATCH_out" */
};
/* NULL: no such number */
const struct reach_drop *reach_drop(unsigned number);

#endif
