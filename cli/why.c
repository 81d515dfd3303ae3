/* SPDX-License-Identifier: MIT */
/*
 * why - the verb, and the questions that others have for the model.
 */
#include "cli/why.h"

#include <stdio.h>
#include <string.h>

#include "cli/api.h"
#include "cli/explained.h"
#include "cli/live.h"
#include "cli/out.h"
#include "lib/util.h"
#include "topology/explain.h"

/* ---- asking ---- */

static int ask_batch(struct cli *c, const char *lab, cJSON *batch, cJSON *answers)
{
	auto_free char *path = api_lab_path(lab, "/why");
	auto_json cJSON *body = cJSON_CreateObject(), *answer = NULL;
	auto_free char *text = NULL;
	const char *const headers[] = { "Content-Type: application/json", NULL };
	struct api_request q = {
		.to = DAEMON_NETD,
		.method = "POST",
		.path = path,
		.headers = headers,
		.wait_ms = API_WAIT_MS,
	};
	int n = cJSON_GetArraySize(batch), i, r;
	cJSON *list;
	char what[120];

	cJSON_AddItemToObject(body, "questions", batch);
	text = json_print(body);
	if (!path || !text)
		return out_no_memory(c);
	q.body = text;
	q.size = strlen(text);
	(void)snprintf(what, sizeof(what), "why %s", out_safe(lab));
	r = api_json(c, what, &q, &answer);
	if (r)
		return r;
	list = cJSON_GetObjectItemCaseSensitive(answer, "answers");
	if (cJSON_GetArraySize(list) != n)
		return out_fail(c, ERR_UNAVAILABLE, "%s: %d questions, but %d answers", what, n,
				cJSON_GetArraySize(list));
	for (i = 0; i < n; i++)
		cJSON_AddItemToArray(answers, cJSON_DetachItemViaPointer(list, list->child));
	return 0;
}

int why_lab(struct cli *c, const char *lab, const cJSON *questions, cJSON **ret)
{
	cJSON *answers = cJSON_CreateArray(), *batch;
	const cJSON *q = questions->child;
	int r = 0, n;

	while (q && !r) {
		batch = cJSON_CreateArray();
		for (n = 0; q && n < EXPLAIN_QUESTIONS_MAX; n++, q = q->next)
			cJSON_AddItemToArray(batch, cJSON_Duplicate(q, true));
		r = ask_batch(c, lab, batch, answers); /* takes the batch */
	}
	if (r) {
		cJSON_Delete(answers);
		return r;
	}
	*ret = answers;
	return 0;
}

int why_file(const struct cli *c, struct source *s, const cJSON *questions, cJSON **ret)
{
	struct store *store = NULL;
	struct err e = { 0 };

	/* ids play no part in answers, so any seed does */
	if (store_commit(NULL, steal_ptr(&s->lab), "file", NULL, &store, NULL, &e) < 0)
		return out_fail_err(c, &e);
	*ret = explain_answers(store, questions);
	store_free(store);
	return *ret ? 0 : out_no_memory(c);
}

/* ---- places ---- */

static void place(const struct source *s, cJSON *o)
{
	const char *path = json_str(o, "path", NULL), *file = s->file;
	struct json_pos pos = { (unsigned)json_num(o, "line", 0),
				(unsigned)json_num(o, "column", 0) };

	if (!path || !pos.line)
		return;
	source_place(s, path, &file, &pos);
	cJSON_AddStringToObject(o, "file", file);
	cJSON_ReplaceItemInObjectCaseSensitive(o, "line", cJSON_CreateNumber(pos.line));
	cJSON_ReplaceItemInObjectCaseSensitive(o, "column", cJSON_CreateNumber(pos.column));
}

static void place_part(const struct source *s, cJSON *part)
{
	cJSON *hop;

	place(s, cJSON_GetObjectItemCaseSensitive(part, "decided_by"));
	place(s, cJSON_GetObjectItemCaseSensitive(part, "allowed_by"));
	cJSON_ArrayForEach(hop, json_get(part, "hops"))
		place(s, hop);
}

