/* SPDX-License-Identifier: MIT */
/*
 * live - see live.h.
 */
#include "cli/live.h"

#include <stdio.h>
#include <string.h>

#include "cli/api.h"
#include "cli/out.h"
#include "cli/probes.h"
#include "lib/mutant.h"
#include "lib/util.h"

#define PATIENCE_MS 60000

int live_probe(struct cli *c, const char *lab, const cJSON *question, cJSON **ret)
{
	auto_free char *path = api_lab_path(lab, "/probes"), *text = NULL;
	auto_json cJSON *body = cJSON_CreateObject(), *answer = NULL;
	const char *const headers[] = { "Content-Type: application/json", NULL };
	struct api_request q = {
		.to = DAEMON_SANDBOXD, .method = "POST", .path = path, .headers = headers
	};
	cJSON *list = cJSON_AddArrayToObject(body, "probes");
	char what[120];
	int r;

	cJSON_AddItemToArray(list, cJSON_Duplicate(question, true));
	cJSON_AddBoolToObject(body, "trace", true);
	text = json_print(body);
	if (!path || !text)
		return out_no_memory(c);
	q.body = text;
	q.size = strlen(text);
	q.wait_ms = (int64_t)(json_num(question, "timeout", 1) * 1000) + PATIENCE_MS;
	(void)snprintf(what, sizeof(what), "why %s --live", out_safe(lab));
	r = api_json(c, what, &q, &answer);
	if (r)
		return r;
	list = cJSON_GetObjectItemCaseSensitive(answer, "results");
	if (cJSON_GetArraySize(list) != 1)
		return out_fail(c, ERR_UNAVAILABLE, "%s: no result came", what);
	*ret = cJSON_DetachItemViaPointer(list, list->child);
	return 0;
}

/* ---- places ---- */

static void place_trail(const struct source *s, cJSON *trail)
{
	cJSON *hop, *rule;

	cJSON_ArrayForEach(hop, json_get(trail, "hops"))
		cJSON_ArrayForEach(rule, json_get(hop, "rules")) {
			const char *path = json_str(rule, "path", NULL), *file = NULL;
			struct json_pos pos = { 0 };

			if (path)
				source_place(s, path, &file, &pos);
			if (!file || !pos.line)
				continue;
			cJSON_AddStringToObject(rule, "file", file);
			cJSON_AddNumberToObject(rule, "line", pos.line);
			cJSON_AddNumberToObject(rule, "column", pos.column);
		}
}

void live_place(const struct source *s, cJSON *result)
{
	cJSON *part;

	place_trail(s, cJSON_GetObjectItemCaseSensitive(result, "trail"));
	cJSON_ArrayForEach(part, json_get(result, "parts"))
		place_trail(s, cJSON_GetObjectItemCaseSensitive(part, "trail"));
}

/* ---- the model ---- */

static bool part_agrees(const cJSON *said, const cJSON *got)
{
	const char *code = json_str(json_get(said, "decided_by"), "code", NULL);
	const char *dropped = json_str(json_get(got, "dropped"), "code", NULL);

	if (json_bool(said, "varies", false))
		return true; /* whichever it is, the model says so */
	if (strcmp(json_str(said, "result", ""), json_str(got, "result", "-")) != 0)
		return false;
	return !code || !dropped || MUTANT("live-code") || !strcmp(code, dropped);
}

bool live_agrees(const cJSON *answer, const cJSON *result)
{
	const cJSON *said = json_get(answer, "parts"), *got = json_get(result, "parts");

	if (!cJSON_IsArray(said) || !cJSON_IsArray(got))
		return part_agrees(answer, result);
	for (said = said->child, got = got->child; said && got; said = said->next, got = got->next)
		if (!part_agrees(said, got))
			return false;
	return !said && !got;
}

/* ---- words ---- */

static void flow_words(const cJSON *f, struct buf *b)
{
	const double sport = json_num(f, "sport", 0), dport = json_num(f, "dport", 0);

	buf_adds(b, json_str(f, "saddr", "?"));
	if (sport > 0 && dport > 0)
		buf_printf(b, ":%.0f", sport);
	buf_printf(b, " > %s", json_str(f, "daddr", "?"));
	if (sport > 0 && dport > 0)
		buf_printf(b, ":%.0f", dport);
}

