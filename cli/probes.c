/* SPDX-License-Identifier: MIT */
/*
 * probes - batches are sent one after the other; within one, sandboxd runs all
 * probes side by side, so a batch takes as long as its longest time-out.
 */
#include "cli/probes.h"

#include <stdio.h>
#include <string.h>

#include "cli/api.h"
#include "cli/out.h"
#include "lib/util.h"

#define PATIENCE_MS 60000

/* the longest time-out of the batch, for they run side by side */
static double longest(const cJSON *probes)
{
	const cJSON *p;
	double s = 0;

	cJSON_ArrayForEach(p, probes)
		if (json_num(p, "timeout", 1) > s)
			s = json_num(p, "timeout", 1);
	return s;
}

static int send_batch(struct cli *c, const char *lab, cJSON *batch, cJSON *results)
{
	auto_free char *path = api_lab_path(lab, "/probes");
	auto_json cJSON *body = cJSON_CreateObject(), *answer = NULL;
	auto_free char *text = NULL;
	const char *const headers[] = { "Content-Type: application/json", NULL };
	struct api_request q = {
		.to = DAEMON_SANDBOXD, .method = "POST", .path = path, .headers = headers
	};
	int n = cJSON_GetArraySize(batch), i, r;
	cJSON *list;
	char what[120];

	q.wait_ms = (int64_t)(longest(batch) * 1000) + PATIENCE_MS;
	cJSON_AddItemToObject(body, "probes", batch);
	text = json_print(body);
	if (!path || !text)
		return out_no_memory(c);
	q.body = text;
	q.size = strlen(text);
	(void)snprintf(what, sizeof(what), "probe %s", out_safe(lab));
	r = api_json(c, what, &q, &answer);
	if (r)
		return r;
	list = cJSON_GetObjectItemCaseSensitive(answer, "results");
	if (cJSON_GetArraySize(list) != n)
		return out_fail(c, ERR_UNAVAILABLE, "%s: %d probes, but %d results", what, n,
				cJSON_GetArraySize(list));
	for (i = 0; i < n; i++)
		cJSON_AddItemToArray(results, cJSON_DetachItemViaPointer(list, list->child));
	return 0;
}

int probes_run(struct cli *c, const char *lab, const cJSON *probes, cJSON **ret)
{
	cJSON *results = cJSON_CreateArray(), *batch = NULL;
	const cJSON *p = probes->child;
	int r = 0, n;

	while (p && !r) {
		batch = cJSON_CreateArray();
		for (n = 0; p && n < PROBES_BATCH_MAX; n++, p = p->next)
			cJSON_AddItemToArray(batch, cJSON_Duplicate(p, true));
		r = send_batch(c, lab, batch, results); /* takes the batch */
	}
	if (r) {
		cJSON_Delete(results);
		return r;
	}
	*ret = results;
	return 0;
}

void probe_words(const cJSON *result, struct buf *b)
{
	const cJSON *error = json_get(result, "error"), *dropped = json_get(result, "dropped");
	const char *seen = json_str(result, "seen_as", NULL);
	const char *direction = json_str(dropped, "direction", NULL);
	const char *component = json_str(dropped, "component", NULL);
	const char *detail = json_str(result, "detail", NULL);

	if (cJSON_IsObject(error)) {
		buf_printf(b, "not run: %s", json_str(error, "message", "?"));
		return;
	}
	buf_printf(b, "%s in %s", json_str(result, "result", "?"),
		   out_ms(json_num(result, "took_ms", 0)));
	if (seen)
		buf_printf(b, "; %s saw %s",
			   json_str(result, "seen_by", json_str(result, "to", "the target")), seen);
	if (cJSON_IsObject(dropped)) {
		buf_printf(b, "; dropped: %s", json_str(dropped, "code", "?"));
		if (component || direction)
			buf_printf(b, " (%s%s%s)", component ? component : "",
				   component && direction ? ", " : "", direction ? direction : "");
	}
	if (detail && *detail)
		buf_printf(b, "; %s", detail);
}