void why_place(const struct source *s, cJSON *answers)
{
	cJSON *answer, *part;

	cJSON_ArrayForEach(answer, answers) {
		place_part(s, answer);
		cJSON_ArrayForEach(part, json_get(answer, "parts"))
			place_part(s, part);
	}
}

/* ---- reports ---- */

static bool wants_why(const cJSON *result)
{
	return !json_bool(result, "ok", false) && cJSON_IsNull(json_get(result, "why")) &&
	       json_str(json_get(result, "expected"), "from", NULL);
}

cJSON *why_question(const cJSON *expected)
{
	static const char *const members[] = { "from", "to", "port", "address" };
	cJSON *q = cJSON_CreateObject();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(members); i++)
		if (json_str(expected, members[i], NULL))
			cJSON_AddStringToObject(q, members[i], json_str(expected, members[i], ""));
	return q;
}

int why_attach(struct cli *c, const char *lab, const struct source *s, cJSON *results)
{
	auto_json cJSON *questions = cJSON_CreateArray(), *answers = NULL;
	cJSON *result;
	const cJSON *answer;
	int r;

	cJSON_ArrayForEach(result, results)
		if (wants_why(result))
			cJSON_AddItemToArray(questions, why_question(json_get(result, "expected")));
	if (!questions->child)
		return 0;
	r = why_lab(c, lab, questions, &answers);
	if (r)
		return r;
	why_place(s, answers);
	answer = answers->child;
	cJSON_ArrayForEach(result, results) {
		if (!wants_why(result) || !answer)
			continue;
		if (!json_get(answer, "error"))
			cJSON_ReplaceItemInObjectCaseSensitive(result, "why",
							       explained_parts(answer));
		answer = answer->next;
	}
	return 0;
}

/* ---- the verb ---- */

static void print_part(const cJSON *part, bool several)
{
	auto_buf struct buf b = BUF_INIT, safe = BUF_INIT, rule = BUF_INIT;
	const char *seen = json_str(part, "seen_as", NULL), *word;
	const cJSON *hop, *alias;

	if (several)
		buf_printf(&b, "%s: ", json_str(part, "interface", "?"));
	buf_printf(&b, "%s", json_str(part, "result", "?"));
	if (seen)
		buf_printf(&b, ", seen as %s", seen);
	cJSON_ArrayForEach(alias, json_get(part, "aliases"))
		buf_printf(&b, " or %s", alias->valuestring);
	if (json_bool(part, "varies", false))
		buf_adds(&b, " (with another of the NAT gateway's addresses it ends otherwise)");
	if (json_bool(part, "assumed", false))
		buf_adds(&b, " (its command may listen all the same)");
	buf_printf(&b, "\npath      %s\n", json_str(part, "path", ""));
	cJSON_ArrayForEach(hop, json_get(part, "hops")) {
		if (!strcmp(json_str(hop, "action", ""), "drop"))
			continue; /* the last line says it */
		buf_printf(&b, "%-10s", json_str(hop, "action", "?"));
		explained_rule(hop, &b);
		buf_adds(&b, "\n");
	}
	word = explained_deciding(part, &rule);
	if (word)
		buf_printf(&b, "%-10s%s\n", word, buf_str(&rule));
	out_escape(&safe, buf_str(&b), b.len, true);
	printf("%s", buf_str(&safe));
}

/* "result": of a probe with --live; NULL */
static int print_live(const struct cli *c, const cJSON *answer, const cJSON *result)
{
	auto_buf struct buf b = BUF_INIT, safe = BUF_INIT;

	live_words(result, c->verbose, &b);
	buf_printf(&b, "the model %s\n", live_agrees(answer, result) ? "agrees" : "says otherwise");
	out_escape(&safe, buf_str(&b), b.len, true);
	printf("%s", buf_str(&safe));
	return out_done(c);
}

