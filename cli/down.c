/* SPDX-License-Identifier: MIT */
/*
 * down - removes labs, whatever state they are in.
 */
#include "cli/down.h"

#include <stdint.h>
#include <stdio.h>

#include "cli/api.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "lib/util.h"

int down_lab(struct cli *c, const char *lab)
{
	auto_free char *path = api_lab_path(lab, "");
	struct api_request q = {
		.to = DAEMON_SANDBOXD,
		.method = "DELETE",
		.path = path,
		.wait_ms = API_WAIT_MS,
	};
	auto_json cJSON *answer = NULL;
	char what[200];
	double n;
	int r;

	if (!path)
		return out_no_memory(c);
	(void)snprintf(what, sizeof(what), "down %s", out_safe(lab));
	r = api_json(c, what, &q, &answer);
	n = r ? 0 : json_num(answer, "events_dropped", 0);
	if (n > 0)
		out_warn(c, "%s: %.0f accepted event%s dropped", out_safe(lab), n,
			 n > 1 ? "s are" : " is");
	return r;
}

/* every lab is tried; the first failure decides the status */
static int down_each(struct cli *c, const char *const *labs, size_t n, cJSON *gone)
{
	int r = 0, one;
	size_t i;

	for (i = 0; i < n; i++) {
		one = down_lab(c, labs[i]);
		if (!one)
			cJSON_AddItemToArray(gone, cJSON_CreateString(labs[i]));
		if (!one && !c->json && !c->quiet)
			printf("%s is down\n", out_safe(labs[i]));
		r = r ? r : one;
	}
	return r;
}

static int down_all(struct cli *c, cJSON *gone)
{
	auto_json cJSON *labs = NULL;
	const cJSON *lab;
	const char *name;
	int r, all = 0;

	r = api_get(c, "down --all", "/v1/labs", &labs);
	if (r)
		return r;
	cJSON_ArrayForEach(lab, labs) {
		name = json_str(lab, "lab", NULL);
		r = name ? down_each(c, &name, 1, gone) : 0;
		all = all ? all : r;
	}
	return all;
}

int down_everything(struct cli *c)
{
	auto_json cJSON *gone = cJSON_CreateArray();
	bool quiet = c->quiet;
	int r;

	c->quiet = true;
	r = down_all(c, gone);
	c->quiet = quiet;
	return r;
}

static int down(struct cli *c, const struct args *a)
{
	bool all = args_has(a, "all");
	cJSON *gone, *doc;
	int r;

	if (all == (a->n_words > 0))
		return out_fail_usage(c, "down: name the labs, or --all");
	gone = cJSON_CreateArray();
	r = all ? down_all(c, gone) : down_each(c, a->words, a->n_words, gone);
	if (r || !c->json) {
		cJSON_Delete(gone);
		return r ? r : out_done(c);
	}
	doc = cJSON_CreateObject();
	cJSON_AddItemToObject(doc, "deleted", gone);
	return out_json(c, doc);
}

static const struct arg_opt OPTS[] = {
	{ "all", 0, NULL, "every lab of this run directory" },
	{ 0 },
};

const struct verb VERB_DOWN = {
	.name = "down",
	.usage = "LAB... | --all",
	.summary = "remove labs, whatever state they are in; nothing of them stays",
	.opts = OPTS,
	.max_words = SIZE_MAX,
	.fn = down,
};
