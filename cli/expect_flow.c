/* SPDX-License-Identifier: MIT */
/*
 * expect_flow - judging an expectation of a flow log's record: one that has every field
 * given must be there.
 */
#include <stdio.h>
#include <string.h>

#include "cli/expect.h"
#include "lib/mutant.h"

/* a port may be written as a number or as text */
static bool same_value(const cJSON *got, const cJSON *want)
{
	char a[40], b[40];

	if (cJSON_IsNull(got))
		return cJSON_IsString(want) && strcmp(want->valuestring, "-") == 0;
	if (!got)
		return false;
	(void)snprintf(a, sizeof(a), "%.15g", got->valuedouble);
	(void)snprintf(b, sizeof(b), "%.15g", want->valuedouble);
	return strcmp(cJSON_IsString(got) ? got->valuestring : a,
		      cJSON_IsString(want) ? want->valuestring : b) == 0;
}

/* how many of the fields it has; the action is one of them */
static int n_same(const struct expect *x, const cJSON *record)
{
	const char *action = json_str(record, "action", "");
	int n = strcmp(action, x->action) == 0 || MUTANT("expect-flow-action");
	const cJSON *want;

	cJSON_ArrayForEach(want, x->flow)
		n += same_value(json_get(record, want->string), want) ||
		     MUTANT("expect-flow-fields");
	return n;
}

/* the fields that no record of the log can have, since its format lacks them */
static void name_missing(const struct expect *x, const cJSON *record, struct expect_verdict *v)
{
	const cJSON *want;
	size_t len;

	cJSON_ArrayForEach(want, x->flow) {
		len = strlen(v->why);
		if (record && !json_get(record, want->string))
			(void)snprintf(v->why + len, sizeof(v->why) - len,
				       "; the log's format lacks %s", want->string);
	}
}

void expect_judge_flow(const struct expect_case *k, const cJSON *records,
		       struct expect_verdict *ret)
{
	const struct expect *x = k->x;
	const int all = cJSON_GetArraySize(x->flow) + 1;
	const cJSON *record, *nearest = NULL;
	int most = -1;

	*ret = (struct expect_verdict){ .ok = false };
	cJSON_ArrayForEach(record, records) {
		int n = n_same(x, record);

		if (n <= most)
			continue;
		most = n;
		nearest = record;
	}
	ret->got = nearest ? cJSON_Duplicate(nearest, true) : cJSON_CreateNull();
	ret->ok = most == all;
	if (ret->ok)
		return;
	if (nearest)
		(void)snprintf(ret->why, sizeof(ret->why),
			       "none of %d records has it all; the nearest has %d of %d fields",
			       cJSON_GetArraySize(records), most, all);
	else
		(void)snprintf(ret->why, sizeof(ret->why), "there is no record");
	name_missing(x, nearest, ret);
}