static int print(const struct cli *c, const cJSON *answer, const cJSON *result)
{
	const cJSON *part, *error = json_get(answer, "error");

	if (!error)
		error = json_get(result, "error");
	if (error)
		return out_fail_api(c, "why", 500, error);
	if (c->json) {
		cJSON *o = cJSON_Duplicate(answer, true);

		if (result) {
			cJSON_AddItemToObject(o, "live", cJSON_Duplicate(result, true));
			cJSON_AddBoolToObject(o, "agrees", live_agrees(answer, result));
		}
		return out_json(c, o);
	}
	if (!json_get(answer, "parts"))
		print_part(answer, false);
	cJSON_ArrayForEach(part, json_get(answer, "parts"))
		print_part(part, true);
	return result ? print_live(c, answer, result) : out_done(c);
}

static int check_args(const struct cli *c, const struct args *a, double *ret_timeout)
{
	const char *address = args_get(a, "address");
	struct port port;

	if (args_has(a, "live") && source_is_file(a->words[0]))
		return out_fail_usage(c, "why: --live takes a LAB that is up, not a FILE");
	if (args_has(a, "timeout") && !args_has(a, "live"))
		return out_fail_usage(c, "why: --timeout goes with --live");
	if (args_seconds(a, "timeout", 0.01, LIVE_TIMEOUT_MAX, 1, ret_timeout) < 0)
		return out_fail_usage(c, "why: --timeout %s: not a number of seconds (0.01..%d)",
				      args_get(a, "timeout"), LIVE_TIMEOUT_MAX);
	if (port_parse(a->words[3], &port) < 0)
		return out_fail_usage(c, "why: %s: not a port (tcp/N, udp/N, icmp)", a->words[3]);
	if (address && strcmp(address, "private") && strcmp(address, "public"))
		return out_fail_usage(c, "why: --address %s: private or public", address);
	if (!source_is_file(a->words[0]) && (args_has(a, "lab") || args_has(a, "merge")))
		return out_fail_usage(c, "why: --lab and --merge go with a FILE");
	return 0;
}

static int why(struct cli *c, const struct args *a)
{
	auto_json cJSON *questions = cJSON_CreateArray(), *answers = NULL, *result = NULL;
	static const char *const members[] = { NULL, "from", "to", "port" };
	struct source s = { 0 };
	cJSON *q = cJSON_CreateObject();
	double timeout = 0;
	size_t i;
	int r = check_args(c, a, &timeout);

	cJSON_AddItemToArray(questions, q);
	for (i = 1; i < ARRAY_SIZE(members); i++)
		cJSON_AddStringToObject(q, members[i], a->words[i]);
	if (args_has(a, "address"))
		cJSON_AddStringToObject(q, "address", args_get(a, "address"));
	if (!r && source_is_file(a->words[0])) {
		r = source_load(c, a->words[0], a, &s);
		if (!r)
			r = why_file(c, &s, questions, &answers);
	} else if (!r) {
		r = why_lab(c, a->words[0], questions, &answers);
		if (!r)
			r = source_of_lab(c, "why", a->words[0], a, &s);
	}
	if (!r && args_has(a, "live") && !json_get(answers->child, "error")) {
		cJSON_AddNumberToObject(q, "timeout", timeout);
		r = live_probe(c, a->words[0], q, &result);
	}
	if (!r) {
		why_place(&s, answers);
		live_place(&s, result);
		r = print(c, answers->child, result);
	}
	source_done(&s);
	return r;
}

static const struct arg_opt OPTS[] = {
	SOURCE_OPTS,
	{ "address", 0, "KIND", "which of the target's: private or public" },
	{ "live", 0, NULL, "sends the packet, and shows the rules that it meets in the kernel" },
	{ "timeout", 0, "SECONDS", "with --live: silence that counts (1)" },
	{ 0 },
};

const struct verb VERB_WHY = {
	.name = "why",
	.usage = "LAB|FILE FROM TO PORT",
	.summary =
		"what the model says: hop by hop, and which line decides; --live: and the kernel",
	.opts = OPTS,
	.min_words = 4,
	.max_words = 4,
	.fn = why,
};
