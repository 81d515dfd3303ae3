/* SPDX-License-Identifier: MIT */
/*
 * flow_records - see flow_records.h.
 */
#include "cli/flow_records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/out.h"
#include "lib/util.h"

int flow_records_get(struct cli *c, const struct flow_records *q, cJSON **ret)
{
	auto_free char *log = q->log ? api_escape(q->log) : NULL;
	auto_free char *rest = NULL, *path = NULL;
	struct api_request r = { .to = DAEMON_NETD,
				 .method = "GET",
				 .wait_ms = q->wait_ms + API_WAIT_MS };
	char what[120];

	if ((q->log && !log) ||
	    asprintf(&rest, "/flows?after=%llu&wait=%lld%s%s%s", (unsigned long long)q->after,
		     (long long)q->wait_ms, q->close ? "&close=1" : "", log ? "&log=" : "",
		     log ? log : "") < 0) {
		rest = NULL;
		return out_no_memory(c);
	}
	path = api_lab_path(q->lab, rest);
	if (!path)
		return out_no_memory(c);
	r.path = path;
	(void)snprintf(what, sizeof(what), "flows %s", out_safe(q->lab));
	return api_json(c, what, &r, ret);
}

static bool is_number(const char *s, size_t n)
{
	return n > 0 && n < 16 && strspn(s, "0123456789") >= n;
}

/* an account isn't a quantity, however its name looks */
static bool add_field(cJSON *o, const char *field, const char *s, size_t n)
{
	char name[64], text[256];
	size_t i;

	(void)snprintf(name, sizeof(name), "%s", field);
	for (i = 0; name[i]; i++)
		if (name[i] == '-')
			name[i] = '_';
	(void)snprintf(text, sizeof(text), "%.*s", (int)n, s);
	if (strcmp(text, "-") == 0)
		return cJSON_AddNullToObject(o, name);
	if (is_number(s, n) && strcmp(name, "account_id") != 0)
		return cJSON_AddNumberToObject(o, name, strtod(text, NULL));
	return cJSON_AddStringToObject(o, name, text);
}

cJSON *flow_records_object(const cJSON *answer, const cJSON *record)
{
	const char *log = json_str(record, "flow_log", "");
	const char *s = json_str(record, "line", "");
	const cJSON *field;
	cJSON *o = cJSON_CreateObject();
	bool ok = o && cJSON_AddStringToObject(o, "flow_log", log);

	cJSON_ArrayForEach(field,
			   json_get(json_get(json_get(answer, "flow_logs"), log), "fields")) {
		size_t n = strcspn(s, " ");

		if (!ok || !cJSON_IsString(field))
			break;
		ok = add_field(o, field->valuestring, s, n);
		s += n + (s[n] == ' ');
	}
	if (ok)
		return o;
	cJSON_Delete(o);
	return NULL;
}
