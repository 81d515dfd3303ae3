/* SPDX-License-Identifier: MIT */
/*
 * flow_field - the fields that a flow log's line can have (FL-2, FL-3), and the
 * format that puts them in a row.  Pure.
 */
#ifndef FLOW_FIELD_H
#define FLOW_FIELD_H

#include <stddef.h>

#define FLOW_FIELDS_MAX 64 /* of one line */

/* symbol, AWS's name, the version that has it */
#define FLOW_FIELDS(X)                                                \
	X(FLOW_VERSION, "version", 2)                                 \
	X(FLOW_ACCOUNT_ID, "account-id", 2)                           \
	X(FLOW_INTERFACE_ID, "interface-id", 2)                       \
	X(FLOW_SRCADDR, "srcaddr", 2)                                 \
	X(FLOW_DSTADDR, "dstaddr", 2)                                 \
	X(FLOW_SRCPORT, "srcport", 2)                                 \
	X(FLOW_DSTPORT, "dstport", 2)                                 \
	X(FLOW_PROTOCOL, "protocol", 2)                               \
	X(FLOW_PACKETS, "packets", 2)                                 \
	X(FLOW_BYTES, "bytes", 2)                                     \
	X(FLOW_START, "start", 2)                                     \
	X(FLOW_END, "end", 2)                                         \
	X(FLOW_ACTION, "action", 2)                                   \
	X(FLOW_LOG_STATUS, "log-status", 2)                           \
	X(FLOW_VPC_ID, "vpc-id", 3)                                   \
	X(FLOW_SUBNET_ID, "subnet-id", 3)                             \
	X(FLOW_INSTANCE_ID, "instance-id", 3)                         \
	X(FLOW_TCP_FLAGS, "tcp-flags", 3)                             \
	X(FLOW_TYPE, "type", 3)                                       \
	X(FLOW_PKT_SRCADDR, "pkt-srcaddr", 3)                         \
	X(FLOW_PKT_DSTADDR, "pkt-dstaddr", 3)                         \
	X(FLOW_REGION, "region", 4)                                   \
	X(FLOW_AZ_ID, "az-id", 4)                                     \
	X(FLOW_SUBLOCATION_TYPE, "sublocation-type", 4)               \
	X(FLOW_SUBLOCATION_ID, "sublocation-id", 4)                   \
	X(FLOW_PKT_SRC_AWS_SERVICE, "pkt-src-aws-service", 5)         \
	X(FLOW_PKT_DST_AWS_SERVICE, "pkt-dst-aws-service", 5)         \
	X(FLOW_FLOW_DIRECTION, "flow-direction", 5)                   \
	X(FLOW_TRAFFIC_PATH, "traffic-path", 5)                       \
	X(FLOW_ECS_CLUSTER_ARN, "ecs-cluster-arn", 7)                 \
	X(FLOW_ECS_CLUSTER_NAME, "ecs-cluster-name", 7)               \
	X(FLOW_ECS_INSTANCE_ARN, "ecs-container-instance-arn", 7)     \
	X(FLOW_ECS_INSTANCE_ID, "ecs-container-instance-id", 7)       \
	X(FLOW_ECS_CONTAINER_ID, "ecs-container-id", 7)               \
	X(FLOW_ECS_SECOND_CONTAINER_ID, "ecs-second-container-id", 7) \
	X(FLOW_ECS_SERVICE_NAME, "ecs-service-name", 7)               \
	X(FLOW_ECS_TASK_DEFINITION_ARN, "ecs-task-definition-arn", 7) \
	X(FLOW_ECS_TASK_ARN, "ecs-task-arn", 7)                       \
	X(FLOW_ECS_TASK_ID, "ecs-task-id", 7)                         \
	X(FLOW_REJECT_REASON, "reject-reason", 8)

enum flow_field {
#define FLOW_ENUM(sym, name, version) sym,
	FLOW_FIELDS(FLOW_ENUM)
#undef FLOW_ENUM
		FLOW_N_FIELDS
};

struct flow_format {
	enum flow_field fields[FLOW_FIELDS_MAX];
	size_t n_fields;
	unsigned version; /* that a line says: the highest one used (FL-3) */
};

const char *flow_field_name(enum flow_field f);
/* -ENOENT: no such field; "size" characters at "name" */
int flow_field_find(const char *name, size_t size, enum flow_field *ret);
/* AWS's default, version 2 */
extern const char flow_format_default[];
/*
 * flow_format_parse() - "${version} ${srcaddr} ...", fields separated by one blank.
 * 0; -EINVAL: no such form, -ENOENT: no such field, -E2BIG: too many or one twice.  Then
 * "ret_at" and "ret_size" say which part of "text" it is; "ret" is undefined.
 */
int flow_format_parse(const char *text, struct flow_format *ret, size_t *ret_at, size_t *ret_size);

#endif
