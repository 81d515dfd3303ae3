/* SPDX-License-Identifier: MIT */
/*
 * check - lab files are valid, or every fault is told.  Needs no daemon.
 */
#include <stdint.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/out.h"
#include "cli/source.h"

struct tally {
	cJSON *errors, *warnings; /* own */
	int status;
};

static void move_all(cJSON *from, const char *member, cJSON *to)
{
	cJSON *list = cJSON_GetObjectItemCaseSensitive(from, member), *item;

	while (list && list->child) {
		item = cJSON_DetachItemViaPointer(list, list->child);
		cJSON_AddItemToArray(to, item);
	}
}

static void tell(const struct cli *c, const struct source *s, const cJSON *doc, bool strict)
{
	size_t n = s->issues.n_warnings;

	if (!s->lab || strict)
		(void)out_fail_issues(c, s->file, &s->issues); /* prints; the status is ours */
	else
		out_warnings(c, json_get(doc, "warnings"));
	if (!s->lab || (strict && n) || c->quiet)
		return;
	if (n)
		printf("%s: valid, %zu warning%s\n", out_safe(s->file), n, n == 1 ? "" : "s");
	else
		printf("%s: valid\n", out_safe(s->file));
}

static int check_one(const struct cli *c, const char *file, const struct args *a, struct tally *t)
{
	bool strict = args_has(a, "strict");
	auto_json cJSON *doc = NULL;
	struct source s;
	int r = source_open(c, file, a, &s), status;

	if (!r) {
		status = issues_exit(&s.issues);
		if (!status && strict && s.issues.n_warnings)
			status = EXIT_USAGE;
		if (status && t->status != EXIT_USAGE)
			t->status = status;
		doc = issues_json(&s.issues);
		if (!doc)
			r = out_no_memory(c);
		else if (!c->json)
			tell(c, &s, doc, strict);
		move_all(doc, "errors", t->errors);
		move_all(doc, "warnings", strict ? t->errors : t->warnings);
	}
	source_done(&s);
	return r;
}

static int check(struct cli *c, const struct args *a)
{
	struct tally t = { .errors = cJSON_CreateArray(), .warnings = cJSON_CreateArray() };
	cJSON *doc;
	size_t i;
	int r = 0;

	for (i = 0; i < a->n_words && !r; i++) {
		r = check_one(c, a->words[i], a, &t);
		if (r && !c->json) { /* told; the other files' errors are wanted, too */
			t.status = r;
			r = 0;
		}
	}
	if (r || !c->json) {
		cJSON_Delete(t.errors);
		cJSON_Delete(t.warnings);
		return r ? r : t.status ? t.status : out_done(c);
	}
	doc = cJSON_CreateObject();
	cJSON_AddBoolToObject(doc, "valid", !t.status);
	cJSON_AddItemToObject(doc, "errors", t.errors);
	cJSON_AddItemToObject(doc, "warnings", t.warnings);
	r = out_json(c, doc);
	return r ? r : t.status;
}

static const struct arg_opt OPTS[] = {
	SOURCE_OPTS,
	{ "strict", 0, NULL, "warnings are errors" },
	{ 0 },
};

const struct verb VERB_CHECK = {
	.name = "check",
	.usage = "FILE...",
	.summary = "validate lab files: all errors and warnings, without a daemon",
	.opts = OPTS,
	.min_words = 1,
	.max_words = SIZE_MAX,
	.fn = check,
};
