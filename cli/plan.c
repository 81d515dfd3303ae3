/* SPDX-License-Identifier: MIT */
/*
 * plan - what up would do with a lab file.
 */
#include <stdio.h>

#include "cli/changes.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "cli/source.h"

static void print_text(const struct cli *c, const struct source *s, const cJSON *answer)
{
	out_warnings(c, json_get(answer, "warnings"));
	changes_print(c, answer);
	if (!c->quiet)
		printf("%s: %s\n", out_safe(s->lab->name),
		       json_bool(answer, "changed", false) ? changes_summary(answer) :
							     "no changes");
}

static int plan(struct cli *c, const struct args *a)
{
	struct source s = { 0 };
	struct put p = { .s = &s, .timeout = UP_TIMEOUT };
	cJSON *answer = NULL;
	bool changed = false;
	int r;

	if (!source_is_file(a->words[0]))
		return out_fail_usage(c,
				      "plan: %s: not a FILE: it has no '/' and does not end in "
				      ".json",
				      a->words[0]);
	r = source_load(c, a->words[0], a, &s);
	if (!r) {
		p.lab = s.lab->name;
		r = changes_plan(c, &p, &answer);
	}
	if (!r) {
		changed = json_bool(answer, "changed", false);
		if (c->json) {
			r = out_json(c, answer);
			answer = NULL;
		} else {
			print_text(c, &s, answer);
			r = out_done(c);
		}
	}
	cJSON_Delete(answer);
	source_done(&s);
	return !r && changed && args_has(a, "exit-code") ? EXIT_FAILED : r;
}

static const struct arg_opt OPTS[] = {
	SOURCE_OPTS,
	{ "exit-code", 0, NULL, "1 if there is anything to change" },
	{ "strict", 0, NULL, "warnings are errors" },
	{ 0 },
};

const struct verb VERB_PLAN = {
	.name = "plan",
	.usage = "FILE",
	.summary = "what up would create, update, replace and delete; changes nothing",
	.opts = OPTS,
	.min_words = 1,
	.max_words = 1,
	.fn = plan,
};
