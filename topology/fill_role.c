/* SPDX-License-Identifier: MIT */
/*
 * fill_role - execution roles: which actions they allow (LN-33..35), as far as
 * making network interfaces and sending events on is concerned.
 */
#include <fnmatch.h>
#include <string.h>
#include <strings.h>

#include "topology/fill.h"

/* AWS's managed policies that a function's role is likely to have, with those of
 * their actions that a lab asks for */
static const struct {
	const char *name;
	const char *actions[8];
} policies[] = {
	{ "AWSLambdaVPCAccessExecutionRole",
	  { "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
	    "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses",
	    "ec2:UnassignPrivateIpAddresses" } },
	/* the same without DescribeSubnets (LN-34) */
	{ "AWSLambdaENIManagementAccess",
	  { "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces",
	    "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses",
	    "ec2:UnassignPrivateIpAddresses" } },
	{ "AWSLambdaMSKExecutionRole",
	  { "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeVpcs",
	    "ec2:DeleteNetworkInterface", "ec2:DescribeSubnets", "ec2:DescribeSecurityGroups" } },
	{ "AdministratorAccess", { "*" } },
	{ "PowerUserAccess", { "*" } },
	{ "AmazonEC2FullAccess", { "ec2:*" } },
	{ "AWSLambdaBasicExecutionRole", { NULL } },
	{ "AWSLambdaDynamoDBExecutionRole", { NULL } },
	{ "AWSLambdaInvocation-DynamoDB", { NULL } },
	{ "AWSLambdaKinesisExecutionRole", { NULL } },
	{ "AWSLambdaRole", { "lambda:InvokeFunction" } },
	{ "AWSLambdaSQSQueueExecutionRole", { NULL } },
	{ "AWSLambda_FullAccess", { "lambda:*" } },
	{ "AWSLambda_ReadOnlyAccess", { NULL } },
	{ "AWSXRayDaemonWriteAccess", { NULL } },
	{ "AmazonDynamoDBFullAccess", { NULL } },
	{ "AmazonDynamoDBReadOnlyAccess", { NULL } },
	{ "AmazonRDSFullAccess", { NULL } },
	{ "AmazonS3FullAccess", { NULL } },
	{ "AmazonS3ReadOnlyAccess", { NULL } },
	{ "AmazonSNSFullAccess", { "sns:*" } },
	{ "AmazonSQSFullAccess", { "sqs:*" } },
	{ "AmazonSSMReadOnlyAccess", { NULL } },
	{ "CloudWatchLambdaInsightsExecutionRolePolicy", { NULL } },
	{ "SecretsManagerReadWrite", { NULL } },
};

/* "arn:aws:iam::aws:policy/service-role/NAME" is NAME */
static const char *bare_name(const char *policy)
{
	const char *slash = strncmp(policy, "arn:", 4) == 0 ? strrchr(policy, '/') : NULL;

	return slash ? slash + 1 : policy;
}

static const char *const *policy_actions(const char *policy)
{
	const char *name = bare_name(policy);

	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
		if (strcmp(policies[i].name, name) == 0)
			return policies[i].actions;
	return NULL;
}

bool fill_role_allows(const struct role *role, const char *action)
{
	for (size_t i = 0; i < role->actions.n; i++)
		if (fnmatch(role->actions.v[i], action, FNM_CASEFOLD) == 0)
			return true;
	for (size_t i = 0; i < role->managed_policies.n; i++) {
		const char *const *a = policy_actions(role->managed_policies.v[i]);

		for (; a && *a; a++)
			if (fnmatch(*a, action, FNM_CASEFOLD) == 0)
				return true;
	}
	return false;
}

void fill_roles(struct fill *f, const struct place *top)
{
	struct place map = place_member(top, "roles");
	size_t i = 0;

	PLACE_EACH(p, &map) {
		struct place list = place_member(&p, "managed_policies");
		struct role *role;

		if (i == f->lab->n_roles)
			break;
		role = &f->lab->roles[i++];
		role->managed_policies = read_strings(f->r, &p, "managed_policies");
		role->actions = read_strings(f->r, &p, "actions");
		PLACE_EACH(policy, &list)
			if (place_str(&policy) && !policy_actions(place_str(&policy)))
				hint(f->r, &policy, "managed-policy-unknown",
				     "\"%s\" isn't known here: it is taken to allow nothing of EC2",
				     place_str(&policy));
	}
}