static void rule_words(const cJSON *rule, struct buf *b)
{
	const char *file = json_str(rule, "file", NULL);

	buf_printf(b, "  %-12s %s", json_str(rule, "chain", "?"),
		   json_str(rule, "rule", json_str(rule, "verdict", "?")));
	if (file)
		buf_printf(b, "  (%s:%.0f:%.0f)", file, json_num(rule, "line", 0),
			   json_num(rule, "column", 0));
	buf_adds(b, "\n");
}

/* not what goes on to the next rule, what only leads from our chains to our chains (what an object
 * of the file made has a comment), or what a chain does where none of its rules did */
static bool decides(const cJSON *rule)
{
	const char *verdict = json_str(rule, "verdict", ""), *text = json_str(rule, "rule", "");

	if (!strncmp(verdict, "jump", 4) || !strncmp(verdict, "goto", 4))
		return strstr(text, " comment ") != NULL;
	return !strncmp(text, "policy ", 7) ? !strcmp(verdict, "drop") :
					      strcmp(verdict, "continue") != 0;
}

static void hop_words(const cJSON *hop, bool all, struct buf *b)
{
	const char *verdict = json_str(hop, "verdict", "?");
	const cJSON *in = json_get(hop, "in"), *out = json_get(hop, "out"), *rule;

	buf_printf(b, "%s%s, ", json_str(hop, "namespace", "?"),
		   json_bool(hop, "answer", false) ? " (answer)" : "");
	if (json_str(hop, "interface_in", NULL))
		buf_printf(b, "in by %s: ", json_str(hop, "interface_in", ""));
	else
		buf_adds(b, "made here: ");
	flow_words(in, b);
	buf_adds(b, "\n");
	cJSON_ArrayForEach(rule, json_get(hop, "rules"))
		if (all || decides(rule))
			rule_words(rule, b);
	if (!strcmp(verdict, "drop"))
		buf_adds(b, "  dropped\n");
	else if (!strcmp(verdict, "local"))
		buf_adds(b, "  delivered to the namespace itself\n");
	else if (!strcmp(verdict, "routing"))
		buf_adds(
			b,
			"  no rule dropped it, and it did not leave: no route, or the kernel's own "
			"checks\n");
	else {
		buf_printf(b, "  out by %s%s", json_str(hop, "interface_out", "?"),
			   cJSON_Compare(in, out, true) ? "" : " as ");
		if (!cJSON_Compare(in, out, true))
			flow_words(out, b);
		buf_adds(b, "\n");
	}
}

static void trail_words(const cJSON *part, bool all, struct buf *b)
{
	const cJSON *trail = json_get(part, "trail"), *hop;
	const char *to = json_str(trail, "delivered_to", NULL);
	bool told = !to;

	if (trail && !cJSON_GetArraySize(json_get(trail, "hops")))
		buf_adds(b, "no router, gateway or egress saw the packet\n");
	cJSON_ArrayForEach(hop, json_get(trail, "hops")) {
		if (!told && json_bool(hop, "answer", false)) {
			buf_printf(b, "delivered to %s\n", to);
			told = true;
		}
		hop_words(hop, all, b);
	}
	if (!told)
		buf_printf(b, "delivered to %s; no answer was seen\n", to);
	if (json_bool(trail, "lost", false))
		buf_adds(b, "other packets were so many that some of the trace is lost\n");
}

void live_words(const cJSON *result, bool all, struct buf *b)
{
	const cJSON *part;

	buf_adds(b, "measured  ");
	probe_words(result, b);
	buf_adds(b, "\n");
	trail_words(result, all, b);
	cJSON_ArrayForEach(part, json_get(result, "parts")) {
		buf_printf(b, "%s: ", json_str(part, "interface", "?"));
		probe_words(part, b);
		buf_adds(b, "\n");
		trail_words(part, all, b);
	}
}
