/* SPDX-License-Identifier: MIT */
/*
 * up - creates a lab, or changes the running one to match its file.
 */
#include <stdio.h>

#include "cli/changes.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "cli/source.h"

static int print(const struct cli *c, cJSON *answer)
{
	if (c->json)
		return out_json(c, answer);
	out_progress(c, "%s", "");
	out_warnings(c, json_get(answer, "warnings"));
	if (c->verbose)
		changes_print(c, answer);
	if (!c->quiet)
		printf("%s is up: %s in %s\n", out_safe(json_str(answer, "lab", "?")),
		       changes_summary(answer), out_ms(json_num(answer, "took_ms", 0)));
	cJSON_Delete(answer);
	return out_done(c);
}

static int up(struct cli *c, const struct args *a)
{
	struct source s = { 0 };
	struct put p = { .s = &s, .strict = args_has(a, "strict") };
	cJSON *answer = NULL;
	int r;

	if (args_has(a, "bind"))
		return out_fail(c, ERR_UNSUPPORTED, "up: --bind: this build doesn't have it yet");
	if (!source_is_file(a->words[0]))
		return out_fail_usage(c,
				      "up: %s: not a FILE: it has no '/' and does not end in "
				      ".json",
				      a->words[0]);
	if (args_seconds(a, "timeout", 0.001, 86400, UP_TIMEOUT, &p.timeout) < 0)
		return out_fail_usage(c, "up: --timeout %s: not a number of seconds (0.001..86400)",
				      args_get(a, "timeout"));
	r = source_load(c, a->words[0], a, &s);
	if (!r) {
		p.lab = s.lab->name;
		out_progress(c, "bringing %s up ...", out_safe(p.lab));
		r = changes_put(c, &p, &answer);
	}
	if (!r)
		r = print(c, answer);
	source_done(&s);
	return r;
}

static const struct arg_opt OPTS[] = {
	SOURCE_OPTS,
	{ "timeout", 0, "SECONDS", "until every node is ready (60)" },
	{ "strict", 0, NULL, "warnings, and objects that come up failed, are errors" },
	{ "bind", 0, "[PID]", "the lab goes with that process (not in this build)" },
	{ 0 },
};

const struct verb VERB_UP = {
	.name = "up",
	.usage = "FILE",
	.summary = "create a lab, or change the running one to match its file",
	.more = "Only what differs is touched. On failure the lab is as it was.",
	.opts = OPTS,
	.min_words = 1,
	.max_words = 1,
	.fn = up,
};
