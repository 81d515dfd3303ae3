/* SPDX-License-Identifier: MIT */
/*
 * flows - the records of flow logs, as AWS's lines or an object a line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/cli.h"
#include "cli/flow_records.h"
#include "cli/out.h"
#include "cli/select.h"
#include "lib/util.h"

#define POLL_MS 30000

static int print(const struct cli *c, const cJSON *answer)
{
	const cJSON *record;

	cJSON_ArrayForEach(record, json_get(answer, "records")) {
		if (c->json) {
			auto_json cJSON *o = flow_records_object(answer, record);
			auto_free char *text = o ? json_print(o) : NULL;

			if (!text)
				return out_no_memory(c);
			printf("%s\n", text);
		} else {
			printf("%s\n", out_safe(json_str(record, "line", "")));
		}
	}
	return out_done(c);
}

/* "L" or "VPC/L", as "show" takes it; "ret" owns */
static int full_name(struct cli *c, const char *lab, const char *word, char **ret)
{
	auto_free char *path = api_lab_path(lab, ""), *name = NULL;
	auto_json cJSON *show = NULL;
	const cJSON *vpc, *found = NULL;
	char what[120];
	size_t n = 0;
	int r;

	(void)snprintf(what, sizeof(what), "flows %s", out_safe(lab));
	r = path ? api_get(c, what, path, &show) : out_no_memory(c);
	if (r)
		return r;
	cJSON_ArrayForEach(vpc, json_get(show, "vpcs")) {
		const cJSON *at;

		cJSON_ArrayForEach(at, json_get(vpc, "flow_logs")) {
			const char *full = json_str(at, "name", "");

			if (strcmp(word, full) != 0 && strcmp(word, at->string) != 0)
				continue;
			found = at;
			n++;
		}
	}
	if (n != 1)
		return out_fail(c, ERR_NO_OBJECT, "flows: %s: %s", out_safe(word),
				n ? "several VPCs have it (VPC/L)" : "there is no such flow log");
	*ret = strdup(json_str(found, "name", ""));
	return *ret ? 0 : out_no_memory(c);
}

static int flows(struct cli *c, const struct args *a)
{
	struct flow_records q = { .lab = a->words[0], .close = args_has(a, "now") };
	auto_free char *log = NULL;
	bool follow = args_has(a, "follow");
	int r = a->n_words > 1 ? full_name(c, q.lab, a->words[1], &log) : 0;

	q.log = log;
	while (!r) {
		auto_json cJSON *answer = NULL;
		bool more;

		r = flow_records_get(c, &q, &answer);
		if (!r)
			r = print(c, answer);
		if (r)
			break;
		q.after = (uint64_t)json_num(answer, "seq", 0);
		more = cJSON_IsTrue(json_get(answer, "more"));
		if (!more && !follow)
			break;
		q.close = false;
		q.wait_ms = more ? 0 : POLL_MS;
	}
	return r;
}

static const struct arg_opt OPTS[] = {
	{ "follow", 'f', NULL, "then what comes, until it is interrupted" },
	{ "now", 0, NULL, "ends the current interval first: all that has happened is in it" },
	{ 0 },
};

const struct verb VERB_FLOWS = {
	.name = "flows",
	.usage = "LAB [L]",
	.summary = "records of flow logs, AWS's lines; -o json: an object a line",
	.opts = OPTS,
	.min_words = 1,
	.max_words = 2,
	.fn = flows,
};
