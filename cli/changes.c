/* SPDX-License-Identifier: MIT */
/*
 * changes - the PUT and the plan of a lab file.  What is sent was checked here
 * before; the daemon's warnings are joined with those that know their line.
 */
#include "cli/changes.h"

#include <stdio.h>
#include <string.h>

#include "cli/api.h"
#include "cli/out.h"
#include "lib/util.h"

#define PATIENCE_MS 60000 /* beyond the daemon's own limit: queue and undo */

static const struct {
	const char *action, *sign, *done;
	enum out_color color;
} ACTIONS[] = {
	{ "create", "+", "created", OUT_GREEN },
	{ "update", "~", "updated", OUT_YELLOW },
	{ "replace", "-/+", "replaced", OUT_YELLOW },
	{ "delete", "-", "deleted", OUT_RED },
};

static bool is_known(const cJSON *warnings, const cJSON *w)
{
	const cJSON *k;

	cJSON_ArrayForEach(k, warnings)
		if (!strcmp(json_str(k, "code", ""), json_str(w, "code", "")) &&
		    !strcmp(json_str(k, "path", ""), json_str(w, "path", "")))
			return true;
	return false;
}

/* the file's own warnings name their line in it; the daemon adds what it alone knows */
static int join_warnings(const struct cli *c, const struct source *s, cJSON *answer)
{
	cJSON *own = source_warnings(s), *theirs, *w, *next;

	if (!own)
		return out_no_memory(c);
	theirs = cJSON_DetachItemFromObjectCaseSensitive(answer, "warnings");
	for (w = theirs ? theirs->child : NULL; w; w = next) {
		next = w->next;
		if (!is_known(own, w))
			cJSON_AddItemToArray(own, cJSON_DetachItemViaPointer(theirs, w));
	}
	cJSON_Delete(theirs);
	cJSON_AddItemToObject(answer, "warnings", own);
	return 0;
}

static int ask(struct cli *c, const struct put *p, const char *method, const char *rest,
	       const char *verb, cJSON **ret)
{
	auto_free char *path = api_lab_path(p->lab, rest);
	auto_free char *base = NULL, *match = NULL;
	char what[200];
	const char *headers[4] = { "Content-Type: application/json" };
	struct api_request q = {
		.to = DAEMON_SANDBOXD,
		.method = method,
		.path = path,
		.headers = headers,
		.body = p->s->text,
		.size = p->s->size,
		.wait_ms = (int64_t)(p->timeout * 1000) + PATIENCE_MS,
		.expected = p->fresh || p->match ? 412 : 0,
	};
	cJSON *answer = NULL;
	size_t n = 1;
	int r;

	if (!path)
		return out_no_memory(c);
	if (p->s->base && asprintf(&base, "Vpclab-Base: %s", p->s->base) < 0) {
		base = NULL;
		return out_no_memory(c);
	}
	if (p->match && asprintf(&match, "If-Match: %s", p->match) < 0) {
		match = NULL;
		return out_no_memory(c);
	}
	if (base)
		headers[n++] = base;
	if (p->fresh || match)
		headers[n++] = p->fresh ? "If-None-Match: *" : match;
	(void)snprintf(what, sizeof(what), "%s %s", verb, out_safe(p->lab));
	r = api_json(c, what, &q, &answer);
	if (r == API_EXPECTED)
		return CHANGES_STALE;
	if (!r)
		r = join_warnings(c, p->s, answer);
	if (r) {
		cJSON_Delete(answer);
		return r;
	}
	*ret = answer;
	return 0;
}

int changes_plan(struct cli *c, const struct put *p, cJSON **ret)
{
	return ask(c, p, "POST", "/plan", "plan", ret);
}

int changes_put(struct cli *c, const struct put *p, cJSON **ret)
{
	char query[120];
	int n = snprintf(query, sizeof(query), "?timeout=%g%s", p->timeout,
			 p->strict ? "&strict=1" : "");

	if (p->lease)
		(void)snprintf(query + n, sizeof(query) - (size_t)n, "&lease=%d", p->lease);
	return ask(c, p, "PUT", query, p->verb ? p->verb : "up", ret);
}

static size_t action_of(const cJSON *change)
{
	const char *action = json_str(change, "action", "");
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ACTIONS) - 1; i++)
		if (!strcmp(ACTIONS[i].action, action))
			break;
	return i;
}

void changes_print(const struct cli *c, const cJSON *answer)
{
	const cJSON *change;

	cJSON_ArrayForEach(change, json_get(answer, "changes")) {
		size_t i = action_of(change);
		const char *because = json_str(change, "because", "");

		printf("%s%3s%s %s %s%s%s\n", out_color(c->color_out, ACTIONS[i].color),
		       ACTIONS[i].sign, out_color(c->color_out, OUT_PLAIN),
		       out_safe(json_str(change, "kind", "?")),
		       out_safe(json_str(change, "name", "?")), *because ? "   " : "",
		       out_safe(because));
	}
}

const char *changes_summary(const cJSON *answer)
{
	static char text[120];
	size_t counts[ARRAY_SIZE(ACTIONS)] = { 0 }, i, n = 0;
	const cJSON *change;

	cJSON_ArrayForEach(change, json_get(answer, "changes"))
		counts[action_of(change)]++;
	*text = '\0';
	for (i = 0; i < ARRAY_SIZE(ACTIONS); i++)
		if (counts[i])
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%zu %s", n ? ", " : "",
					      counts[i], ACTIONS[i].done);
	return n ? text : "no changes";
}

int changes_tell(const struct cli *c, cJSON *answer)
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
