/* SPDX-License-Identifier: MIT */
/*
 * ls - the labs of this run directory.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/api.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "lib/table.h"
#include "lib/util.h"

static const char *const HEADS[] = { "LAB",	   "STATE",   ">VPCS", ">NODES",
				     ">FUNCTIONS", "CREATED", NULL };

static void number(const cJSON *o, const char *key, char *ret, size_t size)
{
	(void)snprintf(ret, size, "%.0f", json_num(o, key, 0));
}

static void stamp(double ms, char *ret, size_t size)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	if (ms <= 0 || !localtime_r(&t, &tm) || !strftime(ret, size, "%F %T", &tm))
		(void)snprintf(ret, size, "-");
}

static int print(const struct cli *c, const cJSON *labs)
{
	struct table *t = table_new(HEADS, c->color_out);
	char vpcs[24], nodes[24], functions[24], created[32];
	const cJSON *lab;
	int r;

	if (!t)
		return out_no_memory(c);
	cJSON_ArrayForEach(lab, labs) {
		const char *state = json_str(lab, "state", "?");
		const char *cells[] = {
			json_str(lab, "lab", "?"), state, vpcs, nodes, functions, created
		};

		number(lab, "vpcs", vpcs, sizeof(vpcs));
		number(lab, "nodes", nodes, sizeof(nodes));
		number(lab, "functions", functions, sizeof(functions));
		stamp(json_num(lab, "created", 0), created, sizeof(created));
		if (table_add(t, cells) < 0)
			break; /* table_print() tells */
		table_color(t, 1,
			    !strcmp(state, "up")     ? "green" :
			    !strcmp(state, "failed") ? "red" :
						       "yellow");
	}
	r = table_print(t, stdout);
	table_free(t);
	return r < 0 ? out_no_memory(c) : out_done(c);
}

static int ls(struct cli *c, const struct args *a)
{
	cJSON *labs = NULL;
	int r = api_get(c, "ls", "/v1/labs", &labs);

	(void)a;
	if (r)
		return r;
	if (c->json)
		return out_json(c, labs);
	r = print(c, labs);
	cJSON_Delete(labs);
	return r;
}

const struct verb VERB_LS = {
	.name = "ls",
	.usage = "",
	.summary = "the labs of this run directory",
	.fn = ls,
};
