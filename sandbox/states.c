/* SPDX-License-Identifier: MIT */
/*
 * states - see states.h.
 */
#include "sandbox/states.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/mutant.h"
#include "lib/util.h"

/* LN-25 says the same of updates */
#define CREATING "The function is being created."

/* netd's reasons of a failed network, and what Invoke answers then (LN-40) */
static const struct {
	const char *code, *type;
} network[] = {
	{ "SubnetOutOfIPAddresses", "SubnetIPAddressLimitReachedException" },
	{ "EniLimitExceeded", "ENILimitReachedException" },
};

struct func_state states_of(const struct func *f)
{
	struct func_state s = { .state = "Active", .update = "Successful" };

	if (f->phase == FUNC_PENDING) {
		s = (struct func_state){ "Pending", "Creating", CREATING, NULL, NULL, NULL };
	} else if (*f->failed.code) {
		s = (struct func_state){ "Failed", f->failed.code, f->failed.reason,
					 "Failed", f->failed.code, f->failed.reason };
	} else if (f->phase == FUNC_UPDATING && !MUTANT("update-in-progress")) {
		s.update = "InProgress";
		s.update_code = "Creating";
		s.update_reason = CREATING;
	} else if (*f->update_failed.code) {
		s.update = "Failed";
		s.update_code = f->update_failed.code;
		s.update_reason = f->update_failed.reason;
	}
	return s;
}

static void set(struct func_failure *to, const char *code, const char *reason)
{
	(void)snprintf(to->code, sizeof(to->code), "%s", code);
	(void)snprintf(to->reason, sizeof(to->reason), "%s", reason);
}

void states_take(struct func *f, const cJSON *o)
{
	bool failed = !strcasecmp(json_str(o, "state", ""), "failed");

	set(&f->failed, failed ? json_str(o, "state_reason_code", "InternalError") : "",
	    failed ? json_str(o, "state_reason", "") : "");
	cJSON_Delete(f->places);
	f->places = cJSON_Duplicate(json_get(o, "places"), true);
}

void states_fail_update(struct func *f, const struct err *why)
{
	const char *code = why->code == ERR_NO_ADDRESS ? "SubnetOutOfIPAddresses" :
			   why->code == ERR_ENI_LIMIT  ? "EniLimitExceeded" :
							 "InternalError";

	if (!MUTANT("update-failed"))
		set(&f->update_failed, code, why->msg);
}

static void text(cJSON *o, const char *name, const char *value)
{
	if (value)
		cJSON_AddStringToObject(o, name, value);
}

void states_configuration(const struct func *f, cJSON *o)
{
	struct func_state s = states_of(f);

	text(o, "State", s.state);
	text(o, "StateReason", s.reason);
	text(o, "StateReasonCode", s.code);
	text(o, "LastUpdateStatus", s.update);
	text(o, "LastUpdateStatusReason", s.update_reason);
	text(o, "LastUpdateStatusReasonCode", s.update_code);
}

int states_refusal(const struct func *f, const char **ret_type, char *ret, size_t size)
{
	struct func_state s = states_of(f);
	size_t i;

	if (!strcmp(s.state, "Active") || (MUTANT("pending-invoke") && f->phase == FUNC_PENDING))
		return 0;
	for (i = 0; i < ARRAY_SIZE(network) && s.code; i++)
		if (!strcmp(network[i].code, s.code)) {
			*ret_type = network[i].type;
			(void)snprintf(ret, size, "%s", s.reason);
			return 502;
		}
	if (f->number && !strcmp(s.code ? s.code : "", STATES_OTHER_NETWORK)) {
		*ret_type = "UnsupportedOperation";
		(void)snprintf(ret, size, "%s", s.reason);
		return 501;
	}
	*ret_type = "ResourceConflictException";
	(void)snprintf(ret, size,
		       "The operation cannot be performed at this time. The function is currently "
		       "in the following state: %s",
		       s.state);
	return 409;
}
